//! Documents in files: written whole or not at all, read with a sentence for whatever is wrong.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{ResultDocument, SCHEMA};

/// Why a document could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing in it.
    #[error("{} is empty: no result was written to it", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It ends before the document does.
    #[error("{} is truncated: it ends at line {line}, column {column}, inside the document", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Line at which it ends, from 1.
        line: usize,
        /// Column at which it ends.
        column: usize,
    },
    /// It is not JSON.
    #[error("{} is not JSON at line {line}, column {column}: {problem}", path.display())]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column.
        column: usize,
        /// What the parser says.
        problem: String,
    },
    /// It is JSON and no result of vale-bench.
    #[error("{} is JSON but not a vale-bench result: it has no \"schema\" naming one", path.display())]
    NotAResult {
        /// The file.
        path: PathBuf,
    },
    /// It follows another schema.
    #[error("{} follows the schema {found:?}; this vale-bench reads {SCHEMA:?}", path.display())]
    OtherSchema {
        /// The file.
        path: PathBuf,
        /// The schema it names.
        found: String,
    },
    /// It names this schema and does not follow it.
    #[error("{} does not follow {SCHEMA} at line {line}, column {column}: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column.
        column: usize,
        /// What is wrong.
        problem: String,
    },
    /// It cannot be written there.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The path names something that must not be replaced by a file.
    #[error("cannot write {}: it is {what}, not a file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// A number in the document has no form in JSON.
    #[error("cannot put the result into JSON")]
    Encode(#[source] serde_json::Error),
}

impl ResultDocument {
    /// Reads a document, refusing other schemas by name.
    pub fn read(path: &Path) -> Result<ResultDocument, FileError> {
        let bytes = fs::read(path).map_err(|source| FileError::Read { path: path.into(), source })?;
        ResultDocument::parse(&bytes, path)
    }

    /// Reads a document from `bytes`; `path` is where they came from, for the errors.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<ResultDocument, FileError> {
        let path = path.to_owned();
        if bytes.trim_ascii().is_empty() {
            return Err(FileError::Empty { path });
        }
        let value: serde_json::Value = match serde_json::from_slice(bytes) {
            Ok(value) => value,
            Err(error) => return Err(not_json(error, path)),
        };
        match value.get("schema").and_then(serde_json::Value::as_str) {
            Some(SCHEMA) => {}
            Some(found) if found.starts_with("vale-bench/") => {
                return Err(FileError::OtherSchema { path, found: found.to_owned() });
            }
            _ => return Err(FileError::NotAResult { path }),
        }
        serde_json::from_slice(bytes).map_err(|error| FileError::Invalid {
            path,
            line: error.line(),
            column: error.column(),
            problem: without_position(&error),
        })
    }

    /// The document as it stands in a file: indented, with a newline at its end.
    pub fn to_json(&self) -> Result<String, FileError> {
        let mut text = serde_json::to_string_pretty(self).map_err(FileError::Encode)?;
        text.push('\n');
        Ok(text)
    }
}

fn not_json(error: serde_json::Error, path: PathBuf) -> FileError {
    let (line, column) = (error.line(), error.column());
    if error.is_eof() {
        FileError::Truncated { path, line, column }
    } else {
        FileError::NotJson { path, line, column, problem: without_position(&error) }
    }
}

/// serde_json ends every message with the position, which our sentences have already.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

/// A place to which a document can be written, found out before there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    path: PathBuf,
}

impl OutputFile {
    /// Checks that a file can be made at `path`, so that a run does not end with nowhere to put its result.
    ///
    /// Leaves nothing behind. A file that is there is kept until [`OutputFile::write`] replaces it, and must
    /// be writable; a directory, device, pipe or socket is refused, because the write would replace it.
    pub fn prepare(path: &Path) -> Result<OutputFile, FileError> {
        let fail = |source| FileError::Write { path: path.to_owned(), source };
        if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(FileError::NotAFile { path: path.to_owned(), what: "a directory" });
        }
        // Through a symlink the file it points to is replaced, not the link.
        let target = match fs::canonicalize(path) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(fail(error)),
        };
        match fs::metadata(&target) {
            Ok(meta) if meta.is_file() => {
                OpenOptions::new().append(true).open(&target).map_err(fail)?;
            }
            Ok(meta) => {
                let what = if meta.is_dir() { "a directory" } else { "a device, pipe or socket" };
                return Err(FileError::NotAFile { path: path.to_owned(), what });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail(error)),
        }
        if target.file_name().is_none() {
            return Err(FileError::NotAFile { path: path.to_owned(), what: "a directory" });
        }
        let output = OutputFile { path: target };
        output.temporary().map_err(fail)?;
        Ok(output)
    }

    /// Where the document goes.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the document beside its place and renames it there, so that a reader never sees half of it.
    pub fn write(&self, document: &ResultDocument) -> Result<(), FileError> {
        self.write_text(&document.to_json()?)
    }

    /// The same with text of any kind.
    pub fn write_text(&self, text: &str) -> Result<(), FileError> {
        self.write_bytes(text.as_bytes())
    }

    /// The same with anything.
    pub fn write_bytes(&self, bytes: &[u8]) -> Result<(), FileError> {
        let fail = |source| FileError::Write { path: self.path.clone(), source };
        let mut file = self.temporary().map_err(fail)?;
        file.write_all(bytes).map_err(fail)?;
        file.as_file().sync_all().map_err(fail)?;
        file.persist(&self.path).map_err(|error| fail(error.error))?;
        Ok(())
    }

    /// A file in the same directory, hence on the same file system, that goes away unless it is persisted.
    fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // Made here rather than by the crate, whose errors would name the temporary file and hide errno.
        tempfile::Builder::new()
            .prefix(".vale-bench-")
            .suffix(".tmp")
            .make_in(directory, |path| OpenOptions::new().write(true).create_new(true).open(path))
    }
}
