//! What every port of a lab is told to do, and what it says it did.

use super::{TrialSpec, moved, settle};
use crate::dataplane::{Lab, LabPort, ip};
use crate::exit::Fail;
use crate::interrupt::Interrupt;
use crate::load::Load;
use crate::scenario::{Flow, Forwarder};
use crate::station::{Phase, StationReport};
use pktgen::counters::Snapshot;
use pktgen::spec::{
    Addressing, FwdReport, FwdSpec, PortReport, PortRoles, Rate, Rewrite, RxSpec, Sizes, Traffic, TxSpec,
};

/// Most frames a batch of a forwarder: enough to spread what a batch costs, few enough for a near cache.
const FORWARDED: u32 = 64;

/// Addresses of a flow's frames when they leave the sender. To its own receiver, or to the forwarder before it, which
/// then sets others.
pub(super) fn addressing(lab: &Lab, flow: Flow, flows: u32) -> Addressing {
    Addressing {
        src_mac: lab.ports[flow.from].mac,
        dst_mac: lab.ports[lab.topology.first_hop(flow)].mac,
        src_ip: ip(flow.from),
        dst_ip: ip(flow.to),
        src_port: 1024,
        dst_port: 9,
        flows,
    }
}

/// What sender number `sender` sends at `rate`.
pub(super) fn sender(lab: &Lab, spec: &TrialSpec, load: &Load, sender: usize, rate: Rate) -> TxSpec {
    let flow = spec.flows[sender];
    let mut addressing = addressing(lab, flow, spec.header_flows);
    let to = lab.topology.first_hop(flow);
    let traffic = load.traffic(&mut addressing, sender, &lab.ports[flow.from], &lab.ports[to]);
    let (stream, sizes) = (sender as u16 + 1, spec.size.sizes.clone());
    TxSpec { stream, sizes, addressing, rate, burst: spec.burst, count: None, traffic }
}

/// Flows that leave a sender's port: they share what it offers.
pub(super) fn shared_by(spec: &TrialSpec, sender: usize) -> u32 {
    spec.flows.iter().filter(|flow| flow.from == spec.flows[sender].from).count() as u32
}

/// What each of so many flows of a port offers, where the port offers `rate`.
pub(super) fn part(rate: Rate, flows: u32) -> Rate {
    let flows = f64::from(flows);
    match rate {
        Rate::Max => Rate::Max,
        Rate::Pps(pps) => Rate::Pps(pps / flows),
        Rate::L1Bps(bps) => Rate::L1Bps(bps / flows),
        Rate::L2Bps(bps) => Rate::L2Bps(bps / flows),
    }
}

/// Gives every station the roles of its ports; those that forward do that instead.
pub(super) fn prepare(lab: &mut Lab, roles: Vec<PortRoles>) -> Result<(), Fail> {
    give(lab, roles, true)
}

fn give(lab: &mut Lab, roles: Vec<PortRoles>, forwarding: bool) -> Result<(), Fail> {
    let timed = roles.iter().any(|roles| roles.ping.is_some());
    let mut by_station: Vec<Vec<(usize, PortRoles)>> = vec![Vec::new(); lab.stations.len()];
    for (port, roles) in lab.ports.iter().zip(roles) {
        by_station[port.station].push((port.local, roles));
    }
    let idle = lab.idle;
    for (index, roles) in by_station.into_iter().enumerate() {
        match lab.topology.stations[index].forwards.filter(|_| forwarding) {
            Some(Forwarder::Vale) => lab.stations[index].bridge([0, 1])?,
            Some(Forwarder::Engine) => {
                let specs = [forwarding_by(lab, index, 1, timed)?, forwarding_by(lab, index, 0, timed)?];
                lab.stations[index].forward([0, 1], specs, idle)?;
            }
            None => lab.stations[index].prepare(roles, idle)?,
        }
    }
    Ok(())
}

/// Which port of the topology a station's port `local` is.
fn number(ports: &[LabPort], station: usize, local: usize) -> Option<usize> {
    ports.iter().position(|port| port.station == station && port.local == local)
}

/// How a station sends on what leaves by its port `local`: from itself to the next on that side, as a router would. So
/// every switch on the way knows its two addresses and floods nothing, and interfaces need not be promiscuous.
fn forwarding_by(lab: &Lab, station: usize, local: usize, timed: bool) -> Result<FwdSpec, Fail> {
    let out = number(&lab.ports, station, local);
    let ends = out.and_then(|out| Some((lab.ports.get(lab.topology.peer(out)?)?, &lab.ports[out])));
    let Some((next, out)) = ends else {
        let name = lab.stations[station].name();
        return Err(Fail::failed(anyhow::anyhow!(
            "there is nothing to forward to by port {local} of {name}"
        )));
    };
    Ok(FwdSpec { burst: FORWARDED, rewrite: Rewrite::Set { dst: next.mac, src: out.mac }, timed })
}

pub(super) fn enter(lab: &mut Lab, phase: Phase) -> Result<(), Fail> {
    lab.stations.iter_mut().try_for_each(|station| station.enter(phase))
}

pub(super) fn snapshots(lab: &Lab) -> Vec<Snapshot> {
    lab.ports.iter().map(|port| lab.stations[port.station].snapshot(port.local)).collect()
}

/// What every port did, in the topology's order.
pub(super) struct Reports {
    pub(super) ports: Vec<PortReport>,
    /// Of ports of forwarders: what came in there.
    pub(super) forwarded: Vec<Option<FwdReport>>,
}

pub(super) fn reports(lab: &mut Lab) -> Result<Reports, Fail> {
    let mut ports = vec![PortReport::default(); lab.ports.len()];
    let mut forwarded = vec![None; lab.ports.len()];
    for (index, station) in lab.stations.iter_mut().enumerate() {
        let StationReport { ports: of_ports, forwarded: of_directions } = station.report()?;
        let known = |local: usize| {
            let name = station.name();
            number(&lab.ports, index, local).ok_or_else(|| {
                Fail::failed(anyhow::anyhow!("{name} reports a port {local} that it does not have"))
            })
        };
        for (local, report) in of_ports {
            ports[known(local)?] = report;
        }
        for (local, report) in of_directions.into_iter().enumerate() {
            forwarded[known(local)?] = Some(report);
        }
    }
    Ok(Reports { ports, forwarded })
}

/// Makes the switch know where every port's address is, so that no measured frame is flooded: each port sends one
/// broadcast frame, as RFC 2544 (section 23) asks of a tester. Nothing is forwarded meanwhile.
pub fn teach(lab: &mut Lab, interrupt: &Interrupt) -> Result<(), Fail> {
    let roles = lab.ports.iter().enumerate().map(|(port, p)| {
        let addressing = Addressing {
            src_mac: p.mac,
            dst_mac: [0xff; 6],
            src_ip: ip(port),
            dst_ip: [255; 4],
            src_port: 1024,
            dst_port: 9,
            flows: 1,
        };
        let tx = TxSpec {
            stream: 0,
            sizes: Sizes::Fixed(64),
            addressing,
            rate: Rate::Max,
            burst: 1,
            count: Some(1),
            traffic: Traffic::default(),
        };
        PortRoles { tx: Some(tx), rx: Some(RxSpec { burst: 64 }), ..PortRoles::default() }
    });
    let roles = roles.collect();
    let before = moved(lab);
    give(lab, roles, false)?;
    enter(lab, Phase::Receive)?;
    enter(lab, Phase::Send)?;
    settle(lab, &before, interrupt)?;
    enter(lab, Phase::StopSend)?;
    reports(lab).map(|_| ())
}
