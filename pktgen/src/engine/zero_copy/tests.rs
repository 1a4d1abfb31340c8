//! Two fake ports of one region, and frames that cross between them.

use super::*;
use crate::counters::Counters;
use crate::ports::kernel::Form;
use netmap_rs::kernel::fake::{FakeKernel, FakeRegion, FakeShape};
use std::sync::Arc;

fn open(region: &FakeRegion, slots: u32) -> (FakeKernel, KernelIo) {
    let shape = FakeShape { tx_slots: slots, rx_slots: slots, ..FakeShape::default() };
    let (kernel, port) = region.open(&shape);
    (kernel, KernelIo::new(port, "fake", None, Form::default()).unwrap())
}

fn frame(number: u64) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(60 + (number % 40) as usize, number as u8);
    bytes
}

#[test]
fn frames_cross_both_ways_whole_and_in_order() {
    let region = FakeRegion::new(256, 512);
    let ((a, left), (b, right)) = (open(&region, 16), open(&region, 8));
    let counters: [Arc<Counters>; 2] = Default::default();
    let mut ports = [left, right];
    ZeroCopyEngine::check(&mut ports).unwrap();
    let mut engine = ZeroCopyEngine::new(ports, 5, counters.clone().map(Into::into)).unwrap();
    a.deliver(0, &(0..100).map(frame).collect::<Vec<_>>());
    b.deliver(0, &(0..70).map(|i| frame(1000 + i)).collect::<Vec<_>>());
    let (mut at_a, mut at_b) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        engine.step(0).unwrap();
        at_a.extend(a.sent(0).into_iter().map(|f| f.data));
        at_b.extend(b.sent(0).into_iter().map(|f| f.data));
    }
    assert!(at_b == (0..100).map(frame).collect::<Vec<_>>());
    assert!(at_a == (0..70).map(|i| frame(1000 + i)).collect::<Vec<_>>());
    let bytes = |frames: &[Vec<u8>]| frames.iter().map(|f| f.len() as u64 + 4).sum::<u64>();
    let left = counters[0].snapshot();
    assert_eq!((left.rx_frames, left.tx_frames, left.rx_bytes), (100, 70, bytes(&at_b)));
    let WorkReport::Fwd(reports) = engine.report() else { panic!() };
    assert_eq!(reports[0], FwdReport { received: 100, forwarded: 100, dropped: 0 });
    assert_eq!(reports[1].forwarded, 70);
}

#[test]
fn what_a_full_ring_does_not_take_waits_where_it_came_in() {
    let region = FakeRegion::new(256, 512);
    let ((a, left), (b, right)) = (open(&region, 64), open(&region, 8));
    let counters: [Arc<Counters>; 2] = Default::default();
    let mut engine = ZeroCopyEngine::new([left, right], 64, counters.map(Into::into)).unwrap();
    b.hold(true);
    a.deliver(0, &(0..20).map(frame).collect::<Vec<_>>());
    assert_eq!(engine.step(0).unwrap(), 7);
    assert_eq!(engine.step(0).unwrap(), 0);
    let start = std::time::Instant::now();
    engine.wait(Duration::from_millis(20)).unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
    let mut got = b.sent(0);
    for _ in 0..10 {
        b.complete(0, 3);
        engine.step(0).unwrap();
        got.extend(b.sent(0));
    }
    assert!(got.into_iter().map(|f| f.data).eq((0..20).map(frame)));
}

#[test]
fn fragments_pass_as_they_are_and_count_once() {
    let region = FakeRegion::new(256, 512);
    let ((a, left), (b, right)) = (open(&region, 16), open(&region, 16));
    let counters: [Arc<Counters>; 2] = Default::default();
    let mut engine = ZeroCopyEngine::new([left, right], 64, counters.map(Into::into)).unwrap();
    a.deliver_flagged(0, [(frame(1), NS_MOREFRAG), (frame(2), NS_MOREFRAG), (frame(3), 0)]);
    assert_eq!(engine.step(0).unwrap(), 3);
    let flags: Vec<bool> = b.sent(0).iter().map(|f| f.flags & NS_MOREFRAG != 0).collect();
    assert_eq!(flags, [true, true, false]);
    let WorkReport::Fwd(reports) = engine.report() else { panic!() };
    assert_eq!(reports[0].forwarded, 1);
}

#[test]
fn other_memory_and_failing_ports_are_told() {
    let (_a, left) = open(&FakeRegion::new(256, 512), 8);
    let (b, right) = open(&FakeRegion::new(256, 512), 8);
    let mut ports = [left, right];
    assert_eq!(ZeroCopyEngine::check(&mut ports), Err(CannotForward::OtherRegion));
    let counters: [Arc<Counters>; 2] = Default::default();
    let mut engine = ZeroCopyEngine::new(ports, 8, counters.clone().map(Into::into)).unwrap();
    b.fail(Some(Errno::IO));
    let error = engine.step(0).unwrap_err();
    assert_eq!(error.operation, "exchange buffers with");
    let ports = [open(&FakeRegion::new(256, 64), 4).1, open(&FakeRegion::new(256, 64), 4).1];
    assert!(ZeroCopyEngine::new(ports, 0, counters.map(Into::into)).is_err());
}
