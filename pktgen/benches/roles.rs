//! What the roles cost, in nanoseconds a frame, over ports in memory: the median of several rounds.
//!
//! `cargo bench -p pktgen --bench roles`. The tests run it too, with few frames, so that it keeps working; they
//! do not judge the times.

use pktgen::port::Port;
use pktgen::ports::mem::{MemPort, pair};
use pktgen::roles::{fwd::Fwd, rx::Rx, tx::Tx};
use pktgen::spec::{Addressing, FwdSpec, Rate, Rewrite, RxSpec, Sizes, Traffic, TxSpec};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Cost {
    /// What was run.
    pub(crate) what: String,
    /// Frames that went through all of it.
    pub(crate) frames: u64,
    /// Median over the rounds.
    pub(crate) tx_ns: f64,
    /// Median over the rounds; 0 where nothing is received.
    pub(crate) rx_ns: f64,
}

const SLOTS: u32 = 1024;
const BURST: u32 = 256;

fn spec(sizes: Sizes, flows: u32, rate: Rate) -> TxSpec {
    let addressing = Addressing::sample(flows);
    TxSpec { stream: 1, sizes, addressing, rate, burst: BURST, count: None, traffic: Traffic::default() }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One batch of the hot sending loop, kept whole so that its machine code can be looked at.
#[inline(never)]
pub(crate) fn tx_batch(tx: &mut Tx, port: &mut MemPort, now_ns: u64) -> u32 {
    tx.step(port, now_ns).expect("a port in memory does not fail")
}

/// One batch of the hot receiving loop.
#[inline(never)]
pub(crate) fn rx_batch(rx: &mut Rx, port: &mut MemPort, now_ns: u64) -> u32 {
    rx.step(port, now_ns).expect("a port in memory does not fail")
}

/// Times sending a ring full, then receiving it, `laps` times a round.
fn tx_rx(what: &str, spec: &TxSpec, rounds: u32, laps: u32) -> Cost {
    let (mut a, mut b) = pair(SLOTS, 2048);
    let mut tx = Tx::new(spec, a.info()).expect("the specification fits the port");
    let mut rx = Rx::new(&RxSpec { burst: BURST }).expect("the burst is in range");
    tx.start(0);
    let (mut now_ns, mut tx_ns, mut rx_ns) = (0, Vec::new(), Vec::new());
    for _ in 0..=rounds {
        let (mut sending, mut receiving, mut frames) = (Duration::ZERO, Duration::ZERO, 0u64);
        for _ in 0..laps {
            // As far on as makes a ring full due at the rates used here.
            now_ns += 1_000_000;
            let start = Instant::now();
            let mut sent = 1;
            while sent > 0 {
                sent = tx_batch(&mut tx, &mut a, black_box(now_ns));
                frames += u64::from(sent);
            }
            let middle = Instant::now();
            while rx_batch(&mut rx, &mut b, black_box(now_ns)) > 0 {}
            sending += middle - start;
            receiving += middle.elapsed();
        }
        tx_ns.push(sending.as_nanos() as f64 / frames as f64);
        rx_ns.push(receiving.as_nanos() as f64 / frames as f64);
    }
    let (sent, report) = (tx.report().sent, rx.report());
    assert_eq!((report.received, report.foreign, report.corrupt), (sent, 0, 0), "{what}: frames went astray");
    assert_eq!(report.streams[0].missing + report.streams[0].reordered, 0, "{what}: order was lost");
    // The first round filled the buffers.
    let (tx_ns, rx_ns) = (median(tx_ns.split_off(1)), median(rx_ns.split_off(1)));
    Cost { what: what.into(), frames: sent, tx_ns, rx_ns }
}

/// Times a forwarder from a full ring to an empty one.
fn forward(size: u16, rounds: u32, laps: u32) -> Cost {
    let ((mut a, mut b), (mut c, mut d)) = (pair(SLOTS, 2048), pair(SLOTS, 2048));
    let mut tx = Tx::new(&spec(Sizes::Fixed(size), 1, Rate::Max), a.info()).expect("the size fits the port");
    let mut rx = Rx::new(&RxSpec { burst: BURST }).expect("the burst is in range");
    let fwd = FwdSpec { burst: BURST, rewrite: Rewrite::Swap, timed: false };
    let mut fwd = Fwd::new(&fwd, c.info()).expect("the burst is in range");
    tx.start(0);
    let mut times = Vec::new();
    for _ in 0..rounds {
        let mut forwarding = Duration::ZERO;
        for _ in 0..laps {
            while tx_batch(&mut tx, &mut a, 0) > 0 {}
            let start = Instant::now();
            while fwd.step_between(&mut b, &mut c, 0).expect("a port in memory does not fail") > 0 {}
            forwarding += start.elapsed();
            while rx_batch(&mut rx, &mut d, 0) > 0 {}
        }
        times.push(forwarding.as_nanos() as f64 / f64::from(laps * SLOTS));
    }
    let report = fwd.report();
    assert_eq!((report.forwarded, rx.report().received), (report.received, report.received));
    Cost { what: format!("fwd {size} B"), frames: report.forwarded, tx_ns: median(times), rx_ns: 0.0 }
}

/// Runs everything, `rounds` times `laps` rings of 1024 frames each.
pub(crate) fn run(rounds: u32, laps: u32) -> Vec<Cost> {
    let mut imix = vec![64; 28];
    imix.extend([570; 16]);
    imix.extend([1518; 4]);
    let fixed = |size| Sizes::Fixed(size);
    vec![
        tx_rx("64 B", &spec(fixed(64), 1, Rate::Max), rounds, laps),
        tx_rx("64 B, 1000 flows", &spec(fixed(64), 1000, Rate::Max), rounds, laps),
        tx_rx("64 B, paced", &spec(fixed(64), 1, Rate::Pps(1e6)), rounds, laps),
        tx_rx("512 B", &spec(fixed(512), 1, Rate::Max), rounds, laps),
        tx_rx("1518 B", &spec(fixed(1518), 1, Rate::Max), rounds, laps),
        tx_rx("IMIX", &spec(Sizes::Cycle(imix), 1, Rate::Max), rounds, laps),
        forward(64, rounds, laps),
        forward(1518, rounds, laps),
    ]
}

#[allow(dead_code)] // The tests include this file as a module.
fn main() {
    // `cargo test --benches` runs this too, without `--bench`.
    let (rounds, laps) = if std::env::args().any(|arg| arg == "--bench") { (15, 500) } else { (1, 2) };
    println!("{:<20} {:>12} {:>10} {:>10}", "", "frames", "tx ns", "rx ns");
    for Cost { what, frames, tx_ns, rx_ns } in run(rounds, laps) {
        println!("{what:<20} {frames:>12} {tx_ns:>10.2} {rx_ns:>10.2}");
    }
}
