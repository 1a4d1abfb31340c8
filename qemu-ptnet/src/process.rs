//! A running guest: its QEMU process, control socket, console and CPUs, and its end.

use crate::argv::{argv, shell_quote};
use crate::child::{KILL_WAIT, Parting, Process, readable};
use crate::console::{Logs, Source};
use crate::qmp::{Event, Qmp, QmpError};
use crate::spec::{Launch, SpecError};
use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much of the console an error shows, in bytes.
const SHOWN_BYTES: usize = 2048;
/// How long a command on the control socket may take; QEMU answers in microseconds unless its main loop is stuck.
const QMP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long QEMU may take to follow a SIGTERM.
const TERM_WAIT: Duration = Duration::from_millis(500);
/// How long the logs may take to end after the process did.
const LOG_WAIT: Duration = Duration::from_millis(500);

/// A running guest. Dropping it kills QEMU and reaps it; [`Vm::quit`] is kinder.
#[derive(Debug)]
pub struct Vm {
    name: String,
    argv: Vec<OsString>,
    qmp: Mutex<Qmp>,
    logs: Arc<Logs>,
    pid: u32,
    /// The pidfd once more, so that a long wait holds no lock.
    exit_fd: OwnedFd,
    process: Mutex<Process>,
}

impl Vm {
    /// Starts QEMU and shakes hands with it, within `timeout`. The guest is running then, not booted.
    pub fn start(mut launch: Launch, timeout: Duration) -> Result<Self, VmError> {
        launch.spec.check()?;
        let name = launch.spec.name.clone();
        let prepare = |source| VmError::Prepare { name: name.clone(), source };
        let copy = match &launch.console_log {
            Some(path) => Some(
                File::create(path).map_err(|source| VmError::ConsoleLog { path: path.clone(), source })?,
            ),
            None => None,
        };
        let (qmp, theirs) = launch.socket_pair().map_err(prepare)?;
        launch.spec.qmp = Some(theirs);
        let (console, theirs) = launch.socket_pair().map_err(prepare)?;
        launch.spec.console = Some(theirs);
        let (stderr, write_end) = io::pipe().map_err(prepare)?;

        let argv = argv(&launch.spec);
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).stdin(Stdio::null());
        command.stdout(write_end.try_clone().map_err(prepare)?).stderr(write_end);
        let mapping = |(parent_fd, child_fd): (OwnedFd, i32)| FdMapping { parent_fd, child_fd };
        let mappings = launch.take_fds().into_iter().map(mapping).collect();
        command.fd_mappings(mappings).expect("a launch numbers its descriptors apart");
        let failed = |source| VmError::Spawn { command: shell_quote(&argv), source };
        // The kernel serves a ptnet port in a thread of QEMU's own making, which outlives a QEMU that is killed.
        let parting = if launch.spec.has_ptnet() { Parting::Kindly } else { Parting::AtOnce };
        let process = Process::spawn_with(command, parting).map_err(failed)?;
        let logs = Logs::collect(console.into(), stderr.into(), copy).map_err(prepare)?;
        let mut failing = Failing { name, argv, logs, process };
        match Qmp::connect(qmp, timeout) {
            Ok(qmp) => {
                let Failing { name, argv, logs, process } = failing;
                let prepare = |source| VmError::Prepare { name: name.clone(), source };
                let exit_fd = process.as_fd().try_clone_to_owned().map_err(prepare)?;
                let (pid, qmp, process) = (process.id(), Mutex::new(qmp), Mutex::new(process));
                Ok(Self { name, argv, qmp, logs, pid, exit_fd, process })
            }
            Err(QmpError::Closed { .. }) => Err(failing.exited()),
            Err(source) => Err(VmError::Qmp { evidence: failing.evidence(), name: failing.name, source }),
        }
    }

    /// The guest's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The command line it was started with.
    #[must_use]
    pub fn argv(&self) -> &[OsString] {
        &self.argv
    }

    /// QEMU's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether QEMU still runs.
    #[must_use]
    pub fn alive(&self) -> bool {
        !matches!(readable(self.exit_fd.as_fd(), Duration::ZERO), Ok(true))
    }

    /// A descriptor that becomes readable when QEMU is over (a pidfd), for an event loop.
    #[must_use]
    pub fn exit_fd(&self) -> BorrowedFd<'_> {
        self.exit_fd.as_fd()
    }

    /// How QEMU ended; `None` while it runs.
    pub fn exit_status(&self) -> io::Result<Option<ExitStatus>> {
        lock(&self.process).wait(Duration::ZERO)
    }

    /// Waits for QEMU's end, at most `timeout`. A guest that powers off or resets ends it.
    pub fn wait(&self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        if !readable(self.exit_fd.as_fd(), timeout)? {
            return Ok(None);
        }
        let _ = self.logs.wait_end(LOG_WAIT);
        self.exit_status()
    }

    /// The last `bytes` of the serial console.
    #[must_use]
    pub fn console_tail(&self, bytes: usize) -> String {
        self.logs.tail(Source::Console, bytes)
    }

    /// The last `bytes` that QEMU itself wrote.
    #[must_use]
    pub fn stderr_tail(&self, bytes: usize) -> String {
        self.logs.tail(Source::Stderr, bytes)
    }

    /// Waits until the console shows `text`, at most `timeout`; whether it does.
    #[must_use]
    pub fn wait_console(&self, text: &str, timeout: Duration) -> bool {
        self.logs.wait_for(text, timeout)
    }

    /// The command line and the logs' tails, for an error of the caller's.
    #[must_use]
    pub fn evidence(&self) -> Box<Evidence> {
        evidence(&self.argv, &self.logs)
    }

    /// The events that QEMU has reported since the last call.
    pub fn events(&self) -> Result<Vec<Event>, QmpError> {
        let mut qmp = lock(&self.qmp);
        let mut events = Vec::new();
        loop {
            match qmp.event(Duration::from_millis(1)) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => return Ok(events),
                // QEMU's last words come before its end.
                Err(QmpError::Closed { .. }) if !events.is_empty() => return Ok(events),
                Err(error) => return Err(error),
            }
        }
    }

    /// Executes a QMP command.
    pub fn execute(
        &self,
        command: &'static str,
        arguments: Option<serde_json::Value>,
    ) -> Result<serde_json::Value, QmpError> {
        lock(&self.qmp).execute(command, arguments, QMP_TIMEOUT)
    }

    /// The host threads of the vCPUs, by vCPU number. With single-threaded TCG they are one and the same.
    pub fn vcpu_threads(&self) -> Result<Vec<u32>, VmError> {
        let failed = |source| VmError::Qmp { name: self.name.clone(), source, evidence: self.evidence() };
        let cpus = self.execute("query-cpus-fast", None).map_err(failed)?;
        let number =
            |cpu: &serde_json::Value, key: &str| cpu[key].as_u64().and_then(|n| u32::try_from(n).ok());
        let pair = |cpu| Some((number(cpu, "cpu-index")?, number(cpu, "thread-id")?));
        let mut threads = cpus
            .as_array()
            .and_then(|cpus| cpus.iter().map(pair).collect::<Option<Vec<_>>>())
            .ok_or_else(|| failed(QmpError::NotQmp { line: cpus.to_string() }))?;
        threads.sort_unstable();
        Ok(threads.into_iter().map(|(_, thread)| thread).collect())
    }

    /// Lets vCPU number `vcpu` run only on the host CPUs `cpus`.
    pub fn pin(&self, vcpu: usize, cpus: &[usize]) -> Result<(), VmError> {
        let threads = self.vcpu_threads()?;
        let Some(&thread) = threads.get(vcpu) else {
            return Err(VmError::NoSuchVcpu { name: self.name.clone(), vcpu, count: threads.len() });
        };
        pin_thread(thread, cpus)
    }

    /// Lets every thread that QEMU has now, and those they start, run only on the host CPUs `cpus`.
    pub fn pin_all(&self, cpus: &[usize]) -> Result<(), VmError> {
        let tasks = format!("/proc/{}/task", self.pid());
        let failed = |source| VmError::Threads { name: self.name.clone(), source };
        for entry in fs::read_dir(tasks).map_err(failed)? {
            let thread = entry.map_err(failed)?.file_name().into_string().ok().and_then(|id| id.parse().ok());
            if let Some(thread) = thread {
                match pin_thread(thread, cpus) {
                    // It ended since it was listed.
                    Err(VmError::Pin { source, .. }) if source.raw_os_error() == Some(3) => {}
                    other => other?,
                }
            }
        }
        Ok(())
    }

    /// Ends QEMU: asks on the control socket, then SIGTERM, then SIGKILL. `grace` is for the first; the rest is
    /// bounded too.
    pub fn quit(self, grace: Duration) -> Result<ExitStatus, VmError> {
        let end = Instant::now() + grace;
        // A QEMU that is already going closes the socket instead of answering; either way its end tells.
        let _ = lock(&self.qmp).execute("quit", None, grace);
        let mut process = lock(&self.process);
        let mut finish = || -> io::Result<ExitStatus> {
            if let Some(status) = process.wait(end.saturating_duration_since(Instant::now()))? {
                return Ok(status);
            }
            process.signal(Signal::TERM)?;
            if let Some(status) = process.wait(TERM_WAIT)? {
                return Ok(status);
            }
            process.kill()
        };
        let status = finish();
        drop(process);
        let _ = self.logs.wait_end(LOG_WAIT);
        status.map_err(|source| VmError::Unkillable {
            evidence: self.evidence(),
            name: self.name.clone(),
            source,
        })
    }
}

/// Lets the host thread `thread` run only on the host CPUs `cpus`.
pub fn pin_thread(thread: u32, cpus: &[usize]) -> Result<(), VmError> {
    let failed = |source| VmError::Pin { thread, cpus: cpus.to_vec(), source };
    let mut set = CpuSet::new();
    for &cpu in cpus {
        if cpu >= CpuSet::MAX_CPU {
            return Err(failed(io::ErrorKind::InvalidInput.into()));
        }
        set.set(cpu);
    }
    let pid = i32::try_from(thread).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    sched_setaffinity(Some(pid), &set).map_err(|errno| failed(errno.into()))
}

/// A QEMU that did not get as far as the handshake.
struct Failing {
    name: String,
    argv: Vec<OsString>,
    logs: Arc<Logs>,
    process: Process,
}

impl Failing {
    fn exited(&mut self) -> VmError {
        let status = match self.process.wait(KILL_WAIT) {
            Ok(Some(status)) => Ok(status),
            _ => self.process.kill(),
        };
        let _ = self.logs.wait_end(LOG_WAIT);
        let (name, evidence) = (self.name.clone(), self.evidence());
        match status {
            Ok(status) => VmError::Exited { name, status, evidence },
            Err(source) => VmError::Unkillable { name, source, evidence },
        }
    }

    fn evidence(&self) -> Box<Evidence> {
        evidence(&self.argv, &self.logs)
    }
}

fn evidence(argv: &[OsString], logs: &Logs) -> Box<Evidence> {
    Box::new(Evidence {
        command: shell_quote(argv),
        stderr: logs.tail(Source::Stderr, SHOWN_BYTES),
        console: logs.tail(Source::Console, SHOWN_BYTES),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a person needs to see of a guest that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The command line, quoted for a shell.
    pub command: String,
    /// The end of what QEMU wrote.
    pub stderr: String,
    /// The end of what the guest wrote on its console.
    pub console: String,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  command: {}", self.command)?;
        for (title, text) in [("QEMU's output", &self.stderr), ("console", &self.console)] {
            if !text.trim().is_empty() {
                write!(f, "\n  end of {title}:")?;
                for line in text.trim().lines() {
                    write!(f, "\n    {line}")?;
                }
            }
        }
        Ok(())
    }
}

/// What can go wrong with a guest's process.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// The description contradicts itself.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Sockets, pipes or threads could not be had.
    #[error("cannot prepare guest {name}")]
    Prepare {
        /// The guest.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The console log's file could not be made.
    #[error("cannot write the console log {}", path.display())]
    ConsoleLog {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// QEMU could not be started.
    #[error("cannot start QEMU\n  command: {command}")]
    Spawn {
        /// The command line.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// QEMU ended before the handshake.
    #[error("guest {name}: QEMU ended at once ({status})\n{evidence}")]
    Exited {
        /// The guest.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// Command line and logs.
        evidence: Box<Evidence>,
    },
    /// The control socket failed.
    #[error("guest {name}: no control over QEMU\n{evidence}")]
    Qmp {
        /// The guest.
        name: String,
        /// Why.
        source: QmpError,
        /// Command line and logs.
        evidence: Box<Evidence>,
    },
    /// A vCPU that the guest does not have.
    #[error("guest {name} has {count} vCPUs, so no vCPU {vcpu}")]
    NoSuchVcpu {
        /// The guest.
        name: String,
        /// Which was asked for.
        vcpu: usize,
        /// How many there are.
        count: usize,
    },
    /// QEMU's threads could not be listed.
    #[error("guest {name}: cannot list QEMU's threads")]
    Threads {
        /// The guest.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A thread could not be pinned.
    #[error("cannot pin thread {thread} to CPUs {cpus:?}")]
    Pin {
        /// The host thread.
        thread: u32,
        /// The host CPUs.
        cpus: Vec<usize>,
        /// Why.
        source: io::Error,
    },
    /// The process did not go away.
    #[error("guest {name}: QEMU did not end\n{evidence}")]
    Unkillable {
        /// The guest.
        name: String,
        /// Why.
        source: io::Error,
        /// Command line and logs.
        evidence: Box<Evidence>,
    },
}
