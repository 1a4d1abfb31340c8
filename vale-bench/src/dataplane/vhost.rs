//! What all vhost-user switches have in common: sockets, the guests' virtio-net, the host's virtio_user, and the
//! programs behind them.
//!
//! A dataplane of this kind starts its switch ([`Start`]) and says what it counts ([`VhostSwitch`]); all else is
//! here, so that every one of them gets the same guests, rings and processors.

use super::assembly::{assemble, guest_plans, ports};
use super::driven::{self, Driven};
use super::{Idle, Lab, LabPort, Lack, Moved, Setting, Switch, Wanted};
use crate::cli::{RingChoice, RoleChoice};
use crate::cost;
use crate::doctor::Facts;
use crate::exit::Fail;
use crate::guests::Plug;
use crate::interrupt::Interrupt;
use crate::program::Running;
use crate::result::{self, Accelerator, ThreadKind};
use crate::station::Machine;
use guest::wire::Driver;
use pktgen::ports::dpdk::{DpdkFacts, DpdkPort};
use qemu_ptnet::{MacAddr, Net, Netdev, NicModel, VirtioNet};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Options of every vhost-user dataplane.
pub(super) const OPTIONS: &[&str] =
    &["--ring", "--mrg-rxbuf", "--queue-size", "--queues", "--guest-driver", "--guest-driver dpdk"];

/// An option of those besides that can be either end of a socket.
pub(super) const ROLE: &str = "--vhost-role";

/// Largest frame with FCS that fits a virtio buffer of an interface whose MTU is 1500.
const MAX_FRAME: u16 = 1518;

/// How virtio is offered and served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Virtio {
    pub(super) ring: RingChoice,
    pub(super) mrg_rxbuf: bool,
    pub(super) queue_size: u16,
    /// Queues in each direction.
    pub(super) queues: u16,
    pub(super) role: RoleChoice,
    pub(super) driver: Driver,
}

impl Virtio {
    /// As the command line says; `role` unless it does.
    pub(super) fn of(setting: &Setting<'_>, role: RoleChoice) -> Result<Virtio, Fail> {
        let options = &setting.bench.vhost;
        let driver = driven::on_vhost_user(setting.vm);
        // At their best, and what works: the kernel's driver (6.1) on packed rings saw frames twice.
        let (ring, mrg_rxbuf) = match driver {
            Driver::Dpdk => (RingChoice::Packed, false),
            _ => (RingChoice::Split, true),
        };
        let queues = options.queues.unwrap_or(1);
        let cpus = setting.vm.map_or(0, |vm| vm.guests.guest_cpus);
        match driver {
            _ if queues == 1 || setting.topology.vms() == 0 => {}
            Driver::Xdp => return Err(Fail::usage("AF_XDP in guests takes one queue, and --queues more")),
            Driver::Packet if cpus < queues => {
                return Err(Fail::usage(format!(
                    "a guest's kernel uses no more queues than it has processors: --queues {queues} takes --guest-cpus \
                     {queues}, or --guest-driver dpdk"
                )));
            }
            _ => {}
        }
        Ok(Virtio {
            ring: options.ring.unwrap_or(ring),
            mrg_rxbuf: options.mrg_rxbuf.map_or(mrg_rxbuf, bool::from),
            queue_size: options.queue_size.unwrap_or(1024),
            queues,
            role: options.vhost_role.unwrap_or(role),
            driver,
        })
    }

    /// A guest's interface on `socket`.
    fn net(&self, socket: PathBuf, mac: [u8; 6]) -> Net {
        let by_kernel = self.driver != Driver::Dpdk;
        let model = VirtioNet {
            packed: Some(self.ring == RingChoice::Packed),
            mrg_rxbuf: Some(self.mrg_rxbuf),
            queue_pairs: (self.queues > 1).then_some(self.queues),
            rx_queue_size: Some(self.queue_size),
            tx_queue_size: Some(self.queue_size),
            // QEMU as distributions build it crashes when the kernel's driver uses MSI-X over vhost-user.
            vectors: by_kernel.then_some(0),
        };
        let netdev = Netdev::VhostUser { path: socket, server: self.role == RoleChoice::Client };
        Net { mac: MacAddr(mac), netdev, model: NicModel::Virtio(model) }
    }

    /// The host's port on `socket`.
    fn host_end(&self, socket: &Path, port: &LabPort, interrupt: &Interrupt) -> Result<DpdkPort, Fail> {
        // A device's name is free again when its port is gone, but there is no need to be clever.
        static DEVICES: AtomicUsize = AtomicUsize::new(0);
        let device = DEVICES.fetch_add(1, Ordering::Relaxed);
        let [a, b, c, d, e, f] = port.mac;
        let arguments = format!(
            "net_virtio_user{device},path={},mac={a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x},queues={},\
             queue_size={},packed_vq={},mrg_rxbuf={},server={}",
            socket.display(),
            self.queues,
            self.queue_size,
            u8::from(self.ring == RingChoice::Packed),
            u8::from(self.mrg_rxbuf),
            u8::from(self.role == RoleChoice::Client),
        );
        let opened = DpdkPort::open(&arguments, &port.name, &mut || interrupt.signal().is_none());
        opened.map_err(Fail::failed)
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        let ring = if self.ring == RingChoice::Packed { "packed" } else { "split" };
        let role = if self.role == RoleChoice::Client { "client" } else { "server" };
        vec![
            ("ring", ring.into()),
            ("mrg_rxbuf", if self.mrg_rxbuf { "on" } else { "off" }.into()),
            ("queue_size", self.queue_size.to_string()),
            ("queues", self.queues.to_string()),
            ("vhost_role", role.into()),
        ]
    }
}

/// What the ends of vhost-user sockets lack on a host, whatever the switch between them is.
pub(super) fn lacks(facts: &Facts, wanted: &Wanted<'_>) -> Vec<Lack> {
    let by_dpdk = wanted.host_ports || driven::on_vhost_user(wanted.vm) == Driver::Dpdk;
    let dpdk = facts.dpdk.as_ref().err().filter(|_| by_dpdk).map(|problem| {
        let instead = if wanted.host_ports { "" } else { ", or take --guest-driver packet" };
        Lack::new("DPDK", format!("{problem}{instead}"))
    });
    let guests = if wanted.guests { facts.guests.lacks() } else { Vec::new() };
    dpdk.into_iter().chain(guests).collect()
}

/// One port of the switch.
#[derive(Debug, Clone)]
pub(super) struct SwitchPort {
    /// As results call it.
    pub(super) name: String,
    /// The vhost-user socket.
    pub(super) socket: PathBuf,
}

/// What a switch is started with.
pub(super) struct Wiring<'a> {
    pub(super) setting: &'a Setting<'a>,
    pub(super) virtio: Virtio,
    /// In the topology's order.
    pub(super) ports: Vec<SwitchPort>,
}

impl Wiring<'_> {
    /// Whether the switch listens on its sockets.
    pub(super) fn listens(&self) -> bool {
        self.virtio.role == RoleChoice::Server
    }

    /// Whether all sockets on which the switch listens are there.
    pub(super) fn sockets_are_there(&self) -> bool {
        !self.listens() || self.ports.iter().all(|port| port.socket.exists())
    }

    /// What the switch's busy thread does without work.
    pub(super) fn idle(&self) -> Idle {
        self.setting.placement.idle
    }
}

/// A switch that runs.
pub(super) trait VhostSwitch: Send {
    /// What is to be known of it, for results.
    fn parameters(&self) -> Vec<(&'static str, String)>;
    /// Threads that are busy while frames move.
    fn busy_threads(&self) -> u32;
    /// Its processes.
    fn programs(&mut self) -> Vec<&mut Running>;
    /// The one of them that moves frames.
    fn mover(&self) -> &Running;
    /// Its counters of a port: `tx_frames` were taken from it, `rx_frames` delivered to it, `drop_…` lost there.
    fn counters(&mut self, port: usize) -> Result<BTreeMap<String, u64>, Fail>;
    /// Whether those have every frame it dropped.
    fn counts_drops(&self) -> bool;
    /// Waits until every port has its other end.
    fn await_ports(&mut self, interrupt: &Interrupt) -> Result<(), Fail>;
    /// Ends it in good order.
    fn shut_down(&mut self) -> Result<(), Fail>;
}

/// Starts a switch, and returns when guests can be started.
pub(super) type Start<'s> = &'s mut dyn FnMut(&Wiring<'_>) -> Result<Box<dyn VhostSwitch>, Fail>;

/// Brings the topology up on a switch that `start` starts and results call `name`.
pub(super) fn bring_up(
    setting: &Setting<'_>,
    name: &str,
    role: RoleChoice,
    start: Start<'_>,
) -> Result<Lab, Fail> {
    let virtio = Virtio::of(setting, role)?;
    let ports = ports(setting.topology, name);
    let socket = |number: usize| setting.run_dir.join(format!("{}-{number}.sock", file_name(name)));
    let switch_port =
        |(number, port): (usize, &LabPort)| SwitchPort { name: port.name.clone(), socket: socket(number) };
    let wiring = Wiring { setting, virtio, ports: ports.iter().enumerate().map(switch_port).collect() };
    let mut running = start(&wiring)?;
    let plans = guest_plans(setting.topology, &ports, |number, port| {
        let net = virtio.net(wiring.ports[number].socket.clone(), port.mac);
        match virtio.driver {
            Driver::Dpdk => Plug::Dpdk(net),
            _ => Plug::Interface(net),
        }
    });
    let modules = match virtio.driver {
        Driver::Dpdk => Vec::new(),
        _ => driven::kernels_modules(),
    };
    let machines = setting.boot(&plans, &modules)?;
    let guests = !machines.is_empty();
    let (mut on_host, mut driven) = (None, Driven::default());
    let open = |number: usize, port: &LabPort| {
        let opened = virtio.host_end(&wiring.ports[number].socket, port, setting.interrupt)?;
        on_host = Some(opened.facts().clone());
        Ok(opened)
    };
    let open_in = |machine: &mut Machine, _, port: &LabPort| {
        driven = Driven::by(virtio.driver, machine.open_interface(port, virtio.driver)?);
        Ok(())
    };
    let mut assembly = assemble(setting, name, ports, machines, open, open_in)?;
    running.await_ports(setting.interrupt)?;
    let switch = setting.placement.switch;
    let pin = |cpu| result::Pin { thread: format!("switch {name}"), cpus: vec![cpu as u32] };
    assembly.pinning.splice(0..0, switch.map(pin));
    let idle = setting.placement.idle;
    let switch = External {
        name: name.to_owned(),
        accelerator: setting.accelerator(),
        guests,
        virtio,
        idle,
        running,
        on_host,
        driven,
        problem: None,
    };
    Ok(assembly.into_lab(setting.topology, Box::new(switch), MAX_FRAME, idle))
}

/// A dataplane's name as part of a file's.
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// The switch as a trial sees it.
struct External {
    name: String,
    accelerator: Accelerator,
    guests: bool,
    virtio: Virtio,
    idle: Idle,
    running: Box<dyn VhostSwitch>,
    /// What the host's DPDK ports turned out to be; the last of them, since all are alike.
    on_host: Option<DpdkFacts>,
    driven: Driven,
    /// What went wrong where nothing could be returned.
    problem: Option<String>,
}

impl Switch for External {
    fn describe(&self) -> result::Dataplane {
        let own = [("idle", self.idle.label().to_owned())];
        let all = self.virtio.parameters().into_iter().chain(own);
        let all = all.chain(self.running.parameters());
        let on_host = self.on_host.iter().map(|facts| ("host_port", facts.to_string()));
        let all = all.chain(on_host).chain(self.driven.parameters());
        result::Dataplane {
            name: self.name.clone(),
            accelerator: self.accelerator,
            guest_driver: self.guests.then(|| self.driven.label("virtio_net without MSI-X")),
            parameters: all.map(|(name, value)| (name.to_owned(), value)).collect(),
        }
    }

    fn busy_threads(&self) -> u32 {
        self.running.busy_threads()
    }

    fn counters(&mut self, port: usize) -> BTreeMap<String, u64> {
        match self.running.counters(port) {
            Ok(counters) => counters,
            Err(fail) => {
                self.problem.get_or_insert_with(|| fail.to_string());
                BTreeMap::new()
            }
        }
    }

    fn counts_drops(&self) -> bool {
        self.running.counts_drops()
    }

    fn moved(&mut self, port: usize) -> Option<Moved> {
        let counters = self.counters(port);
        Some(Moved { taken: *counters.get("tx_frames")?, delivered: *counters.get("rx_frames")? })
    }

    fn faults(&mut self) -> Vec<String> {
        self.problem.take().into_iter().collect()
    }

    fn threads(&self) -> Vec<cost::Thread> {
        let mover = self.running.mover();
        vec![cost::Thread::of_process(mover.name(), ThreadKind::Switch, mover.pid())]
    }

    fn cpu_ns(&self) -> Option<u64> {
        self.running.mover().cpu_ns()
    }

    fn healthy(&mut self) -> Result<(), Fail> {
        self.running.programs().into_iter().try_for_each(Running::healthy)
    }

    fn rest(&mut self) -> Result<(), Fail> {
        self.running.programs().into_iter().try_for_each(|program| program.signal(Signal::STOP))
    }

    fn wake(&mut self) -> Result<(), Fail> {
        self.running.programs().into_iter().try_for_each(|program| program.signal(Signal::CONT))
    }

    fn shut_down(&mut self) -> Result<(), Fail> {
        self.wake()?;
        self.running.shut_down()
    }
}
