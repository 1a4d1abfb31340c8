//! What this crate refuses, with the operands that say why.

use crate::engine::EngineError;
use crate::port::PortError;

/// Why a role, a port or a report could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A frame size the port cannot carry, in bytes including FCS.
    #[error(
        "frame size {size} is outside {min} to {max} bytes including FCS, which is what port {port} carries"
    )]
    FrameSize {
        /// The size asked for.
        size: u16,
        /// The smallest that fits the mark.
        min: u16,
        /// The largest that fits the port's buffers.
        max: u32,
        /// The port's name.
        port: String,
    },
    /// A count outside its range: flows, bursts, sizes.
    #[error("{what} must be {min} to {max}, not {value}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// What was asked for.
        value: u64,
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
    },
    /// A rate outside its range, or not a number.
    #[error("a rate of {value} {unit} is outside {min} to {max} {unit}")]
    Rate {
        /// What was asked for.
        value: f64,
        /// `pps` or `bit/s`.
        unit: &'static str,
        /// The least allowed.
        min: f64,
        /// The most allowed.
        max: f64,
    },
    /// An exponent of Zipf's law outside its range, or not a number.
    #[error("the exponent of Zipf's law must be {min} to {max}, not {value}")]
    Exponent {
        /// What was asked for.
        value: f64,
        /// The least allowed.
        min: f64,
        /// The most allowed.
        max: f64,
    },
    /// Text that is no histogram of ours.
    #[error("not a latency histogram: {reason}")]
    Histogram {
        /// What is wrong with it.
        reason: String,
    },
    /// Shared memory that holds no [`crate::counters::Counters`] of this version.
    #[error("no counters of layout version {expected} here: magic {magic:#010x}, version {version}")]
    Counters {
        /// The magic found.
        magic: u32,
        /// The version found.
        version: u32,
        /// The version this program reads.
        expected: u32,
    },
    /// A network interface could not be opened as a packet port.
    #[error("interface {interface}: cannot {operation}")]
    Interface {
        /// Its name.
        interface: String,
        /// What was attempted.
        operation: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// An engine is not where it should be.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A thread could not be started.
    #[error("no thread for an engine")]
    Thread(#[source] std::io::Error),
}
