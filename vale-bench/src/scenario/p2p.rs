//! Host port to host port.

use super::{Flow, StationPlan, Topology};

/// Pairs of host ports, all driven by one thread: the first of each pair sends to the second.
#[must_use]
pub fn p2p(pairs: usize) -> Topology {
    let flows = (0..pairs).map(|pair| Flow { from: 2 * pair, to: 2 * pair + 1 });
    Topology {
        scenario: "p2p",
        stations: vec![StationPlan::host(2 * pairs)],
        flows: flows.collect(),
        segments: vec![0; 2 * pairs],
    }
}
