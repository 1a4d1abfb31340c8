//! Virtual machine to virtual machine.

use super::{Flow, MAX_PORTS, StationPlan, Topology};
use crate::exit::Fail;

/// Pairs of virtual machines: the first of each pair sends to the second.
pub fn v2v(vms: usize) -> Result<Topology, Fail> {
    if vms == 0 || !vms.is_multiple_of(2) {
        let sentence = format!("v2v pairs virtual machines: --vms must be 2, 4, 6 and so on, not {vms}");
        return Err(Fail::usage(sentence));
    }
    if vms > MAX_PORTS {
        return Err(Fail::usage(format!("a switch has {MAX_PORTS} ports, so --vms is {MAX_PORTS} at most")));
    }
    let flows = (0..vms / 2).map(|pair| Flow { from: 2 * pair, to: 2 * pair + 1 });
    Ok(Topology {
        scenario: "v2v",
        stations: (1..=vms).map(StationPlan::guest).collect(),
        flows: flows.collect(),
        segments: vec![0; vms],
    })
}
