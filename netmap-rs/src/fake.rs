//! A fake peer: the other side of a port in CSB mode, on heap memory, driven step by step.
//!
//! Tests of an application get a real [`CsbPort`] and move its frames by hand: take what it sent, put what it
//! shall receive, ask for kicks. The peer can be told to misbehave as a broken kernel or switch would. It runs
//! the same [`kern`](crate::csb::kern) code as a switch. Deliberately absent: forwarding, threads, time.
//!
//! ```
//! use netmap_rs::fake::FakePeer;
//! use netmap_rs::layout::PortShape;
//!
//! let (mut peer, mut port) = FakePeer::new(&PortShape::default());
//! port.tx[0].fill(1, |slot| {
//!     slot.buf[..5].copy_from_slice(b"hello");
//!     5
//! });
//! assert!(!port.tx[0].publish(), "the peer did not ask to be kicked");
//! assert_eq!(peer.take(0, 16).unwrap()[0].data, b"hello");
//!
//! peer.put(0, &[b"world"]).unwrap();
//! port.rx[0].sync().unwrap();
//! assert_eq!(port.rx[0].drain(16, |slot| assert_eq!(slot.data, b"world")), 1);
//! ```

use crate::csb::app::OpenError;
use crate::csb::kern::{Frame, KernRx, KernTx};
use crate::csb::{BadCursor, CsbPort};
use crate::doorbell::Doorbell;
use crate::layout::{PortLayout, PortRings, PortShape, RawCsb, RawRing, SlotCopy};
use crate::memory::Memory;
use crate::sys::{NS_MOREFRAG, NS_PORT_SHIFT, nm_csb_ktoa};
use std::mem::offset_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A frame the application sent, or a fragment of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its bytes.
    pub data: Vec<u8>,
    /// `NS_*` flags of its slot.
    pub flags: u16,
}

/// One ring of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ring {
    /// Transmit ring of this number.
    Tx(usize),
    /// Receive ring of this number.
    Rx(usize),
}

/// The other side of a port.
#[derive(Debug)]
pub struct FakePeer {
    memory: Arc<Memory>,
    layout: PortLayout,
    tx: Vec<KernTx>,
    rx: Vec<KernRx>,
    /// The same rings once more, to spoil slots with.
    raw: PortRings,
    doorbell: Doorbell,
    /// Where frames to deliver lie while they are copied.
    staging: Arc<Memory>,
    kicks_to_lose: u32,
}

/// Bytes of the staging buffer: the largest length a slot can hold, in whole lines.
const STAGING: usize = 1 << 16;

impl FakePeer {
    /// A fresh port of this shape: its peer, and the application's half.
    ///
    /// # Panics
    /// If there is no such shape, or the process is out of descriptors.
    #[must_use]
    pub fn new(shape: &PortShape) -> (FakePeer, CsbPort) {
        let layout = PortLayout::new(shape).expect("a shape a port can have");
        let memory = Memory::heap(layout.len());
        let (ours, theirs) = Doorbell::pair().expect("two eventfds");
        layout.format(&memory, "fake").expect("memory that fits");
        let PortRings { tx, rx } = layout.rings(&memory).expect("memory that fits");
        let raw = layout.rings(&memory).expect("memory that fits");
        let peer = FakePeer {
            tx: tx.into_iter().map(|r| KernTx::new(memory.clone(), r)).collect(),
            rx: rx.into_iter().map(|r| KernRx::new(memory.clone(), r)).collect(),
            raw,
            doorbell: ours,
            staging: Memory::heap(STAGING),
            kicks_to_lose: 0,
            memory,
            layout,
        };
        let port = peer.open(theirs).expect("a freshly formatted port");
        (peer, port)
    }

    /// Opens the application's half again, once the one before has been dropped.
    pub fn open(&self, doorbell: Doorbell) -> Result<CsbPort, OpenError> {
        CsbPort::open(&self.memory, &self.layout.location(), doorbell)
    }

    /// The memory the port lies in.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Where in the memory it lies.
    #[must_use]
    pub fn layout(&self) -> &PortLayout {
        &self.layout
    }

    /// This side's doorbell: rung by the application.
    #[must_use]
    pub fn doorbell(&self) -> &Doorbell {
        &self.doorbell
    }

    fn wake(&mut self, wanted: bool) {
        if !wanted {
            return;
        }
        if self.kicks_to_lose > 0 {
            self.kicks_to_lose -= 1;
            return;
        }
        self.doorbell.ring().expect("an eventfd can be written");
    }

    /// Slots of transmit ring `ring` that the application has given and that were not taken.
    pub fn pending(&mut self, ring: usize) -> Result<u32, BadCursor> {
        self.tx[ring].pending()
    }

    /// Takes up to `max` slots of transmit ring `ring`, gives them back, and kicks the application if it asked
    /// for it. A slot that names no buffer, or more bytes than it has, comes as no bytes.
    pub fn take(&mut self, ring: usize, max: u32) -> Result<Vec<Taken>, BadCursor> {
        let tx = &mut self.tx[ring];
        let n = tx.pending()?.min(max);
        let frames = (0..n).map(|k| match tx.frame(k) {
            // SAFETY: the frame's memory is `self.memory`, which is alive.
            Ok(frame) => Taken { data: unsafe { frame.to_vec() }, flags: frame.flags() },
            Err(bad) => Taken { data: Vec::new(), flags: bad.flags },
        });
        let frames = frames.collect();
        let wanted = tx.release(n);
        self.wake(wanted);
        Ok(frames)
    }

    /// Puts frames into receive ring `ring` until it is full, shows them, and kicks the application if it asked
    /// for it; how many went in.
    ///
    /// # Panics
    /// If a frame is larger than a buffer, or the application spoilt a receive slot.
    pub fn put<T: AsRef<[u8]>>(&mut self, ring: usize, frames: &[T]) -> Result<u32, BadCursor> {
        let n = self.rx[ring].space()?.min(frames.len() as u32);
        self.deliver(ring, &frames[..n as usize], |_| 1 << NS_PORT_SHIFT);
        Ok(n)
    }

    /// Puts one packet in fragments into receive ring `ring`, as [`put`](FakePeer::put) does; whether there was
    /// room for all of it.
    ///
    /// # Panics
    /// As [`put`](FakePeer::put).
    pub fn put_chain<T: AsRef<[u8]>>(&mut self, ring: usize, fragments: &[T]) -> Result<bool, BadCursor> {
        let fits = self.rx[ring].space()? as usize >= fragments.len();
        if fits {
            let (n, last) = (fragments.len() as u16, fragments.len().saturating_sub(1));
            self.deliver(ring, fragments, |i| (n << NS_PORT_SHIFT) | if i < last { NS_MOREFRAG } else { 0 });
        }
        Ok(fits)
    }

    fn deliver<T: AsRef<[u8]>>(&mut self, ring: usize, parts: &[T], flags: impl Fn(usize) -> u16) {
        let rx = &mut self.rx[ring];
        for (i, part) in parts.iter().enumerate() {
            let frame = Frame::stage(&self.staging, part.as_ref()).expect("a frame of less than 64 KiB");
            // SAFETY: the frame's memory is `self.staging`, which is alive.
            unsafe { rx.put(&frame, flags(i)) }.expect("a frame that fits its slot");
        }
        let wanted = rx.publish();
        self.wake(wanted);
    }

    /// Frames in receive ring `ring` that the application has not given back.
    pub fn unread(&mut self, ring: usize) -> Result<u32, BadCursor> {
        self.rx[ring].unread()
    }

    /// Whether the application shall kick when it sends.
    pub fn want_kicks(&mut self, on: bool) {
        self.tx.iter_mut().for_each(|ring| ring.want_kicks(on));
    }

    /// Misbehaves: the next `n` kicks to the application are lost.
    pub fn lose_kicks(&mut self, n: u32) {
        self.kicks_to_lose = n;
    }

    fn raw(&mut self, ring: Ring) -> &mut (RawRing, RawCsb) {
        match ring {
            Ring::Tx(i) => &mut self.raw.tx[i],
            Ring::Rx(i) => &mut self.raw.rx[i],
        }
    }

    fn spoil(&mut self, ring: Ring, offset: usize, value: u32) {
        let ktoa = self.raw(ring).1.ktoa;
        // SAFETY: inside the entry, which `rings` found to be inside the memory; only ever an atomic (rule 2).
        let word = unsafe { AtomicU32::from_ptr(ktoa.as_ptr().byte_add(offset).cast()) };
        word.store(value, Ordering::Release);
    }

    /// Misbehaves: writes `hwtail` of a ring. The next [`take`](FakePeer::take) or [`put`](FakePeer::put) on
    /// that ring puts it right.
    pub fn spoil_hwtail(&mut self, ring: Ring, value: u32) {
        self.spoil(ring, offset_of!(nm_csb_ktoa, hwtail), value);
    }

    /// Misbehaves: writes `hwcur` of a ring, until the next take or put.
    pub fn spoil_hwcur(&mut self, ring: Ring, value: u32) {
        self.spoil(ring, offset_of!(nm_csb_ktoa, hwcur), value);
    }

    /// Misbehaves: writes buffer index, length and flags of slot `slot`.
    pub fn spoil_slot(&mut self, ring: Ring, slot: u32, contents: SlotCopy) {
        self.raw(ring).0.write_slot(slot, contents);
    }

    /// The contents of slot `slot`.
    pub fn slot(&mut self, ring: Ring, slot: u32) -> SlotCopy {
        self.raw(ring).0.read_slot(slot)
    }
}
