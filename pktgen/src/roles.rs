//! What a port does during a trial, as state machines.
//!
//! A role is made before the trial with all the memory it needs, is stepped by whoever drives it, once a batch,
//! with the time, and reports at the end. A step never waits, and never allocates, locks or reads a clock for
//! each frame. The driver starts and stops the senders ([`tx::Tx`], [`ping::Ping`]); receivers act whenever
//! stepped.

pub mod fwd;
mod numbers;
pub mod ping;
pub mod pong;
pub mod rx;
mod stage;
pub mod tx;

/// First and last time something happened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span(Option<(u64, u64)>);

impl Span {
    #[inline]
    pub(crate) fn extend(&mut self, now_ns: u64) {
        self.0 = Some((self.0.map_or(now_ns, |(first, _)| first), now_ns));
    }

    pub(crate) fn elapsed_ns(self) -> u64 {
        self.0.map_or(0, |(first, last)| last - first)
    }
}

#[cfg(test)]
mod tests;
