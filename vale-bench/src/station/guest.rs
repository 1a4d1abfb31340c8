//! A station in a guest: its machine, and the engine that its agent runs.

use super::{Phase, Station, StationReport, system};
use crate::cost;
use crate::dataplane::LabPort;
use crate::exit::Fail;
use crate::guests::image::Way;
use crate::result;
use guest::client::{Client, ClientError};
use guest::counters::CounterPage;
use guest::wire::{Driver, GuestExtent, Hello, Interface, Reply, Request};
use netmap_rs::kernel::LoadedModule;
use netmap_rs::layout::{PortLocation, PortShape};
use netmap_rs::memory::{Extent, Memory};
use pktgen::counters::Snapshot;
use pktgen::spec::{FwdSpec, IdlePolicy, PortRoles};
use qemu_ptnet::{RamLayout, SharedRam, Vm};
use rustix::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long a guest may take to answer: it may share its processor with several that poll.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// A guest's RAM: the file, and where in it guest-physical addresses lie.
pub struct Ram {
    file: SharedRam,
    layout: RamLayout,
}

impl Ram {
    /// RAM of a guest on `machine`.
    #[must_use]
    pub fn new(file: SharedRam, machine: qemu_ptnet::Machine) -> Ram {
        let layout = RamLayout::new(machine, file.mib());
        Ram { file, layout }
    }
}

/// How a guest's boot is waited for.
pub struct BootWait<'a> {
    /// How long.
    pub deadline: Duration,
    /// Who starts the agent where it boots a whole system from a disk, which can go wrong in more ways.
    pub(crate) system: Option<Way>,
    /// Asked now and then.
    pub go_on: &'a mut dyn FnMut() -> bool,
}

/// A booted guest: the process, the channel to its agent, and its memory.
pub struct Machine {
    name: String,
    /// There until it is shut down.
    vm: Option<Vm>,
    client: Client,
    ram: Ram,
    hello: Hello,
    counters: CounterPage,
    doorbells: Vec<Option<OwnedFd>>,
    whole_system: bool,
    /// Once an interface was opened by it.
    netmap: Option<LoadedModule>,
}

impl Machine {
    /// Waits until the agent says hello, and maps its counters. `doorbells` are the host's ends of the guest's
    /// doorbell channels.
    pub fn await_boot(
        name: &str,
        vm: Vm,
        mut client: Client,
        ram: Ram,
        doorbells: Vec<OwnedFd>,
        wait: BootWait<'_>,
    ) -> Result<Machine, Fail> {
        let BootWait { deadline, system, go_on } = wait;
        let mut hopeless = None;
        let hello = client.hello(deadline, &mut || {
            hopeless = system.and_then(|_| system::hopeless(&vm));
            vm.alive() && hopeless.is_none() && go_on()
        });
        let hello = hello.map_err(|error| match (hopeless, &error) {
            (Some(why), _) => explain(name, &vm, why),
            (None, ClientError::Timeout { .. }) => {
                let why = system.map(|way| format!(": {}", system::late(&vm, way))).unwrap_or_default();
                explain(name, &vm, format!("{error}{why}"))
            }
            (None, _) => explain(name, &vm, error),
        })?;
        let counters =
            map(&ram, &[hello.counters]).map_err(|e| e.context(format!("cannot see {name}'s counters")))?;
        let counters = CounterPage::new(counters);
        let doorbells = doorbells.into_iter().map(Some).collect();
        let name = name.to_owned();
        let whole_system = system.is_some();
        Ok(Machine {
            name,
            vm: Some(vm),
            client,
            ram,
            hello,
            counters,
            doorbells,
            whole_system,
            netmap: None,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the guest said of itself.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// For the manifest, as a guest of `dataplane`.
    #[must_use]
    pub fn describe(&self, dataplane: &str) -> result::Vm {
        let Hello { system, kernel, hypervisor, .. } = &self.hello;
        let system = (!system.is_empty())
            .then(|| result::GuestSystem { distribution: system.clone(), kernel_release: kernel.clone() });
        let argv = self.vm.iter().flat_map(Vm::argv).map(|arg| arg.to_string_lossy().into_owned());
        result::Vm {
            name: self.name.clone(),
            dataplane: dataplane.to_owned(),
            argv: argv.collect(),
            system,
            netmap: self.netmap.clone().map(Into::into),
            hypervisor: (!hypervisor.is_empty()).then(|| hypervisor.clone()),
        }
    }

    /// Has the guest allocate `len` bytes for a port, and maps them.
    pub fn allocate_port(&mut self, port: usize, len: u64) -> Result<Arc<Memory>, Fail> {
        match self.ask("allocate a port", &Request::AllocatePort { port, len })? {
            Reply::Memory { extents } => map(&self.ram, &extents)
                .map_err(|e| e.context(format!("{} reports memory that is not its own", self.name))),
            _ => Err(self.out_of_turn("allocate a port")),
        }
    }

    /// Has the guest open a port that was laid out.
    pub fn open_port(
        &mut self,
        port: &LabPort,
        location: PortLocation,
        shape: &PortShape,
    ) -> Result<(), Fail> {
        let (name, mac) = (port.name.clone(), port.mac);
        let request = Request::OpenPort { port: port.local, name, location, shape: shape.clone(), mac };
        self.order("open a port", &request)
    }

    /// Has the guest open the interface that has the port's address.
    pub fn open_interface(&mut self, port: &LabPort, driver: Driver) -> Result<Interface, Fail> {
        let request =
            Request::OpenInterface { port: port.local, name: port.name.clone(), mac: port.mac, driver };
        match self.ask("open an interface", &request)? {
            Reply::Interface(interface) => {
                self.netmap.clone_from(&interface.netmap);
                Ok(interface)
            }
            _ => Err(self.out_of_turn("open an interface")),
        }
    }

    /// The host's end of a port's doorbell, once.
    pub fn take_doorbell(&mut self, port: usize) -> Result<OwnedFd, Fail> {
        let doorbell = self.doorbells.get_mut(port).and_then(Option::take);
        doorbell.ok_or_else(|| Fail::failed(anyhow::anyhow!("{} has no doorbell for port {port}", self.name)))
    }

    fn ask(&mut self, what: &'static str, request: &Request) -> Result<Reply, Fail> {
        let Some(vm) = &self.vm else {
            return Err(Fail::failed(anyhow::anyhow!("{} has been shut down", self.name)));
        };
        let answer = self.client.ask(what, request, ANSWER_DEADLINE, &mut || vm.alive());
        answer.map_err(|e| explain(&self.name, vm, e))
    }

    fn order(&mut self, what: &'static str, request: &Request) -> Result<(), Fail> {
        match self.ask(what, request)? {
            Reply::Done => Ok(()),
            _ => Err(self.out_of_turn(what)),
        }
    }

    fn out_of_turn(&self, what: &str) -> Fail {
        Fail::failed(anyhow::anyhow!("{} answered out of turn when asked to {what}", self.name))
    }
}

/// A guest's failure with its command line and the end of its console.
pub(crate) fn explain(name: &str, vm: &Vm, error: impl std::fmt::Display) -> Fail {
    // What a dying QEMU has to say is on its way.
    let _ = vm.wait(Duration::from_millis(200));
    let evidence = vm.evidence();
    Fail::failed(anyhow::anyhow!("{error}\n{evidence}")).context(format!("{name} failed"))
}

/// Maps what a guest says is where, if it is in its RAM.
fn map(ram: &Ram, extents: &[GuestExtent]) -> Result<Arc<Memory>, Fail> {
    let mut mapped = Vec::with_capacity(extents.len());
    for &GuestExtent { gpa, len } in extents {
        let Some(offset) = ram.layout.translate(gpa, len) else {
            return Err(Fail::failed(anyhow::anyhow!(
                "{len} bytes at guest-physical {gpa:#x} are not in its RAM"
            )));
        };
        mapped.push(Extent { offset, len });
    }
    Memory::map_extents(ram.file.as_fd(), &mapped).map_err(Fail::failed)
}

/// A guest as a station.
pub struct GuestStation {
    machine: Machine,
    /// Host threads of the virtual processors, once they were asked for.
    vcpus: OnceLock<Vec<u32>>,
}

impl GuestStation {
    /// A station in a machine whose ports are open.
    #[must_use]
    pub fn new(machine: Machine) -> GuestStation {
        GuestStation { machine, vcpus: OnceLock::new() }
    }
}

impl Station for GuestStation {
    fn name(&self) -> &str {
        &self.machine.name
    }

    fn busy_threads(&self) -> u32 {
        self.machine.hello.cpus.min(1)
    }

    fn prepare(&mut self, roles: Vec<(usize, PortRoles)>, idle: IdlePolicy) -> Result<(), Fail> {
        self.machine.order("prepare an engine", &Request::Prepare { roles, idle })
    }

    fn forward(&mut self, ports: [usize; 2], specs: [FwdSpec; 2], idle: IdlePolicy) -> Result<(), Fail> {
        self.machine.order("prepare a forwarder", &Request::Forward { ports, specs, idle })
    }

    fn bridge(&mut self, ports: [usize; 2]) -> Result<(), Fail> {
        self.machine.order("join its ports by a VALE switch", &Request::Bridge { ports })
    }

    fn floor(&mut self, size: u16, idle: IdlePolicy, length: Duration) -> Result<String, Fail> {
        let length_ms = u32::try_from(length.as_millis()).unwrap_or(u32::MAX);
        match self.machine.ask("measure its floor", &Request::Floor { size, idle, length_ms })? {
            Reply::Floor { histogram } => Ok(histogram),
            _ => Err(self.machine.out_of_turn("measure its floor")),
        }
    }

    fn threads(&self) -> Vec<cost::Thread> {
        let Some(vm) = &self.machine.vm else { return Vec::new() };
        // What QEMU does not tell is not measured: its threads are then put together.
        let vcpus = self.vcpus.get_or_init(|| vm.vcpu_threads().unwrap_or_default());
        cost::Thread::of_guest(&self.machine.name, vm.pid(), vcpus)
    }

    fn guest_process(&self) -> Option<u32> {
        self.machine.vm.as_ref().map(Vm::pid)
    }

    fn enter(&mut self, phase: Phase) -> Result<(), Fail> {
        self.machine.order("enter a phase", &Request::Phase { phase })
    }

    fn snapshot(&self, port: usize) -> Snapshot {
        self.machine.counters.snapshot(port)
    }

    fn healthy(&mut self) -> Result<(), Fail> {
        match &self.machine.vm {
            Some(vm) if !vm.alive() => {
                let gone = ClientError::Gone { waiting_for: "measurement" };
                Err(explain(&self.machine.name, vm, gone))
            }
            // A guest whose disk is full stands still.
            Some(vm) if self.machine.whole_system => match system::disk_trouble(vm) {
                Some(trouble) => Err(explain(&self.machine.name, vm, trouble)),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn report(&mut self) -> Result<StationReport, Fail> {
        match self.machine.ask("report", &Request::Report)? {
            Reply::Report { ports, forwarded } => Ok(StationReport { ports, forwarded }),
            _ => Err(self.machine.out_of_turn("report")),
        }
    }

    fn shut_down(&mut self, deadline: Duration) -> Result<(), Fail> {
        // A guest that no longer hears is ended by its QEMU.
        let _ = self.machine.client.send(&Request::PowerOff, Duration::from_millis(500));
        match self.machine.vm.take() {
            Some(vm) => vm.quit(deadline).map(|_| ()).map_err(Fail::failed),
            None => Ok(()),
        }
    }
}
