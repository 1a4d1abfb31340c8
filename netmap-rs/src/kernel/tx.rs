//! A kernel port's transmit ring.

use super::buffer::{Buffer, IndirectBuffers, IndirectFrame};
use super::error::{KernelError, RingName};
use super::ring::Half;
use crate::csb::TxSlot;
use crate::cursor;
use crate::layout::SlotCopy;
use crate::sys::{NS_BUF_CHANGED, NS_INDIRECT, NS_REPORT};
use std::slice;

/// A transmit ring. `[head, tail)` are free slots; they are filled here and sent by
/// [`KernelPort::txsync`](super::KernelPort::txsync) or [`wait`](super::KernelPort::wait).
#[derive(Debug)]
pub struct TxRing {
    pub(super) half: Half,
    offset: Option<u64>,
}

impl TxRing {
    pub(super) fn new(half: Half) -> TxRing {
        TxRing { half, offset: None }
    }

    /// Which ring it is.
    #[must_use]
    pub fn name(&self) -> RingName {
        self.half.name
    }

    /// Free slots known of at the last sync.
    #[inline(always)]
    #[must_use]
    pub fn space(&self) -> u32 {
        self.half.avail()
    }

    /// Lends up to `max` free slots, one after the other; `fill` returns the frame's length in bytes, at most
    /// the buffer's, or 0 to end the batch before that slot. Returns how many were filled.
    ///
    /// A slot is lent with [`NS_BUF_CHANGED`] in its flags if its buffer is another than the one that was last sent
    /// from it (a pipe's other end, or a zero-copy monitor, exchanged it), and with no flags otherwise.
    ///
    /// With offsets, what is lent begins behind the slot's offset. A slot that names no buffer ends the batch
    /// too, and is counted in [`bad_slots`](TxRing::bad_slots).
    #[inline(always)]
    pub fn fill<F: FnMut(&mut TxSlot<'_>) -> u16>(&mut self, max: u32, fill: F) -> u32 {
        if self.half.offset_mask == 0 {
            self.fill_slots::<false, F>(max, fill)
        } else {
            self.fill_slots::<true, F>(max, fill)
        }
    }

    #[inline(always)]
    fn fill_slots<const OFFSETS: bool, F: FnMut(&mut TxSlot<'_>) -> u16>(
        &mut self,
        max: u32,
        mut fill: F,
    ) -> u32 {
        let half = &mut self.half;
        let (lane, want) = (half.lane(), max.min(half.avail()));
        let mut at = half.head;
        let mut done = 0;
        while done < want {
            // SAFETY: `at` is a cursor: `head`, or one that `next` made.
            let old = unsafe { lane.read(at) };
            let Some(buf) = lane.buf(old.buf_idx) else {
                half.bad_slots += 1;
                break;
            };
            let mut offset = 0;
            if OFFSETS {
                if let Some(new) = self.offset {
                    let ptr = half.read_ptr(at) & !half.offset_mask;
                    half.write_ptr(at, ptr | new);
                }
                offset = half.tx_offset(at);
            }
            let room = (lane.buf_size - offset) as usize;
            // SAFETY: rule 1: the slot is in [head, tail), so its buffer is ours; `buf` vouches for the bounds
            // and `offset` is at most the buffer's size; one slot is lent at a time, for no longer than the
            // closure runs.
            let buf = unsafe { slice::from_raw_parts_mut(buf.add(offset as usize), room) };
            let changed = old.flags & NS_BUF_CHANGED;
            let mut slot = TxSlot { buf_idx: old.buf_idx, buf, flags: changed };
            let len = fill(&mut slot);
            if len == 0 {
                break;
            }
            debug_assert!(usize::from(len) <= room, "{len} bytes in {room}");
            // A buffer that a zero-copy monitor exchanged is new to the driver until it has seen the flag.
            let flags = (slot.flags & !NS_INDIRECT) | changed;
            // SAFETY: as for the read.
            unsafe { lane.write_len_flags(at, len, flags) };
            at = lane.next(at);
            done += 1;
        }
        half.head = at;
        done
    }

    /// Asks for a report when the slot filled last has been sent, where the port sends lazily (`NS_REPORT`).
    /// Does nothing if no slot was filled since the last sync.
    pub fn report_last(&mut self) {
        if self.unsent() == 0 {
            return;
        }
        let half = &mut self.half;
        let last = cursor::prev(half.head, half.raw.num_slots());
        let slot = half.raw.read_slot(last);
        half.raw.write_len_flags(last, slot.len, slot.flags | NS_REPORT);
    }

    /// Sends the first `len` bytes of `buffer` without a copy: it changes places with the buffer in the next
    /// slot, so that `buffer` is then that one. `false`, and nothing done, if no slot is free, the buffer
    /// belongs to another region, or `len` is 0 or more than it has.
    #[must_use = "a full ring sends nothing"]
    pub fn send(&mut self, buffer: &mut Buffer, len: u16, flags: u16) -> bool {
        let half = &mut self.half;
        let fits = len > 0 && u32::from(len) <= half.raw.buf_size() && buffer.region() == half.shared.region;
        let Some((at, slot)) = half.next_slot().filter(|_| fits) else { return false };
        let buf_idx = buffer.replace(slot.buf_idx);
        if half.offset_mask != 0 {
            let ptr = half.read_ptr(at) & !half.offset_mask;
            half.write_ptr(at, ptr);
        }
        let flags = flags & !NS_INDIRECT | NS_BUF_CHANGED;
        half.raw.write_slot(at, SlotCopy { buf_idx, len, flags });
        half.advance();
        true
    }

    /// Fills up to `max` slots with pointers to `frame`, which VALE ports send from where it is; others ignore
    /// the flag and would send what is in the slots' buffers. Returns how many were filled: none with a frame
    /// that was pinned for another port, or with offsets, which take the pointer's place.
    pub fn send_indirect(&mut self, frame: &IndirectFrame, max: u32) -> u32 {
        let half = &mut self.half;
        let fits = u32::from(frame.len()) <= half.raw.buf_size();
        if !fits || half.offset_mask != 0 || !frame.belongs_to(&half.shared) {
            return 0;
        }
        let mut done = 0;
        while done < max {
            let Some((at, slot)) = half.next_slot() else { break };
            half.write_ptr(at, frame.address());
            half.raw.write_len_flags(at, frame.len(), slot.flags & NS_BUF_CHANGED | NS_INDIRECT);
            half.advance();
            done += 1;
        }
        done
    }

    /// As [`fill`](TxRing::fill), for frames that are all alike: `fill` writes the same bytes each time, and is not
    /// asked again for a slot that is as this function left it, buffer, length and flags. `known` is what it
    /// remembers of the slots ([`num_slots`](TxRing::num_slots) words, 0 to begin with); it counts for one kind of
    /// frame, and while nothing else is written to the ring's buffers.
    ///
    /// # Panics
    /// If `known` has another length.
    #[inline]
    pub fn fill_alike<F: FnMut(&mut TxSlot<'_>) -> u16>(
        &mut self,
        known: &mut [u64],
        max: u32,
        mut fill: F,
    ) -> u32 {
        assert_eq!(known.len(), self.half.raw.num_slots() as usize);
        let want = max.min(self.space());
        let mut done = 0;
        while done < want {
            let half = &mut self.half;
            let lane = half.lane();
            let run = (want - done).min(lane.num_slots - half.head);
            let first = half.head as usize;
            let mut same = 0;
            for left in &known[first..first + run as usize] {
                // SAFETY: `head + same` is below `num_slots`.
                let word = unsafe { lane.read_word(half.head + same) };
                // A slot of zeros names no buffer, and is for `fill` to count.
                if word != *left || word == 0 {
                    break;
                }
                same += 1;
            }
            half.head = cursor::add(half.head, same, lane.num_slots);
            done += same;
            if same == run {
                continue;
            }
            let at = half.head;
            if self.fill(1, &mut fill) == 0 {
                break;
            }
            done += 1;
            // SAFETY: `at` is a cursor.
            let word = unsafe { lane.read_word(at) };
            // With a flag it is not yet as it will be found the next time.
            let SlotCopy { flags, .. } = SlotCopy::from_word(word);
            known[at as usize] = if flags == 0 { word } else { 0 };
        }
        done
    }

    /// As [`fill`](TxRing::fill), in memory of this program's own: what is lent is the slot's part of `buffers`,
    /// which VALE ports send from there; others ignore the flag and would send what is in the slots' own buffers.
    /// [`TxSlot::buf_idx`] is the slot's number. Nothing is lent with offsets, which take the pointer's place, nor
    /// of buffers that were made for another ring.
    #[inline(always)]
    pub fn fill_indirect<F: FnMut(&mut TxSlot<'_>) -> u16>(
        &mut self,
        buffers: &mut IndirectBuffers,
        max: u32,
        mut fill: F,
    ) -> u32 {
        let half = &mut self.half;
        if half.offset_mask != 0 || !buffers.belong_to(&half.shared, half.name) {
            return 0;
        }
        let (lane, want) = (half.lane(), max.min(half.avail()));
        let mut at = half.head;
        let mut done = 0;
        while done < want {
            let (address, buf) = buffers.part(at);
            let mut slot = TxSlot { buf_idx: at, buf, flags: 0 };
            let len = fill(&mut slot);
            if len == 0 {
                break;
            }
            debug_assert!(usize::from(len) <= slot.buf.len(), "{len} bytes in {}", slot.buf.len());
            let flags = slot.flags | NS_INDIRECT;
            half.write_ptr(at, address);
            // SAFETY: `at` is a cursor: `head`, or one that `next` made.
            unsafe { lane.write_len_flags(at, len, flags) };
            at = lane.next(at);
            done += 1;
        }
        half.head = at;
        done
    }

    /// Memory for [`fill_indirect`](TxRing::fill_indirect): a buffer of at least `size` bytes, and at most what a
    /// slot's own holds, for each slot. It stays as long as the port.
    #[must_use]
    pub fn indirect_buffers(&self, size: u16) -> IndirectBuffers {
        let half = &self.half;
        let size = u32::from(size).min(half.raw.buf_size());
        IndirectBuffers::new(&half.shared, half.name, half.raw.num_slots(), size)
    }

    /// Sets the offset that filled slots get from here on, or leaves each at its own. `false` if it is above
    /// the largest one that the port was opened with; a port without offsets has 0.
    #[must_use = "an offset that is too large is not set"]
    pub fn set_offset(&mut self, offset: Option<u64>) -> bool {
        let fits = offset.is_none_or(|offset| offset <= self.half.max_offset());
        if fits {
            self.offset = offset.filter(|_| self.half.offset_mask != 0);
        }
        fits
    }

    /// Slots filled since the last sync.
    #[must_use]
    pub fn unsent(&self) -> u32 {
        self.half.unpublished()
    }

    /// Slots filled and not free again, as of the last sync. The port may have sent their frames already: many
    /// give slots back late.
    #[inline(always)]
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.half.raw.num_slots() - 1 - self.space()
    }

    /// Times a batch ended at a slot that names no buffer: someone spoilt the ring, or it is a mock one.
    #[must_use]
    pub fn bad_slots(&self) -> u64 {
        self.half.bad_slots
    }

    /// Slots in the ring.
    #[must_use]
    pub fn num_slots(&self) -> u32 {
        self.half.raw.num_slots()
    }

    /// Bytes in a buffer.
    #[must_use]
    pub fn buf_size(&self) -> u32 {
        self.half.raw.buf_size()
    }

    /// One past the largest buffer index this ring can name.
    #[must_use]
    pub fn num_bufs(&self) -> u32 {
        self.half.raw.num_bufs()
    }

    pub(super) fn publish(&mut self) {
        self.half.publish();
    }

    pub(super) fn refresh(&mut self) -> Result<(), KernelError> {
        self.half.refresh()
    }
}
