//! The embedded VALE: a switch thread of this process, host ports in memfds, guest ports in the guests' RAM. Where a
//! topology has several segments, the one thread serves a switch for each.

use super::assembly::ports_on;
use super::{Dataplane, Idle, Lab, LabPort, Lack, Moved, Setting, Switch, Wanted};
use crate::cost;
use crate::doctor::Facts;
use crate::exit::Fail;
use crate::guests::{GuestPlan, Plug};
use crate::result::{self, Accelerator, ThreadKind};
use crate::scenario::Place;
use crate::station::{GuestStation, HostStation, Machine, Station};
use netmap_rs::csb::CsbPort;
use netmap_rs::doorbell::Doorbell;
use netmap_rs::layout::{PortLayout, PortShape};
use pktgen::ports::csb::CsbIo;
use std::collections::BTreeMap;
use std::sync::Arc;
use uvale::{Place as PortPlace, PortId, Segment, SwitchConfig};

/// Name of the thread that is the switch in every lab.
const SWITCH: &str = "vale0";

/// Bytes of every buffer of a port, netmap's default.
pub const BUF_SIZE: u32 = 2048;

/// The dataplane.
#[derive(Debug, Clone, Copy)]
pub struct Uvale;

impl Dataplane for Uvale {
    fn name(&self) -> &str {
        "uvale"
    }

    fn what(&self) -> &str {
        "VALE's forwarding in this process, ports in memory shared with the guest"
    }

    fn options(&self) -> Vec<&'static str> {
        vec!["--slots"]
    }

    fn lacks(&self, facts: &Facts, wanted: &Wanted<'_>) -> Vec<Lack> {
        if wanted.guests { facts.guests.lacks() } else { Vec::new() }
    }

    fn bring_up(&self, setting: &Setting<'_>) -> Result<Lab, Fail> {
        let placement = setting.placement;
        let options = Options {
            slots: placement.slots(setting.bench),
            buf_size: BUF_SIZE,
            switch_cpu: placement.switch,
            station_cpus: placement.stations.clone(),
            idle: placement.idle,
        };
        bring_up(setting, &options)
    }
}

/// How to bring it up.
#[derive(Debug, Clone)]
struct Options {
    /// Slots of every ring.
    slots: u32,
    /// Bytes of every buffer.
    buf_size: u32,
    /// Processor of the switch.
    switch_cpu: Option<usize>,
    /// Processors of the stations, in order; none beyond the end.
    station_cpus: Vec<usize>,
    /// What to do without work.
    idle: Idle,
}

impl Options {
    fn shape(&self) -> PortShape {
        PortShape {
            tx_slots: self.slots,
            rx_slots: self.slots,
            buf_size: self.buf_size,
            ..PortShape::default()
        }
    }
}

struct Embedded {
    switch: Arc<uvale::Switch>,
    ports: Vec<PortId>,
    segments: usize,
    accelerator: Accelerator,
    guests: bool,
    options: Options,
}

fn bring_up(setting: &Setting<'_>, options: &Options) -> Result<Lab, Fail> {
    let topology = setting.topology;
    let guests = topology.stations.iter().filter(|station| station.place == Place::Guest);
    let plans =
        guests.map(|plan| GuestPlan { name: plan.name.clone(), ports: vec![Plug::Doorbell; plan.ports] });
    let machines = setting.boot(&plans.collect::<Vec<_>>(), &[])?;
    let config =
        SwitchConfig { name: SWITCH.into(), cpu: options.switch_cpu, idle: options.idle.of_switch() };
    let switch = Arc::new(uvale::Switch::start(config).map_err(Fail::failed)?);
    let mut machines = machines.into_iter();
    let ports = ports_on(topology, |segment| format!("vale{segment}"));
    let (mut stations, mut ids, mut vms, mut pinning) =
        (Vec::<Box<dyn Station>>::new(), Vec::new(), Vec::new(), Vec::new());
    if let Some(cpu) = options.switch_cpu {
        pinning.push(result::Pin { thread: format!("switch {SWITCH}"), cpus: vec![cpu as u32] });
    }
    for (index, plan) in topology.stations.iter().enumerate() {
        let cpu = options.station_cpus.get(index).copied();
        if let Some(cpu) = cpu {
            pinning.push(result::Pin { thread: plan.name.clone(), cpus: vec![cpu as u32] });
        }
        let its_ports = ports.iter().zip(&topology.segments).filter(|(port, _)| port.station == index);
        match plan.place {
            Place::Host => {
                let mut opened = Vec::new();
                for (port, &segment) in its_ports {
                    let made = switch.add_host_port(&port.name, &options.shape(), place(segment)?);
                    let made = made.map_err(Fail::failed)?;
                    ids.push(made.id);
                    let csb: CsbPort = made.open().map_err(Fail::failed)?;
                    opened.push(CsbIo::new(csb, &port.name, "uvale", Some(port.mac)));
                }
                stations.push(Box::new(HostStation::new(&plan.name, cpu, opened)));
            }
            Place::Guest => {
                let Some(mut machine) = machines.next() else {
                    return Err(Fail::failed(anyhow::anyhow!("no machine was started for {}", plan.name)));
                };
                for (port, &segment) in its_ports {
                    let id = add_guest_port(&switch, &mut machine, port, &options.shape(), place(segment)?)?;
                    ids.push(id);
                }
                vms.push(machine.describe("uvale"));
                stations.push(Box::new(GuestStation::new(machine)));
            }
        }
    }
    let max_frame = u16::try_from(options.buf_size + u32::from(result::FCS_BYTES)).unwrap_or(u16::MAX);
    let guests = !vms.is_empty();
    let idle = options.idle.of_engines();
    let switch = Embedded {
        switch,
        ports: ids,
        segments: topology.segment_count(),
        accelerator: setting.accelerator(),
        guests,
        options: options.clone(),
    };
    let (topology, switch) = (topology.clone(), Box::new(switch));
    Ok(Lab { topology, stations, ports, switch, max_frame, vms, pinning, idle })
}

/// Anywhere in a segment.
fn place(segment: usize) -> Result<PortPlace, Fail> {
    let segment = Segment::try_from(segment);
    let segment = segment.map_err(|_| Fail::usage("uvale has at most 256 segments"))?;
    Ok(PortPlace { segment, index: None })
}

/// Has the guest allocate memory, lays the port out in it, and has the guest open it.
fn add_guest_port(
    switch: &uvale::Switch,
    machine: &mut Machine,
    port: &LabPort,
    shape: &PortShape,
    place: PortPlace,
) -> Result<PortId, Fail> {
    let len = PortLayout::new(shape).map_err(Fail::failed)?.len() as u64;
    let memory = machine.allocate_port(port.local, len)?;
    let doorbell = Doorbell::from_stream(machine.take_doorbell(port.local)?).map_err(Fail::failed)?;
    let added = switch.add_guest_port(&port.name, shape, &memory, doorbell, place);
    let (id, location) = added.map_err(Fail::failed)?;
    machine.open_port(port, location, shape)?;
    Ok(id)
}

impl Switch for Embedded {
    fn describe(&self) -> result::Dataplane {
        let idle = self.options.idle;
        let segments = (self.segments > 1).then(|| ("segments", self.segments.to_string()));
        let parameters = [
            ("slots", self.options.slots.to_string()),
            ("buffer_bytes", self.options.buf_size.to_string()),
            ("idle", idle.label().to_owned()),
        ];
        let parameters = parameters.into_iter().chain(segments);
        result::Dataplane {
            name: "uvale".into(),
            accelerator: self.accelerator,
            guest_driver: self.guests.then(|| "netmap ring in guest RAM, CSB".into()),
            parameters: parameters.map(|(name, value)| (name.to_owned(), value)).collect(),
        }
    }

    fn busy_threads(&self) -> u32 {
        1
    }

    fn counters(&mut self, port: usize) -> BTreeMap<String, u64> {
        let snapshot = self.ports.get(port).and_then(|&id| self.switch.counters(id)).unwrap_or_default();
        snapshot.named().map(|(name, n)| (name.to_owned(), n)).collect()
    }

    fn moved(&mut self, port: usize) -> Option<Moved> {
        let snapshot = self.switch.counters(*self.ports.get(port)?)?;
        Some(Moved { taken: snapshot.tx_frames, delivered: snapshot.rx_frames })
    }

    fn faults(&mut self) -> Vec<String> {
        let faults = self.switch.take_faults();
        faults.into_iter().map(|fault| format!("port {} of the switch: {}", fault.port, fault.what)).collect()
    }

    fn threads(&self) -> Vec<cost::Thread> {
        vec![cost::Thread::own(
            &format!("switch {SWITCH}"),
            ThreadKind::Switch,
            self.switch.thread_id().cast_unsigned(),
        )]
    }

    fn cpu_ns(&self) -> Option<u64> {
        let path = format!("/proc/self/task/{}/schedstat", self.switch.thread_id());
        std::fs::read_to_string(path).ok()?.split(' ').next()?.parse().ok()
    }
}
