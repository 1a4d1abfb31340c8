//! Throughput by frame size, in frames and in bits.

use super::super::figure;
use super::super::plot::{Axis, Lines, Plot, Scale};
use super::super::study::{Panel, Study};
use super::{Chart, Exhibit, Table, by_size, range, rows, size_words};
use crate::result::Trial;

/// The figure; none for a single frame size, which the headline shows.
pub(super) fn exhibit<'a>(study: &Study<'a>, panel: &Panel<'a>) -> Option<Exhibit> {
    let sizes = panel.sizes();
    if sizes.len() < 2 {
        return None;
    }
    let names: Vec<String> = sizes.iter().map(|size| size_words(size).replace(" bytes", "")).collect();
    let chart = |id: &str, title: &str, axis: &str, unit: &str, value: fn(&Trial) -> Option<f64>| {
        let series: Vec<_> =
            panel.arms().into_iter().map(|arm| by_size(study, panel, arm, unit, value)).collect();
        let said: Vec<String> = series
            .iter()
            .map(|series| {
                let points = series.marks.iter().map(|mark| mark.tip.clone());
                points.collect::<Vec<_>>().join("; ")
            })
            .collect();
        Chart {
            id: id.into(),
            title: title.into(),
            plot: Plot::Lines(Lines {
                x: Axis::new("Frame size in bytes, FCS included", Scale::Names(names.clone())),
                y: Axis::new(axis, Scale::Linear),
                series,
            }),
            description: said.join(". "),
        }
    };
    Some(Exhibit {
        kind: "throughput",
        id: panel.slug(),
        title: "Throughput by frame size".into(),
        place: panel.title(),
        caption: "At the receivers, all directions added up. A large mark is the median, a small one a \
                  repetition. Bits are counted as on a line (L1), with 20 bytes of preamble and gap a frame."
            .into(),
        charts: vec![
            chart("frames", "In frames", "Mpps", "Mpps", |t| Some(t.throughput.aggregate.rate_mpps)),
            chart("bits", "In bits", "Gbps (L1)", "Gbps", |t| Some(t.throughput.aggregate.rate_l1_gbps)),
        ],
        table: table(study, panel),
        sources: panel.sources(),
        tcg: panel.is_tcg(),
    })
}

fn table<'a>(study: &Study<'a>, panel: &Panel<'a>) -> Table {
    let header =
        ["Frame", "Dataplane", "Repeats", "Mpps", "min..max", "L2 Gbps", "L1 Gbps", "Loss %", "Ratio"];
    let mut table = Table::new(2, &header);
    for (mut row, cell) in rows(study, panel) {
        let Some(mpps) = cell.mpps() else { continue };
        let median = |value: fn(&Trial) -> f64| cell.summary(|trial| Some(value(trial))).map(|s| s.median);
        row.extend([
            mpps.count.to_string(),
            figure::significant(mpps.median),
            range(&mpps),
            median(|t| t.throughput.aggregate.rate_l2_gbps).map(figure::significant).unwrap_or_default(),
            median(|t| t.throughput.aggregate.rate_l1_gbps).map(figure::significant).unwrap_or_default(),
            median(|t| t.accounting.loss_ratio()).map(figure::percent).unwrap_or_default(),
            study.ratio_words(panel, cell),
        ]);
        table.rows.push(row);
    }
    table
}
