//! A VALE switch of the guest's own kernel that joins interfaces of the guest.

use crate::port::{DOWN, UP, set_flags};
use netmap_rs::kernel::Control;
use netmap_rs::portspec::{PortName, PortSpec};

/// Interfaces on a switch; dropping it takes them off.
pub(crate) struct Bridge {
    control: Control,
    ports: Vec<PortName>,
}

impl Bridge {
    /// Makes a switch of these interfaces.
    pub(crate) fn join(interfaces: &[String]) -> Result<Bridge, String> {
        let control = Control::open().map_err(|e| crate::agent::sentence(&e))?;
        let mut bridge = Bridge { control, ports: Vec::new() };
        for interface in interfaces {
            let spec: PortSpec =
                format!("vale0:{interface}").parse().map_err(|e| format!("cannot name {interface}: {e}"))?;
            // While it is up its rings are in use, and a switch takes it that they begin at their first slots.
            set_flags(interface, DOWN)?;
            bridge.control.vale_attach(&spec.name, false, None).map_err(|e| crate::agent::sentence(&e))?;
            bridge.ports.push(spec.name);
            set_flags(interface, UP)?;
        }
        Ok(bridge)
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        for port in &self.ports {
            // The guest goes down next; what is attached then goes with it.
            let _ = self.control.vale_detach(port);
        }
    }
}
