//! A switch without a thread: every step is the test's, so that outcomes are exact. When a world ends, its
//! counters must add up.

use netmap_rs::csb::CsbPort;
use netmap_rs::doorbell::Doorbell;
use netmap_rs::layout::{PortLayout, PortRings, PortShape};
use netmap_rs::memory::Memory;
use netmap_rs::sys::NS_MOREFRAG;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use uvale::forward::{Forwarder, MAX_PORTS};
use uvale::port::SwitchPort;
use uvale::{Counters, Segment, Snapshot};

/// Raises its flag when it is dropped: a panic on one thread must not leave the others waiting.
pub(crate) struct Raise<'a>(pub(crate) &'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(crate) const BROADCAST: u64 = 0xffff_ffff_ffff;

/// The address of station `n`, as the switch reads addresses: first byte lowest.
pub(crate) fn mac(n: u8) -> u64 {
    0x02 | u64::from(n) << 40
}

/// An Ethernet frame of `len` bytes (without FCS), whose payload depends on `tag`.
pub(crate) fn frame(dst: u64, src: u64, len: usize, tag: u64) -> Vec<u8> {
    let mut bytes = dst.to_le_bytes()[..6].to_vec();
    bytes.extend_from_slice(&src.to_le_bytes()[..6]);
    bytes.extend_from_slice(&[0x88, 0xb5]);
    payload(&mut bytes, len, tag);
    bytes
}

/// Appends bytes made from `tag` until there are `len`: each 8 of them differ from those of any other tag.
pub(crate) fn payload(bytes: &mut Vec<u8>, len: usize, tag: u64) {
    let mut state = tag;
    while bytes.len() < len {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        bytes.extend_from_slice(&(state ^ state >> 33).to_le_bytes());
    }
    bytes.truncate(len);
}

pub(crate) fn small(slots: u32) -> PortShape {
    PortShape { tx_slots: slots, rx_slots: slots, ..PortShape::default() }
}

/// What was received in a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) data: Vec<u8>,
    pub(crate) more: bool,
    pub(crate) frags: u16,
}

pub(crate) struct Station {
    pub(crate) app: CsbPort,
    pub(crate) memory: Arc<Memory>,
    pub(crate) layout: PortLayout,
}

impl Station {
    /// The rings once more, to spoil them.
    pub(crate) fn raw(&self) -> PortRings {
        self.layout.rings(&self.memory).unwrap()
    }
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) forwarder: Forwarder,
    pub(crate) stations: Vec<Option<Station>>,
    /// Counters of ports that were removed.
    gone: Vec<Snapshot>,
    /// Packets sent whole, to be compared with what the switch says it took.
    sent: u64,
}

impl World {
    pub(crate) fn new(shapes: &[PortShape]) -> World {
        let mut world = World::default();
        for shape in shapes {
            world.add(shape);
        }
        world
    }

    /// `n` ports of the default shape but `slots` slots.
    pub(crate) fn of(n: usize, slots: u32) -> World {
        World::new(&vec![small(slots); n])
    }

    pub(crate) fn add(&mut self, shape: &PortShape) -> u8 {
        self.add_to(0, shape)
    }

    pub(crate) fn add_to(&mut self, segment: Segment, shape: &PortShape) -> u8 {
        let layout = PortLayout::new(shape).unwrap();
        let memory = Memory::heap(layout.len());
        let (ours, theirs) = Doorbell::pair().unwrap();
        let index = self.forwarder.free_index().unwrap();
        let name = format!("vale0:{index}");
        let port = SwitchPort::new(&name, &layout, &memory, ours, Arc::new(Counters::default())).unwrap();
        self.forwarder.insert(index, port.in_segment(segment)).unwrap();
        let app = CsbPort::open(&memory, &layout.location(), theirs).unwrap();
        let place = usize::from(index);
        if self.stations.len() <= place {
            self.stations.resize_with(place + 1, || None);
        }
        self.stations[place] = Some(Station { app, memory, layout });
        index
    }

    pub(crate) fn remove(&mut self, port: u8) {
        let removed = self.forwarder.remove(port).unwrap();
        self.gone.push(*removed.counted());
        self.stations[usize::from(port)] = None;
    }

    pub(crate) fn station(&mut self, port: u8) -> &mut Station {
        self.stations[usize::from(port)].as_mut().unwrap()
    }

    /// Fills slots of transmit ring `ring` and gives them to the switch, which is not run. They must fit.
    pub(crate) fn give_on(&mut self, port: u8, ring: usize, slots: &[(Vec<u8>, u16)]) {
        self.sent += slots.iter().filter(|(_, flags)| flags & NS_MOREFRAG == 0).count() as u64;
        let tx = &mut self.station(port).app.tx[ring];
        tx.sync().unwrap();
        let mut next = slots.iter();
        let n = tx.fill(slots.len() as u32, |slot| {
            let (data, flags) = next.next().unwrap();
            slot.buf[..data.len()].copy_from_slice(data);
            slot.flags = *flags;
            // A length of 0 would end the batch; an empty frame is made one below.
            data.len().max(1) as u16
        });
        assert_eq!(n as usize, slots.len(), "the ring of port {port} is full");
        let _ = tx.publish();
    }

    pub(crate) fn give(&mut self, port: u8, slots: &[(Vec<u8>, u16)]) {
        self.give_on(port, 0, slots);
    }

    /// Sends whole frames without flags and runs the switch.
    pub(crate) fn send<'a>(&mut self, port: u8, frames: impl IntoIterator<Item = &'a Vec<u8>>) {
        let slots: Vec<_> = frames.into_iter().map(|f| (f.clone(), 0)).collect();
        self.give(port, &slots);
        self.run();
    }

    /// Runs the switch until it finds nothing to do; how many slots it took.
    pub(crate) fn run(&mut self) -> u32 {
        let mut total = 0;
        loop {
            let taken: u32 = (0..MAX_PORTS as u8).map(|port| self.forwarder.forward_from(port)).sum();
            total += taken;
            if taken == 0 {
                return total;
            }
        }
    }

    /// Drains receive ring `ring` of a port.
    pub(crate) fn receive_on(&mut self, port: u8, ring: usize) -> Vec<Got> {
        let rx = &mut self.station(port).app.rx[ring];
        rx.sync().unwrap();
        let mut got = Vec::new();
        rx.drain(u32::MAX, |slot| {
            let (more, frags) = (slot.flags & NS_MOREFRAG != 0, slot.flags >> 8);
            got.push(Got { data: slot.data.to_vec(), more, frags });
        });
        let _ = rx.publish();
        got
    }

    pub(crate) fn receive(&mut self, port: u8) -> Vec<Got> {
        self.receive_on(port, 0)
    }

    /// What a port received, which must be whole frames.
    pub(crate) fn frames(&mut self, port: u8) -> Vec<Vec<u8>> {
        let got = self.receive(port);
        got.into_iter()
            .map(|got| {
                assert!(!got.more && got.frags == 1, "{got:?}");
                got.data
            })
            .collect()
    }

    pub(crate) fn counted(&mut self, port: u8) -> Snapshot {
        *self.forwarder.port_mut(port).unwrap().counted()
    }

    /// Every packet the switch took went somewhere, and every copy that called for arrived or was dropped.
    fn check(&mut self) {
        let mut all = self.gone.clone();
        all.extend(self.forwarder.ports_mut().map(|(_, port)| *port.counted()));
        let sum = |f: fn(&Snapshot) -> u64| all.iter().map(f).sum::<u64>();
        assert_eq!(sum(|s| s.tx_frames), self.sent, "packets taken and sent differ: {all:#?}");
        let copies = sum(Snapshot::copies);
        let accounted = sum(|s| s.rx_frames + s.drops_as_receiver());
        assert_eq!(copies, accounted, "copies and where they went differ: {all:#?}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.run();
            self.check();
        }
    }
}
