//! Options of the benchmarks, v2v and p2p.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};
use pktgen::spec::Rate;

use super::load::BenchLoadArgs;
use super::values::Percentages;
use super::vhost::VhostArgs;
use super::{FormatChoice, SearchArgs, VmArgs, values};
use crate::exit::Fail;
use crate::result::Direction;
use crate::scenario::Pattern;
use crate::units::{
    CpuList, SizeList, check_frame_size, parse_cpus, parse_duration, parse_positive_duration, parse_rate,
    parse_sizes,
};

/// Options of `v2v`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vale-bench v2v --vms 2
  vale-bench v2v --vms 4 --size 64,512,1518 --bidir --repeat 3 --latency \\
                 --out r.json
  vale-bench v2v --rate 100k --duration 60  a load below saturation
  vale-bench v2v --size 64:7,570:4,1518:1 --flows 1000 --flow-order zipf
  vale-bench v2v --vms 4 --pattern many-to-one --flows 100
  vale-bench v2v --latency-at 10,50,99      round trips inside a load")]
pub struct V2vArgs {
    /// Guests; in pairs their number is even
    #[arg(long, value_name = "N", default_value = "2", value_parser = values::guests,
        help_heading = "What to measure")]
    pub vms: u32,
    /// Who sends to whom
    #[arg(
        long,
        value_enum,
        value_name = "PATTERN",
        default_value = "pairs",
        help_heading = "What to measure"
    )]
    pub pattern: Pattern,
    /// Options of every benchmark.
    #[command(flatten)]
    pub bench: BenchArgs,
    /// Options of guests.
    #[command(flatten)]
    pub vm: VmArgs,
    /// Options of the result.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `p2v` and `v2p`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vale-bench p2v
  vale-bench v2p --vms 2 --size 64,1518 --out r.json
  vale-bench p2v --dataplane vale --qemu ./qemu-system-x86_64 \\
                 --guest-module netmap.ko")]
pub struct HostGuestArgs {
    /// Guests; each has a port of the host for a partner
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=127),
        help_heading = "What to measure")]
    pub vms: u32,
    /// Options of every benchmark.
    #[command(flatten)]
    pub bench: BenchArgs,
    /// Options of guests.
    #[command(flatten)]
    pub vm: VmArgs,
    /// Options of the result.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `loopback`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vale-bench loopback --vms 1
  vale-bench loopback --vms 3 --bidir --size 64,1024 --out r.json
  vale-bench loopback --vms 2 --dataplane uvale,testpmd --repeat 5
  vale-bench suite conext19                 chains of 1 to 5, among others")]
pub struct LoopbackArgs {
    /// Guests in the chain
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=126),
        help_heading = "What to measure")]
    pub vms: u32,
    /// Options of every benchmark.
    #[command(flatten)]
    pub bench: BenchArgs,
    /// Options of guests.
    #[command(flatten)]
    pub vm: VmArgs,
    /// Options of the result.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `p2p`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vale-bench p2p
  vale-bench p2p --pairs 2 --size 64-1518/128 --duration 1 --format csv > p2p.csv
  vale-bench p2p --pin 0,1 --repeat 5 --out r.json
  vale-bench p2p --rate 1M --arrivals poisson
  vale-bench p2p --port netmap:eth0 --port netmap:eth1 --size 64,1518
  vale-bench p2p --pcap frames.pcap --pcap-speed 1 --duration 10")]
pub struct P2pArgs {
    /// Pairs of ports
    #[arg(long, value_name = "N", default_value = "1", conflicts_with = "port", value_parser = value_parser!(u32).range(1..=127),
        help_heading = "What to measure")]
    pub pairs: u32,
    /// Options of every benchmark.
    #[command(flatten)]
    pub bench: BenchArgs,
    /// Options of the result.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of every benchmark.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct BenchArgs {
    /// What carries the packets; several with a comma between them run interleaved
    ///
    /// uvale: VALE's forwarding in this process, ports in memory shared with the guests. vale: the kernel's VALE
    /// and ptnet. vale-virtio: the kernel's VALE and virtio-net.
    #[arg(long, value_name = "NAMES", default_value = "uvale", value_delimiter = ',',
        default_value_if("port", clap::builder::ArgPredicate::IsPresent, "ports"), value_parser = values::dataplane, help_heading = "What to measure")]
    pub dataplane: Vec<String>,
    /// Measure between ports that there are, by their names: netmap:eth0, vale0:1, eth0 or dpdk:…
    ///
    /// Twice for each pair. What joins them is under test: a cable, or a switch.
    #[arg(long, value_name = "NAME", help_heading = "What to measure")]
    pub port: Vec<String>,
    /// Frame sizes in bytes with FCS: 64,512,1518 or 64-512/64 or imix or 64:7,570:4,1518:1
    ///
    /// 64 to 1518, or to what the port's buffers hold (uvale: 2052). FROM-TO/STEP is a trial for each size, FROM-TO
    /// a trial with sizes at random. imix is 64, 570 and 1518 bytes, 7:4:1; SIZE:WEIGHT,SIZE:WEIGHT is any such mix.
    #[arg(long, value_name = "LIST", default_value = "64", value_parser = parse_sizes,
        help_heading = "What to measure")]
    pub size: SizeList,
    /// Both ports of a pair send
    #[arg(long, help_heading = "What to measure")]
    pub bidir: bool,
    /// Load offered by each sender: max, 1M or 2.5Mpps, 10Gbps or 10Gbps/L2
    ///
    /// A number alone is frames a second. Gbps counts preamble and gap (L1) unless /L2 is said.
    #[arg(long, value_name = "RATE", default_value = "max", value_parser = parse_rate,
        help_heading = "What to measure")]
    pub rate: Rate,
    /// Flows of each sender: they vary the UDP source port, then the source address
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=1_000_000),
        help_heading = "What to measure")]
    pub flows: u32,
    /// Also measure round trips, on otherwise idle ports
    #[arg(long, help_heading = "What to measure")]
    pub latency: bool,
    /// Also measure round trips inside a load of so many percent of the throughput: 10,50,99
    ///
    /// Of what the trial received or, with --search, of what the search found for its first goal. Includes --latency. Probes are sent in between the load's frames, on the same ports, by a schedule, and timed
    /// from when they were due.
    #[arg(long, value_name = "LIST", value_parser = values::percentages, help_heading = "What to measure")]
    pub latency_at: Option<Percentages>,
    /// The load.
    #[command(flatten)]
    pub load: BenchLoadArgs,
    /// Slots of each ring of uvale, 4 to 4096 [default: 1024; 4096 with --idle nap]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(4..=4096),
        help_heading = "What to measure")]
    pub slots: Option<u32>,
    /// Options of vhost-user dataplanes.
    #[command(flatten)]
    pub vhost: VhostArgs,

    /// Measured part of a trial: 5, 500ms, 2m
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_positive_duration,
        help_heading = "How to measure")]
    pub duration: Duration,
    /// Discarded part before it
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration,
        help_heading = "How to measure")]
    pub warmup: Duration,
    /// Length of a raw sample; each is kept
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = parse_positive_duration,
        help_heading = "How to measure")]
    pub interval: Duration,
    /// Trials of each kind, interleaved; the median is shown
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=1000),
        help_heading = "How to measure")]
    pub repeat: u32,
    /// Bring the dataplane up anew for each repetition; several dataplanes always are
    #[arg(long, help_heading = "How to measure")]
    pub fresh: bool,
    /// What the order of trials is drawn from [default: drawn by lot]
    #[arg(long, value_name = "N", help_heading = "How to measure")]
    pub order_seed: Option<u64>,
    /// Processors to pin busy threads to, as in 0-3,6; the first is the switch's
    #[arg(long, value_name = "LIST", value_parser = parse_cpus, help_heading = "How to measure")]
    pub pin: Option<CpuList>,
    /// What switch and engines do without work
    #[arg(long, value_enum, value_name = "POLICY", default_value = "auto", help_heading = "How to measure")]
    pub idle: IdleChoice,
    /// Options of searches.
    #[command(flatten)]
    pub search: SearchArgs,
}

/// What switch and engines do without work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IdleChoice {
    /// poll if every busy thread has a processor of its own, else nap
    Auto,
    /// Poll for a millisecond, then nap, then sleep
    Poll,
    /// Nap at once, then sleep: threads that share processors do not keep each other waiting
    Nap,
}

impl BenchArgs {
    /// Whether what is brought up for one serves the other: they differ at most in what is measured.
    pub fn brings_up_like(&self, other: &BenchArgs) -> bool {
        let measured_alike = BenchArgs {
            dataplane: self.dataplane.clone(),
            size: self.size.clone(),
            bidir: self.bidir,
            rate: self.rate,
            flows: self.flows,
            latency: self.latency,
            latency_at: self.latency_at.clone(),
            load: self.load.clone(),
            duration: self.duration,
            warmup: self.warmup,
            interval: self.interval,
            repeat: self.repeat,
            ..other.clone()
        };
        *self == measured_alike
    }

    /// Options of certain dataplanes that were given, as they are typed.
    pub fn given(&self) -> Vec<&'static str> {
        let port = (!self.port.is_empty()).then_some("--port");
        port.into_iter().chain(self.slots.map(|_| "--slots")).chain(self.vhost.given()).collect()
    }

    /// One way or both.
    pub fn direction(&self) -> Direction {
        if self.bidir { Direction::Bidi } else { Direction::Uni }
    }

    /// Checks what one option says against another, and sizes against `max_frame`, the bytes a port's buffers
    /// hold without FCS (`None`: no more than 1518 with FCS).
    pub fn check(&self, max_frame: Option<u16>) -> Result<(), Fail> {
        check_frame_size(&self.size, max_frame).map_err(Fail::usage)?;
        self.load.load.check(self.rate, self.load.pcap.is_some())?;
        if self.interval > self.duration {
            return Err(Fail::usage(format!(
                "--interval {:?} is longer than --duration {:?}; no sample would be whole",
                self.interval, self.duration
            )));
        }
        for (index, name) in self.dataplane.iter().enumerate() {
            if self.dataplane[..index].contains(name) {
                return Err(Fail::usage(format!("--dataplane has {name} twice")));
            }
        }
        Ok(())
    }
}

/// Options of the result.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Result")]
pub struct OutputArgs {
    /// Keep the result document (JSON) in this file
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Also write the result as a page, as `report` does: to this file, or to index.html in this folder
    #[arg(long, value_name = "FILE|DIR")]
    pub html: Option<PathBuf>,
    /// How to show the result on standard output
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub format: FormatChoice,
    /// No progress on standard error
    #[arg(short, long)]
    pub quiet: bool,
}
