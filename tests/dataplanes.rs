//! Switches that are not ours, with their real programs: what a result must hold, and what a bad one gets.

mod fixture;

use std::fs;
use std::path::Path;
use std::time::Duration;

use fixture::{
    Bench, END_DEADLINE, Found, GUESTS_DEADLINE, Kept, ORPHAN_DEADLINE, READY_DEADLINE, RUN_DEADLINE,
    has_dpdk, wait_until_gone,
};
use rustix::process::{Signal, geteuid};
use vale_bench::dataplane::ovs;
use vale_bench::result::Warning;

/// A switch starts, and its ports find each other, within this.
const SWITCH_DEADLINE: Duration = Duration::from_secs(120);

/// A bench on a host that has DPDK, in this program and as testpmd; none, and a skip, elsewhere.
fn with_dpdk(bench: Bench) -> Option<Bench> {
    has_dpdk().then_some(bench)
}

/// A bench on a host whose root may make interfaces.
fn with_interfaces(bench: Bench) -> Option<Bench> {
    if geteuid().is_root() && vale_bench::machine::has_capability(12) {
        return Some(bench);
    }
    fixture::say_skipped("a bridge", "making interfaces needs root with CAP_NET_ADMIN");
    None
}

/// The only trial moved frames, counted them, and told what it was measured on.
fn holds(kept: &Kept, dataplane: &str, parameters: &[(&str, &str)]) {
    let trial = kept.trial();
    assert_eq!(trial.dataplane.name, dataplane);
    for (name, part) in parameters {
        let value = trial.dataplane.parameters.get(*name).map_or("", String::as_str);
        assert!(value.contains(part), "{name} is {value:?}: {:?}", trial.dataplane.parameters);
    }
    let account = &trial.accounting;
    assert!(account.received > 0, "{account:?}");
    // testpmd's statistics miss a few of its bursts now and then. The result says how many frames; it must stay few.
    assert!(account.unaccounted.unsigned_abs() * 100 <= account.sent, "{account:?}");
    let told = kept.warns(|w| matches!(w, Warning::Unaccounted { .. }));
    assert_eq!(told, account.unaccounted != 0, "{account:?}");
    let wrong = |w: &Warning| matches!(w, Warning::CorruptFrames { .. } | Warning::ForeignFrames { .. });
    assert!(!kept.warns(wrong), "{:?}", trial.warnings);
}

/// The interfaces that runs of this process's tests may have made.
fn interfaces() -> Vec<String> {
    let entries = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with("vb")).collect()
}

fn profile(bench: &Bench, name: &str, command: &str, ready: &str) -> String {
    let text = format!(
        "name = \"{name}\"\nwhat = \"a stand-in\"\ntested = false\nroles = [\"server\"]\njoins = \"pairs\"\n\
         [start]\ncommand = {command}\n[ready]\n{ready}\n[threads]\nbusy = \"sh\"\n"
    );
    let file = format!("{name}.toml");
    fs::write(bench.path(&file), text).unwrap();
    format!("./{file}")
}

#[test]
fn testpmd_between_ports_of_the_host() {
    let Some(bench) = with_dpdk(Bench::alone()) else { return };
    let kept = bench.measure_within("p2p --dataplane testpmd --ring split --bidir", SWITCH_DEADLINE);
    let told = [("forwarding", "no addresses learned"), ("ring", "split"), ("host_port", "split rings")];
    holds(&kept, "testpmd", &told);
    assert!(kept.trial().switch_cpu_ns.is_some_and(|ns| ns > 0));
    bench.leaves_nothing_behind();
}

#[test]
fn testpmd_between_guests_with_dpdk_and_without() {
    let Some(bench) = Bench::with_guests().and_then(with_dpdk) else { return };
    let line = "v2v --accel tcg --dataplane testpmd --duration 1";
    let kept = bench.measure_within(line, GUESTS_DEADLINE);
    holds(
        &kept,
        "testpmd",
        &[("ring", "packed"), ("guest_port", "packed rings"), ("switch_version", "DPDK")],
    );
    assert_eq!(kept.trial().dataplane.guest_driver.as_deref(), Some("DPDK virtio"));
    let kept = bench.measure_within(&format!("{line} --guest-driver packet"), GUESTS_DEADLINE);
    holds(&kept, "testpmd", &[("ring", "split"), ("mrg_rxbuf", "on")]);
    assert!(kept.document.manifest.vms.iter().all(|vm| vm.argv.iter().any(|w| w.contains("vectors=0"))));
    let kept = bench.measure_within(&format!("{line} --guest-driver xdp"), GUESTS_DEADLINE);
    holds(&kept, "testpmd", &[("ring", "split"), ("guest_xdp", "copying")]);
    bench.leaves_nothing_behind();
}

/// Flows took several queues, and of each queue the frames came in order.
fn holds_with_queues(kept: &Kept, dataplane: &str, queues: &str, ports: &[(&str, &str)]) {
    holds(kept, dataplane, &[&[("queues", queues)], ports].concat());
    let ports = kept.trial().ports.iter();
    let streams: Vec<_> =
        ports.filter_map(|port| port.roles.rx.as_ref()).flat_map(|rx| &rx.streams).collect();
    let taken = streams.iter().filter(|stream| stream.received_frames > 0).count();
    assert_eq!(taken.to_string(), queues, "{streams:?}");
    for stream in streams {
        assert_eq!((stream.reordered_frames, stream.duplicate_frames), (0, 0), "{stream:?}");
    }
}

#[test]
fn ports_of_the_host_with_several_queues() {
    let Some(bench) = with_dpdk(Bench::alone()) else { return };
    let kept = bench.measure_within("p2p --dataplane testpmd --queues 3 --flows 64", SWITCH_DEADLINE);
    holds_with_queues(&kept, "testpmd", "3", &[("host_port", "3 queues")]);
    if ovs::find().is_some() {
        let kept = bench.measure_within("p2p --dataplane ovs-dpdk --queues 2 --flows 64", SWITCH_DEADLINE);
        holds_with_queues(&kept, "ovs-dpdk", "2", &[("host_port", "2 queues")]);
    }
    bench.run("p2p --dataplane testpmd --queues 2").exits(2).says("--queues 2 takes --flows");
    bench.run("p2p --queues 2 --flows 2").exits(2).says("--queues");
    bench.leaves_nothing_behind();
}

#[test]
fn guests_with_several_queues() {
    let Some(bench) = Bench::with_guests().and_then(with_dpdk) else { return };
    let line = "v2v --accel tcg --dataplane testpmd --duration 1 --queues 2 --flows 16";
    let kept = bench.measure_within(line, GUESTS_DEADLINE);
    holds_with_queues(&kept, "testpmd", "2", &[("guest_port", "2 queues")]);
    let by_kernel = format!("{line} --guest-driver packet");
    bench.run(&by_kernel).exits(2).says("--queues 2 takes --guest-cpus 2");
    bench.run(&format!("{line} --guest-driver xdp")).exits(2).says("AF_XDP in guests takes one queue");
    let kept = bench.measure_within(&format!("{by_kernel} --guest-cpus 2"), GUESTS_DEADLINE);
    holds(&kept, "testpmd", &[("queues", "2")]);
    bench.leaves_nothing_behind();
}

#[test]
fn a_switch_as_client_finds_guests_that_listen() {
    let Some(bench) = Bench::with_guests().and_then(with_dpdk) else { return };
    let line = "p2v --accel tcg --dataplane testpmd --vhost-role client --queue-size 256 --duration 1";
    let kept = bench.measure_within(line, GUESTS_DEADLINE);
    holds(&kept, "testpmd", &[("vhost_role", "client"), ("queue_size", "256")]);
    bench.leaves_nothing_behind();
}

#[test]
fn open_vswitch_between_ports_of_the_host() {
    let Some(bench) = with_dpdk(Bench::alone()) else { return };
    if ovs::find().is_none() {
        return fixture::skip("there is no Open vSwitch with DPDK");
    }
    for (flows, forwarding) in [("normal", "NORMAL"), ("direct", "output flows")] {
        let line = format!("p2p --dataplane ovs-dpdk --ovs-flows {flows}");
        let kept = bench.measure_within(&line, SWITCH_DEADLINE);
        holds(&kept, "ovs-dpdk", &[("forwarding", forwarding), ("switch_version", "Open vSwitch")]);
        bench.leaves_nothing_behind();
    }
}

#[test]
fn open_vswitch_between_guests() {
    let Some(bench) = Bench::with_guests().and_then(with_dpdk) else { return };
    if ovs::find().is_none() {
        return fixture::skip("there is no Open vSwitch with DPDK");
    }
    let kept = bench.measure_within("v2v --accel tcg --dataplane ovs-dpdk --duration 1", GUESTS_DEADLINE);
    holds(&kept, "ovs-dpdk", &[("vhost_role", "client")]);
    bench.leaves_nothing_behind();
}

#[test]
fn the_kernels_bridge_between_ports_of_the_host() {
    let Some(bench) = with_interfaces(Bench::alone()) else { return };
    holds(&bench.measure("p2p --dataplane bridge --bidir"), "bridge", &[("idle", "")]);
    let before = interfaces();
    let kept = bench.measure("p2p --dataplane bridge --repeat 3 --fresh");
    assert_eq!((kept.trials().len(), kept.document.failed.len()), (3, 0));
    assert_eq!(interfaces(), before);
    bench.leaves_nothing_behind();
}

#[test]
fn the_kernels_bridge_between_guests() {
    let Some(bench) = Bench::with_guests().and_then(with_interfaces) else { return };
    for (driver, name) in [("packet", "virtio_net, packet socket"), ("xdp", "virtio_net, AF_XDP")] {
        let line = format!("v2v --accel tcg --dataplane bridge --duration 1 --guest-driver {driver}");
        let kept = bench.measure_within(&line, GUESTS_DEADLINE);
        holds(&kept, "bridge", &[("vhost_net", "o")]);
        let dataplane = &kept.trial().dataplane;
        assert_eq!(dataplane.guest_driver.as_deref(), Some(name));
        assert_eq!(dataplane.parameters.contains_key("guest_xdp"), driver == "xdp", "{dataplane:?}");
    }
    let refused = bench.run("v2v --accel tcg --dataplane bridge --guest-driver dpdk");
    refused.exits(2).says("--guest-driver dpdk needs --dataplane testpmd or ovs-dpdk");
    bench.leaves_nothing_behind();
}

#[test]
fn interfaces_of_a_killed_run_are_removed_by_the_next() {
    let Some(bench) = with_interfaces(Bench::alone()) else { return };
    let before = interfaces();
    let mut running = bench.start_measuring("p2p --dataplane bridge --duration 30");
    running.says("measuring", READY_DEADLINE);
    let tag = format!("vb{}-", running.pid());
    assert_eq!(interfaces().iter().filter(|name| name.starts_with(&tag)).count(), 5);
    running.signal(Signal::KILL);
    running.ends_within(END_DEADLINE).was_ended_by(Signal::KILL);
    bench.run("p2p --duration 100ms --interval 100ms").succeeds().says("removed the interface");
    assert_eq!(interfaces(), before);
    bench.leaves_nothing_behind();
}

#[test]
fn a_switch_that_a_file_describes() {
    let Some(bench) = with_dpdk(Bench::alone()) else { return };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles/testpmd.toml");
    let line = format!("p2p --dataplane {}", path.display());
    let kept = bench.measure_within(&line, SWITCH_DEADLINE);
    holds(&kept, "testpmd-profile", &[("profile", "tested"), ("forwarding", "port to port")]);
    assert_eq!(kept.document.plan.dataplanes, ["testpmd-profile"]);
    bench.leaves_nothing_behind();
}

#[test]
fn a_bad_profile_is_refused_with_its_place() {
    let bench = Bench::idle();
    let path = profile(&bench, "bad", "[\"sh\"]", "exsts = \"x\"");
    let ran = bench.run(&format!("p2p --dataplane {path}"));
    ran.exits(2).says("./bad.toml:9:1:").says("did you mean `exists`?").prints_nothing();
    bench.run("p2p --dataplane ./none.toml").exits(2).says("./none.toml").says("No such file");
    bench.leaves_nothing_behind();
}

#[test]
fn a_switch_that_does_not_start_or_makes_no_socket_is_quoted() {
    let Some(bench) = with_dpdk(Bench::idle()) else { return };
    let path = profile(&bench, "broken", r#"["sh", "-c", "echo out of mbufs; exit 3"]"#, "prints = \"x\"");
    let ran = bench.run(&format!("p2p --dataplane {path}"));
    ran.exits(1).says("cannot bring up broken").says("out of mbufs").says("exit status: 3").says("sh -c");
    bench.leaves_nothing_behind();
    let ready = "exists = \"${dir}/socket\"\nwithin_s = 1";
    let path = profile(&bench, "mute", r#"["sh", "-c", "echo starting; exec sleep 600"]"#, ready);
    let ran = bench.run(&format!("p2p --dataplane {path}"));
    ran.exits(1).says("mute did not get to").says("socket").says("starting").took_less_than(RUN_DEADLINE);
    bench.leaves_nothing_behind();
}

/// The processes of the switch that `running` has started.
fn switch_of(bench: &Bench, program: &str) -> Vec<Found> {
    let named = |process: &Found| process.argv.first().is_some_and(|word| word.ends_with(program));
    let found: Vec<Found> = bench.processes().into_iter().filter(named).collect();
    assert!(!found.is_empty(), "no {program} runs");
    found
}

#[test]
fn a_switch_that_is_killed_in_a_trial_ends_it() {
    let Some(bench) = with_dpdk(Bench::alone()) else { return };
    let mut running = bench.start_measuring("p2p --dataplane testpmd --duration 30");
    running.says("measuring", SWITCH_DEADLINE);
    let switch = switch_of(&bench, "testpmd");
    switch.iter().for_each(|process| fixture::send(process.pid, Signal::KILL));
    let ended = running.ends_within(END_DEADLINE);
    ended.exits(1).says("testpmd ended with signal: 9").says("net_vhost0");
    wait_until_gone(&switch, Duration::ZERO);
    bench.leaves_nothing_behind();
}

#[test]
fn a_switch_dies_with_a_killed_run_and_its_files_go_at_the_next() {
    let Some(bench) = with_dpdk(Bench::alone()) else { return };
    let mut running = bench.start_measuring("p2p --dataplane testpmd --duration 30");
    running.says("measuring", SWITCH_DEADLINE);
    let switch = switch_of(&bench, "testpmd");
    running.signal(Signal::KILL);
    running.ends_within(END_DEADLINE).was_ended_by(Signal::KILL);
    wait_until_gone(&switch, ORPHAN_DEADLINE);
    bench.run("p2p --duration 100ms --interval 100ms").succeeds().says("cleaned up after a run");
    bench.leaves_nothing_behind();
}
