//! A check in a process of its own: the same program, started with the check's name, its report on standard output.
//!
//! Both outputs go to memory rather than pipes, so that no child ever waits for its reader. A child that does not
//! end in time is killed; one that cannot be killed is stuck in the kernel, which is told apart.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use super::catalogue::checks;
use super::check::{Check, Env, Stop};
use super::document::{Figure, Outcome};
use crate::interrupt::Interrupt;

/// How long a killed process may take to end: its ports close first.
const DYING: Duration = Duration::from_secs(5);
/// Bytes shown of what a child that failed without a report said.
const TAIL: usize = 2000;

/// What a child says of its check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Why it did not pass.
    pub why: Option<String>,
    /// Number of netmap's issue, of a known defect.
    pub issue: Option<u32>,
    /// Rates.
    pub figures: Vec<Figure>,
}

impl Report {
    fn of(done: Result<(), Stop>, figures: Vec<Figure>) -> Report {
        let (outcome, why, issue) = match done {
            Ok(()) => (Outcome::Pass, None, None),
            Err(Stop::Fail(why)) => (Outcome::Fail, Some(why), None),
            Err(Stop::Skip(why)) => (Outcome::Skip, Some(why), None),
            Err(Stop::Known { issue, what }) => (Outcome::KnownDefect, Some(what), Some(issue)),
        };
        Report { outcome, why, issue, figures }
    }

    fn failed(why: String) -> Report {
        Report::of(Err(Stop::Fail(why)), Vec::new())
    }
}

/// How a child ended.
#[derive(Debug)]
pub struct Ended {
    /// What it found, or what became of it.
    pub report: Report,
    /// The kernel does not let it go.
    pub stuck: bool,
}

/// Runs a check in a child, which sees nothing of this process but the environment.
pub fn run(check: &Check, module: Option<&Path>, interrupt: &Interrupt) -> io::Result<Ended> {
    let memory = |name: &str| rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC).map(File::from);
    let (mut out, mut err) = (memory("ci-out")?, memory("ci-err")?);
    let mut command = Command::new("/proc/self/exe");
    command.args(["ci-check", check.name]);
    if let Some(module) = module {
        command.arg("--module").arg(module);
    }
    let child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(err.try_clone()?)
        // A Ctrl-C is for the runner, which lets a check that has a kloop end.
        .process_group(0)
        .spawn()?;
    let ending = wait(child, check.deadline, interrupt)?;
    let said = tail(&mut err)?;
    let with_tail = |what: String| if said.is_empty() { what } else { format!("{what}; it said:\n{said}") };
    let failed = |what| Ok(Ended { report: Report::failed(with_tail(what)), stuck: false });
    let status = match ending {
        Ending::Status(status) => status,
        Ending::Killed => {
            return failed(format!("it did not end within {:?} and was killed", check.deadline));
        }
        Ending::Stuck(id) => {
            let wchan = std::fs::read_to_string(format!("/proc/{id}/wchan")).unwrap_or_default();
            let place =
                if wchan.is_empty() || wchan == "0" { String::new() } else { format!(" (in {wchan})") };
            let why = format!(
                "process {id} did not end within {:?} and cannot be killed: it is stuck in the kernel{place}",
                check.deadline
            );
            return Ok(Ended { report: Report::failed(with_tail(why)), stuck: true });
        }
    };
    let mut text = String::new();
    out.rewind()?;
    out.read_to_string(&mut text)?;
    match (serde_json::from_str::<Report>(&text), status.signal()) {
        (Ok(report), _) => Ok(Ended { report, stuck: false }),
        (Err(_), Some(signal)) => failed(format!("the check was ended by signal {signal}")),
        (Err(_), None) => failed(format!("the check ended without a report ({status})")),
    }
}

enum Ending {
    Status(ExitStatus),
    Killed,
    Stuck(u32),
}

fn wait(mut child: Child, deadline: Duration, interrupt: &Interrupt) -> io::Result<Ending> {
    let id = child.id();
    let fd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    let until = |end: Instant, interrupted: bool| -> io::Result<bool> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
            let mut fds = vec![PollFd::new(&fd, PollFlags::IN)];
            if !interrupted {
                fds.push(PollFd::from_borrowed_fd(interrupt.fd(), PollFlags::IN));
            }
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(!fds[0].revents().is_empty()),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    };
    let end = Instant::now() + deadline;
    let mut ended = until(end, false)?;
    if !ended && interrupt.signal().is_some() {
        // It may be in a kloop, which no kernel survives killing; no check takes long.
        ended = until(end, true)?;
    }
    if ended {
        return Ok(Ending::Status(child.wait()?));
    }
    child.kill()?;
    if !until(Instant::now() + DYING, true)? {
        return Ok(Ending::Stuck(id));
    }
    child.wait()?;
    Ok(Ending::Killed)
}

fn tail(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    let from = bytes.len().saturating_sub(TAIL);
    Ok(String::from_utf8_lossy(&bytes[from..]).trim().to_owned())
}

/// The child's side: runs one check in this process and reports it. `None` if there is no such check.
#[must_use]
pub fn run_here(name: &str, module: Option<&Path>) -> Option<Report> {
    let check = checks().into_iter().find(|check| check.name == name)?;
    let env = Env::new(module.map(Path::to_owned));
    let done = (check.run)(&env);
    Some(Report::of(done, env.take_figures()))
}

/// A second process's side: plays a part of a check until it is killed or done. `None` if there is no such part.
#[must_use]
pub fn play(part: &str) -> Option<Result<(), Stop>> {
    super::checks::parts().iter().find(|(name, _)| *name == part).map(|(_, play)| play())
}
