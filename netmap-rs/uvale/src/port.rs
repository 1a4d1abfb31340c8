//! One port of the switch: the kernel's half of its rings, its doorbell and its counts.

use crate::counters::{Counters, Snapshot};
use crate::faults::{Fault, FaultKind, FaultLog};
use crate::switch::{PortId, Segment};
use netmap_rs::csb::kern::{KernRx, KernTx};
use netmap_rs::doorbell::Doorbell;
use netmap_rs::layout::{LayoutError, PortLayout};
use netmap_rs::memory::Memory;
use std::fmt::Display;
use std::sync::Arc;

/// A transmit ring, and what is known of the chain of fragments at its front.
#[derive(Debug)]
pub(crate) struct TxState {
    pub(crate) ring: KernTx,
    /// Slots that wait for the rest of their chain, 0 if none do.
    pub(crate) stalled: u32,
    /// The rest of a chain that was dropped is still to come, and is dropped too.
    pub(crate) skipping: bool,
}

/// One port of the switch.
#[derive(Debug)]
pub struct SwitchPort {
    /// Name, for messages.
    pub name: String,
    /// The switch it is on, of those that a forwarder serves.
    pub(crate) segment: Segment,
    pub(crate) tx: Vec<TxState>,
    pub(crate) rx: Vec<KernRx>,
    pub(crate) now: Snapshot,
    pub(crate) counters: Arc<Counters>,
    doorbell: Doorbell,
    /// The doorbell failed: it is neither rung nor read any more.
    deaf: bool,
    pub(crate) reporter: Reporter,
}

/// Describes the first fault of each kind.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    index: PortId,
    log: FaultLog,
    /// A bit for each [`FaultKind`] already described.
    reported: u8,
}

impl Reporter {
    #[cold]
    pub(crate) fn report(&mut self, kind: FaultKind, port: &str, what: impl Display) {
        let bit = 1 << kind as u8;
        if self.reported & bit == 0 {
            self.reported |= bit;
            self.log.push(Fault { port: self.index, kind, what: format!("{port}: {what}") });
        }
    }
}

impl SwitchPort {
    /// Formats `mem` as a fresh port and takes the switch's side of it.
    pub fn new(
        name: &str,
        layout: &PortLayout,
        mem: &Arc<Memory>,
        doorbell: Doorbell,
        counters: Arc<Counters>,
    ) -> Result<SwitchPort, LayoutError> {
        layout.format(mem, name)?;
        let rings = layout.rings(mem)?;
        let tx = |r| TxState { ring: KernTx::new(mem.clone(), r), stalled: 0, skipping: false };
        Ok(SwitchPort {
            name: name.to_owned(),
            segment: 0,
            tx: rings.tx.into_iter().map(tx).collect(),
            rx: rings.rx.into_iter().map(|r| KernRx::new(mem.clone(), r)).collect(),
            doorbell,
            now: Snapshot::default(),
            counters,
            deaf: false,
            reporter: Reporter::default(),
        })
    }

    /// Puts it on another switch than the first.
    #[must_use]
    pub fn in_segment(self, segment: Segment) -> SwitchPort {
        SwitchPort { segment, ..self }
    }

    /// From now on faults go to `log`, as those of port `index`.
    pub(crate) fn report_to(&mut self, log: &FaultLog, index: PortId) {
        self.reporter = Reporter { index, log: log.clone(), reported: 0 };
    }

    /// The doorbell the application rings.
    #[must_use]
    pub fn doorbell(&self) -> &Doorbell {
        &self.doorbell
    }

    /// What the port has counted so far.
    #[must_use]
    pub fn counted(&self) -> &Snapshot {
        &self.now
    }

    /// Takes in the application's kicks; false if the doorbell is dead, which ends its use.
    pub fn drain_doorbell(&mut self) -> bool {
        if !self.deaf
            && let Err(e) = self.doorbell.drain()
        {
            self.deafen(&e);
        }
        !self.deaf
    }

    #[cold]
    fn deafen(&mut self, e: &std::io::Error) {
        self.deaf = true;
        self.reporter.report(FaultKind::Doorbell, &self.name, format_args!("its doorbell is dead: {e}"));
    }

    /// Asks the application to kick when it sends.
    pub fn want_kicks(&mut self, on: bool) {
        for tx in &mut self.tx {
            tx.ring.want_kicks(on);
        }
    }

    /// Whether the application has given slots that were not taken, other than the beginning of a chain. A ring
    /// with a bad cursor is put right and has none.
    pub fn has_work(&mut self) -> bool {
        let mut work = false;
        for TxState { ring, stalled, .. } in &mut self.tx {
            match ring.pending() {
                Ok(pending) => work |= pending != *stalled,
                Err(e) => {
                    self.now.resets += 1;
                    self.counters.publish(&self.now);
                    self.reporter.report(FaultKind::TxCursor, &self.name, e);
                }
            }
        }
        work
    }

    #[cold]
    pub(crate) fn wake(&mut self) {
        if self.deaf {
            return;
        }
        self.now.wakeups += 1;
        self.counters.publish(&self.now);
        if let Err(e) = self.doorbell.ring() {
            self.deafen(&e);
        }
    }
}
