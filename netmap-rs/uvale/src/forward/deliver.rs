//! The last step of a batch: one destination's packets into its receive ring.

use super::batch::Batch;
use crate::faults::FaultKind;
use crate::port::SwitchPort;
use netmap_rs::csb::kern::{BadSlot, Frame, KernRx};
use netmap_rs::sys::{NS_MOREFRAG, NS_PORT_SHIFT};

/// How many receive buffers ahead to fetch: enough lines in flight to hide a miss, few enough to stay cached.
const PREFETCH: u32 = 12;

/// Fills one receive ring of `port` from two lists, in the order the packets were sent.
#[inline(always)]
pub(super) fn deliver(port: &mut SwitchPort, ring: usize, batch: &Batch, mut own: u16, mut flood: u16) {
    let SwitchPort { rx, now, counters, reporter, name, .. } = &mut *port;
    let n = rx.len();
    let rx = &mut rx[ring % n];
    let mut next = || {
        // NIL is larger than any packet's number, so the smaller of the two is the earlier packet.
        let list = if own < flood { &mut own } else { &mut flood };
        let packet = batch.packets.get(usize::from(*list))?;
        *list = packet.next;
        Some(packet)
    };
    let mut space = match rx.space() {
        Ok(space) => space,
        Err(e) => {
            now.resets += 1;
            while next().is_some() {
                now.drop_rx_bad_slot += 1;
            }
            counters.publish(now);
            reporter.report(FaultKind::RxCursor, name, e);
            return;
        }
    };
    for k in 0..PREFETCH.min(space) {
        rx.prefetch(k);
    }
    let (mut frames, mut bytes, mut full) = (0u64, 0u64, 0u64);
    while let Some(packet) = next() {
        let frags = u32::from(packet.frags);
        if frags > space {
            full += 1;
            continue;
        }
        rx.prefetch(PREFETCH);
        let first = usize::from(packet.first);
        let put = if frags == 1 {
            put(rx, &batch.frames[first], 1 << NS_PORT_SHIFT)
        } else {
            put_chain(rx, &batch.frames[first..first + frags as usize])
        };
        match put {
            Ok(n) => {
                frames += 1;
                bytes += n;
                space -= frags;
            }
            Err(Refused::TooLong) => now.drop_rx_too_long += 1,
            Err(Refused::BadSlot(e)) => {
                now.drop_rx_bad_slot += 1;
                now.resets += 1;
                reporter.report(FaultKind::RxSlot, name, e);
            }
        }
    }
    now.rx_frames += frames;
    now.rx_bytes += bytes;
    now.drop_rx_full += full;
    // Before the frames are shown: who receives one finds it counted.
    counters.publish(now);
    if frames > 0 && rx.publish() {
        port.wake();
    }
}

/// Why a packet was not put.
enum Refused {
    TooLong,
    BadSlot(BadSlot),
}

#[inline(always)]
fn put(rx: &mut KernRx, frame: &Frame, flags: u16) -> Result<u64, Refused> {
    if u32::from(frame.len()) > rx.buf_size() {
        return Err(Refused::TooLong);
    }
    // SAFETY: the frame's port is in the table and keeps its memory mapped.
    match unsafe { rx.put(frame, flags) } {
        Ok(()) => Ok(frame.len().into()),
        Err(e) => Err(Refused::BadSlot(e)),
    }
}

/// All of the fragments or none.
#[inline(never)]
fn put_chain(rx: &mut KernRx, frames: &[Frame]) -> Result<u64, Refused> {
    let mark = rx.mark();
    let count = (frames.len() as u16) << NS_PORT_SHIFT;
    let mut bytes = 0;
    for frame in frames {
        rx.prefetch(PREFETCH);
        match put(rx, frame, (frame.flags() & NS_MOREFRAG) | count) {
            Ok(n) => bytes += n,
            Err(refused) => {
                rx.rollback(mark);
                return Err(refused);
            }
        }
    }
    Ok(bytes)
}
