//! When each frame should leave: a schedule on absolute time, in integers.
//!
//! Every frame's departure is the one before plus what the frame costs, in units of 2⁻³² ns, so that nothing
//! drifts. A sender that polls late finds several frames due and sends them together. How many is bounded: what
//! has been due for longer than [`MAX_BURST_NS`] (or one frame's time, if that is more) is moved into a debt,
//! and the debt is repaid by leaving an eighth off the time of every frame. A debt above [`MAX_DEBT_NS`] is
//! abandoned: a sender that cannot keep up does not owe for ever. So after a pause the burst is at most 8/7 of a
//! millisecond's worth, and over any time in which the sender could keep up the average is the rate asked for.
//!
//! Deliberately absent: the clock and the sleeping; whoever drives the role passes the time in.
#![forbid(unsafe_code)]

use crate::Error;
use crate::spec::Rate;

/// Backlog that may leave at once, in nanoseconds of schedule.
pub const MAX_BURST_NS: u64 = 1_000_000;
/// Backlog that is still made up for, in nanoseconds of schedule.
pub const MAX_DEBT_NS: u64 = 1_000_000_000;
/// Frames per second that can be asked for.
pub const PPS: std::ops::RangeInclusive<f64> = 1.0..=100e6;
/// Bits per second that can be asked for: about one 64-byte frame to 100 million 1518-byte frames a second.
pub const BPS: std::ops::RangeInclusive<f64> = 512.0..=1.25e12;

/// Bytes of preamble, start delimiter and gap around a frame on the wire.
pub const L1_OVERHEAD: u16 = 20;

/// Fractional bits of a time in nanoseconds.
const FRACTION: u32 = 32;

/// The schedule of one sender.
#[derive(Debug, Clone)]
pub struct Pacer {
    /// Schedule time of one frame, by size index.
    costs: Vec<u128>,
    max_burst: u128,
    state: State,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    next: u128,
    debt: u128,
    late: u64,
    abandoned: u128,
}

/// One batch: the schedule, with the time fixed at the batch's start.
#[derive(Debug)]
pub struct Batch<'a> {
    costs: &'a [u128],
    home: &'a mut State,
    now: u128,
    state: State,
}

impl Pacer {
    /// A schedule for frames of `sizes` (bytes including FCS, referred to by index); `None` for [`Rate::Max`].
    pub fn new(rate: Rate, sizes: &[u16]) -> Result<Option<Self>, Error> {
        let check = |value: f64, unit, range: std::ops::RangeInclusive<f64>| {
            if range.contains(&value) {
                return Ok(());
            }
            Err(Error::Rate { value, unit, min: *range.start(), max: *range.end() })
        };
        let (rate, overhead) = match rate {
            Rate::Max => return Ok(None),
            Rate::Pps(pps) => {
                check(pps, "pps", PPS)?;
                return Ok(Some(Self::from_costs(sizes.iter().map(|_| fixed(1e9 / pps)).collect())));
            }
            Rate::L1Bps(bps) => (bps, L1_OVERHEAD),
            Rate::L2Bps(bps) => (bps, 0),
        };
        check(rate, "bit/s", BPS)?;
        let cost = |&size: &u16| fixed((f64::from(size) + f64::from(overhead)) * 8e9 / rate);
        Ok(Some(Self::from_costs(sizes.iter().map(cost).collect())))
    }

    fn from_costs(costs: Vec<u128>) -> Self {
        let longest = costs.iter().copied().max().unwrap_or(0);
        let max_burst = longest.max(u128::from(MAX_BURST_NS) << FRACTION);
        Self { costs, max_burst, state: State::default() }
    }

    /// The first frame is due at `now_ns`; nothing is owed.
    pub fn start(&mut self, now_ns: u64) {
        self.state.next = u128::from(now_ns) << FRACTION;
        self.state.debt = 0;
    }

    /// When the next frame is due.
    #[inline]
    pub fn next_ns(&self) -> u64 {
        // Up, so that the frame is due when this time has come.
        ((self.state.next + ((1 << FRACTION) - 1)) >> FRACTION) as u64
    }

    /// Frames that left more than their own time on the schedule after they were due.
    pub fn late(&self) -> u64 {
        self.state.late
    }

    /// Schedule time that was given up because the sender fell too far behind, in nanoseconds.
    pub fn abandoned_ns(&self) -> u64 {
        (self.state.abandoned >> FRACTION) as u64
    }

    /// Begins a batch at `now_ns`.
    #[inline]
    pub fn batch(&mut self, now_ns: u64) -> Batch<'_> {
        let now = u128::from(now_ns) << FRACTION;
        let mut state = self.state;
        if now > state.next + self.max_burst {
            let max_debt = u128::from(MAX_DEBT_NS) << FRACTION;
            state.debt += now - self.max_burst - state.next;
            state.next = now - self.max_burst;
            state.abandoned += state.debt.saturating_sub(max_debt);
            state.debt = state.debt.min(max_debt);
        }
        Batch { costs: &self.costs, home: &mut self.state, now, state }
    }
}

impl Batch<'_> {
    /// Whether the next frame is due.
    #[inline]
    pub fn due(&self) -> bool {
        self.state.next <= self.now
    }

    /// A frame of size index `size` leaves.
    #[inline]
    pub fn leave(&mut self, size: usize) {
        let state = &mut self.state;
        let cost = self.costs[size];
        // Due at `next - debt`, had nothing been put off.
        state.late += u64::from(self.now + state.debt > state.next + cost);
        let repaid = (cost >> 3).min(state.debt);
        state.debt -= repaid;
        state.next += cost - repaid;
    }
}

impl Drop for Batch<'_> {
    #[inline]
    fn drop(&mut self) {
        *self.home = self.state;
    }
}

/// Nanoseconds to fixed point. Rates are bounded, so it fits by far; the result is off by at most 2⁻³³ ns plus
/// the 2⁻⁵³ relative error of a double.
fn fixed(ns: f64) -> u128 {
    (ns * (1u64 << FRACTION) as f64).round() as u128
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, Manual};
    use proptest::prelude::*;

    fn pps(rate: f64) -> Pacer {
        Pacer::new(Rate::Pps(rate), &[64]).unwrap().unwrap()
    }

    /// Sends all that is due, at most `burst`.
    fn send(pacer: &mut Pacer, now_ns: u64, burst: u64) -> u64 {
        let mut batch = pacer.batch(now_ns);
        let mut sent = 0;
        while sent < burst && batch.due() {
            batch.leave(0);
            sent += 1;
        }
        sent
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_sender_that_polls_often_enough_keeps_the_rate(
            rate in prop_oneof![1.0..1e3, 1e3..1e6, 1e6..100e6],
            polls in prop::collection::vec(1u64..900_000, 300),
        ) {
            let clock = Manual::at(123_456_789);
            let mut pacer = pps(rate);
            pacer.start(clock.now_ns());
            let mut sent = send(&mut pacer, clock.now_ns(), u64::MAX);
            for poll in polls {
                let now = clock.advance(poll);
                sent += send(&mut pacer, now, u64::MAX);
                let ideal = (now - 123_456_789) as f64 / 1e9 * rate;
                let error = sent as f64 - ideal;
                prop_assert!((-0.01..=1.01).contains(&error), "{sent} frames where {ideal} are due");
            }
        }

        #[test]
        fn a_burst_after_a_pause_is_bounded_and_the_rest_repaid(
            rate in 10e3..1e6, pause_ms in 2u64..100,
        ) {
            let clock = Manual::at(1_000_000_000);
            let mut pacer = pps(rate);
            pacer.start(clock.now_ns());
            let mut sent = send(&mut pacer, clock.advance(pause_ms * 1_000_000), u64::MAX);
            prop_assert!(sent as f64 <= rate * 1e-3 * 8.0 / 7.0 + 1.0, "a burst of {sent}");
            let mut most = 0;
            for _ in 0..pause_ms * 80 {
                let burst = send(&mut pacer, clock.advance(125_000), u64::MAX);
                most = most.max(burst);
                sent += burst;
            }
            let per_poll = rate * 125e-6;
            prop_assert!(most as f64 <= per_poll * 8.0 / 7.0 + 2.0, "{most} in a poll of {per_poll}");
            let ideal = (pause_ms * 11) as f64 * 1e-3 * rate;
            prop_assert!((sent as f64 - ideal).abs() <= 2.0, "{sent} sent in all of {ideal}");
            prop_assert_eq!(pacer.abandoned_ns(), 0);
        }
    }

    #[test]
    fn the_longest_pause_that_is_made_up_for_is_made_up_for() {
        let mut pacer = pps(1e5);
        pacer.start(0);
        let mut sent = send(&mut pacer, MAX_DEBT_NS, u64::MAX);
        for now in (MAX_DEBT_NS..10 * MAX_DEBT_NS).step_by(100_000) {
            sent += send(&mut pacer, now, u64::MAX);
        }
        assert!((999_980..=1_000_001).contains(&sent), "{sent} sent in ten seconds at 100 kpps");
        assert_eq!(pacer.abandoned_ns(), 0);
    }

    #[test]
    fn one_frame_a_second_leaves_on_the_second() {
        let mut pacer = pps(1.0);
        pacer.start(5);
        assert_eq!(send(&mut pacer, 5, 9), 1);
        assert_eq!(pacer.next_ns(), 1_000_000_005);
        assert_eq!(send(&mut pacer, 1_000_000_004, 9), 0);
        assert_eq!(send(&mut pacer, 1_000_000_005, 9), 1);
    }

    #[test]
    fn a_day_at_an_awkward_rate_does_not_drift() {
        let mut pacer = pps(3.0);
        pacer.start(0);
        let day_ns = 86_400_000_000_000u64;
        let mut batch = pacer.batch(0);
        batch.now = u128::from(day_ns) << FRACTION;
        let mut sent = 0u64;
        while batch.due() {
            batch.leave(0);
            sent += 1;
        }
        assert_eq!(sent, 86_400 * 3 + 1);
    }

    #[test]
    fn bits_per_second_count_what_they_say() {
        let sizes = [64, 1518];
        let seconds = |rate, frames: [u64; 2]| {
            let mut pacer = Pacer::new(rate, &sizes).unwrap().unwrap();
            pacer.start(0);
            let mut batch = pacer.batch(0);
            for (size, count) in frames.into_iter().enumerate() {
                (0..count).for_each(|_| batch.leave(size));
            }
            drop(batch);
            pacer.next_ns() as f64 / 1e9
        };
        // 10GbE line rate: 14.88 Mpps of 64 bytes, 812,744 of 1518.
        assert!((seconds(Rate::L1Bps(10e9), [148_810, 0]) - 0.01).abs() < 1e-6);
        assert!((seconds(Rate::L1Bps(10e9), [0, 8_127]) - 0.01).abs() < 1e-5);
        assert!((seconds(Rate::L2Bps(1e9), [1000, 1000]) - (64.0 + 1518.0) * 8000.0 / 1e9).abs() < 1e-8);
    }

    #[test]
    fn frames_are_late_after_one_gap() {
        let mut pacer = pps(1e6);
        pacer.start(0);
        send(&mut pacer, 1000, 1);
        assert_eq!(pacer.late(), 0, "exactly one gap");
        send(&mut pacer, 2001, 1);
        assert_eq!(pacer.late(), 1, "due at 1000, left at 2001");
        send(&mut pacer, 2001, 1);
        assert_eq!(pacer.late(), 1, "due at 2000");
        // After a long pause all are late until the debt is repaid.
        let sent = send(&mut pacer, 20_000_000, u64::MAX);
        assert_eq!(sent, 1143, "one millisecond's worth at 8/7 of the rate");
        assert_eq!(pacer.late(), 1 + sent);
    }

    #[test]
    fn a_hopeless_backlog_is_abandoned() {
        let mut pacer = pps(1e6);
        pacer.start(0);
        send(&mut pacer, 10_000_000_000, 1);
        assert_eq!(pacer.abandoned_ns(), 10_000_000_000 - MAX_BURST_NS - MAX_DEBT_NS);
    }

    #[test]
    fn rates_outside_the_range_are_refused() {
        for rate in [0.0, 0.5, -1.0, 100.1e6, f64::NAN, f64::INFINITY] {
            assert!(
                matches!(Pacer::new(Rate::Pps(rate), &[64]), Err(Error::Rate { unit: "pps", .. })),
                "{rate}"
            );
            assert!(Pacer::new(Rate::L1Bps(rate / 1e6), &[64]).is_err(), "{rate}");
        }
        assert!(matches!(Pacer::new(Rate::L2Bps(2e12), &[64]), Err(Error::Rate { unit: "bit/s", .. })));
        assert!(Pacer::new(Rate::Max, &[64]).unwrap().is_none());
        assert!(Pacer::new(Rate::Pps(1.0), &[64]).unwrap().is_some());
        assert!(Pacer::new(Rate::Pps(100e6), &[64]).unwrap().is_some());
    }
}
