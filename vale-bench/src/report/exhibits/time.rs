//! The raw windows over time: what was received, and what was lost.

use super::super::figure;
use super::super::plot::{Axis, Lines, Plot, Scale, Series};
use super::super::study::{Panel, Study};
use super::{Chart, Exhibit, Table, frames_words, rows, text};
use crate::result::{Trial, Window};
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
        value: |window| Some(window.rx_mpps()),
        number: figure::significant,
    };
    shown.exhibit(study, panel, |_| true)
}

/// Lost frames over time; none where no window lost any.
pub(super) fn loss(study: &Study<'_>, panel: &Panel<'_>) -> Option<Exhibit> {
    let shown = Shown {
        kind: "loss-time",
        title: "Loss over time",
        caption: "The raw windows: the part of the frames sent in each that was not received in it, a line for \
                  every repetition. Frames on their way at a window's border count as lost in one and as a gain \
                  in the next, which is drawn as no loss.",
        axis: "% lost",
        unit: "%",
        value: |window| loss_ratio(window).map(|ratio| ratio * 100.0),
        number: |percent| figure::percent(percent / 100.0),
    };
    shown.exhibit(study, panel, |trial| trial.accounting.sent > trial.accounting.received)
}

/// What was sent and not received, 0 to 1; none where nothing was sent.
fn loss_ratio(window: &Window) -> Option<f64> {
    let sent: u64 = window.ports.iter().map(|port| port.tx_frames).sum();
    let received: u64 = window.ports.iter().map(|port| port.rx_frames).sum();
    (sent > 0).then(|| sent.saturating_sub(received) as f64 / sent as f64)
}

/// Something that every window has.
struct Shown {
    kind: &'static str,
    title: &'static str,
    caption: &'static str,
    axis: &'static str,
    unit: &'static str,
    value: fn(&Window) -> Option<f64>,
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
                    let mut series = Series {
                        arm: cell.arm,
                        label: study.label(cell.arm).to_owned(),
                        ..Series::default()
                    };
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

    /// The windows as points, and how many were put together into one.
    fn points(&self, trial: &Trial) -> (Vec<(f64, f64)>, usize) {
        let chunk = trial.windows.len().div_ceil(POINTS_MAX).max(1);
        let points = trial.windows.chunks(chunk).filter_map(|windows| {
            let together = join(windows)?;
            let middle = (together.start_ns as f64 + together.end_ns as f64) / 2e9;
            Some((middle, (self.value)(&together)?))
        });
        (points.collect(), chunk)
    }

    fn chart(&self, size: &str, series: Vec<Series>) -> Chart {
        let said = series.iter().filter_map(|series| {
            let values = series.line.iter().chain(series.thin.iter().flatten()).map(|point| point.1);
            let all = Summary::of(values)?;
            let numbers = [all.min, all.median, all.max].map(|value| (self.number)(value));
            let [min, median, max] = numbers;
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
                let Some(all) = Summary::of(trial.windows.iter().filter_map(self.value)) else { continue };
                let mut row = row.clone();
                row.extend([trial.repeat.to_string(), all.count.to_string()]);
                row.extend([all.min, all.median, all.max].map(|value| (self.number)(value)));
                table.rows.push(row);
            }
        }
        table
    }
}

/// Windows that follow each other as one.
fn join(windows: &[Window]) -> Option<Window> {
    let mut all = windows.first()?.clone();
    for window in &windows[1..] {
        all.end_ns = window.end_ns;
        for (sum, port) in all.ports.iter_mut().zip(&window.ports) {
            sum.tx_frames = sum.tx_frames.saturating_add(port.tx_frames);
            sum.rx_frames = sum.rx_frames.saturating_add(port.rx_frames);
        }
    }
    Some(all)
}
