//! The thread that runs a [`Forwarder`], and the handle by which others add, remove and read ports.
//!
//! The thread polls while there is work. Without work it spins briefly, then takes short naps, so that a batch
//! gathers where processors are scarce, and at last raises every ring's need-kick flag and sleeps until an
//! application kicks or a command comes.

use crate::counters::{Counters, Snapshot};
use crate::forward::{Forwarder, MAX_PORTS, SwitchPort};
use crossbeam_channel::{Receiver, Sender};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use netmap_rs::csb::app::OpenError;
use netmap_rs::csb::CsbPort;
use netmap_rs::doorbell::Doorbell;
use netmap_rs::layout::{LayoutError, PortLayout, PortLocation, PortShape};
use netmap_rs::memory::{self, Memory, MemoryError};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Index of a port on its switch, 0 to 253.
pub type PortId = u8;

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

/// A switch or a port could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The thread or its descriptors.
    #[error("cannot start switch {name}")]
    Start {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The processor asked for is not to be had.
    #[error("cannot run switch {name} on processor {cpu}")]
    Pin {
        /// Its name.
        name: String,
        /// The processor.
        cpu: usize,
        /// Why.
        source: io::Error,
    },
    /// There is a port already, or no such index.
    #[error("port {index} of switch {name} is taken")]
    Taken {
        /// The switch.
        name: String,
        /// The index.
        index: PortId,
    },
    /// No index is free.
    #[error("switch {name} has no free port of its {MAX_PORTS}")]
    Full {
        /// The switch.
        name: String,
    },
    /// The port's memory does not fit it.
    #[error("cannot lay out port {port}")]
    Layout {
        /// The port.
        port: String,
        /// Why.
        source: LayoutError,
    },
    /// The port's memory could not be had.
    #[error("cannot get memory for port {port}")]
    Memory {
        /// The port.
        port: String,
        /// Why.
        source: MemoryError,
    },
    /// The port's doorbell could not be made or watched.
    #[error("cannot set up the doorbell of port {port}")]
    Doorbell {
        /// The port.
        port: String,
        /// Why.
        source: io::Error,
    },
    /// The thread is gone.
    #[error("switch {name} has stopped")]
    Stopped {
        /// Its name.
        name: String,
    },
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

/// Something a port did that a maintainer would want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The port.
    pub port: PortId,
    /// What happened.
    pub what: String,
}

enum Command {
    Insert { index: Option<PortId>, port: Box<SwitchPort>, reply: Sender<Result<PortId, (bool, PortId)>> },
    Remove { index: PortId, reply: Sender<bool> },
    Stop,
}

struct Registered {
    name: String,
    counters: Arc<Counters>,
}

struct Shared {
    asked: AtomicBool,
    waker: Waker,
    tid: AtomicI32,
    sleeps: AtomicU64,
    naps: AtomicU64,
    faults: Mutex<Vec<Fault>>,
}

/// At most this many faults are kept; the counters go on.
const MAX_FAULTS: usize = 64;

/// A running switch. Dropping it stops the thread; applications keep their memory and see no more traffic.
pub struct Switch {
    config: SwitchConfig,
    shared: Arc<Shared>,
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
        let waker = Waker::new(poll.registry(), WAKE).map_err(failed)?;
        let shared = Arc::new(Shared {
            asked: AtomicBool::new(false),
            waker,
            tid: AtomicI32::new(0),
            sleeps: AtomicU64::new(0),
            naps: AtomicU64::new(0),
            faults: Mutex::new(Vec::new()),
        });
        let (commands, receiver) = crossbeam_channel::unbounded();
        let (ready, started) = crossbeam_channel::bounded(1);
        let mut runner = Runner {
            forwarder: Forwarder::default(),
            active: Vec::new(),
            poll,
            commands: receiver,
            shared: shared.clone(),
            idle: config.idle,
        };
        let cpu = config.cpu;
        let thread = std::thread::Builder::new()
            .name(format!("uvale {}", config.name))
            .spawn(move || {
                runner.shared.tid.store(rustix::thread::gettid().as_raw_nonzero().get(), Ordering::Relaxed);
                // Naps are as short as asked for, not rounded up by the default slack of 50 µs.
                let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1000));
                let pinned = cpu.map_or(Ok(()), |cpu| {
                    let mut set = rustix::thread::CpuSet::new();
                    if cpu >= rustix::thread::CpuSet::MAX_CPU {
                        return Err(io::Error::from(rustix::io::Errno::INVAL));
                    }
                    set.set(cpu);
                    rustix::thread::sched_setaffinity(None, &set).map_err(io::Error::from)
                });
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
        Ok(Switch { config, shared, commands, registered, thread: Some(thread) })
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

    /// Adds a port in fresh host memory, at `index` or the lowest free one.
    pub fn add_host_port(
        &self,
        name: &str,
        shape: &PortShape,
        index: Option<PortId>,
    ) -> Result<HostPort, SwitchError> {
        let layout = self.layout(name, shape)?;
        let memory_error = |source| SwitchError::Memory { port: name.to_owned(), source };
        let memfd = memory::create_memfd(&format!("uvale:{name}"), layout.len()).map_err(memory_error)?;
        let memory = Memory::map_sealed(memfd.as_fd(), layout.len()).map_err(memory_error)?;
        let doorbells = Doorbell::pair().map_err(|source| SwitchError::Doorbell { port: name.to_owned(), source });
        let (ours, doorbell) = doorbells?;
        let id = self.add_port(name, &layout, &memory, ours, index)?;
        Ok(HostPort { id, memfd, memory, location: layout.location(), doorbell })
    }

    /// Adds a port in memory the caller has, a guest's RAM: its index and where in `memory` it was laid out.
    /// `doorbell` is the switch's end.
    pub fn add_guest_port(
        &self,
        name: &str,
        shape: &PortShape,
        memory: &Arc<Memory>,
        doorbell: Doorbell,
    ) -> Result<(PortId, PortLocation), SwitchError> {
        let layout = self.layout(name, shape)?;
        let id = self.add_port(name, &layout, memory, doorbell, None)?;
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
        index: Option<PortId>,
    ) -> Result<PortId, SwitchError> {
        let counters = Arc::new(Counters::default());
        let port = SwitchPort::new(name, layout, memory, doorbell, counters.clone())
            .map_err(|source| SwitchError::Layout { port: name.to_owned(), source })?;
        // Held across the command, so that the registry and the switch change together.
        let mut registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        let (reply, answer) = crossbeam_channel::bounded(1);
        self.command(Command::Insert { index, port: Box::new(port), reply })?;
        let id = match answer.recv().map_err(|_| self.stopped())? {
            Ok(id) => id,
            Err((true, index)) => return Err(SwitchError::Taken { name: self.config.name.clone(), index }),
            Err((false, _)) => return Err(SwitchError::Full { name: self.config.name.clone() }),
        };
        registered[usize::from(id)] = Some(Registered { name: name.to_owned(), counters });
        Ok(id)
    }

    /// Takes a port out; whether there was one. When this returns the switch no longer touches its memory.
    pub fn remove_port(&self, index: PortId) -> Result<bool, SwitchError> {
        let mut registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        let (reply, answer) = crossbeam_channel::bounded(1);
        self.command(Command::Remove { index, reply })?;
        let removed = answer.recv().map_err(|_| self.stopped())?;
        if let Some(place) = registered.get_mut(usize::from(index)) {
            *place = None;
        }
        Ok(removed)
    }

    /// Every port's name and counters.
    #[must_use]
    pub fn ports(&self) -> Vec<(PortId, String, Snapshot)> {
        let registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        let ports = registered.iter().enumerate();
        ports.filter_map(|(i, r)| r.as_ref().map(|r| (i as PortId, r.name.clone(), r.counters.snapshot()))).collect()
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

    /// Takes the faults since the last call.
    #[must_use]
    pub fn take_faults(&self) -> Vec<Fault> {
        std::mem::take(&mut self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn stopped(&self) -> SwitchError {
        SwitchError::Stopped { name: self.config.name.clone() }
    }

    fn command(&self, command: Command) -> Result<(), SwitchError> {
        self.commands.send(command).map_err(|_| self.stopped())?;
        self.shared.asked.store(true, Ordering::Release);
        self.shared.waker.wake().map_err(|_| self.stopped())
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.command(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Token of the waker; ports use their index.
const WAKE: Token = Token(MAX_PORTS);
/// The longest sleep: a bound on how long anything missed can go unnoticed.
const MAX_SLEEP: Duration = Duration::from_secs(1);

struct Runner {
    forwarder: Forwarder,
    /// Indices of the ports there are, in order.
    active: Vec<PortId>,
    poll: Poll,
    commands: Receiver<Command>,
    shared: Arc<Shared>,
    idle: IdlePolicy,
}

impl Runner {
    fn run(&mut self) {
        let mut events = Events::with_capacity(64);
        let mut empty_rounds = 0u32;
        let mut idle_since = None;
        loop {
            if self.shared.asked.load(Ordering::Relaxed) && !self.obey() {
                return;
            }
            let mut taken = 0;
            for i in 0..self.active.len() {
                taken += self.forwarder.forward_from(self.active[i]);
            }
            if taken > 0 {
                empty_rounds = 0;
                idle_since = None;
                continue;
            }
            empty_rounds += 1;
            if empty_rounds <= self.idle.spin_rounds {
                std::hint::spin_loop();
                continue;
            }
            empty_rounds = self.idle.spin_rounds;
            let since = *idle_since.get_or_insert_with(Instant::now);
            if since.elapsed() < Duration::from_micros(self.idle.sleep_after_us.into()) {
                self.shared.naps.fetch_add(1, Ordering::Relaxed);
                if self.idle.nap_us == 0 {
                    std::thread::yield_now();
                } else {
                    std::thread::sleep(Duration::from_micros(self.idle.nap_us.into()));
                }
                continue;
            }
            self.sleep(&mut events);
        }
    }

    /// Sleeps until an application kicks or a command comes.
    fn sleep(&mut self, events: &mut Events) {
        for (_, port) in self.forwarder.ports_mut() {
            port.want_kicks(true);
        }
        let busy = self.forwarder.ports_mut().any(|(_, port)| port.has_work());
        if !busy && !self.shared.asked.load(Ordering::Acquire) {
            self.shared.sleeps.fetch_add(1, Ordering::Relaxed);
            // An interrupted or failed poll only means a round more.
            let _ = self.poll.poll(events, Some(MAX_SLEEP));
        }
        let poll = &self.poll;
        for (index, port) in self.forwarder.ports_mut() {
            port.want_kicks(false);
            if let Some(e) = port.drain_doorbell() {
                unwatch(poll, port.doorbell().rung_fd());
                note(&self.shared, index, format!("the doorbell of {} is dead: {e}", port.name));
            }
        }
    }

    /// Carries out the commands at hand; false to stop.
    fn obey(&mut self) -> bool {
        self.shared.asked.store(false, Ordering::Relaxed);
        // The flag is lowered before the queue is read, so a command sent now raises it again.
        std::sync::atomic::fence(Ordering::SeqCst);
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Insert { index, port, reply } => {
                    let _ = reply.send(self.insert(index, *port));
                }
                Command::Remove { index, reply } => {
                    let port = self.forwarder.remove(index);
                    self.active.retain(|&i| i != index);
                    if let Some(port) = &port {
                        unwatch(&self.poll, port.doorbell().rung_fd());
                    }
                    let removed = port.is_some();
                    drop(port);
                    let _ = reply.send(removed);
                }
                Command::Stop => return false,
            }
        }
        true
    }

    fn insert(&mut self, index: Option<PortId>, port: SwitchPort) -> Result<PortId, (bool, PortId)> {
        let Some(index) = index.or_else(|| self.forwarder.free_index()) else { return Err((false, 0)) };
        let fd = port.doorbell().rung_fd().as_raw_fd();
        let watched =
            self.poll.registry().register(&mut SourceFd(&fd), Token(usize::from(index)), Interest::READABLE);
        let name = port.name.clone();
        if let Err(port) = self.forwarder.insert(index, port) {
            unwatch(&self.poll, port.doorbell().rung_fd());
            return Err((true, index));
        }
        if let Err(e) = watched {
            note(&self.shared, index, format!("cannot watch the doorbell of {name}: {e}"));
        }
        self.active.push(index);
        self.active.sort_unstable();
        Ok(index)
    }
}

fn unwatch(poll: &Poll, fd: BorrowedFd<'_>) {
    // Not being watched any more is what is wanted.
    let _ = poll.registry().deregister(&mut SourceFd(&fd.as_raw_fd()));
}

fn note(shared: &Shared, port: PortId, what: String) {
    let mut faults = shared.faults.lock().unwrap_or_else(PoisonError::into_inner);
    if faults.len() < MAX_FAULTS {
        faults.push(Fault { port, what });
    }
}
