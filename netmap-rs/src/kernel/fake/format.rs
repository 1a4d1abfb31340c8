//! Memory as the kernel formats it: pools of interfaces, rings and buffers, handed out one after the other.

use super::FakeShape;
use super::kring::Kring;
use crate::layout::{RESERVED_BUFS, RawRing, SlotCopy};
use crate::memory::{ALIGN, Memory};
use crate::sys::arith::{netmap_if_size, netmap_ring_size, ring_ofs_offset, slot_offset};
use crate::sys::{netmap_if, netmap_ring};
use std::mem::offset_of;

/// Bytes of the pool of `netmap_if`s.
const IF_POOL: usize = 16 * 1024;
/// Bytes of the pool of rings.
const RING_POOL: usize = 1 << 20;

/// What of a region has been handed out.
#[derive(Debug)]
pub(super) struct Layout {
    buf_size: u32,
    num_bufs: u32,
    next_if: usize,
    next_ring: usize,
    next_buf: u32,
}

/// A formatted port.
pub(super) struct Port {
    pub(super) nifp: usize,
    pub(super) tx: Vec<Kring>,
    pub(super) rx: Vec<Kring>,
}

/// Writes a value into memory that has no other user yet.
fn put<T: Copy>(mem: &Memory, offset: usize, value: T) {
    let at = mem.at::<T>(offset).expect("inside the region");
    // SAFETY: in bounds and aligned; the structure that it belongs to has not been shown to anybody.
    unsafe { at.as_ptr().write_volatile(value) }
}

impl Layout {
    pub(super) fn new(buf_size: u32, num_bufs: u32) -> Layout {
        assert!(buf_size.is_multiple_of(64) && buf_size > 0 && num_bufs > RESERVED_BUFS);
        Layout { buf_size, num_bufs, next_if: 0, next_ring: IF_POOL, next_buf: RESERVED_BUFS }
    }

    fn bufs_ofs() -> usize {
        IF_POOL + RING_POOL
    }

    pub(super) fn len(&self) -> usize {
        (Self::bufs_ofs() + self.num_bufs as usize * self.buf_size as usize).next_multiple_of(ALIGN)
    }

    fn take_buf(&mut self) -> u32 {
        assert!(self.next_buf < self.num_bufs, "the fake region is out of buffers");
        self.next_buf += 1;
        self.next_buf - 1
    }

    pub(super) fn port(&mut self, mem: &Memory, shape: &FakeShape) -> Port {
        // As the kernel has it: at least one host ring each way, if only a mock one that is never bound.
        let (tx, rx) = (usize::from(shape.tx_rings), usize::from(shape.rx_rings));
        let nifp = self.next_if;
        self.next_if += netmap_if_size(tx + rx + 2).next_multiple_of(64);
        assert!(self.next_if <= IF_POOL, "the fake region is out of interfaces");
        put(mem, nifp + offset_of!(netmap_if, ni_tx_rings), tx as u32);
        put(mem, nifp + offset_of!(netmap_if, ni_rx_rings), rx as u32);
        put(mem, nifp + offset_of!(netmap_if, ni_host_tx_rings), 1u32);
        put(mem, nifp + offset_of!(netmap_if, ni_host_rx_rings), 1u32);
        let mut port = Port { nifp, tx: Vec::new(), rx: Vec::new() };
        for element in 0..tx + rx + 2 {
            let is_tx = element <= tx;
            let host = element == tx || element == tx + 1 + rx;
            let mut relative = 0i64;
            if !host || shape.host_rings {
                let (offset, kring) = self.ring(mem, shape, is_tx);
                relative = offset as i64 - nifp as i64;
                if is_tx { port.tx.push(kring) } else { port.rx.push(kring) }
            }
            put(mem, nifp + ring_ofs_offset(element), relative);
        }
        let mut head = 0u32;
        for _ in 0..shape.extra_bufs {
            let buf = self.take_buf();
            put(mem, Self::bufs_ofs() + buf as usize * self.buf_size as usize, head);
            head = buf;
        }
        put(mem, nifp + offset_of!(netmap_if, ni_bufs_head), head);
        port
    }

    fn ring(&mut self, mem: &Memory, shape: &FakeShape, is_tx: bool) -> (usize, Kring) {
        let slots = if is_tx { shape.tx_slots } else { shape.rx_slots };
        let offset = self.next_ring.next_multiple_of(128);
        self.next_ring = offset + netmap_ring_size(slots);
        assert!(self.next_ring <= Self::bufs_ofs(), "the fake region is out of rings");
        let raw =
            RawRing::new(mem, offset + slot_offset(0), slots, Self::bufs_ofs(), self.buf_size, self.num_bufs);
        let mut raw = raw.expect("inside the region");
        let tail = if is_tx { slots - 1 } else { 0 };
        let (mask, initial) = shape
            .offsets
            .map_or((0, 0), |o| (if o.bits == 0 { u64::MAX } else { (1u64 << o.bits) - 1 }, o.initial));
        put(mem, offset + offset_of!(netmap_ring, buf_ofs), Self::bufs_ofs() as i64 - offset as i64);
        put(mem, offset + offset_of!(netmap_ring, num_slots), slots);
        put(mem, offset + offset_of!(netmap_ring, nr_buf_size), self.buf_size);
        put(mem, offset + offset_of!(netmap_ring, tail), tail);
        put(mem, offset + offset_of!(netmap_ring, offset_mask), mask);
        for i in 0..slots {
            let slot = SlotCopy { buf_idx: self.take_buf(), len: self.buf_size as u16, flags: 0 };
            raw.write_slot(i, slot);
            put(mem, offset + slot_offset(i) + 8, initial);
        }
        let header = mem.at(offset).expect("inside the region");
        (offset, Kring::new(header, raw, tail, mask))
    }
}

/// The list of extra buffers that begins in the `netmap_if` at `nifp`.
pub(super) fn extra_bufs(mem: &Memory, nifp: usize, any: &Kring) -> Vec<u32> {
    let head = mem.at::<u32>(nifp + offset_of!(netmap_if, ni_bufs_head)).expect("inside the region");
    // SAFETY: in bounds and aligned; volatile by rule 2.
    let mut at = unsafe { head.as_ptr().read_volatile() };
    let mut list = Vec::new();
    while let Some(buf) = any.buf(at) {
        list.push(at);
        // SAFETY: as above.
        at = unsafe { buf.cast::<u32>().as_ptr().read_volatile() };
    }
    list
}
