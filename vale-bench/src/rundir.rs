//! A private directory per run, and the recovery of what a killed run left behind.
//!
//! Each run makes a directory of its own below [`runtime_dir`], holds a lock on it for as long as it lives, and
//! writes down in a journal whatever would outlive it: child processes, and files elsewhere. A run that ends
//! removes all of it. A run that was killed cannot, but the kernel frees its lock: the next run finds the free
//! lock, ends what the journal names, and removes the directory ([`recover`]).
//!
//! A process is ended only if its number, start time and name are those written down, and the machine has
//! not been started since: a number that was taken over by a stranger never is.
//!
//! Deliberately absent: what runs in the directory, and how a living run ends its own children.

mod base;
mod journal;
mod process;
mod recover;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use base::runtime_dir;
pub use journal::Record;
pub use process::ProcessId;
pub use recover::{Recovered, Recovery, recover, recover_in};

use crate::links;
use journal::Journal;

/// What a run directory has of its own.
const JOURNAL: &str = "journal";

/// How names of run directories begin.
const RUN_PREFIX: &str = "run-";

/// Longest path of a run directory: a socket's path has 107 bytes, and names inside want some of them.
const RUN_PATH_MAX: usize = 76;

/// [`runtime_dir`], made if need be and found private to this user: for sockets that other runs find by name.
pub fn ensure_runtime_dir() -> Result<PathBuf, RunDirError> {
    let base = runtime_dir()?;
    base::ensure(&base)?;
    Ok(base)
}

/// Why there is no run directory.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// No place for it is known.
    #[error(
        "no directory for run-time files: set VALE_BENCH_RUNTIME_DIR (neither XDG_RUNTIME_DIR nor HOME is)"
    )]
    NoPlace,
    /// The place belongs to someone else, or others may look into it.
    #[error("{} cannot hold run-time files: {problem}", path.display())]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// Sockets in it would have paths longer than the kernel takes.
    #[error(
        "{} is too long for sockets inside it ({RUN_PATH_MAX} bytes at most): set VALE_BENCH_RUNTIME_DIR \
         to a shorter path", path.display()
    )]
    TooLong {
        /// The run directory that would have been.
        path: PathBuf,
    },
    /// Something could not be done with it.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl RunDirError {
    fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RunDirError {
        let path = path.to_owned();
        move |source| RunDirError::Io { operation, path, source }
    }
}

/// The directory of the living run, or a part of it; everything in it goes when it is dropped, and with the last of
/// them everything in the journal.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    run: Arc<Run>,
    /// Interfaces that go with it.
    interfaces: Mutex<Vec<String>>,
}

/// A living run.
#[derive(Debug)]
struct Run {
    path: PathBuf,
    journal: Journal,
    /// The directory, open and locked: the kernel frees the lock when this process ends, however it ends.
    _lock: File,
}

impl RunDir {
    /// Makes the directory of this run below [`runtime_dir`].
    pub fn create() -> Result<RunDir, RunDirError> {
        RunDir::create_in(&runtime_dir()?)
    }

    /// Makes it below `base`, which is made if need be and must be private to this user.
    pub fn create_in(base: &Path) -> Result<RunDir, RunDirError> {
        base::ensure(base)?;
        // While this is held nobody takes the directory for that of a dead run before it is locked.
        let _creating = base::lock(base)?;
        let path = base::new_run(base)?;
        let lock = File::open(&path).map_err(RunDirError::io("open", &path))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(io::Error::from)
            .map_err(RunDirError::io("lock", &path))?;
        let journal_path = path.join(JOURNAL);
        let journal = Journal::create(&journal_path).map_err(RunDirError::io("create", &journal_path))?;
        Ok(RunDir {
            path: path.clone(),
            run: Arc::new(Run { path, journal, _lock: lock }),
            interfaces: Mutex::default(),
        })
    }

    /// A directory of its own inside it, for what is started and ended within the run: files there are in nobody's
    /// way.
    pub fn part(&self, name: &str) -> Result<RunDir, RunDirError> {
        let path = self.join(name);
        fs::create_dir(&path).map_err(RunDirError::io("create", &path))?;
        Ok(RunDir { path, run: self.run.clone(), interfaces: Mutex::default() })
    }

    /// Where it is: put sockets, images and logs of the run here.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path inside it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Writes down a child that was just started, to be ended by the next run should this one be killed.
    ///
    /// A child that has already ended is not an error. A program that becomes another (as wrappers do) should
    /// be recorded again when it has its final name.
    pub fn record_child(&self, pid: u32) -> Result<(), RunDirError> {
        match ProcessId::of(pid) {
            Some(process) => self.record(&Record::Child(process)),
            None => Ok(()),
        }
    }

    /// Writes down a file or socket outside the directory, to be removed at the end of this run or by the next.
    pub fn record_file(&self, path: &Path) -> Result<(), RunDirError> {
        let absolute = std::path::absolute(path).map_err(RunDirError::io("resolve", path))?;
        self.record(&Record::File { path: absolute })
    }

    /// A name for a network interface that no other living or dead run has: `kind` is a letter, `number` tells those
    /// of a kind apart. Writes it down, to be removed at the end of this run, or part of it, or by the next.
    pub fn interface(&self, kind: char, number: usize) -> Result<String, RunDirError> {
        let name = self.run.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = format!("vb{}{kind}{number}", name.trim_start_matches(RUN_PREFIX));
        self.record(&Record::Interface { name: name.clone() })?;
        self.interfaces.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
        Ok(name)
    }

    /// Writes down anything else that would outlive the run.
    pub fn record(&self, record: &Record) -> Result<(), RunDirError> {
        self.run.journal.append(record).map_err(RunDirError::io("write to", &self.run.path.join(JOURNAL)))
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if self.path != self.run.path {
            for name in self.interfaces.get_mut().unwrap_or_else(PoisonError::into_inner) {
                // The other end of a pair has gone with the first.
                let _ = links::remove(name);
            }
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Ok(read) = journal::read(&self.path.join(JOURNAL)) {
            for record in &read.records {
                // Usually gone already; what cannot be removed now is nothing a destructor can mend.
                match record {
                    Record::File { path } => drop(fs::remove_file(path)),
                    Record::Interface { name } => drop(links::remove(name)),
                    Record::Owner { .. } | Record::Child(_) => {}
                }
            }
        }
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests;
