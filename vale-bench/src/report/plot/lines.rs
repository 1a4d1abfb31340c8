//! Values over an axis: points joined by lines, with the raw samples behind them.

use maud::{Markup, html};

use super::axis::{Axis, Placed, Scale};
use super::style::{class, symbol};
use super::{apart, fit, px, text_width};

/// A point that is marked.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct Mark {
    /// Along the horizontal axis.
    pub(in crate::report) x: f64,
    /// Along the vertical axis.
    pub(in crate::report) y: f64,
    /// What it is, shown where the pointer rests on it.
    pub(in crate::report) tip: String,
}

/// What one competitor has to show.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::report) struct Series {
    /// Gives colour and mark.
    pub(in crate::report) arm: usize,
    /// Stands beside the line's end.
    pub(in crate::report) label: String,
    /// The line.
    pub(in crate::report) line: Vec<(f64, f64)>,
    /// Points of it that are marked.
    pub(in crate::report) marks: Vec<Mark>,
    /// Raw samples.
    pub(in crate::report) dots: Vec<Mark>,
    /// Raw samples that are lines themselves.
    pub(in crate::report) thin: Vec<Vec<(f64, f64)>>,
    /// Whether the line is dashed, to tell it from another of the same competitor.
    pub(in crate::report) dashed: bool,
}

/// Series over common axes.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct Lines {
    /// The horizontal axis.
    pub(in crate::report) x: Axis,
    /// The vertical axis.
    pub(in crate::report) y: Axis,
    /// What is shown.
    pub(in crate::report) series: Vec<Series>,
}

/// Height of the plot's inner part.
const INNER_PX: f64 = 240.0;
/// Letters of labels.
const LABEL_PX: f64 = 12.0;
/// From one label to the next.
const ROW_PX: f64 = 16.0;

impl Series {
    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        let marked = self.marks.iter().chain(&self.dots).map(|mark| (mark.x, mark.y));
        self.line.iter().copied().chain(self.thin.iter().flatten().copied()).chain(marked)
    }

    /// The point beside which the label stands.
    fn end(&self) -> Option<(f64, f64)> {
        let mut marks = self.marks.iter().map(|mark| (mark.x, mark.y));
        self.line.last().copied().or(marks.next_back()).or_else(|| self.points().last())
    }
}

/// Where everything lies.
struct Layout<'a> {
    x: Placed<'a>,
    y: Placed<'a>,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    width: f64,
    /// Columns between the series at one name, so that they do not hide each other.
    dodge: f64,
    series: usize,
}

impl Layout<'_> {
    fn point(&self, index: usize, (x, y): (f64, f64)) -> (f64, f64) {
        let shift = (index as f64 - (self.series as f64 - 1.0) / 2.0) * self.dodge;
        (self.x.at(x) + shift, self.y.at(y))
    }

    fn path(&self, index: usize, points: &[(f64, f64)]) -> String {
        let mut path = String::new();
        for (place, point) in points.iter().enumerate() {
            let (x, y) = self.point(index, *point);
            path.push_str(&format!("{}{},{}", if place == 0 { "M" } else { "L" }, px(x), px(y)));
        }
        path
    }
}

impl Lines {
    /// Draws it below `top`; the markup and where it ends.
    pub(super) fn draw(&self, width: f64, top: f64) -> (Markup, f64) {
        let widest = self.series.iter().map(|s| text_width(&s.label, LABEL_PX)).fold(0.0, f64::max) + 24.0;
        let alone = self.series.len() < 2;
        // Beside the lines where there is room, above them where there is none.
        let high = self.series.len() as f64 * ROW_PX > INNER_PX;
        let beside = !alone && !high && widest <= width * 0.3;
        let legend = if beside { Vec::new() } else { self.legend(width) };
        let rows = legend.last().map_or(0, |(_, row, _)| row + 1) as f64;
        let inner_top = top + 16.0 + rows * (ROW_PX + 2.0) + 8.0;
        let layout = self.layout(width, inner_top, if beside { widest } else { 12.0 });
        let title = &self.y.title;
        let markup = html! {
            text class="mute" x="2" y=(px(top + 12.0)) { (title) }
            @for (index, row, x) in &legend {
                (self.key(*index, *x, top + 16.0 + (*row as f64 + 0.75) * (ROW_PX + 2.0), width - x - 20.0))
            }
            (self.axes(&layout))
            @for (index, series) in self.series.iter().enumerate() {
                (behind(&layout, index, series))
            }
            @for (index, series) in self.series.iter().enumerate() {
                (front(&layout, index, series))
            }
            @if beside { (self.labels(&layout, widest)) }
        };
        let below = if self.x.title.is_empty() { 28.0 } else { 46.0 };
        (markup, layout.bottom + below)
    }

    fn layout(&self, width: f64, top: f64, beside: f64) -> Layout<'_> {
        let bottom = top + INNER_PX;
        let y = Placed::new(&self.y, self.series.iter().flat_map(Series::points).map(|p| p.1), 6);
        let labels = y.ticks.iter().map(|(_, label)| text_width(label, LABEL_PX)).fold(0.0, f64::max);
        let left = labels + 12.0;
        let right = width - beside;
        let ticks = ((right - left) / 64.0) as usize;
        let x = Placed::new(&self.x, self.series.iter().flat_map(Series::points).map(|p| p.0), ticks);
        let dodge = match &self.x.scale {
            Scale::Names(names) => {
                let room = (right - left) / names.len().max(1) as f64;
                (room * 0.5 / self.series.len().max(1) as f64).min(16.0)
            }
            _ => 0.0,
        };
        let (x, y) = (x.between(left, right - 4.0), y.between(bottom, top));
        Layout { x, y, left, right, top, bottom, width, dodge, series: self.series.len() }
    }

    fn axes(&self, layout: &Layout<'_>) -> Markup {
        let Layout { x, y, left, right, top, bottom, .. } = layout;
        let names = matches!(self.x.scale, Scale::Names(_));
        let room = (right - left) / x.ticks.len().max(1) as f64;
        let fitted = x.ticks.iter().map(|(value, label)| {
            (*value, if names { fit(label, LABEL_PX, room - 4.0) } else { label.clone() })
        });
        let fitted: Vec<(f64, String)> = fitted.collect();
        let class = if names { "ink" } else { "mute" };
        html! {
            @for (value, label) in &y.ticks {
                @let at = px(y.at(*value));
                path class="grid" d=(format!("M{},{at}H{}", px(*left), px(*right))) {}
                text class="mute" x=(px(left - 6.0)) y=(px(y.at(*value) + 4.0)) text-anchor="end" { (label) }
            }
            path class="base" d=(format!("M{},{}H{}", px(*left), px(*bottom), px(*right))) {}
            @if !names {
                @for (value, _) in &x.ticks {
                    @let at = px(x.at(*value));
                    path class="grid" d=(format!("M{at},{}V{}", px(*top), px(*bottom))) {}
                    path class="base" d=(format!("M{at},{}v5", px(*bottom))) {}
                }
            }
            @for (middle, label) in apart(&fitted, |value| x.at(value), LABEL_PX, layout.width) {
                text class=(class) x=(px(middle)) y=(px(bottom + 18.0)) text-anchor="middle" { (label) }
            }
            @if !self.x.title.is_empty() {
                text class="mute" x=(px((left + right) / 2.0)) y=(px(bottom + 38.0)) text-anchor="middle" {
                    (self.x.title)
                }
            }
        }
    }

    /// Names beside the ends of their lines, moved apart where they would overlap.
    fn labels(&self, layout: &Layout<'_>, room: f64) -> Markup {
        let ends = self
            .series
            .iter()
            .enumerate()
            .filter_map(|(index, series)| Some((index, layout.point(index, series.end()?).1)));
        let mut ends: Vec<(usize, f64)> = ends.collect();
        ends.sort_by(|a, b| a.1.total_cmp(&b.1));
        let lowest = layout.bottom.max(layout.top + ROW_PX * ends.len() as f64);
        for place in 1..ends.len() {
            ends[place].1 = ends[place].1.max(ends[place - 1].1 + ROW_PX);
        }
        let mut limit = lowest;
        for (_, y) in ends.iter_mut().rev() {
            *y = y.min(limit);
            limit = *y - ROW_PX;
        }
        html! {
            @for (index, y) in &ends {
                (self.key(*index, layout.right + 6.0, y + 4.0, room - 20.0))
            }
        }
    }

    /// A mark and the name it stands for.
    fn key(&self, index: usize, x: f64, y: f64, room: f64) -> Markup {
        let series = &self.series[index];
        html! {
            g class=(class(series.arm)) {
                path class="mark" d=(symbol(series.arm, x + 4.0, y - 4.0, 4.5)) {}
                text x=(px(x + 13.0)) y=(px(y)) { (fit(&series.label, LABEL_PX, room)) }
            }
        }
    }

    /// Where each name stands above the plot: index, row, column.
    fn legend(&self, width: f64) -> Vec<(usize, usize, f64)> {
        let (mut row, mut x) = (0, 2.0);
        let mut places = Vec::new();
        for (index, series) in self.series.iter().enumerate() {
            let needed = text_width(&series.label, LABEL_PX) + 30.0;
            if x > 2.0 && x + needed > width {
                (row, x) = (row + 1, 2.0);
            }
            places.push((index, row, x));
            x += needed;
        }
        places
    }
}

/// Raw samples and the line.
fn behind(layout: &Layout<'_>, index: usize, series: &Series) -> Markup {
    html! {
        g class=(class(series.arm)) {
            @for thin in &series.thin {
                path class=(if series.line.is_empty() { "thin alone" } else { "thin" }) d=(layout.path(index, thin)) {}
            }
            @if series.line.len() > 1 {
                path class=(if series.dashed { "line dashed" } else { "line" }) d=(layout.path(index, &series.line)) {}
            }
        }
    }
}

/// Samples and marks, which lie above all lines.
fn front(layout: &Layout<'_>, index: usize, series: &Series) -> Markup {
    let all = series.dots.iter().map(|dot| (dot, "dot", 2.6));
    let all = all.chain(series.marks.iter().map(|mark| (mark, "mark", 5.0)));
    html! {
        g class=(class(series.arm)) {
            @for (mark, kind, r) in all {
                @let (x, y) = layout.point(index, (mark.x, mark.y));
                path class=(kind) d=(symbol(series.arm, x, y, r)) { title { (mark.tip) } }
            }
        }
    }
}
