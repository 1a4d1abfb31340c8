//! Two ports joined by rings in memory, for tests and benchmarks of the roles.
//!
//! The rings behave as netmap's do where roles can tell: slots wrap, a full ring takes nothing, buffers keep
//! their contents and have keys, both sides may be on different threads. On top, a receiving port can be told to
//! lose, repeat, damage, delay or split frames. Deliberately absent: a switch.
#![forbid(unsafe_code)]

use crate::port::{Interest, Port, PortError, PortInfo, RxFrame, TxFrame};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What happens to a frame before it is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Deliver,
    /// It is lost.
    Drop,
    /// It arrives twice.
    Duplicate,
    /// The byte at this offset (modulo its length) is inverted.
    Corrupt(usize),
    /// It arrives after this many later ones, or when nothing else comes.
    Delay(usize),
    /// It arrives in fragments of at most this many bytes, at least 1.
    Split(usize),
}

type Fates = Box<dyn FnMut(u64) -> Fate + Send>;

struct Ring {
    bytes: Vec<u8>,
    lens: Vec<u16>,
    slots: u64,
    buffer: usize,
    /// Frames ever taken and ever published; a slot is that modulo `slots`.
    head: u64,
    tail: u64,
    severed: bool,
}

struct Wire {
    ring: Mutex<Ring>,
    changed: Condvar,
}

impl Wire {
    fn new(slots: u32, buffer: u16) -> Arc<Self> {
        let ring = Ring {
            bytes: vec![0; slots as usize * usize::from(buffer)],
            lens: vec![0; slots as usize],
            slots: slots.into(),
            buffer: buffer.into(),
            head: 0,
            tail: 0,
            severed: false,
        };
        Arc::new(Self { ring: Mutex::new(ring), changed: Condvar::new() })
    }

    /// A ring is left consistent by every step, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One end of a pair.
pub struct MemPort {
    info: PortInfo,
    tx: Arc<Wire>,
    rx: Arc<Wire>,
    fates: Option<Fates>,
    arrived: u64,
    /// Frames ready to be received, and whether more of the packet follows.
    queue: VecDeque<(Vec<u8>, bool)>,
    /// Frames that wait for this many later ones.
    delayed: Vec<(usize, Vec<u8>)>,
}

impl fmt::Debug for MemPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemPort").field("info", &self.info).finish_non_exhaustive()
    }
}

/// Two ports with rings of `slots` frames of up to `max_frame` bytes, either's transmit ring being the other's
/// receive ring.
pub fn pair(slots: u32, max_frame: u16) -> (MemPort, MemPort) {
    let (there, back) = (Wire::new(slots, max_frame), Wire::new(slots, max_frame));
    let port = |name: &str, tx: &Arc<Wire>, rx: &Arc<Wire>| MemPort {
        info: PortInfo {
            name: name.into(),
            driver: "mem",
            tx_slots: slots,
            rx_slots: slots,
            max_frame,
            keys: slots,
            queues: 1,
            mac: None,
        },
        tx: tx.clone(),
        rx: rx.clone(),
        fates: None,
        arrived: 0,
        queue: VecDeque::new(),
        delayed: Vec::new(),
    };
    (port("mem:0", &there, &back), port("mem:1", &back, &there))
}

impl MemPort {
    /// From now on `fate` decides what happens to each frame that arrives here, given its number from 0.
    pub fn impair(&mut self, fate: impl FnMut(u64) -> Fate + Send + 'static) {
        self.fates = Some(Box::new(fate));
    }

    /// From now on this port's operations fail, and its peer finds rings that do not move.
    pub fn sever(&self) {
        self.tx.lock().severed = true;
    }

    fn check(&self, ring: &Ring, operation: &'static str) -> Result<(), PortError> {
        if !ring.severed {
            return Ok(());
        }
        let source = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        Err(PortError { port: self.info.name.clone(), operation, source: source.into() })
    }

    /// Moves what arrived into the queue, as fate decides.
    fn impaired(&mut self) {
        let Some(fates) = &mut self.fates else { return };
        let mut ring = self.rx.lock();
        while ring.head < ring.tail {
            let mut frame = ring.frame(ring.head).to_vec();
            ring.head += 1;
            let (mut copies, mut split, mut delay) = (1, frame.len(), None);
            match fates(self.arrived) {
                Fate::Deliver => {}
                Fate::Drop => copies = 0,
                Fate::Duplicate => copies = 2,
                Fate::Corrupt(at) => {
                    let at = at % frame.len();
                    frame[at] ^= 0xff;
                }
                Fate::Delay(frames) => delay = Some(frames),
                Fate::Split(bytes) => split = bytes.max(1),
            }
            self.arrived += 1;
            for _ in 0..copies {
                let mut parts = frame.chunks(split).peekable();
                while let (None, Some(part)) = (delay, parts.next()) {
                    self.queue.push_back((part.to_vec(), parts.peek().is_some()));
                }
            }
            self.delayed.iter_mut().for_each(|(wait, _)| *wait = wait.saturating_sub(1));
            self.queue
                .extend(self.delayed.extract_if(.., |(wait, _)| *wait == 0).map(|(_, late)| (late, false)));
            self.delayed.extend(delay.map(|wait| (wait, frame)));
        }
        drop(ring);
        self.rx.changed.notify_all();
        if self.queue.is_empty() && !self.delayed.is_empty() {
            self.queue.push_back((self.delayed.remove(0).1, false));
        }
    }
}

impl Ring {
    fn frame(&self, at: u64) -> &[u8] {
        let slot = (at % self.slots) as usize;
        &self.bytes[slot * self.buffer..][..usize::from(self.lens[slot])]
    }
}

impl Port for MemPort {
    fn info(&self) -> &PortInfo {
        &self.info
    }

    #[inline]
    fn tx_batch<F: FnMut(TxFrame<'_>) -> u16>(&mut self, max: u32, mut fill: F) -> Result<u32, PortError> {
        let mut guard = self.tx.lock();
        let ring = &mut *guard;
        self.check(ring, "send")?;
        let free = (ring.slots - (ring.tail - ring.head)).min(max.into()) as u32;
        let mut slot = (ring.tail % ring.slots) as usize;
        let mut count = 0;
        while count < free {
            let buf = &mut ring.bytes[slot * ring.buffer..][..ring.buffer];
            let len = fill(TxFrame { key: Some(slot as u32), swapped: false, buf });
            if len == 0 {
                break;
            }
            assert!(usize::from(len) <= ring.buffer, "a role wrote {len} bytes into {}", ring.buffer);
            ring.lens[slot] = len;
            slot = if slot + 1 == ring.lens.len() { 0 } else { slot + 1 };
            count += 1;
        }
        ring.tail += u64::from(count);
        drop(guard);
        if count > 0 {
            self.tx.changed.notify_all();
        }
        Ok(count)
    }

    #[inline]
    fn rx_batch<F: FnMut(RxFrame<'_>)>(&mut self, max: u32, mut sink: F) -> Result<u32, PortError> {
        self.check(&self.tx.lock(), "receive")?;
        if self.fates.is_some() {
            let mut count = 0;
            while count < max {
                self.impaired();
                let Some((data, more)) = self.queue.pop_front() else { break };
                sink(RxFrame { data: &data, more });
                count += 1;
            }
            return Ok(count);
        }
        let mut ring = self.rx.lock();
        let count = (ring.tail - ring.head).min(max.into()) as u32;
        let mut slot = (ring.head % ring.slots) as usize;
        for _ in 0..count {
            let data = &ring.bytes[slot * ring.buffer..][..usize::from(ring.lens[slot])];
            sink(RxFrame { data, more: false });
            slot = if slot + 1 == ring.lens.len() { 0 } else { slot + 1 };
        }
        ring.head += u64::from(count);
        drop(ring);
        if count > 0 {
            self.rx.changed.notify_all();
        }
        Ok(count)
    }

    fn tx_pending(&mut self) -> Result<u32, PortError> {
        let ring = self.tx.lock();
        self.check(&ring, "count what is pending")?;
        Ok((ring.tail - ring.head) as u32)
    }

    fn wait(&mut self, interest: Interest, timeout: Duration) -> Result<(), PortError> {
        self.check(&self.tx.lock(), "wait")?;
        let deadline = Instant::now() + timeout;
        let idle = |ring: &mut Ring, tx: bool| match tx {
            true => ring.tail - ring.head == ring.slots && !ring.severed,
            false => ring.tail == ring.head,
        };
        // For both, look at one ring while sleeping on the other, a little at a time.
        while self.queue.is_empty() && self.delayed.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let (wire, tx, nap) = match interest {
                Interest::Tx => (&self.tx, true, left),
                Interest::Rx => (&self.rx, false, left),
                Interest::Both if !idle(&mut self.tx.lock(), true) => break,
                Interest::Both => (&self.rx, false, left.min(Duration::from_micros(200))),
            };
            let waited = wire.changed.wait_timeout_while(wire.lock(), nap, |ring| idle(ring, tx));
            let in_time = !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out();
            if in_time || left <= nap {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(port: &mut MemPort, frames: std::ops::Range<u8>) -> u32 {
        let mut next = frames.start;
        port.tx_batch(u32::MAX, |frame| {
            if next == frames.end {
                return 0;
            }
            frame.buf[..5].fill(next);
            next += 1;
            5
        })
        .unwrap()
    }

    fn receive(port: &mut MemPort, max: u32) -> Vec<(u8, usize, bool)> {
        let mut got = Vec::new();
        port.rx_batch(max, |frame| got.push((frame.data[0], frame.data.len(), frame.more))).unwrap();
        got
    }

    fn firsts(port: &mut MemPort) -> Vec<u8> {
        receive(port, 100).into_iter().map(|(first, ..)| first).collect()
    }

    #[test]
    fn rings_wrap_and_fill_up() {
        let (mut a, mut b) = pair(4, 64);
        for round in 0..10u8 {
            assert_eq!(send(&mut a, round..round + 9), 4, "four slots");
            assert_eq!(a.tx_pending().unwrap(), 4);
            assert_eq!(receive(&mut b, 3).len(), 3);
            assert_eq!(receive(&mut b, 3), [(round + 3, 5, false)]);
        }
    }

    #[test]
    fn fates_are_what_they_say() {
        let (mut a, mut b) = pair(16, 64);
        b.impair(|number| {
            [Fate::Delay(2), Fate::Drop, Fate::Duplicate, Fate::Delay(9), Fate::Deliver][number as usize]
        });
        send(&mut a, 0..5);
        assert_eq!(
            firsts(&mut b),
            [2, 2, 0, 4, 3],
            "0 waits for 1, which is lost, and 2; 3 until nothing comes"
        );
        let (mut a, mut b) = pair(16, 64);
        b.impair(|number| [Fate::Split(2), Fate::Corrupt(5), Fate::Deliver][number as usize]);
        send(&mut a, 0..3);
        assert_eq!(receive(&mut b, 2), [(0, 2, true), (0, 2, true)]);
        assert_eq!(receive(&mut b, 9), [(0, 1, false), (!1, 5, false), (2, 5, false)]);
    }

    #[test]
    fn waiting_ends_when_a_frame_comes_or_time_is_up() {
        let (mut a, mut b) = pair(4, 64);
        let start = Instant::now();
        b.wait(Interest::Rx, Duration::from_millis(20)).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(20));
        let sender = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            send(&mut a, 0..1);
            a
        });
        let start = Instant::now();
        b.wait(Interest::Rx, Duration::from_secs(60)).unwrap();
        assert!(start.elapsed() < Duration::from_secs(30));
        assert_eq!(receive(&mut b, 9).len(), 1);
        sender.join().unwrap();
    }

    #[test]
    fn a_severed_port_fails_with_an_errno_one_can_match() {
        let (mut a, _b) = pair(4, 64);
        a.sever();
        let error = a.tx_batch(1, |_| 60).unwrap_err();
        let source = error.source.downcast_ref::<std::io::Error>().unwrap();
        assert_eq!((error.operation, source.kind()), ("send", std::io::ErrorKind::BrokenPipe));
    }
}
