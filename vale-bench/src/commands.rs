//! The commands: one function each, from its options to its end.

pub mod ci;
pub mod p2p;
pub mod switch;
pub mod traffic;
pub mod v2v;
pub mod vale;

mod completions;
mod doctor;
pub mod in_vm;
mod output;
mod report;
mod schema;
mod show;

pub use output::{Output, print, view};

use crate::cli::Command;
use crate::exit::Fail;

/// Runs one command to its end.
pub fn run(command: &Command) -> Result<(), Fail> {
    match command {
        Command::V2v(args) => v2v::run(args),
        Command::P2p(args) => p2p::run(args),
        Command::P2v(args) => v2v::p2v(args),
        Command::V2p(args) => v2v::v2p(args),
        Command::Tx(args) => traffic::tx(args),
        Command::Rx(args) => traffic::rx(args),
        Command::Ping(args) => traffic::ping(args),
        Command::Pong(args) => traffic::pong(args),
        Command::Fwd(args) => traffic::fwd(args),
        Command::Switch(args) => switch::run(args),
        Command::InVm(args) => in_vm::run(args),
        Command::Show(args) => show::run(args),
        Command::Report(args) => report::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Vale(args) => vale::run(args),
        Command::Ci(args) => ci::run(args),
        Command::CiCheck(args) => ci::check(args),
        Command::Schema(args) => schema::run(args),
        Command::Completions(args) => completions::run(args),
    }
}
