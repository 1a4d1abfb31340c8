//! Options of the switch that runs for other processes.

use std::time::Duration;

use clap::{Args, value_parser};

use super::values;
use crate::units::parse_positive_duration;

/// Options of `switch`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vale-bench switch &
  vale-bench rx -i vale0:2 &
  vale-bench tx -i vale0:1 --duration 5")]
pub struct SwitchArgs {
    /// Name: vale and letters, digits or _
    #[arg(long, value_name = "NAME", default_value = "vale0", value_parser = values::switch_name)]
    pub name: String,
    /// Slots of each ring of a port, 4 to 4096
    #[arg(long, value_name = "N", default_value = "1024", value_parser = value_parser!(u32).range(4..=4096))]
    pub slots: u32,
    /// Processor to pin the switch to
    #[arg(long, value_name = "CPU")]
    pub pin: Option<u32>,
    /// Print every port's counters this often: 1, 500ms [default: never]
    #[arg(long, value_name = "TIME", value_parser = parse_positive_duration)]
    pub stats: Option<Duration>,
    /// No messages about ports that come and go
    #[arg(short, long)]
    pub quiet: bool,
}
