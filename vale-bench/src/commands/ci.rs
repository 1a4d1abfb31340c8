//! `ci`: checks the netmap module of this host.

use std::io::{self, stderr, stdout};
use std::path::Path;

use guest::outbox;

use super::print;
use crate::ci::baseline::Baseline;
use crate::ci::catalogue::checks;
use crate::ci::check::Stop;
use crate::ci::document::{CiDocument, Outcome};
use crate::ci::history::History;
use crate::ci::run::{Options, run as run_checks};
use crate::ci::select::Selection;
use crate::ci::show::{Json, Show, Tap, Text, junit, list};
use crate::ci::{Check, child};
use crate::cli::{CiArgs, CiCheckArgs, CiFormat};
use crate::exit::{Exit, Fail, FailContext};
use crate::interrupt::Interrupt;
use crate::machine;
use crate::result::OutputFile;

/// Runs `ci`.
pub fn run(args: &CiArgs) -> Result<(), Fail> {
    let all = checks();
    let selection = Selection::new(&args.only, &args.skip, &all).or_exit(Exit::Usage)?;
    let chosen: Vec<Check> = all.into_iter().filter(|check| selection.has(check)).collect();
    if args.list {
        return show_list(&chosen, args.format);
    }
    let file = |path: &Option<std::path::PathBuf>| {
        path.as_deref().map(OutputFile::prepare).transpose().or_exit(Exit::Usage)
    };
    let (out, xml, save) = (file(&args.out)?, file(&args.junit)?, file(&args.save_baseline)?);
    if let Some(path) = args.module.as_deref().filter(|path| !path.is_file()) {
        return Err(Fail::usage(format!("--module {}: there is no such file", path.display())));
    }
    let baseline = args.baseline.as_deref().map(Baseline::read).transpose().or_exit(Exit::Usage)?;
    let history = args.history.as_deref().map(History::open).transpose().or_exit(Exit::Usage)?;
    let baseline = baseline.or_else(|| Some(history.as_ref()?.baseline(&machine::host())));
    let resume = args.resume.as_deref().map(unended).transpose()?;
    let options = Options { module: args.module.clone(), risky: args.risky, baseline, resume };
    let mut show: Box<dyn Show> = match args.format {
        CiFormat::Text => Box::new(Text::new(stdout())),
        CiFormat::Tap => Box::new(Tap::new(stdout())),
        CiFormat::Json => Box::new(Json { out: stdout(), progress: Text::new(stderr()) }),
    };
    let interrupt = Interrupt::install()?;
    let mut keep = |document: &CiDocument| {
        if let Some(file) = &out {
            file.write_text(&document.to_json())?;
        }
        if let Some(file) = &xml {
            file.write_text(&junit(document)?)?;
        }
        outbox::hand_over().context_with(|| "cannot get files out of this machine")
    };
    let document = run_checks(&chosen, &options, show.as_mut(), &mut keep, interrupt)?;
    if let Some(file) = save {
        let kept = Baseline::of(&document.checks, &document.host, &document.started_at);
        if kept.samples_pps.is_empty() {
            return Err(Fail::usage("--save-baseline: no check that measures was run; those are perf.*"));
        }
        file.write_text(&kept.to_json())?;
    }
    if let Some(history) = history {
        add_to_history(&history, &document)?;
    }
    verdict(&document)
}

/// The document of a run that there is something to go on with.
fn unended(path: &Path) -> Result<CiDocument, Fail> {
    let document = CiDocument::read(path).or_exit(Exit::Usage)?;
    if document.has_ended() {
        let sentence = format!("--resume {}: that run came to its end", path.display());
        return Err(Fail::usage(sentence));
    }
    Ok(document)
}

/// Keeps the run's rates unless one of them is slower: it would become what later runs are held against.
fn add_to_history(history: &History, document: &CiDocument) -> Result<(), Fail> {
    let kept = Baseline::of(&document.checks, &document.host, &document.started_at);
    let failed = document.checks.iter().any(|f| f.outcome.is_failure() && !f.figures.is_empty());
    if kept.samples_pps.is_empty() {
        return Err(Fail::usage("--history: no check that measures was run; those are perf.*"));
    }
    if !failed {
        history.keep(&kept)?;
    }
    Ok(())
}

fn verdict(document: &CiDocument) -> Result<(), Fail> {
    if document.summary.is_good() {
        return Ok(());
    }
    let named = |wanted| {
        let names = document.checks.iter().filter(|f| f.outcome == wanted).map(|f| f.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let mut parts = Vec::new();
    if document.summary.failed > 0 {
        parts.push(format!("failed: {}", named(Outcome::Fail)));
    }
    if document.summary.known_defects > 0 {
        parts.push(format!("known defects: {}", named(Outcome::KnownDefect)));
    }
    Err(Fail::regression(parts.join("; ")))
}

fn show_list(chosen: &[Check], format: CiFormat) -> Result<(), Fail> {
    match format {
        CiFormat::Text => print(|out| list(chosen, out))?,
        CiFormat::Json => {
            let entry = |c: &Check| serde_json::json!({ "name": c.name, "objective": c.objective });
            let text = serde_json::to_string_pretty(&chosen.iter().map(entry).collect::<Vec<_>>())?;
            print(|out| writeln!(out, "{text}"))?
        }
        CiFormat::Tap => return Err(Fail::usage("--list: a list is no test; --format is text or json here")),
    };
    Ok(())
}

/// Runs `ci-check`: one check in this process, which the runner started for it.
pub fn check(args: &CiCheckArgs) -> Result<(), Fail> {
    // Whoever is killed takes its children along: nobody else knows of them.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    if let Some(part) = &args.part {
        return match child::play(part) {
            Some(Ok(())) => Ok(()),
            Some(Err(Stop::Fail(why) | Stop::Skip(why) | Stop::Known { what: why, .. })) => {
                Err(Fail::failed(io::Error::other(why)))
            }
            None => Err(Fail::usage(format!("no check has a part called {part:?}"))),
        };
    }
    let name = args.name.as_deref().unwrap_or_default();
    let Some(report) = child::run_here(name, args.module.as_deref()) else {
        return Err(Fail::usage(format!("no check is called {name:?}")));
    };
    let text = serde_json::to_string(&report)?;
    print(|out| writeln!(out, "{text}"))?;
    Ok(())
}
