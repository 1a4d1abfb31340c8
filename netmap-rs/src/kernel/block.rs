//! A block of memory that a request's body or an option lies in while the kernel reads and writes it.
//!
//! Every block has room for the largest request there is, so that no type of request, whatever body it was given
//! by mistake, makes the kernel touch anything else.

use crate::sys::{
    NETMAP_REQ_MAXSIZE, nmreq_opt_csb, nmreq_opt_extmem, nmreq_opt_offsets, nmreq_opt_sync_kloop_eventfd,
    nmreq_opt_sync_kloop_mode, nmreq_option, nmreq_pools_info, nmreq_port_hdr, nmreq_port_info_get,
    nmreq_register, nmreq_sync_kloop_start, nmreq_vale_attach, nmreq_vale_detach, nmreq_vale_list,
    nmreq_vale_newif, nmreq_vale_polling,
};
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

const WORDS: usize = NETMAP_REQ_MAXSIZE / size_of::<u64>();

/// Structures of integers only: any initialised bytes are one.
///
/// # Safety
/// Every bit pattern must be a value, and the alignment at most 8.
pub(super) unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($name:ident)*) => {
        $(
            // SAFETY: a `repr(C)` structure of integers and arrays of them, as netmap-sys lays it out.
            unsafe impl Plain for $name {}
            const _: () = assert!(size_of::<$name>() <= NETMAP_REQ_MAXSIZE && align_of::<$name>() <= 8);
        )*
    };
}

plain! {
    nmreq_register nmreq_port_info_get nmreq_vale_attach nmreq_vale_detach nmreq_vale_list nmreq_port_hdr
    nmreq_vale_newif nmreq_vale_polling nmreq_pools_info nmreq_sync_kloop_start
    nmreq_option nmreq_opt_sync_kloop_eventfd nmreq_opt_sync_kloop_mode nmreq_opt_extmem nmreq_opt_csb
    nmreq_opt_offsets
}

/// Memory of [`NETMAP_REQ_MAXSIZE`] bytes at a fixed address, zeroed when made.
pub(super) struct Block(Box<UnsafeCell<[MaybeUninit<u64>; WORDS]>>);

impl Block {
    /// All zero.
    pub(super) fn new() -> Block {
        Block(Box::new(UnsafeCell::new([const { MaybeUninit::new(0) }; WORDS])))
    }

    /// Its address, for the kernel. It changes when the block is moved as far as Rust's rules for boxes go, so it
    /// is taken last, when all blocks lie where they stay.
    pub(super) fn address(&self) -> u64 {
        self.0.get().expose_provenance() as u64
    }

    /// Puts `value` at `offset`, a multiple of 8.
    pub(super) fn write<T: Plain>(&mut self, offset: usize, value: T) {
        let at = self.place::<T>(offset);
        // SAFETY: `place` checked bounds and alignment, and `&mut self` is the only way to the block here.
        unsafe { at.write(value) }
    }

    /// What lies at `offset`, a multiple of 8, where a `T` was written or nothing was.
    pub(super) fn read<T: Plain>(&self, offset: usize) -> T {
        let at = self.place::<T>(offset);
        // SAFETY: `place` checked bounds and alignment; the bytes of T's fields are initialised, from `new`,
        // `write` or the kernel, and any value of them is one (Plain).
        unsafe { at.read() }
    }

    fn place<T: Plain>(&self, offset: usize) -> *mut T {
        let end = offset.checked_add(size_of::<T>());
        assert!(offset.is_multiple_of(8) && end.is_some_and(|end| end <= NETMAP_REQ_MAXSIZE));
        // SAFETY: the offset lies inside the block.
        unsafe { self.0.get().byte_add(offset).cast() }
    }
}
