//! Virtual machine to virtual machine.

use super::{Flow, MAX_PORTS, StationPlan, Topology};
use crate::exit::Fail;
use clap::ValueEnum;

/// Who sends to whom among virtual machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pattern {
    /// The first of every two to the second
    Pairs,
    /// The first to all others, each its own frames in turn
    OneToMany,
    /// All to the last
    ManyToOne,
}

/// So many virtual machines on one switch.
pub fn v2v(vms: usize, pattern: Pattern) -> Result<Topology, Fail> {
    if pattern == Pattern::Pairs && !vms.is_multiple_of(2) {
        let sentence =
            format!("v2v pairs guests, so --vms must be even, and {vms} leaves one alone; or say --pattern");
        return Err(Fail::usage(sentence));
    }
    if vms < 2 {
        return Err(Fail::usage(format!("v2v needs guests: two at least, not {vms}")));
    }
    if vms > MAX_PORTS {
        return Err(Fail::usage(format!("a switch has {MAX_PORTS} ports, so --vms is {MAX_PORTS} at most")));
    }
    let last = vms - 1;
    let (scenario, flows) = match pattern {
        Pattern::Pairs => {
            ("v2v", (0..vms / 2).map(|pair| Flow { from: 2 * pair, to: 2 * pair + 1 }).collect())
        }
        Pattern::OneToMany => ("v2v-one-to-many", (1..vms).map(|to| Flow { from: 0, to }).collect()),
        Pattern::ManyToOne => ("v2v-many-to-one", (0..last).map(|from| Flow { from, to: last }).collect()),
    };
    Ok(Topology {
        scenario,
        stations: (1..=vms).map(StationPlan::guest).collect(),
        flows,
        segments: vec![0; vms],
    })
}
