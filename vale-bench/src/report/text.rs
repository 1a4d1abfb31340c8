//! What every report for people says beside its figures: gaps, warnings, circumstances.

use super::figure;
pub(super) use crate::plain::plain;
use crate::result::{Accelerator, ResultDocument, Warning};

/// All warnings of one kind, shown by the worst of them.
struct Merged<'a> {
    /// The worst.
    worst: &'a Warning,
    /// Trials it was given for; 0 if it was given for the run.
    trials: usize,
    /// Whether others of its kind have other figures.
    varies: bool,
}

impl Merged<'_> {
    /// The sentence with how many trials it holds for, and the advice.
    fn doubt(&self, trials: usize) -> Doubt {
        let sentence = self.worst.sentence();
        let scope = match self.trials {
            0 => String::new(),
            all if all == trials && trials == 1 => String::new(),
            all if all == trials => " (all trials".into(),
            some => format!(" ({some} of {trials} trials"),
        };
        let scope = match (scope.is_empty(), self.varies) {
            (true, _) => scope,
            (false, true) => format!("{scope}, at worst)"),
            (false, false) => format!("{scope})"),
        };
        let sentence = format!("{}{scope}.", sentence.trim_end_matches('.'));
        Doubt { kind: self.worst.kind(), sentence, advice: self.worst.advice() }
    }
}

/// What to doubt about a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doubt {
    /// The warning's kind.
    pub(super) kind: &'static str,
    /// What is wrong.
    pub(super) sentence: String,
    /// What to do about it.
    pub(super) advice: &'static str,
}

/// Every kind of warning once, with advice, in the order of the document.
pub(super) fn warnings(document: &ResultDocument) -> Vec<String> {
    doubts(document).iter().map(|doubt| format!("{} {}", doubt.sentence, doubt.advice)).collect()
}

/// Every kind of warning once, in the order of the document.
pub(super) fn doubts(document: &ResultDocument) -> Vec<Doubt> {
    let mut merged: Vec<Merged<'_>> = Vec::new();
    // TCG is said even where whoever made the document forgot to warn.
    let dataplanes = document.trials.iter().map(|trial| &trial.dataplane);
    let mut dataplanes = dataplanes.chain(document.searches.iter().map(|search| &search.dataplane));
    if dataplanes.any(|dataplane| dataplane.accelerator == Accelerator::Tcg) {
        merged.push(Merged { worst: &Warning::Tcg, trials: 0, varies: false });
    }
    for (trial, warning) in document.all_warnings() {
        match merged.iter_mut().find(|known| known.worst.kind() == warning.kind()) {
            None => {
                merged.push(Merged { worst: warning, trials: usize::from(trial.is_some()), varies: false })
            }
            Some(known) => {
                // What holds for the run holds for its trials.
                known.trials += usize::from(trial.is_some() && known.trials > 0);
                known.varies |= known.worst != warning;
                if warning.magnitude() > known.worst.magnitude() {
                    known.worst = warning;
                }
            }
        }
    }
    merged.iter().map(|warning| warning.doubt(document.trials.len())).collect()
}

/// What the document does not have: trials not made, dataplanes that cannot run here.
pub(super) fn gaps(document: &ResultDocument) -> Vec<String> {
    let mut gaps = Vec::new();
    if let Some(reason) = &document.incomplete {
        let thing = if document.searches.is_empty() { "trial" } else { "measurement" };
        gaps.push(format!(
            "Incomplete: {} of {} were made ({reason}).",
            document.trials.len() + document.searches.iter().filter(|s| s.incomplete.is_none()).count(),
            figure::count(document.plan.trials, thing)
        ));
    }
    for skipped in &document.skipped {
        gaps.push(format!("Not run: {} on {}: {}", skipped.scenario, skipped.dataplane, skipped.reason));
    }
    for failed in &document.failed {
        gaps.push(format!(
            "Failed: {} on {} in round {}: {}",
            failed.scenario, failed.dataplane, failed.repeat, failed.reason
        ));
    }
    if document.trials.is_empty() && document.searches.is_empty() && gaps.is_empty() {
        gaps.push("No trial was made.".into());
    }
    gaps
}

/// On what it was measured, in a few words.
pub(super) fn circumstances(document: &ResultDocument) -> String {
    let manifest = &document.manifest;
    let tool = &manifest.tool;
    let mut revision = tool.git_revision.as_deref().map(|full| full.chars().take(10).collect::<String>());
    if let (Some(revision), Some(true)) = (&mut revision, tool.git_dirty) {
        revision.push_str(", modified");
    }
    let mut parts = vec![match revision {
        Some(revision) => format!("vale-bench {} ({revision})", tool.version),
        None => format!("vale-bench {}", tool.version),
    }];
    let host = &manifest.host;
    parts.extend(host.cpu.model.clone());
    parts.push(figure::count(host.cpu.usable_cpus, "processor"));
    parts.push(format!("Linux {}", host.kernel_release));
    // QEMU's own line begins with words that say no more than its name.
    let plain = |version: &str| version.trim_start_matches("QEMU emulator version ").to_owned();
    parts.extend(manifest.qemu.as_ref().map(|qemu| format!("QEMU {}", plain(&qemu.version))));
    parts.push(manifest.started_at.clone());
    parts.join(", ")
}

/// What the figures mean.
pub(super) fn legend(has_spread: bool, has_latency: bool, ratio_to: Option<&str>, intervals: bool) -> String {
    let mut legend = String::from("Mpps and Gbps are the receiver's, all directions added up");
    if has_spread {
        legend.push_str(", median of the repetitions");
    }
    legend.push_str("; L1 counts preamble and gap, frames include the FCS.");
    if has_latency {
        legend.push_str(" p50 and p99 are round trips.");
    }
    if let Some(first) = ratio_to {
        legend.push_str(&format!(" Ratios are to {first}"));
        legend.push_str(if intervals { ", with 95 % intervals (bootstrap over repetitions)." } else { "." });
    }
    legend
}

/// Breaks `text` between words into lines of at most `width` columns, the first after `first`, the others
/// after `rest`. A word longer than a line stays whole. What a terminal would obey is made harmless.
pub(crate) fn wrap(text: &str, width: usize, first: &str, rest: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text.split_whitespace().map(plain) {
        if !empty && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, rest.to_owned()));
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(&word);
        empty = false;
    }
    lines.push(line);
    lines
}

/// Lower-case letters, digits and hyphens alone, for names of files and anchors.
pub(super) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().take(80) {
        match c {
            c if c.is_ascii_alphanumeric() => slug.push(c.to_ascii_lowercase()),
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// A command line as one would type it, with [`plain`] characters alone.
pub(super) fn command(argv: &[String]) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%^".contains(c);
    let quoted = argv.iter().map(|word| {
        if !word.is_empty() && word.chars().all(bare) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    plain(&quoted.collect::<Vec<_>>().join(" "))
}
