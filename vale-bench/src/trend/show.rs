//! Trends shown: a table with every series, and every change in a line.

use std::io::{self, Write};

use super::document::{Series, Shift, TrendDocument};
use crate::report::figure::{count, shortest, significant};
use crate::report::text::wrap;
use crate::report::{View, escape, table};

/// Runs drawn for a series, the newest.
const DRAWN: usize = 16;

const HEADER: [&str; 7] = ["Series", "Unit", "Runs", "Level", "Newest", "Changes", "Course"];

/// Series measured alike on the same machine, under their common title.
fn sections(document: &TrendDocument) -> Vec<(String, Vec<&Series>)> {
    let mut sections: Vec<(String, Vec<&Series>)> = Vec::new();
    for series in &document.series {
        let title = format!("{}; {}", series.conditions, series.machine);
        match sections.iter_mut().find(|(known, _)| *known == title) {
            Some((_, rows)) => rows.push(series),
            None => sections.push((title, vec![series])),
        }
    }
    sections
}

fn cells(series: &Series) -> Vec<String> {
    let newest = series.points.last().map_or("-".into(), |point| significant(point.value));
    let mark = match series.latest {
        Some(latest) if latest.worse || latest.better => " !",
        _ => "",
    };
    vec![
        series.name.clone(),
        series.unit.clone(),
        series.points.len().to_string(),
        series.levels.last().map_or("-".into(), |level| significant(level.median)),
        format!("{newest}{mark}"),
        series.shifts.len().to_string(),
        course(series),
    ]
}

/// The newest runs as a row of bars, from nothing to the highest, with a stroke before each new level.
fn course(series: &Series) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let first = series.points.len().saturating_sub(DRAWN);
    let most = series.points[first..].iter().map(|point| point.value).fold(0.0, f64::max);
    let mut drawn = String::new();
    for (index, point) in series.points.iter().enumerate().skip(first) {
        if index > first && series.shifts.iter().any(|shift| shift.at == index) {
            drawn.push('|');
        }
        let height = if most > 0.0 { (point.value / most * 8.0).ceil() as usize } else { 1 };
        drawn.push(BARS[height.clamp(1, 8) - 1]);
    }
    drawn
}

fn change(series: &Series, index: usize, shift: &Shift) -> String {
    let (old, new) = (series.levels[index].median, series.levels[index + 1].median);
    let percent =
        shift.ratio.map_or("from nothing".into(), |ratio| format!("{:+.1} %", (ratio - 1.0) * 100.0));
    let way = if shift.better { "better" } else { "worse" };
    let (before, after) = (&series.points[shift.at - 1], &series.points[shift.at]);
    let revision = |revision: &Option<String>| match revision {
        Some(revision) => format!(" ({})", revision.chars().take(10).collect::<String>()),
        None => String::new(),
    };
    format!(
        "{}: {way}, {} to {} {} ({percent}, p {}) between {}{} and {}{}",
        series.name,
        significant(old),
        significant(new),
        series.unit,
        if shift.p < 0.0005 { "<0.001".into() } else { format!("{:.3}", shift.p) },
        before.at,
        revision(&before.revision),
        after.at,
        revision(&after.revision),
    )
}

fn newest(series: &Series) -> Option<String> {
    let latest = series.latest.filter(|latest| latest.worse || latest.better)?;
    let point = series.points.last()?;
    Some(format!(
        "{}: the newest run ({}) is {} than its level, {:+.1} % where {:.1} % would be within the scatter",
        series.name,
        point.file,
        if latest.worse { "worse" } else { "better" },
        (latest.ratio - 1.0) * 100.0,
        latest.tolerance * 100.0
    ))
}

fn findings(rows: &[&Series]) -> Vec<String> {
    let of = |series: &&Series| {
        let changes = series.shifts.iter().enumerate().map(|(i, shift)| change(series, i, shift));
        changes.chain(newest(series)).collect::<Vec<_>>()
    };
    rows.iter().flat_map(of).collect()
}

fn legend(document: &TrendDocument) -> String {
    let runs = count(document.runs, "run");
    let confidence = shortest(document.confidence * 100.0);
    format!(
        "{runs}, of the folder {}. A point is a run's median. Level: median of the runs since the last change. A change is one at \
         {confidence} %, each by itself: of a hundred series that do not change, about {} show one.",
        document.folder,
        shortest((200.0 * (1.0 - document.confidence)).round())
    )
}

fn passed_over(document: &TrendDocument) -> Vec<String> {
    document.passed_over.iter().map(|file| format!("Passed over {}: {}.", file.file, file.reason)).collect()
}

/// Writes tables that fit [`View::width`].
pub fn text(document: &TrendDocument, view: &View, out: &mut dyn Write) -> io::Result<()> {
    let width = usize::from(view.width.max(40));
    let paragraph = |out: &mut dyn Write, text: &str, bullet: &str| {
        let indent = " ".repeat(bullet.chars().count());
        wrap(text, width, bullet, &indent).iter().try_for_each(|line| writeln!(out, "{line}"))
    };
    for (title, rows) in sections(document) {
        paragraph(out, &title, "")?;
        writeln!(out, "{}", table(&HEADER, rows.iter().map(|row| cells(row)).collect(), view))?;
        for finding in findings(&rows) {
            paragraph(out, &finding, "! ")?;
        }
        writeln!(out)?;
    }
    paragraph(out, &legend(document), "")?;
    passed_over(document).iter().try_for_each(|line| paragraph(out, line, "! "))
}

/// Writes GitHub's Markdown.
pub fn markdown(document: &TrendDocument, out: &mut dyn Write) -> io::Result<()> {
    for (title, rows) in sections(document) {
        writeln!(out, "### {}\n\n| {} |", escape(&title), HEADER.join(" | "))?;
        writeln!(out, "| :-- | :-- | --: | --: | --: | --: | :-- |")?;
        for row in &rows {
            let row: Vec<String> = cells(row).iter().map(|cell| escape(cell)).collect();
            writeln!(out, "| {} |", row.join(" | "))?;
        }
        writeln!(out)?;
        for finding in findings(&rows) {
            writeln!(out, "- ⚠ {}", escape(&finding))?;
        }
        writeln!(out)?;
    }
    writeln!(out, "{}", escape(&legend(document)))?;
    passed_over(document).iter().try_for_each(|line| writeln!(out, "- ⚠ {}", escape(line)))
}
