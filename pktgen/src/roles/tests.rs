//! The roles against each other, over ports in memory.

use super::{fwd::Fwd, ping::Ping, pong::Pong, rx::Rx, tx::Tx};
use crate::Error;
use crate::clock::{Clock, Manual};
use crate::counters::Snapshot;
use crate::frame::{Kind, MARK_END, Mark, PATTERN, ipv4_checksum, pattern_intact};
use crate::latency::Latency;
use crate::port::Port;
use crate::ports::mem::{Fate, MemPort, pair};
use crate::spec::*;
use proptest::prelude::*;

mod traffic;

fn tx_spec(sizes: Sizes, rate: Rate, burst: u32, count: Option<u64>) -> TxSpec {
    let traffic = Traffic::default();
    TxSpec { stream: 7, sizes, addressing: Addressing::sample(1), rate, burst, count, traffic }
}

fn tx(port: &MemPort, spec: &TxSpec) -> Tx {
    let mut tx = Tx::new(spec, port.info()).unwrap();
    tx.start(0);
    tx
}

fn rx() -> Rx {
    Rx::new(&RxSpec { burst: 13 }).unwrap()
}

/// Moves everything that is to be moved; time stands still.
fn exchange(tx: &mut Tx, a: &mut MemPort, rx: &mut Rx, b: &mut MemPort) {
    while tx.step(a, 0).unwrap() + rx.step(b, 0).unwrap() > 0 {}
}

fn received_of(sizes: &[u16], frames: u64) -> u64 {
    sizes.iter().cycle().take(frames as usize).map(|&size| u64::from(size)).sum()
}

#[test]
fn everything_sent_arrives_over_many_laps() {
    for sizes in [vec![64], vec![1518], vec![64, 64, 570, 1518, 65], vec![9000]] {
        for flows in [1, 3, 1000] {
            let (mut a, mut b) = pair(32, 9014);
            let spec = tx_spec(Sizes::Cycle(sizes.clone()), Rate::Max, 20, Some(5_000));
            let mut tx = tx(&a, &TxSpec { addressing: Addressing::sample(flows), ..spec });
            let mut rx = rx().verifying(1);
            exchange(&mut tx, &mut a, &mut rx, &mut b);
            assert!(tx.done());
            tx.finish(&mut a).unwrap();
            let (sent, got) = (tx.report(), rx.report());
            let bytes = received_of(&sizes, 5_000);
            assert_eq!((sent.sent, sent.bytes, sent.unsent, sent.late), (5_000, bytes, 0, 0));
            assert_eq!((got.received, got.bytes, got.foreign, got.corrupt), (5_000, bytes, 0, 0));
            let stream = StreamReport { stream: 7, received: 5_000, last_seq: 4_999, ..Default::default() };
            assert_eq!(got.streams, [stream], "sizes {sizes:?}, {flows} flows");
        }
    }
}

#[test]
fn what_nobody_takes_is_unsent_and_a_full_ring_is_counted() {
    let (mut a, _b) = pair(8, 2048);
    let mut tx = tx(&a, &tx_spec(Sizes::Fixed(64), Rate::Max, 6, None));
    let moved: Vec<_> = (0..4).map(|now| tx.step(&mut a, now).unwrap()).collect();
    assert_eq!(moved, [6, 2, 0, 0]);
    assert!(tx.blocked());
    tx.finish(&mut a).unwrap();
    let report = tx.report();
    assert_eq!((report.sent, report.unsent, report.full, report.elapsed_ns), (8, 8, 3, 1));
    assert_eq!(tx.step(&mut a, 9).unwrap(), 0, "a finished sender sends no more");
}

#[test]
fn flows_and_sizes_go_round() {
    let (mut a, mut b) = pair(64, 2048);
    let spec = TxSpec {
        addressing: Addressing::sample(3),
        ..tx_spec(Sizes::Cycle(vec![64, 100]), Rate::Max, 64, Some(12))
    };
    tx(&a, &spec).step(&mut a, 5).unwrap();
    let mut seen = Vec::new();
    b.rx_batch(64, |frame| {
        assert_eq!(ipv4_checksum(frame.data[14..34].try_into().unwrap()), 0);
        assert!(pattern_intact(frame.data));
        assert_eq!(Mark::read(frame.data).unwrap().sent_ns, 5);
        seen.push((frame.data.len(), frame.data[35]));
    })
    .unwrap();
    let expected: Vec<_> = (0..12).map(|i| (if i % 2 == 0 { 60 } else { 96 }, i % 3)).collect();
    assert_eq!(seen, expected);
}

#[test]
fn buffers_another_role_wrote_to_are_written_again() {
    let (mut a, mut b) = pair(4, 2048);
    let mut tx = tx(&a, &tx_spec(Sizes::Fixed(256), Rate::Max, 4, None));
    let mut rx = rx().verifying(1);
    for _ in 0..3 {
        tx.step(&mut a, 0).unwrap();
        rx.step(&mut b, 0).unwrap();
    }
    a.tx_batch(4, |frame| {
        frame.buf.fill(0xff);
        60
    })
    .unwrap();
    b.rx_batch(4, |_| ()).unwrap();
    tx.forget_buffers();
    tx.step(&mut a, 0).unwrap();
    rx.step(&mut b, 0).unwrap();
    let report = rx.report();
    assert_eq!((report.received, report.corrupt, report.foreign), (16, 0, 0));
    assert_eq!(report.streams[0].missing, 0);
}

#[test]
fn a_paced_sender_keeps_to_its_schedule() {
    let (mut a, mut b) = pair(1024, 2048);
    let mut tx = tx(&a, &tx_spec(Sizes::Fixed(64), Rate::Pps(1e6), 256, None));
    let mut rx = rx();
    for now in (0..10_000_000).step_by(7_000) {
        tx.step(&mut a, now).unwrap();
        while rx.step(&mut b, now).unwrap() > 0 {}
        assert!(tx.next_ns().unwrap() > now);
    }
    let sent = tx.report().sent;
    assert!((9_993..=10_001).contains(&sent), "{sent} frames in 10 ms at 1 Mpps");
    assert_eq!(rx.report().received, sent);
    assert!(tx.report().late > sent / 2, "polled every 7 µs, most frames are a microsecond late");
    assert_eq!(tx.report().full, 0);
}

#[test]
fn the_sequence_number_passes_32_bits() {
    let (mut a, mut b) = pair(16, 2048);
    let start = (1u64 << 32) - 100;
    let mut sent = 0;
    let mut rx = rx();
    while sent < 300 {
        a.tx_batch(16, |frame| {
            frame.buf[16..18].copy_from_slice(&46u16.to_be_bytes());
            let mark = Mark { kind: Kind::Data, stream: 1, seq: start + sent, sent_ns: 0 };
            mark.write(frame.buf.first_chunk_mut().unwrap());
            sent += 1;
            60
        })
        .unwrap();
        while rx.step(&mut b, 0).unwrap() > 0 {}
    }
    let report = rx.report();
    assert_eq!((report.streams[0].missing, report.streams[0].reordered, report.corrupt), (0, 0, 0));
    assert_eq!((report.streams[0].first_seq, report.streams[0].last_seq), (start, start + sent - 1));
}

#[test]
fn a_sender_passes_32_bits_of_sequence_number() {
    let (mut a, mut b) = pair(16, 2048);
    let start = (1u64 << 32) - 100;
    let mut tx = tx(&a, &tx_spec(Sizes::Fixed(64), Rate::Max, 16, Some(300))).starting_at(start);
    let mut rx = rx();
    exchange(&mut tx, &mut a, &mut rx, &mut b);
    let report = rx.report();
    assert_eq!((report.received, report.corrupt, report.foreign), (300, 0, 0));
    let (first_seq, last_seq) = (start, start + 299);
    assert_eq!(
        report.streams,
        [StreamReport { stream: 7, received: 300, first_seq, last_seq, ..Default::default() }]
    );
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        8 => Just(Fate::Deliver),
        1 => Just(Fate::Drop),
        1 => Just(Fate::Duplicate),
        1 => (0usize..2000).prop_map(Fate::Corrupt),
        1 => (1usize..300).prop_map(Fate::Delay),
        1 => (MARK_END..700).prop_map(Fate::Split),
    ];
    prop::collection::vec(fate, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_frame_is_accounted_for_whatever_happens_to_it(
        fates in fates(), size in prop_oneof![Just(64u16), 64..1519u16], count in 1u64..1500,
    ) {
        let (mut a, mut b) = pair(64, 2048);
        let fate_of = |n: u64| fates[(n % fates.len() as u64) as usize];
        let table = fates.clone();
        b.impair(move |n| table[(n % table.len() as u64) as usize]);
        let mut tx = tx(&a, &tx_spec(Sizes::Fixed(size), Rate::Max, 17, Some(count)));
        let mut rx = rx().verifying(1);
        exchange(&mut tx, &mut a, &mut rx, &mut b);
        let report = rx.report();

        let of = |which: fn(&Fate) -> bool| (0..count).filter(|&n| which(&fate_of(n))).count() as u64;
        let dropped = of(|fate| matches!(fate, Fate::Drop));
        let duplicated = of(|fate| matches!(fate, Fate::Duplicate));
        prop_assert_eq!(report.received, count - dropped + duplicated, "sent = received + lost - repeated");
        prop_assert_eq!(report.bytes, report.received * u64::from(size));

        // A damaged header field the receiver does not look at leaves the frame good; a damaged mark makes it
        // foreign, or a frame of another stream or number.
        let good: u64 = report.streams.iter().map(|stream| stream.received).sum();
        prop_assert_eq!(good + report.corrupt + report.foreign, report.received);
        let damaged = of(|fate| matches!(fate, Fate::Corrupt(_)));
        prop_assert!(report.corrupt + report.foreign <= damaged);
        let in_payload = (0..count).filter(|&n| {
            matches!(fate_of(n), Fate::Corrupt(at) if at % usize::from(size - 4) >= MARK_END)
        });
        prop_assert!(report.corrupt >= in_payload.count() as u64, "a damaged payload was not seen");
        if damaged == 0 && good > 0 {
            let stream = &report.streams[0];
            prop_assert_eq!(report.streams.len(), 1);
            prop_assert_eq!(stream.duplicate, duplicated);
            prop_assert_eq!(stream.received - duplicated + stream.missing, stream.last_seq - stream.first_seq + 1);
            prop_assert!(stream.missing <= dropped);
            let delayed = of(|fate| matches!(fate, Fate::Delay(_)));
            prop_assert!(stream.reordered <= delayed);
        }
        let mut totals = Snapshot::default();
        rx.add_to(&mut totals);
        prop_assert_eq!((totals.rx_frames, totals.rx_bytes), (report.received, report.bytes));
        prop_assert_eq!(totals.rx_missing, report.streams.iter().map(|stream| stream.missing).sum::<u64>());
        prop_assert_eq!(totals.rx_reordered, report.streams.iter().map(|stream| stream.reordered).sum::<u64>());
        prop_assert_eq!(totals.rx_duplicate, report.streams.iter().map(|stream| stream.duplicate).sum::<u64>());
    }
}

#[test]
fn damage_is_told_from_strangers() {
    let (mut a, mut b) = pair(64, 2048);
    // Told length; payload; magic; too short to be ours.
    b.impair(|n| [Fate::Corrupt(16), Fate::Corrupt(100), Fate::Corrupt(43), Fate::Deliver][n as usize % 4]);
    let mut tx = tx(&a, &tx_spec(Sizes::Fixed(128), Rate::Max, 4, Some(4)));
    tx.step(&mut a, 0).unwrap();
    a.tx_batch(1, |_| 59).unwrap();
    let mut rx = rx().verifying(1);
    while rx.step(&mut b, 0).unwrap() > 0 {}
    let report = rx.report();
    assert_eq!((report.received, report.corrupt, report.foreign), (5, 2, 2));
    assert_eq!(report.streams[0].received, 1);
}

#[test]
fn one_payload_in_sixty_one_is_compared() {
    let (mut a, mut b) = pair(64, 2048);
    b.impair(|_| Fate::Corrupt(1000));
    let mut tx = tx(&a, &tx_spec(Sizes::Fixed(1518), Rate::Max, 64, Some(61 * 50)));
    // The first frame of a stream is looked at closely, so let an intact one through.
    let mut rx = rx();
    let (mut c, mut d) = pair(64, 2048);
    let mut opener = Tx::new(&tx_spec(Sizes::Fixed(1518), Rate::Max, 1, Some(1)), c.info()).unwrap();
    opener.start(0);
    exchange(&mut opener, &mut c, &mut rx, &mut d);
    b.impair(|n| if n == 0 { Fate::Drop } else { Fate::Corrupt(1000) });
    exchange(&mut tx, &mut a, &mut rx, &mut b);
    let corrupt = rx.report().corrupt;
    assert!((45..=3049).contains(&corrupt), "{corrupt} of 3049 damaged payloads were seen");
}

fn ping_spec(rate: Option<f64>, count: Option<u64>) -> PingSpec {
    PingSpec {
        stream: 3,
        size: 100,
        addressing: Addressing::sample(1),
        rate,
        count,
        timeout_ms: 10,
        settle_ms: 0,
    }
}

/// A ping with its own clock, and a pong.
struct Loop {
    clock: Manual,
    ping: Ping<Manual>,
    pong: Pong,
    a: MemPort,
    b: MemPort,
}

impl Loop {
    fn new(spec: &PingSpec) -> Self {
        let (a, b) = pair(16, 2048);
        let clock = Manual::at(1_000);
        let mut ping = Ping::with_clock(spec, a.info(), clock.clone()).unwrap();
        ping.start(clock.now_ns());
        let pong = Pong::new(&PongSpec { burst: 8 }, b.info()).unwrap();
        Self { clock, ping, pong, a, b }
    }

    fn ping(&mut self) -> u32 {
        self.ping.step(&mut self.a, self.clock.now_ns()).unwrap()
    }

    fn pong(&mut self) -> u32 {
        self.pong.step(&mut self.b, self.clock.now_ns()).unwrap()
    }
}

#[test]
fn a_closed_loop_times_each_round_trip() {
    let mut l = Loop::new(&ping_spec(None, Some(100)));
    for trip in 1..=100 {
        assert_eq!(l.ping(), 1 + u32::from(trip > 1), "the last echo in, the next probe out");
        assert_eq!(l.ping(), 0, "one probe at a time");
        l.clock.advance(trip * 50);
        assert_eq!(l.pong(), 2);
        l.clock.advance(trip * 50);
    }
    assert!(!l.ping.done());
    l.ping();
    assert!(l.ping.done());
    let report = l.ping.report();
    assert_eq!((report.sent, report.received, report.lost), (100, 100, 0));
    let summary = Latency::decode(&report.histogram).unwrap().summary();
    assert_eq!((summary.count, summary.min_ns, summary.p50_ns), (100, 100, 5_003), "5 µs, to three digits");
    assert_eq!(l.pong.report(), PongReport { echoed: 100, dropped: 0 });
}

#[test]
fn an_echo_after_the_timeout_is_lost_and_the_loop_goes_on() {
    let mut l = Loop::new(&ping_spec(None, None));
    l.ping();
    assert_eq!(l.ping.next_ns(), Some(1_000 + 10_000_001));
    l.clock.advance(10_000_001);
    assert_eq!(l.ping(), 1, "the first is given up, the second leaves");
    l.pong();
    l.clock.advance(500);
    assert_eq!(l.ping(), 3, "both echoes, and the next probe");
    let report = l.ping.report();
    assert_eq!((report.sent, report.received, report.lost), (3, 1, 2), "one late, one still out");
}

#[test]
fn paced_probes_do_not_wait_for_echoes_and_repeats_count_once() {
    let mut l = Loop::new(&ping_spec(Some(1_000.0), Some(8)));
    l.a.impair(|n| if n % 2 == 0 { Fate::Duplicate } else { Fate::Drop });
    for _ in 0..20 {
        l.ping();
        l.pong();
        l.clock.advance(500_000);
    }
    l.ping();
    let report = l.ping.report();
    assert_eq!((report.sent, report.received, report.lost), (8, 4, 4));
    assert!(l.ping.done());
}

#[test]
fn a_pong_turns_probes_and_leaves_the_rest() {
    let mut l = Loop::new(&ping_spec(None, None));
    let mut load = Tx::new(&tx_spec(Sizes::Fixed(64), Rate::Max, 3, Some(3)), l.a.info()).unwrap();
    load.start(0);
    load.step(&mut l.a, 0).unwrap();
    l.ping();
    assert_eq!(l.pong(), 5, "four in, one out");
    let mut echoes = 0;
    l.a.rx_batch(9, |frame| {
        echoes += 1;
        let data = frame.data;
        assert_eq!(Mark::read(data).unwrap().kind, Kind::Echo);
        assert_eq!(data[..12], [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
        assert_eq!((&data[26..30], &data[30..34]), (&[10, 0, 0, 2][..], &[10, 0, 0, 1][..]));
        assert_eq!(data[34..38], [0, 9, 4, 0]);
        assert_eq!(ipv4_checksum(data[14..34].try_into().unwrap()), 0);
        assert!(data.len() == 96 && pattern_intact(data));
    })
    .unwrap();
    assert_eq!(echoes, 1);
    let mut totals = Snapshot::default();
    l.pong.add_to(&mut totals);
    assert_eq!((totals.rx_frames, totals.rx_foreign, totals.tx_frames, totals.tx_bytes), (4, 3, 1, 100));
}

#[test]
fn a_blocked_pong_holds_its_echoes() {
    let (mut a, mut b) = pair(4, 2048);
    let mut pong = Pong::new(&PongSpec { burst: 3 }, b.info()).unwrap();
    let spec = PingSpec { count: Some(4), ..ping_spec(Some(1e6), None) };
    let mut ping = Ping::with_clock(&spec, a.info(), Manual::at(0)).unwrap();
    ping.start(0);
    assert_eq!(ping.send(&mut a, 1_000_000).unwrap(), 4);
    b.tx_batch(2, |_| 60).unwrap();
    assert_eq!(pong.step(&mut b, 0).unwrap(), 3 + 2);
    assert!(pong.blocked());
    assert_eq!(pong.step(&mut b, 0).unwrap(), 0, "nothing is received while echoes wait");
    assert_eq!(pong.report(), PongReport { echoed: 2, dropped: 1 });
    a.rx_batch(9, |_| ()).unwrap();
    assert_eq!(pong.step(&mut b, 0).unwrap(), 1 + 1 + 1);
    assert_eq!(pong.report(), PongReport { echoed: 4, dropped: 0 });
}

#[test]
fn a_forwarder_loses_nothing_it_took_in_and_joins_fragments() {
    for rewrite in [Rewrite::Keep, Rewrite::Swap, Rewrite::Set { dst: [9; 6], src: [8; 6] }] {
        let (mut a, mut b) = pair(32, 2048);
        let (mut c, mut d) = pair(5, 1514);
        b.impair(|n| if n % 3 == 0 { Fate::Split(100) } else { Fate::Deliver });
        let mut tx = tx(&a, &tx_spec(Sizes::Cycle(vec![64, 1518, 700]), Rate::Max, 9, Some(3_000)));
        let mut fwd = Fwd::new(&FwdSpec { burst: 16, rewrite, timed: false }, c.info()).unwrap();
        let mut rx = rx().verifying(1);
        let mut addresses = None;
        while tx.step(&mut a, 0).unwrap() + fwd.step_between(&mut b, &mut c, 0).unwrap() > 0 {
            if addresses.is_none() {
                d.rx_batch(1, |frame| {
                    addresses = Some(<[u8; 12]>::try_from(&frame.data[..12]).unwrap());
                    rx.accept(&frame, 0);
                })
                .unwrap();
            }
            rx.step(&mut d, 0).unwrap();
        }
        assert_eq!(fwd.report(), FwdReport { received: 3_000, forwarded: 3_000, dropped: 0 });
        let report = rx.report();
        assert_eq!((report.received, report.corrupt, report.foreign), (3_000, 0, 0));
        assert_eq!((report.streams[0].missing, report.streams[0].reordered), (0, 0));
        let sent = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        let expected = match rewrite {
            Rewrite::Keep => sent,
            Rewrite::Swap => [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2],
            Rewrite::Set { .. } => [9, 9, 9, 9, 9, 9, 8, 8, 8, 8, 8, 8],
        };
        assert_eq!(addresses, Some(expected));
    }
}

#[test]
fn a_forwarder_drops_what_does_not_fit_the_other_port_and_reflects_on_one() {
    let (mut a, mut b) = pair(32, 2048);
    let (mut c, _d) = pair(32, 1000);
    let mut load = tx(&a, &tx_spec(Sizes::Cycle(vec![1004, 1005]), Rate::Max, 9, Some(8)));
    load.step(&mut a, 0).unwrap();
    let mut fwd = Fwd::new(&FwdSpec { burst: 16, rewrite: Rewrite::Keep, timed: false }, c.info()).unwrap();
    assert_eq!(fwd.step_between(&mut b, &mut c, 0).unwrap(), 8 + 4);
    assert_eq!(fwd.report(), FwdReport { received: 8, forwarded: 4, dropped: 4 });

    let mut load = tx(&a, &tx_spec(Sizes::Fixed(1518), Rate::Max, 9, Some(9)));
    load.step(&mut a, 0).unwrap();
    let mut fwd = Fwd::new(&FwdSpec { burst: 16, rewrite: Rewrite::Swap, timed: false }, b.info()).unwrap();
    assert_eq!(fwd.step(&mut b, 0).unwrap(), 18);
    let mut rx = rx().verifying(1);
    assert_eq!(rx.step(&mut a, 0).unwrap(), 9);
    assert_eq!(rx.report().streams[0].received, 9);
}

#[test]
fn what_cannot_be_is_refused() {
    let (a, _b) = pair(4, 1514);
    let tx_error = |spec: TxSpec| Tx::new(&spec, a.info()).unwrap_err();
    let good = tx_spec(Sizes::Fixed(64), Rate::Max, 1, None);
    assert!(matches!(tx_error(TxSpec { burst: 0, ..good.clone() }), Error::Count { what: "burst", .. }));
    assert!(matches!(tx_error(TxSpec { sizes: Sizes::Cycle(vec![]), ..good.clone() }), Error::Count { .. }));
    let too_long = tx_error(TxSpec { sizes: Sizes::Fixed(1519), ..good.clone() });
    assert_eq!(
        too_long.to_string(),
        "frame size 1519 is outside 64 to 1518 bytes including FCS, which is what port mem:0 carries"
    );
    assert!(matches!(tx_error(TxSpec { rate: Rate::Pps(0.0), ..good }), Error::Rate { .. }));
    assert!(Rx::new(&RxSpec { burst: 0 }).is_err());
    assert!(Pong::new(&PongSpec { burst: 1 << 20 }, a.info()).is_err());
    assert!(Ping::new(&PingSpec { timeout_ms: 0, ..ping_spec(None, None) }, a.info()).is_err());
    assert!(Ping::new(&PingSpec { size: 63, ..ping_spec(None, None) }, a.info()).is_err());
}

#[test]
fn the_pattern_is_where_the_mark_ends() {
    let (mut a, mut b) = pair(4, 2048);
    tx(&a, &tx_spec(Sizes::Fixed(80), Rate::Max, 1, None)).step(&mut a, 0).unwrap();
    b.rx_batch(1, |frame| assert_eq!(frame.data[MARK_END..], PATTERN[MARK_END..76])).unwrap();
}
