//! The kernel's VALE: `vale` hands its ports to guests by ptnet passthrough, `vale-virtio` puts virtio-net before
//! them; ports of the host are netmap's own.
//!
//! Everything is ephemeral: a switch is there while ports are, a port while a process has it open. So a run leaves
//! nothing behind, however it ends. The switch runs in whoever sends, or in the threads that serve a ptnet port
//! (kloop), and counts nothing by port: what it drops is the difference between what was sent and received.

use super::assembly::ports_on;
use super::driven::{self, Driven};
use super::{Dataplane, Idle, Lab, LabPort, Lack, Setting, Switch, Wanted, mac};
use crate::cli::LinkChoice;
use crate::doctor::Facts;
use crate::exit::{Exit, Fail};
use crate::guests::{GuestPlan, Plug};
use crate::result::{self, Accelerator};
use crate::scenario::{Forwarder, Place, Topology};
use crate::station::{GuestStation, HostStation, Machine, Station};
use guest::wire::Driver;
use netmap_rs::kernel::{Control, KernelError, KernelPort, Register, module_parameters};
use netmap_rs::portspec::PortSpec;
use netmap_rs::sys::limits::NM_BRIDGES;
use pktgen::port::Port;
use pktgen::ports::kernel::{Form, KernelIo};
use qemu_ptnet::{MacAddr, Module, Net, Netdev, NicModel, VirtioNet};
use std::collections::{BTreeMap, BTreeSet};

/// The module parameter on which both ends of a ptnet port must agree, or the rate halves.
const VNET_HDR: &str = "ptnet_vnet_hdr";

/// What is between a guest and its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guests {
    /// `ptnet-pci`: the guest's netmap reads and writes the port's own rings.
    Ptnet,
    /// virtio-net over QEMU's netmap back end.
    Virtio,
}

/// The dataplane, with either kind of guest's port.
#[derive(Debug, Clone, Copy)]
pub struct Vale {
    guests: Guests,
}

impl Vale {
    /// `vale`.
    pub const PTNET: Vale = Vale { guests: Guests::Ptnet };
    /// `vale-virtio`.
    pub const VIRTIO: Vale = Vale { guests: Guests::Virtio };
}

impl Dataplane for Vale {
    fn name(&self) -> &str {
        self.guests.dataplane()
    }

    fn what(&self) -> &str {
        match self.guests {
            Guests::Ptnet => "the kernel's VALE, ports handed to guests by ptnet",
            Guests::Virtio => "the kernel's VALE, guests with virtio-net before it",
        }
    }

    fn options(&self) -> Vec<&'static str> {
        match self.guests {
            Guests::Ptnet => {
                vec!["--link pipe", "--forwarder vale", "--klooptx", "--klooprx", "--guest-module"]
            }
            Guests::Virtio => vec!["--link pipe", "--guest-driver"],
        }
    }

    fn lacks(&self, facts: &Facts, wanted: &Wanted<'_>) -> Vec<Lack> {
        let mut lacks = Vec::new();
        if !facts.dev_netmap {
            lacks.push(Lack::new("the netmap module", "load the netmap module, which makes /dev/netmap"));
        }
        if wanted.guests {
            lacks.extend(match self.guests {
                Guests::Ptnet => facts.guests.ptnet_lacks(),
                Guests::Virtio => facts.guests.netmap_lacks(),
            });
        }
        lacks
    }

    fn bring_up(&self, setting: &Setting<'_>) -> Result<Lab, Fail> {
        let vm = setting.vm;
        let options = Options {
            guests: self.guests,
            driver: match self.guests {
                Guests::Ptnet => Driver::Netmap,
                Guests::Virtio => driven::by_kernel(vm),
            },
            link: vm.map_or(LinkChoice::Vale, |vm| vm.link),
            klooptx: vm.and_then(|vm| vm.klooptx).map(bool::from),
            klooprx: vm.and_then(|vm| vm.klooprx).map(bool::from),
            guest_module: vm.and_then(|vm| vm.guests.module()).as_deref().map(Module::from_words),
            station_cpus: setting.placement.stations.clone(),
            idle: setting.placement.idle,
        };
        bring_up(setting, &options)
    }
}

/// How to bring it up.
#[derive(Debug, Clone)]
struct Options {
    /// What guests get.
    guests: Guests,
    /// How they drive it.
    driver: Driver,
    /// What connects them: a switch, or a netmap pipe for each hop, without copies, for guests that trust each other.
    link: LinkChoice,
    /// Whether a host thread polls the guests' transmit rings; `None` is QEMU's default.
    klooptx: Option<bool>,
    /// Whether a host thread polls the guests' receive rings; `None` is QEMU's default.
    klooprx: Option<bool>,
    /// The guests' netmap module.
    guest_module: Option<Module>,
    /// Processors of the stations, in order; none beyond the end.
    station_cpus: Vec<usize>,
    /// What engines do without work.
    idle: Idle,
}

struct Kernel {
    options: Options,
    accelerator: Accelerator,
    guests: u32,
    guest_ports: u32,
    /// Of chains, what passes frames on in guests.
    forwarder: Option<Forwarder>,
    driven: Driven,
    slots: u32,
    parameters: BTreeMap<String, String>,
}

fn bring_up(setting: &Setting<'_>, options: &Options) -> Result<Lab, Fail> {
    let control = Control::open().map_err(host)?;
    let parameters: BTreeMap<String, String> = module_parameters().map_err(Fail::failed)?.into();
    let topology = setting.topology;
    if topology.vms() > 0 && options.guests == Guests::Ptnet && options.guest_module.is_none() {
        return Err(Fail::host(
            "ptnet guests need netmap's module, built for their kernel: name it with --guest-module",
        ));
    }
    let names = names(&control, topology, options.link, most_switches(&parameters))?;
    let plans = plans(topology, &names, options);
    let modules = guest_modules(options)?;
    let machines = match plans.is_empty() {
        true => Vec::new(),
        false => setting.boot(&plans, &modules)?,
    };
    let mut machines = machines.into_iter();
    let (mut stations, mut ports, mut vms, mut pinning) =
        (Vec::<Box<dyn Station>>::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut max_frame, mut slots, mut driven) = (u16::MAX, 0, Driven::default());
    for (index, plan) in topology.stations.iter().enumerate() {
        let cpu = options.station_cpus.get(index).copied();
        pinning.extend(cpu.map(|cpu| result::Pin { thread: plan.name.clone(), cpus: vec![cpu as u32] }));
        let first = ports.len();
        for local in 0..plan.ports {
            let global = first + local;
            ports.push(LabPort { name: names[global].clone(), mac: mac(global), station: index, local });
        }
        let its_ports = &ports[first..];
        match plan.place {
            Place::Host => {
                let opened = its_ports.iter().map(open).collect::<Result<Vec<_>, _>>()?;
                for io in &opened {
                    max_frame = max_frame.min(io.info().max_frame);
                    slots = io.info().tx_slots;
                }
                stations.push(Box::new(HostStation::new(&plan.name, cpu, opened)));
            }
            Place::Guest => {
                let machine = machines.next();
                let mut machine =
                    machine.ok_or_else(|| Fail::failed(anyhow::anyhow!("no machine was started")))?;
                for port in its_ports {
                    driven = open_in_guest(&mut machine, port, options)?;
                }
                vms.push(machine.describe(options.guests.dataplane()));
                stations.push(Box::new(GuestStation::new(machine)));
            }
        }
    }
    // Guests' ports have the same buffers as the host's: VALE copies between slots, whatever region they are in.
    let buf_size = parameters.get("buf_size").and_then(|size| size.parse().ok()).unwrap_or(2048u16);
    let max_frame = max_frame.min(buf_size).saturating_add(result::FCS_BYTES);
    let idle = options.idle.of_engines();
    let switch = Kernel {
        options: options.clone(),
        accelerator: setting.accelerator(),
        guests: topology.vms() as u32,
        guest_ports: guest_ports(topology) as u32,
        forwarder: topology.stations.iter().find_map(|station| station.forwards),
        driven,
        slots,
        parameters,
    };
    let (topology, switch) = (topology.clone(), Box::new(switch));
    Ok(Lab { topology, stations, ports, switch, max_frame, vms, pinning, idle })
}

impl Guests {
    fn dataplane(self) -> &'static str {
        match self {
            Guests::Ptnet => "vale",
            Guests::Virtio => "vale-virtio",
        }
    }
}

fn host(error: KernelError) -> Fail {
    Fail::failed(error).with_exit(Exit::Host)
}

/// Switches that netmap allows (`NM_BRIDGES`, unless its parameter says otherwise).
fn most_switches(parameters: &BTreeMap<String, String>) -> usize {
    parameters.get("max_bridges").and_then(|most| most.parse().ok()).unwrap_or(NM_BRIDGES)
}

/// A name for every port. On switches that nobody uses, one a segment, of `most` that there can be; or pipes, one a
/// hop.
fn names(control: &Control, topology: &Topology, link: LinkChoice, most: usize) -> Result<Vec<String>, Fail> {
    if link == LinkChoice::Vale {
        let mut used = BTreeSet::new();
        for port in control.vale_ports() {
            used.insert(port.map_err(host)?.switch().to_owned());
        }
        let switches = free_switches(&used, topology.segment_count(), most)?;
        let ports = ports_on(topology, |segment| switches[segment].clone());
        return Ok(ports.into_iter().map(|port| port.name).collect());
    }
    let mut names = vec![String::new(); topology.ports()];
    let process = std::process::id();
    for (pipe, (from, to)) in topology.pairs("--link pipe")?.into_iter().enumerate() {
        names[from] = format!("netmap:vb{process}{{{pipe}");
        names[to] = format!("netmap:vb{process}}}{pipe}");
    }
    Ok(names)
}

/// Names of switches that are not in use.
fn free_switches(used: &BTreeSet<String>, wanted: usize, most: usize) -> Result<Vec<String>, Fail> {
    if used.len() + wanted > most {
        return Err(Fail::host(format!(
            "{wanted} VALE switches are needed, one for each hop, and netmap allows {most}, of which {} are in use: \
             raise its parameter max_bridges, or take a shorter chain",
            used.len()
        )));
    }
    let names = (0..).map(|id| format!("valevb{id}")).filter(|name| !used.contains(name));
    Ok(names.take(wanted).collect())
}

fn guest_ports(topology: &Topology) -> usize {
    topology.stations.iter().filter(|plan| plan.place == Place::Guest).map(|plan| plan.ports).sum()
}

fn plans(topology: &Topology, names: &[String], options: &Options) -> Vec<GuestPlan> {
    let mut plans = Vec::new();
    let mut at = 0;
    for station in &topology.stations {
        let numbers = at..at + station.ports;
        at += station.ports;
        if station.place == Place::Guest {
            let ports = numbers.map(|port| Plug::Interface(options.net(&names[port], mac(port))));
            plans.push(GuestPlan { name: station.name.clone(), ports: ports.collect() });
        }
    }
    plans
}

impl Options {
    fn net(&self, ifname: &str, mac: [u8; 6]) -> Net {
        let ptnet = self.guests == Guests::Ptnet;
        let netdev = Netdev::Netmap {
            ifname: ifname.to_owned(),
            passthrough: ptnet,
            klooptx: self.klooptx.filter(|_| ptnet),
            klooprx: self.klooprx.filter(|_| ptnet),
        };
        let model = if ptnet { NicModel::Ptnet } else { NicModel::Virtio(VirtioNet::default()) };
        Net { mac: MacAddr(mac), netdev, model }
    }
}

/// What the guests load: netmap with ports whose frames begin with no virtio-net header, as those of the host's do,
/// whatever its own module is set to, and as the guests' programs expect.
fn guest_modules(options: &Options) -> Result<Vec<Module>, Fail> {
    if options.guests == Guests::Virtio {
        return Ok(driven::kernels_modules());
    }
    let Some(mut module) = options.guest_module.clone() else { return Ok(Vec::new()) };
    let given =
        module.params.split_whitespace().find_map(|word| word.strip_prefix(VNET_HDR)?.strip_prefix('='));
    match given.map(str::to_owned) {
        None => module.params = format!("{} {VNET_HDR}=0", module.params).trim().to_owned(),
        Some(zero) if zero == "0" => {}
        Some(other) => {
            return Err(Fail::usage(format!(
                "--guest-module sets {VNET_HDR}={other}: frames would begin with a virtio-net header, which the \
                 ports at the other end do not have; leave it out, or set it to 0"
            )));
        }
    }
    Ok(vec![module])
}

fn open(port: &LabPort) -> Result<KernelIo, Fail> {
    let spec: PortSpec = port.name.parse().map_err(Fail::failed)?;
    let opened = KernelPort::open(Register::new(spec).no_tx_poll(true)).map_err(host)?;
    KernelIo::new(opened, &port.name, Some(port.mac), Form::default()).map_err(Fail::failed)
}

fn open_in_guest(machine: &mut Machine, port: &LabPort, options: &Options) -> Result<Driven, Fail> {
    let opened = machine.open_interface(port, options.driver)?;
    match opened.netmap.as_ref().and_then(|module| module.parameters.get(VNET_HDR)) {
        Some(theirs) if theirs != "0" => Err(Fail::host(format!(
            "{VNET_HDR} is {theirs} in {}, and was to be 0: its module takes no notice of the parameter",
            machine.name()
        ))),
        _ => Ok(Driven::by(options.driver, opened)),
    }
}

impl Switch for Kernel {
    fn describe(&self) -> result::Dataplane {
        let Options { link, klooptx, klooprx, guests, idle, .. } = &self.options;
        let polled =
            |value: &Option<bool>| value.map_or("default", |on| if on { "on" } else { "off" }).to_owned();
        let mut parameters = BTreeMap::from([
            ("link".to_owned(), if *link == LinkChoice::Vale { "vale" } else { "pipe" }.to_owned()),
            ("idle".to_owned(), idle.label().to_owned()),
        ]);
        if self.slots > 0 {
            parameters.insert("slots".into(), self.slots.to_string());
        }
        if self.guests > 0 && *guests == Guests::Ptnet {
            parameters.insert("klooptx".into(), polled(klooptx));
            parameters.insert("klooprx".into(), polled(klooprx));
        }
        // The guests' where there are some, who drive netmap themselves.
        let ours = || self.parameters.get(VNET_HDR).cloned();
        let vnet_hdr = if *guests == Guests::Ptnet && self.guests > 0 { Some("0".into()) } else { ours() };
        parameters.extend(vnet_hdr.map(|value| (VNET_HDR.to_owned(), value)));
        parameters.extend(self.driven.parameters().into_iter().map(|(name, value)| (name.into(), value)));
        if self.forwarder == Some(Forwarder::Vale) {
            parameters.insert("forwarder".into(), "a VALE switch in each guest".into());
        }
        result::Dataplane {
            name: self.options.guests.dataplane().into(),
            accelerator: self.accelerator,
            guest_driver: (self.guests > 0).then(|| self.driven.label("virtio_net")),
            parameters,
        }
    }

    /// A guest's ptnet port has a thread of the host that moves its frames; else senders do it themselves.
    fn busy_threads(&self) -> u32 {
        if self.options.guests == Guests::Ptnet { self.guest_ports } else { 0 }
    }

    fn counts_drops(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(guests: Guests) -> Options {
        Options {
            guests,
            driver: Driver::Netmap,
            link: LinkChoice::Vale,
            klooptx: Some(false),
            klooprx: None,
            guest_module: Some(Module::from_words("netmap.ko buf_num=8192")),
            station_cpus: Vec::new(),
            idle: Idle::Nap,
        }
    }

    #[test]
    fn guests_have_no_virtio_net_header() {
        let params = |given: &str| {
            let module = Some(Module::file("netmap.ko").with_params(given));
            let options = Options { guest_module: module, ..options(Guests::Ptnet) };
            guest_modules(&options).map(|mut modules| modules.remove(0).params)
        };
        assert_eq!(params("").unwrap(), "ptnet_vnet_hdr=0");
        assert_eq!(params("buf_num=8192").unwrap(), "buf_num=8192 ptnet_vnet_hdr=0");
        assert_eq!(params("ptnet_vnet_hdr=0 buf_num=8192").unwrap(), "ptnet_vnet_hdr=0 buf_num=8192");
        assert_eq!(params("ptnet_vnet_hdr=1").unwrap_err().exit(), Exit::Usage);
    }

    #[test]
    fn a_chain_takes_switches_that_nobody_uses_and_no_more_than_there_can_be() {
        let used = ["valevb0", "vale3"].map(str::to_owned).into();
        assert_eq!(free_switches(&used, 3, 8).unwrap(), ["valevb1", "valevb2", "valevb3"]);
        assert_eq!(free_switches(&used, 6, 8).unwrap().len(), 6);
        let fail = free_switches(&used, 7, 8).unwrap_err();
        assert_eq!(fail.exit(), Exit::Host);
        assert!(fail.to_string().contains("netmap allows 8, of which 2 are in use"), "{fail}");
    }

    #[test]
    fn a_guest_of_a_chain_has_an_interface_on_either_switch() {
        let topology = crate::scenario::loopback(2).unwrap();
        let ports = ports_on(&topology, |segment| format!("valevb{segment}"));
        let names: Vec<String> = ports.into_iter().map(|port| port.name).collect();
        let all = ["0:host.0", "2:host.1", "0:vm1.0", "1:vm1.1", "1:vm2.0", "2:vm2.1"];
        assert_eq!(names, all.map(|name| format!("valevb{name}")));
        let plans = plans(&topology, &names, &options(Guests::Ptnet));
        let ifnames = |plan: &GuestPlan| {
            let name = |plug: &Plug| match plug {
                Plug::Interface(Net { netdev: Netdev::Netmap { ifname, .. }, .. }) => ifname.clone(),
                other => panic!("{other:?}"),
            };
            plan.ports.iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(plans.iter().flat_map(ifnames).collect::<Vec<_>>(), names[2..]);
        assert_eq!(guest_ports(&topology), 4);
    }

    #[test]
    fn a_guest_has_an_interface_on_its_port() {
        let topology = crate::scenario::p2v(1).unwrap();
        let names = ["valevb0:host", "valevb0:vm1"].map(str::to_owned);
        let plans = plans(&topology, &names, &options(Guests::Ptnet));
        assert_eq!(plans.len(), 1);
        let Plug::Interface(net) = &plans[0].ports[0] else { panic!("{plans:?}") };
        let expected = Netdev::Netmap {
            ifname: "valevb0:vm1".into(),
            passthrough: true,
            klooptx: Some(false),
            klooprx: None,
        };
        assert_eq!((&net.netdev, &net.model, net.mac), (&expected, &NicModel::Ptnet, MacAddr(mac(1))));
        let virtio = options(Guests::Virtio).net("valevb0:vm1", mac(1));
        assert!(matches!(virtio.netdev, Netdev::Netmap { passthrough: false, klooptx: None, .. }));
    }
}
