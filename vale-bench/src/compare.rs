//! Results compared: which is faster, by how much, how surely.
//!
//! Trials and what searches found, of two documents or of two dataplanes of one, are matched by what was measured
//! ([`Conditions`], frame size, dataplane). Each pair of sets gets the ratio of its medians, an interval, and a test ([`crate::stats`]); all tests
//! together are held against the chance of one wrong answer among them. What was measured under circumstances that
//! decide rates is not compared unless asked for by the name of what differs ([`differences`]).
//!
//! **What is resampled is the repeat.** Windows of one trial follow each other on the same guests, caches and minute, so
//! they say nothing of what the next start would give. Only where both sides have a single trial are windows used, in
//! batches long enough to forget each other, and the document says so.
//!
//! Deliberately absent: measuring, and files ([`crate::commands`] reads them).

pub mod differences;
pub mod document;
pub mod published;
pub mod show;

mod judge;
mod matching;

pub use document::{CompareDocument, Comparison, Conditions, Metric, Sought, Unit, Verdict};

use crate::provenance;
use crate::result::ResultDocument;
use differences::{Difference, differences};
use document::{By, SchemaId, Source};
use matching::{Matched, between_dataplanes, between_documents};
use std::path::PathBuf;

/// A document and where it came from.
#[derive(Debug, Clone)]
pub struct Input {
    /// The file.
    pub path: PathBuf,
    /// What it holds.
    pub document: ResultDocument,
}

/// How to compare.
#[derive(Debug, Clone)]
pub struct Options {
    /// How sure verdicts have to be, between 0 and 1.
    pub confidence: f64,
    /// What lots are drawn from.
    pub seed: u64,
    /// Rates surely below this part of the reference are marked.
    pub fail_below: Option<f64>,
    /// Differing fields to compare in spite of; `all` stands for every one.
    pub allow: Vec<String>,
    /// Whether latencies are compared too.
    pub latency: bool,
}

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// What decides rates differs.
    #[error(
        "not comparable: {}\n--allow NAME compares in spite of one of these, --allow all of all",
        sentences(differences)
    )]
    NotComparable {
        /// What differs.
        differences: Vec<Difference>,
    },
    /// A name for `--allow` that no field has.
    #[error("--allow {name}: no field is called that; there is {}", differences::names().join(", "))]
    NoSuchField {
        /// The name.
        name: String,
    },
    /// The reference is not there.
    #[error("nothing in {path} was measured on the dataplane {name}; there is {there}")]
    NoReference {
        /// The file.
        path: String,
        /// The dataplane asked for.
        name: String,
        /// Those that are there.
        there: String,
    },
    /// No trial has a counterpart.
    #[error("nothing to compare: {0}")]
    NothingMatches(String),
}

fn sentences(differences: &[Difference]) -> String {
    let sentence = |d: &Difference| format!("\n  {}: {}", d.field, d.text());
    differences.iter().map(sentence).collect()
}

/// Compares each of `inputs` with the first.
pub fn files(inputs: &[Input], options: &Options) -> Result<CompareDocument, CompareError> {
    let all = differences::check_names(&options.allow).and_then(|()| {
        let all = differences(inputs, &options.allow);
        let refused: Vec<Difference> = all.iter().filter(|d| d.is_refused()).cloned().collect();
        if refused.is_empty() { Ok(all) } else { Err(CompareError::NotComparable { differences: refused }) }
    })?;
    let mut matched = Matched::default();
    for index in 1..inputs.len() {
        matched.append(between_documents(inputs, 0, index, options.latency));
    }
    if matched.pairs.is_empty() {
        return Err(CompareError::NothingMatches(format!(
            "no trial or search of the other files has the scenario, dataplane, size, direction, load or goal, and flows \
             of one in {}",
            inputs[0].path.display()
        )));
    }
    Ok(finish(By::File, inputs, options, all, matched))
}

/// Compares the dataplanes of each of `inputs` with each other: with `reference`, or the first of the run.
pub fn dataplanes(
    inputs: &[Input],
    reference: Option<&str>,
    options: &Options,
) -> Result<CompareDocument, CompareError> {
    let mut matched = Matched::default();
    for (index, input) in inputs.iter().enumerate() {
        let there = matching::dataplanes(&input.document);
        let asked = input.document.plan.dataplanes.iter().map(String::as_str);
        let first = || asked.clone().find(|name| there.contains(name)).or(there.first().copied());
        let name = reference.or_else(first).unwrap_or_default();
        if !there.contains(&name) {
            return Err(CompareError::NoReference {
                path: input.path.display().to_string(),
                name: name.to_owned(),
                there: if there.is_empty() { "none".into() } else { there.join(", ") },
            });
        }
        matched.append(between_dataplanes(inputs, index, name, options.latency));
    }
    if matched.pairs.is_empty() {
        return Err(CompareError::NothingMatches("no two dataplanes ran the same trials or searches".into()));
    }
    Ok(finish(By::Dataplane, inputs, options, Vec::new(), matched))
}

/// A comparison of nothing, for published figures to stand beside.
pub fn nothing(inputs: &[Input], options: &Options) -> CompareDocument {
    finish(By::File, inputs, options, Vec::new(), Matched::default())
}

fn finish(
    by: By,
    inputs: &[Input],
    options: &Options,
    differences: Vec<Difference>,
    matched: Matched,
) -> CompareDocument {
    CompareDocument {
        schema: SchemaId::V1,
        tool: provenance::tool(),
        by,
        confidence: options.confidence,
        seed: options.seed,
        resamples: crate::stats::RESAMPLES,
        fail_below: options.fail_below,
        sources: inputs.iter().map(Source::of).collect(),
        differences,
        comparisons: judge::judge(&matched.pairs, options),
        unmatched: matched.unmatched,
        published: None,
    }
}

#[cfg(test)]
mod tests;
