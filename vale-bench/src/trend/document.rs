//! The document of a trend: versioned, with its own JSON schema beside that of results.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::result::Tool;

/// Names the schema of a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SchemaId {
    /// This version.
    #[default]
    #[serde(rename = "vale-bench/trend/1")]
    V1,
}

/// One run in a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// When the run began, in RFC 3339 and UTC.
    pub at: String,
    /// Its file in the folder.
    pub file: String,
    /// Commit of the program that measured, or null.
    pub revision: Option<String>,
    /// The median of its repetitions or samples.
    pub value: f64,
    /// How many there were.
    pub samples: u32,
}

/// Runs that did not differ from each other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Level {
    /// Index of its first point.
    pub from: usize,
    /// How many points it has.
    pub runs: usize,
    /// Their median.
    pub median: f64,
}

/// A change from one level to the next.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shift {
    /// Index of the first point on the new level.
    pub at: usize,
    /// The part of chance orders of the runs in which as much was found.
    pub p: f64,
    /// New level over old; null if the old is 0.
    pub ratio: Option<f64>,
    /// Whether it is one for the better.
    pub better: bool,
}

/// How the newest run stands to the runs before it on its level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latest {
    /// Its figure over their median.
    pub ratio: f64,
    /// How far from 1 chance may bring it: three robust standard deviations, at least 0.05.
    pub tolerance: f64,
    /// Whether it is worse than that.
    pub worse: bool,
    /// Whether it is better than that.
    pub better: bool,
}

/// One figure over the runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// Where it was measured: processor, number of processors, what it runs under.
    pub machine: String,
    /// Under which conditions: `v2v, 2 guests (TCG), one way, as fast as possible`, or `ci`.
    pub conditions: String,
    /// What was measured: dataplane and frame size, or the check's figure.
    pub name: String,
    /// Unit: `Mpps` or `p99 µs`.
    pub unit: String,
    /// Whether more is better.
    pub more_is_better: bool,
    /// The runs, the oldest first.
    pub points: Vec<Point>,
    /// Its levels, in order; there is one more than there are shifts.
    pub levels: Vec<Level>,
    /// Its changes, in order.
    pub shifts: Vec<Shift>,
    /// How the newest run stands; null with fewer than five runs since the last change.
    pub latest: Option<Latest>,
}

impl Series {
    /// Whether its last change was for the worse, or the newest run is out of line that way.
    pub fn is_worse(&self) -> bool {
        self.shifts.last().is_some_and(|shift| !shift.better)
            || self.latest.is_some_and(|latest| latest.worse)
    }
}

/// A file that was passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PassedOver {
    /// Its name in the folder.
    pub file: String,
    /// Why.
    pub reason: String,
}

/// Figures over many runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "A trend by vale-bench trend")]
pub struct TrendDocument {
    /// Which schema this document follows.
    pub schema: SchemaId,
    /// The program that looked.
    pub tool: Tool,
    /// The folder.
    pub folder: String,
    /// How sure each change is.
    pub confidence: f64,
    /// What lots were drawn from.
    pub seed: u64,
    /// Runs found.
    pub runs: u32,
    /// Files that are no runs.
    pub passed_over: Vec<PassedOver>,
    /// The series, in the order in which they were first seen.
    pub series: Vec<Series>,
}

impl TrendDocument {
    /// The document as it stands in a file.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }
}

/// The JSON schema of [`TrendDocument`], as text that ends in a newline.
pub fn schema_json() -> String {
    let schema = schemars::schema_for!(TrendDocument);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}
