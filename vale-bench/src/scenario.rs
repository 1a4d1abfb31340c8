//! Scenarios as data: which stations there are, which of their ports share a switch, who sends to whom, and who passes
//! on what others sent. Each scenario is a file of this folder that lays a [`Topology`] out.
//!
//! A scenario knows nothing of the dataplane that will carry its frames.

mod loopback;
mod p2p;
mod p2v;
mod v2v;

pub use loopback::loopback;
pub use p2p::p2p;
pub use p2v::{p2v, v2p};
pub use v2v::{Pattern, v2v};

use crate::cli::VmArgs;
use crate::dataplane::Wanted;
use crate::exit::Fail;

/// Where a station is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A thread of this process.
    Host,
    /// A virtual machine.
    Guest,
}

/// A station to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StationPlan {
    /// `host`, `vm1`, …
    pub name: String,
    /// Where.
    pub place: Place,
    /// Ports on the dataplane.
    pub ports: usize,
    /// Whether it sends and receives nothing of its own: what comes in at one of its two ports leaves by the other.
    pub forwards: Option<Forwarder>,
}

/// What passes frames on in a station that does nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarder {
    /// The engine, as a router would: each hop has addresses of its own.
    Engine,
    /// A VALE switch of the guest's kernel, which leaves addresses as they are.
    Vale,
}

impl StationPlan {
    /// A thread of this process, which drives all of its ports.
    fn host(ports: usize) -> StationPlan {
        StationPlan { name: "host".into(), place: Place::Host, ports, forwards: None }
    }

    /// The `number`-th virtual machine, from 1.
    fn guest(number: usize) -> StationPlan {
        StationPlan { name: format!("vm{number}"), place: Place::Guest, ports: 1, forwards: None }
    }
}

/// Frames go from one port to another. Ports are numbered from 0 over all stations, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// The sender.
    pub from: usize,
    /// The receiver.
    pub to: usize,
}

/// A scenario laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// The scenario's name.
    pub scenario: &'static str,
    /// Its stations.
    pub stations: Vec<StationPlan>,
    /// Its flows in the forward direction.
    pub flows: Vec<Flow>,
    /// Of each port the segment it is on: a switch that has no part in the others.
    pub segments: Vec<usize>,
}

impl Topology {
    /// Virtual machines.
    #[must_use]
    pub fn vms(&self) -> usize {
        self.stations.iter().filter(|s| s.place == Place::Guest).count()
    }

    /// What a dataplane has to carry.
    #[must_use]
    pub fn wanted<'a>(&self, vm: Option<&'a VmArgs>) -> Wanted<'a> {
        let at = |place| self.stations.iter().any(|s| s.place == place && s.ports > 0);
        Wanted { host_ports: at(Place::Host), guests: at(Place::Guest), vm }
    }

    /// Ports.
    #[must_use]
    pub fn ports(&self) -> usize {
        self.stations.iter().map(|s| s.ports).sum()
    }

    /// Switches that it takes.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.segments.iter().max().map_or(0, |last| last + 1)
    }

    /// The only other port of a port's segment; none where there are several, or none.
    #[must_use]
    pub fn peer(&self, port: usize) -> Option<usize> {
        let mut others =
            (0..self.segments.len()).filter(|&at| at != port && self.segments[at] == self.segments[port]);
        others.next().filter(|_| others.next().is_none())
    }

    /// Where a station that forwards sends what comes in at `port`; none of another's port.
    #[must_use]
    pub fn across(&self, port: usize) -> Option<usize> {
        let (station, local) = *self.port_places().get(port)?;
        self.stations[station].forwards.map(|_| port + 1 - 2 * local)
    }

    /// The way that the frames of a flow take: from port to port by a switch each.
    #[must_use]
    pub fn hops(&self, flow: Flow) -> Vec<Flow> {
        let mut hops = Vec::new();
        let mut from = flow.from;
        // No way is longer than there are switches.
        while hops.len() < self.segment_count() && self.segments[from] != self.segments[flow.to] {
            let Some(to) = self.peer(from) else { break };
            let Some(next) = self.across(to) else { break };
            hops.push(Flow { from, to });
            from = next;
        }
        hops.push(Flow { from, to: flow.to });
        hops
    }

    /// The port that frames of a flow are addressed to when they are sent: the first on their way that looks at
    /// addresses.
    #[must_use]
    pub fn first_hop(&self, flow: Flow) -> usize {
        let places = self.port_places();
        let bridged = |hop: &Flow| self.stations[places[hop.to].0].forwards == Some(Forwarder::Vale);
        self.hops(flow).into_iter().find(|hop| !bridged(hop)).map_or(flow.to, |hop| hop.to)
    }

    /// The same with what passes frames on in all stations that do.
    #[must_use]
    pub fn forwarding_by(mut self, forwarder: Forwarder) -> Topology {
        self.stations.iter_mut().for_each(|station| station.forwards = station.forwards.map(|_| forwarder));
        self
    }

    /// Whether anything is passed on within stations.
    #[must_use]
    pub fn forwards(&self) -> bool {
        self.stations.iter().any(|station| station.forwards.is_some())
    }

    /// The ports two by two, where each has one partner, for what joins them by pairs; `what` does so.
    pub fn pairs(&self, what: &str) -> Result<Vec<(usize, usize)>, Fail> {
        let mut joined = vec![false; self.ports()];
        let mut pairs = Vec::new();
        for Flow { from, to } in self.flows.iter().flat_map(|&flow| self.hops(flow)) {
            if joined[from] || joined[to] || from == to {
                return Err(Fail::usage(format!(
                    "{what} joins ports two by two, and {} has a port with several partners",
                    self.scenario
                )));
            }
            (joined[from], joined[to]) = (true, true);
            pairs.push((from, to));
        }
        Ok(pairs)
    }

    /// Station and place within it of every port.
    #[must_use]
    pub fn port_places(&self) -> Vec<(usize, usize)> {
        let stations = self.stations.iter().enumerate();
        stations.flat_map(|(station, plan)| (0..plan.ports).map(move |port| (station, port))).collect()
    }

    /// The flows of a trial: forward only, or both ways.
    #[must_use]
    pub fn flows(&self, bidirectional: bool) -> Vec<Flow> {
        let back = self.flows.iter().map(|&Flow { from, to }| Flow { from: to, to: from });
        self.flows.iter().copied().chain(back.filter(|_| bidirectional)).collect()
    }
}

/// Ports of a VALE switch, the smallest limit of any dataplane.
const MAX_PORTS: usize = 254;

#[cfg(test)]
mod tests;
