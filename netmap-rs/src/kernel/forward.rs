//! Zero-copy forwarding: a received frame's buffer changes places with that of a transmit slot, of any two ports
//! in one memory region. This is how netmap's bridges forward.

use super::rx::RxRing;
use super::tx::TxRing;
use crate::layout::SlotCopy;
use crate::sys::{NS_BUF_CHANGED, NS_INDIRECT, NS_MOREFRAG};
use std::slice;

/// A frame on its way from one ring to another, lent for one closure call.
#[derive(Debug)]
pub struct Passing<'a> {
    /// The frame, or this fragment of it; what is written to it is sent.
    pub data: &'a mut [u8],
    /// `NS_*` flags to send with; [`NS_MOREFRAG`] as received, the rest 0.
    pub flags: u16,
}

/// Two rings between which no buffer can change places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotForward {
    /// They lie in different memory regions.
    #[error("the ports do not share memory; open both in one region, or copy")]
    OtherRegion,
    /// One keeps offsets in its slots that the other does not understand.
    #[error("the ports keep different offsets in their slots")]
    OtherOffsets,
}

/// Passes up to `max` received frames on without a copy, oldest first, for as long as `tx` has free slots; `pass`
/// looks at each, may change it, and says whether it is sent (or else dropped). Returns how many left `rx`. Sync
/// both ports to make it so.
///
/// Fragments come one by one: who drops one must drop the packet's others.
pub fn forward<F: FnMut(&mut Passing<'_>) -> bool>(
    rx: &mut RxRing,
    tx: &mut TxRing,
    max: u32,
    mut pass: F,
) -> Result<u32, CannotForward> {
    let (from, to) = (&mut rx.half, &mut tx.half);
    if from.shared.region != to.shared.region {
        return Err(CannotForward::OtherRegion);
    }
    // The receiver may be shown larger offsets than the sender may ask for (VALE aligns copies by them).
    if from.offset_mask != to.offset_mask {
        return Err(CannotForward::OtherOffsets);
    }
    let mut done = 0;
    while done < max {
        let Some((at, free)) = to.next_slot() else { break };
        let Some((slot, offset)) = from.next_frame() else { break };
        if u64::from(offset) > to.max_offset() {
            return Err(CannotForward::OtherOffsets);
        }
        let Some(buf) = from.raw.buf(slot.buf_idx) else { break };
        // SAFETY: rule 1: the slot is in [head, tail), so its buffer is ours; `next_frame` checked that offset
        // and length lie in it; it is lent for no longer than the closure runs.
        let data =
            unsafe { slice::from_raw_parts_mut(buf.as_ptr().add(offset as usize), usize::from(slot.len)) };
        let mut passing = Passing { data, flags: slot.flags & NS_MOREFRAG };
        let send = pass(&mut passing);
        let flags = passing.flags;
        if send {
            let head = from.head;
            to.raw.write_slot(at, SlotCopy { flags: flags & !NS_INDIRECT | NS_BUF_CHANGED, ..slot });
            from.raw.write_slot(head, SlotCopy { buf_idx: free.buf_idx, len: 0, flags: NS_BUF_CHANGED });
            if from.offset_mask != 0 {
                let (received, own) = (from.read_ptr(head), to.read_ptr(at));
                to.write_ptr(at, received);
                from.write_ptr(head, own);
            }
            to.advance();
        }
        from.advance();
        done += 1;
    }
    Ok(done)
}
