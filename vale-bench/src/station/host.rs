//! A station in this process: one thread, which drives all of its ports.

use super::{Phase, Station};
use crate::cost;
use crate::exit::Fail;
use crate::result::ThreadKind;
use pktgen::counters::{Counters, Snapshot};
use pktgen::engine::{Engine, EngineError, EngineThread, PortEngine};
use pktgen::port::Port;
use pktgen::ports::lease::{Lease, Shelf};
use pktgen::spec::{IdlePolicy, PortReport, PortRoles, WorkReport};
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

    fn lease(&self, port: usize) -> Result<Lease<P>, Fail> {
        let shelf = self.ports.get(port).and_then(|(shelf, _)| shelf.lease());
        shelf.ok_or_else(|| Fail::failed(anyhow::anyhow!("port {port} of {} is in use", self.name)))
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
            let mut lease = self.lease(*port)?;
            lease.discard_received(1 << 16).map_err(Fail::failed)?;
            engine.add(PortEngine::new(lease, roles, self.ports[*port].1.clone()).map_err(Fail::failed)?);
        }
        let engine = EngineThread::spawn(&format!("engine {}", self.name), self.cpu, engine);
        let ports = roles.iter().map(|(port, _)| *port).collect();
        self.running = Some(Running { engine: engine.map_err(Fail::failed)?, ports });
        Ok(())
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

    fn report(&mut self) -> Result<Vec<(usize, PortReport)>, Fail> {
        let Some(mut running) = self.running.take() else { return Err(self.not_running()) };
        let reports = running.engine.finish(ENGINE_DEADLINE).map_err(|e| self.failed(e))?;
        let reports = running.ports.into_iter().zip(reports);
        Ok(reports
            .filter_map(|(port, report)| match report {
                WorkReport::Port(report) => Some((port, *report)),
                WorkReport::Fwd(_) => None,
            })
            .collect())
    }

    fn shut_down(&mut self, _deadline: Duration) -> Result<(), Fail> {
        self.running = None;
        Ok(())
    }
}
