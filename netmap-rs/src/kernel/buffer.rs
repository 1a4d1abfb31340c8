//! Buffers outside rings: extra buffers, which change places with a slot's buffer without a copy, and pinned
//! frames, which indirect slots point to.

use super::shared::{Region, Shared};
use std::fmt;
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

/// What [`IndirectFrame`]s point to. The kernel copies from the line that the frame begins in to the end of its
/// last one, so it is whole lines.
pub(super) struct Pinned {
    lines: Box<[Line]>,
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned").field("lines", &self.lines.len()).finish()
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
        let pinned = Arc::new(Pinned { lines });
        shared.pin(pinned.clone());
        Some(IndirectFrame { pinned, len, owner: shared.id })
    }

    /// Whether `shared` keeps it.
    pub(super) fn belongs_to(&self, shared: &Shared) -> bool {
        self.owner == shared.id
    }

    pub(super) fn address(&self) -> u64 {
        self.pinned.lines.as_ptr().expose_provenance() as u64
    }

    /// Bytes in the frame.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no frame is empty")]
    pub fn len(&self) -> u16 {
        self.len
    }
}
