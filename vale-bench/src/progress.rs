//! How far a run has come: a bar on a terminal, plain lines in a pipe, nothing when asked to be quiet.
//!
//! All of it goes to standard error; standard output is for the result alone.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::plain::plain_lines;

/// Steps of the bar; a terminal cannot show more.
const STEPS: u64 = 1000;

/// How often the elapsed time is drawn anew: rare enough not to disturb what is measured on the same cores.
const REDRAW: Duration = Duration::from_millis(500);

/// Shows how far a run has come. Shared freely between threads.
pub struct Progress {
    total: u32,
    sink: Sink,
    state: Mutex<State>,
}

/// Where progress goes.
enum Sink {
    Bar(ProgressBar),
    Lines(Mutex<Box<dyn Write + Send>>),
    Quiet,
}

#[derive(Default)]
struct State {
    /// Trials begun.
    trial: u32,
    /// What the present one is, as in `v2v uvale 64 B uni`.
    label: String,
}

impl Progress {
    /// For a run of `total` trials, on standard error.
    pub fn new(total: u32, quiet: bool) -> Progress {
        if quiet {
            return Progress::quiet();
        }
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if io::stderr().is_terminal() && !dumb {
            let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
            bar.set_style(style());
            bar.enable_steady_tick(REDRAW);
            Progress { total, sink: Sink::Bar(bar), state: Mutex::default() }
        } else {
            Progress::lines(total, Box::new(io::stderr()))
        }
    }

    /// Plain lines to `out`.
    pub fn lines(total: u32, out: Box<dyn Write + Send>) -> Progress {
        Progress { total, sink: Sink::Lines(Mutex::new(out)), state: Mutex::default() }
    }

    /// Shows nothing.
    pub fn quiet() -> Progress {
        Progress { total: 0, sink: Sink::Quiet, state: Mutex::default() }
    }

    /// The next trial begins; `label` says which, as in `v2v uvale 64 B uni`.
    pub fn trial(&self, label: impl Into<String>) {
        let mut state = self.state();
        state.trial += 1;
        state.label = label.into();
        if let Sink::Bar(bar) = &self.sink {
            bar.set_position(0);
            bar.set_message(self.line(&state, ""));
        }
    }

    /// So many trials of an earlier start count as begun.
    pub fn skip(&self, trials: u32) {
        self.state().trial = trials;
    }

    /// What is being done now, as in `booting 2 guests` or, within a trial, `measuring`.
    pub fn stage(&self, what: &str) {
        let line = self.line(&self.state(), what);
        match &self.sink {
            Sink::Bar(bar) => bar.set_message(line),
            Sink::Lines(_) => self.println(&line),
            Sink::Quiet => {}
        }
    }

    /// How much of the present stage is done, 0 to 1. Lines do not show it.
    pub fn tick(&self, fraction: f64) {
        if let Sink::Bar(bar) = &self.sink {
            // `as` turns NaN into 0 and cuts off what is out of range.
            bar.set_position(((fraction * STEPS as f64) as u64).min(STEPS));
        }
    }

    /// The present trial is over; `outcome` says how, as in `3.12 Mpps`.
    pub fn done(&self, outcome: &str) {
        let line = self.line(&self.state(), outcome);
        self.println(&line);
    }

    /// Shows a line that stays, above the bar if there is one.
    pub fn println(&self, line: &str) {
        let line = plain_lines(line);
        match &self.sink {
            Sink::Bar(bar) => bar.suspend(|| {
                let _ = writeln!(io::stderr(), "{line}");
            }),
            Sink::Lines(out) => {
                // Nobody reading the progress is no reason to end the run.
                let _ = writeln!(lock(out), "{line}");
            }
            Sink::Quiet => {}
        }
    }

    /// Takes the bar away, as before a result is printed. Dropping does so too.
    pub fn finish(&self) {
        if let Sink::Bar(bar) = &self.sink {
            bar.finish_and_clear();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// `[ 3/12] v2v uvale 64 B uni: measuring`, or only the last part before the first trial.
    fn line(&self, state: &State, what: &str) -> String {
        if state.trial == 0 {
            return what.to_owned();
        }
        let total = self.total.max(state.trial).to_string();
        let separator = if what.is_empty() { "" } else { ": " };
        format!("[{:>width$}/{total}] {}{separator}{what}", state.trial, state.label, width = total.len())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

/// A thread that panicked while it showed progress left nothing half done that matters.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_msg} {bar:16.cyan} {elapsed_precise}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸ ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_in_a_pipe() {
        let out = Shared::default();
        let progress = Progress::lines(12, Box::new(out.clone()));
        progress.stage("booting 2 guests");
        for size in [64, 512, 1518] {
            progress.trial(format!("v2v uvale {size} B uni"));
            progress.stage("measuring");
            progress.tick(0.5);
        }
        progress.done("1.02 Mpps");
        progress.println("note");
        assert_eq!(
            String::from_utf8(out.0.lock().unwrap().clone()).unwrap(),
            "booting 2 guests\n\
             [ 1/12] v2v uvale 64 B uni: measuring\n\
             [ 2/12] v2v uvale 512 B uni: measuring\n\
             [ 3/12] v2v uvale 1518 B uni: measuring\n\
             [ 3/12] v2v uvale 1518 B uni: 1.02 Mpps\n\
             note\n"
        );
    }

    #[test]
    fn the_bar_takes_any_fraction() {
        let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::hidden());
        let progress = Progress { total: 1, sink: Sink::Bar(bar.clone()), state: Mutex::default() };
        progress.trial("p2p uvale 64 B uni");
        for (fraction, position) in [(0.5, 500), (2.0, 1000), (-1.0, 0), (f64::NAN, 0)] {
            progress.tick(fraction);
            assert_eq!(bar.position(), position);
        }
        progress.stage("measuring");
        assert_eq!(bar.message(), "[1/1] p2p uvale 64 B uni: measuring");
        drop(progress);
        assert!(bar.is_finished());
    }
}
