//! Lines for people.

use std::io::{self, Write};

use super::Show;
use crate::ci::check::{Check, OptIn};
use crate::ci::document::{CiDocument, Figure, Finding, Outcome};
use crate::stats::Summary;

/// A line a check, with what was found below those that did not pass.
#[derive(Debug)]
pub struct Text<W> {
    out: W,
    width: usize,
}

impl<W: Write> Text<W> {
    /// Shows to `out`.
    pub fn new(out: W) -> Text<W> {
        Text { out, width: 0 }
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "ok",
        Outcome::Fail => "FAIL",
        Outcome::Skip => "skip",
        Outcome::KnownDefect => "KNOWN",
    }
}

fn rate(figure: &Figure) -> Option<String> {
    let seen = Summary::of(figure.samples_pps.iter().copied())?;
    Some(format!(
        "{}: {:.3} Mpps ({:.3} to {:.3}, {} samples)",
        figure.name,
        seen.median / 1e6,
        seen.min / 1e6,
        seen.max / 1e6,
        seen.count
    ))
}

impl<W: Write> Show for Text<W> {
    fn begin(&mut self, names: &[&str], _: usize) -> io::Result<()> {
        self.width = names.iter().map(|name| name.len()).max().unwrap_or(0);
        Ok(())
    }

    fn finding(&mut self, f: &Finding) -> io::Result<()> {
        let (out, width) = (&mut self.out, self.width);
        match (f.outcome, &f.why) {
            (Outcome::Skip, Some(why)) => writeln!(out, "{:<5} {:<width$}  {why}", word(f.outcome), f.name)?,
            _ => writeln!(out, "{:<5} {:<width$}  {:.2} s", word(f.outcome), f.name, f.duration_s)?,
        }
        for figure in f.figures.iter().filter_map(rate) {
            writeln!(out, "      {figure}")?;
        }
        if f.outcome.is_failure() {
            writeln!(out, "      must: {}", f.objective)?;
            if let Some(issue) = f.issue {
                writeln!(out, "      known defect, netmap issue {issue}")?;
            }
            for line in f.why.iter().flat_map(|why| why.lines()) {
                writeln!(out, "      {line}")?;
            }
            for line in &f.kernel_log {
                writeln!(out, "      kernel: {line}")?;
            }
        }
        out.flush()
    }

    fn end(&mut self, document: &CiDocument) -> io::Result<()> {
        let s = document.summary;
        writeln!(
            self.out,
            "\n{} checks in {:.1} s: {} passed, {} failed, {} known defects, {} skipped",
            document.checks.len(),
            document.duration_s,
            s.passed,
            s.failed,
            s.known_defects,
            s.skipped
        )?;
        if let Some(module) = &document.host.netmap {
            writeln!(self.out, "on Linux {}, netmap {}", document.host.kernel_release, module.name())?;
        }
        if !document.kernel_log_read {
            writeln!(self.out, "the kernel's log could not be read: only its taint was looked at")?;
        }
        self.out.flush()
    }
}

/// Names and objectives of checks.
pub fn list(checks: &[Check], out: &mut dyn Write) -> io::Result<()> {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for check in checks {
        let asked = match check.opt_in {
            None => "",
            Some(OptIn::Module) => " (with --module)",
            Some(OptIn::Risky) => " (with --risky)",
        };
        writeln!(out, "{:<width$}  {}{asked}", check.name, check.objective)?;
    }
    Ok(())
}
