//! How a controller and an engine's thread talk: a phase asked for, and the phase reached.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The phases of a trial, in their usual order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u32)]
pub enum Phase {
    /// Nothing runs; the engine mostly sleeps.
    Idle = 0,
    /// Receivers, reflectors and forwarders run.
    Receive = 1,
    /// Senders run too.
    Send = 2,
    /// Senders have stopped, what is under way still arrives.
    StopSend = 3,
    /// It is over: the engine returns.
    Stop = 4,
}

impl Phase {
    fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Idle,
            1 => Self::Receive,
            2 => Self::Send,
            3 => Self::StopSend,
            _ => Self::Stop,
        }
    }
}

/// Shared by one engine and whoever controls it.
#[derive(Debug, Default)]
pub struct Control {
    requested: AtomicU32,
    reached: AtomicU32,
    done: AtomicBool,
}

impl Control {
    /// Asks for a phase. The engine takes it up at the end of its round, or within [`super::MAX_WAIT`].
    pub fn request(&self, phase: Phase) {
        self.requested.store(phase as u32, Ordering::Release);
    }

    /// The phase asked for.
    pub fn requested(&self) -> Phase {
        Phase::from_number(self.requested.load(Ordering::Acquire))
    }

    /// The phase the engine is in; [`Phase::Stop`] once it has returned or panicked.
    pub fn reached(&self) -> Phase {
        Phase::from_number(self.reached.load(Ordering::Acquire))
    }

    /// Whether every sender has sent the count it was given and nothing moves any more. An engine without senders
    /// is done as soon as it idles in [`Phase::Send`].
    pub fn done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// Asks for a phase and waits until the engine is in it, or has stopped. False if it was not in time.
    pub fn advance(&self, phase: Phase, limit: Duration) -> bool {
        self.request(phase);
        let deadline = Instant::now() + limit;
        loop {
            let reached = self.reached();
            if reached == phase || reached == Phase::Stop {
                return reached == phase;
            }
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    pub(super) fn reach(&self, phase: Phase) {
        self.reached.store(phase as u32, Ordering::Release);
    }

    pub(super) fn set_done(&self) {
        self.done.store(true, Ordering::Release);
    }

    pub(super) fn reach_stop_on_drop(&self) -> impl Drop + '_ {
        struct Reach<'a>(&'a Control);
        impl Drop for Reach<'_> {
            fn drop(&mut self) {
                self.0.reach(Phase::Stop);
            }
        }
        Reach(self)
    }
}
