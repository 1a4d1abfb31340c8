//! Searches on labs: has the trials made that a search asks for, and keeps every one of them.
//!
//! Searches on several labs take turns, trial by trial ([`in_turns`]). A search lasts a minute or an hour, and a
//! machine's speed drifts in that time; in turns all meet the same drift, so that their ratio holds, though each search
//! alone takes longer and so meets more of it. What drift does to a single search is in its record: loads at which
//! trials contradict each other. A run has one lab up at a time (`run`'s session says why), so there the searches of
//! each round follow each other, in an order drawn by lot.
//!
//! Before a search each sender sends as much as it can: that warms up what is tested, and tells which loads to search
//! in. Frames that a sender was too slow to send count as lost, as RFC 9971 advises, so that a search always ends at a
//! load that was really offered; results that are the sender's limit say so.
//!
//! Deliberately absent: how a search chooses loads (`search`), and how a trial is made (`trial`).

mod bursts;
mod judge;
mod keep;
mod round_trips;

use std::time::{Duration, Instant};

pub use round_trips::AT_FOUND;

use pktgen::spec::Rate;

use crate::dataplane::Lab;
use crate::exit::Fail;
use crate::goals::Method;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::result::{
    GoalResult, MaxReceiveRate, Rates, SearchMethod, SearchRecord, SearchTrial, Trial, TrialPurpose,
};
use crate::search::{self, Attempt, Controller, LoadRange, Outcome};
use crate::stats::Summary;
use crate::trial::{self, TrialSpec};

/// What to search for, and in what.
#[derive(Debug, Clone)]
pub struct SearchSpec {
    /// What to look for.
    pub method: Method,
    /// Trials are like this one but for their load and duration; its warm-up is that of the search, its round trips
    /// come last.
    pub trial: TrialSpec,
    /// Largest load of each sender, if it is given.
    pub max_load: Option<Rate>,
    /// Smallest.
    pub min_load: Option<Rate>,
    /// No trial begins later than this after the first.
    pub timeout: Duration,
    /// Load and duration of a soak test.
    pub soak: (SoakLoad, Duration),
    /// How often the longest burst is looked for.
    pub bursts: u32,
    /// What progress calls it, as in `p2p uvale 64 B uni`.
    pub label: String,
}

/// The load of a soak test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SoakLoad {
    /// This.
    Rate(Rate),
    /// This part of the throughput found before.
    Part(f64),
}

/// How long senders show what they can.
const SHOW: Duration = Duration::from_millis(500);
/// How much more than the senders showed may be asked of them: machines drift, and what is too much is found out.
const HEADROOM: f64 = 1.2;
/// The smallest load, as a part of the largest.
const MIN_PART: f64 = 1e-3;
/// Trials whose rates make up the maximum receive rate, and how long each is.
const MRR_TRIALS: u32 = 10;
const MRR_TRIAL: Duration = Duration::from_secs(1);
/// A sender this far behind its schedule at the end of a trial was not too slow: it may just have been about to send.
const BEHIND: f64 = 1e-3;

/// One search under way on one lab.
struct Running<'a> {
    lab: &'a mut Lab,
    spec: &'a SearchSpec,
    record: SearchRecord,
    began: Instant,
    /// How far it has come.
    state: State,
}

enum State {
    Throughput(Box<dyn Controller>),
    Mrr { left: u32 },
    Soak { load: Option<f64> },
    Bursts(bursts::Bursts),
    Done,
}

/// Makes one search on each lab, in turns, trial by trial. `done` gets each record when its search has ended, whether
/// by itself, by its timeout, by a failure or by an interrupt; `before` are the records of searches made earlier.
pub fn in_turns(
    labs: &mut [Lab],
    specs: &[SearchSpec],
    before: &[SearchRecord],
    interrupt: &Interrupt,
    progress: &Progress,
    done: &mut dyn FnMut(SearchRecord) -> Result<(), Fail>,
) -> Result<(), Fail> {
    let mut running: Vec<Running<'_>> = Vec::new();
    for (lab, spec) in labs.iter_mut().zip(specs) {
        running.push(Running::begin(lab, spec, before, interrupt, progress)?);
    }
    while !running.is_empty() {
        let mut index = 0;
        while index < running.len() {
            match running[index].step(interrupt, progress) {
                Ok(true) => index += 1,
                Ok(false) => match running[index].round_trips(interrupt, progress) {
                    Ok(()) => done(running.remove(index).finish(progress))?,
                    Err(fail) => return Err(give_up(running, fail, progress, done)),
                },
                Err(fail) => return Err(give_up(running, fail, progress, done)),
            }
        }
    }
    Ok(())
}

/// Keeps what there is of searches that cannot go on, and returns why.
fn give_up(
    running: Vec<Running<'_>>,
    fail: Fail,
    progress: &Progress,
    done: &mut dyn FnMut(SearchRecord) -> Result<(), Fail>,
) -> Fail {
    for mut search in running {
        search.record.incomplete = Some(fail.to_string());
        if let Err(worse) = done(search.finish(progress)) {
            return worse;
        }
    }
    fail
}

/// Makes one search on one lab.
pub fn one(
    lab: &mut Lab,
    spec: &SearchSpec,
    before: &[SearchRecord],
    interrupt: &Interrupt,
    progress: &Progress,
) -> Result<SearchRecord, Fail> {
    let mut record = None;
    let keep = &mut |found| {
        record = Some(found);
        Ok(())
    };
    in_turns(std::slice::from_mut(lab), std::slice::from_ref(spec), before, interrupt, progress, keep)?;
    record.ok_or_else(|| Fail::failed(anyhow::anyhow!("{}: the search left no record", spec.label)))
}

impl<'a> Running<'a> {
    fn begin(
        lab: &'a mut Lab,
        spec: &'a SearchSpec,
        before: &[SearchRecord],
        interrupt: &Interrupt,
        progress: &Progress,
    ) -> Result<Running<'a>, Fail> {
        let record = keep::empty(lab, spec);
        let mut running = Running { lab, spec, record, began: Instant::now(), state: State::Done };
        let trial =
            running.trial(Rate::Max, SHOW, spec.trial.warmup, TrialPurpose::WarmUp, interrupt, progress)?;
        let sender_max_pps = sent_pps(&trial) / f64::from(running.record.senders);
        if sender_max_pps < 1.0 {
            return Err(Fail::failed(anyhow::anyhow!("{}: the sender sent nothing", spec.label)));
        }
        let received = trial.throughput.aggregate;
        progress.println(&format!(
            "{}: up to {} sent, {:.3} Mpps received",
            spec.label,
            judge::mpps(sender_max_pps, running.record.senders),
            received.rate_mpps
        ));
        let record = &mut running.record;
        record.sender_max_pps = sender_max_pps;
        let pps = |rate: Rate| rate.pps(record.frame_size.mean_bytes());
        let most = (sender_max_pps * HEADROOM).min(*pktgen::pace::PPS.end());
        record.max_load_pps = spec.max_load.map_or(most, pps);
        record.min_load_pps = spec.min_load.map_or((record.max_load_pps * MIN_PART).max(1.0), pps);
        let range = LoadRange { min_pps: record.min_load_pps, max_pps: record.max_load_pps };
        if !range.is_sound() {
            return Err(Fail::usage(format!(
                "there are no loads between --min-load ({:.0} frames/s) and the largest ({:.0} frames/s)",
                range.min_pps, range.max_pps
            )));
        }
        let usage = |error: search::GoalError| Fail::usage(error.to_string());
        running.state = match &spec.method {
            Method::Mlrsearch(goals) => {
                State::Throughput(Box::new(search::mlr::Search::new(goals, range).map_err(usage)?))
            }
            Method::Binary(goal) => {
                State::Throughput(Box::new(search::binary::Search::new(goal, range).map_err(usage)?))
            }
            Method::Mrr => State::Mrr { left: MRR_TRIALS },
            Method::Soak => State::Soak { load: running.soak_load(before) },
            Method::BackToBack => State::Bursts(bursts::Bursts::new(
                spec.bursts,
                sender_max_pps,
                received.rate_mpps * 1e6 / f64::from(running.record.senders),
            )),
        };
        Ok(running)
    }

    /// The load of a soak test: as told, or a part of the last throughput found under the same circumstances.
    fn soak_load(&self, before: &[SearchRecord]) -> Option<f64> {
        match self.spec.soak.0 {
            SoakLoad::Rate(rate) => Some(rate.pps(self.record.frame_size.mean_bytes())),
            SoakLoad::Part(part) => {
                let alike = before.iter().rev().filter(|record| keep::alike(record, &self.record));
                let found =
                    alike.flat_map(|record| record.results.first()).find_map(GoalResult::throughput_pps);
                found.map(|found| found * part)
            }
        }
    }

    /// Makes one trial more. False: nothing is left to do.
    fn step(&mut self, interrupt: &Interrupt, progress: &Progress) -> Result<bool, Fail> {
        if self.began.elapsed() > self.spec.timeout {
            self.record.incomplete = Some("it was not done when --search-timeout was over".into());
            return Ok(false);
        }
        let mut state = std::mem::replace(&mut self.state, State::Done);
        let more = match &mut state {
            State::Throughput(controller) => match controller.next() {
                None => false,
                Some(attempt) => {
                    let trial = self.attempt(attempt, interrupt, progress)?;
                    controller.record(trial);
                    self.record.results =
                        controller.results().iter().map(|r| keep::result(r, &self.record.trials)).collect();
                    self.tell(controller.as_ref(), progress);
                    true
                }
            },
            State::Mrr { left } => {
                let rate = self.spec.max_load.unwrap_or(Rate::Max);
                let trial =
                    self.trial(rate, MRR_TRIAL, Duration::ZERO, TrialPurpose::Search, interrupt, progress)?;
                let received = trial.throughput.aggregate.rate_mpps;
                progress.println(&format!("{}: {received:.3} Mpps received", self.spec.label));
                *left -= 1;
                *left > 0
            }
            State::Soak { load } => {
                let Some(load_pps) = *load else {
                    self.record.incomplete =
                        Some("no throughput was found before it to take a part of".into());
                    return Ok(false);
                };
                let attempt = Attempt { load_pps, duration_s: self.spec.soak.1.as_secs_f64() };
                self.attempt(attempt, interrupt, progress)?;
                self.record.max_load_pps = self.record.max_load_pps.max(load_pps);
                let lost = self.record.trials.last().map_or(0.0, |trial| trial.raw.accounting.loss_ratio());
                progress.println(&format!(
                    "{}: {} for {} s, {} lost",
                    self.spec.label,
                    judge::mpps(load_pps, self.record.senders),
                    attempt.duration_s,
                    judge::percent(lost)
                ));
                false
            }
            State::Bursts(bursts) => {
                bursts.step(self.lab, &self.spec.trial, interrupt, progress, &self.spec.label)?
            }
            State::Done => false,
        };
        self.state = state;
        Ok(more)
    }

    /// A trial that a search asked for.
    fn attempt(
        &mut self,
        attempt: Attempt,
        interrupt: &Interrupt,
        progress: &Progress,
    ) -> Result<Outcome, Fail> {
        let duration = Duration::from_secs_f64(attempt.duration_s);
        let rate = Rate::Pps(attempt.load_pps);
        self.trial(rate, duration, Duration::ZERO, TrialPurpose::Search, interrupt, progress)?;
        let trial = self.record.trials.last().expect("the trial just made");
        Ok(Outcome {
            intended_frames: trial.intended_frames,
            forwarded_frames: trial.forwarded_frames,
            effective_s: attempt.duration_s,
        })
    }

    /// Makes a trial and keeps it.
    fn trial(
        &mut self,
        rate: Rate,
        duration: Duration,
        warmup: Duration,
        purpose: TrialPurpose,
        interrupt: &Interrupt,
        progress: &Progress,
    ) -> Result<Trial, Fail> {
        let template = &self.spec.trial;
        let order = self.record.trials.len() as u32 + 1;
        let window = template.window.min(duration);
        let spec = TrialSpec { rate, duration, warmup, window, latency: None, order, ..template.clone() };
        let start_s = self.began.elapsed().as_secs_f64();
        // One line a trial, when it is over; its stages are of no interest.
        let raw = self.lab.awake(|lab| trial::run(lab, &spec, interrupt, &Progress::quiet()))?;
        for fault in self.lab.switch.faults() {
            progress.println(&fault);
        }
        let load_pps = match rate {
            Rate::Max => None,
            rate => Some(rate.pps(self.record.frame_size.mean_bytes())),
        };
        let intended_frames = intended(&raw, load_pps, self.record.senders);
        let forwarded_frames = raw.accounting.received.min(intended_frames);
        let outcome = Outcome { intended_frames, forwarded_frames, effective_s: duration.as_secs_f64() };
        self.record.trial_time_s += (duration + warmup).as_secs_f64();
        self.record.trials.push(SearchTrial {
            purpose,
            intended_load_pps: load_pps,
            intended_duration_s: duration.as_secs_f64(),
            intended_frames,
            offered_frames: raw.accounting.sent,
            forwarded_frames,
            loss_ratio: outcome.loss_ratio(),
            start_s,
            raw: raw.clone(),
        });
        Ok(raw)
    }

    /// A line about the trial just made, where the search stands, and when it will be over.
    fn tell(&self, controller: &dyn Controller, progress: &Progress) {
        let Some(trial) = self.record.trials.last() else { return };
        let senders = self.record.senders;
        let load = trial.intended_load_pps.map_or_else(String::new, |load| judge::mpps(load, senders));
        let bounds = self.record.results.iter().map(|result| judge::bounds(result, senders));
        // Trials take longer than they send; how much longer is known by now.
        let overhead = self.began.elapsed().as_secs_f64() / self.record.trial_time_s.max(1e-9);
        let left_s = controller.remaining_s() * overhead;
        let left = if left_s > 0.0 { format!("; about {left_s:.0} s to go") } else { String::new() };
        progress.println(&format!(
            "{}: {load} for {:.1} s, {} lost; {}{left}",
            self.spec.label,
            trial.intended_duration_s,
            judge::percent(trial.loss_ratio),
            bounds.collect::<Vec<_>>().join(", ")
        ));
    }

    fn finish(mut self, progress: &Progress) -> SearchRecord {
        let record = &mut self.record;
        record.elapsed_s = self.began.elapsed().as_secs_f64();
        if record.method == SearchMethod::Mrr {
            record.max_receive_rate = max_receive_rate(&record.trials);
        }
        if let State::Bursts(bursts) = &self.state {
            record.back_to_back = bursts.found();
            record.trial_time_s += bursts.spent_s();
        }
        record.warnings = judge::warnings(record);
        progress.done(&format!("{} in {:.0} s", judge::summary(record), record.elapsed_s));
        self.record
    }
}

/// Frames a second that all senders together sent in the measured part.
fn sent_pps(trial: &Trial) -> f64 {
    let frames: u64 = trial.windows.iter().map(|window| trial.sent_in(window)).sum();
    let elapsed_ns = trial.windows.last().map_or(0, |window| window.end_ns);
    if elapsed_ns == 0 { 0.0 } else { frames as f64 * 1e9 / elapsed_ns as f64 }
}

/// Frames that should have arrived: those that were sent, and those that senders were too slow to send.
fn intended(trial: &Trial, load_pps: Option<f64>, senders: u32) -> u64 {
    let sent = trial.accounting.sent;
    let Some(load_pps) = load_pps else { return sent };
    let load_pps = load_pps * f64::from(senders);
    let tx = trial.ports.iter().filter_map(|port| port.roles.tx.as_ref()).filter(|tx| tx.elapsed_ns > 0);
    let reported_pps: f64 = tx.map(|tx| tx.sent_frames as f64 * 1e9 / tx.elapsed_ns as f64).sum();
    // By the host's windows and by the senders' own time: whoever reads the counters may be kept from it too.
    let part = sent_pps(trial).max(reported_pps) / load_pps;
    if part >= 1.0 - BEHIND {
        return sent;
    }
    if part > 0.0 { (sent as f64 / part).round() as u64 } else { (load_pps * trial.duration_s) as u64 }
}

/// The mean of what was received at the largest load.
fn max_receive_rate(trials: &[SearchTrial]) -> Option<MaxReceiveRate> {
    let rates = trials.iter().filter(|trial| trial.purpose == TrialPurpose::Search);
    let rates: Vec<Rates> = rates.map(|trial| trial.raw.throughput.aggregate).collect();
    let summary = |figure: fn(&Rates) -> f64| Summary::of(rates.iter().map(figure));
    let mpps = summary(|rates| rates.rate_mpps)?;
    Some(MaxReceiveRate {
        mean: Rates {
            rate_mpps: mpps.mean,
            rate_l2_gbps: summary(|rates| rates.rate_l2_gbps)?.mean,
            rate_l1_gbps: summary(|rates| rates.rate_l1_gbps)?.mean,
        },
        std_dev_mpps: mpps.std_dev,
    })
}
