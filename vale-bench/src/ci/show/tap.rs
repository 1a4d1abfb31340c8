//! The Test Anything Protocol, version 14. A known defect is "not ok": a harness that knows only the protocol fails
//! for it, as this program does.

use std::io::{self, Write};

use super::Show;
use crate::ci::document::{CiDocument, Finding, Outcome};

/// A test point a check, as they end. A run that goes on with another goes on with its numbers, under its plan.
#[derive(Debug)]
pub struct Tap<W> {
    out: W,
    done: usize,
}

impl<W: Write> Tap<W> {
    /// Shows to `out`.
    pub fn new(out: W) -> Tap<W> {
        Tap { out, done: 0 }
    }
}

/// `#` and backslash mean something in a description; lines end it.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('#', "\\#").replace('\n', " ")
}

impl<W: Write> Show for Tap<W> {
    fn begin(&mut self, names: &[&str], earlier: usize) -> io::Result<()> {
        self.done = earlier;
        if earlier == 0 {
            writeln!(self.out, "TAP version 14\n1..{}", names.len())?;
        }
        self.out.flush()
    }

    fn finding(&mut self, f: &Finding) -> io::Result<()> {
        self.done += 1;
        let ok = if f.outcome.is_failure() { "not ok" } else { "ok" };
        write!(self.out, "{ok} {} - {}", self.done, escape(&f.name))?;
        match (f.outcome, &f.why) {
            (Outcome::Skip, why) => {
                writeln!(self.out, " # SKIP {}", escape(why.as_deref().unwrap_or_default()))?
            }
            _ => writeln!(self.out)?,
        }
        if f.outcome.is_failure() || !f.figures.is_empty() {
            // Every string of JSON is one of YAML.
            let quoted = |text: &str| serde_json::Value::from(text).to_string();
            writeln!(self.out, "  ---")?;
            writeln!(self.out, "  objective: {}", quoted(&f.objective))?;
            if let Some(issue) = f.issue {
                writeln!(self.out, "  known_defect: {}", quoted(&format!("netmap issue {issue}")))?;
            }
            if let Some(why) = &f.why {
                writeln!(self.out, "  message: {}", quoted(why))?;
            }
            writeln!(self.out, "  duration_ms: {:.0}", f.duration_s * 1000.0)?;
            for (key, lines) in [("kernel_log", &f.kernel_log), ("leftovers", &f.leftovers)] {
                if !lines.is_empty() {
                    writeln!(self.out, "  {key}:")?;
                    for line in lines {
                        writeln!(self.out, "    - {}", quoted(line))?;
                    }
                }
            }
            if !f.figures.is_empty() {
                writeln!(self.out, "  samples_pps:")?;
                for figure in &f.figures {
                    let samples: Vec<String> =
                        figure.samples_pps.iter().map(|sample| format!("{sample:.0}")).collect();
                    writeln!(self.out, "    {}: [{}]", quoted(&figure.name), samples.join(", "))?;
                }
            }
            writeln!(self.out, "  ...")?;
        }
        self.out.flush()
    }

    fn end(&mut self, _: &CiDocument) -> io::Result<()> {
        self.out.flush()
    }
}
