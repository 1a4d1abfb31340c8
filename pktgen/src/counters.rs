//! What a port has done so far, for others to sample while it runs.
//!
//! One thread writes, once a batch; anyone reads, from another thread or, where the counters lie in memory shared
//! with a guest, from another machine. So the host samples all ports by one clock.
//!
//! A sample is of one moment: its bytes are those of its frames. The totals lie there four times, and the writer,
//! which never waits, writes them in turn and then tells, by the generation, which are the latest. A reader that finds
//! three generations more after reading than before reads again. So a writer that is kept from its processor amid
//! a batch holds nobody up, nor does one whose batches are shorter than reading takes. Heartbeat and phase are words
//! of their own.
//!
//! Layout (little endian, 64-byte aligned, [`SIZE`] bytes):
//!
//! | offset | field |
//! |---|---|
//! | 0 | magic, u32 |
//! | 4 | layout version, u32 |
//! | 8 | heartbeat |
//! | 16 | phase, u32 |
//! | 20 | generation, u32: its two lowest bits tell which totals are the latest |
//! | 24 | reserved |
//! | 64, 152, 240, 328 | totals |
//!
//! Totals are words: tx_frames, tx_bytes, tx_full, rx_frames, rx_bytes, echoes, rx_missing, rx_reordered, rx_duplicate,
//! rx_corrupt, rx_foreign. What is left of [`SIZE`] is reserved.
//!
//! Deliberately absent: histograms and per-stream accounts, which the report brings at the end.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64, fence};

/// `pgCt`, little endian.
pub const MAGIC: u32 = u32::from_le_bytes(*b"pgCt");
/// Version of the layout.
pub const VERSION: u32 = 2;
/// Bytes of one [`Counters`]: 9 fit a page.
pub const SIZE: usize = 448;

/// How many totals there are. Of two, reading one takes longer now and then, on machines under load, than the writer
/// needs to come back to it, many times in a row.
const TOTALS: u32 = 4;
/// How often a reader begins anew: a guest that writes rubbish into its generation is not waited for.
const TRIES: u32 = 256;

/// What stands before the totals.
#[derive(Debug, Default)]
#[repr(C, align(64))]
struct Head {
    magic: AtomicU32,
    version: AtomicU32,
    heartbeat: AtomicU64,
    phase: AtomicU32,
    generation: AtomicU32,
}

/// The live counters of one port.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Counters {
    head: Head,
    totals: [[AtomicU64; WORDS]; TOTALS as usize],
}

const _: () = {
    assert!(size_of::<Counters>() == SIZE && SIZE.is_multiple_of(align_of::<Counters>()));
    assert!(std::mem::offset_of!(Head, heartbeat) == 8);
    assert!(std::mem::offset_of!(Head, generation) == 20);
    assert!(std::mem::offset_of!(Counters, totals) == 64);
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

/// Names the totals, once and in the order of the layout.
macro_rules! totals {
    ($($name:ident),+ $(,)?) => {
        /// Words of the totals.
        const WORDS: usize = [$(stringify!($name)),+].len();

        impl Snapshot {
            /// What is published together.
            fn totals(&self) -> [u64; WORDS] {
                [$(self.$name),+]
            }

            /// With these totals instead.
            fn with_totals(self, [$($name),+]: [u64; WORDS]) -> Snapshot {
                Snapshot { $($name,)+ ..self }
            }
        }
    };
}

totals! {
    tx_frames, tx_bytes, tx_full, rx_frames, rx_bytes, echoes, rx_missing, rx_reordered, rx_duplicate, rx_corrupt,
    rx_foreign,
}

impl Default for Counters {
    fn default() -> Self {
        let counters = Self { head: Head::default(), totals: Default::default() };
        counters.reset();
        counters
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
        for _ in &self.totals {
            self.publish(&Snapshot::default());
        }
        self.head.version.store(VERSION, Relaxed);
        self.head.magic.store(MAGIC, Relaxed);
    }

    /// Refuses memory that is not counters of this layout.
    pub fn check(&self) -> Result<(), Error> {
        let (magic, version) = (self.head.magic.load(Relaxed), self.head.version.load(Relaxed));
        if (magic, version) == (MAGIC, VERSION) {
            return Ok(());
        }
        Err(Error::Counters { magic, version, expected: VERSION })
    }

    /// The latest totals of this generation.
    #[inline]
    fn totals_of(&self, generation: u32) -> &[AtomicU64; WORDS] {
        &self.totals[(generation % TOTALS) as usize]
    }

    /// Stores all values. Only the one writing thread calls this.
    #[inline]
    pub fn publish(&self, values: &Snapshot) {
        let next = self.head.generation.load(Relaxed).wrapping_add(1);
        // Who sees one of the words below sees how old the totals are that they replace.
        fence(Release);
        for (word, value) in self.totals_of(next).iter().zip(values.totals()) {
            word.store(value, Relaxed);
        }
        self.head.generation.store(next, Release);
        self.beat(values.heartbeat);
        self.set_phase(values.phase);
    }

    /// Stores the heartbeat alone. Only the one writing thread calls this.
    #[inline]
    pub fn beat(&self, heartbeat: u64) {
        self.head.heartbeat.store(heartbeat, Relaxed);
    }

    /// Stores the phase alone. Only the one writing thread calls this.
    #[inline]
    pub fn set_phase(&self, phase: u32) {
        self.head.phase.store(phase, Relaxed);
    }

    /// Reads all values.
    pub fn snapshot(&self) -> Snapshot {
        let mut generation = self.head.generation.load(Acquire);
        let mut totals = [0; WORDS];
        for _ in 0..TRIES {
            totals = self.totals_of(generation).each_ref().map(|word| word.load(Relaxed));
            fence(Acquire);
            let now = self.head.generation.load(Acquire);
            // The writer may be at those after the latest.
            if now.wrapping_sub(generation) <= TOTALS - 2 {
                break;
            }
            generation = now;
        }
        let (heartbeat, phase) = (self.head.heartbeat.load(Relaxed), self.head.phase.load(Relaxed));
        Snapshot { heartbeat, phase, ..Snapshot::default() }.with_totals(totals)
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
    use std::time::{Duration, Instant};

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
        counters.head.version.store(VERSION + 1, Relaxed);
        assert!(matches!(counters.check(), Err(Error::Counters { version: 3, expected: 2, .. })));
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

    #[test]
    fn a_sample_is_of_one_moment() {
        let shared = Shared::default();
        let done = AtomicU32::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut frames = 0;
                while done.load(Relaxed) == 0 {
                    frames += 15;
                    shared.publish(&Snapshot {
                        tx_frames: frames,
                        rx_frames: frames,
                        rx_bytes: 64 * frames,
                        rx_foreign: 2 * frames,
                        ..Snapshot::default()
                    });
                    // A batch takes its time.
                    for _ in 0..20 {
                        std::hint::spin_loop();
                    }
                }
            });
            let mut last = Snapshot::default();
            let (mut changes, began) = (0, Instant::now());
            let torn = loop {
                let seen = shared.snapshot();
                let whole = (seen.tx_frames, 64 * seen.tx_frames, 2 * seen.tx_frames);
                if (seen.rx_frames, seen.rx_bytes, seen.rx_foreign) != whole
                    || seen.tx_frames < last.tx_frames
                {
                    break Some((last, seen));
                }
                changes += u32::from(seen != last);
                last = seen;
                if changes == 20_000 || changes > 0 && began.elapsed() > Duration::from_secs(1) {
                    break None;
                }
            };
            done.store(1, Relaxed);
            assert_eq!(torn, None);
        });
    }

    #[test]
    fn a_writer_without_end_holds_no_reader_up() {
        let shared = Shared::default();
        let done = AtomicU32::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while done.load(Relaxed) == 0 {
                    shared.head.generation.fetch_add(TOTALS, Relaxed);
                }
            });
            for _ in 0..100 {
                assert_eq!(shared.snapshot(), Snapshot::default());
            }
            done.store(1, Relaxed);
        });
    }
}
