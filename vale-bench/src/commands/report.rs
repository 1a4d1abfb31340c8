//! `report`: kept results as a page, as text for people and machines, and as figures.

use std::path::{Path, PathBuf};

use super::output::{make_folder, page, say_written};
use super::print;
use crate::cli::{ReportArgs, RowsChoice};
use crate::exit::{Exit, Fail, FailContext};
use crate::report::{ExportFormat, Kept, Painter, ReportError, Selection, drawings};
use crate::result::{FileError, OutputFile, ResultDocument};

pub(super) fn run(args: &ReportArgs) -> Result<(), Fail> {
    let texts = texts(args);
    if texts.is_empty() && args.svg.is_none() && args.png.is_none() && !args.list {
        return Err(Fail::usage(
            "there is nothing to write; name --html, --markdown, --csv, --junit, --svg or --png, or ask for \
             --list",
        ));
    }
    let to_stdout =
        texts.iter().filter(|(_, place)| *place == Path::new("-")).count() + usize::from(args.list);
    if to_stdout > 1 {
        return Err(Fail::usage("only one report at a time can go to standard output"));
    }
    let results = read(&args.files)?;
    let selection = Selection { figures: args.figure.clone() };
    if args.list {
        list(&results, &selection)?;
    }
    for (format, place) in texts {
        text(&results, &selection, format, place)?;
    }
    figures(args, &results, &selection)
}

/// The texts that are wanted, and where.
fn texts(args: &ReportArgs) -> Vec<(ExportFormat, &Path)> {
    let csv = match args.rows {
        RowsChoice::Trial => ExportFormat::CsvTrials,
        RowsChoice::Window => ExportFormat::CsvWindows,
    };
    let all = [
        (ExportFormat::Html, &args.html),
        (ExportFormat::Markdown, &args.markdown),
        (csv, &args.csv),
        (ExportFormat::Junit, &args.junit),
    ];
    all.into_iter().filter_map(|(format, place)| Some((format, place.as_deref()?))).collect()
}

/// Reads every file; a file that is no result is a mistake on the command line, not a failed run.
fn read(files: &[PathBuf]) -> Result<Vec<Kept>, Fail> {
    let read = files.iter().map(|file| Ok((file.clone(), ResultDocument::read(file)?)));
    let documents: Vec<_> = read.collect::<Result<_, FileError>>().or_exit(Exit::Usage)?;
    if documents.iter().all(|(_, document)| document.trials.is_empty() && document.searches.is_empty()) {
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        let sentence = match names.as_slice() {
            [only] => format!("{only} has no trial, so there is nothing to report"),
            all => format!("none of {} has a trial, so there is nothing to report", all.join(", ")),
        };
        return Err(Fail::failed(anyhow::anyhow!(sentence)));
    }
    Ok(Kept::name_all(documents))
}

fn list(results: &[Kept], selection: &Selection) -> Result<(), Fail> {
    let drawings = drawings(results, selection).map_err(fail)?;
    let widest = drawings.iter().map(|drawing| drawing.name.len()).max().unwrap_or(0);
    print(|out| {
        drawings.iter().try_for_each(|drawing| writeln!(out, "{:widest$}  {}", drawing.name, drawing.title))
    })?;
    Ok(())
}

fn text(results: &[Kept], selection: &Selection, format: ExportFormat, place: &Path) -> Result<(), Fail> {
    if place == Path::new("-") {
        print(|out| format.export().write(results, selection, out).map_err(fail))?;
        return Ok(());
    }
    let file = if format == ExportFormat::Html { page(place) } else { OutputFile::prepare(place) };
    let file = file.or_exit(Exit::Usage)?;
    let mut bytes = Vec::new();
    format.export().write(results, selection, &mut bytes).map_err(fail)?;
    write(&file, &bytes)
}

fn figures(args: &ReportArgs, results: &[Kept], selection: &Selection) -> Result<(), Fail> {
    if args.svg.is_none() && args.png.is_none() {
        return Ok(());
    }
    let drawings = drawings(results, selection).map_err(fail)?;
    if let Some(folder) = &args.svg {
        make_folder(folder).or_exit(Exit::Usage)?;
        for drawing in &drawings {
            let file =
                OutputFile::prepare(&folder.join(format!("{}.svg", drawing.name))).or_exit(Exit::Usage)?;
            write(&file, drawing.svg.as_bytes())?;
        }
    }
    if let Some(folder) = &args.png {
        let painter = Painter::new().map_err(fail)?;
        make_folder(folder).or_exit(Exit::Usage)?;
        for drawing in &drawings {
            let file =
                OutputFile::prepare(&folder.join(format!("{}.png", drawing.name))).or_exit(Exit::Usage)?;
            write(&file, &painter.paint(drawing).map_err(fail)?)?;
        }
    }
    Ok(())
}

fn write(file: &OutputFile, bytes: &[u8]) -> Result<(), Fail> {
    file.write_bytes(bytes)?;
    say_written(file);
    Ok(())
}

/// With which code a report that cannot be made ends.
fn fail(error: ReportError) -> Fail {
    let exit = match &error {
        ReportError::NoFigure { .. } => Exit::Usage,
        ReportError::NoTypeface => Exit::Host,
        _ => Exit::Failed,
    };
    Fail::from(error).with_exit(exit)
}
