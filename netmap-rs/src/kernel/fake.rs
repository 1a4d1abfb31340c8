//! A fake kernel on heap memory: ports whose rings have cursors in their headers and whose syncs are function
//! calls, so that everything that runs on a kernel port is tested without the module.
//!
//! It formats memory as the kernel does (host rings and all), checks cursors by the kernel's rules (netmap's
//! `nm_txsync_prologue`, `nm_rxsync_prologue`, `netmap_ring_reinit`) and can be told to misbehave. Frames sent are
//! collected, frames to receive are queued, by hand; deliberately absent are switching, threads and time.
//!
//! ```
//! use netmap_rs::kernel::fake::{FakeRegion, FakeShape};
//!
//! let region = FakeRegion::new(2048, 4096);
//! let (kernel, mut port) = region.open(&FakeShape::default());
//! port.tx()[0].fill(1, |slot| {
//!     slot.buf[..5].copy_from_slice(b"hello");
//!     5
//! });
//! port.txsync().unwrap();
//! assert_eq!(kernel.sent(0)[0].data, b"hello");
//!
//! kernel.deliver(0, &[b"world"]);
//! port.rxsync().unwrap();
//! assert_eq!(port.rx()[0].drain(16, |slot| assert_eq!(slot.data, b"world")), 1);
//! ```

mod format;
mod kring;

use super::error::KernelError;
use super::port::KernelPort;
use super::register::{Offsets, Registered};
use super::ring::Cursors;
use super::shared::{Endpoint, Region};
use crate::fake::Taken;
use crate::layout::SlotCopy;
use crate::memory::Memory;
use crate::sys::nmreq_register;
use format::Layout;
use kring::Kring;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A fake port to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeShape {
    /// Hardware transmit rings.
    pub tx_rings: u16,
    /// Hardware receive rings.
    pub rx_rings: u16,
    /// Whether the descriptor is bound to a pair of host rings too.
    pub host_rings: bool,
    /// Slots of each transmit ring.
    pub tx_slots: u32,
    /// Slots of each receive ring.
    pub rx_slots: u32,
    /// Extra buffers.
    pub extra_bufs: u32,
    /// Offsets in slots.
    pub offsets: Option<Offsets>,
}

impl Default for FakeShape {
    /// A VALE port's: a ring of 1024 slots each way, and no host rings.
    fn default() -> Self {
        FakeShape {
            tx_rings: 1,
            rx_rings: 1,
            host_rings: false,
            tx_slots: 1024,
            rx_slots: 1024,
            extra_bufs: 0,
            offsets: None,
        }
    }
}

/// Memory that fake ports share, as the kernel's interfaces share theirs.
#[derive(Debug)]
pub struct FakeRegion {
    memory: Arc<Memory>,
    layout: Mutex<Layout>,
}

impl FakeRegion {
    /// A region of `num_bufs` buffers of `buf_size` bytes, a multiple of 64.
    ///
    /// # Panics
    /// If there is no such memory.
    #[must_use]
    pub fn new(buf_size: u32, num_bufs: u32) -> FakeRegion {
        let layout = Layout::new(buf_size, num_bufs);
        FakeRegion { memory: Memory::heap(layout.len()), layout: Mutex::new(layout) }
    }

    /// A fresh port in this region: the kernel's side of it, and the application's.
    ///
    /// # Panics
    /// If the region has no room for it, or the process no descriptors.
    #[must_use]
    pub fn open(&self, shape: &FakeShape) -> (FakeKernel, KernelPort) {
        let mut layout = self.layout.lock().unwrap_or_else(PoisonError::into_inner);
        let port = layout.port(&self.memory, shape);
        let nifp = port.nifp;
        let reply = nmreq_register {
            nr_offset: nifp as u64,
            nr_memsize: self.memory.len() as u64,
            nr_tx_slots: shape.tx_slots,
            nr_rx_slots: shape.rx_slots,
            nr_tx_rings: shape.tx_rings,
            nr_rx_rings: shape.rx_rings,
            nr_extra_bufs: shape.extra_bufs,
            ..nmreq_register::default()
        };
        let registered = Registered { reply, offsets: shape.offsets, pools: None, memory: None };
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an eventfd");
        let state = State {
            sent: port.tx.iter().map(|_| Vec::new()).collect(),
            inbox: port.rx.iter().map(|_| VecDeque::new()).collect(),
            tx: port.tx,
            rx: port.rx,
            hold: false,
            failure: None,
        };
        let end = FakeEnd { state: Arc::new(Mutex::new(state)), event: Arc::new(event) };
        let kernel = FakeKernel { end, memory: self.memory.clone(), nifp, registered };
        let port = kernel.open_again().expect("a freshly formatted port");
        (kernel, port)
    }
}

#[derive(Debug)]
struct State {
    tx: Vec<Kring>,
    rx: Vec<Kring>,
    /// Frames sent on each transmit ring and not looked at.
    sent: Vec<Vec<Taken>>,
    /// Frames for each receive ring, with the slot flags they get.
    inbox: Vec<VecDeque<(Vec<u8>, u16)>>,
    hold: bool,
    failure: Option<Errno>,
}

/// What a port's system calls reach.
#[derive(Debug, Clone)]
pub(super) struct FakeEnd {
    state: Arc<Mutex<State>>,
    event: Arc<OwnedFd>,
}

impl FakeEnd {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn txsync(&self) -> Result<(), Errno> {
        let mut state = self.state();
        state.failure.map_or(Ok(()), Err)?;
        let State { tx, sent, hold, .. } = &mut *state;
        for (ring, sent) in tx.iter_mut().zip(sent) {
            ring.txsync(sent, *hold);
        }
        Ok(())
    }

    pub(super) fn rxsync(&self) -> Result<(), Errno> {
        let mut state = self.state();
        state.failure.map_or(Ok(()), Err)?;
        let State { rx, inbox, .. } = &mut *state;
        for (ring, inbox) in rx.iter_mut().zip(inbox) {
            ring.rxsync(inbox);
        }
        Ok(())
    }

    /// As the kernel polls: synchronises, and sleeps if nothing is ready.
    pub(super) fn poll(&self, events: PollFlags, timeout: Duration) -> PollFlags {
        let look = || {
            let mut revents = PollFlags::empty();
            if self.txsync().and(if events.contains(PollFlags::IN) { self.rxsync() } else { Ok(()) }).is_err()
            {
                return PollFlags::ERR;
            }
            let state = self.state();
            revents.set(PollFlags::OUT, state.tx.iter().any(Kring::ready));
            revents.set(PollFlags::IN, state.rx.iter().any(Kring::ready));
            revents & events
        };
        let _ = rustix::io::read(&*self.event, &mut [0u8; 8]);
        let revents = look();
        if !revents.is_empty() {
            return revents;
        }
        let timeout =
            Timespec { tv_sec: timeout.as_secs().min(3600) as i64, tv_nsec: timeout.subsec_nanos().into() };
        let mut fds = [PollFd::new(&*self.event, PollFlags::IN)];
        // Whatever it ends with: what counts is what the rings show then.
        let _ = poll(&mut fds, Some(&timeout));
        look()
    }
}

impl AsFd for FakeEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// The kernel's side of a fake port. Rings are numbered as the port has them bound.
#[derive(Debug)]
pub struct FakeKernel {
    end: FakeEnd,
    memory: Arc<Memory>,
    nifp: usize,
    registered: Registered,
}

impl FakeKernel {
    /// The application's side again, which goes on where the one before stopped. As long as that is open it is
    /// refused: a ring has one user.
    pub fn open_again(&self) -> Result<KernelPort, KernelError> {
        let region = Region::Fake(self.memory.base().as_ptr().addr());
        let endpoint = Endpoint::Fake(self.end.clone());
        let (memory, registered) = (self.memory.clone(), self.registered.clone());
        KernelPort::assemble("fake".into(), region, memory, registered, endpoint)
    }

    /// Takes the frames sent on transmit ring `ring` so far.
    #[must_use]
    pub fn sent(&self, ring: usize) -> Vec<Taken> {
        std::mem::take(&mut self.end.state().sent[ring])
    }

    /// Queues frames for receive ring `ring`, each a packet, and wakes the port. They come with the next sync, as
    /// far as the ring has room.
    pub fn deliver<T: AsRef<[u8]>>(&self, ring: usize, frames: &[T]) {
        self.deliver_flagged(ring, frames.iter().map(|f| (f.as_ref().to_vec(), 1 << 8)));
    }

    /// Queues frames with these slot flags.
    pub fn deliver_flagged(&self, ring: usize, frames: impl IntoIterator<Item = (Vec<u8>, u16)>) {
        self.end.state().inbox[ring].extend(frames);
        rustix::io::write(&*self.end.event, &1u64.to_ne_bytes()).expect("an eventfd can be written");
    }

    /// Frames queued for receive ring `ring` and not in it yet.
    #[must_use]
    pub fn queued(&self, ring: usize) -> usize {
        self.end.state().inbox[ring].len()
    }

    /// Keeps sent slots until [`complete`](FakeKernel::complete), as an interface does; or gives them back at once,
    /// as VALE does.
    pub fn hold(&self, on: bool) {
        self.end.state().hold = on;
    }

    /// Gives back up to `n` slots kept of transmit ring `ring`.
    pub fn complete(&self, ring: usize, n: u32) {
        self.end.state().tx[ring].complete(n);
    }

    /// Misbehaves: every sync fails with this errno, until told otherwise.
    pub fn fail(&self, errno: Option<Errno>) {
        self.end.state().failure = errno;
    }

    /// The cursors in a ring's header.
    #[must_use]
    pub fn cursors(&self, tx: bool, ring: usize) -> Cursors {
        self.end.state().kring(tx, ring).cursors()
    }

    /// Misbehaves, as another program that writes the ring: sets the cursors in its header.
    pub fn spoil_cursors(&self, tx: bool, ring: usize, cursors: Cursors) {
        self.end.state().kring(tx, ring).set_cursors(cursors);
    }

    /// Misbehaves: sets a ring's tail, in the header and in what the kernel keeps.
    pub fn spoil_tail(&self, tx: bool, ring: usize, tail: u32) {
        self.end.state().kring(tx, ring).force_tail(tail);
    }

    /// The contents of a slot, and its `ptr`.
    #[must_use]
    pub fn slot(&self, tx: bool, ring: usize, slot: u32) -> (SlotCopy, u64) {
        self.end.state().kring(tx, ring).slot(slot)
    }

    /// Misbehaves: writes a slot.
    pub fn spoil_slot(&self, tx: bool, ring: usize, slot: u32, contents: SlotCopy) {
        self.end.state().kring(tx, ring).set_slot(slot, contents);
    }

    /// Follows the port's list of extra buffers, as the kernel does when the port closes.
    #[must_use]
    pub fn extra_bufs(&self) -> Vec<u32> {
        let state = self.end.state();
        let any = state.tx.iter().chain(&state.rx).next().expect("a port with rings");
        format::extra_bufs(&self.memory, self.nifp, any)
    }
}

impl State {
    fn kring(&mut self, tx: bool, ring: usize) -> &mut Kring {
        if tx { &mut self.tx[ring] } else { &mut self.rx[ring] }
    }
}
