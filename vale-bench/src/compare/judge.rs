//! What the samples of each pair come to.

use super::Options;
use super::document::{Comparison, Metric, Verdict};
use super::matching::Pair;
use crate::stats::{
    Chance, SAMPLES_MIN, holm, least_p_paired, least_p_unpaired, rank_sum, ratio_interval, ratio_of_medians,
    signed_rank,
};

/// Judges all pairs together.
pub(super) fn judge(pairs: &[Pair], options: &Options) -> Vec<Comparison> {
    let alpha = 1.0 - options.confidence;
    let tests: Vec<(bool, Chance)> =
        pairs.iter().map(|pair| test(pair, alpha, pairs.len(), options)).collect();
    let adjusted = holm(&tests.iter().map(|(_, chance)| chance.p).collect::<Vec<_>>());
    let judged = pairs.iter().zip(&tests).zip(adjusted);
    judged
        .map(|((pair, &(paired, chance)), p_adjusted)| {
            let (new, old) = (&pair.new.samples, &pair.old.samples);
            let ratio = ratio_of_medians(new, old);
            let interval = ratio_interval(new, old, pair.same_rounds, options.confidence, options.seed);
            let least =
                if paired { least_p_paired(new.len()) } else { least_p_unpaired(new.len(), old.len()) };
            let differs = p_adjusted <= alpha && interval.is_none_or(|interval| !interval.holds(1.0));
            let verdict = match ratio {
                _ if new.len().min(old.len()) < SAMPLES_MIN => Verdict::TooFew,
                Some(ratio) if differs && ratio != 1.0 => {
                    if (ratio > 1.0) == pair.metric.more_is_better() {
                        Verdict::Faster
                    } else {
                        Verdict::Slower
                    }
                }
                // Nothing comes from a reference of nothing.
                None if differs => Verdict::Faster,
                _ if least * pairs.len() as f64 > alpha => Verdict::TooFew,
                _ => Verdict::NoDifference,
            };
            let limit = options.fail_below.filter(|_| pair.metric == Metric::RateMpps);
            let below =
                limit.zip(ratio).is_some_and(|(limit, ratio)| ratio < limit) && verdict == Verdict::Slower;
            Comparison {
                conditions: pair.conditions.clone(),
                frame_size: pair.frame_size.clone(),
                metric: pair.metric,
                unit: pair.unit,
                old: pair.old.clone(),
                new: pair.new.clone(),
                ratio,
                interval,
                paired,
                p: chance.p,
                exact: chance.exact,
                p_adjusted,
                verdict,
                below,
            }
        })
        .collect()
}

/// The test of one pair of `of`, and whether it goes by rounds.
///
/// Rounds take out what the machine did to both sides alike, but so few signs can come out so few ways that below six
/// rounds nothing is ever shown. Which test it is depends on numbers of samples alone, never on their values.
fn test(pair: &Pair, alpha: f64, of: usize, options: &Options) -> (bool, Chance) {
    let (new, old) = (&pair.new.samples, &pair.old.samples);
    let logarithms = new.iter().chain(old).all(|sample| *sample > 0.0);
    if pair.same_rounds && logarithms && least_p_paired(new.len()) * of as f64 <= alpha {
        let differences: Vec<f64> = new.iter().zip(old).map(|(new, old)| (new / old).ln()).collect();
        return (true, signed_rank(&differences, options.seed));
    }
    (false, rank_sum(new, old, options.seed))
}
