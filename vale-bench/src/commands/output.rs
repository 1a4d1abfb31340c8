//! Where a benchmark's result goes: a file and a page, if they were named, and standard output.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::cli::OutputArgs;
use crate::exit::{Exit, Fail, FailContext};
use crate::report::{ExportFormat, Format, Kept, Selection, View};
use crate::result::{FileError, OutputFile, ResultDocument};

/// The places of a result, found to be usable before there is one.
#[derive(Debug)]
pub struct Output {
    file: Option<OutputFile>,
    page: Option<OutputFile>,
    format: Format,
    quiet: bool,
}

impl Output {
    /// Checks that the result can be written where it is wanted. Do this before anything that takes long.
    pub fn prepare(args: &OutputArgs) -> Result<Output, Fail> {
        let file = args.out.as_deref().map(OutputFile::prepare).transpose().or_exit(Exit::Usage)?;
        let page = args.html.as_deref().map(page).transpose().or_exit(Exit::Usage)?;
        if let (Some(file), Some(page)) = (&file, &page)
            && file.path() == page.path()
        {
            let sentence = format!("the page and the document cannot both be {}", page.path().display());
            return Err(Fail::usage(sentence));
        }
        Ok(Output { file, page, format: args.format.into(), quiet: args.quiet })
    }

    /// Writes the result to its file, so far as there is one: also in the middle of a run, to keep what is done.
    pub fn keep(&self, document: &ResultDocument) -> Result<(), Fail> {
        match &self.file {
            Some(file) => Ok(file.write(document)?),
            None => Ok(()),
        }
    }

    /// Writes the result to its file and shows it on standard output.
    pub fn finish(&self, document: &ResultDocument) -> Result<(), Fail> {
        // Shown even if it could not be kept: it may be all that is left of a long run.
        let kept = self.keep(document);
        let source = self.file.as_ref().filter(|_| kept.is_ok()).map(|file| file.path().to_owned());
        print(|out| self.format.report().write(document, &view(source), out))?;
        kept.and(self.write_page(document))
    }

    fn write_page(&self, document: &ResultDocument) -> Result<(), Fail> {
        let Some(page) = &self.page else { return Ok(()) };
        let source = self.file.as_ref().map_or(Path::new("result"), OutputFile::path);
        let kept = Kept::name_all([(source.to_owned(), document.clone())]);
        let mut bytes = Vec::new();
        ExportFormat::Html.export().write(&kept, &Selection::default(), &mut bytes).map_err(Fail::failed)?;
        page.write_bytes(&bytes)?;
        if !self.quiet {
            say_written(page);
        }
        Ok(())
    }
}

/// The file of a page: what is named, or `index.html` in the folder that is.
pub(super) fn page(place: &Path) -> Result<OutputFile, FileError> {
    let folder = place.is_dir()
        || place.as_os_str().as_encoded_bytes().ends_with(b"/")
        || place.extension().is_none_or(|ending| ending != "html" && ending != "htm");
    if !folder {
        return OutputFile::prepare(place);
    }
    make_folder(place)?;
    OutputFile::prepare(&place.join("index.html"))
}

pub(super) fn make_folder(place: &Path) -> Result<(), FileError> {
    fs::create_dir_all(place).map_err(|source| FileError::Write { path: place.into(), source })
}

/// Where a figure or a page is that somebody asked for is no result, so it does not go to standard output.
pub(super) fn say_written(file: &OutputFile) {
    let _ = writeln!(io::stderr(), "wrote {}", file.path().display());
}

/// Writes to standard output. False if its reader went away, as `head` does when it has enough: no failure,
/// and a reason to write no more.
pub fn print<E: Into<Fail>>(write: impl FnOnce(&mut dyn Write) -> Result<(), E>) -> Result<bool, Fail> {
    let mut out = io::stdout().lock();
    match write(&mut out).map_err(Into::into).and_then(|()| Ok(out.flush()?)) {
        Ok(()) => Ok(true),
        Err(fail) if fail.is_broken_pipe() => Ok(false),
        Err(fail) => Err(fail.context("cannot write to standard output")),
    }
}

/// What standard output's reader is like; `source` is the file that holds what is shown.
pub fn view(source: Option<PathBuf>) -> View {
    let out = io::stdout();
    if !out.is_terminal() {
        return View { source, ..View::default() };
    }
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let columns = rustix::termios::tcgetwinsize(&out).map_or(0, |size| size.ws_col);
    View {
        // A terminal that does not know its size says 0.
        width: if columns == 0 { View::default().width } else { columns },
        colour: !set("NO_COLOR") && !dumb,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::FormatChoice;

    #[test]
    fn an_output_that_cannot_be_written_is_a_usage_error_before_the_run() {
        let args = |out: &str| OutputArgs {
            out: Some(out.into()),
            html: None,
            format: FormatChoice::Table,
            quiet: false,
        };
        for place in ["/nonexistent/r.json", "/dev/null", "/"] {
            let fail = Output::prepare(&args(place)).unwrap_err();
            assert_eq!(fail.exit(), Exit::Usage, "{place}");
            assert!(fail.to_string().starts_with(&format!("cannot write {place}: ")), "{fail}");
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is() {
        assert!(!print(|_| Err(io::Error::from(io::ErrorKind::BrokenPipe))).unwrap());
        let fail = print(|_| Err(io::Error::from(io::ErrorKind::StorageFull))).unwrap_err();
        assert!(fail.to_string().starts_with("cannot write to standard output: "), "{fail}");
        assert!(print(|_| Ok::<(), io::Error>(())).unwrap());
    }
}
