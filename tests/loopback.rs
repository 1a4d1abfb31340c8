//! Chains of real guests that forward, on each dataplane that carries them: where every frame went, hop by hop.

mod fixture;

use fixture::{Bench, GUESTS_DEADLINE, Kept, has_dpdk};
use rustix::process::geteuid;
use std::time::Duration;
use vale_bench::dataplane::ovs;
use vale_bench::result::{Direction, FwdCounts, PortResult, Trial, Warning};

/// Half a second of frames through a chain.
const LINE: &str = "loopback --accel tcg --duration 500ms --warmup 300ms";

fn port<'t>(trial: &'t Trial, name: &str) -> &'t PortResult {
    let found = trial.ports.iter().find(|port| port.name.ends_with(name));
    found.unwrap_or_else(|| panic!("no port {name}: {:?}", trial.ports))
}

fn forwarded<'t>(trial: &'t Trial, name: &str) -> &'t FwdCounts {
    port(trial, name).roles.fwd.as_ref().unwrap_or_else(|| panic!("{name} is no forwarder's"))
}

/// What each machine of the chain forwarded on the way forth, and back.
fn by_machine(trial: &Trial, local: usize) -> Vec<u64> {
    (1..=trial.vms).map(|vm| forwarded(trial, &format!("vm{vm}.{local}")).forwarded_frames).collect()
}

/// On a dataplane that is not ours: frames came through the whole chain, and no machine made any up.
fn goes_through(kept: &Kept, dataplane: &str, vms: u32) {
    let trial = kept.trial();
    assert_eq!((trial.dataplane.name.as_str(), trial.vms), (dataplane, vms));
    let mut before = trial.accounting.sent;
    for forwarded in by_machine(trial, 0) {
        assert!(0 < forwarded && forwarded <= before, "{forwarded} frames of {before}");
        before = forwarded;
    }
    assert!((1..=before).contains(&trial.accounting.received), "{:?}", trial.accounting);
    // Its statistics may miss a burst; the result says how many frames, and it must stay few.
    let unaccounted = trial.accounting.unaccounted.unsigned_abs();
    assert!(unaccounted * 100 <= trial.accounting.sent, "{:?}", trial.accounting);
    let wrong = |w: &Warning| {
        matches!(
            w,
            Warning::CorruptFrames { .. } | Warning::ForeignFrames { .. } | Warning::SequenceErrors { .. }
        )
    };
    assert!(!kept.warns(wrong), "{:?}", trial.warnings);
}

#[test]
fn every_frame_of_a_chain_is_accounted_for_hop_by_hop() {
    let Some(bench) = Bench::with_guests() else { return };
    let kept = bench.measure_within(&format!("{LINE} --vms 2"), GUESTS_DEADLINE);
    let trial = kept.adds_up().trial();
    assert_eq!((trial.scenario.as_str(), trial.vms, trial.ports.len()), ("loopback", 2, 6));
    assert_eq!(trial.dataplane.parameters["segments"], "3");
    let names: Vec<&str> = trial.ports.iter().map(|port| port.name.as_str()).collect();
    let expected =
        ["vale0:host.0", "vale2:host.1", "vale0:vm1.0", "vale1:vm1.1", "vale1:vm2.0", "vale2:vm2.1"];
    assert_eq!(names, expected);
    assert_eq!(trial.throughput.directions.len(), 1);
    // From each port to the next on its switch: what was taken was delivered or dropped, and nothing was flooded.
    for (from, to) in [("host.0", "vm1.0"), ("vm1.1", "vm2.0"), ("vm2.1", "host.1")] {
        let (from, to) = (&port(trial, from).counters, &port(trial, to).counters);
        assert_eq!(from["tx_frames"], to["rx_frames"] + to["drop_rx_full"], "{from:?} to {to:?}");
        assert_eq!(from["flooded"], 0);
    }
    // More than three times around a ring, through the whole chain; and nothing the other way.
    assert!(trial.accounting.received > 3 * 4096, "{:?}", trial.accounting);
    assert_eq!(by_machine(trial, 1), [0, 0]);
    assert_eq!(forwarded(trial, "vm1.0").to, "vale1:vm1.1");
    bench.leaves_nothing_behind();
}

#[test]
fn a_chain_both_ways_with_round_trips_through_it() {
    let Some(bench) = Bench::with_guests() else { return };
    let line = format!("{LINE} --vms 1 --bidir --latency --size imix");
    let kept = bench.measure_within(&line, GUESTS_DEADLINE);
    let trial = kept.adds_up().trial();
    assert_eq!((trial.direction, trial.throughput.directions.len()), (Direction::Bidi, 2));
    assert!(by_machine(trial, 0)[0] > 0 && by_machine(trial, 1)[0] > 0);
    let latency = trial.latency.as_ref().expect("it was asked for");
    assert!(latency.count > 0 && latency.min_ns > 0, "{latency:?}");
    bench.leaves_nothing_behind();
}

#[test]
fn below_what_a_chain_carries_nothing_is_lost_in_it() {
    let Some(bench) = Bench::with_guests() else { return };
    let line = "loopback --vms 2 --accel tcg --rate 5k --duration 1 --warmup 300ms";
    let trial = bench.measure_lossless(line, GUESTS_DEADLINE);
    let sent = trial.trial().accounting.sent;
    assert_eq!(by_machine(trial.trial(), 0), [sent, sent]);
    bench.leaves_nothing_behind();
}

#[test]
fn five_machines_in_a_row() {
    let Some(bench) = Bench::with_guests() else { return };
    let line = "loopback --vms 5 --accel tcg --duration 1 --warmup 500ms";
    let kept = bench.measure_within(line, GUESTS_DEADLINE + Duration::from_secs(60));
    let trial = kept.adds_up().trial();
    assert_eq!((trial.vms, trial.dataplane.parameters["segments"].as_str()), (5, "6"));
    assert!(by_machine(trial, 0).is_sorted_by(|a, b| a >= b && *b > 0), "{:?}", by_machine(trial, 0));
    bench.leaves_nothing_behind();
}

#[test]
fn testpmd_carries_a_chain_of_guests_with_dpdk() {
    let Some(bench) = Bench::with_guests().filter(|_| has_dpdk()) else { return };
    let kept = bench.measure_within(&format!("{LINE} --vms 2 --dataplane testpmd"), GUESTS_DEADLINE);
    goes_through(&kept, "testpmd", 2);
    bench.leaves_nothing_behind();
}

#[test]
fn open_vswitch_carries_a_chain_on_a_bridge_for_each_hop() {
    let Some(bench) = Bench::with_guests().filter(|_| has_dpdk()) else { return };
    if ovs::find().is_none() {
        return fixture::skip("there is no Open vSwitch with DPDK");
    }
    for flows in ["normal", "direct"] {
        let line = format!("{LINE} --vms 1 --dataplane ovs-dpdk --ovs-flows {flows}");
        goes_through(&bench.measure_within(&line, GUESTS_DEADLINE), "ovs-dpdk", 1);
    }
    bench.leaves_nothing_behind();
}

#[test]
fn the_kernels_bridges_carry_a_chain() {
    if !(geteuid().is_root() && vale_bench::machine::has_capability(12)) {
        return fixture::say_skipped("a chain of bridges", "making interfaces needs root with CAP_NET_ADMIN");
    }
    let Some(bench) = Bench::with_guests() else { return };
    let line = format!("{LINE} --vms 2 --dataplane bridge");
    goes_through(&bench.measure_within(&line, GUESTS_DEADLINE), "bridge", 2);
    bench.leaves_nothing_behind();
}

#[test]
fn chains_that_cannot_be_are_refused() {
    let bench = Bench::idle();
    bench.run("loopback --vms 0").exits(2).says("0 is not in 1..=126");
    bench.run("loopback --vms 127").exits(2).says("127 is not in 1..=126");
    bench.run("loopback --vms two").exits(2).says("invalid value 'two' for '--vms <N>'");
    bench.leaves_nothing_behind();
}
