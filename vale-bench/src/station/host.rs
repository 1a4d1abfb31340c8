//! A station in this process: one thread, which drives all of its ports.

use super::{Phase, Station};
use crate::exit::Fail;
use pktgen::counters::{Counters, Snapshot};
use pktgen::engine::{self, Control, Engine, PortEngine};
use pktgen::port::{Port, PortError};
use pktgen::ports::lease::{Lease, Shelf};
use pktgen::spec::{IdlePolicy, PortReport, PortRoles, WorkReport};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the engine may take to reach a phase.
const ENGINE_DEADLINE: Duration = Duration::from_secs(10);

struct Running {
    control: Arc<Control>,
    ports: Vec<usize>,
    thread: JoinHandle<Result<Vec<WorkReport>, PortError>>,
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
        let control = Arc::new(Control::default());
        let (theirs, cpu) = (control.clone(), self.cpu);
        let run = move || {
            if let Some(cpu) = cpu {
                // Checked against the processors there are when the command line was read.
                let mut set = rustix::thread::CpuSet::new();
                set.set(cpu);
                let _ = rustix::thread::sched_setaffinity(None, &set);
            }
            engine.run(&theirs)
        };
        let thread = std::thread::Builder::new().name(format!("engine {}", self.name)).spawn(run);
        let ports = roles.iter().map(|(port, _)| *port).collect();
        self.running = Some(Running { control, ports, thread: thread.map_err(Fail::failed)? });
        Ok(())
    }

    fn enter(&mut self, phase: Phase) -> Result<(), Fail> {
        let Some(running) = &self.running else {
            return Err(Fail::failed(anyhow::anyhow!("no engine is running at {}", self.name)));
        };
        let wanted = match phase {
            Phase::Receive => engine::Phase::Receive,
            Phase::Send => engine::Phase::Send,
            Phase::Drain => engine::Phase::StopSend,
        };
        if running.control.advance(wanted, ENGINE_DEADLINE) {
            return Ok(());
        }
        self.healthy()?;
        let name = &self.name;
        Err(Fail::failed(anyhow::anyhow!(
            "the engine of {name} did not reach {wanted:?} in {ENGINE_DEADLINE:?}"
        )))
    }

    fn snapshot(&self, port: usize) -> Snapshot {
        self.ports[port].1.snapshot()
    }

    fn healthy(&mut self) -> Result<(), Fail> {
        match &self.running {
            // An engine that stopped unasked has failed; its report says why.
            Some(running) if running.control.reached() == engine::Phase::Stop => match self.report() {
                Err(fail) => Err(fail),
                Ok(_) => Err(Fail::failed(anyhow::anyhow!("the engine of {} stopped by itself", self.name))),
            },
            _ => Ok(()),
        }
    }

    fn report(&mut self) -> Result<Vec<(usize, PortReport)>, Fail> {
        let Some(Running { control, ports, thread }) = self.running.take() else {
            return Err(Fail::failed(anyhow::anyhow!("no engine is running at {}", self.name)));
        };
        control.advance(engine::Phase::Stop, ENGINE_DEADLINE);
        let reports = thread.join().map_err(|_| anyhow::anyhow!("the engine of {} panicked", self.name));
        let reports = reports.map_err(Fail::failed)?.map_err(Fail::failed)?;
        let reports = ports.into_iter().zip(reports);
        Ok(reports
            .filter_map(|(port, report)| match report {
                WorkReport::Port(report) => Some((port, report)),
                WorkReport::Fwd(_) => None,
            })
            .collect())
    }

    fn shut_down(&mut self, _deadline: Duration) -> Result<(), Fail> {
        self.stop();
        Ok(())
    }
}

impl<P: Port + 'static> HostStation<P> {
    fn stop(&mut self) {
        if let Some(Running { control, thread, .. }) = self.running.take() {
            control.request(engine::Phase::Stop);
            let _ = thread.join();
        }
    }
}

impl<P: Port + 'static> Drop for HostStation<P> {
    fn drop(&mut self) {
        self.stop();
    }
}
