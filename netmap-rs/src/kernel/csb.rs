//! CSB mode on a kernel port: the entries in memory of this process, and the sync kloop, a thread that the kernel
//! keeps in a system call while it synchronises the rings with them.

use super::control::Control;
use super::error::{KernelError, Operation};
use super::ioctl::with_signals_blocked;
use super::mapping::Mapping;
use super::port::KernelPort;
use super::request::{Body, MAX_EVENT_RINGS, Opt, Request, RingEvents};
use super::shared::Shared;
use crate::csb::CsbPort;
use crate::doorbell::Doorbell;
use crate::layout::{RawCsb, RawRing};
use crate::memory::Memory;
use crate::sys::arith::name_field;
use crate::sys::{
    NETMAP_REQ_CSB_ENABLE, NETMAP_REQ_SYNC_KLOOP_START, NETMAP_REQ_SYNC_KLOOP_STOP,
    NM_OPT_SYNC_KLOOP_DIRECT_RX, NM_OPT_SYNC_KLOOP_DIRECT_TX, nm_csb_atok, nm_csb_ktoa,
    nmreq_sync_kloop_start,
};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Entries in each array, more rings than a port has.
const ENTRIES: usize = 1024;
/// Bytes of an array, whole pages; as many bytes behind it cannot be reached.
const ARRAY: usize = ENTRIES * size_of::<nm_csb_atok>();
const _: () = assert!(size_of::<nm_csb_atok>() == size_of::<nm_csb_ktoa>() && ARRAY.is_multiple_of(65536));

/// Both arrays of CSB entries, in memory that the kernel reads and writes.
///
/// The kernel learns their addresses but not their lengths: it takes as many entries as rings are bound. Behind
/// each array lie pages that nobody can reach, so a port with more rings is refused (`EFAULT`), since the kernel
/// tries all entries before it uses any.
#[derive(Debug)]
pub struct CsbArrays {
    memory: Arc<Memory>,
}

impl CsbArrays {
    /// Zeroed entries.
    pub fn new() -> io::Result<CsbArrays> {
        Ok(CsbArrays { memory: Mapping::guarded_arrays(2, ARRAY)?.into_memory() })
    }

    pub(super) fn atok_address(&self) -> u64 {
        self.memory.base().as_ptr().expose_provenance() as u64
    }

    pub(super) fn ktoa_address(&self) -> u64 {
        self.atok_address() + 2 * ARRAY as u64
    }

    /// The entries of ring `i`, transmit rings first.
    fn ring(&self, i: usize) -> Option<RawCsb> {
        let at = (i < ENTRIES).then_some(i * size_of::<nm_csb_atok>())?;
        Some(RawCsb { atok: self.memory.at(at)?, ktoa: self.memory.at(2 * ARRAY + at)? })
    }
}

/// How the sync kloop runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KloopOptions {
    /// The kernel is kicked through an eventfd and sleeps until then; otherwise it sleeps `sleep_us` and looks.
    pub eventfds: bool,
    /// Transmit rings are synchronised by who kicks, in its own thread.
    pub direct_tx: bool,
    /// Receive rings are synchronised by who kicks, in its own thread.
    pub direct_rx: bool,
    /// Microseconds to sleep without eventfds, at most 1000000.
    pub sleep_us: u32,
}

impl Default for KloopOptions {
    /// Eventfds, and all rings in the loop's own thread.
    fn default() -> Self {
        KloopOptions { eventfds: true, direct_tx: false, direct_rx: false, sleep_us: 100 }
    }
}

/// The thread in which the kernel synchronises a port's rings. It is stopped when this is dropped.
///
/// The kernel does not look at signals in this loop: a process that is killed while it runs lingers, with one
/// thread spinning, until the machine restarts. So programs stop it on every way out.
#[derive(Debug)]
pub struct Kloop {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<(), KernelError>>>,
}

fn no_name() -> [std::ffi::c_char; 64] {
    name_field("").expect("an empty name fits")
}

impl Kloop {
    fn start(shared: &Arc<Shared>, options: KloopOptions, opts: Vec<Opt>) -> Result<Kloop, KernelError> {
        let runner = shared.clone();
        let work = move || {
            let body = Body::KloopStart(nmreq_sync_kloop_start { sleep_us: options.sleep_us, pad1: 0 });
            let request = Request::new(NETMAP_REQ_SYNC_KLOOP_START, no_name(), body).with_options(opts);
            run(&runner, Operation::KloopStart, request)
        };
        let spawned =
            with_signals_blocked(|| std::thread::Builder::new().name("netmap-kloop".into()).spawn(work));
        let failed = |source| KernelError::System {
            operation: Operation::KloopStart,
            port: shared.name.clone(),
            source,
        };
        Ok(Kloop { shared: shared.clone(), thread: Some(spawned.map_err(failed)?) })
    }

    /// Whether the loop's thread is still in the kernel: not after a failed start.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Stops the loop and waits for its end, up to three seconds of the kernel's: then says how it went.
    pub fn stop(mut self) -> Result<(), KernelError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), KernelError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        // A stop that comes before the start makes that one return at once.
        let request = Request::new(NETMAP_REQ_SYNC_KLOOP_STOP, no_name(), Body::None);
        let stopped = run(&self.shared, Operation::KloopStop, request);
        if stopped.is_err() && !thread.is_finished() {
            // It cannot be stopped, so it cannot be waited for either.
            return stopped;
        }
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and(stopped)
    }
}

impl Drop for Kloop {
    fn drop(&mut self) {
        // Who wants to know how it went calls `stop`.
        let _ = self.end();
    }
}

fn run(shared: &Shared, operation: Operation, mut request: Request) -> Result<(), KernelError> {
    let control = control(shared, operation)?;
    control.request(operation, &shared.name, &mut request)
}

fn control(shared: &Shared, operation: Operation) -> Result<&Control, KernelError> {
    let port = || shared.name.clone();
    let reason = "a fake port has no kernel";
    shared.control().ok_or_else(|| KernelError::Invalid { operation, port: port(), reason })
}

/// Switches a mapped port to CSB mode and starts the loop.
pub(super) fn enter(mut port: KernelPort, options: &KloopOptions) -> Result<(CsbPort, Kloop), KernelError> {
    // What was filled or drained and not synchronised would be forgotten.
    port.txsync()?;
    port.rxsync()?;
    let shared = port.shared.clone();
    let name = || shared.name.clone();
    let operation = Operation::CsbEnable;
    let system = |source| KernelError::System { operation, port: name(), source };
    let rings: Vec<RawRing> =
        port.tx.iter().map(|r| r.half.raw).chain(port.rx.iter().map(|r| r.half.raw)).collect();
    if rings.len() > MAX_EVENT_RINGS.min(ENTRIES) {
        let reason = "it has more rings than one request can name";
        return Err(KernelError::Invalid { operation, port: name(), reason });
    }
    let num_tx = port.tx.len();
    let arrays = Arc::new(CsbArrays::new().map_err(system)?);
    let request = Request::new(NETMAP_REQ_CSB_ENABLE, no_name(), Body::None);
    run(&shared, operation, request.with_options(vec![Opt::Csb(arrays.clone())]))?;
    // From here on the header's cursors mean nothing, so nothing may use them.
    drop(port);

    let (ours, theirs) = Doorbell::pair().map_err(system)?;
    let events = theirs.eventfds().map(|(ring, rung)| (ring.try_clone_to_owned(), rung.try_clone_to_owned()));
    let (irqfd, ioeventfd) = events.expect("a pair is made of eventfds");
    let (irqfd, ioeventfd) = (Arc::new(irqfd.map_err(system)?), Arc::new(ioeventfd.map_err(system)?));
    let each = RingEvents { ioeventfd: options.eventfds.then_some(ioeventfd), irqfd: Some(irqfd) };
    let mut opts = vec![Opt::Eventfds(vec![each; rings.len()])];
    let mode = if options.direct_tx { NM_OPT_SYNC_KLOOP_DIRECT_TX } else { 0 }
        | if options.direct_rx { NM_OPT_SYNC_KLOOP_DIRECT_RX } else { 0 };
    if mode != 0 {
        opts.push(Opt::KloopMode(mode));
    }
    let csb = |i| arrays.ring(i).expect("fewer rings than entries");
    let mut all: Vec<(RawRing, RawCsb)> =
        rings.into_iter().enumerate().map(|(i, ring)| (ring, csb(i))).collect();
    let rx = all.split_off(num_tx);
    // The descriptor's Control keeps the arrays, so `shared` keeps all that the rings need.
    let port = CsbPort::from_rings(shared.clone(), all, rx, ours);
    let spoilt = |source| KernelError::System {
        operation,
        port: name(),
        source: io::Error::new(io::ErrorKind::InvalidData, source),
    };
    let port = port.map_err(spoilt)?;
    let kloop = Kloop::start(&shared, *options, opts)?;
    Ok((port, kloop))
}
