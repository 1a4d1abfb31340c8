//! Sleeping and waking across a CSB, with the peer on another thread. Every wait has a deadline.

use netmap_rs::csb::CsbPort;
use netmap_rs::fake::FakePeer;
use netmap_rs::layout::PortShape;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(20);

fn small() -> PortShape {
    PortShape { tx_slots: 4, rx_slots: 4, buf_size: 64, ..PortShape::default() }
}

fn send(port: &mut CsbPort, number: u64) {
    let n = port.tx[0].fill(1, |slot| {
        slot.buf[..8].copy_from_slice(&number.to_le_bytes());
        60
    });
    assert_eq!(n, 1, "a ring of the application's is full");
    if port.tx[0].publish() {
        port.doorbell.ring().unwrap();
    }
}

/// Both sides sleep before every frame, so a wake-up lost either way stops the exchange.
#[test]
fn two_sleepers_wake_each_other_every_time() {
    const ROUNDS: u64 = 20_000;
    let (mut peer, mut port) = FakePeer::new(&small());
    let echo = std::thread::spawn(move || {
        for round in 0..ROUNDS {
            let taken = loop {
                peer.want_kicks(true);
                if peer.pending(0).unwrap() == 0 {
                    assert!(peer.doorbell().wait(DEADLINE).unwrap(), "the peer slept through round {round}");
                }
                peer.want_kicks(false);
                if let Some(taken) = peer.take(0, 1).unwrap().pop() {
                    break taken;
                }
            };
            assert_eq!(peer.put(0, &[taken.data]).unwrap(), 1);
        }
    });
    for round in 0..ROUNDS {
        port.tx[0].sync().unwrap();
        send(&mut port, round);
        let asked = Instant::now();
        let mut got = None;
        while got.is_none() {
            port.wait(false, true, DEADLINE).unwrap();
            assert!(asked.elapsed() < DEADLINE, "round {round} was slept through");
            port.rx[0].sync().unwrap();
            port.rx[0].drain(1, |slot| got = Some(u64::from_le_bytes(slot.data[..8].try_into().unwrap())));
        }
        assert_eq!(got, Some(round));
        let _ = port.rx[0].publish();
    }
    echo.join().unwrap();
}

#[test]
fn a_full_transmit_ring_is_waited_for_and_an_empty_wait_ends() {
    let (mut peer, mut port) = FakePeer::new(&small());
    port.wait(true, false, DEADLINE).unwrap();
    for number in 0..3 {
        send(&mut port, number);
    }
    let start = Instant::now();
    port.wait(true, true, Duration::from_millis(30)).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(30), "there was nothing to wake for");
    let taker = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        peer.take(0, 1).unwrap().len()
    });
    let start = Instant::now();
    port.wait(true, false, DEADLINE).unwrap();
    assert!(start.elapsed() < DEADLINE / 2);
    assert_eq!(taker.join().unwrap(), 1);
    port.tx[0].sync().unwrap();
    assert_eq!(port.tx[0].space(), 1);
}

#[test]
fn kicks_are_sent_only_when_asked_for() {
    let (mut peer, mut port) = FakePeer::new(&small());
    send(&mut port, 0);
    assert!(!peer.doorbell().drain().unwrap());
    peer.want_kicks(true);
    send(&mut port, 1);
    assert!(peer.doorbell().drain().unwrap());
    peer.want_kicks(false);
    send(&mut port, 2);
    assert!(!peer.doorbell().drain().unwrap());
    peer.put(0, &[[0u8; 60]]).unwrap();
    assert!(!port.doorbell.drain().unwrap(), "the application is awake");
}

#[test]
fn a_lost_kick_costs_the_timeout_and_no_more() {
    let (mut peer, mut port) = FakePeer::new(&small());
    peer.lose_kicks(1);
    let peer = std::thread::spawn(move || {
        // Not before the application sleeps, as far as a test can arrange that.
        std::thread::sleep(Duration::from_millis(50));
        peer.put(0, &[[7u8; 60]]).unwrap();
        peer
    });
    let start = Instant::now();
    port.wait(false, true, Duration::from_millis(500)).unwrap();
    let mut peer = peer.join().unwrap();
    assert!(start.elapsed() >= Duration::from_millis(500), "nobody rang");
    port.rx[0].sync().unwrap();
    assert_eq!(port.rx[0].drain(9, |slot| assert_eq!(slot.data, [7; 60])), 1);
    let _ = port.rx[0].publish();
    assert_eq!(peer.put(0, &[[8u8; 60]]).unwrap(), 1);
}
