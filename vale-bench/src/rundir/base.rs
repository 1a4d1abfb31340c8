//! The directory that holds the directories of runs: where it is, and whether it is safe.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{geteuid, getpid};

use super::{RUN_PATH_MAX, RUN_PREFIX, RunDirError};

/// Longest wait for another run that is just being made or recovered; both take milliseconds.
const LOCK_DEADLINE: Duration = Duration::from_secs(10);

/// Where run directories go: `$VALE_BENCH_RUNTIME_DIR`, else `$XDG_RUNTIME_DIR/vale-bench` if that is this
/// user's, else `/run/vale-bench` for root, else `~/.cache/vale-bench/run`.
pub fn runtime_dir() -> Result<PathBuf, RunDirError> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(chosen) = variable("VALE_BENCH_RUNTIME_DIR") {
        return std::path::absolute(&chosen).map_err(RunDirError::io("resolve", &chosen));
    }
    // sudo keeps the variable of the user who called it, whose directory is not ours to write to.
    let ours = |path: &PathBuf| fs::metadata(path).is_ok_and(|meta| meta.uid() == geteuid().as_raw());
    if let Some(runtime) = variable("XDG_RUNTIME_DIR").filter(ours) {
        return Ok(runtime.join("vale-bench"));
    }
    if geteuid().is_root() {
        return Ok(PathBuf::from("/run/vale-bench"));
    }
    variable("HOME").map(|home| home.join(".cache/vale-bench/run")).ok_or(RunDirError::NoPlace)
}

/// Makes `base` if it is not there, and refuses one that others own, may read, or put there as a link.
pub(super) fn ensure(base: &Path) -> Result<(), RunDirError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(base)
        .map_err(RunDirError::io("create the directory", base))?;
    let meta = fs::symlink_metadata(base).map_err(RunDirError::io("examine", base))?;
    let problem = if !meta.is_dir() {
        "it is a symbolic link; name the directory itself".to_owned()
    } else if meta.uid() != geteuid().as_raw() {
        format!("it belongs to user {}, not to user {}", meta.uid(), geteuid().as_raw())
    } else if meta.mode() & 0o077 != 0 {
        format!("others may use it (mode {:03o}); run chmod 700 on it, or name another", meta.mode() & 0o777)
    } else {
        return Ok(());
    };
    Err(RunDirError::Unsafe { path: base.to_owned(), problem })
}

/// Keeps other runs from making or recovering directories; freed when dropped. The directory itself is what is
/// locked, so that no file is needed for it.
pub(super) fn lock(base: &Path) -> Result<File, RunDirError> {
    let file = File::open(base).map_err(RunDirError::io("open", base))?;
    let deadline = Instant::now() + LOCK_DEADLINE;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(errno) => return Err(RunDirError::io("lock", base)(errno.into())),
        }
    }
}

/// Makes an empty directory for a run, under a name nobody has.
pub(super) fn new_run(base: &Path) -> Result<PathBuf, RunDirError> {
    let pid = getpid().as_raw_nonzero();
    let mut number = 0u32;
    loop {
        let path = base.join(format!("{RUN_PREFIX}{pid}-{number}"));
        if path.as_os_str().len() > RUN_PATH_MAX {
            return Err(RunDirError::TooLong { path });
        }
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            // Left by a dead process with our number, or another run of this very process.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(source) => return Err(RunDirError::io("create the directory", &path)(source)),
        }
    }
}
