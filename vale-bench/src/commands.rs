//! The commands: one function each, from its options to its end.

pub mod ci;
pub mod switch;
pub mod traffic;
pub mod vale;

mod benchmark;
mod compare;
mod completions;
mod doctor;
pub mod in_vm;
mod output;
mod report;
mod schema;
mod show;
mod suite;
mod trend;

pub use benchmark::Benchmark;
pub use output::{Output, print, view};

use crate::cli::Command;
use crate::exit::Fail;

/// Runs one command to its end.
pub fn run(command: &Command) -> Result<(), Fail> {
    match command {
        Command::V2v(_) | Command::P2p(_) | Command::P2v(_) | Command::V2p(_) | Command::Loopback(_) => {
            match Benchmark::of(command) {
                Some(benchmark) => benchmark?.run(),
                None => Err(Fail::usage("this is no benchmark")),
            }
        }
        Command::Suite(args) => suite::run(args),
        Command::GuestAgent => guest::lodger::run().map_err(|fault| Fail::failed(anyhow::anyhow!(fault))),
        Command::Tx(args) => traffic::tx(args),
        Command::Rx(args) => traffic::rx(args),
        Command::Ping(args) => traffic::ping(args),
        Command::Pong(args) => traffic::pong(args),
        Command::Fwd(args) => traffic::fwd(args),
        Command::Switch(args) => switch::run(args),
        Command::InVm(args) => in_vm::run(args),
        Command::Show(args) => show::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Trend(args) => trend::run(args),
        Command::Published(args) => compare::published(args),
        Command::Report(args) => report::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Vale(args) => vale::run(args),
        Command::Ci(args) => ci::run(args),
        Command::CiCheck(args) => ci::check(args),
        Command::Schema(args) => schema::run(args),
        Command::Completions(args) => completions::run(args),
    }
}
