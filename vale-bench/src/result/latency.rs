//! Times, round trips above all, summed up from the HDR histograms that the roles report.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number::finite;

/// Why a histogram could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HistogramError {
    /// Not base64.
    #[error("a latency histogram is not base64")]
    Base64(#[from] base64::DecodeError),
    /// Not an HDR histogram in the V2 encoding, or one that cannot be held here.
    #[error("a latency histogram is not in the HDR V2 encoding: {0}")]
    Encoding(String),
}

/// Round-trip times of all probes of a trial, each taken in one clock domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// Round trips measured.
    pub count: u64,
    /// Probes whose echo did not come in time; they are not in the figures.
    pub lost: u64,
    /// Shortest.
    pub min_ns: u64,
    /// Median.
    pub p50_ns: u64,
    /// Nine in ten were at most this.
    pub p90_ns: u64,
    /// 99 in 100 were at most this.
    pub p99_ns: u64,
    /// 999 in 1000 were at most this.
    pub p99_9_ns: u64,
    /// Longest.
    pub max_ns: u64,
    /// Mean.
    #[serde(serialize_with = "finite")]
    pub mean_ns: f64,
    /// The whole distribution in nanoseconds: an HDR histogram in the V2 encoding without DEFLATE, in base64.
    pub histogram: String,
}

/// A distribution of times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Times {
    /// Times recorded.
    pub count: u64,
    /// Shortest.
    pub min_ns: u64,
    /// Median.
    pub p50_ns: u64,
    /// Nine in ten were at most this.
    pub p90_ns: u64,
    /// 99 in 100 were at most this.
    pub p99_ns: u64,
    /// 999 in 1000 were at most this.
    pub p99_9_ns: u64,
    /// Longest.
    pub max_ns: u64,
    /// Mean.
    #[serde(serialize_with = "finite")]
    pub mean_ns: f64,
    /// The whole distribution in nanoseconds: an HDR histogram in the V2 encoding without DEFLATE, in base64.
    pub histogram: String,
}

impl Times {
    /// Merges histograms; `None` if nothing was recorded in any.
    pub fn merge<'a>(histograms: impl IntoIterator<Item = &'a str>) -> Result<Option<Times>, HistogramError> {
        let Some(all) = merged(histograms)? else { return Ok(None) };
        Ok(Some(Times {
            count: all.len(),
            min_ns: all.min(),
            p50_ns: all.value_at_quantile(0.5),
            p90_ns: all.value_at_quantile(0.9),
            p99_ns: all.value_at_quantile(0.99),
            p99_9_ns: all.value_at_quantile(0.999),
            max_ns: all.max(),
            mean_ns: all.mean(),
            histogram: encode(&all)?,
        }))
    }

    /// The part of the times that were at most `ns`, 0 to 1.
    pub fn ratio_below(&self, ns: u64) -> Result<f64, HistogramError> {
        Ok(decode(&self.histogram)?.quantile_below(ns))
    }
}

impl Latency {
    /// Merges what several ping roles measured; `None` if no probe came back.
    pub fn merge<'a>(
        histograms: impl IntoIterator<Item = &'a str>,
        lost: u64,
    ) -> Result<Option<Latency>, HistogramError> {
        let times = Times::merge(histograms)?;
        Ok(times.map(|times| {
            let Times { count, min_ns, p50_ns, p90_ns, p99_ns, p99_9_ns, max_ns, mean_ns, histogram } = times;
            Latency { count, lost, min_ns, p50_ns, p90_ns, p99_ns, p99_9_ns, max_ns, mean_ns, histogram }
        }))
    }
}

/// Round trips of probes inside a load.
///
/// Probes leave by a schedule, on the ports of the load and in between its frames, and are sent back by the receiver's
/// engine. Load and probes together make the load that is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadedLatency {
    /// The load, in percent of the trial's throughput, or of the throughput that a search found.
    #[serde(serialize_with = "finite")]
    pub percent: f64,
    /// What each sender was to send, probes included, in frames a second, in the order of the trial's directions.
    pub offered_pps: Vec<f64>,
    /// What was received in all directions, probes included, in millions of frames a second.
    #[serde(serialize_with = "finite")]
    pub received_mpps: f64,
    /// The part of the load's frames that did not arrive, 0 to 1.
    #[serde(serialize_with = "finite")]
    pub loss_ratio: f64,
    /// Probes that each pinging port was to send a second.
    #[serde(serialize_with = "finite")]
    pub probe_pps: f64,
    /// Probes sent by all pinging ports.
    pub sent_probes: u64,
    /// Probes that were due and had not left when the load ended. They are in no figure.
    pub overdue_probes: u64,
    /// Round trips from when each probe was due, so that probes that had to wait are counted with their waiting, as
    /// frames that came then would have waited. Null where no probe came back.
    pub from_due: Option<Latency>,
    /// The same round trips from when each probe left.
    pub from_departure: Option<Latency>,
}

fn merged<'a>(
    histograms: impl IntoIterator<Item = &'a str>,
) -> Result<Option<Histogram<u64>>, HistogramError> {
    let mut all: Option<Histogram<u64>> = None;
    for text in histograms.into_iter().filter(|text| !text.is_empty()) {
        let one = decode(text)?;
        match &mut all {
            None => all = Some(one),
            Some(all) => {
                all.auto(true);
                all.add(one).map_err(|error| HistogramError::Encoding(error.to_string()))?;
            }
        }
    }
    Ok(all.filter(|all| !all.is_empty()))
}

fn decode(text: &str) -> Result<Histogram<u64>, HistogramError> {
    let bytes = BASE64.decode(text)?;
    Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|error| HistogramError::Encoding(error.to_string()))
}

fn encode(histogram: &Histogram<u64>) -> Result<String, HistogramError> {
    let mut bytes = Vec::new();
    V2Serializer::new()
        .serialize(histogram, &mut bytes)
        .map_err(|error| HistogramError::Encoding(error.to_string()))?;
    Ok(BASE64.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: impl IntoIterator<Item = u64>) -> String {
        let mut histogram = Histogram::new(3).unwrap();
        values.into_iter().for_each(|value| histogram.record(value).unwrap());
        encode(&histogram).unwrap()
    }

    #[test]
    fn merged_percentiles() {
        let (low, high) = (histogram(1..=500), histogram(501..=1000));
        let latency = Latency::merge([low.as_str(), "", high.as_str()], 2).unwrap().unwrap();
        assert_eq!((latency.count, latency.lost), (1000, 2));
        assert_eq!((latency.min_ns, latency.p50_ns, latency.p90_ns, latency.p99_ns), (1, 500, 900, 990));
        assert_eq!((latency.p99_9_ns, latency.max_ns), (999, 1000));
        let again = Latency::merge([latency.histogram.as_str()], 2).unwrap().unwrap();
        assert_eq!(again, latency);
    }

    #[test]
    fn a_wide_histogram_merges_into_a_narrow_one() {
        let (narrow, wide) = (histogram([5]), histogram([9_000_000_000]));
        let latency = Latency::merge([narrow.as_str(), wide.as_str()], 0).unwrap().unwrap();
        assert_eq!(latency.count, 2);
        assert!(latency.max_ns >= 9_000_000_000);
    }

    #[test]
    fn nothing_measured_is_no_latency_and_rubbish_is_an_error() {
        assert_eq!(Latency::merge([], 3).unwrap(), None);
        assert_eq!(Latency::merge([histogram([]).as_str()], 3).unwrap(), None);
        assert!(matches!(Latency::merge(["*"], 0), Err(HistogramError::Base64(_))));
        assert!(matches!(Latency::merge(["AAAA"], 0), Err(HistogramError::Encoding(_))));
    }
}
