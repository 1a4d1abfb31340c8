//! Host port to host port: what a result must hold whatever the rate, and how it is shown.

mod fixture;

use std::collections::BTreeSet;
use std::process::Command;

use fixture::{Bench, END_DEADLINE, Kept, READY_DEADLINE, RUN_DEADLINE, keeps_to, skip};
use rustix::net::{AddressFamily, SocketType};
use rustix::process::geteuid;
use vale_bench::links;
use vale_bench::result::{Accelerator, Offered, Trial};

fn sizes(kept: &Kept) -> Vec<&str> {
    kept.trials().iter().map(|trial| trial.frame_size.label.as_str()).collect()
}

#[test]
fn sizes_and_repeats_are_interleaved_and_add_up() {
    let bench = Bench::new();
    let kept = bench.measure("p2p --size 64,512,1518 --repeat 2");
    // Each round has every size once, in an order drawn by lot.
    for round in sizes(&kept).chunks(3) {
        assert_eq!(BTreeSet::from_iter(round), BTreeSet::from([&"64", &"512", &"1518"]));
    }
    assert_eq!(kept.trials().iter().map(|t| t.repeat).collect::<Vec<_>>(), [1, 1, 1, 2, 2, 2]);
    assert_eq!(kept.trials().iter().map(|t| t.order).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert!(kept.trials().iter().all(|t| t.latency.is_none() && t.offered == Offered::Max && t.vms == 0));
    kept.adds_up();
    bench.leaves_nothing_behind();
}

#[test]
fn two_pairs_both_ways() {
    let bench = Bench::new();
    let kept = bench.measure("p2p --pairs 2 --bidir");
    let trial = kept.adds_up().trial();
    assert_eq!((trial.ports.len(), trial.throughput.directions.len()), (4, 4));
    let ends: BTreeSet<_> = trial.throughput.directions.iter().map(|d| (&d.from, &d.to)).collect();
    let name = |index: usize| &trial.ports[index].name;
    let expected = [(0, 1), (1, 0), (2, 3), (3, 2)].map(|(from, to)| (name(from), name(to)));
    assert_eq!(ends, BTreeSet::from(expected));
    bench.leaves_nothing_behind();
}

#[test]
fn rings_are_crossed_many_times() {
    let bench = Bench::new();
    let kept = bench.measure("p2p --slots 16 --size 64,2052");
    for trial in kept.adds_up().trials() {
        assert!(trial.accounting.received > 16 * 100, "{:?}", trial.accounting);
        assert_eq!(trial.dataplane.parameters["slots"], "16");
    }
}

#[test]
fn a_mix_is_sent_in_its_order() {
    let bench = Bench::new();
    let kept = bench.measure("p2p --size imix --flows 16");
    let trial = kept.adds_up().trial();
    let mix = &trial.frame_size.sizes_bytes;
    assert_eq!(mix.iter().copied().collect::<BTreeSet<u16>>(), BTreeSet::from([64, 570, 1518]));
    let tx = trial.ports[0].roles.tx.as_ref().unwrap();
    let bytes = |frames: u64| -> u64 {
        let whole: u64 = mix.iter().map(|&size| u64::from(size)).sum();
        let (rounds, rest) = (frames / mix.len() as u64, (frames % mix.len() as u64) as usize);
        rounds * whole + mix[..rest].iter().map(|&size| u64::from(size)).sum::<u64>()
    };
    assert_eq!(tx.sent_bytes, bytes(tx.sent_frames));
    assert_eq!(trial.flows, 16);
}

#[test]
fn round_trips_are_in_order() {
    let bench = Bench::new();
    let kept = bench.measure("p2p --latency --size 64,1518");
    for trial in kept.adds_up().trials() {
        let latency = trial.latency.as_ref().expect("it was asked for");
        assert!(latency.count > 10, "{latency:?}");
        let figures = [
            1,
            latency.min_ns,
            latency.p50_ns,
            latency.p90_ns,
            latency.p99_ns,
            latency.p99_9_ns,
            latency.max_ns,
        ];
        assert!(figures.is_sorted(), "{latency:?}");
        assert!(latency.mean_ns >= latency.min_ns as f64 && latency.mean_ns <= latency.max_ns as f64);
        assert!(!latency.histogram.is_empty());
    }
    bench.leaves_nothing_behind();
}

#[test]
fn below_saturation_nothing_is_lost() {
    let bench = Bench::alone();
    // 64 bytes and the line's 20 make 672 bits.
    for (rate, offered) in [
        ("100k", Offered::Pps { rate_pps: 1e5 }),
        ("67.2Mbps", Offered::L1 { rate_l1_bps: 67.2e6 }),
        ("51.2Mbps/L2", Offered::L2 { rate_l2_bps: 51.2e6 }),
    ] {
        // Rings that hold 40 ms of it: so long may a thread wait for its processor.
        let line = format!("p2p --rate {rate} --slots 4096 --duration 1 --warmup 200ms");
        let kept = bench.measure_lossless(&line, RUN_DEADLINE);
        assert_eq!(kept.trial().offered, offered);
        keeps_to(kept.trial(), 1e5);
    }
    bench.leaves_nothing_behind();
}

#[test]
fn the_manifest_tells_the_circumstances() {
    let bench = Bench::new();
    let kept = bench.measure("p2p --interval 100ms --duration 200ms --warmup 0");
    let manifest = &kept.document.manifest;
    assert_eq!(manifest.tool.version, env!("CARGO_PKG_VERSION"));
    assert!(manifest.command_line.iter().any(|word| word == "200ms"), "{:?}", manifest.command_line);
    assert_eq!(manifest.accelerator, Accelerator::None);
    assert!(manifest.qemu.is_none() && manifest.guest_kernel.is_none() && manifest.vms.is_empty());
    assert!(manifest.host.cpu.online_cpus >= 1 && manifest.host.memory.total_bytes > 1 << 20);
    assert!(!manifest.host.kernel_release.is_empty());
    assert_eq!(kept.trial().windows.len(), 2);
    assert_eq!(kept.trial().warmup_s, 0.0);
}

#[test]
fn threads_go_where_they_are_pinned() {
    let usable = std::thread::available_parallelism().unwrap().get();
    if usable < 2 {
        return skip("this process may use one processor only");
    }
    let bench = Bench::new();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    if !list.starts_with("0-") && !list.starts_with("0,1") {
        return skip(&format!("this process may use processors {list}, not 0 and 1"));
    }
    let kept = bench.measure("p2p --pin 1,0");
    let pins: Vec<_> =
        kept.document.manifest.pinning.iter().map(|p| (p.thread.as_str(), p.cpus.clone())).collect();
    assert_eq!(pins, [("switch vale0", vec![1]), ("host", vec![0])]);
    kept.adds_up();
}

#[test]
fn every_idle_policy_adds_up_and_is_told() {
    let bench = Bench::new();
    for policy in ["poll", "nap"] {
        // Frames far apart, so that threads go idle between them.
        let kept = bench.measure(&format!("p2p --idle {policy} --rate 2k --latency"));
        let trial = kept.adds_up().trial();
        assert_eq!(trial.dataplane.parameters["idle"], policy);
        keeps_to(trial, 2e3);
        assert!(trial.latency.as_ref().is_some_and(|latency| latency.count > 10), "{:?}", trial.latency);
    }
    bench.leaves_nothing_behind();
}

#[test]
fn the_schema_refuses_what_is_no_result() {
    let bench = Bench::new();
    let kept = bench.measure("p2p");
    let mut broken = kept.json.clone();
    broken["trials"][0].as_object_mut().unwrap().remove("accounting");
    assert_eq!(Kept::violations(&broken).len(), 1);
    let mut broken = kept.json.clone();
    broken["trials"][0]["accounting"]["sent"] = (-1).into();
    assert_eq!(Kept::violations(&broken).len(), 1);
}

#[test]
fn every_format_shows_the_kept_result() {
    let bench = Bench::new();
    let shown =
        bench.run("p2p --size 64,imix --repeat 2 --duration 200ms --warmup 0 --interval 50ms -o r.json");
    let kept = bench.kept("r.json");
    let show = |format: &str| {
        let shown = bench.run(&format!("show r.json --format {format}"));
        shown.succeeds();
        assert_eq!(shown.stderr, "");
        shown.stdout
    };
    let without_source =
        |text: &str| -> String { text.lines().filter(|l| !l.starts_with("Raw data: ")).collect() };
    assert_eq!(without_source(&show("table")), without_source(&shown.succeeds().stdout));
    assert_eq!(show("json"), kept.text);

    let csv = show("csv");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header = reader.headers().unwrap().clone();
    let at =
        |name: &str| header.iter().position(|column| column == name).unwrap_or_else(|| panic!("no {name}"));
    let rows: Vec<_> = reader.records().map(|row| row.unwrap()).collect();
    assert_eq!(rows.len(), 4);
    for (row, trial) in rows.iter().zip(kept.trials()) {
        assert_eq!(row[at("frame_size")], trial.frame_size.label);
        assert_eq!(row[at("repeat")], trial.repeat.to_string());
        assert_eq!(row[at("sent_frames")].parse(), Ok(trial.accounting.sent));
        assert_eq!(row[at("received_frames")].parse(), Ok(trial.accounting.received));
    }

    let markdown = show("markdown");
    let tables: Vec<&str> = markdown.split("\n\n").filter(|part| part.starts_with('|')).collect();
    assert_eq!(tables.len(), 2, "throughput, and what it cost\n{markdown}");
    for table in tables {
        let rows = table.lines().filter(|line| line.starts_with("| uvale")).count();
        assert_eq!(rows, 2, "a row a size, of all repeats\n{markdown}");
        let cells = table.lines().next().map_or(0, |header| header.matches('|').count());
        assert!(table.lines().all(|line| line.matches('|').count() == cells), "{markdown}");
    }
}

#[test]
fn json_on_standard_output_is_what_is_kept() {
    let bench = Bench::new();
    let ran = bench.run("p2p --duration 200ms --warmup 0 --interval 50ms --format json --out r.json --quiet");
    assert_eq!(ran.succeeds().stdout, bench.kept("r.json").text);
    assert_eq!(ran.stderr, "", "--quiet");
}

#[test]
fn in_a_pipe_there_are_plain_lines_of_80_columns() {
    let bench = Bench::new();
    for extra in ["", " --latency --bidir --pairs 2 --rate 1k", " --format markdown"] {
        let line =
            format!("p2p --size 64,1518 --repeat 2 --duration 200ms --warmup 0 --interval 50ms{extra}");
        let ran = bench.run(&line);
        let said = format!("{}{}", ran.succeeds().stdout, ran.stderr);
        assert!(!said.contains(['\x1b', '\r']), "{said}");
        let limit = if extra.contains("markdown") { usize::MAX } else { 80 };
        let wide: Vec<&str> = said.lines().filter(|line| line.chars().count() > limit).collect();
        assert!(wide.is_empty(), "{wide:?}");
        assert!(ran.stderr.contains("[4/4] p2p uvale "), "{}", ran.stderr);
    }
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let bench = Bench::new();
    let program = env!("CARGO_BIN_EXE_vale-bench");
    let options = "--duration 200ms --warmup 0 --interval 50ms --size 64-640/64";
    for format in ["csv", "table", "json"] {
        let mut piped = Command::new("bash");
        let line = format!("set -o pipefail; {program} p2p {options} --format {format} | head -1");
        piped.args(["-c", &line]);
        let ended = bench.start_command(piped).ends_within(RUN_DEADLINE);
        assert_eq!(ended.succeeds().stdout.lines().count(), 1, "{ended}");
        ended.never_says("panicked").never_says("roken pipe");
    }
    bench.leaves_nothing_behind();
}

#[test]
fn two_runs_do_not_meet() {
    let bench = Bench::new();
    let mut other = bench.start_measuring("p2p --duration 2 --warmup 0");
    other.says("measuring", READY_DEADLINE);
    let line = "p2p --duration 200ms --warmup 0 --interval 50ms -o other.json";
    bench.run(line).succeeds().never_says("cleaned up");
    bench.kept("other.json").adds_up();
    other.ends_within(RUN_DEADLINE).succeeds();
    bench.kept("r.json").adds_up();
    bench.leaves_nothing_behind();
}

/// A trial in which frames were dropped, found by trying: a receiver with four slots cannot keep up for long.
#[test]
fn what_a_receiver_has_no_room_for_is_counted_by_cause() {
    let bench = Bench::new();
    let lost = |trial: &Trial| trial.accounting.sent - trial.accounting.received;
    for _ in 0..10 {
        let kept = bench.measure("p2p --slots 4 --pairs 4");
        let trial = kept.adds_up().trial();
        if lost(trial) > 0 {
            assert_eq!(
                trial.accounting.drops.get("drop_rx_full"),
                Some(&lost(trial)),
                "{:?}",
                trial.accounting
            );
            assert!(kept.warns(|w| matches!(w, vale_bench::result::Warning::Loss { .. })));
            return;
        }
    }
    panic!("not a frame was lost in ten trials with four slots a ring");
}

#[test]
fn between_ports_that_another_process_has_on_its_switch() {
    let bench = Bench::alone();
    let mut switch = bench.start("switch --slots 4096");
    switch.says("is ready", READY_DEADLINE);
    let kept = bench.measure("p2p --port vale0:a --port vale0:b --bidir --rate 5k");
    let trial = kept.trial();
    assert_eq!((trial.scenario.as_str(), trial.dataplane.name.as_str()), ("p2p", "ports"));
    assert_eq!(trial.dataplane.parameters["ports"], "vale0:a vale0:b");
    assert_eq!(trial.ports.iter().map(|port| port.name.as_str()).collect::<Vec<_>>(), ["vale0:a", "vale0:b"]);
    assert!(trial.accounting.received > 0 && trial.accounting.unaccounted == 0, "{:?}", trial.accounting);
    switch.interrupt();
    switch.ends_within(END_DEADLINE).succeeds();
    bench.leaves_nothing_behind();
}

#[test]
fn between_interfaces_that_a_cable_joins() {
    if !(geteuid().is_root() && vale_bench::machine::has_capability(12)) {
        return fixture::say_skipped("a cable", "making interfaces needs root with CAP_NET_ADMIN");
    }
    let bench = Bench::alone();
    let ends = ["a", "b"].map(|end| format!("vbt{}{end}", std::process::id()));
    links::add_veth(&ends[0], &ends[1]).expect("a pair of interfaces");
    ends.iter().for_each(|end| links::bring_up(end).expect("it is there"));
    let mut kinds = vec![("", ""), ("packet:", "packet:")];
    if rustix::net::socket(AddressFamily::XDP, SocketType::RAW, None).is_ok() {
        kinds.extend([("packet:", "xdp:"), ("xdp:", "xdp:")]);
    } else {
        fixture::say_skipped("AF_XDP", "this kernel has no such sockets");
    }
    for (a, b) in &kinds {
        let kept = bench.measure(&format!("p2p --port {a}{} --port {b}{} --rate 5k", ends[0], ends[1]));
        let account = &kept.trial().accounting;
        assert!(account.received > 0, "{a} {b} {account:?}");
    }
    if kinds.contains(&("xdp:", "xdp:")) {
        let line = format!("p2p --port xdp:{0} --port xdp:{0}", ends[0]);
        bench.run(&line).exits(4).says("cannot bind an AF_XDP socket to it").says("busy");
    }
    links::remove(&ends[0]).expect("it is there");
    bench.leaves_nothing_behind();
}

#[test]
fn ports_that_cannot_be_are_refused() {
    let bench = Bench::idle();
    for (line, code, sentence) in [
        ("p2p --port eth0", 2, "p2p takes two ports for each pair, each with --port NAME; there are 1"),
        ("p2p --port a --port b --pairs 2", 2, "cannot be used with"),
        ("p2p --port a --port b --dataplane uvale", 2, "--port needs --dataplane ports"),
        ("p2p --dataplane ports", 2, "p2p takes 2 ports, each with --port NAME; there are 0"),
        ("p2p --port no-such-a --port no-such-b", 4, "no-such-a"),
        ("p2p --port netmap: --port netmap:", 2, "netmap:"),
    ] {
        bench.run(line).exits(code).says(sentence);
    }
    bench.leaves_nothing_behind();
}
