//! What there is of DPDK in a program built without it: a sentence that says so.
#![forbid(unsafe_code)]

use super::{DpdkError, DpdkFacts, Plugins};
use crate::port::{Interest, Port, PortError, PortInfo, RxFrame, TxFrame};
use std::convert::Infallible;
use std::time::Duration;

/// A port that no program without DPDK has.
#[derive(Debug)]
pub struct DpdkPort(Infallible);

/// A device that no program without DPDK has.
#[derive(Debug)]
pub struct Device(Infallible);

/// [`DpdkError::NotBuilt`].
pub fn version() -> Result<String, DpdkError> {
    Err(DpdkError::NotBuilt)
}

/// [`DpdkError::NotBuilt`].
pub fn plugins(_names: &[&str]) -> Result<Plugins, DpdkError> {
    Err(DpdkError::NotBuilt)
}

impl Device {
    /// [`DpdkError::NotBuilt`].
    pub fn attach(_arguments: &str, _keep_waiting: &mut dyn FnMut() -> bool) -> Result<Device, DpdkError> {
        Err(DpdkError::NotBuilt)
    }

    /// Its Ethernet address.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        match self.0 {}
    }

    /// Its queues.
    #[must_use]
    pub fn queues(&self) -> u16 {
        match self.0 {}
    }

    /// Starts it.
    pub fn start(self, _name: &str) -> Result<DpdkPort, DpdkError> {
        match self.0 {}
    }
}

impl DpdkPort {
    /// [`DpdkError::NotBuilt`].
    pub fn open(
        _arguments: &str,
        _name: &str,
        _keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<DpdkPort, DpdkError> {
        Err(DpdkError::NotBuilt)
    }

    /// What it turned out to be.
    #[must_use]
    pub fn facts(&self) -> &DpdkFacts {
        match self.0 {}
    }
}

impl Port for DpdkPort {
    fn info(&self) -> &PortInfo {
        match self.0 {}
    }

    fn tx_batch<F: FnMut(TxFrame<'_>) -> u16>(&mut self, _max: u32, _fill: F) -> Result<u32, PortError> {
        match self.0 {}
    }

    fn rx_batch<F: FnMut(RxFrame<'_>)>(&mut self, _max: u32, _sink: F) -> Result<u32, PortError> {
        match self.0 {}
    }

    fn tx_pending(&mut self) -> Result<u32, PortError> {
        match self.0 {}
    }

    fn wait(&mut self, _interest: Interest, _timeout: Duration) -> Result<(), PortError> {
        match self.0 {}
    }
}
