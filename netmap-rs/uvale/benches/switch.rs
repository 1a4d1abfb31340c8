//! Frames per second through a switch between host ports: one thread fills and empties every port on processor
//! 0, the switch runs on processor 1.
//!
//!     cargo bench -p uvale --bench switch -- [--seconds S] [--rounds N] [--burst N]
//!         [--pairs 1,2,4,8] [--size 64,256,1024,1518] [--slots 1024] [--buf 2048]
//!
//! Sizes count the FCS. More pairs than one are tried with the first size only, and tell how the switch scales.
//! Arms are interleaved; each line has the median of the rounds, the lowest and highest, and the share of the
//! frames sent that the switch dropped. Run by `cargo test` it takes one short round, so that it cannot rot.

use netmap_rs::csb::CsbPort;
use netmap_rs::layout::PortShape;
use std::time::{Duration, Instant};
use uvale::{IdlePolicy, Switch, SwitchConfig};

struct Arm {
    size: u16,
    pairs: usize,
    slots: u32,
    buf_size: u32,
    /// Mpps received and percent dropped, by round.
    results: Vec<(f64, f64)>,
}

struct Options {
    cpu: Option<usize>,
    length: Duration,
    burst: u32,
}

/// How long nothing at all may arrive.
const PATIENCE: Duration = Duration::from_secs(20);

fn pin(cpu: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    // Unpinned, figures are worse and still figures.
    let _ = rustix::thread::sched_setaffinity(None, &set);
}

fn kick(port: &CsbPort, wanted: bool) {
    if wanted {
        port.doorbell.ring().expect("an eventfd can be written");
    }
}

/// One trial: Mpps received, and percent of what was sent that was dropped.
fn run(arm: &Arm, options: &Options) -> (f64, f64) {
    // The switch never naps while it has so little to wait for.
    let idle = IdlePolicy { spin_rounds: 20_000, ..IdlePolicy::default() };
    let switch =
        Switch::start(SwitchConfig { name: "vale0".into(), cpu: options.cpu, idle }).expect("a switch");
    let shape = PortShape {
        buf_size: arm.buf_size,
        tx_slots: arm.slots,
        rx_slots: arm.slots,
        ..PortShape::default()
    };
    let port =
        |i| switch.add_host_port(&format!("vale0:{i}"), &shape, None).expect("a port").open().expect("open");
    let mut ports: Vec<CsbPort> = (0..arm.pairs * 2).map(port).collect();
    let mac = |i: usize| [2, 0, 0, 0, 0, i as u8];
    let len = arm.size - 4;
    // Every buffer is filled once; afterwards a sequence number is written and read in each frame.
    for (i, port) in ports.iter_mut().enumerate() {
        let n = port.tx[0].num_slots();
        port.tx[0].fill(n, |slot| {
            slot.buf[..6].copy_from_slice(&mac(i ^ 1));
            slot.buf[6..12].copy_from_slice(&mac(i));
            len
        });
        let wanted = port.tx[0].publish();
        kick(port, wanted);
    }
    let mut sent = vec![0u64; ports.len()];
    let mut expected = vec![0u64; ports.len()];
    let (mut received, mut disorder) = (0u64, 0u64);
    let totals = || {
        let ports = switch.ports();
        let sum = |f: fn(&uvale::Snapshot) -> u64| ports.iter().map(|(.., s)| f(s)).sum::<u64>();
        (sum(|s| s.tx_frames), sum(|s| s.drops_as_sender() + s.drops_as_receiver()))
    };
    let mut started = Instant::now();
    let mut at_start = None;
    loop {
        for _ in 0..64 {
            for (i, port) in ports.iter_mut().enumerate() {
                let wanted = if i % 2 == 0 {
                    let ring = &mut port.tx[0];
                    ring.sync().expect("cursors");
                    let n = ring.fill(options.burst, |slot| {
                        slot.buf[48..56].copy_from_slice(&sent[i].to_ne_bytes());
                        sent[i] += 1;
                        len
                    });
                    n > 0 && ring.publish()
                } else {
                    let ring = &mut port.rx[0];
                    ring.sync().expect("cursors");
                    let next = &mut expected[i];
                    let n = ring.drain(u32::MAX, |slot| {
                        let number = u64::from_ne_bytes(slot.data[48..56].try_into().expect("8 bytes"));
                        disorder += u64::from(number < *next);
                        *next = number;
                    });
                    received += u64::from(n);
                    n > 0 && ring.publish()
                };
                kick(port, wanted);
            }
        }
        let elapsed = started.elapsed();
        match at_start {
            None if elapsed > options.length / 5 => {
                at_start = Some((received, totals()));
                started = Instant::now();
            }
            // On a busy machine the switch may not have run at all yet.
            Some((before, (tx, drops))) if elapsed > options.length && received > before => {
                let (tx_now, drops_now) = totals();
                // Those that were filled before the numbers began.
                assert!(
                    disorder <= u64::from(arm.slots) * arm.pairs as u64,
                    "{disorder} frames out of order"
                );
                let mpps = (received - before) as f64 / elapsed.as_secs_f64() / 1e6;
                return (mpps, (drops_now - drops) as f64 * 100.0 / (tx_now - tx).max(1) as f64);
            }
            _ => assert!(elapsed < options.length + PATIENCE, "nothing arrived in {elapsed:?}"),
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1).cloned());
    let list = |name: &str, default: &str| -> Vec<u32> {
        let list = option(name).unwrap_or_else(|| default.to_owned());
        list.split(',')
            .map(|s| s.parse().unwrap_or_else(|_| panic!("{name} takes numbers, not {s:?}")))
            .collect()
    };
    let bench = args.iter().any(|a| a == "--bench");
    let (seconds, rounds, pairs) = if bench { (1.0, 5, "1,2,4,8") } else { (0.02, 1, "1,2") };
    let seconds = option("--seconds").map_or(seconds, |s| s.parse().expect("--seconds takes a number"));
    let rounds = option("--rounds").map_or(rounds, |s| s.parse().expect("--rounds takes a count"));
    let sizes = list("--size", "64,256,1024,1518");
    let mut arms = Vec::new();
    for &slots in &list("--slots", "1024") {
        for &buf_size in &list("--buf", "2048") {
            for &pairs in &list("--pairs", pairs) {
                for &size in if pairs == 1 { &sizes[..] } else { &sizes[..1] } {
                    let (size, pairs) = (size as u16, pairs as usize);
                    assert!(
                        (60..=buf_size).contains(&(u32::from(size) - 4)),
                        "a size from 64 to {}",
                        buf_size + 4
                    );
                    arms.push(Arm { size, pairs, slots, buf_size, results: Vec::new() });
                }
            }
        }
    }
    // Asked before pinning: it counts the processors this thread may use.
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options {
        cpu: (cpus > 1).then_some(1),
        length: Duration::from_secs_f64(seconds),
        burst: list("--burst", "256")[0],
    };
    pin(0);
    for _ in 0..rounds {
        for arm in &mut arms {
            let result = run(arm, &options);
            arm.results.push(result);
        }
    }
    println!("  size  pairs  slots    buf  median Mpps  lowest..highest  dropped");
    for Arm { size, pairs, slots, buf_size, results } in &mut arms {
        results.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (median, dropped) = results[results.len() / 2];
        let (low, high) = (results[0].0, results[results.len() - 1].0);
        println!(
            "{size:>6} {pairs:>6} {slots:>6} {buf_size:>6} {median:>12.2} {low:>7.2}..{high:<7.2} {dropped:>7.2} %"
        );
    }
}
