//! Medians and spreads of a few samples: repetitions of a trial, or the windows of one.
//!
//! Deliberately absent: tests of significance and confidence intervals; these are summaries of what was seen.

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
