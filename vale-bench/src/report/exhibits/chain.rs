//! Throughput against the number of guests: the length of a chain, or how many pairs share a switch.

use std::collections::BTreeSet;

use super::super::plot::{Axis, Lines, Mark, Plot, Scale, Series};
use super::super::study::{Cell, Panel, Study, same_guests_aside, scenario};
use super::super::{figure, text};
use super::{Chart, Exhibit, Table, frames_words, range};

/// A figure for every scenario that was measured with two numbers of guests or more.
pub(super) fn exhibits(study: &Study<'_>) -> Vec<Exhibit> {
    let mut groups: Vec<Vec<&Panel<'_>>> = Vec::new();
    for panel in study.panels.iter().filter(|panel| panel.first().vms > 0) {
        let (mine, offered) = (panel.first(), panel.first().offered);
        let same = |group: &&mut Vec<&Panel<'_>>| {
            same_guests_aside(group[0].first(), mine) && group[0].first().offered == offered
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(panel),
            None => groups.push(vec![panel]),
        }
    }
    groups.iter().filter(|group| group.len() > 1).filter_map(|group| exhibit(study, group)).collect()
}

fn exhibit(study: &Study<'_>, panels: &[&Panel<'_>]) -> Option<Exhibit> {
    let first = panels[0].first();
    let chain = first.scenario == "loopback";
    let counts: BTreeSet<u32> = panels.iter().map(|panel| panel.first().vms).collect();
    let names: Vec<String> = counts.iter().map(u32::to_string).collect();
    let mut cells: Vec<(u32, &Cell<'_>)> =
        panels.iter().flat_map(|panel| panel.cells.iter().map(|cell| (cell.first().vms, cell))).collect();
    cells.sort_by_key(|(vms, cell)| (cell.first().frame_size.mean_bytes() as u64, cell.arm, *vms));
    let header = [
        "Frame",
        "Dataplane",
        if chain { "VMs in the chain" } else { "Guests" },
        "Mpps",
        "min..max",
        "L1 Gbps",
    ];
    let mut table = Table::new(2, &header);
    let mut charts: Vec<Chart> = Vec::new();
    let mut sizes: Vec<&str> = cells.iter().map(|(_, cell)| cell.size()).collect();
    sizes.dedup();
    for size in sizes {
        let of_size: Vec<_> = cells.iter().filter(|(_, cell)| cell.size() == size).collect();
        let arms: BTreeSet<usize> = of_size.iter().map(|(_, cell)| cell.arm).collect();
        let mut series: Vec<Series> = Vec::new();
        for arm in arms {
            let mine = of_size.iter().filter(|(_, cell)| cell.arm == arm);
            let one = line(study, arm, &counts, mine.map(|(vms, cell)| (*vms, *cell)), &mut table);
            series.extend((one.marks.len() > 1).then_some(one));
        }
        if series.is_empty() {
            continue;
        }
        let said: Vec<&str> =
            series.iter().flat_map(|s| s.marks.iter().map(|mark| mark.tip.as_str())).collect();
        let description = said.join("; ");
        let x = Axis::new(if chain { "VMs in the chain" } else { "Guests" }, Scale::Names(names.clone()));
        let y = Axis::new("Mpps received", Scale::Linear);
        charts.push(Chart {
            id: text::slug(size),
            title: frames_words(size),
            plot: Plot::Lines(Lines { x, y, series }),
            description,
        });
    }
    if charts.is_empty() {
        return None;
    }
    Some(Exhibit {
        kind: "chain",
        id: text::slug(&format!("{}-{}", first.scenario, first.direction.label())),
        title: if chain { "Throughput by length of the chain" } else { "Throughput by number of guests" }
            .into(),
        place: format!("{}, {}", scenario(&first.scenario), figure::direction(first.direction)),
        caption:
            "At the receivers, all directions added up. A large mark is the median, a small one a repetition."
                .into(),
        charts,
        table,
        sources: panels.iter().flat_map(|panel| panel.sources()).collect(),
        tcg: panels.iter().any(|panel| panel.is_tcg()),
    })
}

fn line<'b, 'a: 'b>(
    study: &Study<'_>,
    arm: usize,
    counts: &BTreeSet<u32>,
    cells: impl Iterator<Item = (u32, &'b Cell<'a>)>,
    table: &mut Table,
) -> Series {
    let label = study.label(arm).to_owned();
    let mut series = Series { arm, label: label.clone(), ..Series::default() };
    for (vms, cell) in cells {
        let Some(mpps) = cell.mpps() else { continue };
        let x = counts.iter().position(|count| *count == vms).unwrap_or(0) as f64;
        let number = figure::significant(mpps.median);
        series.line.push((x, mpps.median));
        let tip = format!("{label}, {}: {number} Mpps", figure::count(vms, "guest"));
        series.marks.push(Mark { x, y: mpps.median, tip });
        if mpps.count > 1 {
            series.dots.extend(cell.trials.iter().map(|(_, trial)| {
                let y = trial.throughput.aggregate.rate_mpps;
                Mark { x, y, tip: format!("repeat {}: {} Mpps", trial.repeat, figure::significant(y)) }
            }));
        }
        let gbps = cell.summary(|trial| Some(trial.throughput.aggregate.rate_l1_gbps));
        table.rows.push(vec![
            text::plain(cell.size()),
            label.clone(),
            vms.to_string(),
            number,
            range(&mpps),
            gbps.map(|gbps| figure::significant(gbps.median)).unwrap_or_default(),
        ]);
    }
    series
}
