//! Engines on threads of their own, over ports in memory.

use super::*;
use crate::counters::{Counters, Shared};
use crate::latency::Latency;
use crate::ports::mem::{MemPort, pair};
use crate::spec::*;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(30);

const POLICY: IdlePolicy = IdlePolicy { spin: 100, nap_us: 50, wait_after_us: 2_000 };

fn addressing() -> Addressing {
    Addressing {
        src_mac: [2, 0, 0, 0, 0, 1],
        dst_mac: [2, 0, 0, 0, 0, 2],
        src_ip: [10, 0, 0, 1],
        dst_ip: [10, 0, 0, 2],
        src_port: 1024,
        dst_port: 9,
        flows: 1,
    }
}

fn tx(stream: u16, rate: Rate, count: Option<u64>) -> Option<TxSpec> {
    Some(TxSpec { stream, sizes: Sizes::Fixed(64), addressing: addressing(), rate, burst: 64, count })
}

fn ping(count: Option<u64>) -> Option<PingSpec> {
    Some(PingSpec { stream: 99, size: 64, addressing: addressing(), rate: None, count, timeout_ms: 5_000 })
}

struct Running {
    control: Arc<Control>,
    thread: JoinHandle<Result<Vec<WorkReport>, PortError>>,
}

type Add = Box<dyn FnOnce(&mut Engine) + Send>;

fn start(idle: IdlePolicy, members: Vec<Add>) -> Running {
    let control = Arc::<Control>::default();
    let theirs = control.clone();
    let thread = std::thread::spawn(move || {
        let mut engine = Engine::new(idle);
        members.into_iter().for_each(|add| add(&mut engine));
        engine.run(&theirs)
    });
    Running { control, thread }
}

fn member(port: MemPort, roles: PortRoles, counters: &Arc<Counters>) -> Add {
    let engine = PortEngine::new(port, &roles, counters.clone()).unwrap();
    Box::new(move |to| to.add(engine))
}

impl Running {
    fn advance(&self, phase: Phase) {
        assert!(self.control.advance(phase, LIMIT), "still in {:?}, not {phase:?}", self.control.reached());
    }

    fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !condition() {
            assert!(Instant::now() < deadline, "waited for {what} in vain");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn stop(self) -> Vec<PortReport> {
        self.advance(Phase::StopSend);
        self.advance(Phase::Stop);
        let reports = self.thread.join().unwrap().unwrap();
        let port = |report| match report {
            WorkReport::Port(report) => report,
            WorkReport::Fwd(_) => panic!("there is no forwarder here"),
        };
        reports.into_iter().map(port).collect()
    }
}

#[test]
fn two_threads_in_both_directions_lose_nothing() {
    let (a, b) = pair(128, 2048);
    let counters: [Arc<Counters>; 2] = Default::default();
    let roles = |stream| PortRoles {
        tx: tx(stream, Rate::Max, Some(20_000)),
        rx: Some(RxSpec { burst: 64 }),
        ..Default::default()
    };
    let sides = [
        start(POLICY, vec![member(a, roles(1), &counters[0])]),
        start(POLICY, vec![member(b, roles(2), &counters[1])]),
    ];
    sides.iter().for_each(|side| side.advance(Phase::Receive));
    assert_eq!(counters[0].snapshot().phase, Phase::Receive as u32);
    assert_eq!(counters[0].snapshot().tx_frames, 0, "nothing is sent before its phase");
    sides.iter().for_each(|side| side.advance(Phase::Send));
    for (side, counters) in sides.iter().zip(&counters) {
        side.until("all frames", || side.control.done() && counters.snapshot().rx_frames == 20_000);
    }
    for (side, (counters, other)) in sides.into_iter().zip(counters.iter().zip([2, 1])) {
        let report = &side.stop()[0];
        let (tx, rx) = (report.tx.as_ref().unwrap(), report.rx.as_ref().unwrap());
        assert_eq!((tx.sent, tx.unsent, rx.received, rx.foreign, rx.corrupt), (20_000, 0, 20_000, 0, 0));
        let stream = StreamReport { stream: other, received: 20_000, last_seq: 19_999, ..Default::default() };
        assert_eq!(rx.streams, [stream]);
        let seen = counters.snapshot();
        assert_eq!((seen.tx_frames, seen.rx_frames, seen.rx_missing), (20_000, 20_000, 0));
        assert_eq!((seen.tx_bytes, seen.rx_bytes), (20_000 * 64, 20_000 * 64));
        assert!(seen.heartbeat > 0);
    }
}

#[test]
fn one_thread_drives_both_ends_and_probes_pass_among_the_load() {
    let (a, b) = pair(128, 2048);
    let counters: [Arc<Counters>; 2] = Default::default();
    // Load and probes share the first port, receiver and reflector the second, so buffers change hands.
    let generator = PortRoles {
        tx: tx(1, Rate::Pps(50_000.0), Some(5_000)),
        ping: ping(Some(200)),
        ..Default::default()
    };
    let receiver = PortRoles {
        rx: Some(RxSpec { burst: 32 }),
        pong: Some(PongSpec { burst: 32 }),
        tx: tx(2, Rate::Max, Some(3_000)),
        ..Default::default()
    };
    let run = start(POLICY, vec![member(a, generator, &counters[0]), member(b, receiver, &counters[1])]);
    run.advance(Phase::Send);
    run.until("the senders", || run.control.done());
    let reports = run.stop();
    let (sent, pinged) = (reports[0].tx.as_ref().unwrap(), reports[0].ping.as_ref().unwrap());
    let (got, ponged) = (reports[1].rx.as_ref().unwrap(), reports[1].pong.as_ref().unwrap());
    assert_eq!((sent.sent, got.received, got.foreign, got.corrupt), (5_000, 5_000, 0, 0));
    assert_eq!(got.streams.len(), 1);
    assert_eq!((got.streams[0].missing, got.streams[0].reordered, got.streams[0].duplicate), (0, 0, 0));
    assert_eq!((pinged.sent, pinged.received, pinged.lost), (200, 200, 0));
    assert_eq!((ponged.echoed, ponged.dropped), (200, 0));
    assert_eq!(Latency::decode(&pinged.histogram).unwrap().count(), 200);
    let [first, second] = counters.each_ref().map(|counters| counters.snapshot());
    assert_eq!((first.tx_frames, second.rx_frames), (5_200, 5_200));
    assert_eq!((second.tx_frames, first.rx_frames), (3_200, 3_200));
    assert_eq!((first.rx_foreign, first.echoes), (3_000, 200), "nobody asked for the second port's load");
    let elapsed = sent.elapsed_ns as f64 / 1e9;
    assert!(elapsed > 0.0999, "5000 frames at 50 kpps took {elapsed} s");
}

#[test]
fn what_is_under_way_when_sending_stops_still_arrives() {
    let (a, b) = pair(256, 2048);
    let counters: [Arc<Counters>; 2] = Default::default();
    let sender = PortRoles { tx: tx(1, Rate::Max, None), ..Default::default() };
    let receiver = PortRoles { rx: Some(RxSpec { burst: 32 }), ..Default::default() };
    let sending = start(POLICY, vec![member(a, sender, &counters[0])]);
    let receiving = start(POLICY, vec![member(b, receiver, &counters[1])]);
    receiving.advance(Phase::Receive);
    sending.advance(Phase::Send);
    receiving.until("some frames", || counters[1].snapshot().rx_frames > 10_000);
    sending.advance(Phase::StopSend);
    let sent = counters[0].snapshot().tx_frames;
    receiving.until("the rest", || counters[1].snapshot().rx_frames == sent);
    assert_eq!(sending.stop()[0].tx.as_ref().unwrap().sent, sent, "nothing is sent after its phase");
    assert_eq!(receiving.stop()[0].rx.as_ref().unwrap().received, sent);
}

#[test]
fn a_forwarder_joins_two_pairs() {
    let ((a, left), (right, b)) = (pair(128, 2048), pair(128, 2048));
    let counters: [Arc<Counters>; 4] = Default::default();
    let spec = FwdSpec { burst: 32, rewrite: Rewrite::Swap };
    let shared = [Shared::from(counters[2].clone()), Shared::from(counters[3].clone())];
    let fwd = FwdEngine::new(left, right, &[spec.clone(), spec], shared).unwrap();
    let forwarding = start(POLICY, vec![Box::new(move |to| to.add(fwd))]);
    let roles = |stream| PortRoles {
        tx: tx(stream, Rate::Max, Some(5_000)),
        rx: Some(RxSpec { burst: 64 }),
        ..Default::default()
    };
    let ends = start(POLICY, vec![member(a, roles(1), &counters[0]), member(b, roles(2), &counters[1])]);
    forwarding.advance(Phase::Receive);
    ends.advance(Phase::Send);
    ends.until("all frames", || counters[..2].iter().all(|counters| counters.snapshot().rx_frames == 5_000));
    for report in ends.stop() {
        assert_eq!(report.rx.unwrap().streams[0].received, 5_000);
    }
    forwarding.advance(Phase::Stop);
    let reports = forwarding.thread.join().unwrap().unwrap();
    let each = FwdReport { received: 5_000, forwarded: 5_000, dropped: 0 };
    assert_eq!(reports, [WorkReport::Fwd(vec![each.clone(), each])]);
    for counters in &counters[2..] {
        let seen = counters.snapshot();
        assert_eq!((seen.rx_frames, seen.tx_frames, seen.tx_bytes), (5_000, 5_000, 5_000 * 64));
    }
}

#[test]
fn a_failing_port_ends_the_engine_and_the_controller_sees_it() {
    let (a, _b) = pair(8, 2048);
    let counters = Arc::<Counters>::default();
    a.sever();
    let run = start(
        POLICY,
        vec![member(a, PortRoles { tx: tx(1, Rate::Max, None), ..Default::default() }, &counters)],
    );
    assert!(!run.control.advance(Phase::Send, LIMIT) || run.control.reached() == Phase::Send);
    run.until("the end", || run.control.reached() == Phase::Stop);
    let error = run.thread.join().unwrap().unwrap_err();
    assert_eq!((error.port.as_str(), error.operation), ("mem:0", "send"));
}

#[test]
fn an_idle_engine_sleeps_and_still_hears_its_controller() {
    for idle in [POLICY, IdlePolicy { spin: 0, nap_us: 0, wait_after_us: 1_000 }] {
        let (a, b) = pair(8, 2048);
        let counters: [Arc<Counters>; 2] = Default::default();
        let roles = || PortRoles { rx: Some(RxSpec { burst: 8 }), ..Default::default() };
        // One that waits on its port, and one of two members that can only nap.
        let (c, d) = pair(8, 2048);
        let one = start(idle, vec![member(a, roles(), &counters[0])]);
        let two = start(idle, vec![member(c, roles(), &counters[1]), member(d, roles(), &Arc::default())]);
        for run in [&one, &two] {
            run.advance(Phase::Receive);
        }
        std::thread::sleep(Duration::from_millis(20));
        let before = counters.each_ref().map(|counters| counters.snapshot().heartbeat);
        std::thread::sleep(Duration::from_millis(300));
        let rounds = |i: usize| counters[i].snapshot().heartbeat - before[i];
        // Bounds from below prove that neither sleeps for good, from above that both sleep.
        assert!((3..=60).contains(&rounds(0)), "{} waits of 10 ms in 300 ms", rounds(0));
        assert!((20..=600).contains(&rounds(1)), "{} naps of 1 ms in 300 ms", rounds(1));
        drop(b);
        assert_eq!(one.stop().len(), 1);
        assert_eq!(two.stop().len(), 2);
    }
}
