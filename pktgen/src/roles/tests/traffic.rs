//! Loads beyond one size and one flow in turn: popularity, arrivals, captured frames, and how well schedules are kept.

use super::*;
use crate::port::PortInfo;
use crate::queues::queue_of;
use std::collections::HashMap;

fn sent_frames(spec: &TxSpec, frames: u32) -> Vec<Vec<u8>> {
    let (mut a, mut b) = pair(64, 2048);
    let mut tx = tx(&a, spec);
    let (mut seen, mut now) = (Vec::new(), 0);
    while (seen.len() as u32) < frames {
        now = tx.next_ns().unwrap().max(now);
        tx.step(&mut a, now).unwrap();
        b.rx_batch(64, |frame| seen.push(frame.data.to_vec())).unwrap();
    }
    seen
}

fn source_port(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[34], frame[35]])
}

#[test]
fn popular_flows_come_often_and_every_frame_is_whole() {
    let order = FlowOrder::Zipf { exponent: 1.0 };
    let spec = TxSpec {
        addressing: Addressing::sample(50),
        traffic: Traffic { order, seed: 3, ..Traffic::default() },
        ..tx_spec(Sizes::Cycle(vec![64, 570, 1518]), Rate::Max, 20, None)
    };
    let frames = sent_frames(&spec, 20_000);
    let mut seen: HashMap<u16, u32> = HashMap::new();
    for frame in &frames {
        assert_eq!(ipv4_checksum(frame[14..34].try_into().unwrap()), 0);
        assert!(pattern_intact(frame));
        *seen.entry(source_port(frame)).or_default() += 1;
    }
    // The first has 1 / H(50) = 22.2 % of the load, the second half of that; five deviations are 1.5 %.
    let part = |flow: u16| f64::from(seen[&(1024 + flow)]) / frames.len() as f64;
    assert!((part(0) - 0.2223).abs() < 0.015 && (part(1) - 0.1111).abs() < 0.011, "{seen:?}");
    assert_eq!(frames, sent_frames(&spec, 20_000), "the same each time");
    let other = TxSpec { traffic: Traffic { seed: 4, ..spec.traffic.clone() }, ..spec.clone() };
    assert_ne!(frames, sent_frames(&other, 20_000));
}

/// Of a port with several queues, whose frames of different queues come in any order.
#[test]
fn frames_are_numbered_for_each_queue() {
    let (mut a, mut b) = pair(1024, 2048);
    let info = PortInfo { queues: 4, ..a.info().clone() };
    let spec = TxSpec {
        addressing: Addressing::sample(64),
        ..tx_spec(Sizes::Cycle(vec![64, 570]), Rate::Max, 100, Some(1000))
    };
    let mut tx = Tx::new(&spec, &info).unwrap();
    tx.start(0);
    let mut next: HashMap<u16, u64> = HashMap::new();
    while !tx.done() {
        tx.step(&mut a, 1).unwrap();
        b.rx_batch(1024, |frame| {
            let mark = Mark::read(frame.data).unwrap();
            let queue = queue_of(frame.data, 4) as u16;
            assert_eq!(mark.stream, spec.stream + (queue << 8));
            let next = next.entry(mark.stream).or_default();
            assert_eq!(mark.seq, *next);
            *next += 1;
        })
        .unwrap();
    }
    assert_eq!(tx.report().sent, 1000);
    assert_eq!((next.len(), next.values().sum::<u64>()), (4, 1000), "{next:?}");
}

#[test]
fn sizes_at_random_are_even_and_differ_by_seed() {
    let spec = |seed| TxSpec {
        traffic: Traffic { seed, ..Traffic::default() },
        ..tx_spec(Sizes::Random { min: 64, max: 127 }, Rate::Max, 20, None)
    };
    let of = |seed| sent_frames(&spec(seed), 64_000).iter().map(Vec::len).collect::<Vec<_>>();
    let mut seen = [0u32; 64];
    of(1).iter().for_each(|len| seen[len - 60] += 1);
    assert!(
        seen.iter().all(|&n| (850..1150).contains(&n)),
        "a thousand each, within five deviations: {seen:?}"
    );
    assert_ne!(of(1), of(2));
}

#[test]
fn captured_frames_leave_as_they_are_at_their_times() {
    let frames: Vec<Vec<u8>> = [60, 14, 1514].map(|len: usize| vec![len as u8; len]).to_vec();
    let replay = Replay::new(&frames, Some(vec![100, 2_000, 50])).unwrap();
    let traffic = Traffic { replay: Some(replay), ..Traffic::default() };
    let spec = TxSpec { traffic, ..tx_spec(Sizes::Fixed(64), Rate::Max, 64, Some(7)) };
    let (mut a, mut b) = pair(16, 2048);
    let mut tx = tx(&a, &spec);
    let mut seen = Vec::new();
    for now in 0..5_000 {
        tx.step(&mut a, now).unwrap();
        b.rx_batch(16, |frame| seen.push((now, frame.data.to_vec()))).unwrap();
    }
    assert!(tx.done());
    let times: Vec<u64> = seen.iter().map(|(now, _)| *now).collect();
    assert_eq!(times, [0, 100, 2_100, 2_150, 2_250, 4_250, 4_300]);
    assert!(seen.iter().zip(frames.iter().cycle()).all(|((_, seen), frame)| seen == frame));
    let sent = tx.report();
    assert_eq!((sent.sent, sent.bytes), (7, 3 * (60 + 4) + 2 * (14 + 4) + 2 * 1518));
}

#[test]
fn a_rate_goes_before_captured_times_only_where_there_are_none() {
    let frames = vec![vec![1; 60], vec![2; 60]];
    let of = |gaps, rate| {
        let traffic = Traffic { replay: Some(Replay::new(&frames, gaps).unwrap()), ..Traffic::default() };
        let (a, _b) = pair(4, 2048);
        let tx = tx(&a, &TxSpec { traffic, ..tx_spec(Sizes::Fixed(64), rate, 1, None) });
        tx.report().pacing.map(|pacing| pacing.asked_pps.round())
    };
    assert_eq!(of(None, Rate::Max), None);
    assert_eq!(of(None, Rate::Pps(5e3)), Some(5e3));
    assert_eq!(of(Some(vec![1_000, 3_000]), Rate::Max), Some(5e5));
    // A frame the port does not carry is refused like a size it does not carry.
    let replay = Replay::new(&[vec![0; 1515]], None).unwrap();
    let traffic = Traffic { replay: Some(replay), ..Traffic::default() };
    let (a, _b) = pair(4, 1514);
    let spec = TxSpec { traffic, ..tx_spec(Sizes::Fixed(64), Rate::Max, 1, None) };
    assert!(matches!(Tx::new(&spec, a.info()), Err(Error::FrameSize { size: 1519, .. })));
}

#[test]
fn a_sender_tells_how_late_its_frames_were_published() {
    let (mut a, mut b) = pair(64, 2048);
    let clock = Manual::at(0);
    let mut tx =
        Tx::with_clock(&tx_spec(Sizes::Fixed(64), Rate::Pps(1e6), 16, None), a.info(), clock.clone())
            .unwrap();
    tx.start(0);
    for _ in 0..1_000 {
        // Publishing takes 300 ns, and the next look is when the next frame is due.
        let now = clock.now_ns();
        clock.advance(300);
        assert_eq!(tx.step(&mut a, now).unwrap(), 1);
        b.rx_batch(16, |_| ()).unwrap();
        clock.advance(700);
    }
    let pacing = tx.report().pacing.unwrap();
    let lateness = Latency::decode(&pacing.lateness).unwrap().summary();
    let spacing = Latency::decode(&pacing.spacing).unwrap().summary();
    assert_eq!((lateness.count, lateness.min_ns, lateness.max_ns), (1_000, 300, 300));
    assert_eq!((spacing.count, spacing.max_ns), (999, 1), "evenly late is evenly spaced");
    assert!((pacing.achieved_pps / 1e6 - 1.0).abs() < 1e-3, "{pacing:?}");
}

#[test]
fn a_probe_that_could_not_leave_in_time_is_timed_from_when_it_was_due() {
    let (mut a, mut b) = pair(4, 2048);
    let clock = Manual::at(0);
    let spec = PingSpec { timeout_ms: 1_000, ..ping_spec(Some(1e5), None) };
    let mut ping = Ping::with_clock(&spec, a.info(), clock.clone()).unwrap();
    let mut pong = Pong::new(&PongSpec { burst: 64 }, b.info()).unwrap();
    ping.start(0);
    let mut round = |ping: &mut Ping<Manual>, trip| {
        ping.step(&mut a, clock.now_ns()).unwrap();
        clock.advance(trip);
        pong.step(&mut b, clock.now_ns()).unwrap();
        ping.step(&mut a, clock.now_ns()).unwrap()
    };
    // Every 10 µs one, back in 2 µs; then the sender is held up for 1 ms.
    for _ in 0..100 {
        round(&mut ping, 2_000);
        clock.advance(8_000);
    }
    clock.advance(1_000_000);
    for _ in 0..60 {
        round(&mut ping, 2_000);
    }
    let (left, due) = (ping.latency().summary(), ping.from_due().summary());
    assert_eq!(left.count, due.count);
    assert_eq!(left.max_ns / 100, 20, "as they left, nothing was slow: {left:?}");
    assert!(due.max_ns > 1_000_000 && due.p50_ns < 1_000_000, "{due:?}");
    assert!(due.p90_ns > 100_000, "a hundred of two hundred waited: {due:?}");
    // What is due when it ends and has not left is told.
    clock.advance(500_000);
    ping.stop(clock.now_ns());
    let report = ping.report();
    assert!((50..=52).contains(&report.overdue), "{report:?}");
    assert_eq!(Latency::decode(&report.from_due.unwrap()).unwrap().count(), due.count);
    let (c, _d) = pair(4, 2048);
    assert_eq!(Ping::new(&ping_spec(None, None), c.info()).unwrap().report().from_due, None);
}
