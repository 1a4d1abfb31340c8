//! Properties, over many mixtures of steps.

use crate::{drain, fill, frame, open, shape};
use netmap_rs::kernel::fake::{FakeKernel, FakeRegion, FakeShape};
use netmap_rs::kernel::forward;
use proptest::prelude::*;
use std::collections::{HashSet, VecDeque};
use std::time::Duration;

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
