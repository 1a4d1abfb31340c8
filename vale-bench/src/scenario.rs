//! Scenarios as data: which stations there are, and who sends to whom.
//!
//! A scenario knows nothing of the dataplane that will carry its frames.

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

    /// The ports two by two, where each has one partner, for what joins them by pairs; `what` does so.
    pub fn pairs(&self, what: &str) -> Result<Vec<(usize, usize)>, Fail> {
        let mut joined = vec![false; self.ports()];
        let mut pairs = Vec::new();
        for &Flow { from, to } in &self.flows {
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

/// Pairs of virtual machines: the first of each pair sends to the second.
pub fn v2v(vms: usize) -> Result<Topology, Fail> {
    if vms == 0 || !vms.is_multiple_of(2) {
        let sentence = format!("v2v pairs virtual machines: --vms must be 2, 4, 6 and so on, not {vms}");
        return Err(Fail::usage(sentence));
    }
    if vms > MAX_PORTS {
        return Err(Fail::usage(format!("a switch has {MAX_PORTS} ports, so --vms is {MAX_PORTS} at most")));
    }
    let station = |i: usize| StationPlan { name: format!("vm{}", i + 1), place: Place::Guest, ports: 1 };
    let flows = (0..vms / 2).map(|pair| Flow { from: 2 * pair, to: 2 * pair + 1 });
    Ok(Topology { scenario: "v2v", stations: (0..vms).map(station).collect(), flows: flows.collect() })
}

/// Pairs of host ports, all driven by one thread: the first of each pair sends to the second.
#[must_use]
pub fn p2p(pairs: usize) -> Topology {
    let host = StationPlan { name: "host".into(), place: Place::Host, ports: 2 * pairs };
    let flows = (0..pairs).map(|pair| Flow { from: 2 * pair, to: 2 * pair + 1 });
    Topology { scenario: "p2p", stations: vec![host], flows: flows.collect() }
}

/// From ports of the host to virtual machines, one to one; the host's ports are driven by one thread.
pub fn p2v(vms: usize) -> Result<Topology, Fail> {
    between_host_and_guests("p2v", vms, |vm| Flow { from: vm, to: vms + vm })
}

/// From virtual machines to ports of the host, one to one; the host's ports are driven by one thread.
pub fn v2p(vms: usize) -> Result<Topology, Fail> {
    between_host_and_guests("v2p", vms, |vm| Flow { from: vms + vm, to: vm })
}

fn between_host_and_guests(
    scenario: &'static str,
    vms: usize,
    flow: impl Fn(usize) -> Flow,
) -> Result<Topology, Fail> {
    if vms == 0 || 2 * vms > MAX_PORTS {
        return Err(Fail::usage(format!(
            "{scenario} needs a port of the host for each virtual machine: --vms must be 1 to {}, not {vms}",
            MAX_PORTS / 2
        )));
    }
    let host = StationPlan { name: "host".into(), place: Place::Host, ports: vms };
    let guest = |i: usize| StationPlan { name: format!("vm{}", i + 1), place: Place::Guest, ports: 1 };
    let stations = std::iter::once(host).chain((0..vms).map(guest)).collect();
    Ok(Topology { scenario, stations, flows: (0..vms).map(flow).collect() })
}

/// Ports of a VALE switch, the smallest limit of any dataplane.
const MAX_PORTS: usize = 254;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v2v_pairs_neighbours() {
        let t = v2v(4).unwrap();
        assert_eq!((t.vms(), t.ports()), (4, 4));
        assert_eq!(t.flows(false), [Flow { from: 0, to: 1 }, Flow { from: 2, to: 3 }]);
        assert_eq!(t.flows(true).len(), 4);
        assert_eq!(t.port_places(), [(0, 0), (1, 0), (2, 0), (3, 0)]);
    }

    #[test]
    fn odd_and_impossible_numbers_of_machines_are_refused() {
        for n in [0, 1, 3, 256] {
            let fail = v2v(n).unwrap_err();
            assert_eq!(fail.exit(), crate::exit::Exit::Usage);
        }
    }

    #[test]
    fn host_ports_and_guests_go_together_one_to_one() {
        let t = p2v(2).unwrap();
        assert_eq!((t.vms(), t.ports()), (2, 4));
        assert_eq!(t.flows(false), [Flow { from: 0, to: 2 }, Flow { from: 1, to: 3 }]);
        assert_eq!(v2p(1).unwrap().flows(true), [Flow { from: 1, to: 0 }, Flow { from: 0, to: 1 }]);
        assert_eq!(t.port_places(), [(0, 0), (0, 1), (1, 0), (2, 0)]);
        for n in [0, 128] {
            assert_eq!(v2p(n).unwrap_err().exit(), crate::exit::Exit::Usage);
        }
    }

    #[test]
    fn p2p_has_two_ports_on_one_station() {
        assert_eq!(p2p(1).port_places(), [(0, 0), (0, 1)]);
        assert_eq!(p2p(1).flows(true), [Flow { from: 0, to: 1 }, Flow { from: 1, to: 0 }]);
    }
}
