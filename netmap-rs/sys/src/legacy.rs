//! The interface before `NIOCCTRL` (`sys/net/netmap_legacy.h`), for recognising what old
//! programs do. New programs use [`crate::nmreq_header`] only.

use core::ffi::c_char;

use crate::IFNAMSIZ;

#[cfg(target_os = "freebsd")]
pub use crate::ioctl::freebsd::{NIOCCONFIG, NIOCGINFO, NIOCREGIF};
#[cfg(not(target_os = "freebsd"))]
pub use crate::ioctl::linux::{NIOCCONFIG, NIOCGINFO, NIOCREGIF};

/// [`nmreq::nr_ringid`]: a single hardware ring pair.
pub const NETMAP_HW_RING: u16 = 0x4000;
/// [`nmreq::nr_ringid`]: host rings only.
pub const NETMAP_SW_RING: u16 = 0x2000;
/// [`nmreq::nr_ringid`]: the ring's number. Port specifications keep to this range too.
pub const NETMAP_RING_MASK: u16 = 0x0fff;
/// [`nmreq::nr_ringid`]: `poll` transmits only when it waits for output.
pub const NETMAP_NO_TX_POLL: u16 = 0x1000;
/// [`nmreq::nr_ringid`]: `poll` releases received slots even when it does not wait for input.
pub const NETMAP_DO_RX_POLL: u16 = 0x8000;

/// [`nmreq::nr_cmd`]: attach a port to a switch.
pub const NETMAP_BDG_ATTACH: u16 = 1;
/// [`nmreq::nr_cmd`]: detach a port from a switch.
pub const NETMAP_BDG_DETACH: u16 = 2;
/// [`nmreq::nr_cmd`]: register a switch's callbacks.
pub const NETMAP_BDG_REGOPS: u16 = 3;
/// [`nmreq::nr_cmd`]: list switches.
pub const NETMAP_BDG_LIST: u16 = 4;
/// [`nmreq::nr_cmd`]: set a port's virtio-net header length.
pub const NETMAP_BDG_VNET_HDR: u16 = 5;
/// [`nmreq::nr_cmd`]: create a persistent port.
pub const NETMAP_BDG_NEWIF: u16 = 6;
/// [`nmreq::nr_cmd`]: delete a persistent port.
pub const NETMAP_BDG_DELIF: u16 = 7;
/// [`nmreq::nr_cmd`]: start ptnetmap threads.
pub const NETMAP_PT_HOST_CREATE: u16 = 8;
/// [`nmreq::nr_cmd`]: stop ptnetmap threads.
pub const NETMAP_PT_HOST_DELETE: u16 = 9;
/// [`nmreq::nr_cmd`]: start polling threads.
pub const NETMAP_BDG_POLLING_ON: u16 = 10;
/// [`nmreq::nr_cmd`]: stop polling threads.
pub const NETMAP_BDG_POLLING_OFF: u16 = 11;
/// [`nmreq::nr_cmd`]: read a port's virtio-net header length.
pub const NETMAP_VNET_HDR_GET: u16 = 12;
/// [`nmreq::nr_arg1`] of [`NETMAP_BDG_ATTACH`]: attach the host stack too.
pub const NETMAP_BDG_HOST: u16 = 1;
/// [`nmreq::nr_flags`]: the bits that hold one of `NR_REG_*`.
pub const NR_REG_MASK: u32 = 0xf;
/// Bytes of data in an [`nm_ifreq`].
pub const NM_IFRDATA_LEN: usize = 256;

/// The request of `NIOCREGIF` and `NIOCGINFO`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nmreq {
    /// Name of the port.
    pub nr_name: [c_char; IFNAMSIZ],
    /// API version (in/out).
    pub nr_version: u32,
    /// Offset of the `netmap_if` (out).
    pub nr_offset: u32,
    /// Bytes in the region (out).
    pub nr_memsize: u32,
    /// Slots in each transmit ring (in/out).
    pub nr_tx_slots: u32,
    /// Slots in each receive ring (in/out).
    pub nr_rx_slots: u32,
    /// Transmit rings (in/out).
    pub nr_tx_rings: u16,
    /// Receive rings (in/out).
    pub nr_rx_rings: u16,
    /// Rings to bind.
    pub nr_ringid: u16,
    /// Command, or 0.
    pub nr_cmd: u16,
    /// Argument of the command.
    pub nr_arg1: u16,
    /// Memory region (in/out).
    pub nr_arg2: u16,
    /// Extra buffers (in/out).
    pub nr_arg3: u32,
    /// `NR_REG_*` and the flags beside it.
    pub nr_flags: u32,
    /// Zero.
    pub spare2: [u32; 1],
}

/// The request of `NIOCCONFIG`, passed on to a module that owns the port.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct nm_ifreq {
    /// Name of the port.
    pub nifr_name: [c_char; IFNAMSIZ],
    /// Whatever the module understands.
    pub data: [c_char; NM_IFRDATA_LEN],
}

impl Default for nm_ifreq {
    fn default() -> Self {
        nm_ifreq { nifr_name: [0; IFNAMSIZ], data: [0; NM_IFRDATA_LEN] }
    }
}
