//! Between ports of the host and virtual machines.

use super::{Flow, MAX_PORTS, StationPlan, Topology};
use crate::exit::Fail;

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
    let stations = std::iter::once(StationPlan::host(vms)).chain((1..=vms).map(StationPlan::guest)).collect();
    Ok(Topology { scenario, stations, flows: (0..vms).map(flow).collect(), segments: vec![0; 2 * vms] })
}
