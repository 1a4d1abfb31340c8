//! Why a switch or a port could not be made.

use super::PortId;
use crate::forward::MAX_PORTS;
use netmap_rs::layout::LayoutError;
use netmap_rs::memory::MemoryError;
use std::io;

/// A switch or a port could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The thread or its descriptors.
    #[error("cannot start switch {name}")]
    Start {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The processor asked for is not to be had.
    #[error("cannot run switch {name} on processor {cpu}")]
    Pin {
        /// Its name.
        name: String,
        /// The processor.
        cpu: usize,
        /// Why.
        source: io::Error,
    },
    /// There is a port already, or no such index.
    #[error("port {index} of switch {name} is taken")]
    Taken {
        /// The switch.
        name: String,
        /// The index.
        index: PortId,
    },
    /// No index is free.
    #[error("switch {name} has no free port of its {MAX_PORTS}")]
    Full {
        /// The switch.
        name: String,
    },
    /// The port's memory does not fit it.
    #[error("cannot lay out port {port}")]
    Layout {
        /// The port.
        port: String,
        /// Why.
        source: LayoutError,
    },
    /// The port's memory could not be had.
    #[error("cannot get memory for port {port}")]
    Memory {
        /// The port.
        port: String,
        /// Why.
        source: MemoryError,
    },
    /// The port's doorbell could not be made or watched.
    #[error("cannot set up the doorbell of port {port}")]
    Doorbell {
        /// The port.
        port: String,
        /// Why.
        source: io::Error,
    },
    /// The thread is gone.
    #[error("switch {name} has stopped")]
    Stopped {
        /// Its name.
        name: String,
    },
}
