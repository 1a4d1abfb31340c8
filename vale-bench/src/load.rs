//! What the senders of a benchmark send beyond sizes and rate: the options, made ready for every sender.

use crate::cli::{BenchLoadArgs, EndpointRange};
use crate::dataplane::LabPort;
use crate::exit::Fail;
use crate::pcap::Capture;
use crate::result;
use crate::units::SizeSpec;
use pktgen::frame::FCS;
use pktgen::spec::{Addressing, Arrivals, FlowOrder, Ranges, Replay, Sizes, Traffic};

/// Bytes of an Ethernet header, the least that a frame of a file must have.
const ETHERNET: usize = 14;
/// Most bytes of frames that are carried into a guest.
const GUEST_BYTES_MAX: usize = 4 << 20;

/// The load of a run.
#[derive(Debug, Clone)]
pub struct Load {
    arrivals: Arrivals,
    order: FlowOrder,
    seed: u64,
    src: Option<EndpointRange>,
    dst: Option<EndpointRange>,
    src_macs: u32,
    replay: Option<(Replay, result::PacketFile)>,
}

impl Default for Load {
    /// Frames as they are made, evenly spread, flows in turn.
    fn default() -> Load {
        let (arrivals, order, seed) = Default::default();
        Load { arrivals, order, seed, src: None, dst: None, src_macs: 1, replay: None }
    }
}

impl Load {
    /// As the options say. Reads the file they name; `guests` says that its frames are to go into guests.
    pub fn from_args(args: &BenchLoadArgs, guests: bool) -> Result<Load, Fail> {
        let replay = args.pcap.as_deref().map(|path| {
            let capture = Capture::read("--pcap", path)?;
            let wrong = |what: String| Err(Fail::usage(format!("--pcap {}: {what}", path.display())));
            if let Some(at) = capture.frames.iter().position(|frame| frame.len() < ETHERNET) {
                return wrong(format!("packet {} is too short to be an Ethernet frame", at + 1));
            }
            let replay = capture.replay(args.load.pcap_speed)?;
            if guests && replay.bytes() > GUEST_BYTES_MAX {
                let limit = GUEST_BYTES_MAX >> 20;
                return wrong(format!(
                    "its packets have more than {limit} MiB, which is what a guest is given"
                ));
            }
            let file = result::PacketFile {
                file: path.display().to_string(),
                frames: replay.len() as u32,
                speed: args.load.pcap_speed,
            };
            Ok((replay, file))
        });
        Ok(Load {
            arrivals: args.load.arrivals,
            order: args.load.flow_order,
            seed: args.load.seed,
            src: args.src,
            dst: args.dst,
            src_macs: args.src_macs,
            replay: replay.transpose()?,
        })
    }

    /// The sizes of the file's frames; `None` where no file is sent.
    pub fn sizes(&self) -> Option<SizeSpec> {
        let (replay, _) = self.replay.as_ref()?;
        let frames = replay.frames().ok()?;
        let sizes = frames.iter().map(|frame| (frame.len() as u16).saturating_add(FCS)).collect();
        Some(SizeSpec { label: "pcap".into(), sizes: Sizes::Cycle(sizes) })
    }

    /// Whether frames carry marks, by which receivers know them.
    pub fn is_marked(&self) -> bool {
        self.replay.is_none()
    }

    /// Whether the load has times of its own, so that no rate says when frames leave.
    pub fn has_times(&self) -> bool {
        self.replay.as_ref().is_some_and(|(replay, _)| replay.gaps_ns().is_some())
    }

    /// The same load without times of its own, so that it can be sent at any rate.
    #[must_use]
    pub fn without_times(&self) -> Load {
        let mut load = self.clone();
        if let Some((replay, file)) = &mut load.replay {
            *replay = std::mem::take(replay).without_times();
            file.speed = None;
        }
        load
    }

    /// Flows of each sender, of which there would otherwise be `flows`.
    pub fn flows(&self, flows: u32) -> u32 {
        let span = |range: &Option<EndpointRange>| {
            let Some(EndpointRange { first, last }) = range else { return 1 };
            let ips = u64::from(u32::from(last.ip) - u32::from(first.ip)) + 1;
            ips * (u64::from(last.port - first.port) + 1)
        };
        if self.src.is_none() && self.dst.is_none() && self.src_macs == 1 {
            return flows;
        }
        let ranges = span(&self.src).saturating_mul(span(&self.dst)).saturating_mul(self.src_macs.into());
        u32::try_from(ranges).unwrap_or(u32::MAX)
    }

    /// What sender number `sender` sends from port `from`: changes its addresses, and says what is beyond them.
    pub fn traffic(
        &self,
        addressing: &mut Addressing,
        sender: usize,
        from: &LabPort,
        to: &LabPort,
    ) -> Traffic {
        let mut ends = None;
        if self.src.is_some() || self.dst.is_some() || self.src_macs > 1 {
            let mut last = Ranges {
                src_mac: addressing.src_mac,
                dst_mac: addressing.dst_mac,
                src_ip: addressing.src_ip,
                dst_ip: addressing.dst_ip,
                src_port: addressing.src_port,
                dst_port: addressing.dst_port,
            };
            if let Some(EndpointRange { first, last: end }) = self.src {
                (addressing.src_ip, addressing.src_port) = (first.ip.octets(), first.port);
                (last.src_ip, last.src_port) = (end.ip.octets(), end.port);
            }
            if let Some(EndpointRange { first, last: end }) = self.dst {
                (addressing.dst_ip, addressing.dst_port) = (first.ip.octets(), first.port);
                (last.dst_ip, last.dst_port) = (end.ip.octets(), end.port);
            }
            if self.src_macs > 1 {
                // Beside the ports' own, which begin with 02:00: locally administered, 65536 a port.
                let [.., high, low] = from.mac;
                addressing.src_mac = [0x02, 1, high, low, 0, 0];
                let [.., last_high, last_low] = (self.src_macs - 1).to_be_bytes();
                last.src_mac = [0x02, 1, high, low, last_high, last_low];
            }
            ends = Some(last);
        }
        let replay = self.replay.as_ref().map(|(replay, _)| {
            let mut replay = replay.clone();
            replay.readdress(from.mac, to.mac);
            replay
        });
        let seed = self.seed.wrapping_add(sender as u64);
        Traffic { arrivals: self.arrivals, order: self.order, ranges: ends, replay, seed }
    }

    /// For the document.
    pub fn describe(&self) -> result::Load {
        result::Load {
            arrivals: self.arrivals.into(),
            flow_order: self.order.into(),
            src: self.src.map(|range| range.to_string()),
            dst: self.dst.map(|range| range.to_string()),
            src_macs: self.src_macs,
            seed: self.seed,
            pcap: self.replay.as_ref().map(|(_, file)| file.clone()),
        }
    }
}
