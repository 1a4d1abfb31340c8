//! What a check is, how it ends, and what it may ask of its surroundings.

use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::document::Figure;

/// How a check function ends.
pub type Done = Result<(), Stop>;

/// What a second process of a check does, by name.
pub(super) type PartOf = (&'static str, fn() -> Done);

/// Longest a check may take unless it says otherwise.
const DEADLINE: Duration = Duration::from_secs(60);

/// One thing that a netmap module must do.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Its name: a theme, a dot, and what is looked at.
    pub name: &'static str,
    /// What must be true, in one sentence.
    pub objective: &'static str,
    /// When it is killed.
    pub deadline: Duration,
    /// What must be asked for to have it run.
    pub opt_in: Option<OptIn>,
    /// Does it.
    pub run: fn(&Env) -> Done,
}

/// Why a check does not run unless it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptIn {
    /// It loads and unloads the module: `--module`.
    Module,
    /// A module that fails it may take the machine along: `--risky`.
    Risky,
}

impl Check {
    /// A check with the usual deadline that always runs.
    pub const fn new(name: &'static str, objective: &'static str, run: fn(&Env) -> Done) -> Check {
        Check { name, objective, deadline: DEADLINE, opt_in: None, run }
    }

    /// The same with another deadline, in seconds.
    #[must_use]
    pub const fn seconds(self, seconds: u64) -> Check {
        Check { deadline: Duration::from_secs(seconds), ..self }
    }

    /// The same, only where asked for.
    #[must_use]
    pub const fn opt_in(self, opt_in: OptIn) -> Check {
        Check { opt_in: Some(opt_in), ..self }
    }
}

/// Why a check did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The module does not do what it must: what was expected and what was seen.
    Fail(String),
    /// It cannot be found out here, and why.
    Skip(String),
    /// The module has a defect that netmap knows of.
    Known {
        /// Number of the issue, upstream.
        issue: u32,
        /// What was expected and what was seen.
        what: String,
    },
}

impl<E: std::error::Error> From<E> for Stop {
    fn from(error: E) -> Stop {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            cause = error.source();
        }
        Stop::Fail(text)
    }
}

/// Ends a check as failed.
pub(super) fn fail<T>(what: impl fmt::Display) -> Result<T, Stop> {
    Err(Stop::Fail(what.to_string()))
}

/// Ends a check as impossible here.
pub(super) fn skip<T>(why: impl fmt::Display) -> Result<T, Stop> {
    Err(Stop::Skip(why.to_string()))
}

/// Fails unless the two are the same.
pub(super) fn same<T: PartialEq + fmt::Debug>(what: impl fmt::Display, seen: T, expected: T) -> Done {
    if seen == expected { Ok(()) } else { fail(format!("{what}: expected {expected:?}, saw {seen:?}")) }
}

/// Fails unless it is true.
pub(super) fn holds(what: impl fmt::Display, it: bool) -> Done {
    if it { Ok(()) } else { fail(format!("expected that {what}, and it is not so")) }
}

/// What a check may ask of its surroundings.
#[derive(Debug, Default)]
pub struct Env {
    /// The module to load and unload, if one was given.
    pub module: Option<PathBuf>,
    figures: RefCell<Vec<Figure>>,
}

impl Env {
    /// Surroundings with this module.
    #[must_use]
    pub fn new(module: Option<PathBuf>) -> Env {
        Env { module, figures: RefCell::default() }
    }

    /// Keeps samples of a rate, in frames a second.
    pub(super) fn figure(&self, name: &str, samples_pps: Vec<f64>) {
        self.figures.borrow_mut().push(Figure { name: name.to_owned(), samples_pps });
    }

    /// What was kept.
    #[must_use]
    pub fn take_figures(&self) -> Vec<Figure> {
        self.figures.take()
    }

    /// Starts a second process that plays one of the [`parts`](super::checks::parts), its output in a pipe.
    pub(super) fn part(&self, part: &str) -> Result<Part, Stop> {
        let child = Command::new("/proc/self/exe")
            .args(["ci-check", "--part", part])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Part(child))
    }
}

/// A second process of a check, which ends with it.
#[derive(Debug)]
pub(super) struct Part(pub(super) Child);

impl Drop for Part {
    fn drop(&mut self) {
        // It may have ended by itself, and has been waited for then.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
