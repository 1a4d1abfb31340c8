//! A forwarder as a member of an engine.

use super::{Phase, Work, backlog};
use crate::Error;
use crate::counters::{Shared, Snapshot};
use crate::port::{Interest, Port, PortError};
use crate::roles::fwd::Fwd;
use crate::spec::{FwdSpec, WorkReport};
use std::time::Duration;

/// Forwards between two ports, in both directions, from [`Phase::Receive`] on.
#[derive(Debug)]
pub struct FwdEngine<P, Q> {
    left: P,
    right: Q,
    rightward: Fwd,
    leftward: Fwd,
    /// Whether someone measures how long frames take.
    timed: bool,
    counters: [Shared; 2],
    heartbeat: u64,
    phase: Phase,
}

impl<P: Port, Q: Port> FwdEngine<P, Q> {
    /// Frames received on `left` leave on `right` as `specs[0]` says, and the other way round as `specs[1]`
    /// does; `counters` are those of the two ports and start from 0. Refuses what [`Fwd::new`] refuses.
    pub fn new(left: P, right: Q, specs: &[FwdSpec; 2], counters: [Shared; 2]) -> Result<Self, Error> {
        counters.iter().for_each(|counters| counters.reset());
        Ok(Self {
            rightward: Fwd::new(&specs[0], right.info())?,
            leftward: Fwd::new(&specs[1], left.info())?,
            timed: specs.iter().any(|spec| spec.timed),
            left,
            right,
            counters,
            heartbeat: 0,
            phase: Phase::Idle,
        })
    }

    fn publish(&self) {
        let start = Snapshot { heartbeat: self.heartbeat, phase: self.phase as u32, ..Snapshot::default() };
        let (mut left, mut right) = (start, start);
        self.rightward.add_received_to(&mut left);
        self.rightward.add_sent_to(&mut right);
        self.leftward.add_received_to(&mut right);
        self.leftward.add_sent_to(&mut left);
        self.counters[0].publish(&left);
        self.counters[1].publish(&right);
    }
}

impl<P: Port, Q: Port> Work for FwdEngine<P, Q> {
    fn enter(&mut self, phase: Phase, _now_ns: u64) -> Result<(), PortError> {
        self.phase = phase;
        self.publish();
        Ok(())
    }

    fn step(&mut self, now_ns: u64) -> Result<u32, PortError> {
        let moved = self.rightward.step_between(&mut self.left, &mut self.right, now_ns)?
            + self.leftward.step_between(&mut self.right, &mut self.left, now_ns)?;
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

    fn patience(&self) -> u32 {
        if self.timed { 0 } else { backlog([self.left.info(), self.right.info()]) }
    }

    fn wait(&mut self, timeout: Duration) -> Result<(), PortError> {
        // Two ports, one thread: sleep on one and look at the other every so often.
        let timeout = timeout.min(super::MAX_NAP);
        let interest = if self.leftward.blocked() { Interest::Both } else { Interest::Rx };
        self.left.wait(interest, timeout)
    }

    fn done(&self) -> bool {
        true
    }

    fn report(&mut self) -> WorkReport {
        WorkReport::Fwd(vec![self.rightward.report(), self.leftward.report()])
    }
}
