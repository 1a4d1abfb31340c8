//! The switch itself: takes batches from transmit rings, decides where each packet goes, copies.
//!
//! A batch goes through three steps, as in VALE. *Collect*: read each slot once and check it, start fetching
//! headers. *Decide*: learn the source, look up the destination, append the packet to its destination's list.
//! *Deliver*: for each destination fill its receive ring and publish once.
//!
//! No threads, no descriptors, no clocks: [`switch`](crate::switch) has those.

use crate::counters::{Counters, Snapshot};
use crate::table::{MacTable, is_group};
use netmap_rs::csb::kern::{Frame, KernRx, KernTx};
use netmap_rs::doorbell::Doorbell;
use netmap_rs::layout::{LayoutError, PortLayout};
use netmap_rs::memory::Memory;
use netmap_rs::sys::{NS_INDIRECT, NS_MOREFRAG, NS_NO_LEARN};
use std::sync::Arc;

/// Most ports: `NM_BDG_MAXPORTS` in netmap.
pub const MAX_PORTS: usize = 254;
/// Most slots taken from a ring at a visit. VALE takes up to 1024; at 256 a batch's headers and descriptors stay
/// in the first-level caches and a full ring is still served in four visits.
pub const BATCH: u32 = 256;
/// Most fragments of a packet: `NM_MULTISEG` in netmap.
pub const MAX_FRAGS: u32 = 64;
/// Ethernet header.
const MIN_LEN: u32 = 14;
/// `NS_PORT_SHIFT`: the high byte of a slot's flags names the destination port, if not 0; 255 means all.
const PORT_SHIFT: u16 = 8;
const PORT_ALL: u16 = 255;
/// List of packets to flood, beside one list a port.
const FLOOD: usize = MAX_PORTS;
/// End of a list of packets.
const NIL: u16 = u16::MAX;

/// One port of the switch: the kernel's half of its rings.
#[derive(Debug)]
pub struct SwitchPort {
    /// Name, for messages.
    pub name: String,
    tx: Vec<KernTx>,
    rx: Vec<KernRx>,
    /// By transmit ring: slots that wait for the rest of their chain, 0 if none do.
    stalled: Vec<u32>,
    doorbell: Doorbell,
    now: Snapshot,
    counters: Arc<Counters>,
    /// The doorbell failed: it is neither rung nor read any more.
    deaf: bool,
}

impl SwitchPort {
    /// Formats `mem` as a fresh port and takes the switch's side of it.
    pub fn new(
        name: &str,
        layout: &PortLayout,
        mem: &Arc<Memory>,
        doorbell: Doorbell,
        counters: Arc<Counters>,
    ) -> Result<SwitchPort, LayoutError> {
        layout.format(mem, name)?;
        let rings = layout.rings(mem)?;
        Ok(SwitchPort {
            name: name.to_owned(),
            stalled: vec![0; rings.tx.len()],
            tx: rings.tx.into_iter().map(|r| KernTx::new(mem.clone(), r)).collect(),
            rx: rings.rx.into_iter().map(|r| KernRx::new(mem.clone(), r)).collect(),
            doorbell,
            now: Snapshot::default(),
            counters,
            deaf: false,
        })
    }

    /// The doorbell the application rings.
    #[must_use]
    pub fn doorbell(&self) -> &Doorbell {
        &self.doorbell
    }

    /// Takes in the application's kicks; the first error is returned, and ends the use of the doorbell.
    pub fn drain_doorbell(&mut self) -> Option<std::io::Error> {
        if self.deaf {
            return None;
        }
        let error = self.doorbell.drain().err()?;
        self.deaf = true;
        Some(error)
    }

    /// Asks the application to kick when it sends.
    pub fn want_kicks(&mut self, on: bool) {
        for ring in &mut self.tx {
            ring.want_kicks(on);
        }
    }

    /// Whether the application has given slots that were not taken.
    pub fn has_work(&mut self) -> bool {
        // A ring with a bad cursor is work: the next visit puts it right.
        self.tx.iter_mut().zip(&self.stalled).any(|(ring, &stalled)| !matches!(ring.pending(), Ok(n) if n == stalled))
    }

    #[cold]
    fn wake(&mut self) {
        self.now.wakeups += 1;
        // A doorbell that cannot be rung is found dead by the next drain.
        if !self.deaf {
            let _ = self.doorbell.ring();
        }
    }
}

/// A packet of the batch at hand: a run of its frames, linked into its destination's list.
#[derive(Debug, Clone, Copy)]
struct Packet {
    first: u16,
    frags: u16,
    next: u16,
}

#[derive(Debug, Clone, Copy)]
struct List {
    head: u16,
    tail: u16,
}

const EMPTY: List = List { head: NIL, tail: NIL };

/// Scratch space of a batch, allocated once.
#[derive(Debug)]
struct Batch {
    frames: Vec<Frame>,
    packets: Vec<Packet>,
    lists: Box<[List; MAX_PORTS + 1]>,
    /// Destinations with a list, flood excluded.
    active: Vec<u8>,
}

impl Batch {
    fn clear(&mut self) {
        for &port in &self.active {
            self.lists[usize::from(port)] = EMPTY;
        }
        self.lists[FLOOD] = EMPTY;
        self.active.clear();
        self.frames.clear();
        self.packets.clear();
    }

    #[inline(always)]
    fn append(&mut self, list: usize, packet: u16) {
        let List { head, tail } = &mut self.lists[list];
        if *head == NIL {
            *head = packet;
            if list != FLOOD {
                self.active.push(list as u8);
            }
        } else {
            self.packets[usize::from(*tail)].next = packet;
        }
        *tail = packet;
    }
}

/// The switch: its ports and what it has learned.
#[derive(Debug)]
pub struct Forwarder {
    ports: Vec<Option<SwitchPort>>,
    table: MacTable,
    batch: Batch,
}

impl Default for Forwarder {
    fn default() -> Self {
        Forwarder {
            ports: (0..MAX_PORTS).map(|_| None).collect(),
            table: MacTable::default(),
            batch: Batch {
                frames: Vec::with_capacity(BATCH as usize),
                packets: Vec::with_capacity(BATCH as usize),
                lists: Box::new([EMPTY; MAX_PORTS + 1]),
                active: Vec::with_capacity(MAX_PORTS),
            },
        }
    }
}

impl Forwarder {
    /// Puts a port at `index`; gives it back if there is one already or no such index.
    pub fn insert(&mut self, index: u8, port: SwitchPort) -> Result<(), Box<SwitchPort>> {
        match self.ports.get_mut(usize::from(index)) {
            Some(place @ None) => {
                *place = Some(port);
                Ok(())
            }
            _ => Err(Box::new(port)),
        }
    }

    /// Takes the port at `index` out and forgets its addresses.
    pub fn remove(&mut self, index: u8) -> Option<SwitchPort> {
        self.table.forget(index);
        self.ports.get_mut(usize::from(index))?.take()
    }

    /// The lowest index without a port.
    #[must_use]
    pub fn free_index(&self) -> Option<u8> {
        self.ports.iter().position(Option::is_none).map(|i| i as u8)
    }

    /// Every port with its index.
    pub fn ports_mut(&mut self) -> impl Iterator<Item = (u8, &mut SwitchPort)> {
        self.ports.iter_mut().enumerate().filter_map(|(i, p)| Some((i as u8, p.as_mut()?)))
    }

    /// Forwards up to [`BATCH`] slots from each transmit ring of port `index`; how many slots it took.
    #[inline]
    pub fn forward_from(&mut self, index: u8) -> u32 {
        let mut taken = 0;
        let rings = self.ports[usize::from(index)].as_ref().map_or(0, |p| p.tx.len());
        for ring in 0..rings {
            taken += self.forward_ring(index, ring);
        }
        taken
    }

    fn forward_ring(&mut self, index: u8, ring: usize) -> u32 {
        let taken = self.collect(index, ring);
        if taken == 0 {
            return 0;
        }
        self.decide(index);
        self.deliver_all(index, ring);
        self.batch.clear();
        let Some(src) = &mut self.ports[usize::from(index)] else { return taken };
        if src.tx[ring].release(taken) {
            src.wake();
        }
        src.counters.publish(&src.now);
        taken
    }

    /// Reads and checks the slots at hand into the batch; how many slots that used up.
    #[inline(always)]
    fn collect(&mut self, index: u8, ring: usize) -> u32 {
        let batch = &mut self.batch;
        let Some(SwitchPort { tx, stalled, now, counters, .. }) = &mut self.ports[usize::from(index)] else { return 0 };
        let (tx, stalled) = (&mut tx[ring], &mut stalled[ring]);
        *stalled = 0;
        let pending = match tx.pending() {
            Ok(pending) => pending,
            Err(_) => {
                now.resets += 1;
                counters.publish(now);
                return 0;
            }
        };
        let full = pending == tx.num_slots() - 1;
        let n = pending.min(BATCH);
        let mut at = 0;
        while at < n {
            let first = batch.frames.len();
            match tx.frame(at) {
                Ok(frame) if frame.flags() & (NS_MOREFRAG | NS_INDIRECT) == 0 => {
                    frame.prefetch();
                    batch.frames.push(frame);
                    batch.packets.push(Packet { first: first as u16, frags: 1, next: NIL });
                    at += 1;
                    continue;
                }
                _ => {}
            }
            // The uncommon cases: a chain, an indirect or bad slot. A chain is good or dropped as a whole.
            let mut fault = None;
            let mut end = at;
            let complete = loop {
                if end == pending || end - at > MAX_FRAGS {
                    break false;
                }
                end += 1;
                match tx.frame(end - 1) {
                    Ok(frame) => {
                        if frame.flags() & NS_INDIRECT != 0 {
                            fault.get_or_insert(Fault::Indirect);
                        }
                        batch.frames.push(frame);
                        if frame.flags() & NS_MOREFRAG == 0 {
                            break true;
                        }
                    }
                    Err(_) => {
                        fault = Some(Fault::BadSlot);
                        break true;
                    }
                }
            };
            if !complete {
                // The rest may still come, unless the chain is too long or the ring has no room for it.
                let hopeless = end - at > MAX_FRAGS || (full && at == 0);
                if !hopeless {
                    batch.frames.truncate(first);
                    *stalled = pending - at;
                    break;
                }
                fault = Some(Fault::Chain);
            }
            if end > n && at > 0 {
                // Would outgrow the batch: the next visit begins with it.
                batch.frames.truncate(first);
                break;
            }
            if let Some(fault) = fault {
                now.tx_frames += 1;
                now.tx_bytes += batch.frames[first..].iter().map(|f| u64::from(f.len())).sum::<u64>();
                batch.frames.truncate(first);
                match fault {
                    Fault::BadSlot => {
                        now.drop_bad_slot += 1;
                        now.resets += 1;
                    }
                    Fault::Indirect => now.drop_indirect += 1,
                    Fault::Chain => now.drop_chain += 1,
                }
            } else {
                batch.packets.push(Packet { first: first as u16, frags: (end - at) as u16, next: NIL });
            }
            at = end;
        }
        at
    }

    /// Learns sources and appends each packet to the list of its destination.
    #[inline(always)]
    fn decide(&mut self, index: u8) {
        let Forwarder { ports, table, batch } = self;
        let mut last_src = u64::MAX;
        let mut last_dst = (u64::MAX, FLOOD);
        let (mut bytes, mut short, mut to_self, mut no_port, mut flooded) = (0u64, 0, 0, 0, 0);
        for k in 0..batch.packets.len() {
            let Packet { first, frags, .. } = batch.packets[k];
            let frame = batch.frames[usize::from(first)];
            bytes += u64::from(frame.len());
            if frags > 1 {
                let rest = &batch.frames[usize::from(first) + 1..usize::from(first) + usize::from(frags)];
                bytes += rest.iter().map(|f| u64::from(f.len())).sum::<u64>();
            }
            if u32::from(frame.len()) < MIN_LEN {
                short += 1;
                continue;
            }
            // SAFETY: the frame is in the memory of port `index`, which is in the table and keeps it mapped.
            let (dst, src) = unsafe { frame.macs() };
            if src != last_src && frame.flags() & NS_NO_LEARN == 0 && !is_group(src) {
                table.learn(src, index);
                last_src = src;
            }
            let explicit = frame.flags() >> PORT_SHIFT;
            let to = if explicit != 0 {
                if explicit == PORT_ALL { FLOOD } else { usize::from(explicit) }
            } else if is_group(dst) {
                FLOOD
            } else {
                if dst != last_dst.0 {
                    last_dst = (dst, table.lookup(dst).map_or(FLOOD, usize::from));
                }
                last_dst.1
            };
            if to == usize::from(index) {
                to_self += 1;
            } else if to != FLOOD && ports.get(to).is_none_or(Option::is_none) {
                no_port += 1;
            } else {
                flooded += u64::from(to == FLOOD);
                batch.append(to, k as u16);
            }
        }
        if let Some(SwitchPort { now, .. }) = &mut ports[usize::from(index)] {
            now.tx_frames += batch.packets.len() as u64;
            now.tx_bytes += bytes;
            now.drop_short += short;
            now.drop_to_self += to_self;
            now.drop_no_port += no_port;
            now.flooded += flooded;
        }
    }

    fn deliver_all(&mut self, index: u8, ring: usize) {
        let Forwarder { ports, batch, .. } = self;
        let flood = batch.lists[FLOOD].head;
        if flood == NIL {
            for i in 0..batch.active.len() {
                let to = usize::from(batch.active[i]);
                if let Some(port) = &mut ports[to] {
                    deliver(port, ring, batch, batch.lists[to].head, NIL);
                }
            }
            return;
        }
        let mut receivers = 0;
        for (to, port) in ports.iter_mut().enumerate().filter(|(to, _)| *to != usize::from(index)) {
            if let Some(port) = port {
                receivers += 1;
                deliver(port, ring, batch, batch.lists[to].head, flood);
            }
        }
        let mut frames = 0;
        let mut at = flood;
        while at != NIL {
            frames += 1;
            at = batch.packets[usize::from(at)].next;
        }
        if let Some(SwitchPort { now, .. }) = &mut ports[usize::from(index)] {
            if receivers == 0 {
                now.flooded -= frames;
                now.drop_no_port += frames;
            }
            now.flood_copies += frames * receivers;
        }
    }
}

enum Fault {
    BadSlot,
    Indirect,
    Chain,
}

/// Fills one receive ring of `port` from two lists, in the order the packets were sent.
#[inline(always)]
fn deliver(port: &mut SwitchPort, ring: usize, batch: &Batch, mut own: u16, mut flood: u16) {
    let SwitchPort { rx, now, counters, .. } = &mut *port;
    let n = rx.len();
    let rx = &mut rx[ring % n];
    let mut next = || {
        // NIL is larger than any packet's number, so the smaller of the two is the earlier packet.
        let list = if own < flood { &mut own } else { &mut flood };
        let packet = batch.packets.get(usize::from(*list))?;
        *list = packet.next;
        Some(packet)
    };
    let Ok(mut space) = rx.space() else {
        now.resets += 1;
        while next().is_some() {
            now.drop_rx_bad_slot += 1;
        }
        counters.publish(now);
        return;
    };
    for k in 0..PREFETCH.min(space) {
        rx.prefetch(k);
    }
    let (mut frames, mut bytes, mut full) = (0u64, 0u64, 0u64);
    let buf_size = rx.buf_size();
    while let Some(packet) = next() {
        let frags = u32::from(packet.frags);
        if frags > space {
            full += 1;
            continue;
        }
        let run = &batch.frames[usize::from(packet.first)..usize::from(packet.first + packet.frags)];
        if run.iter().any(|f| u32::from(f.len()) > buf_size) {
            now.drop_rx_too_long += 1;
            continue;
        }
        let mark = rx.mark();
        let mut put = Ok(());
        let mut run_bytes = 0;
        for frame in run {
            rx.prefetch(PREFETCH);
            let flags = (frame.flags() & NS_MOREFRAG) | (packet.frags << PORT_SHIFT);
            // SAFETY: the frame's port is in the table and keeps its memory mapped.
            put = unsafe { rx.put(frame, flags) };
            if put.is_err() {
                break;
            }
            run_bytes += u64::from(frame.len());
        }
        if put.is_err() {
            rx.rollback(mark);
            now.drop_rx_bad_slot += 1;
            now.resets += 1;
            continue;
        }
        frames += 1;
        bytes += run_bytes;
        space -= frags;
    }
    now.rx_frames += frames;
    now.rx_bytes += bytes;
    now.drop_rx_full += full;
    let wake = frames > 0 && rx.publish();
    if wake {
        port.wake();
    }
    port.counters.publish(&port.now);
}

/// How many receive buffers ahead to fetch: enough lines in flight to hide a miss, few enough to stay cached.
const PREFETCH: u32 = 12;
