//! A port whose kind is known only when the program runs.

use super::dpdk::DpdkPort;
use super::kernel::KernelIo;
use super::packet::PacketPort;
use super::xdp::XdpPort;
use crate::port::{Interest, Port, PortError, PortInfo, RxCount, RxFrame, TxFrame};
use std::time::Duration;

/// A port of any kind: in CSB mode, as a `C`, one of those that the kernel has, or one of DPDK's.
#[derive(Debug)]
pub enum AnyIo<C> {
    /// On the embedded VALE.
    Csb(C),
    /// Of the kernel's netmap.
    Kernel(Box<KernelIo>),
    /// An interface by packet socket.
    Packet(Box<PacketPort>),
    /// An interface by `AF_XDP` socket.
    Xdp(Box<XdpPort>),
    /// A DPDK port.
    Dpdk(Box<DpdkPort>),
}

impl<C> AnyIo<C> {
    /// Whether it is one of the kernel's netmap.
    pub fn is_kernel(&self) -> bool {
        matches!(self, AnyIo::Kernel(_))
    }
}

/// Does the same on whichever port it is.
macro_rules! each {
    ($self:expr, $port:ident => $call:expr) => {
        match $self {
            AnyIo::Csb($port) => $call,
            AnyIo::Kernel($port) => $call,
            AnyIo::Packet($port) => $call,
            AnyIo::Xdp($port) => $call,
            AnyIo::Dpdk($port) => $call,
        }
    };
}

impl<C: Port> Port for AnyIo<C> {
    fn info(&self) -> &PortInfo {
        each!(self, port => port.info())
    }

    #[inline]
    fn tx_batch<F: FnMut(TxFrame<'_>) -> u16>(&mut self, max: u32, fill: F) -> Result<u32, PortError> {
        each!(self, port => port.tx_batch(max, fill))
    }

    #[inline]
    fn rx_batch<F: FnMut(RxFrame<'_>)>(&mut self, max: u32, sink: F) -> Result<u32, PortError> {
        each!(self, port => port.rx_batch(max, sink))
    }

    fn tx_alike<F: FnMut(TxFrame<'_>) -> u16>(
        &mut self,
        max: u32,
        kind: u64,
        fill: F,
    ) -> Result<u32, PortError> {
        each!(self, port => port.tx_alike(max, kind, fill))
    }

    fn rx_count(&mut self, max: u32) -> Result<RxCount, PortError> {
        each!(self, port => port.rx_count(max))
    }

    fn rx_next_is<F: FnOnce(&[u8]) -> bool>(&mut self, max: u32, look: F) -> Result<Option<bool>, PortError> {
        each!(self, port => port.rx_next_is(max, look))
    }

    fn tx_pending(&mut self) -> Result<u32, PortError> {
        each!(self, port => port.tx_pending())
    }

    fn wait(&mut self, interest: Interest, timeout: Duration) -> Result<(), PortError> {
        each!(self, port => port.wait(interest, timeout))
    }
}
