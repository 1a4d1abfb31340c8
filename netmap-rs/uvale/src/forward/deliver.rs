//! The last step of a batch: one destination's packets into its receive ring.

use super::batch::Batch;
use crate::faults::FaultKind;
use crate::port::SwitchPort;
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
    let buf_size = rx.buf_size();
    while let Some(packet) = next() {
        let frags = u32::from(packet.frags);
        if frags > space {
            full += 1;
            continue;
        }
        let run = &batch.frames[usize::from(packet.first)..usize::from(packet.first + packet.frags)];
        if run.iter().any(|f| u32::from(f.len()) > buf_size) {
            now.drop_rx_too_long += 1;
            continue;
        }
        let mark = rx.mark();
        let mut put = Ok(());
        let mut run_bytes = 0;
        for frame in run {
            rx.prefetch(PREFETCH);
            let flags = (frame.flags() & NS_MOREFRAG) | (packet.frags << NS_PORT_SHIFT);
            // SAFETY: the frame's port is in the table and keeps its memory mapped.
            put = unsafe { rx.put(frame, flags) };
            if put.is_err() {
                break;
            }
            run_bytes += u64::from(frame.len());
        }
        if let Err(e) = put {
            rx.rollback(mark);
            now.drop_rx_bad_slot += 1;
            now.resets += 1;
            reporter.report(FaultKind::RxSlot, name, e);
            continue;
        }
        frames += 1;
        bytes += run_bytes;
        space -= frags;
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
