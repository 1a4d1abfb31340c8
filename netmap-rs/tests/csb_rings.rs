//! An application's CSB rings against the fake peer: frames in order and whole across the ring's end, space and
//! cursors as a model predicts, and everything a broken peer may do reported.

use netmap_rs::csb::app::OpenError;
use netmap_rs::csb::{CsbPort, RxRing, TxRing};
use netmap_rs::doorbell::Doorbell;
use netmap_rs::fake::{FakePeer, Ring};
use netmap_rs::layout::{PortShape, SlotCopy};
use netmap_rs::sys::{NS_MOREFRAG, NS_NO_LEARN};
use proptest::prelude::*;
use std::collections::VecDeque;

fn shape(slots: u32) -> PortShape {
    PortShape { tx_slots: slots, rx_slots: slots, buf_size: 128, ..PortShape::default() }
}

/// A frame that says which it is, of a length that varies.
fn frame(number: u64) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(8 + (number * 7 % 113) as usize, number as u8);
    bytes
}

fn fill(ring: &mut TxRing, max: u32, next: &mut u64) -> u32 {
    ring.fill(max, |slot| {
        let bytes = frame(*next);
        slot.buf[..bytes.len()].copy_from_slice(&bytes);
        *next += 1;
        bytes.len() as u16
    })
}

fn drain(ring: &mut RxRing, max: u32) -> Vec<Vec<u8>> {
    let mut got = Vec::new();
    ring.drain(max, |slot| got.push(slot.data.to_vec()));
    got
}

#[test]
fn frames_cross_the_end_of_the_ring_many_times() {
    for slots in [4u32, 5, 64, 1024] {
        let (mut peer, mut port) = FakePeer::new(&shape(slots));
        let (mut sent, mut taken, mut put, mut got) = (0u64, 0u64, 0u64, 0u64);
        let end = u64::from(slots) * 5;
        let mut step = 0u32;
        while taken < end || got < end {
            step = step % (slots + 3) + 1;
            let tx = &mut port.tx[0];
            tx.sync().unwrap();
            let space = tx.space();
            assert_eq!(fill(tx, step, &mut sent), step.min(space));
            let _ = tx.publish();
            for frame_taken in peer.take(0, step / 2 + 1).unwrap() {
                assert_eq!(frame_taken.data, frame(taken), "frame {taken} of a ring of {slots}");
                taken += 1;
            }
            let frames: Vec<_> = (put..put + u64::from(step)).map(frame).collect();
            put += u64::from(peer.put(0, &frames).unwrap());
            port.rx[0].sync().unwrap();
            for data in drain(&mut port.rx[0], step / 2 + 1) {
                assert_eq!(data, frame(got), "frame {got} of a ring of {slots}");
                got += 1;
            }
            let _ = port.rx[0].publish();
        }
        assert_eq!(port.rx[0].bad_slots() + port.tx[0].bad_slots(), 0);
    }
}

#[derive(Debug, Clone)]
enum Op {
    Fill(u32),
    PublishTx,
    SyncTx,
    Take(u32),
    Put(u32),
    SyncRx,
    Drain(u32),
    PublishRx,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0u32..20).prop_map(Op::Fill),
        Just(Op::PublishTx),
        Just(Op::SyncTx),
        (0u32..20).prop_map(Op::Take),
        (0u32..20).prop_map(Op::Put),
        Just(Op::SyncRx),
        (0u32..20).prop_map(Op::Drain),
        Just(Op::PublishRx),
    ]
}

/// What both sides must see, with queues in place of cursors.
#[derive(Default)]
struct Model {
    filled: VecDeque<u64>,
    published: VecDeque<u64>,
    /// Slots the peer has freed and the application has not learned of.
    freed_unseen: u32,
    shown: VecDeque<u64>,
    known: VecDeque<u64>,
    /// Slots the application has drained and not given back.
    drained_unpublished: u32,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn any_order_of_steps_agrees_with_queues(slots in 4u32..12, ops in proptest::collection::vec(op(), 1..300)) {
        let (mut peer, mut port) = FakePeer::new(&shape(slots));
        let (tx, rx) = (&mut port.tx[0], &mut port.rx[0]);
        let mut m = Model::default();
        let (mut sent, mut put) = (0u64, 0u64);
        for op in ops {
            match op {
                Op::Fill(n) => {
                    let before = sent;
                    let space = slots - 1 - (m.filled.len() + m.published.len()) as u32 - m.freed_unseen;
                    prop_assert_eq!(tx.space(), space);
                    prop_assert_eq!(fill(tx, n, &mut sent), n.min(space));
                    m.filled.extend(before..sent);
                }
                Op::PublishTx => {
                    prop_assert!(!tx.publish(), "nobody asked for kicks");
                    m.published.append(&mut m.filled);
                }
                Op::SyncTx => {
                    tx.sync().unwrap();
                    m.freed_unseen = 0;
                    prop_assert_eq!(tx.pending() as usize, m.published.len() + m.filled.len());
                }
                Op::Take(n) => {
                    prop_assert_eq!(peer.pending(0).unwrap() as usize, m.published.len());
                    for taken in peer.take(0, n).unwrap() {
                        prop_assert_eq!(taken.data, frame(m.published.pop_front().unwrap()));
                        m.freed_unseen += 1;
                    }
                }
                Op::Put(n) => {
                    let used = (m.shown.len() + m.known.len()) as u32 + m.drained_unpublished;
                    prop_assert_eq!(peer.unread(0).unwrap(), used);
                    let frames: Vec<_> = (put..put + u64::from(n)).map(frame).collect();
                    let done = peer.put(0, &frames).unwrap();
                    prop_assert_eq!(done, n.min(slots - 1 - used));
                    m.shown.extend(put..put + u64::from(done));
                    put += u64::from(done);
                }
                Op::SyncRx => {
                    rx.sync().unwrap();
                    m.known.append(&mut m.shown);
                    prop_assert_eq!(rx.avail() as usize, m.known.len());
                }
                Op::Drain(n) => {
                    for data in drain(rx, n) {
                        prop_assert_eq!(data, frame(m.known.pop_front().unwrap()));
                        m.drained_unpublished += 1;
                    }
                }
                Op::PublishRx => {
                    prop_assert!(!rx.publish());
                    m.drained_unpublished = 0;
                }
            }
        }
    }

    /// Whatever the peer writes into its words, a sync takes it only if no slot of ours is lost by it.
    #[test]
    fn a_peer_cannot_take_slots_back(hwcur: u32, hwtail: u32, small: bool) {
        let (mut peer, mut port) = FakePeer::new(&shape(8));
        let mut next = 0;
        fill(&mut port.tx[0], 5, &mut next);
        let _ = port.tx[0].publish();
        peer.take(0, 2).unwrap();
        port.tx[0].sync().unwrap();
        let (hwcur, hwtail) = if small { (hwcur % 9, hwtail % 9) } else { (hwcur, hwtail) };
        peer.spoil_hwcur(Ring::Tx(0), hwcur);
        peer.spoil_hwtail(Ring::Tx(0), hwtail);
        let tx = &mut port.tx[0];
        // head is 5, hwcur 2, hwtail 1: slots 5, 6, 7, 0 are ours, 2, 3, 4 are the peer's.
        match tx.sync() {
            Ok(()) => {
                prop_assert!((2..=5).contains(&hwcur) && (1..hwcur).contains(&hwtail), "{} {}", hwcur, hwtail);
                prop_assert_eq!((tx.pending(), tx.space()), (5 - hwcur, hwtail + 3));
            }
            Err(e) => {
                prop_assert!(!(2..=5).contains(&hwcur) || !(1..hwcur).contains(&hwtail));
                prop_assert_eq!((tx.pending(), tx.space()), (3, 4), "{}", e);
            }
        }
    }
}

#[test]
fn a_bad_cursor_is_reported_with_what_it_was_and_might_be() {
    let (mut peer, mut port) = FakePeer::new(&shape(8));
    peer.spoil_hwtail(Ring::Rx(0), 8);
    let e = port.rx[0].sync().unwrap_err();
    assert_eq!(e.to_string(), "hwtail is 8, outside [0, 7] of a ring of 8 slots");
    peer.put(0, &[frame(0)]).unwrap();
    port.rx[0].sync().unwrap();
    assert_eq!(drain(&mut port.rx[0], 9), [frame(0)]);

    peer.spoil_hwcur(Ring::Tx(0), 3);
    let e = port.tx[0].sync().unwrap_err();
    assert_eq!(e.to_string(), "hwcur is 3, outside [0, 0] of a ring of 8 slots");
    let e = port.wait(true, false, std::time::Duration::from_secs(60)).unwrap_err();
    assert_eq!(e.kind(), std::io::ErrorKind::InvalidData);
}

#[test]
fn spoilt_slots_are_counted_and_never_lent() {
    let (mut peer, mut port) = FakePeer::new(&shape(8));
    let bufs = port.tx[0].num_bufs();
    peer.put(0, &[frame(0), frame(1), frame(2), frame(3)]).unwrap();
    peer.spoil_slot(Ring::Rx(0), 0, SlotCopy { buf_idx: 0, len: 60, flags: 0 });
    peer.spoil_slot(Ring::Rx(0), 1, SlotCopy { buf_idx: bufs, len: 60, flags: 0 });
    let good = peer.slot(Ring::Rx(0), 2);
    peer.spoil_slot(Ring::Rx(0), 2, SlotCopy { len: 129, ..good });
    port.rx[0].sync().unwrap();
    assert_eq!(drain(&mut port.rx[0], 9), [frame(3)]);
    assert_eq!(port.rx[0].bad_slots(), 3);

    peer.spoil_slot(Ring::Tx(0), 2, SlotCopy { buf_idx: u32::MAX, len: 0, flags: 0 });
    let mut next = 0;
    assert_eq!(fill(&mut port.tx[0], 9, &mut next), 2, "a batch ends at a slot without a buffer");
    assert_eq!(port.tx[0].bad_slots(), 1);
}

#[test]
fn flags_and_fragments_go_both_ways() {
    let (mut peer, mut port) = FakePeer::new(&shape(8));
    let mut flags = [NS_MOREFRAG, NS_NO_LEARN].into_iter();
    port.tx[0].fill(2, |slot| {
        assert_eq!(slot.flags, 0);
        slot.flags = flags.next().unwrap();
        20
    });
    let _ = port.tx[0].publish();
    let taken: Vec<_> = peer.take(0, 9).unwrap().into_iter().map(|t| t.flags).collect();
    assert_eq!(taken, [NS_MOREFRAG, NS_NO_LEARN]);
    assert!(peer.put_chain(0, &[frame(1), frame(2), frame(3)]).unwrap());
    assert!(!peer.put_chain(0, &[frame(1), frame(2), frame(3), frame(4), frame(5)]).unwrap());
    port.rx[0].sync().unwrap();
    let mut seen = Vec::new();
    port.rx[0].drain(9, |slot| seen.push(slot.flags));
    assert_eq!(seen, [0x300 | NS_MOREFRAG, 0x300 | NS_MOREFRAG, 0x300]);
}

#[test]
fn an_application_with_a_bad_head_is_put_back() {
    let (mut peer, mut port) = FakePeer::new(&shape(8));
    let mut next = 0;
    fill(&mut port.tx[0], 2, &mut next);
    let _ = port.tx[0].publish();
    let head = peer.memory().at::<u32>(peer.layout().location().atok_ofs).unwrap();
    for bad in [8, u32::MAX, 7 + 1] {
        // SAFETY: this test's own memory, in bounds; nobody else uses it now.
        unsafe { head.as_ptr().write_volatile(bad) };
        let e = peer.take(0, 9).unwrap_err();
        assert_eq!((e.word, e.value, e.from, e.to), ("head", bad, 0, 7));
        assert_eq!(peer.pending(0).unwrap(), 0, "head went back to hwcur");
    }
    // The honest application's next publish counts from its own cursor again.
    let _ = port.tx[0].publish();
    assert_eq!(peer.take(0, 9).unwrap().len(), 2);
}

#[test]
fn a_port_is_open_once_and_goes_on_where_it_was() {
    let (mut peer, mut port) = FakePeer::new(&shape(8));
    let (_, spare) = Doorbell::pair().unwrap();
    assert!(matches!(peer.open(spare), Err(OpenError::Busy)));
    let mut next = 0;
    fill(&mut port.tx[0], 5, &mut next);
    let _ = port.tx[0].publish();
    peer.take(0, 3).unwrap();
    peer.put(0, &[frame(0), frame(1), frame(2)]).unwrap();
    port.rx[0].sync().unwrap();
    assert_eq!(drain(&mut port.rx[0], 2).len(), 2);
    let _ = port.rx[0].publish();
    let CsbPort { tx, rx, doorbell } = port;
    drop(tx);
    let (_, spare) = Doorbell::pair().unwrap();
    assert!(matches!(peer.open(spare), Err(OpenError::Busy)), "its receive ring is still in use");
    drop(rx);
    let mut port = peer.open(doorbell).unwrap();
    assert_eq!((port.tx[0].pending(), port.tx[0].space()), (2, 5));
    assert_eq!(drain(&mut port.rx[0], 9), [frame(2)]);
    fill(&mut port.tx[0], 1, &mut next);
    let _ = port.tx[0].publish();
    let sent: Vec<_> = peer.take(0, 9).unwrap().into_iter().map(|t| t.data).collect();
    assert_eq!(sent, [frame(3), frame(4), frame(5)]);
}
