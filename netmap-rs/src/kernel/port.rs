//! A registered port: its rings, and the system calls that synchronise them.
//!
//! A sync walks every ring bound to the descriptor, so it takes the whole port; frames are lent by rings to
//! closures that must take them for any lifetime, so none can be kept past it:
//!
//! ```compile_fail
//! fn keep(port: &mut netmap_rs::kernel::KernelPort) {
//!     let mut kept: Vec<&[u8]> = Vec::new();
//!     port.rx()[0].drain(16, |slot| kept.push(slot.data));
//!     port.rxsync().unwrap();
//! }
//! ```
//!
//! ```
//! fn copy(port: &mut netmap_rs::kernel::KernelPort) {
//!     let mut copied: Vec<Vec<u8>> = Vec::new();
//!     port.rx()[0].drain(16, |slot| copied.push(slot.data.to_vec()));
//!     port.rxsync().unwrap();
//! }
//! ```
//!
//! Nor can a port be synchronised while frames of any of its rings are lent:
//!
//! ```compile_fail
//! fn sync_inside(port: &mut netmap_rs::kernel::KernelPort) {
//!     let (tx, rx) = port.rings();
//!     rx[0].drain(16, |slot| {
//!         tx[0].fill(1, |free| {
//!             port.txsync().unwrap();
//!             60
//!         });
//!     });
//! }
//! ```
//!
//! ```
//! fn sync_after(port: &mut netmap_rs::kernel::KernelPort) {
//!     let (tx, rx) = port.rings();
//!     rx[0].drain(16, |slot| {
//!         tx[0].fill(1, |free| {
//!             free.buf[..slot.data.len()].copy_from_slice(slot.data);
//!             slot.data.len() as u16
//!         });
//!     });
//!     port.txsync().unwrap();
//! }
//! ```

use super::buffer::{Buffer, IndirectFrame};
use super::control::{Control, map_region};
use super::csb::{self, Kloop, KloopOptions};
use super::error::{KernelError, Operation};
use super::map;
use super::register::{Register, Registered};
use super::ring::{Cursors, Half};
use super::rx::RxRing;
use super::shared::{Endpoint, Region, Shared};
use super::tx::TxRing;
use crate::csb::CsbPort;
use crate::memory::Memory;
use crate::portspec::{PortSpec, RegMode, RingId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use std::sync::Arc;
use std::time::Duration;

/// A port bound to a descriptor, with its memory mapped.
///
/// Transmit and receive rings are those that the registration bound, hardware rings before host rings. One thread
/// a ring means one `KernelPort` a ring ([`open_ring`](KernelPort::open_ring)): a sync is a descriptor's.
#[derive(Debug)]
pub struct KernelPort {
    pub(super) shared: Arc<Shared>,
    pub(super) tx: Vec<TxRing>,
    pub(super) rx: Vec<RxRing>,
    registered: Registered,
}

/// What a wait ended with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ready {
    /// A transmit ring has free slots.
    pub tx: bool,
    /// A receive ring has frames.
    pub rx: bool,
}

impl KernelPort {
    /// Opens `/dev/netmap`, registers a port and maps it.
    pub fn open(register: impl Into<Register>) -> Result<KernelPort, KernelError> {
        Control::open()?.register(&register.into())?.map()
    }

    /// Opens one hardware ring pair of a port.
    pub fn open_ring(spec: &PortSpec, ring: RingId) -> Result<KernelPort, KernelError> {
        KernelPort::open(PortSpec { mode: RegMode::OneNic(ring), ..spec.clone() })
    }

    /// Opens each hardware ring pair of a port, on a descriptor of its own: a thread for each can use them at the
    /// same time.
    pub fn open_rings(spec: &PortSpec) -> Result<Vec<KernelPort>, KernelError> {
        let pair = |i| RingId::new(i).expect("fewer rings than ring numbers");
        let first = KernelPort::open_ring(spec, pair(0))?;
        let reply = &first.registered.reply;
        let pairs = reply.nr_tx_rings.max(reply.nr_rx_rings).min(RingId::MAX);
        let mut all = vec![first];
        for i in 1..pairs {
            all.push(KernelPort::open_ring(spec, pair(i))?);
        }
        Ok(all)
    }

    pub(super) fn map(
        control: Control,
        name: String,
        registered: Registered,
    ) -> Result<KernelPort, KernelError> {
        let reply = &registered.reply;
        let memory = match &registered.memory {
            // The same pages, as huge as they were given.
            Some(memory) => memory.memory().clone(),
            None => map_region(&control, &name, reply.nr_memsize)?,
        };
        let region = Region::Kernel(reply.nr_mem_id);
        KernelPort::assemble(name, region, memory, registered, Endpoint::Kernel(control))
    }

    /// Finds the rings at `registered.reply.nr_offset` of `memory`.
    pub(super) fn assemble(
        name: String,
        region: Region,
        memory: Arc<Memory>,
        registered: Registered,
        endpoint: Endpoint,
    ) -> Result<KernelPort, KernelError> {
        let layout = |source| KernelError::Layout { port: name.clone(), source };
        let nifp = usize::try_from(registered.reply.nr_offset).unwrap_or(usize::MAX);
        let found = map::find(&memory, nifp).map_err(layout)?;
        // Without the option, any offset that another program put into the slots of a ring it shares counts.
        let max_offset = registered.offsets.map_or(u64::MAX, |o| o.max);
        let shared = Arc::new(Shared::new(name, region, memory, nifp, &found, endpoint)?);
        let half = |ring| Half::new(&shared, ring, max_offset);
        let tx = found.tx.iter().map(|ring| TxRing::new(half(ring))).collect();
        let rx = found.rx.iter().map(|ring| RxRing::new(half(ring))).collect();
        Ok(KernelPort { shared, tx, rx, registered })
    }

    /// The port, as it was named.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What the kernel answered when the port was registered.
    #[must_use]
    pub fn registered(&self) -> &Registered {
        &self.registered
    }

    /// The transmit rings bound.
    #[inline(always)]
    pub fn tx(&mut self) -> &mut [TxRing] {
        &mut self.tx
    }

    /// The receive rings bound.
    #[inline(always)]
    pub fn rx(&mut self) -> &mut [RxRing] {
        &mut self.rx
    }

    /// Both.
    #[inline(always)]
    pub fn rings(&mut self) -> (&mut [TxRing], &mut [RxRing]) {
        (&mut self.tx, &mut self.rx)
    }

    /// Sends what was filled on every transmit ring bound, and learns which slots are free again. Never blocks.
    #[inline]
    pub fn txsync(&mut self) -> Result<(), KernelError> {
        self.tx.iter_mut().for_each(TxRing::publish);
        self.shared.sync(Operation::Txsync)?;
        all(self.tx.iter_mut().map(TxRing::refresh))
    }

    /// Gives back what was drained from every receive ring bound, and learns what has arrived. Never blocks: a
    /// loop around it is a busy wait.
    #[inline]
    pub fn rxsync(&mut self) -> Result<(), KernelError> {
        if self.forwards() {
            return self.rxsync_forwarding();
        }
        self.rx.iter_mut().for_each(RxRing::publish);
        self.shared.sync(Operation::Rxsync)?;
        all(self.rx.iter_mut().map(RxRing::refresh))
    }

    fn forwards(&self) -> bool {
        self.rx.iter().any(|ring| ring.forwarding)
    }

    /// The kernel puts frames of the host's stack behind those filled and published, and leaves sending to the next
    /// transmit sync.
    #[cold]
    fn rxsync_forwarding(&mut self) -> Result<(), KernelError> {
        self.before_poll();
        self.shared.sync(Operation::Rxsync)?;
        self.tx.iter_mut().for_each(|ring| ring.half.adopt_forwarded());
        self.shared.sync(Operation::Txsync)?;
        self.after_poll()
    }

    /// Sleeps until a transmit ring has free slots (if `tx`) or a receive ring has frames (if `rx`), or `timeout`
    /// has passed. It synchronises in passing: receive rings if `rx`; transmit rings if `tx`, and also otherwise
    /// unless the port was registered with [`no_tx_poll`](Register::no_tx_poll).
    pub fn wait(&mut self, tx: bool, rx: bool, timeout: Duration) -> Result<Ready, KernelError> {
        self.before_poll();
        let failed = |errno| self.shared.sync_failed(Operation::Poll, errno);
        let mut events = PollFlags::empty();
        events.set(PollFlags::OUT, tx);
        events.set(PollFlags::IN, rx);
        let revents = if let Endpoint::Fake(end) = &self.shared.endpoint {
            end.poll(events, timeout)
        } else {
            let timeout = Timespec {
                tv_sec: timeout.as_secs().min(3600) as i64,
                tv_nsec: i64::from(timeout.subsec_nanos()),
            };
            let mut fds = [PollFd::new(&*self.shared, events)];
            match poll(&mut fds, Some(&timeout)) {
                Ok(_) => fds[0].revents(),
                Err(Errno::INTR) => PollFlags::empty(),
                Err(errno) => return Err(failed(errno)),
            }
        };
        if revents.contains(PollFlags::ERR) {
            // Rejected cursors show themselves in the rings; else the port is gone, or in CSB mode.
            return Err(self
                .after_poll()
                .err()
                .unwrap_or_else(|| self.shared.sync_failed(Operation::Poll, Errno::IO)));
        }
        self.after_poll()?;
        let ready = Ready {
            tx: tx && self.tx.iter().any(|ring| ring.space() > 0),
            rx: rx && self.rx.iter().any(|ring| ring.avail() > 0),
        };
        Ok(ready)
    }

    /// Publishes what was filled and drained, for an event loop (epoll, mio) that polls the descriptor: the
    /// kernel synchronises while it polls. To be called before the loop sleeps.
    pub fn before_poll(&mut self) {
        self.tx.iter_mut().for_each(TxRing::publish);
        self.rx.iter_mut().for_each(RxRing::publish);
    }

    /// Takes over what a poll brought. To be called when the event loop has woken.
    pub fn after_poll(&mut self) -> Result<(), KernelError> {
        if self.forwards() {
            self.tx.iter_mut().for_each(|ring| ring.half.adopt_forwarded());
        }
        let tx = all(self.tx.iter_mut().map(TxRing::refresh));
        tx.and(all(self.rx.iter_mut().map(RxRing::refresh)))
    }

    /// One of the port's extra buffers ([`Register::extra_bufs`]), while there are any.
    #[must_use]
    pub fn take_buffer(&self) -> Option<Buffer> {
        Buffer::take(&self.shared)
    }

    /// Extra buffers that can be taken.
    #[must_use]
    pub fn spare_buffers(&self) -> usize {
        self.shared.spare().len()
    }

    /// Copies a frame to memory that stays as long as the port, for
    /// [`TxRing::send_indirect`](super::TxRing::send_indirect). `None` if there are no bytes, or more than 65535.
    #[must_use]
    pub fn pin(&self, frame: &[u8]) -> Option<IndirectFrame> {
        IndirectFrame::new(&self.shared, frame)
    }

    /// Puts any cursors into a ring's header, right or wrong, has the kernel synchronise, and shows what it left
    /// there: for tools that try how the kernel defends itself. The ring is spent: it lends nothing any more.
    ///
    /// # Panics
    /// If there is no such ring.
    pub fn try_cursors(
        &mut self,
        tx: bool,
        ring: usize,
        head: u32,
        cur: u32,
    ) -> Result<Cursors, KernelError> {
        let half = if tx { &mut self.tx[ring].half } else { &mut self.rx[ring].half };
        half.write_cursors(head, cur);
        self.shared.sync(if tx { Operation::Txsync } else { Operation::Rxsync })?;
        let half = if tx { &self.tx[ring].half } else { &self.rx[ring].half };
        Ok(half.cursors())
    }

    /// Switches to CSB mode, in which rings are synchronised without system calls: the same kind of port as
    /// uvale's, and the thread in which the kernel does its part. The port must have been registered for exclusive
    /// use.
    pub fn into_csb(self, options: &KloopOptions) -> Result<(CsbPort, Kloop), KernelError> {
        csb::enter(self, options)
    }

    /// The descriptor's control device, for further requests; `None` for a fake port.
    #[must_use]
    pub fn control(&self) -> Option<&Control> {
        self.shared.control()
    }
}

/// The descriptor, to poll. [`before_poll`](KernelPort::before_poll) and [`after_poll`](KernelPort::after_poll) go
/// around it.
impl AsFd for KernelPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.as_fd()
    }
}

/// Does all of them, and gives the first error.
#[inline(always)]
fn all(results: impl Iterator<Item = Result<(), KernelError>>) -> Result<(), KernelError> {
    results.fold(Ok(()), Result::and)
}
