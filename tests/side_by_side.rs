//! Several dataplanes in one run, and suites: the order of trials, what happens to those that cannot run or fail, and
//! going on after an interruption.

mod fixture;

use std::collections::BTreeSet;
use std::fs;

use fixture::{Bench, END_DEADLINE, GUESTS_DEADLINE, READY_DEADLINE, RUN_DEADLINE, has_dpdk};
use vale_bench::result::{NetmapModule, ResultDocument, Trial};

/// How long a trial is here.
const BRIEF: &str = "--duration 200ms --warmup 50ms --interval 50ms";

fn has_netmap() -> bool {
    std::path::Path::new("/dev/netmap").exists()
}

#[test]
fn what_cannot_run_here_is_listed_and_the_rest_runs() {
    if has_netmap() {
        return;
    }
    let bench = Bench::new();
    let ran = bench.run(&format!("p2p --dataplane uvale,vale --repeat 2 {BRIEF} --out r.json"));
    ran.exits(0).says("p2p on vale is left out: ").says("netmap");
    let kept = bench.kept("r.json");
    assert!(kept.adds_up().trials().iter().all(|trial| trial.dataplane.name == "uvale"));
    assert_eq!((kept.trials().len(), kept.document.skipped.len()), (2, 1));
    assert!(ran.stdout.contains("! Not run: p2p on vale: "), "{ran}");
    bench.leaves_nothing_behind();
}

#[test]
fn a_switch_that_is_a_program_is_started_for_every_round() {
    if !has_dpdk() {
        return;
    }
    let bench = Bench::alone();
    let kept =
        bench.measure_within(&format!("p2p --dataplane uvale,testpmd --repeat 3 {BRIEF}"), 2 * RUN_DEADLINE);
    let rounds = |name: &str| kept.trials().iter().filter(|trial| trial.dataplane.name == name).count();
    assert_eq!((rounds("uvale"), rounds("testpmd"), kept.document.failed.len()), (3, 3, 0));
    let rows = bench
        .run("show r.json")
        .succeeds()
        .stdout
        .lines()
        // As far as the first table goes.
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("testpmd "))
        .count();
    assert_eq!(rows, 1, "the rounds of a dataplane are one row");
    bench.leaves_nothing_behind();
}

#[test]
fn where_nothing_can_run_that_is_said_with_every_reason() {
    if has_netmap() {
        return;
    }
    let bench = Bench::new();
    let ran = bench.run(&format!("p2p --dataplane vale,vale-virtio {BRIEF}"));
    ran.exits(4).says("nothing can run here: ").says("vale-virtio");
    bench.leaves_nothing_behind();
}

/// Three arms: p2p with one, two and three pairs of ports.
const SUITE: &str = r#"
title = "three arms"
[[run]]
scenario = "p2p"
pairs = [1, 2, 3]
size = [64, 256]
bidir = [false, true]
repeat = 3
warmup = "20ms"
duration = "150ms"
interval = "50ms"
"#;

/// Arms in the order in which a round went through them.
fn arms(trials: &[Trial], repeat: u32) -> Vec<usize> {
    let mut arms: Vec<usize> =
        trials.iter().filter(|t| t.repeat == repeat).map(|t| t.ports.len() / 2).collect();
    arms.dedup();
    arms
}

fn key(trial: &Trial) -> (u32, usize, String, &'static str) {
    (trial.repeat, trial.ports.len(), trial.frame_size.label.clone(), trial.direction.label())
}

#[test]
fn a_round_goes_through_every_arm_once_in_an_order_of_its_own() {
    let bench = Bench::new();
    fs::write(bench.path("s.toml"), SUITE).unwrap();
    bench.run("suite s.toml --seed 7 --format csv").exits(0).says("wrote s.html");
    let page = fs::read_to_string(bench.path("s.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("Throughput"), "{}", page.len());
    let first = bench.kept("s.json");
    first.adds_up();
    assert_eq!(first.trials().len(), 36);
    assert_eq!(first.trials().iter().map(key).collect::<BTreeSet<_>>().len(), 36);
    let orders: Vec<_> = (1..=3).map(|repeat| arms(first.trials(), repeat)).collect();
    for order in &orders {
        assert_eq!(order.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([1, 2, 3]), "{orders:?}");
        assert_eq!(order.len(), 3, "an arm is up once in a round: {orders:?}");
    }
    assert!(orders.iter().any(|order| *order != orders[0]), "{orders:?}");
    assert_eq!(first.document.plan.seed, Some(7));
    // The same seed gives the same order.
    bench.run("suite s.toml --seed 7 --out again.json --quiet").exits(0);
    let again = bench.kept("again.json");
    assert!(again.trials().iter().map(key).eq(first.trials().iter().map(key)));
    bench.leaves_nothing_behind();
}

#[test]
fn a_suite_goes_on_where_it_was_interrupted() {
    let bench = Bench::new();
    fs::write(bench.path("s.toml"), SUITE).unwrap();
    let mut running = bench.start("suite s.toml");
    running.says("[ 5/36]", READY_DEADLINE).interrupt();
    running.ends_within(END_DEADLINE).exits(130);
    let half = bench.kept("s.json");
    assert_eq!(half.document.incomplete.as_deref(), Some("interrupted"));
    let made = half.trials().len();
    assert!((4..36).contains(&made), "{made} trials");
    let ran = bench.run("suite s.toml --format csv");
    ran.exits(0).says(&format!("{made} of 36 trials are done"));
    let whole = bench.kept("s.json");
    assert_eq!((whole.document.incomplete.as_ref(), whole.trials().len()), (None, 36));
    assert_eq!(whole.trials()[..made], half.trials()[..]);
    assert_eq!(whole.trials().iter().map(key).collect::<BTreeSet<_>>().len(), 36);
    assert_eq!(whole.document.plan.suite.as_ref().unwrap().resumed_at.len(), 1);
    // Once more there is nothing to do, and the result is shown.
    bench.run("suite s.toml").exits(0).never_says("[ 1/36]");
    // Another text is another suite, and another result is none of it.
    fs::write(bench.path("s.toml"), SUITE.replace("150ms", "160ms")).unwrap();
    bench.run("suite s.toml").exits(2).says("as it was before it was changed; --restart begins anew");
    bench.run(&format!("p2p {BRIEF} --out other.json --html page")).exits(0).says("page/index.html");
    assert!(bench.path("page/index.html").is_file());
    bench.run("suite s.toml --out other.json").exits(2).says("holds another result");
    bench.run("suite s.toml --out s.html").exits(2).says("the page and the document cannot both be");
    bench.leaves_nothing_behind();
}

#[test]
fn a_suite_goes_on_with_the_guests_it_began_with() {
    let Some(bench) = Bench::with_guests() else { return };
    let run = "[[run]]\nscenario = \"p2v\"\nduration = \"200ms\"\nwarmup = \"50ms\"\ninterval = \"50ms\"\nrepeat = 2\n";
    fs::write(bench.path("s.toml"), run).unwrap();
    bench.run_within("suite s.toml --accel tcg", GUESTS_DEADLINE).succeeds();
    let mut half = bench.kept("s.json").document;
    let guests = half.manifest.vms.clone();
    assert_eq!((half.manifest.guest_cpus, half.trials.len(), guests.len()), (Some(1), 2, 1));
    half.trials.pop();
    let text = serde_json::to_string(&half).unwrap();
    fs::write(bench.path("s.json"), &text).unwrap();
    // Found only when guests are needed.
    let line = "suite s.toml --accel tcg --guest-cpus 2 --guest-ram 600M";
    let said =
        "other guests: guests.memory: 448M against 600M; guests.vcpus: 1 against 2; --restart begins anew";
    bench.run_within(line, GUESTS_DEADLINE).exits(2).says(said);
    assert_eq!(fs::read_to_string(bench.path("s.json")).unwrap(), text, "it is left as it was");
    // What guests say of themselves is found when they are up.
    let module = NetmapModule { build_id: Some("e60d04".into()), ..NetmapModule::default() };
    half.manifest.vms[0].netmap = Some(module);
    let other = serde_json::to_string(&half).unwrap();
    fs::write(bench.path("s.json"), &other).unwrap();
    let ran = bench.run_within("suite s.toml --accel tcg", GUESTS_DEADLINE);
    ran.exits(2).says("other guests: guests.netmap: build e60d04 against unknown; --restart begins anew");
    assert_eq!(fs::read_to_string(bench.path("s.json")).unwrap(), other, "it is left as it was");
    fs::write(bench.path("s.json"), &text).unwrap();
    bench.run_within("suite s.toml --accel tcg", GUESTS_DEADLINE).succeeds();
    let whole = bench.kept("s.json").document;
    assert_eq!((whole.trials.len(), whole.manifest.vms), (2, guests));
    bench.leaves_nothing_behind();
}

#[test]
fn a_suite_tells_what_it_would_measure() {
    let bench = Bench::idle();
    fs::write(bench.path("s.toml"), SUITE).unwrap();
    let ran = bench.run("suite s.toml --list");
    ran.exits(0);
    assert!(ran.stdout.contains("p2p on uvale: 12 trials in 3 rounds"), "{ran}");
    assert!(ran.stdout.contains("36 trials, about "), "{ran}");
    for name in ["quick", "conext19", "full"] {
        bench.run(&format!("suite {name} --list")).exits(0);
    }
    assert!(!bench.path("s.json").exists());
}

#[test]
fn a_run_that_was_interrupted_keeps_what_there_is() {
    let bench = Bench::new();
    let mut running = bench.start(&format!("p2p --dataplane uvale,vale --repeat 50 {BRIEF} --out r.json"));
    running.says("[  3/100]", READY_DEADLINE).interrupt();
    let ended = running.ends_within(END_DEADLINE);
    ended.exits(130);
    let document = ResultDocument::read(&bench.path("r.json")).unwrap();
    assert!(document.trials.len() >= 2 && document.incomplete.as_deref() == Some("interrupted"));
    assert!(ended.stdout.contains("! Incomplete: "), "{ended}");
    bench.leaves_nothing_behind();
}
