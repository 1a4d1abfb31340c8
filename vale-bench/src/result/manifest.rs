//! The circumstances of a run: everything one needs to judge a number, or to measure it again.
//!
//! A fact that could not be found out is null, never a guess.

use std::collections::BTreeMap;

use netmap_rs::kernel::LoadedModule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Accelerator;

/// The program that measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// Version of vale-bench.
    pub version: String,
    /// Commit it was built from; null when it was not built in a git checkout.
    pub git_revision: Option<String>,
    /// Whether its sources differed from that commit.
    pub git_dirty: Option<bool>,
    /// Whether the compiler optimised it (a release build).
    pub optimised: bool,
}

/// The processors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cpu {
    /// Model name, as the processor gives it.
    pub model: Option<String>,
    /// Machine architecture, as in `x86_64`.
    pub architecture: String,
    /// Processors online.
    pub online_cpus: u32,
    /// Processors this process may use, from its affinity mask.
    pub usable_cpus: u32,
    /// Frequency governor of the processors; several are joined by commas.
    pub governor: Option<String>,
    /// Processors kept from the scheduler (`isolcpus`), as a list.
    pub isolated_cpus: Option<String>,
    /// Processors without a timer tick (`nohz_full`), as a list.
    pub nohz_full_cpus: Option<String>,
    /// Whether sibling threads share cores.
    pub smt_active: Option<bool>,
}

/// One size of hugepages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hugepages {
    /// Size of one page.
    pub size_kib: u64,
    /// Pages reserved.
    pub total: u64,
    /// Pages not in use.
    pub free: u64,
}

/// The memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Memory {
    /// Usable by the kernel.
    pub total_bytes: u64,
    /// Reserved hugepages, by size.
    pub hugepages: Vec<Hugepages>,
    /// Policy for transparent hugepages: `always`, `madvise` or `never`.
    pub transparent_hugepages: Option<String>,
    /// The same for shared memory (memfd, /dev/shm), which guest RAM is.
    pub transparent_hugepages_shmem: Option<String>,
}

/// The netmap kernel module, where it is loaded.
///
/// Null is what the kernel does not tell: netmap gives its module no version, so mostly the build is what tells one
/// from another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetmapModule {
    /// Its version or source checksum, as the kernel gives it.
    pub version: Option<String>,
    /// The build it is of, in hex, as in `readelf -n netmap.ko`.
    #[serde(default)]
    pub build_id: Option<String>,
    /// Its parameters, `ptnet_vnet_hdr` among them.
    pub parameters: BTreeMap<String, String>,
}

impl NetmapModule {
    /// What tells it from another, for people.
    pub fn name(&self) -> String {
        match (&self.version, &self.build_id) {
            (Some(version), Some(build)) => format!("version {version}, build {build}"),
            (Some(version), None) => format!("version {version}"),
            (None, Some(build)) => format!("build {build}"),
            (None, None) => "version unknown".into(),
        }
    }

    /// Its parameters as `insmod` takes them, without those that tell what it has taken so far; `None` if it has none.
    pub fn settings(&self) -> Option<String> {
        let set = self.parameters.iter().filter(|(name, _)| !name.contains("_curr_"));
        let set: Vec<_> = set.map(|(name, value)| format!("{name}={value}")).collect();
        (!set.is_empty()).then(|| set.join(" "))
    }
}

impl From<LoadedModule> for NetmapModule {
    fn from(LoadedModule { version, build_id, parameters }: LoadedModule) -> NetmapModule {
        NetmapModule { version, build_id, parameters: parameters.into() }
    }
}

/// The machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// Kernel release, as in `6.1.0-18-amd64`.
    pub kernel_release: String,
    /// Kernel build, as in `#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1`.
    pub kernel_version: String,
    /// Kernel command line, which has its mitigations and isolation.
    pub kernel_command_line: Option<String>,
    /// Distribution, as in `Debian GNU/Linux 12 (bookworm)`.
    pub distribution: Option<String>,
    /// Processors.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// The hypervisor this machine runs under, as in `kvm`; null for a real machine.
    pub hypervisor: Option<String>,
    /// The netmap module; null where it is not loaded.
    pub netmap: Option<NetmapModule>,
}

/// The QEMU that ran the guests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Qemu {
    /// Where it is.
    pub path: String,
    /// Version, as it gives it.
    pub version: String,
}

/// The kernel that the guests booted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuestKernel {
    /// Where its image is.
    pub path: String,
    /// Its release, as the guest gave it.
    pub release: Option<String>,
}

/// The disk image that guests booted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuestImage {
    /// Where it is.
    pub path: String,
    /// `qcow2` or `raw`.
    pub format: String,
}

/// What runs in a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuestSystem {
    /// The distribution, as in `Debian GNU/Linux 12 (bookworm)`.
    pub distribution: String,
    /// Its kernel's release.
    pub kernel_release: String,
}

/// One guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Vm {
    /// Its name.
    pub name: String,
    /// The dataplane for which it was started.
    pub dataplane: String,
    /// The whole QEMU command line, the program first.
    pub argv: Vec<String>,
    /// What it said of itself; null for one that has nothing but the agent.
    #[serde(default)]
    pub system: Option<GuestSystem>,
    /// Its netmap module; null for one that drives its ports otherwise.
    #[serde(default)]
    pub netmap: Option<NetmapModule>,
    /// Who runs it, as its processor tells (CPUID leaf 0x40000000): `TCGTCGTCGTCG`, `KVMKVMKVM`; null where it does not.
    #[serde(default)]
    pub hypervisor: Option<String>,
}

/// A thread and the processors it was bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pin {
    /// What the thread does, as in `switch` or `vm1 vcpu0`.
    pub thread: String,
    /// Processors it may run on.
    pub cpus: Vec<u32>,
}

/// The circumstances of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// The program.
    pub tool: Tool,
    /// The command line, the program first.
    pub command_line: Vec<String>,
    /// When the run began, in RFC 3339 and UTC.
    pub started_at: String,
    /// The machine.
    pub host: Host,
    /// What ran the guests.
    pub accelerator: Accelerator,
    /// QEMU; null without guests.
    pub qemu: Option<Qemu>,
    /// The guests' kernel; null without guests, and where they boot an image of their own.
    pub guest_kernel: Option<GuestKernel>,
    /// The image that the guests booted; null where they booted a kernel with nothing but the agent.
    #[serde(default)]
    pub guest_image: Option<GuestImage>,
    /// Where the guests' memory lies: `memfd`, `hugetlb` or `hugetlb:FOLDER`; null without guests.
    #[serde(default)]
    pub guest_memory: Option<String>,
    /// Virtual processors of each guest; null without guests.
    #[serde(default)]
    pub guest_cpus: Option<u16>,
    /// Memory of each guest, in MiB; null without guests.
    #[serde(default)]
    pub guest_ram_mib: Option<u32>,
    /// The guests.
    pub vms: Vec<Vm>,
    /// Threads that were bound to processors; empty when none was.
    pub pinning: Vec<Pin>,
}
