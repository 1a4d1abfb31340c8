//! CSB mode and the sync kloop.

use crate::world::*;
use netmap_rs::csb::CsbPort;
use netmap_rs::kernel::{CsbArrays, KernelError, KloopOptions, Register};
use rustix::io::Errno;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The number in a frame.
fn number(data: &[u8]) -> u64 {
    u64::from_le_bytes(data[14..22].try_into().unwrap())
}

/// Sends frames from one port in CSB mode to another, each kicking and waiting as it must, until `count` have
/// come, whole and in order. A pipe loses none; VALE may, when the kernel has not yet seen that slots were given
/// back, so there the sender goes on after a pause.
fn exchange(a: &mut CsbPort, b: &mut CsbPort, count: u64, pipe: bool) {
    let (mut sent, mut next, mut seen) = (0u64, 0u64, 0u64);
    let room = u64::from(b.rx[0].num_slots() - 1) / if pipe { 1 } else { 4 };
    let (start, mut last) = (Instant::now(), Instant::now());
    while seen < count {
        a.tx[0].sync().unwrap();
        let max = room.saturating_sub(sent - next) as u32;
        a.tx[0].fill(max, |slot| {
            let bytes = frame(sent);
            slot.buf[..bytes.len()].copy_from_slice(&bytes);
            sent += 1;
            bytes.len() as u16
        });
        if a.tx[0].publish() {
            a.doorbell.ring().unwrap();
        }
        if b.rx[0].avail() == 0 {
            b.wait(false, true, Duration::from_millis(200)).unwrap();
        }
        let done = b.rx[0].drain(u32::MAX, |slot| {
            let this = number(slot.data);
            assert!(if pipe { this == next } else { this >= next }, "frame {this} after {next}");
            assert!(slot.data == frame(this), "frame {this}");
            (next, seen) = (this + 1, seen + 1);
        });
        if done > 0 {
            last = Instant::now();
        } else if !pipe && last.elapsed() > Duration::from_secs(1) {
            next = sent;
        }
        if b.rx[0].publish() {
            b.doorbell.ring().unwrap();
        }
        assert!(start.elapsed() < DEADLINE, "{seen} of {sent} frames after {:?}", start.elapsed());
    }
    assert_eq!((a.tx[0].bad_slots(), b.rx[0].bad_slots()), (0, 0));
    // Whatever is still on the way would come first in the next exchange.
    let quiet = Instant::now();
    while quiet.elapsed() < Duration::from_millis(300) {
        b.wait(false, true, Duration::from_millis(50)).unwrap();
        b.rx[0].drain(u32::MAX, |_| {});
        if b.rx[0].publish() {
            b.doorbell.ring().unwrap();
        }
    }
}

#[test]
fn ports_in_csb_mode_exchange_frames_in_every_kind_of_loop() {
    let Some(_netmap) = netmap() else { return };
    let default = KloopOptions::default();
    for (what, options) in [
        ("eventfds", default),
        ("sleeping", KloopOptions { eventfds: false, ..default }),
        ("direct transmit", KloopOptions { direct_tx: true, ..default }),
        ("direct receive", KloopOptions { direct_rx: true, ..default }),
    ] {
        for (pipe, first, second) in [(true, "vale1:p{1/x", "vale1:p}1/x"), (false, "vale1:a/x", "vale1:b/x")]
        {
            eprintln!("{what}, {first}");
            let (mut a, kloop_a) = open(first).into_csb(&options).unwrap();
            let (mut b, kloop_b) = open(second).into_csb(&options).unwrap();
            exchange(&mut a, &mut b, 4000, pipe);
            exchange(&mut b, &mut a, 4000, pipe);
            assert!(kloop_a.is_running() && kloop_b.is_running());
            kloop_a.stop().unwrap();
            drop(kloop_b);
        }
    }
    assert!(vale_ports().is_empty(), "{:?}", vale_ports());
}

#[test]
fn csb_mode_goes_on_where_syncs_stopped() {
    let Some(_netmap) = netmap() else { return };
    let (mut a, mut b) = (open("vale1:a/x"), open("vale1:b/x"));
    pass(&mut a, &mut b, 1500);
    let (mut a, _kloop_a) = a.into_csb(&KloopOptions::default()).unwrap();
    let (mut b, _kloop_b) = b.into_csb(&KloopOptions::default()).unwrap();
    exchange(&mut a, &mut b, 3000, false);
}

#[test]
fn csb_mode_needs_exclusive_use() {
    let Some(_netmap) = netmap() else { return };
    let e = open("vale1:shared").into_csb(&KloopOptions::default()).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::INVAL), "{e}");
    assert!(e.to_string().contains("NR_EXCLUSIVE"), "{e}");
    let arrays = Arc::new(CsbArrays::new().unwrap());
    let e = control().register(&Register::new(spec("vale1:shared")).csb(arrays.clone())).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::INVAL), "{e}");
    let registration = control().register(&Register::new(spec("vale1:own/x")).csb(arrays)).unwrap();
    let e = registration.map().unwrap_err();
    assert!(matches!(e, KernelError::Invalid { .. }), "{e}");
}

#[test]
fn a_loop_that_cannot_start_says_why() {
    let Some(_netmap) = netmap() else { return };
    let options = KloopOptions { eventfds: false, sleep_us: 2_000_000, ..KloopOptions::default() };
    let (_port, kloop) = open("vale1:slow/x").into_csb(&options).unwrap();
    let start = Instant::now();
    while kloop.is_running() {
        assert!(start.elapsed() < DEADLINE);
        std::thread::sleep(Duration::from_millis(5));
    }
    let e = kloop.stop().unwrap_err();
    assert_eq!(e.errno(), Some(Errno::INVAL), "{e}");
}

#[test]
fn a_loop_is_stopped_before_it_started_or_long_after() {
    let Some(_netmap) = netmap() else { return };
    for pause in [0, 0, 0, 50] {
        let (_port, kloop) = open("vale1:stop/x").into_csb(&KloopOptions::default()).unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        let start = Instant::now();
        kloop.stop().unwrap();
        assert!(start.elapsed() < DEADLINE);
    }
}
