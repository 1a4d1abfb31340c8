//! What can go wrong with a kernel port: what was attempted, on which port, the errno, and what to do about it.

use super::advice::Advice;
use super::extmem::ExtMemError;
use crate::csb::BadCursor;
use crate::layout::LayoutError;
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// A request, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `NETMAP_REQ_REGISTER`.
    Register,
    /// `NETMAP_REQ_PORT_INFO_GET`.
    PortInfo,
    /// `NETMAP_REQ_POOLS_INFO_GET`.
    PoolsInfo,
    /// `NETMAP_REQ_PORT_HDR_SET`.
    HeaderSet,
    /// `NETMAP_REQ_PORT_HDR_GET`.
    HeaderGet,
    /// `NETMAP_REQ_VALE_ATTACH`.
    Attach,
    /// `NETMAP_REQ_VALE_DETACH`.
    Detach,
    /// `NETMAP_REQ_VALE_LIST`.
    List,
    /// `NETMAP_REQ_VALE_NEWIF`.
    Newif,
    /// `NETMAP_REQ_VALE_DELIF`.
    Delif,
    /// `NETMAP_REQ_VALE_POLLING_ENABLE`.
    PollingEnable,
    /// `NETMAP_REQ_VALE_POLLING_DISABLE`.
    PollingDisable,
    /// `NETMAP_REQ_CSB_ENABLE`.
    CsbEnable,
    /// `NETMAP_REQ_SYNC_KLOOP_START`.
    KloopStart,
    /// `NETMAP_REQ_SYNC_KLOOP_STOP`.
    KloopStop,
    /// `NIOCTXSYNC`.
    Txsync,
    /// `NIOCRXSYNC`.
    Rxsync,
    /// `poll`.
    Poll,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Register => "register",
            Operation::PortInfo => "get information on",
            Operation::PoolsInfo => "get the memory pools of",
            Operation::HeaderSet => "set the header length of",
            Operation::HeaderGet => "get the header length of",
            Operation::Attach => "attach",
            Operation::Detach => "detach",
            Operation::List => "list",
            Operation::Newif => "create",
            Operation::Delif => "delete",
            Operation::PollingEnable => "start polling on",
            Operation::PollingDisable => "stop polling on",
            Operation::CsbEnable => "switch to CSB mode",
            Operation::KloopStart => "run the sync kloop on",
            Operation::KloopStop => "stop the sync kloop on",
            Operation::Txsync => "txsync",
            Operation::Rxsync => "rxsync",
            Operation::Poll => "poll",
        })
    }
}

/// One ring of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RingName {
    /// Whether it transmits.
    pub tx: bool,
    /// Whether it is a host ring.
    pub host: bool,
    /// Its number among its like.
    pub index: u16,
}

impl fmt::Display for RingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.host { "host " } else { "" };
        let direction = if self.tx { "transmit" } else { "receive" };
        write!(f, "{host}{direction} ring {}", self.index)
    }
}

/// An operation on a kernel port failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The control device cannot be opened.
    #[error("cannot open {path}: {advice}")]
    Open {
        /// The control device.
        path: PathBuf,
        /// What to do.
        advice: Advice,
        /// Why.
        source: io::Error,
    },
    /// The module does not speak this API.
    #[error(
        "the netmap module does not accept API version {api}: it is older or newer than this program; \
         load a module of API 14"
    )]
    Version {
        /// The version asked for.
        api: u16,
        /// `EINVAL`.
        source: io::Error,
    },
    /// A request failed.
    #[error("cannot {operation} {port}: {advice}")]
    Request {
        /// What was attempted.
        operation: Operation,
        /// The port, as it was named.
        port: String,
        /// What to do.
        advice: Advice,
        /// The errno.
        source: io::Error,
    },
    /// A request failed because of one of its options.
    #[error("cannot {operation} {port} with {option}: {advice}")]
    Option {
        /// What was attempted.
        operation: Operation,
        /// The port, as it was named.
        port: String,
        /// The option: `offsets`, `CSB`, …
        option: &'static str,
        /// What to do.
        advice: Advice,
        /// The errno, from the option's status.
        source: io::Error,
    },
    /// Memory for the region is not as it must be.
    #[error("no memory for {port}")]
    ExtMem {
        /// The port, as it was named.
        port: String,
        /// Why.
        source: ExtMemError,
    },
    /// The region, or memory for CSB entries, cannot be mapped.
    #[error("cannot map {len} bytes for {port}")]
    Map {
        /// The port, as it was named.
        port: String,
        /// Bytes.
        len: u64,
        /// Why.
        source: io::Error,
    },
    /// The region does not hold what it should.
    #[error("the memory of {port} makes no sense")]
    Layout {
        /// The port, as it was named.
        port: String,
        /// What was wrong.
        source: LayoutError,
    },
    /// This process has the ring mapped already.
    #[error(
        "this process has {ring} of {port} open already: a ring has one user; open other rings, or a port of \
         its own"
    )]
    RingInUse {
        /// The port, as it was named.
        port: String,
        /// The ring.
        ring: RingName,
    },
    /// A sync, or a poll, failed.
    #[error("cannot {operation} {port}: {advice}")]
    Sync {
        /// Which.
        operation: Operation,
        /// The port, as it was named.
        port: String,
        /// What it may come from.
        advice: Advice,
        /// The errno.
        source: io::Error,
    },
    /// The kernel rejected a ring's cursors in silence and reset them: someone else writes the ring, or the
    /// port was reset.
    #[error(
        "the kernel reset {ring} of {port}: its head was {wrote} and came back as {found}; \
         another program writes this ring, or the port was reset"
    )]
    Reset {
        /// The port, as it was named.
        port: String,
        /// The ring.
        ring: RingName,
        /// The head this program published.
        wrote: u32,
        /// The head found after the sync.
        found: u32,
    },
    /// The kernel's cursor of a ring cannot be.
    #[error("{ring} of {port} is spoilt")]
    Cursor {
        /// The port, as it was named.
        port: String,
        /// The ring.
        ring: RingName,
        /// What was wrong.
        source: BadCursor,
    },
    /// A request that cannot be made, or not in the state the port is in.
    #[error("cannot {operation} {port}: {reason}")]
    Invalid {
        /// What was attempted.
        operation: Operation,
        /// The port, as it was named.
        port: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A thread or eventfd could not be had.
    #[error("cannot {operation} {port}")]
    System {
        /// What was attempted.
        operation: Operation,
        /// The port, as it was named.
        port: String,
        /// Why.
        source: io::Error,
    },
}

impl KernelError {
    /// The errno, of errors that have one.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        let source = match self {
            KernelError::Open { source, .. }
            | KernelError::Version { source, .. }
            | KernelError::Request { source, .. }
            | KernelError::Option { source, .. }
            | KernelError::Map { source, .. }
            | KernelError::Sync { source, .. }
            | KernelError::System { source, .. } => source,
            _ => return None,
        };
        source.raw_os_error().map(Errno::from_raw_os_error)
    }

    /// What to do, of errors that know.
    #[must_use]
    pub fn advice(&self) -> Option<&Advice> {
        match self {
            KernelError::Open { advice, .. }
            | KernelError::Request { advice, .. }
            | KernelError::Option { advice, .. }
            | KernelError::Sync { advice, .. } => Some(advice),
            _ => None,
        }
    }

    /// Whether the host, rather than the request, lacks something: no module, another version, no permission.
    #[must_use]
    pub fn is_host(&self) -> bool {
        matches!(self, KernelError::Open { .. } | KernelError::Version { .. })
    }
}
