//! How figures went over many runs and commits: where they changed, and whether the newest run is out of line.
//!
//! A folder holds documents of any number of runs: results of benchmarks, and documents and baselines of `ci`. What was
//! measured alike on the same machine makes a series, a point a run. A change is one by
//! [`change_points`], over all runs: the last against the one before says nothing on a
//! machine whose runs differ by a few percent by themselves. The newest run alone can be no change yet; it is held
//! against the scatter of the runs since the last change ([`Scatter`]).
//!
//! Deliberately absent: what to do about it.

mod document;
mod folder;
mod show;

pub use document::{Latest, Level, Point, Series, Shift, TrendDocument, schema_json};
pub use folder::{Folder, FolderError};
pub use show::{markdown, text};

use crate::provenance;
use crate::stats::{Scatter, change_points, median};
use document::SchemaId;

/// How to look for changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// How sure a change has to be, between 0 and 1.
    pub confidence: f64,
    /// What lots are drawn from.
    pub seed: u64,
}

/// The newest run is out of line beyond so many standard deviations of the runs before it.
const SIGMAS: f64 = 3.0;
/// It is never out of line by less than this part of the level.
const TOLERANCE_MIN: f64 = 0.05;
/// Runs before the newest that show how far runs scatter.
const RUNS_MIN: usize = 4;

/// Looks at every series of `folder`.
pub fn trend(folder: Folder, options: &Options) -> TrendDocument {
    let mut series = folder.series;
    for series in &mut series {
        series.points.sort_by(|a, b| a.at.cmp(&b.at));
        look_at(series, options);
    }
    TrendDocument {
        schema: SchemaId::V1,
        tool: provenance::tool(),
        folder: folder.path.display().to_string(),
        confidence: options.confidence,
        seed: options.seed,
        runs: folder.runs,
        passed_over: folder.passed_over,
        series,
    }
}

fn look_at(series: &mut Series, options: &Options) {
    let values: Vec<f64> = series.points.iter().map(|point| point.value).collect();
    let changes = change_points(&values, 1.0 - options.confidence, options.seed);
    let mut starts = vec![0];
    starts.extend(changes.iter().map(|change| change.at));
    let ends = starts.iter().skip(1).copied().chain([values.len()]);
    let level = |(&from, to): (&usize, usize)| Level {
        from,
        runs: to - from,
        median: median(values[from..to].iter().copied()).unwrap_or(0.0),
    };
    series.levels = starts.iter().zip(ends).map(level).collect();
    let shift = |(change, pair): (&crate::stats::Change, &[Level])| {
        let ratio = pair[1].median / pair[0].median;
        let ratio = ratio.is_finite().then_some(ratio);
        Shift {
            at: change.at,
            p: change.p,
            ratio,
            better: ratio.is_none_or(|r| (r > 1.0) == series.more_is_better),
        }
    };
    series.shifts = changes.iter().zip(series.levels.windows(2)).map(shift).collect();
    series.latest = latest(&values, &series.levels, series.more_is_better);
}

/// How the newest run stands to those since the last change.
fn latest(values: &[f64], levels: &[Level], more_is_better: bool) -> Option<Latest> {
    let level = levels.last()?;
    let (newest, before) = values[level.from..].split_last()?;
    if before.len() < RUNS_MIN {
        return None;
    }
    let scatter = Scatter::of(before)?;
    let tolerance = (SIGMAS * scatter.relative).max(TOLERANCE_MIN);
    let ratio = newest / scatter.median;
    let out = (ratio - 1.0).abs() > tolerance;
    Some(Latest {
        ratio,
        tolerance,
        worse: out && (ratio > 1.0) != more_is_better,
        better: out && (ratio > 1.0) == more_is_better,
    })
}

#[cfg(test)]
mod tests;
