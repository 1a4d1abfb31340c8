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
    let (mut ports, mut own) = (Vec::new(), Vec::new());
    for name in [left, right] {
        let (mut opened, mac) = open(name, wish)?;
        ports.append(&mut opened);
        own.push(mac);
    }
    // What is received on either port leaves on the other.
    let rewrite = |out: usize| args.rewrite_mac.map_or(Rewrite::Keep, |rewrite| rewrite.on(out, own[out]));
    let specs = [1, 0].map(|out| FwdSpec { burst: args.burst, rewrite: rewrite(out), timed: true });
    let Ok([left_port, right_port]) = <[AnyPort; 2]>::try_from(ports) else {
        return Err(Fail::failed(anyhow::anyhow!("a port opened twice")));
    };
    let counters: [Arc<Counters>; 2] = Default::default();
    let shared = counters.clone().map(Into::into);
    let kernel = left_port.is_kernel() && right_port.is_kernel();
    let mut session = Session::new(&args.run, kernel);
    let mut direct = false;
    match (left_port, right_port) {
        (AnyPort::Kernel(left), AnyPort::Kernel(right)) if !args.copy && args.rewrite_mac.is_none() => {
            let mut ports = [*left, *right];
            direct = ZeroCopyEngine::check(&mut ports).is_ok();
            if direct {
                session.add(ZeroCopyEngine::new(ports, args.burst, shared).map_err(Fail::usage)?)?;
            } else {
                let [left, right] = ports.map(|io| AnyPort::Kernel(Box::new(io)));
                session.add(copying(&specs, left, right, shared)?)?;
            }
        }
        (left, right) => session.add(copying(&specs, left, right, shared)?)?,
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
    specs: &[FwdSpec; 2],
    left: AnyPort,
    right: AnyPort,
    counters: [pktgen::counters::Shared; 2],
) -> Result<FwdEngine<AnyPort, AnyPort>, Fail> {
    FwdEngine::new(left, right, specs, counters).map_err(Fail::usage)
}
