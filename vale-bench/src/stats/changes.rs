//! When a series changed its level: binary segmentation with a permutation test at each step.
//!
//! In a stretch of runs every border is tried, and the one that sets both sides furthest apart by ranks (Pettitt 1979,
//! standardised so that borders near an end compete fairly) is held against the same search in the stretch's own
//! values dealt out anew: if chance orders find as much too often, there is no change. Otherwise the stretch is cut
//! there and each part is looked at again. Where no single border is found, a stretch within is looked for in the
//! same way (Olshen and others 2004): what went down and came back hides from a single border.
//!
//! Ranks make one wild run harmless and need no assumption about noise; the price is that a change needs some runs on
//! either side to be told from chance: about four and four at 95 %.

use super::{Random, median};

/// Runs on either side of a border, and in a stretch within.
const SIDE_MIN: usize = 3;
/// Orders dealt out for a test.
const DEALS: u32 = 1999;

/// A series changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Index of the first value on the new level.
    pub at: usize,
    /// The part of chance orders in which as much was found.
    pub p: f64,
}

/// The changes in `series`, in order, each at this significance level: so many of series that do not change are said
/// to change, each way of looking.
pub fn change_points(series: &[f64], alpha: f64, seed: u64) -> Vec<Change> {
    let mut random = Random::new(seed);
    let mut changes = Vec::new();
    let mut stretches = vec![(0, series.len())];
    while let Some((from, to)) = stretches.pop() {
        let Some((cuts, p)) = cut(&series[from..to], alpha, &mut random) else { continue };
        let mut start = from;
        for at in cuts.into_iter().map(|cut| from + cut) {
            changes.push(Change { at, p });
            stretches.push((start, at));
            start = at;
        }
        stretches.push((start, to));
    }
    changes.sort_by_key(|change| change.at);
    changes
}

/// Where to cut a stretch, and the chance of it.
fn cut(values: &[f64], alpha: f64, random: &mut Random) -> Option<(Vec<usize>, f64)> {
    for search in [border, within] {
        let ranks = ranks(values);
        let (seen, cuts) = search(&ranks);
        if cuts.is_empty() {
            continue;
        }
        let mut dealt = ranks;
        let mut far = 0;
        // Whether it is more than alpha is known long before all is dealt.
        let enough = (alpha * f64::from(DEALS + 1)) as u32;
        for _ in 0..DEALS {
            random.shuffle(&mut dealt);
            far += u32::from(search(&dealt).0 >= seen - 1e-9);
            if far >= enough {
                break;
            }
        }
        if far < enough {
            let cuts = if cuts.len() == 1 { vec![tightest(values, seen)] } else { cuts };
            return Some((cuts, f64::from(far + 1) / f64::from(DEALS + 1)));
        }
    }
    None
}

/// Ranks around their mean, equal values sharing theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let below = |v: f64| values.iter().filter(|&&x| x < v).count() as f64;
    let equal = |v: f64| values.iter().filter(|&&x| x == v).count() as f64;
    let mean = (values.len() + 1) as f64 / 2.0;
    values.iter().map(|&v| below(v) + (equal(v) + 1.0) / 2.0 - mean).collect()
}

/// How far the sum of `taken` of `all` ranks is from 0, over its standard deviation.
fn standardised(sum: f64, taken: usize, all: usize) -> f64 {
    let variance = (taken * (all - taken) * (all + 1)) as f64 / 12.0;
    sum.abs() / variance.sqrt()
}

type Found = (f64, Vec<usize>);

/// The border that sets both sides furthest apart.
fn border(ranks: &[f64]) -> Found {
    let mut best: Found = (0.0, Vec::new());
    let mut sum = 0.0;
    for at in 1..ranks.len() {
        sum += ranks[at - 1];
        if at < SIDE_MIN || ranks.len() - at < SIDE_MIN {
            continue;
        }
        let apart = standardised(sum, at, ranks.len());
        if apart > best.0 {
            best = (apart, vec![at]);
        }
    }
    best
}

/// Of the borders that set both sides `apart` by ranks, the one whose sides lie closest around their medians.
fn tightest(values: &[f64], apart: f64) -> usize {
    let ranks = ranks(values);
    let spread = |side: &[f64]| {
        let middle = median(side.iter().copied()).unwrap_or(0.0);
        side.iter().map(|value| (value - middle).abs()).sum::<f64>()
    };
    let reaches = |&at: &usize| standardised(ranks[..at].iter().sum(), at, ranks.len()) >= apart - 1e-9;
    let borders = (SIDE_MIN..=values.len() - SIDE_MIN).filter(reaches);
    let together = |at: usize| spread(&values[..at]) + spread(&values[at..]);
    borders.min_by(|&a, &b| together(a).total_cmp(&together(b))).unwrap_or(SIDE_MIN)
}

/// The stretch within that is furthest apart from the rest.
fn within(ranks: &[f64]) -> Found {
    let mut best: Found = (0.0, Vec::new());
    let last = ranks.len().saturating_sub(SIDE_MIN);
    for from in SIDE_MIN..last {
        let mut sum = 0.0;
        for to in from + 1..=last {
            sum += ranks[to - 1];
            if to - from < SIDE_MIN {
                continue;
            }
            let apart = standardised(sum, to - from, ranks.len());
            if apart > best.0 {
                best = (apart, vec![from, to]);
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Levels, each held for so many values, with a few percent of noise.
    fn series(levels: &[(f64, usize)], seed: u64) -> Vec<f64> {
        let mut random = Random::new(seed);
        let mut noise = move || 1.0 + 0.04 * (random.below(1001) as f64 / 1000.0 - 0.5);
        levels.iter().flat_map(|&(level, n)| vec![level; n]).map(|level| level * noise()).collect()
    }

    fn places(series: &[f64]) -> Vec<usize> {
        change_points(series, 0.05, 1).iter().map(|change| change.at).collect()
    }

    #[test]
    fn steps_are_found_where_they_are() {
        assert_eq!(places(&series(&[(10.0, 5), (9.0, 5)], 1)), [5]);
        assert_eq!(places(&series(&[(10.0, 12), (8.0, 9), (9.5, 10)], 2)), [12, 21]);
        let change = change_points(&series(&[(10.0, 10), (9.0, 10)], 1), 0.05, 1)[0];
        assert!(change.p <= 0.001, "{change:?}");
    }

    #[test]
    fn what_came_back_is_found_too() {
        assert_eq!(places(&series(&[(10.0, 10), (9.0, 10), (10.0, 10)], 3)), [10, 20]);
    }

    #[test]
    fn one_wild_run_is_no_change_and_few_runs_are_none() {
        let mut steady = series(&[(10.0, 20)], 4);
        steady[9] = 1.0;
        assert_eq!(places(&steady), [0; 0]);
        for n in 0..7 {
            assert_eq!(places(&series(&[(10.0, n / 2), (1.0, n - n / 2)], 5)), [0; 0], "{n} runs");
        }
        assert_eq!(places(&[5.0; 30]), [0; 0]);
    }

    #[test]
    fn noise_is_seldom_called_a_change() {
        let wrong = (0..200).filter(|&seed| !places(&series(&[(10.0, 16)], 100 + seed)).is_empty()).count();
        // Two ways of looking, each wrong in one of twenty.
        assert!(wrong <= 28, "{wrong} of 200");
    }

    /// Every border by its definition, without running sums.
    fn border_by_hand(values: &[f64]) -> Option<usize> {
        let ranks = ranks(values);
        let apart = |at: usize| standardised(ranks[..at].iter().sum(), at, ranks.len());
        let borders = SIDE_MIN..(values.len() + 1).saturating_sub(SIDE_MIN);
        borders.filter(|&at| apart(at) > 1e-9).reduce(|a, b| if apart(b) > apart(a) + 1e-9 { b } else { a })
    }

    proptest! {
        #[test]
        fn the_best_border_is_the_one_of_its_definition(
            values in prop::collection::vec((0..9u8).prop_map(f64::from), 0..24)
        ) {
            let (apart, cuts) = border(&ranks(&values));
            match border_by_hand(&values) {
                Some(at) => {
                    let ranks = ranks(&values);
                    let of = |at: usize| standardised(ranks[..at].iter().sum(), at, ranks.len());
                    prop_assert!((of(at) - apart).abs() < 1e-9 && (of(cuts[0]) - apart).abs() < 1e-9);
                }
                None => prop_assert!(apart < 1e-9),
            }
        }

        #[test]
        fn scale_and_direction_do_not_matter(seed in 0..50u64, factor in 0.01..100.0f64) {
            let values = series(&[(10.0, 8), (7.0, 8)], seed);
            let scaled: Vec<f64> = values.iter().map(|v| v * factor).collect();
            let down: Vec<f64> = values.iter().map(|v| -v).collect();
            prop_assert_eq!(places(&values), [8]);
            prop_assert_eq!(places(&scaled), [8]);
            prop_assert_eq!(places(&down), [8]);
        }
    }
}
