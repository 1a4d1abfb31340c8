//! The search of RFC 2544 (section 26.1): one trial a load, each of full length, the interval halved by each.
//!
//! Here to compare with, and for those whose procedure is written that way.

use super::tally::{Aim, Tally, Verdict};
use super::{Attempt, Bound, Controller, Goal, GoalError, GoalResult, LoadRange, Outcome};

/// A search under way.
#[derive(Debug, Clone)]
pub struct Search {
    goal: Goal,
    range: LoadRange,
    low: Option<Bound>,
    high: Option<Bound>,
    asked: Option<f64>,
}

impl Search {
    /// A search for `goal`, of whose attributes the final duration, the loss ratio and the width are used, among the
    /// loads of `range`, which must be sound.
    pub fn new(goal: &Goal, range: LoadRange) -> Result<Search, GoalError> {
        let mut goal = goal.clone();
        goal.duration_sum_s = goal.final_trial_s;
        goal.initial_trial_s = goal.final_trial_s;
        goal.exceed_ratio = 0.0;
        goal.preceding_targets = 0;
        goal.check()?;
        if !range.is_sound() {
            return Err(GoalError { goal: goal.name, sentence: "there are no loads to search in".into() });
        }
        Ok(Search { goal, range, low: None, high: None, asked: None })
    }

    /// Relative width of what is left; infinite before there is an upper bound.
    fn width(&self) -> f64 {
        let low = self.low.as_ref().map_or(self.range.min_pps, |bound| bound.load_pps);
        self.high.as_ref().map_or(f64::INFINITY, |high| 1.0 - low / high.load_pps)
    }
}

impl Controller for Search {
    fn next(&mut self) -> Option<Attempt> {
        if self.asked.is_none() {
            let LoadRange { min_pps, max_pps } = self.range;
            self.asked = match (&self.low, &self.high) {
                (None, None) => Some(max_pps),
                (Some(_), None) => None,
                (None, Some(high)) if high.load_pps <= min_pps => None,
                (None, Some(_)) if self.width() <= self.goal.width => Some(min_pps),
                (Some(_), Some(_)) if self.width() <= self.goal.width => None,
                (low, Some(high)) => {
                    let low_pps = low.as_ref().map_or(min_pps, |bound| bound.load_pps);
                    Some((low_pps + high.load_pps) / 2.0)
                }
            };
        }
        self.asked.map(|load_pps| Attempt { load_pps, duration_s: self.goal.final_trial_s })
    }

    fn record(&mut self, outcome: Outcome) {
        let Some(load_pps) = self.asked.take() else { return };
        let duration_s = self.goal.final_trial_s;
        let mut tally = Tally::new(Aim::of(&self.goal));
        // One trial decides, however long it counts for.
        let whole = Outcome { effective_s: duration_s, ..outcome };
        tally.add(duration_s, &whole);
        let conditional_loss_ratio = tally.conditional_loss_ratio(&[(duration_s, whole)]);
        let bound = Some(Bound { load_pps, tally, conditional_loss_ratio });
        match tally.verdict() {
            Verdict::Lower => self.low = bound,
            Verdict::Upper | Verdict::Undecided => self.high = bound,
        }
    }

    fn results(&self) -> Vec<GoalResult> {
        vec![GoalResult::new(&self.goal, self.low, self.high)]
    }

    fn remaining_s(&self) -> f64 {
        let width = self.width().min(1.0);
        (width / self.goal.width).log2().ceil().max(0.0) * self.goal.final_trial_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{Irregularity, run};
    use proptest::prelude::*;

    fn system(capacity_pps: f64) -> impl FnMut(Attempt) -> Result<Outcome, ()> {
        move |attempt| {
            let frames = |pps: f64| (pps * attempt.duration_s) as u64;
            Ok(Outcome {
                intended_frames: frames(attempt.load_pps),
                forwarded_frames: frames(attempt.load_pps.min(capacity_pps)),
                effective_s: attempt.duration_s,
            })
        }
    }

    proptest! {
        #[test]
        fn what_there_is_is_found(capacity in 2e3..9e6f64, width in 0.001..0.2f64) {
            let goal = Goal { width, ..Goal::rfc2544() };
            let range = LoadRange { min_pps: 1e3, max_pps: 1e7 };
            let mut search = Search::new(&goal, range).unwrap();
            let spent_s = run(&mut search, system(capacity)).unwrap();
            let result = search.results().remove(0);
            let (low, high) = (result.lower.unwrap().load_pps, result.upper.unwrap().load_pps);
            prop_assert!(low <= capacity + 1.0 && high >= capacity, "{low} {capacity} {high}");
            prop_assert!(result.irregular.is_none() && 1.0 - low / high <= width);
            prop_assert!(spent_s <= 60.0 * (2.0 + (1e7 / capacity / width).log2().ceil() + 1.0));
        }
    }

    #[test]
    fn ends_of_the_range_are_irregular() {
        let range = LoadRange { min_pps: 1e3, max_pps: 1e6 };
        for (capacity, expected) in [(2e6, Irregularity::NoUpperBound), (10.0, Irregularity::NoLowerBound)] {
            let mut search = Search::new(&Goal::rfc2544(), range).unwrap();
            run(&mut search, system(capacity)).unwrap();
            assert_eq!(search.results()[0].irregular, Some(expected));
            assert!(search.next().is_none());
        }
    }
}
