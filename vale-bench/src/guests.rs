//! Starts guests: which QEMU, which accelerator, and what they boot: a kernel with an image that has this very program
//! as its init, or a disk of their own ([`mod@image`]).
//!
//! Deliberately absent: what dataplane their ports are on.

pub mod image;
mod ssh;

use crate::cli::{AccelChoice, GuestArgs, GuestMemory};
use crate::doctor::{GuestFacts, KernelFound};
use crate::exit::{Exit, Fail, FailContext};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::result::{self, Accelerator, Manifest, Warning};
use crate::rundir::RunDir;
use crate::station::{BootWait, Machine, Ram};
use crate::units::parse_cpus;
use guest::client::Client;
use guest::wire;
use image::{DiskImage, Way};
use pktgen::ports::dpdk;
use qemu_ptnet::{
    Accel, Device, From, Image, ImageBuilder, Kernel, KvmVerdict, Launch, MacAddr, Module, ModuleTree, Net,
    NicModel, QUICK_BOOT, Qemu, SeedDisk, SharedRam, Vm, VmSpec, kvm_usable, slowness,
};
use ssh::Ssh;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// RAM of a guest in MiB, the same for every dataplane: kernel and image take about 100, a port with the largest rings
/// 18, DPDK's libraries 100 twice while they are unpacked, and its huge pages 64.
const MEMORY_MIB: u32 = 448;
/// RAM of one that boots a whole system.
const SYSTEM_MEMORY_MIB: u32 = 1024;
/// DPDK's drivers that a guest needs, and what leaves devices to them.
const DPDK_DRIVERS: [&str; 4] = ["net_virtio", "bus_pci", "bus_vdev", "mempool_ring"];
const DPDK_MODULE: &str = "uio_pci_generic";
/// The folder of an image that every loader searches.
const LIBRARIES: &str = "/lib/x86_64-linux-gnu";
/// How long QEMU may take from its start to the handshake.
const START_DEADLINE: Duration = Duration::from_secs(10);
/// How long guests may take to boot: so much, and so much more for each that boots beside it.
const BOOT_DEADLINE: Duration = Duration::from_secs(45);
const BOOT_DEADLINE_EACH: Duration = Duration::from_secs(15);
/// Whole systems get so many times that.
const SYSTEM_BOOTS_LONGER: u32 = 4;
/// How long the KVM probe's guest of a few instructions may run.
const KVM_DEADLINE: Duration = Duration::from_millis(1500);
/// A guest to be.
#[derive(Debug, Clone)]
pub struct GuestPlan {
    /// Its name.
    pub name: String,
    /// How each of its ports is plugged.
    pub ports: Vec<Plug>,
}

/// How a port gets into a guest.
#[derive(Debug, Clone)]
pub enum Plug {
    /// In the guest's RAM, with a doorbell.
    Doorbell,
    /// As a network interface.
    Interface(Net),
    /// As a network device for DPDK in the guest ([`wire::Driver::Dpdk`]), which brings DPDK into its image.
    Dpdk(Net),
}

impl GuestPlan {
    fn has_dpdk(&self) -> bool {
        self.ports.iter().any(|plug| matches!(plug, Plug::Dpdk(_)))
    }

    /// Addresses of its interfaces.
    fn macs(&self) -> impl Iterator<Item = MacAddr> {
        self.ports.iter().filter_map(|plug| match plug {
            Plug::Interface(net) | Plug::Dpdk(net) => Some(net.mac),
            Plug::Doorbell => None,
        })
    }
}

/// What the agent needs of the kernel; what is built in is left out.
pub(crate) const MODULES: [&str; 2] = ["virtio_pci", "virtio_console"];

/// What guests boot.
#[derive(Debug)]
enum Boots {
    Kernel(Kernel),
    Disk(DiskImage, Option<Ssh>),
}

/// The same, made for guests that start now.
enum Made<'a> {
    Kernel(&'a Kernel, Image),
    Disk(&'a DiskImage, SeedDisk),
}

/// A host that can run guests.
#[derive(Debug)]
pub struct GuestHost {
    qemu: Qemu,
    boots: Boots,
    accel: Accel,
    /// Why KVM was not taken although it was looked for.
    kvm_refused: Option<String>,
    keep_console: Option<PathBuf>,
    boot_timeout: Option<Duration>,
    memory: GuestMemory,
    numa_node: Option<u32>,
    cpus: u16,
    /// Of each guest, unless by what it boots.
    ram_mib: Option<u32>,
}

impl GuestHost {
    /// Finds all that guests need. What is missing makes this host one that cannot run them.
    pub fn find(args: &GuestArgs, progress: &Progress) -> Result<GuestHost, Fail> {
        let qemu = Qemu::find(args.qemu.as_deref()).or_exit(Exit::Host)?;
        let boots = match &args.guest_image {
            Some(path) => Boots::Disk(DiskImage::open(path)?, Ssh::from_args(args)?),
            None => Boots::Kernel(Kernel::find(args.kernel.as_deref()).or_exit(Exit::Host)?),
        };
        let (accel, kvm_refused) = choose_accelerator(args.accel, &qemu, progress)?;
        if let Some(folder) = &args.keep_console {
            let made = fs::create_dir_all(folder);
            made.context_with(|| format!("cannot make {}", folder.display())).or_exit(Exit::Usage)?;
        }
        Ok(GuestHost {
            qemu,
            boots,
            accel,
            kvm_refused,
            keep_console: args.keep_console.clone(),
            boot_timeout: args.boot_timeout,
            memory: args.guest_memory.clone(),
            numa_node: numa_node(args.guest_numa_node)?,
            cpus: args.guest_cpus,
            ram_mib: args.guest_ram,
        })
    }

    /// What runs the guests' instructions.
    #[must_use]
    pub fn accelerator(&self) -> Accelerator {
        match self.accel {
            Accel::Kvm => Accelerator::Kvm,
            Accel::Tcg { .. } => Accelerator::Tcg,
        }
    }

    /// That KVM was wanted and does not work.
    #[must_use]
    pub fn kvm_warning(&self) -> Option<Warning> {
        self.kvm_refused.clone().map(|reason| Warning::KvmUnusable { reason })
    }

    /// Writes down what guests run on.
    pub fn describe(&self, manifest: &mut Manifest) {
        manifest.accelerator = self.accelerator();
        manifest.qemu = Some(result::Qemu {
            path: self.qemu.path.display().to_string(),
            version: self.qemu.version.text.clone(),
        });
        (manifest.guest_kernel, manifest.guest_image) = match &self.boots {
            Boots::Kernel(kernel) => {
                let path = kernel.image.display().to_string();
                (Some(result::GuestKernel { path, release: Some(kernel.release.clone()) }), None)
            }
            Boots::Disk(DiskImage { path, format }, _) => {
                let path = path.display().to_string();
                (None, Some(result::GuestImage { path, format: format.name().into() }))
            }
        };
        manifest.guest_memory = Some(match self.numa_node {
            Some(node) => format!("{}, NUMA node {node}", self.memory),
            None => self.memory.to_string(),
        });
        manifest.guest_cpus = Some(self.cpus);
        manifest.guest_ram_mib = Some(self.ram_mib());
    }

    /// Memory of each guest.
    fn ram_mib(&self) -> u32 {
        let usual = if matches!(self.boots, Boots::Disk(..)) { SYSTEM_MEMORY_MIB } else { MEMORY_MIB };
        self.ram_mib.unwrap_or(usual)
    }

    /// What dataplanes ask about it.
    #[must_use]
    pub fn facts(&self) -> GuestFacts {
        let refused = || self.kvm_refused.clone().unwrap_or_else(|| "KVM was not asked for".into());
        let kvm = if self.accel == Accel::Kvm { Ok(()) } else { Err(refused()) };
        let kernel = match &self.boots {
            Boots::Kernel(kernel) => {
                KernelFound { path: kernel.image.clone(), release: kernel.release.clone() }
            }
            Boots::Disk(disk, _) => KernelFound { path: disk.path.clone(), release: "of its own".into() },
        };
        GuestFacts::of(&self.qemu, kernel, kvm)
    }

    /// Boots guests side by side, which load `modules` beside those of the agent. `cpus` are the processors of their
    /// virtual processors, in order; none beyond the end.
    pub fn boot(
        &self,
        guests: &[GuestPlan],
        modules: &[Module],
        cpus: &[usize],
        run_dir: &RunDir,
        interrupt: &Interrupt,
        progress: &Progress,
    ) -> Result<Vec<Machine>, Fail> {
        let deadline = (BOOT_DEADLINE + BOOT_DEADLINE_EACH * guests.len() as u32) * slowness().min(3);
        let system = self.system();
        let deadline = if system.is_some() { deadline * SYSTEM_BOOTS_LONGER } else { deadline };
        let deadline = self.boot_timeout.unwrap_or(deadline);
        let made = self.make(guests, modules)?;
        let mut started = Vec::new();
        for (index, plan) in guests.iter().enumerate() {
            interrupt.check()?;
            started.push(self.start(plan, &made, cpus.get(index).copied(), run_dir)?);
        }
        let mut machines = Vec::new();
        for starting in started {
            let Starting { name, vm, client, ram, doorbells } = starting;
            if let Boots::Disk(_, Some(ssh)) = &self.boots {
                let guest = ssh::Guest { name: &name, vm: &vm, run_dir };
                let port = ssh.start_agent(&guest, Instant::now() + deadline, interrupt)?;
                progress.println(&format!("{name} is reached by {}", ssh.by_hand(port)));
            }
            let wait = BootWait { deadline, system, go_on: &mut || interrupt.signal().is_none() };
            let booted = Machine::await_boot(&name, vm, client, ram, doorbells, wait);
            // A wait that was cut short by Ctrl-C is no fault of the guest's.
            interrupt.check()?;
            machines.push(booted?);
        }
        Ok(machines)
    }

    /// Who starts the agent, where guests boot a whole system.
    fn system(&self) -> Option<Way> {
        match &self.boots {
            Boots::Kernel(_) => None,
            Boots::Disk(_, ssh) => Some(way(ssh)),
        }
    }

    /// What `guests` boot from.
    fn make(&self, guests: &[GuestPlan], modules: &[Module]) -> Result<Made<'_>, Fail> {
        let program = std::env::current_exe().context_with(|| "cannot find this program's own file")?;
        match &self.boots {
            Boots::Kernel(kernel) => {
                let image = image(program, kernel, modules, guests.iter().any(GuestPlan::has_dpdk))?;
                Ok(Made::Kernel(kernel, image))
            }
            // Its system has drivers of its own.
            Boots::Disk(..) if modules.iter().any(|module| matches!(module.from, From::File(_))) => {
                Err(Fail::usage(
                    "a guest of --guest-image loads its own kernel's drivers, and netmap's is not among them: \
                     ptnet ports are for guests without --guest-image",
                ))
            }
            Boots::Disk(disk, ssh) => {
                let macs: Vec<MacAddr> = guests.iter().flat_map(GuestPlan::macs).collect();
                Ok(Made::Disk(disk, image::seed(&program, &macs, way(ssh))?))
            }
        }
    }

    /// Memory of a guest, where the command line wants it.
    fn ram(&self, mib: u32) -> Result<SharedRam, Fail> {
        let cannot = || format!("no {mib} MiB of {}", self.memory);
        let ram = match &self.memory {
            GuestMemory::Memfd => SharedRam::new(mib).context_with(cannot),
            GuestMemory::Hugetlb => {
                let pages = crate::machine::host().memory.hugepages;
                let free = pages.iter().find(|pages| pages.size_kib == 2048).map_or(0, |pages| pages.free);
                if free * 2 < u64::from(mib) {
                    return Err(Fail::host(format!(
                        "a guest needs {} huge pages of 2 MiB, and {free} are free: raise vm.nr_hugepages",
                        mib.div_ceil(2)
                    )));
                }
                SharedRam::huge(mib).context_with(cannot)
            }
            GuestMemory::HugetlbIn(folder) => {
                SharedRam::in_folder(mib, folder).context_with(cannot).or_exit(Exit::Host)
            }
        };
        Ok(ram?.on_node(self.numa_node))
    }

    fn start(
        &self,
        plan: &GuestPlan,
        made: &Made<'_>,
        cpu: Option<usize>,
        run_dir: &RunDir,
    ) -> Result<Starting, Fail> {
        let name = plan.name.as_str();
        let cannot = || format!("cannot start {name}");
        let mut launch = Launch::new(VmSpec::new(name, &self.qemu.path, self.accel));
        let ptnet = |plug: &Plug| matches!(plug, Plug::Interface(Net { model: NicModel::Ptnet, .. }));
        if plan.ports.iter().any(ptnet) {
            // The board that the fork's users run; ptnet is a conventional PCI device.
            launch.spec.machine = qemu_ptnet::Machine::Pc;
        }
        let machine = launch.spec.machine;
        launch.spec.smp = self.cpus;
        let ram = self.ram(self.ram_mib()).context_with(cannot)?;
        launch.shared_ram(&ram).context_with(cannot)?;
        match made {
            Made::Kernel(kernel, image) => {
                // Who keeps the console wants to see something on it.
                let words = QUICK_BOOT.iter().filter(|word| self.keep_console.is_none() || **word != "quiet");
                let words: Vec<&str> = words.copied().collect();
                launch.boot(kernel.image.clone(), image, &words).context_with(cannot)?;
            }
            Made::Disk(disk, seed) => {
                if self.system() == Some(Way::Ssh) {
                    launch.spec.devices.push(Ssh::interface());
                }
                disk.plug(&mut launch, seed).context_with(cannot)?;
            }
        }
        let client = Client::new(launch.channel(wire::CONTROL_CHANNEL).context_with(cannot)?);
        let mut doorbells = Vec::new();
        for (port, plug) in plan.ports.iter().enumerate() {
            match plug {
                Plug::Doorbell => {
                    doorbells.push(launch.channel(wire::doorbell_channel(port)).context_with(cannot)?.into());
                }
                Plug::Interface(net) | Plug::Dpdk(net) => launch.spec.devices.push(Device::Net(net.clone())),
            }
        }
        launch.console_log = self.keep_console.as_ref().map(|folder| folder.join(format!("{name}.log")));
        let vm = Vm::start(launch, START_DEADLINE * slowness()).or_exit(Exit::Failed)?;
        run_dir.record_child(vm.pid())?;
        if let Some(cpu) = cpu {
            vm.pin(0, &[cpu]).context_with(cannot)?;
        }
        Ok(Starting { name: name.to_owned(), vm, client, ram: Ram::new(ram, machine), doorbells })
    }
}

/// Who starts the agent in guests that are entered so, or not at all.
fn way(ssh: &Option<Ssh>) -> Way {
    if ssh.is_some() { Way::Ssh } else { Way::CloudInit }
}

/// A NUMA node of this host that has memory.
fn numa_node(node: Option<u32>) -> Result<Option<u32>, Fail> {
    let Some(number) = node else { return Ok(None) };
    // Its list of nodes with memory is written as lists of processors are.
    let with_memory = fs::read_to_string("/sys/devices/system/node/has_memory")
        .map_err(|e| Fail::host(format!("this host's kernel tells of no NUMA nodes: {e}")))?;
    let nodes = parse_cpus(with_memory.trim()).map_err(Fail::host)?;
    match nodes.contains(&number) {
        true => Ok(node),
        false => {
            let sentence =
                format!("there is no NUMA node {number} with memory here; there is {}", with_memory.trim());
            Err(Fail::usage(sentence))
        }
    }
}

struct Starting {
    name: String,
    vm: Vm,
    client: Client,
    ram: Ram,
    doorbells: Vec<rustix::fd::OwnedFd>,
}

/// What runs a machine's instructions, and why it is not KVM where KVM was looked for and does not work.
pub fn choose_accelerator(
    choice: AccelChoice,
    qemu: &Qemu,
    progress: &Progress,
) -> Result<(Accel, Option<String>), Fail> {
    if choice == AccelChoice::Tcg {
        return Ok((Accel::TCG, None));
    }
    progress.stage("trying KVM");
    match (kvm_usable(&qemu.path, KVM_DEADLINE).or_exit(Exit::Host)?, choice) {
        (KvmVerdict::Usable, _) => Ok((Accel::Kvm, None)),
        (KvmVerdict::Unusable(reason), AccelChoice::Kvm) => {
            Err(Fail::host(format!("KVM does not work here: {reason}")))
        }
        (KvmVerdict::Unusable(reason), _) => Ok((Accel::TCG, Some(reason))),
    }
}

/// `program`, which is this one, as init, the libraries it loads, the modules its agent needs, and `more`; with what
/// DPDK needs in a guest, if it is to be there.
pub fn image(program: PathBuf, kernel: &Kernel, more: &[Module], dpdk: bool) -> Result<Image, Fail> {
    let tree = ModuleTree::open(kernel).or_exit(Exit::Host)?;
    let mut wanted: Vec<Module> =
        MODULES.map(Module::named).into_iter().chain(more.iter().cloned()).collect();
    if dpdk {
        wanted.push(Module::named(DPDK_MODULE));
    }
    let modules = tree.resolve(&wanted).or_exit(Exit::Host)?;
    let mut builder = ImageBuilder::new();
    builder.init(program)?.modules(modules)?;
    if dpdk {
        let plugins = dpdk::plugins(&DPDK_DRIVERS).or_exit(Exit::Host)?;
        for (driver, file) in DPDK_DRIVERS.iter().zip(&plugins.files) {
            // One file, which drivers find as the library of another and EAL as a plugin: loaded from two, a driver
            // would register twice. EAL looks at names that end in `.so`.
            let library = Path::new(LIBRARIES).join(file.file_name().unwrap_or_default());
            let plugin = plugins.folder.join(format!("librte_{driver}.so"));
            builder.program(&library, file)?.symlink(plugin, library)?;
        }
    }
    builder.build().context_with(|| "cannot make the guests' image")
}
