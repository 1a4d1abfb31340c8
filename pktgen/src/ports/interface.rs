//! What the kernel says of a network interface, and packet sockets to ask it by.
#![allow(unsafe_code)]

use crate::Error;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with, sockopt};
use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How to open an interface as a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Slots of each ring: a power of two within the limits of the kind of port.
    pub slots: u32,
    /// Receive frames for other addresses too.
    pub promiscuous: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { slots: 1024, promiscuous: true }
    }
}

impl Options {
    /// Refuses a number of slots that is no power of two, or outside `limits`.
    pub(super) fn check(self, limits: &RangeInclusive<u32>) -> Result<(), Error> {
        if limits.contains(&self.slots) && self.slots.is_power_of_two() {
            return Ok(());
        }
        let (min, max) = (u64::from(*limits.start()), u64::from(*limits.end()));
        Err(Error::Count { what: "slots (a power of two)", value: self.slots.into(), min, max })
    }
}

/// An interface that was found.
pub(super) struct Interface {
    /// A packet socket, which receives nothing until it is bound.
    pub(super) socket: OwnedFd,
    /// Its number.
    pub(super) index: u32,
    /// Its Ethernet address.
    pub(super) mac: [u8; 6],
    /// Bytes of a frame's payload, at most.
    pub(super) mtu: usize,
}

impl Interface {
    /// Finds the interface named `interface`.
    pub(super) fn find(interface: &str) -> Result<Interface, Error> {
        let failed = |operation| {
            move |source: io::Error| Error::Interface { interface: interface.into(), operation, source }
        };
        // Protocol 0: nothing is received before the socket is bound to its interface.
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)
            .map_err(|e| failed("open a packet socket for it")(e.into()))?;
        let index = netdevice::name_to_index(&socket, interface).map_err(|e| failed("find it")(e.into()))?;
        let mac = hardware_address(&socket, interface).map_err(failed("read its address"))?;
        let mtu = mtu(&socket, interface).map_err(failed("read its MTU"))?;
        Ok(Interface { socket, index, mac, mtu })
    }
}

/// The interface receives frames for other addresses too, while this packet socket is open.
pub(super) fn promiscuous(socket: &OwnedFd, index: u32) -> io::Result<()> {
    let membership = libc::packet_mreq {
        mr_ifindex: index as i32,
        mr_type: libc::PACKET_MR_PROMISC as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set_option(socket, libc::PACKET_ADD_MEMBERSHIP, &membership)
}

/// Sleeps until one of `wanted` is true of the socket, or `timeout` passes; which are. Fails with an error that waits
/// on the socket.
pub(super) fn wait_for(socket: &OwnedFd, wanted: PollFlags, timeout: Duration) -> io::Result<PollFlags> {
    let mut fds = [PollFd::new(socket, wanted)];
    let limit = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
    match poll(&mut fds, Some(&limit)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let ready = fds[0].revents();
    if ready.intersects(PollFlags::ERR) {
        sockopt::socket_error(socket).and_then(|error| error)?;
    }
    Ok(ready)
}

pub(super) fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets a `SOL_PACKET` option from a plain structure of integers.
pub(super) fn set_option<T: Copy>(socket: &OwnedFd, option: libc::c_int, value: &T) -> io::Result<()> {
    let (value, len) = (std::ptr::from_ref(value), size_of::<T>() as libc::socklen_t);
    // SAFETY: the kernel reads `len` bytes of `value`, which lives through the call.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, option, value.cast(), len) })
}

/// Asks the kernel about an interface, whose name is known to exist and so to fit.
fn interface_request(socket: &OwnedFd, interface: &str, request: libc::c_ulong) -> io::Result<libc::ifreq> {
    // SAFETY: all zeroes is a valid `ifreq`: an empty name and a union of plain integers.
    let mut asked: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = asked.ifr_name.len() - 1;
    for (to, from) in asked.ifr_name[..room].iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: the requests made here read the name and write the union of an `ifreq`.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), request as _, &raw mut asked) })?;
    Ok(asked)
}

fn hardware_address(socket: &OwnedFd, interface: &str) -> io::Result<[u8; 6]> {
    let answer = interface_request(socket, interface, libc::SIOCGIFHWADDR)?;
    // SAFETY: SIOCGIFHWADDR fills in this member; as plain integers any value is valid.
    let address = unsafe { answer.ifr_ifru.ifru_hwaddr };
    if address.sa_family != libc::ARPHRD_ETHER && address.sa_family != libc::ARPHRD_LOOPBACK {
        let what = format!("its hardware type is {}, not Ethernet", address.sa_family);
        return Err(io::Error::new(io::ErrorKind::Unsupported, what));
    }
    Ok(std::array::from_fn(|i| address.sa_data[i] as u8))
}

fn mtu(socket: &OwnedFd, interface: &str) -> io::Result<usize> {
    let answer = interface_request(socket, interface, libc::SIOCGIFMTU)?;
    // SAFETY: SIOCGIFMTU fills in this member; as a plain integer any value is valid.
    let mtu = unsafe { answer.ifr_ifru.ifru_mtu };
    usize::try_from(mtu).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("an MTU of {mtu}")))
}
