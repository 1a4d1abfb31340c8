//! A port that outlives the engines that use it: each takes it off its shelf and puts it back when it ends.

use crate::port::{Interest, Port, PortError, PortInfo, RxCount, RxFrame, TxFrame};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where a port lies while nothing uses it.
#[derive(Debug)]
pub struct Shelf<P: Port> {
    place: Arc<Mutex<Option<P>>>,
}

impl<P: Port> Shelf<P> {
    /// Puts a port on a shelf of its own.
    #[must_use]
    pub fn new(port: P) -> Self {
        Self { place: Arc::new(Mutex::new(Some(port))) }
    }

    /// Takes the port; `None` while another lease has it.
    #[must_use]
    pub fn lease(&self) -> Option<Lease<P>> {
        let port = self.place.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(Lease { port: Some(port), place: self.place.clone() })
    }
}

/// A port in use; back on its shelf when dropped.
#[derive(Debug)]
pub struct Lease<P: Port> {
    /// There until dropped.
    port: Option<P>,
    place: Arc<Mutex<Option<P>>>,
}

impl<P: Port> Lease<P> {
    #[inline(always)]
    fn port(&mut self) -> &mut P {
        self.port.as_mut().expect("a lease has its port until it is dropped")
    }

    /// Throws away what the port has received, so that one trial's stragglers do not count in the next. Stops
    /// after `limit` frames, so that a port which never empties cannot hold it.
    pub fn discard_received(&mut self, limit: u32) -> Result<u32, PortError> {
        let mut total = 0;
        while total < limit {
            match self.port().rx_batch(limit - total, |_| {})? {
                0 => break,
                n => total += n,
            }
        }
        Ok(total)
    }
}

impl<P: Port> Drop for Lease<P> {
    fn drop(&mut self) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = self.port.take();
    }
}

impl<P: Port> Port for Lease<P> {
    fn info(&self) -> &PortInfo {
        self.port.as_ref().expect("a lease has its port until it is dropped").info()
    }

    #[inline]
    fn tx_batch<F: FnMut(TxFrame<'_>) -> u16>(&mut self, max: u32, fill: F) -> Result<u32, PortError> {
        self.port().tx_batch(max, fill)
    }

    #[inline]
    fn rx_batch<F: FnMut(RxFrame<'_>)>(&mut self, max: u32, sink: F) -> Result<u32, PortError> {
        self.port().rx_batch(max, sink)
    }

    fn tx_alike<F: FnMut(TxFrame<'_>) -> u16>(
        &mut self,
        max: u32,
        kind: u64,
        fill: F,
    ) -> Result<u32, PortError> {
        self.port().tx_alike(max, kind, fill)
    }

    fn rx_count(&mut self, max: u32) -> Result<RxCount, PortError> {
        self.port().rx_count(max)
    }

    fn rx_next_is<F: FnOnce(&[u8]) -> bool>(&mut self, max: u32, look: F) -> Result<Option<bool>, PortError> {
        self.port().rx_next_is(max, look)
    }

    fn tx_pending(&mut self) -> Result<u32, PortError> {
        self.port().tx_pending()
    }

    fn wait(&mut self, interest: Interest, timeout: Duration) -> Result<(), PortError> {
        self.port().wait(interest, timeout)
    }
}
