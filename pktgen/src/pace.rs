//! When each frame should leave: a schedule on absolute time, in integers.
//!
//! Every frame's departure is the one before plus what the frame costs, in units of 2⁻³² ns, so that nothing
//! drifts. What a frame costs is its share of the rate, or that times an exponentially distributed number, or
//! nothing until the last frame of a burst, which costs as much as the whole burst; or what a capture says. A sender that polls late finds several frames due and sends them together. How many is bounded: what
//! has been due for longer than [`MAX_BURST_NS`] (or one frame's time, if that is more) is moved into a debt,
//! and the debt is repaid by leaving an eighth off the time of every frame. A debt above [`MAX_DEBT_NS`] is
//! abandoned: a sender that cannot keep up does not owe for ever. So after a pause the burst is at most 8/7 of a
//! millisecond's worth, and over any time in which the sender could keep up the average is the rate asked for.
//!
//! How well a schedule is kept is recorded: for every frame, from when it was due, before anything was put off, to
//! when it had been published, and how far the times between frames are from the schedule's. Above [`RECORD_ALL_PPS`]
//! that is done for one frame of [`RECORD_EVERY`].
//!
//! Deliberately absent: the clock and the sleeping; whoever drives the role passes the time in.
#![forbid(unsafe_code)]

mod record;

use crate::Error;
use crate::random::{Exponential, Random};
use crate::spec::{Arrivals, PacingReport, Rate};
use crate::template::check_count;
use record::Record;

pub use record::{RECORD_ALL_PPS, RECORD_EVERY};

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

/// What random numbers are drawn for here.
const ARRIVALS: u64 = 1;

/// Fractional bits of a time in nanoseconds.
const FRACTION: u32 = 32;

/// Longest burst that can be asked for, in frames.
pub const MAX_BURST_FRAMES: u32 = 1 << 20;

/// The schedule of one sender.
#[derive(Debug, Clone)]
pub struct Pacer {
    /// Mean schedule time of one frame, by size index.
    costs: Vec<u128>,
    max_burst: u128,
    process: Process,
    state: State,
    record: Option<Record>,
}

/// How frames are spread around their mean times.
#[derive(Debug, Clone)]
enum Process {
    Constant,
    Poisson(Exponential),
    Bursts {
        frames: u32,
        /// Frames of the burst at hand that have left, and what they cost.
        left: u32,
        owed: u128,
    },
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
    process: &'a mut Process,
    record: Option<&'a mut Record>,
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
        Self { costs, max_burst, process: Process::Constant, state: State::default(), record: None }
    }

    /// A schedule that gives every frame, referred to by index, its own time until the next.
    pub fn of_gaps(gaps_ns: &[u64]) -> Self {
        Self::from_costs(gaps_ns.iter().map(|&gap| u128::from(gap) << FRACTION).collect())
    }

    /// The same mean rate, with frames spread as `arrivals` says, drawn by `seed`. Refuses bursts of 0 frames and of
    /// more than [`MAX_BURST_FRAMES`].
    pub fn arriving(mut self, arrivals: Arrivals, seed: u64) -> Result<Self, Error> {
        self.process = match arrivals {
            Arrivals::Constant => Process::Constant,
            Arrivals::Poisson => Process::Poisson(Exponential::new(Random::new(seed, ARRIVALS))),
            Arrivals::Bursts { frames } => {
                check_count("frames of a burst", frames.into(), MAX_BURST_FRAMES.into())?;
                Process::Bursts { frames, left: 0, owed: 0 }
            }
        };
        Ok(self)
    }

    /// Records how well the schedule is kept, where no batch has more than `burst` frames.
    #[must_use]
    pub fn recording(mut self, burst: u32) -> Self {
        let mean = self.costs.iter().sum::<u128>() / self.costs.len().max(1) as u128;
        self.record = Some(Record::new(burst, (mean >> FRACTION) as u64));
        self
    }

    /// The first frame is due at `now_ns`; nothing is owed.
    pub fn start(&mut self, now_ns: u64) {
        self.state.next = u128::from(now_ns) << FRACTION;
        self.state.debt = 0;
        if let Process::Bursts { left, owed, .. } = &mut self.process {
            (*left, *owed) = (0, 0);
        }
        if let Some(record) = &mut self.record {
            record.start(now_ns);
        }
    }

    /// The frames of the last batch had been published at `left_ns`.
    #[inline]
    pub fn departed(&mut self, left_ns: u64) {
        if let Some(record) = &mut self.record {
            record.departed(left_ns);
        }
    }

    /// How many frames were due by `now_ns` and have not left, going by their mean times.
    pub fn overdue(&self, now_ns: u64) -> u64 {
        let State { next, debt, .. } = self.state;
        let mean = self.costs.iter().sum::<u128>() / self.costs.len().max(1) as u128;
        let behind = ((u128::from(now_ns) << FRACTION) + debt).checked_sub(next);
        behind.map_or(0, |behind| (behind / mean.max(1)) as u64 + 1)
    }

    /// How well the schedule was kept so far, where that is recorded. `cycle` has the size index of each frame in turn.
    pub fn report(&self, cycle: &[u16]) -> Option<PacingReport> {
        let cost: u128 = cycle.iter().map(|&size| self.costs[usize::from(size)]).sum();
        let asked_pps = cycle.len() as f64 * 1e9 * (1u64 << FRACTION) as f64 / cost.max(1) as f64;
        let next_ns = ((self.state.next - self.state.debt) >> FRACTION) as u64;
        self.record.as_ref().map(|record| record.report(asked_pps, next_ns, self.abandoned_ns()))
    }

    /// When the next frame is due.
    #[inline]
    pub fn next_ns(&self) -> u64 {
        // Up, so that the frame is due when this time has come.
        ((self.state.next + ((1 << FRACTION) - 1)) >> FRACTION) as u64
    }

    /// Frames that left more than their own mean time on the schedule after they were due.
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
        let Self { costs, process, record, state: home, .. } = self;
        Batch { costs, process, record: record.as_mut(), home, now, state }
    }
}

impl Batch<'_> {
    /// Whether the next frame is due.
    #[inline]
    pub fn due(&self) -> bool {
        self.state.next <= self.now
    }

    /// When the next frame was due, had nothing been put off.
    #[inline]
    pub fn due_ns(&self) -> u64 {
        ((self.state.next - self.state.debt) >> FRACTION) as u64
    }

    /// A frame of size index `size` leaves.
    #[inline]
    pub fn leave(&mut self, size: usize) {
        let due_ns = self.due_ns();
        if let Some(record) = &mut self.record {
            record.leaves(due_ns);
        }
        let state = &mut self.state;
        let mean = self.costs[size];
        state.late += u64::from(self.now + state.debt > state.next + mean);
        let cost = match self.process {
            Process::Constant => mean,
            Process::Poisson(times) => (mean * u128::from(times.next())) >> FRACTION,
            Process::Bursts { frames, left, owed } => {
                *owed += mean;
                *left += 1;
                if *left == *frames {
                    *left = 0;
                    std::mem::take(owed)
                } else {
                    0
                }
            }
        };
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
mod tests;
