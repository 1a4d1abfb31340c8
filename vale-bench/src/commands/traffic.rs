//! `tx`, `rx`, `ping`, `pong` and `fwd`: roles on ports of this process's own, without guests.

mod any;
mod dump;
mod fwd;
mod open;
mod session;
mod show;

use crate::cli::{CommonTrafficArgs, FwdArgs, PingArgs, PongArgs, RxArgs, TxArgs};
use crate::exit::Fail;
use crate::interrupt::Interrupt;
use crate::pcap::Capture;
use any::Tapped;
use dump::Dump;
pub(crate) use open::{Wish, open};
use pktgen::counters::{Counters, Snapshot};
use pktgen::engine::PortEngine;
use pktgen::frame::FCS;
use pktgen::port::Port;
use pktgen::ports::fragment::MIN_FRAGMENT;
use pktgen::ports::kernel::Form;
use pktgen::roles::tx::Tx;
use pktgen::spec::{PortReport, PortRoles, Replay, Traffic, TxSpec, WorkReport};
use session::{Limits, Session, check_cpus};
use show::Show;
use std::sync::Arc;

/// Runs `tx`.
pub fn tx(args: &TxArgs) -> Result<(), Fail> {
    check_tx(args)?;
    let capture = args.pcap.as_deref().map(|path| Capture::read("-P", path)).transpose()?;
    let replay = capture.map(|capture| capture.replay(args.load.pcap_speed)).transpose()?;
    let longest = replay.as_ref().map_or(args.size.spec().max() - FCS, Replay::longest);
    let indirect = if args.indirect { longest } else { 0 };
    let form = Form { fragments: args.fragments, indirect, ..Form::default() };
    let (ports, own) = open_ports(&args.common, Wish { form, threads: args.threads })?;
    if replay.as_ref().is_some_and(|replay| replay.gaps_ns().is_some()) && ports.len() > 1 {
        return Err(Fail::usage(
            "--pcap-speed follows one file's times, which is one thread's work; leave out -p",
        ));
    }
    let threads = ports.len();
    let mut members = Vec::new();
    for (i, port) in ports.into_iter().enumerate() {
        let spec = share(args.spec(own, replay.clone()), i, threads);
        let tx = Tx::new(&spec, port.info()).map_err(Fail::usage)?;
        let raw = args.raw || (port.port.is_kernel() && !args.numbered);
        let tx = if raw { tx.unmarked() } else { tx };
        members.push((port, PortRoles { tx: Some(spec), ..PortRoles::default() }, Some(tx)));
    }
    run(&args.common, members, Limits::default(), Looks::default())
}

/// Refuses what only the options together show to be wrong.
fn check_tx(args: &TxArgs) -> Result<(), Fail> {
    args.load.check(args.rate, args.pcap.is_some())?;
    if args.flows > 1 && args.addresses.ranges([2, 0, 0, 0, 0, 0]).is_some() {
        return Err(Fail::usage("--flows varies the source; with ranges of addresses, those make the flows"));
    }
    let least = u64::from(args.fragments) * u64::from(MIN_FRAGMENT) + u64::from(FCS);
    if args.fragments > 1 && args.pcap.is_none() && u64::from(args.size.spec().min()) < least {
        return Err(Fail::usage(format!(
            "-F {}: a fragment has at least {MIN_FRAGMENT} bytes, so frames must have at least {least} with FCS",
            args.fragments
        )));
    }
    Ok(())
}

/// Thread `i`'s part of what `threads` are to send: a stream of its own, and its share of count and rate.
fn share(spec: TxSpec, i: usize, threads: usize) -> TxSpec {
    use pktgen::spec::Rate::{L1Bps, L2Bps, Max, Pps};
    let (i, n) = (i as u64, threads as u64);
    let count = spec.count.map(|count| count / n + u64::from(i < count % n));
    let rate = match spec.rate {
        Max => Max,
        Pps(rate) => Pps(rate / n as f64),
        L1Bps(rate) => L1Bps(rate / n as f64),
        L2Bps(rate) => L2Bps(rate / n as f64),
    };
    // What is drawn at random is drawn by each thread on its own.
    let traffic = Traffic { seed: spec.traffic.seed.wrapping_add(i), ..spec.traffic };
    TxSpec { stream: i as u16, count, rate, traffic, ..spec }
}

/// Runs `rx`.
pub fn rx(args: &RxArgs) -> Result<(), Fail> {
    if args.dump.is_some() && args.threads != 1 {
        return Err(Fail::usage("--dump keeps what one thread receives; leave out -p"));
    }
    if args.flows_top.is_some() && args.threads != 1 {
        return Err(Fail::usage("--flows-top counts what one thread receives; leave out -p"));
    }
    let wish = Wish { threads: args.threads, ..Wish::default() };
    let (mut ports, _) = open_ports(&args.common, wish)?;
    let mut outcome = None;
    if let (Some(path), [port]) = (&args.dump, ports.as_mut_slice()) {
        let dump = Dump::create(path)?;
        outcome = Some(dump.outcome());
        port.dump = Some(dump);
    }
    let roles = PortRoles { rx: Some(args.spec()), ..PortRoles::default() };
    let members = ports.into_iter().map(|port| (port, roles.clone(), None)).collect();
    let limits = Limits { frames: args.limit(), silence: args.silence };
    run(&args.common, members, limits, Looks { raw: args.raw, flows_top: args.flows_top })?;
    match outcome.and_then(|outcome| outcome.take()) {
        None => Ok(()),
        Some(e) => Err(Fail::failed(e).context("--dump: not all of what was received is in the file")),
    }
}

/// Runs `ping`.
pub fn ping(args: &PingArgs) -> Result<(), Fail> {
    if args.addresses.ranges([2, 0, 0, 0, 0, 0]).is_some() {
        return Err(Fail::usage("ping has one pair of addresses; ranges are for tx"));
    }
    let (ports, own) = open_ports(&args.common, Wish { threads: 1, ..Wish::default() })?;
    one(&args.common, ports, PortRoles { ping: Some(args.spec(own)), ..PortRoles::default() })
}

/// Runs `pong`.
pub fn pong(args: &PongArgs) -> Result<(), Fail> {
    let (ports, _) = open_ports(&args.common, Wish { threads: 1, ..Wish::default() })?;
    one(&args.common, ports, PortRoles { pong: Some(args.spec()), ..PortRoles::default() })
}

/// Runs `fwd`.
pub fn fwd(args: &FwdArgs) -> Result<(), Fail> {
    fwd::run(args)
}

/// Opens the port, with everything in place that ends this process in good order.
fn open_ports(common: &CommonTrafficArgs, wish: Wish) -> Result<(Vec<Tapped>, [u8; 6]), Fail> {
    check_cpus(&common.run)?;
    Interrupt::install()?;
    let form = Form { header: common.vnet_header, ..wish.form };
    let (ports, own) = open(&common.port, Wish { form, ..wish })?;
    Ok((ports.into_iter().map(|port| Tapped { port, dump: None }).collect(), own))
}

/// A port, what it does, and its sender if it has been made.
type Member = (Tapped, PortRoles, Option<Tx>);

fn one(common: &CommonTrafficArgs, ports: Vec<Tapped>, roles: PortRoles) -> Result<(), Fail> {
    let members = ports.into_iter().map(|port| (port, roles.clone(), None)).collect();
    run(common, members, Limits::default(), Looks::default())
}

/// How a receiver looks at frames.
#[derive(Debug, Clone, Copy, Default)]
struct Looks {
    /// Not at all.
    raw: bool,
    /// To tell flows apart, of which it reports so many.
    flows_top: Option<u16>,
}

/// Runs each port with its roles on a thread of its own, and tells what came of it.
fn run(common: &CommonTrafficArgs, members: Vec<Member>, limits: Limits, looks: Looks) -> Result<(), Fail> {
    let Some(first) = members.first().map(|(_, roles, _)| roles.clone()) else { return Ok(()) };
    let mut session = Session::new(&common.run, members.iter().any(|(port, ..)| port.port.is_kernel()));
    let mut counters: Vec<Arc<Counters>> = Vec::new();
    for (port, roles, tx) in members {
        let theirs: Arc<Counters> = Arc::default();
        let kernel = port.port.is_kernel();
        let engine = match tx {
            Some(tx) => PortEngine::with_sender(port, Some(tx), &roles, theirs.clone()),
            None => PortEngine::new(port, &roles, theirs.clone()),
        };
        let engine = engine.map_err(Fail::usage)?;
        let engine = match (looks.raw, kernel) {
            (true, _) => engine.raw_receiver(),
            (false, true) => engine.sampling_receiver(),
            (false, false) => engine,
        };
        session.add(match looks.flows_top {
            Some(top) => engine.metering_receiver(top.into()),
            None => engine,
        })?;
        counters.push(theirs);
    }
    let sends = first.tx.is_some() || first.ping.is_some();
    let total = || counters.iter().fold(Snapshot::default(), |sum, one| add(sum, &one.snapshot()));
    let mut show = Show::new(common, &first, Snapshot::default());
    let reports = session.run(sends, limits, &total, &mut |begin, now| {
        if begin {
            show = Show::new(common, &first, *now);
            return Ok(true);
        }
        show.interval(now)
    })?;
    let report = reports.into_iter().map(|report| match report {
        WorkReport::Port(report) => *report,
        WorkReport::Fwd(_) => PortReport::default(),
    });
    let Some(report) = report.reduce(show::merge) else { return Ok(()) };
    show.end(&total(), &report)
}

/// The counters of several threads as one port's.
fn add(sum: Snapshot, one: &Snapshot) -> Snapshot {
    Snapshot {
        heartbeat: sum.heartbeat + one.heartbeat,
        tx_frames: sum.tx_frames + one.tx_frames,
        tx_bytes: sum.tx_bytes + one.tx_bytes,
        tx_full: sum.tx_full + one.tx_full,
        rx_frames: sum.rx_frames + one.rx_frames,
        rx_bytes: sum.rx_bytes + one.rx_bytes,
        echoes: sum.echoes + one.echoes,
        rx_missing: sum.rx_missing + one.rx_missing,
        rx_reordered: sum.rx_reordered + one.rx_reordered,
        rx_duplicate: sum.rx_duplicate + one.rx_duplicate,
        rx_corrupt: sum.rx_corrupt + one.rx_corrupt,
        rx_foreign: sum.rx_foreign + one.rx_foreign,
        phase: one.phase,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pktgen::spec::{Addressing, Rate, Sizes};

    #[test]
    fn threads_share_count_and_rate_and_have_streams_of_their_own() {
        let addressing = Addressing {
            src_mac: [2; 6],
            dst_mac: [2; 6],
            src_ip: [10, 0, 0, 1],
            dst_ip: [10, 0, 0, 2],
            src_port: 1,
            dst_port: 2,
            flows: 1,
        };
        let (sizes, rate) = (Sizes::Fixed(64), Rate::Pps(10.0));
        let spec = TxSpec {
            stream: 0,
            sizes,
            addressing,
            rate,
            burst: 1,
            count: Some(11),
            traffic: Traffic::default(),
        };
        let parts: Vec<TxSpec> = (0..4).map(|i| share(spec.clone(), i, 4)).collect();
        assert_eq!(parts.iter().filter_map(|part| part.count).collect::<Vec<_>>(), [3, 3, 3, 2]);
        assert!(parts.iter().enumerate().all(|(i, part)| usize::from(part.stream) == i));
        assert!(parts.iter().all(|part| part.rate == Rate::Pps(2.5)));
        assert_eq!(share(TxSpec { count: None, ..spec }, 3, 4).count, None);
    }
}
