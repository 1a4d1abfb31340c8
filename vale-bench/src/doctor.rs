//! What this host can run, and what is missing for the rest.
//!
//! Facts are gathered first ([`Facts::gather`], which tries things out); what they mean follows from them alone
//! ([`diagnose`]), and is shown as a table or as JSON.
//!
//! Deliberately absent: changing anything on the host.

mod facts;
mod guests;
mod table;

use serde::Serialize;

use crate::dataplane::{Dataplane, registry};
use crate::scenario::{self, Topology};

pub use facts::Facts;
pub use guests::{GuestFacts, KernelFound, QemuFound};
pub use table::render;

/// How a thing that was looked at is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// It works, and numbers will suffer or something will be slow.
    Warn,
    /// Not there, or does not work.
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What, in a word or two.
    pub name: &'static str,
    /// How it is.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What to do, where something is to be done.
    pub advice: Option<String>,
}

/// One scenario on one dataplane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ability {
    /// The dataplane.
    pub dataplane: String,
    /// The scenario.
    pub scenario: &'static str,
    /// Whether it can run here.
    pub runs: bool,
    /// How it runs, or why not.
    pub note: String,
}

/// What was found out about a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Everything that was looked at.
    pub checks: Vec<Check>,
    /// Every scenario on every dataplane that exists.
    pub abilities: Vec<Ability>,
}

impl Diagnosis {
    /// Whether anything can run here.
    pub fn anything_runs(&self) -> bool {
        self.abilities.iter().any(|ability| ability.runs)
    }
}

/// What `facts` mean.
pub fn diagnose(facts: &Facts) -> Diagnosis {
    let checks = vec![
        processors(facts),
        governor(facts),
        memory(facts),
        runtime_dir(facts),
        privileges(facts),
        facts.guests.check_qemu(),
        facts.guests.check_ptnet(),
        facts.guests.check_kvm(),
        facts.guests.check_kernel(),
        netmap(facts),
        hugepages(facts),
        lock_limit(facts),
        program("testpmd", &facts.testpmd, "install the package dpdk"),
        program("OVS with DPDK", &facts.ovs_dpdk, "install the package openvswitch-switch-dpdk"),
    ];
    let abilities = registry::all().iter().flat_map(|plane| abilities(plane.as_ref(), facts)).collect();
    Diagnosis { checks, abilities }
}

fn check(
    name: &'static str,
    status: Status,
    found: impl Into<String>,
    advice: Option<impl Into<String>>,
) -> Check {
    Check { name, status, found: found.into(), advice: advice.map(Into::into) }
}

fn good(name: &'static str, found: impl Into<String>) -> Check {
    check(name, Status::Ok, found, None::<String>)
}

/// Threads that are always busy in the smallest v2v trial: two guests and the switch.
const BUSY_THREADS: u32 = 3;

fn processors(facts: &Facts) -> Check {
    let cpu = &facts.host.cpu;
    let model = cpu.model.as_deref().unwrap_or("of unknown make");
    let found = match cpu.usable_cpus == cpu.online_cpus {
        true => format!("{}, {model}", cpu.usable_cpus),
        false => format!("{} of {} usable, {model}", cpu.usable_cpus, cpu.online_cpus),
    };
    if cpu.usable_cpus < BUSY_THREADS {
        let advice = format!("{BUSY_THREADS} threads are busy with two guests: they will share processors");
        return check("processors", Status::Warn, found, Some(advice));
    }
    good("processors", found)
}

fn governor(facts: &Facts) -> Check {
    match facts.host.cpu.governor.as_deref() {
        Some("performance") => good("governor", "performance"),
        Some(other) => {
            check("governor", Status::Warn, other, Some("run: cpupower frequency-set -g performance"))
        }
        None => good("governor", "none: this kernel does not control the clock"),
    }
}

/// RAM of two guests and the host's own needs.
const MEMORY_ADVISED_BYTES: u64 = 2 << 30;

fn memory(facts: &Facts) -> Check {
    let total = facts.host.memory.total_bytes;
    let found = format!("{:.1} GiB", total as f64 / f64::from(1 << 30));
    match total < MEMORY_ADVISED_BYTES {
        true => check("memory", Status::Warn, found, Some("guests may not fit: 2 GiB is the least advised")),
        false => good("memory", found),
    }
}

fn runtime_dir(facts: &Facts) -> Check {
    match &facts.runtime_dir {
        Ok(path) => good("run-time files", path.display().to_string()),
        Err(problem) => check(
            "run-time files",
            Status::Missing,
            problem.clone(),
            Some("set VALE_BENCH_RUNTIME_DIR to a private directory"),
        ),
    }
}

fn privileges(facts: &Facts) -> Check {
    match (facts.root, facts.net_admin) {
        (true, true) => good("privileges", "root"),
        (_, true) => good("privileges", "CAP_NET_ADMIN"),
        (true, false) => good("privileges", "root without CAP_NET_ADMIN: enough for uvale"),
        (false, false) => good("privileges", "an ordinary user: enough for uvale"),
    }
}

fn netmap(facts: &Facts) -> Check {
    match (&facts.host.netmap, facts.dev_netmap) {
        (module, true) => {
            let module = module.clone().unwrap_or_default();
            good("netmap module", format!("/dev/netmap, {}", module.name()))
        }
        (Some(_), false) => check(
            "netmap module",
            Status::Warn,
            "loaded, but there is no /dev/netmap",
            Some("look at its messages in dmesg"),
        ),
        (None, false) => {
            check("netmap module", Status::Missing, "not loaded", Some("build it and run: modprobe netmap"))
        }
    }
}

fn hugepages(facts: &Facts) -> Check {
    let reserved: Vec<String> = facts
        .host
        .memory
        .hugepages
        .iter()
        .filter(|pages| pages.total > 0)
        .map(|pages| format!("{} of {} × {} kB free", pages.free, pages.total, pages.size_kib))
        .collect();
    match reserved.is_empty() {
        false => good("hugepages", reserved.join(", ")),
        true => check(
            "hugepages",
            Status::Missing,
            "none reserved",
            Some("run: sysctl vm.nr_hugepages=512 (only DPDK switches need them)"),
        ),
    }
}

/// DPDK without hugepages locks this much and more.
const LOCK_ADVISED_BYTES: u64 = 1 << 30;

fn lock_limit(facts: &Facts) -> Check {
    match facts.lock_limit_bytes {
        None => good("memory lock limit", "none"),
        Some(limit) if limit >= LOCK_ADVISED_BYTES => good("memory lock limit", mebibytes(limit)),
        Some(limit) => check(
            "memory lock limit",
            Status::Warn,
            mebibytes(limit),
            Some("raise it with ulimit -l (only DPDK switches need it)"),
        ),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn program(name: &'static str, found: &Option<std::path::PathBuf>, advice: &str) -> Check {
    match found {
        Some(path) => good(name, path.display().to_string()),
        None => check(name, Status::Missing, "not found", Some(advice)),
    }
}

/// The smallest topology of each scenario.
fn scenarios() -> impl Iterator<Item = Topology> {
    let with_guests = [
        scenario::p2v(1),
        scenario::v2p(1),
        scenario::v2v(2, scenario::Pattern::Pairs),
        scenario::loopback(1),
    ];
    std::iter::once(scenario::p2p(1)).chain(with_guests.into_iter().flatten())
}

/// Whether each scenario can run on a dataplane.
fn abilities(plane: &dyn Dataplane, facts: &Facts) -> Vec<Ability> {
    let ability = |topology: Topology| {
        let wanted = topology.wanted(None);
        let lacks = plane.lacks(facts, &wanted);
        let note = match (&facts.runtime_dir, lacks.as_slice()) {
            (Err(problem), _) => problem.clone(),
            (_, []) if wanted.guests => facts.guests.run_under().to_owned(),
            (_, []) => "no guests needed".to_owned(),
            (_, lacks) => {
                let what: Vec<&str> = lacks.iter().map(|lack| lack.what.as_str()).collect();
                format!("{} missing", what.join(" and "))
            }
        };
        let runs = facts.runtime_dir.is_ok() && lacks.is_empty();
        Ability { dataplane: plane.name().to_owned(), scenario: topology.scenario, runs, note }
    };
    scenarios().map(ability).collect()
}

#[cfg(test)]
mod tests;
