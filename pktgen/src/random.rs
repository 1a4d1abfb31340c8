//! Randomness that is the same each time: numbers, exponentially distributed times, and choices by popularity, each in
//! constant time, without allocation.
#![forbid(unsafe_code)]

use crate::Error;
use crate::spec::FlowOrder;
use crate::template::check_count;

/// Most flows whose popularity follows Zipf's law: each has an entry of 8 bytes.
pub const MAX_ZIPF_FLOWS: u32 = 1 << 20;
/// Exponents of Zipf's law that can be asked for.
pub const ZIPF_EXPONENTS: std::ops::RangeInclusive<f64> = 0.01..=10.0;

/// splitmix64 (Steele, Lea and Flood 2014).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Another sequence for every seed and every `purpose`.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        // Nearby seeds must not give sequences that are shifted copies of each other, so seed and purpose are mixed.
        let mixed = Self(seed ^ purpose.wrapping_mul(0xd1b5_4a32_d192_ed03)).next();
        Self(mixed)
    }

    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    /// A number below `choices`: none is likelier than another by more than 2⁻³² times `choices`.
    #[inline]
    pub(crate) fn below(&mut self, choices: u32) -> u32 {
        (((self.next() >> 32) * u64::from(choices)) >> 32) as u32
    }
}

/// Bits of the table's index.
const INDEX: u32 = 10;
/// ln 2, times 2³².
const LN_2: u64 = 2_977_044_472;

/// Exponentially distributed numbers with mean 1, as multiples of 2⁻³²: −ln u for a uniform u. The places of u's first
/// bit and a table of logarithms with linear interpolation give it to within 2·10⁻⁷, at most 44.4.
#[derive(Debug, Clone)]
pub(crate) struct Exponential {
    random: Random,
    /// −ln of ½ to 1.
    logs: Box<[u32; (1 << INDEX) + 1]>,
}

impl Exponential {
    pub(crate) fn new(random: Random) -> Self {
        let log = |i: usize| {
            let upper = 0.5 + i as f64 / (2 << INDEX) as f64;
            (-upper.ln() * (1u64 << 32) as f64).round() as u32
        };
        Self { random, logs: Box::new(std::array::from_fn(log)) }
    }

    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        let bits = self.random.next() | 1;
        let zeros = bits.leading_zeros();
        let upper = bits << zeros;
        let index = (upper >> (63 - INDEX)) as usize & ((1 << INDEX) - 1);
        let between = upper >> (31 - INDEX) & u64::from(u32::MAX);
        let (from, to) = (u64::from(self.logs[index]), u64::from(self.logs[index + 1]));
        u64::from(zeros) * LN_2 + from - (((from - to) * between) >> 32)
    }
}

/// Which flow comes next.
#[derive(Debug, Clone)]
pub(crate) enum Chooser {
    /// The next.
    Turn,
    /// Any.
    Random(Random),
    /// By Walker's alias method (1977), its table made as Vose (1991) makes it: by flow the part of 2³² in which it is
    /// itself chosen, and who is chosen otherwise.
    Weighted(Random, Box<[(u32, u32)]>),
}

impl Chooser {
    pub(crate) fn new(order: FlowOrder, flows: u32, random: Random) -> Result<Self, Error> {
        match order {
            _ if flows == 1 => Ok(Self::Turn),
            FlowOrder::RoundRobin => Ok(Self::Turn),
            FlowOrder::Random => Ok(Self::Random(random)),
            FlowOrder::Zipf { exponent } => {
                let (min, max) = (*ZIPF_EXPONENTS.start(), *ZIPF_EXPONENTS.end());
                if !ZIPF_EXPONENTS.contains(&exponent) {
                    return Err(Error::Exponent { value: exponent, min, max });
                }
                check_count("flows by Zipf's law", flows.into(), MAX_ZIPF_FLOWS.into())?;
                let weights = (1..=flows).map(|rank| f64::from(rank).powf(-exponent)).collect();
                Ok(Self::Weighted(random, aliases(weights)))
            }
        }
    }

    /// The one after `flow`, of `flows`.
    #[inline]
    pub(crate) fn next(&mut self, flow: u32, flows: u32) -> u32 {
        match self {
            Self::Turn if flow + 1 == flows => 0,
            Self::Turn => flow + 1,
            Self::Random(random) => random.below(flows),
            Self::Weighted(random, table) => {
                let bits = random.next();
                let chosen = ((bits >> 32) * table.len() as u64) >> 32;
                let (itself, other) = table[chosen as usize];
                if bits as u32 <= itself { chosen as u32 } else { other }
            }
        }
    }
}

fn aliases(mut weights: Vec<f64>) -> Box<[(u32, u32)]> {
    let mean = weights.iter().sum::<f64>() / weights.len() as f64;
    weights.iter_mut().for_each(|weight| *weight /= mean);
    // Whoever is left over has a weight of 1 but for rounding, and is its own other.
    let mut table: Box<[_]> = (0..weights.len() as u32).map(|i| (u32::MAX, i)).collect();
    let (mut few, mut many): (Vec<u32>, Vec<u32>) =
        (0..weights.len() as u32).partition(|&i| weights[i as usize] < 1.0);
    while let (Some(poor), Some(&rich)) = (few.pop(), many.last()) {
        let weight = weights[poor as usize];
        table[poor as usize] = ((weight * (1u64 << 32) as f64) as u32, rich);
        weights[rich as usize] -= 1.0 - weight;
        if weights[rich as usize] < 1.0 {
            many.pop();
            few.push(rich);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: u32 = 1_000_000;

    /// Pearson's statistic of how far `seen` is from `expected`, less its mean, in its standard deviations.
    fn deviation(seen: &[u32], expected: impl Iterator<Item = f64>) -> f64 {
        let squares = seen
            .iter()
            .zip(expected)
            .map(|(&seen, expected)| (f64::from(seen) - expected).powi(2) / expected);
        let degrees = (seen.len() - 1) as f64;
        (squares.sum::<f64>() - degrees) / (2.0 * degrees).sqrt()
    }

    #[test]
    fn exponential_times_have_the_distribution_of_their_name() {
        for seed in 0..4 {
            let mut times = Exponential::new(Random::new(seed, 1));
            let drawn: Vec<f64> = (0..DRAWS).map(|_| times.next() as f64 / (1u64 << 32) as f64).collect();
            let n = f64::from(DRAWS);
            let mean = drawn.iter().sum::<f64>() / n;
            let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            // Both are 1; the standard errors are 0.001 and √8/1000. Seeds are fixed, so this cannot flake.
            assert!((mean - 1.0).abs() < 0.004, "mean {mean}");
            assert!((variance - 1.0).abs() < 0.012, "variance {variance}");
            // Twenty parts that are equally likely.
            let mut seen = [0; 20];
            drawn.iter().for_each(|x| seen[(((-x).exp() * 20.0) as usize).min(19)] += 1);
            let off = deviation(&seen, std::iter::repeat(n / 20.0));
            assert!(off.abs() < 4.0, "{off} standard deviations: {seen:?}");
            // And no memory: what follows a short time is like what follows a long one.
            let after = |short: bool| {
                let pairs = drawn.windows(2).filter(|pair| (pair[0] < std::f64::consts::LN_2) == short);
                let (sum, count) = pairs.fold((0.0, 0.0), |(sum, count), pair| (sum + pair[1], count + 1.0));
                sum / count
            };
            assert!((after(true) - after(false)).abs() < 0.01);
        }
    }

    #[test]
    fn the_table_is_the_logarithm() {
        let mut times = Exponential::new(Random(5));
        let mut same = Random(5);
        for _ in 0..10_000 {
            let uniform = (same.next() | 1) as f64 / 2f64.powi(64);
            let exact = -uniform.ln();
            assert!((times.next() as f64 / 2f64.powi(32) - exact).abs() < 2e-7, "-ln {uniform}");
        }
    }

    #[test]
    fn zipf_and_uniform_choices_come_as_often_as_they_should() {
        for (order, flows, weight) in [
            (FlowOrder::Random, 1000, 0.0),
            (FlowOrder::Zipf { exponent: 1.0 }, 100, 1.0),
            (FlowOrder::Zipf { exponent: 0.7 }, 1000, 0.7),
            (FlowOrder::Zipf { exponent: 2.0 }, 10, 2.0),
        ] {
            let mut chooser = Chooser::new(order, flows, Random::new(9, 2)).unwrap();
            let mut seen = vec![0u32; flows as usize];
            let mut flow = 0;
            for _ in 0..DRAWS {
                flow = chooser.next(flow, flows);
                seen[flow as usize] += 1;
            }
            let weights: Vec<f64> = (1..=flows).map(|rank| f64::from(rank).powf(-weight)).collect();
            let sum: f64 = weights.iter().sum();
            let off = deviation(&seen, weights.iter().map(|w| w / sum * f64::from(DRAWS)));
            assert!(off.abs() < 4.0, "{order:?}: {off} standard deviations");
        }
    }

    #[test]
    fn sequences_repeat_by_seed_and_differ_between_seeds() {
        let of = |seed, purpose| -> Vec<u64> {
            let mut random = Random::new(seed, purpose);
            (0..100).map(|_| random.next()).collect()
        };
        assert_eq!(of(1, 1), of(1, 1));
        let all: std::collections::HashSet<u64> =
            [of(1, 1), of(1, 2), of(2, 1), of(0, 0)].into_iter().flatten().collect();
        assert_eq!(all.len(), 400, "no sequence is a shifted copy of another");
    }

    #[test]
    fn what_is_no_popularity_is_refused() {
        let chooser = |exponent, flows| Chooser::new(FlowOrder::Zipf { exponent }, flows, Random(0));
        for exponent in [0.0, -1.0, 10.5, f64::NAN, f64::INFINITY] {
            assert!(matches!(chooser(exponent, 2), Err(Error::Exponent { .. })), "{exponent}");
        }
        assert!(matches!(chooser(1.0, MAX_ZIPF_FLOWS + 1), Err(Error::Count { .. })));
        assert!(matches!(chooser(1.0, 1), Ok(Chooser::Turn)), "one flow has no order");
    }
}
