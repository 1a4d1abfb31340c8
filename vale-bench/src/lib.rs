//! vale-bench: how fast virtual machines on this host talk through a VALE switch, and through what else there is.
//!
//! The layers, from the bottom: [`result`] is the document a run ends in, with [`stats`]; [`report`] shows it;
//! [`rundir`], [`interrupt`] and [`exit`] see to it that a run ends in good order; [`cli`] is what can be asked
//! for, in the [`units`] people type; [`commands`] answers. [`compare`] and [`trend`] hold documents against each other.
//!
//! **Invariants.** [`result`] knows nothing of the command line, and [`report`] nothing but [`result`]. All of
//! what is shown of a measurement is made from its document.
#![forbid(unsafe_code)]

pub mod ci;
pub mod cli;
pub mod commands;
pub mod compare;
pub mod cost;
pub mod dataplane;
pub mod doctor;
pub mod exit;
pub mod goals;
pub mod guests;
pub mod interrupt;
pub mod kernel_log;
pub mod links;
pub mod load;
pub mod machine;
pub mod pcap;
mod plain;
pub mod program;
pub mod progress;
pub mod provenance;
pub mod report;
pub mod result;
pub mod run;
pub mod rundir;
pub mod scenario;
pub mod search;
pub mod searching;
pub mod station;
pub mod stats;
pub mod suite;
pub mod trend;
pub mod trial;
pub mod units;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use exit::Exit;

/// Runs the program with these arguments, the program's name first, and returns its exit code.
///
/// Results go to standard output, everything else to standard error.
pub fn main_with(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match cli::Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output and are no failure.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Good };
            let _ = error.print();
            return exit.code().into();
        }
    };
    match commands::run(&cli.command) {
        Ok(()) => Exit::Good.code().into(),
        Err(fail) => {
            let _ = fail.report(&mut io::stderr().lock());
            let _ = io::stderr().flush();
            fail.exit().code().into()
        }
    }
}
