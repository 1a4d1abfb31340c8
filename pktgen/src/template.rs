//! Frames made in advance, and a memory of which buffer holds which: a buffer that already holds the frame
//! wanted needs only its new sequence number and time.
//!
//! A template is one (flow, size) pair with a small id. Its headers are kept by size and completed for the flow
//! when they are written; its payload is the same for all. So a million flows cost no memory, and a buffer that
//! changes from one flow to another is given 42 bytes, not its payload again.
#![forbid(unsafe_code)]

use crate::Error;
use crate::flows::Flows;
use crate::frame::{self, FCS, HEADERS, MARK_END, MIN_SIZE, PATTERN};
use crate::port::PortInfo;
use crate::spec::{Addressing, Ranges};

pub use crate::flows::MAX_FLOWS;

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// Most sizes of one stream.
const MAX_SIZES: u64 = 1 << 16;

/// Headers of one size for the first flow.
#[derive(Debug, Clone)]
struct Sized {
    /// Slot length, without FCS.
    len: u16,
    headers: [u8; HEADERS],
    /// Sum of the IPv4 header's words except the checksum and the addresses.
    sum: u32,
}

/// The frames of one stream: every size with every flow.
#[derive(Debug, Clone)]
pub struct Templates {
    sizes: Vec<Sized>,
    flows: Flows,
    /// Whole frames, one a size, instead of those that are made.
    given: Vec<Box<[u8]>>,
}

impl Templates {
    /// Templates of `sizes` (including FCS; each at least [`MIN_SIZE`] and at most what `port` carries) for the
    /// flows of `addressing` (1 to [`MAX_FLOWS`]).
    pub fn new(addressing: &Addressing, sizes: &[u16], port: &PortInfo) -> Result<Self, Error> {
        Self::with_ranges(addressing, None, sizes, port)
    }

    /// As [`Templates::new`]; with `ranges`, their combinations are the flows.
    pub fn with_ranges(
        addressing: &Addressing,
        ranges: Option<&Ranges>,
        sizes: &[u16],
        port: &PortInfo,
    ) -> Result<Self, Error> {
        let flows = Flows::new(addressing, ranges)?;
        check_count("distinct frame sizes", sizes.len() as u64, MAX_SIZES)?;
        check_count(
            "flows times frame sizes",
            u64::from(flows.count()) * sizes.len() as u64,
            u64::from(u32::MAX),
        )?;
        let sizes = sizes.iter().map(|&size| sized(addressing, size, port)).collect::<Result<_, _>>()?;
        Ok(Self { sizes, flows, given: Vec::new() })
    }

    /// Whole frames (without FCS), each a size of its own, of one flow. Refuses frames that `port` does not carry,
    /// and those without an Ethernet header.
    pub fn of_frames(frames: Vec<Box<[u8]>>, port: &PortInfo) -> Result<Self, Error> {
        let max = usize::from(port.max_frame);
        let sized = |frame: &[u8]| {
            if !(ETHERNET..=max).contains(&frame.len()) {
                let size = frame.len().saturating_add(FCS.into()).min(u16::MAX.into()) as u16;
                let (min, max) = (ETHERNET as u16 + FCS, u32::from(port.max_frame) + u32::from(FCS));
                return Err(Error::FrameSize { size, min, max, port: port.name.clone() });
            }
            Ok(Sized { len: frame.len() as u16, headers: [0; HEADERS], sum: 0 })
        };
        let sizes = frames.iter().map(|frame| sized(frame)).collect::<Result<_, _>>()?;
        Ok(Self { sizes, flows: Flows::one(), given: frames })
    }

    /// Number of sizes.
    #[inline]
    pub fn sizes(&self) -> usize {
        self.sizes.len()
    }

    /// Slot length of a size, without FCS.
    #[inline]
    pub fn len(&self, size: usize) -> u16 {
        self.sizes[size].len
    }

    /// Number of flows.
    #[inline]
    pub fn flows(&self) -> u32 {
        self.flows.count()
    }

    /// The id of a (flow, size) pair: below 2³².
    #[inline]
    pub fn id(&self, size: usize, flow: u32) -> u32 {
        flow * self.sizes.len() as u32 + size as u32
    }

    /// Writes headers and mark word of a (flow, size) pair, and the payload from `filled` on, which is how far
    /// `buf` is known to hold the pattern. Returns how far it holds it afterwards. A buffer shorter than the
    /// frame is left alone: `None`.
    pub fn write(&self, size: usize, flow: u32, word: u64, filled: u16, buf: &mut [u8]) -> Option<u16> {
        let sized = &self.sizes[size];
        let frame = buf.get_mut(..usize::from(sized.len))?;
        if let Some(given) = self.given.get(size) {
            frame.copy_from_slice(given);
            // Nothing of it is the pattern.
            return Some(0);
        }
        let head = frame.first_chunk_mut::<MARK_END>()?;
        head[..HEADERS].copy_from_slice(&sized.headers);
        let (src, dst, ports) = self.flows.write(flow, head);
        let sum = sized.sum + (src >> 16) + (src & 0xffff) + (dst >> 16) + (dst & 0xffff);
        head[24..26].copy_from_slice(&frame::fold(sum).to_be_bytes());
        head[26..30].copy_from_slice(&src.to_be_bytes());
        head[30..34].copy_from_slice(&dst.to_be_bytes());
        head[34..36].copy_from_slice(&ports[0].to_be_bytes());
        head[36..38].copy_from_slice(&ports[1].to_be_bytes());
        head[40..48].copy_from_slice(&word.to_le_bytes());
        let from = usize::from(filled).max(MARK_END);
        if from < frame.len() {
            frame[from..].copy_from_slice(&PATTERN[from..usize::from(sized.len)]);
        }
        Some(filled.max(sized.len))
    }
}

fn sized(addressing: &Addressing, size: u16, port: &PortInfo) -> Result<Sized, Error> {
    let max = u32::from(port.max_frame) + u32::from(FCS);
    if size < MIN_SIZE || u32::from(size) > max {
        return Err(Error::FrameSize { size, min: MIN_SIZE, max, port: port.name.clone() });
    }
    let len = size - FCS;
    let mut headers = [0; HEADERS];
    headers[..6].copy_from_slice(&addressing.dst_mac);
    headers[6..12].copy_from_slice(&addressing.src_mac);
    headers[12..14].copy_from_slice(&[0x08, 0x00]);
    // Version 4, five words; no TOS; length; id 0, don't fragment; TTL 64; UDP.
    headers[14..16].copy_from_slice(&[0x45, 0]);
    headers[16..18].copy_from_slice(&(len - 14).to_be_bytes());
    headers[18..24].copy_from_slice(&[0, 0, 0x40, 0, 64, 17]);
    headers[38..40].copy_from_slice(&(len - 34).to_be_bytes());
    let sum =
        headers[14..34].chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    Ok(Sized { len, headers, sum })
}

/// Refuses a count of 0 or above `max`.
pub(crate) fn check_count(what: &'static str, value: u64, max: u64) -> Result<(), Error> {
    if (1..=max).contains(&value) { Ok(()) } else { Err(Error::Count { what, value, min: 1, max }) }
}

/// Which template lies in which buffer of one port.
///
/// Right only while nobody else writes to the port's transmit buffers: whoever lets another role write there
/// calls [`Contents::forget`].
#[derive(Debug, Clone)]
pub struct Contents {
    epoch: u32,
    /// By buffer: epoch in the upper half, template id in the lower; 0 if nothing is known.
    tags: Vec<u64>,
    /// By buffer: how far it holds the pattern, if its tag is of this epoch.
    filled: Vec<u16>,
}

impl Contents {
    /// Nothing is known of the `keys` buffers of a port ([`PortInfo::keys`]).
    pub fn new(keys: u32) -> Self {
        Self { epoch: 1, tags: vec![0; keys as usize], filled: vec![0; keys as usize] }
    }

    /// From here on nothing is known of any buffer. Constant time, but for once in 2³² calls.
    pub fn forget(&mut self) {
        self.epoch = self.epoch.checked_add(1).unwrap_or_else(|| {
            self.tags.fill(0);
            1
        });
    }

    /// A short-lived view for the loop of one batch, with the table's address at hand.
    #[inline]
    pub fn view(&mut self) -> View<'_> {
        View { epoch: self.epoch, tags: &mut self.tags, filled: &mut self.filled }
    }
}

/// [`Contents`] for the length of one batch.
#[derive(Debug)]
pub struct View<'a> {
    epoch: u32,
    tags: &'a mut [u64],
    filled: &'a mut [u16],
}

impl View<'_> {
    /// What a buffer that holds template `id` is tagged with.
    #[inline]
    pub fn tag(&self, id: u32) -> u64 {
        u64::from(self.epoch) << 32 | u64::from(id)
    }

    /// Whether the buffer `key` holds the template tagged `tag`.
    #[inline]
    pub fn holds(&self, key: Option<u32>, tag: u64) -> bool {
        key.and_then(|key| self.tags.get(key as usize)) == Some(&tag)
    }

    /// From here on nothing is known of the buffer `key`.
    #[cold]
    pub fn forget(&mut self, key: Option<u32>) {
        if let Some(tag) = key.and_then(|key| self.tags.get_mut(key as usize)) {
            *tag = 0;
        }
    }

    /// Writes a template into `buf`, which is the buffer `key`, and remembers it. False if the buffer is too
    /// short for the frame.
    #[inline(never)]
    pub fn write(
        &mut self,
        templates: &Templates,
        (size, flow): (usize, u32),
        word: u64,
        key: Option<u32>,
        buf: &mut [u8],
    ) -> bool {
        let key = key.map_or(usize::MAX, |key| key as usize);
        let known = self.tags.get_mut(key).zip(self.filled.get_mut(key));
        let filled = match &known {
            Some((tag, filled)) if **tag >> 32 == u64::from(self.epoch) => **filled,
            _ => 0,
        };
        let Some(now_filled) = templates.write(size, flow, word, filled, buf) else { return false };
        if let Some((tag, filled)) = known {
            *tag = u64::from(self.epoch) << 32 | u64::from(templates.id(size, flow));
            *filled = now_filled;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Kind, Mark, ipv4_checksum, mark_word, pattern_intact, told_length};
    use proptest::prelude::*;

    fn port(max_frame: u16) -> PortInfo {
        PortInfo {
            name: "p".into(),
            driver: "mem",
            tx_slots: 8,
            rx_slots: 8,
            max_frame,
            keys: 8,
            queues: 1,
            mac: None,
        }
    }

    fn addressing(flows: u32, src_port: u16) -> Addressing {
        Addressing {
            src_mac: [2, 0, 0, 0, 0, 1],
            dst_mac: [2, 0, 0, 0, 0, 2],
            src_ip: [10, 255, 255, 254],
            dst_ip: [10, 0, 0, 2],
            src_port,
            dst_port: 9,
            flows,
        }
    }

    proptest! {
        #[test]
        fn whatever_a_buffer_held_the_frame_wanted_is_complete(
            writes in prop::collection::vec((0usize..3, 0u32..500, 0u32..8, prop::bool::weighted(0.1)), 1..60),
        ) {
            let sizes = [64, 577, 1518];
            let addressing = addressing(500, 65500);
            let templates = Templates::new(&addressing, &sizes, &port(2048)).unwrap();
            let mut contents = Contents::new(6);
            let mut buffers = vec![vec![0xee; 2048]; 8];
            for (size, flow, key, foreign) in writes {
                if foreign {
                    buffers.iter_mut().for_each(|b| b.fill(0xdd));
                    contents.forget();
                }
                let mut view = contents.view();
                let tag = view.tag(templates.id(size, flow));
                let word = mark_word(Kind::Data, 3, 0);
                if !view.holds(Some(key), tag) {
                    prop_assert!(view.write(&templates, (size, flow), word, Some(key), &mut buffers[key as usize]));
                    prop_assert_eq!(view.holds(Some(key), tag), key < 6, "keys past the table are never known");
                }
                let frame = &buffers[key as usize][..usize::from(templates.len(size))];
                prop_assert_eq!(frame.len(), usize::from(sizes[size]) - 4);
                prop_assert_eq!(ipv4_checksum(frame[14..34].try_into().unwrap()), 0);
                prop_assert_eq!(told_length(frame.first_chunk().unwrap()), frame.len());
                prop_assert_eq!(usize::from(u16::from_be_bytes([frame[38], frame[39]])), frame.len() - 34);
                prop_assert!(pattern_intact(frame));
                prop_assert_eq!(Mark::read(frame).map(|mark| (mark.kind, mark.stream)), Some((Kind::Data, 3)));
                let (ip, port) = (u32::from_be_bytes(frame[26..30].try_into().unwrap()), &frame[34..36]);
                prop_assert_eq!(ip, u32::from_be_bytes(addressing.src_ip) + flow / 36);
                prop_assert_eq!(u16::from_be_bytes([port[0], port[1]]), 65500 + (flow % 36) as u16);
            }
        }
    }

    #[test]
    fn flows_are_distinct_and_checksums_stay_right_across_an_address_carry() {
        let templates = Templates::new(&addressing(200_000, 1024), &[64], &port(2048)).unwrap();
        let mut seen = std::collections::HashSet::new();
        let mut buf = [0; 64];
        for flow in 0..200_000 {
            templates.write(0, flow, 0, 0, &mut buf).unwrap();
            assert_eq!(ipv4_checksum(buf[14..34].try_into().unwrap()), 0, "flow {flow}");
            assert!(seen.insert((buf[26..30].to_vec(), buf[34..36].to_vec())), "flow {flow} repeats another");
        }
    }

    #[test]
    fn sizes_and_flows_outside_their_range_are_refused() {
        let refused =
            |sizes: &[u16], flows| Templates::new(&addressing(flows, 9), sizes, &port(1514)).unwrap_err();
        assert!(matches!(refused(&[63], 1), Error::FrameSize { size: 63, min: 64, max: 1518, .. }));
        assert!(matches!(refused(&[64, 1519], 1), Error::FrameSize { size: 1519, .. }));
        assert!(matches!(refused(&[], 1), Error::Count { value: 0, .. }));
        assert!(matches!(refused(&[64], 0), Error::Count { what: "flows", value: 0, .. }));
        assert!(Templates::new(&addressing(1, 9), &[64, 1518], &port(1514)).is_ok());
    }

    #[test]
    fn forgetting_works_when_epochs_run_out() {
        let templates = Templates::new(&addressing(1, 9), &[64], &port(2048)).unwrap();
        let mut contents = Contents::new(1);
        assert!(contents.view().write(&templates, (0, 0), 0, Some(0), &mut [0; 64]));
        contents.epoch = u32::MAX;
        contents.forget();
        let view = contents.view();
        assert!(!view.holds(Some(0), view.tag(0)), "the first epoch's tags came back to life");
    }

    #[test]
    fn a_buffer_too_short_for_the_frame_is_left_alone() {
        let templates = Templates::new(&addressing(1, 9), &[128], &port(2048)).unwrap();
        let mut short = [7; 100];
        assert!(!Contents::new(1).view().write(&templates, (0, 0), 0, Some(0), &mut short));
        assert_eq!(short, [7; 100]);
    }
}
