//! How a run without guests ends when it is not let be: signals, and disks that are full.

mod fixture;

use std::process::Command;
use std::time::Duration;

use fixture::{Bench, END_DEADLINE, READY_DEADLINE, RUN_DEADLINE, Running, skip};
use rustix::process::Signal;

/// Starts a run of a hundred trials and waits until it says `text`.
fn long_run(bench: &Bench, text: &str) -> Running {
    let line = "p2p --size 64 --repeat 100 --duration 300ms --warmup 50ms --interval 50ms";
    let mut running = bench.start_measuring(line);
    running.says(text, READY_DEADLINE);
    running
}

#[test]
fn ctrl_c_keeps_what_was_measured_and_marks_it() {
    let bench = Bench::new();
    let running = long_run(&bench, "3/100] p2p uvale 64 B uni: measuring");
    running.interrupt();
    let ended = running.ends_within(END_DEADLINE);
    ended.exits(130).says("interrupted").prints("Incomplete: ").prints("of 100 trials");
    let kept = bench.kept("r.json");
    assert_eq!(kept.document.incomplete.as_deref(), Some("interrupted"));
    let made = kept.adds_up().trials().len();
    assert!((2..100).contains(&made), "{made} trials");
    bench.run("show r.json").succeeds().prints("Incomplete: ");
    bench.leaves_nothing_behind();
}

#[test]
fn ctrl_c_before_the_first_trial_is_over() {
    let bench = Bench::new();
    let running = long_run(&bench, "1/100] p2p uvale 64 B uni: warm-up");
    running.interrupt();
    running.ends_within(END_DEADLINE).exits(130).says("interrupted").prints_nothing();
    let kept = bench.kept("r.json");
    assert_eq!(kept.document.incomplete.as_deref(), Some("interrupted"));
    assert_eq!(kept.trials().len(), 0);
    bench.leaves_nothing_behind();
}

#[test]
fn every_signal_that_asks_is_obeyed() {
    let bench = Bench::new();
    for (signal, code, sentence) in [
        (Signal::INT, 130, "interrupted"),
        (Signal::TERM, 143, "SIGTERM"),
        (Signal::HUP, 129, "the terminal went away"),
    ] {
        let running = long_run(&bench, "1/100] p2p uvale 64 B uni: measuring");
        running.signal(signal);
        // Impatience changes nothing.
        running.signal(signal);
        running.ends_within(END_DEADLINE).exits(code).says(sentence);
        bench.leaves_nothing_behind();
    }
}

#[test]
fn ctrl_c_among_round_trips() {
    let bench = Bench::new();
    let mut running = bench.start_measuring("p2p --latency --duration 2 --warmup 0");
    running.says("latency", READY_DEADLINE);
    running.interrupt();
    running.ends_within(END_DEADLINE).exits(130);
    bench.leaves_nothing_behind();
}

#[test]
fn after_a_run_that_was_killed_the_next_cleans_up_and_says_so() {
    let bench = Bench::new();
    let killed = long_run(&bench, "2/100] p2p uvale 64 B uni: measuring");
    let pid = killed.pid();
    killed.signal(Signal::KILL);
    killed.ends_within(END_DEADLINE).was_ended_by(Signal::KILL);
    assert_eq!(bench.runtime_files(), [format!("run-{pid}-0")]);
    // What was measured before is whole: it was written trial by trial.
    assert_eq!(bench.kept("r.json").trials().len(), 1);

    let next = bench.run("p2p --duration 200ms --warmup 0 --interval 50ms");
    next.succeeds().says(&format!("cleaned up after a run that was killed (process {pid})"));
    bench.leaves_nothing_behind();
    bench.run("p2p --duration 200ms --warmup 0 --interval 50ms").succeeds().never_says("cleaned up");
}

#[test]
fn a_full_disk_costs_the_file_and_not_the_figures() {
    let bench = Bench::new();
    // In a mount namespace of its own, so that the file system goes with the process.
    let unshare = ["--mount", "--map-root-user", "--propagation", "private"];
    let can_mount =
        Command::new("unshare").args(unshare).args(["mount", "-t", "tmpfs", "none", "/mnt"]).output();
    match can_mount {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            return skip(&format!(
                "no file system can be mounted: {}",
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        Err(error) => return skip(&format!("unshare(1) of util-linux: {error}")),
    }
    std::fs::create_dir(bench.path("small")).unwrap();
    let program = env!("CARGO_BIN_EXE_vale-bench");
    let script = format!(
        "mount -t tmpfs -o size=4k none small || exit 99; \
         {program} p2p --duration 300ms --warmup 0 --interval 10ms --repeat 3 --out small/r.json; code=$?; \
         echo \"left: $(ls -A small)\" >&2; exit $code"
    );
    let mut command = Command::new("unshare");
    command.args(unshare).args(["sh", "-c", &script]);
    let ended = bench.start_command(command).ends_within(RUN_DEADLINE);
    ended.exits(1).says("cannot write small/r.json: No space left on device").says("left: \n");
    ended.prints("uvale").prints("Incomplete: 1 of 3 trials");
    bench.leaves_nothing_behind();
}

#[test]
fn a_full_disk_behind_standard_output_is_a_failure() {
    let bench = Bench::new();
    let program = env!("CARGO_BIN_EXE_vale-bench");
    let line = format!("{program} p2p --duration 200ms --warmup 0 --interval 50ms --out r.json > /dev/full");
    let mut command = Command::new("sh");
    command.args(["-c", &line]);
    let ended = bench.start_command(command).ends_within(RUN_DEADLINE);
    ended.exits(1).says("cannot write to standard output").says("No space left on device");
    bench.kept("r.json").adds_up();
    bench.leaves_nothing_behind();
}

#[test]
fn a_switch_ends_in_good_order_however_it_is_asked() {
    let bench = Bench::new();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut switch = bench.start("switch");
        switch.says("is ready", READY_DEADLINE);
        assert_eq!(bench.runtime_files(), ["vale0.sock"]);
        switch.signal(signal);
        switch.ends_within(END_DEADLINE).succeeds().took_less_than(Duration::from_secs(30));
        bench.leaves_nothing_behind();
    }
}
