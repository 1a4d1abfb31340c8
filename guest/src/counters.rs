//! The page of counters that a guest shares with the host: the guest's engine writes, the host reads by its own
//! clock.

use netmap_rs::memory::Memory;
use pktgen::counters::{Counters, SIZE, Shared, Snapshot};
use std::sync::Arc;

/// Bytes of the page.
const PAGE: usize = 4096;
/// Ports a guest can have: so many counters fit the page.
pub const MAX_PORTS: usize = PAGE / SIZE;

/// The page, as either side has it mapped.
#[derive(Debug, Clone)]
pub struct CounterPage {
    memory: Arc<Memory>,
}

impl CounterPage {
    /// Takes a page of memory that holds counters and nothing else.
    ///
    /// # Panics
    /// If it is smaller than a page.
    #[must_use]
    pub fn new(memory: Arc<Memory>) -> CounterPage {
        assert!(memory.len() >= PAGE, "counters need a page, not {} bytes", memory.len());
        CounterPage { memory }
    }

    /// The counters of a port now; all 0 where there is no such port. A guest that writes rubbish there has
    /// rubbish for its figures.
    #[must_use]
    pub fn snapshot(&self, port: usize) -> Snapshot {
        if port >= MAX_PORTS {
            return Snapshot::default();
        }
        // SAFETY: the entry lies in the page (see `new`), which is page-aligned and mapped as long as `self`; every
        // side reaches it by the atomics of Counters.
        unsafe { Counters::at(self.memory.base().as_ptr().add(port * SIZE)).snapshot() }
    }

    /// The counters of a port, for the engine that writes them. The page stays mapped for the rest of the
    /// process's life.
    pub fn of(&self, port: usize) -> Result<Shared, String> {
        if port >= MAX_PORTS {
            return Err(format!("port {port} has no counters: there are {MAX_PORTS}"));
        }
        std::mem::forget(self.memory.clone());
        // SAFETY: as in `snapshot`; the clone forgotten above keeps the page mapped for ever.
        let counters: &'static Counters =
            unsafe { Counters::at(self.memory.base().as_ptr().add(port * SIZE)) };
        Ok(counters.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_side_publishes_the_other_reads() {
        let memory = Memory::heap(PAGE);
        let (guest, host) = (CounterPage::new(memory.clone()), CounterPage::new(memory));
        for port in 0..MAX_PORTS {
            let values = Snapshot { rx_frames: port as u64 + 1, ..Snapshot::default() };
            guest.of(port).unwrap().publish(&values);
        }
        for port in 0..MAX_PORTS {
            assert_eq!(host.snapshot(port).rx_frames, port as u64 + 1);
        }
        assert_eq!(host.snapshot(MAX_PORTS), Snapshot::default());
        assert!(guest.of(MAX_PORTS).is_err());
    }
}
