//! One thread that drives ports with roles, and the [`Control`] by which another thread tells it what phase of a
//! trial it is.
//!
//! The loop steps every member once, with one reading of the clock: first all that receive, a ring's worth at most, then
//! all that send. Where a thread drives both ends, as of p2p, nobody else empties the one while it fills the other: what
//! it sent before it looked would be lost of a switch that passes a whole ring on at once, after a pause of its own, and
//! be the generator's loss, not the switch's.
//!
//! When nothing moved it idles by the [`IdlePolicy`]: first it polls, then it takes naps, at last it waits on its port
//! if it has but one, for at most [`MAX_WAIT`], so that a new phase is seen in time.
//!
//! Where threads share processors each wake-up takes time from the others, and a thread that is kept from its
//! processor for too long loses frames. So naps grow while each brings in few frames, up to the policy's limit,
//! and shrink when one brings in many: an engine wakes as often as its rings need, not as often as it can. That
//! holds where frames may wait in the rings ([`Work::patience`]); there it naps at once, without polling. Elsewhere
//! naps stay as they are, and none lasts past the time the next frame is due. Under a policy whose naps never grow no
//! sleep lasts past [`AHEAD_NS`] before that, and the rest is polled.
//!
//! An engine runs on the thread it is run on; [`EngineThread`] gives it one of its own.
#![forbid(unsafe_code)]

mod control;
mod floor;
mod fwd;
mod port;
mod thread;
mod zero_copy;

pub use control::{Control, Phase};
pub use floor::floor;
pub use fwd::FwdEngine;
pub use port::PortEngine;
pub use thread::{EngineError, EngineThread, panic_text};
pub use zero_copy::ZeroCopyEngine;

use crate::clock::{Clock, Monotonic};
use crate::port::{PortError, PortInfo};
use crate::spec::{IdlePolicy, WorkReport};
use std::num::NonZeroU64;
use std::time::Duration;

/// Longest sleep of an engine: how late it may see a new phase.
pub const MAX_WAIT: Duration = Duration::from_millis(10);
/// Longest nap of an engine with several members, none of whose ports it may therefore wait on.
pub const MAX_NAP: Duration = Duration::from_millis(1);
/// Where threads have processors of their own, the last so many nanoseconds before a frame is due are polled through:
/// a sleeper wakes up some tens of microseconds late.
pub const AHEAD_NS: u64 = 60_000;

/// Frames that may wait in a ring before its thread wakes up more often: a wake-up is then paid for by so many.
const BACKLOG: u32 = 512;

/// The [`Work::patience`] of who moves frames by these ports and is not waited for: half of their smallest ring, as much
/// is left for what comes while the thread is kept from its processor, and no more than so many in larger ones.
fn backlog<const N: usize>(ports: [&PortInfo; N]) -> u32 {
    let smallest = ports.iter().map(|info| info.tx_slots.min(info.rx_slots)).min().unwrap_or(0);
    (smallest / 2).min(BACKLOG)
}

/// One member of an engine.
pub trait Work: Send {
    /// A new phase begins.
    fn enter(&mut self, phase: Phase, now_ns: u64) -> Result<(), PortError>;
    /// Takes what has arrived, and passes on what is to be passed on; returns the frames moved. Not called in
    /// [`Phase::Idle`] and [`Phase::Stop`].
    fn step(&mut self, now_ns: u64) -> Result<u32, PortError>;
    /// Sends at most one batch for each sender; returns the frames sent. Called after every member's [`Work::step`].
    fn send(&mut self, _now_ns: u64) -> Result<u32, PortError> {
        Ok(0)
    }
    /// When there will be something to do even if nothing arrives; `None` if never.
    fn next_ns(&self) -> Option<u64>;
    /// How many frames may wait in its rings before they need looking after; 0 if none may, as where someone
    /// waits for the answer.
    fn patience(&self) -> u32;
    /// Sleeps until there may be something to do, or `timeout` passes.
    fn wait(&mut self, timeout: Duration) -> Result<(), PortError>;
    /// Whether every sender has sent the count it was given; true where there is no sender.
    fn done(&self) -> bool;
    /// What was done so far.
    fn report(&mut self) -> WorkReport;
}

/// Drives its members on the calling thread.
pub struct Engine {
    members: Vec<Box<dyn Work>>,
    idle: IdlePolicy,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { members, idle } = self;
        f.debug_struct("Engine").field("members", &members.len()).field("idle", idle).finish()
    }
}

impl Engine {
    /// An engine without members.
    pub fn new(idle: IdlePolicy) -> Self {
        Self { members: Vec::new(), idle }
    }

    /// Adds a member: a [`PortEngine`] or a [`FwdEngine`].
    pub fn add(&mut self, member: impl Work + 'static) {
        self.members.push(Box::new(member));
    }

    /// Follows `control` until [`Phase::Stop`], and reports in the order in which members were added. If a port
    /// fails, everything stops and the error is returned; however it ends, `control` shows [`Phase::Stop`] as
    /// reached.
    pub fn run(&mut self, control: &Control) -> Result<Vec<WorkReport>, PortError> {
        let _reached_in_the_end = control.reach_stop_on_drop();
        // The kernel may delay a sleeper by its timer slack, 50 µs unless told otherwise: as much as a whole nap.
        let slack = rustix::thread::current_timer_slack().ok().and_then(NonZeroU64::new);
        let sharp = rustix::thread::set_current_timer_slack(NonZeroU64::new(1_000)).is_ok();
        let ended = self.follow(control);
        if sharp && slack.is_some() {
            // It was settable a moment ago, and a failure would only leave sleeps more exact than before.
            let _ = rustix::thread::set_current_timer_slack(slack);
        }
        ended?;
        Ok(self.members.iter_mut().map(|member| member.report()).collect())
    }

    fn follow(&mut self, control: &Control) -> Result<(), PortError> {
        let mut phase = Phase::Idle;
        self.enter(phase, control)?;
        let mut idle = Idle::default();
        let mut nap = Nap::new(&self.idle, &self.members);
        loop {
            let wanted = control.requested();
            if wanted != phase {
                phase = wanted;
                self.enter(phase, control)?;
                idle = Idle::default();
            }
            match phase {
                Phase::Stop => return Ok(()),
                Phase::Idle => std::thread::sleep(MAX_WAIT),
                Phase::Receive | Phase::Send | Phase::StopSend => {
                    let now_ns = Monotonic.now_ns();
                    let mut moved = 0;
                    for member in &mut self.members {
                        moved += member.step(now_ns)?;
                    }
                    let now_ns = if moved > 0 { Monotonic.now_ns() } else { now_ns };
                    for member in &mut self.members {
                        moved += member.send(now_ns)?;
                    }
                    if moved > 0 {
                        idle = Idle::default();
                        nap.brought_in += u64::from(moved);
                    } else {
                        if phase == Phase::Send && self.members.iter().all(|member| member.done()) {
                            control.set_done();
                        }
                        self.rest(&mut idle, &mut nap, now_ns)?;
                    }
                }
            }
        }
    }

    fn enter(&mut self, phase: Phase, control: &Control) -> Result<(), PortError> {
        let now_ns = Monotonic.now_ns();
        for member in &mut self.members {
            member.enter(phase, now_ns)?;
        }
        control.reach(phase);
        Ok(())
    }

    /// Idles for a moment, after a round in which nothing moved.
    fn rest(&mut self, idle: &mut Idle, nap: &mut Nap, now_ns: u64) -> Result<(), PortError> {
        idle.rounds += 1;
        if idle.rounds <= self.idle.spin && !nap.grows() {
            std::hint::spin_loop();
            return Ok(());
        }
        let since_ns = *idle.since_ns.get_or_insert(now_ns);
        let due_ns =
            self.members.iter().filter_map(|member| member.next_ns()).filter(|&due| due > now_ns).min();
        let until_due = due_ns.map_or(MAX_WAIT, |due| Duration::from_nanos(due - now_ns));
        let shared = self.idle.longest_nap_us > self.idle.nap_us;
        let until_due =
            if shared { until_due } else { until_due.saturating_sub(Duration::from_nanos(AHEAD_NS)) };
        if until_due.is_zero() {
            std::hint::spin_loop();
            return Ok(());
        }
        let long = now_ns - since_ns >= u64::from(self.idle.wait_after_us) * 1000;
        match self.members.as_mut_slice() {
            [member] if long => member.wait(until_due.min(MAX_WAIT))?,
            _ if long => std::thread::sleep(until_due.min(MAX_NAP)),
            _ if self.idle.nap_us == 0 => rustix::thread::sched_yield(),
            _ if nap.grows() => std::thread::sleep(nap.next().min(MAX_WAIT)),
            _ => std::thread::sleep(nap.next().min(until_due).min(MAX_WAIT)),
        }
        Ok(())
    }
}

/// How long to nap.
#[derive(Debug)]
struct Nap {
    now: Duration,
    shortest: Duration,
    longest: Duration,
    /// Frames that may come in during one.
    patience: u32,
    /// Frames since the last one began.
    brought_in: u64,
}

impl Nap {
    fn new(policy: &IdlePolicy, members: &[Box<dyn Work>]) -> Self {
        let patience = members.iter().map(|member| member.patience()).min().unwrap_or(0);
        let shortest = Duration::from_micros(policy.nap_us.into());
        let longest =
            if patience > 0 { Duration::from_micros(policy.longest_nap_us.into()) } else { shortest };
        Self { now: shortest, shortest, longest: longest.max(shortest), patience, brought_in: 0 }
    }

    fn grows(&self) -> bool {
        self.longest > self.shortest
    }

    /// Begins one.
    fn next(&mut self) -> Duration {
        let brought_in = std::mem::take(&mut self.brought_in);
        if brought_in > u64::from(self.patience) {
            self.now = (self.now / 2).max(self.shortest);
        } else if brought_in < u64::from(self.patience / 4) {
            self.now = (self.now * 2).min(self.longest);
        }
        self.now
    }
}

/// How long nothing has moved.
#[derive(Debug, Default)]
struct Idle {
    rounds: u32,
    since_ns: Option<u64>,
}

#[cfg(test)]
mod tests;
