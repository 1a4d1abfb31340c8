//! Options of the roles on single ports: tx, rx, ping, pong. Letters mean what they mean to pkt-gen.

use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};
use pktgen::spec::{Addressing, PingSpec, PongSpec, Rate, RxSpec, TxSpec};

use super::values::{self, Endpoint};
use crate::units::{SizeSpec, parse_duration, parse_positive_duration, parse_rate};

/// How a role's report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TrafficFormat {
    /// Lines for people
    Text,
    /// One JSON object a report
    Json,
}

/// Options of every role.
#[derive(Debug, Args)]
pub struct CommonTrafficArgs {
    /// Port, as in vale0:1
    #[arg(short = 'i', long = "interface", value_name = "PORT", value_parser = values::port)]
    pub port: String,
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
    /// Processor to pin to
    #[arg(short = 'a', long = "affinity", value_name = "CPU")]
    pub cpu: Option<u32>,
    /// How to print reports, on standard output
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub format: TrafficFormat,
}

/// One frame size, said in either way.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct SizeArgs {
    /// Frame size in bytes without FCS, as pkt-gen counts: 60 is a 64-byte frame
    #[arg(short = 'l', long, value_name = "LEN", value_parser = values::slot_length)]
    pub length: Option<SizeSpec>,
    /// Frame size in bytes with FCS, or imix [default: 64]
    #[arg(long, value_name = "SIZE", value_parser = values::one_size)]
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
    /// Source IPv4 address and UDP port
    #[arg(short = 's', long, value_name = "IP[:PORT]", default_value = "10.0.0.1:1234",
        value_parser = values::endpoint)]
    pub src: Endpoint,
    /// Destination IPv4 address and UDP port
    #[arg(short = 'd', long, value_name = "IP[:PORT]", default_value = "10.1.0.1:1234",
        value_parser = values::endpoint)]
    pub dst: Endpoint,
    /// Source Ethernet address [default: the port's own, or one made up]
    #[arg(short = 'S', long, value_name = "MAC", value_parser = values::source_mac)]
    pub src_mac: Option<[u8; 6]>,
    /// Destination Ethernet address; broadcast is flooded to all ports
    #[arg(short = 'D', long, value_name = "MAC", default_value = "ff:ff:ff:ff:ff:ff",
        value_parser = values::mac)]
    pub dst_mac: [u8; 6],
}

impl AddressArgs {
    /// The addresses, from a port whose own is `own` unless another was asked for.
    pub fn addressing(&self, own: [u8; 6], flows: u32) -> Addressing {
        Addressing {
            src_mac: self.src_mac.unwrap_or(own),
            dst_mac: self.dst_mac,
            src_ip: self.src.ip.octets(),
            dst_ip: self.dst.ip.octets(),
            src_port: self.src.port,
            dst_port: self.dst.port,
            flows,
        }
    }
}

/// Options of `tx`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vale-bench tx -i vale0:1
  vale-bench tx -i vale0:1 -l 1514 -R 1M -n 10000000
  vale-bench tx -i vale0:1 -D 02:00:00:00:00:02 --flows 64 --duration 10")]
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
    /// Flows, taken in turn: they vary the UDP source port, then the source address
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub flows: u32,
    /// Addresses.
    #[command(flatten)]
    pub addresses: AddressArgs,
}

impl TxArgs {
    /// The role, from a port whose own address is `own`.
    pub fn spec(&self, own: [u8; 6]) -> TxSpec {
        TxSpec {
            stream: 0,
            sizes: self.size.spec().sizes,
            addressing: self.addresses.addressing(own, self.flows),
            rate: self.rate,
            burst: self.burst,
            count: limit(self.count),
        }
    }
}

/// Options of `rx`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vale-bench rx -i vale0:2
  vale-bench rx -i vale0:2 -T 500 --duration 10 --format json")]
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
#[command(after_help = "\
Examples:
  vale-bench pong -i vale0:2 &
  vale-bench ping -i vale0:1 --duration 5
  vale-bench ping -i vale0:1 -R 1000 -n 10000 --format json")]
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
        }
    }
}

/// Options of `pong`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vale-bench pong -i vale0:2")]
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

/// pkt-gen's way to say that there is no limit.
fn limit(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
}
