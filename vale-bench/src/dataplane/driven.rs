//! What moves frames at a guest's interface, as results tell it.

use crate::cli::GuestDriverChoice;
use crate::dataplane::Setting;
use guest::wire::{Driver, Interface};
use pktgen::ports::xdp::XdpFacts;

/// How a guest's interface is driven; all guests are alike.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Driven {
    driver: Option<Driver>,
    xdp: Option<XdpFacts>,
}

impl Driven {
    /// By `driver`, as a guest said when it opened its interface.
    pub(super) fn by(driver: Driver, opened: &Interface) -> Driven {
        Driven { driver: Some(driver), xdp: opened.xdp }
    }

    /// The guest's driver in a result, where its kernel has `device` for the device.
    pub(super) fn label(&self, device: &str) -> String {
        match self.driver {
            Some(Driver::Xdp) => format!("{device}, AF_XDP"),
            Some(Driver::Dpdk) => "DPDK virtio".into(),
            Some(Driver::Netmap) => "ptnet".into(),
            Some(Driver::Packet) | None => format!("{device}, packet socket"),
        }
    }

    /// What else there is to know of it.
    pub(super) fn parameter(&self) -> Option<(String, String)> {
        self.xdp.map(|facts| ("guest_xdp".to_owned(), facts.to_string()))
    }
}

/// What moves frames in guests on a dataplane on which they drive virtio-net with their own kernel; DPDK is for others
/// of the same run.
pub(super) fn by_kernel(setting: &Setting<'_>) -> Driver {
    match setting.vm.and_then(|vm| vm.guest_driver) {
        Some(GuestDriverChoice::Xdp) => Driver::Xdp,
        None | Some(GuestDriverChoice::Packet | GuestDriverChoice::Dpdk) => Driver::Packet,
    }
}
