//! Options of `ci`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options of `ci`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vale-bench ci --list
  vale-bench ci
  vale-bench ci vale 'pipe.*' --skip vale.switches
  vale-bench ci --module netmap.ko --junit ci.xml --out ci.json
  vale-bench ci --resume lost.json --junit ci.xml --out ci.json
  vale-bench ci perf --save-baseline base.json
  vale-bench ci perf --baseline base.json
  vale-bench ci perf --history rates/

Exits with 3 if a check fails, a known defect included, and with 4 where there
is no netmap.")]
pub struct CiArgs {
    /// Checks to run, by name or pattern; a theme stands for all of its checks [default: all]
    #[arg(value_name = "PATTERN")]
    pub only: Vec<String>,
    /// Checks to leave out, by name or pattern
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub skip: Vec<String>,
    /// Show names and objectives instead of running
    #[arg(long)]
    pub list: bool,
    /// Module to check
    ///
    /// The host's module of that name is unloaded and this one loaded; it stays. With it come the checks that load
    /// and unload it.
    #[arg(long, value_name = "FILE")]
    pub module: Option<PathBuf>,
    /// Run checks too that a faulty module does not survive
    ///
    /// For machines that may be lost: a VM that plays the host.
    #[arg(long)]
    pub risky: bool,
    /// How to show the run on standard output
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub format: CiFormat,
    /// Write the document of the run (JSON) to this file
    ///
    /// It is there before each check already, with that check held to have failed: a machine that does not survive
    /// it leaves the name of the culprit, and what was found until then.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write JUnit XML to this file, before each check too
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Go on with a run that did not end, from the document that it left
    ///
    /// What it found is taken over, the check that it ended in is not tried again, and the rest is run.
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
    /// Fail if rates are lower than in this file, beyond what their scatter explains
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Compare with the runs kept in this folder, and keep this one there
    ///
    /// Rates are held against the runs since they last changed (vale-bench trend tells when that was). A run that
    /// is slower is not kept, or it would become what later runs are held against.
    #[arg(long, value_name = "DIR", conflicts_with = "baseline")]
    pub history: Option<PathBuf>,
    /// Keep the rates of this run in a file
    #[arg(long, value_name = "FILE")]
    pub save_baseline: Option<PathBuf>,
}

/// How to show a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CiFormat {
    /// Lines for people, as checks end
    Text,
    /// Test Anything Protocol, as checks end
    Tap,
    /// The document, at the end
    Json,
}

/// Options of `ci-check`.
#[derive(Debug, Args)]
pub struct CiCheckArgs {
    /// Name of the check
    #[arg(required_unless_present = "part")]
    pub name: Option<String>,
    /// Module to load and unload
    #[arg(long, value_name = "FILE")]
    pub module: Option<PathBuf>,
    /// Play a part of a check instead
    #[arg(long, value_name = "PART", conflicts_with = "name")]
    pub part: Option<String>,
}
