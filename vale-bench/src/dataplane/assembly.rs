//! Stations, ports and pinning of a lab, made alike for every dataplane.

use super::{Idle, Lab, LabPort, Setting, Switch, mac};
use crate::exit::Fail;
use crate::guests::{GuestPlan, Plug};
use crate::result;
use crate::scenario::{Place, Topology};
use crate::station::{GuestStation, HostStation, Machine, Station};
use pktgen::port::Port;

/// What a lab has apart from its switch.
pub(super) struct Assembly {
    pub(super) stations: Vec<Box<dyn Station>>,
    pub(super) ports: Vec<LabPort>,
    pub(super) vms: Vec<result::Vm>,
    pub(super) pinning: Vec<result::Pin>,
}

impl Assembly {
    /// The lab, with its switch.
    pub(super) fn into_lab(
        self,
        topology: &Topology,
        switch: Box<dyn Switch>,
        max_frame: u16,
        idle: Idle,
    ) -> Lab {
        let Assembly { stations, ports, vms, pinning } = self;
        let (topology, idle) = (topology.clone(), idle.of_engines());
        Lab { topology, stations, ports, switch, max_frame, vms, pinning, idle }
    }
}

/// The topology's ports, each as its name says: the switch's name, a colon, and the station, with a number where that
/// has several.
pub(super) fn ports(topology: &Topology, switch: &str) -> Vec<LabPort> {
    ports_on(topology, |_| switch.to_owned())
}

/// The same, where each segment has a switch with a name of its own.
pub(super) fn ports_on(topology: &Topology, switch: impl Fn(usize) -> String) -> Vec<LabPort> {
    let mut ports = Vec::new();
    for (station, plan) in topology.stations.iter().enumerate() {
        for local in 0..plan.ports {
            let number = if plan.ports == 1 { String::new() } else { format!(".{local}") };
            let switch = switch(topology.segments[ports.len()]);
            let name = format!("{switch}:{}{number}", plan.name);
            ports.push(LabPort { name, mac: mac(ports.len()), station, local });
        }
    }
    ports
}

/// The topology's guests, each of its ports plugged as `plug` says.
pub(super) fn guest_plans(
    topology: &Topology,
    ports: &[LabPort],
    mut plug: impl FnMut(usize, &LabPort) -> Plug,
) -> Vec<GuestPlan> {
    let guests = topology.stations.iter().enumerate().filter(|(_, plan)| plan.place == Place::Guest);
    let plans = guests.map(|(station, plan)| {
        let its = ports.iter().enumerate().filter(|(_, port)| port.station == station);
        GuestPlan { name: plan.name.clone(), ports: its.map(|(number, port)| plug(number, port)).collect() }
    });
    plans.collect()
}

/// Makes a station of every host and guest: `open` opens a port of the host, `open_in` one in its machine. Both get
/// the port's number in the topology.
pub(super) fn assemble<P: Port + 'static>(
    setting: &Setting<'_>,
    dataplane: &str,
    ports: Vec<LabPort>,
    machines: Vec<Machine>,
    mut open: impl FnMut(usize, &LabPort) -> Result<P, Fail>,
    mut open_in: impl FnMut(&mut Machine, usize, &LabPort) -> Result<(), Fail>,
) -> Result<Assembly, Fail> {
    let mut machines = machines.into_iter();
    let (mut stations, mut vms, mut pinning) = (Vec::<Box<dyn Station>>::new(), Vec::new(), Vec::new());
    for (index, plan) in setting.topology.stations.iter().enumerate() {
        let cpu = setting.placement.stations.get(index).copied();
        pinning.extend(cpu.map(|cpu| result::Pin { thread: plan.name.clone(), cpus: vec![cpu as u32] }));
        let mut its_ports = ports.iter().enumerate().filter(|(_, port)| port.station == index);
        match plan.place {
            Place::Host => {
                let opened = its_ports.map(|(number, port)| open(number, port)).collect::<Result<_, _>>()?;
                stations.push(Box::new(HostStation::new(&plan.name, cpu, opened)));
            }
            Place::Guest => {
                let machine = machines.next();
                let none = || Fail::failed(anyhow::anyhow!("no machine was started for {}", plan.name));
                let mut machine = machine.ok_or_else(none)?;
                its_ports.try_for_each(|(number, port)| open_in(&mut machine, number, port))?;
                vms.push(machine.describe(dataplane));
                stations.push(Box::new(GuestStation::new(machine)));
            }
        }
    }
    Ok(Assembly { stations, ports, vms, pinning })
}
