//! Options of `trend`.

use std::path::PathBuf;

use clap::Args;

use super::{CompareFormat, values};

/// Options of `trend`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vale-bench trend results/
  vale-bench trend results/ --fail --format markdown
  vale-bench trend results/ --confidence 0.99 --out trend.json

A change needs about four runs on either side to be told from chance.")]
pub struct TrendArgs {
    /// Folder of results, and of documents and baselines of ci
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// How sure each change is: 0.5 to 0.999
    #[arg(long, value_name = "C", default_value = "0.95", value_parser = values::confidence)]
    pub confidence: f64,
    /// Exit with 3 if a series' last change made it worse, or its newest run is out of line that way
    #[arg(long)]
    pub fail: bool,
    /// What lots are drawn from
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// How to show the trend
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub format: CompareFormat,
    /// Keep the trend (JSON) in this file
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}
