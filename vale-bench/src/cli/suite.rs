//! Options of `suite`.

use clap::Args;

use super::{GuestArgs, OutputArgs};

/// Options of `suite`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vale-bench suite quick
  vale-bench suite conext19 --out conext19.json
  vale-bench suite mine.toml --list
  vale-bench suite mine.toml --restart

A suite is a TOML file. Keys are options of the benchmarks without dashes, and
lists are multiplied out:
  [[run]]
  scenario = [\"p2p\", \"v2v\"]
  dataplane = [\"uvale\", \"testpmd\"]
  size = [64, 1518]
  bidir = [false, true]
  repeat = 5

Started again with the same suite and the same --out, it goes on where it was
interrupted. The page is beside the document, unless --html says otherwise.")]
pub struct SuiteArgs {
    /// A file, or a suite of the program: quick (less than 3 minutes), conext19, full
    #[arg(value_name = "FILE|NAME")]
    pub suite: String,
    /// Tell what would be measured and how long that takes, and measure nothing
    #[arg(long)]
    pub list: bool,
    /// Begin anew although --out holds a result
    #[arg(long)]
    pub restart: bool,
    /// What the order of trials is drawn from [default: drawn by lot]
    #[arg(long, value_name = "N", alias = "seed")]
    pub order_seed: Option<u64>,
    /// What runs guests.
    #[command(flatten)]
    pub guests: GuestArgs,
    /// Options of the result.
    #[command(flatten)]
    pub output: OutputArgs,
}
