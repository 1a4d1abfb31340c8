//! Trials put together: repetitions into rows, rows that may be compared into sections.

use super::{figure, load};
use crate::result::{ResultDocument, Trial};
use crate::stats::{Interval, Summary, median, ratio_interval, ratio_of_medians};

/// Rows made under the same circumstances, so that a ratio between them means something.
pub(super) struct Section<'a> {
    /// The rows, by frame size, then by dataplane in the order asked for.
    pub(super) rows: Vec<Row<'a>>,
}

/// The repetitions of one measurement.
pub(super) struct Row<'a> {
    /// At least one.
    pub(super) trials: Vec<&'a Trial>,
    /// Median rate over that of the first dataplane at the same frame size.
    pub(super) ratio: Option<f64>,
    /// The 95 % interval of that ratio; none with fewer than five repetitions, or for the first dataplane itself.
    pub(super) interval: Option<Interval>,
}

impl<'a> Row<'a> {
    fn first(&self) -> &'a Trial {
        self.trials[0]
    }

    /// The dataplane's name.
    pub(super) fn dataplane(&self) -> &'a str {
        &self.first().dataplane.name
    }

    /// The frame size as it was asked for.
    pub(super) fn size(&self) -> &'a str {
        &self.first().frame_size.label
    }

    /// The receivers' rate over the repetitions, all directions added up.
    pub(super) fn mpps(&self) -> Option<Summary> {
        Summary::of(self.trials.iter().map(|trial| trial.throughput.aggregate.rate_mpps))
    }

    fn rates(&self) -> Vec<f64> {
        self.trials.iter().map(|trial| trial.throughput.aggregate.rate_mpps).collect()
    }

    /// Which repetitions it has.
    fn repeats(&self) -> Vec<u32> {
        self.trials.iter().map(|trial| trial.repeat).collect()
    }

    /// Any figure's median over the repetitions.
    pub(super) fn median(&self, figure: impl Fn(&Trial) -> f64) -> Option<f64> {
        median(self.trials.iter().map(|trial| figure(trial)))
    }

    /// A latency figure's median over the repetitions that have one.
    pub(super) fn latency_ns(&self, figure: impl Fn(&crate::result::Latency) -> u64) -> Option<f64> {
        median(self.trials.iter().filter_map(|trial| trial.latency.as_ref()).map(|l| figure(l) as f64))
    }
}

impl Section<'_> {
    fn first(&self) -> &Trial {
        self.rows[0].first()
    }

    /// Whether any row has latency.
    pub(super) fn has_latency(&self) -> bool {
        self.rows.iter().any(|row| row.trials.iter().any(|trial| trial.latency.is_some()))
    }

    /// Whether any row has repetitions.
    pub(super) fn has_spread(&self) -> bool {
        self.rows.iter().any(|row| row.trials.len() > 1)
    }

    /// Whether any row has another to be compared with.
    pub(super) fn has_ratio(&self) -> bool {
        self.rows.iter().any(|row| row.dataplane() != self.rows[0].dataplane())
    }

    /// Whether any ratio has an interval.
    pub(super) fn has_interval(&self) -> bool {
        self.rows.iter().any(|row| row.interval.is_some())
    }

    /// What all rows have in common: `v2v, 2 guests (TCG), one way, as fast as possible, 3 times 5 s`.
    pub(super) fn title(&self) -> String {
        let trial = self.first();
        let mut parts = vec![trial.scenario.clone()];
        if trial.vms > 0 {
            parts.push(format!(
                "{} ({})",
                figure::count(trial.vms, "guest"),
                trial.dataplane.accelerator.label()
            ));
        } else if trial.ports.len() > 2 {
            parts.push(format!("{} ports", trial.ports.len()));
        }
        parts.push(figure::direction(trial.direction).into());
        parts.push(figure::offered(trial.offered));
        if trial.flows > 1 {
            parts.push(figure::count(trial.flows, "flow"));
        }
        parts.extend(trial.load.iter().flat_map(load::words));
        let repeats = self.rows.iter().map(|row| row.trials.len()).max().unwrap_or(0);
        let duration = figure::seconds(trial.duration_s);
        parts.push(if repeats > 1 { format!("{repeats} times {duration}") } else { duration });
        parts.join(", ")
    }
}

/// Whether two trials may stand in one section.
fn comparable(a: &Trial, b: &Trial) -> bool {
    a.scenario == b.scenario
        && a.direction == b.direction
        && a.vms == b.vms
        && a.ports.len() == b.ports.len()
        && a.offered == b.offered
        && a.flows == b.flows
        && a.load == b.load
        && a.dataplane.accelerator == b.dataplane.accelerator
        && a.duration_s == b.duration_s
}

/// Whether two trials of a section repeat the same measurement.
fn same_row(a: &Trial, b: &Trial) -> bool {
    a.dataplane == b.dataplane && a.frame_size == b.frame_size
}

/// All trials of a document, sections by [`figure::place`], then in the order in which their first trials were made.
pub(super) fn sections(document: &ResultDocument) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for trial in &document.trials {
        let section = match sections.iter_mut().find(|section| comparable(section.first(), trial)) {
            Some(section) => section,
            None => {
                sections.push(Section { rows: Vec::new() });
                sections.last_mut().expect("one was just pushed")
            }
        };
        match section.rows.iter_mut().find(|row| same_row(row.first(), trial)) {
            Some(row) => row.trials.push(trial),
            None => section.rows.push(Row { trials: vec![trial], ratio: None, interval: None }),
        }
    }
    sections.sort_by_key(|section| {
        let first = section.first();
        figure::place(&first.scenario, first.vms, first.direction)
    });
    for section in &mut sections {
        arrange(section, &document.plan.dataplanes);
    }
    sections
}

/// Sorts the rows and fills in the ratios.
fn arrange(section: &mut Section<'_>, order: &[String]) {
    let place = |row: &Row<'_>| order.iter().position(|name| name == row.dataplane()).unwrap_or(order.len());
    // By mean size, which puts a mix among the sizes; sorting is stable, so the rest keeps its order.
    section.rows.sort_by(|a, b| {
        let size = |row: &Row<'_>| row.first().frame_size.mean_bytes();
        size(a).total_cmp(&size(b)).then(place(a).cmp(&place(b)))
    });
    let reference = order.first().map(String::as_str).unwrap_or(section.rows[0].dataplane()).to_owned();
    let of_reference = |row: &Row<'_>| row.dataplane() == reference;
    let references: Vec<(String, Vec<f64>, Vec<u32>)> = section
        .rows
        .iter()
        .filter(|row| of_reference(row))
        .map(|row| (row.size().to_owned(), row.rates(), row.repeats()))
        .collect();
    for row in &mut section.rows {
        let of = references.iter().find(|(size, ..)| size == row.size());
        let Some((_, rates, repeats)) = of else { continue };
        row.ratio = ratio_of_medians(&row.rates(), rates);
        if !of_reference(row) {
            // Both sides of a round met the same minute of the machine.
            let paired = row.repeats() == *repeats;
            row.interval = ratio_interval(&row.rates(), rates, paired, CONFIDENCE, SEED);
        }
    }
}

/// Of intervals, and what their resamples are drawn from: a document is shown alike each time.
const CONFIDENCE: f64 = 0.95;
const SEED: u64 = 1;
