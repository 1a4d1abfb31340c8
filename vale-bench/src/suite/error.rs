//! What can be wrong with a suite, with its place.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use super::builtin::BUILTIN;

/// A suite cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Neither a file nor a built-in suite.
    #[error("{name} is neither a file nor a suite of the program; there is {}", names())]
    NoSuchSuite {
        /// What was asked for.
        name: String,
    },
    /// Something in it.
    #[error("{suite}{place}: {problem}")]
    Wrong {
        /// The suite's name or file.
        suite: String,
        /// Where.
        place: Place,
        /// What.
        problem: String,
    },
}

fn names() -> String {
    BUILTIN.iter().map(|builtin| builtin.name).collect::<Vec<_>>().join(", ")
}

/// Where something is in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

impl Place {
    /// Where the bytes `span` of `text` begin.
    pub fn of(text: &str, span: Range<usize>) -> Place {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Place { line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ", line {}, column {}", self.line, self.column)
    }
}

/// The one of `known` that was most likely meant by `typed`.
pub(super) fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Less alike than this, another word would only confuse.
    const ALIKE: f64 = 0.75;
    let alike = known.into_iter().map(|word| (strsim::jaro_winkler(typed, word), word));
    alike.filter(|(how, _)| *how >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, word)| word)
}
