//! Reports of a made-up document.

use super::*;
use crate::result::tests::{document, every_warning, search, trial};
use crate::result::{Accelerator, Latency, Skipped, Warning};

fn render(document: &ResultDocument, format: Format) -> String {
    render_for(document, format, &View { source: Some("r.json".into()), ..View::default() })
}

fn render_for(document: &ResultDocument, format: Format, view: &View) -> String {
    let mut out = Vec::new();
    format.report().write(document, view, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Two dataplanes, two sizes, three repetitions, interleaved, with latency.
fn side_by_side() -> ResultDocument {
    let mut trials = Vec::new();
    for repeat in 1..=3u32 {
        for size in [64, 1518] {
            for (name, mpps) in [("vale-virtio", 1_000_000), ("uvale", 3_000_000)] {
                let sent = mpps + u64::from(repeat) * 100_000;
                let mut trial = trial(name, size, repeat, sent, u64::from(repeat) * 10_000);
                trial.latency = Some(Latency {
                    count: 100,
                    lost: 0,
                    min_ns: 9_000,
                    p50_ns: 12_400 + u64::from(repeat),
                    p90_ns: 20_000,
                    p99_ns: 123_000,
                    p99_9_ns: 200_000,
                    max_ns: 300_000,
                    mean_ns: 13_000.0,
                    histogram: String::new(),
                });
                trials.push(trial);
            }
        }
    }
    document(&["uvale", "vale-virtio"], trials)
}

#[test]
fn a_table_with_everything_fits_80_columns() {
    let text = render(&side_by_side(), Format::Table);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let expected = "\
v2v, 2 guests (TCG), one way, as fast as possible, 3 times 1 s
Dataplane    Frame  Mpps    min..max  L1 Gbps  Loss %  p50 µs  p99 µs  Ratio
────────────────────────────────────────────────────────────────────────────
uvale           64  3.18  3.09..3.27     2.14    0.62    12.4     123   1.00
vale-virtio     64  1.18  1.09..1.27    0.793    1.67    12.4     123   0.37
uvale         1518  3.18  3.09..3.27     39.1    0.62    12.4     123   1.00
vale-virtio   1518  1.18  1.09..1.27     14.5    1.67    12.4     123   0.37
";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("Ratios are to uvale."), "{text}");
    assert!(text.ends_with("Raw data: r.json\n"), "{text}");
}

#[test]
fn from_five_rounds_on_ratios_have_intervals() {
    let rounds = |name: &str, rates: [u64; 5]| {
        let rates = rates.into_iter().enumerate();
        rates.map(|(i, rate)| trial(name, 64, i as u32 + 1, rate * 1000, 0)).collect::<Vec<_>>()
    };
    // The machine is slow in every other round, and both dataplanes with it.
    let uvale = [3000, 1500, 3100, 1550, 3050];
    let trials = [rounds("uvale", uvale), rounds("vale", uvale.map(|rate| rate / 2))].concat();
    let text = render(&document(&["uvale", "vale"], trials), Format::Table);
    let row = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(row("vale ").ends_with(" 0.50  0.50..0.50"), "{text}");
    assert!(row("uvale").ends_with(" 1.00           -"), "{text}");
    assert!(text.replace('\n', " ").contains("Ratios are to uvale, with 95 % intervals"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn a_short_table_has_only_the_columns_it_needs() {
    let text = render(&document(&["uvale"], vec![trial("uvale", 64, 1, 3_000_000, 0)]), Format::Table);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("v2v, 2 guests (TCG), one way, as fast as possible, 1 s"));
    assert_eq!(lines.next(), Some("Dataplane  Frame  Mpps  L1 Gbps  Loss %"));
    lines.next();
    assert_eq!(lines.next(), Some("uvale         64  3.00     2.02       0"));
    assert!(!text.contains("median") && !text.contains("Ratio") && !text.contains("p99"), "{text}");
}

#[test]
fn warnings_stand_once_with_advice_and_the_trials_they_hold_for() {
    let text = render(&side_by_side(), Format::Table);
    let flat = text.replace("\n  ", " ");
    assert_eq!(flat.matches("TCG, QEMU's translator").count(), 1, "{text}");
    assert!(flat.contains("! 2.31 % of the frames sent did not arrive (all trials, at worst)."), "{text}");
    let mut some = side_by_side();
    some.trials[0].warnings.push(Warning::SenderLimited);
    let flat = render(&some, Format::Table).replace("\n  ", " ");
    assert!(flat.contains("its own speed was measured (1 of 12 trials). What was tested"), "{flat}");

    let mut all = side_by_side();
    all.warnings = every_warning();
    let text = render(&all, Format::Table);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let flat = text.replace("\n  ", " ");
    for warning in every_warning().iter().filter(|warning| warning.kind() != "loss") {
        assert_eq!(flat.matches(warning.advice()).count(), 1, "{}: {text}", warning.kind());
    }
}

#[test]
fn tcg_is_said_even_if_nobody_warned_and_not_said_of_kvm() {
    let mut document = document(&["uvale"], vec![trial("uvale", 64, 1, 1000, 0)]);
    document.warnings.clear();
    for format in [Format::Table, Format::Markdown] {
        let text = render(&document, format);
        assert!(text.contains("(TCG)") && text.contains("translator"), "{text}");
    }
    document.trials[0].dataplane.accelerator = Accelerator::Kvm;
    let text = render(&document, Format::Table);
    assert!(text.contains("2 guests (KVM)") && !text.contains("TCG"), "{text}");
}

#[test]
fn what_is_missing_is_said() {
    let mut document = side_by_side();
    document.plan.trials = 20;
    document.incomplete = Some("interrupted".into());
    document.skipped = vec![Skipped {
        scenario: "v2v".into(),
        dataplane: "vale".into(),
        reason: "there is no /dev/netmap; load netmap.ko.".into(),
    }];
    for format in [Format::Table, Format::Markdown] {
        let text = render(&document, format);
        assert!(text.contains("Incomplete: 12 of 20 trials were made (interrupted)."), "{text}");
        assert!(text.contains("Not run: v2v on vale: there is no /dev/netmap; load netmap.ko."), "{text}");
    }
    document.failed = vec![crate::result::Failed {
        scenario: "v2v".into(),
        dataplane: "testpmd".into(),
        repeat: 2,
        reason: "cannot bring up testpmd: it ended with 1; its output ended with\nEAL: no   hugepages".into(),
    }];
    let text = render(&document, Format::Table);
    assert!(
        text.contains("! Failed: v2v on testpmd in round 2: cannot bring up testpmd: it ended"),
        "{text}"
    );
    assert!(text.contains("\n    EAL: no   hugepages\n"), "{text}");
    let text = render(&document, Format::Markdown);
    assert!(text.contains("its output ended with\n\n      EAL: no   hugepages\n"), "{text}");
    document.failed.clear();
    document.trials.clear();
    document.incomplete = None;
    document.skipped.clear();
    document.warnings.clear();
    let text = render_for(&document, Format::Table, &View::default());
    assert_eq!(text, "! No trial was made.\n\nThe raw data was not kept; --out FILE keeps it.\n");
}

#[test]
fn sections_keep_apart_what_must_not_be_compared() {
    let mut document = side_by_side();
    let mut bidi = trial("uvale", 64, 1, 1000, 0);
    bidi.direction = crate::result::Direction::Bidi;
    let mut paced = trial("uvale", 64, 1, 1000, 0);
    paced.offered = crate::result::Offered::Pps { rate_pps: 2.5e6 };
    let mut kvm = trial("uvale", 64, 1, 1000, 0);
    kvm.dataplane.accelerator = Accelerator::Kvm;
    document.trials.extend([bidi, paced, kvm]);
    let text = render(&document, Format::Table);
    for title in ["both ways, as fast", "one way, 2.5 Mpps offered", "2 guests (KVM), one way"] {
        assert!(text.contains(title), "{title}: {text}");
    }
}

#[test]
fn colours_are_only_for_those_who_want_them() {
    let plain = render(&side_by_side(), Format::Table);
    assert!(!plain.contains('\x1b'));
    let view = View { colour: true, source: Some("r.json".into()), ..View::default() };
    let coloured = render_for(&side_by_side(), Format::Table, &view);
    assert!(coloured.contains("\x1b["), "{coloured}");
    // Take the escape sequences away and the same text remains.
    let mut stripped = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once("\x1b[") {
        stripped.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    stripped.push_str(rest);
    let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_eq!(trimmed(&stripped), trimmed(&plain));
}

#[test]
fn a_narrow_terminal_still_gets_whole_lines() {
    for width in [40, 60, 200] {
        let view = View { width, ..View::default() };
        let text = render_for(&side_by_side(), Format::Table, &view);
        let (lines, last) = text.trim_end().rsplit_once('\n').unwrap();
        assert!(last.contains("--out FILE"), "{text}");
        assert!(lines.lines().all(|line| line.chars().count() <= width.into()), "{width}: {text}");
        assert_eq!(text.contains("Too narrow for p50 µs"), width < 80, "{width}: {text}");
        assert!(text.contains("vale-virtio   1518  1.18"), "{width}: {text}");
    }
}

#[test]
fn json_is_the_document() {
    let document = side_by_side();
    let text = render(&document, Format::Json);
    assert_eq!(ResultDocument::parse(text.as_bytes(), "x".as_ref()).unwrap(), document);
}

#[test]
fn csv_has_a_row_a_trial_and_units_in_its_header() {
    let mut document = side_by_side();
    document.trials[0].dataplane.name = "odd, \"name\"".into();
    let text = render(&document, Format::Csv);
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|h| h == name).unwrap_or_else(|| panic!("no {name}"));
    let rows: Vec<::csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 12);
    assert_eq!(&rows[0][column("dataplane")], "odd, \"name\"");
    let row = &rows[1];
    assert_eq!(&row[column("scenario")], "v2v");
    assert_eq!(&row[column("rate_mpps")], "3.09");
    assert_eq!(&row[column("window_max_mpps")], "3.09");
    assert_eq!(&row[column("drops_by_cause")], "full=10000");
    assert_eq!(&row[column("latency_p99_ns")], "123000");
    assert_eq!(&row[column("offered_pps")], "");
    assert_eq!(&row[column("parameters")], "slots=1024");
    assert_eq!(&row[column("warnings")], "tcg;loss");
    assert_eq!(&row[column("accelerator")], "tcg");
}

#[test]
fn markdown_is_a_table_github_understands() {
    let text = render(&side_by_side(), Format::Markdown);
    let expected = "\
### v2v, 2 guests (TCG), one way, as fast as possible, 3 times 1 s

| Dataplane | Frame | Mpps | min..max | L1 Gbps | Loss % | p50 µs | p99 µs | Ratio |
| :-- | --: | --: | --: | --: | --: | --: | --: | --: |
| uvale | 64 | 3.18 | 3.09..3.27 | 2.14 | 0.62 | 12.4 | 123 | 1.00 |
";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("\n- ⚠ The guests ran under TCG"), "{text}");
    assert!(text.contains("```sh\nvale-bench v2v --vms 2\n```"), "{text}");
    assert!(text.contains("vale-bench 0.1.0 (67e3eb8d0c, modified), Imaginary 9000, 2 processors"), "{text}");
    assert!(text.contains("Linux 6.1.0, QEMU 7.2.0 (Debian 1:7.2), 2026-11-22T18:42:00Z"), "{text}");
}

#[test]
fn a_closed_pipe_keeps_its_kind() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for format in [Format::Table, Format::Json, Format::Csv, Format::Markdown] {
        let error = format.report().write(&side_by_side(), &View::default(), &mut Closed).unwrap_err();
        assert!(crate::exit::Fail::from(error).is_broken_pipe(), "{format:?}");
    }
}

/// Two dataplanes, each searched twice.
fn searched() -> ResultDocument {
    let mut document = document(&["uvale", "vale-virtio"], Vec::new());
    for (repeat, more) in [(1, 0.0), (2, 0.2e6)] {
        for (name, pps) in [("vale-virtio", 1e6), ("uvale", 3e6)] {
            let mut search = search(name, 64, pps + more);
            search.repeat = repeat;
            document.searches.push(search);
        }
    }
    document
}

#[test]
fn searches_have_a_row_a_goal_and_say_what_is_irregular() {
    let text = render(&searched(), Format::Table);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.starts_with("v2v, 2 guests (TCG), one way, MLRsearch, 2 times\n"), "{text}");
    let row = |name: &str, goal: &str| {
        let mut rows = text.lines().filter(|line| line.starts_with(name));
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        rows.find_map(|line| Some(words(line)).filter(|words| words.get(2).is_some_and(|w| w == goal)))
            .unwrap()
    };
    let header: Vec<String> = text.lines().nth(1).unwrap().split_whitespace().map(str::to_owned).collect();
    assert_eq!(header[..5], ["Dataplane", "Frame", "Goal", "Mpps", "min..max"].map(str::to_owned));
    assert_eq!(row("uvale", "ndr")[..5], ["uvale", "64", "ndr", "3.100", "3.00..3.20"].map(str::to_owned));
    assert_eq!(row("uvale", "pdr")[3], "3.100*");
    assert_eq!(row("vale-virtio", "ndr").last().unwrap(), "0.35");
    let flat = text.replace("\n  ", " ");
    assert_eq!(flat.matches("* pdr on uvale, 64: The largest load passed").count(), 1, "{text}");
    assert!(flat.contains("its own speed was measured") && !flat.contains("No trial was made"), "{text}");

    let text = render(&searched(), Format::Markdown);
    assert!(text.contains("### v2v, 2 guests (TCG), one way, MLRsearch, 2 times"), "{text}");
    assert!(text.contains("| uvale | 64 | ndr | 3.100 |"), "{text}");
}

#[test]
fn searches_have_rows_of_their_own_in_csv() {
    let text = render(&searched(), Format::Csv);
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|h| h == name).unwrap_or_else(|| panic!("no {name}"));
    let rows: Vec<::csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 4 * (2 + 2), "each trial and each goal of each search");
    assert_eq!((&rows[0][column("goal")], &rows[0][column("sent_frames")]), ("", "1000000"));
    let goal = &rows[8];
    assert_eq!((&goal[column("goal")], &goal[column("sent_frames")]), ("ndr", ""));
    assert_eq!((&goal[column("dataplane")], &goal[column("frame_size")]), ("vale-virtio", "64"));
    assert_eq!(&goal[column("relevant_lower_bound_mpps")], "1");
    assert_eq!((&goal[column("regular")], &rows[9][column("regular")]), ("true", "false"));
}

#[test]
fn a_document_from_elsewhere_gives_a_terminal_no_orders() {
    let mut document = crate::result::tests::full_document();
    let orders = "a\x1b[2J\u{9b}1mb\rc";
    for trial in &mut document.trials {
        trial.dataplane.name = orders.into();
        trial.scenario = orders.into();
        trial.frame_size.label = orders.into();
    }
    document.failed.push(crate::result::Failed {
        scenario: orders.into(),
        dataplane: orders.into(),
        repeat: 1,
        reason: format!("{orders}\n{orders}"),
    });
    document.incomplete = Some(orders.into());
    document.manifest.command_line.push(orders.into());
    document.manifest.host.cpu.model = Some(orders.into());
    for format in [Format::Table, Format::Markdown] {
        let text = render(&document, format);
        assert!(text.contains("a\u{fffd}"), "{text}");
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{format:?}: {text:?}");
    }
}

#[test]
fn loss_over_time_grows_and_ends_with_the_account() {
    let mut trial = trial("uvale", 64, 1, 1000, 30);
    let window = |tx, rx| crate::result::Window {
        start_ns: 0,
        end_ns: 1,
        ports: vec![crate::result::WindowPort { tx_frames: tx, rx_frames: rx }],
    };
    // 50 are missing at the end of the first window, of which 40 arrive later; 20 more are lost in the last.
    trial.windows = vec![window(300, 250), window(300, 330), window(300, 310), window(100, 70)];
    assert_eq!(trial.lost_by_window(), [10, 10, 10, 30]);
}

#[test]
fn loads_round_trips_inside_them_schedules_and_costs_are_shown() {
    let document = crate::result::tests::full_document();
    let text = render(&document, Format::Table);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let flat = text.replace("\n  ", " ").replace('\n', " ");
    for words in [
        "bursts of 32, flows by Zipf's law (1.1), a.pcap at 0.5 times its speed",
        "ns/frame",
        "Pacing, uvale 64: 3 Mpps asked for, -0.333 % off; late by p50 0.002, p99 0.003, max 0.003 µs; 99.90 %",
        "Dataplane  Frame  ns/frame  Switch  Engines  vCPUs  QEMU  Exits  Mpps/core",
        "uvale         64      1000       -        -   1000     -  0.077       1.00",
        "Too narrow for cswch/s; try --format csv.",
        "ns/frame is the processor time of all threads for each frame received",
        "Exits are those of guests",
        "Round trips by load are timed from when a probe was due",
    ] {
        assert!(flat.contains(words), "{words}: {text}");
    }
    for row in ["floor", "idle", "99 %"] {
        assert!(text.lines().any(|line| line.starts_with("uvale") && line.contains(row)), "{row}: {text}");
    }
    let text = render(&document, Format::Markdown);
    assert!(text.contains("| uvale | 64 | 1000 | - | - | 1000 | - | 0.077 | 1.00 |"), "{text}");
    assert!(text.contains("| uvale | 64 | 99 % | 2.90 | 0.002 | 0.003 | 0.003 | 0.003 | 25.0 |"), "{text}");
    let text = render(&document, Format::Csv);
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let row = reader.records().next().unwrap().unwrap();
    for (name, value) in [
        ("arrivals", "burst:32"),
        ("flow_order", "zipf:1.1"),
        ("pcap", "a.pcap"),
        ("vcpu_cpu_ns_per_frame", "1000"),
        ("switch_cpu_ns_per_frame", ""),
        ("guest_exits", "77"),
        ("pacing_late_p99_ns", "3"),
        ("latency_under_load", "99%=2/3/3"),
    ] {
        let at = header.iter().position(|column| column == name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(&row[at], value, "{name}");
    }
}
