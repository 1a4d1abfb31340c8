//! Which trials belong together, and the samples they give.

use super::Input;
use super::document::{Conditions, Metric, Side, Unit, Unmatched};
use crate::result::{FrameSize, Trial, Window};
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

/// The repetitions of one measurement.
struct Group<'a> {
    source: usize,
    conditions: Conditions,
    trials: Vec<&'a Trial>,
}

impl Group<'_> {
    fn dataplane(&self) -> &str {
        &self.trials[0].dataplane.name
    }

    fn frame_size(&self) -> &FrameSize {
        &self.trials[0].frame_size
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
        self.trials.iter().map(|trial| trial.repeat).collect()
    }

    fn side(&self, samples: Vec<f64>) -> Option<Side> {
        Some(Side {
            source: self.source,
            dataplane: self.dataplane().to_owned(),
            accelerator: self.trials[0].dataplane.accelerator,
            median: median(samples.iter().copied())?,
            samples,
        })
    }
}

fn groups(inputs: &[Input], source: usize) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for trial in &inputs[source].document.trials {
        let group = Group { source, conditions: Conditions::of(trial), trials: vec![trial] };
        let same =
            |known: &&mut Group<'_>| known.dataplane() == group.dataplane() && known.measures_as(&group);
        match groups.iter_mut().find(same) {
            Some(known) => known.trials.push(trial),
            None => groups.push(group),
        }
    }
    for group in &mut groups {
        group.trials.sort_by_key(|trial| trial.repeat);
    }
    groups.sort_by(|a, b| a.frame_size().mean_bytes().total_cmp(&b.frame_size().mean_bytes()));
    groups
}

/// Trials on the same dataplane in two documents.
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

/// Trials on other dataplanes than `reference` in one document.
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
    let single = old.trials.len() == 1 && new.trials.len() == 1;
    let batches = (single && metric == Metric::RateMpps)
        .then(|| Some((batches(&old.trials[0].windows)?, batches(&new.trials[0].windows)?)));
    let (unit, before, now) = match batches.flatten() {
        Some((before, now)) => (Unit::WindowBatch, before, now),
        None => (Unit::Repeat, samples(old, metric), samples(new, metric)),
    };
    // A repetition without the figure has no partner.
    let whole = before.len() == old.trials.len() && now.len() == new.trials.len();
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

fn samples(group: &Group<'_>, metric: Metric) -> Vec<f64> {
    let latency = |trial: &Trial| {
        let latency = trial.latency.as_ref()?;
        let ns = if metric == Metric::LatencyP50Us { latency.p50_ns } else { latency.p99_ns };
        Some(ns as f64 / 1e3)
    };
    let figure = |trial: &&Trial| match metric {
        Metric::RateMpps => Some(trial.throughput.aggregate.rate_mpps),
        Metric::LatencyP50Us | Metric::LatencyP99Us => latency(trial),
    };
    group.trials.iter().filter_map(figure).collect()
}

/// Batches a trial is cut into.
const BATCHES: usize = 10;
/// Windows of a batch, at least: one depends on the one before it most of all.
const BATCH_MIN: usize = 2;

/// The rates of as many batches of windows; `None` if there are too few for that.
fn batches(windows: &[Window]) -> Option<Vec<f64>> {
    if windows.len() < BATCHES * BATCH_MIN {
        return None;
    }
    let border = |i: usize| i * windows.len() / BATCHES;
    let rate = |i: usize| {
        let batch = &windows[border(i)..border(i + 1)];
        let frames: u64 = batch.iter().flat_map(|w| &w.ports).map(|port| port.rx_frames).sum();
        let ns: u64 = batch.iter().map(|w| w.end_ns.saturating_sub(w.start_ns)).sum();
        if ns == 0 { 0.0 } else { frames as f64 * 1e3 / ns as f64 }
    };
    Some((0..BATCHES).map(rate).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::WindowPort;

    #[test]
    fn batches_have_every_window_once() {
        let window = |i: u64| Window {
            start_ns: i * 1000,
            end_ns: (i + 1) * 1000,
            ports: vec![WindowPort { tx_frames: 9, rx_frames: i }],
        };
        let windows: Vec<Window> = (0..25).map(window).collect();
        let rates = batches(&windows).unwrap();
        assert_eq!(rates.len(), 10);
        // Two windows a batch and three a batch in turn, at so many frames a microsecond, which are Mpps.
        assert_eq!((rates[0], rates[1], rates[9]), (0.5, 3.0, 23.0));
        assert_eq!(batches(&windows[..19]), None);
    }
}
