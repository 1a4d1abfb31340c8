//! Programs that are not ours, started for a run: software switches and what belongs to them.
//!
//! Each runs in the run's directory with an environment of its own making, in a process group of its own, and dies
//! with this process; its number stands in the run's journal. What it prints goes to a file, so that nobody has to
//! read along, and the end of it is in every error. Each wait has a deadline and sees a program that ended.
//!
//! Deliberately absent: what the programs are, and what their ports are connected to.

mod threads;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use qemu_ptnet::child::{Process, run as run_to_end};
use qemu_ptnet::console::without_escapes;
use qemu_ptnet::{shell_quote, slowness};
use rustix::process::Signal;

use crate::exit::Fail;
use crate::interrupt::Interrupt;
use crate::rundir::RunDir;

pub use threads::{Share, Thread};

/// Between looks at a program that is waited for.
const LOOK: Duration = Duration::from_millis(20);
/// How much of a log an error shows.
const SHOWN_BYTES: u64 = 2048;
/// Most of a log that is read at once.
const READ_BYTES: u64 = 1 << 20;
/// How long a program may take to follow SIGTERM.
const TERM_WAIT: Duration = Duration::from_secs(2);
/// Where programs look for others: what is in our `PATH`, and where Debian keeps daemons.
const MORE_PATH: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";

/// A program to be started.
#[derive(Debug, Clone)]
pub struct Program {
    /// What messages and the log file call it.
    pub name: String,
    /// The program and its arguments.
    pub argv: Vec<OsString>,
    /// Added to the plain environment.
    pub env: Vec<(String, OsString)>,
    /// Whether it is told things on its standard input.
    pub listens: bool,
}

impl Program {
    /// A program that is told nothing once it runs.
    pub fn new<S: Into<OsString>>(name: &str, argv: impl IntoIterator<Item = S>) -> Program {
        let argv = argv.into_iter().map(Into::into).collect();
        Program { name: name.to_owned(), argv, env: Vec::new(), listens: false }
    }

    /// Adds a variable to its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Program {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// It is told things on its standard input.
    #[must_use]
    pub fn listening(mut self) -> Program {
        self.listens = true;
        self
    }

    /// Starts it in the run's directory.
    pub fn start(&self, run_dir: &RunDir) -> Result<Running, Fail> {
        let log = run_dir.join(format!("{}.log", self.name));
        let cannot = |what: &str| format!("cannot {what} {}", log.display());
        let file = File::options().create_new(true).read(true).append(true).open(&log);
        let file = file.map_err(|e| Fail::failed(e).context(cannot("create")))?;
        let mut command = plain(&self.argv, &self.env, run_dir.path());
        command.stdout(file.try_clone()?).stderr(file.try_clone()?);
        command.stdin(if self.listens { Stdio::piped() } else { Stdio::null() });
        let input = if self.listens {
            let (read, write) = io::pipe()?;
            command.stdin(read);
            Some(File::from(std::os::fd::OwnedFd::from(write)))
        } else {
            None
        };
        let line = shell_quote(&self.argv);
        let process = Process::spawn(command)
            .map_err(|e| Fail::failed(e).context(format!("cannot start {}\n  command: {line}", self.name)))?;
        run_dir.record_child(process.id())?;
        Ok(Running { name: self.name.clone(), line, process, log: file, input })
    }
}

/// A command of the environment that every program of a run gets: no variable of ours but where programs are.
fn plain(argv: &[OsString], env: &[(String, OsString)], place: &Path) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).current_dir(place).env_clear();
    command.env("PATH", format!("{path}:{MORE_PATH}")).env("LC_ALL", "C");
    command.env("HOME", place).env("TMPDIR", place).env("XDG_RUNTIME_DIR", place);
    command.envs(env.iter().map(|(name, value)| (name, value)));
    command
}

/// Runs a short command of the same environment in the folder `place` to its end; what it printed on standard output.
pub fn ask(
    argv: &[OsString],
    env: &[(String, OsString)],
    place: &Path,
    deadline: Duration,
) -> Result<String, Fail> {
    let line = shell_quote(argv);
    let cannot = || format!("cannot run {line}");
    let done =
        run_to_end(plain(argv, env, place), deadline).map_err(|e| Fail::failed(e).context(cannot()))?;
    let said = [done.stderr.trim(), done.stdout.trim()].into_iter().find(|text| !text.is_empty());
    let said = said.map(|text| format!("\n    {}", text.replace('\n', "\n    "))).unwrap_or_default();
    match done.status {
        Some(status) if status.success() => Ok(done.stdout),
        Some(status) => Err(Fail::failed(anyhow::anyhow!("{line} failed with {status}{said}"))),
        None => Err(Fail::failed(anyhow::anyhow!("{line} did not end within {deadline:?}{said}"))),
    }
}

/// A file in `PATH`, or where daemons are, that can be executed.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{path}:{MORE_PATH}");
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| is_program(path))
}

/// Whether this is a file that can be executed.
#[must_use]
pub fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// A program that was started. Dropping it kills it; [`Running::stop`] is kinder.
#[derive(Debug)]
pub struct Running {
    name: String,
    line: String,
    process: Process,
    log: File,
    input: Option<File>,
}

impl Running {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its command line, as a shell would read it.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Bytes it has printed so far.
    #[must_use]
    pub fn printed(&self) -> u64 {
        self.log.metadata().map_or(0, |meta| meta.len())
    }

    /// What it printed from byte `from` on, 1 MiB at most, without colours and the like.
    #[must_use]
    pub fn output(&self, from: u64) -> String {
        let len = self.printed().saturating_sub(from).min(READ_BYTES) as usize;
        let mut bytes = vec![0; len];
        let mut read = 0;
        while read < len {
            match self.log.read_at(&mut bytes[read..], from + read as u64) {
                Ok(0) | Err(_) => break,
                Ok(n) => read += n,
            }
        }
        without_escapes(&bytes[..read])
    }

    /// How it ended, once it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.wait(Duration::ZERO).ok().flatten()
    }

    /// Fails if it has ended, which no program of a lab does by itself.
    pub fn healthy(&mut self) -> Result<(), Fail> {
        if self.process.alive() {
            return Ok(());
        }
        let how =
            self.ended().map_or_else(|| "ended".into(), |status| format!("ended with {}", words(status)));
        Err(self.failure(&how))
    }

    /// That it `did` something it should not have, with its command line and the end of its output.
    #[must_use]
    pub fn failure(&self, did: &str) -> Fail {
        let mut text = format!("{} {did}\n  command: {}", self.name, self.line);
        let tail = self.output(self.printed().saturating_sub(SHOWN_BYTES));
        if !tail.trim().is_empty() {
            text.push_str("\n  end of its output:");
            for line in tail.trim().lines() {
                text.push_str(&format!("\n    {}", line.trim_end()));
            }
        }
        Fail::failed(anyhow::anyhow!("{text}"))
    }

    /// Waits until `ready`, at most `deadline` (longer on a slow machine); `what` is what for.
    pub fn wait_until(
        &mut self,
        what: &str,
        deadline: Duration,
        interrupt: &Interrupt,
        mut ready: impl FnMut(&mut Running) -> Result<bool, Fail>,
    ) -> Result<(), Fail> {
        let deadline = deadline * slowness().min(3);
        let end = Instant::now() + deadline;
        loop {
            if ready(self)? {
                return Ok(());
            }
            self.healthy().map_err(|fail| fail.context(format!("waiting for {what}")))?;
            if Instant::now() >= end {
                return Err(self.failure(&format!("did not get to {what} within {deadline:?}")));
            }
            interrupt.sleep(LOOK)?;
        }
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) -> Result<(), Fail> {
        let sent = self.process.signal(signal);
        sent.map_err(|e| Fail::failed(e).context(format!("cannot send a signal to {}", self.name)))
    }

    /// Tells it a line.
    pub fn tell(&mut self, line: &str) -> Result<(), Fail> {
        let told = match &mut self.input {
            Some(input) => input.write_all(format!("{line}\n").as_bytes()),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        told.map_err(|e| {
            let fail = self.failure("does not listen");
            fail.context(format!("cannot tell {} to {line}: {e}", self.name))
        })
    }

    /// Tells it a line and waits until it has printed `mark`; what it printed from then on.
    pub fn answer(
        &mut self,
        line: &str,
        mark: &str,
        deadline: Duration,
        interrupt: &Interrupt,
    ) -> Result<String, Fail> {
        let from = self.printed();
        self.tell(line)?;
        self.wait_until(&format!("an answer to {line:?}"), deadline, interrupt, |running| {
            Ok(running.output(from).contains(mark))
        })?;
        Ok(self.output(from))
    }

    /// Ends it: by its own command, where it has one, within `grace`; then SIGTERM, then SIGKILL.
    pub fn stop(&mut self, farewell: Option<&str>, grace: Duration) -> Result<(), Fail> {
        if let Some(line) = farewell
            && self.tell(line).is_ok()
            && self.process.wait(grace)?.is_some()
        {
            return Ok(());
        }
        self.process.signal(Signal::TERM)?;
        if self.process.wait(TERM_WAIT)?.is_none() {
            self.process
                .kill()
                .map_err(|e| Fail::failed(e).context(format!("{} does not end", self.name)))?;
        }
        Ok(())
    }
}

/// `exit status: 1` or `signal 9`.
fn words(status: ExitStatus) -> String {
    status.to_string()
}

#[cfg(test)]
mod tests;
