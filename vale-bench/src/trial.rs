//! One trial: set-up, warm-up, measure windows, drain, account.
//!
//! Everything is counted at the ports and at the switch, and sampled by one clock. The rate is the receivers'.
//! Nothing here knows what the stations are or what carries the frames.

mod burst;
mod latency;
mod roles;

pub use burst::{Burst, burst};

use crate::cost::Meter;
use crate::dataplane::{Lab, Moved};
use crate::exit::Fail;
use crate::interrupt::Interrupt;
use crate::load::Load;
use crate::progress::Progress;
use crate::result::{
    self, Accounting, Cost, Direction, DirectionThroughput, FwdCounts, PortCounts, PortResult, Rates,
    Throughput, Warning, Window, WindowPort,
};
use crate::scenario::Flow;
use crate::station::Phase;
use crate::stats;
use crate::units::SizeSpec;
use pktgen::counters::Snapshot;
use pktgen::spec::{PortRoles, Rate, RxSpec};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use latency::LatencyPlan;
pub use roles::teach;
use roles::{Reports, addressing, enter, part, prepare, reports, sender, shared_by, snapshots};

/// What to measure in a trial.
#[derive(Debug, Clone)]
pub struct TrialSpec {
    /// The scenario's name.
    pub scenario: &'static str,
    /// Who sends to whom.
    pub flows: Vec<Flow>,
    /// Whether the flows go both ways.
    pub direction: Direction,
    /// What to send.
    pub size: SizeSpec,
    /// Offered load of each sender.
    pub rate: Rate,
    /// Header flows of each sender.
    pub header_flows: u32,
    /// Most frames a batch.
    pub burst: u32,
    /// Discarded at the start.
    pub warmup: Duration,
    /// Measured.
    pub duration: Duration,
    /// Length of a window.
    pub window: Duration,
    /// What the load is like beyond that.
    pub load: Load,
    /// Measure round trips, when the throughput is known.
    pub latency: Option<LatencyPlan>,
    /// Which repeat this is, from 1.
    pub repeat: u32,
    /// Which trial of the run this is, from 1.
    pub order: u32,
}

/// How long frames may still be on their way when the senders have stopped.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);
/// Nothing moved for this long: nothing is on its way.
const QUIET: Duration = Duration::from_millis(100);
/// Between looks at the counters while draining.
const LOOK: Duration = Duration::from_millis(10);
/// Windows vary more than this (standard deviation over mean): worth a warning.
const CV_LIMIT: f64 = 0.10;
/// Shorter measurements than this are worth a warning.
const ADVISED: Duration = Duration::from_secs(1);
/// A paced sender this far below its rate did not keep up.
const OFFERED_TOLERANCE: f64 = 0.01;
/// What the account calls frames lost in a switch that does not count its drops.
const NOT_COUNTED: &str = "not_counted_by_switch";
/// What the account calls frames that a forwarder received and could not send on.
const BY_FORWARDER: &str = "drop_forwarder";

/// Waits, keeping an eye on stations, interrupts and the progress bar.
fn pass(
    lab: &mut Lab,
    until: Instant,
    interrupt: &Interrupt,
    mut tick: impl FnMut(Instant),
) -> Result<(), Fail> {
    loop {
        let now = Instant::now();
        tick(now);
        if now >= until {
            return Ok(());
        }
        interrupt.sleep((until - now).min(Duration::from_millis(200)))?;
        lab.stations.iter_mut().try_for_each(|station| station.healthy())?;
        lab.switch.healthy()?;
    }
}

/// Waits until nothing moves any more.
fn settle(lab: &mut Lab, before: &[Option<Moved>], interrupt: &Interrupt) -> Result<(), Fail> {
    let end = Instant::now() + DRAIN_DEADLINE;
    let mut last = snapshots(lab);
    let mut quiet_since = Instant::now();
    loop {
        interrupt.sleep(LOOK)?;
        let now = snapshots(lab);
        let moved = |a: &Snapshot, b: &Snapshot| (a.tx_frames, a.rx_frames) != (b.tx_frames, b.rx_frames);
        if last.iter().zip(&now).any(|(a, b)| moved(a, b)) {
            quiet_since = Instant::now();
        }
        last = now;
        let quiet = quiet_since.elapsed();
        if quiet >= QUIET && (quiet >= QUIET * 20 || all_counted(lab, before, &last)) || Instant::now() >= end
        {
            return Ok(());
        }
    }
}

/// Whether a switch that counts has taken and delivered all that ports sent and received, and nothing that they have
/// not: where processors are short, a frame may lie in a ring for longer than [`QUIET`]. The counters of the ports start
/// from 0 in each trial, those of the switch do not. What a guest's own system sent is no frame of its port's.
fn all_counted(lab: &mut Lab, before: &[Option<Moved>], ports: &[Snapshot]) -> bool {
    (0..lab.ports.len()).all(|port| match (lab.switch.moved(port), before[port]) {
        (Some(now), Some(before)) => {
            now.taken.saturating_sub(before.taken) >= ports[port].tx_frames
                && now.delivered.saturating_sub(before.delivered) <= ports[port].rx_frames
        }
        _ => true,
    })
}

fn moved(lab: &mut Lab) -> Vec<Option<Moved>> {
    (0..lab.ports.len()).map(|port| lab.switch.moved(port)).collect()
}

struct Measured {
    windows: Vec<Window>,
    first: Vec<Snapshot>,
    last: Vec<Snapshot>,
    elapsed_ns: u64,
    reports: Reports,
    counters: Vec<BTreeMap<String, u64>>,
    switch_cpu_ns: Option<u64>,
    cost: Option<Cost>,
}

/// Runs a trial and makes its part of the result.
pub fn run(
    lab: &mut Lab,
    spec: &TrialSpec,
    interrupt: &Interrupt,
    progress: &Progress,
) -> Result<result::Trial, Fail> {
    let measured = throughput(lab, spec, interrupt, progress)?;
    let directions = receivers(&spec.flows).into_iter().map(|(to, from)| {
        let (a, b) = (&measured.first[to], &measured.last[to]);
        let (frames, bytes) = (b.rx_frames - a.rx_frames, b.rx_bytes - a.rx_bytes);
        let from: Vec<&str> = from.into_iter().map(|port| lab.ports[port].name.as_str()).collect();
        DirectionThroughput {
            from: from.join(" + "),
            to: lab.ports[to].name.clone(),
            received_frames: frames,
            received_bytes: bytes,
            rates: Rates::new(frames, bytes, measured.elapsed_ns),
        }
    });
    let throughput = Throughput::new(directions.collect());
    let mut warnings = Vec::new();
    let latency = match &spec.latency {
        Some(plan) => {
            let found = found_pps(spec, &throughput);
            latency::measure(lab, spec, plan, found, (interrupt, progress), &mut warnings)?
        }
        None => latency::Latencies::default(),
    };
    let accounting = account(&measured, lab.switch.counts_drops(), spec.load.is_marked());
    judge(lab, spec, &measured, &accounting, &mut warnings);
    let Reports { ports: reports, forwarded } = measured.reports;
    let ports = lab.ports.iter().zip(reports).zip(forwarded).zip(measured.counters).enumerate();
    let ports = ports.map(|(number, (((port, report), forwarded), counters))| {
        let to = lab.topology.across(number).map(|to| lab.ports[to].name.clone());
        let fwd = to.zip(forwarded).map(|(to, report)| FwdCounts::of(report, to));
        PortResult {
            name: port.name.clone(),
            vm: lab
                .vms
                .iter()
                .map(|vm| &vm.name)
                .find(|vm| **vm == lab.stations[port.station].name())
                .cloned(),
            roles: PortCounts { fwd, ..PortCounts::from(report) },
            counters,
        }
    });
    Ok(result::Trial {
        scenario: spec.scenario.into(),
        dataplane: lab.switch.describe(),
        vms: lab.vms.len() as u32,
        frame_size: spec.size.frame_size(),
        direction: spec.direction,
        offered: spec.rate.into(),
        flows: spec.load.flows(spec.header_flows),
        load: Some(spec.load.describe()),
        repeat: spec.repeat,
        order: spec.order,
        duration_s: spec.duration.as_secs_f64(),
        warmup_s: spec.warmup.as_secs_f64(),
        ports: ports.collect(),
        windows: measured.windows,
        throughput,
        accounting,
        switch_cpu_ns: measured.switch_cpu_ns,
        cost: measured.cost,
        latency: latency.idle,
        latency_under_load: latency.under_load,
        latency_floor: latency.floor,
        warnings,
    })
}

/// Each receiver once, with those who send to it.
fn receivers(flows: &[Flow]) -> Vec<(usize, Vec<usize>)> {
    let mut receivers: Vec<(usize, Vec<usize>)> = Vec::new();
    for &Flow { from, to } in flows {
        match receivers.iter_mut().find(|(known, _)| *known == to) {
            Some((_, senders)) => senders.push(from),
            None => receivers.push((to, vec![from])),
        }
    }
    receivers
}

/// What arrived of each flow in frames a second; flows with one receiver are taken to have equal parts of it.
fn found_pps(spec: &TrialSpec, throughput: &Throughput) -> Vec<f64> {
    let receivers = receivers(&spec.flows);
    let of_flow = |flow: &Flow| {
        let at = receivers.iter().position(|(to, _)| *to == flow.to)?;
        Some(throughput.directions[at].rates.rate_mpps * 1e6 / receivers[at].1.len() as f64)
    };
    spec.flows.iter().map(|flow| of_flow(flow).unwrap_or(0.0)).collect()
}

fn throughput(
    lab: &mut Lab,
    spec: &TrialSpec,
    interrupt: &Interrupt,
    progress: &Progress,
) -> Result<Measured, Fail> {
    let mut roles = vec![PortRoles::default(); lab.ports.len()];
    for (i, &flow) in spec.flows.iter().enumerate() {
        let rate = part(spec.rate, shared_by(spec, i));
        roles[flow.from].add_tx(sender(lab, spec, &spec.load, i, rate));
    }
    // Every port receives, so that what a switch sends astray is seen.
    for roles in &mut roles {
        roles.rx = Some(RxSpec { burst: spec.burst.max(256) });
    }
    let counters_before: Vec<_> = (0..lab.ports.len()).map(|port| lab.switch.counters(port)).collect();
    let before = moved(lab);
    prepare(lab, roles)?;
    enter(lab, Phase::Receive)?;
    let mut meter = Meter::of(lab);
    progress.stage("warm-up");
    enter(lab, Phase::Send)?;
    let whole = spec.warmup + spec.duration;
    let began = Instant::now();
    let tick = |now: Instant| progress.tick((now - began).as_secs_f64() / whole.as_secs_f64().max(1e-9));
    pass(lab, began + spec.warmup, interrupt, tick)?;

    progress.stage("measuring");
    let cpu_before = lab.switch.cpu_ns();
    meter.begin();
    let start = Instant::now();
    let first = snapshots(lab);
    let mut last = first.clone();
    let mut windows: Vec<Window> = Vec::new();
    let mut end_ns = 0;
    let count = (spec.duration.as_secs_f64() / spec.window.as_secs_f64()).round().max(1.0) as u32;
    for i in 1..=count {
        pass(lab, start + spec.duration * i / count, interrupt, tick)?;
        let now = snapshots(lab);
        let start_ns = end_ns;
        end_ns = start.elapsed().as_nanos() as u64;
        let ports = last.iter().zip(&now).map(|(a, b)| WindowPort {
            tx_frames: b.tx_frames - a.tx_frames,
            rx_frames: b.rx_frames - a.rx_frames,
        });
        windows.push(Window { start_ns, end_ns, ports: ports.collect() });
        last = now;
    }
    let switch_cpu_ns = lab.switch.cpu_ns().zip(cpu_before).map(|(now, before)| now.saturating_sub(before));
    let received = ends(lab).map(|port| last[port].rx_frames - first[port].rx_frames).sum();
    let cost = meter.end(received);
    progress.stage("draining");
    enter(lab, Phase::StopSend)?;
    settle(lab, &before, interrupt)?;
    let reports = reports(lab)?;
    let counters = counters_before.iter().enumerate().map(|(port, before)| {
        let now = lab.switch.counters(port);
        now.into_iter()
            .map(|(name, n)| {
                let was = before.get(&name).copied().unwrap_or(0);
                (name, n - was)
            })
            .collect()
    });
    let counters = counters.collect();
    Ok(Measured { windows, first, last, elapsed_ns: end_ns, reports, counters, switch_cpu_ns, cost })
}

/// Ports at which flows begin or end: all but those of forwarders.
fn ends(lab: &Lab) -> impl Iterator<Item = usize> {
    let forwards = |port: usize| lab.topology.stations[lab.ports[port].station].forwards;
    (0..lab.ports.len()).filter(move |&port| forwards(port).is_none())
}

/// sent = received + drops, by cause. `marked` says that receivers know the frames of this run.
fn account(measured: &Measured, counts_drops: bool, marked: bool) -> Accounting {
    let tx = measured.reports.ports.iter().filter_map(|r| r.tx.as_ref());
    let rx = measured.reports.ports.iter().filter_map(|r| r.rx.as_ref());
    let received = rx.map(|rx| rx.received - if marked { rx.foreign } else { 0 }).sum();
    let mut drops = BTreeMap::new();
    for counters in &measured.counters {
        for (name, &n) in counters.iter().filter(|(name, n)| name.starts_with("drop_") && **n > 0) {
            *drops.entry(name.clone()).or_default() += n;
        }
    }
    let by_forwarders = measured.reports.forwarded.iter().flatten().map(|report| report.dropped).sum::<u64>();
    if by_forwarders > 0 {
        drops.insert(BY_FORWARDER.into(), by_forwarders);
    }
    let (sent, mut unsent) = tx.fold((0, 0), |(sent, unsent), tx| (sent + tx.sent, unsent + tx.unsent));
    if !counts_drops {
        // Such a ring tells late, or not at all, that its last frames were taken; a frame that arrived was.
        unsent = unsent.min(sent.saturating_sub(received));
    }
    if unsent > 0 {
        drops.insert("never_taken".into(), unsent);
    }
    let told: u64 = received + drops.values().sum::<u64>();
    if !counts_drops && sent > told {
        drops.insert(NOT_COUNTED.into(), sent - told);
    }
    Accounting::new(sent, received, drops)
}

/// What could be wrong with it.
fn judge(
    lab: &mut Lab,
    spec: &TrialSpec,
    measured: &Measured,
    accounting: &Accounting,
    out: &mut Vec<Warning>,
) {
    let rx = || measured.reports.ports.iter().filter_map(|r| r.rx.as_ref());
    let streams = || rx().flat_map(|rx| &rx.streams);
    out.extend(Warning::loss(accounting.sent, accounting.received));
    out.extend(Warning::unaccounted(accounting.unaccounted));
    let (reordered, duplicate) = streams().fold((0, 0), |(r, d), s| (r + s.reordered, d + s.duplicate));
    if reordered + duplicate > 0 {
        out.push(Warning::SequenceErrors { reordered, duplicate });
    }
    let corrupt: u64 = rx().map(|rx| rx.corrupt).sum();
    if corrupt > 0 {
        out.push(Warning::CorruptFrames { frames: corrupt });
    }
    let foreign: u64 = rx().map(|rx| rx.foreign).sum();
    if foreign > 0 && spec.load.is_marked() {
        out.push(Warning::ForeignFrames { frames: foreign });
    }
    let received = |window: &Window| ends(lab).map(|port| window.ports[port].rx_frames).sum::<u64>();
    let rates =
        measured.windows.iter().map(|w| received(w) as f64 * 1e3 / (w.end_ns - w.start_ns).max(1) as f64);
    out.extend(Warning::variance(stats::Summary::of(rates).and_then(|s| s.cv()), CV_LIMIT));
    let elapsed = Duration::from_nanos(measured.elapsed_ns);
    if elapsed < ADVISED {
        let (measured_ms, advised_ms) = (elapsed.as_millis() as u64, ADVISED.as_millis() as u64);
        out.push(Warning::ShortWindow { measured_ms, advised_ms });
    }
    let senders = || spec.flows.iter().map(|flow| (&measured.first[flow.from], &measured.last[flow.from]));
    match spec.rate {
        // The times of a capture are its own affair; how well they were kept is in the senders' pacing.
        Rate::Max if spec.load.has_times() => {}
        Rate::Max => {
            if senders().all(|(a, b)| a.tx_full == b.tx_full) {
                out.push(Warning::SenderLimited);
            }
        }
        rate => {
            let offered_pps = rate.pps(spec.size.frame_size().mean_bytes());
            out.extend(pauses(lab, spec, measured, offered_pps));
            let seconds = measured.elapsed_ns as f64 / 1e9;
            let achieved = senders().map(|(a, b)| (b.tx_frames - a.tx_frames) as f64 / seconds);
            let achieved_pps = achieved.fold(f64::INFINITY, f64::min);
            let tolerance = OFFERED_TOLERANCE + spec.load.spread(offered_pps * seconds);
            if achieved_pps < offered_pps * (1.0 - tolerance) {
                out.push(Warning::OfferedNotReached { offered_pps, achieved_pps });
            }
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let busy_threads = lab.busy_threads();
    if busy_threads > cores {
        out.push(Warning::Oversubscribed { busy_threads, cores });
    }
}

/// Receivers that dropped frames for want of room although less than the maximum was offered.
fn pauses(lab: &Lab, spec: &TrialSpec, measured: &Measured, offered_pps: f64) -> Vec<Warning> {
    let paused = receivers(&spec.flows).into_iter().filter_map(|(to, from)| {
        let dropped = measured.counters[to].get("drop_rx_full").is_some_and(|&n| n > 0);
        let pause_ns = measured.reports.ports[to].longest_pause_ns;
        let of_sender = |&sender: &usize| {
            1.0 / spec.flows.iter().filter(|flow| flow.from == sender).count().max(1) as f64
        };
        let senders: f64 = from.iter().map(of_sender).sum();
        let frames = (pause_ns as f64 / 1e9 * offered_pps * senders) as u64;
        let port = || lab.ports[to].name.clone();
        dropped.then(|| Warning::ReceiverPaused { port: port(), pause_us: pause_ns / 1000, frames })
    });
    paused.collect()
}
