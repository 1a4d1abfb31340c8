//! A VALE switch of the guest's own kernel that joins interfaces of the guest.

use netmap_rs::kernel::{Control, KernelError};
use netmap_rs::portspec::{PortName, PortSpec};

/// Interfaces on a switch; dropping it takes them off.
pub(crate) struct Bridge {
    control: Control,
    ports: Vec<PortName>,
}

impl Bridge {
    /// Makes a switch of these interfaces.
    pub(crate) fn join(interfaces: &[String]) -> Result<Bridge, KernelError> {
        let mut bridge = Bridge { control: Control::open()?, ports: Vec::new() };
        for interface in interfaces {
            let spec: PortSpec = format!("vale0:{interface}").parse().expect("interfaces have short names");
            bridge.control.vale_attach(&spec.name, false, None)?;
            bridge.ports.push(spec.name);
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
