//! Plots as SVG: what a figure shows as plain data, drawn for a page, a paper or a phone.
//!
//! A plot is drawn at a given width, not scaled to it, so that its letters stay readable. Colours are classes: in a
//! page they follow the reader's light or dark mode, in a file of its own they are fixed ([`sheet`]). Competitors
//! differ in colour and in the shape of their marks. Every name is escaped by the template.
//!
//! Deliberately absent: what is worth showing (`exhibits`).

mod axis;
mod bars;
mod lines;
mod style;

use maud::{Markup, html};

pub(super) use axis::{Axis, Scale};
pub(super) use bars::{Bar, Bars, Group};
pub(super) use lines::{Lines, Mark, Series};
pub(super) use style::{Colours, DARK, LIGHT, PAGE, sheet};

use super::text;

/// What a figure shows.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Plot {
    /// Values over an axis.
    Lines(Lines),
    /// Lengths side by side.
    Bars(Bars),
}

/// For how much room a plot is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// A column of text on a desk, a page of paper.
    Wide,
    /// Half of that, for two plots side by side.
    Half,
    /// A phone.
    Narrow,
}

impl Room {
    fn width(self) -> f64 {
        match self {
            Room::Wide => 840.0,
            Room::Half => 480.0,
            Room::Narrow => 328.0,
        }
    }

    /// The class by which a page chooses among drawings of one plot.
    fn class(self) -> &'static str {
        match self {
            Room::Wide => "plot wide",
            Room::Half => "plot half",
            Room::Narrow => "plot narrow",
        }
    }
}

/// What stands around a plot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Frame {
    /// Makes the identifiers within unique.
    pub(super) id: String,
    /// The lines above it, the first in bold.
    pub(super) heading: Vec<String>,
    /// A doubt that must not be cut off from the figure.
    pub(super) caution: Option<String>,
    /// What it shows, for those who do not see it.
    pub(super) description: String,
    /// The style sheet to carry inside; none where the page has it.
    pub(super) sheet: Option<String>,
}

impl Plot {
    /// Draws it as an `svg` element.
    pub(super) fn draw(&self, frame: &Frame, room: Room) -> Markup {
        let width = room.width();
        let (head, top) = heading(frame, width);
        let (body, height) = match self {
            Plot::Lines(lines) => lines.draw(width, top),
            Plot::Bars(bars) => bars.draw(width, top),
        };
        let title = format!("{}-{}-title", frame.id, room.class().len());
        let description = format!("{}-{}-desc", frame.id, room.class().len());
        // By itself it has a margin; in a page the page has one.
        let margin = if frame.sheet.is_some() { 10.0 } else { 0.0 };
        let (full_width, full_height) = (width + 2.0 * margin, height + 2.0 * margin);
        let view = [-margin, -margin, full_width, full_height].map(px).join(" ");
        html! {
            svg xmlns="http://www.w3.org/2000/svg" class=(room.class()) role="img"
                width=(px(full_width)) height=(px(full_height)) viewBox=(view)
                aria-labelledby=(format!("{title} {description}")) {
                title id=(title) { (frame.heading.join(". ")) }
                desc id=(description) { (frame.description) }
                @if let Some(sheet) = &frame.sheet {
                    style { (maud::PreEscaped(sheet)) }
                    rect class="paper" x=(px(-margin)) y=(px(-margin)) width="100%" height="100%" {}
                }
                (head)
                (body)
            }
        }
    }
}

/// The lines above a plot, and where they end.
fn heading(frame: &Frame, width: f64) -> (Markup, f64) {
    let mut y = 0.0;
    let mut lines = Vec::new();
    let caution = frame.caution.iter().map(|text| (text, "caution", 12.0));
    let headings = frame.heading.iter().enumerate();
    let headings =
        headings.map(|(i, text)| if i == 0 { (text, "heading", 14.0) } else { (text, "mute", 12.0) });
    for (text, class, size) in headings.chain(caution) {
        for line in wrap(text, size, width) {
            y += size + 5.0;
            lines.push((line, class, y));
        }
    }
    let markup = html! {
        @for (line, class, y) in &lines {
            text class=(class) x="2" y=(px(*y)) { (line) }
        }
    };
    (markup, y + 6.0)
}

/// A length in tenths of a pixel.
fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// About how wide a letter is, as a part of its size: a little too wide for most typefaces.
fn letter_width(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' | '(' | ')'
        | '-' => 0.41,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.98,
        '<' | '>' | '=' | '+' | '~' | '#' | '&' => 0.85,
        c if c.is_ascii_uppercase() => 0.72,
        c if c.is_ascii() => 0.64,
        _ => 0.86,
    }
}

/// About how wide `text` is in letters of `size`.
fn text_width(text: &str, size: f64) -> f64 {
    text.chars().map(letter_width).sum::<f64>() * size
}

/// How much wider bold letters are.
const BOLD: f64 = 1.13;

/// Text broken into lines that fit `width` in bold letters of `size`.
fn wrap(text: &str, size: f64, width: f64) -> Vec<String> {
    let size = size * BOLD;
    let columns = ((width - 8.0) / (size * 0.55)) as usize;
    text::wrap(text, columns, "", "").iter().map(|line| fit(line, size, width - 4.0)).collect()
}

/// A name cut to what fits `width` in letters of `size`.
fn fit(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let mut left = width - letter_width('…') * size;
    let fits = text.chars().take_while(|c| {
        left -= letter_width(*c) * size;
        left >= 0.0
    });
    fits.chain(['…']).collect()
}

/// Ticks of a horizontal axis whose labels stand apart and within `width`: the middle of each, and what it says.
fn apart(ticks: &[(f64, String)], at: impl Fn(f64) -> f64, size: f64, width: f64) -> Vec<(f64, &str)> {
    let mut end = f64::NEG_INFINITY;
    let mut labels = Vec::new();
    for (value, label) in ticks {
        let wide = text_width(label, size);
        let start = (at(*value) - wide / 2.0).clamp(0.0, (width - wide).max(0.0));
        if start > end + 3.0 {
            labels.push((start + wide / 2.0, label.as_str()));
            end = start + wide;
        }
    }
    labels
}
