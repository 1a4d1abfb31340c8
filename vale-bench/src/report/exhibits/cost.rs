//! What a frame costs: processor time of the switch's threads, for every frame that arrived.

use super::super::figure;
use super::super::plot::{Axis, Bar, Bars, Group, Lines, Plot, Scale};
use super::super::study::{Panel, Study};
use super::{Chart, Exhibit, Table, by_size, range, rows, size_words};
use crate::result::Trial;

/// The figure; none where no document knows the switch's processor time.
pub(super) fn exhibit(study: &Study<'_>, panel: &Panel<'_>) -> Option<Exhibit> {
    let mut table =
        Table::new(2, &["Frame", "Dataplane", "ns a frame", "min..max", "Frames a second of CPU time"]);
    for (mut row, cell) in rows(study, panel) {
        let Some(cost) = cell.summary(frame_ns) else { continue };
        row.extend([
            figure::significant(cost.median),
            range(&cost),
            format!("{} M", figure::significant(1e3 / cost.median)),
        ]);
        table.rows.push(row);
    }
    if table.rows.is_empty() {
        return None;
    }
    let sizes = panel.sizes();
    let axis = "ns of the switch's processor time a frame received";
    let plot = if sizes.len() > 1 {
        let names = sizes.iter().map(|size| size_words(size).replace(" bytes", "")).collect();
        let series = panel.arms().into_iter().map(|arm| by_size(study, panel, arm, "ns", frame_ns)).collect();
        Plot::Lines(Lines {
            x: Axis::new("Frame size in bytes, FCS included", Scale::Names(names)),
            y: Axis::new(axis, Scale::Linear),
            series,
        })
    } else {
        let bars = panel.cells.iter().filter_map(|cell| {
            let cost = cell.summary(frame_ns)?;
            let dots = cell.trials.iter().filter_map(|(_, trial)| frame_ns(trial));
            Some(Bar {
                arm: cell.arm,
                label: study.label(cell.arm).to_owned(),
                value: cost.median,
                dots: if cost.count > 1 { dots.collect() } else { Vec::new() },
                text: format!("{} ns", figure::significant(cost.median)),
            })
        });
        let title = size_words(sizes.first().copied().unwrap_or_default());
        Plot::Bars(Bars {
            axis: Axis::new(axis, Scale::Linear),
            groups: vec![Group { title, bars: bars.collect() }],
        })
    };
    let said: Vec<String> =
        table.rows.iter().map(|row| format!("{}, {}: {} ns a frame", row[1], row[0], row[2])).collect();
    Some(Exhibit {
        kind: "cost",
        id: panel.slug(),
        title: "Cost of a frame".into(),
        place: panel.title(),
        caption: "Processor time of the switch's threads in the measured part over frames received in it. A \
                  switch that polls uses its processor also while there is little to do, so this is what a \
                  frame costs at this load; guests and generators are not in it."
            .into(),
        charts: vec![Chart { id: String::new(), title: String::new(), plot, description: said.join(". ") }],
        table,
        sources: panel.sources(),
        tcg: panel.is_tcg(),
    })
}

/// Nanoseconds of the switch for each frame received in the measured part.
fn frame_ns(trial: &Trial) -> Option<f64> {
    let frames: u64 = trial.throughput.directions.iter().map(|direction| direction.received_frames).sum();
    let cost = trial.switch_cpu_ns? as f64 / frames as f64;
    (cost.is_finite() && cost > 0.0).then_some(cost)
}
