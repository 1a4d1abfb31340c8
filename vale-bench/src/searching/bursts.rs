//! The longest burst that passes without loss, looked for again and again (RFC 2544, section 26.4, and RFC 9004).
//!
//! Each repetition halves the interval between a burst that passed and one that did not. A burst that lost frames is
//! sent once more before it is believed, so that a pause of the machine is not taken for the end of a buffer.

use std::time::Duration;

use crate::dataplane::Lab;
use crate::exit::Fail;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::result::BackToBack;
use crate::trial::{TrialSpec, burst};

/// Bursts are no longer than this at the sender's fastest.
const LONGEST: Duration = Duration::from_secs(2);
/// The interval is narrow enough when it is this part of the burst, or one frame.
const PRECISION: f64 = 0.01;

/// Repetitions under way.
pub(super) struct Bursts {
    left: u32,
    burst_rate_pps: f64,
    drain_rate_pps: f64,
    longest: u64,
    passed: u64,
    failed: Option<u64>,
    /// The burst being tried has lost frames once.
    doubted: bool,
    found: Vec<u64>,
    spent_s: f64,
}

impl Bursts {
    /// `burst_rate_pps` is what a sender can send, `drain_rate_pps` what of it arrives.
    pub(super) fn new(repetitions: u32, burst_rate_pps: f64, drain_rate_pps: f64) -> Bursts {
        Bursts {
            left: repetitions,
            burst_rate_pps,
            drain_rate_pps: drain_rate_pps.min(burst_rate_pps),
            longest: (burst_rate_pps * LONGEST.as_secs_f64()).max(1.0) as u64,
            passed: 0,
            failed: None,
            doubted: false,
            found: Vec::new(),
            spent_s: 0.0,
        }
    }

    /// The burst to try next.
    fn frames(&self) -> u64 {
        self.failed.map_or(self.longest, |failed| (self.passed + failed) / 2)
    }

    /// What became of it. True: this repetition is over.
    fn judge(&mut self, frames: u64, lost: bool) -> bool {
        if lost && !self.doubted {
            self.doubted = true;
            return false;
        }
        self.doubted = false;
        if lost {
            self.failed = Some(frames);
        } else {
            self.passed = frames;
        }
        let narrow = |failed: u64| {
            let width = failed - self.passed;
            width <= 1 || (width as f64) <= PRECISION * self.passed as f64
        };
        if !self.failed.is_none_or(narrow) {
            return false;
        }
        self.found.push(self.passed);
        // Without an end to see there is nothing to look for again.
        self.left = if self.failed.is_none() { 0 } else { self.left - 1 };
        (self.passed, self.failed) = (0, None);
        true
    }

    /// Sends one burst more. False: all repetitions are made.
    pub(super) fn step(
        &mut self,
        lab: &mut Lab,
        spec: &TrialSpec,
        interrupt: &Interrupt,
        progress: &Progress,
        label: &str,
    ) -> Result<bool, Fail> {
        if self.left == 0 {
            return Ok(false);
        }
        let frames = self.frames();
        let outcome = burst(lab, spec, frames, interrupt)?;
        self.spent_s += outcome.elapsed.as_secs_f64();
        if self.judge(frames, outcome.received < outcome.sent || outcome.sent == 0) {
            let found = self.found.last().copied().unwrap_or(0);
            progress.println(&format!("{label}: bursts of {found} frames pass; {} to go", self.left));
        }
        Ok(self.left > 0)
    }

    /// Seconds of sending bursts.
    pub(super) fn spent_s(&self) -> f64 {
        self.spent_s
    }

    /// What was found; `None` before the first repetition was over.
    pub(super) fn found(&self) -> Option<BackToBack> {
        if self.found.is_empty() {
            return None;
        }
        let mean_frames =
            self.found.iter().map(|&frames| frames as f64).sum::<f64>() / self.found.len() as f64;
        let implied_buffer_s = mean_frames / self.burst_rate_pps;
        // While the burst came, frames left at the rate of forwarding (RFC 9004, section 5.4).
        let corrected_buffer_s = implied_buffer_s * (1.0 - self.drain_rate_pps / self.burst_rate_pps);
        Some(BackToBack {
            bursts_frames: self.found.clone(),
            longest_tried_frames: self.longest,
            mean_frames,
            burst_rate_pps: self.burst_rate_pps,
            drain_rate_pps: self.drain_rate_pps,
            implied_buffer_s,
            corrected_buffer_s,
            corrected_buffer_frames: corrected_buffer_s * self.burst_rate_pps,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A buffer of `buffer` frames that is emptied at half the rate at which a burst comes.
    fn passes(frames: u64, buffer: u64) -> bool {
        frames <= 2 * buffer
    }

    #[test]
    fn a_buffer_is_found_and_corrected_for_what_left_it_meanwhile() {
        let mut bursts = Bursts::new(5, 1e6, 5e5);
        let mut sent = 0;
        while bursts.left > 0 {
            let frames = bursts.frames();
            // Every eleventh burst meets a pause of the machine.
            sent += 1;
            bursts.judge(frames, !passes(frames, 1024) || sent % 11 == 0);
        }
        let found = bursts.found().unwrap();
        assert_eq!(found.bursts_frames.len(), 5);
        assert!(found.bursts_frames.iter().all(|&f| (2020..=2048).contains(&f)), "{:?}", found.bursts_frames);
        assert!((found.corrected_buffer_frames - 1024.0).abs() < 20.0, "{found:?}");
        assert!((found.implied_buffer_s - found.mean_frames / 1e6).abs() < 1e-12);
        assert!(sent < 5 * 45, "{sent}");
    }

    #[test]
    fn without_loss_there_is_no_end_to_see() {
        let mut bursts = Bursts::new(50, 1e6, 1e6);
        assert!(bursts.judge(bursts.frames(), false));
        let found = bursts.found().unwrap();
        assert_eq!((bursts.left, found.bursts_frames.as_slice()), (0, [2_000_000].as_slice()));
        assert_eq!((found.longest_tried_frames, found.corrected_buffer_s), (2_000_000, 0.0));
    }

    #[test]
    fn a_system_that_passes_nothing_holds_nothing() {
        let mut bursts = Bursts::new(1, 1e6, 0.0);
        while bursts.left > 0 {
            bursts.judge(bursts.frames(), true);
        }
        assert_eq!(bursts.found().unwrap().bursts_frames, [0]);
    }
}
