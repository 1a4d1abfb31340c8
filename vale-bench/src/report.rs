//! Results shown: as a table, as the document itself, as CSV, Markdown and JUnit, as a page and as figures.
//!
//! A report is made from [`ResultDocument`]s and nothing else, so that it can be made later and elsewhere. How
//! wide and how colourful is the reader's affair ([`View`]). A [`Report`] shows one document, an [`Export`] any
//! number of them in a file.
//!
//! Deliberately absent: measuring, and any figure that cannot be recomputed from the document.

mod csv;
mod exhibits;
mod export;
pub(crate) mod figure;
mod files;
mod group;
mod html;
mod json;
mod junit;
mod kept;
mod load;
mod markdown;
mod plot;
mod search;
mod study;
mod table;
pub(crate) mod text;

use std::io::{self, Write};
use std::path::PathBuf;

use crate::result::{FileError, ResultDocument};

pub use exhibits::KINDS;
pub use export::{Export, ExportFormat, Selection};
pub use files::{Drawing, Painter, drawings};
pub use kept::Kept;
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
    /// No figure is called that.
    #[error("{}", no_figure(name, *known, there))]
    NoFigure {
        /// What was asked for.
        name: String,
        /// Whether it is a kind of figure, for which these documents have no data.
        known: bool,
        /// The figures that there are.
        there: String,
    },
    /// This host has no typeface.
    #[error(
        "this host has no typeface to draw words with; install one (Debian: fonts-dejavu-core), or take SVG"
    )]
    NoTypeface,
    /// A plot could not be drawn.
    #[error("cannot draw {name}: {why}")]
    Paint {
        /// The plot.
        name: String,
        /// Why.
        why: String,
    },
    /// A name or a message has no form in XML.
    #[error("cannot make JUnit XML: {0}")]
    Junit(String),
}

fn no_figure(name: &str, known: bool, there: &str) -> String {
    let why = if known { "these results have nothing for the figure" } else { "no figure is called" };
    let there = if there.is_empty() { "none".to_owned() } else { there.to_owned() };
    format!("{why} {name:?}; the figures of these results are: {there}")
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
