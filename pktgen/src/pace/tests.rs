//! Schedules against clocks that tests move.

use super::*;
use crate::clock::{Clock, Manual};
use proptest::prelude::*;

fn pps(rate: f64) -> Pacer {
    Pacer::new(Rate::Pps(rate), &[64]).unwrap().unwrap()
}

/// Sends all that is due, at most `burst`.
fn send(pacer: &mut Pacer, now_ns: u64, burst: u64) -> u64 {
    let mut batch = pacer.batch(now_ns);
    let mut sent = 0;
    while sent < burst && batch.due() {
        batch.leave(0);
        sent += 1;
    }
    sent
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_sender_that_polls_often_enough_keeps_the_rate(
        rate in prop_oneof![1.0..1e3, 1e3..1e6, 1e6..100e6],
        polls in prop::collection::vec(1u64..900_000, 300),
    ) {
        let clock = Manual::at(123_456_789);
        let mut pacer = pps(rate);
        pacer.start(clock.now_ns());
        let mut sent = send(&mut pacer, clock.now_ns(), u64::MAX);
        for poll in polls {
            let now = clock.advance(poll);
            sent += send(&mut pacer, now, u64::MAX);
            let ideal = (now - 123_456_789) as f64 / 1e9 * rate;
            let error = sent as f64 - ideal;
            prop_assert!((-0.01..=1.01).contains(&error), "{sent} frames where {ideal} are due");
        }
    }

    #[test]
    fn a_burst_after_a_pause_is_bounded_and_the_rest_repaid(
        rate in 10e3..1e6, pause_ms in 2u64..100,
    ) {
        let clock = Manual::at(1_000_000_000);
        let mut pacer = pps(rate);
        pacer.start(clock.now_ns());
        let mut sent = send(&mut pacer, clock.advance(pause_ms * 1_000_000), u64::MAX);
        prop_assert!(sent as f64 <= rate * 1e-3 * 8.0 / 7.0 + 1.0, "a burst of {sent}");
        let mut most = 0;
        for _ in 0..pause_ms * 80 {
            let burst = send(&mut pacer, clock.advance(125_000), u64::MAX);
            most = most.max(burst);
            sent += burst;
        }
        let per_poll = rate * 125e-6;
        prop_assert!(most as f64 <= per_poll * 8.0 / 7.0 + 2.0, "{most} in a poll of {per_poll}");
        let ideal = (pause_ms * 11) as f64 * 1e-3 * rate;
        prop_assert!((sent as f64 - ideal).abs() <= 2.0, "{sent} sent in all of {ideal}");
        prop_assert_eq!(pacer.abandoned_ns(), 0);
    }
}

#[test]
fn the_longest_pause_that_is_made_up_for_is_made_up_for() {
    let mut pacer = pps(1e5);
    pacer.start(0);
    let mut sent = send(&mut pacer, MAX_DEBT_NS, u64::MAX);
    for now in (MAX_DEBT_NS..10 * MAX_DEBT_NS).step_by(100_000) {
        sent += send(&mut pacer, now, u64::MAX);
    }
    assert!((999_980..=1_000_001).contains(&sent), "{sent} sent in ten seconds at 100 kpps");
    assert_eq!(pacer.abandoned_ns(), 0);
}

#[test]
fn one_frame_a_second_leaves_on_the_second() {
    let mut pacer = pps(1.0);
    pacer.start(5);
    assert_eq!(send(&mut pacer, 5, 9), 1);
    assert_eq!(pacer.next_ns(), 1_000_000_005);
    assert_eq!(send(&mut pacer, 1_000_000_004, 9), 0);
    assert_eq!(send(&mut pacer, 1_000_000_005, 9), 1);
}

#[test]
fn a_day_at_an_awkward_rate_does_not_drift() {
    let mut pacer = pps(3.0);
    pacer.start(0);
    let day_ns = 86_400_000_000_000u64;
    let mut batch = pacer.batch(0);
    batch.now = u128::from(day_ns) << FRACTION;
    let mut sent = 0u64;
    while batch.due() {
        batch.leave(0);
        sent += 1;
    }
    assert_eq!(sent, 86_400 * 3 + 1);
}

#[test]
fn bits_per_second_count_what_they_say() {
    let sizes = [64, 1518];
    let seconds = |rate, frames: [u64; 2]| {
        let mut pacer = Pacer::new(rate, &sizes).unwrap().unwrap();
        pacer.start(0);
        let mut batch = pacer.batch(0);
        for (size, count) in frames.into_iter().enumerate() {
            (0..count).for_each(|_| batch.leave(size));
        }
        drop(batch);
        pacer.next_ns() as f64 / 1e9
    };
    // 10GbE line rate: 14.88 Mpps of 64 bytes, 812,744 of 1518.
    assert!((seconds(Rate::L1Bps(10e9), [148_810, 0]) - 0.01).abs() < 1e-6);
    assert!((seconds(Rate::L1Bps(10e9), [0, 8_127]) - 0.01).abs() < 1e-5);
    assert!((seconds(Rate::L2Bps(1e9), [1000, 1000]) - (64.0 + 1518.0) * 8000.0 / 1e9).abs() < 1e-8);
}

#[test]
fn frames_are_late_after_one_gap() {
    let mut pacer = pps(1e6);
    pacer.start(0);
    send(&mut pacer, 1000, 1);
    assert_eq!(pacer.late(), 0, "exactly one gap");
    send(&mut pacer, 2001, 1);
    assert_eq!(pacer.late(), 1, "due at 1000, left at 2001");
    send(&mut pacer, 2001, 1);
    assert_eq!(pacer.late(), 1, "due at 2000");
    // After a long pause all are late until the debt is repaid.
    let sent = send(&mut pacer, 20_000_000, u64::MAX);
    assert_eq!(sent, 1143, "one millisecond's worth at 8/7 of the rate");
    assert_eq!(pacer.late(), 1 + sent);
}

#[test]
fn a_hopeless_backlog_is_abandoned() {
    let mut pacer = pps(1e6);
    pacer.start(0);
    send(&mut pacer, 10_000_000_000, 1);
    assert_eq!(pacer.abandoned_ns(), 10_000_000_000 - MAX_BURST_NS - MAX_DEBT_NS);
}

#[test]
fn rates_outside_the_range_are_refused() {
    for rate in [0.0, 0.5, -1.0, 100.1e6, f64::NAN, f64::INFINITY] {
        assert!(matches!(Pacer::new(Rate::Pps(rate), &[64]), Err(Error::Rate { unit: "pps", .. })), "{rate}");
        assert!(Pacer::new(Rate::L1Bps(rate / 1e6), &[64]).is_err(), "{rate}");
    }
    assert!(matches!(Pacer::new(Rate::L2Bps(2e12), &[64]), Err(Error::Rate { unit: "bit/s", .. })));
    assert!(Pacer::new(Rate::Max, &[64]).unwrap().is_none());
    assert!(Pacer::new(Rate::Pps(1.0), &[64]).unwrap().is_some());
    assert!(Pacer::new(Rate::Pps(100e6), &[64]).unwrap().is_some());
}

/// Departures of `frames` frames at 1 Mpps, in nanoseconds.
fn departures(arrivals: Arrivals, frames: usize) -> Vec<u64> {
    let mut pacer = pps(1e6).arriving(arrivals, 7).unwrap();
    pacer.start(0);
    let leave = |_| {
        let due = pacer.next_ns();
        let mut batch = pacer.batch(due);
        batch.leave(0);
        due
    };
    (0..frames).map(leave).collect()
}

#[test]
fn a_poisson_process_has_its_rate_and_its_variance() {
    let times = departures(Arrivals::Poisson, 1_000_001);
    let (gaps, last) = (times.windows(2).map(|pair| (pair[1] - pair[0]) as f64), times[1_000_000] as f64);
    assert!((last / 1e9 - 1.0).abs() < 0.004, "a million frames in {last} ns");
    let (mean, squares) =
        gaps.fold((0.0, 0.0), |(sum, squares), gap| (sum + gap / 1e6, squares + gap * gap / 1e6));
    let deviation = (squares - mean * mean).sqrt();
    assert!((deviation / mean - 1.0).abs() < 0.01, "gaps of {mean} ns vary by {deviation}");
    // Of windows of 10 µs, the counts' variance is their mean: 10.
    let mut counts = vec![0.0; 100_000];
    times.iter().for_each(|&time| {
        if let Some(count) = counts.get_mut((time / 10_000) as usize) {
            *count += 1.0;
        }
    });
    let counts = &counts[..99_000];
    let n = counts.len() as f64;
    let mean = counts.iter().sum::<f64>() / n;
    let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / n;
    assert!((variance / mean - 1.0).abs() < 0.03, "{variance} over {mean}");
    assert_eq!(times, departures(Arrivals::Poisson, 1_000_001), "the same each time");
}

#[test]
fn bursts_leave_together_and_pause_for_their_time() {
    let times = departures(Arrivals::Bursts { frames: 32 }, 320);
    for (i, burst) in times.chunks(32).enumerate() {
        assert!(burst.iter().all(|&time| time == i as u64 * 32_000), "{burst:?}");
    }
    assert_eq!(departures(Arrivals::Bursts { frames: 1 }, 50), departures(Arrivals::Constant, 50));
    // A sender that starts again starts with a whole burst.
    let mut pacer = pps(1e6).arriving(Arrivals::Bursts { frames: 4 }, 0).unwrap();
    pacer.start(0);
    assert_eq!(send(&mut pacer, 0, 3), 3);
    pacer.start(1_000);
    assert_eq!((send(&mut pacer, 1_000, 9), pacer.next_ns()), (4, 5_000));
    for frames in [0, MAX_BURST_FRAMES + 1] {
        assert!(pps(1.0).arriving(Arrivals::Bursts { frames }, 0).is_err());
    }
}

#[test]
fn captured_times_are_kept_round_after_round() {
    let mut pacer = Pacer::of_gaps(&[0, 10, 1_000, 7]);
    pacer.start(100);
    let mut times = Vec::new();
    for frame in (0..4).cycle().take(9) {
        let due = pacer.next_ns();
        times.push(due - 100);
        pacer.batch(due).leave(frame);
    }
    assert_eq!(times, [0, 0, 10, 1_010, 1_017, 1_017, 1_027, 2_027, 2_034]);
}

#[test]
fn lateness_and_spacing_are_recorded_against_the_schedule_as_it_was() {
    use crate::latency::Latency;
    let mut pacer = pps(1e6).recording(64);
    pacer.start(0);
    // Polled every 3 µs, published 500 ns later: three frames a batch, two, one and no µs late.
    for now in (0..3_000_000).step_by(3_000) {
        send(&mut pacer, now, u64::MAX);
        pacer.departed(now + 500);
    }
    let report = pacer.report(&[0]).unwrap();
    let (lateness, spacing) = (
        Latency::decode(&report.lateness).unwrap().summary(),
        Latency::decode(&report.spacing).unwrap().summary(),
    );
    assert_eq!((report.recorded_every, report.abandoned_ns), (1, 0));
    assert!(
        (report.asked_pps - 1e6).abs() < 1e-3 && (report.achieved_pps / 1e6 - 1.0).abs() < 0.001,
        "{report:?}"
    );
    assert_eq!((lateness.count, spacing.count), (2_998, 2_997));
    assert_eq!((lateness.min_ns, lateness.p50_ns / 10, lateness.max_ns / 10), (500, 150, 250));
    // Within a batch frames are 1 µs closer than they should be, from one to the next 2 µs further apart.
    assert_eq!((spacing.min_ns / 10, spacing.p50_ns / 10, spacing.max_ns / 10), (100, 100, 200));

    // After a pause of 20 ms frames are put off, and their lateness is told as it was before that.
    let mut pacer = pps(1e6).recording(4096);
    pacer.start(0);
    send(&mut pacer, 20_000_000, u64::MAX);
    pacer.departed(20_000_000);
    let lateness = Latency::decode(&pacer.report(&[0]).unwrap().lateness).unwrap().summary();
    assert!(lateness.min_ns > 18_800_000 && lateness.max_ns >= 20_000_000, "{lateness:?}");
    assert_eq!(pacer.overdue(20_000_000), 20_001 - 1_143);

    // Fast senders record a part.
    let mut pacer = pps(1e7).recording(1 << 16);
    pacer.start(0);
    let sent = send(&mut pacer, 900_000, u64::MAX);
    pacer.departed(900_000);
    let report = pacer.report(&[0]).unwrap();
    let recorded = Latency::decode(&report.lateness).unwrap().count();
    assert_eq!((report.recorded_every, recorded), (RECORD_EVERY, sent / u64::from(RECORD_EVERY)));
}
