//! What a run would leave behind, written down as it happens: one JSON record a line.
//!
//! Records are written with one `write` each and are never buffered here, so that they survive the process's
//! sudden end. They need not survive the machine's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::process::{ProcessId, boot_id};

/// Something that outlives the process that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// Written first: who made the directory, and since when this machine has been up.
    Owner {
        /// The run's process.
        process: ProcessId,
        /// The kernel's name for the time since it was booted.
        boot_id: String,
    },
    /// A child process.
    Child(ProcessId),
    /// A file or socket outside the run directory, by absolute path.
    File {
        /// Where.
        path: PathBuf,
    },
    /// A network interface of a name that no other run makes ([`super::RunDir::interface`]).
    Interface {
        /// Its name.
        name: String,
    },
}

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal(File);

impl Journal {
    /// Starts a journal at `path` with the owner's record.
    pub(super) fn create(path: &Path) -> io::Result<Journal> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        let journal = Journal(file);
        let process = ProcessId::of(std::process::id())
            .ok_or_else(|| io::Error::other("/proc does not show this process; is it mounted?"))?;
        journal.append(&Record::Owner { process, boot_id: boot_id()? })?;
        Ok(journal)
    }

    /// Adds a record.
    pub(super) fn append(&self, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        (&self.0).write_all(&line)
    }
}

/// What a journal says.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Records that are understood.
    pub(super) records: Vec<Record>,
    /// Lines that are not: from another version, or cut short by the end of their writer.
    pub(super) unknown: Vec<String>,
}

/// Reads a journal, whole or cut short.
pub(super) fn read(path: &Path) -> io::Result<Read> {
    let mut read = Read::default();
    for line in String::from_utf8_lossy(&fs::read(path)?).lines() {
        match serde_json::from_str(line) {
            Ok(record) => read.records.push(record),
            Err(_) => read.unknown.push(line.to_owned()),
        }
    }
    Ok(read)
}
