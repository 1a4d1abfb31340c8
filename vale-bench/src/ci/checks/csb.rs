//! CSB mode and the sync kloop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use netmap_rs::csb::CsbPort;
use netmap_rs::kernel::{CsbArrays, KernelPort, KloopOptions, Register};
use rustix::io::Errno;

use crate::ci::Check;
use crate::ci::check::{Done, Env, OptIn, fail, holds, same};
use crate::ci::world::*;

pub(in crate::ci) const CHECKS: &[Check] = &[
    Check::new("csb.exclusive", "CSB mode is refused with EINVAL without exclusive use", exclusive),
    Check::new("csb.eventfd", "Rings in CSB mode exchange frames with a kloop that is kicked", eventfd)
        .seconds(60),
    Check::new("csb.busy", "Rings in CSB mode exchange frames with a kloop that sleeps and looks", busy)
        .seconds(60),
    Check::new("csb.direct", "The same with transmit or receive synced by who kicks", direct).seconds(60),
    Check::new("csb.goes-on", "CSB mode goes on where system calls stopped", goes_on).seconds(60),
    Check::new("csb.start-stop", "A kloop is stopped before it has started and long after", start_stop),
    Check::new("csb.bad-sleep", "A kloop that shall sleep longer than a second is refused", bad_sleep),
    Check::new("csb.second-user", "A port in CSB mode is EBUSY to a second user", second_user),
];

/// What a module that fails it does not recover from.
pub(in crate::ci) const LAST: &[Check] = &[Check::new(
    "csb.killed",
    "A process that is killed while its kloop runs ends, and its port with it",
    killed,
)
.opt_in(OptIn::Risky)];

/// Sends frames from one port in CSB mode to another, each kicking and waiting as it must, until `count` have come,
/// whole and in order. A pipe loses none; VALE may, when the kernel has not yet seen that slots were given back, so
/// there the sender goes on after a pause.
fn exchange(a: &mut CsbPort, b: &mut CsbPort, count: u64, pipe: bool) -> Done {
    let (mut sent, mut next, mut seen) = (0u64, 0u64, 0u64);
    let room = u64::from(b.rx[0].num_slots() - 1) / if pipe { 1 } else { 4 };
    let (start, mut last) = (Instant::now(), Instant::now());
    let mut wrong = None;
    while seen < count {
        a.tx[0].sync()?;
        let max = room.saturating_sub(sent - next) as u32;
        a.tx[0].fill(max, |slot| {
            let bytes = frame(sent);
            slot.buf[..bytes.len()].copy_from_slice(&bytes);
            sent += 1;
            bytes.len() as u16
        });
        if a.tx[0].publish() {
            a.doorbell.ring()?;
        }
        if b.rx[0].avail() == 0 {
            b.wait(false, true, Duration::from_millis(200))?;
        }
        let done = b.rx[0].drain(u32::MAX, |slot| {
            let number =
                slot.data.get(14..22).map_or(0, |b| u64::from_le_bytes(b.try_into().expect("8 bytes")));
            if wrong.is_none() && (if pipe { number != next } else { number < next }) {
                wrong = Some(format!("frame {number} came after frame {}", next.wrapping_sub(1)));
            }
            wrong = wrong.take().or_else(|| difference(number, slot.data, &frame(number)));
            (next, seen) = (number + 1, seen + 1);
        });
        if let Some(wrong) = wrong {
            return fail(wrong);
        }
        if done > 0 {
            last = Instant::now();
        } else if !pipe && last.elapsed() > Duration::from_secs(1) {
            next = sent;
        }
        if b.rx[0].publish() {
            b.doorbell.ring()?;
        }
        if start.elapsed() > PATIENCE {
            return fail(format!("{seen} of {count} frames came within {PATIENCE:?} ({sent} were sent)"));
        }
    }
    // Whatever is still on the way would come first in the next exchange.
    let quiet = Instant::now();
    while quiet.elapsed() < Duration::from_millis(150) {
        b.wait(false, true, Duration::from_millis(50))?;
        b.rx[0].drain(u32::MAX, |_| {});
        if b.rx[0].publish() {
            b.doorbell.ring()?;
        }
    }
    same("slots with an impossible index or length", (a.tx[0].bad_slots(), b.rx[0].bad_slots()), (0, 0))
}

fn both_kinds(options: KloopOptions) -> Done {
    for (pipe, first, second) in [(true, "valeci:p{1/x", "valeci:p}1/x"), (false, "valeci:a/x", "valeci:b/x")]
    {
        let (mut a, kloop_a) = open(first)?.into_csb(&options)?;
        let (mut b, kloop_b) = open(second)?.into_csb(&options)?;
        exchange(&mut a, &mut b, 3000, pipe)?;
        exchange(&mut b, &mut a, 3000, pipe)?;
        holds("both loops are running", kloop_a.is_running() && kloop_b.is_running())?;
        kloop_a.stop()?;
        kloop_b.stop()?;
    }
    same("ports left", our_ports()?, vec![])
}

fn eventfd(_: &Env) -> Done {
    both_kinds(KloopOptions::default())
}

fn busy(_: &Env) -> Done {
    both_kinds(KloopOptions { eventfds: false, ..KloopOptions::default() })
}

fn direct(_: &Env) -> Done {
    both_kinds(KloopOptions { direct_tx: true, ..KloopOptions::default() })?;
    both_kinds(KloopOptions { direct_rx: true, ..KloopOptions::default() })
}

fn goes_on(_: &Env) -> Done {
    let (mut a, mut b) = (open("valeci:a/x")?, open("valeci:b/x")?);
    pass(&mut a, &mut b, 1500)?;
    let (mut a, _kloop_a) = a.into_csb(&KloopOptions::default())?;
    let (mut b, _kloop_b) = b.into_csb(&KloopOptions::default())?;
    exchange(&mut a, &mut b, 3000, false)
}

fn exclusive(_: &Env) -> Done {
    let shared = open("valeci:shared")?.into_csb(&KloopOptions::default());
    refused("CSB mode of a shared port", shared.map(drop), &[Errno::INVAL])?;
    let arrays = Arc::new(CsbArrays::new()?);
    let register = Register::new(spec("valeci:shared")?).csb(arrays.clone());
    refused("registering a shared port in CSB mode", control()?.register(&register), &[Errno::INVAL])?;
    control()?.register(&Register::new(spec("valeci:own/x")?).csb(arrays))?;
    Ok(())
}

fn start_stop(_: &Env) -> Done {
    for pause in [0, 0, 0, 50, 0, 200] {
        let (_port, kloop) = open("valeci:stop/x")?.into_csb(&KloopOptions::default())?;
        std::thread::sleep(Duration::from_millis(pause));
        let start = Instant::now();
        kloop.stop()?;
        holds(format!("the loop ends soon ({:?})", start.elapsed()), start.elapsed() < PATIENCE)?;
    }
    Ok(())
}

fn bad_sleep(_: &Env) -> Done {
    let options = KloopOptions { eventfds: false, sleep_us: 2_000_000, ..KloopOptions::default() };
    let (_port, kloop) = open("valeci:slow/x")?.into_csb(&options)?;
    eventually("the end of a loop that cannot run", || Ok(!kloop.is_running()))?;
    refused("a sleep of two seconds", kloop.stop(), &[Errno::INVAL])?;
    Ok(())
}

fn second_user(_: &Env) -> Done {
    let (_csb, kloop) = open("valeci:csb/x")?.into_csb(&KloopOptions::default())?;
    let second = KernelPort::open(spec("valeci:csb")?);
    refused("a second user of a port in CSB mode", second, &[Errno::BUSY])?;
    kloop.stop()?;
    Ok(())
}

fn killed(env: &Env) -> Done {
    let mut part = env.part("kloop")?;
    super::process::wait_for_ready(&mut part)?;
    part.0.kill()?;
    eventually("the end of the killed process", || Ok(part.0.try_wait()?.is_some()))?;
    eventually("the end of its port", || Ok(our_ports()?.is_empty()))
}
