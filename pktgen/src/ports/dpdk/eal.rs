//! The one environment (EAL) of the process: brought up by the first port, on a thread of its own that also plugs
//! devices in and out, so that whatever EAL does to its thread (it pins it) happens to no other, and each such step
//! has a deadline although some of DPDK's block for as long as they please.

use super::library::Library;
use super::{DpdkError, Pages, Plugins, log};
use std::fs;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long EAL may take: most of it goes into loading a hundred drivers and clearing huge pages.
const INIT_DEADLINE: Duration = Duration::from_secs(30);
/// How often whoever waits for EAL is asked whether to go on.
const LOOK: Duration = Duration::from_millis(50);
/// Memory taken at once in huge pages, in MiB, where there is as much: more is taken as ports need it, but a device
/// whose other end is a switch must then tell it so, which interrupts its traffic.
const MEMORY_MIB: u64 = 256;
/// Below this, huge pages hold no port.
const LEAST_MIB: u64 = 24;

type Job = Box<dyn FnOnce() + Send>;

/// EAL, up.
pub(super) struct Eal {
    pub(super) library: &'static Library,
    pub(super) pages: Pages,
    jobs: mpsc::Sender<Job>,
}

enum State {
    Down,
    Up(&'static Eal),
    /// It cannot be tried twice in a process.
    Failed(String),
}

static STATE: Mutex<State> = Mutex::new(State::Down);
static LIBRARY: Mutex<Option<&'static Library>> = Mutex::new(None);

/// DPDK's functions, without EAL.
fn library() -> Result<&'static Library, DpdkError> {
    let mut slot = LIBRARY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(library) = *slot {
        return Ok(library);
    }
    let library: &'static Library = Box::leak(Box::new(Library::load().map_err(DpdkError::Libraries)?));
    *slot = Some(library);
    Ok(library)
}

/// The version of DPDK's libraries on this host, as in `DPDK 22.11.11`.
pub fn version() -> Result<String, DpdkError> {
    Ok(library()?.version())
}

/// Where the drivers called `names` (`net_virtio`, `bus_pci`) lie on this host.
pub fn plugins(names: &[&str]) -> Result<Plugins, DpdkError> {
    let folder = std::path::PathBuf::from(library()?.plugin_folder());
    let listed = fs::read_dir(&folder).map_err(|e| DpdkError::Libraries(Box::new(e)))?;
    let all: Vec<_> = listed.flatten().map(|entry| entry.path()).collect();
    let file = |name: &&str| {
        // `librte_net_virtio.so.23`, not the link without a number, nor the file with two.
        let stem = format!("librte_{name}.so.");
        let number = |path: &Path| {
            let name = path.file_name()?.to_str()?;
            name.strip_prefix(&stem)?.parse::<u32>().ok()
        };
        let found = all.iter().filter(|path| number(path).is_some()).max_by_key(|path| number(path));
        let missing = || format!("driver {name} is not in {}", folder.display());
        found.cloned().ok_or_else(|| DpdkError::Libraries(missing().into()))
    };
    let files = names.iter().map(file).collect::<Result<_, _>>()?;
    Ok(Plugins { folder, files })
}

/// Free huge pages of all sizes, in MiB.
pub(super) fn free_huge_mib() -> u64 {
    let Ok(sizes) = fs::read_dir("/sys/kernel/mm/hugepages") else { return 0 };
    let mib = |entry: fs::DirEntry| {
        let kib: u64 =
            entry.file_name().to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let free: u64 = fs::read_to_string(entry.path().join("free_hugepages")).ok()?.trim().parse().ok()?;
        Some(free * kib / 1024)
    };
    sizes.flatten().filter_map(mib).sum()
}

/// EAL, brought up if it is not.
pub(super) fn eal() -> Result<&'static Eal, DpdkError> {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    match &*state {
        State::Up(eal) => return Ok(eal),
        State::Failed(reason) => {
            return Err(DpdkError::Init { reason: reason.clone(), log: Default::default() });
        }
        State::Down => {}
    }
    let library = library()?;
    let (jobs, queue) = mpsc::channel::<Job>();
    let serve = move || {
        block_signals();
        queue.into_iter().for_each(|job| job());
    };
    let thread = std::thread::Builder::new().name("dpdk".into()).spawn(serve);
    thread.map_err(|e| DpdkError::Libraries(Box::new(e)))?;
    let (arguments, pages) = arguments(free_huge_mib());
    let eal = Eal { library, pages, jobs };
    let start = log::mark();
    let done =
        eal.run("initialise itself", INIT_DEADLINE, &mut || true, move |library| library.init(&arguments));
    let failure = match done {
        Ok(Ok(())) => {
            let eal = Box::leak(Box::new(eal));
            *state = State::Up(eal);
            return Ok(eal);
        }
        Ok(Err(errno)) => DpdkError::Init { reason: errno.to_string(), log: log::since(start) },
        Err(late) => late,
    };
    *state = State::Failed(failure.to_string());
    Err(failure)
}

/// EAL's arguments with so much memory free in huge pages.
fn arguments(free_mib: u64) -> (Vec<String>, Pages) {
    // EAL's threads stay off no processor, and the one it wants to pin may run where this process may.
    let cpus: Vec<String> = rustix::thread::sched_getaffinity(None)
        .map(|set| (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect::<Vec<_>>())
        .unwrap_or_else(|_| vec![0])
        .iter()
        .map(ToString::to_string)
        .collect();
    let lcores = format!("--lcores=0@({})", cpus.join(","));
    // No PCI device is taken but those that are asked for later: none has this address.
    let prefix = format!("--file-prefix=vale-bench-{}", std::process::id());
    let log = "--log-level=pmd.net.virtio.init:debug";
    let words = ["vale-bench", &lcores, "--no-telemetry", &prefix, log, "-a", "0000:00:00.0"];
    let mut words: Vec<String> = words.map(str::to_owned).into();
    if free_mib >= LEAST_MIB {
        let memory = free_mib.min(MEMORY_MIB).to_string();
        // One file for all of it: a vhost-user back end maps eight regions at most.
        words.extend(["--in-memory", "--single-file-segments", "-m", &memory].map(str::to_owned));
        (words, Pages::Huge)
    } else {
        words.extend(["--no-huge", "--no-shconf", "-m", &MEMORY_MIB.to_string()].map(str::to_owned));
        (words, Pages::Small)
    }
}

impl Eal {
    /// Has EAL's thread do something within a limit, for as long as `keep_waiting` says so. What comes too late is
    /// done all the same, and thrown away.
    pub(super) fn run<T: Send + 'static>(
        &self,
        what: &str,
        limit: Duration,
        keep_waiting: &mut dyn FnMut() -> bool,
        job: impl FnOnce(&'static Library) -> T + Send + 'static,
    ) -> Result<T, DpdkError> {
        let library = self.library;
        let start = log::mark();
        let (answer, answered) = mpsc::sync_channel(1);
        // The other side may have given up.
        let job: Job = Box::new(move || drop(answer.send(job(library))));
        let late = || DpdkError::Late {
            what: what.to_owned(),
            seconds: limit.as_secs_f64(),
            log: log::since(start),
        };
        if self.jobs.send(job).is_err() {
            return Err(late());
        }
        let end = Instant::now() + limit;
        loop {
            match answered.recv_timeout(LOOK) {
                Ok(done) => return Ok(done),
                Err(RecvTimeoutError::Disconnected) => return Err(late()),
                Err(RecvTimeoutError::Timeout) if Instant::now() >= end => return Err(late()),
                Err(RecvTimeoutError::Timeout) if keep_waiting() => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(DpdkError::Interrupted { what: what.to_owned() });
                }
            }
        }
    }
}

/// Signals are for the threads that wait for them; EAL's threads, which inherit this, are none of those.
#[allow(unsafe_code)]
fn block_signals() {
    // SAFETY: a set that is filled before it is used, of the calling thread alone.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut set);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_from_huge_pages_if_there_are_enough() {
        let has = |words: &[String], word: &str| words.iter().any(|w| w == word);
        let (words, pages) = arguments(64);
        assert_eq!(pages, Pages::Huge);
        assert!(has(&words, "--in-memory") && has(&words, "64") && !has(&words, "--no-huge"), "{words:?}");
        let (words, _) = arguments(100_000);
        assert!(has(&words, "256"), "{words:?}");
        let (words, pages) = arguments(2);
        assert_eq!(pages, Pages::Small);
        assert!(has(&words, "--no-huge") && !has(&words, "--in-memory"), "{words:?}");
        assert!(words[1].starts_with("--lcores=0@(") && words[1].ends_with(')'), "{words:?}");
    }

    #[test]
    fn drivers_are_found_where_dpdk_takes_them_from() {
        let plugins = plugins(&["net_virtio", "bus_vdev"]).unwrap();
        assert!(plugins.files.iter().all(|file| file.starts_with(&plugins.folder) && file.exists()));
        let error = super::plugins(&["net_nosuch"]).unwrap_err();
        assert!(matches!(error, DpdkError::Libraries(_)), "{error}");
        assert!(version().unwrap().starts_with("DPDK "));
    }
}
