//! `p2p`: host port to host port.

use crate::cli::P2pArgs;
use crate::exit::Fail;
use crate::run::{self, Request};
use crate::scenario;

/// Runs `p2p`.
pub fn run(args: &P2pArgs) -> Result<(), Fail> {
    let topology = scenario::p2p(args.pairs as usize);
    run::run(&Request { topology, bench: &args.bench, vm: None, output: &args.output })
}
