//! What a switch and the processes that attach to it say to each other on a Unix stream socket.
//!
//! A message is a 32-bit little-endian length and so many bytes of JSON. The answer to an attach carries two
//! descriptors in this order: the port's memory (a sealed memfd), and the application's end of its doorbell (a
//! stream socket). The port lives as long as the connection.

use netmap_rs::layout::{PortLocation, PortShape};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;

use crate::counters::Snapshot;
use crate::switch::PortId;

/// Version of these messages; both sides must speak the same.
pub const PROTOCOL: u32 = 1;
/// Largest message in bytes.
pub const MAX_MESSAGE: usize = 256 * 1024;
/// Descriptors an answer carries.
pub const ATTACH_FDS: usize = 2;
/// Longest port name in bytes.
pub const MAX_NAME: usize = 64;

/// Asked of a switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Make a port and give it to this connection.
    Attach {
        /// [`PROTOCOL`] of the asking side.
        protocol: u32,
        /// Port name, the part after the colon of `vale0:1`: at most [`MAX_NAME`] bytes.
        port: String,
        /// Its shape; the switch's default if none.
        shape: Option<PortShape>,
    },
    /// List ports and counters.
    Ports {
        /// [`PROTOCOL`] of the asking side.
        protocol: u32,
    },
}

/// Answered by a switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// The port is there; the descriptors come with this message.
    Attached {
        /// Its index.
        id: PortId,
        /// Where in the memory it lies.
        location: PortLocation,
        /// Bytes of memory.
        len: usize,
    },
    /// The ports there are.
    Ports {
        /// Index, name and counters of each.
        ports: Vec<(PortId, String, Snapshot)>,
    },
    /// It cannot be done.
    Refused {
        /// Why, as a sentence.
        reason: String,
    },
}

fn invalid(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Sends a message with its descriptors.
pub fn send<T: Serialize>(socket: impl AsFd, message: &T, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let body = serde_json::to_vec(message).map_err(invalid)?;
    let mut bytes = (body.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(&body);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(ATTACH_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(invalid("too many descriptors for one message"));
    }
    let mut send =
        || rustix::net::sendmsg(&socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL);
    let mut sent = rustix::io::retry_on_intr(&mut send)?;
    // The descriptors went with the first byte.
    while sent < bytes.len() {
        sent +=
            rustix::io::retry_on_intr(|| rustix::net::send(&socket, &bytes[sent..], SendFlags::NOSIGNAL))?;
    }
    Ok(())
}

/// Collects bytes and descriptors until a message is whole.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

impl Inbox {
    /// Reads once; how many bytes came, 0 at the end of the stream. More descriptors than a message carries are
    /// an error, so that a peer which never ends one cannot use up this process's.
    pub fn read(&mut self, socket: impl AsFd) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(ATTACH_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut buf = [0u8; 4096];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let got = rustix::net::recvmsg(&socket, &mut [IoSliceMut::new(&mut buf)], &mut control, flags)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        if self.fds.len() > ATTACH_FDS {
            return Err(invalid(format!("{} descriptors came, {ATTACH_FDS} are allowed", self.fds.len())));
        }
        self.bytes.extend_from_slice(&buf[..got.bytes]);
        Ok(got.bytes)
    }

    /// The next message, if all of it is here, with the descriptors so far.
    pub fn take_message<T: DeserializeOwned>(&mut self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let Some(head) = self.bytes.first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_le_bytes(*head) as usize;
        if len > MAX_MESSAGE {
            return Err(invalid(format!("a message of {len} bytes, {MAX_MESSAGE} are allowed")));
        }
        let Some(body) = self.bytes.get(4..4 + len) else { return Ok(None) };
        let message = serde_json::from_slice(body).map_err(invalid)?;
        self.bytes.drain(..4 + len);
        Ok(Some((message, std::mem::take(&mut self.fds))))
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn messages_arrive_whole_with_their_descriptors() {
        let (a, b) = UnixStream::pair().unwrap();
        let first = Request::Ports { protocol: PROTOCOL };
        let second = Request::Attach { protocol: PROTOCOL, port: "x".repeat(5000), shape: None };
        send(&a, &first, &[]).unwrap();
        send(&a, &second, &[a.as_fd(), b.as_fd()]).unwrap();
        let mut inbox = Inbox::default();
        let mut got = Vec::new();
        while got.len() < 2 {
            assert!(inbox.read(&b).unwrap() > 0);
            while let Some(message) = inbox.take_message::<Request>().unwrap() {
                got.push(message);
            }
        }
        assert_eq!(got[0].0, first);
        assert_eq!(got[1].0, second);
        assert_eq!(got.iter().map(|(_, fds)| fds.len()).sum::<usize>(), 2);
    }

    #[test]
    fn rubbish_is_an_error_and_not_a_wait() {
        for bytes in [&b"\xff\xff\xff\xff"[..], b"\x02\x00\x00\x00{}", b"\x03\x00\x00\x00\xff\xfe\xfd"] {
            let mut inbox = Inbox { bytes: bytes.to_vec(), fds: Vec::new() };
            assert_eq!(inbox.take_message::<Request>().unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        let mut inbox = Inbox { bytes: b"\x02\x00\x00\x00{".to_vec(), fds: Vec::new() };
        assert!(inbox.take_message::<Request>().unwrap().is_none());
    }

    #[test]
    fn descriptors_of_a_message_that_never_ends_are_bounded() {
        let (a, b) = UnixStream::pair().unwrap();
        let mut inbox = Inbox::default();
        let outcome = (0..10).find_map(|_| {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let fds = [a.as_fd(), b.as_fd()];
            assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
            let byte = [IoSlice::new(&[0])];
            rustix::net::sendmsg(&a, &byte, &mut control, SendFlags::NOSIGNAL).unwrap();
            inbox.read(&b).err()
        });
        assert_eq!(outcome.unwrap().kind(), io::ErrorKind::InvalidData);
    }
}
