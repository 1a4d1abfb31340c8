//! The numbers that a sender's frames carry: a sequence, or one for each queue of its port, since frames of different
//! queues may pass each other on the way and those of one do not.
#![forbid(unsafe_code)]

use crate::frame::{Kind, mark_word};
use crate::queues::{MAX_QUEUES, queue_of};
use crate::template::Templates;

/// What is added to a sender's stream id for each further queue.
const NEXT_QUEUE: u16 = 1 << 8;

/// The sequences of one sender.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    stream: u16,
    /// The next number of each; those beyond the last queue stay 0.
    next: [u64; MAX_QUEUES],
    /// Which a flow's frames have; empty where there is one.
    of_flow: Vec<u8>,
}

impl Numbers {
    /// Of the stream `stream`, and of one more for each further queue among `queues` that the templates' flows take.
    pub(super) fn new(stream: u16, templates: &Templates, queues: u16) -> Numbers {
        let count = usize::from(queues).min(MAX_QUEUES);
        let mut frame = vec![0; templates.len(0).into()];
        let mut queue = |flow| match templates.write(0, flow, 0, 0, &mut frame) {
            Some(_) => queue_of(&frame, count) as u8,
            None => 0,
        };
        let of_flow = if count > 1 { (0..templates.flows()).map(&mut queue).collect() } else { Vec::new() };
        Numbers { stream, next: [0; MAX_QUEUES], of_flow }
    }

    /// Begins with `seq`.
    #[cfg(test)]
    pub(super) fn starting_at(mut self, seq: u64) -> Numbers {
        self.next[0] = seq;
        self
    }

    /// The sequence of a flow, by number.
    #[inline]
    pub(super) fn of(&self, flow: u32) -> usize {
        self.of_flow.get(flow as usize).map_or(0, |&queue| usize::from(queue) % MAX_QUEUES)
    }

    /// The mark words of the frames that come next, by sequence. They hold for [`Numbers::room`] frames.
    #[inline]
    pub(super) fn words(&self) -> [u64; MAX_QUEUES] {
        let mut queue = 0;
        self.next.map(|next| {
            let word = mark_word(Kind::Data, self.stream.wrapping_add(queue), next);
            queue = queue.wrapping_add(NEXT_QUEUE);
            word
        })
    }

    /// Frames that can be sent before the upper half of a number changes.
    #[inline]
    pub(super) fn room(&self) -> u64 {
        let largest = self.next.iter().map(|next| next & u64::from(u32::MAX)).fold(0, u64::max);
        (1 << 32) - largest
    }

    /// Whether the upper half of a number has changed just now.
    #[inline]
    pub(super) fn turned(&self) -> bool {
        self.next.iter().any(|&next| next > 0 && next & u64::from(u32::MAX) == 0)
    }

    /// The lower half of the next number of a sequence.
    #[inline]
    pub(super) fn low(&self, sequence: usize) -> u32 {
        self.next[sequence] as u32
    }

    /// So many numbers of a sequence are taken.
    #[inline]
    pub(super) fn advance(&mut self, sequence: usize, frames: u32) {
        self.next[sequence] += u64::from(frames);
    }

    /// Numbers taken, of all sequences.
    #[inline]
    pub(super) fn total(&self) -> u64 {
        self.next.iter().sum()
    }
}
