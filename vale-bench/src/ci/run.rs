//! The run: one check after the other, each looked after, to a document.

use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use netmap_rs::kernel::{Control, loaded_module};

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
    /// A run that did not end, to go on with.
    pub resume: Option<CiDocument>,
}

/// Keeps the document of a run that goes on: before each check, as it is to stand if that check is the run's end,
/// and after the last.
pub type Keep<'a> = &'a mut dyn FnMut(&CiDocument) -> Result<(), Fail>;

/// Runs checks, showing each as it ends. Fails only if there is nothing to check, or a signal came: a check that
/// failed is in the document.
pub fn run(
    checks: &[Check],
    options: &Options,
    show: &mut dyn Show,
    keep: Keep<'_>,
    interrupt: &Interrupt,
) -> Result<CiDocument, Fail> {
    let mut course = Course::begin(options);
    prepare(options)?;
    if let Some(earlier) = &options.resume {
        same_module(earlier, loaded_module().ok().and_then(|module| module.build_id))?;
    }
    let mut log = KernelLog::open();
    let todo: Vec<&Check> = checks.iter().filter(|check| !course.has(check.name)).collect();
    let done = course.findings.iter().map(|finding| finding.name.as_str());
    let names: Vec<&str> = done.chain(todo.iter().map(|check| check.name)).collect();
    show.begin(&names, course.shown)?;
    for finding in &course.findings[course.shown..] {
        show.finding(finding)?;
    }
    let mut stuck: Option<&str> = None;
    for (at, check) in todo.iter().enumerate() {
        keep(&course.document(&log, &todo[at..], true))?;
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
        course.findings.push(finding);
        if let Err(interrupted) = interrupt.check() {
            keep(&course.document(&log, &todo[at + 1..], false))?;
            return Err(interrupted);
        }
    }
    let document = course.document(&log, &[], false);
    keep(&document)?;
    show.end(&document)?;
    Ok(document)
}

/// What a run has behind it.
struct Course {
    started_at: String,
    start: Instant,
    /// What a run took that this one goes on with.
    before_s: f64,
    findings: Vec<Finding>,
    /// How many of these have been shown by that run.
    shown: usize,
}

impl Course {
    fn begin(options: &Options) -> Course {
        let (started_at, start) = (rfc3339(SystemTime::now()), Instant::now());
        match &options.resume {
            None => Course { started_at, start, before_s: 0.0, findings: Vec::new(), shown: 0 },
            Some(earlier) => Course {
                started_at: earlier.started_at.clone(),
                start,
                before_s: earlier.duration_s,
                findings: earlier.checks.clone(),
                // The check that it did not survive was not.
                shown: earlier.checks.len() - usize::from(earlier.running.is_some()),
            },
        }
    }

    fn has(&self, name: &str) -> bool {
        self.findings.iter().any(|finding| finding.name == name)
    }

    /// The document as of now, with `rest` not run. If it is `about_to` run the first of these, that one is held to
    /// have failed: who reads this document in the end finds that the run did not come back from it.
    fn document(&self, log: &KernelLog, rest: &[&Check], about_to: bool) -> CiDocument {
        let mut checks = self.findings.clone();
        let (running, rest) = match rest.split_first() {
            Some((first, rest)) if about_to => (Some(*first), rest),
            _ => (None, rest),
        };
        if let Some(check) = running {
            let why = Some("the run ended while this check ran".to_owned());
            let report = Report { outcome: Outcome::Fail, why, issue: None, figures: Vec::new() };
            checks.push(finding(check, report, 0.0));
        }
        let host = machine::host();
        CiDocument {
            schema: SchemaId::V1,
            tool: provenance::tool(),
            command_line: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            started_at: self.started_at.clone(),
            module_parameters: host
                .netmap
                .as_ref()
                .map(|module| module.parameters.clone())
                .unwrap_or_default(),
            host,
            kernel_log_read: log.is_read(),
            duration_s: self.before_s + self.start.elapsed().as_secs_f64(),
            summary: Summary::of(&checks),
            checks,
            running: running.map(|check| check.name.to_owned()),
            not_run: rest.iter().map(|check| check.name.to_owned()).collect(),
        }
    }
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

/// Fails where a run that is gone on with was one of another module than is loaded now.
fn same_module(earlier: &CiDocument, build: Option<String>) -> Result<(), Fail> {
    let before = earlier.host.netmap.as_ref().and_then(|module| module.build_id.as_ref());
    match before.zip(build) {
        Some((before, now)) if *before != now => Err(Fail::usage(format!(
            "--resume: that run checked netmap build {before}, and loaded is build {now}: check it from the start"
        ))),
        _ => Ok(()),
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
    use crate::result::NetmapModule;

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
    fn at_any_time_the_document_says_what_a_lost_run_found() {
        let checks = ["a.one", "a.two", "b.three"].map(|name| Check::new(name, "It does", |_| Ok(())));
        let rest: Vec<&Check> = checks[1..].iter().collect();
        let mut course = Course::begin(&Options::default());
        course.findings.push(skipped(&checks[0], "no".into()));
        let log = KernelLog::open();
        let mut lost = course.document(&log, &rest, true);
        assert_eq!(
            (lost.running.as_deref(), &lost.not_run[..]),
            (Some("a.two"), &["b.three".to_owned()][..])
        );
        assert_eq!((lost.summary.failed, lost.summary.skipped, lost.has_ended()), (1, 1, false));
        lost.culprit().unwrap().kernel_log.push("Kernel panic".into());

        let resumed = Course::begin(&Options { resume: Some(lost), ..Options::default() });
        assert_eq!((resumed.shown, resumed.findings.len()), (1, 2), "the culprit is still to be shown");
        assert!(resumed.has("a.two") && !resumed.has("b.three"));
        assert_eq!(resumed.findings[1].kernel_log, ["Kernel panic"]);
        let ended = resumed.document(&log, &[], false);
        assert!(ended.has_ended() && ended.started_at == course.started_at);

        let interrupted = course.document(&log, &rest, false);
        assert_eq!((interrupted.running, interrupted.not_run.len()), (None, 2));
        assert_eq!(interrupted.summary.failed, 0);
    }

    #[test]
    fn a_run_goes_on_with_the_module_it_began_with() {
        let module = |build: Option<&str>| {
            Some(NetmapModule { build_id: build.map(str::to_owned), ..NetmapModule::default() })
        };
        let build_of = |module: Option<NetmapModule>| module?.build_id;
        let mut earlier = Course::begin(&Options::default()).document(&KernelLog::open(), &[], false);
        let mut goes_on = |before: Option<NetmapModule>, now: Option<NetmapModule>| {
            earlier.host.netmap = before;
            same_module(&earlier, build_of(now)).map_err(|fail| fail.to_string())
        };
        let refused = goes_on(module(Some("e6")), module(Some("f8"))).unwrap_err();
        assert!(refused.contains("checked netmap build e6, and loaded is build f8"), "{refused}");
        goes_on(module(Some("e6")), module(Some("e6"))).unwrap();
        // Not every kernel tells.
        goes_on(module(None), module(Some("e6"))).unwrap();
        goes_on(None, module(Some("e6"))).unwrap();
    }

    #[test]
    fn what_must_be_asked_for_is_left_out_with_the_reason() {
        let module = Check::new("module.x", "x", |_| Ok(())).opt_in(OptIn::Module);
        let risky = Check::new("csb.x", "x", |_| Ok(())).opt_in(OptIn::Risky);
        let none = Options::default();
        assert!(why_not(&module, &none).unwrap().contains("--module"));
        assert!(why_not(&risky, &none).unwrap().contains("--risky"));
        let all = Options { module: Some("netmap.ko".into()), risky: true, ..Options::default() };
        assert_eq!((why_not(&module, &all), why_not(&risky, &all)), (None, None));
    }
}
