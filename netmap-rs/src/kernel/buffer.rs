//! Buffers outside rings: extra buffers, which change places with a slot's buffer without a copy, and pinned
//! frames, which indirect slots point to.

use super::error::RingName;
use super::shared::{Region, Shared};
use std::fmt;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

/// A buffer of a port's region that is in no ring, this program's alone. Got from
/// [`KernelPort::take_buffer`](super::KernelPort::take_buffer); when dropped it goes back to that port's spare
/// ones.
///
/// It lets frames be kept, reordered or passed from ring to ring in one region, by exchanging it with the buffer
/// in a slot: [`RxRing::exchange`](super::RxRing::exchange), [`TxRing::send`](super::TxRing::send).
pub struct Buffer {
    idx: u32,
    shared: Arc<Shared>,
}

impl Buffer {
    /// One of `shared`'s spare buffers.
    pub(super) fn take(shared: &Arc<Shared>) -> Option<Buffer> {
        let idx = shared.spare().pop()?;
        Some(Buffer { idx, shared: shared.clone() })
    }

    /// Its index in the region.
    #[must_use]
    pub fn buf_idx(&self) -> u32 {
        self.idx
    }

    pub(super) fn region(&self) -> Region {
        self.shared.region
    }

    /// Makes it name another buffer of the region, which the caller owns, and gives up the one it named.
    pub(super) fn replace(&mut self, idx: u32) -> u32 {
        std::mem::replace(&mut self.idx, idx)
    }

    /// All of its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let Some((buf, len)) = self.place() else { return &[] };
        // SAFETY: `place` vouches for the bounds; the buffer is in no ring and named by this value alone (rule
        // 8), so nobody writes it while it is borrowed.
        unsafe { slice::from_raw_parts(buf, len) }
    }

    /// All of its bytes, to write.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let Some((buf, len)) = self.place() else { return &mut [] };
        // SAFETY: as in `bytes`; `&mut self` is the only way to it.
        unsafe { slice::from_raw_parts_mut(buf, len) }
    }

    fn place(&self) -> Option<(*mut u8, usize)> {
        let bufs = self.shared.bufs()?;
        Some((bufs.buf(self.idx)?.as_ptr(), bufs.buf_size() as usize))
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("idx", &self.idx).field("port", &self.shared.name).finish()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.shared.spare().push(self.idx);
    }
}

/// Bytes at an aligned address that do not change.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; 64]);

/// What indirect slots point to. The kernel copies from the line that a frame begins in to the end of its last one,
/// so it is whole lines.
pub(super) struct Pinned {
    first: NonNull<Line>,
    count: usize,
}

// SAFETY: memory of its own, made by one box and freed with it. An [`IndirectFrame`]'s lines are written before it is
// shared and never again; those of [`IndirectBuffers`] are reached through that value alone, which is not cloned.
unsafe impl Send for Pinned {}
// SAFETY: as above.
unsafe impl Sync for Pinned {}

impl Pinned {
    fn new(lines: Box<[Line]>) -> Arc<Pinned> {
        let count = lines.len();
        let first = NonNull::from(Box::leak(lines)).cast();
        Arc::new(Pinned { first, count })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let lines = NonNull::slice_from_raw_parts(self.first, self.count);
        // SAFETY: it came from a box of so many lines, and nobody has its address any more: the port whose slots
        // pointed here is gone (rule 9).
        drop(unsafe { Box::from_raw(lines.as_ptr()) });
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned").field("lines", &self.count).finish()
    }
}

/// A frame in memory of this program's own that a VALE port sends from there (`NS_INDIRECT`), without a buffer.
///
/// Its bytes are copied and never change, and stay as long as the port they were pinned for
/// ([`KernelPort::pin`](super::KernelPort::pin)), so no sync can find them gone.
#[derive(Debug, Clone)]
pub struct IndirectFrame {
    pinned: Arc<Pinned>,
    len: u16,
    /// The [`Shared`] that keeps it.
    owner: u64,
}

impl IndirectFrame {
    /// Pins a copy of `bytes` for as long as `shared` lives. `None` for no bytes, or more than a slot can say.
    pub(super) fn new(shared: &Shared, bytes: &[u8]) -> Option<IndirectFrame> {
        let len = u16::try_from(bytes.len()).ok().filter(|&len| len > 0)?;
        let mut lines = vec![Line([0; 64]); bytes.len().div_ceil(64) + 1].into_boxed_slice();
        for (line, part) in lines.iter_mut().zip(bytes.chunks(64)) {
            line.0[..part.len()].copy_from_slice(part);
        }
        let pinned = Pinned::new(lines);
        shared.pin(pinned.clone());
        Some(IndirectFrame { pinned, len, owner: shared.id })
    }

    /// Whether `shared` keeps it.
    pub(super) fn belongs_to(&self, shared: &Shared) -> bool {
        self.owner == shared.id
    }

    pub(super) fn address(&self) -> u64 {
        self.pinned.first.as_ptr().expose_provenance() as u64
    }

    /// Bytes in the frame.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no frame is empty")]
    pub fn len(&self) -> u16 {
        self.len
    }
}

/// Memory of this program's own that a VALE port's transmit ring sends from (`NS_INDIRECT`): a buffer for each of its
/// slots, whose owner is the slot's. Made by [`TxRing::indirect_buffers`](super::TxRing::indirect_buffers).
#[derive(Debug)]
pub struct IndirectBuffers {
    pinned: Arc<Pinned>,
    /// Bytes of each.
    size: usize,
    count: u32,
    /// The [`Shared`] that keeps it, and which ring of it.
    owner: (u64, RingName),
}

impl IndirectBuffers {
    pub(super) fn new(shared: &Shared, ring: RingName, count: u32, size: u32) -> IndirectBuffers {
        let size = (size as usize).max(1).next_multiple_of(size_of::<Line>());
        let lines = vec![Line([0; 64]); (size / size_of::<Line>()) * count as usize];
        let pinned = Pinned::new(lines.into_boxed_slice());
        shared.pin(pinned.clone());
        IndirectBuffers { pinned, size, count, owner: (shared.id, ring) }
    }

    pub(super) fn belong_to(&self, shared: &Shared, ring: RingName) -> bool {
        self.owner == (shared.id, ring)
    }

    /// The buffer of slot `i`, and its address for the kernel.
    #[inline(always)]
    pub(super) fn part(&mut self, i: u32) -> (u64, &mut [u8]) {
        assert!(i < self.count);
        let first = self.pinned.first.cast::<u8>().as_ptr();
        // SAFETY: `count` buffers of `size` bytes each were allocated, and `i` is below `count`. Rule 1: the slot
        // is in [head, tail), so the kernel does not read its buffer; `&mut self` is the only other way to it.
        let part = unsafe { slice::from_raw_parts_mut(first.add(i as usize * self.size), self.size) };
        (part.as_mut_ptr().expose_provenance() as u64, part)
    }
}
