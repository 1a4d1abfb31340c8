//! Roles on ports of the real netmap module.
//!
//! Without `/dev/netmap` every test says `SKIPPED` and why, and passes; with `VALE_BENCH_NETMAP=1` the skip fails.

mod fixture;

use fixture::{Bench, END_DEADLINE, Finished, READY_DEADLINE, Running, count, end_report};
use serde_json::Value;

/// A bench with the module for itself; none, and a skip, without one.
fn netmap() -> Option<Bench> {
    if std::path::Path::new("/dev/netmap").exists() {
        return Some(Bench::alone());
    }
    fixture::skip_without_netmap("no /dev/netmap: the netmap module is not loaded");
    None
}

/// Starts a receiver, and waits until it reports: then its port is open.
fn receiver(bench: &Bench, options: &str, port: &str) -> Running {
    let mut rx = bench.start(&format!("rx --format json -T 50 -i {port} {options}"));
    rx.prints("\"report\":\"interval\"", READY_DEADLINE);
    rx
}

fn sent(bench: &Bench, options: &str, port: &str) -> Value {
    let numbered = if options.contains("-P") { "" } else { "--numbered" };
    end_report(bench.run(&format!("tx {numbered} --format json -i {port} {options}")).succeeds())
}

fn received(rx: Running) -> Value {
    end_report(rx.ends_within(END_DEADLINE).succeeds())
}

/// So many frames arrived, none missing or damaged.
fn whole(rx: &Value, frames: u64) {
    let stream = &rx["roles"]["rx"]["streams"][0];
    assert_eq!((count(stream, "/received_frames"), count(stream, "/missing_frames")), (frames, 0), "{rx:#}");
    assert_eq!(count(rx, "/roles/rx/corrupt_frames"), 0, "{rx:#}");
}

#[test]
fn a_pipe_loses_nothing_at_full_speed() {
    let Some(bench) = netmap() else { return };
    for (size, count) in [("64", 300_000), ("64-1518", 60_000), ("1518", 60_000)] {
        let rx = receiver(&bench, &format!("-n {count}"), "netmap:vbt}1");
        sent(&bench, &format!("-n {count} --size {size}"), "netmap:vbt{1");
        whole(&received(rx), count);
    }
    bench.leaves_nothing_behind();
}

#[test]
fn vale_delivers_what_a_receiver_has_room_for() {
    let Some(bench) = netmap() else { return };
    // A ring has room for all that is sent, however long the receiver waits for a processor.
    for options in ["", "-I", "-I --size 64-1518", "--size imix", "-F 3 --size 1000", "--busy"] {
        let rx = receiver(&bench, "-n 300", "vale_t:2");
        sent(&bench, &format!("-n 300 {options}"), "vale_t:1");
        whole(&received(rx), 300);
    }
    let rx = receiver(&bench, "-H 12 -n 900", "vale_t:2");
    sent(&bench, "-H 12 -n 900 --size 64,200", "vale_t:1");
    let report = received(rx);
    whole(&report, 900);
    assert_eq!(count(&report, "/roles/rx/received_bytes"), 450 * (64 + 200), "headers are not counted");
}

#[test]
fn frames_are_numbered_only_where_asked_for_and_rx_finds_out() {
    let Some(bench) = netmap() else { return };
    for (tx_options, rx_options, streams) in [("", "", 0), ("--numbered", "", 1), ("--numbered", "--raw", 0)]
    {
        let rx = receiver(&bench, &format!("-n 5000 {rx_options}"), "netmap:vbt}1");
        bench.run(&format!("tx -i netmap:vbt{{1 -n 5000 {tx_options}")).succeeds();
        let report = received(rx);
        let seen = report["roles"]["rx"]["streams"].as_array().map_or(0, Vec::len);
        assert_eq!((count(&report, "/roles/rx/received_frames"), seen), (5000, streams), "{report:#}");
    }
}

#[test]
fn threads_have_a_ring_each() {
    let Some(bench) = netmap() else { return };
    let rings = "@conf:rings=2";
    let rx = receiver(&bench, "-p 0 -n 901", &format!("vale_t:2{rings}"));
    let tx = sent(&bench, "-p 2 -n 901", &format!("vale_t:1{rings}"));
    assert_eq!(count(&tx, "/roles/tx/sent_frames"), 901);
    let report = received(rx);
    let streams = report["roles"]["rx"]["streams"].as_array().unwrap();
    assert_eq!(streams.len(), 2, "{report:#}");
    assert!(streams.iter().all(|stream| count(stream, "/missing_frames") == 0), "{report:#}");
    bench.run(&format!("tx -p 3 -n 1 -i vale_t:1{rings}")).exits(2).says("has 2 ring(s)");
    bench.run(&format!("tx -p 2 -n 1 -i vale_t:1-1{rings}")).exits(2).says("names rings already");
}

#[test]
fn probes_go_around_and_kept_frames_go_again() {
    let Some(bench) = netmap() else { return };
    let pong = bench.start("pong -i vale_t:2");
    let line = "ping -i vale_t:1 -n 500 --timeout 20000 -w 1s --format json";
    let ping = end_report(bench.run(line).succeeds());
    assert_eq!(
        (count(&ping, "/roles/ping/received_probes"), count(&ping, "/roles/ping/lost_probes")),
        (500, 0)
    );
    drop(pong);
    let rx = receiver(&bench, "-n 500 --dump kept.pcap", "vale_t:2");
    sent(&bench, "-n 500 --size 64,700", "vale_t:1");
    received(rx);
    let rx = receiver(&bench, "-n 500", "netmap:vbt}1");
    sent(&bench, "-n 500 -P kept.pcap", "netmap:vbt{1");
    whole(&received(rx), 500);
}

/// Sends through a forwarder between these two ports, and returns what it reports.
fn through(bench: &Bench, options: &str, ports: [&str; 4], frames: u64) -> Value {
    let [source, left, right, sink] = ports;
    let mut fwd = bench.start(&format!("fwd --format json -T 50 {options} -i {left} -i {right}"));
    fwd.prints("\"report\":\"interval\"", READY_DEADLINE);
    let rx = receiver(bench, &format!("-n {frames}"), sink);
    sent(bench, &format!("-n {frames}"), source);
    whole(&received(rx), frames);
    fwd.interrupt();
    let ended: Finished = fwd.ends_within(END_DEADLINE);
    let report = end_report(ended.succeeds());
    assert_eq!((count(&report, "/roles/0/forwarded"), count(&report, "/roles/0/dropped")), (frames, 0));
    report
}

#[test]
fn forwarding_copies_only_where_it_must() {
    let Some(bench) = netmap() else { return };
    let pipes = ["netmap:vbt{1", "netmap:vbt}1", "netmap:vbt{2", "netmap:vbt}2"];
    assert_eq!(through(&bench, "", pipes, 50_000)["zero_copy"], true);
    assert_eq!(through(&bench, "--copy", pipes, 50_000)["zero_copy"], false);
    let switches = ["vale_t:1", "vale_t:2", "vale_u:1", "vale_u:2"];
    assert_eq!(through(&bench, "", switches, 900)["zero_copy"], false, "VALE ports have memory of their own");
}

#[test]
fn what_cannot_be_opened_is_said() {
    let Some(bench) = netmap() else { return };
    bench.run("tx -i netmap:nosuchif -n 1").exits(4).says("nosuchif");
    let mut owner = receiver(&bench, "", "vale_t:2/x");
    bench.run("rx -i vale_t:2").exits(4).says("vale_t:2");
    owner.still_runs();
    bench.run("tx -i vale_t:1 --size 4000 -n 1").exits(2).says("4000");
    bench.run("tx -I -i netmap:vbt{1 -n 1").exits(2).says("VALE");
}

#[test]
fn a_switch_of_this_user_comes_before_the_kernels() {
    let Some(bench) = netmap() else { return };
    let mut switch = bench.start("switch --name vale_t");
    switch.says("is ready", READY_DEADLINE);
    bench.run("tx -i vale_t:1 -n 10").succeeds();
    switch.says("port vale_t:1 is attached", READY_DEADLINE);
    bench.run("tx -i vale_t:1@conf:slots=256 -n 10").succeeds();
    switch.interrupt();
    switch.ends_within(END_DEADLINE).succeeds();
    bench.run("tx -i vale_t:1 -n 10").succeeds();
}
