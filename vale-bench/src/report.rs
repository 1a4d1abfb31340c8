//! Results shown: as a table, as the document itself, as CSV and as Markdown.
//!
//! A report is made from a [`ResultDocument`] and nothing else, so that it can be made later and elsewhere. How
//! wide and how colourful is the reader's affair ([`View`]).
//!
//! Deliberately absent: measuring, and any figure that cannot be recomputed from the document.

mod csv;
pub(crate) mod figure;
mod group;
mod json;
mod load;
mod markdown;
mod search;
mod table;
pub(crate) mod text;

use std::io::{self, Write};
use std::path::PathBuf;

use crate::result::{FileError, ResultDocument};

pub(crate) use markdown::escape;
pub(crate) use table::table;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The output took no more.
    #[error("cannot write the report")]
    Write(#[from] io::Error),
    /// The document has no form in JSON.
    #[error(transparent)]
    Json(#[from] FileError),
}

/// How a report looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people, on a terminal.
    Table,
    /// The document.
    Json,
    /// One row a trial, for notebooks and spreadsheets.
    Csv,
    /// For a pull request.
    Markdown,
}

/// What the reader's side is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Columns of text that fit, at least 40.
    pub width: u16,
    /// Whether escape sequences for colours are understood and wanted.
    pub colour: bool,
    /// The file that holds the document; `None` if none does.
    pub source: Option<PathBuf>,
}

impl Default for View {
    /// 80 columns, no colours, as for a pipe.
    fn default() -> View {
        View { width: 80, colour: false, source: None }
    }
}

/// One way to show a document.
pub trait Report {
    /// Writes all of `document` to `out`.
    fn write(&self, document: &ResultDocument, view: &View, out: &mut dyn Write) -> Result<(), ReportError>;
}

impl Format {
    /// The report of this format.
    pub fn report(self) -> &'static dyn Report {
        match self {
            Format::Table => &table::Table,
            Format::Json => &json::Json,
            Format::Csv => &csv::Csv,
            Format::Markdown => &markdown::Markdown,
        }
    }
}

#[cfg(test)]
mod tests;
