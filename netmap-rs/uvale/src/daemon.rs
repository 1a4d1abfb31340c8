//! The switch as a service: other processes attach ports through a Unix socket.
//!
//! [`Server`] is single-threaded and never touches frames. A connection that closes, for whatever reason, takes
//! its port with it. [`attach`] is the other end. What they say to each other is in [`wire`](crate::wire).

mod client;
mod server;

pub use client::{Link, RemotePort, attach, ports};
pub use server::Server;

use netmap_rs::csb::app::OpenError;
use netmap_rs::memory::MemoryError;
use std::io;
use std::path::PathBuf;

/// A switch cannot be served or reached.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Someone answers on the socket.
    #[error("a switch is already running on {}", path.display())]
    Running {
        /// The socket.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error("cannot listen on {}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The event loop failed.
    #[error("cannot serve {}", path.display())]
    Serve {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody answers on the socket.
    #[error("no switch is running on {}", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The conversation broke.
    #[error("the switch on {} did not answer as expected", path.display())]
    Protocol {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The switch said no.
    #[error("the switch on {} refused: {reason}", path.display())]
    Refused {
        /// The socket.
        path: PathBuf,
        /// Its reason.
        reason: String,
    },
    /// The port's memory cannot be mapped.
    #[error("cannot map the port's memory")]
    Memory(#[from] MemoryError),
    /// The port cannot be opened.
    #[error("cannot open the port")]
    Open(#[from] OpenError),
}
