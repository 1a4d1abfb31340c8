//! The guest's virtio network devices in the hands of DPDK: huge pages for its memory, a driver that leaves devices to
//! user space, and each device found by its Ethernet address, which only DPDK reads: no network driver of the kernel
//! has ever touched it.

use pktgen::ports::dpdk::{Device, DpdkPort};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

/// Huge pages of 2 MiB that are reserved: two ports take about 40 MiB.
const HUGE_PAGES: u64 = 32;
/// And for each further queue of a port, both ways: two rings' worth of frames.
const HUGE_PAGES_A_QUEUE: u64 = 3;
/// Leaves a device's registers to whoever opens it, and needs no IOMMU.
const DRIVER: &str = "uio_pci_generic";
const DEVICES: &str = "/sys/bus/pci/devices";
/// Vendor and device numbers of virtio network devices: transitional, and modern (virtio 1.2, section 4.1.2).
const VIRTIO_NET: [[&str; 2]; 2] = [["0x1af4", "0x1000"], ["0x1af4", "0x1041"]];

/// Devices that DPDK has and no port has claimed yet.
#[derive(Debug, Default)]
pub struct Devices {
    unclaimed: Vec<Device>,
    taken: BTreeSet<String>,
}

impl Devices {
    /// Opens the device with address `mac`. `name` is what messages call the port.
    pub fn open(&mut self, name: &str, mac: [u8; 6]) -> Result<DpdkPort, String> {
        if self.taken.is_empty() {
            crate::memory::reserve(HUGE_PAGES).map_err(|e| format!("no huge pages for DPDK: {e}"))?;
        }
        for address in virtio_nets(Path::new(DEVICES)).map_err(|e| format!("cannot list {DEVICES}: {e}"))? {
            if self.taken.insert(address.clone()) {
                bind(&address).map_err(|e| format!("cannot leave {address} to DPDK: {e}"))?;
                let device = Device::attach(&address, &mut || true);
                self.unclaimed.push(device.map_err(|e| crate::agent::sentence(&e))?);
            }
        }
        let Some(found) = self.unclaimed.iter().position(|device| device.mac() == mac) else {
            let [a, b, c, d, e, f] = mac;
            return Err(format!(
                "no virtio network device has the address {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}; there are \
                 {} without a port",
                self.unclaimed.len()
            ));
        };
        let device = self.unclaimed.swap_remove(found);
        let more = HUGE_PAGES_A_QUEUE * u64::from(device.queues().saturating_sub(1));
        if more > 0 {
            let pages = HUGE_PAGES / 2 + more;
            crate::memory::reserve(pages).map_err(|e| format!("no huge pages for {name}'s queues: {e}"))?;
        }
        device.start(name).map_err(|e| crate::agent::sentence(&e))
    }
}

/// PCI addresses of virtio network devices, in order.
fn virtio_nets(folder: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let read = |name| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        let (vendor, device) = (read("vendor"), read("device"));
        if VIRTIO_NET.contains(&[vendor.trim(), device.trim()]) {
            found.extend(entry.file_name().into_string().ok());
        }
    }
    found.sort();
    Ok(found)
}

/// Takes a device from the driver it has, if any, and gives it to [`DRIVER`].
fn bind(address: &str) -> io::Result<()> {
    let device = Path::new(DEVICES).join(address);
    fs::write(device.join("driver_override"), DRIVER)?;
    let driver = device.join("driver");
    if driver.exists() {
        fs::write(driver.join("unbind"), address)?;
    }
    fs::write("/sys/bus/pci/drivers_probe", address)?;
    match fs::read_link(&driver) {
        Ok(bound) if bound.ends_with(DRIVER) => Ok(()),
        Ok(other) => Err(io::Error::other(format!("it is bound to {}", other.display()))),
        Err(_) => Err(io::Error::other(format!("{DRIVER} does not take it; is that module loaded?"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtio_network_devices_are_told_from_others() {
        let folder = tempfile::tempdir().unwrap();
        for (address, vendor, device) in [
            ("0000:00:03.0", "0x1af4", "0x1041"),
            ("0000:00:02.0", "0x1af4", "0x1000"),
            ("0000:00:04.0", "0x1af4", "0x1043"),
            ("0000:00:05.0", "0x8086", "0x1041"),
        ] {
            let place = folder.path().join(address);
            fs::create_dir(&place).unwrap();
            fs::write(place.join("vendor"), format!("{vendor}\n")).unwrap();
            fs::write(place.join("device"), format!("{device}\n")).unwrap();
        }
        assert_eq!(virtio_nets(folder.path()).unwrap(), ["0000:00:02.0", "0000:00:03.0"]);
    }
}
