//! The kernel's VALE and ptnet guests, in a machine that plays the host.
//!
//! They need what this project neither has nor builds: netmap's module for the guest kernel
//! (`VALE_BENCH_NETMAP_KO`), and a QEMU of the ptnet fork (`VALE_BENCH_PTNET_QEMU`). Where those are not given they
//! say so and pass; with `VALE_BENCH_NETMAP=1` the skip fails.

mod fixture;

use fixture::{Bench, Kept};
use std::time::Duration;

/// A boot of the machine, of two guests in it, and a measurement, all translated.
const DEADLINE: Duration = Duration::from_secs(300);

fn given(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        fixture::skip_without_netmap(&format!("{variable} names no file"));
    }
    value
}

/// Measures in a machine that has netmap; with a QEMU for guests in it if there is one.
fn measure(bench: &Bench, module: &str, qemu: Option<&str>, command: &str) -> Kept {
    let mut words = vec!["in-vm", "--accel", "tcg", "--logs", "logs", "--module", module];
    if let Some(qemu) = qemu {
        words.extend(["--qemu", qemu]);
    }
    words.push("--");
    words.extend(command.split(' '));
    words.extend(["--duration", "1s", "--warmup", "500ms", "--out", "r.json"]);
    bench.start_command(bench.command(&words)).ends_within(DEADLINE).succeeds();
    let kept = bench.kept("r.json");
    kept.adds_up();
    assert!(kept.document.manifest.host.netmap.is_some());
    assert!(kept.trials().iter().all(|trial| trial.accounting.received > 1000), "{:?}", kept.trials());
    kept
}

#[test]
fn host_ports_on_the_kernels_vale() {
    let (Some(module), Some(bench)) = (given("VALE_BENCH_NETMAP_KO"), Bench::with_guests()) else { return };
    let kept = measure(&bench, &module, None, "p2p --dataplane vale,uvale --size 64,1518");
    let names: Vec<_> = kept.trials().iter().map(|trial| trial.dataplane.name.as_str()).collect();
    assert_eq!(names, ["vale", "uvale", "vale", "uvale"]);
    bench.leaves_nothing_behind();
}

#[test]
fn guests_on_ptnet() {
    let module = given("VALE_BENCH_NETMAP_KO").zip(given("VALE_BENCH_PTNET_QEMU"));
    let (Some((module, qemu)), Some(bench)) = (module, Bench::with_guests()) else { return };
    let module = format!("{module} ptnet_vnet_hdr=0");
    for command in [
        "v2v --dataplane vale",
        "p2v --dataplane vale --bidir",
        "v2p --dataplane vale --klooprx on --latency",
    ] {
        let kept = measure(&bench, &module, Some(&qemu), command);
        let dataplane = &kept.trial().dataplane;
        assert_eq!(dataplane.guest_driver.as_deref(), Some("ptnet"));
        assert_eq!(dataplane.parameters["ptnet_vnet_hdr"], "0");
        assert!(!kept.trial().accounting.drops.contains_key("never_taken"), "{:?}", kept.trial().accounting);
    }
    // A pipe blocks its sender instead of dropping.
    let kept = measure(&bench, &module, Some(&qemu), "v2v --dataplane vale --link pipe");
    assert_eq!(kept.trial().accounting.sent, kept.trial().accounting.received);
    bench.leaves_nothing_behind();
}

#[test]
fn guests_with_virtio_before_vale() {
    let module = given("VALE_BENCH_NETMAP_KO").zip(given("VALE_BENCH_PTNET_QEMU"));
    let (Some((module, qemu)), Some(bench)) = (module, Bench::with_guests()) else { return };
    let kept = measure(&bench, &module, Some(&qemu), "v2v --dataplane vale-virtio");
    assert_eq!(kept.trial().dataplane.guest_driver.as_deref(), Some("virtio_net, packet socket"));
    bench.leaves_nothing_behind();
}

#[test]
fn without_netmap_the_kernels_vale_says_what_is_missing() {
    if std::path::Path::new("/dev/netmap").exists() {
        return fixture::skip("this host has netmap");
    }
    let bench = Bench::idle();
    bench.run("p2p --dataplane vale").exits(4).says("load the netmap module").prints_nothing();
    bench.leaves_nothing_behind();
    if let Some(bench) = Bench::with_idle_guests() {
        bench
            .run("v2v --dataplane vale --accel tcg")
            .exits(4)
            .says("load the netmap module")
            .prints_nothing();
        bench.leaves_nothing_behind();
    }
}
