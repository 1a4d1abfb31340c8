//! The thread that runs a [`Forwarder`](crate::forward::Forwarder), and the handle by which others add, remove and read ports.
//!
//! The thread polls while there is work. Without work it spins briefly, then takes short naps, so that a batch
//! gathers where processors are scarce, and at last raises every ring's need-kick flag and sleeps until an
//! application kicks or a command comes.

mod error;
mod runner;

pub use crate::faults::{Fault, FaultKind};
pub use error::SwitchError;

use crate::counters::{Counters, Snapshot};
use crate::faults::FaultLog;
use crate::forward::MAX_PORTS;
use crate::port::SwitchPort;
use crossbeam_channel::Sender;
use mio::{Poll, Waker};
use netmap_rs::csb::CsbPort;
use netmap_rs::csb::app::OpenError;
use netmap_rs::doorbell::Doorbell;
use netmap_rs::layout::{PortLayout, PortLocation, PortShape};
use netmap_rs::memory::{self, Memory};
use runner::{Command, InsertError, Runner, Shared};
use rustix::fd::{AsFd, OwnedFd};
use serde::{Deserialize, Serialize};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Index of a port on its switch, 0 to 253.
pub type PortId = u8;

/// One of the switches that a thread serves, from 0. Ports of one do not see those of another.
pub type Segment = u8;

/// Where a port goes: the first segment and the lowest free index, unless it is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// The segment.
    pub segment: Segment,
    /// The index, which no port of any segment has.
    pub index: Option<PortId>,
}

impl From<Option<PortId>> for Place {
    fn from(index: Option<PortId>) -> Place {
        Place { index, ..Place::default() }
    }
}

/// What the thread does when it finds no work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdlePolicy {
    /// Empty rounds before the first nap.
    pub spin_rounds: u32,
    /// Length of a nap in microseconds; 0 yields the processor instead.
    pub nap_us: u32,
    /// After this long without work, in microseconds, sleep until kicked.
    pub sleep_after_us: u32,
}

impl Default for IdlePolicy {
    fn default() -> Self {
        IdlePolicy { spin_rounds: 200, nap_us: 50, sleep_after_us: 2000 }
    }
}

/// How to run a switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchConfig {
    /// Name, as in `vale0`.
    pub name: String,
    /// Processor to run on.
    pub cpu: Option<usize>,
    /// What to do without work.
    pub idle: IdlePolicy,
}

/// A port in host memory, as its application needs it.
#[derive(Debug)]
pub struct HostPort {
    /// Index on the switch.
    pub id: PortId,
    /// The memory as a file, to hand to another process.
    pub memfd: OwnedFd,
    /// The memory, mapped here.
    pub memory: Arc<Memory>,
    /// Where in it the port lies.
    pub location: PortLocation,
    /// The application's end.
    pub doorbell: Doorbell,
}

impl HostPort {
    /// Opens the port in this process.
    pub fn open(self) -> Result<CsbPort, OpenError> {
        CsbPort::open(&self.memory, &self.location, self.doorbell)
    }
}

/// A port in host memory for another process: what is sent over.
#[derive(Debug)]
pub(crate) struct RemoteParts {
    pub(crate) id: PortId,
    pub(crate) memfd: OwnedFd,
    pub(crate) len: usize,
    pub(crate) location: PortLocation,
    /// The application's end, a socket.
    pub(crate) doorbell: OwnedFd,
}

struct Registered {
    name: String,
    counters: Arc<Counters>,
}

/// A running switch. Dropping it stops the thread; applications keep their memory and see no more traffic.
pub struct Switch {
    config: SwitchConfig,
    shared: Arc<Shared>,
    faults: FaultLog,
    commands: Sender<Command>,
    registered: Mutex<Vec<Option<Registered>>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Switch").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Switch {
    /// Starts the thread.
    pub fn start(config: SwitchConfig) -> Result<Switch, SwitchError> {
        let failed = |source| SwitchError::Start { name: config.name.clone(), source };
        let poll = Poll::new().map_err(failed)?;
        let waker = Waker::new(poll.registry(), runner::WAKE).map_err(failed)?;
        let shared = Arc::new(Shared::new(waker));
        let (commands, receiver) = crossbeam_channel::unbounded();
        let (ready, started) = crossbeam_channel::bounded(1);
        let mut runner = Runner::new(poll, receiver, shared.clone(), config.idle);
        let faults = runner.fault_log();
        let cpu = config.cpu;
        let thread = std::thread::Builder::new()
            .name(format!("uvale {}", config.name))
            .spawn(move || {
                let pinned = runner.prepare(cpu);
                let go = pinned.is_ok();
                let _ = ready.send(pinned);
                if go {
                    runner.run();
                }
            })
            .map_err(failed)?;
        if let (Ok(Err(source)), Some(cpu)) = (started.recv(), cpu) {
            let _ = thread.join();
            return Err(SwitchError::Pin { name: config.name, cpu, source });
        }
        let registered = Mutex::new((0..MAX_PORTS).map(|_| None).collect());
        Ok(Switch { config, shared, faults, commands, registered, thread: Some(thread) })
    }

    /// The name it was started with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// How it was started.
    #[must_use]
    pub fn config(&self) -> &SwitchConfig {
        &self.config
    }

    /// Thread id, for pinning and for its processor time.
    #[must_use]
    pub fn thread_id(&self) -> i32 {
        self.shared.tid.load(Ordering::Relaxed)
    }

    /// Whether the thread runs. It stops when the switch is dropped, or at a fault of its own.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Adds a port in fresh host memory.
    pub fn add_host_port(
        &self,
        name: &str,
        shape: &PortShape,
        place: impl Into<Place>,
    ) -> Result<HostPort, SwitchError> {
        let layout = self.layout(name, shape)?;
        let (memfd, memory) = host_memory(name, &layout)?;
        let doorbells =
            Doorbell::pair().map_err(|source| SwitchError::Doorbell { port: name.to_owned(), source });
        let (ours, doorbell) = doorbells?;
        let id = self.add_port(name, &layout, &memory, ours, place.into())?;
        Ok(HostPort { id, memfd, memory, location: layout.location(), doorbell })
    }

    /// Adds a port in fresh host memory for another process, which is not trusted: its doorbell is a socket, for
    /// whoever is handed an eventfd can make the switch's write to it block.
    pub(crate) fn add_remote_port(&self, name: &str, shape: &PortShape) -> Result<RemoteParts, SwitchError> {
        let layout = self.layout(name, shape)?;
        let (memfd, memory) = host_memory(name, &layout)?;
        let doorbells = Doorbell::socket_pair();
        let (ours, doorbell) =
            doorbells.map_err(|source| SwitchError::Doorbell { port: name.to_owned(), source })?;
        let id = self.add_port(name, &layout, &memory, ours, Place::default())?;
        Ok(RemoteParts { id, memfd, len: memory.len(), location: layout.location(), doorbell })
    }

    /// Adds a port in memory the caller has, a guest's RAM: its index and where in `memory` it was laid out.
    /// `doorbell` is the switch's end.
    pub fn add_guest_port(
        &self,
        name: &str,
        shape: &PortShape,
        memory: &Arc<Memory>,
        doorbell: Doorbell,
        place: impl Into<Place>,
    ) -> Result<(PortId, PortLocation), SwitchError> {
        let layout = self.layout(name, shape)?;
        let id = self.add_port(name, &layout, memory, doorbell, place.into())?;
        Ok((id, layout.location()))
    }

    fn layout(&self, name: &str, shape: &PortShape) -> Result<PortLayout, SwitchError> {
        PortLayout::new(shape).map_err(|source| SwitchError::Layout { port: name.to_owned(), source })
    }

    fn add_port(
        &self,
        name: &str,
        layout: &PortLayout,
        memory: &Arc<Memory>,
        doorbell: Doorbell,
        Place { segment, index }: Place,
    ) -> Result<PortId, SwitchError> {
        let counters = Arc::new(Counters::default());
        let port = SwitchPort::new(name, layout, memory, doorbell, counters.clone())
            .map_err(|source| SwitchError::Layout { port: name.to_owned(), source })?
            .in_segment(segment);
        // Held across the command, so that the registry and the switch change together.
        let mut registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        let (reply, answer) = crossbeam_channel::bounded(1);
        self.command(Command::Insert { index, port: Box::new(port), reply })?;
        let id = match answer.recv().map_err(|_| self.stopped())? {
            Ok(id) => id,
            Err(InsertError::Taken(index)) => {
                return Err(SwitchError::Taken { name: self.config.name.clone(), index });
            }
            Err(InsertError::Full) => return Err(SwitchError::Full { name: self.config.name.clone() }),
            Err(InsertError::Doorbell(source)) => {
                return Err(SwitchError::Doorbell { port: name.to_owned(), source });
            }
        };
        registered[usize::from(id)] = Some(Registered { name: name.to_owned(), counters });
        Ok(id)
    }

    /// Takes a port out; whether there was one. When this returns the switch no longer touches its memory.
    pub fn remove_port(&self, index: PortId) -> Result<bool, SwitchError> {
        self.retire_port(index).map(|counted| counted.is_some())
    }

    /// Takes a port out, as [`remove_port`](Switch::remove_port) does; what it had counted at the end.
    pub fn retire_port(&self, index: PortId) -> Result<Option<Snapshot>, SwitchError> {
        let mut registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        let (reply, answer) = crossbeam_channel::bounded(1);
        self.command(Command::Remove { index, reply })?;
        let removed = answer.recv().map_err(|_| self.stopped())?;
        if let Some(place) = registered.get_mut(usize::from(index)) {
            *place = None;
        }
        // The port is dropped, and its memory unmapped, here and not on the thread that forwards.
        Ok(removed.map(|port| *port.counted()))
    }

    /// Every port's name and counters.
    #[must_use]
    pub fn ports(&self) -> Vec<(PortId, String, Snapshot)> {
        let registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        let ports = registered.iter().enumerate();
        ports
            .filter_map(|(i, r)| r.as_ref().map(|r| (i as PortId, r.name.clone(), r.counters.snapshot())))
            .collect()
    }

    /// One port's counters.
    #[must_use]
    pub fn counters(&self, index: PortId) -> Option<Snapshot> {
        let registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        Some(registered.get(usize::from(index))?.as_ref()?.counters.snapshot())
    }

    /// How often the thread slept until kicked, and how often it napped.
    #[must_use]
    pub fn sleeps_and_naps(&self) -> (u64, u64) {
        (self.shared.sleeps.load(Ordering::Relaxed), self.shared.naps.load(Ordering::Relaxed))
    }

    /// How often the thread slept to the bound of a sleep while a port had work: each is a kick that was lost,
    /// or that a port with a dead doorbell could not send.
    #[must_use]
    pub fn late_wakeups(&self) -> u64 {
        self.shared.late.load(Ordering::Relaxed)
    }

    /// Takes the faults since the last call: for each port the first of each kind.
    #[must_use]
    pub fn take_faults(&self) -> Vec<Fault> {
        self.faults.take()
    }

    fn stopped(&self) -> SwitchError {
        SwitchError::Stopped { name: self.config.name.clone() }
    }

    fn command(&self, command: Command) -> Result<(), SwitchError> {
        self.commands.send(command).map_err(|_| self.stopped())?;
        self.shared.ask().map_err(|_| self.stopped())
    }
}

fn host_memory(port: &str, layout: &PortLayout) -> Result<(OwnedFd, Arc<Memory>), SwitchError> {
    let failed = |source| SwitchError::Memory { port: port.to_owned(), source };
    let memfd = memory::create_memfd(&format!("uvale:{port}"), layout.len()).map_err(failed)?;
    let memory = Memory::map_sealed(memfd.as_fd(), layout.len()).map_err(failed)?;
    Ok((memfd, memory))
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.command(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
