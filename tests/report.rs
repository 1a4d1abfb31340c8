//! `report` from the command line: what it writes, and what it says where it cannot.

mod fixture;

use std::fs;

use fixture::{Bench, sample};
use vale_bench::result::ResultDocument;

fn samples(names: &[&str]) -> String {
    names.iter().map(|name| sample(name).display().to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn samples_follow_the_schema_and_name_no_host() {
    for name in ["p2p", "v2v", "v2v-after", "v2v-4"] {
        let text = fs::read_to_string(sample(name)).unwrap();
        assert!(text.len() < 200_000, "{name}: {} bytes", text.len());
        ResultDocument::read(&sample(name)).unwrap();
        assert_eq!(fixture::Kept::violations(&serde_json::from_str(&text).unwrap()), [""; 0], "{name}");
    }
}

#[test]
fn everything_at_once() {
    let bench = Bench::idle();
    let line = format!(
        "report {} --html page --markdown r.md --csv r.csv --rows window --junit r.xml --svg svg --png png",
        samples(&["p2p", "v2v"])
    );
    let ran = bench.run(&line);
    ran.exits(0).prints_nothing().says("index.html").says("r.xml");
    let page = fs::read_to_string(bench.path("page/index.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("<svg") && !page.contains("<script"));
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    let markdown = fs::read_to_string(bench.path("r.md")).unwrap();
    assert!(markdown.contains("## p2p\n") && markdown.contains("## v2v\n"), "{markdown}");
    let rows = fs::read_to_string(bench.path("r.csv")).unwrap();
    let windows: usize = ["p2p", "v2v"]
        .iter()
        .map(|name| ResultDocument::read(&sample(name)).unwrap())
        .map(|document| document.trials.iter().map(|trial| trial.windows.len()).sum::<usize>())
        .sum();
    assert_eq!(rows.lines().count(), windows + 1);
    let junit = fs::read_to_string(bench.path("r.xml")).unwrap();
    assert!(junit.contains("<testsuite name=\"v2v\"") && junit.contains("rate_mpps_median"), "{junit}");
    for (folder, ending, magic) in [("svg", "svg", &b"<svg"[..]), ("png", "png", b"\x89PNG")] {
        let entries: Vec<_> = fs::read_dir(bench.path(folder)).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(entries.len() > 5, "{entries:?}");
        for path in entries {
            assert!(path.extension().is_some_and(|found| found == ending), "{path:?}");
            assert!(fs::read(&path).unwrap().starts_with(magic), "{path:?}");
        }
    }
    bench.leaves_nothing_behind();
}

#[test]
fn to_standard_output_and_single_figures() {
    let bench = Bench::idle();
    let file = samples(&["p2p"]);
    let list = bench.run(&format!("report {file} --list"));
    list.exits(0);
    let names: Vec<&str> = list.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"headline") && names.contains(&"throughput-bits"), "{list}");
    bench.run(&format!("report {file} --figure headline,cost --svg .")).exits(0);
    let mut drawn: Vec<String> = fs::read_dir(bench.path("."))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    drawn.sort();
    assert_eq!(drawn, ["cost.svg", "headline.svg"]);
    let csv = bench.run(&format!("report {file} --csv -"));
    csv.exits(0);
    assert!(csv.stdout.starts_with("document,started_at,"), "{csv}");
    bench.run(&format!("report {file} --html one.html")).exits(0);
    assert!(bench.path("one.html").is_file());
}

#[test]
fn what_cannot_be_reported_gets_a_sentence() {
    let bench = Bench::idle();
    let good = fs::read_to_string(sample("v2v")).unwrap();
    let write = |name: &str, text: &str| fs::write(bench.path(name), text).unwrap();
    write("empty.json", "");
    write("cut.json", &good[..good.len() / 2]);
    write("new.json", &good.replacen("vale-bench/result/1", "vale-bench/result/9", 1));
    write("other.json", "{}");
    let mut none: serde_json::Value = serde_json::from_str(&good).unwrap();
    none["trials"] = serde_json::json!([]);
    write("none.json", &none.to_string());
    let file = samples(&["v2v"]);
    for (line, code, words) in [
        ("report", 2, &["RESULTS"][..]),
        (&format!("report {file}"), 2, &["nothing to write", "--html", "--list"]),
        ("report gone.json --html out", 2, &["gone.json", "No such file"]),
        ("report empty.json --html out", 2, &["empty.json is empty"]),
        ("report cut.json --html out", 2, &["cut.json is truncated", "line"]),
        ("report new.json --html out", 2, &["vale-bench/result/9", "this vale-bench reads"]),
        ("report other.json --html out", 2, &["not a vale-bench result"]),
        ("report none.json --html out", 1, &["none.json has no trial", "nothing to report"]),
        (&format!("report {file} cut.json --html out"), 2, &["cut.json is truncated"]),
        (&format!("report {file} --figure nosuch --svg out"), 2, &["no figure is called", "headline"]),
        (&format!("report {file} --figure latency-load --svg out"), 2, &["have nothing for", "headline"]),
        (&format!("report {file} --rows window --html out"), 2, &["--csv"]),
        (&format!("report {file} --csv - --markdown -"), 2, &["one report at a time"]),
        (&format!("report {file} --html /proc/none/"), 2, &["cannot write", "/proc/none"]),
        (&format!("report {file} --csv /nonexistent/r.csv"), 2, &["cannot write", "/nonexistent"]),
    ] {
        let ran = bench.run(line);
        ran.exits(code).prints_nothing();
        for word in words {
            ran.says(word);
        }
        assert!(!bench.path("out").exists(), "{line} wrote something");
    }
}

#[test]
fn a_run_that_ended_early_is_shown_and_marked() {
    let bench = Bench::idle();
    let mut document: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(sample("v2v")).unwrap()).unwrap();
    document["incomplete"] = serde_json::json!("interrupted");
    document["plan"]["trials"] = serde_json::json!(99);
    fs::write(bench.path("r.json"), document.to_string()).unwrap();
    bench.run("report r.json --html out --markdown r.md --junit r.xml").exits(0);
    for name in ["out/index.html", "r.md"] {
        let text = fs::read_to_string(bench.path(name)).unwrap();
        assert!(text.contains("of 99 trials were made (interrupted)"), "{name}");
    }
    let junit = fs::read_to_string(bench.path("r.xml")).unwrap();
    assert!(junit.contains("errors=\"1\"") && junit.contains("interrupted"), "{junit}");
}
