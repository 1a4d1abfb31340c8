//! What a frame costs: processor time of the switch, of the guests and of the generators, for every frame that arrived.

use super::super::figure;
use super::super::plot::{Axis, Bar, Bars, Group, Lines, Plot, Scale};
use super::super::study::{Panel, Study};
use super::{Chart, Exhibit, Table, by_size, frames_words, range, rows, size_words};
use crate::result::{ThreadKind, Trial};

/// Nanoseconds of something for each frame received in the measured part.
type FrameNs = fn(&Trial) -> Option<f64>;

/// The plots: name, title, and what they show.
const CHARTS: [(&str, &str, FrameNs); 2] =
    [("switch", "The switch", switch_ns), ("all", "All threads, guests and generators too", all_ns)];

/// The parts of the cost, for the table.
const PARTS: [(&str, FrameNs); 5] = [
    ("Switch ns", switch_ns),
    ("Generators ns", |trial| trial.cost.as_ref()?.ns_per_frame(ThreadKind::Engine)),
    ("vCPUs ns", |trial| trial.cost.as_ref()?.ns_per_frame(ThreadKind::Vcpu)),
    ("Rest of QEMU ns", |trial| trial.cost.as_ref()?.ns_per_frame(ThreadKind::Vmm)),
    ("All ns", all_ns),
];

/// The figure; none where no document knows of processor time.
pub(super) fn exhibit(study: &Study<'_>, panel: &Panel<'_>) -> Option<Exhibit> {
    let charts: Vec<Chart> = CHARTS
        .into_iter()
        .filter_map(|(id, title, value)| {
            let (plot, description) = plot(study, panel, value)?;
            Some(Chart { id: id.into(), title: title.into(), plot, description })
        })
        .collect();
    if charts.is_empty() {
        return None;
    }
    Some(Exhibit {
        kind: "cost",
        id: panel.slug(),
        title: "Cost of a frame".into(),
        place: panel.title(),
        caption: "Processor time of threads in the measured part over frames received in it. Threads that poll use \
                  their processors also while there is little to do, so this is what a frame costs at this load."
            .into(),
        charts,
        table: table(study, panel),
        sources: panel.sources(),
        tcg: panel.is_tcg(),
    })
}

/// By frame size where there are several, else side by side.
fn plot(study: &Study<'_>, panel: &Panel<'_>, value: FrameNs) -> Option<(Plot, String)> {
    let sizes = panel.sizes();
    let said = panel.cells.iter().filter_map(|cell| {
        let cost = figure::significant(cell.summary(value)?.median);
        Some(format!("{}, {}: {cost} ns a frame", study.label(cell.arm), size_words(cell.size())))
    });
    let said: Vec<String> = said.collect();
    if said.is_empty() {
        return None;
    }
    let axis = Axis::new("ns of processor time for each frame received", Scale::Linear);
    let plot = if sizes.len() > 1 {
        let names = sizes.iter().map(|size| size_words(size).replace(" bytes", "")).collect();
        let series = panel.arms().into_iter().map(|arm| by_size(study, panel, arm, "ns", value));
        Plot::Lines(Lines {
            x: Axis::new("Frame size in bytes, FCS included", Scale::Names(names)),
            y: axis,
            series: series.filter(|series| !series.marks.is_empty()).collect(),
        })
    } else {
        let bars = panel.cells.iter().filter_map(|cell| {
            let cost = cell.summary(value)?;
            let dots = cell.trials.iter().filter_map(|(_, trial)| value(trial));
            Some(Bar {
                arm: cell.arm,
                label: study.label(cell.arm).to_owned(),
                value: cost.median,
                dots: if cost.count > 1 { dots.collect() } else { Vec::new() },
                text: format!("{} ns", figure::significant(cost.median)),
            })
        });
        let title = frames_words(sizes.first().copied().unwrap_or_default());
        Plot::Bars(Bars { axis, groups: vec![Group { title, bars: bars.collect() }] })
    };
    Some((plot, said.join(". ")))
}

fn table(study: &Study<'_>, panel: &Panel<'_>) -> Table {
    let known = |value: FrameNs| panel.cells.iter().any(|cell| cell.summary(value).is_some());
    let parts: Vec<(&str, FrameNs)> = PARTS.into_iter().filter(|(_, value)| known(*value)).collect();
    let per_core: FrameNs = |trial| Some(trial.cost.as_ref()?.mpps_per_core);
    let mut header = vec!["Frame", "Dataplane"];
    header.extend(parts.iter().map(|(name, _)| *name));
    header.extend(["Switch min..max", "Mpps a core"]);
    let mut table = Table::new(2, &header);
    for (mut row, cell) in rows(study, panel) {
        let median =
            |value: FrameNs| cell.summary(value).map(|s| figure::significant(s.median)).unwrap_or_default();
        row.extend(parts.iter().map(|(_, value)| median(*value)));
        row.push(cell.summary(switch_ns).map(|cost| range(&cost)).unwrap_or_default());
        row.push(median(per_core));
        table.rows.push(row);
    }
    table
}

fn switch_ns(trial: &Trial) -> Option<f64> {
    if let Some(cost) = &trial.cost {
        return cost.switch_cpu_ns_per_frame.filter(|ns| *ns > 0.0);
    }
    let frames: u64 = trial.throughput.directions.iter().map(|direction| direction.received_frames).sum();
    let cost = trial.switch_cpu_ns? as f64 / frames as f64;
    (cost.is_finite() && cost > 0.0).then_some(cost)
}

fn all_ns(trial: &Trial) -> Option<f64> {
    Some(trial.cost.as_ref()?.cpu_ns_per_frame).filter(|ns| *ns > 0.0)
}
