//! The addresses of each flow of a stream.
#![forbid(unsafe_code)]

use crate::Error;
use crate::frame::MARK_END;
use crate::spec::{Addressing, Ranges};
use crate::template::check_count;

/// Most flows of one stream.
pub const MAX_FLOWS: u32 = 1 << 24;

/// How the flows of a stream differ.
#[derive(Debug, Clone)]
pub(crate) struct Flows {
    count: u32,
    src_ip: u32,
    dst_ip: u32,
    src_port: u16,
    dst_port: u16,
    src_mac: u64,
    dst_mac: u64,
    /// Addresses in each range, source port first, as [`Ranges`] orders them; `None` where the source port varies up
    /// to 65535 and then the source address.
    ranges: Option<[u32; 6]>,
}

impl Flows {
    /// Refuses ranges that run backwards, and more than [`MAX_FLOWS`] combinations.
    pub(crate) fn new(addressing: &Addressing, ranges: Option<&Ranges>) -> Result<Flows, Error> {
        let (src_mac, dst_mac) = (mac(addressing.src_mac), mac(addressing.dst_mac));
        let (src_ip, dst_ip) = (u32::from_be_bytes(addressing.src_ip), u32::from_be_bytes(addressing.dst_ip));
        let mut flows = Flows {
            count: addressing.flows,
            src_ip,
            dst_ip,
            src_port: addressing.src_port,
            dst_port: addressing.dst_port,
            src_mac,
            dst_mac,
            ranges: None,
        };
        if let Some(ends) = ranges {
            let ranges = [
                length("source ports", addressing.src_port.into(), ends.src_port.into())?,
                length("source addresses", src_ip.into(), u32::from_be_bytes(ends.src_ip).into())?,
                length("destination ports", addressing.dst_port.into(), ends.dst_port.into())?,
                length("destination addresses", dst_ip.into(), u32::from_be_bytes(ends.dst_ip).into())?,
                length("source Ethernet addresses", src_mac, mac(ends.src_mac))?,
                length("destination Ethernet addresses", dst_mac, mac(ends.dst_mac))?,
            ];
            let all = ranges.iter().fold(1u64, |all, &n| all.saturating_mul(n.into()));
            check_count("combinations of addresses", all, MAX_FLOWS.into())?;
            (flows.count, flows.ranges) = (all as u32, Some(ranges));
        }
        check_count("flows", flows.count.into(), MAX_FLOWS.into())?;
        Ok(flows)
    }

    /// A single one, whose addresses nobody asks for.
    pub(crate) fn one() -> Flows {
        let (src_ip, dst_ip, src_port, dst_port, src_mac, dst_mac) = Default::default();
        Flows { count: 1, src_ip, dst_ip, src_port, dst_port, src_mac, dst_mac, ranges: None }
    }

    /// How many there are.
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Writes the Ethernet addresses of a flow, if they vary; returns source and destination address, and the ports.
    #[inline]
    pub(crate) fn write(&self, flow: u32, head: &mut [u8; MARK_END]) -> (u32, u32, [u16; 2]) {
        let Some(ranges) = &self.ranges else {
            // Ports first, up to 65535, then the next address.
            let ports = (1 << 16) - u32::from(self.src_port);
            let (ip, port) = if flow < ports { (0, flow) } else { (flow / ports, flow % ports) };
            let ports = [self.src_port + port as u16, self.dst_port];
            return (self.src_ip.wrapping_add(ip), self.dst_ip, ports);
        };
        let mut rest = flow;
        let mut digits = [0; 6];
        for (digit, &base) in digits.iter_mut().zip(ranges) {
            (*digit, rest) = (rest % base, rest / base);
        }
        let [src_port, src_ip, dst_port, dst_ip, src_mac, dst_mac] = digits;
        let bytes = |mac: u64| mac.to_be_bytes();
        head[..6].copy_from_slice(&bytes(self.dst_mac + u64::from(dst_mac))[2..]);
        head[6..12].copy_from_slice(&bytes(self.src_mac + u64::from(src_mac))[2..]);
        let ports = [self.src_port + src_port as u16, self.dst_port + dst_port as u16];
        (self.src_ip + src_ip, self.dst_ip + dst_ip, ports)
    }
}

fn mac(bytes: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = bytes;
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

/// Addresses from `first` to `last`.
fn length(what: &'static str, first: u64, last: u64) -> Result<u32, Error> {
    let length = (last + 1).saturating_sub(first);
    check_count(what, length, MAX_FLOWS.into())?;
    Ok(length as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn addressing() -> Addressing {
        Addressing {
            src_mac: [2, 0, 0, 0, 0, 0xff],
            dst_mac: [2, 0, 0, 1, 0, 0],
            src_ip: [10, 0, 0, 255],
            dst_ip: [10, 1, 0, 1],
            src_port: 1000,
            dst_port: 65535,
            flows: 1,
        }
    }

    fn ends() -> Ranges {
        let a = addressing();
        Ranges {
            src_mac: a.src_mac,
            dst_mac: a.dst_mac,
            src_ip: a.src_ip,
            dst_ip: a.dst_ip,
            src_port: a.src_port,
            dst_port: a.dst_port,
        }
    }

    #[test]
    fn every_combination_comes_once_the_source_port_first() {
        let ends = Ranges {
            src_port: 1002,
            src_ip: [10, 0, 1, 0],
            dst_ip: [10, 1, 0, 4],
            src_mac: [2, 0, 0, 0, 1, 0],
            dst_mac: [2, 0, 0, 1, 0, 2],
            ..ends()
        };
        let flows = Flows::new(&addressing(), Some(&ends)).unwrap();
        assert_eq!(flows.count(), 3 * 2 * 4 * 2 * 3);
        let mut seen = HashSet::new();
        for flow in 0..flows.count() {
            let mut head = [0; MARK_END];
            let (src, dst, ports) = flows.write(flow, &mut head);
            assert!(seen.insert((src, dst, ports, head[..12].to_vec())), "flow {flow} repeats another");
            match flow {
                0 => assert_eq!(head[..12], [2, 0, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0xff]),
                1 => assert_eq!(ports, [1001, 65535]),
                3 => assert_eq!((src.to_be_bytes(), ports[0]), ([10, 0, 1, 0], 1000)),
                6 => assert_eq!(dst.to_be_bytes(), [10, 1, 0, 2]),
                24 => assert_eq!(head[6..12], [2, 0, 0, 0, 1, 0]),
                48 => assert_eq!(head[..6], [2, 0, 0, 1, 0, 1]),
                _ => {}
            }
        }
    }

    #[test]
    fn impossible_ranges_are_refused() {
        let backwards = Ranges { src_port: 999, ..ends() };
        let refused = Flows::new(&addressing(), Some(&backwards)).unwrap_err();
        assert!(matches!(refused, Error::Count { what: "source ports", value: 0, .. }));
        let many = Ranges { src_port: 65535, src_ip: [10, 0, 255, 255], ..ends() };
        let refused = Flows::new(&addressing(), Some(&many)).unwrap_err();
        assert!(matches!(refused, Error::Count { what: "combinations of addresses", .. }));
        assert_eq!(Flows::new(&addressing(), Some(&ends())).unwrap().count(), 1);
    }
}
