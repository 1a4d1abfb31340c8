//! Memory of the guest that the host can find: whole pages, never moved, with their guest-physical addresses.

use crate::wire::GuestExtent;
use netmap_rs::memory::Memory;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::Arc;

/// A small page.
pub const PAGE: u64 = 4096;
/// A huge page.
pub const HUGE_PAGE: u64 = 2 << 20;

const NR_HUGEPAGES: &str = "/proc/sys/vm/nr_hugepages";

/// Unmapped when dropped.
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: an address range; what is in it is reached under netmap-rs's rules.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Takes away that it may be written to, and gives it back. Nobody may write to it meanwhile.
    pub(crate) fn protect_for_a_moment(&self) -> io::Result<()> {
        for protection in [MprotectFlags::READ, MprotectFlags::READ | MprotectFlags::WRITE] {
            // SAFETY: the whole of a mapping of ours, and it can be read all the time.
            unsafe { rustix::mm::mprotect(self.base.as_ptr().cast(), self.len, protection) }?;
        }
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`; whoever used it held the Memory that held this.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// `len` bytes in huge pages (or small ones), zeroed, locked, and where they lie.
///
/// Huge pages are reserved as needed; each is contiguous, so a port has few extents.
pub fn allocate(len: u64, huge: bool) -> io::Result<(Arc<Memory>, Vec<GuestExtent>)> {
    let page = if huge { HUGE_PAGE } else { PAGE };
    let len = len.max(1).next_multiple_of(page);
    if huge {
        reserve(len / HUGE_PAGE)?;
    }
    let mapping = map(len as usize, huge)?;
    let extents = extents(mapping.base, len, page)?;
    // SAFETY: the mapping is `len` bytes, page-aligned, unmapped only when its keeper is dropped, and reached by
    // nothing but the Memory made here.
    let memory = unsafe { Memory::from_raw(mapping.base, mapping.len, Box::new(mapping)) };
    Ok((memory, extents))
}

/// Sees to it that so many huge pages are free.
pub(crate) fn reserve(pages: u64) -> io::Result<()> {
    let read = |path: &str| -> io::Result<u64> {
        let text = fs::read_to_string(path)?;
        text.trim().parse().map_err(|_| io::Error::other(format!("{path} holds {text:?}")))
    };
    let total = read(NR_HUGEPAGES)?;
    let free = read("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")?;
    if free >= pages {
        return Ok(());
    }
    let want = total + pages - free;
    fs::write(NR_HUGEPAGES, want.to_string())?;
    let got = read(NR_HUGEPAGES)?;
    if got < want {
        let message =
            format!("the guest has {got} huge pages of 2 MiB and needs {want}: give it more memory");
        return Err(io::Error::new(io::ErrorKind::OutOfMemory, message));
    }
    Ok(())
}

/// `len` bytes, a multiple of the page's size, populated and locked.
pub(crate) fn map(len: usize, huge: bool) -> io::Result<Mapping> {
    let mut flags = MapFlags::SHARED | MapFlags::LOCKED | MapFlags::POPULATE;
    if huge {
        flags |= MapFlags::HUGETLB;
    }
    // SAFETY: a fresh anonymous mapping where the kernel chooses disturbs nothing.
    let base = unsafe {
        rustix::mm::mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, flags)
    }?;
    let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mmap answered with null"))?;
    Ok(Mapping { base, len })
}

/// Looks up where pages lie, joining neighbours. `/proc/self/pagemap` has 64 bits for each 4 KiB page: the frame
/// number in bits 0 to 54, "present" in bit 63 (`Documentation/admin-guide/mm/pagemap.rst`).
fn extents(base: NonNull<u8>, len: u64, page: u64) -> io::Result<Vec<GuestExtent>> {
    let pagemap = File::open("/proc/self/pagemap")?;
    let first = base.as_ptr().addr() as u64;
    let mut extents: Vec<GuestExtent> = Vec::new();
    for address in (first..first + len).step_by(page as usize) {
        let mut entry = [0u8; 8];
        pagemap.read_exact_at(&mut entry, address / PAGE * 8)?;
        let entry = u64::from_ne_bytes(entry);
        let frame = entry & ((1 << 55) - 1);
        if entry >> 63 == 0 || frame == 0 {
            return Err(io::Error::other("the kernel does not say where the guest's pages lie"));
        }
        let gpa = frame * PAGE;
        match extents.last_mut() {
            Some(last) if last.gpa + last.len == gpa => last.len += page,
            _ => extents.push(GuestExtent { gpa, len: page }),
        }
    }
    Ok(extents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pages_are_found_where_the_kernel_says() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: page frame numbers are shown to root only");
            return;
        }
        let (memory, extents) = allocate(5 * PAGE - 1, false).unwrap();
        assert_eq!(memory.len() as u64, 5 * PAGE);
        assert_eq!(extents.iter().map(|e| e.len).sum::<u64>(), 5 * PAGE);
        let frames: std::collections::HashSet<_> =
            extents.iter().flat_map(|e| (e.gpa..e.gpa + e.len).step_by(PAGE as usize)).collect();
        assert_eq!(frames.len(), 5, "each page has a place of its own");
    }
}
