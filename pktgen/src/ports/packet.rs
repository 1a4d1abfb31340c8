//! A Linux network interface through `AF_PACKET` with memory-mapped rings (`packet(7)`,
//! `Documentation/networking/packet_mmap.rst`).
//!
//! Both rings are `TPACKET_V2`. V3's receive blocks save work at high rates, but hand frames over only when a
//! block fills or a timer of at least a millisecond runs out, which would be most of a round trip; V2 hands over
//! each frame as it arrives. Frames leave past the queueing discipline, and a port does not receive what it sent.
//! The kernel strips VLAN tags on receipt; they are not put back.
//!
//! # Who owns a frame
//! Each frame of a ring begins with a header whose status word says whose it is: a transmit frame is ours while
//! the status is `TP_STATUS_AVAILABLE`, a receive frame while it has `TP_STATUS_USER`; else it is the kernel's.
//! 1. A frame's bytes are touched only after an acquire load of its status has said that it is ours.
//! 2. A frame is given away by a release store of its status, after the last access to its bytes.
//! 3. Slices of a frame live for one call of the role's closure, between the two.
//! 4. The rings are mapped while the port lives, and no other part of this process has their address.
#![allow(unsafe_code)]

pub use super::interface::Options;
use super::interface::{Interface, check, promiscuous, set_option, wait_for};
use crate::Error;
use crate::port::{Interest, Port, PortError, PortInfo, RxFrame, TxFrame};
use rustix::event::PollFlags;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::net::{SendFlags, send, sockopt};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Bytes between a transmit frame's start and its Ethernet header: the status header, rounded up.
const TX_OFFSET: usize = libc::TPACKET2_HDRLEN - size_of::<libc::sockaddr_ll>();
/// Room the kernel keeps before a received frame's Ethernet header, rounded up generously.
const RX_RESERVE: usize = 128;
/// Most bytes of one ring: with a large MTU there are fewer slots.
const RING_BYTES: usize = 32 << 20;
/// The least and the most slots of a ring; there are fewer where the MTU is so large that they would take more than
/// [`RING_BYTES`].
const SLOTS: std::ops::RangeInclusive<u32> = 64..=1 << 16;

/// What the kernel received on a port and what it had no slot for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops {
    /// Frames that reached the socket, dropped ones included.
    pub arrived: u64,
    /// Frames dropped because the receive ring was full.
    pub dropped: u64,
    /// Frames received in part, because they were longer than a slot.
    pub truncated: u64,
    /// Frames sent that the driver refused for congestion.
    pub refused: u64,
}

/// A network interface as a port. It needs `CAP_NET_RAW`, and Linux 4.20 or later.
#[derive(Debug)]
pub struct PacketPort {
    info: PortInfo,
    socket: OwnedFd,
    rx: Ring,
    tx: Ring,
    /// The mapping of both rings, the receive ring first.
    map: NonNull<u8>,
    map_len: usize,
    /// Frames were published that the kernel has not been told of, or has not got round to.
    unsent: bool,
    drops: Drops,
}

// SAFETY: the raw pointers lead to the port's own mapping (rule 4), which any one thread may use.
unsafe impl Send for PacketPort {}

#[derive(Debug)]
struct Ring {
    base: NonNull<u8>,
    frame_size: usize,
    slots: u32,
    next: u32,
}

impl Ring {
    fn slot(&self, slot: u32) -> NonNull<u8> {
        debug_assert!(slot < self.slots);
        // SAFETY: slots lie one after the other from `base` in the port's mapping, `slots` of them.
        unsafe { self.base.add(slot as usize * self.frame_size) }
    }

    fn status(&self, slot: u32) -> &AtomicU32 {
        // SAFETY: the status is the first word of the frame's header, aligned to 16 bytes, mapped while the port
        // lives (rule 4), and accessed atomically by us and by the kernel.
        unsafe { AtomicU32::from_ptr(self.slot(slot).cast::<u32>().as_ptr()) }
    }

    fn step(&mut self) {
        self.next = if self.next + 1 == self.slots { 0 } else { self.next + 1 };
    }

    /// Slots whose status has a bit of `bits`.
    fn count(&self, bits: u32) -> u32 {
        (0..self.slots).filter(|&slot| self.status(slot).load(Ordering::Acquire) & bits != 0).count() as u32
    }
}

impl PacketPort {
    /// Opens the network interface named `interface`.
    pub fn open(interface: &str, options: Options) -> Result<Self, Error> {
        options.check(&SLOTS)?;
        let failed = |operation| {
            move |source: io::Error| Error::Interface { interface: interface.into(), operation, source }
        };
        let Interface { socket, index, mac, mtu } = Interface::find(interface)?;
        let max_frame = (mtu + 14).min(u16::MAX.into());

        let frame_size = (max_frame + RX_RESERVE).next_power_of_two();
        let slots = (options.slots as usize).min(RING_BYTES / frame_size);
        let block_size = frame_size.max(1 << 16);
        let request = libc::tpacket_req {
            tp_block_size: block_size as u32,
            tp_block_nr: (slots * frame_size / block_size) as u32,
            tp_frame_size: frame_size as u32,
            tp_frame_nr: slots as u32,
        };
        let set = |option, value, operation| set_option(&socket, option, value).map_err(failed(operation));
        let yes: &libc::c_int = &1;
        let version = libc::tpacket_versions::TPACKET_V2 as libc::c_int;
        set_option(&socket, libc::PACKET_VERSION, &version).map_err(failed("choose TPACKET_V2"))?;
        set(libc::PACKET_IGNORE_OUTGOING, yes, "leave out what it sends itself (needs Linux 4.20)")?;
        set(libc::PACKET_QDISC_BYPASS, yes, "bypass its queueing discipline")?;
        set_option(&socket, libc::PACKET_RX_RING, &request).map_err(failed("set up a receive ring"))?;
        set_option(&socket, libc::PACKET_TX_RING, &request).map_err(failed("set up a transmit ring"))?;
        if options.promiscuous {
            promiscuous(&socket, index).map_err(failed("make it promiscuous"))?;
        }
        // Frames in flight are charged to the socket. Without the privilege to raise the limit the ring still
        // works, only less of it at a time.
        let charge = slots * frame_size;
        if sockopt::set_socket_send_buffer_size_force(&socket, charge).is_err() {
            sockopt::set_socket_send_buffer_size(&socket, charge)
                .map_err(|e| failed("enlarge its send buffer")(e.into()))?;
        }

        let map_len = 2 * slots * frame_size;
        // SAFETY: a new mapping at an address the kernel chooses; no memory of ours is affected.
        let map = unsafe {
            mmap(
                std::ptr::null_mut(),
                map_len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::POPULATE,
                &socket,
                0,
            )
        }
        .map_err(|e| failed("map its rings")(e.into()))?;
        let map = NonNull::new(map.cast::<u8>()).expect("the kernel does not map page 0");
        let ring = |base| Ring { base, frame_size, slots: slots as u32, next: 0 };
        // SAFETY: the transmit ring follows the receive ring in the mapping.
        let tx_base = unsafe { map.add(map_len / 2) };
        let info = PortInfo {
            name: interface.into(),
            driver: "packet",
            tx_slots: slots as u32,
            rx_slots: slots as u32,
            max_frame: max_frame as u16,
            keys: slots as u32,
            queues: 1,
            mac: Some(mac),
        };
        let (unsent, drops) = (false, Drops::default());
        let port = Self { info, socket, rx: ring(map), tx: ring(tx_base), map, map_len, unsent, drops };
        bind(&port.socket, index).map_err(failed("bind to it"))?;
        Ok(port)
    }

    /// What was dropped so far.
    pub fn drops(&mut self) -> Result<Drops, PortError> {
        let mut stats = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut len = size_of_val(&stats) as libc::socklen_t;
        // SAFETY: the kernel writes at most `len` bytes to `stats`, plain integers both, which live long enough.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut stats).cast(),
                &raw mut len,
            )
        };
        check(result).map_err(|e| self.error("read statistics of", e))?;
        // The kernel counts from the last reading on.
        self.drops.arrived += u64::from(stats.tp_packets);
        self.drops.dropped += u64::from(stats.tp_drops);
        Ok(self.drops)
    }

    #[cold]
    fn error(&self, operation: &'static str, source: io::Error) -> PortError {
        PortError { port: self.info.name.clone(), operation, source: source.into() }
    }

    /// Has the kernel send what is published.
    fn kick(&mut self) -> Result<(), PortError> {
        // A driver's refusal costs one frame and ends the call; each further call gets at least one frame on.
        for _ in 0..=self.tx.slots {
            match send(&self.socket, &[], SendFlags::DONTWAIT) {
                Ok(_) | Err(Errno::AGAIN) => break,
                Err(Errno::NOBUFS) => self.drops.refused += 1,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.error("send on", errno.into())),
            }
        }
        let last = if self.tx.next == 0 { self.tx.slots - 1 } else { self.tx.next - 1 };
        self.unsent = self.tx.status(last).load(Ordering::Acquire) & libc::TP_STATUS_SEND_REQUEST != 0;
        Ok(())
    }

    fn tx_free(&self) -> bool {
        self.tx.status(self.tx.next).load(Ordering::Acquire) == libc::TP_STATUS_AVAILABLE
    }
}

impl Port for PacketPort {
    fn info(&self) -> &PortInfo {
        &self.info
    }

    fn tx_batch<F: FnMut(TxFrame<'_>) -> u16>(&mut self, max: u32, mut fill: F) -> Result<u32, PortError> {
        let mut count = 0;
        while count < max && self.tx_free() {
            let slot = self.tx.next;
            let start = self.tx.slot(slot);
            // SAFETY: the frame is ours (rule 1, checked by `tx_free`), TX_OFFSET + max_frame is less than the
            // frame's size, and the slice ends with the call (rule 3).
            let buf = unsafe {
                std::slice::from_raw_parts_mut(start.add(TX_OFFSET).as_ptr(), self.info.max_frame.into())
            };
            let len = fill(TxFrame { key: Some(slot), swapped: false, buf });
            if len == 0 {
                break;
            }
            let header = start.cast::<libc::tpacket2_hdr>().as_ptr();
            // SAFETY: the frame's header, ours as well; `fill`'s slice is gone.
            unsafe { (&raw mut (*header).tp_len).write(len.min(self.info.max_frame).into()) };
            self.tx.status(slot).store(libc::TP_STATUS_SEND_REQUEST, Ordering::Release);
            self.tx.step();
            count += 1;
        }
        if count > 0 || self.unsent {
            self.kick()?;
        }
        Ok(count)
    }

    fn rx_batch<F: FnMut(RxFrame<'_>)>(&mut self, max: u32, mut sink: F) -> Result<u32, PortError> {
        let mut count = 0;
        while count < max {
            let slot = self.rx.next;
            if self.rx.status(slot).load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                break;
            }
            let start = self.rx.slot(slot);
            // SAFETY: the frame is ours (rule 1); its header holds plain integers, which are copied out.
            let header = unsafe { start.cast::<libc::tpacket2_hdr>().read() };
            let from = usize::from(header.tp_mac);
            let len = (header.tp_snaplen as usize).min(self.rx.frame_size.saturating_sub(from));
            self.drops.truncated += u64::from(header.tp_snaplen < header.tp_len);
            // SAFETY: `from` and `len` lie within the frame, which is ours (rule 1); nobody writes to it while it
            // is, and the slice ends with the call (rule 3).
            let data = unsafe { std::slice::from_raw_parts(start.add(from).as_ptr(), len) };
            sink(RxFrame { data, more: false });
            self.rx.status(slot).store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.rx.step();
            count += 1;
        }
        Ok(count)
    }

    fn tx_pending(&mut self) -> Result<u32, PortError> {
        if self.unsent {
            self.kick()?;
        }
        Ok(self.tx.count(libc::TP_STATUS_SEND_REQUEST))
    }

    fn wait(&mut self, interest: Interest, timeout: Duration) -> Result<(), PortError> {
        if self.unsent {
            self.kick()?;
        }
        let flags = match interest {
            Interest::Tx => PollFlags::OUT,
            Interest::Rx => PollFlags::IN,
            Interest::Both => PollFlags::IN | PollFlags::OUT,
        };
        let ready = wait_for(&self.socket, flags, timeout).map_err(|e| self.error("wait for", e))?;
        // The socket may count as writable before a slot is free.
        if ready == PollFlags::OUT && !self.tx_free() {
            std::thread::sleep(timeout.min(Duration::from_micros(50)));
        }
        Ok(())
    }
}

impl Drop for PacketPort {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `open`; the rings' pointers into it die with the port, and no slice of a
        // frame outlives a batch (rule 3).
        let unmapped = unsafe { munmap(self.map.as_ptr().cast(), self.map_len) };
        debug_assert!(unmapped.is_ok(), "unmapping a whole mapping fails only for wrong operands");
    }
}

fn bind(socket: &OwnedFd, index: u32) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: index as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let len = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes of `address`, which lives through the call.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) })
}

#[cfg(test)]
mod tests;
