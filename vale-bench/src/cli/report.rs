//! Options of `report`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options of `report`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vale-bench report r.json --html out/          out/index.html, all in one file
  vale-bench report before.json after.json --html pr.html --markdown pr.md
  vale-bench report r.json --csv windows.csv --rows window
  vale-bench report r.json --list               the figures' names
  vale-bench report r.json --figure latency --svg plots/ --png plots/
  vale-bench report r.json --markdown - | head

A file that is no result, one that was cut off and one of another version of
the schema are refused by name with 2, as is a figure that there is none of;
where no result has a trial it is 1. A run that ended early is shown as far as
it went, and marked.")]
pub struct ReportArgs {
    /// Result files, as written by --out; where several measured the same, they are compared
    #[arg(value_name = "RESULTS", required = true)]
    pub files: Vec<PathBuf>,
    /// A page that holds everything: a file that ends in .html, or a folder for index.html
    #[arg(long, value_name = "PATH", help_heading = "What to write (- is standard output)")]
    pub html: Option<PathBuf>,
    /// Markdown, for a pull request
    #[arg(long, value_name = "FILE", help_heading = "What to write (- is standard output)")]
    pub markdown: Option<PathBuf>,
    /// CSV, for a notebook
    #[arg(long, value_name = "FILE", help_heading = "What to write (- is standard output)")]
    pub csv: Option<PathBuf>,
    /// What a row of the CSV is
    #[arg(
        long,
        value_enum,
        value_name = "ROWS",
        default_value = "trial",
        requires = "csv",
        help_heading = "What to write (- is standard output)"
    )]
    pub rows: RowsChoice,
    /// JUnit XML, for a CI server: fails where numbers cannot be trusted, not where they are low
    #[arg(long, value_name = "FILE", help_heading = "What to write (- is standard output)")]
    pub junit: Option<PathBuf>,
    /// Every figure as a file, for a paper
    #[arg(long, value_name = "DIR", help_heading = "What to write (- is standard output)")]
    pub svg: Option<PathBuf>,
    /// The same as pixels, for a talk
    #[arg(long, value_name = "DIR", help_heading = "What to write (- is standard output)")]
    pub png: Option<PathBuf>,
    /// The figures' names, on standard output
    #[arg(long, help_heading = "What to write (- is standard output)")]
    pub list: bool,
    /// Only these figures, by name or kind, with a comma between them
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub figure: Vec<String>,
}

/// What a row of a CSV file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RowsChoice {
    /// A trial
    Trial,
    /// A raw window of a trial
    Window,
}
