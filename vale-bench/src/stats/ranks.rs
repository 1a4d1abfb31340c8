//! Whether two sets of samples differ: permutation tests on ranks.
//!
//! If nothing but chance told the sets apart, every way to deal the same values out to them would be as likely as the
//! one that was seen; p is the part of these ways that sets them as far apart. Ranks stand for the values
//! (Wilcoxon 1945), so that one sample a busy machine spoilt weighs no more than any other, and logarithms,
//! squares or units change nothing. Medians would be the wrong thing to permute: they depend on one or two values,
//! and most rearrangements of few samples leave them as they are.
//!
//! Up to [`EXACT_MAX`] samples all ways are counted, by sums; beyond, [`DEALS`] are drawn from the seed.

use super::Random;

/// Samples up to which every arrangement is counted.
const EXACT_MAX: usize = 60;
/// Arrangements drawn by lot beyond that.
const DEALS: u32 = 20_000;

/// How likely it is that chance alone sets two sets as far apart as they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chance {
    /// Two-sided p-value, above 0 and at most 1.
    pub p: f64,
    /// Whether all arrangements were counted, not some drawn.
    pub exact: bool,
}

/// Twice the rank of each value, from 2: equal values share the mean of their ranks, which then is a whole number.
fn double_ranks(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let equal = order[start..].iter().take_while(|&&i| values[i] == values[order[start]]).count();
        for &index in &order[start..start + equal] {
            // Ranks start+1 to start+equal, of which twice the mean is their first plus their last.
            ranks[index] = 2 * start + equal + 1;
        }
        start += equal;
    }
    ranks
}

/// Whether the samples of two sets, taken apart from each other, differ: Wilcoxon's rank sum (Mann and Whitney's U).
pub fn rank_sum(a: &[f64], b: &[f64], seed: u64) -> Chance {
    if a.is_empty() || b.is_empty() {
        return Chance { p: 1.0, exact: true };
    }
    let all: Vec<f64> = a.iter().chain(b).copied().collect();
    let mut ranks = double_ranks(&all);
    let total: usize = ranks.iter().sum();
    // Both sides of the distance from the mean, times the number of samples to stay whole.
    let distance = |sum: usize| (sum * all.len()).abs_diff(total * a.len());
    let seen = distance(ranks[..a.len()].iter().sum());
    if all.len() <= EXACT_MAX {
        let ways = sums_of(&ranks, a.len());
        let far: f64 =
            ways.iter().enumerate().filter(|(sum, _)| distance(*sum) >= seen).map(|(_, n)| n).sum();
        return Chance { p: (far / ways.iter().sum::<f64>()).min(1.0), exact: true };
    }
    let mut random = Random::new(seed);
    drawn(|| {
        random.shuffle(&mut ranks);
        distance(ranks[..a.len()].iter().sum()) >= seen
    })
}

/// In how many ways `take` of `ranks` have each sum.
fn sums_of(ranks: &[usize], take: usize) -> Vec<f64> {
    let most: usize = ranks.iter().sum();
    let mut ways = vec![vec![0.0; most + 1]; take + 1];
    ways[0][0] = 1.0;
    for (index, &rank) in ranks.iter().enumerate() {
        for taken in (1..=take.min(index + 1)).rev() {
            let (fewer, more) = ways.split_at_mut(taken);
            for (sum, n) in more[0].iter_mut().enumerate().skip(rank) {
                *n += fewer[taken - 1][sum - rank];
            }
        }
    }
    ways.pop().unwrap_or_default()
}

/// Whether samples that were taken in pairs differ: Wilcoxon's signed rank of their differences, which must be on a
/// scale where equal differences mean as much, as logarithms of rates are. Pairs without a difference are left out.
pub fn signed_rank(differences: &[f64], seed: u64) -> Chance {
    let differences: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    let ranks = double_ranks(&differences.iter().map(|d| d.abs()).collect::<Vec<_>>());
    let total: usize = ranks.iter().sum();
    let distance = |sum: usize| (2 * sum).abs_diff(total);
    let up = differences.iter().zip(&ranks).filter(|(d, _)| **d > 0.0).map(|(_, rank)| rank);
    let seen = distance(up.sum());
    if differences.len() <= EXACT_MAX {
        let mut ways = vec![0.0; total + 1];
        ways[0] = 1.0;
        for &rank in &ranks {
            for sum in (rank..=total).rev() {
                ways[sum] += ways[sum - rank];
            }
        }
        let far: f64 =
            ways.iter().enumerate().filter(|(sum, _)| distance(*sum) >= seen).map(|(_, n)| n).sum();
        return Chance { p: (far / ways.iter().sum::<f64>()).min(1.0), exact: true };
    }
    let mut random = Random::new(seed);
    drawn(|| distance(ranks.iter().filter(|_| random.below(2) == 1).sum()) >= seen)
}

/// The part of arrangements drawn by lot that are as far out; what was seen is one of them.
fn drawn(mut is_far: impl FnMut() -> bool) -> Chance {
    let far = (0..DEALS).filter(|_| is_far()).count();
    Chance { p: (far + 1) as f64 / f64::from(DEALS + 1), exact: false }
}

/// The smallest p that [`rank_sum`] can give for sets of these sizes without ties: 2 in all arrangements.
pub fn least_p_unpaired(a: usize, b: usize) -> f64 {
    // The number of ways to choose a of a + b.
    let ways = (1..=a).fold(1.0, |ways, i| ways * (b + i) as f64 / i as f64);
    (2.0 / ways).min(1.0)
}

/// The smallest p that [`signed_rank`] can give for so many pairs.
pub fn least_p_paired(pairs: usize) -> f64 {
    0.5f64.powi(i32::try_from(pairs).unwrap_or(i32::MAX).saturating_sub(1)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By going through every arrangement.
    fn rank_sum_by_hand(a: &[f64], b: &[f64]) -> f64 {
        let all: Vec<f64> = a.iter().chain(b).copied().collect();
        let ranks = double_ranks(&all);
        let mean = ranks.iter().sum::<usize>() as f64 * a.len() as f64 / all.len() as f64;
        let seen = (ranks[..a.len()].iter().sum::<usize>() as f64 - mean).abs();
        let (mut far, mut ways) = (0, 0);
        for chosen in 0u32..1 << all.len() {
            if chosen.count_ones() as usize == a.len() {
                let sum: usize = (0..all.len()).filter(|i| chosen >> i & 1 == 1).map(|i| ranks[i]).sum();
                ways += 1;
                far += u32::from((sum as f64 - mean).abs() >= seen - 1e-9);
            }
        }
        f64::from(far) / f64::from(ways)
    }

    fn signed_rank_by_hand(differences: &[f64]) -> f64 {
        let d: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
        let ranks = double_ranks(&d.iter().map(|d| d.abs()).collect::<Vec<_>>());
        let total: usize = ranks.iter().sum();
        let far = |signs: u32| {
            let up: usize = (0..d.len()).filter(|i| signs >> i & 1 == 1).map(|i| ranks[i]).sum();
            (2 * up).abs_diff(total)
        };
        let seen = far((0..d.len()).filter(|&i| d[i] > 0.0).map(|i| 1 << i).sum());
        let ways = 1u32 << d.len();
        f64::from((0..ways).filter(|&signs| far(signs) >= seen).count() as u32) / f64::from(ways)
    }

    #[test]
    fn figures_of_tables_and_of_r() {
        // wilcox.test(c(1.1,2.2,3.3,0.4), c(4.5,5.6,6.7,7.8,8.9)): all of one set lies below the other.
        let apart = rank_sum(&[1.1, 2.2, 3.3, 0.4], &[4.5, 5.6, 6.7, 7.8, 8.9], 0);
        assert!(apart.exact && (apart.p - 0.015_873_015_873).abs() < 1e-9, "{apart:?}");
        assert!((least_p_unpaired(4, 5) - apart.p).abs() < 1e-12);
        assert!((least_p_unpaired(5, 5) - 2.0 / 252.0).abs() < 1e-12);
        // wilcox.test(c(0.3, 1.2, -0.1, 2, 0.8, 1.1)): V = 20
        let pairs = signed_rank(&[0.3, 1.2, -0.1, 2.0, 0.8, 1.1], 0);
        assert!((pairs.p - 0.0625).abs() < 1e-12, "{pairs:?}");
        assert_eq!((least_p_paired(6), least_p_paired(0)), (0.03125, 1.0));
    }

    #[test]
    fn nothing_to_tell_apart() {
        assert_eq!(rank_sum(&[], &[1.0], 0).p, 1.0);
        assert_eq!(rank_sum(&[1.0; 5], &[1.0; 5], 0).p, 1.0);
        assert_eq!(signed_rank(&[0.0; 9], 0).p, 1.0);
        assert_eq!(signed_rank(&[], 0).p, 1.0);
    }

    #[test]
    fn many_samples_are_drawn_by_lot_and_come_to_the_same() {
        let low: Vec<f64> = (0..40).map(f64::from).collect();
        let high: Vec<f64> = low.iter().map(|x| x + 8.0).collect();
        let (half, other) = (rank_sum(&low[..30], &high[..30], 1), rank_sum(&low, &high, 1));
        assert!(half.exact && !other.exact && other.p < 0.05, "{half:?} {other:?}");
        assert_eq!(rank_sum(&low, &high, 1), other);
        let even: Vec<f64> = (0..80).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        assert!(signed_rank(&even, 3).p > 0.9);
    }

    #[test]
    fn chance_alone_is_called_a_difference_no_more_often_than_said() {
        let mut random = Random::new(11);
        let mut wrong = 0;
        for seed in 0..1000 {
            let mut draw = |n: usize| (0..n).map(|_| random.bits() as f64).collect::<Vec<_>>();
            wrong += u32::from(rank_sum(&draw(5), &draw(6), seed).p <= 0.05);
        }
        assert!(wrong <= 65, "{wrong} of 1000 at 5 %");
    }

    /// Few different values, so that ties are common.
    fn samples() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec((0..8u8).prop_map(f64::from), 1..7)
    }

    proptest! {
        #[test]
        fn counted_sums_are_what_brute_force_finds(a in samples(), b in samples()) {
            let chance = rank_sum(&a, &b, 0);
            prop_assert!((chance.p - rank_sum_by_hand(&a, &b)).abs() < 1e-9);
            prop_assert!((chance.p - rank_sum(&b, &a, 0).p).abs() < 1e-9);
            // With ties one end of the arrangements may be further out than the other.
            prop_assert!(chance.p >= least_p_unpaired(a.len(), b.len()) / 2.0 - 1e-12);
        }

        #[test]
        fn signed_sums_are_what_brute_force_finds(d in prop::collection::vec((-5..6i8).prop_map(f64::from), 0..11)) {
            let chance = signed_rank(&d, 0);
            prop_assert!((chance.p - signed_rank_by_hand(&d)).abs() < 1e-9);
            prop_assert!(chance.p > 0.0 && chance.p <= 1.0);
        }
    }
}
