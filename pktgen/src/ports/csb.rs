//! A netmap port in CSB mode as a [`Port`]: on the embedded VALE, or on a kernel port whose loop runs elsewhere.
//!
//! Frames are written and read in the ring's own buffers. Transmit goes to the first ring; receive looks at all
//! of them.

use super::fragment::Fragments;
use crate::port::{Interest, Port, PortError, PortInfo, RxFrame, TxFrame};
use netmap_rs::csb::{BadCursor, CsbPort};
use netmap_rs::sys::NS_MOREFRAG;
use std::time::Duration;

/// A [`CsbPort`] with a name.
#[derive(Debug)]
pub struct CsbIo {
    port: CsbPort,
    info: PortInfo,
    fragments: Option<Fragments>,
}

impl CsbIo {
    /// Wraps an open port. `driver` is what results call it, `mac` the address its frames should carry.
    #[must_use]
    pub fn new(port: CsbPort, name: &str, driver: &'static str, mac: Option<[u8; 6]>) -> CsbIo {
        let (tx, rx) = (port.tx.first(), port.rx.first());
        let info = PortInfo {
            name: name.to_owned(),
            driver,
            tx_slots: tx.map_or(0, |r| r.num_slots()),
            rx_slots: rx.map_or(0, |r| r.num_slots()),
            max_frame: tx.map_or(0, |r| r.buf_size().min(u16::MAX.into()) as u16),
            keys: tx.map_or(0, |r| r.num_bufs()),
            queues: 1,
            mac,
        };
        CsbIo { port, info, fragments: None }
    }

    /// Sends each frame in `parts` slots ([`NS_MOREFRAG`]); 0 and 1 are one.
    #[must_use]
    pub fn in_fragments(mut self, parts: u32) -> CsbIo {
        if let (true, Some(ring)) = (parts > 1, self.port.tx.first()) {
            let fragments = Fragments::new(parts, ring.buf_size());
            self.info.max_frame = fragments.max_frame();
            self.info.keys = 1;
            self.fragments = Some(fragments);
        }
        self
    }

    #[cold]
    fn failed(
        &self,
        operation: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> PortError {
        PortError { port: self.info.name.clone(), operation, source: source.into() }
    }

    #[inline(always)]
    fn kick(&self, wanted: bool) -> Result<(), PortError> {
        if !wanted {
            return Ok(());
        }
        self.port.doorbell.ring().map_err(|e| self.failed("kick the switch of", e))
    }

    #[cold]
    fn bad_cursor(&self, e: BadCursor) -> PortError {
        self.failed("trust the cursors of", e)
    }
}

impl Port for CsbIo {
    fn info(&self) -> &PortInfo {
        &self.info
    }

    #[inline]
    fn tx_batch<F: FnMut(TxFrame<'_>) -> u16>(&mut self, max: u32, mut fill: F) -> Result<u32, PortError> {
        let Some(ring) = self.port.tx.first_mut() else { return Ok(0) };
        // The other side's cursor lies in a line it writes: looked at only when what is known does not suffice.
        let wanted = if self.fragments.is_some() { u32::MAX } else { max };
        if ring.space() < wanted
            && let Err(e) = ring.sync()
        {
            return Err(self.bad_cursor(e));
        }
        if let Some(fragments) = &mut self.fragments {
            let n = fragments.fill(ring, max, 0, &mut fill, &mut false);
            let kick = n > 0 && ring.publish();
            self.kick(kick)?;
            return Ok(n);
        }
        let n =
            ring.fill(max, |slot| fill(TxFrame { key: Some(slot.buf_idx), swapped: false, buf: slot.buf }));
        let kick = n > 0 && ring.publish();
        self.kick(kick)?;
        Ok(n)
    }

    #[inline]
    fn rx_batch<F: FnMut(RxFrame<'_>)>(&mut self, max: u32, mut sink: F) -> Result<u32, PortError> {
        let mut total = 0;
        for i in 0..self.port.rx.len() {
            let ring = &mut self.port.rx[i];
            if ring.avail() < max - total
                && let Err(e) = ring.sync()
            {
                return Err(self.bad_cursor(e));
            }
            let n = ring.drain(max - total, |slot| {
                sink(RxFrame { data: slot.data, more: slot.flags & NS_MOREFRAG != 0 });
            });
            total += n;
            let kick = n > 0 && ring.publish();
            self.kick(kick)?;
        }
        Ok(total)
    }

    fn tx_pending(&mut self) -> Result<u32, PortError> {
        let Some(ring) = self.port.tx.first_mut() else { return Ok(0) };
        match ring.sync() {
            Ok(()) => {
                let slots = ring.pending();
                Ok(self.fragments.as_ref().map_or(slots, |fragments| fragments.frames(slots)))
            }
            Err(e) => Err(self.bad_cursor(e)),
        }
    }

    fn wait(&mut self, interest: Interest, timeout: Duration) -> Result<(), PortError> {
        let (tx, rx) = (interest != Interest::Rx, interest != Interest::Tx);
        self.port.wait(tx, rx, timeout).map_err(|e| self.failed("wait for", e))
    }
}
