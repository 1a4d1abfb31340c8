//! A diagnosis for people.

use std::io::{self, Write};

use comfy_table::{Cell, Color, ContentArrangement, TableStyle};

use super::{Diagnosis, Status};
use crate::report::View;

impl Status {
    fn word(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Missing => "missing",
        }
    }

    fn colour(self) -> Color {
        match self {
            Status::Ok => Color::Green,
            Status::Warn => Color::Yellow,
            Status::Missing => Color::Red,
        }
    }
}

/// Writes a table of what was looked at, and one of what can run.
pub fn render(diagnosis: &Diagnosis, view: &View, out: &mut dyn Write) -> io::Result<()> {
    let checks = diagnosis.checks.iter().map(|check| {
        let mut text = check.found.clone();
        if let Some(advice) = &check.advice {
            text.push_str("\n→ ");
            text.push_str(advice);
        }
        (check.status, check.name.to_owned(), text)
    });
    writeln!(out, "This host\n{}\n", table(checks, view))?;
    let abilities = diagnosis.abilities.iter().map(|ability| {
        let status = if ability.runs { Status::Ok } else { Status::Missing };
        (status, format!("{} {}", ability.scenario, ability.dataplane), ability.note.clone())
    });
    writeln!(out, "Can be measured here\n{}", table(abilities, view))
}

fn table(rows: impl Iterator<Item = (Status, String, String)>, view: &View) -> String {
    let mut table = comfy_table::Table::new();
    table
        .load_style(TableStyle::new())
        .set_width(view.width.max(40))
        .set_content_arrangement(ContentArrangement::Dynamic);
    if view.colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    for (status, name, text) in rows {
        let word = Cell::new(status.word());
        let word = if view.colour { word.fg(status.colour()) } else { word };
        table.add_row([word, Cell::new(name), Cell::new(text)]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((2, 0));
    }
    table.trim_fmt()
}
