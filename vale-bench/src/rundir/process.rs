//! Processes by what tells them from strangers that took over their number.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// How long a process has to end after SIGTERM, and after SIGKILL.
const TERM_DEADLINE: Duration = Duration::from_secs(2);
const KILL_DEADLINE: Duration = Duration::from_secs(5);

/// A process, told from all others since the machine was booted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// When it was started, in clock ticks since boot (field 22 of /proc/PID/stat).
    pub start_ticks: u64,
    /// Its name (field 2).
    pub comm: String,
}

/// How ending a process went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was there and is no more.
    Ended,
    /// It was not there any more, or its number is a stranger's.
    NotThere,
}

impl ProcessId {
    /// The process that has this number now; `None` if none has, or only a dead one nobody waited for.
    pub fn of(pid: u32) -> Option<ProcessId> {
        parse_stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Whether this very process lives.
    pub fn is_alive(&self) -> bool {
        ProcessId::of(self.pid).as_ref() == Some(self)
    }

    /// Ends this process if it lives: SIGTERM first, SIGKILL if that is not heeded.
    pub(super) fn end(&self) -> io::Result<Ended> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(Ended::NotThere);
        };
        // The descriptor names one process for good; who it is, is asked after it was opened.
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(rustix::io::Errno::SRCH) => return Ok(Ended::NotThere),
            Err(errno) => return Err(errno.into()),
        };
        if !self.is_alive() {
            return Ok(Ended::NotThere);
        }
        for (signal, deadline) in [(Signal::TERM, TERM_DEADLINE), (Signal::KILL, KILL_DEADLINE)] {
            match pidfd_send_signal(&process, signal) {
                Ok(()) => {}
                Err(rustix::io::Errno::SRCH) => return Ok(Ended::Ended),
                Err(errno) => return Err(errno.into()),
            }
            if wait_for_end(&process, deadline)? {
                return Ok(Ended::Ended);
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "it does not end, not even by SIGKILL"))
    }
}

/// Waits until the process ends; false if it has not by then.
fn wait_for_end(process: &OwnedFd, patience: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The name stands in parentheses and may contain any byte, so the fields after it are counted from the last
/// closing one.
fn parse_stat(pid: u32, stat: &str) -> Option<ProcessId> {
    let (before, after) = stat.rsplit_once(')')?;
    let comm = before.split_once('(')?.1;
    let mut fields = after.split_whitespace();
    let state = fields.next()?; // field 3
    if matches!(state, "Z" | "X") {
        return None;
    }
    let start_ticks = fields.nth(18)?.parse().ok()?; // field 22
    Some(ProcessId { pid, start_ticks, comm: comm.to_owned() })
}

/// The kernel's random name for this boot.
pub(super) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_and_blanks() {
        let tail = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 424242 20";
        let process = parse_stat(7, &format!("7 (a) (b) c) {tail}")).unwrap();
        assert_eq!((process.comm.as_str(), process.start_ticks), ("a) (b) c", 424_242));
        assert_eq!(parse_stat(7, &format!("7 (dead) Z{}", &tail[1..])), None);
        assert_eq!(parse_stat(7, "7 (short) S 1"), None);
    }

    #[test]
    fn this_process_is_itself_and_nobody_else() {
        let me = ProcessId::of(std::process::id()).unwrap();
        assert!(me.is_alive());
        assert!(!ProcessId { start_ticks: me.start_ticks + 1, ..me.clone() }.is_alive());
        assert!(!ProcessId { comm: "stranger".into(), ..me }.is_alive());
        assert_eq!(ProcessId::of(u32::MAX), None);
    }
}
