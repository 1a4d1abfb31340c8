//! Facts about this machine, as the kernel tells them in /proc and /sys.
//!
//! Deliberately absent: judgements (doctor) and anything that takes trying out, such as whether KVM works.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use netmap_rs::kernel::{LoadedModule, MODULE};

use crate::result::{Cpu, Host, Hugepages, Memory, NetmapModule};
use crate::units::parse_cpus;

/// Everything the result document keeps about the machine.
pub fn host() -> Host {
    let mut host = Facts::new("/").host();
    host.cpu.usable_cpus = usable_cpus().len() as u32;
    host
}

/// The processors this process may use, in ascending order.
pub fn usable_cpus() -> Vec<u32> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).map(|cpu| cpu as u32).collect()
}

/// Whether this process has a capability, by its number in capability(7).
pub fn has_capability(number: u32) -> bool {
    const EFFECTIVE: &str = "CapEff:";
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| status.lines().find_map(|line| line.strip_prefix(EFFECTIVE).map(str::to_owned)))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & (1 << number) != 0)
}

/// The kernel's files below some root: `/`, or a copy of them in tests.
#[derive(Debug)]
struct Facts {
    root: PathBuf,
}

impl Facts {
    fn new(root: impl AsRef<Path>) -> Facts {
        Facts { root: root.as_ref().to_owned() }
    }

    /// The contents of a file without surrounding blanks; `None` if it is not there or empty.
    fn read(&self, path: &str) -> Option<String> {
        let bytes = fs::read(self.root.join(path)).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn host(&self) -> Host {
        Host {
            kernel_release: self.read("proc/sys/kernel/osrelease").unwrap_or_default(),
            kernel_version: self.read("proc/sys/kernel/version").unwrap_or_default(),
            kernel_command_line: self.read("proc/cmdline"),
            distribution: self.distribution(),
            cpu: self.cpu(),
            memory: self.memory(),
            hypervisor: self.hypervisor(),
            netmap: self.netmap(),
        }
    }

    fn distribution(&self) -> Option<String> {
        let release = self.read("etc/os-release").or_else(|| self.read("usr/lib/os-release"))?;
        let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
        Some(name.trim_matches('"').to_owned())
    }

    /// The first value of a field of /proc/cpuinfo.
    fn cpuinfo(&self, field: &str) -> Option<String> {
        let cpuinfo = self.read("proc/cpuinfo")?;
        cpuinfo.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == field).then(|| value.trim().to_owned())
        })
    }

    fn cpu(&self) -> Cpu {
        const CPU: &str = "sys/devices/system/cpu";
        let online = self.read(&format!("{CPU}/online")).and_then(|list| parse_cpus(&list).ok());
        let governors: BTreeSet<String> = online
            .iter()
            .flatten()
            .filter_map(|cpu| self.read(&format!("{CPU}/cpu{cpu}/cpufreq/scaling_governor")))
            .collect();
        let governors: Vec<String> = governors.into_iter().collect();
        Cpu {
            model: self.cpuinfo("model name").or_else(|| self.cpuinfo("CPU part")),
            architecture: std::env::consts::ARCH.into(),
            online_cpus: online.map_or(0, |list| list.len() as u32),
            usable_cpus: 0,
            governor: Some(governors.join(",")).filter(|governors| !governors.is_empty()),
            isolated_cpus: self.read(&format!("{CPU}/isolated")),
            // The kernel writes "(null)" for an empty list.
            nohz_full_cpus: self.read(&format!("{CPU}/nohz_full")).filter(|list| list != "(null)"),
            smt_active: self.read(&format!("{CPU}/smt/active")).map(|active| active == "1"),
        }
    }

    fn memory(&self) -> Memory {
        const HUGE: &str = "sys/kernel/mm/hugepages";
        const TRANSPARENT: &str = "sys/kernel/mm/transparent_hugepage";
        let total_kib = self
            .read("proc/meminfo")
            .and_then(|info| info.lines().find_map(|line| line.strip_prefix("MemTotal:").map(str::to_owned)))
            .and_then(|value| value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        let names = fs::read_dir(self.root.join(HUGE)).into_iter().flatten().flatten();
        let mut hugepages: Vec<Hugepages> = names
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let count = |file: &str| self.read(&format!("{HUGE}/{name}/{file}"))?.parse().ok();
                Some(Hugepages {
                    size_kib: name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?,
                    total: count("nr_hugepages")?,
                    free: count("free_hugepages")?,
                })
            })
            .collect();
        hugepages.sort_by_key(|pages| pages.size_kib);
        Memory {
            total_bytes: total_kib.unwrap_or(0) * 1024,
            hugepages,
            transparent_hugepages: self.chosen(&format!("{TRANSPARENT}/enabled")),
            transparent_hugepages_shmem: self.chosen(&format!("{TRANSPARENT}/shmem_enabled")),
        }
    }

    /// The word in brackets: `always [madvise] never`.
    fn chosen(&self, path: &str) -> Option<String> {
        let words = self.read(path)?;
        Some(words.split_once('[')?.1.split_once(']')?.0.to_owned())
    }

    /// The processor says whether there is a hypervisor; the firmware says which.
    fn hypervisor(&self) -> Option<String> {
        let flags = self.cpuinfo("flags")?;
        flags.split_whitespace().find(|flag| *flag == "hypervisor")?;
        let vendor = self.read("sys/hypervisor/type").or_else(|| self.read("sys/class/dmi/id/sys_vendor"));
        Some(vendor.unwrap_or_else(|| "unknown hypervisor".into()))
    }

    fn netmap(&self) -> Option<NetmapModule> {
        let folder = self.root.join(MODULE.trim_start_matches('/'));
        LoadedModule::read(&folder).ok().map(NetmapModule::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine made of files.
    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Facts) {
        let root = tempfile::tempdir().unwrap();
        for (path, contents) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
        let facts = Facts::new(root.path());
        (root, facts)
    }

    #[test]
    fn a_virtual_machine_with_netmap() {
        let (_root, facts) = machine(&[
            ("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n"),
            ("proc/cpuinfo", "processor\t: 0\nmodel name\t: Imaginary 9000\nflags\t\t: fpu hypervisor avx\n"),
            ("proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\n"),
            ("etc/os-release", "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            ("sys/devices/system/cpu/online", "0-3\n"),
            ("sys/devices/system/cpu/isolated", "2-3\n"),
            ("sys/devices/system/cpu/nohz_full", "(null)\n"),
            ("sys/devices/system/cpu/smt/active", "0\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
            ("sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "performance\n"),
            ("sys/class/dmi/id/sys_vendor", "QEMU\n"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "64\n"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "60\n"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
            ("sys/module/netmap/srcversion", "ABCDEF\n"),
            ("sys/module/netmap/notes/.note.gnu.build-id", "\x04\0\0\0\x02\0\0\0\x03\0\0\0GNU\0\x01z"),
            ("sys/module/netmap/parameters/ptnet_vnet_hdr", "1\n"),
            ("sys/module/netmap/parameters/buf_num", "163840\n"),
        ]);
        let host = facts.host();
        assert_eq!(host.kernel_release, "6.1.0-18-amd64");
        assert_eq!(host.distribution.as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
        assert_eq!(host.hypervisor.as_deref(), Some("QEMU"));
        assert_eq!(host.cpu.model.as_deref(), Some("Imaginary 9000"));
        assert_eq!((host.cpu.online_cpus, host.cpu.smt_active), (4, Some(false)));
        assert_eq!(host.cpu.governor.as_deref(), Some("performance,powersave"));
        assert_eq!((host.cpu.isolated_cpus.as_deref(), host.cpu.nohz_full_cpus), (Some("2-3"), None));
        assert_eq!(host.memory.total_bytes, 16 << 20);
        assert_eq!(host.memory.hugepages, [Hugepages { size_kib: 2048, total: 64, free: 60 }]);
        assert_eq!(host.memory.transparent_hugepages.as_deref(), Some("madvise"));
        let netmap = host.netmap.unwrap();
        assert_eq!(netmap.name(), "version ABCDEF, build 017a");
        assert_eq!(netmap.parameters["ptnet_vnet_hdr"], "1");
    }

    #[test]
    fn a_machine_that_tells_nothing_is_no_problem() {
        let (_root, facts) = machine(&[]);
        let host = facts.host();
        assert_eq!((host.hypervisor, host.netmap, host.distribution), (None, None, None));
        assert_eq!((host.cpu.governor, host.cpu.online_cpus), (None, 0));
    }

    #[test]
    fn this_machine_has_a_kernel_and_processors() {
        let host = host();
        assert!(!host.kernel_release.is_empty());
        assert!(host.cpu.usable_cpus >= 1 && host.cpu.usable_cpus <= host.cpu.online_cpus);
        assert!(host.memory.total_bytes > 0);
    }
}
