//! A Linux network interface through `AF_XDP` (`Documentation/networking/af_xdp.rst`): frames lie in memory of ours
//! that the kernel shares, and a small XDP program hands over what the interface receives before its stack sees it.
//!
//! The interface's first queue is the port; what others receive goes to the kernel's stack. Where the driver serves
//! XDP, the program runs in it, and where it can also use our memory, frames are not even copied; elsewhere it runs in
//! the stack and frames are copied. [`XdpPort::facts`] tells.
//!
//! # Who owns a frame
//! Memory is cut into chunks, one a frame; half of them are for sending, half for receiving. Four rings of chunk
//! addresses say whose a chunk is, each with one producer and one consumer:
//! 1. A transmit chunk is ours while it is in `free`; the kernel's from the release store of the transmit ring's
//!    producer on, until the completion ring names it.
//! 2. A receive chunk is the kernel's from the release store of the fill ring's producer on, until the receive ring
//!    names it.
//! 3. Entries of a ring are read after an acquire load of the other side's index, and given away by a release store
//!    of our own, after the last access to them and to the bytes they name.
//! 4. Slices of a chunk live for one call of the role's closure, between the two.
//! 5. Memory and rings are mapped while the port lives, and no other part of this process has their addresses.
#![allow(unsafe_code)]

mod program;
mod ring;

pub use super::interface::Options;
use super::interface::{Interface, promiscuous, wait_for};
use crate::Error;
use crate::port::{Interest, Port, PortError, PortInfo, RxFrame, TxFrame};
use program::{Attached, Place};
use ring::{Memory, Ring};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::xdp::{
    SocketAddrXdp, SocketAddrXdpFlags, XDP_PGOFF_RX_RING, XDP_PGOFF_TX_RING, XDP_UMEM_PGOFF_COMPLETION_RING,
    XDP_UMEM_PGOFF_FILL_RING, XdpDesc, XdpDescOptions, XdpOptionsFlags, XdpUmemReg, XdpUmemRegFlags,
};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, bind, send, socket_with, sockopt};
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

/// What the kernel keeps before a received frame (`XDP_PACKET_HEADROOM`).
const HEADROOM: usize = 256;
/// The kernel takes no larger chunks than a page.
const CHUNKS: [usize; 2] = [2048, 4096];
/// The least and the most slots of a ring.
const SLOTS: std::ops::RangeInclusive<u32> = 64..=1 << 15;
/// How long an interface may still be held by a port that was closed: the kernel lets go of sockets a little later.
const RELEASED_WITHIN: Duration = Duration::from_secs(2);

/// How an interface serves its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct XdpFacts {
    /// The program runs in the driver; else in the kernel's stack (generic XDP).
    pub in_driver: bool,
    /// The driver uses the port's memory; else frames are copied.
    pub zero_copy: bool,
}

impl fmt::Display for XdpFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.in_driver { "in the driver" } else { "generic" })?;
        f.write_str(if self.zero_copy { ", zero copy" } else { ", copying" })
    }
}

/// What the kernel had no room for, or did not understand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops {
    /// Received frames that found no free chunk, or were longer than one.
    pub dropped: u64,
    /// Received frames that found the receive ring full.
    pub ring_full: u64,
    /// Entries of ours that the kernel refused.
    pub invalid: u64,
}

/// The first queue of a network interface as a port. It needs `CAP_NET_RAW`, `CAP_NET_ADMIN` and `CAP_BPF`, and Linux
/// 5.9 or later.
#[derive(Debug)]
pub struct XdpPort {
    info: PortInfo,
    facts: XdpFacts,
    socket: OwnedFd,
    tx: Ring<XdpDesc>,
    done: Ring<u64>,
    rx: Ring<XdpDesc>,
    fill: Ring<u64>,
    memory: Memory,
    /// Transmit chunks that are ours.
    free: Vec<u32>,
    /// The kernel may not have seen all of the transmit ring.
    unsent: bool,
    _program: Attached,
    /// Keeps the interface promiscuous.
    _packet: OwnedFd,
}

impl XdpPort {
    /// Opens the first queue of the network interface named `interface`.
    pub fn open(interface: &str, options: Options) -> Result<Self, Error> {
        options.check(&SLOTS)?;
        let failed = |operation| {
            move |source: io::Error| Error::Interface { interface: interface.into(), operation, source }
        };
        let Interface { socket: packet, index, mac, mtu } = Interface::find(interface)?;
        let max_frame = mtu + 14;
        let chunk = CHUNKS.into_iter().find(|chunk| max_frame + HEADROOM <= *chunk).ok_or_else(|| {
            let what = format!("an MTU of {mtu} takes more than the page that AF_XDP has for a frame");
            failed("use it")(io::Error::new(io::ErrorKind::Unsupported, what))
        })?;
        if options.promiscuous {
            promiscuous(&packet, index).map_err(failed("make it promiscuous"))?;
        }
        let slots = options.slots;
        let memory = Memory::new(chunk, 2 * slots as usize).map_err(failed("get memory for it"))?;
        let (socket, [tx, rx], [fill, done]) =
            rings(&memory, slots).map_err(|e| failed("set up an AF_XDP socket for it")(e.into()))?;
        bind_to(&socket, index).map_err(|e| failed("bind an AF_XDP socket to it")(e.into()))?;
        let program = program::attach(index, socket.as_fd())
            .map_err(|(operation, source)| failed(operation)(source))?;
        let flags = sockopt::xdp_options(&socket).map_err(|e| failed("ask about it")(e.into()))?;
        let zero_copy = flags.contains(XdpOptionsFlags::XDP_OPTIONS_ZEROCOPY);
        let mut port = XdpPort {
            info: PortInfo {
                name: interface.into(),
                driver: "xdp",
                tx_slots: slots,
                rx_slots: slots,
                max_frame: max_frame as u16,
                keys: slots,
                queues: 1,
                mac: Some(mac),
            },
            facts: XdpFacts { in_driver: program.place == Place::Driver, zero_copy },
            socket,
            tx,
            done,
            rx,
            fill,
            memory,
            free: (0..slots).rev().collect(),
            unsent: false,
            _program: program,
            _packet: packet,
        };
        for chunk_number in slots..2 * slots {
            port.fill.put(u64::from(chunk_number) * chunk as u64);
        }
        port.fill.publish();
        Ok(port)
    }

    /// How the interface serves it.
    pub fn facts(&self) -> XdpFacts {
        self.facts
    }

    /// What was dropped so far.
    pub fn drops(&self) -> Result<Drops, PortError> {
        let seen =
            sockopt::xdp_statistics(&self.socket).map_err(|e| self.error("read statistics of", e.into()))?;
        Ok(Drops {
            dropped: seen.rx_dropped + seen.rx_fill_ring_empty_descs.unwrap_or(0),
            ring_full: seen.rx_ring_full.unwrap_or(0),
            invalid: seen.rx_invalid_descs + seen.tx_invalid_descs,
        })
    }

    #[cold]
    fn error(&self, operation: &'static str, source: io::Error) -> PortError {
        PortError { port: self.info.name.clone(), operation, source: source.into() }
    }

    /// Takes back what was sent.
    fn reap(&mut self) {
        let count = self.done.available(self.info.tx_slots);
        for _ in 0..count {
            let chunk = self.done.take() as usize / self.memory.chunk;
            debug_assert!(chunk < self.info.tx_slots as usize);
            self.free.push(chunk as u32);
        }
        if count > 0 {
            self.done.publish();
        }
    }

    /// Has the kernel send what is published.
    fn kick(&mut self) -> Result<(), PortError> {
        // Copying, a call takes a few frames at most; each that succeeds gets at least one on.
        for _ in 0..=self.info.tx_slots {
            if !self.tx.pending() || !self.tx.needs_wakeup() {
                break;
            }
            let before = self.tx.seen;
            match send(&self.socket, &[], SendFlags::DONTWAIT) {
                Ok(_) | Err(Errno::INTR) => {}
                // More than fits one call, or what is in the way goes by itself.
                Err(Errno::AGAIN | Errno::BUSY | Errno::NOBUFS) => {
                    self.reap();
                    self.tx.pending();
                    if self.tx.seen == before {
                        break;
                    }
                }
                Err(errno) => return Err(self.error("send on", errno.into())),
            }
        }
        self.unsent = self.tx.pending();
        Ok(())
    }
}

type Rings = (OwnedFd, [Ring<XdpDesc>; 2], [Ring<u64>; 2]);

/// A socket with `memory`, its transmit and receive rings, and its fill and completion rings.
fn rings(memory: &Memory, slots: u32) -> rustix::io::Result<Rings> {
    let socket = socket_with(AddressFamily::XDP, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let region = XdpUmemReg {
        addr: memory.base.as_ptr() as u64,
        len: memory.len as u64,
        chunk_size: memory.chunk as u32,
        headroom: 0,
        flags: XdpUmemRegFlags::empty(),
        tx_metadata_len: 0,
    };
    sockopt::set_xdp_umem_reg(&socket, region)?;
    sockopt::set_xdp_umem_fill_ring_size(&socket, slots)?;
    sockopt::set_xdp_umem_completion_ring_size(&socket, slots)?;
    sockopt::set_xdp_rx_ring_size(&socket, slots)?;
    sockopt::set_xdp_tx_ring_size(&socket, slots)?;
    let offsets = sockopt::xdp_mmap_offsets(&socket)?;
    let tx = Ring::map(&socket, XDP_PGOFF_TX_RING, offsets.tx, slots, true)?;
    let rx = Ring::map(&socket, XDP_PGOFF_RX_RING, offsets.rx, slots, false)?;
    let fill = Ring::map(&socket, XDP_UMEM_PGOFF_FILL_RING, offsets.fr, slots, true)?;
    let done = Ring::map(&socket, XDP_UMEM_PGOFF_COMPLETION_RING, offsets.cr, slots, false)?;
    Ok((socket, [tx, rx], [fill, done]))
}

fn bind_to(socket: &OwnedFd, index: u32) -> rustix::io::Result<()> {
    let address = SocketAddrXdp::new(SocketAddrXdpFlags::XDP_USE_NEED_WAKEUP, index, 0);
    let end = Instant::now() + RELEASED_WITHIN;
    loop {
        match bind(socket, &address) {
            Err(Errno::BUSY) if Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
            ended => return ended,
        }
    }
}

impl Port for XdpPort {
    fn info(&self) -> &PortInfo {
        &self.info
    }

    fn tx_batch<F: FnMut(TxFrame<'_>) -> u16>(&mut self, max: u32, mut fill: F) -> Result<u32, PortError> {
        if (self.free.len() as u32) < max {
            self.reap();
        }
        let room = self.tx.available(max).min(max);
        let mut count = 0;
        while count < room {
            let Some(&chunk) = self.free.last() else { break };
            let at = chunk as usize * self.memory.chunk;
            // SAFETY: a transmit chunk that is ours (rule 1), within the memory, and the slice ends with the call
            // (rule 4).
            let buf = unsafe {
                std::slice::from_raw_parts_mut(self.memory.base.add(at).as_ptr(), self.info.max_frame.into())
            };
            let len = fill(TxFrame { key: Some(chunk), swapped: false, buf });
            if len == 0 {
                break;
            }
            self.free.pop();
            let len = len.min(self.info.max_frame).into();
            self.tx.put(XdpDesc { addr: at as u64, len, options: XdpDescOptions::empty() });
            count += 1;
        }
        if count > 0 {
            self.tx.publish();
        }
        if count > 0 || self.unsent {
            self.kick()?;
        }
        Ok(count)
    }

    fn rx_batch<F: FnMut(RxFrame<'_>)>(&mut self, max: u32, mut sink: F) -> Result<u32, PortError> {
        let count = self.rx.available(max).min(max);
        for _ in 0..count {
            let XdpDesc { addr, len, .. } = self.rx.take();
            let from = (addr as usize).min(self.memory.len);
            let len = (len as usize).min(self.memory.len - from);
            // SAFETY: a receive chunk that is ours (rule 2), within the memory; nobody writes to it while it is, and
            // the slice ends with the call (rule 4).
            let data = unsafe { std::slice::from_raw_parts(self.memory.base.add(from).as_ptr(), len) };
            sink(RxFrame { data, more: false });
            // There are as many receive chunks as the fill ring has slots.
            self.fill.put((from - from % self.memory.chunk) as u64);
        }
        if count > 0 {
            self.rx.publish();
            self.fill.publish();
        }
        if self.fill.needs_wakeup() {
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
            let _ = poll(&mut fds, Some(&Timespec::default()));
        }
        Ok(count)
    }

    fn tx_pending(&mut self) -> Result<u32, PortError> {
        if self.unsent {
            self.kick()?;
        }
        self.reap();
        Ok(self.info.tx_slots - self.free.len() as u32)
    }

    fn wait(&mut self, interest: Interest, timeout: Duration) -> Result<(), PortError> {
        if self.unsent {
            self.kick()?;
        }
        // The ring may count as writable while chunks are still out; those come back without a sign.
        if interest != Interest::Rx {
            self.reap();
            if self.free.is_empty() || self.unsent {
                std::thread::sleep(timeout.min(Duration::from_micros(50)));
            }
            return Ok(());
        }
        let waited = wait_for(&self.socket, PollFlags::IN, timeout);
        waited.map(drop).map_err(|e| self.error("wait for", e))
    }
}

#[cfg(test)]
mod tests;
