//! How a run is shown: lines as checks end, for people or as TAP; the document; JUnit XML. All but the document
//! itself is made from findings.

mod junit;
mod tap;
mod text;

#[cfg(test)]
mod tests;

use std::io::{self, Write};

use super::document::{CiDocument, Finding};

pub use junit::{JunitError, junit};
pub use tap::Tap;
pub use text::{Text, list};

/// Shows a run while it goes on.
pub trait Show {
    /// Before the first of the checks `names`, of which so many were shown in an earlier part of the run.
    fn begin(&mut self, names: &[&str], earlier: usize) -> io::Result<()>;
    /// After each.
    fn finding(&mut self, finding: &Finding) -> io::Result<()>;
    /// After the last.
    fn end(&mut self, document: &CiDocument) -> io::Result<()>;
}

/// The document at the end, and for people a line a check on another stream meanwhile.
#[derive(Debug)]
pub struct Json<W, P> {
    /// Where the document goes.
    pub out: W,
    /// What shows the way there.
    pub progress: P,
}

impl<W: Write, P: Show> Show for Json<W, P> {
    fn begin(&mut self, names: &[&str], earlier: usize) -> io::Result<()> {
        self.progress.begin(names, earlier)
    }

    fn finding(&mut self, finding: &Finding) -> io::Result<()> {
        self.progress.finding(finding)
    }

    fn end(&mut self, document: &CiDocument) -> io::Result<()> {
        self.progress.end(document)?;
        self.out.write_all(document.to_json().as_bytes())?;
        self.out.flush()
    }
}
