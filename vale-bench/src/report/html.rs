//! One page that holds everything: figures, the numbers behind them, doubts, circumstances, commands.
//!
//! It asks for nothing (no script, no font, no image; a content security policy says so to the browser), follows the
//! reader's light or dark mode, prints, and reads with a keyboard and aloud: every figure has its description and
//! its table. All that comes from documents is escaped by the template.

mod manifest;
mod published;

use std::io::Write;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::exhibits::{self, Chart, Exhibit, Table};
use super::export::{Export, Selection};
use super::kept::Kept;
use super::plot::{Colours, DARK, Frame, LIGHT, PAGE, Room, sheet};
use super::study::Study;
use super::text::Doubt;
use super::{ReportError, text};

/// Writes a page.
pub(super) struct Html;

/// How the page looks, without the colours.
const STYLE: &str = include_str!("html/page.css");

/// What every figure of translated guests says.
pub(super) const TCG_CAUTION: &str = "TCG: compare within this figure, do not quote.";

impl Export for Html {
    fn write(&self, results: &[Kept], selection: &Selection, out: &mut dyn Write) -> Result<(), ReportError> {
        let study = Study::new(results);
        let exhibits = selection.of(exhibits::all(&study))?;
        out.write_all(page(&study, &exhibits).into_string().as_bytes())?;
        Ok(())
    }
}

fn page(study: &Study<'_>, exhibits: &[Exhibit]) -> Markup {
    let names: Vec<&str> = study.results.iter().map(|kept| kept.name.as_str()).collect();
    let headline = exhibits::sentence(study).unwrap_or_else(|| "No trial was made".into());
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content="vale-bench report";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (headline) " (" (names.join(", ")) ")" }
                style { (PreEscaped(style())) }
            }
            body {
                a class="skip" href="#main" { "Skip to the figures" }
                header {
                    p class="eyebrow" { "vale-bench report" }
                    h1 { (headline.replace('-', "\u{2011}")) "." }
                    (sources(study))
                }
                (doubts(study))
                (contents(exhibits))
                main id="main" {
                    @for (place, exhibits) in by_place(exhibits) {
                        section {
                            h2 { (if place.is_empty() { "In short" } else { place }) }
                            @for exhibit in exhibits { (figure(study, exhibit)) }
                        }
                    }
                    (published::sections(study.results))
                    (manifest::section(study.results))
                    (meaning())
                }
                footer {
                    p {
                        "Made from " (names.join(", ")) " by vale-bench " (crate::provenance::VERSION)
                        "; everything here is in those documents."
                    }
                }
            }
        }
    }
}

fn style() -> String {
    let variables = |colours: &Colours| {
        let mut text = format!(
            "--paper:{};--ink:{};--mute:{};--grid:{};--caution:{};",
            colours.paper, colours.ink, colours.mute, colours.grid, colours.caution
        );
        for (index, colour) in colours.arms.iter().enumerate() {
            text.push_str(&format!("--arm{index}:{colour};"));
        }
        text
    };
    let (light, dark) = (variables(&LIGHT), variables(&DARK));
    // On paper always the light ones.
    format!(
        ":root{{color-scheme:light dark;{light}}}\
         @media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\
         {STYLE}{}",
        sheet(&PAGE)
    )
}

/// The documents, each with when and on what it was measured.
fn sources(study: &Study<'_>) -> Markup {
    html! {
        @match study.results {
            [only] => p class="circumstances" { (text::plain(&text::circumstances(&only.document))) },
            several => {
                dl class="circumstances" {
                    @for kept in several {
                        dt { (kept.name) }
                        dd { (text::plain(&text::circumstances(&kept.document))) }
                    }
                }
            }
        }
    }
}

/// What is missing, and what to doubt: a kind of doubt once, with what each document has to say of it.
fn doubts(study: &Study<'_>) -> Markup {
    let several = study.results.len() > 1;
    let gaps = study
        .results
        .iter()
        .flat_map(|kept| text::gaps(&kept.document).into_iter().map(move |gap| (kept, gap)));
    let gaps: Vec<_> = gaps.collect();
    let mut kinds: Vec<(Doubt, Said)> = Vec::new();
    for kept in study.results {
        for doubt in text::doubts(&kept.document) {
            let place = kinds.iter().position(|(known, _)| known.kind == doubt.kind);
            let place = place.unwrap_or_else(|| {
                kinds.push((doubt.clone(), Said::new()));
                kinds.len() - 1
            });
            let said = &mut kinds[place].1;
            match said.iter_mut().find(|(sentence, _)| *sentence == doubt.sentence) {
                Some((_, names)) => names.push(&kept.name),
                None => said.push((doubt.sentence, vec![&kept.name])),
            }
        }
    }
    html! {
        @if !gaps.is_empty() {
            section class="doubts gaps" aria-labelledby="gaps" {
                h2 id="gaps" { "What is missing" }
                ul { @for (kept, gap) in &gaps {
                    li { strong { (words(gap)) } @if several { span class="of" { " (" (kept.name) ")" } } }
                } }
            }
        }
        @if !kinds.is_empty() {
            section class="doubts" aria-labelledby="warnings" {
                h2 id="warnings" { "Read this first" }
                ul { @for (doubt, said) in &kinds {
                    li {
                        @for (sentence, names) in said {
                            strong { (words(sentence)) }
                            @if names.len() < study.results.len() { span class="of" { " (" (names.join(", ")) ")" } }
                            " "
                        }
                        (words(doubt.advice))
                    }
                } }
            }
        }
    }
}

/// Sentences, each with the names of the documents that say it.
type Said<'a> = Vec<(String, Vec<&'a str>)>;

/// Text in which no option is broken at its hyphens.
fn words(text: &str) -> Markup {
    let text = text::plain(text);
    html! {
        @for (index, word) in text.split(' ').enumerate() {
            @if index > 0 { " " }
            @if word.starts_with("--") { span class="option" { (word) } } @else { (word) }
        }
    }
}

fn contents(exhibits: &[Exhibit]) -> Markup {
    html! {
        @if exhibits.len() > 2 {
            nav aria-label="Figures" {
                @for (place, exhibits) in by_place(exhibits) {
                    p {
                        @if !place.is_empty() { span class="place" { (place) ": " } }
                        @for (index, exhibit) in exhibits.iter().enumerate() {
                            @if index > 0 { " · " }
                            a href=(format!("#{}", exhibit.id)) { (exhibit.title) }
                        }
                    }
                }
                p { a href="#manifest" { "Circumstances" } " · " a href="#meaning" { "What the figures mean" } }
            }
        }
    }
}

/// Figures that follow each other under the same scenario.
fn by_place(exhibits: &[Exhibit]) -> Vec<(&str, Vec<&Exhibit>)> {
    let mut places: Vec<(&str, Vec<&Exhibit>)> = Vec::new();
    for exhibit in exhibits {
        match places.last_mut() {
            Some((place, exhibits)) if *place == exhibit.place => exhibits.push(exhibit),
            _ => places.push((&exhibit.place, vec![exhibit])),
        }
    }
    places
}

fn figure(study: &Study<'_>, exhibit: &Exhibit) -> Markup {
    let several = exhibit.charts.len() > 1;
    html! {
        figure id=(exhibit.id) aria-labelledby=(format!("{}-name", exhibit.id)) {
            figcaption {
                h3 id=(format!("{}-name", exhibit.id)) {
                    (exhibit.title) " "
                    a class="self" href=(format!("#{}", exhibit.id)) aria-label="Link to this figure" { "#" }
                }
                p { (exhibit.caption) }
            }
            div class=(if several { "charts several" } else { "charts" }) {
                @for chart in &exhibit.charts {
                    div class="chart" {
                        (chart.plot.draw(&frame(exhibit, chart), if several { Room::Half } else { Room::Wide }))
                        (chart.plot.draw(&frame(exhibit, chart), Room::Narrow))
                    }
                }
            }
            details {
                summary { "The numbers" }
                (table(&exhibit.table, &exhibit.title))
            }
            details {
                summary { "Measure it again" }
                @for source in &exhibit.sources { (command(&study.results[*source], study.results.len() > 1)) }
            }
        }
    }
}

/// What stands around a plot within the page, where the figure's title is above it.
fn frame(exhibit: &Exhibit, chart: &Chart) -> Frame {
    Frame {
        id: chart.id.clone(),
        heading: if chart.title.is_empty() { Vec::new() } else { vec![chart.title.clone()] },
        caution: exhibit.tcg.then(|| TCG_CAUTION.to_owned()),
        description: format!("{}. {}", exhibit.title, chart.description),
        sheet: None,
    }
}

/// A region that can be scrolled sideways, also with a keyboard.
fn table(table: &Table, name: &str) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label=(format!("{name}: the numbers")) {
            table {
                thead {
                    tr { @for (index, text) in table.header.iter().enumerate() {
                        th scope="col" class=[(index >= table.words).then_some("number")] { (text) }
                    } }
                }
                tbody {
                    @for row in &table.rows {
                        tr { @for (index, text) in row.iter().enumerate() {
                            td class=[(index >= table.words).then_some("number")] { (text) }
                        } }
                    }
                }
            }
        }
    }
}

fn command(kept: &Kept, named: bool) -> Markup {
    html! {
        @if named { p class="of" { (kept.name) } }
        pre tabindex="0" { code { (text::command(&kept.document.manifest.command_line)) } }
    }
}

fn meaning() -> Markup {
    html! {
        section id="meaning" {
            h2 { "What the figures mean" }
            dl class="meaning" {
                dt { "Rate" }
                dd { "Frames that receivers got in the measured part, by the host's clock, all directions added \
                      up. The warm-up is not in it." }
                dt { "Frame size" }
                dd { "Bytes including the 4-byte frame check sequence, as in RFC 2544." }
                dt { "L2 and L1" }
                dd { "Bits of the frames, and the same with the 20 bytes of preamble and gap that each costs on a \
                      line." }
                dt { "Loss" }
                dd { "The part of what was sent that did not arrive, warm-up and drain included. At maximum rate \
                      it is expected: VALE never blocks a sender." }
                dt { "Median and spread" }
                dd { "Repetitions are interleaved with whatever they are compared with. Where there are several, \
                      the median is shown, and each of them." }
            }
        }
    }
}
