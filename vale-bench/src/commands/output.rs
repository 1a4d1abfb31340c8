//! Where a benchmark's result goes: a file, if one was named, and standard output.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use crate::cli::OutputArgs;
use crate::exit::{Exit, Fail, FailContext};
use crate::report::{Format, View};
use crate::result::{OutputFile, ResultDocument};

/// The places of a result, found to be usable before there is one.
#[derive(Debug)]
pub struct Output {
    file: Option<OutputFile>,
    format: Format,
}

impl Output {
    /// Checks that the result can be written where it is wanted. Do this before anything that takes long.
    pub fn prepare(args: &OutputArgs) -> Result<Output, Fail> {
        let file = args.out.as_deref().map(OutputFile::prepare).transpose();
        Ok(Output { file: file.or_exit(Exit::Usage)?, format: args.format.into() })
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
        kept
    }
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
        let args =
            |out: &str| OutputArgs { out: Some(out.into()), format: FormatChoice::Table, quiet: false };
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
