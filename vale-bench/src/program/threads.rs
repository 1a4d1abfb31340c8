//! The threads of a program: their processor time, where they run, and how they share a processor with others.

use std::fs;

use qemu_ptnet::child::run;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

use super::Running;
use crate::exit::Fail;

/// How long chrt may take.
const CHRT_DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);

/// A thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Its number.
    pub id: u32,
    /// Its name, which its program chose.
    pub name: String,
}

/// How a thread shares its processor with others that want it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// As any other.
    Normal,
    /// Only while nobody else wants it (`SCHED_IDLE`): a thread that polls without end keeps nobody waiting.
    Idle,
}

impl Share {
    /// As results call it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Share::Normal => "poll",
            Share::Idle => "poll while nobody else wants the processor (SCHED_IDLE)",
        }
    }
}

impl Running {
    /// Has the threads whose names begin with `name` share their processors as `share` says. There must be one.
    pub fn share(&self, name: &str, share: Share) -> Result<(), Fail> {
        let threads = self.called(name)?;
        if share == Share::Normal {
            return Ok(());
        }
        for thread in threads {
            // util-linux has it; its system call has no safe wrapper.
            let id = thread.id.to_string();
            let mut chrt = std::process::Command::new("chrt");
            chrt.args(["--idle", "--pid", "0", &id]);
            let done = run(chrt, CHRT_DEADLINE)
                .map_err(|e| Fail::failed(e).context("cannot run chrt (package util-linux)"))?;
            if !done.status.is_some_and(|status| status.success()) {
                let why = done.stderr.trim();
                return Err(Fail::failed(anyhow::anyhow!("chrt --idle for {}: {why}", thread.name)));
            }
        }
        Ok(())
    }

    /// Its threads now.
    #[must_use]
    pub fn threads(&self) -> Vec<Thread> {
        let folder = format!("/proc/{}/task", self.pid());
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut threads: Vec<Thread> = entries
            .filter_map(|entry| {
                let name = fs::read_to_string(entry.path().join("comm")).ok()?;
                let id = entry.file_name().to_str()?.parse().ok()?;
                Some(Thread { id, name: name.trim_end().to_owned() })
            })
            .collect();
        threads.sort_by_key(|thread| thread.id);
        threads
    }

    /// Processor time that its threads have used, in nanoseconds.
    #[must_use]
    pub fn cpu_ns(&self) -> Option<u64> {
        let of = |thread: Thread| -> Option<u64> {
            let path = format!("/proc/{}/task/{}/schedstat", self.pid(), thread.id);
            fs::read_to_string(path).ok()?.split(' ').next()?.parse().ok()
        };
        let times: Vec<u64> = self.threads().into_iter().filter_map(of).collect();
        (!times.is_empty()).then(|| times.iter().sum())
    }

    /// Lets the threads whose names begin with `name` run on these processors alone. There must be one.
    pub fn pin(&self, name: &str, cpus: &[usize]) -> Result<(), Fail> {
        let mut set = CpuSet::new();
        cpus.iter().for_each(|&cpu| set.set(cpu));
        for thread in self.called(name)? {
            let id = i32::try_from(thread.id).ok().and_then(Pid::from_raw);
            match sched_setaffinity(id, &set) {
                // It ended since it was listed.
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(e) => {
                    let what =
                        format!("cannot bind {} of {} to processors {cpus:?}", thread.name, self.name());
                    return Err(Fail::failed(std::io::Error::from(e)).context(what));
                }
            }
        }
        Ok(())
    }

    fn called(&self, name: &str) -> Result<Vec<Thread>, Fail> {
        let threads: Vec<Thread> = self.threads().into_iter().filter(|t| t.name.starts_with(name)).collect();
        match threads.is_empty() {
            true => Err(self.failure(&format!("has no thread called {name}"))),
            false => Ok(threads),
        }
    }
}
