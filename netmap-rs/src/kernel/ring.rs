//! What both directions of a ring have: the cursors of its header, kept as plain integers and exchanged with the
//! kernel around a sync.

use super::error::{KernelError, RingName};
use super::map::BoundRing;
use super::shared::Shared;
use crate::csb::BadCursor;
use crate::cursor;
use crate::layout::{RESERVED_BUFS, RawRing, SlotCopy};
use crate::sys::arith::slot_offset;
use crate::sys::{netmap_ring, netmap_slot};
use std::mem::offset_of;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A ring's cursors, as its header holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursors {
    /// First slot of the application's.
    pub head: u32,
    /// Wake-up point.
    pub cur: u32,
    /// First slot of the kernel's.
    pub tail: u32,
}

/// Slots and buffers of a ring, for a batch loop.
#[derive(Clone, Copy)]
pub(super) struct Lane {
    slots: *mut netmap_slot,
    /// The first buffer that is not reserved.
    bufs: *mut u8,
    /// Buffers from there on.
    num_bufs: u32,
    pub(super) num_slots: u32,
    pub(super) buf_size: u32,
}

impl Lane {
    /// Reads slot `i` in one load.
    ///
    /// # Safety
    /// `i` is below `num_slots`, and the ring that this is a copy of lives.
    #[inline(always)]
    pub(super) unsafe fn read(self, i: u32) -> SlotCopy {
        // SAFETY: the caller vouches for the bounds.
        SlotCopy::from_word(unsafe { self.read_word(i) })
    }

    /// Reads slot `i` as it lies there.
    ///
    /// # Safety
    /// As for `read`.
    #[inline(always)]
    pub(super) unsafe fn read_word(self, i: u32) -> u64 {
        // SAFETY: the caller vouches for the bounds; slots are 8-byte aligned; volatile by rule 2.
        unsafe { self.slots.add(i as usize).cast::<u64>().read_volatile() }
    }

    /// Writes length and flags of slot `i` in one store.
    ///
    /// # Safety
    /// As for `read`.
    #[inline(always)]
    pub(super) unsafe fn write_len_flags(self, i: u32, len: u16, flags: u16) {
        let ([a, b], [c, d]) = (len.to_ne_bytes(), flags.to_ne_bytes());
        // SAFETY: as in `read`; they are the 4 aligned bytes at offset 4, asserted by netmap-sys.
        unsafe {
            let at = self.slots.add(i as usize).cast::<u32>().add(1);
            at.write_volatile(u32::from_ne_bytes([a, b, c, d]));
        }
    }

    /// The address of buffer `idx`, valid for `buf_size` bytes; `None` if there is no such buffer or it is
    /// reserved.
    #[inline(always)]
    pub(super) fn buf(self, idx: u32) -> Option<*mut u8> {
        let nth = idx.wrapping_sub(RESERVED_BUFS);
        // SAFETY: so many buffers from `bufs` on lie inside the region (rule 3).
        (nth < self.num_bufs).then(|| unsafe { self.bufs.add(nth as usize * self.buf_size as usize) })
    }

    /// The slot after `i`.
    #[inline(always)]
    pub(super) fn next(self, i: u32) -> u32 {
        cursor::add(i, 1, self.num_slots)
    }
}

/// A ring that one descriptor is bound to.
#[derive(Debug)]
pub(super) struct Half {
    /// Keeps the region mapped, the descriptor open (rule 5) and others off the ring (rule 10).
    pub(super) shared: Arc<Shared>,
    pub(super) name: RingName,
    pub(super) raw: RawRing,
    header: NonNull<netmap_ring>,
    /// First slot not given to the kernel; `[head, tail)` is ours.
    pub(super) head: u32,
    /// First slot of the kernel's, as of the last sync.
    pub(super) tail: u32,
    /// What the header's head was last set to.
    published: u32,
    /// Bits of a slot's `ptr` that hold an offset; 0 without the option.
    pub(super) offset_mask: u64,
    /// The kernel cuts larger offsets of transmit slots to this.
    max_offset: u64,
    /// It was given cursors by hand and lends nothing any more.
    retired: bool,
    pub(super) bad_slots: u64,
}

// SAFETY: the addresses are used under rules 1 to 8 on whatever thread has the ring.
unsafe impl Send for Half {}

impl Half {
    pub(super) fn new(shared: &Arc<Shared>, ring: &BoundRing, max_offset: u64) -> Half {
        let mut half = Half {
            shared: shared.clone(),
            name: ring.name,
            raw: ring.raw,
            header: ring.header,
            head: 0,
            tail: 0,
            published: 0,
            offset_mask: ring.offset_mask,
            max_offset: max_offset.min(u64::from(ring.raw.buf_size())),
            retired: false,
            bad_slots: 0,
        };
        let Cursors { head, tail, .. } = half.cursors();
        half.adopt(head, tail);
        half
    }

    #[inline(always)]
    fn word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: the header lies inside the region (checked when it was found), which `shared` keeps mapped;
        // the word is aligned and only ever reached as an atomic (rule 2).
        unsafe { AtomicU32::from_ptr(self.header.as_ptr().byte_add(offset).cast()) }
    }

    pub(super) fn flags(&self) -> &AtomicU32 {
        self.word(offset_of!(netmap_ring, flags))
    }

    /// The cursors in the header.
    pub(super) fn cursors(&self) -> Cursors {
        let load = |offset| self.word(offset).load(Ordering::Acquire);
        Cursors {
            head: load(offset_of!(netmap_ring, head)),
            cur: load(offset_of!(netmap_ring, cur)),
            tail: load(offset_of!(netmap_ring, tail)),
        }
    }

    /// Seconds and microseconds since the epoch of the last sync that wrote them.
    pub(super) fn timestamp(&self) -> (i64, i64) {
        // SAFETY: inside the header, aligned, integers; volatile by rule 2.
        let ts = unsafe { (&raw const (*self.header.as_ptr()).ts).read_volatile() };
        (ts.tv_sec, ts.tv_usec)
    }

    /// Takes over these cursors, or makes the ring lend nothing if they are none.
    fn adopt(&mut self, head: u32, tail: u32) {
        let n = self.raw.num_slots();
        let (head, tail) = if head < n && tail < n { (head, tail) } else { (0, 0) };
        (self.head, self.published, self.tail) = (head, head, tail);
    }

    /// Writes `head`, and `cur` with it, for the kernel's next sync.
    #[inline(always)]
    pub(super) fn publish(&mut self) {
        if self.retired {
            return;
        }
        // The system call that follows orders these for the kernel on this CPU; another thread's poll of the
        // same descriptor needs the slots' contents before `head`.
        self.word(offset_of!(netmap_ring, cur)).store(self.head, Ordering::Release);
        self.word(offset_of!(netmap_ring, head)).store(self.head, Ordering::Release);
        self.published = self.head;
    }

    /// Takes over the kernel's `tail`, and finds out whether it rejected what was published.
    #[inline(always)]
    pub(super) fn refresh(&mut self) -> Result<(), KernelError> {
        if self.retired {
            return Ok(());
        }
        let n = self.raw.num_slots();
        let found = self.word(offset_of!(netmap_ring, head)).load(Ordering::Acquire);
        let tail = self.word(offset_of!(netmap_ring, tail)).load(Ordering::Acquire);
        if found != self.published {
            return Err(self.was_reset(found, tail));
        }
        // It only goes forward, up to the slot before the published head. So a slot that is ours stays ours
        // (rule 1), and one that was given may come back.
        let last = cursor::prev(self.published, n);
        if !cursor::within(tail, self.tail, last, n) {
            return Err(self.spoilt(tail, last));
        }
        self.tail = tail;
        Ok(())
    }

    /// Takes over a transmit ring's head from the kernel, which has filled slots after the last one published with
    /// frames that it forwards.
    pub(super) fn adopt_forwarded(&mut self) {
        let found = self.word(offset_of!(netmap_ring, head)).load(Ordering::Acquire);
        let n = self.raw.num_slots();
        // Only free slots can have been filled; anything else is for `refresh` to find.
        if !self.retired && self.head == self.published && cursor::within(found, self.published, self.tail, n)
        {
            (self.head, self.published) = (found, found);
        }
    }

    #[cold]
    fn was_reset(&mut self, found: u32, tail: u32) -> KernelError {
        let wrote = self.published;
        self.adopt(found, tail);
        KernelError::Reset { port: self.shared.name.clone(), ring: self.name, wrote, found }
    }

    #[cold]
    fn spoilt(&self, value: u32, to: u32) -> KernelError {
        let source = BadCursor { word: "tail", value, from: self.tail, to, num_slots: self.raw.num_slots() };
        KernelError::Cursor { port: self.shared.name.clone(), ring: self.name, source }
    }

    /// Writes cursors that may be anything. The ring lends nothing from here on: what the kernel makes of them
    /// decides which slots are whose, and it does not say.
    pub(super) fn write_cursors(&mut self, head: u32, cur: u32) {
        self.retired = true;
        (self.head, self.tail) = (0, 0);
        self.word(offset_of!(netmap_ring, cur)).store(cur, Ordering::Release);
        self.word(offset_of!(netmap_ring, head)).store(head, Ordering::Release);
    }

    /// What a batch loop reads of the ring. It is a copy: a compiler must take every write to a frame for one that
    /// may change the ring it was lent by, and read that again for each slot.
    #[inline(always)]
    pub(super) fn lane(&self) -> Lane {
        let first = self.raw.buf(RESERVED_BUFS);
        Lane {
            // SAFETY: the slots lie right behind the header, inside the region.
            slots: unsafe { self.header.as_ptr().byte_add(slot_offset(0)).cast() },
            bufs: first.map_or(std::ptr::null_mut(), NonNull::as_ptr),
            num_bufs: first.map_or(0, |_| self.raw.num_bufs() - RESERVED_BUFS),
            num_slots: self.raw.num_slots(),
            buf_size: self.raw.buf_size(),
        }
    }

    /// Slots of ours.
    #[inline(always)]
    pub(super) fn avail(&self) -> u32 {
        cursor::distance(self.head, self.tail, self.raw.num_slots())
    }

    /// Slots given up since the last publication.
    pub(super) fn unpublished(&self) -> u32 {
        if self.retired { 0 } else { cursor::distance(self.published, self.head, self.raw.num_slots()) }
    }

    /// Gives up the slot at `head`.
    #[inline(always)]
    pub(super) fn advance(&mut self) {
        self.head = cursor::add(self.head, 1, self.raw.num_slots());
    }

    fn ptr_field(&self, i: u32) -> *mut u64 {
        assert!(i < self.raw.num_slots());
        // SAFETY: slot i lies behind the header, inside the region: so many slots were checked to (rule 3).
        unsafe { self.header.as_ptr().byte_add(slot_offset(i) + offset_of!(netmap_slot, ptr)).cast::<u64>() }
    }

    /// A slot's `ptr`.
    #[inline(always)]
    pub(super) fn read_ptr(&self, i: u32) -> u64 {
        // SAFETY: in bounds and aligned; volatile by rule 2.
        unsafe { self.ptr_field(i).read_volatile() }
    }

    #[inline(always)]
    pub(super) fn write_ptr(&mut self, i: u32, ptr: u64) {
        // SAFETY: as for read_ptr.
        unsafe { self.ptr_field(i).write_volatile(ptr) }
    }

    /// The offset into its buffer of slot `i`, to send from.
    #[inline(always)]
    pub(super) fn tx_offset(&self, i: u32) -> u32 {
        (self.read_ptr(i) & self.offset_mask).min(self.max_offset) as u32
    }

    /// The offset of a received frame, if the frame fits its buffer behind it.
    #[inline(always)]
    pub(super) fn rx_offset(&self, i: u32, len: u16) -> Option<u32> {
        let offset = self.read_ptr(i) & self.offset_mask;
        let end = offset.checked_add(len.into())?;
        (end <= self.raw.buf_size().into()).then_some(offset as u32)
    }

    /// Largest offset that the kernel takes.
    pub(super) fn max_offset(&self) -> u64 {
        if self.offset_mask == 0 { 0 } else { self.max_offset }
    }

    /// The oldest received frame and its offset, having passed over slots that hold none.
    pub(super) fn next_frame(&mut self) -> Option<(SlotCopy, u32)> {
        while self.avail() > 0 {
            let slot = self.raw.read_slot(self.head);
            let offset = if self.offset_mask == 0 {
                (u32::from(slot.len) <= self.raw.buf_size()).then_some(0)
            } else {
                self.rx_offset(self.head, slot.len)
            };
            match offset.filter(|_| self.raw.buf(slot.buf_idx).is_some()) {
                Some(offset) => return Some((slot, offset)),
                None => {
                    self.bad_slots += 1;
                    self.advance();
                }
            }
        }
        None
    }

    /// Slot `head`, if it is ours and names a buffer.
    pub(super) fn next_slot(&self) -> Option<(u32, SlotCopy)> {
        let slot = self.raw.read_slot(self.head);
        (self.avail() > 0 && self.raw.buf(slot.buf_idx).is_some()).then_some((self.head, slot))
    }
}
