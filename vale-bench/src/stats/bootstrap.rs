//! How surely a ratio of two medians is known: the percentile bootstrap.
//!
//! Percentiles, not BCa: BCa's acceleration is taken from a jackknife, and a median's jackknife has two values at most,
//! whatever the samples are like (Efron and Tibshirani 1993, chapter 11).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Random, median, quantile};

/// Resamples drawn for an interval.
pub const RESAMPLES: u32 = 10_000;

/// Samples on each side below which there is no interval: of fewer than five, even the lowest and the highest
/// enclose the median in less than nine cases of ten.
pub const SAMPLES_MIN: usize = 5;

/// From one number to another, both finite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Whether `value` lies in it, ends included.
    pub fn holds(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// Median of `new` over that of `old`; `None` where it is no number.
pub fn ratio_of_medians(new: &[f64], old: &[f64]) -> Option<f64> {
    let ratio = median(new.iter().copied())? / median(old.iter().copied())?;
    ratio.is_finite().then_some(ratio)
}

/// The interval that holds the ratio of medians at this confidence; `None` with fewer than [`SAMPLES_MIN`] samples a
/// side, or samples that are not above 0.
///
/// `paired`: the samples of both sides were taken together, the first with the first and so on, and are drawn
/// together, so that what both met alike (a slow minute of the machine) does not widen the interval.
pub fn ratio_interval(
    new: &[f64],
    old: &[f64],
    paired: bool,
    confidence: f64,
    seed: u64,
) -> Option<Interval> {
    let positive = |samples: &[f64]| samples.iter().all(|s| s.is_finite() && *s > 0.0);
    if new.len().min(old.len()) < SAMPLES_MIN || !positive(new) || !positive(old) {
        return None;
    }
    let paired = paired && new.len() == old.len();
    let mut random = Random::new(seed);
    let mut draw = |n: usize, into: &mut Vec<usize>| {
        into.clear();
        into.extend((0..n).map(|_| random.below(n)));
    };
    let (mut of_new, mut of_old) = (Vec::new(), Vec::new());
    let mut ratios: Vec<f64> = Vec::with_capacity(RESAMPLES as usize);
    for _ in 0..RESAMPLES {
        draw(new.len(), &mut of_new);
        if paired {
            of_old.clone_from(&of_new);
        } else {
            draw(old.len(), &mut of_old);
        }
        let above = median(of_new.iter().map(|&i| new[i]))?;
        ratios.push(above / median(of_old.iter().map(|&i| old[i]))?);
    }
    ratios.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    let interval = Interval { low: quantile(&ratios, tail), high: quantile(&ratios, 1.0 - tail) };
    (interval.low.is_finite() && interval.high.is_finite()).then_some(interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// About normal around 1, by the sum of twelve.
    fn noise(random: &mut Random, deviation: f64) -> f64 {
        let sum: f64 = (0..12).map(|_| random.below(1 << 30) as f64 / f64::from(1 << 30)).sum();
        (deviation * (sum - 6.0)).exp()
    }

    #[test]
    fn intervals_hold_the_true_ratio_about_as_often_as_they_say() {
        let mut random = Random::new(7);
        for n in [5, 7, 10] {
            let mut held = 0;
            for seed in 0..200 {
                let old: Vec<f64> = (0..n).map(|_| 2.0 * noise(&mut random, 0.1)).collect();
                let new: Vec<f64> = (0..n).map(|_| 1.5 * noise(&mut random, 0.1)).collect();
                held += u32::from(ratio_interval(&new, &old, false, 0.95, seed).unwrap().holds(0.75));
            }
            assert!(held >= 180, "{n} samples: {held} of 200");
        }
    }

    #[test]
    fn what_both_sides_met_alike_does_not_widen_a_paired_interval() {
        let old = [10.0, 5.0, 9.5, 5.2, 10.1, 5.1, 9.8, 5.3];
        let new: Vec<f64> = old.iter().map(|x| x * 0.9).collect();
        let paired = ratio_interval(&new, &old, true, 0.95, 1).unwrap();
        let alone = ratio_interval(&new, &old, false, 0.95, 1).unwrap();
        assert!((paired.low - 0.9).abs() < 1e-9 && (paired.high - 0.9).abs() < 1e-9, "{paired:?}");
        assert!(alone.low < 0.6 && alone.high > 1.5, "{alone:?}");
    }

    #[test]
    fn too_few_or_none_above_zero_give_none() {
        assert_eq!(ratio_interval(&[1.0; 4], &[1.0; 9], false, 0.95, 1), None);
        assert_eq!(ratio_interval(&[1.0; 5], &[0.0; 5], false, 0.95, 1), None);
        assert_eq!(ratio_of_medians(&[1.0], &[0.0]), None);
        assert_eq!(ratio_of_medians(&[], &[1.0]), None);
        assert_eq!(ratio_of_medians(&[1.0, 3.0], &[4.0]), Some(0.5));
    }

    fn rates() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(0.1..20.0f64, 5..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn intervals_follow_scale_seed_and_confidence(new in rates(), old in rates(), seed: u64) {
            let interval = ratio_interval(&new, &old, false, 0.95, seed).unwrap();
            prop_assert!(interval.low <= interval.high && interval.low > 0.0);
            prop_assert_eq!(ratio_interval(&new, &old, false, 0.95, seed), Some(interval));
            let wider = ratio_interval(&new, &old, false, 0.99, seed).unwrap();
            prop_assert!(wider.low <= interval.low && wider.high >= interval.high);
            let scaled: Vec<f64> = new.iter().map(|x| x * 4.0).collect();
            let four = ratio_interval(&scaled, &old, false, 0.95, seed).unwrap();
            prop_assert!((four.low / interval.low - 4.0).abs() < 1e-9);
            let extremes = |s: &[f64]| s.iter().fold((f64::MAX, 0f64), |(l, h), &x| (l.min(x), h.max(x)));
            let ((low, high), (l, h)) = (extremes(&new), extremes(&old));
            prop_assert!(interval.low >= low / h && interval.high <= high / l);
        }
    }
}
