//! How findings are shown, by snapshots.

use super::*;
use crate::ci::document::{Figure, Outcome, SchemaId, Summary, schema_json};
use crate::result::{Host, NetmapModule};
use crate::{machine, provenance};

fn finding(name: &str, outcome: Outcome, why: Option<&str>) -> Finding {
    Finding {
        name: name.into(),
        objective: "It does what it must".into(),
        outcome,
        why: why.map(str::to_owned),
        issue: None,
        duration_s: 0.25,
        kernel_log: vec![],
        leftovers: vec![],
        figures: vec![],
    }
}

fn document() -> CiDocument {
    let mut failed = finding("vale.learning", Outcome::Fail, Some("expected \"a\", saw #b\nthen <c>"));
    failed.kernel_log.push("BUG: x".into());
    let mut known = finding("vale.name", Outcome::KnownDefect, Some("renamed"));
    known.issue = Some(882);
    let mut fast = finding("perf.vale", Outcome::Pass, None);
    fast.figures.push(Figure { name: "vale".into(), samples_pps: vec![1e6, 2e6, 3e6] });
    let checks = vec![
        finding("api.version", Outcome::Pass, None),
        failed,
        finding("vale.ext", Outcome::Skip, Some("not built in # here")),
        known,
        fast,
    ];
    CiDocument {
        schema: SchemaId::V1,
        tool: provenance::tool(),
        command_line: vec!["vale-bench".into(), "ci".into()],
        started_at: "2026-11-22T18:42:00Z".into(),
        host: Host {
            kernel_release: "6.1.0".into(),
            netmap: Some(NetmapModule { build_id: Some("e60d04".into()), ..NetmapModule::default() }),
            ..machine::host()
        },
        module_parameters: [("buf_num".to_owned(), "163840".to_owned())].into(),
        kernel_log_read: true,
        duration_s: 1.5,
        summary: Summary::of(&checks),
        checks,
        running: None,
        not_run: vec![],
    }
}

fn shown(mut show: impl Show) {
    let document = document();
    let names: Vec<&str> = document.checks.iter().map(|finding| finding.name.as_str()).collect();
    show.begin(&names, 0).unwrap();
    for finding in &document.checks {
        show.finding(finding).unwrap();
    }
    show.end(&document).unwrap();
}

#[test]
fn lines_for_people() {
    let mut out = Vec::new();
    shown(Text::new(&mut out));
    insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r##"
ok    api.version    0.25 s
FAIL  vale.learning  0.25 s
      must: It does what it must
      expected "a", saw #b
      then <c>
      kernel: BUG: x
skip  vale.ext       not built in # here
KNOWN vale.name      0.25 s
      must: It does what it must
      known defect, netmap issue 882
      renamed
ok    perf.vale      0.25 s
      vale: 2.000 Mpps (1.000 to 3.000, 3 samples)

5 checks in 1.5 s: 2 passed, 1 failed, 1 known defects, 1 skipped
on Linux 6.1.0, netmap build e60d04
"##);
}

#[test]
fn test_anything_protocol() {
    let mut out = Vec::new();
    shown(Tap::new(&mut out));
    insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r##"
TAP version 14
1..5
ok 1 - api.version
not ok 2 - vale.learning
  ---
  objective: "It does what it must"
  message: "expected \"a\", saw #b\nthen <c>"
  duration_ms: 250
  kernel_log:
    - "BUG: x"
  ...
ok 3 - vale.ext # SKIP not built in \# here
not ok 4 - vale.name
  ---
  objective: "It does what it must"
  known_defect: "netmap issue 882"
  message: "renamed"
  duration_ms: 250
  ...
ok 5 - perf.vale
  ---
  objective: "It does what it must"
  duration_ms: 250
  samples_pps:
    "vale": [1000000, 2000000, 3000000]
  ...
"##);
}

#[test]
fn junit_xml() {
    insta::assert_snapshot!(junit(&document()).unwrap(), @r##"
<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="vale-bench ci" tests="5" skipped="1" failures="2" errors="0" time="1.500">
    <testsuite name="api" tests="1" skipped="0" errors="0" failures="0">
        <testcase name="api.version" classname="netmap.api" time="0.250"/>
    </testsuite>
    <testsuite name="vale" tests="3" skipped="1" errors="0" failures="2">
        <testcase name="vale.learning" classname="netmap.vale" time="0.250">
            <failure message="expected &quot;a&quot;, saw #b
then &lt;c&gt;" type="failure">must: It does what it must</failure>
            <system-err>BUG: x</system-err>
        </testcase>
        <testcase name="vale.ext" classname="netmap.vale" time="0.250">
            <skipped message="not built in # here"/>
        </testcase>
        <testcase name="vale.name" classname="netmap.vale" time="0.250">
            <failure message="known defect, netmap issue 882: renamed" type="known-defect">must: It does what it must</failure>
        </testcase>
    </testsuite>
    <testsuite name="perf" tests="1" skipped="0" errors="0" failures="0">
        <testcase name="perf.vale" classname="netmap.perf" time="0.250"/>
    </testsuite>
</testsuites>
"##);
}

#[test]
fn a_run_that_did_not_end_says_so_and_one_that_goes_on_counts_on() {
    let mut cut = document();
    cut.checks.truncate(2);
    cut.running = Some("vale.learning".into());
    cut.not_run = vec!["vale.ext".into(), "perf.vale".into()];
    let xml = junit(&cut).unwrap();
    assert!(xml.contains(r#"tests="4" skipped="2" failures="1""#), "{xml}");
    assert_eq!(xml.matches("the run ended before it").count(), 2);
    assert_eq!(serde_json::from_str::<CiDocument>(&cut.to_json()).unwrap(), cut);

    let mut out = Vec::new();
    let mut tap = Tap::new(&mut out);
    tap.begin(&["api.version", "vale.learning"], 1).unwrap();
    tap.finding(&finding("vale.learning", Outcome::Pass, None)).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "ok 2 - vale.learning\n");
}

#[test]
fn the_document_comes_last_and_alone() {
    let (mut out, mut progress) = (Vec::new(), Vec::new());
    shown(Json { out: &mut out, progress: Text::new(&mut progress) });
    assert_eq!(serde_json::from_slice::<CiDocument>(&out).unwrap(), document());
    assert!(progress.starts_with(b"ok    api.version"));
}

#[test]
fn the_schema_in_the_repository_is_that_of_the_types() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/ci-1.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, schema_json()).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == schema_json(), "schema/ci-1.json is out of date; run the tests with UPDATE_SCHEMA=1");
    let schema: serde_json::Value = serde_json::from_str(&stored).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut good = serde_json::to_value(document()).unwrap();
    assert!(validator.is_valid(&good));
    good["schema"] = "vale-bench/ci-2".into();
    assert!(!validator.is_valid(&good));
}

#[test]
fn lists_name_what_must_be_asked_for() {
    let mut out = Vec::new();
    list(&crate::ci::catalogue::checks(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("module.load").ends_with("(with --module)"));
    assert!(line("csb.killed").ends_with("(with --risky)"));
    assert!(line("vale.learning").contains("exactly its port"));
}
