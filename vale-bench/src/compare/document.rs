//! The document a comparison ends in: versioned, with its own JSON schema beside that of results.
//!
//! Within one version optional fields may be added; a reader ignores fields it does not know.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Input;
use super::differences::Difference;
use super::published::Beside;
use crate::report::figure;
use crate::result::{
    Accelerator, Arrivals, Direction, FlowOrder, Found, FrameSize, Load, Offered, SearchGoal, SearchMethod,
    SearchRecord, Tool, Trial,
};
use crate::stats::Interval;

/// Names the schema of a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SchemaId {
    /// This version.
    #[default]
    #[serde(rename = "vale-bench/compare/1")]
    V1,
}

/// What was held against what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Files with the first file.
    File,
    /// Dataplanes of one file with one of them.
    Dataplane,
}

/// A result that was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// Its file.
    pub path: String,
    /// When it was measured.
    pub started_at: String,
    /// By which program.
    pub tool: Tool,
    /// Why it ended early, if it did.
    pub incomplete: Option<String>,
}

impl Source {
    /// Of an input.
    pub(super) fn of(input: &Input) -> Source {
        let document = &input.document;
        Source {
            path: input.path.display().to_string(),
            started_at: document.manifest.started_at.clone(),
            tool: document.manifest.tool.clone(),
            incomplete: document.incomplete.clone(),
        }
    }
}

/// What searches looked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sought {
    /// How loads were chosen.
    pub method: SearchMethod,
    /// What a load had to do; null for the rate received at the largest load.
    pub goal: Option<SearchGoal>,
}

impl Sought {
    /// In a word: `ndr`, `mrr`.
    pub fn name(&self) -> &str {
        self.goal.as_ref().map_or("mrr", |goal| goal.name.as_str())
    }

    /// In words, with all that another search must have in common with it.
    fn text(&self) -> String {
        let Some(goal) = &self.goal else { return self.method.label().to_owned() };
        let percent = |ratio: f64| format!("{} %", figure::shortest(ratio * 100.0));
        let seconds = figure::seconds;
        format!(
            "{} by {} (at most {} lost in trials of {}, {} a load, {} of it exempt, to {})",
            goal.name,
            self.method.label(),
            percent(goal.loss_ratio),
            seconds(goal.final_trial_duration_s),
            seconds(goal.duration_sum_s),
            percent(goal.exceed_ratio),
            percent(goal.width)
        )
    }
}

/// What two trials, or two searches, must have in common, beside their frame size, to be compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Conditions {
    /// Scenario.
    pub scenario: String,
    /// Guests that took part.
    pub vms: u32,
    /// Ports.
    pub ports: u32,
    /// One way or both.
    pub direction: Direction,
    /// Offered load of each sender; of searches, which vary it, the most they could.
    pub offered: Offered,
    /// Flows of each sender.
    pub flows: u32,
    /// What the load was like beyond that, without what was drawn at random; null for the plainest, flows in turn at
    /// even times.
    #[serde(default)]
    pub load: Option<Load>,
    /// What was searched for; null for trials at one load.
    #[serde(default)]
    pub search: Option<Sought>,
}

impl Conditions {
    /// Of a trial.
    pub fn of(trial: &Trial) -> Conditions {
        Conditions {
            scenario: trial.scenario.clone(),
            vms: trial.vms,
            ports: trial.ports.len() as u32,
            direction: trial.direction,
            offered: trial.offered,
            flows: trial.flows,
            load: trial.load.clone().and_then(beyond_plain),
            search: None,
        }
    }

    /// Of a search, and one of the rates it found; `None` without a trial, which no search ends without.
    pub fn of_search(record: &SearchRecord, found: &Found<'_>) -> Option<Conditions> {
        let search = Some(Sought { method: record.method, goal: found.goal.cloned() });
        let first = &record.trials.first()?.raw;
        Some(Conditions { offered: Offered::Max, search, ..Conditions::of(first) })
    }

    /// In words: `v2v, 2 guests, one way, as fast as possible`.
    pub fn text(&self) -> String {
        let mut parts = vec![self.scenario.clone()];
        if self.vms > 0 {
            parts.push(figure::count(self.vms, "guest"));
        } else if self.ports > 2 {
            parts.push(format!("{} ports", self.ports));
        }
        parts.push(figure::direction(self.direction).into());
        parts.push(self.search.as_ref().map_or_else(|| figure::offered(self.offered), Sought::text));
        if self.flows > 1 {
            parts.push(figure::count(self.flows, "flow"));
        }
        parts.extend(self.load.iter().flat_map(words));
        parts.join(", ")
    }
}

/// A load that is not the plainest. What it was drawn from may differ from run to run.
fn beyond_plain(load: Load) -> Option<Load> {
    let plain = load.arrivals == Arrivals::Constant
        && load.flow_order == FlowOrder::RoundRobin
        && load.src_macs <= 1
        && load.src.is_none()
        && load.dst.is_none()
        && load.pcap.is_none();
    (!plain).then_some(Load { seed: 0, ..load })
}

fn words(load: &Load) -> Vec<String> {
    let arrivals = match load.arrivals {
        Arrivals::Constant => None,
        Arrivals::Poisson => Some("Poisson arrivals".into()),
        Arrivals::Bursts { frames } => Some(format!("bursts of {frames}")),
    };
    let order = match load.flow_order {
        FlowOrder::RoundRobin => None,
        FlowOrder::Random => Some("flows at random".into()),
        FlowOrder::Zipf { exponent } => Some(format!("flows by Zipf's law ({})", figure::shortest(exponent))),
    };
    let range = |what: &str, range: &Option<String>| range.as_ref().map(|range| format!("{what} {range}"));
    let macs = (load.src_macs > 1).then(|| format!("{} source addresses", load.src_macs));
    let file = load.pcap.as_ref().map(|file| format!("frames of {}", file.file));
    [arrivals, order, range("from", &load.src), range("to", &load.dst), macs, file]
        .into_iter()
        .flatten()
        .collect()
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The receivers' rate in Mpps, or what a search found: more is faster.
    RateMpps,
    /// The median round trip in microseconds: less is faster.
    LatencyP50Us,
    /// The round trip that 99 in 100 did not exceed: less is faster.
    LatencyP99Us,
}

impl Metric {
    /// Whether more of it is better.
    pub fn more_is_better(self) -> bool {
        self == Metric::RateMpps
    }

    /// With its unit, for people.
    pub fn label(self) -> &'static str {
        match self {
            Metric::RateMpps => "Mpps",
            Metric::LatencyP50Us => "p50 µs",
            Metric::LatencyP99Us => "p99 µs",
        }
    }
}

/// What one sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A repetition of the trial or the search.
    Repeat,
    /// A batch of windows of the only trial. It knows the noise within that trial and nothing of what another start
    /// would give.
    WindowBatch,
}

/// What a comparison comes to, at the document's confidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Faster: a higher rate, a shorter round trip.
    Faster,
    /// Slower.
    Slower,
    /// None was found; there may be one too small to be seen with so many samples.
    NoDifference,
    /// No number of samples like these could have shown one.
    TooFew,
}

impl Verdict {
    /// In words.
    pub fn label(self) -> &'static str {
        match self {
            Verdict::Faster => "faster",
            Verdict::Slower => "slower",
            Verdict::NoDifference => "no difference",
            Verdict::TooFew => "too few",
        }
    }
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Side {
    /// Index in the document's sources.
    pub source: usize,
    /// Dataplane.
    pub dataplane: String,
    /// What ran the guests.
    pub accelerator: Accelerator,
    /// Samples, in order of time.
    pub samples: Vec<f64>,
    /// Their median.
    pub median: f64,
    /// Samples that are what the senders can, of which the dataplane may do more.
    #[serde(default)]
    pub sender_limited: u32,
}

/// Two sets of samples, compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// What both have in common.
    pub conditions: Conditions,
    /// Frame size.
    pub frame_size: FrameSize,
    /// What is compared.
    pub metric: Metric,
    /// What one sample is.
    pub unit: Unit,
    /// The reference.
    pub old: Side,
    /// What is held against it.
    pub new: Side,
    /// Median of the new over that of the old; null if that is 0.
    pub ratio: Option<f64>,
    /// Interval of the ratio at the document's confidence, for this comparison alone; null with too few samples.
    pub interval: Option<Interval>,
    /// Whether samples of both sides belong together, the first with the first, being of the same round of one run.
    pub paired: bool,
    /// How likely chance alone sets both sides as far apart: Wilcoxon's test, of the signed ranks of logarithms if
    /// `paired`, otherwise of the rank sum.
    pub p: f64,
    /// Whether all arrangements were counted, not some drawn by lot.
    pub exact: bool,
    /// The same, held against the chance of one wrong answer among all comparisons of the document (Holm).
    pub p_adjusted: f64,
    /// What it comes to.
    pub verdict: Verdict,
    /// Whether it is a rate surely below what was asked for with `fail_below`.
    pub below: bool,
}

/// Trials, or searches, without a counterpart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Unmatched {
    /// Index in the document's sources.
    pub source: usize,
    /// What they have in common.
    pub conditions: Conditions,
    /// Frame size.
    pub frame_size: String,
    /// Dataplane.
    pub dataplane: String,
}

/// A comparison of results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "A comparison by vale-bench compare")]
pub struct CompareDocument {
    /// Which schema this document follows.
    pub schema: SchemaId,
    /// The program that compared.
    pub tool: Tool,
    /// What was held against what.
    pub by: By,
    /// How sure verdicts are: for all of them together.
    pub confidence: f64,
    /// What lots were drawn from.
    pub seed: u64,
    /// Resamples behind each interval.
    pub resamples: u32,
    /// Rates surely below this part of the reference are marked; null if none was asked for.
    pub fail_below: Option<f64>,
    /// What was compared; the first is the reference of a comparison by file.
    pub sources: Vec<Source>,
    /// What differs between the circumstances of the sources.
    pub differences: Vec<Difference>,
    /// The comparisons.
    pub comparisons: Vec<Comparison>,
    /// Trials and searches without a counterpart.
    pub unmatched: Vec<Unmatched>,
    /// Published figures with ours beside them; null if none were asked for.
    #[serde(default)]
    pub published: Option<Beside>,
}

impl CompareDocument {
    /// The document as it stands in a file.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }
}

/// The JSON schema of [`CompareDocument`], as text that ends in a newline.
pub fn schema_json() -> String {
    let schema = schemars::schema_for!(CompareDocument);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}
