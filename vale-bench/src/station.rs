//! Where an engine runs: a thread of this process, or a guest.
//!
//! A trial drives stations and samples their ports' counters; it does not know what a station is, nor what lies
//! between the ports. All counters are read here, by one clock.

mod guest;
mod host;
mod system;

pub(crate) use guest::explain;
pub use guest::{BootWait, GuestStation, Machine, Ram};
pub use host::HostStation;
pub(crate) use system::hopeless;

use crate::cost;
use crate::exit::Fail;
use pktgen::counters::Snapshot;
use pktgen::spec::{FwdReport, FwdSpec, IdlePolicy, PortReport, PortRoles};
use std::time::Duration;

pub use pktgen::engine::Phase;

/// What the engine of a station did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StationReport {
    /// Number of each port with roles, and what it did.
    pub ports: Vec<(usize, PortReport)>,
    /// Of a forwarder, what it passed on from its first port to its second, and back; else nothing.
    pub forwarded: Vec<FwdReport>,
}

/// One engine and its ports, numbered from 0 within the station.
pub trait Station: Send {
    /// Name, for messages: `host`, `vm1`.
    fn name(&self) -> &str;
    /// Threads that are busy while it measures: engine threads or virtual processors.
    fn busy_threads(&self) -> u32;
    /// Gets an engine ready; ports not named have no role.
    fn prepare(&mut self, roles: Vec<(usize, PortRoles)>, idle: IdlePolicy) -> Result<(), Fail>;
    /// Gets an engine ready that passes on what comes in at either of two ports to the other: from the first to the
    /// second as the first of `specs` says, and back as the second does.
    fn forward(&mut self, ports: [usize; 2], specs: [FwdSpec; 2], idle: IdlePolicy) -> Result<(), Fail>;
    /// Has the guest's kernel join two ports by a VALE switch of its own, for good, and gets an engine ready that does
    /// nothing beside it.
    fn bridge(&mut self, _ports: [usize; 2]) -> Result<(), Fail> {
        Err(Fail::failed(anyhow::anyhow!("{} has no VALE switch of its own", self.name())))
    }
    /// Round trips of probes of `size` bytes that its engine measures with nothing in between, for `length`: an HDR
    /// histogram as text. Not while an engine is prepared.
    fn floor(&mut self, size: u16, idle: IdlePolicy, length: Duration) -> Result<String, Fail>;
    /// Threads of this host that work for it, while an engine runs.
    fn threads(&self) -> Vec<cost::Thread>;
    /// The process of its guest, if it is one.
    fn guest_process(&self) -> Option<u32> {
        None
    }
    /// Brings the engine to a phase and returns when it is there.
    fn enter(&mut self, phase: Phase) -> Result<(), Fail>;
    /// The port's counters now.
    fn snapshot(&self, port: usize) -> Snapshot;
    /// Whether every sender with a count has sent it, as far as the station can tell without asking.
    fn healthy(&mut self) -> Result<(), Fail>;
    /// Ends the engine; what it did.
    fn report(&mut self) -> Result<StationReport, Fail>;
    /// Ends the station in good order, within `deadline`.
    fn shut_down(&mut self, deadline: Duration) -> Result<(), Fail>;
}
