//! What threads of this host use while frames move: processor time and switches of context, as /proc tells, and how
//! often guests left the processor, as the kernel's KVM tells where its debugfs can be read.
//!
//! Deliberately absent: what is inside a guest. Its virtual processors are threads of this host.

use crate::dataplane::Lab;
use crate::result::{Cost, GuestExits, ThreadCost, ThreadKind};
use std::fs;
use std::path::Path;
use std::time::Instant;

/// Where KVM keeps a folder for each guest, named after its process and a descriptor.
const KVM: &str = "/sys/kernel/debug/kvm";

/// One thread, or several that are put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    name: String,
    kind: ThreadKind,
    process: u32,
    which: Which,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Which {
    /// This one.
    One(u32),
    /// All of the process but these.
    AllBut(Vec<u32>),
}

impl Thread {
    /// Thread `id` of this process.
    #[must_use]
    pub fn own(name: &str, kind: ThreadKind, id: u32) -> Thread {
        Thread { name: name.to_owned(), kind, process: std::process::id(), which: Which::One(id) }
    }

    /// All threads of another process.
    #[must_use]
    pub fn of_process(name: &str, kind: ThreadKind, process: u32) -> Thread {
        Thread { name: name.to_owned(), kind, process, which: Which::AllBut(Vec::new()) }
    }

    /// The threads of a guest: each virtual processor, whose host threads are `vcpus`, and everything else.
    #[must_use]
    pub fn of_guest(name: &str, process: u32, vcpus: &[u32]) -> Vec<Thread> {
        let vcpu = |(i, &id): (usize, &u32)| Thread {
            name: format!("{name} vcpu{i}"),
            kind: ThreadKind::Vcpu,
            process,
            which: Which::One(id),
        };
        let rest = Thread {
            name: format!("{name} qemu"),
            kind: ThreadKind::Vmm,
            process,
            which: Which::AllBut(vcpus.to_vec()),
        };
        vcpus.iter().enumerate().map(vcpu).chain([rest]).collect()
    }

    /// What it has used so far.
    fn usage(&self) -> Usage {
        let tasks = format!("/proc/{}/task", self.process);
        match &self.which {
            Which::One(id) => read(&Path::new(&tasks).join(id.to_string())).unwrap_or_default(),
            Which::AllBut(others) => {
                let entries = fs::read_dir(&tasks).into_iter().flatten().flatten();
                let ids =
                    entries.filter_map(|entry| entry.file_name().into_string().ok()?.parse::<u32>().ok());
                let ids = ids.filter(|id| !others.contains(id));
                let usages = ids.filter_map(|id| read(&Path::new(&tasks).join(id.to_string())));
                usages.fold(Usage::default(), Usage::and)
            }
        }
    }
}

/// What threads have used since they began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Usage {
    threads: u32,
    cpu_ns: u64,
    system_ns: u64,
    voluntary: u64,
    involuntary: u64,
}

impl Usage {
    fn and(self, other: Usage) -> Usage {
        Usage {
            threads: self.threads + other.threads,
            cpu_ns: self.cpu_ns + other.cpu_ns,
            system_ns: self.system_ns + other.system_ns,
            voluntary: self.voluntary + other.voluntary,
            involuntary: self.involuntary + other.involuntary,
        }
    }
}

/// Reads a folder of `/proc/PID/task`; `None` once the thread is gone.
fn read(task: &Path) -> Option<Usage> {
    let text = |name: &str| fs::read_to_string(task.join(name)).ok();
    let ns_per_tick = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    let (user, system) = ticks(&text("stat")?)?;
    // The scheduler's own account is exact; a kernel built without it has ticks alone.
    let exact = text("schedstat").and_then(|text| text.split(' ').next()?.parse().ok());
    let (voluntary, involuntary) = switches(&text("status")?);
    Some(Usage {
        threads: 1,
        cpu_ns: exact.unwrap_or((user + system) * ns_per_tick),
        system_ns: system * ns_per_tick,
        voluntary,
        involuntary,
    })
}

/// `utime` and `stime` of `/proc/PID/stat`, proc(5)'s fields 14 and 15. The second field is a name in parentheses, with
/// whatever in it.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Voluntary and involuntary switches of context of `/proc/PID/status`.
fn switches(status: &str) -> (u64, u64) {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    };
    (field("voluntary_ctxt_switches"), field("nonvoluntary_ctxt_switches"))
}

/// Exits of the guest that `process` runs, if the kernel tells.
fn exits(folder: &Path, process: u32) -> Option<u64> {
    let own = format!("{process}-");
    let entries = fs::read_dir(folder).ok()?.flatten();
    let of_guest = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&own));
    of_guest
        .filter_map(|entry| fs::read_to_string(entry.path().join("exits")).ok()?.trim().parse().ok())
        .next()
}

/// Everything that works for a lab, to be read twice.
pub struct Meter {
    threads: Vec<Thread>,
    guests: Vec<(String, u32)>,
    began: Option<(Instant, Vec<Usage>, Vec<Option<u64>>)>,
}

impl Meter {
    /// Of the switch and of every station of `lab`, whose engines have to be running.
    #[must_use]
    pub fn of(lab: &Lab) -> Meter {
        let stations = || lab.stations.iter();
        let threads =
            lab.switch.threads().into_iter().chain(stations().flat_map(|station| station.threads()));
        let guests =
            stations().filter_map(|station| Some((station.name().to_owned(), station.guest_process()?)));
        Meter { threads: threads.collect(), guests: guests.collect(), began: None }
    }

    /// The measured part begins.
    pub fn begin(&mut self) {
        let (usages, exits) = self.read();
        self.began = Some((Instant::now(), usages, exits));
    }

    /// It is over, and `frames` were received in it. `None` if it never began.
    #[must_use]
    pub fn end(&self, frames: u64) -> Option<Cost> {
        let (began, usages, exits) = self.began.as_ref()?;
        let elapsed_ns = began.elapsed().as_nanos() as u64;
        let (usages_now, exits_now) = self.read();
        let threads = self.threads.iter().zip(usages.iter().zip(&usages_now)).map(|(thread, (then, now))| {
            // A thread that ended meanwhile took its account with it: never less than nothing.
            let used = |field: fn(&Usage) -> u64| field(now).saturating_sub(field(then));
            ThreadCost {
                thread: thread.name.clone(),
                kind: thread.kind,
                threads: now.threads.max(then.threads),
                cpu_ns: used(|usage| usage.cpu_ns),
                system_ns: used(|usage| usage.system_ns),
                voluntary_switches: used(|usage| usage.voluntary),
                involuntary_switches: used(|usage| usage.involuntary),
            }
        });
        let guests = self.guests.iter().zip(exits.iter().zip(&exits_now)).map(|((vm, _), (then, now))| {
            let exits = then.zip(*now).map(|(then, now)| now.saturating_sub(then));
            GuestExits { vm: vm.clone(), exits }
        });
        Some(Cost::new(elapsed_ns, frames, threads.collect(), guests.collect()))
    }

    fn read(&self) -> (Vec<Usage>, Vec<Option<u64>>) {
        let exits = self.guests.iter().map(|(_, process)| exits(Path::new(KVM), *process));
        (self.threads.iter().map(Thread::usage).collect(), exits.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_kernels_lines_are_read_whatever_a_thread_is_called() {
        let stat = "123 (a) b) (c) R 1 2 3 4 5 6 7 8 9 10 1234 56 7 8 20 0 1 0 99";
        assert_eq!(ticks(stat), Some((1234, 56)));
        assert_eq!(ticks("123 (x) R 1"), None);
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t15\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(switches(status), (15, 7));
        assert_eq!(switches(""), (0, 0));
    }

    #[test]
    fn exits_are_those_of_the_guests_own_process() {
        let folder = tempfile::tempdir().unwrap();
        for (name, exits) in [("12-9", "5\n"), ("1234-9", "77\n"), ("234-3", "x")] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("exits"), exits).unwrap();
        }
        assert_eq!((exits(folder.path(), 1234), exits(folder.path(), 12)), (Some(77), Some(5)));
        assert_eq!((exits(folder.path(), 234), exits(folder.path(), 34)), (None, None));
        assert_eq!(exits(&folder.path().join("none"), 12), None);
    }

    #[test]
    fn a_thread_that_works_and_one_that_sleeps_are_told_apart() {
        let (send, stop) = std::sync::mpsc::channel::<()>();
        let (id_send, id) = std::sync::mpsc::channel();
        let gettid = || rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
        let sleeper = std::thread::spawn(move || {
            id_send.send(gettid()).unwrap();
            let _ = stop.recv();
        });
        let threads = vec![
            Thread::own("busy", ThreadKind::Engine, gettid()),
            Thread::own("idle", ThreadKind::Vcpu, id.recv().unwrap()),
            Thread::of_process("all", ThreadKind::Vmm, std::process::id()),
        ];
        let mut meter = Meter { threads, guests: vec![("vm1".into(), u32::MAX)], began: None };
        assert_eq!(meter.end(1), None);
        meter.begin();
        // Until so much processor time was used, however long that takes here.
        let mut spent = 0;
        while spent < 50_000_000 {
            std::hint::black_box((0..10_000).sum::<u64>());
            spent = meter.threads[0].usage().cpu_ns - meter.began.as_ref().unwrap().1[0].cpu_ns;
        }
        std::thread::sleep(Duration::from_millis(2));
        let cost = meter.end(1_000).unwrap();
        drop(send);
        sleeper.join().unwrap();
        let [busy, idle, all] = cost.threads.as_slice() else { panic!("{cost:?}") };
        assert!(busy.cpu_ns >= 50_000_000 && idle.cpu_ns < 5_000_000, "{cost:?}");
        // It is read after the thread at the beginning, when the thread goes on.
        let nearly = all.cpu_ns + 10_000_000 >= busy.cpu_ns;
        assert!(busy.voluntary_switches >= 1 && nearly && all.threads >= 2, "{cost:?}");
        assert!(cost.elapsed_ns >= 50_000_000 && cost.cpu_ns_per_frame >= 50_000.0, "{cost:?}");
        assert_eq!(cost.guests, [GuestExits { vm: "vm1".into(), exits: None }]);
    }
}
