//! The program from outside: what it prints at 80 columns, in a pipe and on a terminal, and how it exits.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use vale_bench::provenance;
use vale_bench::result::{
    Accelerator, Accounting, Dataplane, Direction, DirectionThroughput, FrameSize, Offered, OutputFile, Plan,
    Rates, ResultDocument, Throughput, Trial, Warning,
};

const COMMANDS: [&str; 15] = [
    "v2v",
    "p2p",
    "suite",
    "tx",
    "rx",
    "ping",
    "pong",
    "switch",
    "show",
    "compare",
    "trend",
    "published",
    "doctor",
    "schema",
    "completions",
];

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vale-bench"));
    command.env_remove("NO_COLOR").env_remove("COLUMNS").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Fails with `line` if the program does not exit with `code` and a sentence with `part` on standard error.
fn refused(arguments: &[&str], code: i32, part: &str) {
    let output = run(arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(said.contains(part), "{arguments:?}: {said}");
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
}

/// A kept result of one trial under TCG.
fn kept(directory: &Path) -> PathBuf {
    let rates = Rates::new(2_910_000, 2_910_000 * 64, 1_000_000_000);
    let direction = DirectionThroughput {
        from: "vale0:1".into(),
        to: "vale0:2".into(),
        received_frames: 2_910_000,
        received_bytes: 2_910_000 * 64,
        rates,
    };
    let mut document = ResultDocument::new(
        provenance::manifest(),
        Plan { trials: 1, dataplanes: vec!["uvale".into()], ..Plan::default() },
    );
    document.trials.push(Trial {
        scenario: "v2v".into(),
        dataplane: Dataplane {
            name: "uvale".into(),
            accelerator: Accelerator::Tcg,
            guest_driver: Some("uvale".into()),
            parameters: BTreeMap::new(),
        },
        vms: 2,
        frame_size: FrameSize { label: "64".into(), sizes_bytes: vec![64], at_random: false },
        direction: Direction::Uni,
        offered: Offered::Max,
        flows: 1,
        load: None,
        repeat: 1,
        order: 1,
        duration_s: 1.0,
        warmup_s: 0.0,
        ports: Vec::new(),
        windows: Vec::new(),
        throughput: Throughput::new(vec![direction]),
        accounting: Accounting::new(3_000_000, 2_910_000, BTreeMap::from([("full".into(), 90_000)])),
        switch_cpu_ns: None,
        cost: None,
        latency: None,
        latency_under_load: Vec::new(),
        latency_floor: None,
        warnings: vec![Warning::Loss { ratio: 0.03 }],
    });
    let path = directory.join("r.json");
    OutputFile::prepare(&path).unwrap().write(&document).unwrap();
    path
}

#[test]
fn every_help_fits_80_columns_and_has_examples() {
    let top = run(&["--help"]);
    assert!(top.status.success());
    for part in ["Examples:", "Exit codes:", "Environment:"] {
        assert!(text(&top.stdout).contains(part));
    }
    for command in COMMANDS {
        for flag in ["-h", "--help"] {
            let help = run(&[command, flag]);
            assert!(help.status.success() && help.stderr.is_empty());
            let help = text(&help.stdout);
            let wide: Vec<&str> = help.lines().filter(|line| line.chars().count() > 80).collect();
            assert!(wide.is_empty(), "{command}: {wide:?}");
            assert!(help.contains(&format!("Usage: vale-bench {command}")), "{help}");
            let told = ["schema", "doctor"].contains(&command) || help.contains("Example");
            assert!(told, "{command} has no example");
        }
    }
}

#[test]
fn the_version_names_the_commit_if_it_is_known() {
    let version = run(&["--version"]);
    assert_eq!(text(&version.stdout), format!("vale-bench {}\n", provenance::VERSION));
}

#[test]
fn usage_errors_exit_with_2_and_say_what_would_be_right() {
    refused(&["v2v", "--vms", "3"], 2, "must be even");
    refused(&["v2v", "--dataplane", "nosuch"], 2, "there is no dataplane \"nosuch\"; there is uvale");
    refused(&["p2p", "--size", "63"], 2, "at least 64 bytes");
    refused(&["p2p", "--rate", "quick"], 2, "is not a rate");
    refused(&["tx"], 2, "--interface <PORT>");
    refused(&["nosuch"], 2, "unrecognized subcommand");
    refused(&["completions", "cmd"], 2, "possible values");
    refused(&[], 2, "Usage: vale-bench <COMMAND>");
}

#[test]
fn a_kept_result_is_shown_in_every_format() {
    let directory = tempfile::tempdir().unwrap();
    let path = kept(directory.path());
    let path = path.to_str().unwrap();
    let show = |format: &str| {
        let output = run(&["show", path, "--format", format]);
        assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    let table = show("table");
    assert_eq!(text(&run(&["show", path]).stdout), table);
    let last = format!("Raw data: {path}\n");
    assert!(table.ends_with(&last), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80 || line.starts_with("Raw data")), "{table}");
    assert!(table.contains("uvale         64  2.91     1.96    3.00\n"), "{table}");
    assert!(table.contains("(TCG)") && !table.contains('\x1b'), "{table}");
    assert!(show("markdown").contains("| uvale | 64 | 2.91 | 1.96 | 3.00 |\n"));
    assert_eq!(show("csv").lines().count(), 2);
    assert_eq!(show("json"), fs::read_to_string(path).unwrap());
}

#[test]
fn colours_on_a_terminal_unless_they_are_not_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let path = kept(directory.path());
    let on_terminal = |no_color: &str, term: &str| {
        let line = format!("{} show {}", env!("CARGO_BIN_EXE_vale-bench"), path.display());
        let output = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .env("NO_COLOR", no_color)
            .env("TERM", term)
            .stdin(Stdio::null())
            .output()
            .expect("script(1) of util-linux gives a terminal");
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(on_terminal("", "xterm").contains("\x1b[1m"));
    assert!(!on_terminal("1", "xterm").contains('\x1b'));
    assert!(!on_terminal("", "dumb").contains('\x1b'));
}

#[test]
fn files_that_are_no_results_exit_with_2() {
    let directory = tempfile::tempdir().unwrap();
    let path = kept(directory.path());
    let good = fs::read_to_string(&path).unwrap();
    let show = |name: &str, contents: &str, part: &str| {
        let path = directory.path().join(name);
        fs::write(&path, contents).unwrap();
        refused(&["show", path.to_str().unwrap()], 2, part);
        refused(&["show", path.to_str().unwrap()], 2, &format!("{name} "));
    };
    show("cut.json", &good[..good.len() - 20], "is truncated: it ends at line");
    show("other.json", &good.replace("result/1", "result/9"), "follows the schema \"vale-bench/result/9\"");
    show("text.json", "Mpps: 3\n", "is not JSON at line 1, column 1");
    show("empty.json", "", "is empty");
    show("else.json", "{\"a\":1}", "not a vale-bench result");
    refused(&["show", "/nonexistent.json"], 2, "vale-bench: cannot read /nonexistent.json: No such file");
}

#[test]
fn the_schema_is_printed_and_a_kept_result_follows_it() {
    let printed = run(&["schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/result-1.json");
    assert_eq!(text(&printed.stdout), fs::read_to_string(stored).unwrap());
    let directory = tempfile::tempdir().unwrap();
    let value: serde_json::Value =
        serde_json::from_slice(&fs::read(kept(directory.path())).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let problems: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert_eq!(problems, [""; 0]);
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let mut child =
        program().args(["completions", "zsh"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn a_full_disk_is_a_failure() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = program().arg("schema").stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot write to standard output: No space left"));
}

#[test]
fn completions_for_every_shell_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert!(output.status.success());
        for word in ["v2v", "doctor", "dataplane"] {
            assert!(text(&output.stdout).contains(word), "{shell} does not know {word}");
        }
    }
    // What bash reads must at least be bash.
    let script = run(&["completions", "bash"]).stdout;
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut bash.stdin.take().unwrap(), &script).unwrap();
    assert!(bash.wait().unwrap().success());
}

#[test]
fn the_doctor_tells_the_same_to_people_and_programs() {
    let directory = tempfile::tempdir().unwrap();
    let doctor = |arguments: &[&str]| {
        let output = program()
            .env("VALE_BENCH_RUNTIME_DIR", directory.path().join("run"))
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    let table = doctor(&["doctor"]);
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    let value: serde_json::Value = serde_json::from_str(&doctor(&["doctor", "--json"])).unwrap();
    for check in value["checks"].as_array().unwrap() {
        assert!(table.contains(check["name"].as_str().unwrap()), "{check}");
    }
    let p2p = &value["abilities"][0];
    assert_eq!((p2p["scenario"].as_str(), p2p["runs"].as_bool()), (Some("p2p"), Some(true)));
}

#[test]
fn a_host_on_which_nothing_runs_exits_with_4() {
    let output = program().env("VALE_BENCH_RUNTIME_DIR", "/proc/none").arg("doctor").output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stderr).contains("nothing can be measured on this host"));
    assert!(text(&output.stdout).contains("run-time files"));
}
