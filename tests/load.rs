//! Loads beyond one size and one flow, round trips inside them, and what they cost: real trials, host port to host
//! port and between guests.

mod fixture;

use fixture::{Bench, GUESTS_DEADLINE, Kept};
use std::collections::BTreeSet;
use vale_bench::result::{Arrivals, FlowOrder, Latency, Pacing, ThreadKind, Trial};

fn pacing(trial: &Trial) -> &Pacing {
    let tx = trial.ports[0].roles.tx.as_ref().expect("the first port sends");
    tx.pacing.as_ref().expect("it follows a schedule")
}

/// The sender left as many frames as it was asked for, or says that it was late: on a busy machine it may be. It never
/// runs ahead of what it has to catch up with.
fn keeps_up_or_is_late(pacing: &Pacing, asked_pps: f64) {
    assert!((pacing.asked_pps / asked_pps - 1.0).abs() < 1e-6, "{} asked for", pacing.asked_pps);
    let share = pacing.achieved_pps / pacing.asked_pps;
    let late_ns = pacing.lateness.as_ref().expect("frames left").max_ns;
    assert!(share < 1.05, "{share} of the rate");
    // What is missing from a second of frames did not leave at its time.
    assert!(share > 0.9 || late_ns > 10_000_000, "{share} of the rate, and at most {late_ns} ns late");
}

/// The figures of a distribution are in order.
fn in_order(latency: &Latency) {
    let figures =
        [1, latency.min_ns, latency.p50_ns, latency.p90_ns, latency.p99_ns, latency.p99_9_ns, latency.max_ns];
    assert!(figures.is_sorted(), "{latency:?}");
    assert!(latency.count > 0 && !latency.histogram.is_empty());
}

#[test]
fn every_arrival_process_keeps_its_mean_and_is_told() {
    let bench = Bench::alone();
    for (how, arrivals) in [
        ("constant", Arrivals::Constant),
        ("poisson", Arrivals::Poisson),
        ("burst:50", Arrivals::Bursts { frames: 50 }),
    ] {
        let line = format!(
            "p2p --rate 50k --arrivals {how} --slots 4096 --duration 1 --warmup 200ms --interval 100ms --seed 7"
        );
        let kept = bench.measure(&line);
        let trial = kept.adds_up().trial();
        let load = trial.load.as_ref().unwrap();
        assert_eq!((load.arrivals, load.seed), (arrivals, 7));
        let pacing = pacing(trial);
        // Poisson: 60000 frames vary by 245.
        keeps_up_or_is_late(pacing, 5e4);
        let lateness = pacing.lateness.as_ref().unwrap();
        let sent = trial.ports[0].roles.tx.as_ref().unwrap().sent_frames;
        assert_eq!((lateness.count, pacing.recorded_every), (sent, 1));
        assert!(lateness.min_ns <= lateness.p50_ns && lateness.p50_ns <= lateness.max_ns);
        assert!((0.0..=1.0).contains(&pacing.within_2us_ratio));
    }
    bench.run("show r.json").succeeds().prints("bursts of 50").prints("Pacing, uvale 64: 50 kpps asked for");
    bench.leaves_nothing_behind();
}

#[test]
fn mixes_and_random_sizes_are_sent() {
    let bench = Bench::new();
    let kept = bench.measure("p2p --size 64:7,570:4,1518:1,100-200");
    kept.adds_up();
    let trials: [&Trial; 2] = ["64:7,570:4,1518:1", "100-200"].map(|label| {
        let of_size = kept.trials().iter().find(|trial| trial.frame_size.label == label);
        of_size.unwrap_or_else(|| panic!("a trial of {label}"))
    });
    let [mix, random] = trials;
    assert_eq!(mix.frame_size.sizes_bytes.len(), 12);
    assert!(!mix.frame_size.at_random && random.frame_size.at_random);
    let mean = |trial: &Trial| {
        let direction = &trial.throughput.directions[0];
        direction.received_bytes as f64 / direction.received_frames as f64
    };
    // Whole rounds but for the ends, and drops that come in batches.
    assert!((mean(mix) - 353.8).abs() < 40.0, "{}", mean(mix));
    assert!((mean(random) - 150.0).abs() < 5.0, "{}", mean(random));
}

#[test]
fn flows_by_popularity_and_ranges_are_sent() {
    let bench = Bench::new();
    let kept = bench.measure("p2p --flows 1000 --flow-order zipf:1.1");
    let load = kept.adds_up().trial().load.clone().unwrap();
    assert_eq!((load.flow_order, kept.trial().flows), (FlowOrder::Zipf { exponent: 1.1 }, 1000));
    let kept = bench.measure(
        "p2p --bidir --src 10.0.0.1:1000-10.0.0.4:1009 --dst 10.1.0.1-10.1.0.2 --src-macs 8 --flow-order random",
    );
    let trial = kept.adds_up().trial();
    assert_eq!(trial.flows, 4 * 10 * 2 * 8);
    assert_eq!(trial.load.as_ref().unwrap().src.as_deref(), Some("10.0.0.1:1000-10.0.0.4:1009"));
    bench.leaves_nothing_behind();
}

/// A file with frames 1 ms apart, kept by a receiver.
fn capture(bench: &Bench) {
    let mut bytes = [0xa1b2_3c4du32, 2 | 4 << 16, 0, 0, 65_535, 1].map(u32::to_le_bytes).concat();
    for i in 0..40u32 {
        let len = 60 + i * 10;
        bytes.extend([1_700_000_000, i * 1_000_000, len, len].map(u32::to_le_bytes).concat());
        bytes.extend(vec![i as u8; len as usize]);
    }
    std::fs::write(bench.path("frames.pcap"), bytes).unwrap();
}

#[test]
fn a_packet_file_is_sent_at_its_own_times_and_at_a_rate() {
    let bench = Bench::new();
    capture(&bench);
    // 40 frames in 40 ms, 5 times as fast: 5000 a second.
    let kept = bench.measure("p2p --pcap frames.pcap --pcap-speed 5 --duration 1 --warmup 200ms");
    let trial = kept.trial();
    let account = &trial.accounting;
    assert_eq!((account.sent, account.unaccounted), (account.received + account.dropped(), 0));
    assert!(account.received > 0);
    let file = trial.load.as_ref().unwrap().pcap.as_ref().unwrap();
    assert_eq!((file.file.as_str(), file.frames, file.speed), ("frames.pcap", 40, Some(5.0)));
    keeps_up_or_is_late(pacing(trial), 5e3);
    assert_eq!(trial.frame_size.sizes_bytes.len(), 40);

    let kept = bench.measure("p2p --pcap frames.pcap --latency-at 50");
    assert_eq!(kept.trial().accounting.unaccounted, 0);
    assert_eq!(kept.trial().latency_under_load.len(), 1);

    // On a single port the frames go as they are.
    let _switch = {
        let mut switch = bench.start("switch --name vale0 --slots 4096");
        switch.says("is ready", fixture::READY_DEADLINE);
        switch
    };
    let line = "tx -i vale0:1 -P frames.pcap --pcap-speed 10 -n 400 --format json";
    let report = fixture::end_report(bench.run(line).succeeds());
    assert_eq!(fixture::count(&report, "/roles/tx/sent_frames"), 400);
    // 400 frames take 40 ms at that speed; how much longer is the machine's affair.
    assert!(fixture::count(&report, "/roles/tx/elapsed_ns") >= 39_000_000, "{report:#}");
    let asked = report.pointer("/roles/tx/pacing/asked_pps").and_then(|pps| pps.as_f64()).unwrap();
    assert!((asked - 1e4).abs() < 1.0, "{report:#}");
}

/// What a trial that was asked for round trips at 10, 50 and 99 % must hold.
fn has_latency_under_load(kept: &Kept) {
    for trial in kept.adds_up().trials() {
        in_order(trial.latency.as_ref().expect("unloaded is measured too"));
        let floor = trial.latency_floor.as_ref().expect("so is the floor");
        in_order(floor);
        let percents: Vec<f64> = trial.latency_under_load.iter().map(|loaded| loaded.percent).collect();
        assert_eq!(percents, [10.0, 50.0, 99.0]);
        for loaded in &trial.latency_under_load {
            let (due, departure) = (loaded.from_due.as_ref(), loaded.from_departure.as_ref());
            let (due, departure) = (due.expect("some came back"), departure.expect("some came back"));
            in_order(due);
            in_order(departure);
            assert_eq!((due.count, due.lost), (departure.count, departure.lost));
            assert_eq!(due.count + due.lost, loaded.sent_probes);
            // Whoever waits before it leaves has been on its way for longer since it was due.
            assert!(
                due.min_ns + 1_000 >= departure.min_ns && due.max_ns + due.max_ns / 500 >= departure.max_ns
            );
            assert!(due.mean_ns * 1.002 >= departure.mean_ns, "{loaded:?}");
            assert!((0.0..=1.0).contains(&loaded.loss_ratio) && loaded.received_mpps > 0.0);
            assert_eq!(loaded.offered_pps.len(), trial.throughput.directions.len());
            for (offered, direction) in loaded.offered_pps.iter().zip(&trial.throughput.directions) {
                let share = offered / (direction.rates.rate_mpps * 1e6) * 100.0;
                assert!((share - loaded.percent).abs() < 1e-6, "{share} is not {} %", loaded.percent);
                assert!(loaded.probe_pps < offered * 0.5 + 1e-9);
            }
        }
    }
}

#[test]
fn round_trips_inside_a_load_are_measured_and_shown() {
    let bench = Bench::alone();
    let line = "p2p --latency-at 10,50,99 --size 64,1518 --duration 500ms --warmup 100ms --interval 100ms";
    let kept = bench.measure(line);
    has_latency_under_load(&kept);
    for trial in kept.trials() {
        let floor = trial.latency_floor.as_ref().unwrap();
        let latency = trial.latency.as_ref().unwrap();
        assert!(floor.min_ns <= latency.min_ns, "nothing is below the floor: {floor:?} {latency:?}");
    }
    let shown = bench.run("show r.json");
    shown.succeeds().prints("floor").prints("idle").prints("99 %").prints("Round trips by load");
    assert!(shown.stdout.lines().all(|line| line.chars().count() <= 80), "{}", shown.stdout);
    bench.run("show r.json --format markdown").succeeds().prints("| uvale | 64 | 99 % |");
    bench.leaves_nothing_behind();
}

#[test]
fn both_ways_at_once_the_way_forth_is_probed() {
    let bench = Bench::alone();
    let kept = bench.measure("p2p --bidir --rate 20k --latency-at 10,50,99 --slots 4096");
    has_latency_under_load(&kept);
}

#[test]
fn what_a_trial_costs_is_told_by_thread() {
    let bench = Bench::new();
    let kept = bench.measure("p2p --repeat 2");
    for trial in kept.adds_up().trials() {
        let cost = trial.cost.as_ref().unwrap();
        let threads: Vec<_> = cost.threads.iter().map(|t| (t.thread.as_str(), t.kind)).collect();
        assert_eq!(threads, [("switch vale0", ThreadKind::Switch), ("host", ThreadKind::Engine)]);
        assert!(cost.threads.iter().all(|thread| thread.cpu_ns > 0), "{cost:?}");
        let received: u64 = trial.throughput.directions.iter().map(|d| d.received_frames).sum();
        assert_eq!((cost.frames, cost.guests.len()), (received, 0));
        // Two threads use two processors at most.
        let used: u64 = cost.threads.iter().map(|thread| thread.cpu_ns).sum();
        assert!(used <= 2 * cost.elapsed_ns + 100_000_000, "{cost:?}");
        assert!(cost.switch_cpu_ns_per_frame.unwrap() < cost.cpu_ns_per_frame);
    }
    bench.run("show r.json").succeeds().prints("Dataplane  Frame  ns/frame  Switch");
    let csv = bench.run("show r.json --format csv").succeeds().stdout.clone();
    assert!(csv.lines().next().unwrap().contains("switch_cpu_ns_per_frame"), "{csv}");
}

#[test]
fn guests_send_every_kind_of_load_and_are_probed_inside_it() {
    let Some(bench) = Bench::with_guests() else { return };
    let line =
        "v2v --accel tcg --latency-at 10,50,99 --flows 100 --flow-order zipf --duration 1 --warmup 300ms";
    let kept = bench.measure_within(line, GUESTS_DEADLINE);
    has_latency_under_load(&kept);
    let cost = kept.trial().cost.as_ref().unwrap();
    let kinds: BTreeSet<ThreadKind> = cost.threads.iter().map(|thread| thread.kind).collect();
    assert_eq!(kinds, BTreeSet::from([ThreadKind::Switch, ThreadKind::Vcpu, ThreadKind::Vmm]));
    let busy = |name: &str| cost.threads.iter().any(|thread| thread.thread == name && thread.cpu_ns > 0);
    assert!(busy("vm1 vcpu0") && busy("vm2 vcpu0"), "{cost:?}");
    let exits: Vec<_> = cost.guests.iter().map(|guest| (guest.vm.as_str(), guest.exits)).collect();
    assert_eq!(exits, [("vm1", None), ("vm2", None)], "a translated guest has no exits");

    capture(&bench);
    let line = "v2v --accel tcg --pcap frames.pcap --pcap-speed 2 --duration 1 --warmup 300ms";
    let kept = bench.measure_within(line, GUESTS_DEADLINE);
    let account = &kept.trial().accounting;
    assert_eq!((account.sent, account.unaccounted), (account.received + account.dropped(), 0));
    keeps_up_or_is_late(pacing(kept.trial()), 2e3);
    let line = "v2v --accel tcg --rate 10k --arrivals poisson --duration 1 --warmup 300ms";
    let kept = bench.measure_within(line, GUESTS_DEADLINE);
    keeps_up_or_is_late(pacing(kept.adds_up().trial()), 1e4);
    bench.leaves_nothing_behind();
}

#[test]
fn loads_that_cannot_be_get_sentences() {
    let bench = Bench::idle();
    capture(&bench);
    for (line, words) in [
        ("p2p --arrivals poisson", "give one with --rate"),
        ("p2p --arrivals sometimes --rate 1k", "constant, poisson, burst:N"),
        ("p2p --flow-order zipf:0", "exponent of Zipf's law"),
        ("p2p --pcap-speed 2", "name one"),
        ("p2p --pcap none.pcap", "No such file"),
        ("p2p --pcap frames.pcap --pcap-speed 1 --rate 1k", "leave one of them out"),
        ("p2p --pcap frames.pcap --size 64", "cannot be used with"),
        ("p2p --latency-at 10,10", "twice"),
        ("p2p --latency-at 0", "percentage"),
        ("p2p --size 64:1,64:2", "twice"),
        ("tx -i vale0:1 --arrivals burst:8", "give one with --rate"),
        ("tx -i vale0:1 -P frames.pcap --flow-order random", "cannot be used with"),
        ("tx -i vale0:1 -P frames.pcap --pcap-speed 0", "factor"),
    ] {
        bench.run(line).exits(2).says(words).prints_nothing();
    }
    std::fs::write(bench.path("short.pcap"), {
        let mut bytes = [0xa1b2_3c4du32, 2 | 4 << 16, 0, 0, 65_535, 1].map(u32::to_le_bytes).concat();
        bytes.extend([0, 0, 9, 9].map(u32::to_le_bytes).concat());
        bytes.extend([0; 9]);
        bytes
    })
    .unwrap();
    bench.run("p2p --pcap short.pcap").exits(2).says("packet 1 is too short");
    bench.run("tx -i vale0:1 -P short.pcap --pcap-speed 1").exits(2).says("one and the same time");
}
