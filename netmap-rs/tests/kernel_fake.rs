//! Kernel ports on the fake kernel: frames in order and whole across the ring's end, cursors as a model predicts,
//! what a broken kernel may do reported, buffers never in two places.

use netmap_rs::kernel::fake::{FakeKernel, FakeRegion, FakeShape};
use netmap_rs::kernel::{
    CannotForward, Cursors, KernelError, KernelPort, Offsets, RxRing, TxRing, Verdict, forward,
};
use netmap_rs::layout::SlotCopy;
use netmap_rs::sys::{NS_BUF_CHANGED, NS_FORWARD, NS_INDIRECT, NS_MOREFRAG, NS_REPORT};
use proptest::prelude::*;
use rustix::io::Errno;
use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

fn shape(slots: u32) -> FakeShape {
    FakeShape { tx_slots: slots, rx_slots: slots, ..FakeShape::default() }
}

fn open(shape: &FakeShape) -> (FakeKernel, KernelPort) {
    FakeRegion::new(128, 8192).open(shape)
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 128 }))]

    /// Any mixture of filling, draining and syncing, over more than three rings' worth of frames: nothing is lost,
    /// changed, doubled or out of order, and there is exactly as much room as a model says.
    #[test]
    fn frames_cross_the_end_of_the_ring_many_times(
        slots in prop_oneof![Just(2u32), Just(3), Just(4), 5u32..70],
        hold: bool,
        steps in proptest::collection::vec((0u32..80, 0u32..80, 0u32..80, 0u32..4), 1..40),
    ) {
        let (kernel, mut port) = open(&shape(slots));
        kernel.hold(hold);
        let (mut next_tx, mut seen_tx, mut next_rx, mut seen_rx) = (0u64, 0u64, 0u64, 0u64);
        // Slots the kernel has, as it told in its last sync and as it is; shown to it and not taken; filled only.
        let (mut known, mut held, mut shown, mut unsent) = (0u32, 0u32, 0u32, 0u32);
        let enough = u64::from(slots) * 3 + 5;
        let mut step = 0;
        while seen_tx < enough || seen_rx < enough {
            let (tx, rx, complete, how) = steps[step % steps.len()];
            // Every so often, a round that makes progress whatever the steps are.
            let (tx, rx, complete, how) = if step % 7 == 6 { (5, 9, 80, 0) } else { (tx, rx, complete, how) };
            step += 1;
            let space = slots - 1 - known - shown - unsent;
            prop_assert_eq!(port.tx()[0].space(), space);
            let filled = fill(&mut port.tx()[0], tx, &mut next_tx);
            prop_assert_eq!(filled, tx.min(space));
            unsent += filled;
            prop_assert_eq!(port.tx()[0].unsent(), unsent);

            let frames: Vec<_> = (next_rx..next_rx + u64::from(rx)).map(frame).collect();
            next_rx += u64::from(rx);
            kernel.deliver(0, &frames);
            if hold {
                kernel.complete(0, complete);
                held -= complete.min(held);
            }
            match how {
                0 => port.txsync().and_then(|()| port.rxsync()).unwrap(),
                1 => { port.wait(true, true, Duration::ZERO).unwrap(); }
                2 => { port.before_poll(); port.after_poll().unwrap(); }
                _ => port.txsync().unwrap(),
            }
            shown += unsent;
            unsent = 0;
            if how != 2 {
                held = if hold { held + shown } else { 0 };
                (known, shown) = (held, 0);
            }
            for taken in kernel.sent(0) {
                prop_assert_eq!(&taken.data, &frame(seen_tx), "frame {} of a ring of {}", seen_tx, slots);
                seen_tx += 1;
            }
            for data in drain(&mut port.rx()[0], rx / 2 + 1) {
                prop_assert_eq!(&data, &frame(seen_rx), "frame {} of a ring of {}", seen_rx, slots);
                seen_rx += 1;
            }
        }
        prop_assert_eq!((port.tx()[0].bad_slots(), port.rx()[0].bad_slots()), (0, 0));
    }

    /// Whatever passes between rings and spare buffers, every buffer is in one place, and all are given back.
    #[test]
    fn a_buffer_is_in_one_place(steps in proptest::collection::vec((0u32..5, 0u32..6), 1..60)) {
        let region = FakeRegion::new(128, 512);
        let (from, mut a) = region.open(&FakeShape { extra_bufs: 6, ..shape(8) });
        let (to, mut b) = region.open(&shape(8));
        let before: HashSet<u32> = all_bufs(&from, 8).into_iter().chain(all_bufs(&to, 8)).chain(from.extra_bufs()).collect();
        let (mut sent, mut expected, mut next) = (Vec::new(), VecDeque::new(), 0u64);
        let mut kept = Vec::new();
        for (what, n) in steps {
            match what {
                0 => {
                    let frames: Vec<_> = (next..next + u64::from(n)).map(frame).collect();
                    next += u64::from(n);
                    from.deliver(0, &frames);
                    a.rxsync().unwrap();
                }
                1 => {
                    let (_, rx) = a.rings();
                    let mut seen = Vec::new();
                    let (tx, _) = b.rings();
                    let done = forward(&mut rx[0], &mut tx[0], n, |f| { seen.push(f.data.to_vec()); true }).unwrap();
                    prop_assert_eq!(done as usize, seen.len());
                    expected.extend(seen);
                }
                2 => {
                    let buffer = a.take_buffer();
                    kept.extend(buffer.and_then(|mut buffer| {
                        a.rx()[0].exchange(&mut buffer).map(|(place, _)| (buffer, place))
                    }));
                }
                3 => if let Some((mut buffer, place)) = kept.pop() {
                    let data = buffer.bytes()[place.clone()].to_vec();
                    if b.tx()[0].send(&mut buffer, place.len() as u16, 0) {
                        expected.push_back(data);
                    }
                },
                _ => b.txsync().unwrap(),
            }
            sent.extend(to.sent(0));
        }
        b.txsync().unwrap();
        sent.extend(to.sent(0));
        let sent: Vec<_> = sent.into_iter().map(|f| f.data).collect();
        prop_assert_eq!(sent, Vec::from(expected));
        drop(kept);
        drop(a);
        drop(b);
        let after = all_bufs(&from, 8).into_iter().chain(all_bufs(&to, 8)).chain(from.extra_bufs());
        let after: Vec<u32> = after.collect();
        prop_assert_eq!(after.len(), before.len());
        prop_assert_eq!(after.into_iter().collect::<HashSet<_>>(), before);
    }
}

/// The buffers in both rings of a port.
fn all_bufs(kernel: &FakeKernel, slots: u32) -> Vec<u32> {
    [true, false].iter().flat_map(|&tx| (0..slots).map(move |i| kernel.slot(tx, 0, i).0.buf_idx)).collect()
}

#[test]
fn a_head_that_comes_back_changed_is_an_error_and_the_ring_goes_on() {
    for tx in [true, false] {
        let (kernel, mut port) = open(&shape(8));
        let mut next = 0;
        fill(&mut port.tx()[0], 3, &mut next);
        kernel.deliver(0, &[frame(0), frame(1)]);
        port.txsync().unwrap();
        port.rxsync().unwrap();
        // Another program writes cursors out of range just before the kernel looks: the sync itself stores ours
        // first, so the poll of another thread is what sees them.
        kernel.spoil_cursors(tx, 0, Cursors { head: 99, cur: 99, tail: 2 });
        let failed = port.after_poll().unwrap_err();
        let KernelError::Reset { ring, found: 99, .. } = &failed else { panic!("{failed}") };
        assert_eq!(ring.tx, tx);
        assert!(failed.to_string().contains("another program writes this ring"), "{failed}");
        let lent = if tx { port.tx()[0].space() } else { port.rx()[0].avail() };
        assert_eq!(lent, 0, "nothing is lent on cursors that are none");
        kernel.spoil_cursors(tx, 0, Cursors { head: 3, cur: 3, tail: 5 });
        port.after_poll().unwrap_err();
        let lent = if tx { port.tx()[0].space() } else { port.rx()[0].avail() };
        assert_eq!(lent, 2, "what the kernel says now counts");
    }
}

#[test]
fn a_tail_that_goes_back_or_round_is_an_error_and_not_believed() {
    let (kernel, mut port) = open(&shape(8));
    kernel.deliver(0, &[frame(0), frame(1), frame(2), frame(3)]);
    port.rxsync().unwrap();
    assert_eq!(port.rx()[0].avail(), 4);
    for tail in [2, 8, u32::MAX] {
        kernel.spoil_cursors(false, 0, Cursors { head: 0, cur: 0, tail });
        let failed = port.after_poll().unwrap_err();
        let KernelError::Cursor { source, .. } = &failed else { panic!("{failed}") };
        assert_eq!((source.word, source.value, source.from), ("tail", tail, 4));
        assert_eq!(port.rx()[0].avail(), 4);
    }
    kernel.spoil_cursors(false, 0, Cursors { head: 0, cur: 0, tail: 4 });
    assert_eq!(drain(&mut port.rx()[0], 9).len(), 4);
}

#[test]
fn cursors_tried_by_hand_show_what_the_kernel_does() {
    let (_kernel, mut port) = open(&shape(8));
    let mut next = 0;
    fill(&mut port.tx()[0], 3, &mut next);
    port.txsync().unwrap();
    let after = port.try_cursors(true, 0, 8, 8).unwrap();
    assert_eq!(after, Cursors { head: 3, cur: 3, tail: 2 }, "out of range: reset to what the kernel has");
    assert_eq!(port.tx()[0].space(), 0);
    assert_eq!(fill(&mut port.tx()[0], 3, &mut next), 0, "a ring that was tried is spent");
    port.txsync().unwrap();

    let (kernel, mut port) = open(&shape(8));
    let after = port.try_cursors(true, 0, 7, 5).unwrap();
    assert_eq!(
        (after.head, after.cur),
        (7, 5),
        "wrong but in range: the kernel does nothing and says nothing"
    );
    assert!(kernel.sent(0).is_empty());
    let (kernel, mut port) = open(&shape(8));
    kernel.deliver(0, &[frame(0)]);
    assert_eq!(port.try_cursors(false, 0, 5, u32::MAX).unwrap(), Cursors { head: 0, cur: 0, tail: 1 });
}

#[test]
fn bad_slots_are_counted_and_never_lent() {
    let (kernel, mut port) = open(&shape(8));
    kernel.deliver(0, &[frame(0), frame(1), frame(2)]);
    port.rxsync().unwrap();
    kernel.spoil_slot(false, 0, 0, SlotCopy { buf_idx: 1, len: 60, flags: 0 });
    kernel.spoil_slot(false, 0, 1, SlotCopy { buf_idx: 9, len: 129, flags: 0 });
    let mut got = Vec::new();
    assert_eq!(port.rx()[0].drain(9, |slot| got.push(slot.data.to_vec())), 3);
    assert_eq!((got, port.rx()[0].bad_slots()), (vec![frame(2)], 2));
    for (slot, buf_idx) in [(1, 8192), (0, 0)] {
        kernel.spoil_slot(true, 0, slot, SlotCopy { buf_idx, len: 0, flags: 0 });
        let mut next = 0;
        assert_eq!(fill(&mut port.tx()[0], 8, &mut next), slot);
        port.txsync().unwrap();
    }
    assert_eq!(port.tx()[0].bad_slots(), 2);
}

#[test]
fn flags_are_sent_kept_and_masked() {
    let (kernel, mut port) = open(&shape(8));
    let tx = &mut port.tx()[0];
    let mut fragment = 0;
    tx.fill(3, |slot| {
        fragment += 1;
        assert_eq!(slot.flags, 0);
        slot.flags = if fragment < 3 { NS_MOREFRAG } else { 0 } | NS_INDIRECT;
        20
    });
    tx.report_last();
    port.txsync().unwrap();
    let flags: Vec<u16> = kernel.sent(0).iter().map(|f| f.flags).collect();
    assert_eq!(flags, [NS_MOREFRAG, NS_MOREFRAG, NS_REPORT], "no pointer was given, so none is sent");
    port.tx()[0].report_last();
    assert_eq!(kernel.slot(true, 0, 2).0.flags & NS_REPORT, NS_REPORT, "a given slot is not touched again");
    let changed = SlotCopy { flags: NS_BUF_CHANGED, ..kernel.slot(true, 0, 3).0 };
    kernel.spoil_slot(true, 0, 3, changed);
    port.tx()[0].fill(1, |_| 20);
    assert_eq!(kernel.slot(true, 0, 3).0.flags, NS_BUF_CHANGED, "the driver has not seen it yet");

    kernel.deliver_flagged(0, [(vec![1], 2 << 8 | NS_MOREFRAG), (vec![2], 2 << 8)]);
    port.rxsync().unwrap();
    let mut flags = Vec::new();
    port.rx()[0].drain_verdict(9, |slot| {
        flags.push(slot.flags);
        if slot.data == [2] { Verdict::Forward } else { Verdict::Release }
    });
    assert_eq!(flags, [NS_MOREFRAG, 0]);
    assert_eq!(kernel.slot(false, 0, 0).0.flags & NS_FORWARD, 0);
    assert_eq!(kernel.slot(false, 0, 1).0.flags & NS_FORWARD, NS_FORWARD);
}

#[test]
fn indirect_frames_are_sent_from_where_they_are() {
    let (kernel, mut port) = open(&shape(8));
    let template = port.pin(b"a frame in memory of its own").unwrap();
    assert!(port.pin(&[]).is_none());
    assert!(port.pin(&vec![0; 65536]).is_none());
    assert_eq!(port.tx()[0].send_indirect(&template, 5), 5);
    assert_eq!(port.tx()[0].send_indirect(&template, 5), 2);
    let len = template.len();
    drop(template);
    port.txsync().unwrap();
    let sent = kernel.sent(0);
    assert_eq!(sent.len(), 7);
    assert!(sent.iter().all(|f| f.data == b"a frame in memory of its own" && f.flags == NS_INDIRECT));
    assert_eq!(sent[0].data.len(), usize::from(len));
    let (_other_kernel, mut other) = open(&shape(8));
    let foreign = other.pin(b"x").unwrap();
    assert_eq!(port.tx()[0].send_indirect(&foreign, 1), 0, "it would not live as long as this port");
    let large = other.pin(&[0; 200]).unwrap();
    assert_eq!(other.tx()[0].send_indirect(&large, 1), 0, "more than a buffer holds");
}

#[test]
fn offsets_move_frames_inside_their_buffers() {
    let offsets = Offsets { max: 32, initial: 16, bits: 12, tx_align: 0 };
    let (kernel, mut port) = open(&FakeShape { offsets: Some(offsets), ..shape(8) });
    port.tx()[0].fill(1, |slot| {
        assert_eq!(slot.buf.len(), 128 - 16);
        slot.buf[..3].copy_from_slice(b"abc");
        3
    });
    assert!(!port.tx()[0].set_offset(Some(33)));
    assert!(port.tx()[0].set_offset(Some(32)));
    port.tx()[0].fill(1, |slot| {
        assert_eq!(slot.buf.len(), 128 - 32);
        slot.buf[..3].copy_from_slice(b"def");
        3
    });
    port.txsync().unwrap();
    let sent: Vec<_> = kernel.sent(0).into_iter().map(|f| f.data).collect();
    assert_eq!(sent, [b"abc", b"def"]);
    assert_eq!((kernel.slot(true, 0, 0).1, kernel.slot(true, 0, 1).1), (16, 32));
    kernel.deliver(0, &[b"ghi"]);
    port.rxsync().unwrap();
    assert_eq!(drain(&mut port.rx()[0], 9), [b"ghi"]);
    let template = port.pin(b"x").unwrap();
    assert_eq!(port.tx()[0].send_indirect(&template, 1), 0, "the pointer's place is taken");
    let (_plain_kernel, mut plain) = open(&shape(8));
    assert!(!plain.tx()[0].set_offset(Some(1)));
    assert!(plain.tx()[0].set_offset(Some(0)));
}

#[test]
fn forwarding_needs_one_region_and_the_same_offsets() {
    let region = FakeRegion::new(128, 512);
    let (kernel, mut a) = region.open(&shape(4));
    let (_, mut elsewhere) = open(&shape(4));
    let offsets = Some(Offsets { max: 64, initial: 0, bits: 8, tx_align: 0 });
    let (_, mut shifted) = region.open(&FakeShape { offsets, ..shape(4) });
    kernel.deliver(0, &[frame(0)]);
    a.rxsync().unwrap();
    let (tx, rx) = a.rings();
    assert_eq!(forward(&mut rx[0], &mut elsewhere.tx()[0], 1, |_| true), Err(CannotForward::OtherRegion));
    assert_eq!(forward(&mut rx[0], &mut shifted.tx()[0], 1, |_| true), Err(CannotForward::OtherOffsets));
    assert_eq!(forward(&mut rx[0], &mut tx[0], 9, |_| false), Ok(1), "dropped");
    assert_eq!(tx[0].unsent(), 0);
    a.rxsync().unwrap();
    kernel.deliver(0, &[frame(1), frame(2), frame(3)]);
    a.rxsync().unwrap();
    let (tx, rx) = a.rings();
    let back = forward(&mut rx[0], &mut tx[0], 9, |f| {
        f.data[0] ^= 0xff;
        true
    });
    assert_eq!(back, Ok(3), "out through the port that it came in by");
    a.txsync().unwrap();
    let mut expected = frame(1);
    expected[0] ^= 0xff;
    assert_eq!(kernel.sent(0)[0].data, expected);
}

#[test]
fn a_ring_has_one_user_and_the_next_one_goes_on_where_it_was() {
    let region = FakeRegion::new(128, 512);
    let (kernel, mut port) = region.open(&FakeShape { extra_bufs: 2, ..shape(4) });
    let mut next = 0;
    fill(&mut port.tx()[0], 2, &mut next);
    port.txsync().unwrap();
    kernel.deliver(0, &[frame(0), frame(1), frame(2)]);
    port.rxsync().unwrap();
    assert_eq!(drain(&mut port.rx()[0], 1), [frame(0)]);
    port.rxsync().unwrap();
    let in_use = kernel.open_again().unwrap_err();
    assert!(matches!(&in_use, KernelError::RingInUse { ring, .. } if ring.tx && ring.index == 0), "{in_use}");

    let buffer = port.take_buffer().unwrap();
    assert_eq!(port.spare_buffers(), 1);
    drop(port);
    assert_eq!(buffer.bytes().len(), 128);
    assert!(kernel.open_again().is_err(), "a buffer keeps its port open");
    drop(buffer);
    let mut port = kernel.open_again().unwrap();
    assert_eq!((port.tx()[0].space(), port.spare_buffers()), (3, 2));
    assert_eq!(drain(&mut port.rx()[0], 9), [frame(1), frame(2)]);
    fill(&mut port.tx()[0], 3, &mut next);
    port.txsync().unwrap();
    let sent: Vec<_> = kernel.sent(0).into_iter().map(|f| f.data).collect();
    assert_eq!(sent, (0..5).map(frame).collect::<Vec<_>>());
}

#[test]
fn host_rings_follow_hardware_rings() {
    let shape = FakeShape { tx_rings: 2, rx_rings: 3, host_rings: true, ..shape(4) };
    let (kernel, mut port) = open(&shape);
    let names: Vec<String> = port.rx().iter().map(|r| r.name().to_string()).collect();
    assert_eq!(names, ["receive ring 0", "receive ring 1", "receive ring 2", "host receive ring 0"]);
    assert_eq!(port.tx().len(), 3);
    let mut next = 7;
    fill(&mut port.tx()[2], 1, &mut next);
    port.txsync().unwrap();
    assert_eq!(kernel.sent(2)[0].data, frame(7));
    kernel.deliver(3, &[frame(9)]);
    port.rxsync().unwrap();
    assert_eq!(drain(&mut port.rx()[3], 1), [frame(9)]);
}

#[test]
fn errors_of_syncs_name_port_errno_and_cause() {
    let (kernel, mut port) = open(&shape(4));
    kernel.fail(Some(Errno::IO));
    for failed in [port.txsync().unwrap_err(), port.wait(true, false, Duration::ZERO).unwrap_err()] {
        assert_eq!(failed.errno(), Some(Errno::IO));
        assert!(failed.to_string().contains("fake") && failed.to_string().contains("gone"), "{failed}");
        assert!(std::error::Error::source(&failed).is_some());
    }
    kernel.fail(None);
    port.txsync().unwrap();
    let failed = port.into_csb(&Default::default()).unwrap_err();
    assert!(matches!(failed, KernelError::Invalid { .. }), "{failed}");
}

#[test]
#[cfg_attr(miri, ignore = "it waits")]
fn a_wait_ends_when_frames_come_or_time_is_up() {
    let (kernel, mut port) = open(&shape(4));
    let start = Instant::now();
    let ready = port.wait(false, true, Duration::from_millis(20)).unwrap();
    assert!(!ready.rx && start.elapsed() >= Duration::from_millis(20));
    assert!(port.wait(true, false, Duration::from_secs(60)).unwrap().tx, "an empty ring has room at once");
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        kernel.deliver(0, &[frame(1)]);
        kernel
    });
    let start = Instant::now();
    while !port.wait(false, true, Duration::from_secs(60)).unwrap().rx {
        assert!(start.elapsed() < Duration::from_secs(60));
    }
    assert!(start.elapsed() < Duration::from_secs(30));
    assert_eq!(drain(&mut port.rx()[0], 9), [frame(1)]);
    drop(other.join().unwrap());
}

#[test]
fn syncs_are_stamped_when_asked() {
    let (_kernel, mut port) = open(&shape(4));
    port.rxsync().unwrap();
    assert_eq!(port.rx()[0].timestamp(), None);
    port.rx()[0].set_timestamps(true);
    port.rxsync().unwrap();
    let first = port.rx()[0].timestamp().unwrap();
    assert!(first.elapsed().unwrap() < Duration::from_secs(60));
    port.rx()[0].set_timestamps(false);
    std::thread::sleep(Duration::from_millis(2));
    port.rxsync().unwrap();
    assert_eq!(port.rx()[0].timestamp(), Some(first));
}
