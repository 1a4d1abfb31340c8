//! The document, its schema and its file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::*;

/// A trial with figures that hang together: `sent` frames in one second, `lost` of them dropped.
pub(crate) fn trial(dataplane: &str, size: u16, repeat: u32, sent: u64, lost: u64) -> Trial {
    let received = sent - lost;
    let bytes = received * u64::from(size);
    let port = |name: &str| PortResult { name: name.into(), vm: Some("vm1".into()), ..PortResult::default() };
    Trial {
        scenario: "v2v".into(),
        dataplane: Dataplane {
            name: dataplane.into(),
            accelerator: Accelerator::Tcg,
            guest_driver: Some("uvale".into()),
            parameters: BTreeMap::from([("slots".into(), "1024".into())]),
        },
        vms: 2,
        frame_size: FrameSize { label: size.to_string(), sizes_bytes: vec![size], at_random: false },
        direction: Direction::Uni,
        offered: Offered::Max,
        flows: 1,
        load: None,
        repeat,
        order: repeat,
        duration_s: 1.0,
        warmup_s: 0.5,
        ports: vec![port("vale0:1"), port("vale0:2")],
        windows: vec![Window {
            start_ns: 0,
            end_ns: 1_000_000_000,
            ports: vec![
                WindowPort { tx_frames: sent, rx_frames: 0 },
                WindowPort { tx_frames: 0, rx_frames: received },
            ],
        }],
        throughput: Throughput::new(vec![DirectionThroughput {
            from: "vale0:1".into(),
            to: "vale0:2".into(),
            received_frames: received,
            received_bytes: bytes,
            rates: Rates::new(received, bytes, 1_000_000_000),
        }]),
        accounting: Accounting::new(sent, received, BTreeMap::from([("full".into(), lost)])),
        switch_cpu_ns: Some(1_500_000_000),
        cost: None,
        latency: None,
        latency_under_load: Vec::new(),
        latency_floor: None,
        warnings: Warning::loss(sent, received).into_iter().collect(),
    }
}

/// A document of a run on two processors.
pub(crate) fn document(dataplanes: &[&str], trials: Vec<Trial>) -> ResultDocument {
    let manifest = Manifest {
        tool: Tool {
            version: "0.1.0".into(),
            git_revision: Some("67e3eb8d0c1a2b3c4d5e6f708192a3b4c5d6e7f8".into()),
            git_dirty: Some(true),
            optimised: true,
        },
        command_line: ["vale-bench", "v2v", "--vms", "2"].map(str::to_owned).to_vec(),
        started_at: "2026-11-22T18:42:00Z".into(),
        host: Host {
            kernel_release: "6.1.0".into(),
            cpu: Cpu { model: Some("Imaginary 9000".into()), usable_cpus: 2, ..Cpu::default() },
            ..Host::default()
        },
        accelerator: Accelerator::Tcg,
        qemu: Some(Qemu {
            path: "/usr/bin/qemu-system-x86_64".into(),
            version: "QEMU emulator version 7.2.0 (Debian 1:7.2)".into(),
        }),
        guest_kernel: None,
        guest_image: None,
        guest_memory: None,
        guest_cpus: None,
        guest_ram_mib: None,
        vms: vec![Vm {
            name: "vm1".into(),
            dataplane: "uvale".into(),
            argv: vec!["qemu".into()],
            system: None,
            netmap: None,
            hypervisor: Some("TCGTCGTCGTCG".into()),
        }],
        pinning: Vec::new(),
    };
    let plan = Plan {
        trials: trials.len() as u32,
        dataplanes: dataplanes.iter().map(|name| name.to_string()).collect(),
        ..Plan::default()
    };
    let mut document = ResultDocument::new(manifest, plan);
    document.trials = trials;
    document.warnings = vec![Warning::Tcg];
    document
}

/// A search for ndr and pdr, of two trials.
pub(crate) fn search(dataplane: &str, size: u16, lower_pps: f64) -> SearchRecord {
    let raw = trial(dataplane, size, 1, 1_000_000, 10);
    let made = |purpose, load_pps| SearchTrial {
        purpose,
        intended_load_pps: load_pps,
        intended_duration_s: 1.0,
        intended_frames: 1_000_000,
        offered_frames: 1_000_000,
        forwarded_frames: 999_990,
        loss_ratio: 1e-5,
        start_s: 0.5,
        raw: raw.clone(),
    };
    let bound = |load_pps| LoadBound {
        load_pps,
        full_low_loss_s: 3.0,
        full_high_loss_s: 0.0,
        short_low_loss_s: 0.2,
        short_high_loss_s: 0.0,
        reason: "A lower bound.".into(),
    };
    let result = |name: &str, loss_ratio, irregular| GoalResult {
        goal: SearchGoal {
            name: name.into(),
            final_trial_duration_s: 1.0,
            duration_sum_s: 5.0,
            loss_ratio,
            exceed_ratio: 0.5,
            width: 0.005,
            initial_trial_duration_s: 0.2,
            preceding_targets: 2,
            expansion: 2,
        },
        relevant_lower_bound: Some(bound(lower_pps)),
        relevant_upper_bound: Some(bound(lower_pps * 1.004)),
        conditional_throughput_pps: Some(lower_pps * (1.0 - loss_ratio / 2.0)),
        lowest_high_loss_pps: Some(lower_pps * 0.97),
        highest_low_loss_pps: Some(lower_pps),
        sender_limited: false,
        irregular,
    };
    SearchRecord {
        method: SearchMethod::Mlrsearch,
        scenario: "v2v".into(),
        dataplane: raw.dataplane.clone(),
        vms: 2,
        senders: 1,
        frame_size: raw.frame_size.clone(),
        direction: Direction::Uni,
        flows: 1,
        repeat: 1,
        min_load_pps: 1000.0,
        max_load_pps: 5e6,
        sender_max_pps: 4e6,
        results: vec![result("ndr", 0.0, None), result("pdr", 0.005, Some(Irregular::NoUpperBound))],
        max_receive_rate: None,
        back_to_back: None,
        trials: vec![made(TrialPurpose::WarmUp, None), made(TrialPurpose::Search, Some(lower_pps))],
        round_trips: None,
        trial_time_s: 21.4,
        elapsed_s: 30.0,
        incomplete: None,
        warnings: vec![Warning::SenderLimited],
    }
}

/// One of every warning.
pub(crate) fn every_warning() -> Vec<Warning> {
    vec![
        Warning::Tcg,
        Warning::KvmUnusable { reason: "the guest did not start within 3 s".into() },
        Warning::Oversubscribed { busy_threads: 3, cores: 2 },
        Warning::Unpinned,
        Warning::GovernorNotPerformance { governor: "powersave".into() },
        Warning::Virtualised { hypervisor: "kvm".into() },
        Warning::DebugBuild,
        Warning::Loss { ratio: 0.25 },
        Warning::SenderLimited,
        Warning::OfferedNotReached { offered_pps: 2e6, achieved_pps: 1.5e6 },
        Warning::HighVariance { cv: 0.2 },
        Warning::Unaccounted { frames: -3 },
        Warning::ClockDrift { ppm: 120.0 },
        Warning::SequenceErrors { reordered: 1, duplicate: 2 },
        Warning::CorruptFrames { frames: 1 },
        Warning::ForeignFrames { frames: 4 },
        Warning::ShortWindow { measured_ms: 50, advised_ms: 1000 },
        Warning::ReceiverPaused { port: "vale0:vm2".into(), pause_us: 4600, frames: 4600 },
        Warning::ProbesLost { lost: 1, sent: 100 },
    ]
}

pub(crate) fn full_document() -> ResultDocument {
    let mut one = trial("uvale", 64, 1, 3_000_000, 1000);
    one.offered = Offered::Pps { rate_pps: 3e6 };
    one.latency = Some(Latency {
        count: 3,
        lost: 1,
        min_ns: 1,
        p50_ns: 2,
        p90_ns: 3,
        p99_ns: 3,
        p99_9_ns: 3,
        max_ns: 3,
        mean_ns: 2.0,
        histogram: "AAAA".into(),
    });
    one.latency_floor = one.latency.clone();
    let (from_due, from_departure) = (one.latency.clone(), None);
    one.latency_under_load = vec![LoadedLatency {
        percent: 99.0,
        offered_pps: vec![3e6],
        received_mpps: 2.9,
        loss_ratio: 0.01,
        probe_pps: 1e4,
        sent_probes: 5,
        overdue_probes: 1,
        from_due,
        from_departure,
    }];
    one.load = Some(Load {
        arrivals: Arrivals::Bursts { frames: 32 },
        flow_order: FlowOrder::Zipf { exponent: 1.1 },
        src: Some("10.0.0.1:1-10.0.0.2:9".into()),
        dst: None,
        src_macs: 2,
        seed: u64::MAX,
        pcap: Some(PacketFile { file: "a.pcap".into(), frames: 7, speed: Some(0.5) }),
    });
    let cost = ThreadCost {
        thread: "vm1 vcpu0".into(),
        kind: ThreadKind::Vcpu,
        threads: 1,
        cpu_ns: 1_000_000,
        system_ns: 0,
        voluntary_switches: 1,
        involuntary_switches: 2,
    };
    let guests = vec![GuestExits { vm: "vm1".into(), exits: Some(77) }];
    one.cost = Some(Cost::new(1_000_000, 1_000, vec![cost], guests));
    let times = Times {
        count: 3,
        min_ns: 1,
        p50_ns: 2,
        p90_ns: 3,
        p99_ns: 3,
        p99_9_ns: 3,
        max_ns: 3,
        mean_ns: 2.0,
        histogram: "AAAA".into(),
    };
    let pacing = Pacing {
        asked_pps: 3e6,
        achieved_pps: 2.99e6,
        lateness: Some(times.clone()),
        spacing_error: Some(times),
        within_2us_ratio: 0.999,
        recorded_every: 1,
        abandoned_ns: 0,
    };
    one.ports[0].roles = PortCounts {
        fwd: None,
        longest_pause_ns: 5,
        tx: Some(TxCounts { pacing: Some(pacing), ..TxCounts::default() }),
        rx: Some(RxCounts { streams: vec![StreamCounts::default()], ..RxCounts::default() }),
        ping: Some(PingCounts::default()),
        pong: Some(PongCounts::default()),
    };
    one.ports[0].counters.insert("forwarded".into(), u64::MAX);
    let mut document = document(&["uvale"], vec![one]);
    let mut searched = search("uvale", 64, 3e6);
    searched.max_receive_rate =
        Some(MaxReceiveRate { mean: Rates::new(10, 640, 1000), std_dev_mpps: Some(0.1) });
    searched.back_to_back = Some(BackToBack {
        bursts_frames: vec![2000, 2048],
        longest_tried_frames: 8_000_000,
        mean_frames: 2024.0,
        burst_rate_pps: 4e6,
        drain_rate_pps: 2e6,
        implied_buffer_s: 5.06e-4,
        corrected_buffer_s: 2.53e-4,
        corrected_buffer_frames: 1012.0,
    });
    searched.round_trips = document.trials.first().cloned();
    document.searches = vec![searched];
    document.warnings = every_warning();
    document.incomplete = Some("interrupted".into());
    document.plan.seed = Some(7);
    document.plan.suite = Some(SuitePlan {
        name: "quick".into(),
        text: "[[run]]\nscenario = \"p2p\"\n".into(),
        resumed_at: vec!["2026-11-22T18:52:00Z".into()],
    });
    document.failed = vec![Failed {
        scenario: "v2v".into(),
        dataplane: "testpmd".into(),
        repeat: 2,
        reason: "testpmd ended with 1:\nEAL: no".into(),
    }];
    document.skipped =
        vec![Skipped { scenario: "v2v".into(), dataplane: "vale".into(), reason: "no /dev/netmap".into() }];
    document.manifest.guest_image = Some(GuestImage { path: "/d.qcow2".into(), format: "qcow2".into() });
    let (distribution, kernel_release) = ("Debian GNU/Linux 12 (bookworm)".into(), "6.1.0".into());
    document.manifest.vms[0].system = Some(GuestSystem { distribution, kernel_release });
    document.manifest.host.netmap = Some(NetmapModule::default());
    document.manifest.vms[0].netmap = Some(NetmapModule::default());
    document.manifest.pinning = vec![Pin { thread: "switch".into(), cpus: vec![1] }];
    document
}

#[test]
fn the_schema_in_the_repository_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/result-1.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, schema_json()).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == schema_json(),
        "schema/result-1.json is out of date; run the tests with UPDATE_SCHEMA=1"
    );
}

#[test]
fn documents_follow_the_schema_and_the_schema_refuses_others() {
    let schema: serde_json::Value = serde_json::from_str(&schema_json()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let document = full_document();
    let value = serde_json::to_value(&document).unwrap();
    let problems: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert_eq!(problems, [""; 0]);

    let refused = |change: fn(&mut serde_json::Value)| {
        let mut value = value.clone();
        change(&mut value);
        !validator.is_valid(&value)
    };
    assert!(refused(|v| v["schema"] = "vale-bench/result/2".into()));
    assert!(refused(|v| v["warnings"][0]["kind"] = "mood".into()));
    assert!(refused(|v| v["trials"][0]["accounting"]["sent"] = (-1).into()));
    assert!(refused(|v| v["trials"][0]["throughput"]["aggregate"]["rate_mpps"] = serde_json::Value::Null));
    assert!(refused(|v| drop(v.as_object_mut().unwrap().remove("manifest"))));
}

#[test]
fn written_and_read_again_it_is_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("r.json");
    let document = full_document();
    let output = OutputFile::prepare(&path).unwrap();
    assert!(!path.exists(), "preparing leaves nothing behind");
    output.write(&document).unwrap();
    assert_eq!(ResultDocument::read(&path).unwrap(), document);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    // A second run replaces the first.
    let mut second = document;
    second.trials.clear();
    OutputFile::prepare(&path).unwrap().write(&second).unwrap();
    assert_eq!(ResultDocument::read(&path).unwrap(), second);
}

#[test]
fn unknown_fields_are_ignored_and_absent_options_are_none() {
    let mut value = serde_json::to_value(full_document()).unwrap();
    value["mood"] = "good".into();
    value.as_object_mut().unwrap().remove("incomplete");
    let text = value.to_string();
    let document = ResultDocument::parse(text.as_bytes(), Path::new("r.json")).unwrap();
    assert_eq!(document.incomplete, None);
}

#[test]
fn a_number_that_is_none_cannot_be_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("r.json");
    for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut document = full_document();
        document.trials[0].throughput.aggregate.rate_mpps = wrong;
        let error = OutputFile::prepare(&path).unwrap().write(&document).unwrap_err();
        assert!(matches!(error, FileError::Encode(_)), "{error}");
        let mut document = full_document();
        document.warnings = vec![Warning::Loss { ratio: wrong }];
        assert!(document.to_json().is_err());
    }
    assert!(!path.exists());
}

#[test]
fn every_warning_has_its_kind_a_sentence_and_advice() {
    for warning in every_warning() {
        let value = serde_json::to_value(&warning).unwrap();
        assert_eq!(value["kind"], warning.kind());
        for text in [warning.sentence(), warning.advice().to_owned()] {
            assert!(text.ends_with('.') && text.len() > 15, "{text}");
            assert!(text.starts_with(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit()), "{text}");
        }
        assert!(warning.magnitude().is_finite());
    }
    assert_eq!(Warning::loss(10, 10), None);
    assert_eq!(Warning::loss(0, 5), None);
    assert_eq!(Warning::loss(10, 5), Some(Warning::Loss { ratio: 0.5 }));
    assert_eq!(Warning::unaccounted(0), None);
    assert_eq!(Warning::variance(Some(f64::NAN), 0.1), None);
    assert_eq!(Warning::variance(Some(0.2), 0.1), Some(Warning::HighVariance { cv: 0.2 }));
}

fn parse_error(text: &str) -> String {
    ResultDocument::parse(text.as_bytes(), Path::new("r.json")).unwrap_err().to_string()
}

#[test]
fn files_that_are_no_results_get_sentences() {
    let good = full_document().to_json().unwrap();
    assert_eq!(parse_error(" \n"), "r.json is empty: no result was written to it");
    let cut = parse_error(&good[..good.len() / 2]);
    assert!(cut.starts_with("r.json is truncated: it ends at line "), "{cut}");
    let broken = parse_error(&good.replacen("\"manifest\":", "\"manifest\"", 1));
    assert_eq!(broken, "r.json is not JSON at line 3, column 14: expected `:`");
    assert!(parse_error("scenario,dataplane\n").starts_with("r.json is not JSON at line 1"));
    for other in ["{}", "[1]", "3", "{\"schema\":\"https://example.org/x\"}", "{\"schema\":3}"] {
        assert!(parse_error(other).contains("not a vale-bench result"), "{other}");
    }
    assert_eq!(
        parse_error(&good.replacen("result/1", "result/2", 1)),
        "r.json follows the schema \"vale-bench/result/2\"; this vale-bench reads \"vale-bench/result/1\""
    );
    let wrong = parse_error(&good.replacen("\"vms\": 2", "\"vms\": \"two\"", 1));
    assert!(wrong.starts_with("r.json does not follow vale-bench/result/1 at line "), "{wrong}");
    assert!(wrong.contains("invalid type: string \"two\", expected u32"), "{wrong}");
    let gone = ResultDocument::read(Path::new("/nonexistent/r.json")).unwrap_err();
    assert!(matches!(&gone, FileError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound));
}

#[test]
fn outputs_that_cannot_be_written_are_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let prepare = |path: &Path| OutputFile::prepare(path).unwrap_err();
    let nowhere = prepare(&directory.path().join("no/such/r.json"));
    assert!(matches!(&nowhere, FileError::Write { source, .. } if source.raw_os_error() == Some(2)));
    assert!(matches!(prepare(directory.path()), FileError::NotAFile { what: "a directory", .. }));
    assert!(matches!(prepare(Path::new("/dev/null")), FileError::NotAFile { .. }));
    assert!(matches!(prepare(Path::new("/proc/r.json")), FileError::Write { .. }));
    assert!(matches!(prepare(Path::new("")), FileError::NotAFile { .. }));
}

#[test]
fn a_link_keeps_pointing_to_the_file_it_names() {
    let directory = tempfile::tempdir().unwrap();
    let (real, link) = (directory.path().join("real.json"), directory.path().join("link.json"));
    fs::write(&real, "old").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    OutputFile::prepare(&link).unwrap().write(&full_document()).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(ResultDocument::read(&real).unwrap(), full_document());
}

#[test]
fn reports_of_roles_are_kept_whole() {
    let report = pktgen::spec::PortReport {
        rx: Some(pktgen::spec::RxReport {
            received: 9,
            streams: vec![pktgen::spec::StreamReport { stream: 3, missing: 2, ..Default::default() }],
            ..Default::default()
        }),
        ..Default::default()
    };
    let counts = PortCounts::from(report);
    let rx = counts.rx.unwrap();
    assert_eq!((rx.received_frames, rx.streams[0].stream, rx.streams[0].missing_frames), (9, 3, 2));
    assert_eq!((counts.tx, counts.ping, counts.pong), (None, None, None));
}
