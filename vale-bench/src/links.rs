//! Network interfaces of the kernel: made, joined, brought up and removed through rtnetlink.
//!
//! A few messages of fixed shape, without a crate for all that netlink can do, and without `ip`, whose words would
//! have to be read. Constants and layouts are of Linux's `rtnetlink.h`, `if_link.h` and `veth.h`.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFF_UP: u32 = 1;
/// `sizeof(struct ifinfomsg)`.
const IFINFOMSG: usize = 16;

/// Makes a pair of interfaces that are each other's cable; removing one removes both.
pub fn add_veth(a: &str, b: &str) -> io::Result<()> {
    request(&create_veth(a, b))
}

/// Makes a bridge without ports.
pub fn add_bridge(name: &str) -> io::Result<()> {
    request(&create(name, &attribute(IFLA_INFO_KIND, b"bridge")))
}

/// Makes an interface a port of a bridge.
pub fn join(name: &str, bridge: &str) -> io::Result<()> {
    let index = fs::read_to_string(Path::new("/sys/class/net").join(bridge).join("ifindex"))?;
    let index: u32 = index.trim().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    change(name, 0, &attribute(IFLA_MASTER, &index.to_ne_bytes()))
}

/// Gives an interface an Ethernet address.
pub fn set_address(name: &str, mac: [u8; 6]) -> io::Result<()> {
    change(name, 0, &attribute(IFLA_ADDRESS, &mac))
}

/// Brings an interface up.
pub fn bring_up(name: &str) -> io::Result<()> {
    change(name, IFF_UP, &[])
}

/// Removes an interface.
pub fn remove(name: &str) -> io::Result<()> {
    request(&message(RTM_DELLINK, 0, 0, &attribute(IFLA_IFNAME, &text(name))))
}

/// Whether an interface is there.
#[must_use]
pub fn exists(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

fn change(name: &str, flags: u32, more: &[u8]) -> io::Result<()> {
    let mut attributes = attribute(IFLA_IFNAME, &text(name));
    attributes.extend(more);
    request(&message(RTM_NEWLINK, 0, flags, &attributes))
}

fn create_veth(a: &str, b: &str) -> Vec<u8> {
    let mut peer = vec![0; IFINFOMSG];
    peer.extend(attribute(IFLA_IFNAME, &text(b)));
    let data = attribute(IFLA_INFO_DATA, &attribute(VETH_INFO_PEER, &peer));
    let mut info = attribute(IFLA_INFO_KIND, b"veth");
    info.extend(data);
    create(a, &info)
}

/// A request for an interface of the kind that `info` tells.
fn create(name: &str, info: &[u8]) -> Vec<u8> {
    let mut attributes = attribute(IFLA_IFNAME, &text(name));
    attributes.extend(attribute(IFLA_LINKINFO, info));
    message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, &attributes)
}
fn text(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

/// Length, type and contents, up to a multiple of four bytes.
fn attribute(kind: u16, contents: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(((4 + contents.len()) as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(contents);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A header, a `struct ifinfomsg` with these flags set, and attributes.
fn message(kind: u16, flags: u16, up: u32, attributes: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(((16 + IFINFOMSG + attributes.len()) as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((flags | NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    bytes.extend([0; 8]);
    // Family, type and index are 0; then flags, and which of them to change.
    bytes.extend([0; 8]);
    bytes.extend(up.to_ne_bytes());
    bytes.extend(up.to_ne_bytes());
    bytes.extend(attributes);
    bytes
}

/// Sends a message and takes the kernel's answer, which it gives at once.
fn request(message: &[u8]) -> io::Result<()> {
    let socket: OwnedFd = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    sendto(&socket, message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0u8; 4096];
    let (len, _) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    match error_of(&answer[..len]) {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer is no acknowledgement")),
    }
}

/// The errno of an `NLMSG_ERROR`, 0 for an acknowledgement.
fn error_of(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let error = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    (kind == NLMSG_ERROR).then_some(-error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn messages_are_padded_and_know_their_length() {
        assert_eq!(attribute(3, b"ab\0"), [7, 0, 3, 0, b'a', b'b', 0, 0]);
        let message = create_veth("one", "two");
        assert_eq!(u32::from_ne_bytes(message[..4].try_into().unwrap()) as usize, message.len());
        assert!(message.len().is_multiple_of(4));
        assert!(message.windows(3).any(|w| w == b"two"));
    }

    #[test]
    fn answers_are_read() {
        let mut ack = vec![0u8; 36];
        ack[4] = 2;
        assert_eq!(error_of(&ack), Some(0));
        ack[16..20].copy_from_slice(&(-17i32).to_ne_bytes());
        assert_eq!(error_of(&ack), Some(17));
        assert_eq!(error_of(&ack[..10]), None);
    }

    #[test]
    fn the_kernel_understands_what_is_asked() {
        // No such interface: whoever may not remove any is told so, which is an answer too.
        let error = remove("nmci-none").unwrap_err();
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        assert!(matches!(errno, Some(Errno::NODEV | Errno::PERM)), "{error}");
    }
}
