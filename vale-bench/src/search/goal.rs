//! What to search for.

use std::time::Duration;

/// Smallest width that can be asked for; below it the generator's own pacing decides.
const WIDTH_MIN: f64 = 1e-5;
/// Most targets on the way to the final one.
const PRECEDING_MAX: u32 = 8;

/// A search goal: what a load must do to count as throughput, and how exactly to find it. Ratios are 0 to 1.
///
/// Names and meaning are RFC 9971's; what it leaves to implementations are the initial duration, the targets on the
/// way, and the expansion.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    /// How it is called in results, as in `ndr`.
    pub name: String,
    /// Trials at least this long count in full (goal final trial duration), in seconds.
    pub final_trial_s: f64,
    /// Trials of this much together decide on a load (goal duration sum), in seconds.
    pub duration_sum_s: f64,
    /// A trial that loses more than this is a high-loss trial (goal loss ratio).
    pub loss_ratio: f64,
    /// The part of the duration sum that may be high-loss trials (goal exceed ratio).
    pub exceed_ratio: f64,
    /// Relevant bounds may be this far apart, relative to the upper (goal width).
    pub width: f64,
    /// Duration of the first trials, in seconds.
    pub initial_trial_s: f64,
    /// Coarser and shorter searches before the final one.
    pub preceding_targets: u32,
    /// By how much steps grow while a bound is looked for.
    pub expansion: u32,
}

/// A goal that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("goal {goal}: {sentence}")]
pub struct GoalError {
    /// Its name.
    pub goal: String,
    /// What is wrong, and what would be right.
    pub sentence: String,
}

impl Goal {
    fn new(name: &str, final_trial: u64, duration_sum: u64, loss_ratio: f64, exceed_ratio: f64) -> Goal {
        let seconds = |s| Duration::from_secs(s).as_secs_f64();
        let mut goal = Goal {
            name: name.to_owned(),
            final_trial_s: seconds(final_trial),
            duration_sum_s: seconds(duration_sum),
            loss_ratio,
            exceed_ratio,
            width: 0.005,
            initial_trial_s: 1.0,
            preceding_targets: 2,
            expansion: 2,
        };
        goal.settle();
        goal
    }

    /// No drop rate: no loss in most trials of a second.
    #[must_use]
    pub fn ndr() -> Goal {
        Goal::new("ndr", 1, 5, 0.0, 0.5)
    }

    /// Partial drop rate: at most 0.5 % lost in most trials of a second.
    #[must_use]
    pub fn pdr() -> Goal {
        Goal::new("pdr", 1, 5, 0.005, 0.5)
    }

    /// ETSI GS NFV-TST 009's binary search with loss verification, as RFC 9971 puts it into a goal: no loss in one of
    /// two trials of a minute.
    #[must_use]
    pub fn tst009() -> Goal {
        Goal::new("tst009", 60, 120, 0.0, 0.5)
    }

    /// RFC 2544's throughput as RFC 9971 puts it into a goal: no loss in a trial of a minute.
    #[must_use]
    pub fn rfc2544() -> Goal {
        Goal::new("rfc2544", 60, 60, 0.0, 0.0)
    }

    /// Fits the short trials at the beginning to the long ones at the end: the first are a fifth of a second, or as
    /// long as the final ones if those are shorter.
    pub fn settle(&mut self) {
        self.initial_trial_s = self.final_trial_s.min(INITIAL_S);
    }

    /// Refuses what no trial could show.
    pub fn check(&self) -> Result<(), GoalError> {
        let wrong = |sentence: String| Err(GoalError { goal: self.name.clone(), sentence });
        let ratio = |value: f64| (0.0..1.0).contains(&value);
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if !ratio(self.loss_ratio) {
            return wrong(format!("a loss ratio is 0 or more and less than 1, not {}", self.loss_ratio));
        }
        if !ratio(self.exceed_ratio) {
            return wrong(format!("an exceed ratio is 0 or more and less than 1, not {}", self.exceed_ratio));
        }
        if !(WIDTH_MIN..1.0).contains(&self.width) {
            return wrong(format!("a width is {WIDTH_MIN} or more and less than 1, not {}", self.width));
        }
        if !positive(self.initial_trial_s) || !positive(self.final_trial_s) || !positive(self.duration_sum_s)
        {
            return wrong("its trials take no time".into());
        }
        if self.initial_trial_s > self.final_trial_s {
            return wrong(format!(
                "its first trials ({} s) are longer than its final ones ({} s)",
                self.initial_trial_s, self.final_trial_s
            ));
        }
        if self.final_trial_s > self.duration_sum_s {
            return wrong(format!(
                "one trial ({} s) is longer than all that decide on a load ({} s)",
                self.final_trial_s, self.duration_sum_s
            ));
        }
        if self.preceding_targets > PRECEDING_MAX {
            return wrong(format!("at most {PRECEDING_MAX} targets can precede the final one"));
        }
        if self.preceding_targets == 0 && self.initial_trial_s < self.duration_sum_s {
            return wrong(
                "without preceding targets the first trials must be as long as all together".into(),
            );
        }
        if !(2..=16).contains(&self.expansion) {
            return wrong(format!("an expansion is 2 to 16, not {}", self.expansion));
        }
        Ok(())
    }
}

/// Length of the first trials, in seconds: long enough for a rate, short beside what follows.
const INITIAL_S: f64 = 0.2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_goals_that_have_names_can_be() {
        for goal in [Goal::ndr(), Goal::pdr(), Goal::tst009(), Goal::rfc2544()] {
            assert_eq!(goal.check(), Ok(()));
        }
    }

    #[test]
    fn goals_that_cannot_be_say_why() {
        let wrong = |change: fn(&mut Goal), says: &str| {
            let mut goal = Goal::ndr();
            change(&mut goal);
            let text = goal.check().unwrap_err().to_string();
            assert!(text.starts_with("goal ndr: ") && text.contains(says), "{text}");
        };
        wrong(|g| g.loss_ratio = 1.0, "loss ratio");
        wrong(|g| g.loss_ratio = f64::NAN, "loss ratio");
        wrong(|g| g.exceed_ratio = -0.1, "exceed ratio");
        wrong(|g| g.width = 0.0, "width");
        wrong(|g| g.final_trial_s = 0.0, "no time");
        wrong(|g| g.initial_trial_s = 2.0, "first trials");
        wrong(|g| g.duration_sum_s = 0.5, "one trial");
        wrong(|g| g.preceding_targets = 0, "without preceding targets");
        wrong(|g| g.preceding_targets = 9, "at most 8");
        wrong(|g| g.expansion = 1, "expansion");
    }
}
