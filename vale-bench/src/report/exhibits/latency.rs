//! Round trips by percentile, as HDR histograms are drawn: every further nine as far again.

use super::super::figure::micros;
use super::super::plot::{Axis, Lines, Mark, Plot, Scale, Series};
use super::super::study::{Cell, Panel, Study};
use super::{Chart, Exhibit, Table, frames_words, rows};
use crate::result::Latency;

/// Points of a curve for each halving of the rest.
const POINTS: u32 = 8;

/// The percentiles that are marked: those of the table.
const MARKED: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// The figure; none where no document has round trips.
pub(super) fn exhibit(study: &Study<'_>, panel: &Panel<'_>) -> Option<Exhibit> {
    let sizes = panel.sizes();
    let charts: Vec<Chart> = sizes.iter().filter_map(|size| chart(study, panel, size)).collect();
    if charts.is_empty() {
        return None;
    }
    Some(Exhibit {
        kind: "latency",
        id: panel.slug(),
        title: "Round trips by percentile".into(),
        place: panel.title(),
        caption: "How long a probe takes there and back on otherwise idle ports, by the sender's clock. Thin lines are repetitions, \
                  the thick one all of their probes together; marks are at 50, 90, 99 and 99.9 %. A curve ends \
                  where a single probe decides."
            .into(),
        charts,
        table: table(study, panel),
        sources: panel.sources(),
        tcg: panel.is_tcg(),
    })
}

fn chart(study: &Study<'_>, panel: &Panel<'_>, size: &str) -> Option<Chart> {
    let series: Vec<Series> = panel.at(size).filter_map(|cell| series(study, cell)).collect();
    if series.is_empty() {
        return None;
    }
    let said: Vec<String> = series
        .iter()
        .map(|series| {
            let marks: Vec<&str> = series.marks.iter().map(|mark| mark.tip.as_str()).collect();
            format!("{}: {}", series.label, marks.join(", "))
        })
        .collect();
    Some(Chart {
        id: super::text::slug(size),
        title: frames_words(size),
        plot: Plot::Lines(Lines {
            x: Axis::new("Percentile", Scale::Nines),
            y: Axis::new("Round trip in µs", Scale::Log),
            series,
        }),
        description: said.join(". "),
    })
}

fn series(study: &Study<'_>, cell: &Cell<'_>) -> Option<Series> {
    let each: Vec<&Latency> = cell.trials.iter().filter_map(|(_, trial)| trial.latency.as_ref()).collect();
    let all = together(&each)?;
    let line = curve(&all);
    let label = study.label(cell.arm).to_owned();
    let last = line.last()?.0;
    let marks =
        percentiles(&all).into_iter().filter(|(quantile, _)| MARKED.contains(quantile) && *quantile <= last);
    let marks = marks.map(|(quantile, ns)| Mark {
        x: quantile,
        y: ns / 1e3,
        tip: format!("{} % within {} µs", trimmed(quantile * 100.0), micros(ns)),
    });
    Some(Series {
        arm: cell.arm,
        label,
        marks: marks.collect(),
        thin: if each.len() > 1 { each.iter().map(|one| curve(one)).collect() } else { Vec::new() },
        line,
        ..Series::default()
    })
}

fn trimmed(number: f64) -> String {
    format!("{number:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Repetitions put together. One whose histogram is not readable cannot be: then the first stands for all.
pub(super) fn together(each: &[&Latency]) -> Option<Latency> {
    let lost = each.iter().map(|latency| latency.lost).sum();
    match Latency::merge(each.iter().map(|latency| latency.histogram.as_str()), lost) {
        Ok(Some(all)) => Some(all),
        _ => each.first().map(|first| (*first).clone()),
    }
}

/// Quantiles and the times below which they lie, in microseconds: of the histogram, or of the figures beside it where
/// it cannot be read. The longest time stands where it is one probe among all.
pub(super) fn curve(latency: &Latency) -> Vec<(f64, f64)> {
    let points = latency.curve(POINTS).unwrap_or_default();
    let points = if points.is_empty() { percentiles(latency) } else { points };
    let last = 1.0 - 1.0 / latency.count.max(2) as f64;
    let points = points.into_iter().filter(|(_, ns)| *ns > 0.0);
    let mut points: Vec<(f64, f64)> = points.map(|(quantile, ns)| (quantile.min(last), ns / 1e3)).collect();
    // Of those beyond, only the longest.
    points.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0 && later.0 == last;
        if same {
            earlier.1 = later.1;
        }
        same
    });
    points
}

fn percentiles(latency: &Latency) -> Vec<(f64, f64)> {
    let Latency { p50_ns, p90_ns, p99_ns, p99_9_ns, .. } = latency;
    MARKED.into_iter().zip([*p50_ns, *p90_ns, *p99_ns, *p99_9_ns].map(|ns| ns as f64)).collect()
}

fn table(study: &Study<'_>, panel: &Panel<'_>) -> Table {
    let header = [
        "Frame",
        "Dataplane",
        "Probes",
        "Lost",
        "min µs",
        "p50 µs",
        "p90 µs",
        "p99 µs",
        "p99.9 µs",
        "max µs",
        "mean µs",
    ];
    let mut table = Table::new(2, &header);
    for (mut row, cell) in rows(study, panel) {
        let each: Vec<&Latency> =
            cell.trials.iter().filter_map(|(_, trial)| trial.latency.as_ref()).collect();
        let Some(all) = together(&each) else { continue };
        row.extend([all.count.to_string(), all.lost.to_string()]);
        let times = [all.min_ns, all.p50_ns, all.p90_ns, all.p99_ns, all.p99_9_ns, all.max_ns];
        row.extend(times.map(|ns| micros(ns as f64)));
        row.push(micros(all.mean_ns));
        table.rows.push(row);
    }
    table
}
