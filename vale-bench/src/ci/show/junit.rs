//! JUnit XML, a suite per theme.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::ci::document::{CiDocument, Finding, Outcome};

/// The XML could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make JUnit XML")]
pub struct JunitError(#[from] quick_junit::SerializeError);

/// The document as JUnit XML.
pub fn junit(document: &CiDocument) -> Result<String, JunitError> {
    let mut report = Report::new("vale-bench ci");
    report.set_time(seconds(document.duration_s));
    let cases = document.checks.iter().map(case);
    let mut suites: Vec<TestSuite> = Vec::new();
    for case in cases.chain(document.not_run.iter().map(|name| not_run(name))) {
        let theme = theme(case.name.as_str());
        if suites.last().is_none_or(|suite| suite.name.as_str() != theme) {
            suites.push(TestSuite::new(theme));
        }
        if let Some(suite) = suites.last_mut() {
            suite.add_test_case(case);
        }
    }
    report.add_test_suites(suites);
    Ok(report.to_string()?)
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn theme(check: &str) -> &str {
    check.split('.').next().unwrap_or_default()
}

fn not_run(name: &str) -> TestCase {
    let mut status = TestCaseStatus::skipped();
    status.set_message("the run ended before it");
    let mut case = TestCase::new(name, status);
    case.set_classname(format!("netmap.{}", theme(name)));
    case
}

fn case(finding: &Finding) -> TestCase {
    let mut status = match finding.outcome {
        Outcome::Pass => TestCaseStatus::success(),
        Outcome::Skip => TestCaseStatus::skipped(),
        Outcome::Fail | Outcome::KnownDefect => TestCaseStatus::non_success(NonSuccessKind::Failure),
    };
    if let Some(why) = &finding.why {
        let why = match finding.issue {
            Some(issue) => format!("known defect, netmap issue {issue}: {why}"),
            None => why.clone(),
        };
        status.set_message(why);
    }
    if finding.outcome.is_failure() {
        status.set_type(if finding.issue.is_some() { "known-defect" } else { "failure" });
        status.set_description(format!("must: {}", finding.objective));
    }
    let mut case = TestCase::new(finding.name.as_str(), status);
    case.set_classname(format!("netmap.{}", theme(&finding.name)));
    case.set_time(seconds(finding.duration_s));
    if !finding.kernel_log.is_empty() {
        case.set_system_err(finding.kernel_log.join("\n"));
    }
    case
}
