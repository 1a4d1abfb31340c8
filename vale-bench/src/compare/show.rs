//! Comparisons shown: as tables on a terminal and as Markdown. Both are made from the document alone.

use std::io::{self, Write};

use super::differences::Weight;
use super::document::{By, CompareDocument, Comparison, Conditions, Unit, Verdict};
use crate::report::figure::{self, significant};
use crate::report::text::wrap;
use crate::report::{View, escape, table};
use crate::stats::{SAMPLES_MIN, least_p_unpaired};

/// What is compared under the same conditions, between the same two.
struct Section<'a> {
    title: String,
    rows: Vec<&'a Comparison>,
}

fn sections(document: &CompareDocument) -> Vec<Section<'_>> {
    let mut sections: Vec<(&Conditions, (usize, usize), Section<'_>)> = Vec::new();
    for row in &document.comparisons {
        let between = (row.old.source, row.new.source);
        let known = sections.iter_mut().find(|(c, b, _)| **c == row.conditions && *b == between);
        match known {
            Some((_, _, section)) => section.rows.push(row),
            None => {
                let section = Section { title: title(document, row), rows: vec![row] };
                sections.push((&row.conditions, between, section));
            }
        }
    }
    sections.into_iter().map(|(_, _, section)| section).collect()
}

fn title(document: &CompareDocument, row: &Comparison) -> String {
    let name = |source: usize| document.sources[source].path.as_str();
    let who = match document.by {
        By::File => format!("{} against {}", name(row.new.source), name(row.old.source)),
        By::Dataplane => format!("{}, against {}", name(row.new.source), row.old.dataplane),
    };
    let accelerator = match row.conditions.vms {
        0 => String::new(),
        _ => format!(" ({})", row.new.accelerator.label()),
    };
    format!("{who}: {}{accelerator}", row.conditions.text())
}

const HEADER: [&str; 9] = ["Dataplane", "Frame", "Figure", "Old", "New", "Ratio", "Interval", "p", "Verdict"];

fn cells(row: &Comparison) -> Vec<String> {
    let mark = if row.below { " !" } else { "" };
    vec![
        row.new.dataplane.clone(),
        row.frame_size.label.clone(),
        row.metric.label().to_owned(),
        significant(row.old.median),
        significant(row.new.median),
        row.ratio.map_or("-".into(), |ratio| format!("{ratio:.3}")),
        row.interval.map_or("-".into(), |i| format!("{:.2}..{:.2}", i.low, i.high)),
        probability(row.p_adjusted),
        format!("{}{mark}", row.verdict.label()),
    ]
}

fn probability(p: f64) -> String {
    if p < 0.0005 { "<0.001".into() } else { format!("{p:.3}") }
}

/// What one must know to read the tables.
fn legend(document: &CompareDocument) -> Vec<String> {
    if document.comparisons.is_empty() {
        return Vec::new();
    }
    let percent = figure::shortest(document.confidence * 100.0);
    let count = document.comparisons.len();
    let mut notes = vec![format!(
        "Ratio: median of the new over that of the old, with its {percent} % interval (bootstrap, {} resamples, seed \
         {}). p: Wilcoxon's test{}. A verdict holds at {percent} %, for all of them together; \"no difference\" means \
         that none was seen.",
        document.resamples,
        document.seed,
        if count > 1 { format!(", adjusted for {count} comparisons (Holm)") } else { String::new() },
    )];
    let any = |is: fn(&Comparison) -> bool| document.comparisons.iter().any(is);
    if any(|row| !row.metric.more_is_better()) {
        notes.push("p50 and p99 are round trips: below 1 is faster.".into());
    }
    if any(|row| row.paired) {
        notes.push("Rounds of one run are compared round by round.".into());
    }
    let limited: u32 =
        document.comparisons.iter().map(|row| row.old.sender_limited + row.new.sender_limited).sum();
    if limited > 0 {
        notes.push(format!(
            "What {} found is the senders' own limit; the dataplane may do more.",
            if limited == 1 { "one search".into() } else { format!("{limited} searches") }
        ));
    }
    if any(|row| row.unit == Unit::WindowBatch) {
        notes.push(
            "One trial a side: its samples are ten batches of windows. That says how sure the figures of these two \
             trials are, and nothing of what another start would give; --repeat does."
                .into(),
        );
    }
    if any(|row| row.verdict == Verdict::TooFew) {
        notes.push(format!(
            "Too few: {} repetitions on each side are needed to show anything among {}.",
            needed(document),
            figure::count(count as u32, "comparison")
        ));
    }
    if let Some(limit) = document.fail_below {
        let below = document.comparisons.iter().filter(|row| row.below).count();
        notes.push(match below {
            0 => format!("No rate is surely slower and below {limit} of the old."),
            _ => format!("! marks rates that are surely slower and below {limit} of the old: {below}."),
        });
    }
    notes
}

/// Repetitions a side that can show a difference among all comparisons at all.
fn needed(document: &CompareDocument) -> usize {
    let alpha = 1.0 - document.confidence;
    let shows = |n: &usize| least_p_unpaired(*n, *n) * document.comparisons.len() as f64 <= alpha;
    (SAMPLES_MIN..100).find(shows).unwrap_or(100)
}

/// What one should doubt or know about the sources.
fn doubts(document: &CompareDocument) -> Vec<String> {
    let mut doubts = Vec::new();
    for source in &document.sources {
        if let Some(reason) = &source.incomplete {
            doubts.push(format!("{} is incomplete ({reason}).", source.path));
        }
    }
    for difference in document.differences.iter().filter(|d| d.weight == Weight::Allowed) {
        doubts.push(format!("Compared in spite of {}: {}.", difference.field, difference.text()));
    }
    doubts
}

fn told(document: &CompareDocument) -> Vec<String> {
    let told = document.differences.iter().filter(|d| d.weight == Weight::Told);
    told.map(|difference| format!("{}: {}", difference.field, difference.text())).collect()
}

fn unmatched(document: &CompareDocument) -> Option<String> {
    /// Named one by one up to here.
    const NAMED: usize = 4;
    let name = |u: &super::document::Unmatched| {
        let path = &document.sources[u.source].path;
        format!("{} on {} at {} in {path}", u.conditions.text(), u.dataplane, u.frame_size)
    };
    let names: Vec<String> = document.unmatched.iter().take(NAMED).map(name).collect();
    let more = match document.unmatched.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    (!names.is_empty()).then(|| format!("Without a counterpart: {}{more}.", names.join("; ")))
}

/// Writes tables that fit [`View::width`].
pub fn text(document: &CompareDocument, view: &View, out: &mut dyn Write) -> io::Result<()> {
    let width = usize::from(view.width.max(40));
    let paragraph = |out: &mut dyn Write, text: &str, bullet: &str| {
        let indent = " ".repeat(bullet.chars().count());
        wrap(text, width, bullet, &indent).iter().try_for_each(|line| writeln!(out, "{line}"))
    };
    for section in sections(document) {
        paragraph(out, &section.title, "")?;
        let rows = section.rows.iter().map(|row| cells(row)).collect();
        writeln!(out, "{}\n", table(&HEADER, rows, view))?;
    }
    for note in legend(document) {
        paragraph(out, &note, "")?;
    }
    for doubt in doubts(document).iter().chain(&unmatched(document)) {
        paragraph(out, doubt, "! ")?;
    }
    let told = told(document);
    if !told.is_empty() {
        writeln!(out, "\nWhat else differs")?;
    }
    told.iter().try_for_each(|line| paragraph(out, line, "  "))?;
    match &document.published {
        Some(published) => {
            if !document.comparisons.is_empty() {
                writeln!(out)?;
            }
            published.write(view, out)
        }
        None => Ok(()),
    }
}

/// Writes GitHub's Markdown.
pub fn markdown(document: &CompareDocument, out: &mut dyn Write) -> io::Result<()> {
    for section in sections(document) {
        writeln!(out, "### {}\n", escape(&section.title))?;
        writeln!(out, "| {} |", HEADER.join(" | "))?;
        let rule = HEADER.map(|name| if ["Dataplane", "Verdict"].contains(&name) { ":--" } else { "--:" });
        writeln!(out, "| {} |", rule.join(" | "))?;
        for row in section.rows {
            let mut row: Vec<String> = cells(row).iter().map(|cell| escape(cell)).collect();
            if let Some(verdict) =
                row.last_mut().filter(|v| v.starts_with("slower") || v.starts_with("faster"))
            {
                *verdict = format!("**{verdict}**");
            }
            writeln!(out, "| {} |", row.join(" | "))?;
        }
        writeln!(out)?;
    }
    for doubt in doubts(document).iter().chain(&unmatched(document)) {
        writeln!(out, "- ⚠ {}", escape(doubt))?;
    }
    for line in told(document) {
        writeln!(out, "- {}", escape(&line))?;
    }
    let legend = legend(document);
    if !legend.is_empty() {
        writeln!(out, "\n{}", escape(&legend.join(" ")))?;
    }
    match &document.published {
        Some(published) => {
            if !document.comparisons.is_empty() {
                writeln!(out)?;
            }
            published.markdown(out)
        }
        None => Ok(()),
    }
}
