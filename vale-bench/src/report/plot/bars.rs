//! Lengths side by side, from zero, with the raw samples on them and the number at their end.

use maud::{Markup, html};

use super::axis::{Axis, Placed};
use super::style::{class, symbol};
use super::{apart, fit, px, text_width, wrap};

/// One length.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct Bar {
    /// Gives colour and mark.
    pub(in crate::report) arm: usize,
    /// Stands before it.
    pub(in crate::report) label: String,
    /// How long it is.
    pub(in crate::report) value: f64,
    /// Raw samples.
    pub(in crate::report) dots: Vec<f64>,
    /// Stands behind it.
    pub(in crate::report) text: String,
}

/// Bars under one heading.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct Group {
    /// The heading.
    pub(in crate::report) title: String,
    /// The bars.
    pub(in crate::report) bars: Vec<Bar>,
}

/// Groups of bars over a common axis.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct Bars {
    /// What lengths mean.
    pub(in crate::report) axis: Axis,
    /// The groups.
    pub(in crate::report) groups: Vec<Group>,
}

/// Letters of labels.
const LABEL_PX: f64 = 12.0;
/// Height of a bar.
const BAR_PX: f64 = 16.0;

impl Bars {
    fn bars(&self) -> impl Iterator<Item = &Bar> {
        self.groups.iter().flat_map(|group| &group.bars)
    }

    /// Draws it below `top`; the markup and where it ends.
    pub(super) fn draw(&self, width: f64, top: f64) -> (Markup, f64) {
        let longest = |text: fn(&Bar) -> &str| {
            self.bars().map(|bar| text_width(text(bar), LABEL_PX)).fold(0.0, f64::max)
        };
        let names = longest(|bar| &bar.label) + 12.0;
        // Before the bars where there is room, above them where there is none.
        let before = names <= width * 0.3;
        let left = if before { names } else { 4.0 };
        let right = width - longest(|bar| &bar.text) - 14.0;
        let step = if before { BAR_PX + 10.0 } else { BAR_PX + 24.0 };
        let values = self.bars().flat_map(|bar| bar.dots.iter().copied().chain([bar.value]));
        let axis = Placed::new(&self.axis, values, ((right - left) / 64.0) as usize).between(left, right);
        let mut y = top;
        let mut rows = Vec::new();
        // From where to where bars stand, without the headings between them.
        let mut spans = Vec::new();
        for group in &self.groups {
            if !group.title.is_empty() {
                for line in wrap(&group.title, 13.0, width) {
                    y += 18.0;
                    rows.push(html! { text class="group" x="2" y=(px(y)) { (line) } });
                }
                y += 4.0;
            }
            let first = y;
            for bar in &group.bars {
                rows.push(bar_row(bar, &axis, y, before.then_some(left), width));
                y += step;
            }
            spans.push((first, y));
            y += 6.0;
        }
        let bottom = y;
        let markup = html! {
            @for (value, _) in &axis.ticks {
                @for (from, to) in &spans {
                    path class="grid" d=(format!("M{},{}V{}", px(axis.at(*value)), px(*from), px(*to))) {}
                }
            }
            @for (middle, label) in apart(&axis.ticks, |value| axis.at(value), LABEL_PX, width) {
                text class="mute" x=(px(middle)) y=(px(bottom + 12.0)) text-anchor="middle" { (label) }
            }
            @for row in &rows { (row) }
            @for (from, to) in &spans {
                path class="base" d=(format!("M{},{}V{}", px(left), px(*from), px(*to))) {}
            }
            text class="mute" x=(px(left)) y=(px(bottom + 30.0)) { (self.axis.title) }
        };
        (markup, bottom + 38.0)
    }
}

/// One bar with its name, samples and number, in the row that begins at `y`.
fn bar_row(bar: &Bar, axis: &Placed<'_>, y: f64, before: Option<f64>, width: f64) -> Markup {
    let (start, end) = (axis.at(0.0), axis.at(bar.value));
    let bar_y = if before.is_some() { y + 4.0 } else { y + 19.0 };
    let middle = bar_y + BAR_PX / 2.0;
    let behind = bar.dots.iter().map(|dot| axis.at(*dot) + 3.0).fold(end, f64::max);
    html! {
        g class=(class(bar.arm)) {
            @match before {
                Some(left) => {
                    text x=(px(left - 8.0)) y=(px(middle + 4.0)) text-anchor="end" {
                        (fit(&bar.label, LABEL_PX, left - 8.0))
                    }
                }
                None => text class="halo" x="4" y=(px(y + 14.0)) { (fit(&bar.label, LABEL_PX, width)) },
            }
            rect class="bar" x=(px(start)) y=(px(bar_y)) width=(px((end - start).max(0.5))) height=(px(BAR_PX)) {
                title { (bar.label) ": " (bar.text) }
            }
            @for dot in &bar.dots {
                path class="dot" d=(symbol(bar.arm, axis.at(*dot), middle, 2.8)) {}
            }
            text class="halo" x=(px(behind + 6.0)) y=(px(middle + 4.0)) { (bar.text) }
        }
    }
}
