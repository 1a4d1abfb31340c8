//! A switch of its own process, and other processes that meet on it.

mod fixture;

use fixture::{Bench, END_DEADLINE, READY_DEADLINE, RUN_DEADLINE, Running, count, end_report};
use rustix::process::Signal;
use serde_json::Value;

/// Starts a switch and waits until ports can be attached.
fn switch(bench: &Bench, options: &str) -> Running {
    let mut switch = bench.start(&format!("switch {options}"));
    switch.says("is ready", READY_DEADLINE);
    switch
}

/// Starts a command on a port and waits until the switch has it.
fn attach(bench: &Bench, switch: &mut Running, command: &str, port: &str) -> Running {
    let running = bench.start(&format!("{command} -i {port}"));
    switch.says(&format!("port {port} is attached"), READY_DEADLINE);
    running
}

#[test]
fn a_sender_and_a_receiver_meet_exactly() {
    let bench = Bench::new();
    // A ring holds all that is sent, so nothing can be lost, however long the receiver waits for a processor.
    let mut switch = switch(&bench, "--slots 4096");
    let rx = attach(&bench, &mut switch, "rx --format json -n 4000", "vale0:2");
    let tx = end_report(bench.run("tx -i vale0:1 -n 4000 --size 1518 --flows 7 --format json").succeeds());
    assert_eq!((count(&tx, "/roles/tx/sent_frames"), count(&tx, "/roles/tx/unsent_frames")), (4000, 0));
    let rx = end_report(rx.ends_within(END_DEADLINE).succeeds());
    assert_eq!(count(&tx, "/roles/tx/sent_bytes"), 4000 * 1518);
    assert_eq!(count(&rx, "/roles/rx/received_bytes"), 4000 * 1518);
    assert_eq!((count(&rx, "/roles/rx/foreign_frames"), count(&rx, "/roles/rx/corrupt_frames")), (0, 0));
    for (field, expected) in [
        ("/received_frames", 4000),
        ("/missing_frames", 0),
        ("/reordered_frames", 0),
        ("/duplicate_frames", 0),
        ("/first_sequence", 0),
        ("/last_sequence", 3999),
    ] {
        assert_eq!(count(&rx["roles"]["rx"]["streams"][0], field), expected, "{field}");
    }
    switch.interrupt();
    switch.ends_within(END_DEADLINE).succeeds();
    bench.leaves_nothing_behind();
}

#[test]
fn at_full_speed_sent_is_received_and_dropped() {
    let bench = Bench::new();
    let mut switch = switch(&bench, "--slots 64 --stats 50ms");
    let rx = attach(&bench, &mut switch, "rx --format json", "vale0:2");
    let tx = attach(&bench, &mut switch, "tx --format json -n 3000000", "vale0:1");
    let sent = count(&end_report(tx.ends_within(RUN_DEADLINE).succeeds()), "/roles/tx/sent_frames");
    switch.says("port vale0:1 is gone", READY_DEADLINE);
    rx.interrupt();
    let received = count(&end_report(rx.ends_within(END_DEADLINE).succeeds()), "/roles/rx/received_frames");
    switch.says("port vale0:2 is gone", READY_DEADLINE);
    switch.interrupt();
    let ended = switch.ends_within(END_DEADLINE);
    let mut stats =
        ended.succeeds().stdout.lines().rev().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let last = stats.find(|line| line["port"] == "vale0:2").unwrap_or_else(|| panic!("{ended}"));
    let counter = |name: &str| last["counters"][name].as_u64().unwrap_or(0);
    assert_eq!(sent, 3_000_000);
    assert_eq!(counter("rx_frames"), received, "{last}");
    assert_eq!(counter("rx_frames") + counter("drop_rx_full"), sent, "{last}");
    bench.leaves_nothing_behind();
}

#[test]
fn probes_come_back() {
    let bench = Bench::new();
    // One probe is under way at a time, and goes around small rings many times.
    let mut switch = switch(&bench, "--slots 32");
    let pong = attach(&bench, &mut switch, "pong --format json", "vale0:2");
    let ping = end_report(bench.run("ping -i vale0:1 -n 2000 --timeout 20000 --format json").succeeds());
    assert_eq!(
        (count(&ping, "/roles/ping/sent_probes"), count(&ping, "/roles/ping/received_probes")),
        (2000, 2000)
    );
    assert_eq!((count(&ping, "/roles/ping/lost_probes"), count(&ping, "/latency/count")), (0, 2000));
    assert!(count(&ping, "/latency/min_ns") > 0);
    pong.interrupt();
    let pong = end_report(pong.ends_within(END_DEADLINE).succeeds());
    assert_eq!(
        (count(&pong, "/roles/pong/echoed_probes"), count(&pong, "/roles/pong/dropped_probes")),
        (2000, 0)
    );
    switch.interrupt();
    switch.ends_within(END_DEADLINE).succeeds();
    bench.leaves_nothing_behind();
}

#[test]
fn probes_that_nobody_answers_are_lost() {
    let bench = Bench::new();
    let mut switch = switch(&bench, "");
    let _deaf = attach(&bench, &mut switch, "rx", "vale0:2");
    let ping = bench.run("ping -i vale0:1 -n 5 --timeout 50 --format json");
    let ping = end_report(ping.succeeds());
    assert_eq!((count(&ping, "/roles/ping/sent_probes"), count(&ping, "/roles/ping/lost_probes")), (5, 5));
    assert_eq!(ping["latency"], Value::Null);
}

#[test]
fn what_is_for_all_reaches_all_and_what_is_for_itself_nobody() {
    let bench = Bench::new();
    // Rings that hold all that is sent.
    let mut switch = switch(&bench, "--slots 4096");
    let receivers =
        ["vale0:2", "vale0:3"].map(|port| attach(&bench, &mut switch, "rx --format json -n 1500", port));
    // Its own address is where it came from.
    bench.run("tx -i vale0:1 -n 200 -S 02:00:00:00:00:01 -D 02:00:00:00:00:01 --size 1518").succeeds();
    bench.run("tx -i vale0:1 -n 1000").succeeds();
    // An address that nobody has sent from may be anyone's.
    bench.run("tx -i vale0:1 -n 500 -D 02:00:00:00:00:77").succeeds();
    for rx in receivers {
        let report = end_report(rx.ends_within(END_DEADLINE).succeeds());
        assert_eq!(count(&report, "/roles/rx/received_frames"), 1500);
        assert_eq!(count(&report, "/roles/rx/received_bytes"), 1500 * 64, "the large ones were for nobody");
    }
}

#[test]
fn a_port_has_one_owner() {
    let bench = Bench::new();
    let mut switch = switch(&bench, "");
    let mut owner = attach(&bench, &mut switch, "rx", "vale0:2");
    let second = bench.run("tx -i vale0:2 -n 1");
    second.exits(1).says("vale0:2").says("refused").prints_nothing();
    owner.still_runs();
    switch.still_runs();
}

#[test]
fn without_a_switch_there_is_advice() {
    let bench = Bench::new();
    for command in ["tx", "rx", "ping", "pong"] {
        let ran = bench.run(&format!("{command} -i vale7:1"));
        ran.exits(4).says("no switch called vale7").says("vale-bench switch --name vale7").prints_nothing();
    }
    bench.leaves_nothing_behind();
}

#[test]
fn a_name_has_one_switch_and_other_names_have_others() {
    let bench = Bench::new();
    let mut first = switch(&bench, "");
    bench.run("switch").exits(1).says("a switch called vale0 is already running");
    let other = switch(&bench, "--name vale_b");
    bench.run("tx -i vale_b:1 -n 10").succeeds();
    first.still_runs();
    bench.run("tx -i vale0:1 -n 10").succeeds();
    for running in [first, other] {
        running.signal(Signal::TERM);
        running.ends_within(END_DEADLINE).succeeds();
    }
    bench.leaves_nothing_behind();
}

#[test]
fn a_switch_that_was_killed_is_missed_and_replaced() {
    let bench = Bench::new();
    let mut killed = switch(&bench, "");
    let mut rx = attach(&bench, &mut killed, "rx", "vale0:2");
    let tx = attach(&bench, &mut killed, "tx -R 1k", "vale0:1");
    rx.still_runs();
    killed.signal(Signal::KILL);
    killed.ends_within(END_DEADLINE).was_ended_by(Signal::KILL);
    for running in [rx, tx] {
        running.ends_within(END_DEADLINE).exits(1).says("its switch is gone");
    }
    bench.run("tx -i vale0:1 -n 1").exits(4).says("vale-bench switch --name vale0");
    // Its socket is still there, and in nobody's way.
    let mut again = switch(&bench, "");
    let rx = attach(&bench, &mut again, "rx -n 100", "vale0:2");
    bench.run("tx -i vale0:1 -n 100 -R 10k").succeeds();
    rx.ends_within(END_DEADLINE).succeeds().prints("received 100 frames");
    again.interrupt();
    again.ends_within(END_DEADLINE).succeeds();
    bench.leaves_nothing_behind();
}

#[test]
fn a_port_goes_with_its_process() {
    let bench = Bench::new();
    let mut switch = switch(&bench, "");
    let killed = attach(&bench, &mut switch, "tx", "vale0:1");
    killed.signal(Signal::KILL);
    killed.ends_within(END_DEADLINE).was_ended_by(Signal::KILL);
    switch.says("port vale0:1 is gone", READY_DEADLINE);
    bench.run("tx -i vale0:1 -n 10").succeeds();
    switch.still_runs();
    switch.interrupt();
    switch.ends_within(END_DEADLINE).succeeds();
    bench.leaves_nothing_behind();
}

#[test]
fn roles_end_when_they_are_told() {
    let bench = Bench::new();
    let mut switch = switch(&bench, "");
    let began = std::time::Instant::now();
    bench.run("rx -i vale0:2 --duration 300ms").succeeds().prints("received 0 frames");
    assert!(began.elapsed() >= std::time::Duration::from_millis(300));
    for (command, port) in [("tx", "vale0:3"), ("rx", "vale0:4"), ("ping", "vale0:5"), ("pong", "vale0:6")] {
        let running = attach(&bench, &mut switch, command, port);
        running.interrupt();
        running.ends_within(END_DEADLINE).succeeds().prints(port);
    }
    let mut reports = bench.start("rx -i vale0:7 -T 20 --format json");
    reports.prints("\"report\":\"interval\"", READY_DEADLINE);
}

#[test]
fn a_reader_that_has_enough_ends_a_role() {
    let bench = Bench::new();
    let _switch = switch(&bench, "");
    let mut piped = std::process::Command::new("bash");
    let program = env!("CARGO_BIN_EXE_vale-bench");
    piped.args(["-c", &format!("set -o pipefail; {program} tx -i vale0:1 -T 20 | head -1")]);
    let ended = bench.start_command(piped).ends_within(RUN_DEADLINE);
    assert_eq!(ended.succeeds().stdout.lines().count(), 1, "{ended}");
}
