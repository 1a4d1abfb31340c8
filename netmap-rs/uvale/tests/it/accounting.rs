//! Random traffic against a switch made of maps and queues: the same packets in the same order at the same
//! ports, and the same counts. (That counters add up is checked wherever a world ends.)

use crate::world::{BROADCAST, World, frame, mac, payload, small};
use netmap_rs::layout::PortShape;
use netmap_rs::sys::{NS_INDIRECT, NS_MOREFRAG, NS_NO_LEARN};
use proptest::prelude::*;
use std::collections::HashMap;
use uvale::Snapshot;

#[derive(Debug, Clone)]
struct Packet {
    dst: u64,
    src: u64,
    lens: Vec<u16>,
    /// Flags of the first fragment, less `NS_MOREFRAG`.
    flags: u16,
}

#[derive(Debug, Clone)]
enum Step {
    /// A port sends, and the switch runs.
    Send(u8, Vec<Packet>),
    /// A port takes what it has received.
    Receive(u8),
    /// A port is removed and added again.
    Renew(u8),
}

fn packet() -> impl Strategy<Value = Packet> {
    let address = prop_oneof![4 => (0u8..8).prop_map(mac), 1 => Just(BROADCAST), 1 => Just(0x5e0001u64)];
    let lens = prop_oneof![
        8 => (1u16..300).prop_map(|len| vec![len]),
        2 => proptest::collection::vec(1u16..300, 2..9),
    ];
    let flags = prop_oneof![
        12 => Just(0u16),
        1 => Just(NS_NO_LEARN),
        1 => Just(NS_INDIRECT),
        2 => (1u16..8).prop_map(|port| port << 8),
        1 => Just(255u16 << 8),
    ];
    (address.clone(), address, lens, flags).prop_map(|(dst, src, lens, flags)| Packet {
        dst,
        src,
        lens,
        flags,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..6, proptest::collection::vec(packet(), 1..12)).prop_map(|(port, packets)| Step::Send(port, packets)),
        3 => (0u8..6).prop_map(Step::Receive),
        1 => (0u8..6).prop_map(Step::Renew),
    ]
}

impl Packet {
    fn slots(&self, tag: u64) -> Vec<(Vec<u8>, u16)> {
        let last = self.lens.len() - 1;
        let slot = |(i, &len): (usize, &u16)| {
            let mut bytes = Vec::new();
            match i {
                0 => bytes = frame(self.dst, self.src, len.into(), tag),
                _ => payload(&mut bytes, len.into(), tag + i as u64),
            }
            let flags = if i == 0 { self.flags } else { 0 } | if i < last { NS_MOREFRAG } else { 0 };
            (bytes, flags)
        };
        self.lens.iter().enumerate().map(slot).collect()
    }
}

const SLOTS: u32 = 32;

#[derive(Default)]
struct Model {
    table: HashMap<u64, u8>,
    /// What lies in each port's receive ring: fragments.
    rings: Vec<Vec<Vec<u8>>>,
    counts: Vec<Snapshot>,
    buf_sizes: Vec<u32>,
}

impl Model {
    fn deliver(&mut self, to: usize, slots: &[(Vec<u8>, u16)]) {
        let (ring, counts) = (&mut self.rings[to], &mut self.counts[to]);
        if ring.len() + slots.len() > SLOTS as usize - 1 {
            counts.drop_rx_full += 1;
        } else if slots.iter().any(|(data, _)| data.len() > self.buf_sizes[to] as usize) {
            counts.drop_rx_too_long += 1;
        } else {
            counts.rx_frames += 1;
            counts.rx_bytes += slots.iter().map(|(data, _)| data.len() as u64).sum::<u64>();
            ring.extend(slots.iter().map(|(data, _)| data.clone()));
        }
    }

    fn send(&mut self, from: u8, packet: &Packet, slots: &[(Vec<u8>, u16)]) {
        let me = usize::from(from);
        let counts = &mut self.counts[me];
        counts.tx_frames += 1;
        counts.tx_bytes += packet.lens.iter().map(|&len| u64::from(len)).sum::<u64>();
        if packet.flags & NS_INDIRECT != 0 {
            counts.drop_indirect += 1;
            return;
        }
        if packet.lens[0] < 14 {
            counts.drop_short += 1;
            return;
        }
        if packet.flags & NS_NO_LEARN == 0 && packet.src & 1 == 0 {
            self.table.insert(packet.src, from);
        }
        let to = match packet.flags >> 8 {
            0 if packet.dst & 1 != 0 => None,
            0 => self.table.get(&packet.dst).map(|&port| usize::from(port)),
            255 => None,
            explicit => Some(usize::from(explicit)),
        };
        match to {
            Some(to) if to == me => counts.drop_to_self += 1,
            Some(to) if to >= self.rings.len() => counts.drop_no_port += 1,
            Some(to) => self.deliver(to, slots),
            None => {
                counts.flooded += 1;
                counts.flood_copies += self.rings.len() as u64 - 1;
                (0..self.rings.len()).filter(|&to| to != me).for_each(|to| self.deliver(to, slots));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn random_traffic_goes_where_a_simple_switch_sends_it(steps in proptest::collection::vec(step(), 1..80)) {
        // What port 2 sends is cut to its own buffers below.
        let shapes = [2048, 2048, 128, 2048, 320, 2048].map(|buf_size| PortShape { buf_size, ..small(SLOTS) });
        let mut w = World::new(&shapes);
        let mut m = Model {
            rings: vec![Vec::new(); 6],
            counts: vec![Snapshot::default(); 6],
            buf_sizes: shapes.iter().map(|s| s.buf_size).collect(),
            ..Model::default()
        };
        let mut tag = 0;
        for step in steps {
            match step {
                Step::Send(port, packets) => {
                    let mut given = 0;
                    for mut packet in packets {
                        if port == 2 {
                            packet.lens.iter_mut().for_each(|len| *len = (*len).min(128));
                        }
                        tag += 100;
                        let slots = packet.slots(tag);
                        given += slots.len();
                        if given >= SLOTS as usize {
                            break;
                        }
                        w.give(port, &slots);
                        m.send(port, &packet, &slots);
                    }
                    w.run();
                }
                Step::Receive(port) => {
                    let got: Vec<_> = w.receive(port).into_iter().map(|got| got.data).collect();
                    prop_assert_eq!(got, std::mem::take(&mut m.rings[usize::from(port)]));
                }
                Step::Renew(port) => {
                    let place = usize::from(port);
                    w.remove(port);
                    prop_assert_eq!(w.add(&shapes[place]), port);
                    m.table.retain(|_, at| *at != port);
                    m.rings[place].clear();
                    m.counts[place] = Snapshot::default();
                }
            }
        }
        for port in 0..6 {
            let mut counted = w.counted(port);
            counted.wakeups = 0;
            prop_assert_eq!(counted, m.counts[usize::from(port)], "port {}", port);
            let got: Vec<_> = w.receive(port).into_iter().map(|got| got.data).collect();
            prop_assert_eq!(got, std::mem::take(&mut m.rings[usize::from(port)]));
        }
    }
}
