//! How the program ends: a documented exit code, and a sentence for whatever went wrong.

use std::error::Error as StdError;
use std::fmt;
use std::io::Write;

use crate::plain::plain_lines;

/// Exit codes of vale-bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: all is well.
    Good,
    /// 1: the run failed.
    Failed,
    /// 2: the command line asks for something that makes no sense.
    Usage,
    /// 3: a regression, or a check that failed.
    Regression,
    /// 4: this host cannot run what was asked for.
    Host,
    /// Whatever a command in another machine ended with.
    PassedOn(u8),
    /// 128 and the signal's number: ended by that signal, after cleaning up.
    Signal(i32),
}

impl Exit {
    /// The number the process exits with.
    pub fn code(self) -> u8 {
        match self {
            Exit::Good => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Regression => 3,
            Exit::Host => 4,
            Exit::PassedOn(code) => code,
            Exit::Signal(number) => 128u8.saturating_add(u8::try_from(number).unwrap_or(u8::MAX)),
        }
    }
}

/// The end of a command that did not go well: an exit code, a sentence, and its causes.
///
/// Any error converts into a `Fail` that exits with 1; the constructors choose another code.
pub struct Fail {
    exit: Exit,
    error: anyhow::Error,
}

impl Fail {
    /// The run failed (1).
    pub fn failed(error: impl Into<anyhow::Error>) -> Fail {
        Fail { exit: Exit::Failed, error: error.into() }
    }

    /// The command line asks for something that makes no sense (2).
    pub fn usage(sentence: impl fmt::Display) -> Fail {
        Fail { exit: Exit::Usage, error: anyhow::anyhow!("{sentence}") }
    }

    /// A regression, or a check that failed (3).
    pub fn regression(sentence: impl fmt::Display) -> Fail {
        Fail { exit: Exit::Regression, error: anyhow::anyhow!("{sentence}") }
    }

    /// This host cannot run what was asked for (4).
    pub fn host(sentence: impl fmt::Display) -> Fail {
        Fail { exit: Exit::Host, error: anyhow::anyhow!("{sentence}") }
    }

    /// A command in another machine ended with `code`.
    pub fn passed_on(code: u8, sentence: impl fmt::Display) -> Fail {
        Fail { exit: Exit::PassedOn(code), error: anyhow::anyhow!("{sentence}") }
    }

    /// A signal asked for the end; everything has been cleaned up when this is shown.
    pub fn signal(number: i32) -> Fail {
        let error = match number {
            signal_hook::consts::SIGINT => anyhow::anyhow!("interrupted"),
            signal_hook::consts::SIGTERM => anyhow::anyhow!("ended by SIGTERM"),
            signal_hook::consts::SIGHUP => anyhow::anyhow!("ended by SIGHUP: the terminal went away"),
            other => anyhow::anyhow!("ended by signal {other}"),
        };
        Fail { exit: Exit::Signal(number), error }
    }

    /// The same failure with another exit code, for errors of libraries whose meaning is known here.
    pub fn with_exit(mut self, exit: Exit) -> Fail {
        self.exit = exit;
        self
    }

    /// The same failure within a larger sentence, which is shown before it.
    pub fn context(self, sentence: impl fmt::Display) -> Fail {
        Fail { exit: self.exit, error: self.error.context(sentence.to_string()) }
    }

    /// With which code the process ends.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Whether a signal asked for the end.
    pub fn is_interrupt(&self) -> bool {
        matches!(self.exit, Exit::Signal(_))
    }

    /// The error and its causes, outermost first.
    pub fn error(&self) -> &anyhow::Error {
        &self.error
    }

    /// Whether a pipe or socket whose other end is gone is among the causes. Of standard output that is no
    /// failure; of anything else it is.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.error.chain().any(|cause| {
            cause
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
        })
    }

    /// Writes `vale-bench: …` with its causes to `out`.
    pub fn report(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "vale-bench: {self}")
    }
}

impl fmt::Display for Fail {
    /// The sentence, then each cause after a colon; further lines (a log's tail) stay lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.error.to_string();
        f.write_str(&plain_lines(&said))?;
        for cause in self.error.chain().skip(1) {
            let text = cause.to_string();
            // Many errors repeat their cause in their own words.
            if !said.contains(&text) {
                write!(f, ": {}", plain_lines(&text))?;
            }
            said = text;
        }
        Ok(())
    }
}

impl fmt::Debug for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fail({:?}, {:?})", self.exit, self.error)
    }
}

impl<E> From<E> for Fail
where
    E: StdError + Send + Sync + 'static,
{
    fn from(error: E) -> Fail {
        Fail::failed(error)
    }
}

/// Adds a sentence, or an exit code, to what went wrong.
pub trait FailContext<T> {
    /// Puts the failure into a larger sentence.
    fn context_with<D: fmt::Display>(self, sentence: impl FnOnce() -> D) -> Result<T, Fail>;

    /// Chooses the exit code.
    fn or_exit(self, exit: Exit) -> Result<T, Fail>;
}

impl<T, E: Into<Fail>> FailContext<T> for Result<T, E> {
    fn context_with<D: fmt::Display>(self, sentence: impl FnOnce() -> D) -> Result<T, Fail> {
        self.map_err(|error| error.into().context(sentence()))
    }

    fn or_exit(self, exit: Exit) -> Result<T, Fail> {
        self.map_err(|error| error.into().with_exit(exit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn codes_are_the_documented_ones() {
        let all = [Exit::Good, Exit::Failed, Exit::Usage, Exit::Regression, Exit::Host];
        assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 4]);
        assert_eq!((Exit::Signal(2).code(), Exit::Signal(15).code()), (130, 143));
    }

    #[test]
    fn causes_follow_their_sentence_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open /dev/netmap")]
        struct Open(#[source] io::Error);
        let source = io::Error::from_raw_os_error(2);
        let fail = Fail::from(Open(source)).context("dataplane vale").with_exit(Exit::Host);
        let mut shown = Vec::new();
        fail.report(&mut shown).unwrap();
        assert_eq!(
            String::from_utf8(shown).unwrap(),
            "vale-bench: dataplane vale: cannot open /dev/netmap: No such file or directory (os error 2)\n"
        );
        assert_eq!(fail.exit(), Exit::Host);

        #[derive(Debug, thiserror::Error)]
        #[error("cannot read: {0}")]
        struct Repeats(#[source] io::Error);
        let fail = Fail::from(Repeats(io::Error::other("bad disk")));
        assert_eq!(fail.to_string(), "cannot read: bad disk");
    }

    #[test]
    fn a_closed_pipe_is_seen_through_contexts() {
        let error: Result<(), io::Error> = Err(io::ErrorKind::BrokenPipe.into());
        let fail = error.context_with(|| "cannot write the table").unwrap_err();
        assert!(fail.is_broken_pipe());
        assert!(!Fail::usage("no").is_broken_pipe());
    }
}
