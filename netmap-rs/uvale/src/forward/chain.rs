//! Packets in several slots: read, judged, and dropped as a whole or not at all.

use super::MAX_FRAGS;
use crate::counters::Snapshot;
use netmap_rs::csb::kern::{BadSlot, Frame, KernTx};
use netmap_rs::sys::{NS_INDIRECT, NS_MOREFRAG};

/// What is wrong with a chain, which is then dropped as a whole.
pub(super) enum Spoilt {
    BadSlot(BadSlot),
    Indirect,
    Chain,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The last fragment is there.
    Complete,
    /// There are [`MAX_FRAGS`] and more to come.
    TooLong,
    /// The application has given no more yet.
    Waiting,
}

/// A packet in several slots, or in one that is not to be forwarded.
pub(super) struct Chain {
    pub(super) slots: u32,
    pub(super) bytes: u64,
    pub(super) spoilt: Option<Spoilt>,
    pub(super) end: End,
}

/// Reads the chain that begins `at` slots after the first pending one, appending its frames.
#[cold]
pub(super) fn read_chain(tx: &KernTx, at: u32, pending: u32, frames: &mut Vec<Frame>) -> Chain {
    let mut chain = Chain { slots: 0, bytes: 0, spoilt: None, end: End::Waiting };
    while at + chain.slots < pending {
        if chain.slots == MAX_FRAGS {
            chain.end = End::TooLong;
            break;
        }
        let slot = tx.frame(at + chain.slots);
        chain.slots += 1;
        let flags = match slot {
            Ok(frame) => {
                if frame.flags() & NS_INDIRECT != 0 {
                    chain.spoilt.get_or_insert(Spoilt::Indirect);
                }
                chain.bytes += u64::from(frame.len());
                frames.push(frame);
                frame.flags()
            }
            Err(bad) => {
                chain.spoilt.get_or_insert(Spoilt::BadSlot(bad));
                bad.flags
            }
        };
        if flags & NS_MOREFRAG == 0 {
            chain.end = End::Complete;
            break;
        }
    }
    chain
}

/// Passes over the rest of a chain that was dropped, `at` slots after the first pending one; how many slots.
#[cold]
pub(super) fn skip(tx: &mut KernTx, at: u32, pending: u32, skipping: &mut bool, now: &mut Snapshot) -> u32 {
    let mut slots = 0;
    while *skipping && at + slots < pending {
        let flags = match tx.frame(at + slots) {
            Ok(frame) => {
                now.tx_bytes += u64::from(frame.len());
                frame.flags()
            }
            Err(bad) => {
                now.resets += u64::from(tx.restore(at + slots));
                bad.flags
            }
        };
        *skipping = flags & NS_MOREFRAG != 0;
        slots += 1;
    }
    slots
}
