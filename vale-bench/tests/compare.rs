//! `compare`, `trend` and `published` from outside, on results that the program's own types wrote: what they print
//! at 80 columns in a pipe, and how they exit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use vale_bench::result::{
    Accelerator, Accounting, Cpu, Dataplane, Direction, DirectionThroughput, FrameSize, Host, Manifest,
    Offered, OutputFile, Plan, Rates, ResultDocument, Throughput, Tool, Trial,
};

fn trial(dataplane: &str, size: u16, repeat: u32, frames: u64) -> Trial {
    let bytes = frames * u64::from(size);
    Trial {
        scenario: "p2p".into(),
        dataplane: Dataplane {
            name: dataplane.into(),
            accelerator: Accelerator::None,
            guest_driver: None,
            parameters: BTreeMap::new(),
        },
        vms: 0,
        frame_size: FrameSize { label: size.to_string(), sizes_bytes: vec![size], at_random: false },
        direction: Direction::Uni,
        offered: Offered::Max,
        flows: 1,
        repeat,
        order: repeat,
        duration_s: 1.0,
        warmup_s: 0.0,
        ports: Vec::new(),
        windows: Vec::new(),
        throughput: Throughput::new(vec![DirectionThroughput {
            from: "vale0:1".into(),
            to: "vale0:2".into(),
            received_frames: frames,
            received_bytes: bytes,
            rates: Rates::new(frames, bytes, 1_000_000_000),
        }]),
        accounting: Accounting::new(frames, frames, BTreeMap::new()),
        switch_cpu_ns: None,
        load: None,
        cost: None,
        latency: None,
        latency_floor: None,
        latency_under_load: Vec::new(),
        warnings: Vec::new(),
    }
}

fn manifest() -> Manifest {
    Manifest {
        tool: Tool { version: "0.1.0".into(), git_revision: None, git_dirty: None, optimised: true },
        command_line: vec!["vale-bench".into(), "p2p".into()],
        started_at: "2026-11-22T18:42:00Z".into(),
        host: Host {
            kernel_release: "6.1.0".into(),
            cpu: Cpu { model: Some("Imaginary 9000".into()), usable_cpus: 2, ..Cpu::default() },
            ..Host::default()
        },
        accelerator: Accelerator::None,
        qemu: None,
        guest_kernel: None,
        guest_image: None,
        guest_memory: None,
        guest_cpus: None,
        guest_ram_mib: None,
        vms: Vec::new(),
        pinning: Vec::new(),
    }
}

/// A folder of results.
struct Results(tempfile::TempDir);

impl Results {
    fn new() -> Results {
        Results(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Keeps repetitions at these rates, in thousands of frames.
    fn keep(&self, name: &str, rates: &[(&str, u16, &[u64])], change: impl FnOnce(&mut ResultDocument)) {
        let plan: Plan =
            serde_json::from_value(serde_json::json!({ "trials": 1, "dataplanes": [rates[0].0] })).unwrap();
        let mut document = ResultDocument::new(manifest(), plan);
        for (dataplane, size, rates) in rates {
            let repeats = rates.iter().enumerate();
            document
                .trials
                .extend(repeats.map(|(i, rate)| trial(dataplane, *size, i as u32 + 1, rate * 1000)));
        }
        change(&mut document);
        OutputFile::prepare(&self.path(name)).unwrap().write(&document).unwrap();
    }

    /// Runs the program in the folder.
    fn run(&self, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vale-bench"));
        command.env_remove("NO_COLOR").env_remove("COLUMNS").stdin(Stdio::null());
        command.args(line.split_whitespace()).current_dir(self.0.path()).output().unwrap()
    }

    /// What it prints, when it exits with this code.
    fn prints(&self, line: &str, code: i32) -> String {
        let output = self.run(line);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= 80 && !line.contains('\x1b')), "{text}");
        text
    }

    /// What it says on standard error, when it exits with this code.
    fn says(&self, line: &str, code: i32) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(code), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stderr).unwrap()
    }
}

const STEADY: [u64; 6] = [10_000, 10_100, 9_900, 10_050, 9_950, 10_020];

fn scaled(percent: u64) -> Vec<u64> {
    STEADY.iter().enumerate().map(|(i, rate)| rate * percent / 100 + i as u64).collect()
}

fn two() -> Results {
    let results = Results::new();
    results.keep("old.json", &[("uvale", 64, &STEADY), ("uvale", 1518, &STEADY)], |_| ());
    results.keep("new.json", &[("uvale", 64, &scaled(90)), ("uvale", 1518, &STEADY)], |document| {
        document.manifest.tool.version = "0.2.0".into();
    });
    results
}

#[test]
fn a_table_for_people() {
    insta::assert_snapshot!("table", two().prints("compare old.json new.json", 0));
}

#[test]
fn markdown_for_a_pull_request() {
    let text = two().run("compare old.json new.json --fail-below 0.95 --format markdown").stdout;
    insta::assert_snapshot!("markdown", String::from_utf8(text).unwrap());
}

#[test]
fn dataplanes_of_one_file() {
    let results = Results::new();
    results.keep("r.json", &[("uvale", 64, &STEADY), ("vale", 64, &scaled(40))], |_| ());
    insta::assert_snapshot!("dataplanes", results.prints("compare --by dataplane r.json", 0));
    let text = results.prints("compare --by dataplane --to vale r.json", 0);
    assert!(text.contains("r.json, against vale: p2p") && text.contains("faster"), "{text}");
    let said = results.says("compare --by dataplane --to bridge r.json", 2);
    assert!(
        said.contains("nothing in r.json was measured on the dataplane bridge; there is uvale, vale"),
        "{said}"
    );
}

#[test]
fn a_document_that_follows_its_schema() {
    let results = two();
    let schema: serde_json::Value = serde_json::from_str(&results.prints_any("schema compare")).unwrap();
    let text = results.prints_any("compare old.json new.json --format json --out kept.json");
    assert_eq!(text, fs::read_to_string(results.path("kept.json")).unwrap());
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let problems: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert_eq!(problems, [""; 0]);
    assert_eq!(value["comparisons"][0]["verdict"], "slower");
    assert_eq!(value["comparisons"][1]["verdict"], "no_difference");
}

impl Results {
    fn prints_any(&self, line: &str) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn a_gate_for_a_pipeline() {
    let results = two();
    let said = results.says("compare old.json new.json --fail-below 0.95", 3);
    assert_eq!(said, "vale-bench: surely below 0.95 of the old: p2p uvale 64 (0.900)\n");
    assert_eq!(results.says("compare old.json new.json --fail-below 0.85", 0), "");
    results.keep("few.json", &[("uvale", 64, &scaled(50)[..3])], |_| ());
    let said = results.says("compare old.json few.json --fail-below 0.95", 1);
    assert!(said.contains("too few repetitions to tell whether by chance: p2p uvale 64 (0.5"), "{said}");
}

#[test]
fn what_may_not_be_compared_is_refused_by_name() {
    let results = two();
    results.keep("other.json", &[("uvale", 64, &STEADY)], |document| {
        document.manifest.host.kernel_release = "6.18.0".into();
        document.manifest.host.cpu.governor = Some("powersave".into());
    });
    let said = results.says("compare old.json other.json", 2);
    assert_eq!(
        said,
        "vale-bench: not comparable: \n  host.cpu.governor: unknown against powersave\n  host.kernel_release: 6.1.0 \
         against 6.18.0\n--allow NAME compares in spite of one of these, --allow all of all\n"
    );
    assert!(results.says("compare old.json other.json --allow host.kernel_release", 2).contains("governor"));
    let text = results.prints("compare old.json other.json --allow all", 0);
    assert!(text.contains("! Compared in spite of host.kernel_release: 6.1.0 against 6.18.0."), "{text}");
    let said = results.says("compare old.json other.json --allow kernel", 2);
    assert!(said.contains("--allow kernel: no field is called that; there is accelerator"), "{said}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let results = two();
    fs::write(results.path("cut.json"), &fs::read(results.path("old.json")).unwrap()[..200]).unwrap();
    for (line, part) in [
        ("compare old.json", "one file has nothing to be compared with"),
        ("compare old.json cut.json", "cut.json is truncated"),
        ("compare old.json nosuch.json", "cannot read nosuch.json"),
        ("compare", "<FILE>"),
        ("compare old.json new.json --confidence 95", "write 0.5 to 0.999"),
        ("compare old.json new.json --fail-below=-1", "--fail-below"),
        ("compare old.json new.json --to uvale", "--by <WHAT>"),
        ("compare old.json --published nosuch", "there is software-switches-2019"),
        ("published nosuch", "there is software-switches-2019"),
        ("trend nosuch/", "cannot read nosuch/"),
    ] {
        let said = results.says(line, 2);
        assert!(said.contains(part), "{line}: {said}");
    }
}

#[test]
fn published_figures_stand_beside_and_never_in_a_ratio() {
    let results = two();
    let text = results.prints("compare old.json --published software-switches-2019", 0);
    assert!(text.contains("another testbed") && text.contains("uvale (here)"), "{text}");
    insta::assert_snapshot!("published", text);
    assert!(results.prints("published", 0).starts_with("software-switches-2019  "));
    let whole = results.prints("published software-switches-2019", 0);
    assert!(whole.contains("loopback, both ways, L1 Gbps by guests in the chain"), "{whole}");
}

#[test]
fn a_trend_over_days() {
    let results = Results::new();
    let folder = results.path("runs");
    fs::create_dir(&folder).unwrap();
    for (day, percent) in [100, 101, 99, 100, 100, 101, 90, 91, 90, 89, 90].into_iter().enumerate() {
        results.keep(&format!("runs/{day:02}.json"), &[("uvale", 64, &scaled(percent))], |document| {
            document.manifest.started_at = format!("2026-11-{:02}T12:00:00Z", day + 1);
            document.manifest.tool.git_revision = Some(format!("{:040x}", 0xabc_def0_0000u64 + day as u64));
        });
    }
    insta::assert_snapshot!("trend", results.prints("trend runs", 0));
    let said = results.says("trend runs --fail", 3);
    assert_eq!(said, "vale-bench: became worse: uvale 64\n");
    let json: serde_json::Value =
        serde_json::from_str(&results.prints_any("trend runs --format json")).unwrap();
    assert_eq!(json["series"][0]["shifts"][0]["at"], 6);
    assert!(Path::new(&folder).exists());
}
