//! Round-trip times as HDR histograms: 1 ns to 10 s with three significant digits.
//!
//! In reports a histogram is text: HdrHistogram's V2 encoding (not deflated), in standard base64.
#![forbid(unsafe_code)]

use crate::Error;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use serde::{Deserialize, Serialize};

/// Longest time told apart, in nanoseconds; longer ones count as this.
pub const MAX_NS: u64 = 10_000_000_000;
const DIGITS: u8 = 3;

/// A histogram of times in nanoseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency(hdrhistogram::Histogram<u64>);

/// The percentiles one reports, in nanoseconds, each off by at most 0.1 %; all 0 where nothing was recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Times recorded.
    pub count: u64,
    /// Shortest.
    pub min_ns: u64,
    /// Half are at most this.
    pub p50_ns: u64,
    /// 90 % are at most this.
    pub p90_ns: u64,
    /// 99 % are at most this.
    pub p99_ns: u64,
    /// 99.9 % are at most this.
    pub p99_9_ns: u64,
    /// Longest.
    pub max_ns: u64,
    /// Arithmetic mean.
    pub mean_ns: f64,
}

impl Default for Latency {
    fn default() -> Self {
        let empty = hdrhistogram::Histogram::new_with_bounds(1, MAX_NS, DIGITS);
        Self(empty.expect("1 ns to 10 s with three digits are bounds a histogram can have"))
    }
}

impl Latency {
    /// Records one time. Below 1 ns counts as 1 ns, above [`MAX_NS`] as that.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns.clamp(1, MAX_NS));
    }

    /// Times recorded.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Adds another's times to these.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("histograms of equal bounds can be added");
    }

    /// The percentiles.
    pub fn summary(&self) -> Summary {
        if self.0.is_empty() {
            return Summary::default();
        }
        let at = |quantile| self.0.value_at_quantile(quantile);
        Summary {
            count: self.0.len(),
            min_ns: self.0.min(),
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
            p99_9_ns: at(0.999),
            max_ns: self.0.max(),
            mean_ns: self.0.mean(),
        }
    }

    /// The histogram as text.
    pub fn encode(&self) -> String {
        let mut bytes = Vec::new();
        let written = V2Serializer::new().serialize(&self.0, &mut bytes);
        written.expect("a histogram of these bounds fits the encoding, and memory takes every write");
        STANDARD.encode(bytes)
    }

    /// Reads what [`Latency::encode`] writes. A histogram of other bounds is accepted if its values fit.
    pub fn decode(text: &str) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Histogram { reason };
        let bytes = STANDARD.decode(text).map_err(|e| refuse(e.to_string()))?;
        let mut rest = bytes.as_slice();
        let read: hdrhistogram::Histogram<u64> =
            Deserializer::new().deserialize(&mut rest).map_err(|e| refuse(e.to_string()))?;
        if !rest.is_empty() {
            return Err(refuse(format!("{} bytes too many", rest.len())));
        }
        let mut latency = Self::default();
        latency.0.add(&read).map_err(|e| refuse(e.to_string()))?;
        Ok(latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(times: &[u64]) -> Latency {
        let mut latency = Latency::default();
        times.iter().for_each(|&ns| latency.record(ns));
        latency
    }

    proptest! {
        #[test]
        fn text_brings_back_the_histogram(times in prop::collection::vec(0u64..20_000_000_000, 0..200)) {
            let latency = of(&times);
            prop_assert_eq!(Latency::decode(&latency.encode()).unwrap(), latency);
        }

        #[test]
        fn percentiles_are_within_a_thousandth(mut times in prop::collection::vec(1u64..MAX_NS, 1..300)) {
            let summary = of(&times).summary();
            times.sort_unstable();
            let near = |ours: u64, exact: u64| ours.abs_diff(exact) <= exact / 1000 + 1;
            prop_assert_eq!(summary.count, times.len() as u64);
            prop_assert!(near(summary.min_ns, times[0]));
            prop_assert!(near(summary.max_ns, *times.last().unwrap()));
            prop_assert!(near(summary.p50_ns, times[times.len().div_ceil(2) - 1]));
            prop_assert!(near(summary.p90_ns, times[(times.len() * 9).div_ceil(10) - 1]));
            let mean = times.iter().sum::<u64>() as f64 / times.len() as f64;
            prop_assert!((summary.mean_ns - mean).abs() <= mean / 1000.0 + 1.0);
        }

        #[test]
        fn merging_is_recording_both(a in prop::collection::vec(1u64..MAX_NS, 0..50), b in prop::collection::vec(1u64..MAX_NS, 0..50)) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(merged, of(&[a, b].concat()));
        }

        #[test]
        fn rubbish_is_refused_and_never_panics(text in "[A-Za-z0-9+/=]{0,200}") {
            prop_assert!(Latency::decode(&text).is_err());
        }
    }

    #[test]
    fn nothing_recorded_is_all_zero() {
        assert_eq!(Latency::default().summary(), Summary::default());
        assert_eq!(Latency::decode(&Latency::default().encode()).unwrap().count(), 0);
    }

    #[test]
    fn truncated_and_padded_text_is_refused() {
        let bytes = STANDARD.decode(of(&[5, 500, 50_000]).encode()).unwrap();
        for len in 0..bytes.len() {
            assert!(
                Latency::decode(&STANDARD.encode(&bytes[..len])).is_err(),
                "{len} of {} bytes",
                bytes.len()
            );
        }
        assert!(Latency::decode(&STANDARD.encode([&bytes[..], &[0]].concat())).is_err());
    }
}
