//! How findings are shown, by snapshots.

use super::*;
use crate::ci::document::{Figure, Outcome, SchemaId, Summary, schema_json};
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
        host: machine::host(),
        module_parameters: [("buf_num".to_owned(), "163840".to_owned())].into(),
        kernel_log_read: true,
        duration_s: 1.5,
        summary: Summary::of(&checks),
        checks,
    }
}

fn shown(mut show: impl Show) {
    let document = document();
    let checks: Vec<Check> = ["api.version", "vale.learning", "vale.ext", "vale.name", "perf.vale"]
        .map(|name| Check::new(name, "It does what it must", |_| Ok(())))
        .into();
    show.begin(&checks).unwrap();
    for finding in &document.checks {
        show.finding(finding).unwrap();
    }
    show.end(&document).unwrap();
}

#[test]
fn lines_for_people() {
    let mut out = Vec::new();
    shown(Text::new(&mut out));
    insta::assert_snapshot!(String::from_utf8(out).unwrap(), @"");
}

#[test]
fn test_anything_protocol() {
    let mut out = Vec::new();
    shown(Tap::new(&mut out));
    insta::assert_snapshot!(String::from_utf8(out).unwrap(), @"");
}

#[test]
fn junit_xml() {
    insta::assert_snapshot!(junit(&document()).unwrap(), @"");
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
