//! Options of `compare` and `published`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::values;

/// Options of `compare`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vale-bench compare before.json after.json
  vale-bench compare main.json branch.json --fail-below 0.95 --format markdown
  vale-bench compare --by dataplane side-by-side.json
  vale-bench compare old.json new.json --allow host.kernel_release
  vale-bench compare r.json --published software-switches-2019

Exits with 3 if a rate is surely below --fail-below, with 1 if that cannot be
told, and with 2 if files may not be compared.")]
pub struct CompareArgs {
    /// Results, as written by --out; the others are compared with the first
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// What is held against what
    #[arg(long, value_enum, default_value = "file", value_name = "WHAT")]
    pub by: ByChoice,
    /// Dataplane that others are compared with [default: the run's first]
    #[arg(long, value_name = "DATAPLANE", requires = "by")]
    pub to: Option<String>,
    /// How sure verdicts are, all of them together: 0.5 to 0.999
    #[arg(long, value_name = "C", default_value = "0.95", value_parser = values::confidence)]
    pub confidence: f64,
    /// Fail if a rate is surely slower and below this part of the first file's
    #[arg(long, value_name = "RATIO", value_parser = values::ratio)]
    pub fail_below: Option<f64>,
    /// Compare in spite of differing circumstances, by name; all stands for every one
    ///
    /// What decides rates must be the same in all files: the processor, the kernel, what runs the guests and how
    /// large they are. The refusal names what differs.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub allow: Vec<String>,
    /// Leave latencies out
    #[arg(long)]
    pub no_latency: bool,
    /// Set published figures beside the results
    #[arg(long, value_name = "NAME", value_parser = values::published)]
    pub published: Option<String>,
    /// What lots are drawn from
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// How to show the comparison
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub format: CompareFormat,
    /// Keep the comparison (JSON) in this file
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// What is held against what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ByChoice {
    /// The other files with the first
    File,
    /// The dataplanes of each file with one of them
    Dataplane,
}

/// How to show a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompareFormat {
    /// Tables for people
    Table,
    /// For a pull request
    Markdown,
    /// The document
    Json,
}

/// Options of `published`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vale-bench published
  vale-bench published software-switches-2019")]
pub struct PublishedArgs {
    /// Figures to show [default: tell which there are]
    #[arg(value_name = "NAME", value_parser = values::published)]
    pub name: Option<String>,
}
