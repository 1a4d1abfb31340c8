//! The other half of a port in CSB mode: what the kernel's sync kloop is to an application, for a switch in user
//! space.
//!
//! The application is hostile until checked. Its cursors are checked against cursors kept here, its buffer
//! indices and lengths against geometry kept here, and its buffers are read and written by volatile copies only:
//! it may write them at any moment. What it can spoil is its own port.
//!
//! What to do with frames (switching) is not here.

use super::{BadCursor, protocol};
use crate::cursor;
use crate::layout::{RawCsb, RawRing, SlotCopy};
use crate::memory::Memory;
use std::ptr::NonNull;
use std::sync::Arc;

/// A slot that cannot be sent or filled: what was in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("slot {slot} holds buffer {buf_idx} of {num_bufs}, length {len}")]
pub struct BadSlot {
    /// Slot number.
    pub slot: u32,
    /// Buffer index found.
    pub buf_idx: u32,
    /// One past the largest buffer index.
    pub num_bufs: u32,
    /// Length found.
    pub len: u16,
    /// `NS_*` flags found.
    pub flags: u16,
}

/// A frame in a transmit ring: an address and length inside the port's memory, and the slot's flags.
///
/// The bytes stay the sender's to scribble on, so they are only ever copied.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    ptr: NonNull<u8>,
    len: u16,
    flags: u16,
}

// SAFETY: an address and two numbers; what is done with the address is for its users to vouch for.
unsafe impl Send for Frame {}

impl Frame {
    /// Bytes in the frame, at most the buffer size.
    #[inline(always)]
    #[must_use]
    pub fn len(&self) -> u16 {
        self.len
    }

    /// Whether there are no bytes.
    #[inline(always)]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `NS_*` flags of the slot.
    #[inline(always)]
    #[must_use]
    pub fn flags(&self) -> u16 {
        self.flags
    }

    /// A copy of the bytes.
    ///
    /// # Safety
    /// The memory the frame came from must still be mapped.
    #[must_use]
    pub unsafe fn to_vec(&self) -> Vec<u8> {
        // SAFETY: `len` bytes from `ptr` lie in one buffer, which the caller keeps mapped; volatile by rule 4.
        (0..usize::from(self.len)).map(|i| unsafe { self.ptr.add(i).as_ptr().read_volatile() }).collect()
    }

    /// Writes `bytes` to the start of `staging`, as a frame without flags; `None` if a slot cannot hold so many
    /// or they do not fit in whole lines.
    pub(crate) fn stage(staging: &Memory, bytes: &[u8]) -> Option<Frame> {
        let len = u16::try_from(bytes.len()).ok()?;
        let ptr = staging.array::<u8>(0, bytes.len().max(1).next_multiple_of(64))?;
        for (i, &byte) in bytes.iter().enumerate() {
            // SAFETY: i < bytes.len(), and so many bytes lie inside `staging`.
            unsafe { ptr.add(i).as_ptr().write_volatile(byte) };
        }
        Some(Frame { ptr, len, flags: 0 })
    }

    /// Asks for the first line to be brought into the cache.
    #[inline(always)]
    pub fn prefetch(&self) {
        prefetch(self.ptr, false);
    }

    /// Destination and source address, each in the low 48 bits, first byte lowest.
    ///
    /// # Safety
    /// The memory the frame came from must still be mapped.
    #[inline(always)]
    #[must_use]
    pub unsafe fn macs(&self) -> (u64, u64) {
        // SAFETY: a buffer has at least 64 bytes (BUF_ALIGN) at a 64-byte boundary, the caller keeps it mapped;
        // volatile by rule 4.
        let (a, b) = unsafe {
            (
                self.ptr.cast::<u64>().as_ptr().read_volatile(),
                self.ptr.cast::<u32>().as_ptr().add(2).read_volatile(),
            )
        };
        let (a, b) = (u64::from_le(a), u64::from(u32::from_le(b)));
        (a & 0xffff_ffff_ffff, (a >> 48) | (b << 16))
    }
}

#[inline(always)]
fn prefetch(ptr: NonNull<u8>, for_writing: bool) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_ET0, _MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch of any address is harmless; these lie inside a port's memory.
        unsafe {
            if for_writing {
                _mm_prefetch::<_MM_HINT_ET0>(ptr.as_ptr().cast());
            } else {
                _mm_prefetch::<_MM_HINT_T0>(ptr.as_ptr().cast());
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (ptr, for_writing);
}

/// Copies `len` bytes, rounded up to whole 64-byte lines: both buffers are whole lines long, so it stays inside
/// them, and a loop without a tail is the fast one (netmap's own copy does the same).
///
/// # Safety
/// `src` and `dst` must be buffers of at least `len` rounded up to 64 bytes, 64-byte aligned and mapped.
#[inline(always)]
unsafe fn copy_lines(src: NonNull<u8>, dst: NonNull<u8>, len: u16) {
    #[cfg(target_arch = "x86_64")]
    use std::arch::x86_64::__m128i as Unit;
    #[cfg(not(target_arch = "x86_64"))]
    type Unit = u64;
    const UNITS: usize = 64 / size_of::<Unit>();
    let (mut src, mut dst) = (src.cast::<Unit>().as_ptr(), dst.cast::<Unit>().as_ptr());
    let mut lines = len.div_ceil(64);
    while lines > 0 {
        for i in 0..UNITS {
            // SAFETY: within the line the caller vouches for; volatile, because a hostile peer may be writing
            // the same bytes (rule 4).
            unsafe { dst.add(i).write_volatile(src.add(i).read_volatile()) };
        }
        // SAFETY: at most one past the last line.
        (src, dst) = unsafe { (src.add(UNITS), dst.add(UNITS)) };
        lines -= 1;
    }
}

/// What both directions have.
#[derive(Debug)]
struct Half {
    _mem: Arc<Memory>,
    ring: RawRing,
    csb: RawCsb,
    /// First slot not yet taken from the application.
    hwcur: u32,
    /// First slot not the application's.
    hwtail: u32,
}

impl Half {
    /// Reads and checks the application's `head`. If it is bad the application's cursors are put back to
    /// `hwcur`, as netmap reinitialises a ring.
    #[inline(always)]
    fn head(&mut self) -> Result<u32, BadCursor> {
        let (_, head) = protocol::read(&self.csb.atok_cursors());
        let n = self.ring.num_slots();
        if cursor::within(head, self.hwcur, self.hwtail, n) {
            return Ok(head);
        }
        self.reset();
        Err(BadCursor { word: "head", value: head, from: self.hwcur, to: self.hwtail, num_slots: n })
    }

    #[cold]
    fn reset(&mut self) {
        protocol::publish(&self.csb.atok_cursors(), self.hwcur, self.hwcur, self.csb.appl_need_kick());
        self.publish();
    }

    #[inline(always)]
    fn publish(&mut self) -> bool {
        protocol::publish(&self.csb.ktoa_cursors(), self.hwcur, self.hwtail, self.csb.appl_need_kick())
    }

    fn want_kicks(&mut self, on: bool) {
        if on {
            protocol::ask_to_be_woken(self.csb.kern_need_kick());
        } else {
            protocol::awake(self.csb.kern_need_kick());
        }
    }
}

/// A port's transmit ring, seen from the switch.
#[derive(Debug)]
pub struct KernTx(Half);

impl KernTx {
    /// Takes over a freshly formatted ring of `mem`.
    #[must_use]
    pub fn new(mem: Arc<Memory>, (ring, csb): (RawRing, RawCsb)) -> KernTx {
        KernTx(Half { _mem: mem, ring, csb, hwcur: 0, hwtail: ring.num_slots() - 1 })
    }

    /// Slots the application has given and that were not taken yet.
    #[inline(always)]
    pub fn pending(&mut self) -> Result<u32, BadCursor> {
        let head = self.0.head()?;
        Ok(cursor::distance(self.0.hwcur, head, self.0.ring.num_slots()))
    }

    /// Slots in the ring.
    #[inline(always)]
    #[must_use]
    pub fn num_slots(&self) -> u32 {
        self.0.ring.num_slots()
    }

    /// The frame `k` slots after the first one pending; `k` is less than what [`pending`](KernTx::pending) said.
    #[inline(always)]
    pub fn frame(&self, k: u32) -> Result<Frame, BadSlot> {
        let ring = &self.0.ring;
        let slot = cursor::add(self.0.hwcur, k, ring.num_slots());
        let SlotCopy { buf_idx, len, flags } = ring.read_slot(slot);
        match ring.buf(buf_idx) {
            Some(ptr) if u32::from(len) <= ring.buf_size() => Ok(Frame { ptr, len, flags }),
            _ => Err(BadSlot { slot, buf_idx, num_bufs: ring.num_bufs(), len, flags }),
        }
    }

    /// Gives the slot `k` slots after the first one pending its own buffer again, if it names none; whether so.
    pub fn restore(&mut self, k: u32) -> bool {
        let ring = &mut self.0.ring;
        let slot = cursor::add(self.0.hwcur, k, ring.num_slots());
        let bad = ring.buf(ring.read_slot(slot).buf_idx).is_none();
        if bad {
            ring.write_slot(slot, SlotCopy { buf_idx: ring.own_buf(slot), len: 0, flags: 0 });
        }
        bad
    }

    /// Gives the first `n` pending slots back to the application; whether it sleeps and must be woken.
    #[inline(always)]
    #[must_use = "a sleeping application must be woken"]
    pub fn release(&mut self, n: u32) -> bool {
        let half = &mut self.0;
        let slots = half.ring.num_slots();
        half.hwcur = cursor::add(half.hwcur, n, slots);
        half.hwtail = cursor::prev(half.hwcur, slots);
        half.publish()
    }

    /// Asks the application to kick when it gives slots; look once more for some before sleeping.
    pub fn want_kicks(&mut self, on: bool) {
        self.0.want_kicks(on);
    }
}

/// A port's receive ring, seen from the switch.
#[derive(Debug)]
pub struct KernRx {
    half: Half,
}

impl KernRx {
    /// Takes over a freshly formatted ring of `mem`.
    #[must_use]
    pub fn new(mem: Arc<Memory>, (ring, csb): (RawRing, RawCsb)) -> KernRx {
        KernRx { half: Half { _mem: mem, ring, csb, hwcur: 0, hwtail: 0 } }
    }

    /// Slots that can be filled now.
    #[inline(always)]
    pub fn space(&mut self) -> Result<u32, BadCursor> {
        let half = &mut self.half;
        half.hwcur = half.head()?;
        let n = half.ring.num_slots();
        Ok(n - 1 - cursor::distance(half.hwcur, half.hwtail, n))
    }

    /// Where the next frame goes; see [`rollback`](KernRx::rollback).
    #[inline(always)]
    #[must_use]
    pub fn mark(&self) -> u32 {
        self.half.hwtail
    }

    /// Takes back what was put since [`mark`](KernRx::mark) and not published.
    pub fn rollback(&mut self, mark: u32) {
        self.half.hwtail = mark;
    }

    /// Asks for the buffer `k` slots on to be brought into the cache for writing.
    #[inline(always)]
    pub fn prefetch(&self, k: u32) {
        let ring = &self.half.ring;
        let slot = cursor::add(self.half.hwtail, k.min(ring.num_slots()), ring.num_slots());
        if let Some(buf) = ring.buf(ring.read_slot(slot).buf_idx) {
            prefetch(buf, true);
        }
    }

    /// Copies a frame into the next free slot, with these flags. The caller has seen that there is
    /// [`space`](KernRx::space). A slot without a proper buffer gets back the one it was formatted with, and
    /// the frame is not delivered.
    ///
    /// # Safety
    /// The memory `frame` came from must still be mapped.
    #[inline(always)]
    pub unsafe fn put(&mut self, frame: &Frame, flags: u16) -> Result<(), BadSlot> {
        let half = &mut self.half;
        let (slot, ring) = (half.hwtail, &mut half.ring);
        let buf_idx = ring.read_slot(slot).buf_idx;
        let fits = u32::from(frame.len) <= ring.buf_size();
        let Some(buf) = ring.buf(buf_idx).filter(|_| fits) else {
            let bad = BadSlot { slot, buf_idx, num_bufs: ring.num_bufs(), len: frame.len, flags };
            if ring.buf(buf_idx).is_none() {
                ring.write_slot(slot, SlotCopy { buf_idx: ring.own_buf(slot), len: 0, flags: 0 });
            }
            return Err(bad);
        };
        // SAFETY: both are whole buffers inside mapped memory (the caller vouches for the frame's), aligned and
        // sized in lines, and frame.len fits both.
        unsafe { copy_lines(frame.ptr, buf, frame.len) };
        ring.write_len_flags(slot, frame.len, flags);
        half.hwtail = cursor::add(slot, 1, half.ring.num_slots());
        Ok(())
    }

    /// Bytes in a buffer.
    #[inline(always)]
    #[must_use]
    pub fn buf_size(&self) -> u32 {
        self.half.ring.buf_size()
    }

    /// Frames filled and not yet taken by the application.
    pub fn unread(&mut self) -> Result<u32, BadCursor> {
        self.space().map(|space| self.half.ring.num_slots() - 1 - space)
    }

    /// Shows the filled slots to the application; whether it sleeps and must be woken.
    #[inline(always)]
    #[must_use = "a sleeping application must be woken"]
    pub fn publish(&mut self) -> bool {
        self.half.publish()
    }
}
