//! A virtual machine as data.
//!
//! [`VmSpec`] says what the guest is; it holds no descriptor, no process and no default taken from the machine it
//! is made on, so that two equal specs give two equal command lines ([`crate::argv()`]). [`Launch`] adds what a
//! description cannot hold: the descriptors that QEMU shall inherit.

use crate::disk::Disk;
use crate::initramfs::Image;
use crate::memory::SharedRam;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;

/// Kernel parameters for a guest that is measured, not trusted with secrets.
///
/// A 6.1 cloud kernel under TCG spends its 1.8 s of boot almost entirely in translating code it runs once, so
/// few parameters help. `cryptomgr.notests` does (0.3 s); `tsc=reliable no_timer_check` spare the calibration and
/// keep the TSC as the clock that user space can read without a system call; `nokaslr` and `mitigations=off`
/// make runs alike. `panic=-1` makes a panic a reset, which [`argv`](crate::argv()) makes the end of the process.
pub const QUICK_BOOT: &[&str] = &[
    "console=ttyS0",
    "quiet",
    "panic=-1",
    "cryptomgr.notests",
    "tsc=reliable",
    "no_timer_check",
    "nokaslr",
    "mitigations=off",
];

/// A guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmSpec {
    /// QEMU's `-name`, and what errors call the guest.
    pub name: String,
    /// The QEMU binary.
    pub qemu: PathBuf,
    /// The board.
    pub machine: Machine,
    /// What executes the guest's instructions.
    pub accel: Accel,
    /// QEMU's `-cpu`.
    pub cpu: String,
    /// Number of vCPUs, all cores of one socket.
    pub smp: u16,
    /// RAM.
    pub memory: Memory,
    /// What it boots.
    pub boot: Boot,
    /// Devices, in the order in which they are plugged.
    pub devices: Vec<Device>,
    /// QMP's end of a socket pair; [`crate::process::Vm::start`] fills it in.
    pub qmp: Option<InheritedFd>,
    /// The serial console's end of a socket pair; [`crate::process::Vm::start`] fills it in.
    pub console: Option<InheritedFd>,
    /// Further arguments, passed on as they are.
    pub extra: Vec<String>,
}

impl VmSpec {
    /// A q35 guest with one vCPU of the fullest model and 256 MiB of private memory that boots nothing yet.
    #[must_use]
    pub fn new(name: impl Into<String>, qemu: impl Into<PathBuf>, accel: Accel) -> Self {
        // Under KVM `max` and `host` are the same model; only `host` is known to every version.
        let cpu = if accel == Accel::Kvm { "host" } else { "max" };
        Self {
            name: name.into(),
            qemu: qemu.into(),
            machine: Machine::Q35,
            accel,
            cpu: cpu.to_owned(),
            smp: 1,
            memory: Memory { mib: 256, backing: Backing::Private },
            boot: Boot::Devices,
            devices: Vec::new(),
            qmp: None,
            console: None,
            extra: Vec::new(),
        }
    }

    /// Whether one of its interfaces is a ptnet device.
    #[must_use]
    pub fn has_ptnet(&self) -> bool {
        let ptnet = |device: &Device| matches!(device, Device::Net(Net { model: NicModel::Ptnet, .. }));
        self.devices.iter().any(ptnet)
    }

    /// What is contradictory in the description, before QEMU finds it out in its own words.
    pub fn check(&self) -> Result<(), SpecError> {
        if self.smp == 0 {
            return Err(SpecError::NoCpu { name: self.name.clone() });
        }
        if self.memory.mib == 0 {
            return Err(SpecError::NoMemory { name: self.name.clone() });
        }
        for net in self.devices.iter().filter_map(Device::net) {
            net.check(&self.memory)?;
        }
        Ok(())
    }
}

/// The board QEMU emulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// PCI Express, `q35`.
    Q35,
    /// The older board, `pc` (i440FX).
    Pc,
}

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// The kernel's KVM.
    Kvm,
    /// QEMU's translator.
    Tcg {
        /// A host thread for each vCPU.
        multi_thread: bool,
    },
}

impl Accel {
    /// TCG with a host thread for each vCPU.
    pub const TCG: Self = Self::Tcg { multi_thread: true };
}

/// A guest's RAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Size in MiB.
    pub mib: u32,
    /// Where it lives.
    pub backing: Backing,
}

/// Where a guest's RAM lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    /// QEMU's own anonymous memory, which nobody else sees.
    Private,
    /// A file mapping that others may map too, as vhost-user and guest ports need it: an inherited memory file
    /// ([`SharedRam`]), a file, or a hugetlbfs directory, in which QEMU makes a nameless file.
    Shared {
        /// The file or directory.
        file: FileArg,
        /// Touch every page before the guest starts.
        prealloc: bool,
        /// The host's NUMA node that its pages are taken from; else wherever who touches them runs.
        node: Option<u32>,
    },
}

/// What a guest boots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boot {
    /// A Linux kernel.
    Kernel {
        /// The bzImage.
        image: FileArg,
        /// The initramfs.
        initrd: Option<FileArg>,
        /// Kernel parameters, joined by spaces.
        append: Vec<String>,
    },
    /// A firmware image in place of QEMU's own.
    Firmware(FileArg),
    /// QEMU's own firmware boots what is on the devices.
    Devices,
}

/// A file on QEMU's command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileArg {
    /// By name.
    Path(PathBuf),
    /// By inherited descriptor, as `/proc/self/fd/N`.
    Fd(InheritedFd),
}

impl<P: Into<PathBuf>> From<P> for FileArg {
    fn from(path: P) -> Self {
        Self::Path(path.into())
    }
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// A virtio-serial port, which the guest finds by its name in `/sys/class/virtio-ports`.
    Channel {
        /// The port's name.
        name: String,
        /// Its other end.
        chardev: Chardev,
    },
    /// A network interface.
    Net(Net),
    /// A virtio disk.
    Disk(Disk),
    /// Any other `-device` argument, passed on as it is.
    Other(String),
}

impl Device {
    fn net(&self) -> Option<&Net> {
        if let Self::Net(net) = self { Some(net) } else { None }
    }
}

/// The host's end of a character device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chardev {
    /// A connected stream socket that QEMU inherits.
    Fd(InheritedFd),
    /// A Unix socket with a name.
    Socket {
        /// Its name.
        path: PathBuf,
        /// QEMU listens (without waiting for a peer to start the guest); otherwise it connects.
        server: bool,
    },
}

/// A network interface: a device in the guest and what is behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Net {
    /// The guest interface's address.
    pub mac: MacAddr,
    /// What carries its packets on the host.
    pub netdev: Netdev,
    /// What the guest sees.
    pub model: NicModel,
}

impl Net {
    fn check(&self, memory: &Memory) -> Result<(), SpecError> {
        let mac = self.mac;
        if mac.0[0] & 1 != 0 {
            return Err(SpecError::GroupMac { mac });
        }
        if matches!(self.netdev, Netdev::VhostUser { .. }) {
            if !matches!(memory.backing, Backing::Shared { .. }) {
                return Err(SpecError::VhostUserNeedsSharedRam { mac });
            }
            if !matches!(self.model, NicModel::Virtio(_)) {
                return Err(SpecError::ModelNeeds { mac, model: "vhost-user", needs: "a virtio-net device" });
            }
        }
        let passthrough = matches!(self.netdev, Netdev::Netmap { passthrough: true, .. });
        match (&self.model, passthrough) {
            (NicModel::Ptnet, false) => Err(SpecError::ModelNeeds {
                mac,
                model: "ptnet-pci",
                needs: "a netmap backend with passthrough",
            }),
            (NicModel::Virtio(_) | NicModel::E1000, true) => {
                Err(SpecError::ModelNeeds { mac, model: "netmap passthrough", needs: "a ptnet-pci device" })
            }
            _ => Ok(()),
        }
    }
}

/// What carries an interface's packets on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Netdev {
    /// A vhost-user back end. Its socket needs a name: QEMU passes the guest's memory over it, and refuses to over
    /// a socket it inherited.
    VhostUser {
        /// The socket's name.
        path: PathBuf,
        /// QEMU listens, the switch connects; QEMU then answers on its control socket only once the switch has,
        /// so [`crate::process::Vm::start`] waits for it too. Otherwise the switch must be listening already.
        server: bool,
    },
    /// A tap interface that exists, or that QEMU makes.
    Tap {
        /// Its name.
        ifname: String,
        /// The kernel's vhost-net moves the packets.
        vhost: bool,
    },
    /// A netmap port. QEMU needs netmap support: the ptnet fork, or a mainline build with netmap for
    /// `passthrough: false`.
    Netmap {
        /// The port, such as `vale0:1`.
        ifname: String,
        /// Hand the port's memory to the guest (ptnet).
        passthrough: bool,
        /// Whether a host thread polls the TX ring (ptnet). `None`: QEMU's default.
        klooptx: Option<bool>,
        /// Whether a host thread polls the RX ring (ptnet). `None`: QEMU's default.
        klooprx: Option<bool>,
    },
    /// QEMU's user-mode network.
    User {
        /// Forwarded host ports, in QEMU's form: `tcp::10020-:22`.
        hostfwd: Vec<String>,
        /// The guest reaches nothing by it; only what is forwarded reaches the guest.
        restrict: bool,
    },
}

/// The network device that a guest sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NicModel {
    /// virtio-net-pci.
    Virtio(VirtioNet),
    /// ptnet-pci, for a netmap port with passthrough.
    Ptnet,
    /// e1000.
    E1000,
}

/// Options of a virtio-net device; `None` leaves QEMU's default, which differs between its versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VirtioNet {
    /// Packed rings (QEMU 4.2 and later).
    pub packed: Option<bool>,
    /// Mergeable receive buffers.
    pub mrg_rxbuf: Option<bool>,
    /// Queue pairs; more than one asks for multiqueue on both ends.
    pub queue_pairs: Option<u16>,
    /// Descriptors of a receive queue.
    pub rx_queue_size: Option<u16>,
    /// Descriptors of a transmit queue.
    pub tx_queue_size: Option<u16>,
    /// MSI-X vectors; 0 turns MSI-X off.
    pub vectors: Option<u16>,
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddr {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let bad = || SpecError::BadMac { text: text.to_owned() };
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(bad)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() { Err(bad()) } else { Ok(Self(octets)) }
    }
}

/// A descriptor that QEMU inherits, named by its place in a [`Launch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InheritedFd(u16);

impl InheritedFd {
    /// Below are standard input, output and error, and what QEMU opens before it looks at its arguments.
    const FIRST: i32 = 10;

    /// The `index`th descriptor of a launch.
    #[must_use]
    pub fn nth(index: u16) -> Self {
        Self(index)
    }

    /// Its number in QEMU.
    #[must_use]
    pub fn number(self) -> i32 {
        Self::FIRST + i32::from(self.0)
    }
}

/// A guest about to start: its description and the descriptors that go with it.
#[derive(Debug)]
pub struct Launch {
    /// The description.
    pub spec: VmSpec,
    /// Where to keep the whole console log, besides its tail in memory.
    pub console_log: Option<PathBuf>,
    fds: Vec<OwnedFd>,
}

impl Launch {
    /// A launch that hands over no descriptor yet.
    #[must_use]
    pub fn new(spec: VmSpec) -> Self {
        Self { spec, console_log: None, fds: Vec::new() }
    }

    /// Hands `fd` to QEMU.
    pub fn inherit(&mut self, fd: OwnedFd) -> InheritedFd {
        let index = u16::try_from(self.fds.len()).expect("a guest has fewer than 65536 descriptors");
        self.fds.push(fd);
        InheritedFd(index)
    }

    /// A new stream socket pair: our end, and QEMU's.
    pub fn socket_pair(&mut self) -> io::Result<(UnixStream, InheritedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((ours, self.inherit(theirs.into())))
    }

    /// Plugs a virtio-serial port called `name`, and returns its host end.
    pub fn channel(&mut self, name: impl Into<String>) -> io::Result<UnixStream> {
        let (ours, theirs) = self.socket_pair()?;
        self.spec.devices.push(Device::Channel { name: name.into(), chardev: Chardev::Fd(theirs) });
        Ok(ours)
    }

    /// Gives the guest `ram` as its whole memory.
    pub fn shared_ram(&mut self, ram: &SharedRam) -> io::Result<()> {
        let fd = self.inherit(ram.as_fd().try_clone_to_owned()?);
        let backing = Backing::Shared { file: FileArg::Fd(fd), prealloc: false, node: ram.node() };
        self.spec.memory = Memory { mib: ram.mib(), backing };
        Ok(())
    }

    /// Boots `kernel` with `image` as its initramfs and `append` as its parameters.
    pub fn boot(&mut self, kernel: impl Into<FileArg>, image: &Image, append: &[&str]) -> io::Result<()> {
        let fd = self.inherit(image.as_fd().try_clone_to_owned()?);
        self.spec.boot = Boot::Kernel {
            image: kernel.into(),
            initrd: Some(FileArg::Fd(fd)),
            append: append.iter().map(|&word| word.to_owned()).collect(),
        };
        Ok(())
    }

    /// The descriptors with their numbers in QEMU.
    pub(crate) fn take_fds(&mut self) -> Vec<(OwnedFd, i32)> {
        let numbered = |(index, fd)| {
            let index = u16::try_from(index).expect("inherit() counted them");
            (fd, InheritedFd(index).number())
        };
        std::mem::take(&mut self.fds).into_iter().enumerate().map(numbered).collect()
    }
}

/// What is wrong with a description.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// No vCPU.
    #[error("guest {name} has no vCPU; it needs at least one")]
    NoCpu {
        /// The guest.
        name: String,
    },
    /// No RAM.
    #[error("guest {name} has no memory")]
    NoMemory {
        /// The guest.
        name: String,
    },
    /// A multicast address for an interface.
    #[error("{mac} is a group address, which no interface can have; clear the lowest bit of its first byte")]
    GroupMac {
        /// The address.
        mac: MacAddr,
    },
    /// Not an address at all.
    #[error(
        "'{text}' is not an Ethernet address: six bytes in hexadecimal with colons, such as 02:00:00:00:00:01"
    )]
    BadMac {
        /// What was given.
        text: String,
    },
    /// vhost-user with private memory.
    #[error("interface {mac} is on vhost-user, which needs the guest's memory to be shared")]
    VhostUserNeedsSharedRam {
        /// The interface.
        mac: MacAddr,
    },
    /// A device and a back end that do not go together.
    #[error("interface {mac}: {model} needs {needs}")]
    ModelNeeds {
        /// The interface.
        mac: MacAddr,
        /// The half that was given.
        model: &'static str,
        /// The half that it needs.
        needs: &'static str,
    },
}
