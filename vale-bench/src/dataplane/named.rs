//! Ports that there are, by their names: interfaces of netmap's, of the kernel's or of DPDK's, or ports of a switch that
//! somebody runs. What joins them, a cable or a switch, is under test, and nothing of it is known here.
//!
//! Nothing is made or attached: a network interface gets onto a VALE switch by `vale-bench vale attach`.

use super::assembly::assemble;
use super::{Dataplane, Lab, LabPort, Lack, Setting, Switch, Wanted};
use crate::commands::traffic::{Wish, open};
use crate::doctor::Facts;
use crate::exit::Fail;
use crate::result::{self, Accelerator};
use pktgen::port::Port;

/// The name to ask for it by.
pub const NAME: &str = "ports";

/// The dataplane.
#[derive(Debug, Clone, Copy)]
pub struct Named;

impl Dataplane for Named {
    fn name(&self) -> &str {
        NAME
    }

    fn what(&self) -> &str {
        "ports of this host by their names, and whatever joins them"
    }

    fn options(&self) -> Vec<&'static str> {
        vec!["--port"]
    }

    /// What a port lacks is told when it is opened.
    fn lacks(&self, _facts: &Facts, _wanted: &Wanted<'_>) -> Vec<Lack> {
        Vec::new()
    }

    fn bring_up(&self, setting: &Setting<'_>) -> Result<Lab, Fail> {
        let (topology, names) = (setting.topology, &setting.bench.port);
        if topology.vms() > 0 {
            let sentence =
                format!("ports named by --port are the host's, and {} has guests", topology.scenario);
            return Err(Fail::usage(sentence));
        }
        if names.len() != topology.ports() {
            return Err(Fail::usage(format!(
                "{} takes {} ports, each with --port NAME; there are {}",
                topology.scenario,
                topology.ports(),
                names.len()
            )));
        }
        let wish = Wish { threads: 1, ..Wish::default() };
        let (mut ports, mut opened, mut max_frame) = (Vec::new(), Vec::new(), u16::MAX);
        for (name, (station, local)) in names.iter().zip(topology.port_places()) {
            let (io, mac) = open(name, wish)?;
            max_frame = io.iter().map(|io| io.info().max_frame).fold(max_frame, u16::min);
            opened.extend(io);
            ports.push(LabPort { name: name.clone(), mac, station, local });
        }
        let mut opened = opened.into_iter();
        let mut next = |_, port: &LabPort| {
            let none = || Fail::failed(anyhow::anyhow!("{} opened as nothing", port.name));
            opened.next().ok_or_else(none)
        };
        let assembly = assemble(setting, NAME, ports, Vec::new(), &mut next, |_, _, _| Ok(()))?;
        let idle = setting.placement.idle;
        let switch = Unknown { names: names.clone(), idle: idle.label() };
        let max_frame = max_frame.saturating_add(result::FCS_BYTES);
        Ok(assembly.into_lab(topology, Box::new(switch), max_frame, idle))
    }
}

/// Whatever joins the ports.
struct Unknown {
    names: Vec<String>,
    idle: &'static str,
}

impl Switch for Unknown {
    fn describe(&self) -> result::Dataplane {
        let parameters = [("ports", self.names.join(" ")), ("idle", self.idle.to_owned())];
        result::Dataplane {
            name: NAME.into(),
            accelerator: Accelerator::None,
            guest_driver: None,
            parameters: parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        }
    }

    fn busy_threads(&self) -> u32 {
        0
    }

    fn counts_drops(&self) -> bool {
        false
    }
}
