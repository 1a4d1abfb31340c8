//! The messages between host and guest.
//!
//! Each is a 32-bit little-endian length and so many bytes of JSON, on a virtio-serial port. The guest speaks
//! first, with [`Event::Hello`]; after that the host asks and the guest answers each request in order.

use netmap_rs::kernel::LoadedModule;
use netmap_rs::layout::{PortLocation, PortShape};
use pktgen::engine::Phase;
use pktgen::ports::dpdk::DpdkFacts;
use pktgen::ports::xdp::XdpFacts;
use pktgen::spec::{FwdReport, FwdSpec, IdlePolicy, PortReport, PortRoles};
use serde::{Deserialize, Serialize};
use std::io;

/// Version of these messages. The image is built from the running program, so a mismatch means a stale image.
pub const PROTOCOL: u32 = 6;
/// Largest message in bytes: reports with histograms stay far below it.
pub const MAX_MESSAGE: usize = 8 * 1024 * 1024;
/// Name of the control channel's virtio-serial port.
pub const CONTROL_CHANNEL: &str = "vale-bench.control";

/// Name of the virtio-serial port that is the doorbell of a guest's `n`-th port.
#[must_use]
pub fn doorbell_channel(n: usize) -> String {
    format!("vale-bench.doorbell.{n}")
}

/// Contiguous guest-physical memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestExtent {
    /// Guest-physical address of the first byte.
    pub gpa: u64,
    /// Bytes.
    pub len: u64,
}

/// What a guest is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// Version of the program that is the agent.
    pub version: String,
    /// Kernel release.
    pub kernel: String,
    /// The distribution, as in `Debian GNU/Linux 12 (bookworm)`; empty where there is nothing but the agent.
    pub system: String,
    /// Processors.
    pub cpus: u32,
    /// Memory in KiB.
    pub memory_kib: u64,
    /// Who runs it, as its processor tells (CPUID leaf 0x40000000): `TCGTCGTCGTCG` or `KVMKVMKVM`; empty where it does
    /// not.
    pub hypervisor: String,
    /// Clock source of the kernel, as in `tsc`.
    pub clocksource: String,
    /// Time since the kernel started, in milliseconds.
    pub uptime_ms: u64,
    /// Where the counters of the guest's ports lie, those of its first port first; see
    /// [`pktgen::counters::Counters`].
    pub counters: GuestExtent,
}

/// Said by the guest without being asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It is up.
    Hello(Hello),
    /// It cannot go on; it powers off after this.
    Fault {
        /// Why, as a sentence.
        message: String,
    },
    /// A command still runs: said every [`crate::command::PULSE`], whatever else is said.
    Alive,
    /// A command's output.
    Output {
        /// Which of the two.
        stream: Stream,
        /// The bytes.
        #[serde(with = "bytes")]
        data: Vec<u8>,
    },
    /// A part of a file that a command left in its working directory.
    File {
        /// Path relative to that directory. Not to be trusted.
        name: String,
        /// The bytes.
        #[serde(with = "bytes")]
        data: Vec<u8>,
        /// Whether it is the file's first part.
        first: bool,
        /// Whether it is the last: a file is whole only then.
        last: bool,
    },
}

/// How frames get to and from an interface of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Driver {
    /// The guest's netmap module.
    Netmap,
    /// A packet socket.
    Packet,
    /// An `AF_XDP` socket.
    Xdp,
    /// DPDK, which takes a virtio device from the guest's kernel.
    Dpdk,
}

/// An interface that was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// As the guest calls it: `eth0`, or a device of DPDK's.
    pub interface: String,
    /// The guest's netmap module, if it was opened by that.
    pub netmap: Option<LoadedModule>,
    /// What DPDK made of it, if it was opened by that.
    pub dpdk: Option<DpdkFacts>,
    /// How its driver serves XDP, if it was opened by that.
    pub xdp: Option<XdpFacts>,
}

impl Interface {
    /// An interface of which no more is known than what the guest calls it.
    #[must_use]
    pub fn called(interface: String) -> Interface {
        Interface { interface, netmap: None, dpdk: None, xdp: None }
    }
}

/// Where a command's output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its exit code, if it exited.
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
}

/// Asked by the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Are you there? Answered by [`Reply::Pong`].
    Ping,
    /// Allocate the memory of a port in CSB mode. Answered by [`Reply::Memory`].
    AllocatePort {
        /// Number of the port in this guest, from 0.
        port: usize,
        /// Bytes needed.
        len: u64,
    },
    /// Open the port that was laid out in that memory. Answered by [`Reply::Done`].
    OpenPort {
        /// Number of the port.
        port: usize,
        /// Name for messages.
        name: String,
        /// Where it was laid out.
        location: PortLocation,
        /// The shape it was laid out with.
        shape: PortShape,
        /// Its Ethernet address.
        mac: [u8; 6],
    },
    /// Open the interface with this address. Answered by [`Reply::Interface`].
    OpenInterface {
        /// Number of the port in this guest, from 0.
        port: usize,
        /// Name for messages.
        name: String,
        /// The interface's Ethernet address.
        mac: [u8; 6],
        /// By which of the kernel's ways.
        driver: Driver,
    },
    /// Get an engine ready to play these roles; one entry a port. Answered by [`Reply::Done`].
    Prepare {
        /// Port number and roles.
        roles: Vec<(usize, PortRoles)>,
        /// What to do without work.
        idle: IdlePolicy,
    },
    /// Get an engine ready to forward between two ports, in both directions. Answered by [`Reply::Done`].
    Forward {
        /// Their numbers.
        ports: [usize; 2],
        /// How, from the first to the second, and back.
        specs: [FwdSpec; 2],
        /// What to do without work.
        idle: IdlePolicy,
    },
    /// Join two interfaces that were opened by netmap on a VALE switch of the guest's kernel, for good: their ports are
    /// closed. Gets an engine ready that does nothing beside it. Answered by [`Reply::Done`].
    Bridge {
        /// Numbers of their ports.
        ports: [usize; 2],
    },
    /// Measure the engine's own round trips, as [`pktgen::engine::floor`] does. Answered by [`Reply::Floor`].
    Floor {
        /// Size of the probes, including FCS.
        size: u16,
        /// What to do without work.
        idle: IdlePolicy,
        /// For how long.
        length_ms: u32,
    },
    /// Bring the engine to a phase. Answered by [`Reply::Done`] when it is there.
    Phase {
        /// The phase.
        phase: Phase,
    },
    /// Run a command, as [`crate::command::run`] does. Answered by [`Reply::Ended`] after any number of
    /// [`Event::Alive`], [`Event::Output`] and [`Event::File`].
    Run {
        /// The program and its arguments.
        argv: Vec<String>,
        /// Its environment.
        env: Vec<(String, String)>,
    },
    /// The kernel's log. Answered by [`Reply::KernelLog`].
    KernelLog,
    /// End the engine and report. Answered by [`Reply::Report`].
    Report,
    /// Power off. Not answered.
    PowerOff,
}

/// Answered by the guest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// It was done.
    Done,
    /// Here.
    Pong {
        /// Guest's monotonic clock in nanoseconds.
        clock_ns: u64,
    },
    /// The memory, in the order in which it is contiguous for the guest.
    Memory {
        /// Where it lies.
        extents: Vec<GuestExtent>,
    },
    /// The engine's own round trips.
    Floor {
        /// HDR histogram as text; [`pktgen::latency::Latency::decode`] reads it.
        histogram: String,
    },
    /// What each port did.
    Report {
        /// Port number and report, of an engine with roles.
        ports: Vec<(usize, PortReport)>,
        /// Of a forwarder, each direction.
        forwarded: Vec<FwdReport>,
    },
    /// The interface that was opened.
    Interface(Interface),
    /// How the command ended.
    Ended(Ended),
    /// The kernel's log.
    KernelLog {
        /// As `dmesg` shows it.
        text: String,
    },
    /// It cannot be done.
    Failed {
        /// Why, as a sentence.
        message: String,
    },
}

/// Anything the guest says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FromGuest {
    /// Unasked.
    Event(Event),
    /// Answered.
    Reply(Reply),
}

/// Bytes as base64.
mod bytes {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(data: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        STANDARD.encode(data).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Encodes a message with its length.
pub fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(message)?;
    if body.len() > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {} bytes", body.len())));
    }
    let mut bytes = Vec::with_capacity(4 + body.len());
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Takes the first whole message off `bytes`, if there is one.
pub fn decode<T: for<'de> Deserialize<'de>>(bytes: &mut Vec<u8>) -> io::Result<Option<T>> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let Some(head) = bytes.first_chunk::<4>() else { return Ok(None) };
    let len = u32::from_le_bytes(*head) as usize;
    if len > MAX_MESSAGE {
        return Err(invalid(format!("a message of {len} bytes, {MAX_MESSAGE} are allowed")));
    }
    let Some(body) = bytes.get(4..4 + len) else { return Ok(None) };
    let message = serde_json::from_slice(body).map_err(|e| invalid(format!("not a message of ours: {e}")))?;
    bytes.drain(..4 + len);
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_being_cut_anywhere() {
        let messages = [Request::Ping, Request::AllocatePort { port: 1, len: 1 << 21 }, Request::Report];
        let stream: Vec<u8> = messages.iter().flat_map(|m| encode(m).unwrap()).collect();
        for cut in 0..stream.len() {
            let (mut got, mut buffer) = (Vec::new(), Vec::new());
            for part in [&stream[..cut], &stream[cut..]] {
                buffer.extend_from_slice(part);
                while let Some(message) = decode::<Request>(&mut buffer).unwrap() {
                    got.push(message);
                }
            }
            assert_eq!(got, messages);
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn what_a_guest_says_is_told_apart() {
        let fault = Event::Fault { message: "no memory".into() };
        let output = Event::Output { stream: Stream::Stderr, data: b"\xff\0".to_vec() };
        let ended = Reply::Ended(Ended { code: None, signal: Some(9) });
        let reply = Reply::Failed { message: "no such port".into() };
        for (bytes, expected) in [
            (encode(&fault).unwrap(), FromGuest::Event(fault.clone())),
            (encode(&output).unwrap(), FromGuest::Event(output.clone())),
            (encode(&ended).unwrap(), FromGuest::Reply(ended.clone())),
            (encode(&reply).unwrap(), FromGuest::Reply(reply.clone())),
        ] {
            assert_eq!(decode::<FromGuest>(&mut bytes.clone()).unwrap(), Some(expected));
        }
    }

    #[test]
    fn rubbish_is_refused_at_once() {
        for bytes in [
            &b"\xff\xff\xff\xff"[..],
            b"\x02\x00\x00\x00{}",
            b"\x04\x00\x00\x00null",
            b"\x01\x00\x00\x00\xff",
        ] {
            let error = decode::<FromGuest>(&mut bytes.to_vec()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bytes:?}");
        }
    }
}
