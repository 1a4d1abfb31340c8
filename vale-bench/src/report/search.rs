//! Searches put together: repetitions into rows, and the rows of one method and circumstance into a table.

use super::figure::{count, percent, place, seconds, significant};
use super::load;
use crate::result::{
    Direction, GoalResult, ResultDocument, SearchMethod, SearchRecord, SearchTrial, Trial, TrialPurpose,
};
use crate::stats::Summary;

/// A table of searches.
pub(super) struct Searches {
    /// What all rows have in common.
    pub(super) title: String,
    /// Names of the columns.
    pub(super) header: Vec<&'static str>,
    /// Their cells.
    pub(super) rows: Vec<Vec<String>>,
    /// What the rows must not be read without.
    pub(super) notes: Vec<String>,
    /// Round trips in parts of the loads that were found, if they were measured.
    pub(super) round_trips: Option<load::Cells>,
}

/// All searches of a document, tables by [`place`], then in the order in which the first of each was made.
pub(super) fn searches(document: &ResultDocument) -> Vec<Searches> {
    let mut groups: Vec<Vec<&SearchRecord>> = Vec::new();
    for record in &document.searches {
        match groups.iter_mut().find(|group| comparable(group[0], record)) {
            Some(group) => group.push(record),
            None => groups.push(vec![record]),
        }
    }
    groups.sort_by_key(|group| place(&group[0].scenario, group[0].vms, group[0].direction));
    groups.iter().map(|group| table(document, group)).collect()
}

fn comparable(a: &SearchRecord, b: &SearchRecord) -> bool {
    a.asks_as(b) && a.dataplane.accelerator == b.dataplane.accelerator
}

fn title(group: &[&SearchRecord]) -> String {
    let record = group[0];
    let mut parts = vec![record.scenario.clone()];
    if record.vms > 0 {
        parts.push(format!("{} ({})", count(record.vms, "guest"), record.dataplane.accelerator.label()));
    }
    if record.senders > 1 {
        parts.push(format!("{} senders", record.senders));
    }
    parts.push(match record.direction {
        Direction::Uni => "one way".into(),
        Direction::Bidi => "both ways".into(),
    });
    if record.flows > 1 {
        parts.push(count(record.flows, "flow"));
    }
    let repeats = group.iter().map(|record| record.repeat).max().unwrap_or(1);
    let times = if repeats > 1 { format!(", {repeats} times") } else { String::new() };
    parts.push(format!("{}{times}", record.method.label()));
    parts.join(", ")
}

/// One line of a table: the repetitions of one search, and which of its goals.
struct Row<'a> {
    records: Vec<&'a SearchRecord>,
    goal: Option<&'a str>,
}

impl Row<'_> {
    fn first(&self) -> &SearchRecord {
        self.records[0]
    }

    fn results(&self) -> impl Iterator<Item = (&SearchRecord, &GoalResult)> {
        let of_goal = |result: &&GoalResult| Some(result.goal.name.as_str()) == self.goal;
        self.records.iter().filter_map(move |record| Some((*record, record.results.iter().find(of_goal)?)))
    }

    /// Any load of the results, as a rate of all senders in Mpps.
    fn mpps(&self, load: impl Fn(&GoalResult) -> Option<f64>) -> Option<Summary> {
        Summary::of(self.results().filter_map(|(record, r)| Some(record.rates(load(r)?).rate_mpps)))
    }

    /// The figure a row is about.
    fn headline(&self) -> Option<f64> {
        let rates = self.records.iter().filter_map(|record| record.max_receive_rate.as_ref());
        let mrr = Summary::of(rates.map(|rate| rate.mean.rate_mpps));
        self.mpps(GoalResult::throughput_pps).or(mrr).map(|summary| summary.median)
    }
}

fn rows<'a>(document: &ResultDocument, group: &[&'a SearchRecord]) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = Vec::new();
    for record in group {
        let goals = record.results.iter().map(|result| Some(result.goal.name.as_str()));
        let goals: Vec<Option<&str>> = if record.results.is_empty() { vec![None] } else { goals.collect() };
        for goal in goals {
            let same = |row: &&mut Row<'_>| {
                let first = row.first();
                row.goal == goal
                    && first.dataplane == record.dataplane
                    && first.frame_size == record.frame_size
            };
            match rows.iter_mut().find(same) {
                Some(row) => row.records.push(record),
                None => rows.push(Row { records: vec![record], goal }),
            }
        }
    }
    let order = &document.plan.dataplanes;
    let place = |row: &Row<'_>| order.iter().position(|name| *name == row.first().dataplane.name);
    // Sorting is stable: goals stay in their order.
    rows.sort_by(|a, b| {
        let size = |row: &Row<'_>| row.first().frame_size.mean_bytes();
        size(a).total_cmp(&size(b)).then(place(a).cmp(&place(b)))
    });
    rows
}

/// One column: its header and its cells; a column without a cell in any row is left out.
type Column = (&'static str, fn(&Row<'_>) -> Option<String>);

const THROUGHPUT: &[Column] = &[
    ("Dataplane", |row| Some(row.first().dataplane.name.clone())),
    ("Frame", |row| Some(row.first().frame_size.label.clone())),
    ("Goal", |row| row.goal.map(str::to_owned)),
    ("Mpps", |row| {
        let irregular = row.results().any(|(_, result)| result.irregular.is_some());
        let mpps = row.mpps(GoalResult::throughput_pps)?.median;
        Some(format!("{mpps:.3}{}", if irregular { "*" } else { "" }))
    }),
    ("min..max", |row| {
        let mpps = row.mpps(GoalResult::throughput_pps).filter(|summary| summary.count > 1)?;
        Some(format!("{}..{}", significant(mpps.min), significant(mpps.max)))
    }),
    ("Upper", |row| {
        let upper = row.mpps(|r| r.relevant_upper_bound.as_ref().map(|bound| bound.load_pps))?;
        Some(format!("{:.3}", upper.median))
    }),
    ("Uncertain", |row| {
        let from = row.mpps(|r| r.uncertainty_pps().map(|(from, _)| from))?.min;
        let to = row.mpps(|r| r.uncertainty_pps().map(|(_, to)| to))?.max;
        Some(format!("{}..{}", significant(from), significant(to)))
    }),
    ("Forwarded", |row| {
        let loses = row.results().any(|(_, result)| result.goal.loss_ratio > 0.0);
        let mpps = row.mpps(|r| r.conditional_throughput_pps).filter(|_| loses)?;
        Some(format!("{:.3}", mpps.median))
    }),
    ("L1 Gbps", |row| {
        let gbps =
            row.results().filter_map(|(record, r)| Some(record.rates(r.throughput_pps()?).rate_l1_gbps));
        Some(significant(Summary::of(gbps)?.median))
    }),
    ("Sent s", sent_s),
];

const MRR: &[Column] = &[
    ("Dataplane", |row| Some(row.first().dataplane.name.clone())),
    ("Frame", |row| Some(row.first().frame_size.label.clone())),
    ("Mpps", |row| row.headline().map(significant)),
    ("Std dev", |row| {
        let rates = row.records.iter().filter_map(|record| record.max_receive_rate.as_ref()?.std_dev_mpps);
        Some(significant(Summary::of(rates)?.median))
    }),
    ("L1 Gbps", |row| {
        let rates = row.records.iter().filter_map(|record| record.max_receive_rate.as_ref());
        Some(significant(Summary::of(rates.map(|rate| rate.mean.rate_l1_gbps))?.median))
    }),
    ("Sent s", sent_s),
];

const BURSTS: &[Column] = &[
    ("Dataplane", |row| Some(row.first().dataplane.name.clone())),
    ("Frame", |row| Some(row.first().frame_size.label.clone())),
    ("Frames", |row| {
        let bursts = row.records.iter().filter_map(|record| record.back_to_back.as_ref());
        Some(format!("{:.0}", Summary::of(bursts.map(|bursts| bursts.mean_frames))?.median))
    }),
    ("min..max", |row| {
        let bursts = row.records.iter().filter_map(|record| record.back_to_back.as_ref());
        let all = Summary::of(bursts.flat_map(|b| &b.bursts_frames).map(|&frames| frames as f64))?;
        Some(format!("{:.0}..{:.0}", all.min, all.max))
    }),
    ("Buffer µs", |row| {
        let bursts = row.records.iter().filter_map(|record| record.back_to_back.as_ref());
        Some(significant(Summary::of(bursts.map(|bursts| bursts.corrected_buffer_s))?.median * 1e6))
    }),
    ("Buffer frames", |row| {
        let bursts = row.records.iter().filter_map(|record| record.back_to_back.as_ref());
        Some(format!("{:.0}", Summary::of(bursts.map(|bursts| bursts.corrected_buffer_frames))?.median))
    }),
    ("Sent s", sent_s),
];

const SOAK: &[Column] = &[
    ("Dataplane", |row| Some(row.first().dataplane.name.clone())),
    ("Frame", |row| Some(row.first().frame_size.label.clone())),
    ("Mpps", |row| {
        let loads = soaks(row).filter_map(|(record, trial)| Some((record, trial.intended_load_pps?)));
        Some(format!("{:.3}", Summary::of(loads.map(|(r, load)| r.rates(load).rate_mpps))?.median))
    }),
    ("Length", |row| soaks(row).next().map(|(_, trial)| seconds(trial.intended_duration_s))),
    ("Sent %", |row| {
        let part = |trial: &SearchTrial| trial.offered_frames as f64 / trial.intended_frames.max(1) as f64;
        Some(percent(Summary::of(soaks(row).map(|(_, trial)| part(trial)))?.median))
    }),
    // Of what was sent: what was not is no loss of the system's.
    ("Loss %", |row| {
        Some(percent(Summary::of(soaks(row).map(|(_, trial)| trial.raw.accounting.loss_ratio()))?.median))
    }),
    ("Lost", |row| {
        let lost = |trial: &SearchTrial| trial.offered_frames.saturating_sub(trial.forwarded_frames) as f64;
        Some(format!("{:.0}", Summary::of(soaks(row).map(|(_, trial)| lost(trial)))?.median))
    }),
    ("Bad windows", |row| {
        let losses: Vec<(usize, usize)> =
            soaks(row).map(|(_, trial)| windows_with_loss(&trial.raw)).collect();
        let (bad, all) = losses.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (all > 0).then(|| format!("{bad} of {all}"))
    }),
];

fn sent_s(row: &Row<'_>) -> Option<String> {
    Some(significant(Summary::of(row.records.iter().map(|record| record.trial_time_s))?.median))
}

/// The long trial of each soak test.
fn soaks<'a>(row: &'a Row<'_>) -> impl Iterator<Item = (&'a SearchRecord, &'a SearchTrial)> {
    let trials =
        row.records.iter().flat_map(|record| record.trials.iter().map(move |trial| (*record, trial)));
    trials.filter(|(_, trial)| trial.purpose == TrialPurpose::Search)
}

/// Windows in which frames were lost, and all windows.
fn windows_with_loss(trial: &Trial) -> (usize, usize) {
    let lost = trial.lost_by_window();
    let grew = lost.iter().scan(0, |before, &now| Some(now > std::mem::replace(before, now)));
    (grew.filter(|grew| *grew).count(), lost.len())
}

fn table(document: &ResultDocument, group: &[&SearchRecord]) -> Searches {
    let rows = rows(document, group);
    let columns = match group[0].method {
        SearchMethod::Mlrsearch | SearchMethod::Binary => THROUGHPUT,
        SearchMethod::Mrr => MRR,
        SearchMethod::BackToBack => BURSTS,
        SearchMethod::Soak => SOAK,
    };
    let mut header = Vec::new();
    let mut cells: Vec<Vec<String>> = vec![Vec::new(); rows.len()];
    for (name, cell) in columns {
        let column: Vec<Option<String>> = rows.iter().map(cell).collect();
        if column.iter().all(Option::is_none) {
            continue;
        }
        header.push(*name);
        for (row, cell) in cells.iter_mut().zip(column) {
            row.push(cell.unwrap_or_else(|| "-".into()));
        }
    }
    if let Some(ratios) = ratios(document, &rows) {
        header.push("Ratio");
        for (row, ratio) in cells.iter_mut().zip(ratios) {
            row.push(ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}")));
        }
    }
    let round_trips = round_trips(&rows);
    Searches { title: title(group), header, rows: cells, notes: notes(group), round_trips }
}

/// Round trips after searches, once for each search, however many goals it had.
fn round_trips(rows: &[Row<'_>]) -> Option<load::Cells> {
    let of_first_goal =
        |row: &&Row<'_>| row.goal == row.first().results.first().map(|result| result.goal.name.as_str());
    let measured = rows.iter().filter(of_first_goal).map(|row| {
        let trials: Vec<&Trial> =
            row.records.iter().filter_map(|record| record.round_trips.as_ref()).collect();
        (row.first().dataplane.name.as_str(), row.first().frame_size.label.as_str(), trials)
    });
    load::round_trips_of(measured.filter(|(.., trials)| !trials.is_empty()))
}

/// Of each row to the first dataplane's of the same size and goal, where there are several dataplanes.
fn ratios(document: &ResultDocument, rows: &[Row<'_>]) -> Option<Vec<Option<f64>>> {
    let own = &rows.first()?.first().dataplane.name;
    let first = document.plan.dataplanes.first().unwrap_or(own);
    if rows.iter().all(|row| row.first().dataplane.name == *first) {
        return None;
    }
    let ratio = |row: &Row<'_>| {
        let same = |other: &&Row<'_>| {
            other.first().dataplane.name == *first
                && other.goal == row.goal
                && other.first().frame_size == row.first().frame_size
        };
        let ratio = row.headline()? / rows.iter().find(same)?.headline()?;
        ratio.is_finite().then_some(ratio)
    };
    Some(rows.iter().map(ratio).collect())
}

/// What is irregular or incomplete, each said once.
fn notes(group: &[&SearchRecord]) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for record in group {
        let of = format!("{}, {}", record.dataplane.name, record.frame_size.label);
        let irregular = record.results.iter().filter_map(|result| {
            Some(format!("* {} on {of}: {}", result.goal.name, result.irregular?.sentence()))
        });
        let limited = record.results.iter().filter(|result| result.sender_limited).map(|result| {
            format!("{} on {of}: the upper bound is the sender's own limit.", result.goal.name)
        });
        let endless = record
            .back_to_back
            .iter()
            .filter(|bursts| bursts.bursts_frames.contains(&bursts.longest_tried_frames));
        let endless = endless.map(|bursts| {
            format!(
                "{of}: bursts of {} frames, the longest tried, pass; no buffer's end was seen.",
                bursts.longest_tried_frames
            )
        });
        let ended = record.incomplete.iter().map(|why| format!("The search on {of} was ended: {why}."));
        for note in irregular.chain(limited).chain(endless).chain(ended) {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    notes
}

/// What the figures mean; nothing without searches.
pub(super) fn legend(document: &ResultDocument) -> Option<&'static str> {
    let throughput =
        |record: &SearchRecord| matches!(record.method, SearchMethod::Mlrsearch | SearchMethod::Binary);
    document.searches.iter().any(throughput).then_some(
        "Mpps of a goal is its relevant lower bound, all senders added up; Upper is the relevant upper bound. \
         Uncertain are the loads from the lowest at which a trial lost too much to the highest at which one did not. \
         Forwarded is the conditional throughput.",
    )
}
