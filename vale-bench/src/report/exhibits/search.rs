//! What searches found: the bounds of every goal, and how much was lost at every load that was tried.

use std::collections::BTreeSet;

use super::super::plot::{Axis, Bar, Bars, Group, Lines, Mark, Plot, Scale, Series};
use super::super::study::{Cell, Panel, Study, scenario};
use super::super::{figure, text};
use super::headline::from_to;
use super::{Chart, Exhibit, Table, frames_words, loaded};
use crate::result::{Accelerator, GoalResult, SearchRecord, TrialPurpose};
use crate::stats::Summary;

/// Records of searches for the same under the same scenario, each with the document it is from.
type Like<'a> = Vec<(usize, &'a SearchRecord)>;

/// What searches found, in one sentence: for documents that hold nothing else.
pub(super) fn sentence(study: &Study<'_>) -> Option<String> {
    let mut records = study
        .results
        .iter()
        .enumerate()
        .flat_map(|(source, kept)| kept.document.searches.iter().map(move |record| (source, record)));
    let (source, record) = records.next()?;
    let label = study.label(study.arm_of(source, &record.dataplane)?).to_owned();
    let frames = format!("{} {}", frames_words(&record.frame_size.label), from_to(&record.scenario));
    let tcg = if record.dataplane.accelerator == Accelerator::Tcg { ", under TCG" } else { "" };
    let found =
        record.results.iter().find_map(|result| Some((result, mpps(record, result.throughput_pps()?))));
    let (found, how) = match (found, &record.max_receive_rate) {
        (Some((result, found)), _) => (found, text::plain(&result.goal.name).to_uppercase()),
        (None, Some(rate)) => (rate.mean.rate_mpps, "maximum receive rate".into()),
        (None, None) => {
            let goal = record.results.first().map(|result| text::plain(&result.goal.name).to_uppercase())?;
            return Some(format!("{label}: no load of {frames} passed {goal}{tcg}"));
        }
    };
    Some(format!("{label} carries {} Mpps of {frames} ({how}){tcg}", figure::significant(found)))
}

/// Two figures for every scenario and frame size that was searched.
pub(super) fn exhibits(study: &Study<'_>) -> Vec<Exhibit> {
    let mut groups: Vec<Like<'_>> = Vec::new();
    for (source, kept) in study.results.iter().enumerate() {
        for record in &kept.document.searches {
            match groups.iter_mut().find(|group| alike(group[0].1, record)) {
                Some(group) => group.push((source, record)),
                None => groups.push(vec![(source, record)]),
            }
        }
    }
    groups.sort_by_key(|group| {
        let record = group[0].1;
        figure::place(&record.scenario, record.vms, record.direction)
    });
    let with_remarks = |group: &Like<'_>| {
        let remarks = remarks(study, group);
        [found(study, group), tried(study, group)].map(|exhibit| {
            exhibit.map(|exhibit| Exhibit { caption: format!("{}{remarks}", exhibit.caption), ..exhibit })
        })
    };
    let of_group = |group: &Like<'_>| with_remarks(group).into_iter().chain(round_trips(study, group));
    groups.iter().flat_map(of_group).flatten().collect()
}

/// Round trips in parts of the loads that were found.
fn round_trips(study: &Study<'_>, like: &Like<'_>) -> [Option<Exhibit>; 2] {
    let mut cells: Vec<Cell<'_>> = Vec::new();
    for (source, record) in like {
        let arm = study.arm_of(*source, &record.dataplane);
        let (Some(arm), Some(trial)) = (arm, &record.round_trips) else { continue };
        match cells.iter_mut().find(|cell| cell.arm == arm) {
            Some(cell) => cell.trials.push((*source, trial)),
            None => cells.push(Cell { arm, trials: vec![(*source, trial)] }),
        }
    }
    if cells.is_empty() {
        return [None, None];
    }
    cells.sort_by_key(|cell| cell.arm);
    let panel = Panel { cells };
    let place = place(like[0].1);
    [loaded::against(study, &panel), loaded::percentiles(study, &panel)].map(|exhibit| {
        exhibit.map(|exhibit| Exhibit {
            id: text::slug(&place),
            place: place.clone(),
            caption: format!(
                "{} Loads are parts of what the search found for its first goal, by {}.",
                exhibit.caption,
                like[0].1.method.label()
            ),
            ..exhibit
        })
    })
}

fn alike(a: &SearchRecord, b: &SearchRecord) -> bool {
    a.asks_as(b) && a.frame_size == b.frame_size
}

/// `VM to VM (v2v), 2 guests, one way, 64-byte frames`.
fn place(record: &SearchRecord) -> String {
    let mut parts = vec![scenario(&record.scenario)];
    if record.vms > 0 {
        parts.push(figure::count(record.vms, "guest"));
    }
    parts.push(figure::direction(record.direction).into());
    if record.flows > 1 {
        parts.push(figure::count(record.flows, "flow"));
    }
    parts.push(frames_words(&record.frame_size.label));
    parts.join(", ")
}

/// The records of one arm: repetitions.
fn by_arm<'a>(study: &Study<'_>, like: &Like<'a>) -> Vec<(usize, Vec<&'a SearchRecord>)> {
    let mut arms: Vec<(usize, Vec<&SearchRecord>)> = Vec::new();
    for (source, record) in like {
        let Some(arm) = study.arm_of(*source, &record.dataplane) else { continue };
        match arms.iter_mut().find(|(known, _)| *known == arm) {
            Some((_, records)) => records.push(record),
            None => arms.push((arm, vec![record])),
        }
    }
    arms.sort_by_key(|(arm, _)| *arm);
    arms
}

/// The names of all goals, in the order of the first record that has them.
fn goals<'a>(like: &Like<'a>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for (_, record) in like {
        for result in &record.results {
            if !names.contains(&result.goal.name.as_str()) {
                names.push(&result.goal.name);
            }
        }
    }
    names
}

fn result<'a>(record: &'a SearchRecord, goal: &str) -> Option<&'a GoalResult> {
    record.results.iter().find(|result| result.goal.name == goal)
}

/// A load of each sender, as millions of frames a second of all of them.
fn mpps(record: &SearchRecord, load_pps: f64) -> f64 {
    record.rates(load_pps).rate_mpps
}

const HEADER: [&str; 15] = [
    "Goal",
    "Dataplane",
    "Repeat",
    "Lower bound Mpps",
    "Upper bound Mpps",
    "Conditional Mpps",
    "L1 Gbps",
    "Width %",
    "Loss ratio",
    "Exceed ratio",
    "Trial s",
    "Sum s",
    "Trials",
    "Searched s",
    "Remark",
];

/// Where the columns of figures are that a search without goals has too.
const L1_COLUMN: usize = 6;
const TRIALS_COLUMN: usize = 12;

/// The throughput that was found for every goal.
fn found(study: &Study<'_>, like: &Like<'_>) -> Option<Exhibit> {
    let mut table = Table::new(2, &HEADER);
    let mut groups = Vec::new();
    for goal in goals(like) {
        let mut bars = Vec::new();
        for (arm, records) in by_arm(study, like) {
            let label = study.label(arm).to_owned();
            let found = |record: &&&SearchRecord| Some(mpps(record, result(record, goal)?.throughput_pps()?));
            let each: Vec<f64> = records.iter().filter_map(|record| found(&record)).collect();
            let rows = records.iter().filter_map(|record| row(record, result(record, goal)?, &label));
            table.rows.extend(rows);
            let Some(summary) = Summary::of(each.iter().copied()) else { continue };
            let dots = if each.len() > 1 { each } else { Vec::new() };
            let text = format!("{} Mpps", figure::significant(summary.median));
            bars.push(Bar { arm, label, value: summary.median, dots, text });
        }
        if !bars.is_empty() {
            groups.push(Group { title: goal.to_uppercase(), bars });
        }
    }
    groups.extend(received(study, like, &mut table));
    if groups.is_empty() {
        return None;
    }
    let said: Vec<String> = groups
        .iter()
        .flat_map(|group| {
            group.bars.iter().map(|bar| format!("{}, {}: {}", group.title, bar.label, bar.text))
        })
        .collect();
    Some(exhibit(
        "search",
        "Throughput found",
        "The relevant lower bound of every goal: the largest load that kept to it, of all senders together. A bar is \
         the median, a small mark one search. The numbers have the upper bounds and what every goal demands.",
        Plot::Bars(Bars { axis: Axis::new("Mpps", Scale::Linear), groups }),
        said.join(". "),
        table,
        like,
    ))
}

/// The rates received at the largest load, where that was what was asked for.
fn received(study: &Study<'_>, like: &Like<'_>, table: &mut Table) -> Option<Group> {
    let mut bars = Vec::new();
    for (arm, records) in by_arm(study, like) {
        let label = study.label(arm).to_owned();
        let rates = |record: &SearchRecord| record.max_receive_rate.as_ref().map(|rate| rate.mean);
        let each: Vec<f64> = records.iter().filter_map(|record| Some(rates(record)?.rate_mpps)).collect();
        let Some(summary) = Summary::of(each.iter().copied()) else { continue };
        for record in &records {
            let Some(rates) = rates(record) else { continue };
            let mut row = vec!["mrr".to_owned(), label.clone(), record.repeat.to_string()];
            row.push(figure::significant(rates.rate_mpps));
            row.resize(table.header.len(), String::new());
            row[L1_COLUMN] = figure::significant(rates.rate_l1_gbps);
            row[TRIALS_COLUMN] = record.trials.len().to_string();
            table.rows.push(row);
        }
        let text = format!("{} Mpps", figure::significant(summary.median));
        let dots = if each.len() > 1 { each } else { Vec::new() };
        bars.push(Bar { arm, label, value: summary.median, dots, text });
    }
    (!bars.is_empty()).then(|| Group { title: "Maximum receive rate".into(), bars })
}

fn row(record: &SearchRecord, result: &GoalResult, label: &str) -> Option<Vec<String>> {
    let number =
        |load: Option<f64>| load.map(|load| figure::significant(mpps(record, load))).unwrap_or_default();
    let lower = result.throughput_pps();
    let upper = result.relevant_upper_bound.as_ref().map(|bound| bound.load_pps);
    let width = lower.zip(upper).map(|(lower, upper)| (upper - lower) / upper);
    let goal = &result.goal;
    let mut remarks: Vec<&str> = result.irregular.iter().map(|irregular| irregular.sentence()).collect();
    if result.sender_limited {
        remarks.push("The sender did not reach the upper bound.");
    }
    remarks.extend(record.incomplete.as_deref());
    Some(vec![
        text::plain(&goal.name),
        label.to_owned(),
        record.repeat.to_string(),
        number(lower),
        number(upper),
        number(result.conditional_throughput_pps),
        lower.map(|load| figure::significant(record.rates(load).rate_l1_gbps)).unwrap_or_default(),
        width.map(figure::percent).unwrap_or_default(),
        goal.loss_ratio.to_string(),
        goal.exceed_ratio.to_string(),
        goal.final_trial_duration_s.to_string(),
        goal.duration_sum_s.to_string(),
        record.trials.len().to_string(),
        figure::significant(record.elapsed_s),
        text::plain(&remarks.join(" ")),
    ])
}

/// How much was lost at every load that was tried.
fn tried(study: &Study<'_>, like: &Like<'_>) -> Option<Exhibit> {
    let mut table = Table::new(1, &["Dataplane", "Repeat", "Begin s", "Length s", "Load Mpps", "Loss %"]);
    let mut series = Vec::new();
    for (arm, records) in by_arm(study, like) {
        let label = study.label(arm).to_owned();
        let mut one = Series { arm, label: label.clone(), ..Series::default() };
        for record in records {
            for trial in record.trials.iter().filter(|trial| trial.purpose == TrialPurpose::Search) {
                let Some(load) = trial.intended_load_pps.map(|load| mpps(record, load)) else { continue };
                let y = trial.loss_ratio * 100.0;
                let loss = figure::percent(trial.loss_ratio);
                let tip = format!(
                    "{label}: {} Mpps for {} s, {loss} % lost",
                    figure::significant(load),
                    trial.intended_duration_s
                );
                one.dots.push(Mark { x: load, y, tip });
                table.rows.push(vec![
                    label.clone(),
                    record.repeat.to_string(),
                    figure::significant(trial.start_s),
                    trial.intended_duration_s.to_string(),
                    figure::significant(load),
                    loss,
                ]);
            }
            let bounds = record.results.iter().filter_map(|result| Some((result, result.throughput_pps()?)));
            one.marks.extend(bounds.map(|(result, load)| {
                let x = mpps(record, load);
                let tip =
                    format!("{label}, {}: {} Mpps", text::plain(&result.goal.name), figure::significant(x));
                Mark { x, y: 0.0, tip }
            }));
        }
        if one.dots.len() > 1 {
            series.push(one);
        }
    }
    if series.is_empty() {
        return None;
    }
    let said: Vec<String> = series
        .iter()
        .map(|series| {
            let bounds: Vec<&str> = series.marks.iter().map(|mark| mark.tip.as_str()).collect();
            format!("{} trials; {}", series.dots.len(), bounds.join("; "))
        })
        .collect();
    let loads = Summary::of(series.iter().flat_map(|series| series.dots.iter().map(|dot| dot.x)));
    // A search that goes far down would have most of its trials at the edge.
    let far = loads.is_some_and(|loads| loads.min > 0.0 && loads.max / loads.min > 30.0);
    let scale = if far { Scale::Log } else { Scale::Linear };
    let x = Axis::new("Intended load of all senders in Mpps", scale);
    let y = Axis::new("% lost", Scale::Linear);
    Some(exhibit(
        "search-trials",
        "Loss by load",
        "Every trial of the searches, and as large marks on the axis the throughput found for each goal.",
        Plot::Lines(Lines { x, y, series }),
        said.join(". "),
        table,
        like,
    ))
}

/// What is not as the goals asked for, each with its goal and its competitor.
fn remarks(study: &Study<'_>, like: &Like<'_>) -> String {
    let mut remarks = BTreeSet::new();
    for (source, record) in like {
        let arm = study.arm_of(*source, &record.dataplane).map(|arm| study.label(arm)).unwrap_or_default();
        for result in &record.results {
            let goal = text::plain(&result.goal.name).to_uppercase();
            let irregular =
                result.irregular.map(|irregular| format!(" {arm}, {goal}: {}", irregular.sentence()));
            remarks.extend(irregular);
        }
    }
    remarks.into_iter().collect()
}

fn exhibit(
    kind: &'static str,
    title: &str,
    caption: &str,
    plot: Plot,
    description: String,
    table: Table,
    like: &Like<'_>,
) -> Exhibit {
    let first = like[0].1;
    let method = first.method.label();
    let place = place(first);
    Exhibit {
        kind,
        id: text::slug(&place),
        title: title.into(),
        place,
        caption: format!("{caption} Loads were chosen by {method}."),
        charts: vec![Chart { id: String::new(), title: String::new(), plot, description }],
        table,
        sources: like.iter().map(|(source, _)| *source).collect::<BTreeSet<usize>>(),
        tcg: like.iter().any(|(_, record)| record.dataplane.accelerator == Accelerator::Tcg),
    }
}
