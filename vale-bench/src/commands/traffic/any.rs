//! A port of whatever kind its name meant, with the packet file that what it receives is kept in.

use super::dump::Dump;
use pktgen::port::{Interest, Port, PortError, PortInfo, RxCount, RxFrame, TxFrame, count_received};
use pktgen::ports::any::AnyIo;
use pktgen::ports::csb::CsbIo;
use std::time::Duration;
use uvale::daemon;

/// A port on a running switch; gone when dropped.
pub(crate) struct UvalePort {
    pub(super) io: CsbIo,
    /// The connection that keeps the port.
    pub(super) link: daemon::Link,
}

/// A port of any kind that there is: on a running switch, of the kernel's netmap, or an interface of this host.
pub(crate) type AnyPort = AnyIo<UvalePort>;

/// A port, all of whose received frames are kept in a file if there is one.
pub(super) struct Tapped {
    pub(super) port: AnyPort,
    pub(super) dump: Option<Dump>,
}

impl Port for Tapped {
    fn info(&self) -> &PortInfo {
        self.port.info()
    }

    #[inline]
    fn tx_batch<F: FnMut(TxFrame<'_>) -> u16>(&mut self, max: u32, fill: F) -> Result<u32, PortError> {
        self.port.tx_batch(max, fill)
    }

    #[inline]
    fn rx_batch<F: FnMut(RxFrame<'_>)>(&mut self, max: u32, mut sink: F) -> Result<u32, PortError> {
        let Some(dump) = &mut self.dump else { return self.port.rx_batch(max, sink) };
        dump.batch();
        let received = self.port.rx_batch(max, |frame| {
            dump.keep(&frame);
            sink(frame);
        })?;
        if !dump.failed() {
            return Ok(received);
        }
        let source = dump.outcome().take().unwrap_or_else(|| std::io::ErrorKind::Other.into());
        let operation = "keep in a file what was received on";
        Err(PortError { port: self.port.info().name.clone(), operation, source: source.into() })
    }

    fn tx_alike<F: FnMut(TxFrame<'_>) -> u16>(
        &mut self,
        max: u32,
        kind: u64,
        fill: F,
    ) -> Result<u32, PortError> {
        self.port.tx_alike(max, kind, fill)
    }

    fn rx_count(&mut self, max: u32) -> Result<RxCount, PortError> {
        if self.dump.is_none() {
            return self.port.rx_count(max);
        }
        count_received(self, max)
    }

    fn rx_next_is<F: FnOnce(&[u8]) -> bool>(&mut self, max: u32, look: F) -> Result<Option<bool>, PortError> {
        self.port.rx_next_is(max, look)
    }

    fn tx_pending(&mut self) -> Result<u32, PortError> {
        self.port.tx_pending()
    }

    fn wait(&mut self, interest: Interest, timeout: Duration) -> Result<(), PortError> {
        self.port.wait(interest, timeout)
    }
}

impl UvalePort {
    /// What failed is the port, or the whole switch behind it: of a switch that is killed the doorbell may end a
    /// moment before the connection does.
    #[cold]
    fn explain(&self, error: PortError) -> PortError {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        let ended = error.source.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if !matches!(ended, Some(BrokenPipe | ConnectionReset | UnexpectedEof)) && self.link.alive() {
            return error;
        }
        let source = std::io::Error::new(BrokenPipe, "its switch is gone");
        PortError { port: self.io.info().name.clone(), operation: "go on with", source: source.into() }
    }
}

impl Port for UvalePort {
    fn info(&self) -> &PortInfo {
        self.io.info()
    }

    #[inline]
    fn tx_batch<F: FnMut(TxFrame<'_>) -> u16>(&mut self, max: u32, fill: F) -> Result<u32, PortError> {
        self.io.tx_batch(max, fill).map_err(|e| self.explain(e))
    }

    #[inline]
    fn rx_batch<F: FnMut(RxFrame<'_>)>(&mut self, max: u32, sink: F) -> Result<u32, PortError> {
        self.io.rx_batch(max, sink).map_err(|e| self.explain(e))
    }

    fn tx_pending(&mut self) -> Result<u32, PortError> {
        self.io.tx_pending().map_err(|e| self.explain(e))
    }

    /// Idle is when there is time to see whether the switch is still there.
    fn wait(&mut self, interest: Interest, timeout: Duration) -> Result<(), PortError> {
        let waited = if self.link.alive() { self.io.wait(interest, timeout) } else { Ok(()) };
        waited.map_err(|e| self.explain(e))?;
        if self.link.alive() {
            return Ok(());
        }
        let gone = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        Err(self.explain(PortError {
            port: self.io.info().name.clone(),
            operation: "wait for",
            source: gone.into(),
        }))
    }
}
