//! What the integration tests stand on: the program run from outside, in a place of its own, with deadlines.
//!
//! A test reads as it would be told: a [`Bench`], a command line, a wait, an end, and what must hold then. Each
//! bench has a runtime, working and temporary directory that no other test sees, so what a run leaves behind is
//! found by looking ([`Bench::leaves_nothing_behind`]). Every wait has a deadline, and one that passes shows all
//! that was printed. A skip is loud, and with `VALE_BENCH_NO_SKIP` set it is a failure ([`skip`]).
//!
//! Deliberately absent: speed. No test asserts a rate that a loaded machine could miss.

// Each test file includes all of this and uses its part.
#![allow(dead_code, unused_imports)]

mod bench;
mod browser;
mod guests;
mod kept;
mod machine;
mod processes;
mod roles;
mod running;
mod system;
mod testpmd;

pub(crate) use bench::Bench;
pub(crate) use browser::Browser;
pub(crate) use guests::{FakeQemu, qemu_path};
pub(crate) use kept::{Kept, keeps_to, sample};
pub(crate) use processes::{Found, wait_until_gone};
pub(crate) use roles::{count, end_report};
pub(crate) use running::{Finished, Running, send};
pub(crate) use system::{key_of, system_disk, write_qcow2};
pub(crate) use testpmd::{Testpmd, has_dpdk};

use std::io::Write;
use std::time::Duration;

/// A short command, a measurement without guests included, may take this long on a machine under load.
pub(crate) const RUN_DEADLINE: Duration = Duration::from_secs(60);
/// Something that was started says that it is ready, or gets to its next stage.
pub(crate) const READY_DEADLINE: Duration = Duration::from_secs(20);
/// A command without guests ends this soon after a signal.
pub(crate) const END_DEADLINE: Duration = Duration::from_secs(10);
/// A measurement with guests, from nothing to its result: their boot under translation takes most of it.
pub(crate) const GUESTS_DEADLINE: Duration = Duration::from_secs(240);
/// Guests get to where their measurement begins.
pub(crate) const BOOT_DEADLINE: Duration = Duration::from_secs(150);
/// A command with guests ends this soon after a signal or the end of a guest.
pub(crate) const GUESTS_END_DEADLINE: Duration = Duration::from_secs(25);
/// QEMU is gone this soon after the process that started it was killed.
pub(crate) const ORPHAN_DEADLINE: Duration = Duration::from_secs(5);

/// Says that this test did not test, and why; fails instead where `VALE_BENCH_NO_SKIP` is set.
pub(crate) fn skip(reason: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let forbidden = std::env::var_os("VALE_BENCH_NO_SKIP").is_some_and(|value| !value.is_empty());
    assert!(!forbidden, "{test} would be skipped, and VALE_BENCH_NO_SKIP is set: {reason}");
    say_skipped(&test, reason);
}

/// The same for want of netmap, which no set-up of this project can provide: that fails only where
/// `VALE_BENCH_NETMAP` is set.
pub(crate) fn skip_without_netmap(reason: &str) {
    skip_without("VALE_BENCH_NETMAP", reason);
}

/// The same for want of something that set-up does not see to: that fails only where `variable` is set.
pub(crate) fn skip_without(variable: &str, reason: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let forbidden = std::env::var_os(variable).is_some_and(|value| !value.is_empty());
    assert!(!forbidden, "{test} would be skipped, and {variable} is set: {reason}");
    say_skipped(&test, reason);
}

/// Says that a test did not test, for a reason that no set-up can remove.
pub(crate) fn say_skipped(test: &str, reason: &str) {
    // Not eprintln!, which the harness keeps to itself when a test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {reason}");
}
