//! Stretches of memory that hold netmap ports: on the heap, mapped from a file, or put together from extents of
//! a guest's RAM.
//!
//! A [`Memory`] only knows its bounds. What lies where is [`layout`](crate::layout)'s business, who may touch it
//! when is the rings'.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use std::alloc;
use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

/// Alignment of every [`Memory`]: a page, so that rings and buffers keep the alignment of their offsets.
pub const ALIGN: usize = 4096;

/// A stretch of a file: part of a guest's RAM, say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it starts, a multiple of [`ALIGN`].
    pub offset: u64,
    /// Its length, a non-zero multiple of [`ALIGN`].
    pub len: u64,
}

/// Memory could not be had.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The file could not be made.
    #[error("cannot create {len} bytes of shared memory")]
    Create {
        /// Its length.
        len: usize,
        /// Why.
        source: io::Error,
    },
    /// The file could not be mapped.
    #[error("cannot map {len} bytes at offset {offset}")]
    Map {
        /// Bytes asked for.
        len: u64,
        /// Where in the file.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// An extent is empty, misaligned, or past the end of the file.
    #[error(
        "extent of {len} bytes at offset {offset} does not fit a file of {file_len} bytes in whole pages"
    )]
    BadExtent {
        /// Its length.
        len: u64,
        /// Its offset.
        offset: u64,
        /// The file's length.
        file_len: u64,
    },
    /// The file could be cut short by whoever else holds it, which would kill this process with SIGBUS.
    #[error("shared memory is not sealed against shrinking")]
    NotSealed,
}

enum Backing {
    Heap(alloc::Layout),
    /// A reservation, of which all or a part is mapped.
    Mapped {
        start: NonNull<u8>,
        len: usize,
    },
    /// Someone else's allocation, kept alive here.
    Lent(#[expect(dead_code, reason = "held for its drop")] Box<dyn Send + Sync>),
}

/// A stretch of memory shared with another party.
pub struct Memory {
    base: NonNull<u8>,
    len: usize,
    backing: Backing,
    /// Ports an application has open here, by the offset of their `netmap_if` (rule 6).
    opened: Mutex<Vec<usize>>,
}

// SAFETY: a Memory is an address range and nothing else; all access goes through raw pointers under rules 1 to 4
// of the crate, which hold whatever thread makes it.
unsafe impl Send for Memory {}
// SAFETY: as for Send; a shared Memory gives out nothing but its bounds.
unsafe impl Sync for Memory {}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("base", &self.base).field("len", &self.len).finish()
    }
}

impl Memory {
    fn new(base: NonNull<u8>, len: usize, backing: Backing) -> Memory {
        Memory { base, len, backing, opened: Mutex::new(Vec::new()) }
    }

    /// Zeroed memory on the heap, for peers within one process.
    ///
    /// # Panics
    /// If `len` is 0 or cannot be allocated.
    #[must_use]
    pub fn heap(len: usize) -> Arc<Memory> {
        assert!(len > 0, "there is no empty Memory");
        let layout = alloc::Layout::from_size_align(len, ALIGN).expect("a length that can be allocated");
        // SAFETY: the layout has a non-zero size.
        let base = unsafe { alloc::alloc_zeroed(layout) };
        let Some(base) = NonNull::new(base) else { alloc::handle_alloc_error(layout) };
        Arc::new(Memory::new(base, len, Backing::Heap(layout)))
    }

    /// Maps the first `len` bytes of `fd`, shared and writable.
    ///
    /// `fd` must be a memfd that can no longer shrink (see [`create_memfd`]), so that no other holder can take
    /// the pages away.
    pub fn map_sealed(fd: BorrowedFd<'_>, len: usize) -> Result<Arc<Memory>, MemoryError> {
        let seals = rustix::fs::fcntl_get_seals(fd).unwrap_or(SealFlags::empty());
        if !seals.contains(SealFlags::SHRINK) {
            return Err(MemoryError::NotSealed);
        }
        Self::map_extents(fd, &[Extent { offset: 0, len: len as u64 }])
    }

    /// Maps extents of `fd` one after the other into one contiguous stretch, shared and writable.
    ///
    /// The file must not shrink while it is mapped: guest RAM belongs to a memfd the caller sealed. In a file of huge
    /// pages, several extents must be whole ones; a single one may lie anywhere.
    pub fn map_extents(fd: BorrowedFd<'_>, extents: &[Extent]) -> Result<Arc<Memory>, MemoryError> {
        let stat =
            |len, source: rustix::io::Errno| MemoryError::Map { len, offset: 0, source: source.into() };
        let file_len = rustix::fs::fstat(fd).map_err(|e| stat(0, e))?.st_size as u64;
        let page = ALIGN as u64;
        let unit = mapping_unit(fd).map_err(|e| stat(0, e))?;
        // A single extent is mapped with what surrounds it; several have to meet.
        let (step, lead) = match extents {
            [only] => (page, only.offset % unit),
            _ => (unit, 0),
        };
        let mut total = 0u64;
        for &Extent { offset, len } in extents {
            let end = offset.checked_add(len);
            let bad = || MemoryError::BadExtent { len, offset, file_len };
            if len == 0 || len % step != 0 || offset % step != 0 || end.is_none_or(|end| end > file_len) {
                return Err(bad());
            }
            total = total.checked_add(len).filter(|&total| isize::try_from(total).is_ok()).ok_or_else(bad)?;
        }
        if total == 0 {
            return Err(MemoryError::BadExtent { len: 0, offset: 0, file_len });
        }
        let reserved = ((lead + total).next_multiple_of(unit) + unit - page) as usize;
        // SAFETY: a fresh anonymous mapping at an address the kernel chooses disturbs nothing.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                reserved,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }
        .map_err(|e| stat(total, e))?
        .cast::<u8>();
        let start = NonNull::new(start).expect("mmap never answers with null");
        let skipped = start.as_ptr().addr().next_multiple_of(unit as usize) - start.as_ptr().addr();
        // SAFETY: less than a unit is skipped, which is what was reserved beyond what is mapped.
        let aligned = unsafe { start.add(skipped) };
        // SAFETY: what leads to the extent lies in the same unit.
        let base = unsafe { aligned.add(lead as usize) };
        // From here on the reservation is unmapped when `memory` drops.
        let memory = Memory::new(base, total as usize, Backing::Mapped { start, len: reserved });
        let mut at = 0usize;
        for &Extent { offset, len } in extents {
            let (offset, len) = (offset - lead, (lead + len).next_multiple_of(unit));
            // SAFETY: [at, at + len) lies inside the reservation made above, which nothing else uses yet;
            // MAP_FIXED replaces exactly those pages.
            unsafe {
                rustix::mm::mmap(
                    aligned.as_ptr().add(at).cast(),
                    len as usize,
                    ProtFlags::READ | ProtFlags::WRITE,
                    MapFlags::SHARED | MapFlags::FIXED,
                    fd,
                    offset,
                )
            }
            .map_err(|e| MemoryError::Map { len, offset, source: e.into() })?;
            at += len as usize;
        }
        Ok(Arc::new(memory))
    }

    /// Memory that someone else allocated and that `keep` keeps alive.
    ///
    /// # Safety
    /// `base` must be aligned to [`ALIGN`] and valid for reads and writes of `len` bytes until `keep` is
    /// dropped, and no Rust reference to it may exist meanwhile.
    #[must_use]
    pub unsafe fn from_raw(base: NonNull<u8>, len: usize, keep: Box<dyn Send + Sync>) -> Arc<Memory> {
        assert!(base.as_ptr().addr().is_multiple_of(ALIGN), "memory must be page-aligned");
        assert!(len > 0, "there is no empty Memory");
        Arc::new(Memory::new(base, len, Backing::Lent(keep)))
    }

    /// The first byte.
    #[must_use]
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// How many bytes there are; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is no empty Memory")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The address of `T` at `offset`, if all of it lies inside and it is aligned.
    #[inline]
    #[must_use]
    pub fn at<T>(&self, offset: usize) -> Option<NonNull<T>> {
        self.array::<T>(offset, 1)
    }

    /// The address of `n` `T`s at `offset`, if all of them lie inside and are aligned.
    #[inline]
    #[must_use]
    pub fn array<T>(&self, offset: usize, n: usize) -> Option<NonNull<T>> {
        let end = offset.checked_add(n.checked_mul(size_of::<T>())?)?;
        if end > self.len || !offset.is_multiple_of(align_of::<T>()) || align_of::<T>() > ALIGN {
            return None;
        }
        // SAFETY: offset <= end <= len, so the address stays inside the allocation.
        Some(unsafe { self.base.add(offset) }.cast())
    }
}

/// The right to be the application of one port: one at a time, within this process and mapping.
#[derive(Debug)]
pub(crate) struct Claim {
    memory: Arc<Memory>,
    nifp_ofs: usize,
}

impl Claim {
    /// `None` while another claim to the same port is alive.
    pub(crate) fn new(memory: &Arc<Memory>, nifp_ofs: usize) -> Option<Claim> {
        let mut opened = memory.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.contains(&nifp_ofs) {
            return None;
        }
        opened.push(nifp_ofs);
        Some(Claim { memory: memory.clone(), nifp_ofs })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut opened = self.memory.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.retain(|&ofs| ofs != self.nifp_ofs);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        match &self.backing {
            // SAFETY: `base` came from alloc_zeroed with this layout and is freed once.
            Backing::Heap(layout) => unsafe { alloc::dealloc(self.base.as_ptr(), *layout) },
            Backing::Mapped { start, len } => {
                // SAFETY: the range was reserved by map_extents, and by rule 5 nothing points into it any more.
                let unmapped = unsafe { rustix::mm::munmap(start.as_ptr().cast(), *len) };
                debug_assert!(unmapped.is_ok(), "munmap of our own mapping: {unmapped:?}");
            }
            Backing::Lent(_) => {}
        }
    }
}

/// What a mapping of this file is made of: pages, or the file's huge pages.
fn mapping_unit(fd: BorrowedFd<'_>) -> Result<u64, rustix::io::Errno> {
    /// `HUGETLBFS_MAGIC`.
    const HUGETLBFS: u64 = 0x9584_58f6;
    let system = rustix::fs::fstatfs(fd)?;
    let huge = system.f_type as u64 & u64::from(u32::MAX) == HUGETLBFS;
    Ok(if huge { (system.f_bsize as u64).max(ALIGN as u64) } else { ALIGN as u64 })
}

/// A memfd of `len` bytes that can neither shrink nor grow, so that whoever gets it cannot take mapped pages
/// away from the others (which would end them with SIGBUS).
pub fn create_memfd(name: &str, len: usize) -> Result<OwnedFd, MemoryError> {
    let failed = |e: rustix::io::Errno| MemoryError::Create { len, source: e.into() };
    let fd =
        rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).map_err(failed)?;
    rustix::fs::ftruncate(&fd, len as u64).map_err(failed)?;
    rustix::fs::fcntl_add_seals(fd.as_fd(), SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
        .map_err(failed)?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_alignment_are_checked() {
        let m = Memory::heap(8192);
        assert!(m.at::<u64>(8184).is_some());
        assert!(m.at::<u64>(8185).is_none());
        assert!(m.at::<u64>(4).is_none());
        assert!(m.array::<u64>(0, 1024).is_some());
        assert!(m.array::<u64>(8, 1024).is_none());
        assert!(m.array::<u64>(0, usize::MAX).is_none());
        assert!(m.at::<u8>(usize::MAX).is_none());
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no shared file mappings")]
    fn extents_are_joined_in_order_and_shared() {
        let fd = create_memfd("test", 4 * ALIGN).unwrap();
        let whole = Memory::map_sealed(fd.as_fd(), 4 * ALIGN).unwrap();
        let page = ALIGN as u64;
        let extents = [Extent { offset: 3 * page, len: page }, Extent { offset: page, len: page }];
        let joined = Memory::map_extents(fd.as_fd(), &extents).unwrap();
        assert_eq!(joined.len(), 2 * ALIGN);
        // SAFETY: both addresses lie in mappings of this test alone.
        unsafe {
            joined.at::<u32>(0).unwrap().write_volatile(0xa11ce);
            joined.at::<u32>(ALIGN).unwrap().write_volatile(0xb0b);
            assert_eq!(whole.at::<u32>(3 * ALIGN).unwrap().read_volatile(), 0xa11ce);
            assert_eq!(whole.at::<u32>(ALIGN).unwrap().read_volatile(), 0xb0b);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no shared file mappings")]
    fn a_page_amid_a_huge_page_is_mapped_with_it() {
        let huge = 2u64 << 20;
        let fd = rustix::fs::memfd_create("test", MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB).unwrap();
        rustix::fs::ftruncate(&fd, 3 * huge).unwrap();
        let one = |offset, len| Memory::map_extents(fd.as_fd(), &[Extent { offset, len }]);
        let page = match one(huge + 3 * ALIGN as u64, ALIGN as u64) {
            Err(MemoryError::Map { source, .. }) if source.raw_os_error() == Some(libc::ENOMEM) => {
                eprintln!("SKIPPED: no huge pages are free");
                return;
            }
            page => page.unwrap(),
        };
        assert_eq!(page.len(), ALIGN);
        let whole = one(0, 3 * huge).unwrap();
        let extents = [2, 1].map(|at| Extent { offset: at * huge, len: huge });
        let joined = Memory::map_extents(fd.as_fd(), &extents).unwrap();
        // SAFETY: all addresses lie in mappings of this test alone.
        unsafe {
            page.at::<u32>(8).unwrap().write_volatile(0xa11ce);
            let at = huge as usize + 3 * ALIGN + 8;
            assert_eq!(whole.at::<u32>(at).unwrap().read_volatile(), 0xa11ce);
            assert_eq!(joined.at::<u32>(at).unwrap().read_volatile(), 0xa11ce);
        }
        let parts = [0, 2].map(|at| Extent { offset: at * huge, len: ALIGN as u64 });
        let error = Memory::map_extents(fd.as_fd(), &parts).unwrap_err();
        assert!(matches!(error, MemoryError::BadExtent { .. }), "{error}");
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no shared file mappings")]
    fn what_does_not_fit_is_refused() {
        let fd = create_memfd("test", 2 * ALIGN).unwrap();
        let page = ALIGN as u64;
        for (offset, len) in
            [(0, 0), (0, 3 * page), (page, 2 * page), (1, page), (0, 100), (u64::MAX - 4095, page)]
        {
            let e = Memory::map_extents(fd.as_fd(), &[Extent { offset, len }]).unwrap_err();
            assert!(matches!(e, MemoryError::BadExtent { .. }), "{offset} {len}: {e}");
        }
        let plain = rustix::fs::memfd_create("plain", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&plain, page).unwrap();
        assert!(matches!(Memory::map_sealed(plain.as_fd(), ALIGN), Err(MemoryError::NotSealed)));
        assert!(rustix::fs::ftruncate(&fd, page).is_err(), "a sealed memfd must not shrink");
    }
}
