//! Through a chain of virtual machines and back to the host.
//!
//! ```text
//! host.0 ─ vm1.0 ▸ vm1.1 ─ vm2.0 ▸ vm2.1 ─ … ─ host.1
//!        0               1               2   N
//! ```
//!
//! Each line is a segment, a switch between two ports and no others; each arrow is a machine that forwards.

use super::{Flow, Forwarder, MAX_PORTS, StationPlan, Topology};
use crate::exit::Fail;

/// Longest chain: all of its ports fit one switch, where a dataplane has but one.
const MAX_VMS: usize = MAX_PORTS / 2 - 1;

/// A chain of so many virtual machines: the host sends into its one end and receives at the other.
pub fn loopback(vms: usize) -> Result<Topology, Fail> {
    if !(1..=MAX_VMS).contains(&vms) {
        return Err(Fail::usage(format!(
            "loopback is a chain of virtual machines: --vms must be 1 to {MAX_VMS}, not {vms}"
        )));
    }
    let forwarder =
        |number| StationPlan { ports: 2, forwards: Some(Forwarder::Engine), ..StationPlan::guest(number) };
    let stations = std::iter::once(StationPlan::host(2)).chain((1..=vms).map(forwarder)).collect();
    // The host's two ends, and then of each machine the near one and the far one.
    let segments = [0, vms].into_iter().chain((0..vms).flat_map(|vm| [vm, vm + 1])).collect();
    Ok(Topology { scenario: "loopback", stations, flows: vec![Flow { from: 0, to: 1 }], segments })
}
