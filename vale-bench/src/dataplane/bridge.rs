//! The kernel's Ethernet bridge with virtio-net guests on taps: what one gets without any fast path.
//!
//! Guests' taps are made by their QEMU and go with it. The bridge, one for each segment, and a veth pair for each port
//! of the host are made here under names that no other run has, stand in the run's journal, and are removed at its
//! end. The bridge runs in whoever sends, and in QEMU's (or vhost-net's) threads.

use super::assembly::{assemble, guest_plans, ports};
use super::driven::{self, Driven};
use super::{Dataplane, Idle, Lab, LabPort, Lack, Setting, Switch, Wanted};
use crate::doctor::Facts;
use crate::exit::{Exit, Fail, FailContext};
use crate::guests::Plug;
use crate::links;
use crate::result::{self, Accelerator};
use crate::scenario::Place;
use crate::station::Machine;
use pktgen::ports::packet::{Options, PacketPort};
use qemu_ptnet::{MacAddr, Net, Netdev, NicModel, VirtioNet};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Largest frame with FCS on an interface whose MTU is 1500.
const MAX_FRAME: u16 = 1518;

/// The dataplane.
#[derive(Debug, Clone, Copy)]
pub struct Bridge;

impl Dataplane for Bridge {
    fn name(&self) -> &str {
        "bridge"
    }

    fn what(&self) -> &str {
        "the kernel's bridge, guests with virtio-net on taps"
    }

    fn options(&self) -> Vec<&'static str> {
        vec!["--guest-driver"]
    }

    fn lacks(&self, facts: &Facts, wanted: &Wanted<'_>) -> Vec<Lack> {
        let mut lacks = Vec::new();
        if !(facts.root && facts.net_admin) {
            lacks.push(Lack::new("root with CAP_NET_ADMIN", "run it as root: it makes interfaces"));
        }
        if wanted.guests {
            if !facts.dev_tun {
                lacks.push(Lack::new("/dev/net/tun", "run: modprobe tun"));
            }
            lacks.extend(facts.guests.lacks());
        }
        lacks
    }

    fn bring_up(&self, setting: &Setting<'_>) -> Result<Lab, Fail> {
        let name = self.name();
        let driver = driven::by_kernel(setting.vm);
        let ports = ports(setting.topology, name);
        let bridges: Vec<String> = (0..setting.topology.segment_count())
            .map(|segment| make_bridge(setting, segment))
            .collect::<Result<_, _>>()?;
        let bridge_of = |port: usize| &bridges[setting.topology.segments[port]];
        // vhost-net moves the frames where the kernel has it, as anybody would have it who wants speed.
        let vhost = Path::new("/dev/vhost-net").exists();
        let mut on_bridge = Vec::new();
        for (number, port) in ports.iter().enumerate() {
            let guest = setting.topology.stations[port.station].place == Place::Guest;
            on_bridge.push(setting.run_dir.interface(if guest { 't' } else { 'p' }, number)?);
        }
        let plans = guest_plans(setting.topology, &ports, |number, port| {
            let netdev = Netdev::Tap { ifname: on_bridge[number].clone(), vhost };
            let model = NicModel::Virtio(VirtioNet::default());
            Plug::Interface(Net { mac: MacAddr(port.mac), netdev, model })
        });
        let machines = setting.boot(&plans, &driven::kernels_modules())?;
        let guests = plans.iter().map(|plan| plan.ports.len() as u32).sum();
        let open = |number: usize, port: &LabPort| {
            open(setting, bridge_of(number), &on_bridge[number], number, port)
        };
        let mut driven = Driven::default();
        let open_in = |machine: &mut Machine, number: usize, port: &LabPort| {
            attach(&on_bridge[number], bridge_of(number))?;
            driven = Driven::by(driver, machine.open_interface(port, driver)?);
            Ok(())
        };
        let assembly = assemble(setting, name, ports, machines, open, open_in)?;
        let idle = setting.placement.idle;
        let accelerator = setting.accelerator();
        let switch = Kernel { accelerator, guests, driven, vhost, idle, on_bridge };
        Ok(assembly.into_lab(setting.topology, Box::new(switch), MAX_FRAME, idle))
    }
}

/// What the kernel refuses, with an exit code that says so.
fn refused<T>(done: std::io::Result<T>, what: impl FnOnce() -> String) -> Result<T, Fail> {
    done.context_with(what).or_exit(Exit::Host)
}

/// The bridge of a segment: it forwards at once, and says nothing of its own.
fn make_bridge(setting: &Setting<'_>, segment: usize) -> Result<String, Fail> {
    let bridge = setting.run_dir.interface('b', segment)?;
    refused(links::add_bridge(&bridge), || "cannot make a bridge".into())?;
    for (file, value) in [("stp_state", "0"), ("forward_delay", "0"), ("multicast_snooping", "0")] {
        let path = format!("/sys/class/net/{bridge}/bridge/{file}");
        // A kernel without one of them does not do what it would turn off.
        let _ = fs::write(path, value);
    }
    bring_up_mute(&bridge)?;
    Ok(bridge)
}

/// Brings an interface up on which the host's own stack says nothing.
fn bring_up_mute(name: &str) -> Result<(), Fail> {
    // Without IPv6 in the kernel there is nothing to turn off.
    let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
    refused(links::bring_up(name), || format!("cannot bring {name} up"))
}

/// Makes an interface a port of the bridge.
fn attach(name: &str, bridge: &str) -> Result<(), Fail> {
    refused(links::join(name, bridge), || format!("cannot make {name} a port of {bridge}"))?;
    bring_up_mute(name)
}

/// A port of the host: one end of a cable whose other end is on the bridge.
fn open(
    setting: &Setting<'_>,
    bridge: &str,
    on_bridge: &str,
    number: usize,
    port: &LabPort,
) -> Result<PacketPort, Fail> {
    let ours = setting.run_dir.interface('h', number)?;
    refused(links::add_veth(&ours, on_bridge), || "cannot make a pair of interfaces (veth)".into())?;
    refused(links::set_address(&ours, port.mac), || format!("cannot set the address of {ours}"))?;
    attach(on_bridge, bridge)?;
    bring_up_mute(&ours)?;
    PacketPort::open(&ours, Options::default()).map_err(Fail::failed)
}

struct Kernel {
    accelerator: Accelerator,
    /// Ports of guests.
    guests: u32,
    driven: Driven,
    vhost: bool,
    idle: Idle,
    /// The interface on the bridge for each port.
    on_bridge: Vec<String>,
}

impl Switch for Kernel {
    fn describe(&self) -> result::Dataplane {
        let mut parameters = BTreeMap::from([("idle".to_owned(), self.idle.label().to_owned())]);
        if self.guests > 0 {
            parameters.insert("vhost_net".into(), if self.vhost { "on" } else { "off" }.into());
            parameters.extend(self.driven.parameters().into_iter().map(|(name, value)| (name.into(), value)));
        }
        let filtered = fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables");
        if let Ok(filtered) = filtered {
            parameters.insert("bridge_nf_call_iptables".into(), filtered.trim().to_owned());
        }
        result::Dataplane {
            name: "bridge".into(),
            accelerator: self.accelerator,
            guest_driver: (self.guests > 0).then(|| self.driven.label("virtio_net")),
            parameters,
        }
    }

    /// A thread of QEMU's, or of vhost-net's, moves the frames of each guest's port; between ports of the host, senders do.
    fn busy_threads(&self) -> u32 {
        self.guests
    }

    fn counters(&mut self, port: usize) -> BTreeMap<String, u64> {
        let Some(name) = self.on_bridge.get(port) else { return BTreeMap::new() };
        let named =
            [("tx_frames", "rx_packets"), ("rx_frames", "tx_packets"), ("drop_rx_full", "tx_dropped")];
        let read = |theirs: &str| {
            let path = format!("/sys/class/net/{name}/statistics/{theirs}");
            fs::read_to_string(path).ok()?.trim().parse().ok()
        };
        named.into_iter().filter_map(|(ours, theirs)| Some((ours.to_owned(), read(theirs)?))).collect()
    }

    /// Frames are also dropped in queues that belong to no port of the bridge.
    fn counts_drops(&self) -> bool {
        false
    }
}
