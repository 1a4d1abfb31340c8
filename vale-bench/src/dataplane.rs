//! What carries packets between ports under test: a switch, plus the kind of port a guest gets on it.
//!
//! A dataplane is brought up for a topology and gives back a [`Lab`]: stations that can measure, and the switch
//! behind them. It knows nothing of what will be measured.

pub mod uvale;
pub mod vale;

use crate::cost;
use crate::exit::Fail;
use crate::guests::{GuestHost, GuestPlan};
use crate::interrupt::Interrupt;
use crate::result::{self, Accelerator};
use crate::rundir::RunDir;
use crate::scenario::Topology;
use crate::station::{Machine, Station};
use qemu_ptnet::Module;
use std::collections::BTreeMap;

/// What a dataplane is brought up in.
pub struct Setting<'a> {
    /// What to bring up.
    pub topology: &'a Topology,
    /// What guests run on; `None` where the topology has none.
    pub guests: Option<&'a GuestHost>,
    /// The run's own directory.
    pub run_dir: &'a RunDir,
    /// Whether to go on.
    pub interrupt: &'a Interrupt,
}

impl Setting<'_> {
    /// What runs the guests.
    #[must_use]
    pub fn accelerator(&self) -> Accelerator {
        self.guests.map_or(Accelerator::None, GuestHost::accelerator)
    }

    /// Boots the guests.
    pub fn boot(
        &self,
        plans: &[GuestPlan],
        modules: &[Module],
        cpus: &[usize],
    ) -> Result<Vec<Machine>, Fail> {
        match self.guests {
            _ if plans.is_empty() => Ok(Vec::new()),
            Some(guests) => guests.boot(plans, modules, cpus, self.run_dir, self.interrupt),
            None => Err(Fail::failed(anyhow::anyhow!("there is nothing to run guests on"))),
        }
    }
}

/// A switch that was brought up.
pub trait Switch: Send {
    /// As the result names it.
    fn describe(&self) -> result::Dataplane;
    /// Threads of the switch that are busy while frames move.
    fn busy_threads(&self) -> u32;
    /// The switch's counters of a port, by name, ever increasing.
    fn counters(&mut self, port: usize) -> BTreeMap<String, u64>;
    /// Whether those counters have every frame it dropped.
    fn counts_drops(&self) -> bool {
        true
    }
    /// What the switch has taken from and delivered to a port, if it counts that.
    fn moved(&mut self, port: usize) -> Option<Moved>;
    /// What was wrong since it was last asked, in sentences.
    fn faults(&mut self) -> Vec<String>;
    /// Threads of its own that move frames. None where it runs in the threads of those who send.
    fn threads(&self) -> Vec<cost::Thread> {
        Vec::new()
    }
    /// Processor time its threads have used, in nanoseconds.
    fn cpu_ns(&self) -> Option<u64>;
}

/// Frames through one port of a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Taken from the port.
    pub taken: u64,
    /// Delivered to the port.
    pub delivered: u64,
}

/// One port under test.
#[derive(Debug, Clone)]
pub struct LabPort {
    /// As the dataplane names it: `vale0:vm1`.
    pub name: String,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Index of its station.
    pub station: usize,
    /// Its number within the station.
    pub local: usize,
}

/// A topology that was brought up on a dataplane, ready to measure.
pub struct Lab {
    /// Stations, in the topology's order.
    pub stations: Vec<Box<dyn Station>>,
    /// Ports, in the topology's order.
    pub ports: Vec<LabPort>,
    /// The switch.
    pub switch: Box<dyn Switch>,
    /// Largest frame every port carries, in bytes with FCS.
    pub max_frame: u16,
    /// Virtual machines, for the manifest.
    pub vms: Vec<result::Vm>,
    /// What runs where, for the manifest.
    pub pinning: Vec<result::Pin>,
    /// What to do without work, for engines; the switch was started with its match.
    pub idle: pktgen::spec::IdlePolicy,
}

impl Lab {
    /// Threads that are busy while frames move.
    #[must_use]
    pub fn busy_threads(&self) -> u32 {
        self.switch.busy_threads() + self.stations.iter().map(|s| s.busy_threads()).sum::<u32>()
    }

    /// Ends every station in good order.
    pub fn shut_down(&mut self) -> Result<(), Fail> {
        let mut outcome = Ok(());
        for station in &mut self.stations {
            let ended = station.shut_down(std::time::Duration::from_secs(5));
            outcome = outcome.and(ended);
        }
        outcome
    }
}

/// Ethernet address of the `port`-th port under test: locally administered, numbered from 1.
#[must_use]
pub fn mac(port: usize) -> [u8; 6] {
    let [.., high, low] = (port as u32 + 1).to_be_bytes();
    [0x02, 0, 0, 0, high, low]
}

/// IPv4 address of the `port`-th port under test, from the benchmarking network 198.18.0.0/15 (RFC 2544).
#[must_use]
pub fn ip(port: usize) -> [u8; 4] {
    let [.., high, low] = (port as u32 + 1).to_be_bytes();
    [198, 18, high, low]
}
