//! Reports of one or several documents, each a file: a page, Markdown, CSV, JUnit; and which figures they have.

use std::io::Write;

use super::exhibits::{Exhibit, KINDS};
use super::kept::Kept;
use super::{ReportError, csv, html, junit, markdown};

/// A report of several documents in one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// A page for a browser.
    Html,
    /// For a pull request.
    Markdown,
    /// One row a trial.
    CsvTrials,
    /// One row a raw window.
    CsvWindows,
    /// For a CI server.
    Junit,
}

/// Which figures are wanted, by name or by kind; all where none is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The names.
    pub figures: Vec<String>,
}

/// One way to show several documents.
pub trait Export {
    /// Writes all of `results` to `out`.
    fn write(&self, results: &[Kept], selection: &Selection, out: &mut dyn Write) -> Result<(), ReportError>;
}

impl ExportFormat {
    /// The report of this format.
    pub fn export(self) -> &'static dyn Export {
        match self {
            ExportFormat::Html => &html::Html,
            ExportFormat::Markdown => &markdown::Markdown,
            ExportFormat::CsvTrials => &csv::Csv,
            ExportFormat::CsvWindows => &csv::Windows,
            ExportFormat::Junit => &junit::Junit,
        }
    }
}

impl Selection {
    /// The figures that are wanted. A name that none has is an error.
    pub(super) fn of(&self, exhibits: Vec<Exhibit>) -> Result<Vec<Exhibit>, ReportError> {
        let wanted = |exhibit: &Exhibit, name: &str| exhibit.id == name || exhibit.kind == name;
        for name in &self.figures {
            if exhibits.iter().any(|exhibit| wanted(exhibit, name)) {
                continue;
            }
            let there: Vec<String> = exhibits.iter().map(|exhibit| exhibit.id.clone()).collect();
            let known = KINDS.iter().any(|(kind, _)| kind == name);
            return Err(ReportError::NoFigure { name: name.clone(), known, there: there.join(", ") });
        }
        let chosen = |exhibit: &Exhibit| {
            self.figures.is_empty() || self.figures.iter().any(|name| wanted(exhibit, name))
        };
        Ok(exhibits.into_iter().filter(chosen).collect())
    }
}
