//! Round trips inside a load: by how much load there was, and by percentile for each load.

use super::super::figure::{self, micros};
use super::super::plot::{Axis, Lines, Mark, Plot, Scale, Series};
use super::super::study::{Cell, Panel, Study};
use super::super::text;
use super::latency::{curve, together};
use super::{Chart, Exhibit, Table, frames_words};
use crate::result::{Latency, LoadedLatency, Trial};
use crate::stats::median;

/// The times that are shown against load.
/// One of the times of a distribution.
type Percentile = fn(&Latency) -> u64;

const TIMES: [(&str, Percentile); 2] = [("p50", |l| l.p50_ns), ("p99", |l| l.p99_ns)];

/// The loads of a cell, in percent, ascending.
fn percents(cell: &Cell<'_>) -> Vec<f64> {
    let loads = cell.trials.iter().flat_map(|(_, trial)| &trial.latency_under_load);
    let mut percents: Vec<f64> = loads.map(|loaded| loaded.percent).collect();
    percents.sort_by(f64::total_cmp);
    percents.dedup();
    percents
}

/// What every repetition measured at one load.
fn at<'a>(cell: &Cell<'a>, percent: f64) -> Vec<&'a LoadedLatency> {
    let find = |trial: &'a Trial| trial.latency_under_load.iter().find(|loaded| loaded.percent == percent);
    cell.trials.iter().filter_map(|(_, trial)| find(trial)).collect()
}

/// Columns of both tables.
const HEADER: [&str; 10] = [
    "Frame",
    "Dataplane",
    "Load",
    "Mpps received",
    "Loss %",
    "Probes",
    "p50 µs",
    "p99 µs",
    "p99.9 µs",
    "max µs",
];

/// Round trips on idle ports, and what the engine alone takes.
fn beside<'a>(cell: &Cell<'a>, of: fn(&'a Trial) -> Option<&'a Latency>) -> Vec<&'a Latency> {
    cell.trials.iter().filter_map(|(_, trial)| of(trial)).collect()
}

/// Round trips against load.
pub(super) fn against(study: &Study<'_>, panel: &Panel<'_>) -> Option<Exhibit> {
    let mut table = Table::new(3, &HEADER);
    let mut charts = Vec::new();
    for size in panel.sizes() {
        let mut series = Vec::new();
        for cell in panel.at(size).filter(|cell| !percents(cell).is_empty()) {
            table.rows.extend(rows(study, cell));
            series.extend(TIMES.map(|(name, time)| line(study, cell, name, time)));
        }
        if series.is_empty() {
            continue;
        }
        let said: Vec<&str> =
            series.iter().flat_map(|s: &Series| s.marks.iter().map(|mark| mark.tip.as_str())).collect();
        charts.push(Chart {
            id: text::slug(size),
            title: frames_words(size),
            description: said.join("; "),
            plot: Plot::Lines(Lines {
                x: Axis::new("Mpps received, probes included", Scale::Linear),
                y: Axis::new("Round trip in µs", Scale::Log),
                series,
            }),
        });
    }
    exhibit(
        "latency-load",
        "Round trips against load",
        "Probes inside the load, each timed from when it was due, so that one that had to wait counts with its waiting. \
         The point without load is of idle ports; medians over the repetitions.",
        charts,
        table,
        panel,
    )
}

fn line(study: &Study<'_>, cell: &Cell<'_>, name: &str, time: fn(&Latency) -> u64) -> Series {
    let label = format!("{} {name}", study.label(cell.arm));
    let us = |of: &[&Latency]| median(of.iter().map(|latency| time(latency) as f64 / 1e3));
    let mut points: Vec<(f64, f64, String)> = Vec::new();
    points.extend(us(&beside(cell, |trial| trial.latency.as_ref())).map(|y| (0.0, y, "idle ports".into())));
    for percent in percents(cell) {
        let loads = at(cell, percent);
        let x = median(loads.iter().map(|loaded| loaded.received_mpps));
        let of: Vec<&Latency> = loads.iter().filter_map(|loaded| loaded.from_due.as_ref()).collect();
        points.extend(x.zip(us(&of)).map(|(x, y)| (x, y, format!("{} % load", figure::shortest(percent)))));
    }
    let marks = points.into_iter().map(|(x, y, load)| {
        let tip =
            format!("{label}, {load}: {} µs at {} Mpps", figure::significant(y), figure::significant(x));
        Mark { x, y, tip }
    });
    let marks: Vec<Mark> = marks.collect();
    Series {
        arm: cell.arm,
        label,
        line: marks.iter().map(|mark| (mark.x, mark.y)).collect(),
        marks,
        dashed: name != TIMES[0].0,
        ..Series::default()
    }
}

fn rows(study: &Study<'_>, cell: &Cell<'_>) -> Vec<Vec<String>> {
    let first =
        |load: &str| vec![text::plain(cell.size()), study.label(cell.arm).to_owned(), load.to_owned()];
    let times = |of: &[&Latency]| -> Vec<String> {
        let all = together(of);
        let figures: [fn(&Latency) -> u64; 4] = [|l| l.p50_ns, |l| l.p99_ns, |l| l.p99_9_ns, |l| l.max_ns];
        let count = all.as_ref().map(|all| all.count.to_string()).unwrap_or_default();
        let figures = figures.map(|of| all.as_ref().map(|all| micros(of(all) as f64)).unwrap_or_default());
        [count].into_iter().chain(figures).collect()
    };
    let mut rows = Vec::new();
    for (name, of) in [
        ("engine alone", beside(cell, |trial| trial.latency_floor.as_ref())),
        ("idle ports", beside(cell, |trial| trial.latency.as_ref())),
    ] {
        if !of.is_empty() {
            rows.push([first(name), vec![String::new(), String::new()], times(&of)].concat());
        }
    }
    for percent in percents(cell) {
        let loads = at(cell, percent);
        let of: Vec<&Latency> = loads.iter().filter_map(|loaded| loaded.from_due.as_ref()).collect();
        let mpps = median(loads.iter().map(|loaded| loaded.received_mpps)).map(figure::significant);
        let loss = median(loads.iter().map(|loaded| loaded.loss_ratio)).map(figure::percent);
        let load = format!("{} %", figure::shortest(percent));
        rows.push(
            [first(&load), vec![mpps.unwrap_or_default(), loss.unwrap_or_default()], times(&of)].concat(),
        );
    }
    rows
}

/// Round trips by percentile, a line for each load.
pub(super) fn percentiles(study: &Study<'_>, panel: &Panel<'_>) -> Option<Exhibit> {
    let mut table = Table::new(3, &HEADER);
    let mut charts = Vec::new();
    for cell in panel.cells.iter().filter(|cell| !percents(cell).is_empty()) {
        table.rows.extend(rows(study, cell));
        let mut of: Vec<(String, Vec<&Latency>)> = vec![
            ("engine alone".into(), beside(cell, |trial| trial.latency_floor.as_ref())),
            ("idle ports".into(), beside(cell, |trial| trial.latency.as_ref())),
        ];
        of.extend(percents(cell).into_iter().map(|percent| {
            let loads = at(cell, percent);
            (
                format!("{} %", figure::shortest(percent)),
                loads.iter().filter_map(|l| l.from_due.as_ref()).collect(),
            )
        }));
        let lines = of.into_iter().enumerate().filter_map(|(look, (label, each))| {
            let all = together(&each)?;
            Some(Series { arm: look, label, line: curve(&all), ..Series::default() })
        });
        let series: Vec<Series> = lines.filter(|series| series.line.len() > 1).collect();
        let said: Vec<String> = series
            .iter()
            .map(|series| {
                format!(
                    "{}: {} µs at its longest",
                    series.label,
                    series.line.last().map_or(0.0, |point| point.1).round()
                )
            })
            .collect();
        let arm = study.label(cell.arm);
        charts.push(Chart {
            id: text::slug(&format!("{arm}-{}", cell.size())),
            title: format!("{arm}, {}", frames_words(cell.size())),
            description: said.join(". "),
            plot: Plot::Lines(Lines {
                x: Axis::new("Percentile", Scale::Nines),
                y: Axis::new("Round trip in µs", Scale::Log),
                series,
            }),
        });
    }
    exhibit(
        "latency-loads",
        "Round trips inside a load by percentile",
        "A line for each load, in percent of the throughput found; the engine alone is a port looped onto itself, \
         below which no round trip of it can be. All repetitions together.",
        charts,
        table,
        panel,
    )
}

fn exhibit(
    kind: &'static str,
    title: &str,
    caption: &str,
    charts: Vec<Chart>,
    table: Table,
    panel: &Panel<'_>,
) -> Option<Exhibit> {
    (!charts.is_empty()).then(|| Exhibit {
        kind,
        id: panel.slug(),
        title: title.into(),
        place: panel.title(),
        caption: caption.into(),
        charts,
        table,
        sources: panel.sources(),
        tcg: panel.is_tcg(),
    })
}
