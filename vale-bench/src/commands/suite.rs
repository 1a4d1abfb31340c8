//! `suite`: many benchmarks as one run, which can be taken up again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Output, print, view};
use crate::cli::{FormatChoice, OutputArgs, SuiteArgs};
use crate::compare::differences::differing_hosts;
use crate::compare::published;
use crate::dataplane::{Dataplane, registry};
use crate::exit::{Exit, Fail, FailContext};
use crate::provenance;
use crate::result::{OutputFile, Plan, ResultDocument, SuitePlan, rfc3339};
use crate::run::{self, Arm, Job, arms};
use crate::suite::{self, Suite};

/// Runs `suite`.
pub(super) fn run(args: &SuiteArgs) -> Result<(), Fail> {
    let suite = suite::load(&args.suite).or_exit(Exit::Usage)?;
    let jobs = suite::jobs(&suite, &args.guests).or_exit(Exit::Usage)?;
    let planes = jobs.iter().map(check_options).collect::<Result<Vec<_>, _>>()?;
    registry::check_options(&planes, &args.guests.given())?;
    let dataplanes = dataplanes(&jobs);
    let arms = arms(jobs)?;
    distinct(&arms)?;
    if args.list {
        print(|out| run::list(&arms, out))?;
        return Ok(());
    }
    let place = args.output.out.clone().unwrap_or_else(|| default_place(&suite));
    let html = args.output.html.clone().unwrap_or_else(|| place.with_extension("html"));
    let output_args = OutputArgs { out: Some(place.clone()), html: Some(html), ..args.output.clone() };
    let output = Output::prepare(&output_args)?;
    let document = match earlier(&place, &suite, args)? {
        Some(document) => document,
        None => fresh(&suite, &arms, dataplanes, args.order_seed),
    };
    let shown = run::carry_out(arms, document, Some(&args.guests), &output, args.output.quiet);
    let refused = shown.as_ref().is_err_and(|fail| fail.exit() == Exit::Usage);
    let beside = match &suite.published {
        Some(name) if !refused => beside(&place, name, args.output.format),
        _ => Ok(()),
    };
    shown.and(beside)
}

/// Refuses options that the dataplane of `job` does not have; the dataplane.
fn check_options(job: &Job) -> Result<Arc<dyn Dataplane>, Fail> {
    let given = job.bench.given().into_iter().chain(job.vm.iter().flat_map(|vm| vm.given()));
    let plane = registry::find(&job.dataplane).map_err(Fail::usage)?;
    registry::check_options(std::slice::from_ref(&plane), &given.collect::<Vec<_>>())?;
    Ok(plane)
}

fn dataplanes(jobs: &[Job]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for job in jobs {
        if !names.contains(&job.dataplane) {
            names.push(job.dataplane.clone());
        }
    }
    names
}

/// Refuses arms and trials that a result could not tell apart.
fn distinct(arms: &[Arm]) -> Result<(), Fail> {
    for (index, arm) in arms.iter().enumerate() {
        let alike = |other: &Arm| {
            other.name() == arm.name()
                && other.topology.vms() == arm.topology.vms()
                && other.topology.ports() == arm.topology.ports()
        };
        if arms[..index].iter().any(alike) {
            return Err(Fail::usage(format!(
                "this suite brings up {} in several ways, which one result could not tell apart; make it several suites",
                arm.name()
            )));
        }
    }
    Ok(())
}

/// Beside the working directory's other files, so that going on needs no option.
fn default_place(suite: &Suite) -> PathBuf {
    let stem = Path::new(&suite.name).file_stem().unwrap_or_default();
    PathBuf::from(stem).with_extension("json")
}

fn fresh(suite: &Suite, arms: &[Arm], dataplanes: Vec<String>, seed: Option<u64>) -> ResultDocument {
    let plan = Plan {
        trials: arms.iter().map(Arm::trials).sum(),
        dataplanes,
        seed: Some(seed.unwrap_or_else(run::draw_seed)),
        suite: Some(SuitePlan { name: suite.name.clone(), text: suite.text.clone(), resumed_at: Vec::new() }),
    };
    let mut document = ResultDocument::new(provenance::manifest(), plan);
    document.warnings = provenance::warnings(&document.manifest.tool, &document.manifest.host);
    document
}

/// The document of an earlier start that this one goes on with.
fn earlier(place: &Path, suite: &Suite, args: &SuiteArgs) -> Result<Option<ResultDocument>, Fail> {
    if args.restart || !place.exists() {
        return Ok(None);
    }
    let restart = "--restart begins anew, --out FILE elsewhere";
    let mut document =
        ResultDocument::read(place).or_exit(Exit::Usage).map_err(|fail| fail.context(restart))?;
    let name = place.display();
    match &mut document.plan.suite {
        Some(plan) if plan.text == suite.text => {
            plan.resumed_at.push(rfc3339(std::time::SystemTime::now()));
        }
        Some(_) => {
            return Err(Fail::usage(format!(
                "{name} is of this suite as it was before it was changed; {restart}"
            )));
        }
        None => return Err(Fail::usage(format!("{name} holds another result; {restart}"))),
    }
    let now = provenance::manifest();
    let differing = differing_hosts(&document.manifest, &now);
    if !differing.is_empty() {
        let sentence =
            format!("{name} was begun under other circumstances: {}; {restart}", differing.join("; "));
        return Err(Fail::usage(sentence));
    }
    if args.order_seed.is_some_and(|seed| document.plan.seed != Some(seed)) {
        return Err(Fail::usage(format!("{name} was begun with another --order-seed; {restart}")));
    }
    // What failed or was not there may be there now.
    document.skipped.clear();
    document.failed.clear();
    Ok(Some(document))
}

/// Shows published figures beside those that were kept.
fn beside(place: &Path, name: &str, format: FormatChoice) -> Result<(), Fail> {
    let file = OutputFile::prepare(place)?;
    let document = ResultDocument::read(file.path())?;
    let published = published::find(name).map_err(Fail::usage)?.beside(&[&document]);
    print(|out| match format {
        FormatChoice::Table => {
            writeln!(out)?;
            published.write(&view(None), out)
        }
        FormatChoice::Markdown => {
            writeln!(out)?;
            published.markdown(out)
        }
        FormatChoice::Json | FormatChoice::Csv => Ok(()),
    })?;
    Ok(())
}
