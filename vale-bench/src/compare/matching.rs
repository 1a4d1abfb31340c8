//! Which trials and searches belong together, and the samples they give.

use super::Input;
use super::document::{Conditions, Metric, Side, Unit, Unmatched};
use crate::result::{Dataplane, Found, FrameSize, ResultDocument, SearchRecord, Trial};
use crate::stats::median;

/// Two sets of samples that may be compared.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) conditions: Conditions,
    pub(super) frame_size: FrameSize,
    pub(super) metric: Metric,
    pub(super) unit: Unit,
    pub(super) old: Side,
    pub(super) new: Side,
    /// Whether sample by sample both are of the same round of one run.
    pub(super) same_rounds: bool,
}

/// What was matched, and what was not.
#[derive(Debug, Default)]
pub(super) struct Matched {
    pub(super) pairs: Vec<Pair>,
    pub(super) unmatched: Vec<Unmatched>,
}

impl Matched {
    pub(super) fn append(&mut self, mut other: Matched) {
        self.pairs.append(&mut other.pairs);
        for lonely in other.unmatched {
            if !self.unmatched.contains(&lonely) {
                self.unmatched.push(lonely);
            }
        }
    }
}

/// One repetition of a measurement.
#[derive(Clone, Copy)]
enum Measured<'a> {
    Trial(&'a Trial),
    Search(&'a SearchRecord, Found<'a>),
}

impl<'a> Measured<'a> {
    /// All of a document, each with its conditions.
    fn all(document: &'a ResultDocument) -> impl Iterator<Item = (Conditions, Measured<'a>)> {
        let trials = document.trials.iter().map(|trial| (Conditions::of(trial), Measured::Trial(trial)));
        let searches = document.searches.iter().flat_map(|record| {
            let found = record.found().into_iter();
            found.filter_map(move |found| {
                Some((Conditions::of_search(record, &found)?, Measured::Search(record, found)))
            })
        });
        trials.chain(searches)
    }

    fn dataplane(&self) -> &'a Dataplane {
        match self {
            Measured::Trial(trial) => &trial.dataplane,
            Measured::Search(record, _) => &record.dataplane,
        }
    }

    fn frame_size(&self) -> &'a FrameSize {
        match self {
            Measured::Trial(trial) => &trial.frame_size,
            Measured::Search(record, _) => &record.frame_size,
        }
    }

    fn repeat(&self) -> u32 {
        match self {
            Measured::Trial(trial) => trial.repeat,
            Measured::Search(record, _) => record.repeat,
        }
    }

    fn is_sender_limited(&self) -> bool {
        matches!(self, Measured::Search(_, Found { sender_limited: true, .. }))
    }

    /// A trial, whose windows say what it measured; a search has none that do.
    fn trial(&self) -> Option<&'a Trial> {
        match self {
            Measured::Trial(trial) => Some(trial),
            Measured::Search(..) => None,
        }
    }

    fn figure(&self, metric: Metric) -> Option<f64> {
        let latency = |ns: fn(&crate::result::Latency) -> u64| match self {
            Measured::Trial(trial) => trial.latency.as_ref().map(|latency| ns(latency) as f64 / 1e3),
            Measured::Search(..) => None,
        };
        match (metric, self) {
            (Metric::RateMpps, Measured::Trial(trial)) => Some(trial.throughput.aggregate.rate_mpps),
            (Metric::RateMpps, Measured::Search(_, found)) => Some(found.rate_mpps),
            (Metric::LatencyP50Us, _) => latency(|latency| latency.p50_ns),
            (Metric::LatencyP99Us, _) => latency(|latency| latency.p99_ns),
        }
    }
}

/// Every dataplane of a document by name, in the order in which they were first measured.
pub(super) fn dataplanes(document: &ResultDocument) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for (_, measured) in Measured::all(document) {
        if !names.contains(&measured.dataplane().name.as_str()) {
            names.push(&measured.dataplane().name);
        }
    }
    names
}

/// The repetitions of one measurement, at least one.
struct Group<'a> {
    source: usize,
    conditions: Conditions,
    repeats: Vec<Measured<'a>>,
}

impl<'a> Group<'a> {
    fn dataplane(&self) -> &'a str {
        &self.repeats[0].dataplane().name
    }

    fn frame_size(&self) -> &'a FrameSize {
        self.repeats[0].frame_size()
    }

    /// Whether both measured the same, on whatever.
    fn measures_as(&self, other: &Group<'_>) -> bool {
        // The label of a size is how it was typed.
        self.conditions == other.conditions && self.frame_size().sizes_bytes == other.frame_size().sizes_bytes
    }

    fn unmatched(&self) -> Unmatched {
        Unmatched {
            source: self.source,
            conditions: self.conditions.clone(),
            frame_size: self.frame_size().label.clone(),
            dataplane: self.dataplane().to_owned(),
        }
    }

    fn repeats(&self) -> Vec<u32> {
        self.repeats.iter().map(Measured::repeat).collect()
    }

    fn samples(&self, metric: Metric) -> Vec<f64> {
        self.repeats.iter().filter_map(|repeat| repeat.figure(metric)).collect()
    }

    fn side(&self, samples: Vec<f64>) -> Option<Side> {
        Some(Side {
            source: self.source,
            dataplane: self.dataplane().to_owned(),
            accelerator: self.repeats[0].dataplane().accelerator,
            median: median(samples.iter().copied())?,
            samples,
            sender_limited: self.repeats.iter().filter(|repeat| repeat.is_sender_limited()).count() as u32,
        })
    }
}

fn groups(inputs: &[Input], source: usize) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (conditions, measured) in Measured::all(&inputs[source].document) {
        let group = Group { source, conditions, repeats: vec![measured] };
        let same =
            |known: &&mut Group<'_>| known.dataplane() == group.dataplane() && known.measures_as(&group);
        match groups.iter_mut().find(same) {
            Some(known) => known.repeats.push(measured),
            None => groups.push(group),
        }
    }
    for group in &mut groups {
        group.repeats.sort_by_key(Measured::repeat);
    }
    groups.sort_by(|a, b| a.frame_size().mean_bytes().total_cmp(&b.frame_size().mean_bytes()));
    groups
}

/// Trials and searches on the same dataplane in two documents.
pub(super) fn between_documents(inputs: &[Input], old: usize, new: usize, latency: bool) -> Matched {
    let (before, now) = (groups(inputs, old), groups(inputs, new));
    let same = |a: &Group<'_>, b: &Group<'_>| a.dataplane() == b.dataplane() && a.measures_as(b);
    let mut matched = Matched::default();
    for group in &before {
        match now.iter().find(|other| same(group, other)) {
            Some(other) => matched.pairs.extend(pairs(group, other, latency)),
            None => matched.unmatched.push(group.unmatched()),
        }
    }
    let lonely = now.iter().filter(|group| !before.iter().any(|other| same(group, other)));
    matched.unmatched.extend(lonely.map(Group::unmatched));
    matched
}

/// Trials and searches on other dataplanes than `reference` in one document.
pub(super) fn between_dataplanes(inputs: &[Input], source: usize, reference: &str, latency: bool) -> Matched {
    let groups = groups(inputs, source);
    let mut matched = Matched::default();
    for group in groups.iter().filter(|group| group.dataplane() != reference) {
        match groups.iter().find(|other| other.dataplane() == reference && other.measures_as(group)) {
            Some(other) => matched.pairs.extend(pairs(other, group, latency)),
            None => matched.unmatched.push(group.unmatched()),
        }
    }
    matched
}

/// What can be compared between two groups.
fn pairs(old: &Group<'_>, new: &Group<'_>, latency: bool) -> Vec<Pair> {
    let latencies: &[Metric] = if latency { &[Metric::LatencyP50Us, Metric::LatencyP99Us] } else { &[] };
    let metrics = [Metric::RateMpps].iter().chain(latencies).copied();
    metrics.filter_map(|metric| pair(old, new, metric)).collect()
}

fn pair(old: &Group<'_>, new: &Group<'_>, metric: Metric) -> Option<Pair> {
    let single = old.repeats.len() == 1 && new.repeats.len() == 1;
    let batches = (single && metric == Metric::RateMpps)
        .then(|| Some((batches(old.repeats[0].trial()?)?, batches(new.repeats[0].trial()?)?)));
    let (unit, before, now) = match batches.flatten() {
        Some((before, now)) => (Unit::WindowBatch, before, now),
        None => (Unit::Repeat, old.samples(metric), new.samples(metric)),
    };
    // A repetition without the figure has no partner.
    let whole = before.len() == old.repeats.len() && now.len() == new.repeats.len();
    Some(Pair {
        conditions: old.conditions.clone(),
        frame_size: old.frame_size().clone(),
        metric,
        unit,
        same_rounds: unit == Unit::Repeat
            && whole
            && old.source == new.source
            && old.repeats() == new.repeats()
            && old.repeats().windows(2).all(|pair| pair[0] < pair[1]),
        old: old.side(before)?,
        new: new.side(now)?,
    })
}

/// Batches a trial is cut into.
const BATCHES: usize = 10;
/// Windows of a batch, at least: one depends on the one before it most of all.
const BATCH_MIN: usize = 2;

/// The rates of as many batches of windows; `None` if there are too few for that.
fn batches(trial: &Trial) -> Option<Vec<f64>> {
    let windows = &trial.windows;
    if windows.len() < BATCHES * BATCH_MIN {
        return None;
    }
    let border = |i: usize| i * windows.len() / BATCHES;
    let rate = |i: usize| {
        let batch = &windows[border(i)..border(i + 1)];
        let frames: u64 = batch.iter().map(|window| trial.received_in(window)).sum();
        let ns: u64 = batch.iter().map(|w| w.end_ns.saturating_sub(w.start_ns)).sum();
        if ns == 0 { 0.0 } else { frames as f64 * 1e3 / ns as f64 }
    };
    Some((0..BATCHES).map(rate).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::trial;
    use crate::result::{Window, WindowPort};

    #[test]
    fn batches_have_every_window_once() {
        let window = |i: u64| Window {
            start_ns: i * 1000,
            end_ns: (i + 1) * 1000,
            ports: vec![WindowPort { tx_frames: 9, rx_frames: i }],
        };
        let mut one = trial("uvale", 64, 1, 0, 0);
        one.windows = (0..25).map(window).collect();
        let rates = batches(&one).unwrap();
        assert_eq!(rates.len(), 10);
        // Two windows a batch and three a batch in turn, at so many frames a microsecond, which are Mpps.
        assert_eq!((rates[0], rates[1], rates[9]), (0.5, 3.0, 23.0));
        one.windows.truncate(19);
        assert_eq!(batches(&one), None);
    }
}
