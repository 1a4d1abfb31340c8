//! Loads as whole numbers, so that intervals can be doubled and halved without rounding.
//!
//! The grid is geometric: its steps are equal in relative width, and so small that each goal's width is a whole
//! number of them but for less than a hundredth, rounded down.

/// The loads that may be offered, in frames a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoadRange {
    /// The smallest.
    pub min_pps: f64,
    /// The largest.
    pub max_pps: f64,
}

impl LoadRange {
    /// Whether a search can be made between them.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.min_pps > 0.0 && self.max_pps > self.min_pps && self.max_pps.is_finite()
    }
}

/// How much of a width may be lost to rounding, and how close to it rounding may come: no closer than arithmetic
/// with doubles can be wrong.
const QUALITY: std::ops::RangeInclusive<f64> = 0.99..=0.999_999;

/// Loads from the smallest, number 0, to the largest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Grid {
    range: LoadRange,
    /// Number of the largest load.
    last: i64,
}

impl Grid {
    /// The coarsest grid that is fine enough for all `widths` (relative to the upper load, 0 to 1).
    pub(super) fn new(range: LoadRange, widths: &[f64]) -> Grid {
        let span = range.max_pps.ln() - range.min_pps.ln();
        let logs: Vec<f64> = widths.iter().map(|width| -(-width).ln_1p()).collect();
        let mut steps: i64 = 1;
        loop {
            let step = span / steps as f64;
            let mut wanted = steps + 1;
            let mut enough = true;
            for log in &logs {
                let units = log / step;
                let whole = units.floor();
                if !QUALITY.contains(&(whole / units)) {
                    enough = false;
                    let next = (whole + 1.0) / QUALITY.end() / units * steps as f64;
                    wanted = wanted.max(next.ceil() as i64);
                }
            }
            if enough {
                return Grid { range, last: steps };
            }
            steps = wanted;
        }
    }

    /// Number of the largest load.
    pub(super) fn last(&self) -> i64 {
        self.last
    }

    /// The load of a number; those out of range are at its ends.
    pub(super) fn load_pps(&self, number: i64) -> f64 {
        let LoadRange { min_pps, max_pps } = self.range;
        if number <= 0 {
            return min_pps;
        }
        if number >= self.last {
            return max_pps;
        }
        let log = (max_pps.ln() - min_pps.ln()) * (number as f64 / self.last as f64);
        (min_pps * log.exp()).clamp(min_pps, max_pps)
    }

    /// The number of the largest load that is not above `load_pps`.
    pub(super) fn at_most(&self, load_pps: f64) -> i64 {
        if load_pps <= self.range.min_pps {
            return 0;
        }
        if load_pps >= self.range.max_pps {
            return self.last;
        }
        let span = self.range.max_pps.ln() - self.range.min_pps.ln();
        let guess = ((load_pps / self.range.min_pps).ln() / span * self.last as f64).floor() as i64;
        // The logarithm may be off by a step; the loads themselves decide.
        let mut number = (guess + 1).clamp(0, self.last - 1);
        while number > 0 && self.load_pps(number) > load_pps {
            number -= 1;
        }
        number
    }

    /// A relative width as a number of steps, rounded down.
    pub(super) fn steps(&self, width: f64) -> i64 {
        self.at_most(self.range.min_pps / (1.0 - width)).max(1)
    }
}

/// Where to cut an interval from `low`, `width` steps wide and wider than `goal`: so that one part is the goal's width
/// doubled some times, and halving it ends exactly at the goal, and the parts are as equal as that allows.
pub(super) fn middle(low: i64, width: i64, goal: i64) -> i64 {
    if width == 2 * goal {
        return low + goal;
    }
    if width < 2 * goal {
        // No more than one cut is needed, and any is good; even parts of the goal help later searches.
        return if goal % 2 == 0 { middle(low, width, goal / 2) } else { low + width / 2 };
    }
    let (mut power, mut rest) = (goal, width - goal);
    loop {
        let (next_power, next_rest) = (2 * power, width - 2 * power);
        if next_rest <= next_power {
            let smaller = power * rest > next_power * next_rest;
            return low + if smaller { power } else { next_rest };
        }
        (power, rest) = (next_power, next_rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn loads_and_numbers_agree(
            min in 1.0..1e6f64, ratio in 1.01..1e6f64, widths in prop::collection::vec(1e-4..0.9f64, 1..4),
            at in 0.0..1.0f64,
        ) {
            let range = LoadRange { min_pps: min, max_pps: min * ratio };
            let grid = Grid::new(range, &widths);
            let number = (at * grid.last() as f64) as i64;
            prop_assert_eq!(grid.at_most(grid.load_pps(number)), number);
            let load = min + at * (range.max_pps - min);
            let below = grid.at_most(load);
            prop_assert!(grid.load_pps(below) <= load);
            prop_assert!(below == grid.last() || grid.load_pps(below + 1) > load);
            for width in widths {
                let steps = grid.steps(width);
                let upper = (number + steps).min(grid.last());
                let actual = 1.0 - grid.load_pps(upper - steps) / grid.load_pps(upper);
                if upper >= steps {
                    prop_assert!(actual <= width * (1.0 + 1e-9), "{actual} of {width}");
                }
            }
        }

        #[test]
        fn a_cut_is_inside(low in 0i64..1000, goal in 1i64..1000, extra in 1i64..100_000) {
            let width = goal + extra;
            let cut = middle(low, width, goal);
            prop_assert!(cut > low && cut < low + width);
        }

        #[test]
        fn cuts_end_soon(goal in 1i64..500, times in 2i64..2000, side in any::<u64>()) {
            let (mut width, mut cuts) = (goal * times, 0u32);
            while width > goal {
                let cut = middle(0, width, goal);
                width = if side >> (cuts % 64) & 1 == 0 { cut } else { width - cut };
                cuts += 1;
            }
            // A cut is not worse than one to two.
            prop_assert!(f64::from(cuts) <= (times as f64).log(1.5) + 1.0, "{cuts} for {times}");
        }
    }
}
