//! Whether a load is throughput: trials at one load added up as one goal sees them.

use super::{Goal, Outcome};

/// What the trials at a load have shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The load fulfils the goal, whatever further trials bring.
    Lower,
    /// It does not, whatever they bring.
    Upper,
    /// Further trials decide.
    Undecided,
}

/// The trials of one load, added up by length and loss, one by one.
///
/// Full-length trials are those that last at least as long as the goal's final trials; low-loss trials lose no more
/// than its loss ratio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tally {
    /// Full-length low-loss trials, in seconds.
    pub full_low_s: f64,
    /// Full-length high-loss trials.
    pub full_high_s: f64,
    /// Short low-loss trials.
    pub short_low_s: f64,
    /// Short high-loss trials.
    pub short_high_s: f64,
    aim: Aim,
}

impl Tally {
    /// Without trials.
    pub(super) fn new(aim: Aim) -> Tally {
        Tally { full_low_s: 0.0, full_high_s: 0.0, short_low_s: 0.0, short_high_s: 0.0, aim }
    }

    /// One more trial.
    pub(super) fn add(&mut self, duration_s: f64, outcome: &Outcome) {
        let sum = match (duration_s >= self.aim.trial_s, outcome.loss_ratio() > self.aim.loss_ratio) {
            (true, false) => &mut self.full_low_s,
            (true, true) => &mut self.full_high_s,
            (false, false) => &mut self.short_low_s,
            (false, true) => &mut self.short_high_s,
        };
        *sum += outcome.effective_s;
    }

    /// The load's classification (RFC 9971, appendix A): whether the goal is fulfilled if all time still to be
    /// measured were low-loss, and whether it is if all were high-loss. Where both say the same, more trials change
    /// nothing, and the load is decided before its duration sum is full.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let high_s = self.effective_high_s();
        let whole_s = self.whole_s();
        let allowed_s = whole_s * self.aim.exceed_ratio;
        match (high_s <= allowed_s, whole_s - self.full_low_s <= allowed_s) {
            (true, true) => Verdict::Lower,
            (false, false) => Verdict::Upper,
            _ => Verdict::Undecided,
        }
    }

    /// High-loss time. Short trials count so far as they lose more often than the goal allows: a loss in a short
    /// trial would be one in a longer trial too, while a short trial without loss promises little.
    fn effective_high_s(&self) -> f64 {
        let balanced_s = self.short_low_s * (self.aim.exceed_ratio / (1.0 - self.aim.exceed_ratio));
        self.full_high_s + (self.short_high_s - balanced_s).max(0.0)
    }

    /// All time that decides: the goal's duration sum, or what was measured if that is more.
    fn whole_s(&self) -> f64 {
        (self.full_low_s + self.effective_high_s()).max(self.aim.duration_sum_s)
    }

    /// The loss ratio to expect at a lower bound (RFC 9971, appendix B), from the very `trials` (durations and what
    /// came of them) that were added up: that at the quantile of full-length time which the exceed ratio leaves.
    /// What is missing of the duration sum counts as lost altogether.
    pub(super) fn conditional_loss_ratio(&self, trials: &[(f64, Outcome)]) -> f64 {
        let full = trials.iter().filter(|(duration_s, _)| *duration_s >= self.aim.trial_s);
        let mut full: Vec<(f64, f64)> = full.map(|(_, o)| (o.loss_ratio(), o.effective_s)).collect();
        full.sort_by(|a, b| a.0.total_cmp(&b.0));
        let whole_s = (self.full_low_s + self.full_high_s).max(self.aim.duration_sum_s);
        let mut remaining_s = whole_s * (1.0 - self.aim.exceed_ratio);
        let mut at = None;
        // Trials of the same loss are one, so that no order among them matters.
        for group in full.chunk_by(|a, b| a.0 == b.0) {
            if at.is_some() && remaining_s <= 0.0 {
                break;
            }
            at = Some(group[0].0);
            remaining_s -= group.iter().map(|(_, s)| s).sum::<f64>();
        }
        if remaining_s > 0.0 { 1.0 } else { at.unwrap_or(1.0) }
    }

    /// The verdict with its reason, as one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let high_s = self.effective_high_s();
        let whole_s = self.whole_s();
        let left_s = whole_s - self.full_low_s - high_s;
        let allowed_s = whole_s * self.aim.exceed_ratio;
        let facts = format!(
            "{} s of {} s within the loss ratio, {} s beyond it, {} s allowed",
            short(self.full_low_s),
            short(whole_s),
            short(high_s),
            short(allowed_s)
        );
        let left = if left_s > 1e-9 {
            format!(", whatever the other {} s brought", short(left_s))
        } else {
            String::new()
        };
        match self.verdict() {
            Verdict::Lower => format!("A lower bound: {facts}{left}."),
            Verdict::Upper => format!("An upper bound: {facts}{left}."),
            Verdict::Undecided => format!("Undecided: {facts}; the other {} s decide.", short(left_s)),
        }
    }
}

/// Seconds to three decimals at most.
fn short(seconds: f64) -> String {
    let text = format!("{seconds:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What trials are held against: a goal, or a coarser target on the way to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Aim {
    pub(super) trial_s: f64,
    pub(super) duration_sum_s: f64,
    pub(super) loss_ratio: f64,
    pub(super) exceed_ratio: f64,
}

impl Aim {
    pub(super) fn of(goal: &Goal) -> Aim {
        Aim {
            trial_s: goal.final_trial_s,
            duration_sum_s: goal.duration_sum_s,
            loss_ratio: goal.loss_ratio,
            exceed_ratio: goal.exceed_ratio,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn aim(trial_s: f64, duration_sum_s: f64, loss_ratio: f64, exceed_ratio: f64) -> Aim {
        Aim { trial_s, duration_sum_s, loss_ratio, exceed_ratio }
    }

    fn trial(duration_s: f64, lost: u64) -> (f64, Outcome) {
        let outcome =
            Outcome { intended_frames: 1000, forwarded_frames: 1000 - lost, effective_s: duration_s };
        (duration_s, outcome)
    }

    fn added_up(aim: Aim, trials: &[(f64, Outcome)]) -> Tally {
        let mut tally = Tally::new(aim);
        trials.iter().for_each(|(duration_s, outcome)| tally.add(*duration_s, outcome));
        tally
    }

    #[test]
    fn half_of_the_time_decides_early() {
        let ndr = aim(1.0, 5.0, 0.0, 0.5);
        let verdict = |trials: &[(f64, Outcome)]| added_up(ndr, trials).verdict();
        assert_eq!(verdict(&[]), Verdict::Undecided);
        assert_eq!(verdict(&[trial(1.0, 0), trial(1.0, 0)]), Verdict::Undecided);
        assert_eq!(verdict(&[trial(1.0, 0), trial(1.0, 3), trial(1.0, 0), trial(1.0, 0)]), Verdict::Lower);
        assert_eq!(verdict(&[trial(1.0, 1), trial(1.0, 3), trial(1.0, 9)]), Verdict::Upper);
        // Short trials: losses count, the lack of them only against other short ones.
        assert_eq!(verdict(&[trial(0.5, 0); 9]), Verdict::Undecided);
        assert_eq!(verdict(&[trial(0.5, 1); 6]), Verdict::Upper);
        let mut mixed = vec![trial(0.5, 1); 6];
        mixed.push(trial(0.5, 0));
        assert_eq!(verdict(&mixed), Verdict::Undecided);
    }

    #[test]
    fn a_single_long_trial_is_rfc_2544() {
        let once = aim(60.0, 60.0, 0.0, 0.0);
        assert_eq!(added_up(once, &[trial(60.0, 0)]).verdict(), Verdict::Lower);
        assert_eq!(added_up(once, &[trial(60.0, 1)]).verdict(), Verdict::Upper);
        assert_eq!(added_up(once, &[trial(1.0, 1)]).verdict(), Verdict::Upper, "a loss is a loss");
        assert_eq!(added_up(once, &[trial(1.0, 0)]).verdict(), Verdict::Undecided);
    }

    #[test]
    fn the_loss_to_expect_is_the_quantile_that_may_not_exceed() {
        let pdr = aim(1.0, 4.0, 0.005, 0.5);
        let loss = |lost: &[u64]| {
            let trials: Vec<_> = lost.iter().map(|&lost| trial(1.0, lost)).collect();
            added_up(pdr, &trials).conditional_loss_ratio(&trials)
        };
        assert_eq!(loss(&[9, 2, 3, 1]), 0.002, "the lower of the two in the middle");
        assert_eq!(loss(&[2, 3]), 0.003, "what is missing counts as lost");
        assert_eq!(loss(&[2]), 1.0);
        assert_eq!(loss(&[]), 1.0);
    }

    #[test]
    fn verdicts_come_with_their_reason() {
        let ndr = aim(1.0, 5.0, 0.0, 0.5);
        let tally = added_up(ndr, &[trial(1.0, 0), trial(1.0, 0), trial(1.0, 0)]);
        assert_eq!(
            tally.sentence(),
            "A lower bound: 3 s of 5 s within the loss ratio, 0 s beyond it, 2.5 s allowed, whatever the other 2 s \
             brought."
        );
        let tally = added_up(ndr, &[trial(1.0, 0)]);
        assert!(tally.sentence().ends_with("the other 4 s decide."), "{}", tally.sentence());
    }

    proptest! {
        /// A decided load stays decided, whatever comes until its duration sum is full.
        #[test]
        fn early_verdicts_hold(
            lost in prop::collection::vec(0u64..3, 10), exceed in 0.0..0.95f64, sum in 1u32..10,
        ) {
            let aim = aim(1.0, f64::from(sum), 0.001, exceed);
            let trials: Vec<_> = lost.iter().map(|&lost| trial(1.0, lost)).collect();
            let mut decided = Verdict::Undecided;
            for n in 0..=sum as usize {
                let verdict = added_up(aim, &trials[..n]).verdict();
                if decided != Verdict::Undecided {
                    prop_assert_eq!(verdict, decided);
                }
                decided = verdict;
            }
            prop_assert_ne!(decided, Verdict::Undecided);
        }

        /// At a lower bound the loss to expect is within the goal's.
        #[test]
        fn lower_bounds_keep_to_the_loss_ratio(
            lost in prop::collection::vec((0u64..6, 1u32..4), 1..20), exceed in 0.0..0.95f64,
        ) {
            let aim = aim(2.0, 8.0, 0.003, exceed);
            let trials: Vec<_> = lost.iter().map(|&(lost, s)| trial(f64::from(s), lost)).collect();
            let tally = added_up(aim, &trials);
            if tally.verdict() == Verdict::Lower {
                prop_assert!(tally.conditional_loss_ratio(&trials) <= 0.003);
            }
        }
    }
}
