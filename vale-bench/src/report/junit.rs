//! For a CI server: a suite a document, a case a measurement, which fails where its numbers cannot be trusted.
//!
//! How fast something was is no failure (see `compare`); it stands in the case's properties.

use std::io::Write;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::export::{Export, Selection};
use super::group::{Row, Section, sections};
use super::kept::Kept;
use super::{ReportError, figure, text};
use crate::result::{SearchRecord, Warning};

/// Writes JUnit XML.
pub(super) struct Junit;

impl Export for Junit {
    fn write(&self, results: &[Kept], _: &Selection, out: &mut dyn Write) -> Result<(), ReportError> {
        let mut report = Report::new("vale-bench report");
        report.add_test_suites(results.iter().map(suite));
        let xml = report.to_string().map_err(|error| ReportError::Junit(error.to_string()))?;
        out.write_all(xml.as_bytes())?;
        Ok(())
    }
}

fn suite(kept: &Kept) -> TestSuite {
    let mut suite = TestSuite::new(kept.name.as_str());
    suite.add_property(Property::new("circumstances", text::plain(&text::circumstances(&kept.document))));
    let command = text::command(&kept.document.manifest.command_line);
    suite.add_property(Property::new("command", command));
    for section in sections(&kept.document) {
        suite.add_test_cases(section.rows.iter().map(|row| case(&section, row)));
    }
    for skipped in &kept.document.skipped {
        let mut status = TestCaseStatus::skipped();
        status.set_message(text::plain(&skipped.reason));
        let name = text::plain(&format!("{} on {}", skipped.scenario, skipped.dataplane));
        suite.add_test_case(TestCase::new(name, status));
    }
    suite.add_test_cases(kept.document.searches.iter().map(search));
    for failed in &kept.document.failed {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_type("failed");
        status.set_message(text::plain(&failed.reason));
        let name = format!("{} on {}, round {}", failed.scenario, failed.dataplane, failed.repeat);
        suite.add_test_case(TestCase::new(text::plain(&name), status));
    }
    if let Some(reason) = &kept.document.incomplete {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_type("incomplete");
        let made = figure::count(kept.document.plan.trials, "trial");
        let searches = kept.document.searches.iter().filter(|search| search.incomplete.is_none());
        let ended = kept.document.trials.len() + searches.count();
        let made = format!("{ended} of {made} were made: {}", text::plain(reason));
        status.set_message(made);
        suite.add_test_case(TestCase::new("all trials were made", status));
    }
    suite
}

fn case(section: &Section<'_>, row: &Row<'_>) -> TestCase {
    let warnings = || row.trials.iter().flat_map(|trial| &trial.warnings);
    let mut status = match warnings().find(|warning| warning.spoils()) {
        None => TestCaseStatus::success(),
        Some(worst) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(worst.kind());
            status.set_message(text::plain(&worst.sentence()));
            status
        }
    };
    if let Some(mpps) = row.mpps() {
        let unit = format!("{} Mpps ({} repeats)", figure::significant(mpps.median), mpps.count);
        if warnings().any(Warning::spoils) {
            status.set_description(unit);
        }
    }
    let name = format!("{}, {} bytes, {}", row.dataplane(), row.size(), section.title());
    let mut case = TestCase::new(text::plain(&name), status);
    case.set_classname(text::plain(&format!("vale-bench.{}", row.trials[0].scenario)));
    let seconds: f64 = row.trials.iter().map(|trial| trial.duration_s + trial.warmup_s).sum();
    case.set_time(Duration::try_from_secs_f64(seconds).unwrap_or_default());
    case.properties = properties(row);
    let mut sentences: Vec<String> = warnings().map(|warning| text::plain(&warning.sentence())).collect();
    sentences.sort();
    sentences.dedup();
    if !sentences.is_empty() {
        case.set_system_out(sentences.join("\n"));
    }
    case
}

/// A search, which is in error where it ended before it knew enough.
fn search(record: &SearchRecord) -> TestCase {
    let mut status = match &record.incomplete {
        None => TestCaseStatus::success(),
        Some(_) => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    if let Some(reason) = &record.incomplete {
        status.set_type("incomplete");
        status.set_message(text::plain(reason));
    }
    let (dataplane, size) = (&record.dataplane.name, &record.frame_size.label);
    let direction = figure::direction(record.direction);
    let name = format!(
        "{}: {dataplane}, {size} bytes, {}, {} guests, {direction}, search {}",
        record.method.label(),
        record.scenario,
        record.vms,
        record.repeat
    );
    let mut case = TestCase::new(text::plain(&name), status);
    case.set_classname(text::plain(&format!("vale-bench.{}", record.scenario)));
    case.set_time(Duration::try_from_secs_f64(record.elapsed_s).unwrap_or_default());
    for result in &record.results {
        let Some(load_pps) = result.throughput_pps() else { continue };
        let name = text::plain(&format!("{}_mpps", result.goal.name));
        case.properties.push(Property::new(name, record.rates(load_pps).rate_mpps.to_string()));
    }
    case
}

fn properties(row: &Row<'_>) -> Vec<Property> {
    let mut properties = Vec::new();
    let mut put = |name: &str, value: Option<f64>| {
        properties.extend(value.map(|value| Property::new(name, value.to_string())));
    };
    let mpps = row.mpps();
    put("rate_mpps_median", mpps.map(|summary| summary.median));
    put("rate_mpps_min", mpps.map(|summary| summary.min));
    put("rate_mpps_max", mpps.map(|summary| summary.max));
    put("rate_l1_gbps_median", row.median(|trial| trial.throughput.aggregate.rate_l1_gbps));
    put("loss_ratio_median", row.median(|trial| trial.accounting.loss_ratio()));
    put("latency_p50_ns_median", row.latency_ns(|latency| latency.p50_ns));
    put("latency_p99_ns_median", row.latency_ns(|latency| latency.p99_ns));
    put("repeats", Some(row.trials.len() as f64));
    properties
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Skipped;
    use crate::result::tests::{document, trial};

    #[test]
    fn only_what_cannot_be_trusted_fails() {
        let mut spoilt = trial("uvale", 1518, 1, 1000, 0);
        spoilt.warnings = vec![Warning::Unaccounted { frames: 3 }];
        let lossy = trial("uvale", 64, 1, 1000, 900);
        let mut document = document(&["uvale"], vec![lossy, spoilt]);
        let (scenario, dataplane) = ("v2v".into(), "vale".into());
        document.skipped = vec![Skipped { scenario, dataplane, reason: "no <netmap>\u{1}".into() }];
        document.incomplete = Some("interrupted".into());
        let mut xml = Vec::new();
        let results = Kept::name_all([("r.json".into(), document)]);
        Junit.write(&results, &Selection::default(), &mut xml).unwrap();
        let xml = String::from_utf8(xml).unwrap();
        assert!(xml.contains("tests=\"4\" skipped=\"1\" failures=\"1\" errors=\"1\""), "{xml}");
        assert!(xml.contains("type=\"unaccounted\"") && xml.contains("3 frames vanished"), "{xml}");
        assert!(xml.contains("2 of 2 trials were made: interrupted"), "{xml}");
        assert!(xml.contains("90 % of the frames sent did not arrive."), "{xml}");
        assert!(xml.contains("no &lt;netmap"), "{xml}");
    }
}
