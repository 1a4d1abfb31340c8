//! Suites: a TOML file of what to measure, multiplied out, and carried out as one run.
//!
//! A key is an option of the benchmarks without its dashes, so that a suite can say whatever a command line can; a list
//! is one after the other. Every `[[run]]` is multiplied out into the command lines it stands for, which are parsed
//! as typed ones are ([`crate::cli`]), and what they ask for is measured by [`crate::run`], interleaved.
//!
//! The document holds the suite's text. Started again with the same text and the same file, a run goes on where the
//! document ends.
//!
//! Deliberately absent: options, scenarios and dataplanes; all of them are the command line's.

mod builtin;
mod error;
mod expand;
mod parse;

pub use builtin::{BUILTIN, Builtin};
pub use error::SuiteError;
pub use expand::jobs;
pub use parse::Suite;

use std::path::Path;

use crate::compare::published::{self, Published};
use crate::result::SuitePlan;

/// The figures that a suite, as a document has it, wants its own set beside.
pub fn published(plan: &SuitePlan) -> Option<&'static Published> {
    let text: toml::Table = plan.text.parse().ok()?;
    published::find(text.get("published")?.as_str()?).ok()
}

/// The suite in a file, or the built-in one of that name.
pub fn load(name: &str) -> Result<Suite, SuiteError> {
    if let Some(builtin) = BUILTIN.iter().find(|builtin| builtin.name == name) {
        return Suite::parse(builtin.name, builtin.text);
    }
    let path = Path::new(name);
    if !path.exists() && !name.contains(['/', '.']) {
        return Err(SuiteError::NoSuchSuite { name: name.to_owned() });
    }
    let text =
        std::fs::read_to_string(path).map_err(|source| SuiteError::Read { path: path.to_owned(), source })?;
    Suite::parse(name, &text)
}

#[cfg(test)]
mod tests;
