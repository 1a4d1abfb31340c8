//! A kernel port's receive ring.

use super::buffer::Buffer;
use super::error::{KernelError, RingName};
use super::ring::Half;
use crate::csb::RxSlot;
use crate::layout::SlotCopy;
use crate::sys::{NR_FORWARD, NR_TIMESTAMP, NS_BUF_CHANGED, NS_FORWARD, NS_MOREFRAG, NS_PORT_MASK};
use std::ops::Range;
use std::slice;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A receive ring. `[head, tail)` are received slots; they are given back by
/// [`KernelPort::rxsync`](super::KernelPort::rxsync) or [`wait`](super::KernelPort::wait), which also show new
/// ones.
#[derive(Debug)]
pub struct RxRing {
    pub(super) half: Half,
    /// Frames may be passed on, to a transmit ring of the same port among others.
    pub(super) forwarding: bool,
}

/// What was received and not looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Slots.
    pub slots: u32,
    /// Packets whose last fragment, or only one, was in them.
    pub packets: u32,
    /// Bytes, as the slots tell.
    pub bytes: u64,
}

/// What becomes of a received frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its slot goes back to the port.
    Release,
    /// It is passed on between the interface and the host's stack, on a ring that forwards
    /// ([`RxRing::set_forwarding`]).
    Forward,
}

impl RxRing {
    pub(super) fn new(half: Half) -> RxRing {
        RxRing { half, forwarding: false }
    }

    /// Which ring it is.
    #[must_use]
    pub fn name(&self) -> RingName {
        self.half.name
    }

    /// Received slots known of at the last sync.
    #[inline(always)]
    #[must_use]
    pub fn avail(&self) -> u32 {
        self.half.avail()
    }

    /// Lends up to `max` received slots, oldest first. Returns how many there were. A slot that names no buffer,
    /// or more bytes than one has, is counted in [`bad_slots`](RxRing::bad_slots) and not lent.
    ///
    /// The flags lent are `NS_*` only: the fragment count that VALE leaves in the high byte is masked.
    #[inline(always)]
    pub fn drain<F: FnMut(RxSlot<'_>)>(&mut self, max: u32, mut sink: F) -> u32 {
        self.drain_verdict(max, |slot| {
            sink(slot);
            Verdict::Release
        })
    }

    /// Takes up to `max` received slots without looking at their buffers.
    pub fn count(&mut self, max: u32) -> Counted {
        let half = &mut self.half;
        let (lane, want) = (half.lane(), max.min(half.avail()));
        let mut counted = Counted { slots: want, ..Counted::default() };
        let mut at = half.head;
        for _ in 0..want {
            // SAFETY: `at` is a cursor: `head`, or one that `next` made.
            let SlotCopy { len, flags, .. } = unsafe { lane.read(at) };
            counted.bytes += u64::from(len);
            counted.packets += u32::from(flags & NS_MOREFRAG == 0);
            at = lane.next(at);
        }
        half.head = at;
        counted
    }

    /// What `look` says of the oldest frame, which stays; `None` if there is none, or its slot names no buffer or
    /// more bytes than one has.
    pub fn next_is(&self, look: impl FnOnce(&[u8]) -> bool) -> Option<bool> {
        let half = &self.half;
        if half.avail() == 0 {
            return None;
        }
        let slot = half.raw.read_slot(half.head);
        let offset = if half.offset_mask == 0 {
            (u32::from(slot.len) <= half.raw.buf_size()).then_some(0)?
        } else {
            half.rx_offset(half.head, slot.len)?
        };
        let buf = half.raw.buf(slot.buf_idx)?;
        // SAFETY: rule 1: the slot is in [head, tail), so its buffer is ours, and `self` is borrowed for as long as
        // the closure runs; offset and length together were checked against the buffer's size.
        let data = unsafe { slice::from_raw_parts(buf.as_ptr().add(offset as usize), usize::from(slot.len)) };
        Some(look(data))
    }

    /// As [`drain`](RxRing::drain), with a verdict on each frame.
    #[inline(always)]
    pub fn drain_verdict<F: FnMut(RxSlot<'_>) -> Verdict>(&mut self, max: u32, sink: F) -> u32 {
        if self.half.offset_mask == 0 {
            self.drain_slots::<false, F>(max, sink)
        } else {
            self.drain_slots::<true, F>(max, sink)
        }
    }

    #[inline(always)]
    fn drain_slots<const OFFSETS: bool, F: FnMut(RxSlot<'_>) -> Verdict>(
        &mut self,
        max: u32,
        mut sink: F,
    ) -> u32 {
        let half = &mut self.half;
        let (lane, want) = (half.lane(), max.min(half.avail()));
        let mut at = half.head;
        for _ in 0..want {
            let this = at;
            // SAFETY: `this` is a cursor: `head`, or one that `next` made.
            let SlotCopy { buf_idx, len, flags } = unsafe { lane.read(this) };
            at = lane.next(at);
            let offset = if OFFSETS {
                half.rx_offset(this, len)
            } else {
                (u32::from(len) <= lane.buf_size).then_some(0)
            };
            let Some((buf, offset)) = lane.buf(buf_idx).zip(offset) else {
                half.bad_slots += 1;
                continue;
            };
            // SAFETY: rule 1: the slot is in [head, tail), so its buffer is ours until `head` is published;
            // offset and length together were checked against the buffer's size.
            let data = unsafe { slice::from_raw_parts(buf.add(offset as usize), usize::from(len)) };
            if sink(RxSlot { buf_idx, data, flags: flags & !NS_PORT_MASK }) == Verdict::Forward {
                // SAFETY: as for the read.
                unsafe { lane.write_len_flags(this, len, flags | NS_FORWARD) };
            }
        }
        half.head = at;
        want
    }

    /// Takes the oldest frame out of the ring without a copy: its buffer changes places with `buffer`, which is
    /// then the frame's. Returns the frame's place in it and the slot's flags; `None`, and nothing done, if
    /// there is no frame, or `buffer` belongs to another region. Bad slots are counted and passed over.
    pub fn exchange(&mut self, buffer: &mut Buffer) -> Option<(Range<usize>, u16)> {
        let half = &mut self.half;
        if buffer.region() != half.shared.region {
            return None;
        }
        let (slot, offset) = half.next_frame()?;
        let buf_idx = buffer.replace(slot.buf_idx);
        let at = half.head;
        half.raw.write_slot(at, SlotCopy { buf_idx, flags: slot.flags | NS_BUF_CHANGED, ..slot });
        half.advance();
        let start = offset as usize;
        Some((start..start + usize::from(slot.len), slot.flags & !NS_PORT_MASK))
    }

    fn set_flag(&mut self, flag: u32, on: bool) {
        if on {
            self.half.flags().fetch_or(flag, Ordering::Relaxed);
        } else {
            self.half.flags().fetch_and(!flag, Ordering::Relaxed);
        }
    }

    /// Whether each sync writes its time, even where the module parameter `no_timestamp` says otherwise.
    pub fn set_timestamps(&mut self, on: bool) {
        self.set_flag(NR_TIMESTAMP, on);
    }

    /// The time of the last sync or poll that received, if one wrote it.
    #[must_use]
    pub fn timestamp(&self) -> Option<SystemTime> {
        let (seconds, micros) = self.half.timestamp();
        let whole = Duration::from_secs(u64::try_from(seconds).ok().filter(|&s| s > 0)?);
        Some(UNIX_EPOCH + whole + Duration::from_micros(u64::try_from(micros).ok()?))
    }

    /// Whether frames with [`Verdict::Forward`] are passed on between the interface and the host's stack
    /// (`NR_FORWARD`): receive rings of interfaces only, with all rings bound to one descriptor.
    ///
    /// They leave when their slots are given back. Frames of the host's stack then go to the port's own transmit
    /// rings, after those that were filled; a receive sync sends these too.
    pub fn set_forwarding(&mut self, on: bool) {
        self.forwarding = on;
        self.set_flag(NR_FORWARD, on);
    }

    /// Slots filled with an impossible index or length.
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
