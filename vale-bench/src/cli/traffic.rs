//! Options of the roles on single ports: tx, rx, ping, pong. Letters mean what they mean to pkt-gen.

mod help;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};
use pktgen::ports::fragment::MAX_FRAGMENTS;
use pktgen::spec::{Addressing, PingSpec, PongSpec, Ranges, Rate, Replay, Rewrite, RxSpec, Traffic, TxSpec};

use super::load::LoadArgs;
use super::values::{self, Cpus, EndpointRange, MacRange};
use crate::units::{SizeSpec, parse_duration, parse_positive_duration, parse_rate};

/// How a role's report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TrafficFormat {
    /// Lines for people
    Text,
    /// One JSON object a report
    Json,
}

/// Options of every command on ports: how long, where, and what to print.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// End after this long: 5, 500ms, 2m [default: at Ctrl-C]
    #[arg(long, value_name = "TIME", value_parser = parse_positive_duration)]
    pub duration: Option<Duration>,
    /// Wait this long before the first frame (pkt-gen waits 2 s)
    #[arg(short = 'w', long, value_name = "TIME", default_value = "0s", value_parser = parse_duration)]
    pub wait: Duration,
    /// Time between reports, in milliseconds
    #[arg(short = 'T', long = "report", value_name = "MS", default_value = "1000",
        value_parser = value_parser!(u64).range(1..=86_400_000))]
    pub report_ms: u64,
    /// Processors to pin threads to, in turn: 2, or 2,4-6; of one, further threads take those after it
    #[arg(short = 'a', long = "affinity", value_name = "CPUS", value_parser = values::cpus)]
    pub cpus: Option<Cpus>,
    /// Never sleep while there is nothing to do
    #[arg(long)]
    pub busy: bool,
    /// How to print reports, on standard output
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub format: TrafficFormat,
}

/// Options of every role.
#[derive(Debug, Args)]
pub struct CommonTrafficArgs {
    /// Port: vale0:1, netmap:eth0, netmap:x{1, eth0, dpdk:DEVICE (see Ports)
    #[arg(short = 'i', long = "interface", value_name = "PORT", value_parser = values::port)]
    pub port: String,
    /// Bytes of virtio-net header before each frame: 10 or 12 (netmap ports)
    #[arg(short = 'H', long = "vnet-header", value_name = "LEN", default_value = "0",
        value_parser = values::vnet_header)]
    pub vnet_header: u16,
    /// How to run it.
    #[command(flatten)]
    pub run: RunArgs,
}

/// One frame size, said in either way.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct SizeArgs {
    /// Frame size in bytes without FCS, as pkt-gen counts: 60 is a 64-byte frame; 60-1514 is any of them at random
    #[arg(short = 'l', long, value_name = "LEN", value_parser = values::slot_lengths)]
    pub length: Option<SizeSpec>,
    /// Frame size in bytes with FCS: 64, a list to take in turn (64,1518), at random (64-1518), imix, or a mix by weight
    /// (64:7,570:4,1518:1) [default: 64]
    #[arg(long, value_name = "SIZE", value_parser = values::sizes_to_send)]
    pub size: Option<SizeSpec>,
}

impl SizeArgs {
    /// The size asked for; the smallest frame otherwise.
    pub fn spec(&self) -> SizeSpec {
        let asked = self.length.as_ref().or(self.size.as_ref());
        asked.cloned().unwrap_or_else(|| SizeSpec::fixed(crate::units::FRAME_MIN_BYTES))
    }
}

/// One size of probes, said in either way.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct ProbeSizeArgs {
    /// Frame size in bytes without FCS, as pkt-gen counts: 60 is a 64-byte frame
    #[arg(short = 'l', long, value_name = "LEN", value_parser = values::slot_length)]
    pub length: Option<SizeSpec>,
    /// Frame size in bytes with FCS [default: 64]
    #[arg(long, value_name = "SIZE", value_parser = values::fixed_size)]
    pub size: Option<SizeSpec>,
}

impl ProbeSizeArgs {
    /// The size asked for, in bytes with FCS; that of the smallest frame otherwise.
    pub fn bytes(&self) -> u16 {
        self.length.as_ref().or(self.size.as_ref()).map_or(crate::units::FRAME_MIN_BYTES, SizeSpec::max)
    }
}

/// Addresses in the frames.
#[derive(Debug, Args)]
pub struct AddressArgs {
    /// Source IPv4 address and UDP port, or a range of them: 10.0.0.1:1000-10.0.0.9:1999
    #[arg(short = 's', long, value_name = "IP[:PORT]", default_value = "10.0.0.1:1234",
        value_parser = values::endpoints)]
    pub src: EndpointRange,
    /// Destination IPv4 address and UDP port, or a range of them
    #[arg(short = 'd', long, value_name = "IP[:PORT]", default_value = "10.1.0.1:1234",
        value_parser = values::endpoints)]
    pub dst: EndpointRange,
    /// Source Ethernet address, or a range MAC-MAC [default: the port's own, or one made up]
    #[arg(short = 'S', long, value_name = "MAC", value_parser = values::source_macs)]
    pub src_mac: Option<MacRange>,
    /// Destination Ethernet address, or a range MAC-MAC; broadcast is flooded to all ports
    #[arg(short = 'D', long, value_name = "MAC", default_value = "ff:ff:ff:ff:ff:ff",
        value_parser = values::macs)]
    pub dst_mac: MacRange,
}

impl AddressArgs {
    /// The first addresses, from a port whose own is `own` unless another was asked for.
    pub fn addressing(&self, own: [u8; 6], flows: u32) -> Addressing {
        Addressing {
            src_mac: self.src_mac.map_or(own, |macs| macs.first),
            dst_mac: self.dst_mac.first,
            src_ip: self.src.first.ip.octets(),
            dst_ip: self.dst.first.ip.octets(),
            src_port: self.src.first.port,
            dst_port: self.dst.first.port,
            flows,
        }
    }

    /// The last addresses, if any is a range.
    pub fn ranges(&self, own: [u8; 6]) -> Option<Ranges> {
        let macs = self.src_mac.unwrap_or(MacRange { first: own, last: own });
        let one = self.src.first == self.src.last
            && self.dst.first == self.dst.last
            && macs.first == macs.last
            && self.dst_mac.first == self.dst_mac.last;
        (!one).then(|| Ranges {
            src_mac: macs.last,
            dst_mac: self.dst_mac.last,
            src_ip: self.src.last.ip.octets(),
            dst_ip: self.dst.last.ip.octets(),
            src_port: self.src.last.port,
            dst_port: self.dst.last.port,
        })
    }
}

/// Options of `tx`.
#[derive(Debug, Args)]
#[command(after_help = help::TX)]
pub struct TxArgs {
    /// Options of every role.
    #[command(flatten)]
    pub common: CommonTrafficArgs,
    /// Frame size.
    #[command(flatten)]
    pub size: SizeArgs,
    /// Frames to send; 0 is no limit
    #[arg(short = 'n', long, value_name = "N", default_value = "0", value_parser = values::count)]
    pub count: u64,
    /// Most frames a batch
    #[arg(short = 'b', long, value_name = "N", default_value = "512", value_parser = value_parser!(u32).range(1..=4096))]
    pub burst: u32,
    /// Rate: max, 1M or 2.5Mpps, 10Gbps or 10Gbps/L2
    #[arg(short = 'R', long, value_name = "RATE", default_value = "max", value_parser = parse_rate)]
    pub rate: Rate,
    /// Flows: they vary the UDP source port, then the source address
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub flows: u32,
    /// Write number and time into each frame, by which a receiver tells what was lost [default: but on ports of the
    /// kernel's netmap]
    #[arg(long)]
    pub numbered: bool,
    /// Send frames all alike, as pkt-gen does [default: on ports of the kernel's netmap]
    #[arg(long, conflicts_with = "numbered")]
    pub raw: bool,
    /// Threads, each with a ring of its own (netmap ports); 0 for one a ring
    #[arg(short = 'p', long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(0..=256))]
    pub threads: u32,
    /// Send each frame in so many slots (netmap ports and vale-bench switch)
    #[arg(short = 'F', long, value_name = "N", default_value = "1",
        value_parser = value_parser!(u32).range(1..=i64::from(MAX_FRAGMENTS)))]
    pub fragments: u32,
    /// Send from memory of this program, not from the ring's buffers (ports of the kernel's VALE)
    #[arg(short = 'I', long)]
    pub indirect: bool,
    /// Send the frames of this pcap file, in turn, as they are
    #[arg(short = 'P', long, value_name = "FILE", conflicts_with_all = ["length", "size", "flows", "src", "dst",
        "src_mac", "dst_mac", "raw", "numbered", "flow_order"])]
    pub pcap: Option<PathBuf>,
    /// The load.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Addresses.
    #[command(flatten)]
    pub addresses: AddressArgs,
}

impl TxArgs {
    /// The role, from a port whose own address is `own`, with the frames of a file if one was named.
    pub fn spec(&self, own: [u8; 6], replay: Option<Replay>) -> TxSpec {
        let LoadArgs { arrivals, flow_order: order, seed, .. } = self.load;
        let ranges = self.addresses.ranges(own);
        TxSpec {
            stream: 0,
            sizes: self.size.spec().sizes,
            addressing: self.addresses.addressing(own, self.flows),
            rate: self.rate,
            burst: self.burst,
            count: limit(self.count),
            traffic: Traffic { arrivals, order, ranges, replay, seed },
        }
    }
}

/// Options of `rx`.
#[derive(Debug, Args)]
#[command(after_help = help::RX)]
pub struct RxArgs {
    /// Options of every role.
    #[command(flatten)]
    pub common: CommonTrafficArgs,
    /// End once this many frames were received; 0 is no limit
    #[arg(short = 'n', long, value_name = "N", default_value = "0", value_parser = values::count)]
    pub count: u64,
    /// Most frames a batch
    #[arg(short = 'b', long, value_name = "N", default_value = "512", value_parser = value_parser!(u32).range(1..=4096))]
    pub burst: u32,
    /// Count frames without ever looking into them
    ///
    /// Otherwise all frames are looked into; on ports of the kernel's netmap only once the first frame of a batch has
    /// a number.
    #[arg(long)]
    pub raw: bool,
    /// Threads, each with a ring of its own (netmap ports); 0 for one a ring
    #[arg(short = 'p', long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(0..=256))]
    pub threads: u32,
    /// End once nothing was received for so long after something was; pkt-gen's -W is 1s
    #[arg(short = 'W', long, value_name = "TIME", value_parser = parse_positive_duration)]
    pub silence: Option<Duration>,
    /// Keep what is received in this pcap file
    #[arg(long, value_name = "FILE")]
    pub dump: Option<PathBuf>,
    /// Count by flow (protocol, addresses, ports), and report the N with the most frames
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1000))]
    pub flows_top: Option<u16>,
}

impl RxArgs {
    /// The role. Counting up to [`RxArgs::limit`] is for whoever runs it.
    pub fn spec(&self) -> RxSpec {
        RxSpec { burst: self.burst }
    }

    /// Frames after which to end.
    pub fn limit(&self) -> Option<u64> {
        limit(self.count)
    }
}

/// Options of `ping`.
#[derive(Debug, Args)]
#[command(after_help = help::PING)]
pub struct PingArgs {
    /// Options of every role.
    #[command(flatten)]
    pub common: CommonTrafficArgs,
    /// Frame size.
    #[command(flatten)]
    pub size: ProbeSizeArgs,
    /// Probes to send; 0 is no limit
    #[arg(short = 'n', long, value_name = "N", default_value = "0", value_parser = values::count)]
    pub count: u64,
    /// Probes a second, as in 1000 or 10k [default: the next when one is back]
    #[arg(short = 'R', long, value_name = "RATE", value_parser = values::probe_rate)]
    pub rate: Option<f64>,
    /// A probe that takes longer is lost, in milliseconds
    #[arg(long = "timeout", value_name = "MS", default_value = "1000", value_parser = value_parser!(u32).range(1..=60_000))]
    pub timeout_ms: u32,
    /// Addresses.
    #[command(flatten)]
    pub addresses: AddressArgs,
}

impl PingArgs {
    /// The role, from a port whose own address is `own`.
    pub fn spec(&self, own: [u8; 6]) -> PingSpec {
        PingSpec {
            stream: 0,
            size: self.size.bytes(),
            addressing: self.addresses.addressing(own, 1),
            rate: self.rate,
            count: limit(self.count),
            timeout_ms: self.timeout_ms,
            settle_ms: 0,
        }
    }
}

/// Options of `pong`.
#[derive(Debug, Args)]
#[command(after_help = help::PONG)]
pub struct PongArgs {
    /// Options of every role.
    #[command(flatten)]
    pub common: CommonTrafficArgs,
    /// Most frames a batch
    #[arg(short = 'b', long, value_name = "N", default_value = "512", value_parser = value_parser!(u32).range(1..=4096))]
    pub burst: u32,
}

impl PongArgs {
    /// The role.
    pub fn spec(&self) -> PongSpec {
        PongSpec { burst: self.burst }
    }
}

/// Options of `fwd`.
#[derive(Debug, Args)]
#[command(after_help = help::FWD)]
pub struct FwdArgs {
    /// The two ports, each with -i (see Ports)
    #[arg(short = 'i', long = "interface", value_name = "PORT", required = true, value_parser = values::port)]
    pub ports: Vec<String>,
    /// Most frames a batch
    #[arg(short = 'b', long, value_name = "N", default_value = "1024", value_parser = value_parser!(u32).range(1..=4096))]
    pub burst: u32,
    /// Copy frames even where buffers could change places
    #[arg(short = 'c', long)]
    pub copy: bool,
    /// Rewrite Ethernet addresses of what is forwarded: swap exchanges source and destination; two addresses, DST1,DST2,
    /// are the destinations of what leaves on the first and on the second port, whose own address becomes the source
    #[arg(long, value_name = "swap|DST1,DST2", value_parser = values::rewrite)]
    pub rewrite_mac: Option<RewriteMac>,
    /// How to run it.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What `fwd` writes into the Ethernet addresses of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RewriteMac {
    /// Each in the place of the other.
    Swap,
    /// These destinations, of what leaves on the first and on the second port.
    To([[u8; 6]; 2]),
}

impl RewriteMac {
    /// What to do with frames that leave on the `port`-th port, whose own address is `own`.
    #[must_use]
    pub fn on(self, port: usize, own: [u8; 6]) -> Rewrite {
        match self {
            RewriteMac::Swap => Rewrite::Swap,
            RewriteMac::To(to) => Rewrite::Set { dst: to[port], src: own },
        }
    }
}

/// pkt-gen's way to say that there is no limit.
fn limit(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
}
