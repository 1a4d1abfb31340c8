//! `v2v`: guest to guest.

use crate::cli::V2vArgs;
use crate::exit::Fail;
use crate::run::{self, Request};
use crate::scenario;

/// Runs `v2v`.
pub fn run(args: &V2vArgs) -> Result<(), Fail> {
    let topology = scenario::v2v(args.vms as usize)?;
    run::run(&Request { topology, bench: &args.bench, vm: Some(&args.vm), output: &args.output })
}
