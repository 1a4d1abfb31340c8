//! What a broken kernel, or another program, may do, and what is refused.

use crate::{drain, fill, frame, open, shape};
use netmap_rs::kernel::fake::{FakeRegion, FakeShape};
use netmap_rs::kernel::{Cursors, KernelError};
use netmap_rs::layout::SlotCopy;
use rustix::io::Errno;
use std::time::Duration;

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
