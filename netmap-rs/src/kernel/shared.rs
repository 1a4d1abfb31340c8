//! What the rings and buffers of one descriptor have in common: the descriptor, the mapping, the extra buffers,
//! and the claim to its rings.

use super::buffer::Pinned;
use super::control::Control;
use super::error::{KernelError, Operation, RingName};
use super::fake::FakeEnd;
use super::map::{BoundRing, Found};
use super::{advice, ioctl};
use crate::layout::RawRing;
use crate::memory::Memory;
use crate::sys::netmap_if;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::mem::offset_of;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who plays the other side.
#[derive(Debug)]
pub(super) enum Endpoint {
    /// The kernel, behind a registered descriptor.
    Kernel(Control),
    /// A fake one on heap memory.
    Fake(FakeEnd),
}

/// Which region memory belongs to: two ports of the same one can exchange buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Region {
    /// One of the kernel's, by its id, which no other has while this one lives.
    Kernel(u16),
    /// A fake one, by its address.
    Fake(usize),
}

/// One descriptor's port.
#[derive(Debug)]
pub(super) struct Shared {
    /// Told from every other of this process.
    pub(super) id: u64,
    /// As it was named, for messages.
    pub(super) name: String,
    pub(super) region: Region,
    memory: Arc<Memory>,
    nifp_ofs: usize,
    /// Any ring, for the addresses of buffers; none if none is bound.
    bufs: Option<RawRing>,
    /// Extra buffers that are in nobody's hands.
    spare: Mutex<Vec<u32>>,
    /// Frames that indirect slots may point to (rule 9).
    pinned: Mutex<Vec<Arc<Pinned>>>,
    /// Keeps what the kernel was given (CSB entries) alive; drops after `memory`, closing the descriptor.
    pub(super) endpoint: Endpoint,
    _claims: Claims,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

// SAFETY: the RawRing is addresses and numbers, and what is reached through them here is reached under `spare`'s
// lock (links of spare buffers, which nobody else has) or in drop.
unsafe impl Sync for Shared {}

impl Shared {
    pub(super) fn new(
        name: String,
        region: Region,
        memory: Arc<Memory>,
        nifp_ofs: usize,
        found: &Found,
        endpoint: Endpoint,
    ) -> Result<Shared, KernelError> {
        let claims = Claims::new(&name, region, found)?;
        let bufs = found.tx.iter().chain(&found.rx).map(|r| r.raw).next();
        let spare = bufs.map_or_else(Vec::new, |bufs| chain(&bufs, found.bufs_head));
        Ok(Shared {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            name,
            region,
            memory,
            nifp_ofs,
            bufs,
            spare: Mutex::new(spare),
            pinned: Mutex::new(Vec::new()),
            endpoint,
            _claims: claims,
        })
    }

    pub(super) fn spare(&self) -> MutexGuard<'_, Vec<u32>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bufs(&self) -> Option<&RawRing> {
        self.bufs.as_ref()
    }

    pub(super) fn pin(&self, pinned: Arc<Pinned>) {
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner).push(pinned);
    }

    /// The control device with the port, unless the port is a fake one.
    pub(super) fn control(&self) -> Option<&Control> {
        match &self.endpoint {
            Endpoint::Kernel(control) => Some(control),
            Endpoint::Fake(_) => None,
        }
    }

    pub(super) fn sync(&self, operation: Operation) -> Result<(), KernelError> {
        let done = match (&self.endpoint, operation) {
            (Endpoint::Kernel(control), Operation::Txsync) => ioctl::txsync(control.as_fd()),
            (Endpoint::Kernel(control), _) => ioctl::rxsync(control.as_fd()),
            (Endpoint::Fake(end), Operation::Txsync) => end.txsync(),
            (Endpoint::Fake(end), _) => end.rxsync(),
        };
        done.map_err(|errno| self.sync_failed(operation, errno))
    }

    #[cold]
    pub(super) fn sync_failed(&self, operation: Operation, errno: Errno) -> KernelError {
        let case = advice::Case { name: &self.name, ..advice::Case::default() };
        let advice = advice::advise(operation, errno, &case);
        KernelError::Sync { operation, port: self.name.clone(), advice, source: errno.into() }
    }
}

impl AsFd for Shared {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.endpoint {
            Endpoint::Kernel(control) => control.as_fd(),
            Endpoint::Fake(end) => end.as_fd(),
        }
    }
}

/// Follows the list of extra buffers: each begins with the index of the next.
fn chain(bufs: &RawRing, head: u32) -> Vec<u32> {
    let mut list = Vec::new();
    let mut at = head;
    while let Some(buf) = bufs.buf(at) {
        // A list longer than there are buffers goes in circles.
        if list.len() >= bufs.num_bufs() as usize {
            break;
        }
        list.push(at);
        // SAFETY: `buf` vouches for bounds and buffers are 64-byte aligned; the list is ours since the
        // registration, and volatile by rule 2.
        at = unsafe { buf.cast::<u32>().as_ptr().read_volatile() };
    }
    list
}

impl Drop for Shared {
    /// Hands the extra buffers back: the kernel frees those that it finds in the list when the port closes.
    fn drop(&mut self) {
        let list = std::mem::take(self.spare.get_mut().unwrap_or_else(PoisonError::into_inner));
        let Some(bufs) = &self.bufs else { return };
        let mut next = 0u32;
        for idx in list {
            if let Some(buf) = bufs.buf(idx) {
                // SAFETY: a buffer in nobody's hands, in bounds and aligned.
                unsafe { buf.cast::<u32>().as_ptr().write_volatile(next) };
                next = idx;
            }
        }
        if let Some(head) = self.memory.at::<u32>(self.nifp_ofs + offset_of!(netmap_if, ni_bufs_head)) {
            // SAFETY: in bounds and aligned; the field is the application's to write.
            unsafe { head.as_ptr().write_volatile(next) };
        }
    }
}

/// Rings that this process has mapped, by region and offset (rule 10).
static CLAIMED: Mutex<BTreeSet<(Region, usize)>> = Mutex::new(BTreeSet::new());

#[derive(Debug)]
struct Claims(Vec<(Region, usize)>);

impl Claims {
    fn new(port: &str, region: Region, found: &Found) -> Result<Claims, KernelError> {
        let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
        let key = |ring: &BoundRing| (region, ring.offset);
        let rings = || found.tx.iter().chain(&found.rx);
        if let Some(ring) = rings().find(|ring| claimed.contains(&key(ring))) {
            return Err(in_use(port, ring.name));
        }
        let mine: Vec<_> = rings().map(key).collect();
        claimed.extend(mine.iter().copied());
        Ok(Claims(mine))
    }
}

fn in_use(port: &str, ring: RingName) -> KernelError {
    KernelError::RingInUse { port: port.to_owned(), ring }
}

impl Drop for Claims {
    fn drop(&mut self) {
        let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
        for key in &self.0 {
            claimed.remove(key);
        }
    }
}
