//! Flags, offsets, indirect frames, forwarding, waiting: each once.

use crate::{drain, fill, frame, open, shape};
use netmap_rs::kernel::fake::{FakeRegion, FakeShape};
use netmap_rs::kernel::{CannotForward, Offsets, Verdict, forward};
use netmap_rs::layout::SlotCopy;
use netmap_rs::sys::{NS_BUF_CHANGED, NS_FORWARD, NS_INDIRECT, NS_MOREFRAG, NS_REPORT};
use std::time::{Duration, Instant};

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
