//! Command lines as they are, one option a line.

use super::*;
use crate::disk::DiskFormat;
use crate::spec::{InheritedFd, MacAddr, Memory, QUICK_BOOT, SpecError};

fn lines(spec: &VmSpec) -> String {
    let mut text = String::new();
    for word in argv(spec) {
        let word = word.into_string().expect("these are ASCII");
        let option = word.starts_with('-') && word.len() > 1;
        text.push_str(if text.is_empty() {
            ""
        } else if option {
            "\n"
        } else {
            " "
        });
        text.push_str(&word);
    }
    text
}

fn mac(last: u8) -> MacAddr {
    MacAddr([0, 0, 0, 0, 0, last])
}

#[test]
fn a_guest_of_the_embedded_switch() {
    let mut spec = VmSpec::new("vm0", "/usr/bin/qemu-system-x86_64", Accel::TCG);
    spec.memory = Memory {
        mib: 256,
        backing: Backing::Shared { file: FileArg::Fd(InheritedFd::nth(0)), prealloc: false, node: None },
    };
    spec.boot = Boot::Kernel {
        image: "/boot/vmlinuz".into(),
        initrd: Some(FileArg::Fd(InheritedFd::nth(1))),
        append: QUICK_BOOT.iter().map(|&word| word.to_owned()).collect(),
    };
    spec.console = Some(InheritedFd::nth(2));
    spec.qmp = Some(InheritedFd::nth(3));
    for (name, fd) in [("control", 4), ("kick", 5)] {
        spec.devices.push(Device::Channel { name: name.into(), chardev: Chardev::Fd(InheritedFd::nth(fd)) });
    }
    insta::assert_snapshot!(lines(&spec), @"
    /usr/bin/qemu-system-x86_64
    -name vm0
    -nodefaults
    -no-user-config
    -no-reboot
    -display none
    -machine q35
    -accel tcg,thread=multi
    -cpu max
    -smp 1,sockets=1,cores=1,threads=1
    -m 256M
    -object memory-backend-file,id=ram,size=256M,mem-path=/proc/self/fd/10,share=on
    -numa node,memdev=ram
    -kernel /boot/vmlinuz
    -initrd /proc/self/fd/11
    -append console=ttyS0 quiet panic=-1 cryptomgr.notests tsc=reliable no_timer_check nokaslr mitigations=off
    -chardev socket,id=console,fd=12
    -serial chardev:console
    -chardev socket,id=qmp,fd=13
    -mon chardev=qmp,mode=control
    -device virtio-serial-pci,id=channels,max_ports=3
    -chardev socket,id=channel0,fd=14
    -device virtserialport,bus=channels.0,nr=1,chardev=channel0,name=control
    -chardev socket,id=channel1,fd=15
    -device virtserialport,bus=channels.0,nr=2,chardev=channel1,name=kick
    ");
}

#[test]
fn a_guest_with_a_disk_of_its_own() {
    let mut spec = VmSpec::new("vm1", "qemu-system-x86_64", Accel::TCG);
    let disk = |file, format, access| Device::Disk(Disk { file, format, access });
    spec.devices = vec![
        disk("/images/a, b.qcow2".into(), DiskFormat::Qcow2, DiskAccess::Scratch),
        disk(FileArg::Fd(InheritedFd::nth(0)), DiskFormat::Raw, DiskAccess::ReadOnly),
    ];
    let text = lines(&spec);
    let text = text.split_once("-machine ").expect("there is a board").1;
    insta::assert_snapshot!(text, @"
    q35,graphics=off
    -accel tcg,thread=multi
    -cpu max
    -smp 1,sockets=1,cores=1,threads=1
    -m 256M
    -drive if=none,id=disk0,format=qcow2,file=/images/a,, b.qcow2,snapshot=on
    -device virtio-blk-pci,drive=disk0,bootindex=0
    -drive if=none,id=disk1,format=raw,file=/proc/self/fd/10,readonly=on
    -device virtio-blk-pci,drive=disk1
    ");
}

#[test]
fn a_ptnet_guest_on_the_fork() {
    let mut spec = VmSpec::new("vm1", "/opt/qemu-3.0.95/bin/qemu-system-x86_64", Accel::Kvm);
    spec.smp = 2;
    spec.boot = Boot::Kernel { image: "k".into(), initrd: Some("i".into()), append: vec!["quiet".into()] };
    spec.devices.push(Device::Net(Net {
        mac: mac(1),
        netdev: Netdev::Netmap {
            ifname: "vale0:1".into(),
            passthrough: true,
            klooptx: Some(true),
            klooprx: Some(false),
        },
        model: NicModel::Ptnet,
    }));
    assert_eq!(spec.check(), Ok(()));
    insta::assert_snapshot!(lines(&spec), @"
    /opt/qemu-3.0.95/bin/qemu-system-x86_64
    -name vm1
    -nodefaults
    -no-user-config
    -no-reboot
    -display none
    -machine q35
    -accel kvm
    -cpu host
    -smp 2,sockets=1,cores=2,threads=1
    -m 256M
    -kernel k
    -initrd i
    -append quiet
    -netdev netmap,ifname=vale0:1,id=net0,passthrough=on,klooptx=on,klooprx=off
    -device ptnet-pci,netdev=net0,mac=00:00:00:00:00:01
    ");
}

/// The shape of the published set-up: hugepages, two vhost-user interfaces without mergeable buffers, a user-mode
/// interface with a forwarded ssh port, a disk.
#[test]
fn a_vhost_user_guest_as_published() {
    let mut spec = VmSpec::new("vnf", "qemu-system-x86_64", Accel::Kvm);
    spec.smp = 4;
    spec.memory = Memory {
        mib: 4096,
        backing: Backing::Shared { file: "/dev/hugepages".into(), prealloc: true, node: Some(1) },
    };
    for nic in 1..=2 {
        spec.devices.push(Device::Net(Net {
            mac: mac(nic),
            netdev: Netdev::VhostUser {
                path: format!("/run/switch/vhost-user-{nic}").into(),
                server: nic == 2,
            },
            model: NicModel::Virtio(VirtioNet { mrg_rxbuf: Some(false), ..VirtioNet::default() }),
        }));
    }
    spec.devices.push(Device::Net(Net {
        mac: mac(3),
        netdev: Netdev::User { hostfwd: vec!["tcp::10020-:22".into()], restrict: true },
        model: NicModel::E1000,
    }));
    spec.extra = vec!["-drive".into(), "file=centos.qcow2".into()];
    assert_eq!(spec.check(), Ok(()));
    insta::assert_snapshot!(lines(&spec), @"
    qemu-system-x86_64
    -name vnf
    -nodefaults
    -no-user-config
    -no-reboot
    -display none
    -machine q35,graphics=off
    -accel kvm
    -cpu host
    -smp 4,sockets=1,cores=4,threads=1
    -m 4096M
    -object memory-backend-file,id=ram,size=4096M,mem-path=/dev/hugepages,share=on,prealloc=on,host-nodes=1,policy=bind
    -numa node,memdev=ram
    -chardev socket,id=vhost0,path=/run/switch/vhost-user-1
    -netdev vhost-user,id=net0,chardev=vhost0
    -device virtio-net-pci,netdev=net0,mac=00:00:00:00:00:01,mrg_rxbuf=off,romfile=
    -chardev socket,id=vhost1,path=/run/switch/vhost-user-2,server=on,wait=off
    -netdev vhost-user,id=net1,chardev=vhost1
    -device virtio-net-pci,netdev=net1,mac=00:00:00:00:00:02,mrg_rxbuf=off,romfile=
    -netdev user,id=net2,restrict=on,hostfwd=tcp::10020-:22
    -device e1000,netdev=net2,mac=00:00:00:00:00:03,romfile=
    -drive file=centos.qcow2
    ");
}

#[test]
fn every_virtio_option_and_the_other_back_ends() {
    let mut spec = VmSpec::new("a,b", "qemu", Accel::Tcg { multi_thread: false });
    spec.machine = Machine::Pc;
    spec.boot = Boot::Firmware(FileArg::Fd(InheritedFd::nth(0)));
    spec.devices = vec![
        Device::Net(Net {
            mac: mac(1),
            netdev: Netdev::Tap { ifname: "tap,0".into(), vhost: true },
            model: NicModel::Virtio(VirtioNet {
                packed: Some(true),
                mrg_rxbuf: Some(true),
                queue_pairs: Some(2),
                rx_queue_size: Some(1024),
                tx_queue_size: Some(512),
                vectors: None,
            }),
        }),
        Device::Net(Net {
            mac: mac(2),
            netdev: Netdev::Netmap {
                ifname: "vale1:x".into(),
                passthrough: false,
                klooptx: None,
                klooprx: None,
            },
            model: NicModel::Virtio(VirtioNet {
                queue_pairs: Some(1),
                vectors: Some(0),
                ..VirtioNet::default()
            }),
        }),
        Device::Other("isa-debug-exit,iobase=0xf4,iosize=4".into()),
    ];
    assert_eq!(spec.check(), Ok(()));
    insta::assert_snapshot!(lines(&spec), @"
    qemu
    -name a,,b
    -nodefaults
    -no-user-config
    -no-reboot
    -display none
    -machine pc
    -accel tcg,thread=single
    -cpu max
    -smp 1,sockets=1,cores=1,threads=1
    -m 256M
    -bios /proc/self/fd/10
    -netdev tap,id=net0,ifname=tap,,0,script=no,downscript=no,vhost=on,queues=2
    -device virtio-net-pci,netdev=net0,mac=00:00:00:00:00:01,packed=on,mrg_rxbuf=on,mq=on,rx_queue_size=1024,tx_queue_size=512,vectors=6,romfile=
    -netdev netmap,ifname=vale1:x,id=net1
    -device virtio-net-pci,netdev=net1,mac=00:00:00:00:00:02,vectors=0,romfile=
    -device isa-debug-exit,iobase=0xf4,iosize=4
    ");
}

#[test]
fn contradictions_are_named() {
    let nic = |netdev, model| {
        let mut spec = VmSpec::new("v", "q", Accel::TCG);
        spec.devices.push(Device::Net(Net { mac: mac(2), netdev, model }));
        spec.check().unwrap_err()
    };
    let netmap =
        |passthrough| Netdev::Netmap { ifname: "vale0:1".into(), passthrough, klooptx: None, klooprx: None };
    let virtio = || NicModel::Virtio(VirtioNet::default());
    let vhost = Netdev::VhostUser { path: "s".into(), server: false };
    assert_eq!(nic(vhost, virtio()), SpecError::VhostUserNeedsSharedRam { mac: mac(2) });
    insta::assert_snapshot!(nic(netmap(false), NicModel::Ptnet), @"interface 00:00:00:00:00:02: ptnet-pci needs a netmap backend with passthrough");
    insta::assert_snapshot!(nic(netmap(true), virtio()), @"interface 00:00:00:00:00:02: netmap passthrough needs a ptnet-pci device");
    let mut spec = VmSpec::new("v", "q", Accel::TCG);
    spec.smp = 0;
    assert_eq!(spec.check(), Err(SpecError::NoCpu { name: "v".into() }));
    spec.smp = 1;
    spec.memory.mib = 0;
    assert_eq!(spec.check(), Err(SpecError::NoMemory { name: "v".into() }));
}

#[test]
fn addresses_read_back() {
    let address = MacAddr([2, 0xab, 0, 1, 2, 0xff]);
    assert_eq!(address.to_string().parse(), Ok(address));
    for bad in [
        "",
        "02:00:00:00:00",
        "02:00:00:00:00:00:00",
        "2:0:0:0:0:0",
        "02:00:00:00:00:0g",
        "02-00-00-00-00-00",
    ] {
        assert_eq!(bad.parse::<MacAddr>(), Err(SpecError::BadMac { text: bad.into() }));
    }
    let mut spec = VmSpec::new("v", "q", Accel::TCG);
    let net = Net {
        mac: MacAddr([3, 0, 0, 0, 0, 0]),
        netdev: Netdev::User { hostfwd: vec![], restrict: false },
        model: NicModel::E1000,
    };
    spec.devices.push(Device::Net(net));
    assert_eq!(spec.check(), Err(SpecError::GroupMac { mac: MacAddr([3, 0, 0, 0, 0, 0]) }));
}

#[test]
fn a_shell_reads_the_same_words_back() {
    let words = ["plain-word", "", "two words", "it's", "$HOME", "a,b=c", "*", "\"q\"", "back\\slash"];
    let script = format!("printf '%s\\n' {}", shell_quote(&words));
    let output = std::process::Command::new("sh").arg("-c").arg(script).output().expect("there is a shell");
    let back: Vec<_> = std::str::from_utf8(&output.stdout).unwrap().split_terminator('\n').collect();
    assert_eq!(back, words);
}
