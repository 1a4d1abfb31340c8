//! For tests of interfaces: a veth pair in a network namespace of the test's own, which ends with the test's thread, and
//! what ports on it must be able to do. It takes root, or the like of it; without, tests say so, and
//! `VALE_BENCH_NO_SKIP` makes that a failure.
#![allow(unsafe_code)]

use super::interface::Options;
use crate::Error;
use crate::clock::{Clock, Monotonic};
use crate::port::{Interest, Port, TxFrame};
use crate::roles::{ping::Ping, pong::Pong, rx::Rx, tx::Tx};
use crate::spec::*;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long anything may take.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

pub(super) fn ip(arguments: &str) -> Result<(), String> {
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
pub(super) fn with_veth(mtu: u32, test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || match veth(mtu) {
        Ok(()) => test(),
        Err(reason) if std::env::var_os("VALE_BENCH_NO_SKIP").is_none() => eprintln!("SKIPPED: {reason}"),
        Err(reason) => panic!("skips are failures here: {reason}"),
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Sends `count` frames one way while the receiver keeps up, and checks that all arrive.
pub(super) fn carry(a: &mut impl Port, b: &mut impl Port, sizes: Vec<u16>, count: u64) {
    let spec = TxSpec {
        stream: 1,
        sizes: Sizes::Cycle(sizes),
        addressing: Addressing::sample(5),
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
        assert!(Instant::now() < deadline, "{received} of {count} frames");
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
}

/// Two hundred round trips from `a` by `b` are timed.
pub(super) fn round_trips(a: &mut impl Port, b: &mut impl Port) {
    let spec = PingSpec {
        stream: 1,
        size: 64,
        addressing: Addressing::sample(5),
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
        ping.step(a, Monotonic.now_ns()).unwrap();
        pong.step(b, Monotonic.now_ns()).unwrap();
        assert!(Instant::now() < deadline, "{:?}", ping.report());
    }
    let report = ping.report();
    assert_eq!((report.sent, report.received, report.lost), (200, 200, 0));
    let summary = ping.latency().summary();
    assert!(summary.min_ns > 100 && summary.p50_ns < 1_000_000_000, "{summary:?}");
}

/// Sends `count` frames of 60 times 0xff, however long nobody receives them.
pub(super) fn flood(a: &mut impl Port, count: u32) {
    let (mut sent, end) = (0, Instant::now() + LIMIT);
    while sent < count {
        let fill = |frame: TxFrame<'_>| {
            frame.buf[..60].fill(0xff);
            60
        };
        sent += a.tx_batch(count - sent, fill).unwrap();
        assert!(Instant::now() < end, "{sent} of {count}");
    }
}

/// A receiver waits for as long as it is told, and no longer than until a frame arrives.
pub(super) fn waits(a: &mut impl Port, b: &mut impl Port) {
    let start = Instant::now();
    b.wait(Interest::Rx, Duration::from_millis(30)).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(30));
    a.tx_batch(1, |_| 60).unwrap();
    let start = Instant::now();
    b.wait(Interest::Rx, LIMIT).unwrap();
    assert!(start.elapsed() < LIMIT / 2);
}

/// What is no interface is refused by name, and so are `wrong` numbers of slots.
pub(super) fn refuses<P>(open: impl Fn(&str, Options) -> Result<P, Error>, wrong: &[u32]) {
    let Err(error) = open("nonesuch", Options::default()) else { panic!("there is no such interface") };
    assert_eq!(error.to_string(), "interface nonesuch: cannot find it");
    assert!(matches!(error, Error::Interface { source, .. } if source.raw_os_error() == Some(libc::ENODEV)));
    for &slots in wrong {
        let Err(error) = open("va", Options { slots, promiscuous: false }) else { panic!("{slots} slots") };
        assert!(matches!(error, Error::Count { value, .. } if value == u64::from(slots)));
    }
}
