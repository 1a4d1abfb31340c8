//! Managing VALE switches: attaching and detaching ports, listing them, persistent ports, polling.

use super::control::{Control, name_of};
use super::error::{KernelError, Operation};
use super::request::{Body, Request};
use crate::portspec::PortName;
use crate::sys::limits::NM_BDG_NOPORT;
use crate::sys::{
    NETMAP_POLLING_MODE_MULTI_CPU, NETMAP_POLLING_MODE_SINGLE_CPU, NETMAP_REQ_VALE_ATTACH,
    NETMAP_REQ_VALE_DELIF, NETMAP_REQ_VALE_DETACH, NETMAP_REQ_VALE_LIST, NETMAP_REQ_VALE_NEWIF,
    NETMAP_REQ_VALE_POLLING_DISABLE, NETMAP_REQ_VALE_POLLING_ENABLE, NR_REG_ALL_NIC, NR_REG_NIC_SW,
    nmreq_register, nmreq_vale_attach, nmreq_vale_detach, nmreq_vale_list, nmreq_vale_newif,
    nmreq_vale_polling,
};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::num::NonZeroU16;

/// A port on a VALE switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValePort {
    /// Its whole name: `vale0:1`, `vale0:eth0`, `vale0:eth0^` for a host stack.
    pub name: String,
    /// Index of the switch.
    pub switch_idx: u16,
    /// Index of the port on the switch.
    pub port_idx: u32,
}

impl ValePort {
    /// The name of its switch.
    #[must_use]
    pub fn switch(&self) -> &str {
        self.name.split(':').next().unwrap_or(&self.name)
    }
}

/// What a persistent VALE port is to have, zeros leaving the choice to the kernel; and what it got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NewPort {
    /// Transmit rings.
    pub tx_rings: u16,
    /// Receive rings.
    pub rx_rings: u16,
    /// Slots of each transmit ring.
    pub tx_slots: u32,
    /// Slots of each receive ring.
    pub rx_slots: u32,
    /// Memory region.
    pub region: Option<NonZeroU16>,
}

/// Which CPUs poll an attached interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polling {
    /// This CPU, all rings.
    Single {
        /// Its number.
        cpu: u32,
    },
    /// As many CPUs from the first on, each the ring of its own number.
    Multi {
        /// Number of the first CPU and ring.
        first: u32,
        /// How many.
        cpus: u32,
    },
}

impl Control {
    /// Attaches an interface or persistent port to a switch, both named as in `vale0:eth0`; with `host`, the
    /// host's stack becomes a port too, so that the system keeps its network. Returns the index of the port.
    pub fn vale_attach(
        &self,
        name: &PortName,
        host: bool,
        region: Option<NonZeroU16>,
    ) -> Result<u32, KernelError> {
        let reg = nmreq_register {
            nr_mode: if host { NR_REG_NIC_SW } else { NR_REG_ALL_NIC },
            nr_mem_id: region.map_or(0, NonZeroU16::get),
            ..nmreq_register::default()
        };
        let body = Body::Attach(nmreq_vale_attach { reg, ..nmreq_vale_attach::default() });
        let mut request = Request::new(NETMAP_REQ_VALE_ATTACH, name.to_nr_name(), body);
        self.request(Operation::Attach, &name.to_string(), &mut request)?;
        let Body::Attach(attached) = request.body else { unreachable!("put there above") };
        Ok(attached.port_index)
    }

    /// Detaches a port from its switch. Returns the index it had.
    pub fn vale_detach(&self, name: &PortName) -> Result<u32, KernelError> {
        let body = Body::Detach(nmreq_vale_detach::default());
        let mut request = Request::new(NETMAP_REQ_VALE_DETACH, name.to_nr_name(), body);
        self.request(Operation::Detach, &name.to_string(), &mut request)?;
        let Body::Detach(detached) = request.body else { unreachable!("put there above") };
        Ok(detached.port_index)
    }

    /// All ports of all switches, one request each, in the order of their indices. Ports may come and go
    /// meanwhile.
    #[must_use]
    pub fn vale_ports(&self) -> ValePorts<'_> {
        ValePorts { control: self, next: Some((0, 0)) }
    }

    /// Where a port is attached; `None` if its switch has none of that name, or there is no such switch.
    pub fn vale_find(&self, name: &PortName) -> Result<Option<ValePort>, KernelError> {
        let mut request = list(name.to_nr_name(), 0, 0);
        match self.perform(&mut request) {
            Err(Errno::NOENT) => return Ok(None),
            Err(_) => self.request(Operation::List, &name.to_string(), &mut request)?,
            Ok(()) => {}
        }
        let Body::List(found) = request.body else { unreachable!("put there by `list`") };
        let port = ValePort {
            name: name.kernel_name(),
            switch_idx: found.nr_bridge_idx,
            port_idx: found.nr_port_idx,
        };
        Ok((found.nr_port_idx != NM_BDG_NOPORT as u32).then_some(port))
    }

    /// Switches that have ports; `None` if they cannot be listed.
    pub(super) fn count_switches(&self) -> Option<usize> {
        let switches: Result<BTreeSet<u16>, KernelError> =
            self.vale_ports().map(|port| port.map(|p| p.switch_idx)).collect();
        switches.ok().map(|s| s.len())
    }

    /// Creates a persistent VALE port, an interface of the system that can be attached to a switch. Its name has
    /// at most 15 bytes and does not begin with `vale`.
    pub fn vale_newif(&self, name: &PortName, wanted: &NewPort) -> Result<NewPort, KernelError> {
        let body = Body::Newif(nmreq_vale_newif {
            nr_tx_slots: wanted.tx_slots,
            nr_rx_slots: wanted.rx_slots,
            nr_tx_rings: wanted.tx_rings,
            nr_rx_rings: wanted.rx_rings,
            nr_mem_id: wanted.region.map_or(0, NonZeroU16::get),
            pad1: 0,
        });
        let mut request = Request::new(NETMAP_REQ_VALE_NEWIF, name.to_nr_name(), body);
        self.request(Operation::Newif, &name.to_string(), &mut request)?;
        let Body::Newif(got) = request.body else { unreachable!("put there above") };
        Ok(NewPort {
            tx_rings: got.nr_tx_rings,
            rx_rings: got.nr_rx_rings,
            tx_slots: got.nr_tx_slots,
            rx_slots: got.nr_rx_slots,
            region: NonZeroU16::new(got.nr_mem_id),
        })
    }

    /// Deletes a persistent VALE port that is neither open nor attached.
    pub fn vale_delif(&self, name: &PortName) -> Result<(), KernelError> {
        let mut request = Request::new(NETMAP_REQ_VALE_DELIF, name.to_nr_name(), Body::None);
        self.request(Operation::Delif, &name.to_string(), &mut request)
    }

    /// Has CPUs poll an attached interface, instead of its interrupts.
    pub fn polling_enable(&self, name: &PortName, polling: Polling) -> Result<(), KernelError> {
        let (nr_mode, nr_first_cpu_id, nr_num_polling_cpus) = match polling {
            Polling::Single { cpu } => (NETMAP_POLLING_MODE_SINGLE_CPU, cpu, 1),
            Polling::Multi { first, cpus } => (NETMAP_POLLING_MODE_MULTI_CPU, first, cpus),
        };
        let body =
            Body::Polling(nmreq_vale_polling { nr_mode, nr_first_cpu_id, nr_num_polling_cpus, pad1: 0 });
        let mut request = Request::new(NETMAP_REQ_VALE_POLLING_ENABLE, name.to_nr_name(), body);
        self.request(Operation::PollingEnable, &name.to_string(), &mut request)
    }

    /// Gives an attached interface its interrupts back.
    pub fn polling_disable(&self, name: &PortName) -> Result<(), KernelError> {
        let body = Body::Polling(nmreq_vale_polling::default());
        let mut request = Request::new(NETMAP_REQ_VALE_POLLING_DISABLE, name.to_nr_name(), body);
        self.request(Operation::PollingDisable, &name.to_string(), &mut request)
    }
}

fn list(name: [std::ffi::c_char; 64], nr_bridge_idx: u16, nr_port_idx: u32) -> Request {
    let body = Body::List(nmreq_vale_list { nr_bridge_idx, pad1: 0, nr_port_idx });
    Request::new(NETMAP_REQ_VALE_LIST, name, body)
}

/// Iterates over the ports of all VALE switches.
#[derive(Debug)]
pub struct ValePorts<'a> {
    control: &'a Control,
    /// Where to look from; `None` at the end.
    next: Option<(u16, u32)>,
}

impl Iterator for ValePorts<'_> {
    type Item = Result<ValePort, KernelError>;

    fn next(&mut self) -> Option<Self::Item> {
        let from = self.next.take()?;
        let mut request = list([0; 64], from.0, from.1);
        match self.control.perform(&mut request) {
            Ok(()) => {}
            Err(Errno::NOENT) => return None,
            Err(_) => {
                let failed = self.control.request(Operation::List, "VALE ports", &mut request);
                return failed.err().map(Err);
            }
        }
        let Body::List(found) = request.body else { unreachable!("put there by `list`") };
        let at = (found.nr_bridge_idx, found.nr_port_idx);
        // A kernel that went back would keep this going for ever.
        if at >= from {
            self.next = Some((at.0, at.1 + 1));
        }
        Some(Ok(ValePort { name: name_of(&request.name), switch_idx: at.0, port_idx: at.1 }))
    }
}
