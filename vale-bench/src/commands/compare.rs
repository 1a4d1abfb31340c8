//! `compare` and `published`: results held against each other, and beside what others published.

use super::{print, view};
use crate::cli::{ByChoice, CompareArgs, CompareFormat, PublishedArgs};
use crate::compare::{self, CompareDocument, Comparison, Input, Metric, Verdict, published, show};
use crate::exit::{Exit, Fail, FailContext};
use crate::result::{OutputFile, ResultDocument};

/// Runs `compare`.
pub(super) fn run(args: &CompareArgs) -> Result<(), Fail> {
    // A file that is no result is a mistake on the command line, not a failed run.
    let out = args.out.as_deref().map(OutputFile::prepare).transpose().or_exit(Exit::Usage)?;
    let read = |path: &std::path::PathBuf| -> Result<Input, Fail> {
        Ok(Input { path: path.clone(), document: ResultDocument::read(path).or_exit(Exit::Usage)? })
    };
    let inputs = args.files.iter().map(read).collect::<Result<Vec<Input>, Fail>>()?;
    let document = document(args, &inputs)?;
    if let Some(file) = out {
        file.write_text(&document.to_json()?)?;
    }
    print(|out| match args.format {
        CompareFormat::Table => show::text(&document, &view(None), out),
        CompareFormat::Markdown => show::markdown(&document, out),
        CompareFormat::Json => out.write_all(document.to_json().map_err(std::io::Error::other)?.as_bytes()),
    })?;
    verdict(&document)
}

fn document(args: &CompareArgs, inputs: &[Input]) -> Result<CompareDocument, Fail> {
    if args.to.is_some() && args.by == ByChoice::File {
        return Err(Fail::usage("--to names a dataplane, which goes with --by dataplane"));
    }
    let options = compare::Options {
        confidence: args.confidence,
        seed: args.seed,
        fail_below: args.fail_below,
        allow: args.allow.clone(),
        latency: !args.no_latency,
    };
    let only_published = args.by == ByChoice::File && inputs.len() == 1;
    let mut document = match args.by {
        ByChoice::File if only_published && args.published.is_some() => compare::nothing(inputs, &options),
        ByChoice::File if only_published => {
            return Err(Fail::usage(
                "one file has nothing to be compared with; name another, or --by dataplane, or --published NAME",
            ));
        }
        ByChoice::File => compare::files(inputs, &options).or_exit(Exit::Usage)?,
        ByChoice::Dataplane => {
            compare::dataplanes(inputs, args.to.as_deref(), &options).or_exit(Exit::Usage)?
        }
    };
    if let Some(name) = &args.published {
        let published = published::find(name).map_err(Fail::usage)?;
        let documents: Vec<&ResultDocument> = inputs.iter().map(|input| &input.document).collect();
        document.published = Some(published.beside(&documents));
    }
    Ok(document)
}

/// Fails if a rate is surely too low, or if whether it is cannot be told.
fn verdict(document: &CompareDocument) -> Result<(), Fail> {
    let Some(limit) = document.fail_below else { return Ok(()) };
    let rates = || document.comparisons.iter().filter(|row| row.metric == Metric::RateMpps);
    let named = |rows: Vec<&Comparison>| {
        let name = |row: &&Comparison| {
            let ratio = row.ratio.map_or("-".into(), |ratio| format!("{ratio:.3}"));
            let goal = row.conditions.search.as_ref().map(|sought| format!(" {}", sought.name()));
            format!(
                "{} {} {}{} ({ratio})",
                row.conditions.scenario,
                row.new.dataplane,
                row.frame_size.label,
                goal.unwrap_or_default()
            )
        };
        rows.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let below: Vec<_> = rates().filter(|row| row.below).collect();
    if !below.is_empty() {
        return Err(Fail::regression(format!("surely below {limit} of the old: {}", named(below))));
    }
    let dubious = |row: &&Comparison| row.verdict == Verdict::TooFew && row.ratio.is_some_and(|r| r < limit);
    let dubious: Vec<_> = rates().filter(dubious).collect();
    if !dubious.is_empty() {
        let sentence = format!(
            "below {limit} of the old, from too few repetitions to tell whether by chance: {}; measure with --repeat",
            named(dubious)
        );
        return Err(Fail::failed(anyhow::anyhow!(sentence)));
    }
    Ok(())
}

/// Runs `published`.
pub(super) fn published(args: &PublishedArgs) -> Result<(), Fail> {
    let Some(name) = &args.name else {
        print(|out| published::all().iter().try_for_each(|p| writeln!(out, "{}  {}", p.name, p.title)))?;
        return Ok(());
    };
    let published = published::find(name).map_err(Fail::usage)?;
    print(|out| published.write(&view(None), out))?;
    Ok(())
}
