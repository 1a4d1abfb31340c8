//! Cleans up after runs that were killed.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::journal::{self, Record};
use super::process::{Ended, ProcessId, boot_id};
use super::{JOURNAL, RUN_PREFIX, RunDirError, base, runtime_dir};
use crate::links;

/// What was done about one dead run; shown, it is a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The dead run's directory.
    pub path: PathBuf,
    /// Its process, where the journal told.
    pub owner: Option<ProcessId>,
    /// Children that were ended.
    pub ended: Vec<ProcessId>,
    /// Files outside the directory that were removed.
    pub removed: Vec<PathBuf>,
    /// Network interfaces that were removed.
    pub interfaces: Vec<String>,
    /// What could not be cleaned up; then the directory stays for the next try.
    pub problems: Vec<String>,
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            Some(owner) => write!(f, "cleaned up after a run that was killed (process {})", owner.pid)?,
            None => write!(f, "cleaned up after a run that was killed")?,
        }
        for process in &self.ended {
            write!(f, ", ended {} ({})", process.comm, process.pid)?;
        }
        for path in &self.removed {
            write!(f, ", removed {}", path.display())?;
        }
        for name in &self.interfaces {
            write!(f, ", removed the interface {name}")?;
        }
        for problem in &self.problems {
            write!(f, "; {problem}")?;
        }
        if !self.problems.is_empty() {
            write!(f, "; {} stays for the next try", self.path.display())?;
        }
        Ok(())
    }
}

/// What was done about all dead runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// One entry a dead run; none if all went well before.
    pub runs: Vec<Recovered>,
}

impl Recovery {
    /// A sentence about each dead run.
    pub fn describe(&self) -> Vec<String> {
        self.runs.iter().map(Recovered::to_string).collect()
    }
}

/// Cleans up after every dead run below [`runtime_dir`].
pub fn recover() -> Result<Recovery, RunDirError> {
    recover_in(&runtime_dir()?)
}

/// Cleans up after every dead run below `base`; nothing to do if that does not exist.
pub fn recover_in(base: &Path) -> Result<Recovery, RunDirError> {
    if !base.exists() {
        return Ok(Recovery::default());
    }
    base::ensure(base)?;
    let dead = {
        // Nobody makes or recovers a directory while the free locks are taken.
        let _looking = base::lock(base)?;
        find_dead(base).map_err(RunDirError::io("read", base))?
    };
    Ok(Recovery { runs: dead.into_iter().map(|(path, lock)| clean(path, lock)).collect() })
}

/// The directories nobody holds, each with its lock, now ours.
fn find_dead(base: &Path) -> io::Result<Vec<(PathBuf, File)>> {
    let mut dead = Vec::new();
    for entry in fs::read_dir(base)? {
        let entry = entry?;
        let named = entry.file_name().to_str().is_some_and(|name| name.starts_with(RUN_PREFIX));
        // The type of the entry itself: a link is none of ours and is not followed.
        if !named || !entry.file_type()?.is_dir() {
            continue;
        }
        let path = entry.path();
        let lock = match File::open(&path) {
            Ok(lock) => lock,
            // Its run has just ended.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => dead.push((path, lock)),
            Err(rustix::io::Errno::WOULDBLOCK) => {} // alive
            Err(errno) => return Err(errno.into()),
        }
    }
    dead.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(dead)
}

/// Ends and removes what the journal names, then the directory; `_lock` keeps others away meanwhile.
fn clean(path: PathBuf, _lock: File) -> Recovered {
    let mut done = Recovered {
        path,
        owner: None,
        ended: Vec::new(),
        removed: Vec::new(),
        interfaces: Vec::new(),
        problems: Vec::new(),
    };
    let journal = match journal::read(&done.path.join(JOURNAL)) {
        Ok(journal) => journal,
        Err(error) if error.kind() == io::ErrorKind::NotFound => journal::Read::default(),
        Err(error) => {
            done.problems.push(format!("its journal cannot be read: {error}"));
            return done;
        }
    };
    let same_boot = journal.records.iter().any(|record| match record {
        Record::Owner { boot_id: then, .. } => boot_id().is_ok_and(|now| now == *then),
        _ => false,
    });
    for record in journal.records {
        match record {
            Record::Owner { process, .. } => done.owner = Some(process),
            Record::Child(process) if same_boot => match process.end() {
                Ok(Ended::Ended) => done.ended.push(process),
                Ok(Ended::NotThere) => {}
                Err(error) => {
                    done.problems.push(format!("cannot end {} ({}): {error}", process.comm, process.pid))
                }
            },
            Record::Child(_) => {} // the machine was restarted since, and no process outlives that
            Record::Interface { name } if !same_boot || !links::exists(&name) => {}
            Record::Interface { name } => match links::remove(&name) {
                Ok(()) => done.interfaces.push(name),
                Err(error) => done.problems.push(format!("cannot remove the interface {name}: {error}")),
            },
            Record::File { path } => match fs::remove_file(&path) {
                Ok(()) => done.removed.push(path),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => done.problems.push(format!("cannot remove {}: {error}", path.display())),
            },
        }
    }
    // A record cut short is that of something that was not made yet: it is written down afterwards, whole.
    done.problems.extend(
        journal
            .unknown
            .iter()
            .filter(|line| line.ends_with('}'))
            .map(|line| format!("this version does not know what {line} means")),
    );
    if done.problems.is_empty()
        && let Err(error) = fs::remove_dir_all(&done.path)
    {
        done.problems.push(format!("cannot remove {}: {error}", done.path.display()));
    }
    done
}
