//! Guest to guest, with real guests: what a result must hold, and what it tells of how it came about.

mod fixture;

use fixture::{Bench, GUESTS_DEADLINE, keeps_to};
use vale_bench::result::{Accelerator, Direction, Trial, Warning};

#[test]
fn between_host_and_guest_frames_go_either_way() {
    let Some(bench) = Bench::with_guests() else { return };
    for (line, from, to) in
        [("p2v --accel tcg", "vale0:host", "vale0:vm1"), ("v2p --accel tcg", "vale0:vm1", "vale0:host")]
    {
        let kept = bench.measure_within(line, GUESTS_DEADLINE);
        let direction = &kept.adds_up().trial().throughput.directions[0];
        assert_eq!((direction.from.as_str(), direction.to.as_str()), (from, to));
        assert!(direction.received_frames > 0, "{direction:?}");
        assert_eq!(kept.trial().vms, 1);
    }
    bench.leaves_nothing_behind();
}

#[test]
fn two_guests_add_up_and_the_manifest_tells_how_they_ran() {
    let Some(bench) = Bench::with_guests() else { return };
    let line = "v2v --vms 2 --accel tcg --duration 1 --warmup 500ms --out r.json";
    let ran = bench.run_within(line, GUESTS_DEADLINE);
    let (table, progress) = (&ran.succeeds().stdout, &ran.stderr);
    let kept = bench.kept("r.json");
    let trial = kept.adds_up().trial();
    assert_eq!((trial.scenario.as_str(), trial.vms, trial.ports.len()), ("v2v", 2, 2));
    assert_eq!(trial.dataplane.accelerator, Accelerator::Tcg);
    assert!(trial.dataplane.guest_driver.is_some());
    assert_eq!(trial.ports.iter().map(|p| p.vm.as_deref()).collect::<Vec<_>>(), [Some("vm1"), Some("vm2")]);
    // More than three times around a ring.
    assert!(trial.accounting.received > 3 * 1024, "{:?}", trial.accounting);

    let manifest = &kept.document.manifest;
    assert_eq!(manifest.accelerator, Accelerator::Tcg);
    let qemu = manifest.qemu.as_ref().expect("guests ran on it");
    assert!(qemu.version.starts_with("QEMU emulator version "), "{}", qemu.version);
    let kernel = manifest.guest_kernel.as_ref().expect("guests booted it");
    assert!(kernel.release.as_ref().is_some_and(|r| r.contains('.')), "{kernel:?}");
    assert_eq!(manifest.vms.iter().map(|vm| vm.name.as_str()).collect::<Vec<_>>(), ["vm1", "vm2"]);
    for vm in &manifest.vms {
        assert_eq!((vm.dataplane.as_str(), &vm.argv[0]), ("uvale", &qemu.path));
        assert!(vm.argv.contains(&kernel.path), "{:?}", vm.argv);
        assert!(vm.argv.iter().any(|word| word.starts_with("tcg")), "{:?}", vm.argv);
        // By this its agent knows that there is a translator whose TLB wants fitting.
        assert_eq!(vm.hypervisor.as_deref(), Some("TCGTCGTCGTCG"));
    }

    assert!(kept.warns(|w| *w == Warning::Tcg));
    assert!(table.contains("(TCG)") && table.contains("v2v"), "{table}");
    let wide: Vec<&str> = table.lines().chain(progress.lines()).filter(|l| l.chars().count() > 80).collect();
    assert!(wide.is_empty(), "{wide:?}");
    assert!(
        progress.contains("booting 2 guests") && progress.contains("[1/1] v2v uvale 64 B uni"),
        "{progress}"
    );
    bench.leaves_nothing_behind();
}

#[test]
fn four_guests_three_sizes_both_ways_and_round_trips() {
    let Some(bench) = Bench::with_guests() else { return };
    let line =
        "v2v --vms 4 --size 64,512,1518 --bidir --repeat 1 --latency --accel tcg --duration 1 --warmup 500ms";
    let kept = bench.measure_within(line, GUESTS_DEADLINE);
    assert_eq!(kept.adds_up().trials().len(), 3);
    for trial in kept.trials() {
        assert_eq!((trial.vms, trial.direction, trial.throughput.directions.len()), (4, Direction::Bidi, 4));
        let latency = trial.latency.as_ref().expect("it was asked for");
        assert!(latency.count > 0 && latency.min_ns <= latency.p50_ns && latency.p50_ns <= latency.max_ns);
        let pinged = trial.ports.iter().filter(|port| port.roles.rx.is_some()).count();
        assert_eq!(pinged, 4);
    }
    bench.run("show r.json --format markdown").succeeds().prints("| 1518 |");
    bench.leaves_nothing_behind();
}

#[test]
fn one_guest_to_all_others_and_all_to_one() {
    let Some(bench) = Bench::with_guests() else { return };
    let line = "v2v --vms 3 --accel tcg --duration 500ms --warmup 300ms --pattern";
    let kept = bench.measure_within(&format!("{line} one-to-many"), GUESTS_DEADLINE);
    let trial = kept.adds_up().trial();
    assert_eq!((trial.scenario.as_str(), trial.vms), ("v2v-one-to-many", 3));
    let ends = |t: &Trial| {
        t.throughput.directions.iter().map(|d| format!("{} to {}", d.from, d.to)).collect::<Vec<_>>()
    };
    assert_eq!(ends(trial), ["vale0:vm1 to vale0:vm2", "vale0:vm1 to vale0:vm3"]);
    // It sends to each in turn.
    let delivered = |port: usize| {
        let counters = &trial.ports[port].counters;
        counters["rx_frames"] + counters["drop_rx_full"]
    };
    let (one, other) = (delivered(1) as f64, delivered(2) as f64);
    assert!((one - other).abs() <= 0.01 * one + 1024.0, "{one} and {other}");
    let kept = bench.measure_within(&format!("{line} many-to-one --rate 5k"), GUESTS_DEADLINE);
    let trial = kept.adds_up().trial();
    assert_eq!(ends(trial), ["vale0:vm1 + vale0:vm2 to vale0:vm3"]);
    assert_eq!(trial.ports[2].roles.rx.as_ref().unwrap().streams.len(), 2);
    keeps_to(trial, 1e4);
    bench.leaves_nothing_behind();
}

#[test]
fn below_saturation_nothing_is_lost_between_guests() {
    let Some(bench) = Bench::with_guests() else { return };
    let line = "v2v --rate 10k --accel tcg --duration 2 --warmup 500ms";
    keeps_to(bench.measure_lossless(line, GUESTS_DEADLINE).trial(), 1e4);
    bench.leaves_nothing_behind();
}

#[test]
fn without_being_told_an_accelerator_it_takes_one_that_works() {
    let Some(bench) = Bench::with_guests() else { return };
    let kept = bench.measure_within("v2v --duration 300ms --warmup 100ms --interval 50ms", GUESTS_DEADLINE);
    let accelerator = kept.adds_up().document.manifest.accelerator;
    assert_ne!(accelerator, Accelerator::None);
    let refused = kept.warns(|w| matches!(w, Warning::KvmUnusable { .. }));
    assert_eq!(refused, accelerator == Accelerator::Tcg, "a fallback is told with its reason");
    assert_eq!(kept.warns(|w| *w == Warning::Tcg), accelerator == Accelerator::Tcg);
    bench.leaves_nothing_behind();
}

#[test]
fn small_rings_imix_large_guests_and_kept_consoles() {
    let Some(bench) = Bench::with_guests() else { return };
    let line = "v2v --slots 64 --size imix --bidir --accel tcg --keep-console consoles --duration 1 --warmup 200ms \
                --guest-cpus 2 --guest-ram 512M";
    let kept = bench.measure_within(line, GUESTS_DEADLINE);
    let trial = kept.adds_up().trial();
    assert_eq!(trial.dataplane.parameters["slots"], "64");
    for vm in &kept.document.manifest.vms {
        assert!(vm.argv.iter().any(|word| word.starts_with("2,sockets=")), "{:?}", vm.argv);
        assert!(vm.argv.iter().any(|word| word == "512M"), "{:?}", vm.argv);
    }
    for guest in ["vm1", "vm2"] {
        // Empty if all went well: the kernel is told to be quiet, and the agent is.
        assert!(bench.path("consoles").join(format!("{guest}.log")).is_file(), "no console of {guest}");
    }
    bench.leaves_nothing_behind();
}

#[test]
fn the_doctor_knows_whether_guests_can_run() {
    let Some(bench) = Bench::with_idle_guests() else { return };
    let runs = |options: &str| -> bool {
        let ran = bench.run(&format!("doctor --json {options}"));
        let diagnosis: serde_json::Value = serde_json::from_str(&ran.succeeds().stdout).unwrap();
        let abilities = diagnosis["abilities"].as_array().unwrap();
        let v2v = abilities.iter().find(|a| a["scenario"] == "v2v" && a["dataplane"] == "uvale");
        v2v.and_then(|a| a["runs"].as_bool()).unwrap_or_else(|| panic!("{ran}"))
    };
    assert!(runs(""));
    assert!(!runs("--qemu /nonexistent/qemu"));
    assert!(!runs("--kernel /nonexistent/vmlinuz"));
    bench.leaves_nothing_behind();
}
