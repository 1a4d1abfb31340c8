//! The statistics of this program, in one place: what a few samples are like ([`Summary`], [`Scatter`]), whether
//! two sets of them differ ([`rank_sum`], [`signed_rank`]), by how much and how surely ([`ratio_interval`]), what
//! many such questions at once do to the answers ([`holm`]), and when a series changed ([`change_points`]).
//!
//! All of it is pure: what is drawn by lot comes from a seed, so that a document can be shown again tomorrow with
//! the same figures. Nothing assumes a distribution; rates of a machine with neighbours have none to rely on.
//!
//! Deliberately absent: where samples come from, and what to call the outcome.

mod bootstrap;
mod changes;
mod many;
mod random;
mod ranks;

pub use bootstrap::{Interval, RESAMPLES, SAMPLES_MIN, ratio_interval, ratio_of_medians};
pub use changes::{Change, change_points};
pub use many::holm;
pub use random::Random;
pub use ranks::{Chance, least_p_paired, least_p_unpaired, rank_sum, signed_rank};

/// What a handful of samples looks like. Every figure is finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Number of samples, at least 1.
    pub count: usize,
    /// Smallest.
    pub min: f64,
    /// First quartile.
    pub q1: f64,
    /// Median.
    pub median: f64,
    /// Third quartile.
    pub q3: f64,
    /// Largest.
    pub max: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation (divided by n − 1); `None` for one sample.
    pub std_dev: Option<f64>,
}

impl Summary {
    /// Sums up `samples`, leaving out any that is not finite; `None` if none remains.
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Option<Summary> {
        let mut sorted: Vec<f64> = samples.into_iter().filter(|sample| sample.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let count = sorted.len();
        // Scaled before they are added, so that the sum cannot overflow.
        let mean = sorted.iter().map(|sample| sample / count as f64).sum::<f64>();
        let std_dev = (count > 1).then(|| {
            let squares: f64 = sorted.iter().map(|sample| (sample - mean).powi(2) / (count - 1) as f64).sum();
            squares.sqrt()
        });
        Some(Summary {
            count,
            min,
            q1: quantile(&sorted, 0.25),
            median: quantile(&sorted, 0.5),
            q3: quantile(&sorted, 0.75),
            max,
            mean,
            std_dev: std_dev.filter(|deviation| deviation.is_finite()),
        })
    }

    /// Coefficient of variation: standard deviation over mean. `None` for one sample or a mean of 0.
    pub fn cv(&self) -> Option<f64> {
        Some(self.std_dev? / self.mean.abs()).filter(|cv| cv.is_finite())
    }

    /// Interquartile range.
    pub fn iqr(&self) -> f64 {
        self.q3 - self.q1
    }
}

/// What the median of absolute deviations is multiplied with to estimate a normal distribution's standard
/// deviation.
const MAD_TO_SIGMA: f64 = 1.4826;

/// Median of some rates, and how far they lie around it, little moved by a few wild ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scatter {
    /// Median, above 0.
    pub median: f64,
    /// Robust standard deviation (1.4826 times the median absolute deviation) over the median.
    pub relative: f64,
}

impl Scatter {
    /// Of `samples`; `None` where there is none, or their median is not above 0.
    pub fn of(samples: &[f64]) -> Option<Scatter> {
        let middle = median(samples.iter().copied()).filter(|&m| m > 0.0)?;
        let deviation = median(samples.iter().map(|s| (s - middle).abs()))?;
        Some(Scatter { median: middle, relative: MAD_TO_SIGMA * deviation / middle })
    }
}

/// The median of `samples`; `None` if there is none.
pub fn median(samples: impl IntoIterator<Item = f64>) -> Option<f64> {
    Summary::of(samples).map(|summary| summary.median)
}

/// Linear interpolation between the closest ranks (Hyndman and Fan's type 7, the default of R and NumPy).
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = q * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
    // A weighted mean, because the difference of two finite numbers can be infinite; held between the two,
    // because it is rounded.
    let weight = rank - rank.floor();
    (below * (1.0 - weight) + above * weight).clamp(below, above)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn figures_numpy_gives() {
        // numpy.percentile([3, 1, 4, 1, 5, 9, 2, 6], [25, 50, 75]) and numpy.std(…, ddof=1)
        let summary = Summary::of([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]).unwrap();
        assert_eq!((summary.q1, summary.median, summary.q3), (1.75, 3.5, 5.25));
        assert_eq!((summary.min, summary.max, summary.mean), (1.0, 9.0, 3.875));
        assert!((summary.std_dev.unwrap() - 2.748_376_143_938_713).abs() < 1e-12);
        assert!((summary.cv().unwrap() - 0.709_258_359).abs() < 1e-9);
        assert_eq!(summary.iqr(), 3.5);
    }

    #[test]
    fn few_samples_and_samples_that_are_no_numbers() {
        assert_eq!(Summary::of([]), None);
        assert_eq!(Summary::of([f64::NAN, f64::INFINITY]), None);
        let one = Summary::of([2.0, f64::NAN]).unwrap();
        assert_eq!((one.count, one.median, one.std_dev, one.cv()), (1, 2.0, None, None));
        assert_eq!(median([1.0, 2.0]), Some(1.5));
        assert_eq!(Summary::of([0.0, 0.0]).unwrap().cv(), None);
    }

    proptest! {
        #[test]
        fn order_holds(samples in prop::collection::vec(-1e300..1e300f64, 1..40)) {
            let s = Summary::of(samples.iter().copied()).unwrap();
            prop_assert!(s.min <= s.q1 && s.q1 <= s.median && s.median <= s.q3 && s.q3 <= s.max);
            prop_assert!(s.mean.is_finite());
            let inside = samples.iter().filter(|&&x| x <= s.median).count();
            prop_assert!(inside * 2 >= samples.len());
        }
    }
}
