//! For a pull request: the same tables and doubts as on a terminal, in GitHub's Markdown.

use std::io::Write;

use super::export::{Export, Selection};
use super::group::{Section, sections};
use super::kept::Kept;
use super::table::{cells, first_dataplane};
use super::{Report, ReportError, View, load, search, text};
use crate::result::ResultDocument;

/// Writes Markdown.
pub(super) struct Markdown;

impl Report for Markdown {
    fn write(&self, document: &ResultDocument, view: &View, out: &mut dyn Write) -> Result<(), ReportError> {
        let sections = sections(document);
        for section in &sections {
            writeln!(out, "### {}\n", escape(&section.title()))?;
            table(cells(section), out)?;
            if let Some(round_trips) = load::round_trips(section) {
                table(round_trips, out)?;
            }
            if let Some(costs) = load::costs(section) {
                table(costs, out)?;
            }
            let sentences = load::sentences(section);
            for sentence in &sentences {
                writeln!(out, "- {}", escape(sentence))?;
            }
            if !sentences.is_empty() {
                writeln!(out)?;
            }
        }
        let searches = search::searches(document);
        for searches in &searches {
            writeln!(out, "### {}\n", escape(&searches.title))?;
            table((searches.header.clone(), searches.rows.clone()), out)?;
            for note in &searches.notes {
                writeln!(out, "- {}", escape(note))?;
            }
            if !searches.notes.is_empty() {
                writeln!(out)?;
            }
            if let Some(round_trips) = searches.round_trips.clone() {
                table(round_trips, out)?;
            }
        }
        let mut doubts: Vec<String> = text::gaps(document);
        doubts.extend(text::warnings(document));
        for doubt in &doubts {
            let mut lines = doubt.lines();
            writeln!(out, "- ⚠ {}", escape(lines.next().unwrap_or_default()))?;
            // The end of a log, as code of this item.
            for (index, line) in lines.enumerate() {
                let space = if index == 0 { "\n" } else { "" };
                writeln!(out, "{space}      {}", text::plain(line))?;
            }
        }
        if !doubts.is_empty() {
            writeln!(out)?;
        }
        if !sections.is_empty() {
            let ratio = sections.iter().find(|section| section.has_ratio());
            let legend = text::legend(
                sections.iter().any(Section::has_spread),
                sections.iter().any(Section::has_latency),
                ratio.map(|section| first_dataplane(document, section)),
                sections.iter().any(Section::has_interval),
            );
            writeln!(out, "{}\n", escape(&legend))?;
        }
        for legend in load::legends(&sections, &searches) {
            writeln!(out, "{}\n", escape(&legend))?;
        }
        if let Some(legend) = search::legend(document) {
            writeln!(out, "{}\n", escape(legend))?;
        }
        writeln!(out, "{}\n", escape(&text::circumstances(document)))?;
        writeln!(out, "```sh\n{}\n```", text::command(&document.manifest.command_line))?;
        if let Some(path) = &view.source {
            writeln!(out, "\nRaw data: {}", escape(&path.display().to_string()))?;
        }
        Ok(())
    }
}

fn table((header, rows): load::Cells, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "| {} |", header.join(" | "))?;
    let rule: Vec<&str> = (0..header.len()).map(|i| if i == 0 { ":--" } else { "--:" }).collect();
    writeln!(out, "| {} |", rule.join(" | "))?;
    for row in rows {
        let row: Vec<String> = row.iter().map(|cell| escape(cell)).collect();
        writeln!(out, "| {} |", row.join(" | "))?;
    }
    writeln!(out)
}

/// Several documents: each under its name.
impl Export for Markdown {
    fn write(&self, results: &[Kept], _: &Selection, out: &mut dyn Write) -> Result<(), ReportError> {
        for (index, kept) in results.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            if results.len() > 1 {
                writeln!(out, "## {}\n", escape(&kept.name))?;
            }
            let view = View { source: Some(kept.path.clone()), ..View::default() };
            Report::write(self, &kept.document, &view, out)?;
        }
        Ok(())
    }
}

/// Text that Markdown leaves as it is.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text::plain(text).chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '<' | '>' | '|' | '[' | ']' | '#') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_a_shell_or_markdown_would_read_otherwise() {
        let argv = ["vale-bench", "v2v", "--qemu", "/my qemu", "it's"].map(str::to_owned);
        assert_eq!(text::command(&argv), r"vale-bench v2v --qemu '/my qemu' 'it'\''s'");
        assert_eq!(escape("a|b_c"), r"a\|b\_c");
    }
}
