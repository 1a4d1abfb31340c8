//! For people on a terminal: one table a section, what to doubt beneath it, and where the raw data is.

use std::io::Write;

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ContentArrangement, ContentLineStyle, LineStyle, TableStyle,
};

use super::figure::{micros, percent, significant};
use super::group::{Row, Section, sections};
use super::{Report, ReportError, View, load, search, text};
use crate::result::ResultDocument;

/// A rule below the header and no other lines.
const STYLE: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none())
    .header_separator(LineStyle::none().fill('─'))
    .content_lines(ContentLineStyle::none());

/// Writes tables that fit [`View::width`].
pub(super) struct Table;

impl Report for Table {
    fn write(&self, document: &ResultDocument, view: &View, out: &mut dyn Write) -> Result<(), ReportError> {
        let paint = Paint { colour: view.colour };
        let width = usize::from(view.width.max(40));
        let sections = sections(document);
        for section in &sections {
            for line in text::wrap(&section.title(), width, "", "  ") {
                writeln!(out, "{}", paint.bold(&line))?;
            }
            fitted(out, cells(section), view)?;
            for beside in [load::round_trips(section), load::costs(section)].into_iter().flatten() {
                writeln!(out)?;
                fitted(out, beside, view)?;
            }
            for sentence in load::sentences(section) {
                paragraph(out, &sentence, width, "", |line| paint.dim(line))?;
            }
            writeln!(out)?;
        }
        let searches = search::searches(document);
        for searches in &searches {
            for line in text::wrap(&searches.title, width, "", "  ") {
                writeln!(out, "{}", paint.bold(&line))?;
            }
            fitted(out, (searches.header.clone(), searches.rows.clone()), view)?;
            for note in &searches.notes {
                paragraph(out, note, width, "! ", |line| paint.yellow(line))?;
            }
            if let Some(round_trips) = searches.round_trips.clone() {
                writeln!(out)?;
                fitted(out, round_trips, view)?;
            }
            writeln!(out)?;
        }
        for gap in text::gaps(document) {
            let mut lines = gap.lines();
            paragraph(out, lines.next().unwrap_or_default(), width, "! ", |line| paint.red(line))?;
            // The end of a log stays lines.
            lines.try_for_each(|line| writeln!(out, "    {}", text::plain(line)))?;
        }
        if let Some(legend) = search::legend(document) {
            paragraph(out, legend, width, "", |line| paint.dim(line))?;
        }
        for legend in load::legends(&sections, &searches) {
            paragraph(out, &legend, width, "", |line| paint.dim(line))?;
        }
        if sections.is_empty() && !document.searches.is_empty() {
            paragraph(out, &text::circumstances(document), width, "", |line| paint.dim(line))?;
        }
        if !sections.is_empty() {
            let ratio = sections.iter().find(|section| section.has_ratio());
            let legend = text::legend(
                sections.iter().any(Section::has_spread),
                sections.iter().any(Section::has_latency),
                ratio.map(|section| first_dataplane(document, section)),
                sections.iter().any(Section::has_interval),
            );
            paragraph(out, &legend, width, "", |line| paint.dim(line))?;
            paragraph(out, &text::circumstances(document), width, "", |line| paint.dim(line))?;
        }
        let warnings = text::warnings(document);
        if !warnings.is_empty() {
            writeln!(out, "\n{}", paint.bold("Warnings"))?;
        }
        for warning in &warnings {
            paragraph(out, warning, width, "! ", |line| paint.yellow(line))?;
        }
        writeln!(out)?;
        match &view.source {
            // Whole, however long: it is there to be copied.
            Some(path) => writeln!(out, "Raw data: {}", path.display())?,
            None => writeln!(out, "The raw data was not kept; --out FILE keeps it.")?,
        }
        Ok(())
    }
}

/// Writes a table, and which columns it has no room for.
fn fitted(out: &mut dyn Write, (header, rows): load::Cells, view: &View) -> std::io::Result<()> {
    let width = usize::from(view.width.max(40));
    let (header, rows, left_out) = fit(header, rows, width);
    writeln!(out, "{}", table(&header, rows, view))?;
    if left_out.is_empty() {
        return Ok(());
    }
    let text = format!("Too narrow for {}; try --format csv.", left_out.join(", "));
    paragraph(out, &text, width, "", |line| Paint { colour: view.colour }.dim(line))
}

/// Writes wrapped lines, those after the first indented as far as `bullet`.
fn paragraph(
    out: &mut dyn Write,
    text: &str,
    width: usize,
    bullet: &str,
    paint: impl Fn(&str) -> String,
) -> std::io::Result<()> {
    let indent = " ".repeat(bullet.chars().count());
    text::wrap(text, width, bullet, &indent).iter().try_for_each(|line| writeln!(out, "{}", paint(line)))
}

/// The dataplane ratios are to.
pub(super) fn first_dataplane<'a>(document: &'a ResultDocument, section: &'a Section<'_>) -> &'a str {
    document.plan.dataplanes.first().map_or_else(|| section.rows[0].dataplane(), String::as_str)
}

/// One column: its header and its cells.
struct Column {
    header: &'static str,
    cell: fn(&Row<'_>) -> Option<String>,
}

/// The columns that `section` has something to put into.
fn columns(section: &Section<'_>) -> Vec<Column> {
    let mut columns = vec![
        Column { header: "Dataplane", cell: |row| Some(row.dataplane().to_owned()) },
        Column { header: "Frame", cell: |row| Some(row.size().to_owned()) },
        Column { header: "Mpps", cell: |row| Some(significant(row.mpps()?.median)) },
    ];
    if section.has_spread() {
        columns.push(Column {
            header: "min..max",
            cell: |row| {
                let summary = row.mpps()?;
                Some(format!("{}..{}", significant(summary.min), significant(summary.max)))
            },
        });
    }
    columns.extend([
        Column {
            header: "L1 Gbps",
            cell: |row| Some(significant(row.median(|t| t.throughput.aggregate.rate_l1_gbps)?)),
        },
        Column {
            header: "Loss %",
            cell: |row| Some(percent(row.median(|trial| trial.accounting.loss_ratio())?)),
        },
    ]);
    if section.has_latency() {
        columns.extend([
            Column { header: "p50 µs", cell: |row| Some(micros(row.latency_ns(|l| l.p50_ns)?)) },
            Column { header: "p99 µs", cell: |row| Some(micros(row.latency_ns(|l| l.p99_ns)?)) },
        ]);
    }
    if section.has_ratio() {
        columns.push(Column { header: "Ratio", cell: |row| Some(format!("{:.2}", row.ratio?)) });
    }
    if section.has_interval() {
        let cell = |row: &Row<'_>| row.interval.map(|i| format!("{:.2}..{:.2}", i.low, i.high));
        columns.push(Column { header: "Interval", cell });
    }
    columns
}

/// Header and cells of a section, for any report that has tables.
pub(super) fn cells(section: &Section<'_>) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let columns = columns(section);
    let rows = section
        .rows
        .iter()
        .map(|row| columns.iter().map(|column| (column.cell)(row).unwrap_or_else(|| "-".into())).collect())
        .collect();
    (columns.iter().map(|column| column.header).collect(), rows)
}

/// Columns that give way on a narrow terminal, the first first.
const DISPENSABLE: [&str; 12] = [
    "cswch/s",
    "Exits",
    "QEMU",
    "Sent s",
    "Forwarded",
    "p99.9 µs",
    "max µs",
    "p50 µs",
    "min..max",
    "L1 Gbps",
    "p99 µs",
    "Interval",
];

/// Blanks between two columns.
const GAP: usize = 2;

/// Header, rows, and the headers of the columns that did not fit.
type Fitted = (Vec<&'static str>, Vec<Vec<String>>, Vec<&'static str>);

/// Takes columns away until a line has at most `width` columns of text.
fn fit(mut header: Vec<&'static str>, mut rows: Vec<Vec<String>>, width: usize) -> Fitted {
    let mut left_out = Vec::new();
    for name in DISPENSABLE {
        let column = |index: usize| {
            let cells = rows.iter().map(|row| row[index].chars().count());
            cells.chain([header[index].chars().count()]).max().unwrap_or(0)
        };
        let line = (0..header.len()).map(column).sum::<usize>() + GAP * (header.len() - 1);
        if line <= width {
            break;
        }
        if let Some(index) = header.iter().position(|known| *known == name) {
            left_out.push(header.remove(index));
            rows.iter_mut().for_each(|row| drop(row.remove(index)));
        }
    }
    (header, rows, left_out)
}

/// A table that fits the view; the first column is text, the others are figures.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>, view: &View) -> String {
    let mut table = comfy_table::Table::new();
    // What is left after columns were taken away, a very long name, is wrapped.
    table
        .load_style(STYLE)
        .set_width(view.width.max(40))
        .set_content_arrangement(ContentArrangement::Dynamic);
    if view.colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(header.iter().map(|text| {
        let cell = Cell::new(text::plain(text));
        if view.colour { cell.add_attribute(Attribute::Bold) } else { cell }
    }));
    let main = header.iter().position(|text| *text == "Mpps");
    for row in rows {
        table.add_row(row.into_iter().enumerate().map(|(index, text)| {
            let cell = Cell::new(text::plain(&text));
            if view.colour && Some(index) == main { cell.fg(Color::Green) } else { cell }
        }));
    }
    let last = header.len() - 1;
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { GAP as u16 }));
        if index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// Escape sequences, or none.
struct Paint {
    colour: bool,
}

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.with("2", text)
    }

    fn yellow(&self, text: &str) -> String {
        self.with("33", text)
    }

    fn red(&self, text: &str) -> String {
        self.with("31", text)
    }
}
