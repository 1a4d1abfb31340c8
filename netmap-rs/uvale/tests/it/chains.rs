//! Packets in several slots: whole or not at all.

use crate::world::{BROADCAST, Got, World, frame, mac, payload, small};
use netmap_rs::layout::PortShape;
use netmap_rs::sys::{NS_INDIRECT, NS_MOREFRAG};
use uvale::forward::{BATCH, MAX_FRAGS};

/// A packet to everyone in `n` fragments.
fn chain(n: u32, tag: u64) -> Vec<(Vec<u8>, u16)> {
    (0..n)
        .map(|i| {
            let (mut bytes, len) = (Vec::new(), 60 + (i as usize * 37) % 900);
            match i {
                0 => bytes = frame(BROADCAST, mac(0), len, tag),
                _ => payload(&mut bytes, len, tag + u64::from(i)),
            }
            (bytes, if i + 1 < n { NS_MOREFRAG } else { 0 })
        })
        .collect()
}

/// As the receiver should get it.
fn expected(chain: &[(Vec<u8>, u16)]) -> Vec<Got> {
    let got = |(data, flags): &(Vec<u8>, u16)| Got {
        data: data.clone(),
        more: flags & NS_MOREFRAG != 0,
        frags: chain.len() as u16,
    };
    chain.iter().map(got).collect()
}

fn one(tag: u64) -> Vec<(Vec<u8>, u16)> {
    chain(1, tag)
}

#[test]
fn a_chain_arrives_whole_with_its_count() {
    let mut w = World::of(3, 256);
    for n in [1, 2, 3, MAX_FRAGS] {
        w.give(0, &chain(n, 7));
        w.run();
        assert_eq!(w.receive(1), expected(&chain(n, 7)));
        assert_eq!(w.receive(2), expected(&chain(n, 7)));
    }
    let (s, r) = (w.counted(0), w.counted(1));
    assert_eq!((s.tx_frames, r.rx_frames), (4, 4), "a chain is one packet");
    assert_eq!(s.tx_bytes, r.rx_bytes);
}

#[test]
fn an_incomplete_chain_waits_and_is_no_work() {
    let mut w = World::of(2, 64);
    let parts = chain(5, 3);
    let before = one(1);
    w.give(0, &before);
    w.give(0, &parts[..2]);
    assert!(w.forwarder.port_mut(0).unwrap().has_work());
    assert_eq!(w.run(), 1, "what comes before the chain goes on");
    assert_eq!(w.receive(1), expected(&before));
    assert!(!w.forwarder.port_mut(0).unwrap().has_work(), "a switch may sleep on half a packet");
    w.give(0, &parts[2..4]);
    assert!(w.forwarder.port_mut(0).unwrap().has_work());
    assert_eq!(w.run(), 0);
    assert!(!w.forwarder.port_mut(0).unwrap().has_work());
    let after = one(9);
    w.give(0, &parts[4..]);
    w.give(0, &after);
    assert_eq!(w.run(), 6);
    assert_eq!(w.receive(1), [expected(&parts), expected(&after)].concat());
}

#[test]
fn a_chain_of_too_many_is_dropped_to_its_last_fragment() {
    for n in [MAX_FRAGS + 1, MAX_FRAGS + 2, 200, 700] {
        let mut w = World::of(2, 1024);
        let (before, after) = (one(1), one(2));
        w.give(0, &before);
        w.give(0, &chain(n, 5));
        w.give(0, &after);
        assert_eq!(w.run(), n + 2);
        assert_eq!(w.receive(1), [expected(&before), expected(&after)].concat(), "{n} fragments");
        let s = w.counted(0);
        assert_eq!((s.tx_frames, s.drop_chain, s.drop_short), (3, 1, 0));
        let bytes: usize = [before, chain(n, 5), after].concat().iter().map(|(data, _)| data.len()).sum();
        assert_eq!(s.tx_bytes, bytes as u64);
    }
}

#[test]
fn the_rest_of_a_dropped_chain_may_come_much_later() {
    let mut w = World::of(2, 256);
    let parts = chain(300, 5);
    for part in parts.chunks(50) {
        w.give(0, part);
        w.run();
    }
    assert!(w.receive(1).is_empty());
    let after = one(2);
    w.give(0, &after);
    w.run();
    assert_eq!(w.receive(1), expected(&after));
    assert_eq!((w.counted(0).tx_frames, w.counted(0).drop_chain), (2, 1));
}

#[test]
fn a_chain_that_fills_its_ring_cannot_end_and_is_dropped() {
    let mut w = World::new(&[small(4), small(64)]);
    w.give(0, &chain(3, 1));
    w.run();
    assert_eq!(w.receive(1), expected(&chain(3, 1)), "three slots are what a ring of four has");
    let parts = chain(4, 2);
    w.give(0, &parts[..3]);
    assert_eq!(w.run(), 3);
    w.give(0, &parts[3..]);
    w.give(0, &one(3));
    w.run();
    assert_eq!(w.receive(1), expected(&one(3)));
    assert_eq!((w.counted(0).tx_frames, w.counted(0).drop_chain), (3, 1));
}

#[test]
fn a_chain_across_the_end_of_a_batch_stays_whole() {
    for lead in BATCH - 3..=BATCH + 1 {
        let mut w = World::of(2, 1024);
        let mut all = Vec::new();
        for i in 0..lead {
            w.give(0, &one(u64::from(i)));
            all.extend(expected(&one(u64::from(i))));
        }
        for n in [4, MAX_FRAGS, 2] {
            w.give(0, &chain(n, 1000));
            all.extend(expected(&chain(n, 1000)));
        }
        w.run();
        assert_eq!(w.receive(1), all, "after {lead}");
    }
}

#[test]
fn a_receiver_without_room_for_all_gets_none_of_it() {
    let mut w = World::new(&[small(64), small(8), small(64)]);
    let slots = [chain(5, 1), chain(3, 2), chain(2, 3), one(4)].concat();
    w.give(0, &slots);
    w.run();
    let fit = [expected(&chain(5, 1)), expected(&chain(2, 3))].concat();
    assert_eq!(w.receive(1), fit, "7 slots: a chain of 3 after one of 5 does not fit, one of 2 does");
    assert_eq!(w.counted(1).drop_rx_full, 2);
    assert_eq!(w.receive(2).len(), 11);
}

#[test]
fn a_fragment_too_long_for_the_receiver_drops_its_packet() {
    let mut w = World::new(&[small(64), PortShape { buf_size: 128, ..small(64) }]);
    let fit = vec![(frame(BROADCAST, mac(0), 128, 1), NS_MOREFRAG), (vec![3; 128], 0)];
    let not =
        vec![(frame(BROADCAST, mac(0), 100, 1), NS_MOREFRAG), (vec![3; 129], NS_MOREFRAG), (vec![4; 9], 0)];
    w.give(0, &[not, fit.clone()].concat());
    w.run();
    assert_eq!(w.receive(1), expected(&fit));
    assert_eq!(w.counted(1).drop_rx_too_long, 1);
}

#[test]
fn indirect_buffers_are_refused_alone_and_in_chains() {
    let mut w = World::of(2, 64);
    let mut alone = one(1);
    alone[0].1 |= NS_INDIRECT;
    let mut parts = chain(4, 2);
    parts[2].1 |= NS_INDIRECT;
    w.give(0, &[alone, parts, one(3)].concat());
    w.run();
    assert_eq!(w.receive(1), expected(&one(3)));
    assert_eq!((w.counted(0).tx_frames, w.counted(0).drop_indirect), (3, 2));
}

#[test]
fn a_chain_known_to_be_bad_does_not_wait_for_its_end() {
    let mut w = World::of(2, 64);
    let mut parts = chain(4, 2);
    parts[0].1 |= NS_INDIRECT;
    w.give(0, &parts[..2]);
    assert_eq!(w.run(), 2);
    w.give(0, &parts[2..]);
    w.give(0, &one(3));
    w.run();
    assert_eq!(w.receive(1), expected(&one(3)));
    assert_eq!((w.counted(0).tx_frames, w.counted(0).drop_indirect), (2, 1));
}

#[test]
fn a_short_first_fragment_is_a_short_packet() {
    let mut w = World::of(2, 64);
    let mut parts = chain(3, 2);
    parts[0].0.truncate(13);
    w.give(0, &parts);
    w.run();
    assert!(w.receive(1).is_empty());
    assert_eq!(w.counted(0).drop_short, 1);
}
