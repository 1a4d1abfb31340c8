//! Tells the program which sources it was made from: the git commit, and whether the sources differ from it.
//!
//! Outside a git checkout, as in an unpacked archive, it says nothing, and results carry null. It never fails:
//! a program without its revision is better than none.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the program is made from, relative to the workspace.
const SOURCES: [&str; 7] =
    ["Cargo.toml", "Cargo.lock", "netmap-rs", "pktgen", "qemu-ptnet", "guest", "vale-bench"];

fn main() {
    // Asked at run time: a compiled build script may be reused for a checkout at another place.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(PathBuf::new, PathBuf::from);
    let workspace = package.parent().map_or_else(PathBuf::new, PathBuf::from);
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let (revision, dirty) = state(&workspace);
    let mut version = env!("CARGO_PKG_VERSION").to_owned();
    if let Some(revision) = &revision {
        println!("cargo::rustc-env=VALE_BENCH_GIT_REVISION={revision}");
        let modified = if dirty == Some(true) { ", modified" } else { "" };
        version += &format!(" ({}{modified})", revision.get(..10).unwrap_or(revision));
    }
    if let Some(dirty) = dirty {
        println!("cargo::rustc-env=VALE_BENCH_GIT_DIRTY={dirty}");
    }
    println!("cargo::rustc-env=VALE_BENCH_VERSION={version}");
    // A commit changes HEAD's log or, where there are no logs, HEAD and what it refers to.
    for path in ["logs/HEAD", "HEAD", "packed-refs"] {
        if let Some(path) = git(&workspace, &["rev-parse", "--git-path", path]) {
            let path = workspace.join(path);
            if path.exists() {
                println!("cargo::rerun-if-changed={}", path.display());
            }
        }
    }
}

/// The commit, and whether the sources differ from it.
fn state(workspace: &Path) -> (Option<String>, Option<bool>) {
    // An archive unpacked inside someone's repository is not a checkout of that repository.
    let top = git(workspace, &["rev-parse", "--show-toplevel"]).map(PathBuf::from);
    if top.and_then(|top| top.canonicalize().ok()) != workspace.canonicalize().ok() {
        return (None, None);
    }
    let Some(revision) = git(workspace, &["rev-parse", "HEAD"]) else { return (None, None) };
    let status = ["status", "--porcelain", "--untracked-files=all", "--"];
    let changes = git(workspace, &[&status[..], &SOURCES[..]].concat());
    (Some(revision), changes.map(|changes| !changes.is_empty()))
}

/// What git prints, without the newline at its end; `None` if there is no git or it fails.
fn git(workspace: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(workspace).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}
