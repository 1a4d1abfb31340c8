//! Memory of the application's that a port's region is made in (`NETMAP_REQ_OPT_EXTMEM`): huge pages, mostly, for
//! fewer TLB misses, or memory that another program shares.
//!
//! The kernel pins the pages for as long as the region lives, whatever becomes of the mapping. Deliberately
//! absent: what the kernel puts there; [`map`](super::map) reads it as it reads `/dev/netmap`'s.

use super::mapping::Mapping;
use crate::layout::BUF_ALIGN;
use crate::memory::{self, Memory, MemoryError};
use crate::portspec::Pools;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{MemfdFlags, SealFlags};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a huge page, the only size used here: x86-64's and arm64's usual one.
pub const HUGE_PAGE: usize = 2 << 20;

/// Memory for a region.
#[derive(Debug)]
pub struct ExtMem {
    memory: Arc<Memory>,
}

/// Memory for a region could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ExtMemError {
    /// There are not so many huge pages.
    #[error(
        "cannot get {pages} huge pages of 2 MiB: raise /proc/sys/vm/nr_hugepages by {pages}, or use ordinary memory"
    )]
    HugePages {
        /// Pages asked for.
        pages: usize,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be used.
    #[error("cannot use {path} as memory for netmap")]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Memory cannot be had.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// It cannot be mapped.
    #[error("cannot map {len} bytes of memory for netmap")]
    Map {
        /// Bytes.
        len: usize,
        /// Why.
        source: io::Error,
    },
    /// Buffers that are not whole cache lines.
    #[error("external memory has buffers of {buf_size} bytes, which must be 64 to 65536 in steps of 64")]
    BufSize {
        /// What was asked for.
        buf_size: u32,
    },
    /// The pools do not fit.
    #[error("the pools take {needed} bytes and the external memory has {have}")]
    TooSmall {
        /// Bytes of the pools.
        needed: u64,
        /// Bytes there.
        have: u64,
    },
}

impl ExtMem {
    /// Ordinary memory of at least `len` bytes.
    pub fn anonymous(len: usize) -> Result<ExtMem, ExtMemError> {
        let len = len.max(1).next_multiple_of(memory::ALIGN);
        let fd = memory::create_memfd("netmap-extmem", len)?;
        ExtMem::map(fd.as_fd(), len)
    }

    /// Huge pages of at least `len` bytes, taken from the system's pool.
    pub fn huge_pages(len: usize) -> Result<ExtMem, ExtMemError> {
        let len = len.max(1).next_multiple_of(HUGE_PAGE);
        let failed =
            |e: rustix::io::Errno| ExtMemError::HugePages { pages: len / HUGE_PAGE, source: e.into() };
        let flags =
            MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB;
        let fd = rustix::fs::memfd_create("netmap-extmem", flags).map_err(failed)?;
        rustix::fs::ftruncate(&fd, len as u64).map_err(failed)?;
        // Takes the pages now: a fault that finds none left would be a SIGBUS.
        rustix::fs::fallocate(&fd, rustix::fs::FallocateFlags::empty(), 0, len as u64).map_err(failed)?;
        rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
            .map_err(failed)?;
        ExtMem::map(fd.as_fd(), len)
    }

    /// The whole of a file, which is not to shrink as long as this lives: one on a hugetlbfs, mostly.
    pub fn file(path: &Path) -> Result<ExtMem, ExtMemError> {
        let failed = |source| ExtMemError::File { path: path.to_owned(), source };
        let file = std::fs::File::options().read(true).write(true).open(path).map_err(failed)?;
        let len = usize::try_from(file.metadata().map_err(failed)?.len()).unwrap_or(usize::MAX);
        ExtMem::map(file.as_fd(), len)
    }

    /// Maps all of it in one go, wherever the kernel likes: huge pages must be aligned to their size.
    fn map(fd: BorrowedFd<'_>, len: usize) -> Result<ExtMem, ExtMemError> {
        let mapping = Mapping::file(fd, len).map_err(|source| ExtMemError::Map { len, source })?;
        Ok(ExtMem { memory: mapping.into_memory() })
    }

    /// The mapping.
    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Its address, for the kernel to pin.
    pub(super) fn address(&self) -> u64 {
        self.memory.base().as_ptr().expose_provenance() as u64
    }

    /// Bytes there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is no empty Memory")]
    pub fn len(&self) -> usize {
        self.memory.len()
    }

    /// Whether pools that are asked for in numbers can be made here. Zeros leave the choice to the kernel.
    pub(super) fn check(&self, pools: &Pools) -> Result<(), ExtMemError> {
        let size = pools.buf_size;
        if size != 0 && (!(BUF_ALIGN..=65536).contains(&size) || !size.is_multiple_of(BUF_ALIGN)) {
            return Err(ExtMemError::BufSize { buf_size: size });
        }
        let needed: u64 = [
            (pools.if_num, pools.if_size),
            (pools.ring_num, pools.ring_size),
            (pools.buf_num, pools.buf_size),
        ]
        .iter()
        .map(|&(n, size)| u64::from(n) * u64::from(size))
        .sum();
        let have = self.len() as u64;
        if needed > have { Err(ExtMemError::TooSmall { needed, have }) } else { Ok(()) }
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;

    #[test]
    fn files_and_anonymous_memory_are_whole_pages() {
        let memory = ExtMem::anonymous(5000).unwrap();
        assert_eq!(memory.len(), 8192);
        assert!(memory.address().is_multiple_of(4096));
        let path = std::env::temp_dir().join(format!("netmap-rs-extmem-{}", std::process::id()));
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(3 * 4096).unwrap();
        let mapped = ExtMem::file(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(mapped.unwrap().len(), 3 * 4096);
        let e = ExtMem::file(&path).unwrap_err();
        assert!(e.to_string().contains("netmap-rs-extmem"), "{e}");
    }

    #[test]
    fn pools_are_checked_before_the_kernel_sees_them() {
        let memory = ExtMem::anonymous(1 << 20).unwrap();
        let pools = |buf_num, buf_size| Pools { buf_num, buf_size, ..Pools::default() };
        assert!(memory.check(&pools(512, 2048)).is_ok());
        assert!(matches!(
            memory.check(&pools(513, 2048)),
            Err(ExtMemError::TooSmall { needed: 1_050_624, .. })
        ));
        assert!(matches!(memory.check(&pools(8, 100)), Err(ExtMemError::BufSize { buf_size: 100 })));
    }
}
