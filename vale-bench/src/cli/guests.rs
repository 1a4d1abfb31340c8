//! Options of guests.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values;
use super::vhost::{GuestDriverChoice, GuestMemory, guest_memory, guest_ram};
use crate::exit::Fail;
use crate::units::parse_positive_duration;

/// The variable that names netmap's module for guests where `--guest-module` does not.
pub const GUEST_MODULE_VAR: &str = "VALE_BENCH_GUEST_NETMAP_KO";

/// What runs the guests' instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AccelChoice {
    /// KVM if it works, else TCG with a warning
    Auto,
    /// The processor; fails where KVM does not work
    Kvm,
    /// QEMU's translator: to compare dataplanes, not to quote
    Tcg,
}

/// What joins ports of the kernel's netmap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LinkChoice {
    /// A VALE switch
    Vale,
    /// A netmap pipe for each pair of ports, for guests that trust each other
    Pipe,
}

/// What passes frames on in guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ForwarderChoice {
    /// vale-bench's own forwarder, which sends to each next hop's address
    Program,
    /// A VALE switch of the guest's kernel, which leaves addresses as they are (ptnet)
    Vale,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switched {
    /// Yes
    On,
    /// No
    Off,
}

impl From<Switched> for bool {
    fn from(switched: Switched) -> bool {
        switched == Switched::On
    }
}

/// What runs guests, and how: the same for all that one program measures.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Guests")]
pub struct GuestArgs {
    /// What runs the guests
    #[arg(long, value_enum, value_name = "ACCEL", default_value = "auto")]
    pub accel: AccelChoice,
    /// QEMU [default: the one found in PATH]
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,
    /// Guest kernel [default: the newest found]
    #[arg(long, value_name = "PATH")]
    pub kernel: Option<PathBuf>,
    /// Disk image that guests boot in place of a kernel with nothing but the agent: a distribution, as qcow2 or raw
    ///
    /// It is never written to. cloud-init in it (NoCloud) starts the agent, from a second disk that brings it along;
    /// an image without cloud-init can do that by itself (README). Its own kernel drives virtio-net.
    #[arg(long, value_name = "DISK", conflicts_with = "kernel")]
    pub guest_image: Option<PathBuf>,
    /// Start the agent in them over ssh, as this user of the image, in place of cloud-init
    ///
    /// root, or one whom sudo lets become root without a password. Each guest has one interface more, for ssh alone,
    /// on which its own system gets an address by DHCP.
    #[arg(long, value_name = "USER", requires = "guest_image", value_parser = values::ssh_user)]
    pub guest_ssh: Option<String>,
    /// Private key for it [default: those that ssh finds by itself]
    #[arg(long, value_name = "FILE", requires = "guest_ssh")]
    pub guest_ssh_key: Option<PathBuf>,
    /// Longest wait for the guests to boot [default: 45 s, and 15 s for each guest; four times that for --guest-image]
    #[arg(long, value_name = "TIME", value_parser = parse_positive_duration)]
    pub boot_timeout: Option<Duration>,
    /// netmap's module for guests, with its parameters: netmap.ko or 'netmap.ko ptnet_vnet_hdr=0'
    ///
    /// Built for the guests' kernel. Needed by --dataplane vale. It is loaded with ptnet_vnet_hdr=0, whatever the
    /// host's is. [default: VALE_BENCH_GUEST_NETMAP_KO]
    #[arg(long, value_name = "FILE")]
    pub guest_module: Option<String>,
    /// Virtual processors of each guest; the first drives its ports, and --pin pins that one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub guest_cpus: u16,
    /// Memory of each guest, as in 2G or 768M [default: 448M; 1G with --guest-image]
    #[arg(long, value_name = "SIZE", value_parser = guest_ram)]
    pub guest_ram: Option<u32>,
    /// Where guests' memory lies: memfd, hugetlb (the host's huge pages) or hugetlb:FOLDER
    #[arg(long, value_name = "WHERE", default_value = "memfd", value_parser = guest_memory)]
    pub guest_memory: GuestMemory,
    /// NUMA node of the host that guests' memory is taken from [default: that of whoever touches it first]
    #[arg(long, value_name = "NODE")]
    pub guest_numa_node: Option<u32>,
    /// Keep the guests' console output in this directory
    #[arg(long, value_name = "DIR")]
    pub keep_console: Option<PathBuf>,
}

impl GuestArgs {
    /// netmap's module for guests: that which was named, else the environment's.
    pub fn module(&self) -> Option<String> {
        let named = || std::env::var(GUEST_MODULE_VAR).ok().filter(|module| !module.is_empty());
        self.guest_module.clone().or_else(named)
    }

    /// Options of certain dataplanes that were given, as they are typed.
    pub fn given(&self) -> Vec<&'static str> {
        self.guest_module.iter().map(|_| "--guest-module").collect()
    }
}

/// Options of guests of one benchmark.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Guests")]
pub struct VmArgs {
    /// The guests themselves.
    #[command(flatten)]
    pub guests: GuestArgs,
    /// What joins the kernel's ports: a VALE switch, or a pipe for each pair, without copies
    #[arg(long, value_enum, value_name = "LINK", default_value = "vale")]
    pub link: LinkChoice,
    /// What passes frames on in the guests of a chain
    #[arg(long, value_enum, value_name = "WHAT", default_value = "program")]
    pub forwarder: ForwarderChoice,
    /// Whether a thread of the host polls the guests' transmit rings (ptnet) [default: QEMU's]
    #[arg(long, value_enum, value_name = "ON|OFF")]
    pub klooptx: Option<Switched>,
    /// Whether a thread of the host polls the guests' receive rings (ptnet) [default: QEMU's]
    #[arg(long, value_enum, value_name = "ON|OFF")]
    pub klooprx: Option<Switched>,
    /// What drives virtio-net in guests [default: dpdk on vhost-user, packet elsewhere and with --guest-image]
    #[arg(long, value_enum, value_name = "DRIVER")]
    pub guest_driver: Option<GuestDriverChoice>,
}

impl VmArgs {
    /// Checks what one option says against another.
    pub fn check(&self) -> Result<(), Fail> {
        match (&self.guests.guest_image, self.guest_driver) {
            (Some(_), Some(GuestDriverChoice::Dpdk)) => Err(Fail::usage(
                "--guest-driver dpdk needs what only our own guests bring along; those of --guest-image drive \
                 virtio-net with their own kernel (packet or xdp)",
            )),
            _ => Ok(()),
        }
    }

    /// Options of certain dataplanes that were given, as they are typed.
    pub fn given(&self) -> Vec<&'static str> {
        let pipe = (self.link == LinkChoice::Pipe).then_some("--link pipe");
        let forwarder = (self.forwarder == ForwarderChoice::Vale).then_some("--forwarder vale");
        let tx = self.klooptx.map(|_| "--klooptx");
        let rx = self.klooprx.map(|_| "--klooprx");
        let driver = self.guest_driver.map(|driver| match driver {
            GuestDriverChoice::Dpdk => "--guest-driver dpdk",
            GuestDriverChoice::Packet | GuestDriverChoice::Xdp => "--guest-driver",
        });
        [pipe, forwarder, tx, rx, driver].into_iter().flatten().collect()
    }
}
