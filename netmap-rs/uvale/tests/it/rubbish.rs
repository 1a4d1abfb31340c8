//! Single wrong words in a port's memory: what each costs the port, and what is said about it.

use crate::world::{BROADCAST, World, frame, mac};
use netmap_rs::layout::SlotCopy;
use netmap_rs::sys::NS_MOREFRAG;
use uvale::faults::FaultKind;

fn burst(n: u64) -> Vec<(Vec<u8>, u16)> {
    (0..n).map(|tag| (frame(BROADCAST, mac(0), 60, tag), 0)).collect()
}

#[test]
fn a_bad_transmit_slot_is_dropped_put_right_and_reported_once() {
    let mut w = World::of(2, 16);
    let bufs = w.station(0).layout.num_bufs();
    let good = w.station(0).raw().tx[0].0.read_slot(0).buf_idx;
    let bad = |buf_idx, len| SlotCopy { buf_idx, len, flags: 0 };
    w.give(0, &burst(6));
    for (slot, contents) in [bad(0, 60), bad(1, 60), bad(bufs, 60), bad(u32::MAX, 60), bad(good + 4, 2049)]
        .into_iter()
        .enumerate()
    {
        w.station(0).raw().tx[0].0.write_slot(slot as u32, contents);
    }
    w.run();
    assert_eq!(w.frames(1), [frame(BROADCAST, mac(0), 60, 5)]);
    let s = w.counted(0);
    assert_eq!((s.tx_frames, s.drop_bad_slot, s.resets), (6, 5, 4));
    for slot in 0..6 {
        assert_eq!(w.station(0).raw().tx[0].0.read_slot(slot).buf_idx, good + slot, "its own buffer again");
    }
    let faults = w.forwarder.take_faults();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!((faults[0].port, faults[0].kind), (0, FaultKind::TxSlot));
    assert_eq!(faults[0].what, format!("vale0:0: slot 0 holds buffer 0 of {bufs}, length 60"));
    // The ring works on, across its end.
    for _ in 0..10 {
        w.give(0, &burst(9));
        w.run();
        assert_eq!(w.receive(1).len(), 9);
    }
    assert!(w.forwarder.take_faults().is_empty());
}

#[test]
fn a_bad_slot_spoils_its_chain_and_nothing_after_it() {
    let mut w = World::of(2, 16);
    let mut slots = burst(6);
    (1..4).for_each(|i| slots[i].1 = NS_MOREFRAG);
    w.give(0, &slots);
    let flags = NS_MOREFRAG;
    w.station(0).raw().tx[0].0.write_slot(2, SlotCopy { buf_idx: 0, len: 60, flags });
    w.run();
    assert_eq!(w.frames(1), [slots[0].0.clone(), slots[5].0.clone()]);
    assert_eq!((w.counted(0).tx_frames, w.counted(0).drop_bad_slot), (3, 1));
}

#[test]
fn a_bad_receive_slot_costs_its_frame_and_gets_its_buffer_back() {
    let mut w = World::of(3, 16);
    let own = w.station(1).raw().rx[0].0.own_buf(2);
    w.station(1).raw().rx[0].0.write_slot(2, SlotCopy { buf_idx: u32::MAX, len: 0, flags: 0 });
    let frames: Vec<_> = burst(5).into_iter().map(|(data, _)| data).collect();
    w.send(0, &frames);
    assert_eq!(w.frames(1), [&frames[..2], &frames[3..]].concat());
    assert_eq!(w.frames(2), frames, "the other receiver has them all");
    assert_eq!(w.station(1).raw().rx[0].0.read_slot(2).buf_idx, own);
    let s = w.counted(1);
    assert_eq!((s.rx_frames, s.drop_rx_bad_slot, s.resets), (4, 1, 1));
    let faults = w.forwarder.take_faults();
    assert_eq!((faults.len(), faults[0].port, faults[0].kind), (1, 1, FaultKind::RxSlot));
}

/// Writes the `head` an application gave: word 0 of its CSB entry, transmit rings first.
fn spoil_head(w: &mut World, port: u8, ring: usize, value: u32) {
    let station = w.station(port);
    let word = station.memory.at::<u32>(station.layout.location().atok_ofs + ring * 64).unwrap();
    // SAFETY: in bounds; nothing else uses the memory while the test is here.
    unsafe { word.as_ptr().write_volatile(value) };
}

#[test]
fn a_bad_head_is_put_back_and_the_ring_goes_on() {
    let mut w = World::of(2, 16);
    for (n, value) in [16, u32::MAX, 1 << 31].into_iter().enumerate() {
        spoil_head(&mut w, 0, 0, value);
        assert_eq!(w.run(), 0);
        assert_eq!(w.counted(0).resets, n as u64 + 1);
    }
    // What a sleeping switch does about one: it is put right, counted, and no reason to stay awake.
    spoil_head(&mut w, 0, 0, 99);
    assert!(!w.forwarder.port_mut(0).unwrap().has_work());
    assert_eq!(w.counted(0).resets, 4);
    let faults = w.forwarder.take_faults();
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].what, "vale0:0: head is 16, outside [0, 15] of a ring of 16 slots");

    spoil_head(&mut w, 1, 1, 3);
    w.give(0, &burst(2));
    w.run();
    let s = w.counted(1);
    assert_eq!((s.resets, s.drop_rx_bad_slot, s.rx_frames), (1, 2, 0));
    w.give(0, &burst(2));
    w.run();
    assert_eq!(w.receive(1).len(), 2);
    assert_eq!(w.forwarder.take_faults()[0].kind, FaultKind::RxCursor);
}
