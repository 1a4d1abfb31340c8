//! The run: one check after the other, each looked after, to a document.

use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use netmap_rs::kernel::{Control, module_parameters};

use super::baseline::{Baseline, Verdict};
use super::check::{Check, OptIn, Stop};
use super::child::{self, Report};
use super::document::{CiDocument, Finding, Outcome, SchemaId, Summary};
use super::kmsg::KernelLog;
use super::leftovers::{self, Things};
use super::show::Show;
use super::{modules, world};
use crate::exit::Fail;
use crate::interrupt::Interrupt;
use crate::result::rfc3339;
use crate::{machine, provenance};

/// How to run checks.
#[derive(Debug, Default)]
pub struct Options {
    /// A module to load first, and to be loaded and unloaded.
    pub module: Option<PathBuf>,
    /// Whether checks run that may take the machine along.
    pub risky: bool,
    /// Rates to compare with.
    pub baseline: Option<Baseline>,
}

/// Runs checks, showing each as it ends. Fails only if there is nothing to check, or a signal came: a check that
/// failed is in the document.
pub fn run(
    checks: &[Check],
    options: &Options,
    show: &mut dyn Show,
    interrupt: &Interrupt,
) -> Result<CiDocument, Fail> {
    let started_at = rfc3339(SystemTime::now());
    let start = Instant::now();
    prepare(options)?;
    let mut log = KernelLog::open();
    show.begin(checks)?;
    let mut findings: Vec<Finding> = Vec::new();
    let mut stuck: Option<&str> = None;
    for check in checks {
        let finding = match (why_not(check, options), stuck) {
            (Some(why), _) => skipped(check, why.to_owned()),
            (None, Some(culprit)) => {
                skipped(check, format!("{culprit} left a process behind that the kernel does not let go"))
            }
            (None, None) => {
                let (finding, is_stuck) = one(check, options, &mut log, interrupt)?;
                stuck = is_stuck.then_some(check.name);
                finding
            }
        };
        show.finding(&finding)?;
        findings.push(finding);
        interrupt.check()?;
    }
    let parameters = module_parameters().unwrap_or_default();
    let document = CiDocument {
        schema: SchemaId::V1,
        tool: provenance::tool(),
        command_line: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        started_at,
        host: machine::host(),
        module_parameters: parameters.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        kernel_log_read: log.is_read(),
        duration_s: start.elapsed().as_secs_f64(),
        summary: Summary::of(&findings),
        checks: findings,
    };
    show.end(&document)?;
    Ok(document)
}

/// Sees that there is a module: the one that was given, or the host's.
fn prepare(options: &Options) -> Result<(), Fail> {
    if let Some(path) = &options.module {
        let Some(name) = modules::module_name(path) else {
            return Err(Fail::usage(format!("--module {}: that is no module's file", path.display())));
        };
        if modules::is_loaded(&name)
            && let Err(errno) = modules::unload(&name)
        {
            let what = world::errno_name(errno);
            return Err(Fail::host(format!(
                "{name} is loaded and cannot be unloaded ({what}): close its ports, and detach what is attached"
            )));
        }
        match modules::load(path) {
            Ok(()) => {}
            Err(Stop::Fail(why) | Stop::Skip(why) | Stop::Known { what: why, .. }) => {
                return Err(Fail::host(why));
            }
        }
    }
    match Control::open() {
        Ok(_) => Ok(()),
        Err(e) => Err(Fail::host(e)),
    }
}

fn why_not(check: &Check, options: &Options) -> Option<&'static str> {
    match check.opt_in {
        Some(OptIn::Module) if options.module.is_none() => Some("it needs a module to load: --module FILE"),
        Some(OptIn::Risky) if !options.risky => {
            Some("a module that fails it takes the machine along: --risky runs it")
        }
        _ => None,
    }
}

fn skipped(check: &Check, why: String) -> Finding {
    let report = Report { outcome: Outcome::Skip, why: Some(why), issue: None, figures: Vec::new() };
    finding(check, report, 0.0)
}

fn finding(check: &Check, report: Report, duration_s: f64) -> Finding {
    Finding {
        name: check.name.to_owned(),
        objective: check.objective.to_owned(),
        outcome: report.outcome,
        why: report.why,
        issue: report.issue,
        duration_s,
        kernel_log: Vec::new(),
        leftovers: Vec::new(),
        figures: report.figures,
    }
}

fn one(
    check: &Check,
    options: &Options,
    log: &mut KernelLog,
    interrupt: &Interrupt,
) -> Result<(Finding, bool), Fail> {
    let start = Instant::now();
    let before = Things::now();
    log.mark();
    let ended = child::run(check, options.module.as_deref(), interrupt)?;
    let leftovers = leftovers::clear(&before);
    let mut finding = finding(check, ended.report, 0.0);
    finding.kernel_log = log.trouble();
    finding.leftovers = leftovers;
    finding.duration_s = start.elapsed().as_secs_f64();
    judge(&mut finding, options.baseline.as_ref());
    Ok((finding, ended.stuck))
}

/// Fails what passed and yet made the kernel complain, left something behind, or was slow.
fn judge(finding: &mut Finding, baseline: Option<&Baseline>) {
    let mut reasons = Vec::new();
    if !finding.kernel_log.is_empty() {
        reasons.push("the kernel complained meanwhile".to_owned());
    }
    if !finding.leftovers.is_empty() {
        reasons.push(format!("it left behind {}", finding.leftovers.join(", ")));
    }
    let mut unclear = Vec::new();
    if let Some(baseline) = baseline {
        for figure in &finding.figures {
            match baseline.judge(figure) {
                Verdict::Good => {}
                Verdict::Slower(why) => reasons.push(why),
                Verdict::Unclear(why) => unclear.push(why),
            }
        }
    }
    let earlier = finding.why.take();
    if reasons.is_empty() && finding.outcome == Outcome::Pass && !unclear.is_empty() {
        finding.outcome = Outcome::Skip;
        finding.why = Some(unclear.join("; "));
        return;
    }
    if !reasons.is_empty() && !finding.outcome.is_failure() {
        finding.outcome = Outcome::Fail;
    }
    let all: Vec<String> = earlier.into_iter().chain(reasons).collect();
    finding.why = (!all.is_empty()).then(|| all.join("; "));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ci::document::Figure;

    fn passed(figures: Vec<Figure>) -> Finding {
        let report = Report { outcome: Outcome::Pass, why: None, issue: None, figures };
        finding(&Check::new("a.b", "It does", |_| Ok(())), report, 1.0)
    }

    #[test]
    fn what_the_kernel_says_and_what_is_left_fails_a_check_that_passed() {
        let mut good = passed(vec![]);
        judge(&mut good, None);
        assert_eq!((good.outcome, good.why), (Outcome::Pass, None));

        let mut loud = passed(vec![]);
        loud.kernel_log.push("BUG: x".into());
        loud.leftovers.push("valeci:a".into());
        judge(&mut loud, None);
        assert_eq!(loud.outcome, Outcome::Fail);
        assert_eq!(loud.why.unwrap(), "the kernel complained meanwhile; it left behind valeci:a");

        let mut known = passed(vec![]);
        (known.outcome, known.why) = (Outcome::KnownDefect, Some("renamed".into()));
        known.leftovers.push("nmci1".into());
        judge(&mut known, None);
        assert_eq!(known.outcome, Outcome::KnownDefect, "it stays what it is");
        assert_eq!(known.why.unwrap(), "renamed; it left behind nmci1");
    }

    #[test]
    fn slower_than_the_baseline_fails_and_unclear_skips() {
        let figure = |samples: &[f64]| Figure { name: "vale".into(), samples_pps: samples.to_vec() };
        let host = machine::host();
        let baseline = Baseline::of(&[passed(vec![figure(&[1e6; 5])])], &host, "2026-11-22T18:42:00Z");
        let judged = |samples: &[f64]| {
            let mut finding = passed(vec![figure(samples)]);
            judge(&mut finding, Some(&baseline));
            finding
        };
        assert_eq!(judged(&[0.95e6; 5]).outcome, Outcome::Pass);
        let slow = judged(&[0.5e6; 5]);
        assert_eq!(slow.outcome, Outcome::Fail);
        assert!(slow.why.unwrap().contains("50 % of it"));
        assert_eq!(judged(&[0.1e6, 1e6, 0.5e6, 2e6, 3e6]).outcome, Outcome::Skip);
    }

    #[test]
    fn what_must_be_asked_for_is_left_out_with_the_reason() {
        let module = Check::new("module.x", "x", |_| Ok(())).opt_in(OptIn::Module);
        let risky = Check::new("csb.x", "x", |_| Ok(())).opt_in(OptIn::Risky);
        let none = Options::default();
        assert!(why_not(&module, &none).unwrap().contains("--module"));
        assert!(why_not(&risky, &none).unwrap().contains("--risky"));
        let all = Options { module: Some("netmap.ko".into()), risky: true, baseline: None };
        assert_eq!((why_not(&module, &all), why_not(&risky, &all)), (None, None));
    }
}
