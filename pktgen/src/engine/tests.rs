//! Engines on threads of their own, over ports in memory.

use super::*;
use crate::counters::{Counters, Shared};
use crate::latency::Latency;
use crate::port::Port;
use crate::ports::mem::{MemPort, pair};
use crate::spec::*;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(30);

const POLICY: IdlePolicy = IdlePolicy { spin: 100, nap_us: 50, longest_nap_us: 500, wait_after_us: 2_000 };

fn tx(stream: u16, rate: Rate, count: Option<u64>) -> Option<TxSpec> {
    Some(TxSpec {
        stream,
        sizes: Sizes::Fixed(64),
        addressing: Addressing::sample(1),
        rate,
        burst: 64,
        count,
        traffic: Default::default(),
    })
}

fn ping(count: Option<u64>) -> Option<PingSpec> {
    Some(PingSpec {
        stream: 99,
        size: 64,
        addressing: Addressing::sample(1),
        rate: None,
        count,
        timeout_ms: 5_000,
        settle_ms: 0,
    })
}

struct Running(EngineThread);

type Add = Box<dyn FnOnce(&mut Engine) + Send>;

fn start(idle: IdlePolicy, members: Vec<Add>) -> Running {
    let mut engine = Engine::new(idle);
    members.into_iter().for_each(|add| add(&mut engine));
    Running(EngineThread::spawn("engine", None, engine).unwrap())
}

fn member(port: MemPort, roles: PortRoles, counters: &Arc<Counters>) -> Add {
    let engine = PortEngine::new(port, &roles, counters.clone()).unwrap();
    Box::new(move |to| to.add(engine))
}

impl Running {
    fn advance(&mut self, phase: Phase) {
        self.0.enter(phase, LIMIT).unwrap();
    }

    fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !condition() {
            assert!(Instant::now() < deadline, "waited for {what} in vain");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn stop(mut self) -> Vec<PortReport> {
        self.advance(Phase::StopSend);
        let reports = self.0.finish(LIMIT).unwrap();
        let port = |report| match report {
            WorkReport::Port(report) => *report,
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
    let mut sides = [
        start(POLICY, vec![member(a, roles(1), &counters[0])]),
        start(POLICY, vec![member(b, roles(2), &counters[1])]),
    ];
    sides.iter_mut().for_each(|side| side.advance(Phase::Receive));
    assert_eq!(counters[0].snapshot().phase, Phase::Receive as u32);
    assert_eq!(counters[0].snapshot().tx_frames, 0, "nothing is sent before its phase");
    sides.iter_mut().for_each(|side| side.advance(Phase::Send));
    for (side, counters) in sides.iter().zip(&counters) {
        side.until("all frames", || side.0.done() && counters.snapshot().rx_frames == 20_000);
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
fn several_senders_of_one_port_take_turns_and_keep_their_numbers_apart() {
    let (a, b) = pair(128, 2048);
    let counters: [Arc<Counters>; 2] = Default::default();
    let mut roles = PortRoles { ping: ping(Some(50)), ..Default::default() };
    for stream in 1..=3 {
        roles.add_tx(tx(stream, Rate::Max, Some(10_000)).unwrap());
    }
    assert_eq!((roles.tx.as_ref().unwrap().stream, roles.more_tx.len()), (1, 2));
    let receiver = PortRoles {
        rx: Some(RxSpec { burst: 64 }),
        pong: Some(PongSpec { burst: 64 }),
        ..Default::default()
    };
    let mut side = start(POLICY, vec![member(a, roles, &counters[0]), member(b, receiver, &counters[1])]);
    side.advance(Phase::Receive);
    side.advance(Phase::Send);
    side.until("all frames", || side.0.done() && counters[1].snapshot().rx_frames == 30_050);
    let reports = side.stop();
    let (sent, received) = (reports[0].tx.as_ref().unwrap(), reports[1].rx.as_ref().unwrap());
    assert_eq!((sent.sent, sent.bytes, sent.unsent), (30_000, 30_000 * 64, 0));
    // In its buffers lay what another sender wrote, or a probe; no frame is another's.
    assert_eq!((received.received, received.foreign, received.corrupt), (30_000, 0, 0));
    let mut streams = received.streams.clone();
    streams.sort_by_key(|stream| stream.stream);
    let whole =
        |stream| StreamReport { stream, received: 10_000, last_seq: 9_999, ..StreamReport::default() };
    assert_eq!(streams, [1, 2, 3].map(whole));
}

#[test]
fn senders_of_one_port_share_its_load() {
    let (a, b) = pair(128, 2048);
    let counters: [Arc<Counters>; 2] = Default::default();
    let mut roles = PortRoles::default();
    for stream in 1..=2 {
        roles.add_tx(tx(stream, Rate::Pps(20_000.0), Some(2_000)).unwrap());
    }
    let receiver = PortRoles { rx: Some(RxSpec { burst: 64 }), ..Default::default() };
    let mut side = start(POLICY, vec![member(a, roles, &counters[0]), member(b, receiver, &counters[1])]);
    side.advance(Phase::Receive);
    side.advance(Phase::Send);
    side.until("all frames", || side.0.done() && counters[1].snapshot().rx_frames == 4_000);
    let reports = side.stop();
    let pacing = reports[0].tx.as_ref().unwrap().pacing.as_ref().unwrap();
    assert_eq!(pacing.asked_pps, 40_000.0);
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
    let mut run = start(POLICY, vec![member(a, generator, &counters[0]), member(b, receiver, &counters[1])]);
    run.advance(Phase::Send);
    run.until("the senders", || run.0.done());
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
    let mut sending = start(POLICY, vec![member(a, sender, &counters[0])]);
    let mut receiving = start(POLICY, vec![member(b, receiver, &counters[1])]);
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
    let spec = FwdSpec { burst: 32, rewrite: Rewrite::Swap, timed: false };
    let shared = [Shared::from(counters[2].clone()), Shared::from(counters[3].clone())];
    let fwd = FwdEngine::new(left, right, &[spec.clone(), spec], shared).unwrap();
    let mut forwarding = start(POLICY, vec![Box::new(move |to| to.add(fwd))]);
    let roles = |stream| PortRoles {
        tx: tx(stream, Rate::Max, Some(5_000)),
        rx: Some(RxSpec { burst: 64 }),
        ..Default::default()
    };
    let mut ends = start(POLICY, vec![member(a, roles(1), &counters[0]), member(b, roles(2), &counters[1])]);
    forwarding.advance(Phase::Receive);
    ends.advance(Phase::Send);
    ends.until("all frames", || counters[..2].iter().all(|counters| counters.snapshot().rx_frames == 5_000));
    for report in ends.stop() {
        assert_eq!(report.rx.unwrap().streams[0].received, 5_000);
    }
    let reports = forwarding.0.finish(LIMIT).unwrap();
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
    let mut run = start(
        POLICY,
        vec![member(a, PortRoles { tx: tx(1, Rate::Max, None), ..Default::default() }, &counters)],
    );
    let entered = run.0.enter(Phase::Send, LIMIT);
    run.until("the end", || run.0.ended());
    let Err(EngineError::Port(error)) = entered.and_then(|()| run.0.healthy()) else { panic!("it is well") };
    assert_eq!((error.port.as_str(), error.operation), ("mem:0", "send"));
    assert!(matches!(run.0.finish(LIMIT), Err(EngineError::Stopped)), "the error is told once");
}

/// A member that does as it is told in a test, and moves so many frames.
struct Acts<T, S> {
    step: T,
    send: S,
    report: fn() -> WorkReport,
}

impl<T: FnMut() -> u32 + Send, S: FnMut() -> u32 + Send> Work for Acts<T, S> {
    fn enter(&mut self, _: Phase, _: u64) -> Result<(), PortError> {
        Ok(())
    }
    fn step(&mut self, _: u64) -> Result<u32, PortError> {
        Ok((self.step)())
    }
    fn send(&mut self, _: u64) -> Result<u32, PortError> {
        Ok((self.send)())
    }
    fn next_ns(&self) -> Option<u64> {
        None
    }
    fn patience(&self) -> u32 {
        0
    }
    fn wait(&mut self, _: Duration) -> Result<(), PortError> {
        Ok(())
    }
    fn done(&self) -> bool {
        false
    }
    fn report(&mut self) -> WorkReport {
        (self.report)()
    }
}

#[test]
fn a_panic_of_an_engine_is_an_error_of_its_owner() {
    let mut run = start(
        POLICY,
        vec![Box::new(|to| {
            to.add(Acts {
                step: || panic!("boom {}", 1),
                send: || 0,
                report: || unreachable!("it does not live to tell"),
            });
        })],
    );
    let entered = run.0.enter(Phase::Receive, LIMIT);
    run.until("the end", || run.0.ended());
    let error = entered.and_then(|()| run.0.healthy()).unwrap_err();
    assert_eq!(error.to_string(), "the engine panicked: boom 1");
}

/// A thread that drives both ends of a switch, which passes on in one go all that lies in a ring as large as the other
/// end's, loses nothing: it takes that before it sends more.
#[test]
fn what_has_arrived_is_taken_before_more_is_sent() {
    let calls = Arc::<Mutex<Vec<&'static str>>>::default();
    let ends = [["left takes", "left sends"], ["right takes", "right sends"]];
    let members = ends.map(|name| -> Add {
        let [take, send] = name.map(|call| {
            let calls = calls.clone();
            move || {
                calls.lock().unwrap().push(call);
                1
            }
        });
        Box::new(move |to: &mut Engine| {
            to.add(Acts { step: take, send, report: || WorkReport::Fwd(Vec::new()) });
        })
    });
    let mut run = start(POLICY, members.into());
    run.advance(Phase::Send);
    run.until("some rounds", || calls.lock().unwrap().len() >= 8);
    run.0.finish(LIMIT).unwrap();
    let calls = calls.lock().unwrap();
    assert_eq!(calls[..4], ["left takes", "right takes", "left sends", "right sends"]);
    assert_eq!(calls[..4], calls[4..8]);
}

/// Of a ring that is full one look takes all, so that the next frames find room in it.
#[test]
fn a_receiver_takes_a_ring_at_a_time() {
    let (mut a, b) = pair(64, 2048);
    let roles = PortRoles { rx: Some(RxSpec { burst: 8 }), ..Default::default() };
    let mut engine = PortEngine::new(b, &roles, Arc::<Counters>::default()).unwrap();
    engine.enter(Phase::Receive, 0).unwrap();
    let filled = a.tx_batch(64, |_| 60).unwrap();
    assert!(filled >= 56, "{filled}");
    assert_eq!(engine.step(0).unwrap(), filled);
}

#[test]
fn naps_grow_while_they_bring_in_little_and_shrink_when_they_bring_in_much() {
    let roles = |pong| PortRoles { rx: Some(RxSpec { burst: 8 }), pong, ..Default::default() };
    let members = |slots, roles| -> Vec<Box<dyn Work>> {
        let (port, _) = pair(slots, 2048);
        vec![Box::new(PortEngine::new(port, &roles, Arc::<Counters>::default()).unwrap())]
    };
    for (slots, patience) in [(2, 1), (256, 128), (1024, 512), (4096, 512)] {
        assert_eq!(Nap::new(&POLICY, &members(slots, roles(None))).patience, patience);
    }
    let mut nap = Nap::new(&POLICY, &members(256, roles(None)));
    let mut after = |frames| {
        nap.brought_in = frames;
        nap.next().as_micros()
    };
    assert_eq!([(); 6].map(|()| after(1)), [100, 200, 400, 500, 500, 500]);
    assert_eq!(after(64), 500, "neither little nor much");
    assert_eq!([(); 5].map(|()| after(129)), [250, 125, 62, 50, 50]);

    let mut nap = Nap::new(&POLICY, &members(256, roles(Some(PongSpec { burst: 8 }))));
    assert!(!nap.grows(), "someone waits for the echo");
    assert_eq!([(); 3].map(|()| nap.next().as_micros()), [50, 50, 50]);

    for (timed, patience) in [(false, 64), (true, 0)] {
        let ((left, _), (right, _)) = (pair(128, 2048), pair(1024, 2048));
        let specs = [(); 2].map(|()| FwdSpec { burst: 8, rewrite: Rewrite::Keep, timed });
        let fwd = FwdEngine::new(left, right, &specs, Default::default()).unwrap();
        assert_eq!(fwd.patience(), patience, "someone waits for the frames: {timed}");
    }
}

#[test]
fn a_pause_while_frames_are_sent_is_reported() {
    let (a, _b) = pair(8, 2048);
    let roles = PortRoles { rx: Some(RxSpec { burst: 8 }), ..Default::default() };
    let mut engine = PortEngine::new(a, &roles, Arc::<Counters>::default()).unwrap();
    let mut at = |phase, times: &[u64]| {
        engine.enter(phase, times[0]).unwrap();
        times.iter().for_each(|&now| assert_eq!(engine.step(now).unwrap(), 0));
        let WorkReport::Port(report) = engine.report() else { unreachable!("it is a port") };
        report.longest_pause_ns
    };
    assert_eq!(at(Phase::Receive, &[1_000, 9_000]), 0, "nothing can be lost before frames are sent");
    assert_eq!(at(Phase::Send, &[20_000, 20_100, 22_100, 22_200]), 2_000);
    assert_eq!(at(Phase::StopSend, &[30_000, 90_000]), 2_000);
}

#[test]
fn an_idle_engine_sleeps_and_still_hears_its_controller() {
    for idle in [POLICY, IdlePolicy { spin: 0, nap_us: 0, longest_nap_us: 0, wait_after_us: 1_000 }] {
        let (a, b) = pair(8, 2048);
        let counters: [Arc<Counters>; 2] = Default::default();
        let roles = || PortRoles { rx: Some(RxSpec { burst: 8 }), ..Default::default() };
        // One that waits on its port, and one of two members that can only nap.
        let (c, d) = pair(8, 2048);
        let mut one = start(idle, vec![member(a, roles(), &counters[0])]);
        let mut two =
            start(idle, vec![member(c, roles(), &counters[1]), member(d, roles(), &Arc::default())]);
        for run in [&mut one, &mut two] {
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
