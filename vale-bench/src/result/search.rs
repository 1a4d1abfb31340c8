//! A search for throughput: what was looked for, every trial that was made, and what was found.
//!
//! Loads are what **each sender** was to send, in frames a second. [`SearchRecord::rates`] adds the senders up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number::finite;
use super::rate::L1_OVERHEAD_BYTES;
use super::{Dataplane, Direction, FrameSize, Rates, Trial, Warning};

/// How loads were chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SearchMethod {
    /// MLRsearch (RFC 9971).
    Mlrsearch,
    /// The interval halved by one trial each (RFC 2544, section 26.1).
    Binary,
    /// No search: the rate received at the largest load, in several trials.
    Mrr,
    /// Bursts of growing and shrinking length (RFC 2544, section 26.4, and RFC 9004).
    BackToBack,
    /// One load for a long time.
    Soak,
}

impl SearchMethod {
    /// How it is written for people.
    pub fn label(self) -> &'static str {
        match self {
            SearchMethod::Mlrsearch => "MLRsearch",
            SearchMethod::Binary => "binary search",
            SearchMethod::Mrr => "maximum receive rate",
            SearchMethod::BackToBack => "back-to-back frames",
            SearchMethod::Soak => "soak test",
        }
    }
}

/// What a load must do to count as throughput; names and meaning are RFC 9971's. Ratios are 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchGoal {
    /// How it is called, as in `ndr`.
    pub name: String,
    /// Trials at least this long count in full.
    #[serde(serialize_with = "finite")]
    pub final_trial_duration_s: f64,
    /// Trials of this much together decide on a load.
    #[serde(serialize_with = "finite")]
    pub duration_sum_s: f64,
    /// A trial that loses more is a high-loss trial.
    #[serde(serialize_with = "finite")]
    pub loss_ratio: f64,
    /// The part of the duration sum that may be high-loss trials.
    #[serde(serialize_with = "finite")]
    pub exceed_ratio: f64,
    /// How far apart relevant bounds may be, relative to the upper.
    #[serde(serialize_with = "finite")]
    pub width: f64,
    /// Duration of the first trials.
    #[serde(serialize_with = "finite")]
    pub initial_trial_duration_s: f64,
    /// Coarser and shorter searches before the final one.
    pub preceding_targets: u32,
    /// By how much steps grew while a bound was looked for.
    pub expansion: u32,
}

/// A load that was classified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadBound {
    /// The load of each sender.
    #[serde(serialize_with = "finite")]
    pub load_pps: f64,
    /// Full-length trials at it that kept to the loss ratio, in seconds.
    #[serde(serialize_with = "finite")]
    pub full_low_loss_s: f64,
    /// Full-length trials that did not.
    #[serde(serialize_with = "finite")]
    pub full_high_loss_s: f64,
    /// Shorter trials that kept to it.
    #[serde(serialize_with = "finite")]
    pub short_low_loss_s: f64,
    /// Shorter trials that did not.
    #[serde(serialize_with = "finite")]
    pub short_high_loss_s: f64,
    /// Why it is a bound, as a sentence.
    pub reason: String,
}

/// Why a result is not what its goal asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Irregular {
    /// The largest load is a lower bound: more may be possible than could be asked for.
    NoUpperBound,
    /// No load, down to the smallest, is a lower bound.
    NoLowerBound,
    /// The search was ended before the bounds were close enough.
    TooWide,
}

impl Irregular {
    /// What it means, as a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Irregular::NoUpperBound => {
                "The largest load passed: what was tested may do more than --max-load asked of it."
            }
            Irregular::NoLowerBound => "No load passed, down to the smallest (--min-load).",
            Irregular::TooWide => "The search ended before its bounds were close enough.",
        }
    }
}

/// What was found for one goal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GoalResult {
    /// The goal.
    pub goal: SearchGoal,
    /// The relevant lower bound: the throughput found. Without an upper bound it is the largest lower bound, and the
    /// result is irregular.
    pub relevant_lower_bound: Option<LoadBound>,
    /// The relevant upper bound.
    pub relevant_upper_bound: Option<LoadBound>,
    /// The forwarding rate to expect at the relevant lower bound, of each sender's frames.
    #[serde(serialize_with = "finite_option")]
    pub conditional_throughput_pps: Option<f64>,
    /// The smallest load with a trial that lost too much; null if none did.
    #[serde(serialize_with = "finite_option")]
    pub lowest_high_loss_pps: Option<f64>,
    /// The largest load with a trial that did not; null if all did. Where this is above `lowest_high_loss_pps`,
    /// trials contradict each other, and what is between the two is uncertain.
    #[serde(serialize_with = "finite_option")]
    pub highest_low_loss_pps: Option<f64>,
    /// Whether the upper bound is one because the sender did not reach it.
    pub sender_limited: bool,
    /// Null for a regular result.
    pub irregular: Option<Irregular>,
}

impl GoalResult {
    /// The throughput found: the relevant lower bound, of each sender.
    pub fn throughput_pps(&self) -> Option<f64> {
        self.relevant_lower_bound.as_ref().map(|bound| bound.load_pps)
    }

    /// Loads between which the throughput may be by what was seen: the bounds, and all loads at which trials
    /// contradict each other.
    pub fn uncertainty_pps(&self) -> Option<(f64, f64)> {
        let lower =
            self.throughput_pps().or(self.relevant_upper_bound.as_ref().map(|bound| bound.load_pps))?;
        let upper = self.relevant_upper_bound.as_ref().map_or(lower, |bound| bound.load_pps);
        let from = self.lowest_high_loss_pps.map_or(lower, |load| load.min(lower));
        Some((from, self.highest_low_loss_pps.map_or(upper, |load| load.max(upper))))
    }
}

/// What a trial of a search was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrialPurpose {
    /// To warm up, and to see what the senders can do. It decides nothing else.
    WarmUp,
    /// To classify a load, or to be a result itself.
    Search,
}

/// One trial of a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchTrial {
    /// What it was for.
    pub purpose: TrialPurpose,
    /// Intended load of each sender; null for as much as it could.
    #[serde(serialize_with = "finite_option")]
    pub intended_load_pps: Option<f64>,
    /// Intended duration.
    #[serde(serialize_with = "finite")]
    pub intended_duration_s: f64,
    /// Frames that should have been forwarded: what was sent, and what the senders were too slow to send.
    pub intended_frames: u64,
    /// Frames that were sent.
    pub offered_frames: u64,
    /// Frames that arrived.
    pub forwarded_frames: u64,
    /// The part of the intended frames that did not arrive, 0 to 1.
    #[serde(serialize_with = "finite")]
    pub loss_ratio: f64,
    /// When it began, counted from the beginning of the search.
    #[serde(serialize_with = "finite")]
    pub start_s: f64,
    /// All that was measured.
    pub raw: Trial,
}

/// Rates received at the largest load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MaxReceiveRate {
    /// Mean of the trials, all receivers added up.
    pub mean: Rates,
    /// Standard deviation of the trials' rates; null for one trial.
    #[serde(serialize_with = "finite_option")]
    pub std_dev_mpps: Option<f64>,
}

/// The longest bursts without loss (RFC 9004).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackToBack {
    /// The longest burst of each repetition, in frames of each sender.
    pub bursts_frames: Vec<u64>,
    /// The longest that was tried; bursts as long say that there is no end to see.
    pub longest_tried_frames: u64,
    /// Mean of the repetitions.
    #[serde(serialize_with = "finite")]
    pub mean_frames: f64,
    /// The rate within a burst, of each sender: the most it can send.
    #[serde(serialize_with = "finite")]
    pub burst_rate_pps: f64,
    /// The rate at which bursts are emptied, of each sender's frames: what arrived at the largest load.
    #[serde(serialize_with = "finite")]
    pub drain_rate_pps: f64,
    /// The time such a burst takes.
    #[serde(serialize_with = "finite")]
    pub implied_buffer_s: f64,
    /// The time that was buffered, less what was forwarded meanwhile.
    #[serde(serialize_with = "finite")]
    pub corrected_buffer_s: f64,
    /// The same in frames.
    #[serde(serialize_with = "finite")]
    pub corrected_buffer_frames: f64,
}

/// One search on one dataplane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchRecord {
    /// How loads were chosen.
    pub method: SearchMethod,
    /// The topology and who sends to whom, as in `v2v`.
    pub scenario: String,
    /// What carried the packets.
    pub dataplane: Dataplane,
    /// Guests that took part.
    pub vms: u32,
    /// Ports that sent. Loads are of each of them.
    pub senders: u32,
    /// Frame sizes.
    pub frame_size: FrameSize,
    /// One way or both.
    pub direction: Direction,
    /// Flows of each sender.
    pub flows: u32,
    /// Which repetition this is, from 1.
    pub repeat: u32,
    /// The smallest load that could be asked for.
    #[serde(serialize_with = "finite")]
    pub min_load_pps: f64,
    /// The largest.
    #[serde(serialize_with = "finite")]
    pub max_load_pps: f64,
    /// What each sender sent when it was to send as much as it could.
    #[serde(serialize_with = "finite")]
    pub sender_max_pps: f64,
    /// What was found for each goal.
    pub results: Vec<GoalResult>,
    /// Where that was asked for: rates at the largest load.
    #[serde(default)]
    pub max_receive_rate: Option<MaxReceiveRate>,
    /// Where that was asked for: the longest bursts.
    #[serde(default)]
    pub back_to_back: Option<BackToBack>,
    /// Every trial, in the order in which they were made.
    pub trials: Vec<SearchTrial>,
    /// Where that was asked for: a trial at the load that was found for the first goal, or at the rate received, with
    /// round trips in parts of that load.
    #[serde(default)]
    pub round_trips: Option<Trial>,
    /// All trials together, in seconds of sending.
    #[serde(serialize_with = "finite")]
    pub trial_time_s: f64,
    /// From the first trial's beginning to the last one's end, with what came between.
    #[serde(serialize_with = "finite")]
    pub elapsed_s: f64,
    /// Why it was ended before it knew enough; null if it was not.
    pub incomplete: Option<String>,
    /// What could be wrong with it.
    pub warnings: Vec<Warning>,
}

impl SearchRecord {
    /// Whether both looked for the same in the same way, on whatever and with frames of whatever size.
    pub fn asks_as(&self, other: &SearchRecord) -> bool {
        self.method == other.method
            && self.scenario == other.scenario
            && self.direction == other.direction
            && self.vms == other.vms
            && self.senders == other.senders
            && self.flows == other.flows
    }

    /// Every trial, that of the round trips among them.
    pub fn all_trials(&self) -> impl Iterator<Item = &Trial> {
        self.trials.iter().map(|trial| &trial.raw).chain(&self.round_trips)
    }

    /// A load of each sender as rates of all of them.
    pub fn rates(&self, load_pps: f64) -> Rates {
        let pps = load_pps * f64::from(self.senders);
        let bytes = self.frame_size.mean_bytes();
        let gbps = |bytes: f64| pps * bytes * 8.0 / 1e9;
        Rates {
            rate_mpps: pps / 1e6,
            rate_l2_gbps: gbps(bytes),
            rate_l1_gbps: gbps(bytes + L1_OVERHEAD_BYTES as f64),
        }
    }
}

/// A rate that a search found, of all senders together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found<'a> {
    /// What the load had to do; `None` for the rate received at the largest load.
    pub goal: Option<&'a SearchGoal>,
    /// The rate; 0 where no load passed.
    pub rate_mpps: f64,
    /// Whether it is what the senders can, of which the dataplane may do more.
    pub sender_limited: bool,
}

impl SearchRecord {
    /// The rates that can be held against those of other searches: none of a search that was ended before it knew
    /// enough.
    pub fn found(&self) -> Vec<Found<'_>> {
        if self.incomplete.is_some() {
            return Vec::new();
        }
        let of_goal = |result: &'_ GoalResult| match (result.throughput_pps(), result.irregular) {
            (_, Some(Irregular::TooWide)) => None,
            (Some(load_pps), _) => Some(self.rates(load_pps).rate_mpps),
            (None, _) => Some(0.0),
        };
        let of_goals = self.results.iter().filter_map(|result| {
            let (goal, sender_limited) = (Some(&result.goal), result.sender_limited);
            Some(Found { goal, rate_mpps: of_goal(result)?, sender_limited })
        });
        let received = self.max_receive_rate.iter().map(|rate| {
            let rate_mpps = rate.mean.rate_mpps;
            Found { goal: None, rate_mpps, sender_limited: false }
        });
        of_goals.chain(received).collect()
    }
}

/// A number that may be absent, and is finite where it is not.
fn finite_option<S: serde::Serializer>(value: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => finite(value, to),
        None => to.serialize_none(),
    }
}
