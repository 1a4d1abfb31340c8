//! A [`VmSpec`] as QEMU's command line.
//!
//! Pure: the same description gives the same arguments, on any machine. Only options that QEMU 3.0 (the ptnet
//! fork) and today's QEMU both know are used, unless the description asks for more.

use crate::disk::{Disk, DiskAccess};
use crate::spec::{
    Accel, Backing, Boot, Chardev, Device, FileArg, Machine, Net, Netdev, NicModel, VirtioNet, VmSpec,
};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// The command line, QEMU itself first.
///
/// Every guest gets `-nodefaults -no-user-config -display none -no-reboot`: no device that the description does
/// not name, and a reset (a panic, with [`crate::QUICK_BOOT`]) ends the process.
#[must_use]
pub fn argv(spec: &VmSpec) -> Vec<OsString> {
    let mut args = Args(vec![spec.qemu.clone().into_os_string()]);
    args.pair("-name", Opts::first(&spec.name));
    for flag in ["-nodefaults", "-no-user-config", "-no-reboot"] {
        args.flag(flag);
    }
    args.pair("-display", Opts::first("none"));
    let machine = Opts::first(match spec.machine {
        Machine::Q35 => "q35",
        Machine::Pc => "pc",
    });
    // Without a screen the firmware then tells on the serial console what it boots, or that there is nothing.
    let own_firmware = spec.boot == Boot::Devices;
    args.pair("-machine", if own_firmware { machine.key("graphics", "off") } else { machine });
    args.pair(
        "-accel",
        match spec.accel {
            Accel::Kvm => Opts::first("kvm"),
            Accel::Tcg { multi_thread } => {
                Opts::first("tcg").key("thread", if multi_thread { "multi" } else { "single" })
            }
        },
    );
    args.raw("-cpu", &spec.cpu);
    let cpus = spec.smp.to_string();
    args.pair("-smp", Opts::first(&cpus).key("sockets", "1").key("cores", &cpus).key("threads", "1"));
    memory(&mut args, spec);
    boot(&mut args, &spec.boot);
    if let Some(fd) = spec.console {
        args.pair("-chardev", chardev("console", &Chardev::Fd(fd)));
        args.raw("-serial", "chardev:console");
    }
    if let Some(fd) = spec.qmp {
        args.pair("-chardev", chardev("qmp", &Chardev::Fd(fd)));
        args.pair("-mon", Opts::first("chardev=qmp").key("mode", "control"));
    }
    devices(&mut args, &spec.devices);
    args.0.extend(spec.extra.iter().map(OsString::from));
    args.0
}

/// `argv` as one line that a shell reads back as the same words.
#[must_use]
pub fn shell_quote<S: AsRef<OsStr>>(argv: &[S]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+,./:@%^".contains(c);
    let quote = |word: &S| {
        let word = word.as_ref().to_string_lossy();
        if !word.is_empty() && word.chars().all(plain) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    argv.iter().map(quote).collect::<Vec<_>>().join(" ")
}

fn memory(args: &mut Args, spec: &VmSpec) {
    let mib = format!("{}M", spec.memory.mib);
    args.raw("-m", &mib);
    if let Backing::Shared { file, prealloc, node } = &spec.memory.backing {
        let mut object = Opts::first("memory-backend-file")
            .key("id", "ram")
            .key("size", &mib)
            .path("mem-path", file)
            .key("share", "on");
        if *prealloc {
            object = object.key("prealloc", "on");
        }
        if let Some(node) = node {
            object = object.key("host-nodes", &node.to_string()).key("policy", "bind");
        }
        args.pair("-object", object);
        // Not `-machine memory-backend=`, which QEMU 3.0 does not know.
        args.pair("-numa", Opts::first("node").key("memdev", "ram"));
    }
}

fn boot(args: &mut Args, boot: &Boot) {
    match boot {
        Boot::Kernel { image, initrd, append } => {
            args.file("-kernel", image);
            if let Some(initrd) = initrd {
                args.file("-initrd", initrd);
            }
            args.raw("-append", &append.join(" "));
        }
        Boot::Firmware(file) => args.file("-bios", file),
        Boot::Devices => {}
    }
}

fn devices(args: &mut Args, devices: &[Device]) {
    let channels = devices.iter().filter(|d| matches!(d, Device::Channel { .. })).count();
    if channels > 0 {
        // Port 0 is reserved for a console, and each port costs two queues to set up.
        let ports = (channels + 1).to_string();
        args.pair("-device", Opts::first("virtio-serial-pci").key("id", "channels").key("max_ports", &ports));
    }
    let (mut channel, mut nic, mut disks) = (0, 0, 0);
    for device in devices {
        match device {
            Device::Channel { name, chardev: other_end } => {
                let id = format!("channel{channel}");
                args.pair("-chardev", chardev(&id, other_end));
                let nr = (channel + 1).to_string();
                args.pair(
                    "-device",
                    Opts::first("virtserialport")
                        .key("bus", "channels.0")
                        .key("nr", &nr)
                        .key("chardev", &id)
                        .key("name", name),
                );
                channel += 1;
            }
            Device::Net(net) => {
                interface(args, net, nic);
                nic += 1;
            }
            Device::Disk(its) => {
                disk(args, its, disks);
                disks += 1;
            }
            Device::Other(device) => args.raw("-device", device),
        }
    }
}

fn disk(args: &mut Args, disk: &Disk, index: usize) {
    let id = format!("disk{index}");
    // The format is said, so that a guest cannot write another one's beginning into its first sector and have it
    // believed at the next start.
    let drive =
        Opts::first("if=none").key("id", &id).key("format", disk.format.name()).path("file", &disk.file);
    let device = Opts::first("virtio-blk-pci").key("drive", &id);
    let (drive, device) = match disk.access {
        DiskAccess::ReadOnly => (drive.key("readonly", "on"), device),
        DiskAccess::Scratch => (drive.key("snapshot", "on"), device.key("bootindex", "0")),
    };
    args.pair("-drive", drive);
    args.pair("-device", device);
}

fn chardev(id: &str, other_end: &Chardev) -> Opts {
    let opts = Opts::first("socket").key("id", id);
    match other_end {
        Chardev::Fd(fd) => opts.key("fd", &fd.number().to_string()),
        Chardev::Socket { path, server } => {
            let opts = opts.path("path", &FileArg::Path(path.clone()));
            if *server { opts.key("server", "on").key("wait", "off") } else { opts }
        }
    }
}

fn interface(args: &mut Args, net: &Net, index: usize) {
    let id = format!("net{index}");
    let virtio = if let NicModel::Virtio(virtio) = &net.model { Some(virtio) } else { None };
    let queues = virtio.and_then(|v| v.queue_pairs).filter(|&n| n > 1);
    let netdev = match &net.netdev {
        Netdev::VhostUser { path, server } => {
            let socket = format!("vhost{index}");
            args.pair("-chardev", chardev(&socket, &Chardev::Socket { path: path.clone(), server: *server }));
            Opts::first("vhost-user").key("id", &id).key("chardev", &socket).optional("queues", queues)
        }
        Netdev::Tap { ifname, vhost } => Opts::first("tap")
            .key("id", &id)
            .key("ifname", ifname)
            .key("script", "no")
            .key("downscript", "no")
            .key("vhost", on(*vhost))
            .optional("queues", queues),
        Netdev::Netmap { ifname, passthrough, klooptx, klooprx } => {
            let mut opts = Opts::first("netmap").key("ifname", ifname).key("id", &id);
            // A QEMU without ptnet does not know the word.
            if *passthrough {
                opts = opts.key("passthrough", "on");
            }
            opts.optional("klooptx", klooptx.map(on)).optional("klooprx", klooprx.map(on))
        }
        Netdev::User { hostfwd, restrict } => {
            let opts = Opts::first("user").key("id", &id).optional("restrict", restrict.then_some("on"));
            hostfwd.iter().fold(opts, |opts, rule| opts.key("hostfwd", rule))
        }
    };
    args.pair("-netdev", netdev);
    let model = match &net.model {
        NicModel::Virtio(_) => "virtio-net-pci",
        NicModel::Ptnet => "ptnet-pci",
        NicModel::E1000 => "e1000",
    };
    let mut device = Opts::first(model).key("netdev", &id).key("mac", &net.mac.to_string());
    if let Some(virtio) = virtio {
        device = virtio_options(device, virtio, queues);
    }
    if net.model != NicModel::Ptnet {
        // The boot ROM that QEMU would plug costs the firmware seconds of looking for a server.
        device = device.key("romfile", "");
    }
    args.pair("-device", device);
}

fn virtio_options(device: Opts, virtio: &VirtioNet, queues: Option<u16>) -> Opts {
    let VirtioNet { packed, mrg_rxbuf, queue_pairs: _, rx_queue_size, tx_queue_size, vectors } = virtio;
    // A vector per queue, one for the configuration and one for the control queue.
    let vectors = vectors.or(queues.map(|n| 2 * n + 2));
    device
        .optional("packed", packed.map(on))
        .optional("mrg_rxbuf", mrg_rxbuf.map(on))
        .optional("mq", queues.map(|_| "on"))
        .optional("rx_queue_size", *rx_queue_size)
        .optional("tx_queue_size", *tx_queue_size)
        .optional("vectors", vectors)
}

fn on(yes: bool) -> &'static str {
    if yes { "on" } else { "off" }
}

/// The growing command line.
struct Args(Vec<OsString>);

impl Args {
    fn flag(&mut self, flag: &str) {
        self.0.push(flag.into());
    }

    fn raw(&mut self, flag: &str, value: &str) {
        self.0.extend([flag.into(), value.into()]);
    }

    fn pair(&mut self, flag: &str, value: Opts) {
        self.0.extend([flag.into(), OsString::from_vec(value.0)]);
    }

    fn file(&mut self, flag: &str, file: &FileArg) {
        self.0.extend([flag.into(), file_name(file)]);
    }
}

/// A comma-separated option list; commas inside values are doubled, as QEMU wants them.
struct Opts(Vec<u8>);

impl Opts {
    fn first(value: &str) -> Self {
        let mut opts = Self(Vec::new());
        opts.value(value.as_bytes());
        opts
    }

    fn key(mut self, key: &str, value: &str) -> Self {
        self.start(key);
        self.value(value.as_bytes());
        self
    }

    fn optional(self, key: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.key(key, &value.to_string()),
            None => self,
        }
    }

    fn path(mut self, key: &str, file: &FileArg) -> Self {
        self.start(key);
        self.value(file_name(file).as_bytes());
        self
    }

    fn start(&mut self, key: &str) {
        self.0.push(b',');
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(b'=');
    }

    fn value(&mut self, value: &[u8]) {
        for &byte in value {
            self.0.push(byte);
            if byte == b',' {
                self.0.push(b',');
            }
        }
    }
}

fn file_name(file: &FileArg) -> OsString {
    match file {
        FileArg::Path(path) => path.clone().into_os_string(),
        FileArg::Fd(fd) => Path::new("/proc/self/fd").join(fd.number().to_string()).into_os_string(),
    }
}

#[cfg(test)]
mod tests;
