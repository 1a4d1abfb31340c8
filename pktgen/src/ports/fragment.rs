//! Frames sent in several slots each (`NS_MOREFRAG`): written whole by the role, then cut into the slots' buffers.
#![forbid(unsafe_code)]

use crate::frame::MARK_END;
use crate::port::TxFrame;
use netmap_rs::csb::TxSlot;
use netmap_rs::sys::NS_MOREFRAG;

/// Most slots of one frame: below `NETMAP_MAX_FRAGS` (64) of `net/netmap.h`, and as many as pkt-gen sends.
pub const MAX_FRAGMENTS: u32 = 63;

/// The least bytes of a fragment: the first holds headers and mark, so that a switch finds the addresses and a
/// receiver the mark.
pub const MIN_FRAGMENT: u16 = MARK_END as u16;

/// A transmit ring of either kind.
pub(crate) trait Slots {
    /// Free slots.
    fn space(&self) -> u32;
    /// Lends up to `max` of them.
    fn fill(&mut self, max: u32, each: impl FnMut(&mut TxSlot<'_>) -> u16) -> u32;
}

impl Slots for netmap_rs::kernel::TxRing {
    fn space(&self) -> u32 {
        self.space()
    }

    #[inline(always)]
    fn fill(&mut self, max: u32, each: impl FnMut(&mut TxSlot<'_>) -> u16) -> u32 {
        self.fill(max, each)
    }
}

impl Slots for netmap_rs::csb::TxRing {
    fn space(&self) -> u32 {
        self.space()
    }

    #[inline(always)]
    fn fill(&mut self, max: u32, each: impl FnMut(&mut TxSlot<'_>) -> u16) -> u32 {
        self.fill(max, each)
    }
}

/// Cuts frames up.
#[derive(Debug)]
pub(crate) struct Fragments {
    parts: u32,
    frame: Vec<u8>,
}

impl Fragments {
    /// Frames in `parts` slots, at most [`MAX_FRAGMENTS`], with `buffer` bytes in each.
    pub(crate) fn new(parts: u32, buffer: u32) -> Fragments {
        let parts = parts.clamp(1, MAX_FRAGMENTS);
        let longest = (u64::from(parts) * u64::from(buffer)).min(u16::MAX.into()) as usize;
        Fragments { parts, frame: vec![0; longest] }
    }

    /// Bytes in the longest frame.
    pub(crate) fn max_frame(&self) -> u16 {
        self.frame.len() as u16
    }

    /// Frames of which something lies in `slots` slots: at least so many, and exactly so where none is so short that it
    /// takes fewer slots than it may.
    pub(crate) fn frames(&self, slots: u32) -> u32 {
        slots.div_ceil(self.parts)
    }

    /// Lets `role` write up to `max` frames, as many as `ring` has whole sets of slots for, and puts each into its
    /// slots. `header` bytes before each frame are left zero. Sets `ended` if `role` had nothing more. Returns the
    /// frames.
    #[inline(always)]
    pub(crate) fn fill<F: FnMut(TxFrame<'_>) -> u16>(
        &mut self,
        ring: &mut impl Slots,
        max: u32,
        header: usize,
        role: &mut F,
        ended: &mut bool,
    ) -> u32 {
        let frames = max.min(ring.space() / self.parts);
        let mut done = 0;
        while done < frames {
            let len = role(TxFrame { key: Some(0), swapped: false, buf: &mut self.frame });
            if len == 0 {
                *ended = true;
                break;
            }
            let mut rest = &self.frame[..usize::from(len)];
            let piece = rest.len().div_ceil(self.parts as usize).max(MIN_FRAGMENT.into());
            let mut skip = header;
            let slots = rest.len().div_ceil(piece) as u32;
            let filled = ring.fill(slots, |slot| {
                let Some((part, after)) = rest.split_at_checked(piece.min(rest.len())) else { return 0 };
                let used = skip + part.len();
                let Some(buf) = slot.buf.get_mut(..used) else { return 0 };
                buf[..skip].fill(0);
                buf[skip..].copy_from_slice(part);
                slot.flags = if after.is_empty() { 0 } else { NS_MOREFRAG };
                (rest, skip) = (after, 0);
                used as u16
            });
            if filled < slots {
                // A ring with a slot that names no buffer: it has been counted there.
                *ended = true;
                break;
            }
            done += 1;
        }
        done
    }
}
