//! Where frames go.

use crate::world::{BROADCAST, World, frame, mac, small};
use netmap_rs::layout::PortShape;
use netmap_rs::sys::NS_NO_LEARN;
use uvale::forward::MAX_PORTS;

const MULTICAST: u64 = 0x01_00_5e_00_00_01u64.swap_bytes() >> 16;

#[test]
fn unknown_is_flooded_and_known_is_not() {
    let mut w = World::of(4, 64);
    let hello = frame(mac(1), mac(0), 60, 1);
    w.send(0, [&hello]);
    for port in [1, 2, 3] {
        assert_eq!(w.frames(port), std::slice::from_ref(&hello));
    }
    assert!(w.receive(0).is_empty(), "never back to the sender");
    let answer = frame(mac(0), mac(1), 61, 2);
    w.send(1, [&answer]);
    assert_eq!(w.frames(0), [answer]);
    assert!(w.receive(2).is_empty() && w.receive(3).is_empty());
    let again = frame(mac(1), mac(0), 62, 3);
    w.send(0, [&again]);
    assert_eq!(w.frames(1), [again]);
    assert!(w.receive(2).is_empty() && w.receive(3).is_empty());
    let s = w.counted(0);
    assert_eq!((s.tx_frames, s.tx_bytes, s.flooded, s.flood_copies, s.rx_frames), (2, 122, 1, 3, 1));
}

#[test]
fn groups_are_always_flooded_and_never_learned() {
    let mut w = World::of(3, 64);
    for (tag, dst) in [BROADCAST, MULTICAST, BROADCAST].into_iter().enumerate() {
        // A group address as source is no station's.
        let bytes = frame(dst, dst, 60, tag as u64);
        w.send(tag as u8, [&bytes]);
        for port in 0..3u8 {
            let expected = if usize::from(port) == tag { vec![] } else { vec![bytes.clone()] };
            assert_eq!(w.frames(port), expected);
        }
    }
}

#[test]
fn group_addresses_take_no_places_in_the_table() {
    let mut w = World::of(3, 1024);
    w.send(1, &[frame(BROADCAST, mac(1), 60, 0)]);
    // More than there are places.
    for chunk in (0..4000u64).collect::<Vec<_>>().chunks(1000) {
        let burst: Vec<_> = chunk.iter().map(|i| frame(BROADCAST, 0x03 | i << 16, 60, *i)).collect();
        w.send(2, &burst);
        (0..3).for_each(|port| drop(w.receive(port)));
    }
    w.send(0, &[frame(mac(1), mac(0), 60, 1)]);
    assert_eq!((w.receive(1).len(), w.receive(2).len()), (1, 0));
}

#[test]
fn a_station_that_moves_is_found_where_it_sent_last() {
    let mut w = World::of(3, 64);
    w.send(1, &[frame(BROADCAST, mac(9), 60, 0)]);
    w.send(2, &[frame(BROADCAST, mac(9), 60, 1)]);
    (0..3).for_each(|port| drop(w.receive(port)));
    let bytes = frame(mac(9), mac(0), 60, 2);
    w.send(0, [&bytes]);
    assert!(w.receive(1).is_empty());
    assert_eq!(w.frames(2), [bytes]);
}

#[test]
fn ns_no_learn_does_not_teach() {
    let mut w = World::of(3, 64);
    w.give(1, &[(frame(BROADCAST, mac(1), 60, 0), NS_NO_LEARN)]);
    w.run();
    (0..3).for_each(|port| drop(w.receive(port)));
    w.send(0, &[frame(mac(1), mac(0), 60, 1)]);
    assert_eq!((w.receive(1).len(), w.receive(2).len()), (1, 1), "flooded");
    // Nor does it stop the next frame of the same source from teaching.
    w.give(1, &[(frame(mac(0), mac(1), 60, 2), NS_NO_LEARN), (frame(mac(0), mac(1), 60, 3), 0)]);
    w.run();
    w.send(0, &[frame(mac(1), mac(0), 60, 4)]);
    assert_eq!((w.receive(1).len(), w.receive(2).len()), (1, 0));
}

#[test]
fn an_explicit_port_is_obeyed() {
    let mut w = World::of(4, 64);
    // Learned at port 1, and yet it goes where the flags say.
    w.send(1, &[frame(BROADCAST, mac(1), 60, 0)]);
    (0..4).for_each(|port| drop(w.receive(port)));
    let bytes = |tag| frame(mac(1), mac(0), 60, tag);
    w.give(0, &[(bytes(1), 2 << 8), (bytes(2), 255 << 8), (bytes(3), 77 << 8), (bytes(4), 254 << 8)]);
    w.run();
    assert_eq!(w.frames(1), [bytes(2)]);
    assert_eq!(w.frames(2), [bytes(1), bytes(2)]);
    assert_eq!(w.frames(3), [bytes(2)]);
    let s = w.counted(0);
    assert_eq!((s.drop_no_port, s.flooded, s.drop_to_self), (2, 1, 0));
    w.give(3, &[(bytes(5), 3 << 8)]);
    w.run();
    assert_eq!(w.counted(3).drop_to_self, 1);
}

#[test]
fn what_a_port_sends_to_itself_is_dropped() {
    let mut w = World::of(2, 64);
    // The very frame that teaches counts, and so does one after it in the same batch.
    let a = frame(mac(5), mac(5), 60, 0);
    let b = frame(mac(6), mac(5), 60, 1);
    let c = frame(mac(6), mac(6), 60, 2);
    let d = frame(mac(6), mac(5), 60, 3);
    w.send(0, &[a, b.clone(), c, d]);
    assert_eq!(w.frames(1), [b], "6 was unknown when b came, and known from c on");
    assert_eq!(w.counted(0).drop_to_self, 3);
}

#[test]
fn a_full_receiver_drops_and_never_blocks() {
    let mut w = World::of(3, 8);
    w.send(1, &[frame(BROADCAST, mac(1), 60, 0)]);
    (0..3).for_each(|port| drop(w.receive(port)));
    for round in 0..10u64 {
        let burst: Vec<_> = (0..7).map(|i| frame(mac(1), mac(0), 60, round * 7 + i)).collect();
        w.send(0, &burst);
        let tx = &mut w.station(0).app.tx[0];
        tx.sync().unwrap();
        assert_eq!((tx.pending(), tx.space()), (0, 7), "the sender has its slots back");
    }
    let first: Vec<_> = (0..7).map(|i| frame(mac(1), mac(0), 60, i)).collect();
    assert_eq!(w.frames(1), first, "the oldest stay");
    let s = w.counted(1);
    assert_eq!((s.rx_frames, s.drop_rx_full), (7, 63));
    // Another receiver's frames are not held up.
    w.send(2, &[frame(BROADCAST, mac(2), 60, 99)]);
    w.send(0, &[frame(mac(2), mac(0), 60, 100)]);
    assert_eq!(w.receive(2).len(), 1);
}

#[test]
fn order_is_kept_where_floods_and_unicast_mix() {
    let mut w = World::of(4, 1024);
    for port in 1..4 {
        w.send(port, &[frame(BROADCAST, mac(port), 60, 0)]);
    }
    (0..4).for_each(|port| drop(w.receive(port)));
    let dst = |i: u64| match i % 7 {
        0 | 4 => BROADCAST,
        1 | 5 => mac(1),
        2 => mac(2),
        3 => mac(99),
        _ => mac(3),
    };
    let burst: Vec<_> = (0..900).map(|i| frame(dst(i), mac(0), 60 + i as usize % 50, i)).collect();
    w.send(0, &burst);
    for port in 1..4 {
        let mine = (0..900).filter(|&i| [mac(port), BROADCAST, mac(99)].contains(&dst(i)));
        let expected: Vec<_> = mine.map(|i| burst[i as usize].clone()).collect();
        assert_eq!(w.frames(port), expected, "port {port}");
    }
}

#[test]
fn a_lonely_port_has_nobody_to_flood_to() {
    let mut w = World::of(1, 8);
    w.send(0, &[frame(BROADCAST, mac(0), 60, 0), frame(mac(4), mac(0), 60, 1)]);
    let s = w.counted(0);
    assert_eq!((s.drop_no_port, s.flooded, s.flood_copies), (2, 0, 0));
}

#[test]
fn short_frames_are_dropped_and_the_shortest_pass() {
    let mut w = World::of(2, 64);
    let whole = frame(BROADCAST, mac(0), 14, 0);
    let burst: Vec<_> = (1..=14).map(|len| whole[..len].to_vec()).collect();
    w.send(0, &burst);
    assert_eq!(w.frames(1), [whole]);
    assert_eq!(w.counted(0).drop_short, 13);
}

#[test]
fn a_frame_larger_than_the_receivers_buffers_is_dropped_there_only() {
    let shape = |buf_size| PortShape { buf_size, ..small(16) };
    let mut w = World::new(&[shape(2048), shape(64), shape(2048), shape(512)]);
    let burst: Vec<_> =
        [60, 64, 65, 512, 513, 2048].map(|len| frame(BROADCAST, mac(0), len, len as u64)).to_vec();
    w.send(0, &burst);
    assert_eq!(w.frames(1), burst[..2]);
    assert_eq!(w.frames(2), burst);
    assert_eq!(w.frames(3), burst[..4]);
    assert_eq!((w.counted(1).drop_rx_too_long, w.counted(3).drop_rx_too_long), (4, 2));
}

#[test]
fn rings_of_a_port_are_matched_by_number() {
    let shape = |tx_rings, rx_rings| PortShape { tx_rings, rx_rings, ..small(16) };
    let mut w = World::new(&[shape(4, 1), shape(1, 3), shape(16, 16)]);
    for ring in 0..4 {
        w.give_on(0, ring, &[(frame(BROADCAST, mac(0), 60, ring as u64), 0)]);
    }
    w.run();
    let counts =
        |w: &mut World, port, rings| (0..rings).map(|r| w.receive_on(port, r).len()).collect::<Vec<_>>();
    assert_eq!(counts(&mut w, 1, 3), [2, 1, 1]);
    assert_eq!(counts(&mut w, 2, 16)[..5], [1, 1, 1, 1, 0]);
    w.give_on(2, 15, &[(frame(mac(0), mac(2), 60, 9), 0)]);
    w.run();
    assert_eq!(w.receive_on(0, 0).len(), 1);
}

#[test]
fn a_switch_has_254_ports() {
    let mut w = World::of(MAX_PORTS, 8);
    assert_eq!(w.forwarder.free_index(), None);
    let last = (MAX_PORTS - 1) as u8;
    w.send(last, &[frame(BROADCAST, mac(last), 60, 1)]);
    for port in 0..last {
        assert_eq!(w.receive(port).len(), 1);
    }
    w.send(3, &[frame(mac(last), mac(3), 60, 2)]);
    assert_eq!(w.receive(last).len(), 1);
    assert_eq!(w.counted(last).flood_copies, 253);
    assert_eq!(w.forwarder.forward_from(254) + w.forwarder.forward_from(255), 0, "there are no such ports");
}

#[test]
fn a_removed_port_is_forgotten_and_its_index_free() {
    let mut w = World::of(3, 16);
    w.send(1, &[frame(BROADCAST, mac(1), 60, 0)]);
    (0..3).for_each(|port| drop(w.receive(port)));
    w.remove(1);
    let bytes = frame(mac(1), mac(0), 60, 1);
    w.send(0, [&bytes]);
    assert_eq!(w.frames(2), std::slice::from_ref(&bytes), "flooded again");
    assert_eq!(w.add(&small(16)), 1);
    w.send(0, [&bytes]);
    assert_eq!(w.frames(1), [bytes], "flooded: the new port at 1 has not sent");
}

/// As in VALE the table has one place for each address: who lost it is flooded to, never sent elsewhere.
#[test]
fn addresses_that_share_a_place_are_flooded_to_and_not_mixed_up() {
    let mut w = World::of(3, 1024);
    // More addresses than places: some must share one.
    let address = |i: u64| 0x02 | i << 16;
    for chunk in (1..=2000u64).collect::<Vec<_>>().chunks(500) {
        let burst: Vec<_> = chunk.iter().map(|&i| frame(BROADCAST, address(i), 60, i)).collect();
        w.send(1, &burst);
        (0..3).for_each(|port| drop(w.receive(port)));
    }
    for chunk in (1..=2000u64).collect::<Vec<_>>().chunks(500) {
        let burst: Vec<_> = chunk.iter().map(|&i| frame(address(i), mac(0), 60, i)).collect();
        w.send(0, &burst);
        assert_eq!(w.frames(1), burst, "port 1 is where they are");
        let _ = w.receive(2);
    }
    let flooded = w.counted(0).flooded;
    assert!((976..2000).contains(&flooded), "{flooded} of 2000 addresses had no place of 1024");
}

#[test]
fn segments_are_switches_of_their_own() {
    let mut w = World::of(2, 64);
    let [c, d] = [1, 1].map(|segment| w.add_to(segment, &small(64)));
    // The same address in both, one on a port each.
    w.send(0, &[frame(BROADCAST, mac(1), 60, 0)]);
    assert_eq!([1, c, d].map(|port| w.receive(port).len()), [1, 0, 0], "flooded in its segment alone");
    w.send(c, &[frame(BROADCAST, mac(1), 60, 1)]);
    assert_eq!([0, 1, d].map(|port| w.receive(port).len()), [0, 0, 1]);
    w.send(1, &[frame(mac(1), mac(2), 60, 2)]);
    w.send(d, &[frame(mac(1), mac(2), 60, 3)]);
    assert_eq!([0, c].map(|port| w.receive(port).len()), [1, 1], "each has its own table");
    // Unknown here, however well it is known there; and no number of a port leads out.
    w.send(c, &[frame(BROADCAST, mac(7), 60, 4)]);
    w.send(0, &[frame(mac(7), mac(1), 60, 5)]);
    assert_eq!([1, c, d].map(|port| w.receive(port).len()), [1, 0, 1]);
    w.give(0, &[(frame(mac(2), mac(1), 60, 6), u16::from(c) << 8), (frame(mac(2), mac(1), 60, 7), 255 << 8)]);
    w.run();
    assert_eq!([1, c, d].map(|port| w.receive(port).len()), [1, 0, 0]);
    assert_eq!(w.counted(0).drop_no_port, 1);
    // A port that goes takes its segment's memory of it along, and no other's.
    w.remove(c);
    let e = w.add_to(0, &small(64));
    assert_eq!(e, c, "the index is free again");
    w.send(1, &[frame(mac(1), mac(2), 60, 8)]);
    assert_eq!([0, d, e].map(|port| w.receive(port).len()), [1, 0, 0]);
}
