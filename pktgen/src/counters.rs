//! What a port has done so far, for others to sample while it runs.
//!
//! One thread writes, with relaxed stores once a batch; anyone reads, from another thread or, where the counters
//! lie in memory shared with a guest, from another machine. So the host samples all ports by one clock. Fields
//! are single words and never torn, but a sample may see a batch's frames and not yet its bytes: two fields
//! differ by at most one batch.
//!
//! Layout (little endian, 64-byte aligned, [`SIZE`] bytes):
//!
//! | offset | field | | offset | field |
//! |---|---|---|---|---|
//! | 0 | magic, u32 | | 64 | rx_missing |
//! | 4 | layout version, u32 | | 72 | rx_reordered |
//! | 8 | heartbeat | | 80 | rx_duplicate |
//! | 16 | tx_frames | | 88 | rx_corrupt |
//! | 24 | tx_bytes | | 96 | rx_foreign |
//! | 32 | tx_full | | 104 | phase, u32 |
//! | 40 | rx_frames | | 108 | reserved, 0 |
//! | 48 | rx_bytes | | 112 | reserved, 0 |
//! | 56 | echoes | | 120 | reserved, 0 |
//!
//! Deliberately absent: histograms and per-stream accounts, which the report brings at the end.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// `pgCt`, little endian.
pub const MAGIC: u32 = u32::from_le_bytes(*b"pgCt");
/// Version of the layout.
pub const VERSION: u32 = 1;
/// Bytes of one [`Counters`]: 32 fit a page.
pub const SIZE: usize = 128;

/// The live counters of one port.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Counters {
    magic: AtomicU32,
    version: AtomicU32,
    heartbeat: AtomicU64,
    tx_frames: AtomicU64,
    tx_bytes: AtomicU64,
    tx_full: AtomicU64,
    rx_frames: AtomicU64,
    rx_bytes: AtomicU64,
    echoes: AtomicU64,
    rx_missing: AtomicU64,
    rx_reordered: AtomicU64,
    rx_duplicate: AtomicU64,
    rx_corrupt: AtomicU64,
    rx_foreign: AtomicU64,
    phase: AtomicU32,
    reserved: [AtomicU32; 5],
}

const _: () = {
    assert!(size_of::<Counters>() == SIZE && 4096 % SIZE == 0);
    assert!(std::mem::offset_of!(Counters, heartbeat) == 8);
    assert!(std::mem::offset_of!(Counters, tx_frames) == 16);
    assert!(std::mem::offset_of!(Counters, rx_frames) == 40);
    assert!(std::mem::offset_of!(Counters, rx_missing) == 64);
    assert!(std::mem::offset_of!(Counters, phase) == 104);
};

/// The values of [`Counters`] at one moment, or the totals a writer publishes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Rounds of the engine's loop: a port whose heartbeat stands still is stuck or its machine is.
    pub heartbeat: u64,
    /// Frames published.
    pub tx_frames: u64,
    /// Their bytes including FCS.
    pub tx_bytes: u64,
    /// Batches cut short by a full ring.
    pub tx_full: u64,
    /// Frames received, of any kind.
    pub rx_frames: u64,
    /// Their bytes including FCS.
    pub rx_bytes: u64,
    /// Round trips that ping measured.
    pub echoes: u64,
    /// Sequence numbers missing so far, over all streams.
    pub rx_missing: u64,
    /// Frames reordered, over all streams.
    pub rx_reordered: u64,
    /// Frames duplicate, over all streams.
    pub rx_duplicate: u64,
    /// Marked frames that are damaged.
    pub rx_corrupt: u64,
    /// Frames without our mark.
    pub rx_foreign: u64,
    /// The engine's [`crate::engine::Phase`], as a number.
    pub phase: u32,
}

impl Default for Counters {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            magic: AtomicU32::new(MAGIC),
            version: AtomicU32::new(VERSION),
            heartbeat: zero(),
            tx_frames: zero(),
            tx_bytes: zero(),
            tx_full: zero(),
            rx_frames: zero(),
            rx_bytes: zero(),
            echoes: zero(),
            rx_missing: zero(),
            rx_reordered: zero(),
            rx_duplicate: zero(),
            rx_corrupt: zero(),
            rx_foreign: zero(),
            phase: AtomicU32::new(0),
            reserved: Default::default(),
        }
    }
}

impl Counters {
    /// The counters at `place`, which may hold anything: call [`Counters::reset`] to write them, or
    /// [`Counters::check`] before reading another's.
    ///
    /// # Safety
    /// `place` must be aligned to 64 bytes and lie at the start of [`SIZE`] bytes that stay mapped, readable and
    /// writable for `'a`, and that every thread and machine accesses by atomic operations only.
    #[allow(unsafe_code)]
    pub unsafe fn at<'a>(place: *mut u8) -> &'a Self {
        debug_assert!(place.cast::<Self>().is_aligned(), "counters at {place:p}");
        // SAFETY: the caller vouches for alignment, lifetime and atomic access; atomics allow every bit pattern
        // and changes by others.
        unsafe { &*place.cast::<Self>() }
    }

    /// Sets all to 0, with magic and version in place.
    pub fn reset(&self) {
        self.publish(&Snapshot::default());
        self.reserved.iter().for_each(|word| word.store(0, Relaxed));
        self.version.store(VERSION, Relaxed);
        self.magic.store(MAGIC, Relaxed);
    }

    /// Refuses memory that is not counters of this layout.
    pub fn check(&self) -> Result<(), Error> {
        let (magic, version) = (self.magic.load(Relaxed), self.version.load(Relaxed));
        if (magic, version) == (MAGIC, VERSION) {
            return Ok(());
        }
        Err(Error::Counters { magic, version, expected: VERSION })
    }

    /// Stores all values. Only the one writing thread calls this.
    #[inline]
    pub fn publish(&self, values: &Snapshot) {
        self.tx_frames.store(values.tx_frames, Relaxed);
        self.tx_bytes.store(values.tx_bytes, Relaxed);
        self.tx_full.store(values.tx_full, Relaxed);
        self.rx_frames.store(values.rx_frames, Relaxed);
        self.rx_bytes.store(values.rx_bytes, Relaxed);
        self.echoes.store(values.echoes, Relaxed);
        self.rx_missing.store(values.rx_missing, Relaxed);
        self.rx_reordered.store(values.rx_reordered, Relaxed);
        self.rx_duplicate.store(values.rx_duplicate, Relaxed);
        self.rx_corrupt.store(values.rx_corrupt, Relaxed);
        self.rx_foreign.store(values.rx_foreign, Relaxed);
        self.beat(values.heartbeat);
        self.set_phase(values.phase);
    }

    /// Stores the heartbeat alone. Only the one writing thread calls this.
    #[inline]
    pub fn beat(&self, heartbeat: u64) {
        self.heartbeat.store(heartbeat, Relaxed);
    }

    /// Stores the phase alone. Only the one writing thread calls this.
    #[inline]
    pub fn set_phase(&self, phase: u32) {
        self.phase.store(phase, Relaxed);
    }

    /// Reads all values.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            heartbeat: self.heartbeat.load(Relaxed),
            tx_frames: self.tx_frames.load(Relaxed),
            tx_bytes: self.tx_bytes.load(Relaxed),
            tx_full: self.tx_full.load(Relaxed),
            rx_frames: self.rx_frames.load(Relaxed),
            rx_bytes: self.rx_bytes.load(Relaxed),
            echoes: self.echoes.load(Relaxed),
            rx_missing: self.rx_missing.load(Relaxed),
            rx_reordered: self.rx_reordered.load(Relaxed),
            rx_duplicate: self.rx_duplicate.load(Relaxed),
            rx_corrupt: self.rx_corrupt.load(Relaxed),
            rx_foreign: self.rx_foreign.load(Relaxed),
            phase: self.phase.load(Relaxed),
        }
    }
}

/// Counters wherever they lie: on the heap, or in memory mapped for the rest of the process's life.
#[derive(Debug, Clone)]
pub enum Shared {
    /// On the heap.
    Heap(Arc<Counters>),
    /// In a page that outlives every engine.
    Page(&'static Counters),
}

impl Default for Shared {
    fn default() -> Self {
        Self::Heap(Arc::default())
    }
}

impl From<Arc<Counters>> for Shared {
    fn from(counters: Arc<Counters>) -> Self {
        Self::Heap(counters)
    }
}

impl From<&'static Counters> for Shared {
    fn from(counters: &'static Counters) -> Self {
        Self::Page(counters)
    }
}

impl Deref for Shared {
    type Target = Counters;

    #[inline]
    fn deref(&self) -> &Counters {
        match self {
            Self::Heap(counters) => counters,
            Self::Page(counters) => counters,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C, align(4096))]
    struct Page([u8; 4096]);

    #[test]
    #[allow(unsafe_code)]
    fn counters_in_a_page_of_rubbish_are_refused_until_reset() {
        let page = Box::leak(Box::new(Page([0xa5; 4096])));
        // SAFETY: the page is aligned, never freed, and from here on reached through this reference only.
        let counters: &'static Counters = unsafe { Counters::at(page.0.as_mut_ptr().add(SIZE)) };
        assert!(matches!(counters.check(), Err(Error::Counters { magic: 0xa5a5_a5a5, .. })));
        counters.reset();
        counters.check().unwrap();
        assert_eq!(counters.snapshot(), Snapshot::default());
        counters.version.store(VERSION + 1, Relaxed);
        assert!(matches!(counters.check(), Err(Error::Counters { version: 2, expected: 1, .. })));
    }

    #[test]
    fn every_published_value_is_read_back_from_its_own_field() {
        let values = Snapshot {
            heartbeat: 1,
            tx_frames: 2,
            tx_bytes: 3,
            tx_full: 4,
            rx_frames: 5,
            rx_bytes: 6,
            echoes: 7,
            rx_missing: 8,
            rx_reordered: 9,
            rx_duplicate: 10,
            rx_corrupt: 11,
            rx_foreign: 12,
            phase: 13,
        };
        let shared = Shared::default();
        shared.publish(&values);
        assert_eq!(shared.snapshot(), values);
    }
}
