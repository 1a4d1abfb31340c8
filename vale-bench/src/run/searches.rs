//! A run of searches: one for each size, dataplane, method and repetition; the dataplanes of each take turns.

use pktgen::spec::Rate;

use super::{BURST, Request, Todo, label};
use crate::commands::Output;
use crate::dataplane::{Lab, Placement};
use crate::exit::Fail;
use crate::goals::Method;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::result::{Direction, ResultDocument};
use crate::searching::{self, SearchSpec, SoakLoad};
use crate::trial::TrialSpec;
use crate::units::SizeSpec;

/// Refuses options that say nothing to what is searched for.
pub(super) fn check(request: &Request<'_>, methods: &[Method]) -> Result<(), Fail> {
    let bench = request.bench;
    let soaks = methods.contains(&Method::Soak);
    let finds = |method: &Method| matches!(method, Method::Mlrsearch(_) | Method::Binary(_));
    if methods.is_empty() || (bench.rate == Rate::Max && !soaks) {
        return Ok(());
    }
    if !soaks {
        return Err(Fail::usage("--rate fixes what --search varies; its range is --min-load to --max-load"));
    }
    let before = methods.iter().take_while(|method| **method != Method::Soak);
    if bench.rate == Rate::Max && !before.into_iter().any(finds) {
        return Err(Fail::usage(
            "a soak test needs a load: --rate 1M, or a search before it, as in --search ndr,soak",
        ));
    }
    Ok(())
}

fn spec(
    (request, todo): (&Request<'_>, &Todo),
    placement: &Placement,
    method: &Method,
    dataplane: &str,
    size: &SizeSpec,
    repeat: u32,
) -> SearchSpec {
    let bench = request.bench;
    let direction = bench.direction();
    SearchSpec {
        method: method.clone(),
        trial: TrialSpec {
            scenario: request.topology.scenario,
            flows: request.topology.flows(direction == Direction::Bidi),
            direction,
            size: size.clone(),
            rate: Rate::Max,
            header_flows: bench.flows,
            burst: BURST.min(placement.slots(bench) / 2).max(1),
            warmup: bench.warmup,
            duration: bench.duration,
            window: bench.interval,
            load: todo.load.clone(),
            latency: None,
            repeat,
            order: 0,
        },
        max_load: bench.search.max_load.filter(|&rate| rate != Rate::Max),
        min_load: bench.search.min_load.filter(|&rate| rate != Rate::Max),
        timeout: bench.search.search_timeout,
        soak: (
            match bench.rate {
                Rate::Max => SoakLoad::Part(bench.search.soak_load),
                rate => SoakLoad::Rate(rate),
            },
            bench.search.soak_duration,
        ),
        bursts: bench.search.b2b_repeat,
        label: label(request, dataplane, size, direction),
    }
}

/// Makes all searches of a run.
pub(super) fn measure(
    (request, todo): (&Request<'_>, &Todo),
    placement: &Placement,
    labs: &mut [Lab],
    interrupt: &Interrupt,
    progress: &Progress,
    document: &mut ResultDocument,
    output: &Output,
) -> Result<(), Fail> {
    let bench = request.bench;
    for repeat in 1..=bench.repeat {
        for size in &todo.sizes {
            for method in &todo.methods {
                let specs: Vec<SearchSpec> = bench
                    .dataplane
                    .iter()
                    .map(|name| spec((request, todo), placement, method, name, size, repeat))
                    .collect();
                let before = document.searches.clone();
                searching::in_turns(labs, &specs, &before, interrupt, progress, &mut |record| {
                    document.searches.push(record);
                    output.keep(document)
                })?;
            }
        }
    }
    Ok(())
}
