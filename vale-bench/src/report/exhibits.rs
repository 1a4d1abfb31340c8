//! What there is to show: figures with their captions, the numbers behind them and where these come from.
//!
//! Each file makes one kind of figure from a [`Study`], or none where the documents have nothing for it. A figure is
//! data: plots, words and a table, which pages, files of their own and notebooks show each in its way.
//!
//! Deliberately absent: how plots are drawn (`plot`), and anything that is not in the documents.

mod chain;
mod cost;
mod headline;
mod latency;
mod loaded;
mod search;
mod sizes;
mod time;

use std::collections::BTreeSet;

use super::plot::{Mark, Plot, Series};
use super::study::{Cell, Panel, Study};
use super::{figure, text};
use crate::stats::Summary;

pub(super) use headline::sentence;

/// Every kind of figure by its name, and what it shows.
pub const KINDS: [(&str, &str); 11] = [
    ("headline", "competitors side by side, one frame size a scenario"),
    ("search", "throughput found by searches, for every goal"),
    ("search-trials", "loss at every load that a search tried"),
    ("throughput", "received frames and bits by frame size"),
    ("latency", "round trips by percentile"),
    ("latency-load", "round trips against load"),
    ("latency-loads", "round trips by percentile, for every load"),
    ("chain", "throughput against the number of guests"),
    ("cost", "processor time for each frame"),
    ("rate-time", "received frames over time"),
    ("loss-time", "lost frames over time"),
];

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Exhibit {
    /// One of [`KINDS`].
    pub(super) kind: &'static str,
    /// Its name, which no other figure of the report has.
    pub(super) id: String,
    /// What it shows, in a few words.
    pub(super) title: String,
    /// Under which scenario; empty where it is of several.
    pub(super) place: String,
    /// How to read it, in a sentence or two.
    pub(super) caption: String,
    /// Its plots, at least one.
    pub(super) charts: Vec<Chart>,
    /// The numbers.
    pub(super) table: Table,
    /// Indices of the documents it is made from.
    pub(super) sources: BTreeSet<usize>,
    /// Whether guests were translated, which is then said in the figure.
    pub(super) tcg: bool,
}

/// One plot of a figure.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chart {
    /// Its name, which no other plot of the report has.
    pub(super) id: String,
    /// What tells it from the others of its figure; empty where it is alone.
    pub(super) title: String,
    /// What it shows.
    pub(super) plot: Plot,
    /// The same in words.
    pub(super) description: String,
}

/// Numbers in rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// How many of the columns, from the first, are words.
    pub(super) words: usize,
    /// What each column holds.
    pub(super) header: Vec<String>,
    /// The rows.
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    fn new(words: usize, header: &[&str]) -> Table {
        Table { words, header: header.iter().map(|text| (*text).to_owned()).collect(), rows: Vec::new() }
    }
}

/// Every figure that the documents have something for, in the order of a report.
pub(super) fn all(study: &Study<'_>) -> Vec<Exhibit> {
    let mut exhibits = headline::exhibits(study);
    exhibits.extend(search::exhibits(study));
    exhibits.extend(chain::exhibits(study));
    for panel in &study.panels {
        exhibits.extend(sizes::exhibit(study, panel));
        exhibits.extend(loaded::against(study, panel));
        exhibits.extend(loaded::percentiles(study, panel));
        exhibits.extend(latency::exhibit(study, panel));
        exhibits.extend(cost::exhibit(study, panel));
        exhibits.extend(time::rate(study, panel));
        exhibits.extend(time::loss(study, panel));
    }
    name_apart(&mut exhibits);
    exhibits
}

/// A figure's name is its kind where it is the only one of it, and has its place behind it otherwise.
fn name_apart(exhibits: &mut [Exhibit]) {
    for index in 0..exhibits.len() {
        let alone = exhibits.iter().filter(|other| other.kind == exhibits[index].kind).count() == 1;
        let mut id = match (alone, exhibits[index].id.is_empty()) {
            (true, _) | (_, true) => exhibits[index].kind.to_owned(),
            (false, false) => format!("{}-{}", exhibits[index].kind, exhibits[index].id),
        };
        let taken = exhibits[..index]
            .iter()
            .filter(|other| other.id == id || other.id.starts_with(&format!("{id}.")))
            .count();
        if taken > 0 {
            id = format!("{id}.{}", taken + 1);
        }
        let single = exhibits[index].charts.len() == 1;
        for chart in &mut exhibits[index].charts {
            chart.id = if single { id.clone() } else { format!("{id}-{}", chart.id) };
        }
        exhibits[index].id = id;
    }
}

/// What a frame size is called: `64 bytes`, `imix`.
fn size_words(label: &str) -> String {
    if is_number(label) { format!("{label} bytes") } else { text::plain(label) }
}

/// What frames of a size are called: `64-byte frames`, `imix frames`.
fn frames_words(label: &str) -> String {
    if is_number(label) { format!("{label}-byte frames") } else { format!("{} frames", text::plain(label)) }
}

fn is_number(label: &str) -> bool {
    label.bytes().all(|byte| byte.is_ascii_digit())
}

/// `3.09..3.27`.
fn range(summary: &Summary) -> String {
    format!("{}..{}", figure::significant(summary.min), figure::significant(summary.max))
}

/// One arm's median and repetitions at every size of a panel, for a plot whose horizontal axis is the sizes.
fn by_size(
    study: &Study<'_>,
    panel: &Panel<'_>,
    arm: usize,
    unit: &str,
    value: impl Fn(&crate::result::Trial) -> Option<f64>,
) -> Series {
    let label = study.label(arm).to_owned();
    let mut series = Series { arm, label: label.clone(), ..Series::default() };
    for (place, size) in panel.sizes().into_iter().enumerate() {
        let Some(cell) = panel.at(size).find(|cell| cell.arm == arm) else { continue };
        let Some(summary) = cell.summary(&value) else { continue };
        let x = place as f64;
        series.line.push((x, summary.median));
        let number = figure::significant(summary.median);
        let tip = format!("{label}, {}: median {number} {unit} of {}", size_words(size), summary.count);
        series.marks.push(Mark { x, y: summary.median, tip });
        if summary.count > 1 {
            for (_, trial) in &cell.trials {
                let Some(y) = value(trial) else { continue };
                let tip = format!("repeat {}: {} {unit}", trial.repeat, figure::significant(y));
                series.dots.push(Mark { x, y, tip });
            }
        }
    }
    series
}

/// Cells in the order of a table, each with what every row begins with.
fn rows<'b, 'a>(
    study: &'b Study<'a>,
    panel: &'b Panel<'a>,
) -> impl Iterator<Item = (Vec<String>, &'b Cell<'a>)> {
    let row = |cell: &Cell<'_>| vec![text::plain(cell.size()), study.label(cell.arm).to_owned()];
    panel.cells.iter().map(move |cell| (row(cell), cell))
}

#[cfg(test)]
pub(in crate::report) mod tests;
