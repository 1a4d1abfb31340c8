//! The flow meter: frames and bytes of each flow that is received, whoever sent it.
//!
//! A flow is what shares protocol, addresses and ports (the 5-tuple) of IPv4 or IPv6 with TCP, UDP or SCTP, behind up
//! to two VLAN tags; without ports (other protocols, later IP fragments) they are 0, and what is not IP is one flow for
//! each EtherType. Memory is bounded: frames of flows for which there is no room are counted together.
#![forbid(unsafe_code)]

use crate::frame::FCS;
use crate::port::RxFrame;
use crate::spec::{FlowReport, FlowsReport, Spread};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Flows that are told apart.
pub const MAX_FLOWS: usize = 1 << 16;
/// Frame sizes that are told apart, in bytes with FCS; larger ones count as the largest.
const SIZES: usize = 16 * 1024;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// 802.1Q and 802.1ad tags.
const ETHERTYPES_VLAN: [u16; 2] = [0x8100, 0x88a8];
/// TCP, UDP and SCTP: each begins with source and destination port.
const WITH_PORTS: [u8; 3] = [6, 17, 132];

/// What the frames of a flow share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    /// Of IPv4, mapped into IPv6 (`::ffff:a.b.c.d`); unspecified where there is none.
    src: u128,
    dst: u128,
    src_port: u16,
    dst_port: u16,
    ethertype: u16,
    protocol: u8,
}

#[derive(Debug, Clone, Copy, Default)]
struct Flow {
    frames: u64,
    bytes: u64,
}

/// Multiplies and folds; what is hashed are the fields of a [`Key`].
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        // 2⁶⁴ over the golden ratio, odd: neighbours are spread over all bits.
        let wide = u128::from(self.0 ^ value.wrapping_add(0x9e37_79b9_7f4a_7c15)) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (wide ^ (wide >> 64)) as u64;
    }

    fn write_u128(&mut self, value: u128) {
        self.write_u64(value as u64);
        self.write_u64((value >> 64) as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Counts by flow.
pub struct Meter {
    flows: HashMap<Key, Flow, BuildHasherDefault<Mix>>,
    sizes: Box<[u64]>,
    /// Frames of flows without room.
    beyond: u64,
    /// The flow, and the bytes so far, of a packet whose next fragment is awaited.
    chain: Option<(Key, u64)>,
    top: usize,
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").field("flows", &self.flows.len()).finish_non_exhaustive()
    }
}

impl Meter {
    /// A meter that will report the `top` flows with the most frames.
    pub fn new(top: usize) -> Meter {
        let mut flows = HashMap::default();
        // All of it now: nothing is allocated while frames come.
        flows.reserve(MAX_FLOWS);
        Meter { flows, sizes: vec![0; SIZES].into(), beyond: 0, chain: None, top }
    }

    /// Takes a frame, or a fragment of one, whose first holds the headers.
    #[inline]
    pub fn record(&mut self, frame: &RxFrame<'_>) {
        let (key, before) = self.chain.take().unwrap_or_else(|| (key(frame.data), 0));
        let bytes = before + frame.data.len() as u64;
        if frame.more {
            self.chain = Some((key, bytes));
            return;
        }
        let bytes = bytes + u64::from(FCS);
        self.sizes[(bytes as usize).min(SIZES - 1)] += 1;
        let room = self.flows.len() < MAX_FLOWS;
        match self.flows.get_mut(&key) {
            Some(flow) => {
                flow.frames += 1;
                flow.bytes += bytes;
            }
            None if room => drop(self.flows.insert(key, Flow { frames: 1, bytes })),
            None => self.beyond += 1,
        }
    }

    /// What was counted; `elapsed_ns` is the time from the first frame to the last.
    pub fn report(&self, elapsed_ns: u64) -> FlowsReport {
        let rate = |frames: u64| if elapsed_ns == 0 { 0.0 } else { frames as f64 * 1e9 / elapsed_ns as f64 };
        let mut frames: Vec<u64> = self.flows.values().map(|flow| flow.frames).collect();
        frames.sort_unstable();
        let by_flow = Spread::new(|share| frames.get(rank(share, frames.len() as u64) as usize).copied());
        let mut flows: Vec<_> = self.flows.iter().collect();
        // Equals by their key, so that a report is the same each time.
        flows.sort_unstable_by_key(|(key, flow)| (std::cmp::Reverse(flow.frames), **key));
        let top = flows.into_iter().take(self.top).map(|(key, flow)| FlowReport {
            ethertype: key.ethertype,
            protocol: key.protocol,
            src: address(key, key.src),
            dst: address(key, key.dst),
            src_port: key.src_port,
            dst_port: key.dst_port,
            frames: flow.frames,
            bytes: flow.bytes,
            rate_pps: rate(flow.frames),
        });
        FlowsReport {
            flows: self.flows.len() as u64,
            beyond_frames: self.beyond,
            sizes: Spread::new(|share| self.size_at(share)),
            frames_by_flow: by_flow,
            rates_by_flow_pps: by_flow.map(|frames| rate(frames).round() as u64),
            top: top.collect(),
        }
    }

    /// The size that so large a share of frames does not exceed.
    fn size_at(&self, share: f64) -> Option<u64> {
        let total: u64 = self.sizes.iter().sum();
        let wanted = rank(share, total);
        let mut seen = 0;
        self.sizes.iter().enumerate().find_map(|(size, &n)| {
            seen += n;
            (seen > wanted).then_some(size as u64)
        })
    }
}

/// The place of a share among so many in order, from 0 (nearest rank).
fn rank(share: f64, count: u64) -> u64 {
    ((share * count as f64).ceil() as u64).clamp(1, count.max(1)) - 1
}

fn address(key: &Key, address: u128) -> Option<IpAddr> {
    match key.ethertype {
        ETHERTYPE_IPV4 => Some(IpAddr::V4(Ipv4Addr::from_bits(address as u32))),
        ETHERTYPE_IPV6 => Some(IpAddr::V6(Ipv6Addr::from_bits(address))),
        _ => None,
    }
}

/// The flow of a frame. What is cut short has what is there.
fn key(frame: &[u8]) -> Key {
    let mut at = 12;
    let word = |at: usize| frame.get(at..at + 2).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let mut ethertype = word(at);
    for _ in 0..2 {
        if ETHERTYPES_VLAN.contains(&ethertype) {
            at += 4;
            ethertype = word(at);
        }
    }
    at += 2;
    let none = Key { src: 0, dst: 0, src_port: 0, dst_port: 0, ethertype, protocol: 0 };
    let packet = frame.get(at..).unwrap_or_default();
    match (ethertype, packet.first_chunk::<20>(), packet.first_chunk::<40>()) {
        (ETHERTYPE_IPV4, Some(head), _) => {
            let number = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
            let first = u16::from_be_bytes([head[6], head[7]]) & 0x1fff == 0;
            let behind = usize::from(head[0] & 0xf) * 4;
            let (src_port, dst_port) = ports(packet, behind, first, head[9]);
            let (src, dst) = (number(12).into(), number(16).into());
            Key { src, dst, src_port, dst_port, ethertype, protocol: head[9] }
        }
        (ETHERTYPE_IPV6, _, Some(head)) => {
            let number = |at: usize| u128::from_be_bytes(std::array::from_fn(|i| head[at + i]));
            let (src_port, dst_port) = ports(packet, 40, true, head[6]);
            Key { src: number(8), dst: number(24), src_port, dst_port, ethertype, protocol: head[6] }
        }
        _ => none,
    }
}

fn ports(packet: &[u8], at: usize, first: bool, protocol: u8) -> (u16, u16) {
    match packet.get(at..at + 4) {
        Some(&[a, b, c, d]) if first && WITH_PORTS.contains(&protocol) => {
            (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
        }
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IPv4 frame with these protocol, last address bytes and ports.
    fn ipv4(protocol: u8, ends: [u8; 2], ports: [u16; 2], len: usize) -> Vec<u8> {
        let mut frame = vec![0; len];
        frame[12..14].copy_from_slice(&ETHERTYPE_IPV4.to_be_bytes());
        frame[14] = 0x45;
        frame[23] = protocol;
        frame[26..30].copy_from_slice(&[10, 0, 0, ends[0]]);
        frame[30..34].copy_from_slice(&[10, 0, 0, ends[1]]);
        frame[34..36].copy_from_slice(&ports[0].to_be_bytes());
        frame[36..38].copy_from_slice(&ports[1].to_be_bytes());
        frame
    }

    fn whole(data: &[u8]) -> RxFrame<'_> {
        RxFrame { data, more: false }
    }

    #[test]
    fn flows_are_told_apart_by_each_part_of_the_tuple() {
        let mut meter = Meter::new(2);
        let frames = [
            ipv4(17, [1, 2], [3, 4], 60),
            ipv4(6, [1, 2], [3, 4], 60),
            ipv4(17, [9, 2], [3, 4], 60),
            ipv4(17, [1, 9], [3, 4], 60),
            ipv4(17, [1, 2], [9, 4], 60),
            ipv4(17, [1, 2], [3, 9], 60),
            ipv4(1, [1, 2], [3, 4], 60),
            ipv4(1, [1, 2], [5, 6], 60),
        ];
        frames.iter().for_each(|frame| meter.record(&whole(frame)));
        (0..3).for_each(|_| meter.record(&whole(&ipv4(17, [1, 2], [3, 4], 996))));
        let report = meter.report(1_000_000_000);
        assert_eq!((report.flows, report.beyond_frames), (7, 0), "ICMP has no ports");
        let [first, second] = report.top.as_slice() else { panic!("{report:?}") };
        assert_eq!((first.frames, first.bytes, first.rate_pps), (4, 64 + 3 * 1000, 4.0));
        assert_eq!(first.src, Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))));
        assert_eq!((first.src_port, first.dst_port, first.protocol), (3, 4, 17));
        assert_eq!((second.frames, second.protocol), (2, 1));
        assert_eq!((report.sizes.min, report.sizes.p50, report.sizes.max), (64, 64, 1000));
        assert_eq!((report.frames_by_flow.p50, report.frames_by_flow.max), (1, 4));
        assert_eq!(report.rates_by_flow_pps.max, 4);
    }

    #[test]
    fn tags_fragments_and_other_protocols_have_their_flows() {
        let plain = ipv4(17, [1, 2], [3, 4], 60);
        let mut tagged = plain.clone();
        tagged.splice(12..12, [0x88, 0xa8, 0, 5, 0x81, 0, 0, 6]);
        assert_eq!(key(&tagged), key(&plain));
        let mut later = plain.clone();
        later[21] = 1;
        assert_eq!((key(&later).src_port, key(&later).src), (0, key(&plain).src));
        let mut six = vec![0; 14];
        six[12..14].copy_from_slice(&ETHERTYPE_IPV6.to_be_bytes());
        six.extend([0; 6]);
        six.extend([17, 64]);
        six.extend([0xfe; 16]);
        six.extend([0xfd; 16]);
        six.extend([0, 7, 0, 8]);
        assert_eq!((key(&six).src_port, key(&six).dst_port, key(&six).protocol), (7, 8, 17));
        let meter = {
            let mut meter = Meter::new(1);
            meter.record(&RxFrame { data: &plain[..40], more: true });
            meter.record(&RxFrame { data: &plain[40..], more: false });
            meter
        };
        let report = meter.report(0);
        assert_eq!((report.flows, report.top[0].bytes, report.top[0].rate_pps), (1, 64, 0.0));
        // Nothing is assumed to be there.
        for len in 0..six.len() {
            assert_eq!(key(&six[..len]).protocol, if len < 54 { 0 } else { 17 }, "{len} bytes");
            assert_eq!(key(&plain[..len.min(60)]).protocol, if len < 34 { 0 } else { 17 }, "{len} bytes");
        }
        assert_eq!(Meter::new(5).report(7).sizes, Spread::default());
    }

    #[test]
    fn memory_is_bounded_and_what_is_beyond_is_counted() {
        let mut meter = Meter::new(0);
        let room = meter.flows.capacity();
        for i in 0..MAX_FLOWS as u32 + 100 {
            meter.record(&whole(&ipv4(17, [(i >> 16) as u8, 0], [i as u16, 1], 60)));
        }
        let report = meter.report(1);
        assert_eq!((report.flows, report.beyond_frames), (MAX_FLOWS as u64, 100));
        assert_eq!(meter.flows.capacity(), room, "nothing was allocated on the way");
    }

    #[test]
    fn ranks_are_nearest() {
        assert_eq!([0.0, 0.5, 0.9, 0.99, 1.0].map(|share| rank(share, 10)), [0, 4, 8, 9, 9]);
        assert_eq!(rank(0.5, 0), 0);
    }
}
