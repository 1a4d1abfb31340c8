//! Frames per second through a switch between host ports: one thread fills and empties every port on processor
//! 0, the switch runs on processor 1.
//!
//!     cargo bench -p uvale --bench switch -- [--seconds S] [--rounds N] [--pairs 1,2,4] [--buf 2048,2112]
//!
//! Arms are interleaved; each line is the median of the rounds with the lowest and highest. Run by `cargo test`
//! it takes one short round, so that it cannot rot.

use netmap_rs::csb::CsbPort;
use netmap_rs::layout::PortShape;
use std::time::{Duration, Instant};
use uvale::{Switch, SwitchConfig};

struct Arm {
    size: u16,
    pairs: usize,
    buf_size: u32,
    slots: u32,
    rates: Vec<f64>,
}

fn pin(cpu: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    let _ = rustix::thread::sched_setaffinity(None, &set);
}

/// Receives and returns the received rate in Mpps.
fn run(arm: &Arm, cpu: Option<usize>, length: Duration) -> f64 {
    let switch =
        Switch::start(SwitchConfig { name: "vale0".into(), cpu, idle: uvale::IdlePolicy { spin_rounds: 20000, ..Default::default() } }).expect("a switch");
    let shape = PortShape {
        buf_size: arm.buf_size,
        tx_slots: arm.slots,
        rx_slots: arm.slots,
        ..Default::default()
    };
    let mut ports: Vec<CsbPort> = (0..arm.pairs * 2)
        .map(|i| switch.add_host_port(&format!("vale0:{i}"), &shape, None).expect("a port").open().expect("opened"))
        .collect();
    let mac = |i: usize| [2, 0, 0, 0, 0, i as u8];
    let len = arm.size - 4;
    // Fill every buffer once; afterwards a sequence number is written and read in each frame.
    for (i, port) in ports.iter_mut().enumerate() {
        let n = port.tx[0].num_slots();
        port.tx[0].fill(n, |slot| {
            slot.buf[..6].copy_from_slice(&mac(i ^ 1));
            slot.buf[6..12].copy_from_slice(&mac(i));
            len
        });
        if port.tx[0].publish() {
            port.doorbell.ring().expect("kick");
        }
    }
    let (mut seq, mut received, mut wrong) = (0u64, 0u64, 0u64);
    let mut expected = vec![0u64; ports.len()];
    let mut sent = vec![0u64; ports.len()];
    let mut started = Instant::now();
    let mut counted = 0;
    let mut warm = false;
    loop {
        for _ in 0..64 {
            for (i, port) in ports.iter_mut().enumerate() {
                if i % 2 == 0 {
                    let ring = &mut port.tx[0];
                    ring.sync().expect("cursors");
                    let n = ring.fill(FILL(), |slot| {
                        slot.buf[48..56].copy_from_slice(&sent[i].to_ne_bytes());
                        sent[i] += 1;
                        len
                    });
                    if n > 0 && ring.publish() {
                        port.doorbell.ring().expect("kick");
                    }
                } else {
                    let ring = &mut port.rx[0];
                    ring.sync().expect("cursors");
                    let want = &mut expected[i];
                    let n = ring.drain(1024, |slot| {
                        seq = u64::from_ne_bytes(slot.data[48..56].try_into().expect("8 bytes"));
                        wrong += u64::from(seq < *want);
                        *want = seq;
                    });
                    received += u64::from(n);
                    if n > 0 && ring.publish() {
                        port.doorbell.ring().expect("kick");
                    }
                }
            }
        }
        let elapsed = started.elapsed();
        if !warm && elapsed > length / 5 {
            (warm, started, counted) = (true, Instant::now(), received);
        } else if warm && elapsed > length {
            if std::env::var_os("V").is_some() {
                let c: Vec<_> = switch.ports().iter().map(|p| p.2).collect();
                eprintln!("{} sent {} tx {} rx {} full {} naps {:?}", arm.slots, sent[0], c[0].tx_frames, c[1].rx_frames, c[1].drop_rx_full, switch.sleeps_and_naps());
            }
            assert!(received > counted, "nothing arrived");
            assert!(wrong <= u64::from(arm.slots) * arm.pairs as u64, "{wrong} frames out of order");
            return (received - counted) as f64 / elapsed.as_secs_f64() / 1e6;
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1).cloned());
    let list = |name: &str, default: &str| -> Vec<usize> {
        option(name).as_deref().unwrap_or(default).split(',').map(|s| s.parse().expect("a number")).collect()
    };
    let bench = args.iter().any(|a| a == "--bench");
    let seconds: f64 = option("--seconds").map_or(if bench { 1.0 } else { 0.05 }, |s| s.parse().expect("seconds"));
    let rounds: usize = option("--rounds").map_or(if bench { 5 } else { 1 }, |s| s.parse().expect("a count"));
    let mut arms = Vec::new();
    for &slots in &list("--slots", "1024") {
        for &buf in &list("--buf", "2048") {
            for &pairs in &list("--pairs", "1,2,4") {
                for &size in &list("--size", "64,256,1024,1518") {
                    if pairs == 1 || size == 64 {
                        let rates = Vec::new();
                        arms.push(Arm { size: size as u16, pairs, buf_size: buf as u32, slots: slots as u32, rates });
                    }
                }
            }
        }
    }
    // Asked before pinning: it counts the processors this thread may use.
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    pin(0);
    for _ in 0..rounds {
        for arm in &mut arms {
            let rate = run(arm, (cpus > 1).then_some(1), Duration::from_secs_f64(seconds));
            arm.rates.push(rate);
        }
    }
    println!("{:>6} {:>6} {:>6} {:>6} {:>12} {:>16}", "size", "pairs", "slots", "buf", "median Mpps", "lowest..highest");
    for arm in &mut arms {
        arm.rates.sort_by(f64::total_cmp);
        let (low, high) = (arm.rates[0], arm.rates[arm.rates.len() - 1]);
        let median = arm.rates[arm.rates.len() / 2];
        println!(
            "{:>6} {:>6} {:>6} {:>6} {median:>12.2} {low:>8.2}..{high:.2}",
            arm.size, arm.pairs, arm.slots, arm.buf_size
        );
    }
}

#[allow(non_snake_case)]
fn FILL() -> u32 { static F: std::sync::OnceLock<u32> = std::sync::OnceLock::new(); *F.get_or_init(|| std::env::var("FILL").map_or(256, |s| s.parse().unwrap())) }
