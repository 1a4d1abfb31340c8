//! What others published, where a suite asks for it: their figures with ours above, and no ratio.

use maud::{Markup, html};

use super::{table, text};
use crate::compare::published::{Beside, BesideTable, Published};
use crate::report::exhibits::Table;
use crate::report::kept::Kept;
use crate::suite;

/// A section for each publication; none where no suite names one that measured the same.
pub(super) fn sections(results: &[Kept]) -> Markup {
    let documents: Vec<_> = results.iter().map(|kept| &kept.document).collect();
    let mut named: Vec<&'static Published> = Vec::new();
    for published in documents.iter().filter_map(|document| suite::published(document.plan.suite.as_ref()?)) {
        if named.iter().all(|known| known.name != published.name) {
            named.push(published);
        }
    }
    let besides = named.iter().map(|published| published.beside(&documents));
    let besides: Vec<Beside> = besides.filter(|beside| !beside.tables.is_empty()).collect();
    html! {
        @for (index, beside) in besides.iter().enumerate() {
            section id=(if index == 0 { "published".to_owned() } else { format!("published-{index}") }) {
                h2 { "Beside what others published" }
                p { strong { (beside.heading()) } }
                @for each in &beside.tables {
                    h3 { (each.title()) }
                    (table(&numbers(each), &each.title()))
                }
                dl class="meaning" {
                    dt { "Source" }
                    dd { (text::plain(&beside.source)) "." }
                    dt { "Its testbed" }
                    dd { (text::plain(&beside.testbed)) "." }
                    dt { "To be known" }
                    @for note in &beside.notes { dd { (text::plain(note)) } }
                }
            }
        }
    }
}

fn numbers(beside: &BesideTable) -> Table {
    let header = std::iter::once("Switch".to_owned()).chain(beside.columns.iter().cloned()).collect();
    Table { words: 1, header, rows: beside.cells() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::SuitePlan;
    use crate::result::tests::{document, trial};

    fn page_of(suite: Option<&str>) -> String {
        let mut measured = document(&["uvale"], vec![trial("uvale", 64, 1, 3_000_000, 0)]);
        measured.plan.suite =
            suite.map(|text| SuitePlan { name: "mine".into(), text: text.into(), resumed_at: Vec::new() });
        sections(&Kept::name_all(vec![("r.json".into(), measured)])).into_string()
    }

    #[test]
    fn what_was_measured_here_stands_above_what_a_suite_names() {
        let page = page_of(Some("published = \"software-switches-2019\"\n[[run]]\nscenario = \"v2v\"\n"));
        let (ours, theirs) = (page.find("uvale (here)"), page.find(">VALE<"));
        assert!(ours.is_some() && theirs > ours, "{page}");
        assert!(page.contains("no ratio between its figures and these means anything"), "{page}");
        assert_eq!(page.matches("<h3>").count(), 1, "only what was measured here: {page}");
    }

    #[test]
    fn without_a_publication_there_is_no_section() {
        for suite in
            [None, Some("[[run]]\nscenario = \"v2v\"\n"), Some("published = \"another\"\n"), Some("[")]
        {
            assert_eq!(page_of(suite), "", "{suite:?}");
        }
    }
}
