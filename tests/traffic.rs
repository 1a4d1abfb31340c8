//! What senders and receivers can do beyond sending and receiving, on ports of the embedded VALE.

mod fixture;

use fixture::{Bench, END_DEADLINE, READY_DEADLINE, Running, count, end_report};
use serde_json::Value;

/// Starts a switch whose rings hold all that a test sends.
fn switch(bench: &Bench, name: &str) -> Running {
    let mut switch = bench.start(&format!("switch --name {name} --slots 4096"));
    switch.says("is ready", READY_DEADLINE);
    switch
}

fn attach(bench: &Bench, switch: &mut Running, command: &str, port: &str) -> Running {
    let running = bench.start(&format!("{command} -i {port}"));
    switch.says(&format!("port {port} is attached"), READY_DEADLINE);
    running
}

/// Sends 1000 frames with these options, and returns what the sender and a receiver with these options report.
fn sent(bench: &Bench, tx: &str, rx: &str) -> (Value, Value) {
    let mut switch = switch(bench, "vale0");
    let rx = attach(bench, &mut switch, &format!("rx --format json -n 1000 {rx}"), "vale0:2");
    let tx = end_report(bench.run(&format!("tx -i vale0:1 -n 1000 --format json {tx}")).succeeds());
    assert_eq!(count(&tx, "/roles/tx/sent_frames"), 1000);
    (tx, end_report(rx.ends_within(END_DEADLINE).succeeds()))
}

/// Every frame arrived whole and in order.
fn whole(rx: &Value) {
    let stream = &rx["roles"]["rx"]["streams"][0];
    for (field, expected) in [
        ("/received_frames", 1000),
        ("/missing_frames", 0),
        ("/reordered_frames", 0),
        ("/last_sequence", 999),
    ] {
        assert_eq!(count(stream, field), expected, "{field} in {rx:#}");
    }
    for field in ["foreign_frames", "corrupt_frames"] {
        assert_eq!(count(rx, &format!("/roles/rx/{field}")), 0, "{rx:#}");
    }
}

#[test]
fn sizes_at_random_lie_in_their_range() {
    let bench = Bench::new();
    let (tx, rx) = sent(&bench, "--size 64-1518", "");
    whole(&rx);
    let bytes = count(&tx, "/roles/tx/sent_bytes");
    assert_eq!(count(&rx, "/roles/rx/received_bytes"), bytes);
    // The mean of 1000 of them is 791 by far less than this.
    assert!((700_000..880_000).contains(&bytes), "{bytes}");
}

#[test]
fn sizes_of_a_list_come_in_turn() {
    let bench = Bench::new();
    let (tx, rx) = sent(&bench, "--size 64,128,512,1024", "");
    whole(&rx);
    assert_eq!(count(&tx, "/roles/tx/sent_bytes"), 250 * (64 + 128 + 512 + 1024));
}

#[test]
fn fragments_arrive_as_frames() {
    let bench = Bench::new();
    let (_, rx) = sent(&bench, "-F 4 --size 1000 -b 64 -R 200k", "");
    whole(&rx);
    assert_eq!(count(&rx, "/roles/rx/received_bytes"), 1000 * 1000);
}

#[test]
fn raw_frames_are_counted_and_not_judged() {
    let bench = Bench::new();
    let (_, rx) = sent(&bench, "--raw", "");
    assert_eq!(count(&rx, "/roles/rx/received_frames"), 1000);
    assert_eq!(count(&rx, "/roles/rx/foreign_frames"), 1000, "raw frames carry no mark");
    let (_, rx) = sent(&bench, "", "--raw");
    assert_eq!(count(&rx, "/roles/rx/received_frames"), 1000);
    assert_eq!(rx["roles"]["rx"]["streams"].as_array().unwrap().len(), 0, "nothing was looked into");
}

#[test]
fn what_is_kept_can_be_sent_again() {
    let bench = Bench::new();
    let options = "-s 10.0.0.1:1000-10.0.0.2:1004 -d 10.1.0.1-10.1.0.10 -S 02:00:00:00:00:01-02:00:00:00:00:03 \
                   -D 02:00:00:00:01:00-02:00:00:00:01:09 --size 64,100";
    let (_, rx) = sent(&bench, options, "--dump kept.pcap");
    whole(&rx);
    let bytes = std::fs::read(bench.path("kept.pcap")).unwrap();
    // The file header and each packet's, as pcap's format says, with the slots' lengths between.
    assert_eq!(bytes.len(), 24 + 1000 * 16 + 500 * (60 + 96));
    let frames: Vec<&[u8]> =
        (0..1000).map(|i| &bytes[24 + i / 2 * (32 + 156) + i % 2 * 76 + 16..][..60]).collect();
    let distinct = |range: std::ops::Range<usize>| {
        frames.iter().map(|frame| &frame[range.clone()]).collect::<std::collections::HashSet<_>>().len()
    };
    assert_eq!((distinct(34..36), distinct(26..30), distinct(30..34)), (5, 2, 10));
    assert_eq!((distinct(6..12), distinct(0..6)), (3, 4), "1000 flows of the 3000 there are");
    let (tx, rx) = sent(&bench, "-P kept.pcap", "");
    assert_eq!(count(&tx, "/roles/tx/sent_bytes"), 500 * (64 + 100));
    whole(&rx);
}

#[test]
fn silence_ends_a_receiver_that_heard_something() {
    let bench = Bench::new();
    let mut switch = switch(&bench, "vale0");
    let rx = attach(&bench, &mut switch, "rx --format json -W 200ms", "vale0:2");
    bench.run("tx -i vale0:1 -n 10").succeeds();
    let rx = end_report(rx.ends_within(END_DEADLINE).succeeds());
    assert_eq!(count(&rx, "/roles/rx/received_frames"), 10);
}

#[test]
fn two_switches_are_joined() {
    let bench = Bench::new();
    let mut left = switch(&bench, "vale0");
    let mut right = switch(&bench, "vale1");
    let fwd = bench.start("fwd -i vale0:9 -i vale1:9 --format json");
    left.says("port vale0:9 is attached", READY_DEADLINE);
    right.says("port vale1:9 is attached", READY_DEADLINE);
    let rx = attach(&bench, &mut right, "rx --format json -n 1000", "vale1:2");
    bench.run("tx -i vale0:1 -n 1000 --size 200").succeeds();
    whole(&end_report(rx.ends_within(END_DEADLINE).succeeds()));
    let pong = attach(&bench, &mut left, "pong", "vale0:3");
    let ping = end_report(bench.run("ping -i vale1:4 -n 100 --timeout 20000 --format json").succeeds());
    assert_eq!(count(&ping, "/roles/ping/received_probes"), 100);
    drop(pong);
    fwd.interrupt();
    let report = end_report(fwd.ends_within(END_DEADLINE).succeeds());
    assert_eq!(report["zero_copy"], false);
    assert_eq!((count(&report, "/roles/0/dropped"), count(&report, "/roles/1/dropped")), (0, 0));
    assert_eq!(count(&report, "/roles/0/forwarded"), count(&report, "/roles/0/received"));
    assert!(count(&report, "/roles/0/forwarded") >= 1100, "{report:#}");
    for running in [left, right] {
        running.interrupt();
        running.ends_within(END_DEADLINE).succeeds();
    }
    bench.leaves_nothing_behind();
}

#[test]
fn what_a_port_cannot_do_is_said() {
    let bench = Bench::new();
    let _switch = switch(&bench, "vale0");
    for (options, word) in [("-p 2", "-p"), ("-I", "-I"), ("-H 12", "-H")] {
        let ran = bench.run(&format!("tx -i vale0:1 -n 1 {options}"));
        ran.exits(2).says(word).says("needs a port of the kernel's netmap").prints_nothing();
    }
    bench.run("tx -i vale0:1 -n 1 --size 4000").exits(2).says("4000").says("vale0:1");
}
