//! Diagnoses of made-up hosts.

use std::path::PathBuf;

use super::*;
use crate::report::View;
use crate::result::{Cpu, Host, Hugepages, Memory, NetmapModule};

/// A host that has everything.
fn complete() -> Facts {
    Facts {
        host: Host {
            cpu: Cpu {
                model: Some("Imaginary 9000".into()),
                online_cpus: 8,
                usable_cpus: 8,
                governor: Some("performance".into()),
                ..Cpu::default()
            },
            memory: Memory {
                total_bytes: 16 << 30,
                hugepages: vec![Hugepages { size_kib: 2048, total: 512, free: 500 }],
                ..Memory::default()
            },
            netmap: Some(NetmapModule::default()),
            ..Host::default()
        },
        root: true,
        net_admin: true,
        lock_limit_bytes: None,
        dev_netmap: true,
        dev_tun: true,
        dpdk: Ok("DPDK 22.11.11".into()),
        testpmd: Some("/usr/bin/dpdk-testpmd".into()),
        ovs_dpdk: Some("/usr/lib/ovs".into()),
        runtime_dir: Ok("/run/vale-bench".into()),
        guests: GuestFacts {
            qemu: Ok(QemuFound {
                path: "/usr/bin/qemu".into(),
                version: "3.0.95".into(),
                ptnet: true,
                netmap: true,
            }),
            kvm: Ok(()),
            kernel: Ok(KernelFound { path: "/boot/vmlinuz".into(), release: "6.1.0".into() }),
        },
    }
}

/// A host that has nothing.
fn bare() -> Facts {
    Facts {
        host: Host {
            cpu: Cpu { online_cpus: 4, usable_cpus: 1, governor: Some("powersave".into()), ..Cpu::default() },
            ..Host::default()
        },
        root: false,
        net_admin: false,
        lock_limit_bytes: Some(8 << 20),
        dev_netmap: false,
        dev_tun: false,
        dpdk: Err("this program was built without DPDK".into()),
        testpmd: None,
        ovs_dpdk: None,
        runtime_dir: Err("no directory for run-time files".into()),
        guests: GuestFacts {
            qemu: Err("no qemu-system-x86_64 in PATH".into()),
            kvm: Err("there is no /dev/kvm".into()),
            kernel: Err("no kernel image found".into()),
        },
    }
}

fn text(facts: &Facts, view: &View) -> String {
    let mut out = Vec::new();
    render(&diagnose(facts), view, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_complete_host_needs_nothing() {
    let diagnosis = diagnose(&complete());
    assert!(diagnosis.checks.iter().all(|check| check.status == Status::Ok && check.advice.is_none()));
    assert!(diagnosis.abilities.iter().all(|ability| ability.runs));
    assert_eq!(diagnosis.abilities[1].note, "under KVM");
}

#[test]
fn a_bare_host_is_told_what_to_do_about_everything() {
    let diagnosis = diagnose(&bare());
    let fine: Vec<&str> =
        diagnosis.checks.iter().filter(|check| check.status == Status::Ok).map(|check| check.name).collect();
    assert_eq!(fine, ["privileges"]);
    assert!(diagnosis.checks.iter().all(|check| (check.status == Status::Ok) == check.advice.is_none()));
    assert!(!diagnosis.anything_runs());
}

#[test]
fn each_need_is_told_on_its_own() {
    let mut facts = complete();
    facts.guests.kvm = Err("the guest did not start".into());
    assert_eq!(diagnose(&facts).abilities[1].note, "under TCG: to compare, not to quote");
    facts.guests.kernel = Err("none".into());
    let v2v = &diagnose(&facts).abilities[1];
    assert_eq!((v2v.runs, v2v.note.as_str()), (false, "a guest kernel missing"));
    facts.guests.qemu = Err("none".into());
    let diagnosis = diagnose(&facts);
    assert_eq!(diagnosis.abilities[1].note, "QEMU and a guest kernel missing");
    assert!(diagnosis.abilities[0].runs && diagnosis.anything_runs());
    facts.dev_netmap = false;
    let netmap = diagnose(&facts).checks.into_iter().find(|check| check.name == "netmap module").unwrap();
    assert_eq!((netmap.status, netmap.found.as_str()), (Status::Warn, "loaded, but there is no /dev/netmap"));
}

#[test]
fn only_what_exists_is_offered() {
    let offered: Vec<_> =
        diagnose(&complete()).abilities.into_iter().map(|a| (a.dataplane, a.scenario)).collect();
    let scenarios = ["p2p", "p2v", "v2p", "v2v", "loopback"];
    let all = registry::all();
    let all = all.iter().flat_map(|plane| scenarios.map(|scenario| (plane.name().to_owned(), scenario)));
    assert_eq!(offered, all.collect::<Vec<_>>());
}

#[test]
fn the_kernels_vale_needs_more_and_ptnet_the_most() {
    let note = |facts: &Facts, dataplane: &str, scenario: &str| {
        let abilities = diagnose(facts).abilities;
        let found =
            abilities.into_iter().find(|a| (a.dataplane.as_str(), a.scenario) == (dataplane, scenario));
        found.map(|ability| (ability.runs, ability.note)).unwrap()
    };
    let mut facts = complete();
    facts.guests.kvm = Err("the guest did not start".into());
    assert_eq!(note(&facts, "vale", "v2v"), (false, "KVM missing".into()));
    assert_eq!(note(&facts, "vale", "p2p"), (true, "no guests needed".into()));
    assert!(note(&facts, "vale-virtio", "v2v").0);
    facts.guests.qemu.as_mut().unwrap().ptnet = false;
    assert_eq!(note(&facts, "vale", "p2v"), (false, "a QEMU with ptnet missing".into()));
    facts.guests.qemu.as_mut().unwrap().netmap = false;
    assert_eq!(note(&facts, "vale-virtio", "v2p"), (false, "a QEMU with netmap missing".into()));
    facts.dev_netmap = false;
    assert_eq!(note(&facts, "vale", "p2p"), (false, "the netmap module missing".into()));
    assert!(note(&facts, "uvale", "v2v").0);
}

#[test]
fn tables_fit_and_colours_are_only_for_those_who_want_them() {
    let mut long = bare();
    long.guests.qemu = Err(format!("cannot start /{}/qemu", "directory/".repeat(12)));
    long.runtime_dir = Ok(PathBuf::from("/run/vale-bench"));
    for facts in [complete(), bare(), long] {
        let text = text(&facts, &View::default());
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(!text.contains('\x1b'));
    }
    assert!(text(&bare(), &View { colour: true, ..View::default() }).contains("\x1b["));
    let text = text(&bare(), &View::default());
    assert!(text.contains("  missing  guest kernel       no kernel image found\n"), "{text}");
}
