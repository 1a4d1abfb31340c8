//! Round trips against load: how long a probe takes while more and more frames go the same way.

use super::super::figure::{self, micros};
use super::super::plot::{Axis, Lines, Mark, Plot, Scale, Series};
use super::super::study::{Cell, Panel, Study, offered, same_load_aside};
use super::super::text;
use super::{Chart, Exhibit, Table, frames_words};
use crate::result::Latency;
use crate::stats::median;

/// One of the times of a distribution.
type Percentile = fn(&Latency) -> u64;

/// The times that are shown.
const TIMES: [(&str, Percentile); 2] = [("p50", |l| l.p50_ns), ("p99", |l| l.p99_ns)];

/// A figure for every scenario that was measured with latency at two loads or more.
pub(super) fn exhibits(study: &Study<'_>) -> Vec<Exhibit> {
    let mut groups: Vec<Vec<&Panel<'_>>> = Vec::new();
    for panel in &study.panels {
        match groups.iter_mut().find(|group| same_load_aside(group[0].first(), panel.first())) {
            Some(group) => group.push(panel),
            None => groups.push(vec![panel]),
        }
    }
    groups.iter().filter(|group| group.len() > 1).filter_map(|group| exhibit(study, group)).collect()
}

/// One arm at one load.
struct Point<'b, 'a> {
    cell: &'b Cell<'a>,
    mpps: f64,
}

impl Point<'_, '_> {
    fn micros(&self, time: fn(&Latency) -> u64) -> Option<f64> {
        let times = self.cell.trials.iter().filter_map(|(_, trial)| trial.latency.as_ref());
        median(times.map(|latency| time(latency) as f64 / 1e3))
    }
}

fn exhibit(study: &Study<'_>, panels: &[&Panel<'_>]) -> Option<Exhibit> {
    let first = panels[0];
    let mut sizes: Vec<&str> = panels.iter().flat_map(|panel| panel.sizes()).collect();
    sizes.sort_by_key(|size| first.sizes().iter().position(|known| known == size));
    sizes.dedup();
    let header =
        ["Frame", "Dataplane", "Offered by each sender", "Mpps received", "Loss %", "p50 µs", "p99 µs"];
    let mut table = Table::new(3, &header);
    let mut charts = Vec::new();
    for size in sizes {
        let mut series = Vec::new();
        let arms: std::collections::BTreeSet<usize> = panels.iter().flat_map(|panel| panel.arms()).collect();
        for arm in arms {
            let mut points: Vec<Point<'_, '_>> = panels
                .iter()
                .flat_map(|panel| panel.at(size).filter(|cell| cell.arm == arm))
                .filter(|cell| cell.trials.iter().any(|(_, trial)| trial.latency.is_some()))
                .filter_map(|cell| Some(Point { cell, mpps: cell.mpps()?.median }))
                .collect();
            points.sort_by(|a, b| a.mpps.total_cmp(&b.mpps));
            if points.len() < 2 {
                continue;
            }
            table.rows.extend(points.iter().map(|point| row(study, size, point)));
            series.extend(TIMES.map(|(name, time)| line(study, arm, name, time, &points)));
        }
        if !series.is_empty() {
            charts.push(chart(size, series));
        }
    }
    if charts.is_empty() {
        return None;
    }
    let (place, slug) = (first.title(), first.slug());
    let load = offered(&first.first().offered);
    Some(Exhibit {
        kind: "latency-load",
        id: slug,
        title: "Round trips against load".into(),
        place: place.replace(&format!(", {load}"), ""),
        caption:
            "Median and 99th percentile of round trips at the load that the receivers got, medians over the \
                  repetitions."
                .into(),
        charts,
        table,
        sources: panels.iter().flat_map(|panel| panel.sources()).collect(),
        tcg: panels.iter().any(|panel| panel.is_tcg()),
    })
}

fn line(
    study: &Study<'_>,
    arm: usize,
    name: &str,
    time: fn(&Latency) -> u64,
    points: &[Point<'_, '_>],
) -> Series {
    let label = format!("{} {name}", study.label(arm));
    let marks: Vec<Mark> = points
        .iter()
        .filter_map(|point| {
            let y = point.micros(time)?;
            let tip =
                format!("{label}: {} µs at {} Mpps", figure::significant(y), figure::significant(point.mpps));
            Some(Mark { x: point.mpps, y, tip })
        })
        .collect();
    Series {
        arm,
        label,
        line: marks.iter().map(|mark| (mark.x, mark.y)).collect(),
        marks,
        ..Series::default()
    }
}

fn chart(size: &str, series: Vec<Series>) -> Chart {
    let said: Vec<&str> =
        series.iter().flat_map(|series| series.marks.iter().map(|mark| mark.tip.as_str())).collect();
    let description = said.join("; ");
    Chart {
        id: text::slug(size),
        title: frames_words(size),
        plot: Plot::Lines(Lines {
            x: Axis::new("Mpps received", Scale::Linear),
            y: Axis::new("Round trip in µs", Scale::Log),
            series,
        }),
        description,
    }
}

fn row(study: &Study<'_>, size: &str, point: &Point<'_, '_>) -> Vec<String> {
    let loss = point.cell.summary(|trial| Some(trial.accounting.loss_ratio()));
    let time = |time| point.micros(time).map(|us| micros(us * 1e3)).unwrap_or_default();
    vec![
        text::plain(size),
        study.label(point.cell.arm).to_owned(),
        offered(&point.cell.first().offered),
        figure::significant(point.mpps),
        loss.map(|loss| figure::percent(loss.median)).unwrap_or_default(),
        time(TIMES[0].1),
        time(TIMES[1].1),
    ]
}
