//! Roles on ports of the fake kernel.

use super::*;
use crate::frame::{FCS, MARK_END, Mark};
use crate::roles::{pong::Pong, rx::Rx, tx::Tx};
use crate::spec::{Addressing, PongSpec, Rate, RxSpec, Sizes, TxSpec};
use netmap_rs::kernel::fake::{FakeKernel, FakeRegion, FakeShape};
use netmap_rs::layout::SlotCopy;
use netmap_rs::sys::NS_INDIRECT;
use std::time::Instant;

fn shape(slots: u32) -> FakeShape {
    FakeShape { tx_slots: slots, rx_slots: slots, ..FakeShape::default() }
}

fn io(shape: &FakeShape, form: Form) -> (FakeKernel, KernelIo) {
    let (kernel, port) = FakeRegion::new(256, 4096).open(shape);
    (kernel, KernelIo::new(port, "fake", Some([2, 0, 0, 0, 0, 1]), form).unwrap())
}

fn spec(sizes: Sizes, burst: u32, count: Option<u64>) -> TxSpec {
    let addressing = Addressing {
        src_mac: [2, 0, 0, 0, 0, 1],
        dst_mac: [0xff; 6],
        src_ip: [10, 0, 0, 1],
        dst_ip: [10, 0, 0, 2],
        src_port: 1,
        dst_port: 2,
        flows: 1,
    };
    TxSpec { stream: 3, sizes, addressing, rate: Rate::Max, burst, count, traffic: Default::default() }
}

/// Sends all that `spec` says, and returns it as it left, with slot flags.
fn sent(kernel: &FakeKernel, io: &mut KernelIo, spec: &TxSpec, rings: usize) -> Vec<(Vec<u8>, u16)> {
    let mut tx = Tx::new(spec, io.info()).unwrap();
    tx.start(0);
    let mut all = Vec::new();
    let start = Instant::now();
    while !tx.done() {
        tx.step(io, 7).unwrap();
        for ring in 0..rings {
            all.extend(kernel.sent(ring).into_iter().map(|frame| (frame.data, frame.flags)));
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{} frames left", all.len());
    }
    assert_eq!(tx.report().sent, spec.count.unwrap());
    all
}

/// What a receiver makes of these frames.
fn account(frames: &[(Vec<u8>, u16)], form: Form) -> crate::spec::RxReport {
    let (kernel, mut io) = io(&shape(64), form);
    kernel.deliver_flagged(0, frames.iter().cloned());
    let mut rx = Rx::new(&RxSpec { burst: 17 }).unwrap().verifying(1);
    while rx.step(&mut io, 1).unwrap() > 0 {}
    assert_eq!(kernel.queued(0), 0);
    rx.report()
}

#[test]
fn every_frame_leaves_in_order_across_the_rings_end() {
    let (kernel, mut io) = io(&shape(32), Form::default());
    for sizes in [Sizes::Fixed(64), Sizes::Cycle(vec![64, 100, 256]), Sizes::Random { min: 64, max: 260 }] {
        let frames = sent(&kernel, &mut io, &spec(sizes.clone(), 24, Some(200)), 1);
        assert_eq!(frames.len(), 200);
        for (i, (frame, _)) in frames.iter().enumerate() {
            assert_eq!(Mark::read(frame).map(|mark| mark.seq), Some(i as u64), "{sizes:?}");
        }
        let report = account(&frames, Form::default());
        assert_eq!((report.received, report.foreign, report.corrupt), (200, 0, 0), "{sizes:?}");
        assert_eq!((report.streams[0].missing, report.streams[0].last_seq), (0, 199));
    }
}

#[test]
fn a_receiver_that_samples_looks_into_all_once_there_are_marks() {
    let (kernel, mut io) = io(&shape(64), Form::default());
    let marked: Vec<_> = sent(&kernel, &mut io, &spec(Sizes::Fixed(64), 24, Some(60)), 1);
    let mut rx = Rx::new(&RxSpec { burst: 16 }).unwrap().sampling();
    assert_eq!(rx.step(&mut io, 1).unwrap(), 0, "nothing has arrived");
    // Ten of others' first: a batch that begins with such is counted.
    kernel.deliver_flagged(0, (0..10).map(|_| (vec![7; 60], 0)).chain(marked[..30].iter().cloned()));
    while rx.step(&mut io, 1).unwrap() > 0 {}
    let report = rx.report();
    assert_eq!((report.received, report.foreign, report.corrupt), (40, 0, 0));
    assert_eq!((report.streams[0].first_seq, report.streams[0].last_seq), (6, 29));
    // From now on nothing is missed.
    let others = (0..3).map(|_| (vec![7; 60], 0));
    kernel.deliver_flagged(0, others.chain(marked[32..].iter().cloned()));
    while rx.step(&mut io, 1).unwrap() > 0 {}
    let report = rx.report();
    assert_eq!((report.received, report.foreign, report.streams[0].missing), (71, 3, 2));
}

#[test]
fn a_full_ring_takes_nothing_and_goes_on_when_there_is_room() {
    let (kernel, mut io) = io(&shape(16), Form::default());
    kernel.hold(true);
    let mut tx = Tx::new(&spec(Sizes::Fixed(64), 10, None), io.info()).unwrap();
    tx.start(0);
    assert_eq!((tx.step(&mut io, 1).unwrap(), tx.step(&mut io, 2).unwrap()), (10, 5));
    assert!(tx.blocked());
    assert_eq!((tx.step(&mut io, 3).unwrap(), io.tx_pending().unwrap()), (0, 15));
    kernel.complete(0, 4);
    io.wait(Interest::Tx, Duration::from_secs(10)).unwrap();
    assert_eq!(tx.step(&mut io, 4).unwrap(), 4);
    assert_eq!(kernel.sent(0).len(), 19);
}

#[test]
fn a_buffer_is_written_once_until_someone_swaps_it() {
    let (kernel, mut io) = io(&shape(4), Form::default());
    let mut written = Vec::new();
    let mut batch = |io: &mut KernelIo| {
        io.tx_batch(3, |frame| {
            written.push((frame.key.unwrap(), frame.swapped));
            60
        })
        .unwrap()
    };
    assert_eq!((batch(&mut io), batch(&mut io)), (3, 3));
    // The slot that comes next is given the buffer of the one behind it, and the other way round.
    let [a, b] = [2, 3].map(|i| kernel.slot(true, 0, i).0);
    let flags = NS_BUF_CHANGED;
    kernel.spoil_slot(true, 0, 2, SlotCopy { buf_idx: b.buf_idx, flags, ..a });
    kernel.spoil_slot(true, 0, 3, SlotCopy { buf_idx: a.buf_idx, flags, ..b });
    assert_eq!(batch(&mut io), 3);
    let swapped: Vec<bool> = written.iter().map(|(_, swapped)| *swapped).collect();
    assert_eq!(swapped, [false, false, false, false, false, false, true, true, false]);
    assert_eq!(written[6].0, b.buf_idx);
    assert_eq!((written[0].0, written[1].0), (written[4].0, written[5].0), "keys are buffers");

    // What a role wrote there before does not count any more.
    let (kernel, mut io) = self::io(&shape(4), Form::default());
    let spec = spec(Sizes::Fixed(64), 1, Some(4));
    let mut tx = Tx::new(&spec, io.info()).unwrap().unmarked();
    tx.start(0);
    (0..4).for_each(|_| assert_eq!(tx.step(&mut io, 0).unwrap(), 1));
    let mut again = Tx::new(&spec, io.info()).unwrap().unmarked();
    again.start(0);
    let first = kernel.sent(0)[0].data.clone();
    (0..3).for_each(|_| assert_eq!(again.step(&mut io, 0).unwrap(), 1));
    let slot = kernel.slot(true, 0, 3).0;
    let spare = kernel.slot(false, 0, 0).0.buf_idx;
    kernel.spoil_slot(true, 0, 3, SlotCopy { buf_idx: spare, flags: NS_BUF_CHANGED, ..slot });
    assert_eq!(again.step(&mut io, 0).unwrap(), 1);
    assert_eq!(kernel.sent(0).last().unwrap().data, first, "a frame left from a buffer nobody wrote");
}

#[test]
fn headers_come_before_frames_and_are_left_out_again() {
    let form = Form { header: 12, ..Form::default() };
    let (kernel, mut io) = io(&shape(16), form);
    assert_eq!(io.info().max_frame, 244);
    let frames = sent(&kernel, &mut io, &spec(Sizes::Cycle(vec![64, 248]), 5, Some(60)), 1);
    for (i, (frame, _)) in frames.iter().enumerate() {
        assert_eq!(frame[..12], [0; 12]);
        assert_eq!(Mark::read(&frame[12..]).map(|mark| mark.seq), Some(i as u64));
    }
    let report = account(&frames, form);
    assert_eq!((report.received, report.corrupt, report.streams[0].missing), (60, 0, 0));
    assert_eq!(report.bytes, 30 * 64 + 30 * 248, "headers are not counted");
}

#[test]
fn fragments_hold_whole_frames_and_never_half_of_one() {
    for header in [0, 10] {
        let form = Form { header, fragments: 3, ..Form::default() };
        let (kernel, mut io) = io(&shape(16), form);
        assert_eq!(io.info().max_frame, 3 * (256 - header));
        let frames = sent(&kernel, &mut io, &spec(Sizes::Cycle(vec![184, 700, 185]), 64, Some(50)), 1);
        assert_eq!(frames.len(), 150);
        for (i, (frame, flags)) in frames.iter().enumerate() {
            assert_eq!(flags & NS_MOREFRAG != 0, i % 3 < 2, "slot {i}");
            let least = if i % 3 == 2 { 1 } else { MARK_END };
            assert!(frame.len() >= least, "slot {i} has {} bytes", frame.len());
        }
        let report = account(&frames, Form { header, ..Form::default() });
        assert_eq!((report.received, report.corrupt, report.foreign), (50, 0, 0));
        assert_eq!(report.streams[0].missing, 0);
    }
    let (kernel, mut io) = io(&shape(8), Form { fragments: 3, ..Form::default() });
    kernel.hold(true);
    let mut tx = Tx::new(&spec(Sizes::Fixed(700), 9, None), io.info()).unwrap();
    tx.start(0);
    assert_eq!(tx.step(&mut io, 0).unwrap(), 2, "seven slots hold two frames of three");
    assert_eq!((kernel.sent(0).len(), io.tx_pending().unwrap()), (6, 2));
}

#[test]
fn indirect_frames_lie_side_by_side() {
    let form = Form { indirect: 60, ..Form::default() };
    let (kernel, mut io) = io(&shape(16), form);
    assert_eq!((io.info().max_frame, io.info().keys), (60, 16));
    let frames = sent(&kernel, &mut io, &spec(Sizes::Fixed(64), 11, Some(100)), 1);
    for (i, (frame, flags)) in frames.iter().enumerate() {
        assert_eq!(Mark::read(frame).map(|mark| mark.seq), Some(i as u64));
        assert_eq!(flags & NS_INDIRECT, NS_INDIRECT);
    }
    assert_eq!(kernel.slot(true, 0, 1).1 - kernel.slot(true, 0, 0).1, 64, "one line each");
    let region = FakeRegion::new(256, 64);
    let refused = |form| KernelIo::new(region.open(&shape(4)).1, "fake", None, form).unwrap_err();
    assert_eq!(refused(Form { indirect: 60, fragments: 2, header: 0 }), FormError::IndirectFragments);
    assert_eq!(refused(Form { header: 11, ..Form::default() }), FormError::Header(11));
}

#[test]
fn all_rings_are_used() {
    let shape = FakeShape { tx_rings: 3, rx_rings: 2, ..shape(8) };
    for form in [Form::default(), Form { indirect: 200, ..Form::default() }] {
        let (kernel, mut io) = io(&shape, form);
        let mut tx = Tx::new(&spec(Sizes::Fixed(64), 10, Some(90)), io.info()).unwrap();
        tx.start(0);
        let mut by_ring = [0; 3];
        while !tx.done() {
            assert_eq!(tx.step(&mut io, 0).unwrap(), 10, "what one ring does not take another does");
            by_ring.iter_mut().enumerate().for_each(|(ring, n)| *n += kernel.sent(ring).len());
        }
        assert_eq!(by_ring.iter().sum::<usize>(), 90);
        assert!(by_ring.iter().all(|&n| n >= 9), "{by_ring:?}");
        kernel.deliver(0, &[[1; 60], [2; 60]]);
        kernel.deliver(1, &[[3; 60]]);
        let mut got = Vec::new();
        assert_eq!(io.rx_batch(8, |frame| got.push(frame.data[0])).unwrap(), 3);
        assert_eq!(got, [1, 2, 3]);
    }
}

#[test]
fn probes_come_back_and_waits_end() {
    let (kernel, mut io) = io(&shape(8), Form::default());
    let mut pong = Pong::new(&PongSpec { burst: 4 }, io.info()).unwrap();
    let mut probe = vec![0; 60];
    Mark { kind: crate::frame::Kind::Probe, stream: 1, seq: 5, sent_ns: 9 }
        .write(probe.first_chunk_mut().unwrap());
    let start = Instant::now();
    io.wait(Interest::Rx, Duration::from_millis(20)).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(20));
    for round in 0..20 {
        kernel.deliver(0, &[&probe]);
        io.wait(Interest::Rx, Duration::from_secs(10)).unwrap();
        assert_eq!(pong.step(&mut io, 0).unwrap(), 2, "round {round}");
        assert_eq!(Mark::read(&kernel.sent(0)[0].data).unwrap().kind, crate::frame::Kind::Echo);
    }
    assert_eq!(u64::from(FCS) + 60, 64);
}

#[test]
fn what_the_kernel_refuses_is_an_error_with_the_ports_name() {
    let (kernel, mut io) = io(&shape(8), Form::default());
    kernel.fail(Some(rustix::io::Errno::IO));
    let error = io.tx_batch(1, |_| 60).unwrap_err();
    assert_eq!((error.port.as_str(), error.operation), ("fake", "send on"));
    assert_eq!(io.rx_batch(1, |_| {}).unwrap_err().operation, "receive on");
    assert!(io.wait(Interest::Rx, Duration::ZERO).is_err());
    assert!(io.tx_pending().is_err());
}

#[test]
fn frames_that_are_alike_are_written_once_a_buffer() {
    let shape = FakeShape { tx_rings: 2, ..shape(8) };
    let (kernel, mut io) = io(&shape, Form::default());
    let mut asked = 0;
    let mut batch = |io: &mut KernelIo, max, kind| {
        let sent = io.tx_alike(max, kind, |frame| {
            asked += 1;
            frame.buf[..60].fill(kind as u8);
            60
        });
        (sent.unwrap(), std::mem::take(&mut asked))
    };
    let frames = |kernel: &FakeKernel| (0..2).flat_map(|ring| kernel.sent(ring)).collect::<Vec<_>>();
    assert_eq!(batch(&mut io, 14, 1), (14, 14));
    assert_eq!(batch(&mut io, 14, 1).0, 14);
    for _ in 0..20 {
        let (sent, asked) = batch(&mut io, 14, 1);
        assert!(sent == 14 && asked <= 2, "{asked}: the last slot of each ring asked for a report");
    }
    assert!(frames(&kernel).iter().all(|frame| frame.data == [1; 60]));
    assert_eq!(batch(&mut io, 3, 2), (3, 3), "another kind");
    assert!(frames(&kernel).iter().all(|frame| frame.data == [2; 60]));
    io.tx_batch(2, |frame| {
        frame.buf[..70].fill(9);
        70
    })
    .unwrap();
    assert_eq!(frames(&kernel).len(), 2);
    for _ in 0..8 {
        batch(&mut io, 5, 2);
    }
    assert!(
        frames(&kernel).iter().all(|frame| frame.data == [2; 60]),
        "what another role wrote was sent again"
    );
    // A buffer that someone exchanged is written anew.
    let (head, spare) = (kernel.cursors(true, 0).head, kernel.slot(false, 0, 0).0.buf_idx);
    let slot = kernel.slot(true, 0, head).0;
    kernel.spoil_slot(true, 0, head, SlotCopy { buf_idx: spare, flags: NS_BUF_CHANGED, ..slot });
    assert!(batch(&mut io, 1, 2).1 == 1 && frames(&kernel)[0].data == [2; 60]);
    // A ring that was spoilt sends nothing from there.
    let head = kernel.cursors(true, 0).head;
    kernel.spoil_slot(true, 0, head, SlotCopy { buf_idx: 0, len: 0, flags: 0 });
    assert_eq!(io.port().tx()[0].fill_alike(&mut [0; 8], 3, |_| 60), 0);
    assert_eq!(io.port().tx()[0].bad_slots(), 1);
}

#[test]
fn what_nobody_looks_into_is_counted_right() {
    for header in [0, 12] {
        let (kernel, mut io) = io(&shape(16), Form { header, ..Form::default() });
        let more = |len: usize| (vec![0; len], NS_MOREFRAG);
        let last = |len: usize| (vec![0; len], 0);
        kernel.deliver_flagged(0, [last(60), more(100), more(100), last(7), last(80)]);
        let first = io.rx_count(4).unwrap();
        let header = u64::from(header);
        assert_eq!(first, RxCount { frames: 4, packets: 2, bytes: 267 - 2 * header });
        assert_eq!(io.rx_count(4).unwrap(), RxCount { frames: 1, packets: 1, bytes: 80 - header });
        assert_eq!(io.rx_count(4).unwrap(), RxCount::default());
    }
}
