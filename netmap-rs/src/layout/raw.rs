//! Rings and CSB entries by their addresses, each checked against the memory it lies in when it was made.

use super::{BUF_ALIGN, PortLocation, RESERVED_BUFS};
use crate::memory::Memory;
use crate::sys::{netmap_slot, nm_csb_atok, nm_csb_ktoa};
use std::ptr::NonNull;

/// One ring's slots and buffers: geometry in private memory, addresses checked when it was made.
#[derive(Debug, Clone, Copy)]
pub struct RawRing {
    pub(super) slots: NonNull<netmap_slot>,
    pub(super) bufs: NonNull<u8>,
    pub(super) num_slots: u32,
    pub(super) buf_size: u32,
    pub(super) num_bufs: u32,
    /// Index of slot 0's own buffer, the others' follow; 0 where only who laid the port out knows.
    pub(super) first_buf: u32,
}

// SAFETY: addresses and numbers; access through them follows rules 1 to 4 on any thread, and whoever holds a
// RawRing holds its Memory (rule 5).
unsafe impl Send for RawRing {}

/// A slot's contents, read once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotCopy {
    /// Buffer index.
    pub buf_idx: u32,
    /// Frame length in bytes.
    pub len: u16,
    /// `NS_*`.
    pub flags: u16,
}

impl SlotCopy {
    /// The first eight bytes of a slot, read in one load.
    #[inline(always)]
    pub(crate) fn from_word(word: u64) -> SlotCopy {
        let b = word.to_ne_bytes();
        SlotCopy {
            buf_idx: u32::from_ne_bytes([b[0], b[1], b[2], b[3]]),
            len: u16::from_ne_bytes([b[4], b[5]]),
            flags: u16::from_ne_bytes([b[6], b[7]]),
        }
    }
}

impl RawRing {
    /// A ring whose slots and buffers must lie inside `mem`, which the caller keeps alive as long as the ring.
    pub(crate) fn new(
        mem: &Memory,
        slots_ofs: usize,
        num_slots: u32,
        bufs_ofs: usize,
        buf_size: u32,
        num_bufs: u32,
    ) -> Option<RawRing> {
        let slots = mem.array::<netmap_slot>(slots_ofs, num_slots as usize)?;
        let bytes = (num_bufs as usize).checked_mul(buf_size as usize)?;
        let bufs = mem.array::<u8>(bufs_ofs, bytes)?;
        bufs.as_ptr().addr().is_multiple_of(BUF_ALIGN as usize).then_some(RawRing {
            slots,
            bufs,
            num_slots,
            buf_size,
            num_bufs,
            first_buf: 0,
        })
    }

    /// Slots in the ring.
    #[inline(always)]
    #[must_use]
    pub fn num_slots(&self) -> u32 {
        self.num_slots
    }

    /// Bytes in each buffer, a multiple of [`BUF_ALIGN`].
    #[inline(always)]
    #[must_use]
    pub fn buf_size(&self) -> u32 {
        self.buf_size
    }

    /// One past the largest buffer index.
    #[inline(always)]
    #[must_use]
    pub fn num_bufs(&self) -> u32 {
        self.num_bufs
    }

    /// The buffer that slot `i` was formatted with; no buffer where only who laid the port out knows.
    #[must_use]
    pub fn own_buf(&self, i: u32) -> u32 {
        if self.first_buf == 0 { 0 } else { self.first_buf + i }
    }

    #[inline(always)]
    fn slot_ptr(&self, i: u32) -> *mut netmap_slot {
        assert!(i < self.num_slots);
        // SAFETY: i < num_slots, and `new` checked that so many slots lie inside the memory (rule 3).
        unsafe { self.slots.as_ptr().add(i as usize) }
    }

    /// Reads slot `i` in one load, so that index, length and flags belong together.
    ///
    /// # Panics
    /// If there is no slot `i`.
    #[inline(always)]
    #[must_use]
    pub fn read_slot(&self, i: u32) -> SlotCopy {
        // SAFETY: slot_ptr is in bounds and 8-byte aligned; volatile by rule 2.
        SlotCopy::from_word(unsafe { self.slot_ptr(i).cast::<u64>().read_volatile() })
    }

    /// Writes length and flags of slot `i` in one store, leaving its buffer alone.
    ///
    /// # Panics
    /// If there is no slot `i`.
    #[inline(always)]
    pub fn write_len_flags(&mut self, i: u32, len: u16, flags: u16) {
        let ([a, b], [c, d]) = (len.to_ne_bytes(), flags.to_ne_bytes());
        // SAFETY: slot_ptr is in bounds; len and flags are the 4 aligned bytes at offset 4, asserted by
        // netmap-sys; volatile by rule 2.
        unsafe { self.slot_ptr(i).cast::<u32>().add(1).write_volatile(u32::from_ne_bytes([a, b, c, d])) }
    }

    /// Writes all of slot `i` but `ptr` in one store.
    ///
    /// # Panics
    /// If there is no slot `i`.
    #[inline(always)]
    pub fn write_slot(&mut self, i: u32, slot: SlotCopy) {
        let (x, y, z) = (slot.buf_idx.to_ne_bytes(), slot.len.to_ne_bytes(), slot.flags.to_ne_bytes());
        let word = u64::from_ne_bytes([x[0], x[1], x[2], x[3], y[0], y[1], z[0], z[1]]);
        // SAFETY: slot_ptr is in bounds and 8-byte aligned; volatile by rule 2.
        unsafe { self.slot_ptr(i).cast::<u64>().write_volatile(word) }
    }

    /// The address of buffer `idx`, valid for [`RawRing::buf_size`] bytes; `None` if there is no such buffer or
    /// it is reserved.
    #[inline(always)]
    #[must_use]
    pub fn buf(&self, idx: u32) -> Option<NonNull<u8>> {
        if idx < RESERVED_BUFS || idx >= self.num_bufs {
            return None;
        }
        // SAFETY: idx < num_bufs, and `new` checked that so many buffers lie inside the memory (rule 3).
        Some(unsafe { self.bufs.add(idx as usize * self.buf_size as usize) })
    }
}

/// Addresses of one ring's CSB entries.
#[derive(Debug, Clone, Copy)]
pub struct RawCsb {
    pub(crate) atok: NonNull<nm_csb_atok>,
    pub(crate) ktoa: NonNull<nm_csb_ktoa>,
}

// SAFETY: as for RawRing.
unsafe impl Send for RawCsb {}

impl RawCsb {
    pub(super) fn new(mem: &Memory, location: &PortLocation, ring: usize) -> Option<RawCsb> {
        let ofs = |base: usize, size: usize| base.checked_add(ring.checked_mul(size)?);
        Some(RawCsb {
            atok: mem.at(ofs(location.atok_ofs, size_of::<nm_csb_atok>())?)?,
            ktoa: mem.at(ofs(location.ktoa_ofs, size_of::<nm_csb_ktoa>())?)?,
        })
    }
}
