//! The packets of one batch, and a list of them for each destination.

use super::{BATCH, FLOOD, MAX_FRAGS, MAX_PORTS};
use netmap_rs::csb::kern::Frame;

/// End of a list of packets; larger than any packet's number.
pub(super) const NIL: u16 = u16::MAX;

/// A packet of the batch at hand: a run of its frames, linked into its destination's list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet {
    pub(super) first: u16,
    pub(super) frags: u16,
    pub(super) next: u16,
}

#[derive(Debug, Clone, Copy)]
struct List {
    head: u16,
    tail: u16,
}

const EMPTY: List = List { head: NIL, tail: NIL };

/// Scratch space of a batch, allocated once.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) frames: Vec<Frame>,
    pub(super) packets: Vec<Packet>,
    lists: Box<[List; FLOOD + 1]>,
    /// Destinations with a list, flood excluded.
    pub(super) active: Vec<u8>,
}

impl Default for Batch {
    fn default() -> Self {
        Batch {
            // A chain is read to its end before it is put off to the next batch.
            frames: Vec::with_capacity((BATCH + MAX_FRAGS) as usize),
            packets: Vec::with_capacity(BATCH as usize),
            lists: Box::new([EMPTY; FLOOD + 1]),
            active: Vec::with_capacity(MAX_PORTS),
        }
    }
}

impl Batch {
    /// The first packet of a list, or [`NIL`].
    #[inline(always)]
    pub(super) fn head(&self, list: usize) -> u16 {
        self.lists[list].head
    }

    pub(super) fn clear(&mut self) {
        for &port in &self.active {
            self.lists[usize::from(port)] = EMPTY;
        }
        self.lists[FLOOD] = EMPTY;
        self.active.clear();
        self.frames.clear();
        self.packets.clear();
    }

    #[inline(always)]
    pub(super) fn append(&mut self, list: usize, packet: u16) {
        let List { head, tail } = &mut self.lists[list];
        if *head == NIL {
            *head = packet;
            if list != FLOOD {
                self.active.push(list as u8);
            }
        } else {
            self.packets[usize::from(*tail)].next = packet;
        }
        *tail = packet;
    }
}
