//! The application's half of a port in CSB mode.
//!
//! A ring keeps its cursors as plain integers and exchanges them with the CSB once a batch. Frames are lent to a
//! closure that must take them for any lifetime, so none can be kept past the batch:
//!
//! ```compile_fail
//! fn keep(ring: &mut netmap_rs::csb::RxRing) {
//!     let mut kept: Vec<&[u8]> = Vec::new();
//!     ring.drain(16, |slot| kept.push(slot.data));
//! }
//! ```
//!
//! ```
//! fn copy(ring: &mut netmap_rs::csb::RxRing) {
//!     let mut copied: Vec<Vec<u8>> = Vec::new();
//!     ring.drain(16, |slot| copied.push(slot.data.to_vec()));
//! }
//! ```

use super::{BadCursor, protocol};
use crate::cursor;
use crate::doorbell::Doorbell;
use crate::layout::{self, LayoutError, PortLocation, RawCsb, RawRing, SlotCopy};
use crate::memory::{Claim, Memory};
use std::io;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

/// A transmit slot, lent for one closure call.
#[derive(Debug)]
pub struct TxSlot<'a> {
    /// Index of the buffer in the slot. It comes back with the slot, contents kept, unless someone swaps it.
    pub buf_idx: u32,
    /// The whole buffer.
    pub buf: &'a mut [u8],
    /// `NS_*` flags to send with; 0 when lent, but for `NS_BUF_CHANGED` of a kernel port's slot whose buffer someone
    /// exchanged.
    pub flags: u16,
}

/// A received slot, lent for one closure call.
#[derive(Debug)]
pub struct RxSlot<'a> {
    /// Index of the buffer in the slot.
    pub buf_idx: u32,
    /// The frame, or this fragment of it.
    pub data: &'a [u8],
    /// `NS_*` flags; the high byte counts fragments.
    pub flags: u16,
}

/// Whatever keeps a port's memory mapped (rule 5) and everyone else from opening it (rule 6) while it lives.
pub(crate) trait Keep: std::fmt::Debug + Send + Sync {}

impl<T: std::fmt::Debug + Send + Sync> Keep for T {}

/// What both directions have.
#[derive(Debug)]
struct Half {
    _keep: Arc<dyn Keep>,
    ring: RawRing,
    csb: RawCsb,
    head: u32,
    hwcur: u32,
    hwtail: u32,
}

impl Half {
    /// Begins where an application that had the port before stopped; in a fresh port that is slot 0.
    fn new(keep: Arc<dyn Keep>, ring: RawRing, csb: RawCsb) -> Result<Half, BadCursor> {
        let num_slots = ring.num_slots();
        let (hwcur, hwtail) = protocol::read(&csb.ktoa_cursors());
        for (word, value) in [("hwcur", hwcur), ("hwtail", hwtail)] {
            if value >= num_slots {
                return Err(BadCursor { word, value, from: 0, to: num_slots - 1, num_slots });
            }
        }
        let (_, head) = protocol::read(&csb.atok_cursors());
        let head = if cursor::within(head, hwcur, hwtail, num_slots) { head } else { hwcur };
        Ok(Half { _keep: keep, ring, csb, head, hwcur, hwtail })
    }

    /// Takes over the other side's cursors. Both only ever go forward; `hwcur` stops at `head`, `hwtail` one
    /// slot before `hwcur`. A slot that was ours therefore stays ours, which rule 1 needs.
    #[inline(always)]
    fn take(&mut self, hwcur: u32, hwtail: u32) -> Result<(), BadCursor> {
        let n = self.ring.num_slots();
        if !cursor::within(hwcur, self.hwcur, self.head, n) {
            return Err(BadCursor {
                word: "hwcur",
                value: hwcur,
                from: self.hwcur,
                to: self.head,
                num_slots: n,
            });
        }
        let last = cursor::prev(hwcur, n);
        if !cursor::within(hwtail, self.hwtail, last, n) {
            return Err(BadCursor {
                word: "hwtail",
                value: hwtail,
                from: self.hwtail,
                to: last,
                num_slots: n,
            });
        }
        (self.hwcur, self.hwtail) = (hwcur, hwtail);
        Ok(())
    }

    #[inline(always)]
    fn sync(&mut self) -> Result<(), BadCursor> {
        let (hwcur, hwtail) = protocol::read(&self.csb.ktoa_cursors());
        self.take(hwcur, hwtail)
    }

    #[inline(always)]
    fn avail(&self) -> u32 {
        cursor::distance(self.head, self.hwtail, self.ring.num_slots())
    }

    #[inline(always)]
    fn publish(&mut self) -> bool {
        protocol::publish(&self.csb.atok_cursors(), self.head, self.head, self.csb.kern_need_kick())
    }
}

/// A transmit ring. `[head, hwtail)` are free slots.
#[derive(Debug)]
pub struct TxRing {
    half: Half,
    bad_slots: u64,
}

impl TxRing {
    /// Learns what the other side has taken.
    #[inline(always)]
    pub fn sync(&mut self) -> Result<(), BadCursor> {
        self.half.sync()
    }

    /// Free slots known of at the last [`sync`](TxRing::sync).
    #[inline(always)]
    #[must_use]
    pub fn space(&self) -> u32 {
        self.half.avail()
    }

    /// Lends up to `max` free slots, one after the other; `fill` returns the frame's length in bytes, at most
    /// the buffer's, or 0 to end the batch before that slot. Returns how many were filled. They are sent by
    /// [`publish`](TxRing::publish).
    ///
    /// A slot that names no buffer ends the batch too, and is counted in [`bad_slots`](TxRing::bad_slots).
    #[inline(always)]
    pub fn fill<F: FnMut(&mut TxSlot<'_>) -> u16>(&mut self, max: u32, mut fill: F) -> u32 {
        let half = &mut self.half;
        let (n, want) = (half.ring.num_slots(), max.min(half.avail()));
        let size = half.ring.buf_size() as usize;
        let mut at = half.head;
        let mut done = 0;
        while done < want {
            let buf_idx = half.ring.read_slot(at).buf_idx;
            let Some(buf) = half.ring.buf(buf_idx) else {
                self.bad_slots += 1;
                break;
            };
            // SAFETY: rule 1: the slot is in [head, tail), so its buffer is ours; `buf` vouches for the bounds,
            // and one slot is lent at a time, for no longer than the closure runs.
            let buf = unsafe { slice::from_raw_parts_mut(buf.as_ptr(), size) };
            let mut slot = TxSlot { buf_idx, buf, flags: 0 };
            let len = fill(&mut slot);
            if len == 0 {
                break;
            }
            debug_assert!(usize::from(len) <= size, "{len} bytes in a buffer of {size}");
            let flags = slot.flags;
            half.ring.write_len_flags(at, len, flags);
            at = cursor::add(at, 1, n);
            done += 1;
        }
        half.head = at;
        done
    }

    /// Gives the filled slots to the other side; whether it sleeps and must be kicked.
    #[inline(always)]
    #[must_use = "a sleeping switch must be kicked"]
    pub fn publish(&mut self) -> bool {
        self.half.publish()
    }

    /// Slots given and not taken as of the last [`sync`](TxRing::sync).
    #[inline(always)]
    #[must_use]
    pub fn pending(&self) -> u32 {
        cursor::distance(self.half.hwcur, self.half.head, self.half.ring.num_slots())
    }

    /// Times a batch ended at a slot that names no buffer: the other side spoilt the ring.
    #[must_use]
    pub fn bad_slots(&self) -> u64 {
        self.bad_slots
    }

    /// Slots in the ring.
    #[must_use]
    pub fn num_slots(&self) -> u32 {
        self.half.ring.num_slots()
    }

    /// Bytes in a buffer.
    #[must_use]
    pub fn buf_size(&self) -> u32 {
        self.half.ring.buf_size()
    }

    /// One past the largest buffer index this ring can name.
    #[must_use]
    pub fn num_bufs(&self) -> u32 {
        self.half.ring.num_bufs()
    }
}

/// A receive ring. `[head, hwtail)` are received slots.
#[derive(Debug)]
pub struct RxRing {
    half: Half,
    bad_slots: u64,
}

impl RxRing {
    /// Learns what has arrived.
    #[inline(always)]
    pub fn sync(&mut self) -> Result<(), BadCursor> {
        self.half.sync()
    }

    /// Received slots known of at the last [`sync`](RxRing::sync).
    #[inline(always)]
    #[must_use]
    pub fn avail(&self) -> u32 {
        self.half.avail()
    }

    /// Lends up to `max` received slots, oldest first. Returns how many there were. They are given back by
    /// [`publish`](RxRing::publish). A slot that names no buffer, or more bytes than one has, is counted in
    /// [`bad_slots`](RxRing::bad_slots) and not lent.
    #[inline(always)]
    pub fn drain<F: FnMut(RxSlot<'_>)>(&mut self, max: u32, mut sink: F) -> u32 {
        let half = &mut self.half;
        let (n, want) = (half.ring.num_slots(), max.min(half.avail()));
        let mut at = half.head;
        for _ in 0..want {
            let SlotCopy { buf_idx, len, flags } = half.ring.read_slot(at);
            at = cursor::add(at, 1, n);
            let fits = u32::from(len) <= half.ring.buf_size();
            let Some(buf) = half.ring.buf(buf_idx).filter(|_| fits) else {
                self.bad_slots += 1;
                continue;
            };
            // SAFETY: rule 1: the slot is in [head, tail), so its buffer is ours until the cursor moves on; the
            // length was checked against the buffer's.
            let data = unsafe { slice::from_raw_parts(buf.as_ptr(), usize::from(len)) };
            sink(RxSlot { buf_idx, data, flags });
        }
        half.head = at;
        want
    }

    /// Gives the drained slots back; whether the other side sleeps and must be kicked.
    #[inline(always)]
    #[must_use = "a sleeping switch must be kicked"]
    pub fn publish(&mut self) -> bool {
        self.half.publish()
    }

    /// Slots the other side filled with an impossible index or length.
    #[must_use]
    pub fn bad_slots(&self) -> u64 {
        self.bad_slots
    }

    /// Slots in the ring.
    #[must_use]
    pub fn num_slots(&self) -> u32 {
        self.half.ring.num_slots()
    }
}

/// A port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its memory does not hold a port.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Its cursors are impossible.
    #[error(transparent)]
    Cursor(#[from] BadCursor),
    /// This process has it open already, on the same mapping.
    #[error("the port is open already")]
    Busy,
}

/// A port in CSB mode: its rings, and the doorbell beside them.
#[derive(Debug)]
pub struct CsbPort {
    /// Transmit rings.
    pub tx: Vec<TxRing>,
    /// Receive rings.
    pub rx: Vec<RxRing>,
    /// Rings the other side, is rung by it.
    pub doorbell: Doorbell,
}

impl CsbPort {
    /// Opens the port at `location`, which someone else formatted; nothing it says is believed unchecked.
    ///
    /// There must be one application half a port (rule 6): a second one on the same [`Memory`] is refused, and
    /// the switch that hands out memory sees to it that nobody else has any. Once every ring is dropped the
    /// port can be opened again, and goes on where it was.
    pub fn open(
        mem: &Arc<Memory>,
        location: &PortLocation,
        doorbell: Doorbell,
    ) -> Result<CsbPort, OpenError> {
        let claim = Arc::new(Claim::new(mem, location.nifp_ofs).ok_or(OpenError::Busy)?);
        let rings = layout::find(mem, location)?;
        Ok(CsbPort::from_rings(claim, rings.tx, rings.rx, doorbell)?)
    }

    /// From rings found and checked elsewhere. `keep` keeps the memory that they and their CSB entries lie in.
    pub(crate) fn from_rings(
        keep: Arc<dyn Keep>,
        tx: Vec<(RawRing, RawCsb)>,
        rx: Vec<(RawRing, RawCsb)>,
        doorbell: Doorbell,
    ) -> Result<CsbPort, BadCursor> {
        let half = |(ring, csb)| Half::new(keep.clone(), ring, csb);
        let tx = tx.into_iter().map(|r| half(r).map(|half| TxRing { half, bad_slots: 0 }));
        let tx = tx.collect::<Result<_, _>>()?;
        let rx = rx.into_iter().map(|r| half(r).map(|half| RxRing { half, bad_slots: 0 }));
        Ok(CsbPort { tx, rx: rx.collect::<Result<_, _>>()?, doorbell })
    }

    /// Sleeps until a transmit ring has space (if `tx`) or a receive ring has frames (if `rx`), or `timeout`
    /// has passed, or something else rang.
    pub fn wait(&mut self, tx: bool, rx: bool, timeout: Duration) -> io::Result<()> {
        let invalid = |e: BadCursor| io::Error::new(io::ErrorKind::InvalidData, e);
        let tx = self.tx.iter_mut().map(|r| &mut r.half).filter(|_| tx);
        let rx = self.rx.iter_mut().map(|r| &mut r.half).filter(|_| rx);
        let mut halves: Vec<&mut Half> = tx.chain(rx).collect();
        for half in &halves {
            protocol::ask_to_be_woken(half.csb.appl_need_kick());
        }
        let mut ready = false;
        let mut outcome = Ok(());
        for half in &mut halves {
            outcome = outcome.and(half.sync().map_err(invalid));
            ready |= half.avail() > 0;
        }
        if outcome.is_ok() && !ready {
            outcome = self.doorbell.wait(timeout).map(|_| ());
        }
        for half in &halves {
            protocol::awake(half.csb.appl_need_kick());
        }
        outcome
    }
}
