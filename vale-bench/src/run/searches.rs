//! Searches as parts of a run: whether their options make sense, and what one is to do.

use pktgen::spec::Rate;

use super::arm::{Arm, Cell, label};
use super::session::{BURST, latency_plan};
use crate::cli::BenchArgs;
use crate::exit::Fail;
use crate::goals::Method;
use crate::result::Direction;
use crate::searching::{SearchSpec, SoakLoad};
use crate::trial::TrialSpec;

/// Refuses options that say nothing to what is searched for.
pub(super) fn check(bench: &BenchArgs, methods: &[Method]) -> Result<(), Fail> {
    let soaks = methods.contains(&Method::Soak);
    let finds = |method: &Method| matches!(method, Method::Mlrsearch(_) | Method::Binary(_));
    if latency_plan(bench).is_some() && !methods.is_empty() && !methods.iter().any(Method::finds_load) {
        return Err(Fail::usage(
            "round trips are measured in parts of the load that a search found, and b2b and soak find none: name \
             another too, as in --search ndr,b2b",
        ));
    }
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

/// One search.
pub(super) fn spec(arm: &Arm, cell: &Cell, method: &Method, repeat: u32) -> SearchSpec {
    let bench = &cell.bench;
    let direction = bench.direction();
    SearchSpec {
        method: method.clone(),
        trial: TrialSpec {
            scenario: arm.topology.scenario,
            flows: arm.topology.flows(direction == Direction::Bidi),
            direction,
            size: cell.size.clone(),
            rate: Rate::Max,
            header_flows: bench.flows,
            burst: BURST.min(arm.placement.slots(&arm.bench) / 2).max(1),
            warmup: bench.warmup,
            duration: bench.duration,
            window: bench.interval,
            load: cell.load.clone(),
            latency: latency_plan(bench),
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
        label: label(arm, cell),
    }
}
