//! Trends of made-up runs.

use super::*;
use crate::ci::baseline::Baseline;
use crate::ci::document::{Figure, Finding, Outcome};
use crate::result::Host;
use crate::result::tests::{document, search, trial};
use std::path::Path;

const OPTIONS: Options = Options { confidence: 0.95, seed: 1 };

/// A folder of runs, one a day, with these rates in thousands of frames.
fn runs(rates: &[u64]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (day, rate) in rates.iter().enumerate() {
        // Three repetitions around it.
        let trials = [1, 2, 3].map(|repeat| trial("uvale", 64, repeat, (rate + u64::from(repeat)) * 1000, 0));
        let mut document = document(&["uvale"], trials.to_vec());
        document.manifest.started_at = format!("2026-11-{:02}T12:00:00Z", day + 1);
        document.manifest.tool.git_revision = Some(format!("{day:040x}"));
        // Written in another order than they were made.
        let name = format!("{}.json", (day * 7) % 100);
        std::fs::write(folder.path().join(name), document.to_json().unwrap()).unwrap();
    }
    folder
}

fn look(folder: &tempfile::TempDir) -> TrendDocument {
    trend(Folder::read(folder.path()).unwrap(), &OPTIONS)
}

fn shown(document: &TrendDocument) -> String {
    let mut out = Vec::new();
    text(document, &crate::report::View::default(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    text
}

#[test]
fn a_drop_is_found_with_the_commits_around_it() {
    let folder = runs(&[3000, 3040, 2990, 3010, 3020, 2980, 2700, 2720, 2690, 2710, 2705]);
    let document = look(&folder);
    let [series] = &document.series[..] else { panic!("{:?}", document.series) };
    assert_eq!((series.points.len(), series.shifts.len(), series.shifts[0].at), (11, 1, 6));
    assert!(!series.shifts[0].better && series.is_worse());
    assert_eq!(series.points[6].at, "2026-11-07T12:00:00Z");
    let text = shown(&document).replace("\n  ", " ");
    assert!(text.contains("uvale 64: worse, 3.01 to 2.71 Mpps (-10.0 %, p "), "{text}");
    assert!(
        text.contains("2026-11-06T12:00:00Z (0000000000) and 2026-11-07T12:00:00Z (0000000000)"),
        "{text}"
    );
    assert!(text.contains("██████|████"), "{text}");
    let mut out = Vec::new();
    markdown(&document, &mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().contains("| uvale 64 | Mpps | 11 | 2.71 | 2.71 | 1 |"));
}

#[test]
fn one_bad_run_is_no_change_and_is_told() {
    let folder = runs(&[3000, 3040, 2990, 3010, 3020, 2980, 2500]);
    let document = look(&folder);
    let series = &document.series[0];
    assert_eq!(series.shifts, []);
    assert!(series.latest.unwrap().worse && series.is_worse());
    assert!(shown(&document).contains("the newest run (42.json) is worse than its level"));
    let steady = look(&runs(&[3000, 3040, 2990, 3010, 3020, 2980, 3005]));
    assert!(!steady.series[0].is_worse());
    let few = look(&runs(&[3000, 3000, 100]));
    assert_eq!(few.series[0].latest, None);
}

#[test]
fn machines_and_conditions_are_kept_apart_and_other_files_are_named() {
    let folder = runs(&[3000, 3010]);
    let mut other = document(&["uvale"], vec![trial("uvale", 64, 1, 9_000_000, 0)]);
    other.manifest.host.cpu.model = Some("Other 1".into());
    std::fs::write(folder.path().join("other.json"), other.to_json().unwrap()).unwrap();
    std::fs::write(folder.path().join("cut.json"), "{\"schema\": \"vale-b").unwrap();
    std::fs::write(folder.path().join("note.txt"), "not looked at").unwrap();
    let document = look(&folder);
    assert_eq!((document.runs, document.series.len()), (3, 2));
    assert_eq!(document.passed_over.len(), 1);
    assert!(shown(&document).contains("! Passed over cut.json: cut.json is truncated"));
}

#[test]
fn rates_of_ci_make_series_too() {
    let folder = tempfile::tempdir().unwrap();
    for day in 1..=3 {
        let figures = vec![Figure { name: "vale".into(), samples_pps: vec![1e6 * f64::from(day); 3] }];
        let finding = Finding {
            name: "perf.vale".into(),
            objective: "It passes frames".into(),
            outcome: Outcome::Pass,
            why: None,
            issue: None,
            duration_s: 1.0,
            kernel_log: vec![],
            leftovers: vec![],
            figures,
        };
        let baseline = Baseline::of(&[finding], &Host::default(), &format!("2026-11-0{day}T00:00:00Z"));
        std::fs::write(folder.path().join(format!("{day}.json")), baseline.to_json()).unwrap();
    }
    let document = look(&folder);
    let values: Vec<f64> = document.series[0].points.iter().map(|point| point.value).collect();
    assert_eq!((values, document.series[0].conditions.as_str()), (vec![1.0, 2.0, 3.0], "ci"));
}

#[test]
fn a_folder_without_runs_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.json"), "{}").unwrap();
    let error = Folder::read(folder.path()).unwrap_err().to_string();
    assert!(error.ends_with("has no document of a run (1 were looked at)"), "{error}");
    assert!(Folder::read(Path::new("/nonexistent")).unwrap_err().to_string().contains("cannot read"));
}

#[test]
fn the_schema_in_the_repository_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/trend-1.json");
    let schema = schema_json();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == schema, "schema/trend-1.json is out of date; run the tests with UPDATE_SCHEMA=1");
    let document = look(&runs(&[3000, 3040, 2990, 3010, 3020, 2980, 2500]));
    let value: serde_json::Value = serde_json::from_str(&document.to_json().unwrap()).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let problems: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert_eq!(problems, [""; 0]);
}

#[test]
fn what_searches_found_goes_its_way_by_goal() {
    let folder = tempfile::tempdir().unwrap();
    for (day, pps) in [3.0e6, 3.04e6, 2.99e6, 3.01e6, 3.02e6, 2.98e6, 2.7e6, 2.72e6, 2.69e6, 2.71e6, 2.705e6]
        .iter()
        .enumerate()
    {
        let mut document = document(&["uvale"], Vec::new());
        document.searches = [-1e3, 0.0, 1e3].map(|off| search("uvale", 64, pps + off)).to_vec();
        document.searches[2].incomplete = (day == 0).then(|| "interrupted".into());
        document.manifest.started_at = format!("2026-11-{:02}T12:00:00Z", day + 1);
        std::fs::write(folder.path().join(format!("{day}.json")), document.to_json().unwrap()).unwrap();
    }
    let document = look(&folder);
    let names: Vec<&str> = document.series.iter().map(|series| series.name.as_str()).collect();
    assert_eq!(names, ["uvale 64 ndr", "uvale 64 pdr"]);
    assert_eq!((document.series[0].shifts[0].at, document.series[0].points[0].samples), (6, 2));
    assert!(document.series.iter().all(Series::is_worse));
    assert!(shown(&document).replace('\n', " ").contains("v2v, 2 guests, one way, ndr by MLRsearch"));
}
