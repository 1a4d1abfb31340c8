//! The switch's thread: idling, waking, commands, ending.

use crate::world::{BROADCAST, Raise, frame, mac};
use netmap_rs::csb::CsbPort;
use netmap_rs::doorbell::Doorbell;
use netmap_rs::layout::{PortLayout, PortShape};
use netmap_rs::memory::Memory;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use uvale::faults::FaultKind;
use uvale::{HostPort, IdlePolicy, Switch, SwitchConfig, SwitchError};

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// Sleeps at once when there is nothing to do.
const SLEEPY: IdlePolicy = IdlePolicy { spin_rounds: 0, nap_us: 0, sleep_after_us: 0 };

pub(crate) fn start(idle: IdlePolicy) -> Switch {
    Switch::start(SwitchConfig { name: "vale0".into(), cpu: None, idle }).unwrap()
}

fn host_port(switch: &Switch, name: &str) -> HostPort {
    let shape = PortShape { tx_slots: 64, rx_slots: 64, ..PortShape::default() };
    switch.add_host_port(name, &shape, None).unwrap()
}

pub(crate) fn send(port: &mut CsbPort, bytes: &[u8]) -> bool {
    let tx = &mut port.tx[0];
    tx.sync().unwrap();
    let n = tx.fill(1, |slot| {
        slot.buf[..bytes.len()].copy_from_slice(bytes);
        bytes.len() as u16
    });
    if n > 0 && tx.publish() {
        port.doorbell.ring().unwrap();
    }
    n > 0
}

/// The next frame, waited for.
pub(crate) fn receive(port: &mut CsbPort) -> Vec<u8> {
    let start = Instant::now();
    let mut got = None;
    while got.is_none() {
        port.wait(false, true, DEADLINE).unwrap();
        let rx = &mut port.rx[0];
        rx.sync().unwrap();
        if rx.drain(1, |slot| got = Some(slot.data.to_vec())) > 0 && rx.publish() {
            port.doorbell.ring().unwrap();
        }
        assert!(start.elapsed() < DEADLINE, "no frame came");
    }
    got.unwrap()
}

/// Waits until `what` holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn an_idle_switch_sleeps() {
    let switch = start(IdlePolicy::default());
    let mut port = host_port(&switch, "a").open().unwrap();
    send(&mut port, &frame(BROADCAST, mac(0), 60, 0));
    eventually("the switch sleeps", || switch.sleeps_and_naps().0 > 0);
    std::thread::sleep(Duration::from_millis(20));
    let before = switch.sleeps_and_naps();
    std::thread::sleep(Duration::from_millis(300));
    let (sleeps, naps) = switch.sleeps_and_naps();
    assert_eq!(naps, before.1, "it napped while it should have slept");
    assert!(sleeps - before.0 <= 1, "it slept {} times in 300 ms", sleeps - before.0);
}

#[test]
fn a_kick_wakes_a_sleeping_switch() {
    let switch = start(IdlePolicy::default());
    let mut a = host_port(&switch, "a").open().unwrap();
    let mut b = host_port(&switch, "b").open().unwrap();
    for round in 0..20 {
        let sleeps = switch.sleeps_and_naps().0;
        // A sleep that began after the last frame; at most a second passes before the next begins.
        eventually("the switch sleeps", || switch.sleeps_and_naps().0 > sleeps || round == 0);
        send(&mut a, &frame(BROADCAST, mac(0), 60, round));
        assert_eq!(receive(&mut b), frame(BROADCAST, mac(0), 60, round));
    }
    assert_eq!(switch.late_wakeups(), 0);
}

/// Everyone sleeps whenever it can, so that each round needs four wake-ups: none may be lost.
#[test]
fn a_hundred_thousand_rounds_between_sleepers() {
    const ROUNDS: u64 = 100_000;
    let switch = start(SLEEPY);
    let mut a = host_port(&switch, "a").open().unwrap();
    let mut b = host_port(&switch, "b").open().unwrap();
    send(&mut b, &frame(BROADCAST, mac(1), 60, 0));
    receive(&mut a);
    let pong = std::thread::spawn(move || {
        for _ in 0..ROUNDS {
            let mut bytes = receive(&mut b);
            bytes[..6].copy_from_slice(&mac(0).to_le_bytes()[..6]);
            bytes[6..12].copy_from_slice(&mac(1).to_le_bytes()[..6]);
            assert!(send(&mut b, &bytes));
        }
    });
    for round in 0..ROUNDS {
        assert!(send(&mut a, &frame(mac(1), mac(0), 60, round)));
        let back = receive(&mut a);
        assert_eq!(back[14..], frame(0, 0, 60, round)[14..], "round {round}");
    }
    pong.join().unwrap();
    // The bound on a sleep would hide a lost wake-up as a second's delay.
    assert_eq!(switch.late_wakeups(), 0);
    assert!(
        switch.sleeps_and_naps().0 > ROUNDS / 100,
        "it hardly ever slept: {:?}",
        switch.sleeps_and_naps()
    );
}

#[test]
fn an_impossible_processor_is_named() {
    for cpu in [1000, 100_000] {
        let config = SwitchConfig { name: "vale0".into(), cpu: Some(cpu), idle: IdlePolicy::default() };
        let e = Switch::start(config).unwrap_err();
        assert_eq!(e.to_string(), format!("cannot run switch vale0 on processor {cpu}"));
        let source = std::error::Error::source(&e).unwrap().downcast_ref::<std::io::Error>().unwrap();
        assert_eq!(source.raw_os_error(), Some(rustix::io::Errno::INVAL.raw_os_error()));
    }
}

#[test]
fn dropping_a_switch_ends_its_thread() {
    let switch = start(IdlePolicy::default());
    assert!(switch.is_running());
    let task = PathBuf::from(format!("/proc/self/task/{}", switch.thread_id()));
    let name = std::fs::read_to_string(task.join("comm")).unwrap();
    assert_eq!(name.trim(), "uvale vale0");
    let mut port = host_port(&switch, "a").open().unwrap();
    eventually("the switch sleeps", || switch.sleeps_and_naps().0 > 0);
    let start = Instant::now();
    drop(switch);
    assert!(start.elapsed() < Duration::from_millis(900), "it slept on for {:?}", start.elapsed());
    // Whoever waits for a thread goes on a little before the kernel has forgotten it.
    eventually("its thread is gone", || !task.exists());
    // The application's memory is still its own.
    assert!(send(&mut port, &frame(BROADCAST, mac(0), 60, 0)));
}

#[test]
fn ports_come_and_go_from_many_threads_while_traffic_flows() {
    let switch = start(IdlePolicy::default());
    let [mut a, mut b] = ["a", "b"].map(|name| host_port(&switch, name).open().unwrap());
    send(&mut b, &frame(BROADCAST, mac(1), 60, 0));
    receive(&mut a);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let mut rounds = 0u64;
            while !done.load(Ordering::Relaxed) {
                assert!(send(&mut a, &frame(mac(1), mac(0), 60, rounds)));
                assert_eq!(receive(&mut b), frame(mac(1), mac(0), 60, rounds));
                rounds += 1;
            }
            rounds
        });
        let ending = Raise(&done);
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let switch = &switch;
                scope.spawn(move || {
                    for round in 0..40 {
                        let made = host_port(switch, &format!("{worker}.{round}"));
                        let id = made.id;
                        let mut port = made.open().unwrap();
                        // To a station of its own, so that nobody's ring is filled.
                        for tag in 0..10 {
                            send(&mut port, &frame(mac(9), mac(9), 60, tag));
                        }
                        assert!(switch.remove_port(id).unwrap());
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        drop(ending);
        assert!(traffic.join().unwrap() > 0);
    });
    assert_eq!(switch.ports().len(), 2);
    assert!(!switch.remove_port(17).unwrap() && !switch.remove_port(255).unwrap());
}

#[test]
fn a_removed_port_is_not_touched_again() {
    let switch = start(IdlePolicy { spin_rounds: 1000, nap_us: 0, sleep_after_us: 1000 });
    let [a, b] = ["a", "b"].map(|name| host_port(&switch, name));
    let mut sender = a.open().unwrap();
    for tag in 0..40 {
        send(&mut sender, &frame(BROADCAST, mac(0), 60, tag));
    }
    assert!(switch.remove_port(b.id).unwrap());
    // Each word is set to its own offset; a cursor or slot written later would stand out.
    let words = b.memory.len() / 8;
    // SAFETY: in bounds of memory that only this test has now, if the switch keeps its word.
    let word = |i: usize| unsafe { b.memory.base().cast::<u64>().as_ptr().add(i) };
    // SAFETY: as above.
    (0..words).for_each(|i| unsafe { word(i).write_volatile(i as u64) });
    let start = Instant::now();
    let mut tag = 0;
    while start.elapsed() < Duration::from_millis(50) {
        tag += u64::from(send(&mut sender, &frame(BROADCAST, mac(0), 60, tag)));
    }
    // SAFETY: as above.
    assert!((0..words).all(|i| unsafe { word(i).read_volatile() } == i as u64));
    assert!(tag > 0);
}

#[test]
fn indices_are_given_refused_and_given_again() {
    let switch = start(IdlePolicy::default());
    let shape = PortShape { tx_slots: 4, rx_slots: 4, buf_size: 64, ..PortShape::default() };
    let add = |index| switch.add_host_port("p", &shape, index);
    assert_eq!(add(Some(5)).unwrap().id, 5);
    assert_eq!(add(Some(5)).unwrap_err().to_string(), "port 5 of switch vale0 is taken");
    assert!(matches!(add(Some(254)), Err(SwitchError::Taken { index: 254, .. })));
    assert_eq!(add(None).unwrap().id, 0);
    for _ in 2..254 {
        add(None).unwrap();
    }
    assert_eq!(add(None).unwrap_err().to_string(), "switch vale0 has no free port of its 254");
    assert!(switch.remove_port(100).unwrap());
    assert_eq!(add(None).unwrap().id, 100);
    assert!(switch.counters(100).is_some() && switch.counters(254).is_none());
}

/// A guest that goes away: its stream closes, the port is deaf from then on, and everyone else is well.
#[test]
fn a_dead_doorbell_is_reported_once_and_hurts_nobody() {
    let switch = start(IdlePolicy::default());
    let shape = PortShape { tx_slots: 64, rx_slots: 64, ..PortShape::default() };
    let layout = PortLayout::new(&shape).unwrap();
    let memory = Memory::heap(layout.len());
    let (ours, theirs) = Doorbell::socket_pair().unwrap();
    let (id, location) = switch.add_guest_port("guest", &shape, &memory, ours, None).unwrap();
    let mut guest = CsbPort::open(&memory, &location, Doorbell::from_stream(theirs).unwrap()).unwrap();
    let [mut a, mut b] = ["a", "b"].map(|name| host_port(&switch, name).open().unwrap());
    send(&mut guest, &frame(BROADCAST, mac(7), 60, 1));
    assert_eq!(receive(&mut a), frame(BROADCAST, mac(7), 60, 1));
    assert_eq!(receive(&mut b), frame(BROADCAST, mac(7), 60, 1));
    // Asleep, as far as the switch can tell, and then gone for good.
    guest.wait(false, true, Duration::from_millis(1)).unwrap();
    let word = memory.at::<u32>(location.atok_ofs + 64 + 8).unwrap();
    // SAFETY: `appl_need_kick` of the receive ring, in bounds, read by the switch as an atomic.
    unsafe { word.as_ptr().write_volatile(1) };
    drop(guest);
    let mut exchange = |tags: std::ops::Range<u64>| {
        for tag in tags {
            assert!(send(&mut a, &frame(BROADCAST, mac(0), 60, tag)));
            assert_eq!(receive(&mut b), frame(BROADCAST, mac(0), 60, tag));
        }
    };
    exchange(2..40);
    let mut faults = Vec::new();
    eventually("the fault is reported", || {
        faults.extend(switch.take_faults());
        !faults.is_empty()
    });
    let wakeups = switch.counters(id).unwrap().wakeups;
    exchange(40..50);
    assert_eq!(switch.counters(id).unwrap().wakeups, wakeups, "nobody is there to be woken");
    faults.extend(switch.take_faults());
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!((faults[0].port, faults[0].kind), (id, FaultKind::Doorbell));
    assert!(faults[0].what.starts_with("guest: its doorbell is dead: "), "{}", faults[0].what);
    assert!(switch.counters(id).unwrap().rx_frames >= 48, "its ring still fills");
}

/// A port that kicks without end, with nothing to send: naps, not spinning.
#[test]
fn kicks_without_work_keep_the_switch_napping_at_worst() {
    let switch = start(IdlePolicy { spin_rounds: 10, nap_us: 1000, sleep_after_us: 3000 });
    let port = host_port(&switch, "a").open().unwrap();
    let start = Instant::now();
    let before = switch.sleeps_and_naps();
    while start.elapsed() < Duration::from_millis(200) {
        port.doorbell.ring().unwrap();
    }
    let (sleeps, naps) = switch.sleeps_and_naps();
    // A sleep that ends at once is followed by 3 ms of naps.
    assert!(sleeps - before.0 <= 80, "{} sleeps and {} naps in 200 ms", sleeps - before.0, naps - before.1);
}
