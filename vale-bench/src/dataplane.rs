//! What carries packets between ports under test: a switch, plus the kind of port a guest gets on it.
//!
//! A [`Dataplane`] is one file of this folder: its name, its options, what it needs, and how it is brought up for a
//! topology. That gives a [`Lab`]: stations that can measure, and the switch behind them. It knows nothing of what
//! will be measured, and nobody outside [`registry`] knows it by name.

mod assembly;
pub mod bridge;
mod driven;
mod idle;
pub mod named;
pub mod ovs;
mod placement;
pub mod profile;
pub mod registry;
pub mod testpmd;
pub mod uvale;
pub mod vale;
mod vhost;

pub use idle::Idle;
pub use placement::Placement;

use crate::cli::{BenchArgs, VmArgs};
use crate::cost;
use crate::doctor::Facts;
use crate::exit::Fail;
use crate::guests::{GuestHost, GuestPlan};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::result::{self, Accelerator};
use crate::rundir::RunDir;
use crate::scenario::Topology;
use crate::station::{Machine, Station};
use qemu_ptnet::Module;
use std::collections::BTreeMap;

/// What can be asked for with `--dataplane`.
pub trait Dataplane: Send + Sync {
    /// The name to ask for it by, as in results.
    fn name(&self) -> &str;
    /// What it is, in a few words.
    fn what(&self) -> &str;
    /// Options of the command line that are its own, as they are typed. Given without a dataplane that has it, an
    /// option is refused.
    fn options(&self) -> Vec<&'static str>;
    /// What it needs of a host for `wanted`, and `facts` do not show.
    fn lacks(&self, facts: &Facts, wanted: &Wanted<'_>) -> Vec<Lack>;
    /// Brings the topology up.
    fn bring_up(&self, setting: &Setting<'_>) -> Result<Lab, Fail>;
}

/// What a dataplane is to carry, as far as its needs depend on that.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Whether the host has ports.
    pub host_ports: bool,
    /// Whether there are guests.
    pub guests: bool,
    /// Options of guests, where a command line has some.
    pub vm: Option<&'a VmArgs>,
}

/// Something that a dataplane needs and a host does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// What, with its article where it has one: `the netmap module`.
    pub what: String,
    /// What to do about it: `load it`.
    pub advice: String,
}

impl Lack {
    /// `what` is missing; `advice` helps.
    pub fn new(what: impl Into<String>, advice: impl Into<String>) -> Lack {
        Lack { what: what.into(), advice: advice.into() }
    }
}

/// Fails with what `plane` lacks on a host, if it lacks something.
pub fn check_host(plane: &dyn Dataplane, facts: &Facts, wanted: &Wanted<'_>) -> Result<(), Fail> {
    let lacks = plane.lacks(facts, wanted);
    let Some(first) = lacks.first() else { return Ok(()) };
    let what = lacks.iter().map(|lack| lack.what.as_str()).collect::<Vec<_>>().join(" and ");
    let name = plane.name();
    Err(Fail::host(format!("{name} cannot run on this host: {what} missing; {}", first.advice)))
}

/// What a dataplane is brought up in.
pub struct Setting<'a> {
    /// What to bring up.
    pub topology: &'a Topology,
    /// How to measure, and options of dataplanes.
    pub bench: &'a BenchArgs,
    /// How to run guests, and options of dataplanes that concern them.
    pub vm: Option<&'a VmArgs>,
    /// Which processors to use, and what to do without work.
    pub placement: &'a Placement,
    /// What guests run on; `None` where the topology has none.
    pub guests: Option<&'a GuestHost>,
    /// The run's own directory.
    pub run_dir: &'a RunDir,
    /// Whether to go on.
    pub interrupt: &'a Interrupt,
    /// What is told on the way.
    pub progress: &'a Progress,
}

impl Setting<'_> {
    /// What runs the guests.
    #[must_use]
    pub fn accelerator(&self) -> Accelerator {
        self.guests.map_or(Accelerator::None, GuestHost::accelerator)
    }

    /// Boots the guests.
    pub fn boot(&self, plans: &[GuestPlan], modules: &[Module]) -> Result<Vec<Machine>, Fail> {
        let cpus = &self.placement.stations;
        match self.guests {
            _ if plans.is_empty() => Ok(Vec::new()),
            Some(guests) => guests.boot(plans, modules, cpus, self.run_dir, self.interrupt, self.progress),
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
    /// The switch's counters of a port, by name, ever increasing; none where it cannot be looked into.
    fn counters(&mut self, _port: usize) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
    /// Whether those counters have every frame it dropped.
    fn counts_drops(&self) -> bool {
        true
    }
    /// What the switch has taken from and delivered to a port, if it counts that.
    fn moved(&mut self, _port: usize) -> Option<Moved> {
        None
    }
    /// What was wrong since it was last asked, in sentences.
    fn faults(&mut self) -> Vec<String> {
        Vec::new()
    }
    /// Threads of its own that move frames. None where it runs in the threads of those who send.
    fn threads(&self) -> Vec<cost::Thread> {
        Vec::new()
    }
    /// Processor time its threads have used, in nanoseconds; none where others' threads do its work.
    fn cpu_ns(&self) -> Option<u64> {
        None
    }
    /// Fails if it cannot go on.
    fn healthy(&mut self) -> Result<(), Fail> {
        Ok(())
    }
    /// Keeps it from its processor while another dataplane is measured; one that sleeps without work need not.
    fn rest(&mut self) -> Result<(), Fail> {
        Ok(())
    }
    /// Lets it go on.
    fn wake(&mut self) -> Result<(), Fail> {
        Ok(())
    }
    /// Ends it in good order. Its stations have ended.
    fn shut_down(&mut self) -> Result<(), Fail> {
        Ok(())
    }
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
    /// What was brought up.
    pub topology: Topology,
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

    /// Does something on it. Before and after its switch rests, so that it takes no time from other labs.
    pub fn awake<T>(&mut self, what: impl FnOnce(&mut Lab) -> Result<T, Fail>) -> Result<T, Fail> {
        self.switch.wake()?;
        let done = what(self)?;
        self.switch.rest()?;
        Ok(done)
    }

    /// Ends every station in good order.
    pub fn shut_down(&mut self) -> Result<(), Fail> {
        // Guests end only when the other end of their ports has answered.
        let mut outcome = self.switch.wake();
        for station in &mut self.stations {
            let ended = station.shut_down(std::time::Duration::from_secs(5));
            outcome = outcome.and(ended);
        }
        // Ports are unplugged while the switch is there to answer.
        self.stations.clear();
        outcome.and(self.switch.shut_down())
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
