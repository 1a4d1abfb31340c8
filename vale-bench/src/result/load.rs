//! What senders sent beyond sizes and rate, and how well they kept their schedules.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number::finite;
use super::{HistogramError, Times};

/// When frames left, at the mean rate that was offered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Arrivals {
    /// Evenly, or as fast as possible.
    #[default]
    Constant,
    /// After exponentially distributed times.
    Poisson,
    /// So many back to back, then a pause that makes up for them.
    Bursts {
        /// Frames of a burst.
        frames: u32,
    },
}

/// In which order flows came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FlowOrder {
    /// In turn.
    #[default]
    RoundRobin,
    /// At random, each as likely as any other.
    Random,
    /// At random, the k-th as likely as k to the power of minus the exponent.
    Zipf {
        /// The exponent.
        #[serde(serialize_with = "finite")]
        exponent: f64,
    },
}

/// A packet file that was sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PacketFile {
    /// As it was named.
    pub file: String,
    /// Frames in it.
    pub frames: u32,
    /// How many times as fast as captured; null where the offered load said when frames left.
    pub speed: Option<f64>,
}

/// A load, beyond its sizes, its flows and its rate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Load {
    /// When frames left.
    pub arrivals: Arrivals,
    /// Which flow came next.
    pub flow_order: FlowOrder,
    /// Range of source addresses and ports, as it was asked for; null where flows were made by number.
    pub src: Option<String>,
    /// Range of destination addresses and ports, as it was asked for.
    pub dst: Option<String>,
    /// Source Ethernet addresses of each sender.
    pub src_macs: u32,
    /// What was drawn at random can be drawn again from this.
    pub seed: u64,
    /// The file whose frames were sent; null where frames were made.
    pub pcap: Option<PacketFile>,
}

/// How well a paced sender kept its schedule, warm-up included, by the sender's own clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pacing {
    /// The schedule's mean rate in frames a second.
    #[serde(serialize_with = "finite")]
    pub asked_pps: f64,
    /// Frames published a second, from the schedule's beginning to the last frame.
    #[serde(serialize_with = "finite")]
    pub achieved_pps: f64,
    /// From when a frame was due to when it had been published to the port.
    pub lateness: Option<Times>,
    /// By how much the time between two frames differed from the schedule's, in either direction.
    pub spacing_error: Option<Times>,
    /// The part of the times between frames that were within 2 µs of the schedule's, 0 to 1.
    #[serde(serialize_with = "finite")]
    pub within_2us_ratio: f64,
    /// Both are of every frame if this is 1, else of one frame in so many.
    pub recorded_every: u32,
    /// Schedule that was given up because the sender fell too far behind.
    pub abandoned_ns: u64,
}

/// How far a time between frames may be off and still be called exact.
const EXACT_NS: u64 = 2_000;

impl Pacing {
    /// From what a sender reported.
    pub fn of(report: &pktgen::spec::PacingReport) -> Result<Pacing, HistogramError> {
        let spacing_error = Times::merge([report.spacing.as_str()])?;
        Ok(Pacing {
            asked_pps: report.asked_pps,
            achieved_pps: report.achieved_pps,
            lateness: Times::merge([report.lateness.as_str()])?,
            within_2us_ratio: spacing_error.as_ref().map_or(Ok(1.0), |times| times.ratio_below(EXACT_NS))?,
            spacing_error,
            recorded_every: report.recorded_every,
            abandoned_ns: report.abandoned_ns,
        })
    }
}

impl From<pktgen::spec::Arrivals> for Arrivals {
    fn from(arrivals: pktgen::spec::Arrivals) -> Arrivals {
        match arrivals {
            pktgen::spec::Arrivals::Constant => Arrivals::Constant,
            pktgen::spec::Arrivals::Poisson => Arrivals::Poisson,
            pktgen::spec::Arrivals::Bursts { frames } => Arrivals::Bursts { frames },
        }
    }
}

impl From<pktgen::spec::FlowOrder> for FlowOrder {
    fn from(order: pktgen::spec::FlowOrder) -> FlowOrder {
        match order {
            pktgen::spec::FlowOrder::RoundRobin => FlowOrder::RoundRobin,
            pktgen::spec::FlowOrder::Random => FlowOrder::Random,
            pktgen::spec::FlowOrder::Zipf { exponent } => FlowOrder::Zipf { exponent },
        }
    }
}
