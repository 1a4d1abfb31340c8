//! A suite multiplied out: every run into the command lines it stands for, and those into jobs.

use clap::Parser;
use clap::error::{ContextKind, ContextValue};

use super::error::SuiteError;
use super::parse::{Run, Suite, Values, Word, scenario};
use crate::cli::{Cli, GuestArgs};
use crate::commands::Benchmark;
use crate::run::Job;
use std::rc::Rc;

/// Combinations of a suite, at most: more is a slip of the pen.
const JOBS_MAX: usize = 10_000;

/// What to measure, in the order of the text. `guests` runs those of all.
pub fn jobs(suite: &Suite, guests: &GuestArgs) -> Result<Vec<Job>, SuiteError> {
    let mut jobs = Vec::new();
    for run in &suite.runs {
        for named in &run.scenarios {
            for choice in combinations(suite, run, &named.text)? {
                jobs.push(job(suite, named, &choice, guests)?);
                if jobs.len() > JOBS_MAX {
                    let problem = format!("this suite has more than {JOBS_MAX} combinations");
                    return Err(suite.wrong(named.span.clone(), problem));
                }
            }
        }
    }
    Ok(jobs)
}

type Choice<'a> = Vec<(&'a Word, &'a [Word])>;

/// One value of each option, in every combination; the last option changes fastest.
fn combinations<'a>(suite: &Suite, run: &'a Run, name: &str) -> Result<Vec<Choice<'a>>, SuiteError> {
    let has = |key: &Word| {
        scenario(name).is_some_and(|s| s.get_arguments().any(|a| a.get_long() == Some(&key.text)))
    };
    let mut choices: Vec<Choice<'_>> = vec![Vec::new()];
    // What only another scenario of the run has is no business of this one.
    for Values { key, values } in run.options.iter().filter(|values| has(&values.key)) {
        if choices.len() * values.len() > JOBS_MAX {
            let problem = format!("this run has more than {JOBS_MAX} combinations");
            return Err(suite.wrong(key.span.clone(), problem));
        }
        let with = |choice: &Choice<'a>| {
            let one = |value: &'a Vec<Word>| {
                choice.iter().copied().chain([(key, &value[..])]).collect::<Choice<'a>>()
            };
            values.iter().map(one).collect::<Vec<_>>()
        };
        choices = choices.iter().flat_map(with).collect();
    }
    Ok(choices)
}

fn job(suite: &Suite, named: &Word, choice: &Choice<'_>, guests: &GuestArgs) -> Result<Job, SuiteError> {
    let mut line = vec!["vale-bench".to_owned(), named.text.clone()];
    let argument = |key: &str| scenario(&named.text)?.get_arguments().find(|a| a.get_long() == Some(key));
    let words = choice.iter().flat_map(|(key, value)| value.iter().map(move |word| (key, word)));
    for (key, value) in words {
        let Some(argument) = argument(&key.text) else { continue };
        match (argument.get_action().takes_values(), value.text.as_str()) {
            (true, _) => line.push(format!("--{}={}", key.text, value.text)),
            (false, "true") => line.push(format!("--{}", key.text)),
            (false, "false") => {}
            (false, _) => {
                return Err(suite.wrong(value.span.clone(), format!("{} is true or false", key.text)));
            }
        }
    }
    let span = |option: Option<&str>| {
        let its = |(key, _): &&(&Word, &[Word])| {
            option.is_some_and(|option| {
                option.trim_start_matches('-').split([' ', '=']).next() == Some(&key.text)
            })
        };
        choice.iter().find(its).map_or(named.span.clone(), |(_, value)| value[0].span.clone())
    };
    let cli = Cli::try_parse_from(&line).map_err(|error| {
        let option = match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(option)) => Some(option.clone()),
            _ => None,
        };
        suite.wrong(span(option.as_deref()), first_line(&error))
    })?;
    let benchmark = Benchmark::of(&cli.command)
        .ok_or_else(|| suite.wrong(named.span.clone(), format!("{} is no benchmark", named.text)))?
        .map_err(|fail| suite.wrong(named.span.clone(), fail.to_string()))?;
    let vm = benchmark.vm.map(|own| {
        let mut own = own.clone();
        own.guests = guests.clone();
        Rc::new(own)
    });
    Ok(Job {
        topology: benchmark.topology,
        dataplane: benchmark.bench.dataplane.first().cloned().unwrap_or_default(),
        bench: Rc::new(benchmark.bench.clone()),
        vm,
    })
}

/// What clap says, without what it says of command lines.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
