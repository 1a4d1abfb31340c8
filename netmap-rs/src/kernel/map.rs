//! Finds a registered port in its memory region, and checks everything it says of itself.
//!
//! Unlike a port in CSB mode ([`layout::find`](crate::layout::find)), a kernel port shows host rings, mock ones
//! where it has none, and only the rings that the descriptor is bound to: the others' offsets are 0
//! (`netmap_mem2_if_new` in `sys/dev/netmap/netmap_mem2.c`).

use super::error::RingName;
use crate::layout::{BUF_ALIGN, LayoutError, RawRing};
use crate::memory::Memory;
use crate::sys::arith::{ring_ofs_offset, slot_offset};
use crate::sys::{netmap_if, netmap_ring};
use std::mem::offset_of;
use std::ptr::NonNull;

/// The largest buffer that netmap makes.
const MAX_BUF_SIZE: u32 = 65536;
/// More rings of a kind than any driver has, so that a spoilt count is seen as one.
const MAX_RINGS: u32 = 4096;

/// A ring that the descriptor is bound to.
#[derive(Debug, Clone, Copy)]
pub(super) struct BoundRing {
    pub(super) name: RingName,
    /// Offset of its header in the region.
    pub(super) offset: usize,
    pub(super) header: NonNull<netmap_ring>,
    pub(super) raw: RawRing,
    /// Bits of a slot's `ptr` that hold an offset into the buffer.
    pub(super) offset_mask: u64,
}

// SAFETY: addresses and numbers, as a RawRing.
unsafe impl Send for BoundRing {}
// SAFETY: as for Send.
unsafe impl Sync for BoundRing {}

/// What `netmap_if` says.
#[derive(Debug)]
pub(super) struct Found {
    /// Rings of the port, bound or not: hardware and host, transmit and receive.
    pub(super) tx: Vec<BoundRing>,
    pub(super) rx: Vec<BoundRing>,
    /// First extra buffer.
    pub(super) bufs_head: u32,
}

fn bad(what: &'static str, value: i64) -> LayoutError {
    LayoutError::OutOfBounds { what, value }
}

fn read<T: Copy>(mem: &Memory, base: usize, field: usize, what: &'static str) -> Result<T, LayoutError> {
    let at = base.checked_add(field).and_then(|o| mem.at::<T>(o)).ok_or_else(|| bad(what, base as i64))?;
    // SAFETY: `at` checked bounds and alignment; T is one of the integers below; volatile by rule 2.
    Ok(unsafe { at.as_ptr().read_volatile() })
}

/// Finds the rings of the port whose `netmap_if` lies at `nifp`.
pub(super) fn find(mem: &Memory, nifp: usize) -> Result<Found, LayoutError> {
    let count = |field, what| -> Result<u32, LayoutError> {
        let n: u32 = read(mem, nifp, field, "netmap_if")?;
        if n > MAX_RINGS { Err(bad(what, n.into())) } else { Ok(n) }
    };
    let kinds = [
        (true, false, count(offset_of!(netmap_if, ni_tx_rings), "number of transmit rings")?),
        (true, true, count(offset_of!(netmap_if, ni_host_tx_rings), "number of host transmit rings")?),
        (false, false, count(offset_of!(netmap_if, ni_rx_rings), "number of receive rings")?),
        (false, true, count(offset_of!(netmap_if, ni_host_rx_rings), "number of host receive rings")?),
    ];
    let bufs_head = read(mem, nifp, offset_of!(netmap_if, ni_bufs_head), "netmap_if")?;
    let (mut tx, mut rx) = (Vec::new(), Vec::new());
    let names = kinds.into_iter().flat_map(|(tx, host, n)| (0..n).map(move |i| (tx, host, i as u16)));
    for (element, (is_tx, host, index)) in names.enumerate() {
        let relative: i64 = read(mem, nifp, ring_ofs_offset(element), "netmap_if")?;
        if relative == 0 {
            continue;
        }
        let ring = bound(mem, nifp, relative, RingName { tx: is_tx, host, index })?;
        if is_tx { tx.push(ring) } else { rx.push(ring) }
    }
    Ok(Found { tx, rx, bufs_head })
}

fn bound(mem: &Memory, nifp: usize, relative: i64, name: RingName) -> Result<BoundRing, LayoutError> {
    let no_ring = || bad("offset of a ring", relative);
    let offset =
        isize::try_from(relative).ok().and_then(|o| nifp.checked_add_signed(o)).ok_or_else(no_ring)?;
    let header = mem.at::<netmap_ring>(offset).ok_or_else(no_ring)?;
    let field = |field| read::<u32>(mem, offset, field, "netmap_ring");
    let num_slots = field(offset_of!(netmap_ring, num_slots))?;
    let buf_size = field(offset_of!(netmap_ring, nr_buf_size))?;
    let buf_ofs: i64 = read(mem, offset, offset_of!(netmap_ring, buf_ofs), "netmap_ring")?;
    let offset_mask: u64 = read(mem, offset, offset_of!(netmap_ring, offset_mask), "netmap_ring")?;
    if num_slots == 0 {
        return Err(bad("number of slots", 0));
    }
    if !(BUF_ALIGN..=MAX_BUF_SIZE).contains(&buf_size) || !buf_size.is_multiple_of(BUF_ALIGN) {
        return Err(bad("buffer size", buf_size.into()));
    }
    let bufs = isize::try_from(buf_ofs).ok().and_then(|o| offset.checked_add_signed(o));
    let bufs = bufs.filter(|&o| o < mem.len()).ok_or_else(|| bad("offset of the buffers", buf_ofs))?;
    let num_bufs = u32::try_from((mem.len() - bufs) / buf_size as usize).unwrap_or(u32::MAX);
    let raw = RawRing::new(mem, offset + slot_offset(0), num_slots, bufs, buf_size, num_bufs)
        .ok_or_else(|| bad("number of slots", num_slots.into()))?;
    for cursor in [offset_of!(netmap_ring, head), offset_of!(netmap_ring, tail)] {
        let value = field(cursor)?;
        if value >= num_slots {
            return Err(bad("cursor of a ring", value.into()));
        }
    }
    Ok(BoundRing { name, offset, header, raw, offset_mask })
}
