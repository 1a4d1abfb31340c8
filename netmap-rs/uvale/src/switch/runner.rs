//! The thread of a switch: rounds over the ports, idling, and the commands of the handle.

use super::{IdlePolicy, PortId};
use crate::faults::FaultLog;
use crate::forward::{Forwarder, MAX_PORTS};
use crate::port::SwitchPort;
use crossbeam_channel::{Receiver, Sender};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::thread::CpuSet;
use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Token of the waker; ports use their index.
pub(super) const WAKE: Token = Token(MAX_PORTS);
/// The longest sleep: a bound on how long anything missed can go unnoticed.
const MAX_SLEEP: Duration = Duration::from_secs(1);
/// Timer slack in nanoseconds: naps are as short as asked for, not rounded up by the default of 50 µs.
const TIMER_SLACK: NonZeroU64 = NonZeroU64::new(1000).unwrap();

/// Why a port was not inserted.
pub(super) enum InsertError {
    Taken(PortId),
    Full,
    Doorbell(io::Error),
}

pub(super) enum Command {
    Insert { index: Option<PortId>, port: Box<SwitchPort>, reply: Sender<Result<PortId, InsertError>> },
    Remove { index: PortId, reply: Sender<Option<Box<SwitchPort>>> },
    Stop,
}

/// What the thread and its handle both see.
pub(super) struct Shared {
    asked: AtomicBool,
    waker: Waker,
    pub(super) tid: AtomicI32,
    pub(super) sleeps: AtomicU64,
    pub(super) naps: AtomicU64,
    pub(super) late: AtomicU64,
}

impl Shared {
    pub(super) fn new(waker: Waker) -> Shared {
        Shared {
            asked: AtomicBool::new(false),
            waker,
            tid: AtomicI32::new(0),
            sleeps: AtomicU64::new(0),
            naps: AtomicU64::new(0),
            late: AtomicU64::new(0),
        }
    }

    /// Tells the thread that a command was sent.
    pub(super) fn ask(&self) -> io::Result<()> {
        self.asked.store(true, Ordering::Release);
        self.waker.wake()
    }
}

pub(super) struct Runner {
    forwarder: Forwarder,
    /// Indices of the ports there are, in order.
    active: Vec<PortId>,
    poll: Poll,
    commands: Receiver<Command>,
    shared: Arc<Shared>,
    idle: IdlePolicy,
}

impl Runner {
    pub(super) fn new(
        poll: Poll,
        commands: Receiver<Command>,
        shared: Arc<Shared>,
        idle: IdlePolicy,
    ) -> Runner {
        Runner { forwarder: Forwarder::default(), active: Vec::new(), poll, commands, shared, idle }
    }

    pub(super) fn fault_log(&self) -> FaultLog {
        self.forwarder.fault_log()
    }

    /// Sets the calling thread up as the switch's.
    pub(super) fn prepare(&self, cpu: Option<usize>) -> io::Result<()> {
        self.shared.tid.store(rustix::thread::gettid().as_raw_nonzero().get(), Ordering::Relaxed);
        // Without it naps are longer, no more.
        let _ = rustix::thread::set_current_timer_slack(Some(TIMER_SLACK));
        let Some(cpu) = cpu else { return Ok(()) };
        if cpu >= CpuSet::MAX_CPU {
            return Err(rustix::io::Errno::INVAL.into());
        }
        let mut set = CpuSet::new();
        set.set(cpu);
        Ok(rustix::thread::sched_setaffinity(None, &set)?)
    }

    pub(super) fn run(&mut self) {
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
            if empty_rounds < self.idle.spin_rounds {
                empty_rounds += 1;
                std::hint::spin_loop();
                continue;
            }
            let since = *idle_since.get_or_insert_with(Instant::now);
            if since.elapsed() < Duration::from_micros(self.idle.sleep_after_us.into()) {
                self.shared.naps.fetch_add(1, Ordering::Relaxed);
                if self.idle.nap_us == 0 {
                    std::thread::yield_now();
                } else {
                    std::thread::sleep(Duration::from_micros(self.idle.nap_us.into()));
                }
            } else if self.sleep(&mut events) {
                // Naps come before the next sleep, so that a port which cries wolf cannot make this loop spin.
                idle_since = None;
            }
        }
    }

    /// Sleeps until an application kicks or a command comes; false if nothing of the kind happened.
    fn sleep(&mut self, events: &mut Events) -> bool {
        for (_, port) in self.forwarder.ports_mut() {
            port.want_kicks(true);
        }
        let mut stirred = self.has_work();
        if !stirred && !self.shared.asked.load(Ordering::Acquire) {
            self.shared.sleeps.fetch_add(1, Ordering::Relaxed);
            // An interrupted or failed poll means a few naps and another try.
            stirred = self.poll.poll(events, Some(MAX_SLEEP)).is_err() || !events.is_empty();
            if !stirred && self.has_work() {
                self.shared.late.fetch_add(1, Ordering::Relaxed);
                stirred = true;
            }
        }
        for (_, port) in self.forwarder.ports_mut() {
            port.want_kicks(false);
        }
        for event in events.iter() {
            let port = u8::try_from(event.token().0).ok().and_then(|i| self.forwarder.port_mut(i));
            if let Some(port) = port
                && !port.drain_doorbell()
            {
                unwatch(&self.poll, port.doorbell().rung_fd());
            }
        }
        events.clear();
        stirred
    }

    /// Whether any port has; each is looked at, so that each with a bad cursor is put right.
    fn has_work(&mut self) -> bool {
        self.forwarder.ports_mut().fold(false, |work, (_, port)| work | port.has_work())
    }

    /// Carries out the commands at hand; false to stop.
    fn obey(&mut self) -> bool {
        // A swap, so that this either sees the store of whoever asked, and with it the command, or comes before
        // it and leaves the flag up.
        self.shared.asked.swap(false, Ordering::Acquire);
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
                    let _ = reply.send(port.map(Box::new));
                }
                Command::Stop => return false,
            }
        }
        true
    }

    fn insert(&mut self, index: Option<PortId>, port: SwitchPort) -> Result<PortId, InsertError> {
        let index = index.or_else(|| self.forwarder.free_index()).ok_or(InsertError::Full)?;
        if usize::from(index) >= MAX_PORTS || self.forwarder.port_mut(index).is_some() {
            return Err(InsertError::Taken(index));
        }
        let fd = port.doorbell().rung_fd().as_raw_fd();
        let registry = self.poll.registry();
        registry
            .register(&mut SourceFd(&fd), Token(usize::from(index)), Interest::READABLE)
            .map_err(InsertError::Doorbell)?;
        if let Err(port) = self.forwarder.insert(index, port) {
            unwatch(&self.poll, port.doorbell().rung_fd());
            return Err(InsertError::Taken(index));
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
