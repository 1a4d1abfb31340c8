//! Frames over time, in the three ways they are quoted, and the accounts that must add up.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number::{finite, ratio};

/// The frame check sequence, which frame sizes include and slots do not.
pub const FCS_BYTES: u16 = 4;

/// Preamble (7), start delimiter (1) and minimal gap (12) that each frame costs on an Ethernet line.
pub const L1_OVERHEAD_BYTES: u64 = 20;

/// Bits on the line of `frames` frames with `bytes` bytes including FCS.
pub fn l1_bits(frames: u64, bytes: u64) -> f64 {
    (bytes as f64 + frames as f64 * L1_OVERHEAD_BYTES as f64) * 8.0
}

/// Bits of `bytes` bytes of frames including FCS.
pub fn l2_bits(bytes: u64) -> f64 {
    bytes as f64 * 8.0
}

/// One rate, quoted in packets and in bits with and without what the line adds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rates {
    /// Millions of frames a second.
    #[serde(serialize_with = "finite")]
    pub rate_mpps: f64,
    /// Thousand million bits a second of frames including FCS.
    #[serde(serialize_with = "finite")]
    pub rate_l2_gbps: f64,
    /// The same with preamble and gap, 20 bytes a frame: what a line would be loaded with.
    #[serde(serialize_with = "finite")]
    pub rate_l1_gbps: f64,
}

impl Rates {
    /// Rates of `frames` frames with `bytes` bytes including FCS in `elapsed_ns`; zero in no time at all.
    pub fn new(frames: u64, bytes: u64, elapsed_ns: u64) -> Rates {
        let ns = elapsed_ns as f64;
        Rates {
            rate_mpps: ratio(frames as f64 * 1e3, ns),
            rate_l2_gbps: ratio(l2_bits(bytes), ns),
            rate_l1_gbps: ratio(l1_bits(frames, bytes), ns),
        }
    }

    /// Several directions added up.
    pub fn sum<'a>(rates: impl IntoIterator<Item = &'a Rates>) -> Rates {
        rates.into_iter().fold(Rates::default(), |sum, rate| Rates {
            rate_mpps: sum.rate_mpps + rate.rate_mpps,
            rate_l2_gbps: sum.rate_l2_gbps + rate.rate_l2_gbps,
            rate_l1_gbps: sum.rate_l1_gbps + rate.rate_l1_gbps,
        })
    }
}

/// What one receiver got of one sender.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DirectionThroughput {
    /// Name of the sending port; of all that send to one receiver, with ` + ` between them.
    pub from: String,
    /// Name of the receiving port.
    pub to: String,
    /// Frames received in the measured windows.
    pub received_frames: u64,
    /// Their bytes including FCS.
    pub received_bytes: u64,
    /// The receiver's rate.
    pub rates: Rates,
}

/// The receivers' rates over the measured windows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Throughput {
    /// Each direction on its own.
    pub directions: Vec<DirectionThroughput>,
    /// All directions added up.
    pub aggregate: Rates,
}

impl Throughput {
    /// The directions and their sum.
    pub fn new(directions: Vec<DirectionThroughput>) -> Throughput {
        let aggregate = Rates::sum(directions.iter().map(|direction| &direction.rates));
        Throughput { directions, aggregate }
    }
}

/// Where the frames of a trial went, warm-up and drain included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Accounting {
    /// Frames that senders published and that were taken from them.
    pub sent: u64,
    /// Frames of these streams that their receivers got.
    pub received: u64,
    /// Frames dropped on the way, by cause.
    pub drops: BTreeMap<String, u64>,
    /// `sent` less `received` less all `drops`: 0 when the accounts add up, positive when frames vanished,
    /// negative when more arrived than left.
    pub unaccounted: i64,
}

impl Accounting {
    /// Adds up the accounts of a trial.
    pub fn new(sent: u64, received: u64, drops: BTreeMap<String, u64>) -> Accounting {
        let dropped: i128 = drops.values().map(|&count| i128::from(count)).sum();
        let difference = i128::from(sent) - i128::from(received) - dropped;
        let unaccounted = difference.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        Accounting { sent, received, drops, unaccounted }
    }

    /// All drops together.
    pub fn dropped(&self) -> u64 {
        self.drops.values().fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// The part of what was sent that did not arrive, 0 to 1; 0 when nothing was sent.
    pub fn loss_ratio(&self) -> f64 {
        ratio(self.sent.saturating_sub(self.received) as f64, self.sent as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ten_gigabit_line_rate_at_64_bytes() {
        // The well-known figure: 14.88 Mpps of 64-byte frames fill a 10 Gbps line.
        let rates = Rates::new(14_880_952, 14_880_952 * 64, 1_000_000_000);
        assert!((rates.rate_mpps - 14.880_952).abs() < 1e-9);
        assert!((rates.rate_l1_gbps - 10.0).abs() < 1e-3);
        assert!((rates.rate_l2_gbps - 7.619).abs() < 1e-3);
    }

    #[test]
    fn accounts_that_add_up_and_accounts_that_do_not() {
        let drops = BTreeMap::from([("full".to_owned(), 7), ("bad_length".to_owned(), 3)]);
        let good = Accounting::new(100, 90, drops.clone());
        assert_eq!((good.unaccounted, good.dropped()), (0, 10));
        assert!((good.loss_ratio() - 0.1).abs() < 1e-12);
        assert_eq!(Accounting::new(100, 85, drops.clone()).unaccounted, 5);
        assert_eq!(Accounting::new(100, 95, drops).unaccounted, -5);
        assert_eq!(Accounting::new(0, 3, BTreeMap::new()).loss_ratio(), 0.0);
    }

    proptest! {
        #[test]
        fn figures_are_finite(frames: u64, bytes: u64, ns: u64, sent: u64, received: u64, drop: u64) {
            let rates = Rates::new(frames, bytes, ns);
            let twice = Rates::sum([&rates, &rates]);
            prop_assert!(twice.rate_mpps.is_finite() && twice.rate_l1_gbps.is_finite());
            let account = Accounting::new(sent, received, BTreeMap::from([("full".to_owned(), drop)]));
            prop_assert!((0.0..=1.0).contains(&account.loss_ratio()));
            prop_assert!(serde_json::to_string(&(twice, account)).is_ok());
        }
    }
}
