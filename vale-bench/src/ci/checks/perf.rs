//! Speed: rates of 60-byte frames, in several samples, for a baseline to be compared with.
//!
//! What is measured is what the receiver got, by the clock of the receiving thread. Each check fails only if next to
//! nothing passes; whether it is slower than before is for [`baseline`](crate::ci::baseline).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use netmap_rs::kernel::KernelPort;

use crate::ci::Check;
use crate::ci::check::{Done, Env, fail, holds};
use crate::ci::world::*;

pub(in crate::ci) const CHECKS: &[Check] = &[
    Check::new("perf.vale-tx", "VALE takes frames that nobody receives, at a steady rate", vale_tx),
    Check::new("perf.vale", "VALE passes frames from one thread to another, at a steady rate", vale),
    Check::new("perf.pipe", "A pipe passes frames from one thread to another, at a steady rate", pipe),
];

/// Samples of each rate.
const SAMPLES: usize = 7;
/// How long each sample takes.
const WINDOW: Duration = Duration::from_millis(250);
/// Bytes of a frame in a slot.
const LEN: u16 = 60;
/// Slots filled between two syncs.
const BURST: u32 = 256;

/// Puts a frame into every buffer of the ring, so that sending is nothing but lengths from then on.
fn send_burst(port: &mut KernelPort) -> u32 {
    port.tx()[0].fill(BURST, |slot| {
        slot.buf[..14].copy_from_slice(&[255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
        LEN
    })
}

/// Calls `step` over and over, and counts what it says over [`SAMPLES`] windows, after one that does not count.
fn sample(mut step: impl FnMut() -> Result<u32, crate::ci::Stop>) -> Result<Vec<f64>, crate::ci::Stop> {
    let mut samples = Vec::new();
    for window in 0..=SAMPLES {
        let start = Instant::now();
        let mut count = 0u64;
        while start.elapsed() < WINDOW {
            count += u64::from(step()?);
        }
        if window > 0 {
            samples.push(count as f64 / start.elapsed().as_secs_f64());
        }
    }
    Ok(samples)
}

fn keep(env: &Env, name: &str, samples: Vec<f64>, least_pps: f64) -> Done {
    let best = samples.iter().copied().fold(0.0, f64::max);
    env.figure(name, samples);
    holds(format!("more than {least_pps} frames pass a second ({best:.0})"), best > least_pps)
}

fn vale_tx(env: &Env) -> Done {
    let mut port = open("valeci:tx")?;
    let samples = sample(|| {
        let sent = send_burst(&mut port);
        port.txsync()?;
        Ok(sent)
    })?;
    keep(env, "vale-tx", samples, 10_000.0)
}

/// One thread sends while this one receives.
fn through(env: &Env, name: &str, from: &str, to: &str, waits: bool) -> Done {
    let (mut sender, mut receiver) = (open(from)?, open(to)?);
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let thread = std::thread::spawn(move || {
        while !told.load(Ordering::Relaxed) {
            send_burst(&mut sender);
            let done = if waits {
                sender.wait(true, false, Duration::from_millis(50)).map(|_| ())
            } else {
                sender.txsync()
            };
            done?;
        }
        Ok::<(), netmap_rs::kernel::KernelError>(())
    });
    let samples = sample(|| {
        receiver.wait(false, true, Duration::from_millis(50))?;
        Ok(receiver.rx()[0].drain(u32::MAX, |_| {}))
    });
    stop.store(true, Ordering::Relaxed);
    let Ok(sent) = thread.join() else { return fail("a thread panicked") };
    sent?;
    keep(env, name, samples?, 1000.0)
}

fn vale(env: &Env) -> Done {
    through(env, "vale", "valeci:a", "valeci:b", false)
}

fn pipe(env: &Env) -> Done {
    through(env, "pipe", "valeci:p{1", "valeci:p}1", true)
}
