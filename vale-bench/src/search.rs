//! Searches for throughput: which load to try next, and what the trials so far have shown.
//!
//! A [`Controller`] asks for a trial ([`Attempt`]: a load and a duration), is told what came of it ([`Outcome`]), and
//! asks for the next, until it knows enough. It measures nothing and waits for nothing, so several of them can be
//! interleaved, stopped at any trial, and tried on systems that exist in a test alone. There are two:
//! [`mlr::Search`], MLRsearch as RFC 9971 specifies it, for any number of goals at once, and [`binary::Search`], the
//! procedure of RFC 2544 (section 26.1), to compare with.
//!
//! What the controller of MLRsearch asks for, trial by trial, is what the reference implementation asks for (the
//! `MLRsearch` package, 1.2.1); `tests/search.rs` holds it to that.
//!
//! Deliberately absent: labs, ports, dataplanes, clocks, progress and documents.

pub mod binary;
mod goal;
mod grid;
pub mod mlr;
mod strategy;
mod tally;

pub use goal::{Goal, GoalError};
pub use grid::LoadRange;
pub use tally::{Tally, Verdict};

/// A trial to make: the trial's input, in RFC 9971's words.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attempt {
    /// Intended load, in frames a second.
    pub load_pps: f64,
    /// For how long to offer it.
    pub duration_s: f64,
}

/// What came of a trial: its output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Frames that should have been forwarded: what the load comes to over the duration, whether the sender
    /// managed to send them all or not.
    pub intended_frames: u64,
    /// Frames that were.
    pub forwarded_frames: u64,
    /// How long the trial counts for; its duration, unless whoever measures knows better.
    pub effective_s: f64,
}

impl Outcome {
    /// The part of what should have been forwarded that was not, 0 to 1; frames that were never sent count as lost
    /// (RFC 9971, the measurer).
    #[must_use]
    pub fn loss_ratio(&self) -> f64 {
        if self.intended_frames == 0 {
            return 0.0;
        }
        // Duplicates cannot make up for losses beyond nothing lost at all.
        self.intended_frames.saturating_sub(self.forwarded_frames) as f64 / self.intended_frames as f64
    }
}

/// Whatever decides on the next trial.
pub trait Controller {
    /// The trial to make next; the same until it is recorded. `None`: enough is known.
    fn next(&mut self) -> Option<Attempt>;
    /// What came of the trial asked for. Without one nothing happens.
    fn record(&mut self, outcome: Outcome);
    /// What is known so far, a result for each goal in the order of the goals.
    fn results(&self) -> Vec<GoalResult>;
    /// About how many seconds of trials are still to come.
    fn remaining_s(&self) -> f64;
}

/// A load that was classified, and by what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// The load, in frames a second.
    pub load_pps: f64,
    /// The trials at it, added up as the goal sees them.
    pub tally: Tally,
    /// The loss ratio to expect at it, if it is a lower bound.
    pub conditional_loss_ratio: f64,
}

/// Why a result is not what its goal asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Irregularity {
    /// The largest load that may be offered is a lower bound: what was tested can do more than could be asked of it.
    NoUpperBound,
    /// No load, down to the smallest, was a lower bound.
    NoLowerBound,
    /// The search was ended before the bounds were close enough.
    TooWide,
}

/// What was found for one goal.
#[derive(Debug, Clone, PartialEq)]
pub struct GoalResult {
    /// The goal.
    pub goal: Goal,
    /// The largest lower bound below the relevant upper bound; without that, the largest there is.
    pub lower: Option<Bound>,
    /// The smallest upper bound.
    pub upper: Option<Bound>,
    /// The forwarding rate to be expected at the relevant lower bound.
    pub conditional_throughput_pps: Option<f64>,
    /// `None` for a regular result.
    pub irregular: Option<Irregularity>,
}

impl GoalResult {
    fn new(goal: &Goal, lower: Option<Bound>, upper: Option<Bound>) -> GoalResult {
        let irregular = match (&lower, &upper) {
            // The bounds are on a grid on which the width asked for is a whole number of steps, rounded down; the
            // tolerance is for arithmetic alone.
            (Some(lower), Some(upper)) => (1.0 - lower.load_pps / upper.load_pps > goal.width * (1.0 + 1e-9))
                .then_some(Irregularity::TooWide),
            (Some(_), None) => Some(Irregularity::NoUpperBound),
            (None, Some(_)) => Some(Irregularity::NoLowerBound),
            (None, None) => Some(Irregularity::TooWide),
        };
        let conditional_throughput_pps =
            lower.as_ref().map(|bound| bound.load_pps * (1.0 - bound.conditional_loss_ratio));
        GoalResult { goal: goal.clone(), lower, upper, conditional_throughput_pps, irregular }
    }
}

/// Makes trials with `measure` until `controller` knows enough. Returns the seconds of trials that took.
pub fn run<E>(
    controller: &mut dyn Controller,
    mut measure: impl FnMut(Attempt) -> Result<Outcome, E>,
) -> Result<f64, E> {
    let mut spent_s = 0.0;
    while let Some(attempt) = controller.next() {
        let outcome = measure(attempt)?;
        spent_s += attempt.duration_s;
        controller.record(outcome);
    }
    Ok(spent_s)
}
