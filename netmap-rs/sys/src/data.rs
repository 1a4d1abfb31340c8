//! The shared memory of a port: `netmap_if`, `netmap_ring`, `netmap_slot`, with their flags
//! (`sys/net/netmap.h`). Offsets inside a region are computed in [`crate::arith`].

use core::ffi::c_char;

/// The API version these definitions describe, the value of [`nmreq_header::nr_version`](crate::nmreq_header).
pub const NETMAP_API: u16 = 14;
/// The lowest API version a kernel of this API accepts.
pub const NETMAP_MIN_API: u16 = 14;
/// The highest API version a kernel of this API accepts.
pub const NETMAP_MAX_API: u16 = 15;

/// The control device.
pub const NETMAP_DEVICE_NAME: &str = "/dev/netmap";
/// The first characters of the name of every VALE port and switch.
pub const NM_BDG_NAME: &str = "vale";
/// Size of an interface name in bytes, with the terminating NUL (`net/if.h`).
pub const IFNAMSIZ: usize = 16;
/// Alignment in bytes of the parts of a ring that several CPUs write, larger than most cache lines.
pub const NM_CACHE_ALIGN: usize = 128;

/// The slot's `buf_idx` was exchanged: a driver has to map the new buffer.
pub const NS_BUF_CHANGED: u16 = 0x0001;
/// Report when this slot has been sent, rather than lazily.
pub const NS_REPORT: u16 = 0x0002;
/// Receive rings of physical ports with [`NR_FORWARD`]: pass the slot on to the other side
/// (host stack or NIC) when it is released.
pub const NS_FORWARD: u16 = 0x0004;
/// VALE: do not learn the source address of this frame.
pub const NS_NO_LEARN: u16 = 0x0008;
/// VALE transmit rings: the frame is in user memory at [`netmap_slot::ptr`].
pub const NS_INDIRECT: u16 = 0x0010;
/// The frame goes on in the next slot; `len` is that of this fragment only.
pub const NS_MOREFRAG: u16 = 0x0020;
/// Monitor ports: the frame was seen on a transmit ring.
pub const NS_TXMON: u16 = 0x0040;
/// Where the destination port (transmit) or the fragment count (receive) sits in the flags.
pub const NS_PORT_SHIFT: u32 = 8;
/// Bits of the flags that, when not zero, name the VALE port to send to, whatever the
/// destination address.
pub const NS_PORT_MASK: u16 = 0xff << NS_PORT_SHIFT;

/// Number of slots of the frame, from the flags of a slot received on a VALE port.
#[inline]
pub const fn NS_RFRAGS(flags: u16) -> u16 {
    (flags >> 8) & 0xff
}

/// Slots a frame may take at most.
pub const NETMAP_MAX_FRAGS: usize = 64;

/// Ring flag: write the time of each sync to [`netmap_ring::ts`].
pub const NR_TIMESTAMP: u32 = 0x0002;
/// Ring flag: honour [`NS_FORWARD`] in this ring's slots.
pub const NR_FORWARD: u32 = 0x0004;

/// Interface flag: the port has a memory region of its own.
pub const NI_PRIV_MEM: u32 = 0x1;

/// One descriptor of a ring: which buffer, and how much of it is a frame.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct netmap_slot {
    /// Index of the buffer in the region's buffer pool. 0 and 1 are reserved by the allocator.
    pub buf_idx: u32,
    /// Length of this fragment in bytes.
    pub len: u16,
    /// `NS_*` flags.
    pub flags: u16,
    /// Address of the frame with [`NS_INDIRECT`], or the offset into the buffer on a port opened
    /// with [`crate::nmreq_opt_offsets`].
    pub ptr: u64,
}

/// Seconds and microseconds as the C library of a 64-bit system lays them out.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct timeval {
    /// Seconds.
    pub tv_sec: i64,
    /// Microseconds.
    pub tv_usec: i64,
}

/// 128 bytes of a ring's header left to the application, on cache lines of their own.
#[repr(C, align(128))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct netmap_ring_sem(pub [u8; 128]);

impl Default for netmap_ring_sem {
    fn default() -> Self {
        netmap_ring_sem([0; 128])
    }
}

/// The header of a transmit or receive ring. [`num_slots`](Self::num_slots) slots follow it.
///
/// In CSB mode (see [`crate::nmreq_opt_csb`]) its cursors mean nothing; those of the CSB do.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct netmap_ring {
    /// Bytes from this header to buffer 0; can be negative.
    pub buf_ofs: i64,
    /// Slots in the ring.
    pub num_slots: u32,
    /// Bytes in each buffer.
    pub nr_buf_size: u32,
    /// Index among the rings of its direction.
    pub ringid: u16,
    /// 0: transmit, 1: receive.
    pub dir: u16,
    /// First slot that belongs to the application, written by it.
    pub head: u32,
    /// Wake-up point, written by the application: poll returns when `tail` passes it.
    pub cur: u32,
    /// First slot that belongs to the kernel, written by it.
    pub tail: u32,
    /// [`NR_TIMESTAMP`] and [`NR_FORWARD`].
    pub flags: u32,
    /// Time of the last sync, with [`NR_TIMESTAMP`].
    pub ts: timeval,
    /// Bits of [`netmap_slot::ptr`] that hold an offset; 0 without [`crate::nmreq_opt_offsets`].
    pub offset_mask: u64,
    /// Alignment in bytes that the start of a frame needs on transmission.
    pub buf_align: u64,
    /// Room for a lock of the application's.
    pub sem: netmap_ring_sem,
    /// The slots: a flexible array of [`num_slots`](Self::num_slots) elements.
    pub slot: [netmap_slot; 0],
}

/// What a registered descriptor sees of its port. Offsets of its rings follow it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct netmap_if {
    /// Name of the interface, NUL-terminated, possibly cut short.
    pub ni_name: [c_char; IFNAMSIZ],
    /// API version; kernels leave it 0, so it is not to be checked.
    pub ni_version: u32,
    /// [`NI_PRIV_MEM`].
    pub ni_flags: u32,
    /// Hardware transmit rings.
    pub ni_tx_rings: u32,
    /// Hardware receive rings.
    pub ni_rx_rings: u32,
    /// First of the extra buffers, each of which begins with the index of the next; 0 ends the list.
    pub ni_bufs_head: u32,
    /// Host transmit rings.
    pub ni_host_tx_rings: u32,
    /// Host receive rings.
    pub ni_host_rx_rings: u32,
    /// Not used.
    pub ni_spare1: [u32; 3],
    /// A flexible array: bytes from this structure to each ring, 0 for a ring that is not bound
    /// to the descriptor. Order: hardware tx, host tx, hardware rx, host rx.
    pub ring_ofs: [isize; 0],
}
