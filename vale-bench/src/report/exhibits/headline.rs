//! The answer first: every competitor at the smallest frame of every scenario, and a sentence that says it.

use super::super::plot::{Axis, Bar, Bars, Group, Plot, Scale};
use super::super::study::{Panel, Study};
use super::super::{figure, text};
use super::search;
use super::{Chart, Exhibit, Table, frames_words, range};

/// Bars that still can be taken in at a glance; what is beyond is in the other figures.
const BARS_MAX: usize = 30;

/// What the report says, in one sentence; `None` where nothing was measured.
pub(in crate::report) fn sentence(study: &Study<'_>) -> Option<String> {
    let Some(panel) = foremost(study) else { return search::sentence(study) };
    let size = *panel.sizes().first()?;
    let mut cells = panel.at(size).filter_map(|cell| Some((cell, cell.mpps()?.median)));
    let (first, reference) = cells.next()?;
    let trial = panel.first();
    let place = from_to(&trial.scenario);
    let frames = frames_words(size);
    let mut sentence = format!(
        "{} carries {} Mpps of {frames} {place}",
        study.label(first.arm),
        figure::significant(reference)
    );
    let others: Vec<String> = cells
        .take(3)
        .map(|(cell, mpps)| {
            let ratio = study.ratio(panel, cell).map(|ratio| format!(" (×{ratio:.2})")).unwrap_or_default();
            format!("{} {} Mpps{ratio}", study.label(cell.arm), figure::significant(mpps))
        })
        .collect();
    if !others.is_empty() {
        sentence.push_str(&format!("; {}", others.join(", ")));
    }
    if panel.is_tcg() {
        sentence.push_str(", under TCG");
    }
    Some(sentence)
}

/// What the documents are about: guests, if they have some, and first of all guests that talk to each other.
fn foremost<'s, 'a>(study: &'s Study<'a>) -> Option<&'s Panel<'a>> {
    let between_guests = study.panels.iter().find(|panel| panel.first().scenario == "v2v");
    between_guests.or_else(|| study.panels.iter().find(|panel| has_guests(panel))).or(study.panels.first())
}

fn has_guests(panel: &Panel<'_>) -> bool {
    panel.first().vms > 0
}

/// Between whom, as the end of a sentence.
pub(super) fn from_to(scenario: &str) -> String {
    match scenario {
        "v2v" => "from VM to VM".into(),
        "p2p" => "from host port to host port".into(),
        "p2v" => "from host port to VM".into(),
        "v2p" => "from VM to host port".into(),
        "loopback" => "through a chain of VMs".into(),
        other => format!("in {}", text::plain(other)),
    }
}

/// Bars of received frames a second: with guests, and between ports of the host, which carry several times as much and
/// would leave no more than stumps of the others.
pub(super) fn exhibits(study: &Study<'_>) -> Vec<Exhibit> {
    let (guests, host): (Vec<_>, Vec<_>) = study.panels.iter().partition(|panel| has_guests(panel));
    let both = !guests.is_empty() && !host.is_empty();
    let titles = if both {
        ["Throughput of guests", "Throughput between ports of the host"]
    } else {
        ["Throughput"; 2]
    };
    let made = [exhibit(study, &guests, titles[0], "guests"), exhibit(study, &host, titles[1], "host")];
    made.into_iter().flatten().collect()
}

fn exhibit(study: &Study<'_>, panels: &[&Panel<'_>], title: &str, id: &str) -> Option<Exhibit> {
    let mut table =
        Table::new(3, &["Scenario", "Frame", "Dataplane", "Mpps", "min..max", "L1 Gbps", "Loss %", "Ratio"]);
    let (mut groups, mut bars) = (Vec::new(), 0);
    for panel in panels {
        let group = group(study, panel, &mut table)?;
        bars += group.bars.len();
        if bars <= BARS_MAX {
            groups.push(group);
        }
    }
    if groups.is_empty() {
        return None;
    }
    let left_out = panels.len() - groups.len();
    let mut caption = String::from(
        "Millions of frames a second at the receivers, all directions added up, frames of the smallest size \
         measured. A bar is the median, a small mark one repetition.",
    );
    if study.arms.len() > 1 {
        let with = "with 95 % intervals where there are five repetitions or more (bootstrap)";
        caption.push_str(&format!(" Ratios are to {}; in the numbers {with}.", study.label(0)));
    }
    if left_out > 0 {
        caption.push_str(&format!(" {} more below.", figure::count(left_out as u32, "scenario")));
    }
    let description: Vec<String> = groups
        .iter()
        .flat_map(|group| group.bars.iter().map(|bar| format!("{}: {} {}", group.title, bar.label, bar.text)))
        .collect();
    Some(Exhibit {
        kind: "headline",
        id: id.to_owned(),
        title: title.to_owned(),
        place: String::new(),
        caption,
        charts: vec![Chart {
            id: String::new(),
            title: String::new(),
            plot: Plot::Bars(Bars { axis: Axis::new("Mpps received", Scale::Linear), groups }),
            description: description.join(". "),
        }],
        table,
        sources: (0..study.results.len()).collect(),
        tcg: panels.iter().any(|panel| panel.is_tcg()),
    })
}

fn group<'a>(study: &Study<'a>, panel: &Panel<'a>, table: &mut Table) -> Option<Group> {
    let size = *panel.sizes().first()?;
    let mut bars = Vec::new();
    for cell in panel.at(size) {
        let Some(mpps) = cell.mpps() else { continue };
        let number = figure::significant(mpps.median);
        let text = match study.ratio(panel, cell) {
            Some(ratio) => format!("{number} Mpps (×{ratio:.2})"),
            None => format!("{number} Mpps"),
        };
        let dots = if mpps.count > 1 {
            cell.trials.iter().map(|(_, trial)| trial.throughput.aggregate.rate_mpps).collect()
        } else {
            Vec::new()
        };
        let label = study.label(cell.arm).to_owned();
        bars.push(Bar { arm: cell.arm, label: label.clone(), value: mpps.median, dots, text });
        let gbps = cell.summary(|trial| Some(trial.throughput.aggregate.rate_l1_gbps));
        let loss = cell.summary(|trial| Some(trial.accounting.loss_ratio()));
        table.rows.push(vec![
            panel.title(),
            text::plain(size),
            label,
            number,
            range(&mpps),
            gbps.map(|gbps| figure::significant(gbps.median)).unwrap_or_default(),
            loss.map(|loss| figure::percent(loss.median)).unwrap_or_default(),
            study.ratio_words(panel, cell),
        ]);
    }
    Some(Group { title: format!("{}, {}", panel.title(), frames_words(size)), bars })
}
