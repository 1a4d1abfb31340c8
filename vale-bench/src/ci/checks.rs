//! The checks, a file per theme. Each registers itself in its file's `CHECKS`.

pub(super) mod api;
pub(super) mod csb;
pub(super) mod host;
pub(super) mod integrity;
pub(super) mod memory;
pub(super) mod module;
pub(super) mod monitor;
pub(super) mod perf;
pub(super) mod persistent;
pub(super) mod pipe;
pub(super) mod poll;
pub(super) mod port;
pub(super) mod process;
pub(super) mod ptnet;
pub(super) mod vale;

/// What a second process of a check does, by name.
pub(super) fn parts() -> &'static [super::check::PartOf] {
    process::PARTS
}
