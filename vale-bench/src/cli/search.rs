//! Options of searches for throughput.

use std::time::Duration;

use clap::{Args, value_parser};
use pktgen::spec::Rate;

use crate::units::{parse_positive_duration, parse_rate, parse_ratio};

/// Options of searches.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(next_help_heading = "Searches")]
pub struct SearchArgs {
    /// Search for a throughput: ndr, pdr, tst009, rfc2544, mrr, b2b, soak, or a FILE of goals; several with a comma
    ///
    /// ndr: no loss, and pdr: at most 0.5 % lost, each in most of 5 s of trials of 1 s. tst009: no loss in one of two
    /// trials of 60 s. These, and the goals of a FILE, are sought together by MLRsearch (RFC 9971). rfc2544: no loss
    /// in a trial of 60 s, by halving. mrr: the rate received at the largest load, ten trials of 1 s. b2b: the longest
    /// burst without loss (RFC 9004). soak: loss over time at one load: --rate, or a part of what was found before it.
    #[arg(long, value_name = "WHAT", value_delimiter = ',', conflicts_with = "duration")]
    pub search: Vec<String>,
    /// How far apart the bounds of a throughput may be: 0.5% or 0.005 [default: each goal's own, 0.5%]
    #[arg(long, value_name = "PART", value_parser = parse_ratio, requires = "search")]
    pub search_width: Option<f64>,
    /// Trials of this much together decide on a load [default: each goal's own]
    #[arg(long, value_name = "TIME", value_parser = parse_positive_duration, requires = "search")]
    pub search_duration: Option<Duration>,
    /// Length of a full trial [default: each goal's own; no more than --search-duration]
    #[arg(long, value_name = "TIME", value_parser = parse_positive_duration, requires = "search")]
    pub search_trial: Option<Duration>,
    /// Largest load of each sender [default: a fifth more than it can send, which is tried first]
    #[arg(long, value_name = "RATE", value_parser = parse_rate, requires = "search")]
    pub max_load: Option<Rate>,
    /// Smallest load of each sender [default: a thousandth of the largest]
    #[arg(long, value_name = "RATE", value_parser = parse_rate, requires = "search")]
    pub min_load: Option<Rate>,
    /// Length of a soak test
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_positive_duration)]
    pub soak_duration: Duration,
    /// Load of a soak test without --rate, as a part of the throughput found before it
    #[arg(long, value_name = "PART", default_value = "90%", value_parser = parse_ratio)]
    pub soak_load: f64,
    /// How often the longest burst is looked for
    #[arg(long, value_name = "N", default_value = "50", value_parser = value_parser!(u32).range(1..=1000))]
    pub b2b_repeat: u32,
    /// End a search that has not ended by itself; what it found is kept
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_positive_duration)]
    pub search_timeout: Duration,
}
