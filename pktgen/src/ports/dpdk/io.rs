//! Frames in and out of a started port.

use super::device::{Device, VIRTIO_USER};
use super::lanes::Lanes;
use super::library::{Frame, Mbuf};
use super::{DpdkError, DpdkFacts};
use crate::port::{Interest, Port, PortError, PortInfo, RxFrame, TxFrame};
use std::io;
use std::time::{Duration, Instant};

/// Most mbufs in hand at a time: what a burst of DPDK's own programs is, twice.
pub(super) const BURST: usize = 64;
/// Looks in vain after which the link is looked at: about a millisecond's worth.
const VAIN_LOOKS: u32 = 1 << 14;
/// How often a port that waits looks at its link.
const LINK_EVERY: Duration = Duration::from_millis(50);
/// Longest sleep of a port that waits: nothing wakes it.
const NAP: Duration = Duration::from_micros(100);

/// A DPDK port in use.
///
/// A transmit ring tells how much room it has only by what it takes. Frames that it did not take stay here, count as
/// published, and go first the next time that the port is used; until they are gone it is full.
#[derive(Debug)]
pub struct DpdkPort {
    device: Device,
    info: PortInfo,
    facts: DpdkFacts,
    tx: Outgoing,
    /// Where there are several queues, what waits for each of them.
    lanes: Lanes,
    rx: Incoming,
    /// The queue to receive from next.
    rx_queue: u16,
    /// Looks in vain since the last fruitful one.
    vain: u32,
    link_seen: Instant,
}

/// Mbufs on their way out: `from..to` are written and wait for the ring, `to..held` are empty.
#[derive(Debug)]
struct Outgoing {
    mbufs: [Mbuf; BURST],
    frames: [Frame; BURST],
    from: usize,
    to: usize,
    held: usize,
}

/// Places for mbufs that are received, all empty between two batches.
#[derive(Debug)]
struct Incoming {
    mbufs: [Mbuf; BURST],
    frames: [Frame; BURST],
}

// SAFETY: an mbuf may be filled, sent and freed by any one thread at a time, and these are this port's alone (rule 2
// of `library`).
#[allow(unsafe_code)]
unsafe impl Send for Outgoing {}

// SAFETY: as above; between batches there are none.
#[allow(unsafe_code)]
unsafe impl Send for Incoming {}

impl DpdkPort {
    pub(super) fn new(device: Device, info: PortInfo, facts: DpdkFacts) -> DpdkPort {
        let tx = Outgoing {
            mbufs: [std::ptr::null_mut(); BURST],
            frames: [Frame::NONE; BURST],
            from: 0,
            to: 0,
            held: 0,
        };
        let rx = Incoming { mbufs: [std::ptr::null_mut(); BURST], frames: [Frame::NONE; BURST] };
        let lanes = Lanes::new(device.raw.queues);
        DpdkPort { device, info, facts, tx, lanes, rx, rx_queue: 0, vain: 0, link_seen: Instant::now() }
    }

    /// Opens the device with these arguments, for which it waits as [`Device::attach`] does. `name` is what messages
    /// call the port.
    pub fn open(
        arguments: &str,
        name: &str,
        keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<DpdkPort, DpdkError> {
        Device::attach(arguments, keep_waiting)?.start(name)
    }

    /// What it turned out to be.
    #[must_use]
    pub fn facts(&self) -> &DpdkFacts {
        &self.facts
    }

    /// Whether something is written that no ring took.
    #[inline(always)]
    fn waits(&self) -> bool {
        self.tx.from < self.tx.to || self.lanes.waits()
    }

    /// Offers the rings what is written; afterwards `from..to`, or the lanes, have what they did not take.
    #[inline(always)]
    fn flush(&mut self) {
        let (library, raw) = (self.device.eal.library, &self.device.raw);
        let Outgoing { mbufs, frames, from, to, held } = &mut self.tx;
        if self.lanes.are_used() {
            self.lanes.flush(library, raw, &mbufs[*from..*to], &frames[*from..*to]);
            *from = *to;
        } else {
            *from += library.tx(raw, 0, &mut mbufs[*from..*to], &frames[*from..*to]);
        }
        if *from == *to {
            // Empty ones move to the front.
            mbufs.copy_within(*to..*held, 0);
            frames.copy_within(*to..*held, 0);
            (*from, *to, *held) = (0, 0, *held - *to);
        }
    }

    /// Nothing moved: now and then, sees whether anything still can.
    #[inline]
    fn in_vain(&mut self) -> Result<(), PortError> {
        self.vain += 1;
        if self.vain < VAIN_LOOKS {
            return Ok(());
        }
        self.vain = 0;
        self.check_link()
    }

    #[cold]
    fn check_link(&mut self) -> Result<(), PortError> {
        self.link_seen = Instant::now();
        let down = match self.device.eal.library.link(&self.device.raw) {
            Ok(true) => return Ok(()),
            Ok(false) => io::Error::new(io::ErrorKind::BrokenPipe, self.what_is_gone()),
            Err(errno) => io::Error::from_raw_os_error(errno.0.abs()),
        };
        Err(PortError { port: self.info.name.clone(), operation: "go on with", source: down.into() })
    }

    fn what_is_gone(&self) -> &'static str {
        match self.facts.driver.as_str() {
            VIRTIO_USER => "the other end of its vhost-user socket is gone",
            _ => "its link went down",
        }
    }
}

impl Port for DpdkPort {
    fn info(&self) -> &PortInfo {
        &self.info
    }

    #[inline]
    fn tx_batch<F: FnMut(TxFrame<'_>) -> u16>(&mut self, max: u32, mut fill: F) -> Result<u32, PortError> {
        let max = max as usize;
        let room = usize::from(self.info.max_frame);
        if self.waits() {
            self.flush();
        }
        let mut total = 0;
        while total < max && !self.waits() {
            let Outgoing { mbufs, frames, to, held, .. } = &mut self.tx;
            let wanted = BURST.min(max - total);
            if *held < wanted {
                let (mbufs, frames) = (&mut mbufs[*held..], &mut frames[*held..]);
                // Where all are in the ring, there is no room in it either.
                if self.device.eal.library.alloc(&self.device.raw, mbufs, frames) {
                    *held = BURST;
                }
            }
            let wanted = wanted.min(*held);
            for frame in &mut frames[..wanted] {
                // SAFETY: the mbuf is held and empty (rule 2), its room is at least `max_frame`, and the slice ends
                // with the call.
                #[allow(unsafe_code)]
                let buf = unsafe { frame.room(room) };
                let len = fill(TxFrame { key: Some(frame.key), swapped: false, buf });
                if len == 0 {
                    break;
                }
                frame.len = len.min(self.info.max_frame);
                *to += 1;
            }
            let written = *to;
            if written == 0 {
                break;
            }
            total += written;
            self.flush();
            if written < wanted {
                break;
            }
        }
        if total > 0 {
            self.vain = 0;
        } else {
            self.in_vain()?;
        }
        Ok(total as u32)
    }

    #[inline]
    fn rx_batch<F: FnMut(RxFrame<'_>)>(&mut self, max: u32, mut sink: F) -> Result<u32, PortError> {
        // Whoever waits for answers to what the ring did not take would wait for ever.
        if self.waits() {
            self.flush();
        }
        let library = self.device.eal.library;
        let queues = self.device.raw.queues;
        let Incoming { mbufs, frames } = &mut self.rx;
        let (mut total, mut exhausted) = (0, 0);
        while total < max {
            let wanted = BURST.min((max - total) as usize);
            let queue = self.rx_queue;
            self.rx_queue = if queue + 1 < queues { queue + 1 } else { 0 };
            let got = library.rx(&self.device.raw, queue, &mut mbufs[..wanted], &mut frames[..wanted]);
            for (frame, &mbuf) in frames.iter().zip(mbufs.iter()).take(got) {
                // SAFETY: the mbuf is held until it is freed below (rule 2), and the slice ends with the call.
                #[allow(unsafe_code)]
                let data = unsafe { frame.data() };
                sink(RxFrame { data, more: frame.segments > 1 });
                if frame.segments > 1 {
                    total += rest(library, mbuf, frame.segments, &mut sink);
                }
            }
            library.free(&mut mbufs[..got]);
            total += got as u32;
            exhausted = if got < wanted { exhausted + 1 } else { 0 };
            if exhausted == queues {
                break;
            }
        }
        if total > 0 {
            self.vain = 0;
        } else {
            self.in_vain()?;
        }
        Ok(total)
    }

    /// What the ring did not take, and what its driver says of the rest; virtio's does not say.
    fn tx_pending(&mut self) -> Result<u32, PortError> {
        self.flush();
        let waiting = (self.tx.to - self.tx.from + self.lanes.waiting()) as u32;
        Ok(waiting + self.device.eal.library.tx_pending(&self.device.raw).unwrap_or(0))
    }

    fn wait(&mut self, _interest: Interest, timeout: Duration) -> Result<(), PortError> {
        if self.link_seen.elapsed() >= LINK_EVERY {
            self.check_link()?;
        }
        std::thread::sleep(timeout.min(NAP));
        Ok(())
    }
}

/// Lends the segments of a packet after the first; returns how many.
#[cold]
fn rest(
    library: &super::library::Library,
    mut mbuf: Mbuf,
    segments: u16,
    sink: &mut impl FnMut(RxFrame<'_>),
) -> u32 {
    let mut lent = 0;
    while let Some((next, frame)) = library.next_segment(mbuf) {
        lent += 1;
        // SAFETY: a segment is held as long as its packet is (rule 2).
        #[allow(unsafe_code)]
        let data = unsafe { frame.data() };
        sink(RxFrame { data, more: lent + 1 < u32::from(segments) });
        mbuf = next;
    }
    lent
}

impl Drop for DpdkPort {
    fn drop(&mut self) {
        // Pools are freed with the device; what the ring holds is the driver's to give back.
        let library = self.device.eal.library;
        self.lanes.free(library);
        library.free(&mut self.tx.mbufs[self.tx.from..self.tx.held]);
        self.tx.held = self.tx.from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The port's ring is its own other end: what is sent is received.
    #[test]
    fn frames_that_a_full_ring_does_not_take_go_first_the_next_time() {
        let mut port = DpdkPort::open("net_ring0", "ring", &mut || true).unwrap();
        let (mut sent, mut received) = (0u32, 0u32);
        let keys = port.info().keys;
        for _ in 0..5 {
            loop {
                let n = port.tx_batch(100, |frame| {
                    frame.buf[..4].copy_from_slice(&sent.to_be_bytes());
                    assert!(frame.key.is_some_and(|key| key < keys), "{:?}", frame.key);
                    sent += 1;
                    60
                });
                if n.unwrap() == 0 {
                    break;
                }
            }
            let waiting = port.tx.to - port.tx.from;
            assert!(waiting > 0 && port.tx_pending().unwrap() >= waiting as u32, "the ring is full");
            loop {
                let n = port.rx_batch(100, |frame| {
                    assert_eq!((frame.data.len(), frame.more), (60, false));
                    assert_eq!(frame.data[..4], received.to_be_bytes(), "in order");
                    received += 1;
                });
                if n.unwrap() == 0 {
                    break;
                }
            }
            assert_eq!((sent, port.tx.from), (received, port.tx.to), "nothing stays behind");
        }
        assert!(sent > 3 * 1024, "the ring's end was crossed {sent}");
        let facts = port.facts();
        assert_eq!((facts.driver.as_str(), facts.virtio), ("net_ring", None), "{facts:?}");
        let half = port
            .tx_batch(100, |_| {
                if sent % 7 == 0 {
                    0
                } else {
                    sent += 1;
                    60
                }
            })
            .unwrap();
        assert_eq!(half, port.rx_batch(100, |_| {}).unwrap(), "a batch that the role ended");
    }
}
