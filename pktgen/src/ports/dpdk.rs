//! A port of DPDK's as a [`crate::port::Port`]: any ethdev, by the device arguments that DPDK itself takes.
//!
//! | name | port |
//! |---|---|
//! | `net_virtio_user0,path=SOCKET` | this end of a vhost-user connection; with `server=1` the socket's owner |
//! | `0000:01:00.0` | a network interface, bound to a driver for user space (`vfio-pci`) |
//! | `net_null0`, `net_ring0`… | any other virtual device of DPDK's |
//!
//! DPDK is loaded when the first port is opened and not before: the program is linked with none of its libraries,
//! so it starts as quickly with this feature as without, and where they are not installed. One environment (EAL)
//! serves the process, in `eal`; devices are plugged in by a thread of its own and unplugged when their port is
//! dropped. Frames are written into and read from the mbufs' own data. Packets that arrive in several segments
//! (mergeable buffers, jumbo frames) are lent segment by segment.
//!
//! A virtio device is used with all the queues that it was made with (eight at most), by the port's one thread: each
//! flow goes through one of them, so that its frames keep their order, while those of different flows may pass each
//! other. Of any other device one queue is used in each direction.
//!
//! Deliberately absent: a thread for each queue, offloads, secondary processes.

#[cfg(not(feature = "dpdk"))]
mod absent;
#[cfg(feature = "dpdk")]
mod device;
#[cfg(feature = "dpdk")]
mod eal;
#[cfg(feature = "dpdk")]
mod io;
#[cfg(feature = "dpdk")]
mod lanes;
#[cfg(feature = "dpdk")]
#[allow(unsafe_code)]
mod library;
#[cfg(feature = "dpdk")]
mod log;

#[cfg(not(feature = "dpdk"))]
pub use absent::{Device, DpdkPort, plugins, version};
#[cfg(feature = "dpdk")]
pub use device::Device;
#[cfg(feature = "dpdk")]
pub use eal::{plugins, version};
#[cfg(feature = "dpdk")]
pub use io::DpdkPort;

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Whether this program was built with DPDK.
pub const BUILT_IN: bool = cfg!(feature = "dpdk");

/// How long a device may take to be there: a driver's start, the other end of a vhost-user socket.
pub const ATTACH_DEADLINE: Duration = Duration::from_secs(30);
/// How long the link of a started port may take to come up: interfaces of glass and copper negotiate.
pub const LINK_DEADLINE: Duration = Duration::from_secs(10);

/// Why there is no port.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DpdkError {
    /// This program has no DPDK in it.
    #[error(
        "this program was built without DPDK: install its headers (Debian: libdpdk-dev) and build with `make`"
    )]
    NotBuilt,
    /// DPDK's libraries are not installed, or are another version's.
    #[error("DPDK's libraries cannot be loaded")]
    Libraries(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The environment did not come up.
    #[error("DPDK cannot be initialised: {reason}{log}")]
    Init {
        /// What it said of it.
        reason: String,
        /// The end of its log.
        log: LogTail,
    },
    /// Something took too long.
    #[error("DPDK did not {what} within {seconds:.0} s{log}")]
    Late {
        /// What it was to do.
        what: String,
        /// How long it was given.
        seconds: f64,
        /// The end of its log.
        log: LogTail,
    },
    /// Whoever waited gave up.
    #[error("interrupted while DPDK was to {what}")]
    Interrupted {
        /// What it was to do.
        what: String,
    },
    /// A device could not be brought up.
    #[error("DPDK cannot {operation} {device}: {reason}{log}")]
    Device {
        /// What was attempted, as in "start".
        operation: &'static str,
        /// The device's arguments.
        device: String,
        /// Why it failed.
        reason: String,
        /// The end of its log.
        log: LogTail,
    },
    /// A network interface needs memory in huge pages, and there is none.
    #[error(
        "{device} needs huge pages, and this host has {free_mib} MiB of them free: write 128 to \
         /proc/sys/vm/nr_hugepages"
    )]
    HugePages {
        /// The device's arguments.
        device: String,
        /// What is free.
        free_mib: u64,
    },
}

/// The last lines that DPDK logged, each shown on a line of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogTail(pub Vec<String>);

impl std::fmt::Display for LogTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// Where the frames' memory lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pages {
    /// In huge pages.
    Huge,
    /// In ordinary ones, for want of huge ones: more TLB misses, and virtual devices only.
    Small,
}

/// What a port turned out to be, for results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DpdkFacts {
    /// Of the libraries, as in `DPDK 22.11.11`.
    pub version: String,
    /// DPDK's driver, as in `net_virtio`.
    pub driver: String,
    /// The device, as DPDK calls it: `0000:00:03.0`, `net_virtio_user0`.
    pub device: String,
    /// Where the frames' memory lies.
    pub pages: Pages,
    /// Queues in each direction.
    pub queues: u16,
    /// Of a virtio port, what it and the device agreed on.
    pub virtio: Option<VirtioFeatures>,
}

impl std::fmt::Display for DpdkFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Software devices are their driver's name and a number, which is another at every opening.
        f.write_str(&self.driver)?;
        if self.device.trim_end_matches(|c: char| c.is_ascii_digit()) != self.driver {
            write!(f, " on {}", self.device)?;
        }
        write!(f, ", {}", self.version)?;
        if self.queues > 1 {
            write!(f, ", {} queues", self.queues)?;
        }
        if let Some(virtio) = self.virtio {
            let rings = if virtio.packed { "packed rings" } else { "split rings" };
            let buffers = if virtio.mergeable { ", mergeable buffers" } else { "" };
            write!(f, ", {rings}{buffers}")?;
        }
        match self.pages {
            Pages::Huge => Ok(()),
            Pages::Small => f.write_str(", without huge pages"),
        }
    }
}

/// What the two sides of a virtio device agreed on (virtio 1.2, section 6, and 5.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtioFeatures {
    /// All of them, as bits.
    pub bits: u64,
    /// `VIRTIO_F_RING_PACKED`: packed rings; split ones otherwise.
    pub packed: bool,
    /// `VIRTIO_NET_F_MRG_RXBUF`: a packet may fill several receive buffers.
    pub mergeable: bool,
    /// `VIRTIO_F_IN_ORDER`: buffers are used in the order in which they were offered.
    pub in_order: bool,
    /// `VIRTIO_F_VERSION_1`: a modern device.
    pub modern: bool,
}

impl VirtioFeatures {
    /// Reads the bits.
    #[must_use]
    pub fn new(bits: u64) -> Self {
        let has = |bit: u32| bits >> bit & 1 == 1;
        Self { bits, packed: has(34), mergeable: has(15), in_order: has(35), modern: has(32) }
    }
}

/// DPDK's drivers that are shared objects of their own, for whoever makes an image in which a port is to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugins {
    /// The folder that DPDK takes all plugins from.
    pub folder: PathBuf,
    /// Those asked for, in that order, as they are on this host.
    pub files: Vec<PathBuf>,
}
