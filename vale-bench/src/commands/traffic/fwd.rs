//! `fwd`: between two ports, without copies where they share memory.

use super::any::AnyPort;
use super::open::{Wish, open};
use super::session::{Limits, Session, check_cpus};
use super::{add, show};
use crate::cli::FwdArgs;
use crate::exit::Fail;
use crate::interrupt::Interrupt;
use pktgen::counters::{Counters, Snapshot};
use pktgen::engine::{FwdEngine, ZeroCopyEngine};
use pktgen::spec::{FwdSpec, Rewrite, WorkReport};
use std::sync::Arc;

/// Runs `fwd`.
pub(super) fn run(args: &FwdArgs) -> Result<(), Fail> {
    let [left, right] = args.ports.as_slice() else {
        return Err(Fail::usage(format!(
            "fwd joins two ports, each with -i; there are {}",
            args.ports.len()
        )));
    };
    check_cpus(&args.run)?;
    Interrupt::install()?;
    let wish = Wish { threads: 1, ..Wish::default() };
    let mut ports = Vec::new();
    for name in [left, right] {
        ports.append(&mut open(name, wish)?.0);
    }
    let Ok([left_port, right_port]) = <[AnyPort; 2]>::try_from(ports) else {
        return Err(Fail::failed(anyhow::anyhow!("a port opened twice")));
    };
    let counters: [Arc<Counters>; 2] = Default::default();
    let shared = counters.clone().map(Into::into);
    let kernel = left_port.is_kernel() && right_port.is_kernel();
    let mut session = Session::new(&args.run, kernel);
    let mut direct = false;
    match (left_port, right_port) {
        (AnyPort::Kernel(left), AnyPort::Kernel(right)) if !args.copy => {
            let mut ports = [*left, *right];
            direct = ZeroCopyEngine::check(&mut ports).is_ok();
            if direct {
                session.add(ZeroCopyEngine::new(ports, args.burst, shared).map_err(Fail::usage)?)?;
            } else {
                let [left, right] = ports.map(|io| AnyPort::Kernel(Box::new(io)));
                session.add(copying(args, left, right, shared)?)?;
            }
        }
        (left, right) => session.add(copying(args, left, right, shared)?)?,
    }
    let total = || {
        let [left, right] = [counters[0].snapshot(), counters[1].snapshot()];
        add(left, &right)
    };
    let each = || [counters[0].snapshot(), counters[1].snapshot()];
    let names = [left.as_str(), right.as_str()];
    let mut show = show::Crossing::new(names, args.run.format, direct, each());
    let reports = session.run(false, Limits::default(), &total, &mut |begin, _: &Snapshot| {
        if begin {
            show = show::Crossing::new(names, args.run.format, direct, each());
            return Ok(true);
        }
        show.interval(each())
    })?;
    let Some(WorkReport::Fwd(reports)) = reports.into_iter().next() else {
        return Err(Fail::failed(anyhow::anyhow!("the engine had nothing to report of")));
    };
    show.end(each(), &reports)
}

fn copying(
    args: &FwdArgs,
    left: AnyPort,
    right: AnyPort,
    counters: [pktgen::counters::Shared; 2],
) -> Result<FwdEngine<AnyPort, AnyPort>, Fail> {
    let spec = FwdSpec { burst: args.burst, rewrite: Rewrite::Keep };
    FwdEngine::new(left, right, &[spec.clone(), spec], counters).map_err(Fail::usage)
}
