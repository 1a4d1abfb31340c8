//! Frames on their way out by several queues: which takes which, and what each has not taken yet.

use super::io::BURST;
use super::library::{Frame, Library, Mbuf, RawPort};
use crate::queues::queue_of;

/// One lane for each queue; none where there is one queue.
#[derive(Debug, Default)]
pub(super) struct Lanes(Vec<Lane>);

/// Mbufs that wait for a queue: `from..to`.
#[derive(Debug)]
struct Lane {
    mbufs: [Mbuf; BURST],
    frames: [Frame; BURST],
    from: usize,
    to: usize,
}

// SAFETY: as of the port that they belong to: mbufs are this port's alone (rule 2 of `library`).
#[allow(unsafe_code)]
unsafe impl Send for Lane {}

impl Lanes {
    pub(super) fn new(queues: u16) -> Lanes {
        let count = if queues > 1 { queues } else { 0 };
        let lane =
            |_| Lane { mbufs: [std::ptr::null_mut(); BURST], frames: [Frame::NONE; BURST], from: 0, to: 0 };
        Lanes((0..count).map(lane).collect())
    }

    #[inline(always)]
    pub(super) fn are_used(&self) -> bool {
        !self.0.is_empty()
    }

    #[inline(always)]
    pub(super) fn waits(&self) -> bool {
        self.0.iter().any(|lane| lane.from < lane.to)
    }

    pub(super) fn waiting(&self) -> usize {
        self.0.iter().map(|lane| lane.to - lane.from).sum()
    }

    /// Takes over written mbufs, a burst at most and only when none waits, and offers each queue its own.
    pub(super) fn flush(&mut self, library: &Library, port: &RawPort, mbufs: &[Mbuf], frames: &[Frame]) {
        debug_assert!(mbufs.is_empty() || !self.waits());
        let count = self.0.len();
        for (&mbuf, &frame) in mbufs.iter().zip(frames) {
            // SAFETY: the mbuf is held until its queue takes it (rule 2), and the slice ends here.
            #[allow(unsafe_code)]
            let data = unsafe { frame.data() };
            let lane = &mut self.0[queue_of(data, count)];
            (lane.mbufs[lane.to], lane.frames[lane.to]) = (mbuf, frame);
            lane.to += 1;
        }
        for (queue, lane) in self.0.iter_mut().enumerate().filter(|(_, lane)| lane.from < lane.to) {
            let Lane { mbufs, frames, from, to } = lane;
            *from += library.tx(port, queue as u16, &mut mbufs[*from..*to], &frames[*from..*to]);
            if *from == *to {
                (*from, *to) = (0, 0);
            }
        }
    }

    /// Gives back what waits.
    pub(super) fn free(&mut self, library: &Library) {
        for lane in &mut self.0 {
            library.free(&mut lane.mbufs[lane.from..lane.to]);
            (lane.from, lane.to) = (0, 0);
        }
    }
}
