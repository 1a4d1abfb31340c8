//! What the kernel keeps of a ring, and what its syncs do with it. Names are the kernel's: `rhead` and `rtail` are
//! its copies of what the application last said and was last told.

use crate::cursor;
use crate::fake::Taken;
use crate::kernel::ring::Cursors;
use crate::layout::{RawRing, SlotCopy};
use crate::sys::arith::slot_offset;
use crate::sys::{NR_TIMESTAMP, NS_BUF_CHANGED, NS_INDIRECT, netmap_ring, timeval};
use std::collections::VecDeque;
use std::mem::offset_of;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug)]
pub(super) struct Kring {
    header: NonNull<netmap_ring>,
    raw: RawRing,
    hwcur: u32,
    hwtail: u32,
    rhead: u32,
    rtail: u32,
    mask: u64,
}

// SAFETY: as a RawRing; the region outlives it, which the port and the FakeKernel both hold.
unsafe impl Send for Kring {}

impl Kring {
    pub(super) fn new(header: NonNull<netmap_ring>, raw: RawRing, tail: u32, mask: u64) -> Kring {
        Kring { header, raw, hwcur: 0, hwtail: tail, rhead: 0, rtail: tail, mask }
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: a cursor in a header inside the region; only ever an atomic (rule 2).
        unsafe { AtomicU32::from_ptr(self.header.as_ptr().byte_add(offset).cast()) }
    }

    pub(super) fn cursors(&self) -> Cursors {
        let load = |offset| self.word(offset).load(Ordering::Acquire);
        Cursors {
            head: load(offset_of!(netmap_ring, head)),
            cur: load(offset_of!(netmap_ring, cur)),
            tail: load(offset_of!(netmap_ring, tail)),
        }
    }

    pub(super) fn set_cursors(&self, cursors: Cursors) {
        self.word(offset_of!(netmap_ring, head)).store(cursors.head, Ordering::Release);
        self.word(offset_of!(netmap_ring, cur)).store(cursors.cur, Ordering::Release);
        self.word(offset_of!(netmap_ring, tail)).store(cursors.tail, Ordering::Release);
    }

    pub(super) fn force_tail(&mut self, tail: u32) {
        (self.hwtail, self.rtail) = (tail, tail);
        self.set_cursors(Cursors { tail, ..self.cursors() });
    }

    fn ptr(&self, i: u32) -> *mut u64 {
        assert!(i < self.raw.num_slots());
        // SAFETY: slot i lies inside the region.
        unsafe { self.header.as_ptr().byte_add(slot_offset(i) + 8).cast() }
    }

    pub(super) fn slot(&self, i: u32) -> (SlotCopy, u64) {
        // SAFETY: in bounds; volatile by rule 2.
        (self.raw.read_slot(i), unsafe { self.ptr(i).read_volatile() })
    }

    pub(super) fn set_slot(&mut self, i: u32, slot: SlotCopy) {
        self.raw.write_slot(i, slot);
    }

    pub(super) fn buf(&self, idx: u32) -> Option<NonNull<u8>> {
        self.raw.buf(idx)
    }

    /// Whether the application has a slot that it has not passed with `cur`.
    pub(super) fn ready(&self) -> bool {
        let Cursors { cur, tail, .. } = self.cursors();
        cur != tail
    }

    /// `[from, to]` is where the application's cursors may be. `None` if they are not; then the ring is reset, but
    /// as the kernel does it: cursors below the number of slots stay, however wrong.
    fn prologue(&mut self, from: u32, to: u32) -> Option<u32> {
        let n = self.raw.num_slots();
        let Cursors { head, cur, tail } = self.cursors();
        if cursor::within(head, from, to, n) && cursor::within(cur, head, to, n) {
            if tail != self.rtail {
                self.set_cursors(Cursors { head, cur, tail: self.rtail });
            }
            self.rhead = head;
            return Some(head);
        }
        (self.rhead, self.rtail) = (head, tail);
        if head >= n || cur >= n || tail >= n {
            (self.rhead, self.rtail) = (self.hwcur, self.hwtail);
            self.set_cursors(Cursors { head: self.hwcur, cur: self.hwcur, tail: self.hwtail });
        }
        None
    }

    fn finalize(&mut self) {
        self.rtail = self.hwtail;
        self.set_cursors(Cursors { tail: self.hwtail, ..self.cursors() });
    }

    pub(super) fn txsync(&mut self, sent: &mut Vec<Taken>, hold: bool) {
        let Some(head) = self.prologue(self.rhead, self.rtail) else { return };
        let n = self.raw.num_slots();
        while self.hwcur != head {
            let (slot, ptr) = self.slot(self.hwcur);
            sent.push(Taken { data: self.frame(slot, ptr), flags: slot.flags });
            self.raw.write_slot(self.hwcur, SlotCopy { flags: slot.flags & !NS_BUF_CHANGED, ..slot });
            self.hwcur = cursor::add(self.hwcur, 1, n);
        }
        if !hold {
            self.hwtail = cursor::prev(self.hwcur, n);
        }
        self.finalize();
    }

    /// The bytes of a frame to send; none if its slot is bad.
    fn frame(&self, slot: SlotCopy, ptr: u64) -> Vec<u8> {
        let len = usize::from(slot.len);
        if slot.flags & NS_INDIRECT != 0 {
            let from = std::ptr::with_exposed_provenance::<u8>(ptr as usize);
            // SAFETY: only TxRing::send_indirect sets the flag (fill masks it), with the address of a pinned frame
            // of at least so many bytes, which lives as long as the port (rule 9).
            return (0..len).map(|i| unsafe { from.add(i).read_volatile() }).collect();
        }
        let offset = (ptr & self.mask) as usize;
        let Some(buf) = self.raw.buf(slot.buf_idx).filter(|_| offset + len <= self.raw.buf_size() as usize)
        else {
            return Vec::new();
        };
        // SAFETY: inside the buffer; volatile by rule 4.
        (offset..offset + len).map(|i| unsafe { buf.as_ptr().add(i).read_volatile() }).collect()
    }

    pub(super) fn complete(&mut self, n: u32) {
        let slots = self.raw.num_slots();
        let held = cursor::distance(self.hwtail, cursor::prev(self.hwcur, slots), slots);
        self.hwtail = cursor::add(self.hwtail, n.min(held), slots);
    }

    pub(super) fn rxsync(&mut self, inbox: &mut VecDeque<(Vec<u8>, u16)>) {
        if let Some(head) = self.prologue(self.hwcur, self.hwtail) {
            self.hwcur = head;
        }
        let n = self.raw.num_slots();
        let last = cursor::prev(self.hwcur, n);
        while self.hwtail != last {
            let Some((data, flags)) = inbox.pop_front() else { break };
            let (slot, ptr) = self.slot(self.hwtail);
            let offset = (ptr & self.mask) as usize;
            let room = (self.raw.buf_size() as usize).saturating_sub(offset);
            let len = data.len().min(room);
            if let Some(buf) = self.raw.buf(slot.buf_idx) {
                for (i, &byte) in data[..len].iter().enumerate() {
                    // SAFETY: inside the buffer, which is the kernel's; volatile by rule 4.
                    unsafe { buf.as_ptr().add(offset + i).write_volatile(byte) };
                }
            }
            self.raw.write_len_flags(self.hwtail, len as u16, flags);
            self.hwtail = cursor::add(self.hwtail, 1, n);
        }
        self.finalize();
        if self.word(offset_of!(netmap_ring, flags)).load(Ordering::Relaxed) & NR_TIMESTAMP != 0 {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let ts = timeval { tv_sec: now.as_secs() as i64, tv_usec: now.subsec_micros().into() };
            // SAFETY: inside the header, aligned; volatile by rule 2.
            unsafe { (&raw mut (*self.header.as_ptr()).ts).write_volatile(ts) };
        }
    }
}
