//! `in-vm` on real QEMU: what goes in, what comes out, and how the ends of a machine are told apart.

mod fixture;

use fixture::{Bench, Finished};
use std::path::PathBuf;
use std::time::Duration;

/// A boot under TCG on a busy machine, and a little work.
const DEADLINE: Duration = Duration::from_secs(150);

/// A shell script in a machine, in whose working directory there is a file called `carried`.
fn script(bench: &Bench, options: &[&str], script: &str) -> Finished {
    // Bash has its echo and its file tests built in.
    let shell = ["/bin/dash", "/bin/bash"].map(PathBuf::from).into_iter().find(|shell| shell.exists());
    let shell = format!("{}:sh", shell.expect("this system has a shell").display());
    std::fs::write(bench.path("carried"), "carried in\n").unwrap();
    let mut words = vec!["in-vm", "--accel", "tcg", "--file", &shell, "--file", "carried"];
    words.extend(options);
    words.extend(["--", "./sh", "-c", script]);
    bench.start_command(bench.command(&words)).ends_within(DEADLINE)
}

#[test]
fn a_benchmark_in_a_machine_leaves_its_result_here() {
    let Some(bench) = Bench::with_guests() else { return };
    let line =
        "in-vm --accel tcg --logs logs --results out -- p2p --duration 300ms --warmup 100ms --out r.json";
    bench.run_within(line, DEADLINE).succeeds().prints("uvale").prints("Raw data: r.json").says("measuring");
    let kept = bench.kept("out/r.json");
    assert_eq!(kept.adds_up().trials().len(), 1);
    let model = kept.document.manifest.host.cpu.model.as_deref();
    assert!(model.is_some_and(|model| model.starts_with("QEMU TCG CPU")), "{model:?}");
    assert_eq!(kept.document.manifest.host.cpu.online_cpus, 2);
    let log = std::fs::read_to_string(bench.path("logs/kernel.log")).unwrap();
    assert!(log.contains("Linux version"), "{log}");
    assert!(bench.path("logs/console.log").exists());
    bench.leaves_nothing_behind();
}

#[test]
fn output_files_and_exit_codes_come_out() {
    let Some(bench) = Bench::with_guests() else { return };
    let text =
        "read line < carried; echo \"it was $line\"; echo to the other >&2; echo new > new.txt; exit 7";
    script(&bench, &[], text)
        .exits(7)
        .prints("it was carried in")
        .says("to the other")
        .says("exit code 7 in the machine");
    assert_eq!(std::fs::read_to_string(bench.path("new.txt")).unwrap(), "new\n");
    script(&bench, &["-q"], "kill -9 $$").exits(1).says("signal 9");
    bench.leaves_nothing_behind();
}

#[test]
fn a_panic_is_told_from_a_warning_from_a_machine_that_went() {
    let Some(bench) = Bench::with_guests() else { return };
    script(&bench, &["-q"], "echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger")
        .exits(3)
        .says("kernel panicked")
        .says("sysrq triggered crash")
        .took_less_than(Duration::from_secs(60));
    let warning = "echo '<4>WARNING: CPU: 0 PID: 1 at a test' > /dev/kmsg";
    script(&bench, &["-q"], warning).exits(3).says("kernel warned").says("at a test").says("exit code 0");
    script(&bench, &["-q", "--allow-warnings"], warning).succeeds();
    script(
        &bench,
        &["-q"],
        "echo 1 > /proc/sys/kernel/sysrq; echo o > /proc/sysrq-trigger; while :; do :; done",
    )
    .exits(1)
    .says("the guest is gone")
    .says("Power");
    bench.leaves_nothing_behind();
}

#[test]
fn a_command_that_does_not_end_is_ended() {
    let Some(bench) = Bench::with_guests() else { return };
    script(&bench, &["-q", "--timeout", "2s"], "while :; do :; done").exits(1).says("did not end within 2s");
    script(&bench, &["-q", "--timeout", "2s"], "while :; do echo on and on; done")
        .exits(1)
        .prints("on and on")
        .says("did not end within 2s");
    bench.leaves_nothing_behind();
}

#[test]
fn what_cannot_go_in_is_refused_before_anything_starts() {
    let Some(bench) = Bench::with_idle_guests() else { return };
    std::fs::write(bench.path("not.ko"), "no module").unwrap();
    for (line, sentence) in [
        ("in-vm --module not.ko -- doctor", "not.ko is not a kernel module"),
        ("in-vm --module /nonexistent.ko -- doctor", "/nonexistent.ko"),
        ("in-vm --qemu /bin/true -- doctor", "does not answer as QEMU does"),
        ("in-vm --file /nonexistent -- doctor", "/nonexistent"),
        ("in-vm --file ../x -- doctor", "name a place"),
        ("in-vm --results not.ko -- doctor", "cannot make not.ko"),
        ("in-vm --memory 5 -- doctor", "256"),
        ("in-vm", "COMMAND"),
    ] {
        bench.run(line).exits(2).says(sentence).prints_nothing();
    }
    bench.leaves_nothing_behind();
}
