//! Monotonic time in nanoseconds, and a clock that tests move by hand.
//!
//! Roles never ask for the time themselves once a frame: the engine reads the clock once a batch and passes it
//! in. Ping is the exception, because what it measures is time.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A source of monotonic nanoseconds.
pub trait Clock {
    /// Nanoseconds since an arbitrary fixed point; never goes back.
    fn now_ns(&self) -> u64;
}

/// `CLOCK_MONOTONIC`, read through the vDSO: no system call where the machine has a usable time stamp counter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Monotonic;

impl Clock for Monotonic {
    #[inline]
    fn now_ns(&self) -> u64 {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        // Monotonic time starts at boot and is never negative; 64 bits of nanoseconds last 584 years.
        t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
    }
}

/// A clock that stands still until it is moved; clones share the time.
#[derive(Debug, Clone, Default)]
pub struct Manual(Arc<AtomicU64>);

impl Manual {
    /// A clock that shows `now_ns`.
    pub fn at(now_ns: u64) -> Self {
        Self(Arc::new(AtomicU64::new(now_ns)))
    }

    /// Moves the clock forward by `ns` and returns the new time.
    pub fn advance(&self, ns: u64) -> u64 {
        self.0.fetch_add(ns, Ordering::Relaxed) + ns
    }
}

impl Clock for Manual {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn monotonic_time_advances_as_the_standard_library_sees_it() {
        let (std_start, start) = (Instant::now(), Monotonic.now_ns());
        std::thread::sleep(Duration::from_millis(5));
        let ours = Monotonic.now_ns() - start;
        let theirs = std_start.elapsed().as_nanos() as u64;
        assert!(ours >= 5_000_000, "slept 5 ms, the clock moved {ours} ns");
        assert!(ours <= theirs, "the inner interval {ours} exceeds the outer {theirs}");
    }

    #[test]
    fn clones_of_a_manual_clock_share_its_time() {
        let clock = Manual::at(7);
        let other = clock.clone();
        assert_eq!(clock.advance(3), 10);
        assert_eq!(other.now_ns(), 10);
    }
}
