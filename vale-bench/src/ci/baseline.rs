//! Rates kept from an earlier run, and whether today's are slower.
//!
//! Each rate has several samples. Today's median is compared with the baseline's, and what counts as slower depends
//! on how much the samples of either scatter: the tolerance is three robust standard deviations of both together,
//! at least 10 %. Beyond 50 % nothing is judged: such samples say only that the machine was busy with other things.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::document::{Figure, Finding};
use super::history::RUNS_MIN;
use crate::result::Host;
use crate::stats::{Scatter, Summary};

/// Loss that is never called one.
const TOLERANCE_MIN: f64 = 0.10;
/// Scatter beyond which nothing is judged.
const TOLERANCE_MAX: f64 = 0.50;
/// Standard deviations that chance is granted.
const SIGMAS: f64 = 3.0;
/// The schema of a file with a baseline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum SchemaId {
    #[default]
    #[serde(rename = "vale-bench/ci-baseline-1")]
    V1,
}

/// Rates of an earlier run, by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    schema: SchemaId,
    /// When it was taken.
    pub taken_at: String,
    /// On which machine.
    pub cpu: Option<String>,
    /// With which kernel.
    pub kernel_release: String,
    /// Frames a second, each sample.
    pub samples_pps: BTreeMap<String, Vec<f64>>,
    /// Whether each sample is a run's median, not one of a single run.
    #[serde(skip)]
    of_runs: bool,
}

/// A baseline could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// The file.
    #[error("cannot read {}", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its contents.
    #[error("{} is no baseline of vale-bench ci (`--save-baseline` writes one): {source}", path.display())]
    Parse {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// What a comparison comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// As fast, or faster.
    Good,
    /// Slower than chance allows, in a sentence.
    Slower(String),
    /// It cannot be told, in a sentence.
    Unclear(String),
}

impl Baseline {
    /// The rates of a run's findings.
    #[must_use]
    pub fn of(findings: &[Finding], host: &Host, taken_at: &str) -> Baseline {
        let figures = findings.iter().flat_map(|f| &f.figures);
        Baseline {
            schema: SchemaId::V1,
            taken_at: taken_at.to_owned(),
            cpu: host.cpu.model.clone(),
            kernel_release: host.kernel_release.clone(),
            samples_pps: figures.map(|f| (f.name.clone(), f.samples_pps.clone())).collect(),
            of_runs: false,
        }
    }

    /// Medians of several runs, the newest taken at `newest`.
    #[must_use]
    pub(super) fn of_runs(medians: BTreeMap<String, Vec<f64>>, host: &Host, newest: &str) -> Baseline {
        Baseline { samples_pps: medians, of_runs: true, ..Baseline::of(&[], host, newest) }
    }

    fn when(&self, samples: usize) -> String {
        if self.of_runs {
            format!("in {samples} runs up to {}", self.taken_at)
        } else {
            format!("on {}", self.taken_at)
        }
    }

    /// Reads one.
    pub fn read(path: &Path) -> Result<Baseline, BaselineError> {
        let text =
            std::fs::read(path).map_err(|source| BaselineError::Read { path: path.to_owned(), source })?;
        serde_json::from_slice(&text).map_err(|source| BaselineError::Parse { path: path.to_owned(), source })
    }

    /// As it stands in a file.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("plain JSON");
        text.push('\n');
        text
    }

    /// Compares a rate with the one kept.
    #[must_use]
    pub fn judge(&self, figure: &Figure) -> Verdict {
        let name = &figure.name;
        let Some(before) = self.samples_pps.get(name) else {
            return Verdict::Unclear(format!("the baseline has no {name}"));
        };
        if self.of_runs && before.len() < RUNS_MIN {
            return Verdict::Unclear(format!(
                "{name} has {} runs, and {RUNS_MIN} are needed to judge another",
                before.len()
            ));
        }
        let (Some(old), Some(new)) = (Scatter::of(before), Scatter::of(&figure.samples_pps)) else {
            return Verdict::Unclear(format!("{name} has no samples to compare"));
        };
        let wanted = SIGMAS * old.relative.hypot(new.relative);
        if wanted > TOLERANCE_MAX {
            return Verdict::Unclear(format!(
                "{name} scatters too much to be judged ({} before, {} now): keep the machine free of other work",
                text(before),
                text(&figure.samples_pps)
            ));
        }
        let tolerance = wanted.max(TOLERANCE_MIN);
        let ratio = new.median / old.median;
        if ratio >= 1.0 - tolerance {
            return Verdict::Good;
        }
        Verdict::Slower(format!(
            "{name} is {} and was {} {}: {:.0} % of it, where {:.0} % would have been within the scatter",
            text(&figure.samples_pps),
            text(before),
            self.when(before.len()),
            100.0 * ratio,
            100.0 * (1.0 - tolerance)
        ))
    }
}

/// Median with lowest and highest, for people.
fn text(samples: &[f64]) -> String {
    let seen = Summary::of(samples.iter().copied());
    let mpps = |pick: fn(&Summary) -> f64| seen.as_ref().map_or(0.0, pick) / 1e6;
    format!("{:.3} Mpps ({:.3} to {:.3})", mpps(|s| s.median), mpps(|s| s.min), mpps(|s| s.max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(samples: &[f64]) -> Baseline {
        Baseline {
            schema: SchemaId::V1,
            taken_at: "2026-11-22T18:42:00Z".into(),
            cpu: None,
            kernel_release: "6.1.0".into(),
            samples_pps: [("pipe".to_owned(), samples.to_vec())].into(),
            of_runs: false,
        }
    }

    fn judge(before: &[f64], now: &[f64]) -> Verdict {
        baseline(before).judge(&Figure { name: "pipe".into(), samples_pps: now.to_vec() })
    }

    #[test]
    fn steady_rates_show_a_small_loss() {
        let before = [10e6, 10.1e6, 9.9e6, 10e6, 10.05e6];
        assert_eq!(judge(&before, &[9.5e6, 9.4e6, 9.6e6, 9.5e6, 9.5e6]), Verdict::Good);
        assert_eq!(judge(&before, &[20e6, 21e6, 20e6]), Verdict::Good);
        let Verdict::Slower(why) = judge(&before, &[8e6, 8.1e6, 7.9e6, 8e6, 8e6]) else { panic!() };
        assert_eq!(
            why,
            "pipe is 8.000 Mpps (7.900 to 8.100) and was 10.000 Mpps (9.900 to 10.100) on 2026-11-22T18:42:00Z: \
             80 % of it, where 90 % would have been within the scatter"
        );
    }

    #[test]
    fn scatter_widens_the_threshold_and_at_last_forbids_a_verdict() {
        let restless = [10e6, 9.2e6, 10.8e6, 9.4e6, 10.6e6];
        assert_eq!(judge(&restless, &[8e6, 8.1e6, 7.9e6, 8e6, 8e6]), Verdict::Good);
        assert!(matches!(judge(&restless, &[5e6, 5.1e6, 4.9e6, 5e6, 5e6]), Verdict::Slower(_)));
        let wild = [10e6, 5e6, 15e6, 7e6, 13e6];
        assert!(matches!(judge(&wild, &[1e6; 5]), Verdict::Unclear(why) if why.contains("scatters")));
        // One sample that a busy machine spoilt changes little.
        assert_eq!(judge(&[10e6; 5], &[10e6, 10e6, 2e6, 10e6, 10e6]), Verdict::Good);
    }

    #[test]
    fn what_cannot_be_compared_is_said() {
        let other = Figure { name: "other".into(), samples_pps: vec![1.0] };
        assert!(matches!(baseline(&[1.0]).judge(&other), Verdict::Unclear(why) if why.contains("no other")));
        assert!(matches!(judge(&[1e6], &[]), Verdict::Unclear(_)));
        assert!(matches!(judge(&[0.0], &[1e6]), Verdict::Unclear(_)));
    }

    #[test]
    fn files_are_read_back_and_others_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.json");
        let baseline = baseline(&[1e6, 2e6]);
        std::fs::write(&path, baseline.to_json()).unwrap();
        assert_eq!(Baseline::read(&path).unwrap(), baseline);
        std::fs::write(&path, r#"{"schema": "vale-bench/result-1"}"#).unwrap();
        assert!(Baseline::read(&path).unwrap_err().to_string().contains("is no baseline"));
        assert!(matches!(Baseline::read(folder.path()), Err(BaselineError::Read { .. })));
    }
}
