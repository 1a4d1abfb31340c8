//! Pages mapped for a port: the region that a descriptor shows, or memory for CSB entries.

use crate::memory::Memory;
use rustix::fd::BorrowedFd;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;

/// Pages that are unmapped when this is dropped.
pub(super) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: an address range; who uses it answers for how.
unsafe impl Send for Mapping {}
// SAFETY: as for Send.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// The first `len` bytes of `fd`, shared and writable: a file, or a netmap descriptor, whose port then stays as
    /// long as it is mapped, even if the descriptor is closed.
    pub(super) fn file(fd: BorrowedFd<'_>, len: usize) -> io::Result<Mapping> {
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping at an address the kernel chooses disturbs nothing.
        let base = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, prot, MapFlags::SHARED, fd, 0) }?;
        Ok(Mapping::of(base.cast(), len))
    }

    /// Zeroed memory in arrays of `len` bytes, a multiple of the page size, each with as many bytes behind it that
    /// nobody can reach.
    pub(super) fn guarded_arrays(arrays: usize, len: usize) -> io::Result<Mapping> {
        let total = 2 * arrays * len;
        // SAFETY: as above. It is shared, so that a child that this process forks gets no copy of its own.
        let base = unsafe {
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), total, ProtFlags::empty(), MapFlags::SHARED)
        }?;
        let mapping = Mapping::of(base.cast(), total);
        for i in 0..arrays {
            // SAFETY: pages of the mapping just made, which nothing uses yet.
            unsafe {
                let at = mapping.base.as_ptr().add(2 * i * len).cast();
                rustix::mm::mprotect(at, len, MprotectFlags::READ | MprotectFlags::WRITE)?;
            }
        }
        Ok(mapping)
    }

    fn of(base: *mut u8, len: usize) -> Mapping {
        Mapping { base: NonNull::new(base).expect("mmap never answers with null"), len }
    }

    /// The same pages as memory.
    pub(super) fn into_memory(self) -> Arc<Memory> {
        // SAFETY: page-aligned, and mapped until `self` drops, which the memory keeps. References to it are made
        // under rules 1 to 8 only; what cannot be reached is never asked for.
        unsafe { Memory::from_raw(self.base, self.len, Box::new(self)) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped above, and by rule 5 nothing points into it any more.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "munmap of our own mapping: {unmapped:?}");
    }
}
