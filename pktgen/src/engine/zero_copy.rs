//! A forwarder between two kernel ports that share memory, as a member of an engine: frames stay where they are, and
//! buffers change places.

use super::{Phase, Work};
use crate::Error;
use crate::counters::{Shared, Snapshot};
use crate::frame::FCS;
use crate::port::{Port, PortError};
use crate::ports::kernel::KernelIo;
use crate::roles::tx::MAX_BURST;
use crate::spec::{FwdReport, WorkReport};
use crate::template::check_count;
use netmap_rs::kernel::{CannotForward, forward};
use netmap_rs::sys::NS_MOREFRAG;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::time::Duration;

/// Forwards between two ports, in both directions, from [`Phase::Receive`] on. Received rings are matched with
/// transmit rings by number, modulo how many there are.
///
/// Frames that a full ring does not take stay in the ring that received them, so it is the sender's side that drops.
/// Fragments, and virtio-net headers, pass as they are.
#[derive(Debug)]
pub struct ZeroCopyEngine {
    ports: [KernelIo; 2],
    burst: u32,
    /// Of the direction from each port to the other.
    moved: [Moved; 2],
    counters: [Shared; 2],
    heartbeat: u64,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, Default)]
struct Moved {
    frames: u64,
    bytes: u64,
    /// The last step found no room.
    blocked: bool,
}

impl ZeroCopyEngine {
    /// Whether buffers of these ports can change places, and if not, why.
    pub fn check(ports: &mut [KernelIo; 2]) -> Result<(), CannotForward> {
        let [left, right] = ports;
        joined(left, right)?;
        joined(right, left)
    }

    /// Forwards at most `burst` frames of each ring a step; `counters` are those of the ports and start from 0.
    pub fn new(ports: [KernelIo; 2], burst: u32, counters: [Shared; 2]) -> Result<Self, Error> {
        check_count("burst", burst.into(), MAX_BURST.into())?;
        counters.iter().for_each(|counters| counters.reset());
        Ok(Self { ports, burst, moved: Default::default(), counters, heartbeat: 0, phase: Phase::Idle })
    }

    /// Moves what `ports[from]` received. Returns the slots that left.
    fn cross(&mut self, from: usize) -> Result<u32, PortError> {
        let [left, right] = &mut self.ports;
        let (from_io, to_io) = if from == 0 { (left, right) } else { (right, left) };
        if from_io.port().rx().iter().all(|ring| ring.avail() == 0) {
            let synced = from_io.port().rxsync();
            synced.map_err(|e| fail(from_io, "receive on", e))?;
        }
        if to_io.port().tx().iter().any(|ring| ring.space() == 0) {
            let synced = to_io.port().txsync();
            synced.map_err(|e| fail(to_io, "send on", e))?;
        }
        let moved = &mut self.moved[from];
        let rings = to_io.port().tx().len();
        let (mut slots, mut bytes, mut frames, mut left_over) = (0, 0, 0, false);
        for (i, rx) in from_io.port().rx().iter_mut().enumerate() {
            let Some(tx) = to_io.port().tx().get_mut(i % rings.max(1)) else { break };
            let passed = forward(rx, tx, self.burst, |frame| {
                bytes += frame.data.len() as u64;
                frames += u64::from(frame.flags & NS_MOREFRAG == 0);
                true
            });
            left_over |= tx.space() == 0 && rx.avail() > 0;
            slots += passed.map_err(|e| fail(to_io, "exchange buffers with", e))?;
        }
        moved.frames += frames;
        moved.bytes += bytes + frames * u64::from(FCS);
        moved.blocked = left_over;
        if slots > 0 {
            let synced = to_io.port().txsync();
            synced.map_err(|e| fail(to_io, "send on", e))?;
        }
        Ok(slots)
    }

    fn publish(&self) {
        for (i, counters) in self.counters.iter().enumerate() {
            let (out, into) = (self.moved[i], self.moved[1 - i]);
            counters.publish(&Snapshot {
                heartbeat: self.heartbeat,
                phase: self.phase as u32,
                rx_frames: out.frames,
                rx_bytes: out.bytes,
                tx_frames: into.frames,
                tx_bytes: into.bytes,
                ..Snapshot::default()
            });
        }
    }
}

/// Whether what `from` received can leave on `to`.
fn joined(from: &mut KernelIo, to: &mut KernelIo) -> Result<(), CannotForward> {
    match (from.port().rx().first_mut(), to.port().tx().first_mut()) {
        (Some(rx), Some(tx)) => forward(rx, tx, 0, |_| true).map(|_| ()),
        _ => Ok(()),
    }
}

#[cold]
fn fail(
    io: &KernelIo,
    operation: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> PortError {
    PortError { port: io.info().name.clone(), operation, source: source.into() }
}

impl Work for ZeroCopyEngine {
    fn enter(&mut self, phase: Phase, _now_ns: u64) -> Result<(), PortError> {
        self.phase = phase;
        self.publish();
        Ok(())
    }

    fn step(&mut self, _now_ns: u64) -> Result<u32, PortError> {
        let moved = self.cross(0)? + self.cross(1)?;
        self.heartbeat += 1;
        if moved > 0 {
            self.publish();
        } else {
            self.counters.iter().for_each(|counters| counters.beat(self.heartbeat));
        }
        Ok(moved)
    }

    fn next_ns(&self) -> Option<u64> {
        None
    }

    /// Who asks for it may measure how long frames take.
    fn patience(&self) -> u32 {
        0
    }

    /// Sleeps on both ports.
    fn wait(&mut self, timeout: Duration) -> Result<(), PortError> {
        let blocked = [self.moved[1].blocked, self.moved[0].blocked];
        self.ports.iter_mut().for_each(|io| io.port().before_poll());
        let timeout =
            Timespec { tv_sec: timeout.as_secs().min(3600) as i64, tv_nsec: timeout.subsec_nanos().into() };
        let [left, right] = &mut self.ports;
        let (left, right) = (&*left.port(), &*right.port());
        let events = |blocked| if blocked { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut fds = [PollFd::new(left, events(blocked[0])), PollFd::new(right, events(blocked[1]))];
        let polled = poll(&mut fds, Some(&timeout));
        match polled {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(fail(&self.ports[0], "wait for", std::io::Error::from(errno))),
        }
        for io in &mut self.ports {
            let polled = io.port().after_poll();
            polled.map_err(|e| fail(io, "wait for", e))?;
        }
        Ok(())
    }

    fn done(&self) -> bool {
        true
    }

    /// What was received left, so nothing is ever dropped here.
    fn report(&mut self) -> WorkReport {
        let report =
            |moved: &Moved| FwdReport { received: moved.frames, forwarded: moved.frames, dropped: 0 };
        WorkReport::Fwd(self.moved.iter().map(report).collect())
    }
}

#[cfg(test)]
mod tests;
