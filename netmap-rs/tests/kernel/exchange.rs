//! Frames between ports of the real thing: whole, in order, over many times the ring.

use crate::world::*;
use netmap_rs::kernel::{KernelPort, Offsets, Register, forward};
use netmap_rs::portspec::RingId;
use netmap_rs::sys::{NS_MOREFRAG, NS_TXMON};
use rustix::event::epoll;
use rustix::fd::AsFd;
use std::time::{Duration, Instant};

#[test]
fn two_vale_ports_exchange_many_rings_of_frames() {
    let Some(_netmap) = netmap() else { return };
    for slots in [16, 1024] {
        let mut a = open(&format!("vale1:a@conf:slots={slots}"));
        let mut b = open(&format!("vale1:b@conf:slots={slots}"));
        pass(&mut a, &mut b, 5 * slots + 3);
        pass(&mut b, &mut a, 3 * slots + 7);
    }
}

#[test]
fn pipes_exchange_many_rings_of_frames() {
    let Some(_netmap) = netmap() else { return };
    let (mut master, mut slave) = (open("vale1:p{1"), open("vale1:p}1"));
    assert_eq!(master.registered().reply.nr_mem_id, slave.registered().reply.nr_mem_id);
    pass(&mut master, &mut slave, 5000);
    pass(&mut slave, &mut master, 5000);
    // A pipe keeps what is not read, instead of dropping it.
    let mut next = 0;
    while fill(&mut master.tx()[0], u32::MAX, &mut next) > 0 {
        master.txsync().unwrap();
    }
    assert_eq!(next, 1023);
    assert_eq!(master.tx()[0].pending(), 1023);
    slave.rxsync().unwrap();
    let mut seen = 0;
    assert_eq!(drain(&mut slave.rx()[0], &mut seen), 1023);
    slave.rxsync().unwrap();
    master.txsync().unwrap();
    assert_eq!(master.tx()[0].pending(), 0);
}

#[test]
fn vale_drops_what_a_full_receiver_cannot_take() {
    let Some(_netmap) = netmap() else { return };
    let (mut a, mut b) = (open("vale1:a@conf:slots=64"), open("vale1:b@conf:slots=64"));
    let mut next = 0;
    for _ in 0..4 {
        assert_eq!(fill(&mut a.tx()[0], 40, &mut next), 40, "the sender is never held up");
        a.txsync().unwrap();
    }
    b.rxsync().unwrap();
    let mut seen = 0;
    assert_eq!(drain(&mut b.rx()[0], &mut seen), 63);
}

#[test]
fn vale_sends_to_who_it_has_learned_only() {
    let Some(_netmap) = netmap() else { return };
    let mut ports: Vec<KernelPort> = ["vale1:a", "vale1:b", "vale1:c"].map(open).into();
    let mac = |i: usize| [2, 0, 0, 0, 0x77, i as u8];
    let mut send = |from: usize, to: [u8; 6]| -> Vec<u32> {
        ports[from].tx()[0].fill(1, |slot| {
            slot.buf[..60].fill(0);
            slot.buf[..6].copy_from_slice(&to);
            slot.buf[6..12].copy_from_slice(&mac(from));
            60
        });
        ports[from].txsync().unwrap();
        ports
            .iter_mut()
            .map(|port| {
                port.rxsync().unwrap();
                port.rx()[0].drain(99, |_| {})
            })
            .collect()
    };
    assert_eq!(send(0, [0xff; 6]), [0, 1, 1], "to all but the sender");
    assert_eq!(send(1, mac(0)), [1, 0, 0], "learned");
    assert_eq!(send(0, mac(1)), [0, 1, 0], "learned");
    assert_eq!(send(0, mac(2)), [0, 1, 1], "unknown");
    assert_eq!(send(2, mac(2)), [0, 0, 0], "to itself");
    assert_eq!(send(0, mac(2)), [0, 0, 1], "learned from that");
}

#[test]
fn a_sleeping_receiver_is_woken() {
    let Some(_netmap) = netmap() else { return };
    let (mut a, mut b) = (open("vale1:a"), open("vale1:b"));
    let start = Instant::now();
    assert!(!b.wait(false, true, Duration::from_millis(50)).unwrap().rx);
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert!(b.wait(true, false, DEADLINE).unwrap().tx, "VALE always has room");
    // One frame at a time: each has to wake the receiver by itself.
    let sender = std::thread::spawn(move || {
        let mut next = 0;
        while next < 3 {
            std::thread::sleep(Duration::from_millis(100));
            fill(&mut a.tx()[0], 1, &mut next);
            a.txsync().unwrap();
        }
        a
    });
    let start = Instant::now();
    let mut seen = 0;
    while seen < 3 {
        assert!(b.wait(false, true, DEADLINE).unwrap().rx, "{:?}", start.elapsed());
        drain(&mut b.rx()[0], &mut seen);
    }
    assert!(start.elapsed() < DEADLINE / 2, "a frame was there and nobody was woken");
    sender.join().unwrap();
}

#[test]
fn a_wait_sends_unless_told_not_to() {
    let Some(_netmap) = netmap() else { return };
    let mut b = open("vale1:b");
    for (quiet, sent) in [(false, 3), (true, 0)] {
        let mut a = open_with(Register::new(spec("vale1:a")).no_tx_poll(quiet));
        fill(&mut a.tx()[0], 3, &mut 0);
        a.wait(false, true, Duration::ZERO).unwrap();
        b.rxsync().unwrap();
        assert_eq!(b.rx()[0].drain(9, |_| {}), sent, "quiet: {quiet}");
    }
}

#[test]
fn epoll_wakes_an_event_loop() {
    let Some(_netmap) = netmap() else { return };
    let (mut a, mut b) = (open("vale1:a"), open("vale1:b"));
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    epoll::add(&poller, b.as_fd(), epoll::EventData::new_u64(7), epoll::EventFlags::IN).unwrap();
    let (mut sent, mut seen) = (0, 0);
    while seen < 4000 {
        fill(&mut a.tx()[0], 200, &mut sent);
        a.txsync().unwrap();
        while seen < sent {
            b.before_poll();
            let mut events = Vec::with_capacity(4);
            let timeout = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
            epoll::wait(&poller, rustix::buffer::spare_capacity(&mut events), Some(&timeout)).unwrap();
            assert_eq!(events.len(), 1, "after {seen} of {sent} frames");
            b.after_poll().unwrap();
            drain(&mut b.rx()[0], &mut seen);
        }
    }
}

#[test]
fn fragments_stay_together() {
    let Some(_netmap) = netmap() else { return };
    let (mut a, mut b) = (open("vale1:a"), open("vale1:b"));
    for round in 0..800u64 {
        let parts = round % 5 + 1;
        let mut part = 0;
        let whole = frame(round * 8);
        let filled = a.tx()[0].fill(parts as u32, |slot| {
            let header = if part == 0 { whole.len() } else { 100 };
            slot.buf[..header].copy_from_slice(&if part == 0 {
                whole.clone()
            } else {
                vec![part as u8; 100]
            });
            part += 1;
            slot.flags = if part < parts { NS_MOREFRAG } else { 0 };
            header as u16
        });
        assert_eq!(u64::from(filled), parts);
        a.txsync().unwrap();
        b.rxsync().unwrap();
        let mut got = Vec::new();
        b.rx()[0].drain(99, |slot| got.push((slot.data.to_vec(), slot.flags)));
        assert_eq!(got.len() as u64, parts, "round {round}");
        for (i, (data, flags)) in got.iter().enumerate() {
            let more = if i as u64 + 1 < parts { NS_MOREFRAG } else { 0 };
            assert_eq!(*flags, more, "the fragment count is masked");
            assert!(if i == 0 { *data == whole } else { *data == [i as u8; 100] });
        }
    }
}

#[test]
fn indirect_frames_come_from_this_programs_memory() {
    let Some(_netmap) = netmap() else { return };
    let (mut a, mut b) = (open("vale1:a"), open("vale1:b"));
    let frames: Vec<_> = (0..7).map(|i| a.pin(&frame(i * 11)).unwrap()).collect();
    let mut seen = 0u64;
    for round in 0..700u64 {
        let number = round % 7;
        assert_eq!(a.tx()[0].send_indirect(&frames[number as usize], 6), 6);
        a.txsync().unwrap();
        b.rxsync().unwrap();
        b.rx()[0].drain(99, |slot| {
            assert!(slot.data == frame(number * 11), "round {round}");
            seen += 1;
        });
    }
    assert_eq!(seen, 4200);
    // Slots that were indirect are ordinary again.
    pass(&mut a, &mut b, 2000);
}

#[test]
fn offsets_are_kept_on_both_ends() {
    let Some(_netmap) = netmap() else { return };
    let offsets = |initial| Offsets { max: 256, initial, bits: 16, tx_align: 0 };
    let mut a = open_with(Register::new(spec("vale1:a")).offsets(offsets(64)));
    let mut b = open_with(Register::new(spec("vale1:b")).offsets(offsets(128)));
    assert_eq!(a.registered().offsets.unwrap().max, 256);
    let mut room = 0;
    a.tx()[0].fill(1, |slot| {
        room = slot.buf.len();
        0
    });
    assert_eq!(room, 2048 - 64);
    pass(&mut a, &mut b, 4000);
    assert!(a.tx()[0].set_offset(Some(33)), "any offset up to the largest");
    pass(&mut a, &mut b, 4000);
    let mut plain = open("vale1:plain");
    pass(&mut plain, &mut b, 2000);
    pass(&mut b, &mut plain, 2000);
}

#[test]
fn zero_copy_forwards_between_pipes_of_one_region() {
    let Some(_netmap) = netmap() else { return };
    let specs = ["netmap:zc0{1", "netmap:zc0}1", "netmap:zc0{2", "netmap:zc0}2"];
    let [mut source, mut in_port, mut out_port, mut sink] = specs.map(open);
    let (mut sent, mut seen) = (0u64, 0u64);
    let start = Instant::now();
    while seen < 6000 {
        fill(&mut source.tx()[0], 300, &mut sent);
        source.txsync().unwrap();
        in_port.rxsync().unwrap();
        forward(&mut in_port.rx()[0], &mut out_port.tx()[0], u32::MAX, |_| true).unwrap();
        in_port.rxsync().unwrap();
        out_port.txsync().unwrap();
        sink.rxsync().unwrap();
        drain(&mut sink.rx()[0], &mut seen);
        assert!(start.elapsed() < DEADLINE, "{seen} of {sent}");
    }
}

#[test]
fn extra_buffers_hold_frames_and_go_back() {
    let Some(_netmap) = netmap() else { return };
    for _ in 0..20 {
        let mut a = open_with(Register::new(spec("vale1:a")).extra_bufs(64));
        let mut b = open("vale1:b");
        assert_eq!(a.registered().reply.nr_extra_bufs, 64);
        assert_eq!(a.spare_buffers(), 64);
        let mut sent = 0;
        fill(&mut b.tx()[0], 64, &mut sent);
        b.txsync().unwrap();
        a.rxsync().unwrap();
        let mut kept = Vec::new();
        while let Some(mut buffer) = a.take_buffer() {
            let (place, _) = a.rx()[0].exchange(&mut buffer).unwrap();
            kept.push((buffer, place));
        }
        a.rxsync().unwrap();
        assert_eq!(kept.len(), 64);
        // Back in reverse.
        for (buffer, place) in kept.iter_mut().rev() {
            assert!(a.tx()[0].send(buffer, place.len() as u16, 0));
        }
        a.txsync().unwrap();
        b.rxsync().unwrap();
        let mut number = 64;
        b.rx()[0].drain(99, |slot| {
            number -= 1;
            assert!(slot.data == frame(number), "frame {number}");
        });
        assert_eq!(number, 0);
        drop(kept);
        assert_eq!(a.spare_buffers(), 64);
        pass(&mut a, &mut b, 2000);
    }
}

#[test]
fn monitors_see_what_passes() {
    let Some(_netmap) = netmap() else { return };
    for flags in ["r", "z"] {
        let (mut a, mut b) = (open("vale1:a"), open("vale1:b"));
        let mut monitor = open(&format!("vale1:b/{flags}"));
        let (mut sent, mut seen, mut watched) = (0, 0, 0);
        for round in 0..40 {
            fill(&mut a.tx()[0], 100, &mut sent);
            a.txsync().unwrap();
            // The copy is made when the port receives, the zero copy when it releases.
            b.rxsync().unwrap();
            drain(&mut b.rx()[0], &mut seen);
            b.rxsync().unwrap();
            monitor.rxsync().unwrap();
            drain(&mut monitor.rx()[0], &mut watched);
            assert_eq!((seen, watched), (sent, sent), "monitor {flags}, round {round}");
        }
    }
    let mut a = open("vale1:a");
    let mut monitor = open("vale1:a/t");
    fill(&mut a.tx()[0], 5, &mut 0);
    a.txsync().unwrap();
    monitor.rxsync().unwrap();
    let count = monitor.rx()[0].drain(99, |slot| assert_eq!(slot.flags & NS_TXMON, NS_TXMON));
    assert_eq!(count, 5);
}

#[test]
fn a_thread_a_ring_passes_frames_at_the_same_time() {
    let Some(_netmap) = netmap() else { return };
    let ports = |text: &str| {
        (0..4)
            .map(|i| KernelPort::open_ring(&spec(text), RingId::new(i).unwrap()).unwrap())
            .collect::<Vec<_>>()
    };
    // Pipes keep a sender from running ahead, ring by ring.
    let senders = ports("netmap:mq0{1@conf:rings=4");
    let receivers = ports("netmap:mq0}1@conf:rings=4");
    let threads: Vec<_> = senders
        .into_iter()
        .zip(receivers)
        .map(|(mut from, mut to)| std::thread::spawn(move || pass(&mut from, &mut to, 5000)))
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn syncs_are_stamped() {
    let Some(_netmap) = netmap() else { return };
    let mut port = open("vale1:ts");
    port.rx()[0].set_timestamps(true);
    port.rxsync().unwrap();
    let stamp = port.rx()[0].timestamp().unwrap();
    assert!(stamp.elapsed().unwrap() < Duration::from_secs(5));
}
