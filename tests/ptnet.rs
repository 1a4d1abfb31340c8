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
    let netmap = kept.document.manifest.host.netmap.as_ref().expect("it was loaded");
    assert!(netmap.build_id.is_some(), "{netmap:?}");
    let on_ptnet = kept.document.manifest.vms.iter().filter(|vm| vm.dataplane == "vale");
    // The same file is loaded in the guests.
    on_ptnet.for_each(|vm| assert_eq!(vm.netmap.as_ref().unwrap().build_id, netmap.build_id));
    assert!(kept.trials().iter().all(|trial| trial.accounting.received > 1000), "{:?}", kept.trials());
    kept
}

#[test]
fn host_ports_on_the_kernels_vale() {
    let (Some(module), Some(bench)) = (given("VALE_BENCH_NETMAP_KO"), Bench::with_guests()) else { return };
    let kept = measure(&bench, &module, None, "p2p --dataplane vale,uvale --size 64,1518");
    // In an order of their own, which each run draws.
    let mut names: Vec<_> = kept.trials().iter().map(|trial| trial.dataplane.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["uvale", "uvale", "vale", "vale"]);
    bench.leaves_nothing_behind();
}

/// What `ci` found is out of the machine before a check begins, with that check as the one that failed.
#[test]
fn a_panic_amid_checks_loses_none_of_them() {
    let (Some(module), Some(bench)) = (given("VALE_BENCH_NETMAP_KO"), Bench::with_guests()) else { return };
    // There is no grep in the machine. Where two checks have passed, what the first found is out: files leave before
    // the next check begins.
    let script = "
        passed() {
            first=
            while read -r line; do
                case $line in *\"pass\"*) [ $first ] && return 0; first=1;; esac
            done < r.json
            return 1
        }
        echo 1 > /proc/sys/kernel/sysrq
        /init ci 'port.*' 'vale.*' --out r.json --junit r.xml &
        while ! [ -f r.json ] || ! passed; do :; done
        echo c > /proc/sysrq-trigger";
    let shell = if std::path::Path::new("/bin/dash").exists() { "/bin/dash:sh" } else { "/bin/bash:sh" };
    let options = ["--accel", "tcg", "-q", "--module", &module, "--file", shell];
    let words = [&["in-vm"], &options[..], &["--", "./sh", "-c", script]].concat();
    let ran = bench.start_command(bench.command(&words)).ends_within(DEADLINE);
    ran.exits(3).says("kernel panicked").took_less_than(Duration::from_secs(60));
    let read = |name| std::fs::read_to_string(bench.path(name)).unwrap();
    let document: serde_json::Value = serde_json::from_str(&read("r.json")).unwrap();
    let checks = document["checks"].as_array().unwrap();
    let last = checks.last().unwrap();
    assert!(checks.len() > 1 && checks[0]["outcome"] == "pass", "{document:#}");
    assert_eq!((&last["name"], &last["outcome"]), (&document["running"], &"fail".into()), "{document:#}");
    assert!(document["not_run"].as_array().is_some_and(|names| !names.is_empty()), "{document:#}");
    assert!(read("r.xml").contains("the run ended while this check ran"));
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
fn guests_that_forward_by_a_program_and_by_a_switch_of_their_own() {
    let module = given("VALE_BENCH_NETMAP_KO").zip(given("VALE_BENCH_PTNET_QEMU"));
    let (Some((module, qemu)), Some(bench)) = (module, Bench::with_guests()) else { return };
    let module = format!("{module} ptnet_vnet_hdr=0");
    for (forwarder, told) in [("program", None), ("vale", Some("a VALE switch in each guest"))] {
        let command = format!("loopback --vms 1 --dataplane vale --forwarder {forwarder}");
        let kept = measure(&bench, &module, Some(&qemu), &command);
        let parameters = &kept.trial().dataplane.parameters;
        assert_eq!(parameters.get("forwarder").map(String::as_str), told);
    }
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
