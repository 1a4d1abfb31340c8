//! How well a schedule was kept.

use crate::latency::Latency;
use crate::spec::PacingReport;

/// Up to this rate, in frames per second, every frame is recorded.
pub const RECORD_ALL_PPS: u64 = 4_000_000;
/// Above it, one frame in this many is. A prime, so that it is not always the same frame of a batch.
pub const RECORD_EVERY: u32 = 61;

/// Histograms of lateness and spacing.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// When the frames of the batch at hand were due. Has room for the largest batch.
    dues_ns: Vec<u64>,
    every: u32,
    /// Frames until one is recorded.
    wait: u32,
    started_ns: u64,
    /// When the last frame was due and when it had left.
    last: Option<(u64, u64)>,
    frames: u64,
    lateness: Latency,
    spacing: Latency,
}

impl Record {
    /// For batches of at most `burst` frames that are `mean_gap_ns` apart.
    pub(super) fn new(burst: u32, mean_gap_ns: u64) -> Self {
        let every = if mean_gap_ns < 1_000_000_000 / RECORD_ALL_PPS { RECORD_EVERY } else { 1 };
        let dues_ns = Vec::with_capacity(burst as usize);
        let (started_ns, frames, lateness, spacing) = Default::default();
        Self { dues_ns, every, wait: every, started_ns, last: None, frames, lateness, spacing }
    }

    pub(super) fn start(&mut self, now_ns: u64) {
        self.dues_ns.clear();
        (self.started_ns, self.last, self.frames) = (now_ns, None, 0);
    }

    #[inline]
    pub(super) fn leaves(&mut self, due_ns: u64) {
        // A batch larger than was said is recorded in part: better than memory taken in the middle of it.
        if self.dues_ns.len() < self.dues_ns.capacity() {
            self.dues_ns.push(due_ns);
        }
    }

    #[inline]
    pub(super) fn departed(&mut self, left_ns: u64) {
        let Self { dues_ns, every, wait, last, lateness, spacing, frames, .. } = self;
        *frames += dues_ns.len() as u64;
        for &due_ns in dues_ns.iter() {
            *wait -= 1;
            if *wait == 0 {
                *wait = *every;
                lateness.record(left_ns.saturating_sub(due_ns));
                if let Some((last_due_ns, last_left_ns)) = *last {
                    let apart = (left_ns - last_left_ns, due_ns.saturating_sub(last_due_ns));
                    spacing.record(apart.0.abs_diff(apart.1));
                }
            }
            *last = Some((due_ns, left_ns));
        }
        dues_ns.clear();
    }

    /// The next frame is due at `next_ns`.
    pub(super) fn report(&self, asked_pps: f64, next_ns: u64, abandoned_ns: u64) -> PacingReport {
        // From the start to when the last frame had left, and from there as long as the schedule says, so that of
        // frames on time none is counted without its time.
        let span = |(due_ns, left_ns): (u64, u64)| {
            left_ns.saturating_sub(self.started_ns) + next_ns.saturating_sub(due_ns)
        };
        let span_ns = self.last.map_or(0, span);
        PacingReport {
            asked_pps,
            achieved_pps: self.frames as f64 * 1e9 / span_ns.max(1) as f64,
            lateness: self.lateness.encode(),
            spacing: self.spacing.encode(),
            recorded_every: self.every,
            abandoned_ns,
        }
    }
}
