//! A port looped onto itself: what is sent on it is received on it, from the very buffer it was written to.
//!
//! With it an engine measures its own floor: nothing lies between sending and receiving, neither a switch nor a copy
//! nor another thread. Buffers keep their contents and have keys, slots wrap, a full ring takes nothing, as on netmap.
#![forbid(unsafe_code)]

use crate::port::{Interest, Port, PortError, PortInfo, RxFrame, TxFrame};
use std::time::Duration;

/// One ring that is both.
#[derive(Debug)]
pub struct LoopPort {
    info: PortInfo,
    bytes: Box<[u8]>,
    lens: Box<[u16]>,
    /// Frames ever received and ever sent; a slot is that modulo the slots.
    head: u64,
    tail: u64,
}

impl LoopPort {
    /// A ring of `slots`, at least 1, frames of up to `max_frame` bytes.
    pub fn new(slots: u32, max_frame: u16) -> Self {
        let slots = slots.max(1);
        let info = PortInfo {
            name: "loop".into(),
            driver: "loop",
            tx_slots: slots,
            rx_slots: slots,
            max_frame,
            keys: slots,
            queues: 1,
            mac: None,
        };
        let bytes = vec![0; slots as usize * usize::from(max_frame)].into();
        Self { info, bytes, lens: vec![0; slots as usize].into(), head: 0, tail: 0 }
    }

    fn slot(&self, at: u64) -> usize {
        (at % self.lens.len() as u64) as usize
    }
}

impl Port for LoopPort {
    fn info(&self) -> &PortInfo {
        &self.info
    }

    #[inline]
    fn tx_batch<F: FnMut(TxFrame<'_>) -> u16>(&mut self, max: u32, mut fill: F) -> Result<u32, PortError> {
        let buffer = usize::from(self.info.max_frame);
        let free = (self.lens.len() as u64 - (self.tail - self.head)).min(max.into());
        let mut count = 0;
        while u64::from(count) < free {
            let slot = self.slot(self.tail + u64::from(count));
            let buf = &mut self.bytes[slot * buffer..][..buffer];
            let len = fill(TxFrame { key: Some(slot as u32), swapped: false, buf });
            if len == 0 {
                break;
            }
            self.lens[slot] = len;
            count += 1;
        }
        self.tail += u64::from(count);
        Ok(count)
    }

    #[inline]
    fn rx_batch<F: FnMut(RxFrame<'_>)>(&mut self, max: u32, mut sink: F) -> Result<u32, PortError> {
        let buffer = usize::from(self.info.max_frame);
        let count = (self.tail - self.head).min(max.into()) as u32;
        for i in 0..count {
            let slot = self.slot(self.head + u64::from(i));
            sink(RxFrame { data: &self.bytes[slot * buffer..][..usize::from(self.lens[slot])], more: false });
        }
        self.head += u64::from(count);
        Ok(count)
    }

    fn tx_pending(&mut self) -> Result<u32, PortError> {
        Ok((self.tail - self.head) as u32)
    }

    /// Nobody else could make anything happen.
    fn wait(&mut self, _: Interest, _: Duration) -> Result<(), PortError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_received_over_many_laps() {
        let mut port = LoopPort::new(5, 100);
        let (mut sent, mut received) = (0u8, 0u8);
        for lap in 0..40u32 {
            let took = port
                .tx_batch(lap % 7, |frame| {
                    frame.buf[0] = sent;
                    sent += 1;
                    1 + u16::from(sent % 90)
                })
                .unwrap();
            assert!(took <= 5);
            assert_eq!(port.tx_pending().unwrap(), u32::from(sent - received));
            port.rx_batch(lap % 5, |frame| {
                assert_eq!(
                    (frame.data[0], frame.data.len()),
                    (received, 1 + usize::from((received + 1) % 90))
                );
                received += 1;
            })
            .unwrap();
        }
        assert!(received > 60, "{received}");
        port.rx_batch(9, |_| received += 1).unwrap();
        assert_eq!(sent, received);
        assert_eq!(port.tx_batch(9, |_| 60).unwrap(), 5, "a full ring takes no more");
    }
}
