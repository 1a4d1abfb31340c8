//! The memory that the kernel shares with a port, and the rings that say whose each chunk of it is; rules are those of the
//! [module above](super).
#![allow(unsafe_code)]

use rustix::fd::OwnedFd;
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use rustix::net::xdp::{XdpRingFlags, XdpRingOffset};
use std::io;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// The chunks: transmit chunks first, receive chunks after them, as many of each as a ring has slots.
#[derive(Debug)]
pub(super) struct Memory {
    /// The first byte.
    pub(super) base: NonNull<u8>,
    /// All bytes.
    pub(super) len: usize,
    /// Bytes of a chunk.
    pub(super) chunk: usize,
}

// SAFETY: the pointer leads to the port's own mapping (rule 5), which any one thread may use.
unsafe impl Send for Memory {}

impl Memory {
    /// So many chunks.
    pub(super) fn new(chunk: usize, chunks: usize) -> io::Result<Memory> {
        let len = chunk * chunks;
        let (read_write, flags) =
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::POPULATE);
        // SAFETY: a new mapping at an address the kernel chooses; no memory of ours is affected.
        let base = unsafe { mmap_anonymous(std::ptr::null_mut(), len, read_write, flags) }?;
        let base = NonNull::new(base.cast::<u8>()).expect("the kernel does not map page 0");
        Ok(Memory { base, len, chunk })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`; no slice of a chunk outlives a batch (rule 4).
        let unmapped = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "unmapping a whole mapping fails only for wrong operands");
    }
}

/// One of the four rings, of entries `T`.
#[derive(Debug)]
pub(super) struct Ring<T> {
    map: NonNull<u8>,
    len: usize,
    offsets: XdpRingOffset,
    slots: u32,
    /// The index that we advance, as far as we have got; published by [`Ring::publish`].
    own: u32,
    /// What the other side's index was last seen to be.
    pub(super) seen: u32,
    /// Whether ours is the producer's.
    produces: bool,
    entries: PhantomData<T>,
}

// SAFETY: the pointer leads to the ring's own mapping (rule 5), which any one thread may use.
unsafe impl<T> Send for Ring<T> {}

impl<T: Copy> Ring<T> {
    /// Maps the ring that the socket has at `page_offset`.
    pub(super) fn map(
        socket: &OwnedFd,
        page_offset: u64,
        offsets: XdpRingOffset,
        slots: u32,
        produces: bool,
    ) -> rustix::io::Result<Self> {
        let len = offsets.desc as usize + slots as usize * size_of::<T>();
        let (read_write, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE);
        // SAFETY: a new mapping at an address the kernel chooses; no memory of ours is affected.
        let map = unsafe { mmap(std::ptr::null_mut(), len, read_write, flags, socket, page_offset) }?;
        let map = NonNull::new(map.cast::<u8>()).expect("the kernel does not map page 0");
        Ok(Ring { map, len, offsets, slots, own: 0, seen: 0, produces, entries: PhantomData })
    }

    fn word(&self, offset: u64) -> &AtomicU32 {
        // SAFETY: the kernel's offsets lie within the mapping, whose words of this kind are aligned and accessed
        // atomically by both sides (rule 5).
        unsafe { AtomicU32::from_ptr(self.map.add(offset as usize).cast::<u32>().as_ptr()) }
    }

    fn theirs(&self) -> &AtomicU32 {
        self.word(if self.produces { self.offsets.consumer } else { self.offsets.producer })
    }

    /// Entries that are ours: free ones for a producer, full ones for a consumer.
    pub(super) fn available(&mut self, wanted: u32) -> u32 {
        let ours = |ring: &Self| match ring.produces {
            true => ring.slots - ring.own.wrapping_sub(ring.seen).min(ring.slots),
            false => ring.seen.wrapping_sub(ring.own).min(ring.slots),
        };
        if ours(self) < wanted {
            self.seen = self.theirs().load(Ordering::Acquire);
        }
        ours(self)
    }

    fn entry(&self) -> *mut T {
        let slot = (self.own & (self.slots - 1)) as usize;
        // SAFETY: slots lie one after the other from `desc` in the mapping, a power of two of them.
        unsafe { self.map.add(self.offsets.desc as usize).cast::<T>().as_ptr().add(slot) }
    }

    /// Writes the next entry, which must be available.
    pub(super) fn put(&mut self, entry: T) {
        // SAFETY: the entry is ours (rule 3).
        unsafe { self.entry().write(entry) };
        self.own = self.own.wrapping_add(1);
    }

    /// Reads the next entry, which must be available.
    pub(super) fn take(&mut self) -> T {
        // SAFETY: the entry is ours (rule 3), and was written by the kernel before its index moved.
        let entry = unsafe { self.entry().read() };
        self.own = self.own.wrapping_add(1);
        entry
    }

    /// Gives away all entries written or read so far.
    pub(super) fn publish(&self) {
        let own = if self.produces { self.offsets.producer } else { self.offsets.consumer };
        self.word(own).store(self.own, Ordering::Release);
    }

    /// Whether the kernel has not consumed everything.
    pub(super) fn pending(&mut self) -> bool {
        self.seen = self.theirs().load(Ordering::Acquire);
        self.seen != self.own
    }

    /// Whether the kernel wants a system call before it goes on.
    pub(super) fn needs_wakeup(&self) -> bool {
        let flags = self.offsets.flags.map_or(0, |offset| self.word(offset).load(Ordering::Relaxed));
        flags & XdpRingFlags::XDP_RING_NEED_WAKEUP.bits() != 0
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `map`; entries are copied out, so nothing refers to it.
        let unmapped = unsafe { munmap(self.map.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "unmapping a whole mapping fails only for wrong operands");
    }
}
