//! Options of whoever sends a load: what its frames differ by, and when each leaves.

use std::path::PathBuf;

use clap::{Args, value_parser};
use pktgen::spec::{Arrivals, FlowOrder, Rate};

use super::values::{self, EndpointRange};
use crate::exit::Fail;

/// Options of every sender.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(next_help_heading = "Load")]
pub struct LoadArgs {
    /// When frames leave at a given rate: constant, poisson, or burst:N (N back to back, then a pause)
    #[arg(long, value_name = "HOW", default_value = "constant", value_parser = values::arrivals)]
    pub arrivals: Arrivals,
    /// Which flow comes next: round-robin, random, or zipf (zipf:1.2), where few flows have most frames
    #[arg(long, value_name = "ORDER", default_value = "round-robin", value_parser = values::flow_order)]
    pub flow_order: FlowOrder,
    /// What is drawn at random is drawn the same way each time, for each seed another
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// Follow the times of the pcap file, so many times as fast: 1 is as captured
    #[arg(long, value_name = "FACTOR", value_parser = values::speed)]
    pub pcap_speed: Option<f64>,
}

impl LoadArgs {
    /// Checks what one option says against another: `rate` is the load asked for, `pcap` whether a file was named.
    pub fn check(&self, rate: Rate, pcap: bool) -> Result<(), Fail> {
        let paced = rate != Rate::Max;
        if self.arrivals != Arrivals::Constant && !paced {
            return Err(Fail::usage(
                "--arrivals says how frames are spread around a rate; give one with --rate",
            ));
        }
        match self.pcap_speed {
            Some(_) if !pcap => Err(Fail::usage("--pcap-speed follows the times of a pcap file; name one")),
            Some(_) if paced => {
                Err(Fail::usage("--pcap-speed and --rate both say when frames leave; leave one of them out"))
            }
            _ => Ok(()),
        }
    }
}

/// Options of the load of benchmarks.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(next_help_heading = "Load")]
pub struct BenchLoadArgs {
    /// Options of every sender.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Source IPv4 address and UDP port, or a range of them: a flow for each combination
    #[arg(long, value_name = "IP[:PORT]", value_parser = values::endpoints, conflicts_with = "flows")]
    pub src: Option<EndpointRange>,
    /// Destination IPv4 address and UDP port, or a range of them
    #[arg(long, value_name = "IP[:PORT]", value_parser = values::endpoints, conflicts_with = "flows")]
    pub dst: Option<EndpointRange>,
    /// Source Ethernet addresses of each sender, made up: what a switch has to learn
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=65_536),
        conflicts_with = "flows")]
    pub src_macs: u32,
    /// Send the frames of this pcap file in turn, with Ethernet addresses of the ports
    #[arg(long, value_name = "FILE", conflicts_with_all = ["size", "flows", "src", "dst", "src_macs", "flow_order"])]
    pub pcap: Option<PathBuf>,
}
