//! Memory with guards: a port's region between pages with a known pattern, between pages that cannot be touched.

use netmap_rs::memory::Memory;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of each guard: more than the largest frame.
const GUARD: usize = 128 << 10;
const PATTERN: u32 = 0xc0de_cafe;

struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: an address range, reached by atomics and by what the Memory over it allows.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `Region::new`; the Memory over it and the Region hold this together.
        unsafe { munmap(self.base.as_ptr().cast(), self.len) }.expect("munmap of our own mapping");
    }
}

pub(crate) struct Region {
    mapping: Arc<Mapping>,
    memory: Arc<Memory>,
}

impl Region {
    /// `len` bytes, whole pages: untouchable, pattern, region, pattern, untouchable.
    pub(crate) fn new(len: usize) -> Region {
        let total = len + 4 * GUARD;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a fresh mapping where the kernel chooses disturbs nothing.
        let base =
            unsafe { mmap_anonymous(std::ptr::null_mut(), total, ProtFlags::empty(), flags) }.expect("mmap");
        let base = NonNull::new(base.cast::<u8>()).expect("mmap never answers with null");
        let mapping = Arc::new(Mapping { base, len: total });
        // SAFETY: inside the mapping made above.
        let inner = unsafe { base.add(GUARD) };
        let access = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: whole pages of the mapping made above, which nothing uses yet.
        unsafe { mprotect(inner.as_ptr().cast(), len + 2 * GUARD, access) }.expect("mprotect");
        // SAFETY: page-aligned, `len` bytes of it, mapped until `mapping` is dropped, which the Memory holds.
        let memory = unsafe { Memory::from_raw(inner.add(GUARD), len, Box::new(mapping.clone())) };
        let region = Region { mapping, memory };
        region.guards(|word| word.store(PATTERN, Ordering::Relaxed));
        region
    }

    pub(crate) fn memory(&self) -> Arc<Memory> {
        self.memory.clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.memory.len()
    }

    fn guards(&self, mut visit: impl FnMut(&AtomicU32)) {
        for start in [GUARD, 2 * GUARD + self.len()] {
            for at in (start..start + GUARD).step_by(4) {
                // SAFETY: in one of the two patterned guards, aligned; only ever an atomic.
                visit(unsafe { AtomicU32::from_ptr(self.mapping.base.add(at).as_ptr().cast()) });
            }
        }
    }

    /// Panics if a guard has changed.
    pub(crate) fn check(&self) {
        self.guards(|word| {
            assert_eq!(word.load(Ordering::Relaxed), PATTERN, "a byte outside the port was written")
        });
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        let at = self.memory.at::<u32>(offset).expect("an offset inside the region");
        // SAFETY: in bounds and aligned, as `at` says; a volatile or atomic access is all anyone makes of it.
        unsafe { AtomicU32::from_ptr(at.as_ptr()) }
    }

    pub(crate) fn write(&self, offset: usize, value: u32) {
        self.word(offset).store(value, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, offset: usize) -> u32 {
        self.word(offset).load(Ordering::Relaxed)
    }
}
