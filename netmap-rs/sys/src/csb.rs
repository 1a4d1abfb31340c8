//! The communication status block: cursors and wake-up flags of a ring in CSB mode
//! (`sys/net/netmap.h`). There is one pair of entries for each ring.
//!
//! Both sides write while the other reads: access them through raw pointers and atomics. The
//! order of accesses that the protocol needs is the business of who implements it, not of
//! this crate.

/// What the application tells the kernel (or the switch) about a ring.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nm_csb_atok {
    /// First slot of the application's.
    pub head: u32,
    /// Wake-up point.
    pub cur: u32,
    /// Not zero: the application wants to be notified.
    pub appl_need_kick: u32,
    /// Flags of the sync asked for.
    pub sync_flags: u32,
    /// Up to a cache line of 64 bytes.
    pub pad: [u32; 12],
}

/// What the kernel (or the switch) tells the application about a ring.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nm_csb_ktoa {
    /// First slot not yet taken over from the application.
    pub hwcur: u32,
    /// First slot of the kernel's: the ring's tail.
    pub hwtail: u32,
    /// Not zero: the kernel wants to be notified.
    pub kern_need_kick: u32,
    /// Up to a cache line of 64 bytes.
    pub pad: [u32; 13],
}
