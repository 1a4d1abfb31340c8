//! Ports of DPDK's on the host: ends of vhost-user connections, with DPDK's own testpmd as the switch between them.
//!
//! Without feature `dpdk` or without dpdk-testpmd, which `make setup` provides, these tests say `SKIPPED` and pass;
//! with `VALE_BENCH_NO_SKIP` they fail.

mod fixture;

use std::os::unix::net::UnixListener;
use std::time::Duration;

use fixture::{Bench, END_DEADLINE, READY_DEADLINE, RUN_DEADLINE, Testpmd, count, end_report, has_dpdk};

/// More than three times what the longest ring here holds.
const FRAMES: u64 = 4_000;
/// How often a machine that is busy with other things may lose some.
const TRIES: u32 = 5;

fn bench() -> Option<(Bench, Testpmd)> {
    if !has_dpdk() {
        return None;
    }
    let bench = Bench::alone();
    let testpmd = Testpmd::start(&bench);
    Some((bench, testpmd))
}

/// Sends through testpmd at a rate at which a ring holds an eighth of a second. All of it arrives in order, in one of a
/// few tries; whatever arrives is whole and in order in each.
fn passes(tx: &str, rx: &str) {
    let Some((bench, testpmd)) = bench() else { return };
    for left in (0..TRIES).rev() {
        let line = format!("rx --format json -n {FRAMES} -W 3s --duration 50s -i {}", testpmd.end(1, rx));
        let mut receiver = bench.start(&line);
        receiver.says("is up", READY_DEADLINE);
        let line = format!("tx --format json -n {FRAMES} -b 32 -R 2k -i {}", testpmd.end(0, tx));
        let sent = end_report(bench.run(&line).succeeds());
        assert_eq!(count(&sent, "/roles/tx/sent_frames"), FRAMES);
        let got = end_report(receiver.ends_within(RUN_DEADLINE).succeeds());
        for field in
            ["foreign_frames", "corrupt_frames", "streams/0/reordered_frames", "streams/0/duplicate_frames"]
        {
            assert_eq!(count(&got, &format!("/roles/rx/{field}")), 0, "{got:#}");
        }
        let received = count(&got, "/roles/rx/streams/0/received_frames");
        if received == FRAMES {
            testpmd.end_of_test(&bench);
            return;
        }
        assert!(left > 0, "{received} of {FRAMES} frames arrived, and no more in {TRIES} tries: {got:#}");
    }
}

#[test]
fn frames_pass_on_split_rings() {
    passes("", "");
}

#[test]
fn frames_pass_on_packed_rings_of_another_length() {
    passes(",packed_vq=1,mrg_rxbuf=0,queue_size=512", ",packed_vq=1,mrg_rxbuf=0,queue_size=1024");
}

#[test]
fn round_trips_are_measured() {
    let Some((bench, testpmd)) = bench() else { return };
    let mut pong = bench.start(&format!("pong -i {}", testpmd.end(1, "")));
    pong.says("is up", READY_DEADLINE);
    let line = format!("ping -n 1000 --timeout 20000 --format json -i {}", testpmd.end(0, ""));
    let ping = end_report(bench.run(&line).succeeds());
    assert_eq!(count(&ping, "/roles/ping/received_probes"), 1000);
    pong.interrupt();
    pong.ends_within(END_DEADLINE).succeeds();
    testpmd.end_of_test(&bench);
}

#[test]
fn a_port_and_a_switch_of_ours_are_joined() {
    let Some((bench, testpmd)) = bench() else { return };
    let mut switch = bench.start("switch --name vale0 --slots 4096");
    switch.says("is ready", READY_DEADLINE);
    let mut fwd = bench.start(&format!("fwd -i vale0:9 -i {} --format json", testpmd.end(0, "")));
    fwd.says("is up", READY_DEADLINE);
    let mut pong = bench.start(&format!("pong -i {}", testpmd.end(1, "")));
    pong.says("is up", READY_DEADLINE);
    let ping = end_report(bench.run("ping -i vale0:1 -n 1000 --timeout 20000 --format json").succeeds());
    assert_eq!(count(&ping, "/roles/ping/received_probes"), 1000);
    for running in [pong, fwd, switch] {
        running.interrupt();
        running.ends_within(END_DEADLINE).succeeds();
    }
    testpmd.end_of_test(&bench);
}

#[test]
fn a_switch_that_dies_is_noticed() {
    let Some((bench, mut testpmd)) = bench() else { return };
    for command in ["rx", "tx", "tx --busy", "rx --busy"] {
        let mut running = bench.start(&format!("{command} -i {}", testpmd.end(0, "")));
        running.says("is up", READY_DEADLINE);
        testpmd.kill();
        let ended = running.ends_within(END_DEADLINE);
        ended.exits(1).says("the other end of its vhost-user socket is gone");
        testpmd = Testpmd::start(&bench);
    }
    testpmd.end_of_test(&bench);
}

#[test]
fn what_cannot_be_opened_is_said() {
    if !has_dpdk() {
        return;
    }
    let bench = Bench::idle();
    for (port, words) in [
        ("dpdk:net_virtio_user0,path=no-such-socket", &["cannot open", "No such file"][..]),
        ("dpdk:net_nosuch0", &["cannot open net_nosuch0", "no driver knows a device of that name"]),
        ("dpdk:net_virtio_user0,pack=1,path=x", &["cannot open"]),
        ("dpdk:0000:ff:1f.7", &["0000:ff:1f.7"]),
    ] {
        let ran = bench.run(&format!("rx -i {port}"));
        ran.exits(4).prints_nothing();
        for word in words {
            ran.says(word);
        }
    }
    let mut waits = bench.start("rx -i dpdk:net_virtio_user0,path=own,server=1");
    let end = std::time::Instant::now() + READY_DEADLINE;
    while !bench.path("own").exists() {
        waits.still_runs();
        assert!(std::time::Instant::now() < end, "no socket");
        std::thread::sleep(Duration::from_millis(20));
    }
    waits.interrupt();
    waits.ends_within(END_DEADLINE).exits(130);
    assert!(!bench.path("own").exists(), "the socket goes with whoever made it");
    bench.run("rx -i dpdk:").exits(2).says("names no device");
    bench.run("tx -i dpdk:net_null0 -p 2").exits(2).says("-p needs a port of the kernel's netmap");
    // Something that listens there and says nothing: the deadline is ours, not DPDK's.
    let _listener = UnixListener::bind(bench.path("mute")).unwrap();
    let ran = bench.run_within("rx -i dpdk:net_virtio_user0,path=mute", Duration::from_secs(50));
    ran.exits(4).says("did not open net_virtio_user0,path=mute within 30 s").prints_nothing();
    bench.leaves_nothing_behind();
}
