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

    /// By what part so many frames of a schedule may be off their mean by chance, or because a burst was cut in two.
    pub fn spread(&self, frames: f64) -> f64 {
        match self.arrivals {
            Arrivals::Constant => 0.0,
            // Counts of a Poisson process deviate by the root of their mean.
            Arrivals::Poisson => 4.0 / frames.max(1.0).sqrt(),
            Arrivals::Bursts { frames: burst } => f64::from(burst) / frames.max(1.0),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::exit::Exit;
    use clap::Parser;

    fn load(options: &str, guests: bool) -> Result<Load, Fail> {
        let line = format!("vale-bench p2p {options}");
        let Command::P2p(args) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!() };
        Load::from_args(&args.bench.load, guests)
    }

    fn port(n: u8) -> LabPort {
        LabPort { name: format!("p{n}"), mac: [2, 0, 0, 0, 0, n], station: 0, local: usize::from(n) }
    }

    fn addressing() -> Addressing {
        let [src, dst] = [port(1).mac, port(2).mac];
        let (src_ip, dst_ip) = ([198, 18, 0, 1], [198, 18, 0, 2]);
        Addressing { src_mac: src, dst_mac: dst, src_ip, dst_ip, src_port: 1024, dst_port: 9, flows: 1 }
    }

    #[test]
    fn ranges_make_the_flows_and_the_plainest_load_has_none() {
        let plain = load("--flows 7", false).unwrap();
        assert_eq!(plain.flows(7), 7);
        assert_eq!(plain.traffic(&mut addressing(), 0, &port(1), &port(2)).ranges, None);

        let ranges =
            load("--src 10.0.0.1:5-10.0.0.2:9 --dst 10.1.0.1-10.1.0.3 --src-macs 300", false).unwrap();
        assert_eq!(ranges.flows(1), 2 * 5 * 3 * 300);
        let mut first = addressing();
        let last = ranges.traffic(&mut first, 0, &port(1), &port(2)).ranges.unwrap();
        assert_eq!(
            (first.src_ip, first.src_port, last.src_ip, last.src_port),
            ([10, 0, 0, 1], 5, [10, 0, 0, 2], 9)
        );
        assert_eq!((first.src_mac, last.src_mac), ([2, 1, 0, 1, 0, 0], [2, 1, 0, 1, 1, 43]));
        assert_eq!((first.dst_mac, last.dst_mac), (port(2).mac, port(2).mac));
    }

    #[test]
    fn senders_draw_from_seeds_of_their_own() {
        let seeded = load("--seed 5", false).unwrap();
        let seed = |sender| seeded.traffic(&mut addressing(), sender, &port(1), &port(2)).seed;
        assert_eq!((seed(0), seed(1), seeded.describe().seed), (5, 6, 5));
    }

    #[test]
    fn files_for_guests_are_small_and_get_the_ports_addresses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.pcap");
        let file = |len: u32, count: usize| {
            let mut bytes = [0xa1b2_3c4du32, 2 | 4 << 16, 0, 0, 65_535, 1].map(u32::to_le_bytes).concat();
            let mut packet = [0, 0, len, len].map(u32::to_le_bytes).concat();
            packet.extend(vec![9; len as usize]);
            bytes.extend(packet.repeat(count));
            std::fs::write(&path, bytes).unwrap();
        };
        let options = format!("--pcap {}", path.display());
        file(1500, 3000);
        assert!(load(&options, false).is_ok());
        let refused = load(&options, true).unwrap_err();
        assert_eq!(refused.exit(), Exit::Usage);
        assert!(refused.to_string().contains("4 MiB"), "{refused}");
        file(60, 2);
        let sent = load(&options, true).unwrap();
        assert!(!sent.is_marked() && !sent.has_times());
        assert_eq!(sent.sizes().unwrap().sizes, Sizes::Cycle(vec![64, 64]));
        let replay = sent.traffic(&mut addressing(), 0, &port(1), &port(2)).replay.unwrap();
        assert!(replay.frames().unwrap().iter().all(|f| f[..6] == port(2).mac && f[6..12] == port(1).mac));
        assert_eq!(sent.describe().pcap.unwrap().frames, 2);
    }
}
