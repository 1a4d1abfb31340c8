//! The course of a traffic command: engines on their threads, reports in between, and the end by a count, a time,
//! silence or Ctrl-C.

use crate::cli::RunArgs;
use crate::exit::Fail;
use crate::interrupt::Interrupt;
use crate::machine::usable_cpus;
use pktgen::counters::Snapshot;
use pktgen::engine::{Engine, EngineThread, Phase, Work};
use pktgen::spec::{IdlePolicy, WorkReport};
use std::time::{Duration, Instant};

/// Polls for a while, then sleeps until kicked: a port alone has its thread for itself.
const MEMORY_IDLE: IdlePolicy =
    IdlePolicy { spin: 1000, nap_us: 20, longest_nap_us: 0, wait_after_us: 2_000 };
/// Sleeps in the port at once: each look at a kernel's port is a system call, and the one that sleeps also looks.
const KERNEL_IDLE: IdlePolicy = IdlePolicy { spin: 0, nap_us: 20, longest_nap_us: 0, wait_after_us: 0 };
/// Never sleeps.
const BUSY: IdlePolicy = IdlePolicy { spin: u32::MAX, nap_us: 0, longest_nap_us: 0, wait_after_us: u32::MAX };
/// How long an engine may take to end.
const END: Duration = Duration::from_secs(5);
/// How often limits are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What ends a command besides a time and Ctrl-C.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    /// So many frames received.
    pub(super) frames: Option<u64>,
    /// Nothing received for so long, once something was.
    pub(super) silence: Option<Duration>,
}

/// Engines, each on its thread.
pub(super) struct Session<'a> {
    args: &'a RunArgs,
    idle: IdlePolicy,
    usable: Vec<u32>,
    engines: Vec<EngineThread>,
}

/// Refuses processors that this process may not use.
pub(super) fn check_cpus(args: &RunArgs) -> Result<(), Fail> {
    let usable = usable_cpus();
    let asked = args.cpus.iter().flat_map(|cpus| &cpus.0);
    match asked.into_iter().find(|cpu| !usable.contains(cpu)) {
        Some(cpu) => Err(Fail::usage(format!("-a {cpu}: this process may not use processor {cpu}"))),
        None => Ok(()),
    }
}

impl<'a> Session<'a> {
    /// Without engines. `kernel` says that looking at the ports takes system calls.
    pub(super) fn new(args: &'a RunArgs, kernel: bool) -> Session<'a> {
        let idle = match (args.busy, kernel) {
            (true, _) => BUSY,
            (false, true) => KERNEL_IDLE,
            (false, false) => MEMORY_IDLE,
        };
        Session { args, idle, usable: usable_cpus(), engines: Vec::new() }
    }

    /// Starts an engine with one member.
    pub(super) fn add(&mut self, member: impl Work + 'static) -> Result<(), Fail> {
        let mut engine = Engine::new(self.idle);
        engine.add(member);
        let i = self.engines.len();
        let cpu = self.args.cpus.as_ref().map(|cpus| cpus.of(i, &self.usable) as usize);
        let thread = EngineThread::spawn(&format!("engine-{i}"), cpu, engine).map_err(Fail::failed)?;
        self.engines.push(thread);
        Ok(())
    }

    fn enter(&mut self, phase: Phase) -> Result<(), Fail> {
        self.engines.iter_mut().try_for_each(|engine| engine.enter(phase, END)).map_err(Fail::failed)
    }

    /// Runs to the end. `sends` says that engines are done when they have sent all they were to send; `total` counts;
    /// `report` is called when sending begins, and then once an interval, and says whether to go on. Returns what
    /// the members report.
    pub(super) fn run(
        mut self,
        sends: bool,
        limits: Limits,
        total: &dyn Fn() -> Snapshot,
        report: &mut dyn FnMut(bool, &Snapshot) -> Result<bool, Fail>,
    ) -> Result<Vec<WorkReport>, Fail> {
        let interrupt = Interrupt::install()?;
        self.enter(Phase::Receive)?;
        let waited = interrupt.sleep(self.args.wait);
        self.enter(Phase::Send)?;
        report(true, &total())?;
        let began = Instant::now();
        let every = Duration::from_millis(self.args.report_ms);
        let mut next = began + every;
        let mut heard = (0, began);
        while waited.is_ok() {
            let duration = self.args.duration;
            let left = duration.map_or(LOOK, |d| d.saturating_sub(began.elapsed()));
            let pause = LOOK.min(left).min(next.saturating_duration_since(Instant::now()));
            let done = |engine: &EngineThread| sends && engine.done();
            if interrupt.sleep(pause).is_err()
                || self.engines.iter().all(done)
                || self.engines.iter().any(EngineThread::ended)
                || duration.is_some_and(|d| began.elapsed() >= d)
            {
                break;
            }
            let now = total();
            if now.rx_frames > heard.0 {
                heard = (now.rx_frames, Instant::now());
            }
            let silent = limits.silence.is_some_and(|limit| heard.0 > 0 && heard.1.elapsed() >= limit);
            if silent || limits.frames.is_some_and(|limit| now.rx_frames >= limit) {
                break;
            }
            if Instant::now() >= next {
                next += every;
                if !report(false, &now)? {
                    break;
                }
            }
        }
        // What is in the ring is sent, and what is under way arrives, before the port goes.
        self.enter(Phase::StopSend)?;
        let mut reports = Vec::new();
        for mut engine in self.engines {
            reports.extend(engine.finish(END).map_err(Fail::failed)?);
        }
        // A Ctrl-C is the usual end of these commands and no failure.
        Ok(reports)
    }
}
