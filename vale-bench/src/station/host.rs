//! A station in this process: one thread, which drives all of its ports.

use super::{Phase, Station, StationReport};
use crate::cost;
use crate::exit::Fail;
use crate::result::ThreadKind;
use pktgen::counters::{Counters, Snapshot};
use pktgen::engine::{Engine, EngineError, EngineThread, FwdEngine, PortEngine};
use pktgen::port::Port;
use pktgen::ports::lease::{Lease, Shelf};
use pktgen::spec::{FwdSpec, IdlePolicy, PortRoles, WorkReport};
use std::sync::Arc;
use std::time::Duration;

/// How long the engine may take to reach a phase.
const ENGINE_DEADLINE: Duration = Duration::from_secs(10);

struct Running {
    engine: EngineThread,
    ports: Vec<usize>,
}

/// A thread of this process and its ports.
pub struct HostStation<P: Port + 'static> {
    name: String,
    cpu: Option<usize>,
    ports: Vec<(Shelf<P>, Arc<Counters>)>,
    running: Option<Running>,
}

impl<P: Port + 'static> HostStation<P> {
    /// A station with these ports, whose thread runs on `cpu`.
    pub fn new(name: &str, cpu: Option<usize>, ports: Vec<P>) -> HostStation<P> {
        let ports = ports.into_iter().map(|port| (Shelf::new(port), Arc::default())).collect();
        HostStation { name: name.to_owned(), cpu, ports, running: None }
    }

    /// A port for an engine, empty, and its counters.
    fn lease(&self, port: usize) -> Result<(Lease<P>, Arc<Counters>), Fail> {
        let place = self.ports.get(port);
        let lease = place.and_then(|(shelf, counters)| Some((shelf.lease()?, counters.clone())));
        let in_use = || Fail::failed(anyhow::anyhow!("port {port} of {} is in use", self.name));
        let (mut lease, counters) = lease.ok_or_else(in_use)?;
        lease.discard_received(1 << 16).map_err(Fail::failed)?;
        Ok((lease, counters))
    }

    fn start(&mut self, engine: Engine, ports: Vec<usize>) -> Result<(), Fail> {
        let engine = EngineThread::spawn(&format!("engine {}", self.name), self.cpu, engine);
        self.running = Some(Running { engine: engine.map_err(Fail::failed)?, ports });
        Ok(())
    }

    fn not_running(&self) -> Fail {
        Fail::failed(anyhow::anyhow!("no engine is running at {}", self.name))
    }

    fn failed(&self, error: EngineError) -> Fail {
        Fail::failed(anyhow::Error::new(error).context(self.name.clone()))
    }
}

impl<P: Port + 'static> Station for HostStation<P> {
    fn name(&self) -> &str {
        &self.name
    }

    fn busy_threads(&self) -> u32 {
        1
    }

    fn prepare(&mut self, roles: Vec<(usize, PortRoles)>, idle: IdlePolicy) -> Result<(), Fail> {
        let mut engine = Engine::new(idle);
        for (port, roles) in &roles {
            let (lease, counters) = self.lease(*port)?;
            engine.add(PortEngine::new(lease, roles, counters).map_err(Fail::failed)?);
        }
        self.start(engine, roles.iter().map(|(port, _)| *port).collect())
    }

    fn forward(&mut self, ports: [usize; 2], specs: [FwdSpec; 2], idle: IdlePolicy) -> Result<(), Fail> {
        let [(left, left_counters), (right, right_counters)] = [self.lease(ports[0])?, self.lease(ports[1])?];
        let counters = [left_counters.into(), right_counters.into()];
        let mut engine = Engine::new(idle);
        engine.add(FwdEngine::new(left, right, &specs, counters).map_err(Fail::failed)?);
        self.start(engine, Vec::new())
    }

    fn floor(&mut self, size: u16, idle: IdlePolicy, length: Duration) -> Result<String, Fail> {
        let floor = pktgen::engine::floor(size, idle, self.cpu, length);
        floor.map(|latency| latency.encode()).map_err(Fail::failed)
    }

    fn threads(&self) -> Vec<cost::Thread> {
        let id = self.running.as_ref().and_then(|running| running.engine.thread_id());
        let thread = |id| cost::Thread::own(&self.name, ThreadKind::Engine, id);
        id.map(thread).into_iter().collect()
    }

    fn enter(&mut self, phase: Phase) -> Result<(), Fail> {
        let Some(running) = &mut self.running else { return Err(self.not_running()) };
        let entered = running.engine.enter(phase, ENGINE_DEADLINE);
        entered.map_err(|e| self.failed(e))
    }

    fn snapshot(&self, port: usize) -> Snapshot {
        self.ports[port].1.snapshot()
    }

    fn healthy(&mut self) -> Result<(), Fail> {
        let healthy = self.running.as_mut().map_or(Ok(()), |running| running.engine.healthy());
        healthy.map_err(|e| self.failed(e))
    }

    fn report(&mut self) -> Result<StationReport, Fail> {
        let Some(mut running) = self.running.take() else { return Err(self.not_running()) };
        let reports = running.engine.finish(ENGINE_DEADLINE).map_err(|e| self.failed(e))?;
        let mut numbers = running.ports.into_iter();
        let mut whole = StationReport::default();
        for report in reports {
            match report {
                WorkReport::Port(report) => whole.ports.extend(numbers.next().map(|port| (port, *report))),
                WorkReport::Fwd(reports) => whole.forwarded.extend(reports),
            }
        }
        Ok(whole)
    }

    fn shut_down(&mut self, _deadline: Duration) -> Result<(), Fail> {
        self.running = None;
        Ok(())
    }
}
