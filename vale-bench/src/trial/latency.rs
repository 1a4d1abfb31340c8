//! Round trips: on idle ports, inside loads, and what the engines measure with nothing in between.
//!
//! A probe leaves a sending port in between the frames of its load, by the same ring, and is sent back by the receiving
//! port's engine; so it goes where the load goes. Probes follow a schedule that does not wait for their echoes, and
//! are timed from when they were due as well as from when they left. All times are the sender's clock.

use super::{
    TrialSpec, addressing, ends, enter, moved, pass, prepare, reports, sender, settle, shared_by, snapshots,
};
use crate::dataplane::Lab;
use crate::exit::Fail;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::result::{Latency, LoadedLatency, Warning};
use crate::scenario::Flow;
use crate::station::Phase;
use pktgen::spec::{PingSpec, PongSpec, PortReport, PortRoles, Rate, RxSpec};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A probe not back after this long is lost.
const PROBE_TIMEOUT_MS: u32 = 500;
/// Most probes a second inside a load, and their largest part of it.
const PROBE_PPS_MAX: f64 = 10_000.0;
const PROBE_PART: f64 = 0.01;
/// Fewest probes a second inside a load, but for loads so small that it would be more than half.
const PROBE_PPS_MIN: f64 = 100.0;
/// How long a load runs before its probes are timed: threads that slept have woken up.
const SETTLE_MS: u32 = 200;
/// How long a floor is measured.
const FLOOR: Duration = Duration::from_millis(100);
/// Most frames a batch of the reflector.
const BURST: u32 = 64;

/// Which round trips to measure.
#[derive(Debug, Clone, PartialEq)]
pub struct LatencyPlan {
    /// Length of each measurement.
    pub length: Duration,
    /// Loads, in percent of the throughput.
    pub at_percent: Vec<f64>,
    /// The throughput of each sender in frames a second, where something better is known than what the trial itself
    /// received, such as the lower bound that a search found.
    pub full_pps: Option<f64>,
}

/// What was measured.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    pub(super) idle: Option<Latency>,
    pub(super) under_load: Vec<LoadedLatency>,
    pub(super) floor: Option<Latency>,
}

/// Measures what `plan` says. `found_pps` is what each flow's receiver got in frames a second.
pub(super) fn measure(
    lab: &mut Lab,
    spec: &TrialSpec,
    plan: &LatencyPlan,
    found_pps: Vec<f64>,
    (interrupt, progress): (&Interrupt, &Progress),
    warnings: &mut Vec<Warning>,
) -> Result<Latencies, Fail> {
    progress.stage("latency");
    let probes = Probes { spec, flows: probing(&spec.flows), length: plan.length, interrupt };
    let floor = probes.floor(lab)?;
    let mut lost = Lost::default();
    let idle = probes.idle(lab, &mut lost)?;
    let mut under_load = Vec::new();
    for &percent in &plan.at_percent {
        progress.stage(&format!("latency at {percent} %"));
        let part = |(i, &found): (usize, &f64)| {
            let full = plan.full_pps.map(|full| full / f64::from(shared_by(spec, i)));
            full.unwrap_or(found) * percent / 100.0
        };
        let offered: Vec<f64> = found_pps.iter().enumerate().map(part).collect();
        // Where nothing arrived there is no load to be a part of.
        if offered.iter().all(|&pps| pps >= 2.0 && pps <= *pktgen::pace::PPS.end()) {
            under_load.push(probes.loaded(lab, percent, offered, &mut lost)?);
        }
    }
    let Lost { lost, sent } = lost;
    warnings.extend((lost > 0).then_some(Warning::ProbesLost { lost, sent }));
    Ok(Latencies { idle, under_load, floor })
}

/// Probes of a trial, in all measurements.
#[derive(Debug, Default)]
struct Lost {
    lost: u64,
    sent: u64,
}

impl Lost {
    /// Adds those of one measurement. Returns how many of them did not come back.
    fn add(&mut self, reports: &[PortReport]) -> u64 {
        let lost = pings(reports).map(|ping| ping.lost).sum();
        self.lost += lost;
        self.sent += pings(reports).map(|ping| ping.sent).sum::<u64>();
        lost
    }
}

/// The flows whose round trips are measured, with their numbers: of a pair that sends both ways, the way forth.
fn probing(flows: &[Flow]) -> Vec<(usize, Flow)> {
    let mut taken = Vec::new();
    let mut probing = Vec::new();
    for (i, &flow) in flows.iter().enumerate() {
        if !taken.contains(&flow.from) && !taken.contains(&flow.to) {
            taken.extend([flow.from, flow.to]);
            probing.push((i, flow));
        }
    }
    probing
}

/// Probes of one trial.
struct Probes<'a> {
    spec: &'a TrialSpec,
    flows: Vec<(usize, Flow)>,
    length: Duration,
    interrupt: &'a Interrupt,
}

impl Probes<'_> {
    /// What is beside the load: a ping and a pong for each flow, at `rate` or one probe after the other.
    fn add(&self, lab: &Lab, roles: &mut [PortRoles], rate: Option<f64>) {
        for &(i, flow) in &self.flows {
            let mut addressing = addressing(lab, flow, 1);
            // The addresses of the load's first flow.
            let to = lab.topology.first_hop(flow);
            let _ = self.spec.load.traffic(&mut addressing, i, &lab.ports[flow.from], &lab.ports[to]);
            roles[flow.from].ping = Some(PingSpec {
                stream: i as u16 + 1,
                size: self.size(),
                addressing,
                rate,
                count: None,
                timeout_ms: PROBE_TIMEOUT_MS,
                settle_ms: if rate.is_some() { SETTLE_MS } else { 0 },
            });
            roles[flow.to].pong = Some(PongSpec { burst: BURST });
        }
    }

    /// Of a probe: the largest of the load's frames, which is the slowest.
    fn size(&self) -> u16 {
        self.spec.size.max().max(pktgen::frame::MIN_SIZE)
    }

    /// What the engines that probe measure with nothing in between.
    fn floor(&self, lab: &mut Lab) -> Result<Option<Latency>, Fail> {
        let stations: BTreeSet<usize> =
            self.flows.iter().map(|(_, flow)| lab.ports[flow.from].station).collect();
        let idle = lab.idle;
        let measured = stations.into_iter().map(|i| lab.stations[i].floor(self.size(), idle, FLOOR));
        let histograms = measured.collect::<Result<Vec<String>, Fail>>()?;
        Latency::merge(histograms.iter().map(String::as_str), 0).map_err(Fail::failed)
    }

    /// Round trips on an otherwise idle dataplane, the next when one is back.
    fn idle(&self, lab: &mut Lab, lost: &mut Lost) -> Result<Option<Latency>, Fail> {
        let mut roles = vec![PortRoles::default(); lab.ports.len()];
        self.add(lab, &mut roles, None);
        let (reports, _) = self.send(lab, roles, Duration::ZERO)?;
        let lost = lost.add(&reports);
        Latency::merge(pings(&reports).map(|ping| ping.histogram.as_str()), lost).map_err(Fail::failed)
    }

    /// Round trips in between the frames of a load: `offered_pps` of each flow.
    fn loaded(
        &self,
        lab: &mut Lab,
        percent: f64,
        offered_pps: Vec<f64>,
        lost: &mut Lost,
    ) -> Result<LoadedLatency, Fail> {
        let spec = self.spec;
        let load = spec.load.without_times();
        let least = offered_pps.iter().copied().fold(f64::INFINITY, f64::min);
        let probe_pps = (least * PROBE_PART).clamp(PROBE_PPS_MIN.min(least / 2.0), PROBE_PPS_MAX);
        let mut roles = vec![PortRoles::default(); lab.ports.len()];
        for (i, flow) in spec.flows.iter().enumerate() {
            // Probes are a part of the load that is offered; what answers them comes on top of the other way's.
            let probes = if self.flows.iter().any(|(probing, _)| *probing == i) { probe_pps } else { 0.0 };
            let rate = Rate::Pps((offered_pps[i] - probes).max(1.0));
            roles[flow.from].add_tx(sender(lab, spec, &load, i, rate));
        }
        for roles in &mut roles {
            roles.rx = Some(RxSpec { burst: spec.burst.max(256) });
        }
        self.add(lab, &mut roles, Some(probe_pps));
        let (reports, received_mpps) = self.send(lab, roles, Duration::from_millis(SETTLE_MS.into()))?;
        let lost = lost.add(&reports);
        let sum = |of: &dyn Fn(&PortReport) -> u64| reports.iter().map(of).sum::<u64>();
        let sent = sum(&|report| report.tx.as_ref().map_or(0, |tx| tx.sent.saturating_sub(tx.unsent)));
        let received = sum(&|report| report.rx.as_ref().map_or(0, |rx| rx.received));
        let merge = |histograms: Vec<&str>| Latency::merge(histograms, lost).map_err(Fail::failed);
        Ok(LoadedLatency {
            percent,
            offered_pps,
            received_mpps,
            loss_ratio: if sent > 0 { sent.saturating_sub(received) as f64 / sent as f64 } else { 0.0 },
            probe_pps,
            sent_probes: pings(&reports).map(|ping| ping.sent).sum(),
            overdue_probes: pings(&reports).map(|ping| ping.overdue).sum(),
            from_due: merge(pings(&reports).filter_map(|ping| ping.from_due.as_deref()).collect())?,
            from_departure: merge(pings(&reports).map(|ping| ping.histogram.as_str()).collect())?,
        })
    }

    /// Runs the roles until nothing moves any more: `settling`, and then for as long as is measured. Also what was
    /// received in that time, echoes aside, in millions of frames a second.
    fn send(
        &self,
        lab: &mut Lab,
        roles: Vec<PortRoles>,
        settling: Duration,
    ) -> Result<(Vec<PortReport>, f64), Fail> {
        let before = moved(lab);
        prepare(lab, roles)?;
        enter(lab, Phase::Receive)?;
        enter(lab, Phase::Send)?;
        pass(lab, Instant::now() + settling, self.interrupt, |_| {})?;
        let received = |lab: &Lab| {
            let snapshots = snapshots(lab);
            ends(lab)
                .map(|port| snapshots[port].rx_frames.saturating_sub(snapshots[port].echoes))
                .sum::<u64>()
        };
        let (began, first) = (Instant::now(), received(lab));
        pass(lab, began + self.length, self.interrupt, |_| {})?;
        let (elapsed, last) = (began.elapsed(), received(lab));
        enter(lab, Phase::StopSend)?;
        settle(lab, &before, self.interrupt)?;
        let mpps = last.saturating_sub(first) as f64 / elapsed.as_secs_f64().max(1e-9) / 1e6;
        Ok((reports(lab)?.ports, mpps))
    }
}

fn pings(reports: &[PortReport]) -> impl Iterator<Item = &pktgen::spec::PingReport> {
    reports.iter().filter_map(|report| report.ping.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_pair_that_sends_both_ways_the_way_forth_is_probed() {
        let flow = |from, to| Flow { from, to };
        let both = [flow(0, 1), flow(2, 3), flow(1, 0), flow(3, 2)];
        assert_eq!(probing(&both), [(0, flow(0, 1)), (1, flow(2, 3))]);
        assert_eq!(probing(&[flow(0, 2), flow(1, 2)]), [(0, flow(0, 2))], "one receiver answers one sender");
        assert_eq!(probing(&[]), []);
    }
}
