//! `tx`, `rx`, `ping` and `pong`: one role on one port, in this process.

mod open;
mod show;

use crate::cli::{CommonTrafficArgs, PingArgs, PongArgs, RxArgs, TxArgs};
use crate::exit::Fail;
use crate::interrupt::Interrupt;
use crate::machine::usable_cpus;
use open::{AnyPort, open};
use pktgen::counters::Counters;
use pktgen::engine::{Engine, EngineThread, Phase, PortEngine};
use pktgen::port::Port;
use pktgen::spec::{IdlePolicy, PortRoles, WorkReport};
use show::Show;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Polls for a while, then sleeps until kicked: a port alone has its thread for itself.
const IDLE: IdlePolicy = IdlePolicy { spin: 1000, nap_us: 20, longest_nap_us: 0, wait_after_us: 2_000 };
/// How long the engine may take to end.
const END: Duration = Duration::from_secs(5);
/// How often a count limit is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Runs `tx`.
pub fn tx(args: &TxArgs) -> Result<(), Fail> {
    let (port, own) = open_port(&args.common)?;
    let roles = PortRoles { tx: Some(args.spec(own)), ..PortRoles::default() };
    run(&args.common, port, roles, None)
}

/// Runs `rx`.
pub fn rx(args: &RxArgs) -> Result<(), Fail> {
    let (port, _) = open_port(&args.common)?;
    let roles = PortRoles { rx: Some(args.spec()), ..PortRoles::default() };
    run(&args.common, port, roles, args.limit())
}

/// Runs `ping`.
pub fn ping(args: &PingArgs) -> Result<(), Fail> {
    let (port, own) = open_port(&args.common)?;
    let roles = PortRoles { ping: Some(args.spec(own)), ..PortRoles::default() };
    run(&args.common, port, roles, None)
}

/// Runs `pong`.
pub fn pong(args: &PongArgs) -> Result<(), Fail> {
    let (port, _) = open_port(&args.common)?;
    let roles = PortRoles { pong: Some(args.spec()), ..PortRoles::default() };
    run(&args.common, port, roles, None)
}

/// Opens the port, with everything in place that ends this process in good order.
fn open_port(common: &CommonTrafficArgs) -> Result<(AnyPort, [u8; 6]), Fail> {
    if let Some(cpu) = common.cpu.filter(|cpu| !usable_cpus().contains(cpu)) {
        return Err(Fail::usage(format!("-a {cpu}: this process may not use processor {cpu}")));
    }
    Interrupt::install()?;
    open(&common.port)
}

fn run(common: &CommonTrafficArgs, port: AnyPort, roles: PortRoles, limit: Option<u64>) -> Result<(), Fail> {
    match port {
        AnyPort::Uvale(port) => drive(common, port, roles, limit),
        AnyPort::Packet(port) => drive(common, port, roles, limit),
    }
}

fn drive<P: Port + 'static>(
    common: &CommonTrafficArgs,
    port: P,
    roles: PortRoles,
    limit: Option<u64>,
) -> Result<(), Fail> {
    let interrupt = Interrupt::install()?;
    let counters: Arc<Counters> = Arc::default();
    let mut engine = Engine::new(IDLE);
    engine.add(PortEngine::new(port, &roles, counters.clone()).map_err(Fail::usage)?);
    let cpu = common.cpu.map(|cpu| cpu as usize);
    let mut engine = EngineThread::spawn("engine", cpu, engine).map_err(Fail::failed)?;

    engine.enter(Phase::Receive, END).map_err(Fail::failed)?;
    let waited = interrupt.sleep(common.wait);
    engine.enter(Phase::Send, END).map_err(Fail::failed)?;
    let mut show = Show::new(common, &roles, counters.snapshot());
    let began = Instant::now();
    let every = Duration::from_millis(common.report_ms);
    let mut next = began + every;
    // An engine without a sender has nothing to finish, and says at once that it has.
    let sends = roles.tx.is_some() || roles.ping.is_some();
    while waited.is_ok() {
        let left = common.duration.map_or(LOOK, |d| d.saturating_sub(began.elapsed()));
        let pause = LOOK.min(left).min(next.saturating_duration_since(Instant::now()));
        if interrupt.sleep(pause).is_err() || (sends && engine.done()) || engine.ended() {
            break;
        }
        if common.duration.is_some_and(|d| began.elapsed() >= d) {
            break;
        }
        let now = counters.snapshot();
        if limit.is_some_and(|limit| now.rx_frames >= limit) {
            break;
        }
        if Instant::now() >= next {
            next += every;
            if !show.interval(&now)? {
                break;
            }
        }
    }
    // What is in the ring is sent, and what is under way arrives, before the port goes.
    engine.enter(Phase::StopSend, END).map_err(Fail::failed)?;
    let reports = engine.finish(END).map_err(Fail::failed)?;
    let Some(WorkReport::Port(report)) = reports.into_iter().next() else {
        return Err(Fail::failed(anyhow::anyhow!("the engine had no port to report of")));
    };
    show.end(&counters.snapshot(), &report)?;
    // A Ctrl-C is the usual end of these commands and no failure.
    Ok(())
}
