//! What ports did that they should not have, for whoever runs the switch to read.
//!
//! The counters count every occurrence; here the first of each kind is described for each port, so that a
//! hostile port cannot fill memory or a log, nor hide another port's fault behind its own.

use crate::switch::PortId;
use std::sync::{Arc, Mutex, PoisonError};

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FaultKind {
    /// `head` of a transmit ring was out of range; it was put back.
    TxCursor,
    /// `head` of a receive ring was out of range; it was put back.
    RxCursor,
    /// A slot given for transmission named no buffer, or more bytes than one has; its packet was dropped.
    TxSlot,
    /// A slot given for reception named no buffer; it was given its own again.
    RxSlot,
    /// The doorbell failed or its other end closed; it is not used any more.
    Doorbell,
}

/// Something a port did that a maintainer would want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The port.
    pub port: PortId,
    /// Of which kind; there is one fault of each kind for each port.
    pub kind: FaultKind,
    /// What happened, with the port's name.
    pub what: String,
}

/// At most this many faults wait to be taken: all kinds of all ports fit, but ports come and go.
const MAX_FAULTS: usize = 2048;

/// Where faults wait.
#[derive(Debug, Clone, Default)]
pub(crate) struct FaultLog(Arc<Mutex<Vec<Fault>>>);

impl FaultLog {
    pub(crate) fn push(&self, fault: Fault) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.len() < MAX_FAULTS {
            faults.push(fault);
        }
    }

    pub(crate) fn take(&self) -> Vec<Fault> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
