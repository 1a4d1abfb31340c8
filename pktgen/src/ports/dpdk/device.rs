//! A device plugged into EAL: attached, started, and unplugged when dropped.
#![forbid(unsafe_code)]

use super::eal::{Eal, eal, free_huge_mib};
use super::io::DpdkPort;
use super::library::{Errno, RawPort};
use super::{ATTACH_DEADLINE, DpdkError, DpdkFacts, LINK_DEADLINE, LogTail, Pages, VirtioFeatures, log};
use crate::port::PortInfo;
use crate::queues::MAX_QUEUES;
use std::ffi::CString;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The driver of vhost-user's other end.
pub(super) const VIRTIO_USER: &str = "net_virtio_user";
/// How long a device may take to stop.
const DETACH_DEADLINE: Duration = Duration::from_secs(5);
/// Slots of a ring where nothing says how many: as many as virtio has at most, and interfaces usually.
const SLOTS: u32 = 1024;
/// Slots of a virtio_user ring unless its arguments say otherwise.
const VIRTIO_USER_SLOTS: u32 = 256;

/// A device of DPDK's that is plugged in and not yet started.
pub struct Device {
    pub(super) eal: &'static Eal,
    pub(super) raw: RawPort,
    arguments: String,
    features: Option<u64>,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("arguments", &self.arguments).finish_non_exhaustive()
    }
}

impl Device {
    /// Plugs in the device with these arguments, DPDK's own, and waits until it is there: the owner of a vhost-user
    /// socket waits for its other end, for [`ATTACH_DEADLINE`] at most, and for as long as `keep_waiting` says so.
    pub fn attach(arguments: &str, keep_waiting: &mut dyn FnMut() -> bool) -> Result<Device, DpdkError> {
        let eal = eal()?;
        let failed = |reason: String, log| {
            let (operation, device) = ("open", arguments.to_owned());
            DpdkError::Device { operation, device, reason, log }
        };
        if eal.pages == Pages::Small && is_pci(arguments) {
            return Err(DpdkError::HugePages { device: arguments.to_owned(), free_mib: free_huge_mib() });
        }
        let text = CString::new(arguments)
            .map_err(|_| failed("a name has no zero bytes".into(), Default::default()))?;
        let start = log::mark();
        let what = format!("open {arguments}");
        let raw = eal.run(&what, ATTACH_DEADLINE, keep_waiting, move |library| library.attach(&text));
        let raw = raw.inspect_err(|_| release(arguments))?;
        let mut raw = raw.map_err(|errno| failed(errno.to_string(), log::since(start)))?;
        raw.queues = raw.queues.min(MAX_QUEUES as u16);
        Ok(Device { eal, raw, arguments: arguments.to_owned(), features: log::features() })
    }

    /// Its Ethernet address.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        self.raw.mac
    }

    /// Queues that it will be started with, in each direction.
    #[must_use]
    pub fn queues(&self) -> u16 {
        self.raw.queues
    }

    /// Starts it and waits for its link. `name` is what messages call the port.
    pub fn start(mut self, name: &str) -> Result<DpdkPort, DpdkError> {
        let slots = slots(&self.arguments);
        let mut raw = self.raw;
        let start = log::mark();
        let what = format!("start {}", self.arguments);
        let (raw, started) = self.eal.run(&what, ATTACH_DEADLINE, &mut || true, move |library| {
            let started = library.start(&mut raw, slots);
            (raw, started)
        })?;
        self.raw = raw;
        self.features = log::features().or(self.features);
        started.map_err(|(operation, errno)| self.failed(operation, errno, start))?;
        self.await_link(start)?;
        let info = PortInfo {
            name: name.to_owned(),
            driver: "dpdk",
            tx_slots: self.raw.tx_slots,
            rx_slots: self.raw.rx_slots,
            max_frame: self.raw.max_frame.min(u16::MAX.into()) as u16,
            keys: self.raw.tx_mbufs,
            queues: self.raw.queues,
            mac: Some(self.raw.mac),
        };
        let facts = DpdkFacts {
            version: self.eal.library.version(),
            driver: self.raw.driver(),
            device: self.raw.device(),
            pages: self.eal.pages,
            queues: self.raw.queues,
            virtio: self.features.map(VirtioFeatures::new),
        };
        Ok(DpdkPort::new(self, info, facts))
    }

    fn await_link(&self, start: u64) -> Result<(), DpdkError> {
        let end = Instant::now() + LINK_DEADLINE;
        loop {
            match self.eal.library.link(&self.raw) {
                Ok(true) => return Ok(()),
                // A connection that is gone does not come back.
                Ok(false) if self.raw.driver() == VIRTIO_USER => {
                    let (operation, device) = ("start", self.arguments.clone());
                    let reason = "the other end of its vhost-user socket is gone".to_owned();
                    return Err(DpdkError::Device { operation, device, reason, log: LogTail::default() });
                }
                Ok(false) if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
                Ok(false) => {
                    let what = format!("see a link on {}", self.arguments);
                    let (seconds, log) = (LINK_DEADLINE.as_secs_f64(), log::since(start));
                    return Err(DpdkError::Late { what, seconds, log });
                }
                Err(errno) => return Err(self.failed("read the link of", errno, start)),
            }
        }
    }

    fn failed(&self, operation: &'static str, errno: Errno, start: u64) -> DpdkError {
        let (device, reason, log) = (self.arguments.clone(), errno.to_string(), log::since(start));
        DpdkError::Device { operation, device, reason, log }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let raw = self.raw;
        // One that does not let itself be stopped ends with the process.
        let _ = self
            .eal
            .run("unplug a device", DETACH_DEADLINE, &mut || true, move |library| library.detach(raw));
    }
}

/// Whether these are the arguments of a PCI device: it begins with an address, as in `01:00.0` or `0000:01:00.0`.
fn is_pci(arguments: &str) -> bool {
    let name = arguments.split(',').next().unwrap_or_default();
    let name = name.strip_prefix("pci:").unwrap_or(name);
    name.contains(':') && name.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
}

/// The value of an argument.
fn argument<'a>(arguments: &'a str, key: &str) -> Option<&'a str> {
    arguments.split(',').skip(1).find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

fn slots(arguments: &str) -> u32 {
    if !arguments.contains(VIRTIO_USER) {
        return SLOTS;
    }
    argument(arguments, "queue_size").and_then(|n| n.parse().ok()).unwrap_or(VIRTIO_USER_SLOTS)
}

/// Frees EAL's thread from waiting for the other end of a socket that this process made: something connects, and
/// goes away. The socket, which DPDK leaves where it is, goes too.
fn release(arguments: &str) {
    if let (Some("1"), Some(path)) = (argument(arguments, "server"), argument(arguments, "path"))
        && UnixStream::connect(path).is_ok()
    {
        // Somebody else may have been faster.
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_as_dpdk_reads_them() {
        let user = "net_virtio_user0,path=/tmp/a,server=1,queue_size=512";
        assert_eq!((argument(user, "path"), argument(user, "server")), (Some("/tmp/a"), Some("1")));
        assert_eq!((argument(user, "queue"), slots(user)), (None, 512));
        assert_eq!(slots("net_virtio_user1,path=x"), VIRTIO_USER_SLOTS);
        assert_eq!(slots("0000:01:00.0"), SLOTS);
        for name in ["0000:01:00.0", "01:00.0", "pci:0000:af:00.1", "0000:01:00.0,a=b"] {
            assert!(is_pci(name), "{name}");
        }
        for name in ["net_virtio_user0,path=a:b", "net_null0", "eth0", "feed"] {
            assert!(!is_pci(name), "{name}");
        }
    }
}
