//! Waiting: who sleeps is woken, and nobody is told of what is not there.

use std::time::{Duration, Instant};

use netmap_rs::kernel::Register;
use rustix::event::{Timespec, epoll};
use rustix::fd::AsFd;

use crate::ci::Check;
use crate::ci::check::{Done, Env, fail, holds, same};
use crate::ci::world::*;

pub(in crate::ci) const CHECKS: &[Check] = &[
    Check::new("poll.wakeup", "A single frame wakes a sleeping receiver at once, on VALE and a pipe", wakeup),
    Check::new("poll.timeout", "A wait for frames that do not come lasts as long as it was told to", timeout),
    Check::new("poll.full", "A full pipe is not ready to send, and wakes its sender when it is read", full),
    Check::new("poll.vale-ready", "A VALE port is always ready to send", vale_ready),
    Check::new("poll.tx-flush", "A wait sends what was filled, unless NR_NO_TX_POLL forbids it", tx_flush),
    Check::new("poll.epoll", "An epoll loop gets every frame of many bursts", epoll_loop),
];

/// How long the receiver would sleep if nobody woke it. Some kernels find the frame then and report it, so it is
/// the time that tells.
const SLEEP: Duration = Duration::from_secs(6);
/// Who was woken has been so well before.
const AT_ONCE: Duration = Duration::from_secs(3);

fn wakeup(_: &Env) -> Done {
    for (from, to) in [("valeci:a", "valeci:b"), ("valeci:p{1", "valeci:p}1")] {
        let (mut a, mut b) = (open(from)?, open(to)?);
        for round in 0..3 {
            let sender = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(150));
                let sent = send_one(&mut a, BROADCAST, [2, 0, 0, 0, 0, 1], 60, 0);
                (a, sent, Instant::now())
            });
            let ready = b.wait(false, true, SLEEP)?;
            let woken = Instant::now();
            let Ok((back, sent, at)) = sender.join() else { return fail("a thread panicked") };
            sent?;
            a = back;
            let late = woken.saturating_duration_since(at);
            if !ready.rx || late > AT_ONCE {
                return fail(format!(
                    "frame {round} from {from} to {to}: expected the receiver to be woken at once, and it slept {:.1} s \
                     beside a frame that was there",
                    late.as_secs_f64()
                ));
            }
            same("frames", b.rx()[0].drain(9, |_| {}), 1)?;
            b.rxsync()?;
        }
    }
    Ok(())
}

fn timeout(_: &Env) -> Done {
    let (_a, mut b) = (open("valeci:a")?, open("valeci:b")?);
    let start = Instant::now();
    let ready = b.wait(false, true, Duration::from_millis(200))?;
    let slept = start.elapsed();
    holds("nothing is reported as received", !ready.rx)?;
    holds(format!("the wait lasts 200 ms (it was {slept:?})"), slept >= Duration::from_millis(195))
}

fn full(_: &Env) -> Done {
    let (mut a, mut b) = (open("valeci:p{1")?, open("valeci:p}1")?);
    let mut next = 0;
    for _ in 0..4 {
        fill(&mut a.tx()[0], u32::MAX, &mut next);
        a.txsync()?;
    }
    let start = Instant::now();
    let ready = a.wait(true, false, Duration::from_millis(200))?;
    holds("a full pipe is not ready to send", !ready.tx)?;
    holds("the wait for room lasted", start.elapsed() >= Duration::from_millis(195))?;
    let reader = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(150));
        let mut seen = 0;
        b.rxsync()?;
        let drained = drain(&mut b.rx()[0], &mut seen);
        b.rxsync()?;
        let at = Instant::now();
        // Kept open until its sender has seen what it was woken for.
        drained.map(|count| (b, count, at))
    });
    let ready = a.wait(true, false, SLEEP)?;
    let woken = Instant::now();
    let Ok(read) = reader.join() else { return fail("a thread panicked") };
    let (_b, count, at) = read?;
    same("frames read", count, 1023)?;
    let late = woken.saturating_duration_since(at);
    holds(format!("a pipe that was read wakes its sender at once ({late:?})"), ready.tx && late < AT_ONCE)
}

fn vale_ready(_: &Env) -> Done {
    let (mut a, _b) = (open("valeci:a@conf:slots=64")?, open("valeci:b@conf:slots=64")?);
    let mut next = 0;
    for _ in 0..5 {
        fill(&mut a.tx()[0], 50, &mut next);
        let start = Instant::now();
        let ready = a.wait(true, false, SLEEP)?;
        holds("a VALE port is ready to send beside a full receiver", ready.tx && start.elapsed() < AT_ONCE)?;
    }
    Ok(())
}

fn tx_flush(_: &Env) -> Done {
    let mut b = open("valeci:b")?;
    for (quiet, sent) in [(false, 3), (true, 0)] {
        let mut a = open_with(Register::new(spec("valeci:a")?).no_tx_poll(quiet))?;
        fill(&mut a.tx()[0], 3, &mut 0);
        a.wait(false, true, Duration::ZERO)?;
        b.rxsync()?;
        same(format!("frames sent by a wait, NR_NO_TX_POLL {quiet}"), b.rx()[0].drain(9, |_| {}), sent)?;
        b.rxsync()?;
    }
    Ok(())
}

fn epoll_loop(_: &Env) -> Done {
    let (mut a, mut b) = (open("valeci:a")?, open("valeci:b")?);
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poller, b.as_fd(), epoll::EventData::new_u64(7), epoll::EventFlags::IN)?;
    let (mut sent, mut seen) = (0, 0);
    while seen < 4000 {
        fill(&mut a.tx()[0], 200, &mut sent);
        a.txsync()?;
        while seen < sent {
            b.before_poll();
            let mut events = Vec::with_capacity(4);
            let timeout = Timespec { tv_sec: 6, tv_nsec: 0 };
            epoll::wait(&poller, rustix::buffer::spare_capacity(&mut events), Some(&timeout))?;
            same(format!("events after {seen} of {sent} frames"), events.len(), 1)?;
            b.after_poll()?;
            drain(&mut b.rx()[0], &mut seen)?;
        }
    }
    Ok(())
}
