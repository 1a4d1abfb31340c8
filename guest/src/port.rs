//! The ports of a guest: in CSB mode on the embedded VALE, or an interface of the guest's own.

use crate::dpdk::Devices;
use crate::wire::{Driver, Interface};
use netmap_rs::kernel::{KernelPort, loaded_module};
use netmap_rs::portspec::PortSpec;
use pktgen::ports::any::AnyIo;
use pktgen::ports::csb::CsbIo;
use pktgen::ports::kernel::{Form, KernelIo};
use pktgen::ports::packet::{Options, PacketPort};
use pktgen::ports::xdp::XdpPort;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long an interface may take to appear once its driver is there.
const INTERFACE_DEADLINE: Duration = Duration::from_secs(10);
/// `IFF_UP`, and the flags that every Ethernet interface has, as `/sys/class/net/*/flags` takes them.
pub(crate) const UP: &str = "0x1003";
/// The same without `IFF_UP`.
pub(crate) const DOWN: &str = "0x1002";

/// A port of any kind that a guest can have.
pub type GuestIo = AnyIo<CsbIo>;

/// Finds the interface with address `mac`, brings it up and opens it by `driver`. `name` is what messages call the
/// port.
pub fn open_interface(
    name: &str,
    mac: [u8; 6],
    driver: Driver,
    devices: &mut Devices,
) -> Result<(GuestIo, Interface), String> {
    if driver == Driver::Dpdk {
        let port = devices.open(name, mac)?;
        let facts = port.facts().clone();
        let interface = Interface { dpdk: Some(facts.clone()), ..Interface::called(facts.device) };
        return Ok((GuestIo::Dpdk(Box::new(port)), interface));
    }
    let interface = await_interface(mac)?;
    // What the guest's own kernel would say on the interface is none of the traffic under test.
    let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"), "1");
    set_flags(&interface, UP)?;
    let mut opened = Interface::called(interface.clone());
    let io = match driver {
        Driver::Netmap => {
            let spec: PortSpec = format!("netmap:{interface}").parse().map_err(|e| format!("{e}"))?;
            let port = KernelPort::open(&spec).map_err(|e| crate::agent::sentence(&e))?;
            let io = KernelIo::new(port, name, Some(mac), Form::default()).map_err(|e| e.to_string())?;
            let module = loaded_module().map_err(|e| format!("cannot read what netmap's module is: {e}"))?;
            opened.netmap = Some(module);
            GuestIo::Kernel(Box::new(io))
        }
        Driver::Packet | Driver::Dpdk => {
            let port =
                PacketPort::open(&interface, Options::default()).map_err(|e| crate::agent::sentence(&e))?;
            GuestIo::Packet(Box::new(port))
        }
        Driver::Xdp => {
            let port =
                XdpPort::open(&interface, Options::default()).map_err(|e| crate::agent::sentence(&e))?;
            opened.xdp = Some(port.facts());
            GuestIo::Xdp(Box::new(port))
        }
    };
    Ok((io, opened))
}

/// Brings an interface up or down.
pub(crate) fn set_flags(interface: &str, flags: &str) -> Result<(), String> {
    let path = format!("/sys/class/net/{interface}/flags");
    fs::write(path, flags).map_err(|e| format!("cannot set the flags of {interface} to {flags}: {e}"))
}

fn await_interface(mac: [u8; 6]) -> Result<String, String> {
    let [a, b, c, d, e, f] = mac;
    let wanted = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
    let end = Instant::now() + INTERFACE_DEADLINE;
    loop {
        if let Some(found) = find_interface(Path::new("/sys/class/net"), &wanted) {
            return Ok(found);
        }
        if Instant::now() >= end {
            return Err(format!(
                "no interface with address {wanted} appeared: the guest's kernel or modules lack its driver"
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn find_interface(folder: &Path, mac: &str) -> Option<String> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let mut named = entries.filter(|entry| {
        fs::read_to_string(entry.path().join("address")).is_ok_and(|address| address.trim() == mac)
    });
    named.next()?.file_name().into_string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_found_by_their_address() {
        let folder = tempfile::tempdir().unwrap();
        for (name, address) in [("lo", "00:00:00:00:00:00"), ("eth1", "02:00:00:00:00:0a")] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("address"), format!("{address}\n")).unwrap();
        }
        assert_eq!(find_interface(folder.path(), "02:00:00:00:00:0a").as_deref(), Some("eth1"));
        assert_eq!(find_interface(folder.path(), "02:00:00:00:00:0b"), None);
    }
}
