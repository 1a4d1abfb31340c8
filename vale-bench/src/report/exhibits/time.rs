//! The raw windows over time: what was received, and what was lost.

use super::super::plot::{Axis, Lines, Plot, Scale, Series};
use super::super::study::{Panel, Study};
use super::super::{figure, text};
use super::{Chart, Exhibit, Table, frames_words, rows};
use crate::result::Trial;
use crate::stats::Summary;

/// Points of a line that can still be told apart; more windows are put together.
const POINTS_MAX: usize = 400;

/// Received frames over time; none where a trial has no two windows.
pub(super) fn rate(study: &Study<'_>, panel: &Panel<'_>) -> Option<Exhibit> {
    let shown = Shown {
        kind: "rate-time",
        title: "Received over time",
        caption: "The raw windows: millions of frames a second that the receivers got in each, a line for \
                  every repetition.",
        axis: "Mpps received",
        unit: "Mpps",
        samples: received,
        // Frames a nanosecond.
        scale: 1e3,
        number: figure::significant,
    };
    shown.exhibit(study, panel, |_| true)
}

/// Lost frames over time; none where no trial lost any.
pub(super) fn loss(study: &Study<'_>, panel: &Panel<'_>) -> Option<Exhibit> {
    let shown = Shown {
        kind: "loss-time",
        title: "Loss over time",
        caption: "The raw windows: the part of the frames sent in each that never arrived, a line for every \
                  repetition. Frames on their way at a window's border are not lost.",
        axis: "% lost",
        unit: "%",
        samples: lost,
        scale: 100.0,
        number: |percent| figure::percent(percent / 100.0),
    };
    shown.exhibit(study, panel, |trial| trial.accounting.sent > trial.accounting.received)
}

/// One window: something in it, of so many.
#[derive(Debug, Clone, Copy)]
struct Sample {
    start_ns: u64,
    end_ns: u64,
    part: f64,
    whole: f64,
}

fn received(trial: &Trial) -> Vec<Sample> {
    let samples = trial.windows.iter().map(|window| {
        let frames = trial.received_in(window) as f64;
        let whole = window.end_ns.saturating_sub(window.start_ns) as f64;
        Sample { start_ns: window.start_ns, end_ns: window.end_ns, part: frames, whole }
    });
    samples.collect()
}

fn lost(trial: &Trial) -> Vec<Sample> {
    let mut before = 0;
    let by_window = trial.windows.iter().zip(trial.lost_by_window());
    let samples = by_window.map(|(window, until)| {
        let part = until.saturating_sub(before) as f64;
        before = until;
        let whole = trial.sent_in(window) as f64;
        Sample { start_ns: window.start_ns, end_ns: window.end_ns, part, whole }
    });
    samples.collect()
}

/// Something that every window has.
struct Shown {
    kind: &'static str,
    title: &'static str,
    caption: &'static str,
    axis: &'static str,
    unit: &'static str,
    samples: fn(&Trial) -> Vec<Sample>,
    /// Turns a part of a whole into the unit.
    scale: f64,
    number: fn(f64) -> String,
}

impl Shown {
    fn exhibit(&self, study: &Study<'_>, panel: &Panel<'_>, worth: fn(&Trial) -> bool) -> Option<Exhibit> {
        let mut charts = Vec::new();
        let mut put_together = 1;
        for size in panel.sizes() {
            let cells = panel.at(size).filter(|cell| cell.trials.iter().any(|(_, trial)| worth(trial)));
            let series: Vec<Series> = cells
                .filter_map(|cell| {
                    let lines = cell.trials.iter().map(|(_, trial)| {
                        let (points, windows) = self.points(trial);
                        put_together = put_together.max(windows);
                        points
                    });
                    let lines: Vec<_> = lines.filter(|points| points.len() > 1).collect();
                    let label = study.label(cell.arm).to_owned();
                    let mut series = Series { arm: cell.arm, label, ..Series::default() };
                    match lines.as_slice() {
                        [] => return None,
                        [only] => series.line = only.clone(),
                        _ => series.thin = lines,
                    }
                    Some(series)
                })
                .collect();
            if !series.is_empty() {
                charts.push(self.chart(size, series));
            }
        }
        if charts.is_empty() {
            return None;
        }
        let mut caption = self.caption.to_owned();
        if put_together > 1 {
            caption.push_str(&format!(" Up to {put_together} windows are put together into a point."));
        }
        Some(Exhibit {
            kind: self.kind,
            id: panel.slug(),
            title: self.title.into(),
            place: panel.title(),
            caption,
            charts,
            table: self.table(study, panel, worth),
            sources: panel.sources(),
            tcg: panel.is_tcg(),
        })
    }

    fn value(&self, samples: &[Sample]) -> Option<f64> {
        let part: f64 = samples.iter().map(|sample| sample.part).sum();
        let whole: f64 = samples.iter().map(|sample| sample.whole).sum();
        (whole > 0.0).then_some(part / whole * self.scale)
    }

    /// The windows as points, and how many were put together into one.
    fn points(&self, trial: &Trial) -> (Vec<(f64, f64)>, usize) {
        let samples = (self.samples)(trial);
        let chunk = samples.len().div_ceil(POINTS_MAX).max(1);
        let points = samples.chunks(chunk).filter_map(|samples| {
            let (first, last) = (samples.first()?, samples.last()?);
            Some(((first.start_ns as f64 + last.end_ns as f64) / 2e9, self.value(samples)?))
        });
        (points.collect(), chunk)
    }

    fn chart(&self, size: &str, series: Vec<Series>) -> Chart {
        let said = series.iter().filter_map(|series| {
            let values = series.line.iter().chain(series.thin.iter().flatten()).map(|point| point.1);
            let all = Summary::of(values)?;
            let [min, median, max] = [all.min, all.median, all.max].map(self.number);
            Some(format!("{}: {min} to {max} {}, median {median}", series.label, self.unit))
        });
        let description = said.collect::<Vec<_>>().join(". ");
        Chart {
            id: text::slug(size),
            title: frames_words(size),
            plot: Plot::Lines(Lines {
                x: Axis::new("Seconds since the end of the warm-up", Scale::Tight),
                y: Axis::new(self.axis, Scale::Linear),
                series,
            }),
            description,
        }
    }

    fn table(&self, study: &Study<'_>, panel: &Panel<'_>, worth: fn(&Trial) -> bool) -> Table {
        let unit = |name: &str| format!("{name} {}", self.unit);
        let names = [unit("Lowest"), unit("Median"), unit("Highest")];
        let header = ["Frame", "Dataplane", "Repeat", "Windows", &names[0], &names[1], &names[2]];
        let mut table = Table::new(2, &header);
        for (row, cell) in rows(study, panel) {
            for (_, trial) in cell.trials.iter().filter(|(_, trial)| worth(trial)) {
                let samples = (self.samples)(trial);
                let Some(all) = Summary::of(samples.chunks(1).filter_map(|one| self.value(one))) else {
                    continue;
                };
                let mut row = row.clone();
                row.extend([trial.repeat.to_string(), all.count.to_string()]);
                row.extend([all.min, all.median, all.max].map(self.number));
                table.rows.push(row);
            }
        }
        table
    }
}
