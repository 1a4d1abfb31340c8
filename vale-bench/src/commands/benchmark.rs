//! The benchmarks among the commands: what each connects, and the options they share.

use crate::cli::{BenchArgs, Command, OutputArgs, VmArgs};
use crate::exit::Fail;
use crate::run::{self, Request};
use crate::scenario::{self, Topology};

/// A command that measures a topology.
pub struct Benchmark<'a> {
    /// What is connected how.
    pub topology: Topology,
    /// How to measure.
    pub bench: &'a BenchArgs,
    /// How to run guests, where there are some.
    pub vm: Option<&'a VmArgs>,
    /// Where the result goes.
    pub output: &'a OutputArgs,
}

impl<'a> Benchmark<'a> {
    /// What a command measures; `None` if it is no benchmark.
    pub fn of(command: &'a Command) -> Option<Result<Benchmark<'a>, Fail>> {
        let with_guests = |topology: Result<Topology, Fail>, bench, vm, output| {
            topology.map(|topology| Benchmark { topology, bench, vm: Some(vm), output })
        };
        Some(match command {
            Command::V2v(a) => {
                with_guests(scenario::v2v(a.vms as usize, a.pattern), &a.bench, &a.vm, &a.output)
            }
            Command::P2v(a) => with_guests(scenario::p2v(a.vms as usize), &a.bench, &a.vm, &a.output),
            Command::V2p(a) => with_guests(scenario::v2p(a.vms as usize), &a.bench, &a.vm, &a.output),
            Command::Loopback(a) => {
                with_guests(scenario::loopback(a.vms as usize), &a.bench, &a.vm, &a.output)
            }
            Command::P2p(a) if a.bench.port.len() % 2 == 1 => Err(Fail::usage(format!(
                "p2p takes two ports for each pair, each with --port NAME; there are {}",
                a.bench.port.len()
            ))),
            Command::P2p(a) => Ok(Benchmark {
                topology: scenario::p2p((a.bench.port.len() / 2).max(a.pairs as usize)),
                bench: &a.bench,
                vm: None,
                output: &a.output,
            }),
            _ => return None,
        })
    }

    /// Carries it out.
    pub fn run(self) -> Result<(), Fail> {
        let Benchmark { topology, bench, vm, output } = self;
        run::run(&Request { topology, bench, vm, output })
    }
}
