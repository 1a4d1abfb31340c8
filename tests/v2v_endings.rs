//! How a run with guests ends when it is not let be, or when a guest is not well: soon, with a sentence that names
//! the guest, and with nothing left.

mod fixture;

use std::fs;
use std::time::{Duration, Instant};

use fixture::{
    BOOT_DEADLINE, Bench, END_DEADLINE, FakeQemu, GUESTS_END_DEADLINE, ORPHAN_DEADLINE, READY_DEADLINE,
    RUN_DEADLINE, Running, qemu_path, wait_until_gone,
};
use rustix::process::Signal;
use vale_bench::result::Warning;

/// A run long enough to be ended in the middle of its measurement.
const LONG: &str = "v2v --vms 2 --accel tcg --warmup 500ms --duration 120";

/// How long the program waits for an answer of a guest, and for QEMU's first word.
const ANSWER_DEADLINE: Duration = Duration::from_secs(75);
/// How long the program waits for two guests to boot, and some more.
const NO_BOOT_DEADLINE: Duration = Duration::from_secs(120);

fn measuring(bench: &Bench) -> Running {
    let mut running = bench.start_measuring(LONG);
    running.says("measuring", BOOT_DEADLINE);
    running
}

#[test]
fn ctrl_c_while_guests_boot() {
    let Some(bench) = Bench::with_guests() else { return };
    let mut running = bench.start_measuring(LONG);
    running.says("booting 2 guests", READY_DEADLINE);
    let guests = running.await_guests(2, READY_DEADLINE);
    running.interrupt();
    running.ends_within(GUESTS_END_DEADLINE).exits(130).says("interrupted").prints_nothing();
    wait_until_gone(&guests, Duration::ZERO);
    bench.leaves_nothing_behind();
}

#[test]
fn signals_while_guests_measure() {
    let Some(bench) = Bench::with_guests() else { return };
    for (signal, code, sentence) in [(Signal::INT, 130, "interrupted"), (Signal::TERM, 143, "SIGTERM")] {
        let running = measuring(&bench);
        let guests = running.guests();
        assert_eq!(guests.len(), 2);
        assert!(guests.iter().all(|guest| bench.sees(guest)), "a guest that is left would not be found");
        running.signal(signal);
        running.ends_within(GUESTS_END_DEADLINE).exits(code).says(sentence);
        wait_until_gone(&guests, Duration::ZERO);
        assert!(bench.kept("r.json").document.incomplete.is_some_and(|reason| reason.contains(sentence)));
        bench.leaves_nothing_behind();
    }
}

#[test]
fn ctrl_c_keeps_the_trials_that_were_made() {
    let Some(bench) = Bench::with_guests() else { return };
    let line = "v2v --accel tcg --repeat 50 --duration 300ms --warmup 100ms --interval 50ms";
    let mut running = bench.start_measuring(line);
    running.says("3/50] v2v uvale 64 B uni: measuring", BOOT_DEADLINE);
    running.interrupt();
    running.ends_within(GUESTS_END_DEADLINE).exits(130).prints("of 50 trials");
    let kept = bench.kept("r.json");
    assert!((2..50).contains(&kept.adds_up().trials().len()));
    assert!(kept.warns(|w| *w == Warning::Tcg));
    bench.leaves_nothing_behind();
}

#[test]
fn guests_die_with_the_program_and_the_next_start_says_so() {
    let Some(bench) = Bench::with_guests() else { return };
    let running = measuring(&bench);
    let (pid, guests) = (running.pid(), running.guests());
    assert_eq!(guests.len(), 2);
    running.signal(Signal::KILL);
    running.ends_within(END_DEADLINE).was_ended_by(Signal::KILL);
    wait_until_gone(&guests, ORPHAN_DEADLINE);
    let next = bench.run("p2p --duration 200ms --warmup 0 --interval 50ms");
    next.succeeds().says(&format!("cleaned up after a run that was killed (process {pid})"));
    bench.leaves_nothing_behind();
}

#[test]
fn a_guest_that_dies_is_named_and_shown() {
    let Some(bench) = Bench::with_guests() else { return };
    for name in ["vm1", "vm2"] {
        let running = measuring(&bench);
        let guests = running.guests();
        let named = |guest: &&fixture::Found| {
            guest.option("-name").is_some_and(|n| n.split(',').next() == Some(name))
        };
        let victim = guests.iter().find(named).unwrap_or_else(|| panic!("no {name} in {guests:?}"));
        fixture::send(victim.pid, Signal::KILL);
        let killed = Instant::now();
        let ended = running.ends_within(GUESTS_END_DEADLINE);
        assert!(killed.elapsed() < Duration::from_secs(15), "it took {:?}", killed.elapsed());
        ended.exits(1).says(name).says(qemu_path().to_str().unwrap()).says("console");
        wait_until_gone(&guests, Duration::ZERO);
        let reason = bench.kept("r.json").document.incomplete.expect("it ended early");
        assert!(reason.contains(name), "{reason}");
        bench.leaves_nothing_behind();
    }
}

#[test]
fn a_guest_that_stops_answering_is_given_up() {
    let Some(bench) = Bench::with_guests() else { return };
    let mut running = bench.start_measuring("v2v --accel tcg --warmup 500ms --duration 2");
    running.says("measuring", BOOT_DEADLINE);
    let guests = running.guests();
    fixture::send(guests[0].pid, Signal::STOP);
    let ended = running.ends_within(ANSWER_DEADLINE);
    ended.exits(1).says("vm").says(qemu_path().to_str().unwrap());
    wait_until_gone(&guests, Duration::ZERO);
    bench.leaves_nothing_behind();
}

#[test]
fn a_guest_that_never_boots_is_given_up() {
    let Some(bench) = Bench::with_idle_guests() else { return };
    FakeQemu::Stopped.install(&bench);
    let ended = bench.run_within("v2v --accel tcg --qemu ./qemu --out r.json", NO_BOOT_DEADLINE);
    ended.exits(1).says("vm1").says("-name vm1").prints_nothing();
    bench.leaves_nothing_behind();
}

#[test]
fn a_qemu_that_says_nothing_is_given_up() {
    let Some(bench) = Bench::with_idle_guests() else { return };
    FakeQemu::Mute.install(&bench);
    let ended = bench.run_within("v2v --accel tcg --qemu ./qemu", ANSWER_DEADLINE);
    ended.exits(1).says("vm1").says("-name vm1").prints_nothing();
    bench.leaves_nothing_behind();
}

#[test]
fn a_qemu_that_exits_at_once_is_quoted() {
    let Some(bench) = Bench::with_idle_guests() else { return };
    FakeQemu::Exits.install(&bench);
    let ended = bench.run("v2v --accel tcg --qemu ./qemu");
    ended.exits(1).says("vm1").says("the disk is on fire").says("exit status: 7").says("-name vm1");
    ended.prints_nothing().took_less_than(READY_DEADLINE);
    bench.leaves_nothing_behind();
}

#[test]
fn what_is_no_qemu_or_no_kernel_is_named() {
    let Some(bench) = Bench::with_idle_guests() else { return };
    fs::write(bench.path("text"), "This is no kernel.\n").unwrap();
    fs::create_dir(bench.path("empty")).unwrap();
    for (options, words) in [
        ("--qemu /nonexistent/qemu", &["/nonexistent/qemu", "No such file"][..]),
        ("--qemu /bin/false", &["/bin/false", "does not answer as QEMU does"]),
        ("--qemu /bin/echo", &["/bin/echo", "does not answer as QEMU does"]),
        ("--qemu ./text", &["text"]),
        ("--kernel /nonexistent/vmlinuz", &["/nonexistent/vmlinuz", "No such file"]),
        ("--kernel text", &["text", "is not a Linux kernel image"]),
        ("--kernel empty", &["empty", "no readable kernel image", "--kernel"]),
    ] {
        let ran = bench.run_within(&format!("v2v --accel tcg {options}"), RUN_DEADLINE);
        ran.exits(4).prints_nothing().took_less_than(READY_DEADLINE);
        for word in words {
            ran.says(word);
        }
        bench.leaves_nothing_behind();
    }
}
