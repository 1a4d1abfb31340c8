//! Which frames of a stream arrived, in which order, and how often.
//!
//! A frame is *reordered* when one with a higher sequence number arrived before it (Type-P-Reordered, RFC 4737
//! section 3.3), *duplicate* when its number had been seen (then it is not reordered as well), and *missing*
//! while its number lies between the lowest and the highest seen and has not.
//!
//! The frame that was expected costs one comparison and one increment; all else is bookkeeping for the others.
//! A window of the last [`WINDOW`] numbers below the next expected remembers which are missing. A frame that is
//! further behind is exact where it can be: if it precedes the first frame seen, or nothing so old is missing.
//! If something is, it counts as reordered and fills one gap. So duplicates older than the window may be
//! understated, never overstated, and received − duplicates + missing is always the span from the first number
//! to the last.
#![forbid(unsafe_code)]

use crate::spec::StreamReport;

/// Sequence numbers below the next expected whose fate is remembered: eight laps of a 1024-slot ring.
pub const WINDOW: u64 = 8192;
const WORDS: usize = (WINDOW / 64) as usize;

/// Most streams of one receiver.
pub const MAX_STREAMS: usize = 256;

/// What one arrival was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The next expected, or the first of all.
    InOrder,
    /// Further on than expected: this many are missing for now.
    Gap(u64),
    /// One that had been missing.
    Reordered,
    /// Seen before.
    Duplicate,
}

/// One stream's account.
#[derive(Debug, Clone)]
pub struct Tracker {
    stream: u16,
    /// One above the highest number seen; 0 before the first frame.
    next: u64,
    first: u64,
    missing: u64,
    reordered: u64,
    duplicate: u64,
    /// One bit for each number of the window, at its value modulo the window's length; set while missing.
    /// Valid for the window below `synced`: frames that came as expected since then left no trace here.
    gaps: Box<[u64; WORDS]>,
    synced: u64,
}

impl Tracker {
    /// Nothing received yet.
    pub fn new(stream: u16) -> Self {
        Self {
            stream,
            next: 0,
            first: 0,
            missing: 0,
            reordered: 0,
            duplicate: 0,
            gaps: Box::new([0; WORDS]),
            synced: 0,
        }
    }

    /// The stream's id.
    pub fn stream(&self) -> u16 {
        self.stream
    }

    /// The next sequence number expected: one above the highest seen, 0 before the first frame.
    #[inline]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Numbers missing so far.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// The next `frames` numbers arrived as expected. Not for the first frame of a stream.
    #[inline]
    pub fn advance(&mut self, frames: u64) {
        debug_assert!(self.next > 0 || frames == 0, "the first frame of a stream sets where it starts");
        self.next += frames;
    }

    /// Accounts for a frame. Sequence numbers are below 2⁴⁸, so none overflows.
    pub fn record(&mut self, seq: u64) -> Arrival {
        if self.next == 0 {
            (self.first, self.next, self.synced) = (seq, seq + 1, seq + 1);
            return Arrival::InOrder;
        }
        if seq == self.next {
            self.next += 1;
            return Arrival::InOrder;
        }
        self.sync();
        if seq > self.next { self.skip_to(seq) } else { self.late(seq) }
    }

    /// What the report says.
    pub fn report(&self) -> StreamReport {
        if self.next == 0 {
            return StreamReport { stream: self.stream, ..StreamReport::default() };
        }
        StreamReport {
            stream: self.stream,
            received: self.next - self.first - self.missing + self.duplicate,
            reordered: self.reordered,
            duplicate: self.duplicate,
            missing: self.missing,
            first_seq: self.first,
            last_seq: self.next - 1,
        }
    }

    /// Brings the window up to `next`: what arrived as expected since is not missing.
    fn sync(&mut self) {
        self.mark(self.synced, self.next, false);
        self.synced = self.next;
    }

    fn skip_to(&mut self, seq: u64) -> Arrival {
        let gap = seq - self.next;
        self.mark(self.next, seq, true);
        self.mark(seq, seq + 1, false);
        self.missing += gap;
        (self.next, self.synced) = (seq + 1, seq + 1);
        Arrival::Gap(gap)
    }

    fn late(&mut self, seq: u64) -> Arrival {
        let arrived = if seq < self.first {
            // Between it and the former first frame everything is missing.
            let start = self.next.saturating_sub(WINDOW).max(seq + 1);
            self.mark(start.min(self.first), self.first, true);
            self.missing += self.first - seq - 1;
            self.first = seq;
            true
        } else if seq >= self.next.saturating_sub(WINDOW) {
            let (word, bit) = Self::place(seq);
            let missing = self.gaps[word] & bit != 0;
            self.gaps[word] &= !bit;
            self.missing -= u64::from(missing);
            missing
        } else {
            let recent: u64 = self.gaps.iter().map(|word| u64::from(word.count_ones())).sum();
            let missing = self.missing > recent;
            self.missing -= u64::from(missing);
            missing
        };
        self.reordered += u64::from(arrived);
        self.duplicate += u64::from(!arrived);
        if arrived { Arrival::Reordered } else { Arrival::Duplicate }
    }

    /// Sets or clears the bits of `from..to`; of a longer span only the last window's length has bits.
    fn mark(&mut self, from: u64, to: u64, missing: bool) {
        let mut seq = from.max(to.saturating_sub(WINDOW));
        while seq < to {
            // As many as lie in one word.
            let count = (64 - seq % 64).min(to - seq);
            let mask = (u64::MAX >> (64 - count)) << (seq % 64);
            let word = &mut self.gaps[Self::place(seq).0];
            *word = if missing { *word | mask } else { *word & !mask };
            seq += count;
        }
    }

    fn place(seq: u64) -> (usize, u64) {
        ((seq / 64) as usize % WORDS, 1 << (seq % 64))
    }
}

/// The streams of one receiver, found by id; a stream is made when its first frame comes.
#[derive(Debug, Clone)]
pub struct Streams {
    trackers: Vec<Tracker>,
    /// Index of each stream id, plus 1; 0 for none.
    index: Box<[u16]>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { trackers: Vec::with_capacity(MAX_STREAMS), index: vec![0; 1 << 16].into() }
    }
}

impl Streams {
    /// The index of a stream, which is made if it is new; `None` for one more than [`MAX_STREAMS`].
    pub fn find(&mut self, stream: u16) -> Option<usize> {
        match self.index[usize::from(stream)] {
            0 if self.trackers.len() == MAX_STREAMS => None,
            0 => {
                self.trackers.push(Tracker::new(stream));
                self.index[usize::from(stream)] = self.trackers.len() as u16;
                Some(self.trackers.len() - 1)
            }
            found => Some(usize::from(found) - 1),
        }
    }

    /// The streams in the order of their first frames.
    pub fn trackers(&self) -> &[Tracker] {
        &self.trackers
    }

    /// The stream of an index that [`Streams::find`] returned.
    pub fn tracker_mut(&mut self, index: usize) -> &mut Tracker {
        &mut self.trackers[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// Remembers everything.
    #[derive(Default)]
    struct Naive {
        seen: HashSet<u64>,
        highest: Option<u64>,
        received: u64,
        reordered: u64,
        duplicate: u64,
    }

    impl Naive {
        fn record(&mut self, seq: u64) {
            self.received += 1;
            if !self.seen.insert(seq) {
                self.duplicate += 1;
            } else if self.highest.is_some_and(|highest| seq < highest) {
                self.reordered += 1;
            }
            self.highest = self.highest.max(Some(seq));
        }

        fn report(&self, stream: u16) -> StreamReport {
            let (first, last) = (*self.seen.iter().min().unwrap(), self.highest.unwrap());
            StreamReport {
                stream,
                received: self.received,
                reordered: self.reordered,
                duplicate: self.duplicate,
                missing: last - first + 1 - self.seen.len() as u64,
                first_seq: first,
                last_seq: last,
            }
        }
    }

    /// Arrivals made of runs, jumps ahead and looks back, all within the window.
    fn arrivals() -> impl Strategy<Value = Vec<u64>> {
        let step = prop_oneof![
            4 => (1u64..200).prop_map(|run| (0, run)),
            2 => (1i64..300).prop_map(|ahead| (ahead, 1)),
            1 => (1i64..5000).prop_map(|ahead| (ahead, 1)),
            3 => ((1i64..2000), 1u64..5).prop_map(|(back, run)| (-back, run)),
        ];
        (0u64..1 << 40, prop::collection::vec(step, 1..80)).prop_map(|(start, steps)| {
            let mut seqs = vec![start];
            let mut next = start + 1;
            for (offset, run) in steps {
                let from = next.saturating_add_signed(offset);
                seqs.extend(from..from + run);
                next = next.max(from + run);
            }
            seqs
        })
    }

    proptest! {
        #[test]
        fn within_the_window_the_account_is_exact(seqs in arrivals()) {
            let (mut tracker, mut naive) = (Tracker::new(9), Naive::default());
            for &seq in &seqs {
                tracker.record(seq);
                naive.record(seq);
            }
            prop_assert_eq!(tracker.report(), naive.report(9));
        }

        #[test]
        fn any_arrivals_at_all_add_up(seqs in prop::collection::vec(0u64..60_000, 1..400)) {
            let (mut tracker, mut naive) = (Tracker::new(0), Naive::default());
            for &seq in &seqs {
                tracker.record(seq);
                naive.record(seq);
            }
            let (ours, exact) = (tracker.report(), naive.report(0));
            prop_assert_eq!(ours.received, seqs.len() as u64);
            prop_assert_eq!((ours.first_seq, ours.last_seq), (exact.first_seq, exact.last_seq));
            prop_assert_eq!(ours.received - ours.duplicate + ours.missing, ours.last_seq - ours.first_seq + 1);
            prop_assert_eq!(ours.reordered + ours.duplicate, exact.reordered + exact.duplicate);
            prop_assert!(ours.duplicate <= exact.duplicate, "a late frame was taken for a duplicate");
        }

        #[test]
        fn advancing_is_recording(start in 0u64..1000, runs in prop::collection::vec((1u64..20_000, 0u64..50), 1..6)) {
            let (mut one, mut many) = (Tracker::new(0), Tracker::new(0));
            one.record(start);
            many.record(start);
            for (run, gap) in runs {
                one.advance(run);
                for _ in 0..run {
                    let next = many.next();
                    prop_assert_eq!(many.record(next), Arrival::InOrder);
                }
                let seq = one.next() + gap;
                prop_assert_eq!(one.record(seq), many.record(seq));
                prop_assert_eq!(one.record(seq - 1), many.record(seq - 1));
            }
            prop_assert_eq!(one.report(), many.report());
        }
    }

    #[test]
    fn each_arrival_is_named() {
        let mut tracker = Tracker::new(1);
        let arrivals: Vec<_> =
            [10, 11, 14, 12, 12, 14, 9, 15].iter().map(|&seq| tracker.record(seq)).collect();
        use Arrival::*;
        assert_eq!(arrivals, [InOrder, InOrder, Gap(2), Reordered, Duplicate, Duplicate, Reordered, InOrder]);
        let report = tracker.report();
        assert_eq!((report.received, report.reordered, report.duplicate, report.missing), (8, 2, 2, 1));
        assert_eq!((report.first_seq, report.last_seq), (9, 15));
    }

    #[test]
    fn beyond_the_window_a_duplicate_is_known_while_nothing_so_old_is_missing() {
        let mut tracker = Tracker::new(1);
        tracker.record(0);
        tracker.advance(2 * WINDOW);
        tracker.record(2 * WINDOW + 5);
        assert_eq!(tracker.record(3), Arrival::Duplicate, "only recent numbers are missing");
        assert_eq!(tracker.missing(), 4);
    }

    #[test]
    fn beyond_the_window_a_frame_fills_a_gap_so_old() {
        let mut tracker = Tracker::new(1);
        tracker.record(0);
        tracker.record(2);
        tracker.advance(2 * WINDOW);
        assert_eq!(tracker.record(1), Arrival::Reordered);
        assert_eq!(tracker.record(1), Arrival::Duplicate, "there was one gap to fill");
        assert_eq!(tracker.missing(), 0);
    }

    #[test]
    fn a_gap_longer_than_the_window_is_counted_whole() {
        let mut tracker = Tracker::new(1);
        tracker.record(100);
        assert_eq!(tracker.record(100 + 10 * WINDOW), Arrival::Gap(10 * WINDOW - 1));
        assert_eq!(tracker.record(101), Arrival::Reordered);
        assert_eq!(tracker.record(100 + 9 * WINDOW), Arrival::Reordered);
        assert_eq!(tracker.missing(), 10 * WINDOW - 3);
    }

    #[test]
    fn streams_are_found_again_and_bounded() {
        let mut streams = Streams::default();
        assert_eq!(streams.find(65535), Some(0));
        assert_eq!(streams.find(0), Some(1));
        assert_eq!(streams.find(65535), Some(0));
        for stream in 1..MAX_STREAMS as u16 - 1 {
            assert!(streams.find(stream).is_some());
        }
        assert_eq!(streams.find(40_000), None, "one stream too many");
        assert_eq!(streams.find(0), Some(1), "those known stay known");
    }
}
