//! The switch itself, or several of them (segments): takes batches from transmit rings, decides where each packet goes, copies.
//!
//! A batch goes through three steps, as in VALE. *Collect*: read each slot once and check it, start fetching
//! headers. *Decide*: learn the source, look up the destination, append the packet to its destination's list.
//! *Deliver*: for each destination fill its receive ring and publish once.
//!
//! Ports of different segments do not see each other: each segment has a table of its own, and what is flooded or sent
//! to a port by its number stays in it.
//!
//! No threads, no descriptors, no clocks: [`switch`](crate::switch) has those.

mod batch;
mod chain;
mod deliver;

use crate::faults::{Fault, FaultKind, FaultLog};
use crate::port::{SwitchPort, TxState};
use crate::switch::Segment;
use crate::table::{MacTable, is_group};
use batch::{Batch, NIL, Packet};
use chain::{End, Spoilt, read_chain, skip};
use deliver::deliver;
use netmap_rs::sys::{NS_INDIRECT, NS_MOREFRAG, NS_NO_LEARN, NS_PORT_SHIFT};

/// Most ports: `NM_BDG_MAXPORTS` in netmap.
pub const MAX_PORTS: usize = 254;
/// Most slots taken from a ring at a visit. VALE takes up to 1024; at 256 a batch's headers and descriptors stay
/// in the first-level caches and a full ring is still served in four visits.
pub const BATCH: u32 = 256;
/// Most fragments of a packet: `NM_MULTISEG` in netmap.
pub const MAX_FRAGS: u32 = 64;
/// Ethernet header.
const MIN_LEN: u32 = 14;
/// List of packets to flood, beside one list a port. As in VALE it is what the high byte of a slot's flags
/// (`NS_PORT_MASK`), which names the destination port if it is not 0, says for all ports.
const FLOOD: usize = 255;

/// The switch: its ports, and what each of its segments has learned.
#[derive(Debug)]
pub struct Forwarder {
    ports: Vec<Option<SwitchPort>>,
    tables: Vec<MacTable>,
    batch: Batch,
    faults: FaultLog,
}

impl Default for Forwarder {
    fn default() -> Self {
        Forwarder {
            ports: (0..MAX_PORTS).map(|_| None).collect(),
            tables: Vec::new(),
            batch: Batch::default(),
            faults: FaultLog::default(),
        }
    }
}

impl Forwarder {
    /// Puts a port at `index`; gives it back if there is one already or no such index.
    pub fn insert(&mut self, index: u8, mut port: SwitchPort) -> Result<(), Box<SwitchPort>> {
        match self.ports.get_mut(usize::from(index)) {
            Some(place @ None) => {
                port.report_to(&self.faults, index);
                let segments = usize::from(port.segment) + 1;
                if self.tables.len() < segments {
                    self.tables.resize_with(segments, MacTable::default);
                }
                *place = Some(port);
                Ok(())
            }
            _ => Err(Box::new(port)),
        }
    }

    /// Takes the port at `index` out and forgets its addresses.
    pub fn remove(&mut self, index: u8) -> Option<SwitchPort> {
        let port = self.ports.get_mut(usize::from(index))?.take()?;
        self.tables[usize::from(port.segment)].forget(index);
        Some(port)
    }

    /// The port at `index`.
    pub fn port_mut(&mut self, index: u8) -> Option<&mut SwitchPort> {
        self.ports.get_mut(usize::from(index))?.as_mut()
    }

    /// Takes the faults since the last call.
    #[must_use]
    pub fn take_faults(&self) -> Vec<Fault> {
        self.faults.take()
    }

    pub(crate) fn fault_log(&self) -> FaultLog {
        self.faults.clone()
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
        let rings = self.port_mut(index).map_or(0, |p| p.tx.len());
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
        let Some(src) = self.port_mut(index) else { return taken };
        // Before the release: who sees its slots taken finds them counted, here and at their receivers.
        src.counters.publish(&src.now);
        if src.tx[ring].ring.release(taken) {
            src.wake();
        }
        taken
    }

    /// Reads and checks the slots at hand into the batch; how many slots that used up.
    #[inline(always)]
    fn collect(&mut self, index: u8, ring: usize) -> u32 {
        let Forwarder { ports, batch, .. } = self;
        let Some(SwitchPort { tx, now, counters, reporter, name, .. }) = &mut ports[usize::from(index)]
        else {
            return 0;
        };
        let TxState { ring: tx, stalled, skipping } = &mut tx[ring];
        *stalled = 0;
        let pending = match tx.pending() {
            Ok(pending) => pending,
            Err(e) => {
                now.resets += 1;
                counters.publish(now);
                reporter.report(FaultKind::TxCursor, name, e);
                return 0;
            }
        };
        let n = pending.min(BATCH);
        let mut at = 0;
        if *skipping {
            at = skip(tx, 0, pending, skipping, now);
        }
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
            // The uncommon cases: a chain, an indirect or a bad slot.
            let chain = read_chain(tx, at, pending, &mut batch.frames);
            let end = at + chain.slots;
            let verdict = match (chain.spoilt, chain.end) {
                (Some(spoilt), _) => Err(spoilt),
                (None, End::Complete) => Ok(()),
                (None, End::TooLong) => Err(Spoilt::Chain),
                // The rest may still come, unless the ring has no room for it.
                (None, End::Waiting) if at == 0 && pending == tx.num_slots() - 1 => Err(Spoilt::Chain),
                (None, End::Waiting) => {
                    batch.frames.truncate(first);
                    *stalled = pending - at;
                    break;
                }
            };
            if end > n && at > 0 {
                // Would outgrow the batch: the next visit begins with it.
                batch.frames.truncate(first);
                break;
            }
            match verdict {
                Ok(()) => {
                    let frags = chain.slots as u16;
                    batch.packets.push(Packet { first: first as u16, frags, next: NIL });
                }
                Err(spoilt) => {
                    batch.frames.truncate(first);
                    *skipping = chain.end != End::Complete;
                    now.tx_frames += 1;
                    now.tx_bytes += chain.bytes;
                    match spoilt {
                        Spoilt::BadSlot(bad) => {
                            now.drop_bad_slot += 1;
                            now.resets += (at..end).filter(|&k| tx.restore(k)).count() as u64;
                            reporter.report(FaultKind::TxSlot, name, bad);
                        }
                        Spoilt::Indirect => now.drop_indirect += 1,
                        Spoilt::Chain => now.drop_chain += 1,
                    }
                }
            }
            at = end;
            if *skipping {
                at += skip(tx, at, pending, skipping, now);
            }
        }
        at
    }

    /// Learns sources and appends each packet to the list of its destination.
    #[inline(always)]
    fn decide(&mut self, index: u8) {
        let Forwarder { ports, tables, batch, .. } = self;
        let Some(segment) = ports[usize::from(index)].as_ref().map(|port| port.segment) else { return };
        let table = &mut tables[usize::from(segment)];
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
                // What was looked up may be what was just learned, or have lost its place to it.
                last_dst.0 = u64::MAX;
            }
            let explicit = frame.flags() >> NS_PORT_SHIFT;
            let to = if explicit != 0 {
                named(ports, segment, explicit)
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
        let flood = batch.head(FLOOD);
        let segment = ports[usize::from(index)].as_ref().map(|port| port.segment);
        if flood == NIL {
            for i in 0..batch.active.len() {
                let to = usize::from(batch.active[i]);
                if let Some(port) = &mut ports[to] {
                    deliver(port, ring, batch, batch.head(to), NIL);
                }
            }
            return;
        }
        let mut receivers = 0;
        for (to, port) in ports.iter_mut().enumerate().filter(|(to, _)| *to != usize::from(index)) {
            if let Some(port) = port.as_mut().filter(|port| Some(port.segment) == segment) {
                receivers += 1;
                deliver(port, ring, batch, batch.head(to), flood);
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

/// Where a slot goes that names a port itself: there, if it is of the same segment.
#[cold]
fn named(ports: &[Option<SwitchPort>], segment: Segment, port: u16) -> usize {
    match ports.get(usize::from(port)) {
        Some(Some(other)) if other.segment != segment => MAX_PORTS,
        _ => usize::from(port),
    }
}
