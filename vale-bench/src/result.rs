//! The result of a run: one versioned JSON document, from which everything shown is made.
//!
//! The types here are the document. A document carries the circumstances ([`Manifest`]), every trial with its
//! raw windows, and what could be wrong with them ([`Warning`]) as data. Numbers are finite by construction,
//! and a number that is not finite cannot be written. Units stand last in names: `_ns`, `_s`, `_bytes`,
//! `_mpps`, `_gbps`. Frame sizes and bytes include the 4-byte FCS (RFC 2544).
//!
//! Within one schema version optional fields may be added; a reader ignores fields it does not know. Anything
//! else (a new kind of warning among them) is a new version, and [`ResultDocument::read`] refuses versions
//! other than [`SCHEMA`] by name.
//!
//! Deliberately absent: how to measure, how to show, and the command line.

mod cost;
mod file;
mod latency;
mod load;
mod manifest;
mod number;
mod port;
mod rate;
mod search;
mod time;
mod trial;
mod warning;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cost::{Cost, GuestExits, ThreadCost, ThreadKind};
pub use file::{FileError, OutputFile};
pub use latency::{HistogramError, Latency, LoadedLatency, Times};
pub use load::{Arrivals, FlowOrder, Load, Pacing, PacketFile};
pub use manifest::{
    Cpu, GuestImage, GuestKernel, GuestSystem, Host, Hugepages, Manifest, Memory, NetmapModule, Pin, Qemu,
    Tool, Vm,
};
pub use port::{
    FwdCounts, PingCounts, PongCounts, PortCounts, PortResult, RxCounts, StreamCounts, TxCounts, Window,
    WindowPort,
};
pub use rate::{
    Accounting, DirectionThroughput, FCS_BYTES, L1_OVERHEAD_BYTES, Rates, Throughput, l1_bits, l2_bits,
};
pub use search::{
    BackToBack, Found, GoalResult, Irregular, LoadBound, MaxReceiveRate, SearchGoal, SearchMethod,
    SearchRecord, SearchTrial, TrialPurpose,
};
pub use time::rfc3339;
pub use trial::{Accelerator, Dataplane, Direction, FrameSize, Offered, Trial};
pub use warning::Warning;

/// The schema this program writes and the only one it reads.
pub const SCHEMA: &str = "vale-bench/result/1";

/// Names the schema of a document; it has exactly one value per version of this program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SchemaId {
    /// [`SCHEMA`].
    #[default]
    #[serde(rename = "vale-bench/result/1")]
    V1,
}

/// What was asked for, so that a reader can tell what is missing and in which order to show the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Trials the run set out to make; or searches, where it set out to search.
    pub trials: u32,
    /// Dataplanes in the order in which they were asked for; ratios are to the first.
    pub dataplanes: Vec<String>,
    /// What the order of trials was drawn from; null where none was drawn.
    #[serde(default)]
    pub seed: Option<u64>,
    /// The suite that was run; null for a single benchmark.
    #[serde(default)]
    pub suite: Option<SuitePlan>,
}

/// A suite that was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SuitePlan {
    /// Its name, or its file.
    pub name: String,
    /// Its whole text.
    pub text: String,
    /// When it was taken up again after an interruption, in RFC 3339 and UTC.
    pub resumed_at: Vec<String>,
}

/// Something asked for that this host could not run, while the rest ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Skipped {
    /// Scenario, as in `v2v`.
    pub scenario: String,
    /// Dataplane, as in `uvale`.
    pub dataplane: String,
    /// Why, as a sentence.
    pub reason: String,
}

/// Something that went wrong with one dataplane, while the others went on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failed {
    /// Scenario, as in `v2v`.
    pub scenario: String,
    /// Dataplane, as in `uvale`.
    pub dataplane: String,
    /// The repetition in which it failed, from 1.
    pub repeat: u32,
    /// What went wrong: a sentence, and the end of a log where there is one.
    pub reason: String,
}

/// A run: its circumstances, its trials and what to think of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResultDocument {
    /// Which schema this document follows.
    pub schema: SchemaId,
    /// Under which circumstances the run took place.
    pub manifest: Manifest,
    /// What the run set out to do.
    pub plan: Plan,
    /// Why the run ended before its last trial, or null when all of the plan was done.
    pub incomplete: Option<String>,
    /// What of the plan this host cannot run.
    #[serde(default)]
    pub skipped: Vec<Skipped>,
    /// What failed while the rest went on.
    #[serde(default)]
    pub failed: Vec<Failed>,
    /// Warnings that concern every trial.
    pub warnings: Vec<Warning>,
    /// The trials, in the order in which they were made; those of searches are in `searches`.
    pub trials: Vec<Trial>,
    /// The searches, in the order in which they ended.
    #[serde(default)]
    pub searches: Vec<SearchRecord>,
}

impl ResultDocument {
    /// An empty document for a run that begins now.
    pub fn new(manifest: Manifest, plan: Plan) -> ResultDocument {
        ResultDocument {
            schema: SchemaId::V1,
            manifest,
            plan,
            incomplete: None,
            skipped: Vec::new(),
            failed: Vec::new(),
            warnings: Vec::new(),
            trials: Vec::new(),
            searches: Vec::new(),
        }
    }

    /// All warnings, those of the run first and those of searches last, each with the trial it belongs to.
    pub fn all_warnings(&self) -> impl Iterator<Item = (Option<&Trial>, &Warning)> {
        let of_trials = self.trials.iter().flat_map(|t| t.warnings.iter().map(move |w| (Some(t), w)));
        let of_searches = self.searches.iter().flat_map(|s| s.warnings.iter().map(|w| (None, w)));
        self.warnings.iter().map(|w| (None, w)).chain(of_trials).chain(of_searches)
    }
}

/// The JSON schema of [`ResultDocument`], as text that ends in a newline.
pub fn schema_json() -> String {
    let schema = schemars::schema_for!(ResultDocument);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}

#[cfg(test)]
pub(crate) mod tests;
