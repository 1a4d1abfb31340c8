//! The trials of a run, round by round.
//!
//! **One arm at a time.** A booted lab costs processor time and memory even when nothing is sent: kernels tick, poll
//! mode drivers poll. Of five dataplanes on two processors four would share in every measurement of the fifth. So
//! where there are several arms, each is brought up for its trials of a round and ended before the next. That also
//! makes every repetition a start of its own, and starts differ more than minutes do: guests' memory lies elsewhere,
//! threads land elsewhere. A single arm stays up, unless each round is to have a fresh start.
//!
//! **What goes wrong with one arm is its own affair.** What this host cannot run is listed, with the reason, and the
//! rest runs. An arm that fails loses what was left of its round, is tried again in the next, and is given up when it
//! fails twice in a row. With a single arm there is no rest, and what went wrong ends the run.

use super::arm::{Arm, Cell, label};
use super::estimate::{Estimate, about};
use super::searches;
use crate::cli::{BenchArgs, GuestArgs};
use crate::commands::Output;
use crate::compare::differences::differing_guests;
use crate::dataplane::{self, Lab, Setting};
use crate::doctor::Facts;
use crate::exit::{Exit, Fail, FailContext};
use crate::goals::Method;
use crate::guests::GuestHost;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::result::{Accelerator, Direction, Failed, Manifest, ResultDocument, Skipped, Trial, Warning};
use crate::rundir::RunDir;
use crate::searching;
use crate::stats::Random;
use crate::trial::{self, LatencyPlan, TrialSpec};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Most frames a batch.
pub(super) const BURST: u32 = 512;
/// How long round trips are measured: as long as the throughput, but not longer than this.
pub(super) const LATENCY_MAX: Duration = Duration::from_secs(5);
/// An arm that fails so often in a row is given up.
const STRIKES: u32 = 2;
/// What takes less than this is not worth a word about how much is left.
const SHORT: Duration = Duration::from_secs(60);

/// Why a round of an arm ended early.
enum Stop {
    /// The arm failed.
    Arm(Fail),
    /// The run cannot go on.
    Run(Fail),
}

/// An arm in the run.
struct Slot {
    arm: Arm,
    /// Failures since it last did what it should.
    strikes: u32,
    /// Whether it takes no more part.
    out: bool,
    /// Whether the manifest has its guests.
    described: bool,
}

/// A run under way.
pub(super) struct Session<'a> {
    slots: Vec<Slot>,
    guests: Option<&'a GuestArgs>,
    document: &'a mut ResultDocument,
    output: &'a Output,
    run_dir: &'a RunDir,
    interrupt: &'a Interrupt,
    progress: &'a Progress,
    /// What guests run on, found when the first are needed.
    host: Option<GuestHost>,
    facts: Option<Facts>,
    estimate: Estimate,
    /// The lab of a single arm, which stays up.
    up: Option<Lab>,
    /// Labs that were brought up.
    labs: u32,
    /// Where the last of them has its files.
    lab_dir: Option<RunDir>,
    failures: Vec<String>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        arms: Vec<Arm>,
        guests: Option<&'a GuestArgs>,
        document: &'a mut ResultDocument,
        output: &'a Output,
        run_dir: &'a RunDir,
        interrupt: &'a Interrupt,
        progress: &'a Progress,
    ) -> Session<'a> {
        // What was ended before it knew enough is searched for again.
        document.searches.retain(|record| record.incomplete.is_none());
        let slot = |arm| Slot { arm, strikes: 0, out: false, described: false };
        Session {
            slots: arms.into_iter().map(slot).collect(),
            guests,
            document,
            output,
            run_dir,
            interrupt,
            progress,
            host: None,
            facts: None,
            estimate: Estimate::default(),
            up: None,
            labs: 0,
            lab_dir: None,
            failures: Vec::new(),
        }
    }

    /// Makes every trial that the document does not have yet.
    pub(super) fn measure(&mut self) -> Result<(), Fail> {
        self.progress.skip(self.made());
        self.say_how_long();
        let measured = self.rounds();
        let ended = self.up.take().map_or(Ok(()), |mut lab| lab.shut_down());
        measured.and(ended)?;
        self.verdict()
    }

    /// Whether anything came up, now or in a run that this one goes on with.
    pub(super) fn began(&self) -> bool {
        self.made() > 0 || self.slots.iter().any(|slot| slot.described)
    }

    /// Trials and searches that are in the document.
    fn made(&self) -> u32 {
        (self.document.trials.len() + self.document.searches.len()) as u32
    }

    fn alone(&self) -> bool {
        self.slots.len() == 1
    }

    fn rounds(&mut self) -> Result<(), Fail> {
        let rounds = self.slots.iter().map(|slot| slot.arm.rounds()).max().unwrap_or(0);
        for repeat in 1..=rounds {
            // Drawn anew for each round, from the seed and the round alone, so that a run that is taken up again goes
            // on in the same order.
            let seed = self.document.plan.seed.unwrap_or(0);
            let mut random = Random::new(seed ^ (u64::from(repeat) << 32));
            let mut order: Vec<usize> = (0..self.slots.len()).collect();
            random.shuffle(&mut order);
            for index in order {
                let mut cells = self.slots[index].arm.cells.clone();
                random.shuffle(&mut cells);
                cells.retain(|cell| self.misses(index, cell, repeat));
                if cells.is_empty() || self.slots[index].out {
                    continue;
                }
                match self.round(index, &cells, repeat) {
                    Ok(()) => self.slots[index].strikes = 0,
                    Err(Stop::Run(fail)) => return Err(fail),
                    Err(Stop::Arm(fail)) if fail.is_interrupt() || self.alone() => return Err(fail),
                    Err(Stop::Arm(fail)) => self.note(index, repeat, &fail)?,
                }
            }
        }
        Ok(())
    }

    /// Whether something of this cell is still to be done in a round, by this run or the one it goes on with.
    fn misses(&self, index: usize, cell: &Cell, repeat: u32) -> bool {
        let missing = match cell.methods.is_empty() {
            true => !self.has(index, cell, repeat),
            false => cell.methods.iter().any(|method| !self.has_search(index, cell, method, repeat)),
        };
        repeat <= cell.bench.repeat && missing
    }

    fn has(&self, index: usize, cell: &Cell, repeat: u32) -> bool {
        let arm = &self.slots[index].arm;
        self.document.trials.iter().any(|trial| {
            trial.scenario == arm.topology.scenario
                && trial.dataplane.name == arm.plane.name()
                && trial.vms == arm.topology.vms() as u32
                && trial.ports.len() == arm.topology.ports()
                && cell.is(trial, repeat)
        })
    }

    fn has_search(&self, index: usize, cell: &Cell, method: &Method, repeat: u32) -> bool {
        let arm = &self.slots[index].arm;
        let senders: BTreeSet<usize> =
            arm.topology.flows(cell.bench.bidir).iter().map(|flow| flow.from).collect();
        let senders = senders.len() as u32;
        self.document.searches.iter().any(|record| {
            record.scenario == arm.topology.scenario
                && record.dataplane.name == arm.plane.name()
                && record.vms == arm.topology.vms() as u32
                && record.senders == senders
                && cell.is_search(record, method, repeat)
        })
    }

    /// Keeps what is wrong with an arm, and lets it out if it is not worth another try.
    fn note(&mut self, index: usize, repeat: u32, fail: &Fail) -> Result<(), Fail> {
        // A lab that was torn down by the same Ctrl-C has not failed.
        self.interrupt.check()?;
        let slot = &mut self.slots[index];
        let (scenario, dataplane) = (slot.arm.topology.scenario.to_owned(), slot.arm.plane.name().to_owned());
        let name = slot.arm.name();
        let reason = fail.to_string();
        // What a host lacks it lacks from the start; afterwards it is a failure like any other.
        let lacks = matches!(fail.exit(), Exit::Host | Exit::Usage) && !slot.described;
        if lacks {
            slot.out = true;
            self.progress.println(&format!("{name} is left out: {reason}"));
            let skipped = Skipped { scenario, dataplane, reason };
            if !self.document.skipped.contains(&skipped) {
                self.document.skipped.push(skipped);
            }
        } else {
            slot.strikes += 1;
            slot.out = slot.strikes >= STRIKES;
            let given_up = if slot.out { "; it is given up" } else { "" };
            self.progress.println(&format!("{name} failed in round {repeat}{given_up}: {reason}"));
            if !self.failures.contains(&name) {
                self.failures.push(name);
            }
            self.document.failed.push(Failed { scenario, dataplane, repeat, reason });
        }
        if self.began() { self.output.keep(self.document) } else { Ok(()) }
    }

    /// What all of it comes to.
    fn verdict(&self) -> Result<(), Fail> {
        if !self.failures.is_empty() {
            let sentence = format!("failed: {}", self.failures.join(", "));
            return Err(Fail::failed(anyhow::anyhow!(sentence)));
        }
        if self.slots.iter().all(|slot| slot.out) {
            let reasons = self.document.skipped.iter().map(|skipped| skipped.reason.as_str());
            return Err(Fail::host(format!(
                "nothing can run here: {}",
                reasons.collect::<Vec<_>>().join("; ")
            )));
        }
        Ok(())
    }

    /// The trials of one arm in one round.
    fn round(&mut self, index: usize, cells: &[Cell], repeat: u32) -> Result<(), Stop> {
        let began = Instant::now();
        let mut lab = match self.up.take() {
            Some(lab) => lab,
            None => {
                self.find_host(index)?;
                let lab = self.bring_up(index).map_err(Stop::Arm)?;
                self.describe(index, &lab)?;
                lab
            }
        };
        let took = began.elapsed();
        let measured = cells.iter().try_for_each(|cell| match cell.methods.is_empty() {
            true => self.trial(&mut lab, index, cell, repeat),
            false => self.searches(&mut lab, index, cell, repeat),
        });
        if self.alone() && !self.slots[index].arm.bench.fresh && measured.is_ok() {
            self.up = Some(lab);
            return Ok(());
        }
        let began = Instant::now();
        let ended = lab.shut_down().map_err(Stop::Arm);
        drop(lab);
        self.estimate.brought_up(&self.slots[index].arm, took + began.elapsed());
        measured.and(ended)
    }

    fn trial(&mut self, lab: &mut Lab, index: usize, cell: &Cell, repeat: u32) -> Result<(), Stop> {
        let arm = &self.slots[index].arm;
        let bench = &cell.bench;
        self.progress.trial(label(arm, cell));
        let spec = TrialSpec {
            scenario: arm.topology.scenario,
            flows: arm.topology.flows(bench.direction() == Direction::Bidi),
            direction: bench.direction(),
            size: cell.size.clone(),
            rate: bench.rate,
            header_flows: bench.flows,
            burst: BURST.min(arm.placement.slots(&arm.bench) / 2).max(1),
            warmup: bench.warmup,
            duration: bench.duration,
            window: bench.interval,
            load: cell.load.clone(),
            latency: latency_plan(bench),
            repeat,
            order: self.document.trials.len() as u32 + 1,
        };
        let measured = lab.awake(|lab| trial::run(lab, &spec, self.interrupt, self.progress));
        let trial = measured.map_err(Stop::Arm)?;
        for fault in lab.switch.faults() {
            self.progress.println(&fault);
        }
        let outcome = outcome(&trial);
        self.document.trials.push(trial);
        self.progress.done(&format!("{outcome}{}", self.left()));
        self.output.keep(self.document).map_err(Stop::Run)
    }

    /// The searches of a cell, those that are not in the document yet.
    fn searches(&mut self, lab: &mut Lab, index: usize, cell: &Cell, repeat: u32) -> Result<(), Stop> {
        for method in &cell.methods {
            if self.has_search(index, cell, method, repeat) {
                continue;
            }
            let specs = [searches::spec(&self.slots[index].arm, cell, method, repeat)];
            let before = self.document.searches.clone();
            let (document, output) = (&mut *self.document, self.output);
            let mut kept = Ok(());
            let done = searching::in_turns(
                std::slice::from_mut(lab),
                &specs,
                &before,
                self.interrupt,
                self.progress,
                &mut |record| {
                    document.searches.push(record);
                    kept = output.keep(document);
                    Ok(())
                },
            );
            kept.map_err(Stop::Run)?;
            done.map_err(Stop::Arm)?;
        }
        Ok(())
    }

    fn bring_up(&mut self, index: usize) -> Result<Lab, Fail> {
        let slot = &self.slots[index];
        let arm = &slot.arm;
        let name = arm.plane.name();
        let host = self.host.as_ref().filter(|_| arm.topology.vms() > 0);
        // With all that is known of guests, whether this arm has some or not: others have.
        let facts = self.facts.get_or_insert_with(|| Facts::for_run(self.host.as_ref()));
        dataplane::check_host(arm.plane.as_ref(), facts, &arm.topology.wanted(arm.vm.as_deref()))?;
        if let vms @ 1.. = arm.topology.vms() {
            let guests = if vms == 1 { "guest" } else { "guests" };
            self.progress.stage(&format!("booting {vms} {guests} ({name})"));
        }
        self.labs += 1;
        // What the one before made is gone before names are used again.
        self.lab_dir = None;
        let lab_dir = self.run_dir.part(&self.labs.to_string())?;
        let setting = Setting {
            topology: &arm.topology,
            bench: &arm.bench,
            vm: arm.vm.as_deref(),
            placement: &arm.placement,
            guests: host,
            run_dir: &lab_dir,
            interrupt: self.interrupt,
            progress: self.progress,
        };
        let mut lab = arm.plane.bring_up(&setting).context_with(|| format!("cannot bring up {name}"))?;
        self.lab_dir = Some(lab_dir);
        lab.awake(|lab| trial::teach(lab, self.interrupt))?;
        Ok(lab)
    }

    /// Has what came up in the manifest. A run that is taken up again has it already, and it has to be the same.
    fn describe(&mut self, index: usize, lab: &Lab) -> Result<(), Stop> {
        if self.slots[index].described {
            return Ok(());
        }
        let manifest = &mut self.document.manifest;
        let plane = self.slots[index].arm.plane.name();
        let mut before = manifest.clone();
        before.vms.retain(|vm| vm.dataplane == plane);
        if !before.vms.is_empty() {
            refuse_others(&before, &Manifest { vms: lab.vms.clone(), ..before.clone() })
                .map_err(Stop::Run)?;
        }
        add_new(&mut manifest.vms, &lab.vms);
        add_new(&mut manifest.pinning, &lab.pinning);
        if manifest.pinning.is_empty() {
            self.warn(Warning::Unpinned);
        }
        self.slots[index].described = true;
        Ok(())
    }

    /// Finds what guests run on, if this arm needs some and nobody did before.
    fn find_host(&mut self, index: usize) -> Result<(), Stop> {
        let (None, Some(guests), 1..) = (&self.host, self.guests, self.slots[index].arm.topology.vms())
        else {
            return Ok(());
        };
        let host = GuestHost::find(guests, self.progress).map_err(Stop::Arm)?;
        let before = &self.document.manifest;
        let mut now = before.clone();
        host.describe(&mut now);
        if before.qemu.is_some() {
            refuse_others(before, &now).map_err(Stop::Run)?;
        }
        self.document.manifest = now;
        if host.accelerator() == Accelerator::Tcg {
            self.warn(Warning::Tcg);
        }
        if let Some(warning) = host.kvm_warning() {
            self.warn(warning);
        }
        self.host = Some(host);
        // What is known of the host now has its guests.
        self.facts = None;
        Ok(())
    }

    fn warn(&mut self, warning: Warning) {
        if !self.document.warnings.contains(&warning) {
            self.document.warnings.push(warning);
        }
    }

    /// The time that what is left will take.
    fn remaining(&self) -> Duration {
        let mut remaining = Duration::ZERO;
        for (index, slot) in self.slots.iter().enumerate().filter(|(_, slot)| !slot.out) {
            for repeat in 1..=slot.arm.rounds() {
                let missing = slot.arm.cells.iter().filter(|cell| self.misses(index, cell, repeat));
                let trials: Duration = missing.map(Estimate::trial).sum();
                if !trials.is_zero() && (!self.alone() || slot.arm.bench.fresh || repeat == 1) {
                    remaining += self.estimate.bring_up(&slot.arm);
                }
                remaining += trials;
            }
        }
        remaining
    }

    fn say_how_long(&self) {
        let remaining = self.remaining();
        if remaining >= SHORT {
            let left = self.document.plan.trials.saturating_sub(self.made());
            self.progress.println(&format!("{left} trials, {}", about(remaining)));
        }
    }

    /// `; about 4 min left`, where that is worth saying.
    fn left(&self) -> String {
        let remaining = self.remaining();
        if remaining >= SHORT { format!("; {} left", about(remaining)) } else { String::new() }
    }
}

/// Fails where a run that is taken up again has other guests than it had.
fn refuse_others(before: &Manifest, now: &Manifest) -> Result<(), Fail> {
    match differing_guests(before, now).join("; ") {
        same if same.is_empty() => Ok(()),
        differing => Err(Fail::usage(format!(
            "what was measured before had other guests: {differing}; --restart begins anew, --out FILE elsewhere"
        ))),
    }
}

/// Adds what `known` does not have yet.
fn add_new<T: Clone + PartialEq>(known: &mut Vec<T>, more: &[T]) {
    for one in more {
        if !known.contains(one) {
            known.push(one.clone());
        }
    }
}

fn outcome(trial: &Trial) -> String {
    format!("{:.3} Mpps received", trial.throughput.aggregate.rate_mpps)
}

/// Which round trips to measure, if any.
pub(super) fn latency_plan(bench: &BenchArgs) -> Option<LatencyPlan> {
    let at_percent = bench.latency_at.as_ref().map(|list| list.0.clone()).unwrap_or_default();
    let wanted = bench.latency || !at_percent.is_empty();
    wanted.then(|| LatencyPlan { length: bench.duration.min(LATENCY_MAX), at_percent, full_pps: None })
}
