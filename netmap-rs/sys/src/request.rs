//! Requests of the control device: the header every request shares, and the body of each
//! (`sys/net/netmap.h`).
//!
//! A request is an [`nmreq_header`] handed to `ioctl(NIOCCTRL)`, whose `nr_body` holds the
//! address of the body and whose `nr_options` that of the first option, or 0. Fields marked
//! (in/out) are written back. Reserved and padding fields are to be zero, as `Default` leaves
//! them.

use core::ffi::c_char;

use crate::NETMAP_API;

/// Size in bytes of a port name in a request, with the terminating NUL.
pub const NETMAP_REQ_IFNAMSIZ: usize = 64;
/// Largest request in bytes, with all its options.
pub const NETMAP_REQ_MAXSIZE: usize = 4096;

/// Bind a port to this descriptor; body [`nmreq_register`].
pub const NETMAP_REQ_REGISTER: u16 = 1;
/// Ask for a port's rings, slots and memory; body [`nmreq_port_info_get`].
pub const NETMAP_REQ_PORT_INFO_GET: u16 = 2;
/// Attach a port to a VALE switch; body [`nmreq_vale_attach`].
pub const NETMAP_REQ_VALE_ATTACH: u16 = 3;
/// Detach a port from a VALE switch; body [`nmreq_vale_detach`].
pub const NETMAP_REQ_VALE_DETACH: u16 = 4;
/// Find the ports of VALE switches one by one; body [`nmreq_vale_list`].
pub const NETMAP_REQ_VALE_LIST: u16 = 5;
/// Set the length of the header before each frame of a port; body [`nmreq_port_hdr`].
pub const NETMAP_REQ_PORT_HDR_SET: u16 = 6;
/// Read the length of the header before each frame of a port; body [`nmreq_port_hdr`].
pub const NETMAP_REQ_PORT_HDR_GET: u16 = 7;
/// Create a persistent VALE port; body [`nmreq_vale_newif`].
pub const NETMAP_REQ_VALE_NEWIF: u16 = 8;
/// Delete a persistent VALE port; no body.
pub const NETMAP_REQ_VALE_DELIF: u16 = 9;
/// Start polling threads on an attached VALE port; body [`nmreq_vale_polling`].
pub const NETMAP_REQ_VALE_POLLING_ENABLE: u16 = 10;
/// Stop polling threads on an attached VALE port; body [`nmreq_vale_polling`].
pub const NETMAP_REQ_VALE_POLLING_DISABLE: u16 = 11;
/// Ask for the pools of a memory region; body [`nmreq_pools_info`].
pub const NETMAP_REQ_POOLS_INFO_GET: u16 = 12;
/// Run the in-kernel sync loop inside this call until it is stopped; body [`nmreq_sync_kloop_start`].
pub const NETMAP_REQ_SYNC_KLOOP_START: u16 = 13;
/// Make the in-kernel sync loop return; no body.
pub const NETMAP_REQ_SYNC_KLOOP_STOP: u16 = 14;
/// Switch a registered descriptor to CSB mode; no body, option [`crate::nmreq_opt_csb`].
pub const NETMAP_REQ_CSB_ENABLE: u16 = 15;

/// The value 0 of [`nmreq_register::nr_mode`], kept for old programs.
pub const NR_REG_DEFAULT: u32 = 0;
/// All hardware rings.
pub const NR_REG_ALL_NIC: u32 = 1;
/// All host rings.
pub const NR_REG_SW: u32 = 2;
/// All hardware and all host rings.
pub const NR_REG_NIC_SW: u32 = 3;
/// The hardware ring pair [`nmreq_register::nr_ringid`].
pub const NR_REG_ONE_NIC: u32 = 4;
/// Master end of a pipe; deprecated in favour of `x{y` as the port's name.
pub const NR_REG_PIPE_MASTER: u32 = 5;
/// Slave end of a pipe; deprecated in favour of `x}y` as the port's name.
pub const NR_REG_PIPE_SLAVE: u32 = 6;
/// No port: memory only.
pub const NR_REG_NULL: u32 = 7;
/// The host ring pair [`nmreq_register::nr_ringid`].
pub const NR_REG_ONE_SW: u32 = 8;

/// Monitor the transmit rings that mode and ring id select.
pub const NR_MONITOR_TX: u64 = 0x100;
/// Monitor the receive rings that mode and ring id select.
pub const NR_MONITOR_RX: u64 = 0x200;
/// Monitor without copying.
pub const NR_ZCOPY_MON: u64 = 0x400;
/// Fail if another descriptor has the rings, and keep others out.
pub const NR_EXCLUSIVE: u64 = 0x800;
/// Bind receive rings only.
pub const NR_RX_RINGS_ONLY: u64 = 0x2000;
/// Bind transmit rings only.
pub const NR_TX_RINGS_ONLY: u64 = 0x4000;
/// The application copes with frames that begin with a virtio-net header; its length is read
/// with [`NETMAP_REQ_PORT_HDR_GET`].
pub const NR_ACCEPT_VNET_HDR: u64 = 0x8000;
/// `poll` releases received slots even when it does not wait for input.
pub const NR_DO_RX_POLL: u64 = 0x10000;
/// `poll` transmits only when it waits for output.
pub const NR_NO_TX_POLL: u64 = 0x20000;

/// [`nmreq_vale_polling::nr_mode`]: one polling CPU.
pub const NETMAP_POLLING_MODE_SINGLE_CPU: u32 = 1;
/// [`nmreq_vale_polling::nr_mode`]: several polling CPUs.
pub const NETMAP_POLLING_MODE_MULTI_CPU: u32 = 2;

/// What every request begins with, and all that the ioctl number's size covers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct nmreq_header {
    /// [`NETMAP_API`] (in/out).
    pub nr_version: u16,
    /// One of `NETMAP_REQ_*`.
    pub nr_reqtype: u16,
    /// Zero.
    pub nr_reserved: u32,
    /// Name of the port, NUL-terminated, without the `netmap:` prefix.
    pub nr_name: [c_char; NETMAP_REQ_IFNAMSIZ],
    /// Address of the first option, or 0.
    pub nr_options: u64,
    /// Address of the body, or 0.
    pub nr_body: u64,
}

impl Default for nmreq_header {
    /// All zero, the version too.
    fn default() -> Self {
        nmreq_header {
            nr_version: 0,
            nr_reqtype: 0,
            nr_reserved: 0,
            nr_name: [0; NETMAP_REQ_IFNAMSIZ],
            nr_options: 0,
            nr_body: 0,
        }
    }
}

impl nmreq_header {
    /// A header of this API version for `nr_reqtype`, with neither name, options nor body.
    pub fn new(nr_reqtype: u16) -> Self {
        nmreq_header { nr_version: NETMAP_API, nr_reqtype, ..Self::default() }
    }
}

/// Body of [`NETMAP_REQ_REGISTER`].
///
/// Counts of rings and slots that are not zero ask a port that is created by the request for
/// that size; in any case the real ones are written back.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nmreq_register {
    /// Bytes from the start of the region to the port's `netmap_if` (out).
    pub nr_offset: u64,
    /// Bytes in the region (out).
    pub nr_memsize: u64,
    /// Slots in each transmit ring (in/out).
    pub nr_tx_slots: u32,
    /// Slots in each receive ring (in/out).
    pub nr_rx_slots: u32,
    /// Hardware transmit rings (in/out).
    pub nr_tx_rings: u16,
    /// Hardware receive rings (in/out).
    pub nr_rx_rings: u16,
    /// Host transmit rings (in/out).
    pub nr_host_tx_rings: u16,
    /// Host receive rings (in/out).
    pub nr_host_rx_rings: u16,
    /// Memory region; 0 leaves the choice to the kernel (in/out).
    pub nr_mem_id: u16,
    /// Ring pair, in the modes that bind a single one.
    pub nr_ringid: u16,
    /// One of `NR_REG_*`.
    pub nr_mode: u32,
    /// Extra buffers wanted, and those granted (in/out).
    pub nr_extra_bufs: u32,
    /// Flags from [`NR_MONITOR_TX`] to [`NR_NO_TX_POLL`].
    pub nr_flags: u64,
}

/// Body of [`NETMAP_REQ_PORT_INFO_GET`], all of it written by the kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nmreq_port_info_get {
    /// Bytes in the region.
    pub nr_memsize: u64,
    /// Slots in each transmit ring.
    pub nr_tx_slots: u32,
    /// Slots in each receive ring.
    pub nr_rx_slots: u32,
    /// Hardware transmit rings.
    pub nr_tx_rings: u16,
    /// Hardware receive rings.
    pub nr_rx_rings: u16,
    /// Host transmit rings.
    pub nr_host_tx_rings: u16,
    /// Host receive rings.
    pub nr_host_rx_rings: u16,
    /// Memory region (in/out).
    pub nr_mem_id: u16,
    /// Zero.
    pub pad: [u16; 3],
}

/// Body of [`NETMAP_REQ_VALE_ATTACH`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nmreq_vale_attach {
    /// How the port is to be registered.
    pub reg: nmreq_register,
    /// Index of the port on the switch (out).
    pub port_index: u32,
    /// Zero.
    pub pad1: u32,
}

/// Body of [`NETMAP_REQ_VALE_DETACH`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nmreq_vale_detach {
    /// Index the port had on the switch (out).
    pub port_index: u32,
    /// Zero.
    pub pad1: u32,
}

/// Body of [`NETMAP_REQ_VALE_LIST`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nmreq_vale_list {
    /// Switch from which to look, and the one found (in/out).
    pub nr_bridge_idx: u16,
    /// Zero.
    pub pad1: u16,
    /// Port from which to look, and the one found (in/out).
    pub nr_port_idx: u32,
}

/// Body of [`NETMAP_REQ_PORT_HDR_SET`] and [`NETMAP_REQ_PORT_HDR_GET`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nmreq_port_hdr {
    /// Bytes before each frame: 0, or the size of a virtio-net header, 10 or 12.
    pub nr_hdr_len: u32,
    /// Zero.
    pub pad1: u32,
}

/// Body of [`NETMAP_REQ_VALE_NEWIF`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nmreq_vale_newif {
    /// Slots in each transmit ring; 0 for the default.
    pub nr_tx_slots: u32,
    /// Slots in each receive ring; 0 for the default.
    pub nr_rx_slots: u32,
    /// Transmit rings; 0 for the default.
    pub nr_tx_rings: u16,
    /// Receive rings; 0 for the default.
    pub nr_rx_rings: u16,
    /// Memory region; 0 leaves the choice to the kernel.
    pub nr_mem_id: u16,
    /// Zero.
    pub pad1: u16,
}

/// Body of [`NETMAP_REQ_VALE_POLLING_ENABLE`] and [`NETMAP_REQ_VALE_POLLING_DISABLE`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nmreq_vale_polling {
    /// [`NETMAP_POLLING_MODE_SINGLE_CPU`] or [`NETMAP_POLLING_MODE_MULTI_CPU`].
    pub nr_mode: u32,
    /// First CPU that polls.
    pub nr_first_cpu_id: u32,
    /// CPUs that poll, from the first on.
    pub nr_num_polling_cpus: u32,
    /// Zero.
    pub pad1: u32,
}

/// Body of [`NETMAP_REQ_POOLS_INFO_GET`]. In [`crate::nmreq_opt_extmem`] the counts and sizes
/// are also wishes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nmreq_pools_info {
    /// Bytes in the region.
    pub nr_memsize: u64,
    /// Memory region (in/out).
    pub nr_mem_id: u16,
    /// Zero.
    pub pad1: [u16; 3],
    /// Bytes from the start of the region to the `netmap_if` pool.
    pub nr_if_pool_offset: u64,
    /// Objects in the `netmap_if` pool.
    pub nr_if_pool_objtotal: u32,
    /// Bytes in each.
    pub nr_if_pool_objsize: u32,
    /// Bytes from the start of the region to the ring pool.
    pub nr_ring_pool_offset: u64,
    /// Objects in the ring pool.
    pub nr_ring_pool_objtotal: u32,
    /// Bytes in each.
    pub nr_ring_pool_objsize: u32,
    /// Bytes from the start of the region to the buffer pool.
    pub nr_buf_pool_offset: u64,
    /// Objects in the buffer pool.
    pub nr_buf_pool_objtotal: u32,
    /// Bytes in each.
    pub nr_buf_pool_objsize: u32,
}

/// Body of [`NETMAP_REQ_SYNC_KLOOP_START`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nmreq_sync_kloop_start {
    /// Microseconds to sleep when there is nothing to do and no eventfd to wait on.
    pub sleep_us: u32,
    /// Zero.
    pub pad1: u32,
}
