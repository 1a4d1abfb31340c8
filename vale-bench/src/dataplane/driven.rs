//! What moves frames at a guest's interface: as the command line has it, and as results tell it.

use crate::cli::{GuestDriverChoice, VmArgs};
use guest::wire::{Driver, Interface};
use qemu_ptnet::Module;

/// How a guest's interface is driven; all guests are alike.
#[derive(Debug, Default)]
pub(super) struct Driven(Option<(Driver, Interface)>);

impl Driven {
    /// By `driver`, as a guest said when it opened its interface.
    pub(super) fn by(driver: Driver, opened: Interface) -> Driven {
        Driven(Some((driver, opened)))
    }

    /// The guest's driver in a result, where its kernel has `device` for the device.
    pub(super) fn label(&self, device: &str) -> String {
        match self.0.as_ref().map(|(driver, _)| driver) {
            Some(Driver::Xdp) => format!("{device}, AF_XDP"),
            Some(Driver::Dpdk) => "DPDK virtio".into(),
            Some(Driver::Netmap) => "ptnet".into(),
            Some(Driver::Packet) | None => format!("{device}, packet socket"),
        }
    }

    /// What else there is to know of it.
    pub(super) fn parameters(&self) -> Vec<(&'static str, String)> {
        let Some((_, opened)) = &self.0 else { return Vec::new() };
        let dpdk = opened.dpdk.as_ref().map(|facts| ("guest_port", facts.to_string()));
        let xdp = opened.xdp.map(|facts| ("guest_xdp", facts.to_string()));
        dpdk.into_iter().chain(xdp).collect()
    }
}

/// What moves frames in guests on vhost-user: DPDK, unless told otherwise or if they boot a system of their own.
pub(super) fn on_vhost_user(vm: Option<&VmArgs>) -> Driver {
    let whole_system = vm.is_some_and(|vm| vm.guests.guest_image.is_some());
    match vm.and_then(|vm| vm.guest_driver) {
        Some(GuestDriverChoice::Xdp) => Driver::Xdp,
        Some(GuestDriverChoice::Packet) => Driver::Packet,
        None if whole_system => Driver::Packet,
        None | Some(GuestDriverChoice::Dpdk) => Driver::Dpdk,
    }
}

/// What moves frames in guests on a dataplane on which they drive virtio-net with their own kernel; DPDK is for others
/// of the same run.
pub(super) fn by_kernel(vm: Option<&VmArgs>) -> Driver {
    match vm.and_then(|vm| vm.guest_driver) {
        Some(GuestDriverChoice::Xdp) => Driver::Xdp,
        None | Some(GuestDriverChoice::Packet | GuestDriverChoice::Dpdk) => Driver::Packet,
    }
}

/// Modules of guests whose kernel drives virtio-net.
pub(super) fn kernels_modules() -> Vec<Module> {
    ["virtio_net", "af_packet"].map(Module::named).into()
}
