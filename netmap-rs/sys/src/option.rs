//! Options of requests (`sys/net/netmap.h`): a list linked through [`nmreq_option::nro_next`],
//! each element of which begins with an [`nmreq_option`] that names its type.

use crate::nmreq_pools_info;

/// Register: take memory of the application's; [`nmreq_opt_extmem`].
pub const NETMAP_REQ_OPT_EXTMEM: u32 = 1;
/// Kloop start: notify through eventfds; [`nmreq_opt_sync_kloop_eventfds`].
pub const NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS: u32 = 2;
/// Register or CSB enable: exchange cursors through CSB entries; [`nmreq_opt_csb`].
pub const NETMAP_REQ_OPT_CSB: u32 = 3;
/// Kloop start, with eventfds: sync in the context of the notification; [`nmreq_opt_sync_kloop_mode`].
pub const NETMAP_REQ_OPT_SYNC_KLOOP_MODE: u32 = 4;
/// Register: slots hold an offset into their buffer; [`nmreq_opt_offsets`].
pub const NETMAP_REQ_OPT_OFFSETS: u32 = 5;
/// One more than the last option type.
pub const NETMAP_REQ_OPT_MAX: u32 = 6;

/// [`nmreq_opt_sync_kloop_mode::mode`]: sync transmit rings where the application notifies.
pub const NM_OPT_SYNC_KLOOP_DIRECT_TX: u32 = 1 << 0;
/// [`nmreq_opt_sync_kloop_mode::mode`]: sync receive rings where the application notifies.
pub const NM_OPT_SYNC_KLOOP_DIRECT_RX: u32 = 1 << 1;

/// What every option begins with.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nmreq_option {
    /// Address of the next option, or 0.
    pub nro_next: u64,
    /// One of `NETMAP_REQ_OPT_*`.
    pub nro_reqtype: u32,
    /// 0 if the option was taken, else an errno value (out).
    pub nro_status: u32,
    /// Bytes in an option that ends in an array, 0 for one of fixed size.
    pub nro_size: u64,
}

/// The two eventfds of a ring in [`nmreq_opt_sync_kloop_eventfds`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nmreq_opt_sync_kloop_eventfd {
    /// Application to kernel. If it is negative for any ring, the loop sleeps and looks
    /// instead of waiting.
    pub ioeventfd: i32,
    /// Kernel to application; negative to be never notified.
    pub irqfd: i32,
}

/// Option [`NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS`]; `nro_size` covers the array.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct nmreq_opt_sync_kloop_eventfds {
    /// Common header.
    pub nro_opt: nmreq_option,
    /// A flexible array, one element per bound ring, in the order of the CSB entries.
    pub eventfds: [nmreq_opt_sync_kloop_eventfd; 0],
}

/// Option [`NETMAP_REQ_OPT_SYNC_KLOOP_MODE`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nmreq_opt_sync_kloop_mode {
    /// Common header.
    pub nro_opt: nmreq_option,
    /// [`NM_OPT_SYNC_KLOOP_DIRECT_TX`], [`NM_OPT_SYNC_KLOOP_DIRECT_RX`].
    pub mode: u32,
}

/// Option [`NETMAP_REQ_OPT_EXTMEM`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nmreq_opt_extmem {
    /// Common header.
    pub nro_opt: nmreq_option,
    /// Address of the application's memory.
    pub nro_usrptr: u64,
    /// Its size, the pools wished for, and those made of it (in/out).
    pub nro_info: nmreq_pools_info,
}

/// Option [`NETMAP_REQ_OPT_CSB`].
///
/// Both arrays have an element for each bound ring: transmit rings first, then receive rings.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nmreq_opt_csb {
    /// Common header.
    pub nro_opt: nmreq_option,
    /// Address of the array of [`crate::nm_csb_atok`].
    pub csb_atok: u64,
    /// Address of the array of [`crate::nm_csb_ktoa`].
    pub csb_ktoa: u64,
}

/// Option [`NETMAP_REQ_OPT_OFFSETS`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nmreq_opt_offsets {
    /// Common header.
    pub nro_opt: nmreq_option,
    /// Largest offset in bytes that will be used; larger ones are cut to it (in/out).
    pub nro_max_offset: u64,
    /// Offset in bytes that all slots begin with.
    pub nro_initial_offset: u64,
    /// Low bits of [`crate::netmap_slot::ptr`] that hold the offset; 0 for all (in/out).
    pub nro_offset_bits: u32,
    /// Alignment in bytes that the application keeps for frames it sends.
    pub nro_tx_align: u32,
    /// Zero.
    pub nro_min_gap: u64,
}
