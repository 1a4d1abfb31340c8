//! Packet ports on a veth pair in a network namespace of the test's own, which ends with the test's thread.
//! They need root, or the like of it; without, they say so, and `VALE_BENCH_NO_SKIP` makes that a failure.

use super::*;
use crate::clock::{Clock, Monotonic};
use crate::roles::{ping::Ping, pong::Pong, rx::Rx, tx::Tx};
use crate::spec::*;
use std::process::Command;
use std::time::Instant;

const LIMIT: Duration = Duration::from_secs(30);

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("`ip {arguments}`: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("`ip {arguments}`: {error}")),
    }
}

/// A namespace with the pair `va`, `vb`, up, without IPv6 chatter.
fn veth(mtu: u32) -> Result<(), String> {
    // SAFETY: a new network namespace shares no file descriptor table, so what this thread has open stays.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }
        .map_err(|errno| format!("a network namespace: {errno}"))?;
    ip(&format!("link add va mtu {mtu} type veth peer name vb mtu {mtu}"))?;
    for end in ["va", "vb"] {
        ip(&format!("link set {end} addrgenmode none"))?;
        ip(&format!("link set {end} up"))?;
    }
    Ok(())
}

/// Runs `test` in a namespace, on a thread that takes it along when it ends.
fn with_veth(mtu: u32, test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || match veth(mtu) {
        Ok(()) => test(),
        Err(reason) if std::env::var_os("VALE_BENCH_NO_SKIP").is_none() => eprintln!("SKIPPED: {reason}"),
        Err(reason) => panic!("skips are failures here: {reason}"),
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn open(interface: &str) -> PacketPort {
    PacketPort::open(interface, Options { slots: 64, ..Options::default() }).unwrap()
}

fn addressing() -> Addressing {
    Addressing {
        src_mac: [2, 0, 0, 0, 0, 1],
        dst_mac: [2, 0, 0, 0, 0, 2],
        src_ip: [10, 0, 0, 1],
        dst_ip: [10, 0, 0, 2],
        src_port: 1024,
        dst_port: 9,
        flows: 5,
    }
}

/// Sends `count` frames one way while the receiver keeps up, and checks that all arrive.
fn carry(a: &mut PacketPort, b: &mut PacketPort, sizes: Vec<u16>, count: u64) {
    let sizes = Sizes::Cycle(sizes);
    let spec = TxSpec {
        stream: 1,
        sizes,
        addressing: addressing(),
        rate: Rate::Max,
        burst: 16,
        count: Some(count),
        traffic: Default::default(),
    };
    let mut tx = Tx::new(&spec, a.info()).unwrap();
    let mut rx = Rx::new(&RxSpec { burst: 32 }).unwrap().verifying(1);
    let deadline = Instant::now() + LIMIT;
    tx.start(0);
    loop {
        let now = Monotonic.now_ns();
        let sent = tx.step(a, now).unwrap();
        while rx.step(b, now).unwrap() > 0 {}
        let streams = rx.report().streams;
        let received = streams.first().map_or(0, |stream| stream.received);
        if tx.done() && received == count {
            break;
        }
        assert!(Instant::now() < deadline, "{received} of {count} frames; drops {:?}", b.drops().unwrap());
        if sent == 0 {
            b.wait(Interest::Rx, Duration::from_millis(10)).unwrap();
        }
    }
    tx.finish(a).unwrap();
    let report = rx.report();
    assert_eq!((tx.report().sent, tx.report().unsent), (count, 0));
    assert_eq!((report.corrupt, report.streams.len()), (0, 1));
    let stream = &report.streams[0];
    assert_eq!((stream.missing, stream.reordered, stream.duplicate), (0, 0, 0));
    assert_eq!(b.drops().unwrap().truncated, 0);
}

#[test]
fn frames_of_all_sizes_cross_a_veth_pair_over_many_laps() {
    with_veth(1500, || {
        let (mut a, mut b) = (open("va"), open("vb"));
        assert_eq!((a.info().max_frame, a.info().tx_slots, a.info().driver), (1514, 64, "packet"));
        assert_ne!(a.info().mac, b.info().mac);
        carry(&mut a, &mut b, vec![64, 1518, 200], 64 * 20);
        carry(&mut b, &mut a, vec![64], 64 * 20);
        let drops = b.drops().unwrap();
        assert!(drops.arrived >= 64 * 20 && drops.dropped == 0, "{drops:?}");
    });
}

#[test]
fn jumbo_frames_fit_a_port_whose_mtu_does() {
    with_veth(9000, || {
        let (mut a, mut b) = (open("va"), open("vb"));
        assert_eq!(a.info().max_frame, 9014);
        carry(&mut a, &mut b, vec![9018, 64], 300);
    });
}

#[test]
fn round_trips_are_timed() {
    with_veth(1500, || {
        let (mut a, mut b) = (open("va"), open("vb"));
        let spec = PingSpec {
            stream: 1,
            size: 64,
            addressing: addressing(),
            rate: None,
            count: Some(200),
            timeout_ms: 5_000,
            settle_ms: 0,
        };
        let mut ping = Ping::new(&spec, a.info()).unwrap();
        let mut pong = Pong::new(&PongSpec { burst: 8 }, b.info()).unwrap();
        let deadline = Instant::now() + LIMIT;
        ping.start(Monotonic.now_ns());
        while !ping.done() {
            ping.step(&mut a, Monotonic.now_ns()).unwrap();
            pong.step(&mut b, Monotonic.now_ns()).unwrap();
            assert!(Instant::now() < deadline, "{:?}", ping.report());
        }
        let report = ping.report();
        assert_eq!((report.sent, report.received, report.lost), (200, 200, 0));
        let summary = ping.latency().summary();
        assert!(summary.min_ns > 100 && summary.p50_ns < 1_000_000_000, "{summary:?}");
    });
}

#[test]
fn a_receiver_that_does_not_read_drops_and_says_so_and_a_sender_does_not_hear_itself() {
    with_veth(1500, || {
        let (mut a, mut b) = (open("va"), open("vb"));
        let mut sent = 0;
        let deadline = Instant::now() + LIMIT;
        while sent < 200 {
            sent += a
                .tx_batch(200 - sent, |frame| {
                    frame.buf[..60].fill(0xff);
                    60
                })
                .unwrap();
            assert!(Instant::now() < deadline);
        }
        while b.drops().unwrap().arrived < 200 {
            assert!(Instant::now() < deadline, "{:?}", b.drops());
        }
        let drops = b.drops().unwrap();
        assert_eq!((drops.arrived, drops.dropped), (200, 200 - 64), "64 slots were free");
        assert_eq!(b.rx_batch(1000, |frame| assert_eq!(frame.data, [0xff; 60])).unwrap(), 64);
        assert_eq!(a.rx_batch(1000, |_| ()).unwrap(), 0);
        assert_eq!(a.tx_pending().unwrap(), 0);
    });
}

#[test]
fn waiting_ends_with_a_frame_with_time_and_with_an_error() {
    with_veth(1500, || {
        let (mut a, mut b) = (open("va"), open("vb"));
        let start = Instant::now();
        b.wait(Interest::Rx, Duration::from_millis(30)).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(30));
        a.tx_batch(1, |_| 60).unwrap();
        let start = Instant::now();
        b.wait(Interest::Rx, LIMIT).unwrap();
        assert!(start.elapsed() < LIMIT / 2);
        ip("link set vb down").unwrap();
        let error = b.wait(Interest::Both, LIMIT).unwrap_err();
        let source = error.source.downcast_ref::<io::Error>().unwrap();
        assert_eq!(source.raw_os_error(), Some(libc::ENETDOWN));
    });
}

#[test]
fn what_is_no_interface_is_refused_by_name() {
    with_veth(1500, || {
        let error = PacketPort::open("nonesuch", Options::default()).unwrap_err();
        assert_eq!(error.to_string(), "interface nonesuch: cannot find it");
        assert!(
            matches!(error, Error::Interface { source, .. } if source.raw_os_error() == Some(libc::ENODEV))
        );
        for slots in [0, 32, 100, 1 << 17] {
            let error = PacketPort::open("va", Options { slots, promiscuous: false }).unwrap_err();
            assert!(matches!(error, Error::Count { value, .. } if value == u64::from(slots)));
        }
        let loopback = PacketPort::open("lo", Options::default()).unwrap();
        assert_eq!(loopback.info().max_frame, u16::MAX);
        assert_eq!(loopback.info().tx_slots, 256, "32 MiB of 128 KiB slots");
    });
}
