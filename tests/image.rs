//! Guests that boot a disk of their own: a whole system, made here of the distribution's packages, and disks that are
//! none.

mod fixture;

use fixture::{Bench, key_of, system_disk, write_qcow2};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

/// Firmware, boot loader, kernel, systemd and cloud-init, all translated, on a machine under load.
const DEADLINE: Duration = Duration::from_secs(420);

#[test]
fn a_distribution_is_the_guest_and_its_disk_stays_as_it_is() {
    let Some(disk) = system_disk() else { return };
    let Some(bench) = Bench::with_guests() else { return };
    let image = bench.path("a, b.qcow2");
    write_qcow2(&disk, &image);
    let image = image.to_str().unwrap();
    let kept = |path: &str| (fs::read(path).unwrap(), fs::metadata(&disk).unwrap().modified().unwrap());
    let before = kept(image);
    let words = ["p2v", "--accel", "tcg", "--guest-image", image, "--keep-console", "consoles"];
    let measure = ["--duration", "1s", "--warmup", "200ms", "--interval", "100ms", "--out", "r.json"];
    bench.start_command(bench.command(&[&words[..], &measure].concat())).ends_within(DEADLINE).succeeds();
    assert!(kept(image) == before, "the disk was written to");

    let kept = bench.kept("r.json");
    let trial = kept.adds_up().trial();
    // More than three times around the longest ring.
    assert!(trial.accounting.received > 3 * 4096, "{:?}", trial.accounting);
    let manifest = &kept.document.manifest;
    assert_eq!(manifest.guest_kernel, None);
    let said = manifest.guest_image.as_ref().expect("guests booted it");
    assert_eq!((said.path.as_str(), said.format.as_str()), (image, "qcow2"));
    let system = manifest.vms[0].system.as_ref().expect("it is a whole one");
    assert!(!system.distribution.is_empty() && system.kernel_release.contains('.'), "{system:?}");
    let console = fs::read_to_string(bench.path("consoles/vm1.log")).unwrap();
    assert!(console.contains("cloud-init"), "{console}");
    bench.leaves_nothing_behind();
}

#[test]
fn a_distribution_is_entered_over_ssh() {
    let Some(disk) = system_disk() else { return };
    let Some(bench) = Bench::with_guests() else { return };
    let (image, key) = (disk.to_str().unwrap(), key_of(&disk));
    let before = fs::metadata(&disk).unwrap().modified().unwrap();
    let words = [
        "p2v",
        "--accel",
        "tcg",
        "--dataplane",
        "bridge,uvale",
        "--guest-image",
        image,
        "--guest-ssh",
        "root",
    ];
    let way =
        ["--guest-ssh-key", key.to_str().unwrap(), "--guest-numa-node", "0", "--keep-console", "consoles"];
    let measure = ["--duration", "1s", "--warmup", "200ms", "--interval", "100ms", "--out", "r.json"];
    let line = [&words[..], &way, &measure].concat();
    bench
        .start_command(bench.command(&line))
        .ends_within(DEADLINE)
        .succeeds()
        .says("vm1 is reached by ssh -p ");
    assert_eq!(fs::metadata(&disk).unwrap().modified().unwrap(), before, "the disk was written to");

    let kept = bench.kept("r.json");
    assert_eq!(kept.trials().len(), 2);
    for trial in kept.trials() {
        let account = &trial.accounting;
        assert!(account.received > 1024 && account.unaccounted == 0, "{}: {account:?}", trial.dataplane.name);
    }
    let manifest = &kept.document.manifest;
    assert_eq!(manifest.guest_memory.as_deref(), Some("memfd, NUMA node 0"));
    assert!(manifest.vms[0].system.is_some());
    let argv = manifest.vms[0].argv.join(" ");
    assert!(argv.contains("host-nodes=0,policy=bind") && argv.contains("user,id=net0,restrict=on"), "{argv}");
    bench.leaves_nothing_behind();
}

#[test]
fn a_key_that_the_guest_does_not_know_is_refused_and_told() {
    let Some(disk) = system_disk() else { return };
    let Some(bench) = Bench::with_guests() else { return };
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(bench.path("other"))
        .status();
    assert!(made.unwrap().success());
    let (image, way) = (disk.to_str().unwrap(), ["--guest-ssh", "root", "--guest-ssh-key", "other"]);
    let words = ["p2v", "--accel", "tcg", "--guest-image", image];
    let ran = bench.start_command(bench.command(&[&words[..], &way].concat())).ends_within(DEADLINE);
    ran.exits(1).says("root@vm1 is not let in over ssh").says("Permission denied");
    bench.leaves_nothing_behind();
}

/// A disk whose first sector a BIOS starts, with one instruction in it.
fn write_boot_disk(bench: &Bench, name: &str, instruction: [u8; 2]) {
    let mut disk = vec![0; 1 << 20];
    disk[..2].copy_from_slice(&instruction);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(bench.path(name), disk).unwrap();
}

/// An ssh that answers as a real one would.
fn stand_in(bench: &Bench, says: &str, code: i32) {
    let (folder, text) = (bench.path("bin"), format!("#!/bin/sh\necho '{says}' >&2\nexit {code}\n"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("ssh"), text).unwrap();
    fs::set_permissions(folder.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn whoever_cannot_become_root_and_a_guest_that_lets_nobody_in_are_told() {
    let Some(bench) = Bench::with_guests() else { return };
    // It stays where it is.
    write_boot_disk(&bench, "idle.raw", [0xeb, 0xfe]);
    let folders = format!("{}:{}", bench.path("bin").display(), std::env::var("PATH").unwrap());
    let line = "p2v --accel tcg --guest-image idle.raw --guest-ssh debian";
    let run = |line: &str| {
        let mut command = bench.command(&line.split(' ').collect::<Vec<_>>());
        command.env("PATH", &folders);
        bench.start_command(command).ends_within(Duration::from_secs(60))
    };
    stand_in(&bench, "sudo: a password is required", 1);
    let ran = run(line);
    ran.exits(1).says("the agent cannot be started over ssh as debian: sudo: a password is required");
    // Firmware clears the screen; the end of its console must not clear the reader's.
    ran.says("SeaBIOS").never_says("\x1b");
    stand_in(&bench, "ssh: connect to host 127.0.0.1 port 1: Connection refused", 255);
    let ran = run(&format!("{line} --boot-timeout 3s"));
    ran.exits(1).says("it let nobody in over ssh in time: ssh: connect to host").says("--boot-timeout");
    bench.leaves_nothing_behind();
}

#[test]
fn what_cannot_be_booted_is_told_at_once() {
    let Some(bench) = Bench::with_guests() else { return };
    // It gives the machine back to its firmware.
    write_boot_disk(&bench, "empty.raw", [0xcd, 0x18]);
    let ran = bench.run_within("p2v --accel tcg --guest-image empty.raw", Duration::from_secs(60));
    ran.exits(1).says("there is nothing on its disk that can be booted by a BIOS").says("No bootable device");
    // A header that promises an image, and no more of it.
    fs::write(bench.path("cut.qcow2"), b"QFI\xfb\0\0\0\x03").unwrap();
    let ran = bench.run_within("p2v --accel tcg --guest-image cut.qcow2", Duration::from_secs(60));
    ran.exits(1).says("QEMU ended at once").says("cut.qcow2");
    bench.leaves_nothing_behind();
}

#[test]
fn what_is_no_disk_is_refused() {
    let Some(bench) = Bench::with_idle_guests() else { return };
    fs::write(bench.path("words"), "no disk\n").unwrap();
    fs::write(bench.path("d.vmdk"), b"KDMV\x01\0\0\0").unwrap();
    for (line, part) in [
        ("p2v --guest-image words", "words is neither a qcow2 image nor a raw disk"),
        ("p2v --guest-image d.vmdk", "d.vmdk is a VMDK image; qcow2 and raw images are taken"),
        ("p2v --guest-image .", "is not a file"),
        ("v2v --guest-image none", "cannot read the disk image none"),
        ("v2v --guest-ssh root", "--guest-image <DISK>"),
        ("v2v --guest-image words --guest-ssh=-oProxyCommand=x", "no user's name"),
        ("v2v --guest-image words --guest-ssh a;b", "no user's name"),
        ("v2v --guest-image words --guest-numa-node 99", "words is neither"),
        ("v2v --guest-numa-node 99", "there is no NUMA node 99 with memory here"),
        ("v2v --guest-image words --kernel k", "--guest-image <DISK>"),
        ("v2v --guest-image words --dataplane bridge,uvale --guest-driver dpdk", "--guest-driver"),
    ] {
        bench.run(&format!("{line} --accel tcg")).exits(2).says(part);
    }
    bench.leaves_nothing_behind();
}
