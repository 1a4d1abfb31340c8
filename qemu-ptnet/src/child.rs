//! A process that cannot outlive us and whose end is always waited for with a deadline.
//!
//! Three things together: the kernel kills the child when this process dies (parent-death signal), a pidfd says
//! without races whether it lives, and dropping [`Process`] kills and reaps it. A child that would leave something
//! behind gets SIGTERM first ([`Parting`]). The child gets a process group of
//! its own, so that a Ctrl-C at the terminal reaches only us, and we end it in our own order.
//!
//! The parent-death signal is sent when the *thread* that forked exits, not the process. So all children are
//! forked by one thread that lives as long as the process.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

/// How long the kernel may take to end a killed process. One that is stuck in the kernel for longer is left to a
/// thread that reaps it when it can.
pub const KILL_WAIT: Duration = Duration::from_secs(2);

/// How long a child that is to be ended [kindly](Parting::Kindly) has for it.
const KIND_WAIT: Duration = Duration::from_secs(1);

/// What becomes of a child that nobody waits for any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Parting {
    /// It is killed.
    #[default]
    AtOnce,
    /// It gets SIGTERM, to let go of what the kernel does for it, and is killed only if it does not heed that while
    /// this process lives. For programs whose sudden end would leave something behind.
    Kindly,
}

/// A child process.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    pidfd: OwnedFd,
    child: Option<Child>,
    status: Option<ExitStatus>,
    parting: Parting,
}

impl Process {
    /// Starts `command`.
    pub fn spawn(command: Command) -> io::Result<Self> {
        Process::spawn_with(command, Parting::AtOnce)
    }

    /// Starts `command`, which ends as `parting` says when this is dropped or this process dies.
    pub fn spawn_with(command: Command, parting: Parting) -> io::Result<Self> {
        let mut child = spawner::spawn(command, parting)?;
        let pid = Pid::from_child(&child);
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self { pid, pidfd, child: Some(child), status: None, parting }),
            Err(errno) => {
                // The kernel is older than 5.3. Nobody has reaped the child, so its id is still its own.
                child.kill()?;
                child.wait()?;
                Err(errno.into())
            }
        }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Whether it still runs. Costs a system call.
    #[must_use]
    pub fn alive(&self) -> bool {
        self.status.is_none() && !readable(self.pidfd.as_fd(), Duration::ZERO).unwrap_or(false)
    }

    /// Waits for its end, at most `timeout`; `None` if it still runs then.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none()
            && readable(self.pidfd.as_fd(), timeout)?
            && let Some(mut child) = self.child.take()
        {
            // Does not block: the pidfd says that the process is over.
            self.status = Some(child.wait()?);
        }
        Ok(self.status)
    }

    /// Sends `signal`; a process that is already over is no error.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Kills it and reaps it, within [`KILL_WAIT`]. [`io::ErrorKind::TimedOut`] if it is stuck in the kernel.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        self.signal(Signal::KILL)?;
        match self.wait(KILL_WAIT)? {
            Some(status) => Ok(status),
            None => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("process {} is stuck in the kernel and did not die of SIGKILL", self.id()),
            )),
        }
    }
}

impl AsFd for Process {
    /// The pidfd: readable when the process is over.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.parting == Parting::Kindly && self.alive() && self.signal(Signal::TERM).is_ok() {
            // Whether it ended or not, the next line settles it.
            let _ = self.wait(KIND_WAIT);
        }
        if self.kill().is_err()
            && let Some(mut child) = self.child.take()
        {
            // Without the thread it would stay a zombie until we exit, which is no worse.
            let _ = std::thread::Builder::new().name("reaper".into()).spawn(move || child.wait());
        }
    }
}

/// What a short-lived command printed.
#[derive(Debug)]
pub struct Finished {
    /// How it ended; `None` if it had to be killed at the deadline.
    pub status: Option<ExitStatus>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs `command` to its end, at most `timeout`, without input.
pub fn run(mut command: Command, timeout: Duration) -> io::Result<Finished> {
    // Files, not pipes: nothing to drain, so no thread and no deadlock.
    let (stdout, stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let mut process = Process::spawn(command)?;
    let status = process.wait(timeout)?;
    drop(process);
    Ok(Finished { status, stdout: contents(stdout)?, stderr: contents(stderr)? })
}

fn contents(mut file: File) -> io::Result<String> {
    const LIMIT_BYTES: u64 = 1 << 20;
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(LIMIT_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Waits until `fd` is readable (or hung up), at most `timeout`.
pub(crate) fn readable(fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    let end = Instant::now() + timeout;
    loop {
        let left = Timespec::try_from(end.saturating_duration_since(Instant::now()))
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        match poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The thread that forks, and the hook that runs in the child before it becomes another program.
#[allow(unsafe_code)]
mod spawner {
    use super::{Child, Command, OnceLock, Parting, Sender, Signal, io, mpsc};
    use rustix::process::{Resource, Rlimit, getpid, getppid, set_parent_process_death_signal, setrlimit};
    use std::os::unix::process::CommandExt;

    type Job = (Command, Sender<io::Result<Child>>);

    pub(super) fn spawn(mut command: Command, parting: Parting) -> io::Result<Child> {
        static JOBS: OnceLock<Option<Sender<Job>>> = OnceLock::new();
        let parent = getpid();
        command.process_group(0);
        let signal = match parting {
            Parting::AtOnce => Signal::KILL,
            Parting::Kindly => Signal::TERM,
        };
        let before_exec = move || {
            set_parent_process_death_signal(Some(signal))?;
            // The parent may have died before the line above; then its signal never comes.
            if getppid() != Some(parent) {
                return Err(rustix::io::Errno::SRCH.into());
            }
            // A core file would hold the guest's memory, and be left behind.
            setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
            Ok(())
        };
        // SAFETY: between fork and exec only async-signal-safe functions may run. The hook makes three plain
        // system calls and builds errors from their numbers; it neither allocates nor locks.
        unsafe { command.pre_exec(before_exec) };
        let gone = || io::Error::other("the thread that starts processes is gone");
        let jobs = JOBS.get_or_init(start).as_ref().ok_or_else(gone)?;
        let (reply, answer) = mpsc::channel();
        jobs.send((command, reply)).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }

    fn start() -> Option<Sender<Job>> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let serve = move || {
            for (mut command, reply) in queue {
                let child = command.spawn();
                // Closes our copies of what the child inherited before the caller goes on.
                drop(command);
                // Nobody waits if the caller panicked; then the child is dropped, and dies with us.
                let _ = reply.send(child);
            }
        };
        std::thread::Builder::new().name("spawner".into()).spawn(serve).ok()?;
        Some(jobs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        command
    }

    #[test]
    fn output_and_status_come_back() {
        let done = run(shell("echo out; echo err >&2; exit 3"), Duration::from_secs(10)).unwrap();
        assert_eq!(done.status.and_then(|s| s.code()), Some(3));
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
    }

    #[test]
    fn a_deadline_kills_and_reaps() {
        let start = Instant::now();
        let done = run(shell("echo started; exec sleep 60"), Duration::from_millis(300)).unwrap();
        assert_eq!(done.status, None);
        assert_eq!(done.stdout, "started\n");
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let process = Process::spawn(shell("exec sleep 60")).unwrap();
        assert!(process.alive());
        let stat = format!("/proc/{}", process.id());
        drop(process);
        assert!(!std::path::Path::new(&stat).exists(), "neither running nor a zombie");
    }

    #[test]
    fn a_kind_parting_lets_it_tidy_up_and_ends_it_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (ready, tidy) = (folder.path().join("ready"), folder.path().join("tidy"));
        let started = |script: &str| {
            let text = format!("{script}; echo > {}; while :; do sleep 0.01; done", ready.display());
            let process = Process::spawn_with(shell(&text), Parting::Kindly).unwrap();
            let end = Instant::now() + Duration::from_secs(30);
            while !ready.exists() {
                assert!(Instant::now() < end, "the shell did not start");
                std::thread::sleep(Duration::from_millis(5));
            }
            process
        };
        drop(started(&format!("trap 'echo > {}; exit' TERM", tidy.display())));
        assert!(tidy.exists());
        std::fs::remove_file(&ready).unwrap();
        let stubborn = started("trap '' TERM");
        let stat = format!("/proc/{}", stubborn.id());
        drop(stubborn);
        assert!(!std::path::Path::new(&stat).exists());
    }

    #[test]
    fn it_survives_the_thread_that_started_it() {
        let start = || Process::spawn(shell("exec sleep 60")).unwrap();
        let mut process = std::thread::spawn(start).join().unwrap();
        assert_eq!(process.wait(Duration::from_millis(300)).unwrap(), None);
        assert_eq!(process.kill().unwrap().signal(), Some(9));
        assert!(!process.alive());
        assert_eq!(process.kill().unwrap().signal(), Some(9), "a second kill finds the same status");
    }

    #[test]
    fn a_missing_program_is_an_error_with_its_errno() {
        let error = Process::spawn(Command::new("/nonexistent/program")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(2));
    }

    /// The kernel's own promise, seen to work: a parent killed with SIGKILL takes its child with it.
    #[test]
    fn children_die_with_a_killed_parent() {
        const MARK: &str = "QEMU_PTNET_TEST_PARENT";
        if std::env::var_os(MARK).is_some() {
            let process = Process::spawn(shell("exec sleep 60")).unwrap();
            println!("\nchild {}", process.id());
            std::thread::sleep(Duration::from_secs(60));
            return;
        }
        let mut parent = Command::new(std::env::current_exe().unwrap());
        parent.args(["--exact", "--nocapture", "child::tests::children_die_with_a_killed_parent"]);
        let log = tempfile::NamedTempFile::new().unwrap();
        parent.env(MARK, "1").stdout(log.reopen().unwrap()).stderr(Stdio::null());
        let mut parent = Process::spawn(parent).unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        let child = loop {
            let text = std::fs::read_to_string(log.path()).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix("child "));
            if let Some(id) = line.and_then(|id| id.parse::<u32>().ok()) {
                break id;
            }
            assert!(Instant::now() < end, "the parent printed: {text}");
            std::thread::sleep(Duration::from_millis(10));
        };
        let stat = format!("/proc/{child}/stat");
        assert!(std::fs::read_to_string(&stat).is_ok());
        parent.kill().unwrap();
        // Whoever inherits the orphan may take its time to reap it: a zombie counts as dead.
        let dead = || std::fs::read_to_string(&stat).map_or(true, |s| s.contains(") Z "));
        while !dead() {
            assert!(Instant::now() < end, "the child outlived its parent");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
