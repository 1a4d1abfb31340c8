//! A pair of Ethernet interfaces that are each other's cable: made, brought up and removed through rtnetlink.
//!
//! Three messages of fixed shape; deliberately absent is all else that netlink can do. Constants and layouts are of
//! Linux's `rtnetlink.h`, `if_link.h` and `veth.h`.

use std::io;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

use super::check::{Stop, skip};
use super::world::eventually;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFF_UP: u32 = 1;
/// `sizeof(struct ifinfomsg)`.
const IFINFOMSG: usize = 16;

/// The two interfaces, removed when this is dropped.
#[derive(Debug)]
pub(super) struct Veth {
    /// Name of one; the other goes with it.
    pub(super) a: String,
}

impl Veth {
    /// Makes a pair and brings both up. Skips the check where the kernel cannot.
    pub(super) fn new(a: &str, b: &str) -> Result<Veth, Stop> {
        match request(&create(a, b)) {
            Ok(()) => {}
            Err(e) if e.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => {
                return skip("this kernel makes no veth pairs (is the veth module loaded?)");
            }
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                return skip("not permitted to make a veth pair");
            }
            Err(e) => return Err(e.into()),
        }
        let veth = Veth { a: a.to_owned() };
        for name in [a, b] {
            request(&message(RTM_NEWLINK, 0, IFF_UP, &attribute(IFLA_IFNAME, &text(name))))?;
        }
        // The system notices the cable within a second, and drops frames while it changes queues for that.
        for name in [a, b] {
            eventually(format!("the link of {name}"), || Ok(is_up(name)))?;
        }
        Ok(veth)
    }
}

/// Whether the system holds the interface to be up, cable included. Where it does not say, that is believed.
fn is_up(name: &str) -> bool {
    let state = std::fs::read_to_string(format!("/sys/class/net/{name}/operstate"));
    state.map_or(true, |state| state.trim_end() == "up")
}

impl Drop for Veth {
    fn drop(&mut self) {
        // The other one goes with it. What cannot be removed the runner finds.
        let _ = remove(&self.a);
    }
}

/// Removes an interface.
pub(super) fn remove(name: &str) -> io::Result<()> {
    request(&message(RTM_DELLINK, 0, 0, &attribute(IFLA_IFNAME, &text(name))))
}

fn create(a: &str, b: &str) -> Vec<u8> {
    let mut peer = vec![0; IFINFOMSG];
    peer.extend(attribute(IFLA_IFNAME, &text(b)));
    let data = attribute(IFLA_INFO_DATA, &attribute(VETH_INFO_PEER, &peer));
    let mut info = attribute(IFLA_INFO_KIND, b"veth");
    info.extend(data);
    let mut attributes = attribute(IFLA_IFNAME, &text(a));
    attributes.extend(attribute(IFLA_LINKINFO, &info));
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

    #[test]
    fn messages_are_padded_and_know_their_length() {
        assert_eq!(attribute(3, b"ab\0"), [7, 0, 3, 0, b'a', b'b', 0, 0]);
        let message = create("one", "two");
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
