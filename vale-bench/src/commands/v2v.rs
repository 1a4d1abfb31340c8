//! `v2v`, `p2v` and `v2p`: the benchmarks with guests.

use crate::cli::{HostGuestArgs, V2vArgs};
use crate::exit::Fail;
use crate::run::{self, Request};
use crate::scenario::{self, Topology};

/// Runs `v2v`.
pub fn run(args: &V2vArgs) -> Result<(), Fail> {
    let topology = scenario::v2v(args.vms as usize)?;
    run::run(&Request { topology, bench: &args.bench, vm: Some(&args.vm), output: &args.output })
}

/// Runs `p2v`.
pub fn p2v(args: &HostGuestArgs) -> Result<(), Fail> {
    between(args, scenario::p2v(args.vms as usize)?)
}

/// Runs `v2p`.
pub fn v2p(args: &HostGuestArgs) -> Result<(), Fail> {
    between(args, scenario::v2p(args.vms as usize)?)
}

fn between(args: &HostGuestArgs, topology: Topology) -> Result<(), Fail> {
    run::run(&Request { topology, bench: &args.bench, vm: Some(&args.vm), output: &args.output })
}
