//! Where everything lies in a port's memory: laid out for a new port by whoever plays the kernel, found and
//! checked by the application that opens it.
//!
//! The structures and their meaning are netmap's (`sys/net/netmap.h`); their order in the region is ours:
//! `netmap_if`, CSB arrays, rings, buffers.

mod raw;

pub use raw::{RawCsb, RawRing, SlotCopy};

use crate::memory::{ALIGN, Memory};
use crate::sys::{netmap_if, netmap_ring, netmap_slot, nm_csb_atok, nm_csb_ktoa};
use serde::{Deserialize, Serialize};

/// Buffers 0 and 1 are never in a ring, as in netmap: index 0 marks "no buffer".
pub const RESERVED_BUFS: u32 = 2;
/// Most rings a port may have in each direction: `NM_BDG_MAXRINGS` in netmap.
pub const MAX_RINGS: u16 = 16;
/// Most slots a ring may have: `NM_BDG_MAXSLOTS` in netmap.
pub const MAX_SLOTS: u32 = 4096;
/// The smallest ring: a slot is always kept empty, and VALE wants room for a batch.
pub const MIN_SLOTS: u32 = 4;
/// Buffers are whole cache lines, so that a copy may run to the end of the last one.
pub const BUF_ALIGN: u32 = 64;
/// The largest buffer: what a slot's 16-bit length can describe, in whole lines.
pub const MAX_BUF_SIZE: u32 = 65536 - BUF_ALIGN;

/// `netmap_ring.dir` of a receive ring.
const NR_RX: u16 = 0;
/// `netmap_ring.dir` of a transmit ring.
const NR_TX: u16 = 1;

/// Shape of a port. The default is that of a VALE port: one ring each way, 1024 slots, 2048-byte buffers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortShape {
    /// Transmit rings.
    pub tx_rings: u16,
    /// Receive rings.
    pub rx_rings: u16,
    /// Slots of each transmit ring.
    pub tx_slots: u32,
    /// Slots of each receive ring.
    pub rx_slots: u32,
    /// Bytes of each buffer.
    pub buf_size: u32,
}

impl Default for PortShape {
    fn default() -> Self {
        PortShape { tx_rings: 1, rx_rings: 1, tx_slots: 1024, rx_slots: 1024, buf_size: 2048 }
    }
}

/// A port cannot be laid out, or what claims to be one is not.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    /// A number in a [`PortShape`] is out of range.
    #[error("{what} is {value}, which must be {range}")]
    Shape {
        /// Which.
        what: &'static str,
        /// What it is.
        value: u64,
        /// What it may be.
        range: &'static str,
    },
    /// The memory is smaller than the port.
    #[error("the port takes {needed} bytes and the memory has {have}")]
    TooSmall {
        /// Bytes needed.
        needed: usize,
        /// Bytes there.
        have: usize,
    },
    /// A structure found in shared memory points outside it or is out of range.
    #[error("{what} of a port in shared memory is out of bounds ({value})")]
    OutOfBounds {
        /// What was wrong.
        what: &'static str,
        /// Its value.
        value: i64,
    },
}

/// Where a port lies in its memory, as the application needs to know to open it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortLocation {
    /// Offset of `netmap_if`.
    pub nifp_ofs: usize,
    /// Offset of the array of `nm_csb_atok`, transmit rings first.
    pub atok_ofs: usize,
    /// Offset of the array of `nm_csb_ktoa`, transmit rings first.
    pub ktoa_ofs: usize,
}

/// The rings of one port, transmit and receive, each with its CSB entries.
#[derive(Debug)]
pub struct PortRings {
    /// Transmit rings.
    pub tx: Vec<(RawRing, RawCsb)>,
    /// Receive rings.
    pub rx: Vec<(RawRing, RawCsb)>,
}

/// A port's layout, computed from its shape.
#[derive(Debug, Clone)]
pub struct PortLayout {
    shape: PortShape,
    location: PortLocation,
    rings: Vec<usize>,
    bufs_ofs: usize,
    num_bufs: u32,
    len: usize,
}

fn check(what: &'static str, value: u64, ok: bool, range: &'static str) -> Result<(), LayoutError> {
    if ok { Ok(()) } else { Err(LayoutError::Shape { what, value, range }) }
}

impl PortShape {
    /// Checks every number against what a port can have.
    pub fn validate(&self) -> Result<(), LayoutError> {
        for (what, n) in
            [("number of transmit rings", self.tx_rings), ("number of receive rings", self.rx_rings)]
        {
            check(what, n.into(), (1..=MAX_RINGS).contains(&n), "1 to 16")?;
        }
        for (what, n) in
            [("number of transmit slots", self.tx_slots), ("number of receive slots", self.rx_slots)]
        {
            check(what, n.into(), (MIN_SLOTS..=MAX_SLOTS).contains(&n), "4 to 4096")?;
        }
        let n = self.buf_size;
        let ok = (BUF_ALIGN..=MAX_BUF_SIZE).contains(&n) && n.is_multiple_of(BUF_ALIGN);
        check("buffer size", n.into(), ok, "64 to 65472 in steps of 64")
    }

    fn num_rings(&self) -> usize {
        usize::from(self.tx_rings) + usize::from(self.rx_rings)
    }

    fn slots_of(&self, ring: usize) -> u32 {
        if ring < usize::from(self.tx_rings) { self.tx_slots } else { self.rx_slots }
    }
}

impl PortLayout {
    /// Lays out a port of this shape.
    pub fn new(shape: &PortShape) -> Result<PortLayout, LayoutError> {
        shape.validate()?;
        let n = shape.num_rings();
        let up = |ofs: usize, align: usize| ofs.next_multiple_of(align);
        let atok_ofs = up(size_of::<netmap_if>() + n * size_of::<isize>(), 128);
        let ktoa_ofs = up(atok_ofs + n * size_of::<nm_csb_atok>(), 128);
        let mut at = ktoa_ofs + n * size_of::<nm_csb_ktoa>();
        let mut rings = Vec::with_capacity(n);
        let mut num_bufs = RESERVED_BUFS;
        for ring in 0..n {
            at = up(at, align_of::<netmap_ring>().max(128));
            rings.push(at);
            at += size_of::<netmap_ring>() + shape.slots_of(ring) as usize * size_of::<netmap_slot>();
            num_bufs += shape.slots_of(ring);
        }
        let bufs_ofs = up(at, ALIGN);
        let len = up(bufs_ofs + num_bufs as usize * shape.buf_size as usize, ALIGN);
        let location = PortLocation { nifp_ofs: 0, atok_ofs, ktoa_ofs };
        Ok(PortLayout { shape: shape.clone(), location, rings, bufs_ofs, num_bufs, len })
    }

    /// The shape it was made from.
    #[must_use]
    pub fn shape(&self) -> &PortShape {
        &self.shape
    }

    /// Where the application finds the port.
    #[must_use]
    pub fn location(&self) -> PortLocation {
        self.location
    }

    /// Bytes of memory it takes, a multiple of [`ALIGN`].
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no port is empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// One past the largest buffer index.
    #[must_use]
    pub fn num_bufs(&self) -> u32 {
        self.num_bufs
    }

    /// Bytes before the first buffer: `netmap_if`, CSB, ring headers and slots.
    #[must_use]
    pub fn control_len(&self) -> usize {
        self.bufs_ofs
    }

    /// Offset of the first slot of ring `ring`, transmit rings first.
    ///
    /// # Panics
    /// If there is no such ring.
    #[must_use]
    pub fn slots_ofs(&self, ring: usize) -> usize {
        self.rings[ring] + size_of::<netmap_ring>()
    }

    /// The rings at their places in `mem`, for the side that plays the kernel: nothing is read from `mem`.
    pub fn rings(&self, mem: &Memory) -> Result<PortRings, LayoutError> {
        let too_small = LayoutError::TooSmall { needed: self.len, have: mem.len() };
        if mem.len() < self.len {
            return Err(too_small);
        }
        let mut all = Vec::with_capacity(self.rings.len());
        let mut first_buf = RESERVED_BUFS;
        for i in 0..self.rings.len() {
            let slots_ofs = self.slots_ofs(i);
            let (slots, size) = (self.shape.slots_of(i), self.shape.buf_size);
            let ring = RawRing::new(mem, slots_ofs, slots, self.bufs_ofs, size, self.num_bufs);
            let ring = ring.map(|ring| RawRing { first_buf, ..ring });
            first_buf += slots;
            let csb = RawCsb::new(mem, &self.location, i);
            all.push(ring.zip(csb).ok_or(too_small.clone())?);
        }
        let rx = all.split_off(usize::from(self.shape.tx_rings));
        Ok(PortRings { tx: all, rx })
    }

    /// Writes `netmap_if`, ring headers, slots and CSB entries as a freshly registered port has them: transmit
    /// rings all free, receive rings empty, a buffer of its own in every slot. `name` is cut to 15 bytes.
    pub fn format(&self, mem: &Memory, name: &str) -> Result<(), LayoutError> {
        let PortRings { tx, rx } = self.rings(mem)?;
        let put = |ofs: usize, bytes: &[u8]| {
            for (i, &b) in bytes.iter().enumerate() {
                let at = mem.at::<u8>(ofs + i).expect("inside the layout, which `rings` found to fit");
                // SAFETY: in bounds; the port has no other user until it has been formatted.
                unsafe { at.as_ptr().write_volatile(b) }
            }
        };
        put(0, &vec![0u8; self.bufs_ofs]);
        let nifp = self.location.nifp_ofs;
        let name = &name.as_bytes()[..name.len().min(15)];
        put(nifp + std::mem::offset_of!(netmap_if, ni_name), name);
        put(nifp + std::mem::offset_of!(netmap_if, ni_version), &crate::sys::NETMAP_API.to_ne_bytes());
        put(
            nifp + std::mem::offset_of!(netmap_if, ni_tx_rings),
            &u32::from(self.shape.tx_rings).to_ne_bytes(),
        );
        put(
            nifp + std::mem::offset_of!(netmap_if, ni_rx_rings),
            &u32::from(self.shape.rx_rings).to_ne_bytes(),
        );
        for (i, (mut ring, csb)) in tx.into_iter().chain(rx).enumerate() {
            let ofs = self.rings[i];
            put(nifp + size_of::<netmap_if>() + i * 8, &((ofs - nifp) as i64).to_ne_bytes());
            let is_tx = i < usize::from(self.shape.tx_rings);
            let id = if is_tx { i } else { i - usize::from(self.shape.tx_rings) };
            let tail = if is_tx { ring.num_slots() - 1 } else { 0 };
            let field = |field_ofs: usize, bytes: &[u8]| put(ofs + field_ofs, bytes);
            field(std::mem::offset_of!(netmap_ring, buf_ofs), &((self.bufs_ofs - ofs) as i64).to_ne_bytes());
            field(std::mem::offset_of!(netmap_ring, num_slots), &ring.num_slots().to_ne_bytes());
            field(std::mem::offset_of!(netmap_ring, nr_buf_size), &ring.buf_size().to_ne_bytes());
            field(std::mem::offset_of!(netmap_ring, ringid), &(id as u16).to_ne_bytes());
            field(std::mem::offset_of!(netmap_ring, dir), &(if is_tx { NR_TX } else { NR_RX }).to_ne_bytes());
            field(std::mem::offset_of!(netmap_ring, tail), &tail.to_ne_bytes());
            for slot in 0..ring.num_slots() {
                ring.write_slot(slot, SlotCopy { buf_idx: ring.own_buf(slot), len: 0, flags: 0 });
            }
            // SAFETY: checked by `rings`; the port has no other user yet.
            unsafe { (&raw mut (*csb.ktoa.as_ptr()).hwtail).write_volatile(tail) };
        }
        Ok(())
    }
}

/// Finds a port in memory that someone else formatted, and checks everything it says of itself.
pub fn find(mem: &Memory, location: &PortLocation) -> Result<PortRings, LayoutError> {
    let bad = |what, value: i64| LayoutError::OutOfBounds { what, value };
    let u32_at = |ofs: Option<usize>| -> Option<u32> {
        // SAFETY: `at` checked bounds and alignment; volatile by rule 2.
        ofs.and_then(|o| mem.at::<u32>(o)).map(|p| unsafe { p.as_ptr().read_volatile() })
    };
    let i64_at = |ofs: Option<usize>| -> Option<i64> {
        // SAFETY: as above.
        ofs.and_then(|o| mem.at::<i64>(o)).map(|p| unsafe { p.as_ptr().read_volatile() })
    };
    let nifp = location.nifp_ofs;
    let no_if = || bad("netmap_if", nifp as i64);
    let in_if = |field: usize| nifp.checked_add(field);
    let tx_rings = u32_at(in_if(std::mem::offset_of!(netmap_if, ni_tx_rings))).ok_or_else(no_if)?;
    let rx_rings = u32_at(in_if(std::mem::offset_of!(netmap_if, ni_rx_rings))).ok_or_else(no_if)?;
    for (what, n) in [("number of transmit rings", tx_rings), ("number of receive rings", rx_rings)] {
        if n == 0 || n > u32::from(MAX_RINGS) {
            return Err(bad(what, n.into()));
        }
    }
    let mut all = Vec::new();
    for i in 0..(tx_rings + rx_rings) as usize {
        let rel = i64_at(in_if(size_of::<netmap_if>() + i * 8)).ok_or_else(no_if)?;
        let no_ring = || bad("offset of a ring", rel);
        let ofs =
            nifp.checked_add_signed(isize::try_from(rel).map_err(|_| no_ring())?).ok_or_else(no_ring)?;
        let in_ring = |field: usize| ofs.checked_add(field);
        let buf_ofs = i64_at(in_ring(std::mem::offset_of!(netmap_ring, buf_ofs))).ok_or_else(no_ring)?;
        let num_slots = u32_at(in_ring(std::mem::offset_of!(netmap_ring, num_slots))).ok_or_else(no_ring)?;
        let buf_size = u32_at(in_ring(std::mem::offset_of!(netmap_ring, nr_buf_size))).ok_or_else(no_ring)?;
        // A hardware ring of a kernel port may be larger than any of VALE's.
        if !(MIN_SLOTS..=MAX_SLOTS * 4).contains(&num_slots) {
            return Err(bad("number of slots", num_slots.into()));
        }
        if !(BUF_ALIGN..=MAX_BUF_SIZE).contains(&buf_size) || !buf_size.is_multiple_of(BUF_ALIGN) {
            return Err(bad("buffer size", buf_size.into()));
        }
        let bufs = isize::try_from(buf_ofs).ok().and_then(|o| ofs.checked_add_signed(o));
        let bufs = bufs.filter(|&o| o < mem.len()).ok_or_else(|| bad("offset of the buffers", buf_ofs))?;
        let num_bufs = u32::try_from((mem.len() - bufs) / buf_size as usize).unwrap_or(u32::MAX);
        let slots_ofs = ofs.checked_add(size_of::<netmap_ring>()).ok_or_else(no_ring)?;
        let ring = RawRing::new(mem, slots_ofs, num_slots, bufs, buf_size, num_bufs).ok_or_else(no_ring)?;
        let csb = RawCsb::new(mem, location, i).ok_or_else(|| bad("CSB", location.atok_ofs as i64))?;
        all.push((ring, csb));
    }
    let rx = all.split_off(tx_rings as usize);
    Ok(PortRings { tx: all, rx })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shape() -> impl Strategy<Value = PortShape> {
        (1u16..=4, 1u16..=4, 4u32..=64, 4u32..=64, 1u32..=32).prop_map(
            |(tx_rings, rx_rings, tx_slots, rx_slots, lines)| PortShape {
                tx_rings,
                rx_rings,
                tx_slots,
                rx_slots,
                buf_size: lines * 64,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 64 }))]
        #[test]
        fn what_is_formatted_is_found(shape in shape()) {
            let layout = PortLayout::new(&shape).unwrap();
            let mem = Memory::heap(layout.len());
            layout.format(&mem, "vale0:a-name-too-long-for-it").unwrap();
            let (own, found) = (layout.rings(&mem).unwrap(), find(&mem, &layout.location()).unwrap());
            let mut seen = std::collections::HashSet::new();
            for (own, found) in [(&own.tx, &found.tx), (&own.rx, &found.rx)] {
                prop_assert_eq!(own.len(), found.len());
                for ((a, x), (b, y)) in own.iter().zip(found) {
                    prop_assert_eq!(a.slots, b.slots);
                    prop_assert_eq!(a.bufs, b.bufs);
                    prop_assert_eq!((a.num_slots, a.buf_size), (b.num_slots, b.buf_size));
                    prop_assert!(b.num_bufs >= a.num_bufs);
                    prop_assert_eq!((x.atok, x.ktoa), (y.atok, y.ktoa));
                    for i in 0..a.num_slots {
                        let idx = a.read_slot(i).buf_idx;
                        prop_assert!(a.buf(idx).is_some());
                        prop_assert!(seen.insert(idx), "buffer {} is in two slots", idx);
                    }
                }
            }
        }

        #[test]
        fn rubbish_is_refused_or_stays_inside(
            bytes in proptest::collection::vec(any::<u8>(), 512),
            poke in proptest::collection::vec((0usize..1024, any::<u64>()), 0..6),
            ofs in 0usize..20000,
        ) {
            let layout = PortLayout::new(&PortShape { tx_slots: 8, rx_slots: 8, buf_size: 64, ..Default::default() }).unwrap();
            let mem = Memory::heap(layout.len());
            layout.format(&mem, "x").unwrap();
            for (at, value) in poke {
                // SAFETY: the test's own memory, in bounds.
                unsafe { mem.at::<u64>(at / 8 * 8).unwrap().as_ptr().write_volatile(value) };
            }
            let mut location = layout.location();
            if bytes[0] & 1 == 1 {
                location.nifp_ofs = ofs / 8 * 8;
                location.atok_ofs = usize::from_ne_bytes(bytes[8..16].try_into().unwrap());
            }
            if let Ok(rings) = find(&mem, &location) {
                let (low, high) = (mem.base().as_ptr().addr(), mem.base().as_ptr().addr() + mem.len());
                for (ring, csb) in rings.tx.iter().chain(&rings.rx) {
                    let end = ring.slots.as_ptr().addr() + ring.num_slots as usize * 16;
                    prop_assert!(ring.slots.as_ptr().addr() >= low && end <= high);
                    let end = ring.bufs.as_ptr().addr() + ring.num_bufs as usize * ring.buf_size as usize;
                    prop_assert!(ring.bufs.as_ptr().addr() >= low && end <= high);
                    prop_assert!(csb.atok.as_ptr().addr() >= low && csb.ktoa.as_ptr().addr() + 64 <= high);
                }
            }
        }
    }

    #[test]
    fn impossible_shapes_are_named() {
        let bad = PortShape { tx_slots: 5000, ..Default::default() };
        let message = PortLayout::new(&bad).unwrap_err().to_string();
        assert_eq!(message, "number of transmit slots is 5000, which must be 4 to 4096");
        for bad in [
            PortShape { rx_rings: 0, ..Default::default() },
            PortShape { buf_size: 100, ..Default::default() },
            PortShape { buf_size: 65536, ..Default::default() },
        ] {
            assert!(PortLayout::new(&bad).is_err(), "{bad:?}");
        }
        let layout = PortLayout::new(&PortShape::default()).unwrap();
        assert!(matches!(layout.rings(&Memory::heap(4096)), Err(LayoutError::TooSmall { .. })));
    }
}
