//! Every byte and every frame in order, over many turns of the rings, with the switch on its own thread.

use crate::world::{mac, payload};
use netmap_rs::csb::CsbPort;
use netmap_rs::layout::PortShape;
use std::time::{Duration, Instant};
use uvale::{IdlePolicy, Switch, SwitchConfig};

const DEADLINE: Duration = Duration::from_secs(60);

fn frame(dst: u8, src: u8, len: usize, number: u64, bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.extend_from_slice(&mac(dst).to_le_bytes()[..6]);
    bytes.extend_from_slice(&mac(src).to_le_bytes()[..6]);
    bytes.extend_from_slice(&[0x88, 0xb5]);
    bytes.extend_from_slice(&number.to_le_bytes());
    payload(bytes, len, number);
}

fn number_of(data: &[u8]) -> u64 {
    u64::from_le_bytes(data[14..22].try_into().unwrap())
}

/// Lengths that take turns: every residue of a line, from the shortest frame to a whole buffer.
fn len_of(number: u64) -> usize {
    60 + (number * 89 % 1989) as usize
}

fn send(port: &mut CsbPort, dst: u8, src: u8, next: &mut u64, end: u64, bytes: &mut Vec<u8>) {
    let tx = &mut port.tx[0];
    tx.sync().unwrap();
    let n = tx.fill(u32::MAX, |slot| {
        if *next == end {
            return 0;
        }
        frame(dst, src, len_of(*next), *next, bytes);
        slot.buf[..bytes.len()].copy_from_slice(bytes);
        *next += 1;
        bytes.len() as u16
    });
    if n > 0 && tx.publish() {
        port.doorbell.ring().unwrap();
    }
}

/// Takes what is there and checks it; frames may be missing, never out of order.
fn receive(port: &mut CsbPort, dst: u8, src: u8, next: &mut u64, lost: &mut u64, bytes: &mut Vec<u8>) -> u64 {
    let rx = &mut port.rx[0];
    rx.sync().unwrap();
    let n = rx.drain(u32::MAX, |slot| {
        let number = number_of(slot.data);
        assert!(number >= *next, "{number} came after {}", *next - 1);
        frame(dst, src, len_of(number), number, bytes);
        assert_eq!(slot.data, &bytes[..], "frame {number}");
        assert_eq!(slot.flags, 1 << 8);
        *lost += number - *next;
        *next = number + 1;
    });
    if n > 0 && rx.publish() {
        port.doorbell.ring().unwrap();
    }
    assert_eq!(rx.bad_slots(), 0);
    n.into()
}

/// Two ports send to each other as fast as they can and only what is dropped for a full ring is missing.
#[test]
fn both_ways_at_full_speed_nothing_is_lost_but_by_full_rings() {
    const FRAMES: u64 = 60_000;
    let idle = IdlePolicy { spin_rounds: 50, nap_us: 20, sleep_after_us: 200 };
    let switch = Switch::start(SwitchConfig { name: "vale0".into(), cpu: None, idle }).unwrap();
    for (slots, buf_size) in [(64, 2048), (1024, 2048), (5, 4096)] {
        let shape = PortShape { tx_slots: slots, rx_slots: slots, buf_size, ..PortShape::default() };
        let made: Vec<_> = ["a", "b"].map(|name| switch.add_host_port(name, &shape, None).unwrap()).into();
        let ids: Vec<_> = made.iter().map(|p| p.id).collect();
        let mut ports: Vec<CsbPort> = made.into_iter().map(|p| p.open().unwrap()).collect();
        let mut b = ports.pop().unwrap();
        let mut a = ports.pop().unwrap();
        let other = std::thread::spawn(move || run(&mut b, 0, 1, FRAMES));
        let (lost_a, got_a) = run(&mut a, 1, 0, FRAMES);
        let (lost_b, got_b) = other.join().unwrap();
        let (sa, sb) = (switch.counters(ids[0]).unwrap(), switch.counters(ids[1]).unwrap());
        for (s, peer, lost, got) in [(sa, sb, lost_a, got_a), (sb, sa, lost_b, got_b)] {
            assert_eq!(s.tx_frames, FRAMES);
            assert_eq!(s.drops_as_sender() + s.resets, 0);
            assert_eq!((s.rx_frames, s.drops_as_receiver()), (got, s.drop_rx_full));
            assert!(lost <= s.drop_rx_full, "{lost} lost, {} counted", s.drop_rx_full);
            assert_eq!(peer.copies(), FRAMES, "one receiver, also of what is flooded");
            assert_eq!(got + s.drop_rx_full, FRAMES);
        }
        for id in ids {
            assert!(switch.remove_port(id).unwrap());
        }
    }
    assert_eq!(switch.take_faults(), []);
}

/// Sends and receives until nothing more can come; frames lost before the last received, and received.
fn run(port: &mut CsbPort, dst: u8, src: u8, frames: u64) -> (u64, u64) {
    let (mut sent, mut next, mut lost, mut got) = (0, 0, 0, 0);
    let mut bytes = Vec::new();
    let start = Instant::now();
    let mut quiet_since = Instant::now();
    loop {
        send(port, dst, src, &mut sent, frames, &mut bytes);
        let n = receive(port, src, dst, &mut next, &mut lost, &mut bytes);
        got += n;
        if n > 0 {
            quiet_since = Instant::now();
        }
        port.tx[0].sync().unwrap();
        let all_sent = sent == frames && port.tx[0].pending() == 0;
        // The last frames may have been dropped, so the end is when none has come for long.
        if all_sent && (next == frames || quiet_since.elapsed() > Duration::from_millis(500)) {
            return (lost, got);
        }
        assert!(start.elapsed() < DEADLINE, "{sent} sent, {got} received");
        if n == 0 {
            port.wait(sent < frames, true, Duration::from_millis(20)).unwrap();
        }
    }
}

/// A window smaller than the ring is never dropped from, whatever the pace of switch and receiver.
#[test]
fn below_a_rings_size_nothing_at_all_is_lost() {
    const FRAMES: u64 = 40_000;
    let switch =
        Switch::start(SwitchConfig { name: "vale0".into(), cpu: None, idle: IdlePolicy::default() }).unwrap();
    let shape = PortShape { tx_slots: 128, rx_slots: 128, ..PortShape::default() };
    let [mut a, mut b] =
        ["a", "b"].map(|name| switch.add_host_port(name, &shape, None).unwrap().open().unwrap());
    let (mut sent, mut next, mut lost) = (0, 0, 0);
    let mut bytes = Vec::new();
    let start = Instant::now();
    while next < FRAMES {
        let end = FRAMES.min(next + 100);
        send(&mut a, 1, 0, &mut sent, end, &mut bytes);
        if receive(&mut b, 1, 0, &mut next, &mut lost, &mut bytes) == 0 {
            b.wait(false, true, Duration::from_millis(20)).unwrap();
        }
        assert!(start.elapsed() < DEADLINE, "{sent} sent, {next} received");
    }
    assert_eq!((lost, sent), (0, FRAMES));
    let (_, _, s) = switch.ports().remove(1);
    assert_eq!((s.rx_frames, s.drops_as_receiver()), (FRAMES, 0));
}
