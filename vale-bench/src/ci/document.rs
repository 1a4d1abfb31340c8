//! The document a `ci` run ends in: versioned, with its own JSON schema beside that of results.
//!
//! Within one version optional fields may be added; a reader ignores fields it does not know.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::result::{Host, Tool};

/// The schema of [`CiDocument`].
pub const SCHEMA: &str = "vale-bench/ci-1";

/// Names the schema of a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SchemaId {
    /// This version.
    #[default]
    #[serde(rename = "vale-bench/ci-1")]
    V1,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The module does it.
    Pass,
    /// The module does not do it.
    Fail,
    /// It could not be found out here.
    Skip,
    /// The module has a defect that netmap knows of. Counts as a failure.
    KnownDefect,
}

impl Outcome {
    /// Whether the run fails for it.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Outcome::Fail | Outcome::KnownDefect)
    }
}

/// Samples of a rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// Frames a second, in the order they were taken.
    pub samples_pps: Vec<f64>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Name of the check.
    pub name: String,
    /// What must be true.
    pub objective: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it did not pass; null if it did.
    pub why: Option<String>,
    /// Number of netmap's issue, of a known defect.
    pub issue: Option<u32>,
    /// How long it took, clean-up included.
    pub duration_s: f64,
    /// What the kernel complained about meanwhile, each line as it was logged.
    #[serde(default)]
    pub kernel_log: Vec<String>,
    /// What the check left behind and the runner had to remove.
    #[serde(default)]
    pub leftovers: Vec<String>,
    /// Rates, of checks that measure.
    #[serde(default)]
    pub figures: Vec<Figure>,
}

/// How many checks ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Could not be found out here.
    pub skipped: usize,
    /// Known defects.
    pub known_defects: usize,
}

impl Summary {
    /// Counts.
    #[must_use]
    pub fn of(findings: &[Finding]) -> Summary {
        let count = |outcome| findings.iter().filter(|f| f.outcome == outcome).count();
        Summary {
            passed: count(Outcome::Pass),
            failed: count(Outcome::Fail),
            skipped: count(Outcome::Skip),
            known_defects: count(Outcome::KnownDefect),
        }
    }

    /// Whether nothing failed.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failed == 0 && self.known_defects == 0
    }
}

/// Why a document could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is no document of vale-bench ci ({SCHEMA})", path.display())]
    NotOne {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// A whole run, or what there was of it when the document was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "A run of vale-bench ci")]
pub struct CiDocument {
    /// Which schema this document follows.
    pub schema: SchemaId,
    /// The program that checked.
    pub tool: Tool,
    /// As it was called.
    pub command_line: Vec<String>,
    /// When it began, in UTC.
    pub started_at: String,
    /// The machine.
    pub host: Host,
    /// Parameters of the netmap module, as they were when the run ended; empty if it was not loaded.
    pub module_parameters: BTreeMap<String, String>,
    /// Whether the kernel's log could be read. If not, only the kernel's taint was looked at.
    pub kernel_log_read: bool,
    /// How long it took.
    pub duration_s: f64,
    /// How many checks ended how.
    pub summary: Summary,
    /// What each check found, in the order they ran.
    pub checks: Vec<Finding>,
    /// Of a run that did not end: the check that ran last, which is held to have failed. Absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<String>,
    /// Of a run that did not end: the checks that it did not come to. Absent otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_run: Vec<String>,
}

impl CiDocument {
    /// Reads a document.
    pub fn read(path: &Path) -> Result<CiDocument, ReadError> {
        let bytes = fs::read(path).map_err(|source| ReadError::Read { path: path.into(), source })?;
        serde_json::from_slice(&bytes).map_err(|source| ReadError::NotOne { path: path.into(), source })
    }

    /// Whether the run came to its end.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.running.is_none() && self.not_run.is_empty()
    }

    /// The check that ran last in a run that did not end.
    pub fn culprit(&mut self) -> Option<&mut Finding> {
        let running = self.running.as_deref()?;
        self.checks.iter_mut().find(|finding| finding.name == running)
    }

    /// The document as it stands in a file.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("the document is plain JSON");
        text.push('\n');
        text
    }
}

/// The JSON schema of [`CiDocument`], as text that ends in a newline.
#[must_use]
pub fn schema_json() -> String {
    let mut text = serde_json::to_string_pretty(&schemars::schema_for!(CiDocument)).expect("plain JSON");
    text.push('\n');
    text
}
