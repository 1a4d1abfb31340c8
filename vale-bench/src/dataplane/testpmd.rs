//! DPDK's `testpmd` between vhost-user ports: io forwarding, which looks at no address.
//!
//! Ports are joined two by two, as the topology's flows say: what one brings goes to the other. One thread serves all
//! pairs. testpmd has no nap in its loop; where busy threads share processors its thread runs as `SCHED_IDLE`, only
//! while nobody else wants the processor, which is the nearest thing to the naps of the others and the better one for
//! it: a poller of ordinary priority would keep from their processors those that it waits for.

use super::vhost::{self, VhostSwitch, Wiring};
use super::{Dataplane, Idle, Lab, Lack, Setting, Wanted};
use crate::cli::RoleChoice;
use crate::doctor::Facts;
use crate::exit::{Fail, FailContext};
use crate::interrupt::Interrupt;
use crate::machine::usable_cpus;
use crate::program::{self, Program, Running, Share};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How long testpmd may take from its start to its prompt.
const START_DEADLINE: Duration = Duration::from_secs(20);
/// How long it may take to answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// How long it may take to say good-bye.
const QUIT_DEADLINE: Duration = Duration::from_secs(3);
/// What it prints when it listens.
const PROMPT: &str = "testpmd> ";
/// The thread that forwards, as DPDK calls it.
const WORKER: &str = "rte-worker-1";
/// Memory for its frames, in MiB.
const MEMORY_MIB: u32 = 192;

/// The dataplane.
#[derive(Debug, Clone, Copy)]
pub struct Testpmd;

impl Dataplane for Testpmd {
    fn name(&self) -> &str {
        "testpmd"
    }

    fn what(&self) -> &str {
        "DPDK's testpmd, io forwarding between vhost-user ports"
    }

    fn options(&self) -> Vec<&'static str> {
        [vhost::OPTIONS, &[vhost::ROLE]].concat()
    }

    fn lacks(&self, facts: &Facts, wanted: &Wanted<'_>) -> Vec<Lack> {
        let testpmd = || Lack::new("testpmd", "install the package dpdk");
        let own = facts.testpmd.is_none().then(testpmd);
        own.into_iter().chain(vhost::lacks(facts, wanted)).collect()
    }

    fn bring_up(&self, setting: &Setting<'_>) -> Result<Lab, Fail> {
        vhost::bring_up(setting, self.name(), RoleChoice::Server, &mut |wiring| start(wiring))
    }
}

/// testpmd in PATH.
#[must_use]
pub fn find() -> Option<PathBuf> {
    program::find("dpdk-testpmd").or_else(|| program::find("testpmd"))
}

struct Process {
    running: Running,
    /// Of each port of the topology its number in testpmd.
    numbers: Vec<usize>,
    version: String,
    share: Share,
}

fn start(wiring: &Wiring<'_>) -> Result<Box<dyn VhostSwitch>, Fail> {
    let setting = wiring.setting;
    let pairs = setting.topology.pairs("testpmd")?;
    let mut numbers = vec![0; wiring.ports.len()];
    for (number, port) in pairs.iter().flat_map(|&(a, b)| [a, b]).enumerate() {
        numbers[port] = number;
    }
    let argv = argv(wiring, &pairs)?;
    let program = Program::new("testpmd", argv).env("RUNTIME_DIRECTORY", setting.run_dir.path()).listening();
    let mut running = program.start(setting.run_dir)?;
    running.wait_until("its prompt", START_DEADLINE, setting.interrupt, |running| {
        Ok(running.output(0).contains(PROMPT) && wiring.sockets_are_there())
    })?;
    // It was another program until now (stdbuf), and has its final name.
    setting.run_dir.record_child(running.pid())?;
    let share = if wiring.idle() == Idle::Nap { Share::Idle } else { Share::Normal };
    running.share(WORKER, share)?;
    let version = version(&running.output(0));
    Ok(Box::new(Process { running, numbers, version, share }))
}

fn argv(wiring: &Wiring<'_>, pairs: &[(usize, usize)]) -> Result<Vec<OsString>, Fail> {
    let testpmd = find().ok_or_else(|| Fail::host("testpmd is not installed: install the package dpdk"))?;
    let cpus = match wiring.setting.placement.switch {
        Some(cpu) => cpu.to_string(),
        None => {
            let usable = usable_cpus().iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            format!("({usable})")
        }
    };
    let queues = wiring.virtio.queues;
    // Into a file it would print by the page.
    let mut argv: Vec<OsString> = ["stdbuf", "-oL"].map(OsString::from).into();
    argv.push(testpmd.into());
    argv.extend(["-v", "--no-pci", "--no-telemetry", "--no-huge", "-m"].map(OsString::from));
    argv.extend(
        [MEMORY_MIB.to_string(), "--lcores".into(), format!("0@{cpus},1@{cpus}")].map(OsString::from),
    );
    for (number, &port) in pairs.iter().flat_map(|(a, b)| [a, b]).enumerate() {
        let mut device = OsString::from(format!("net_vhost{number},iface="));
        device.push(&wiring.ports[port].socket);
        device.push(format!(",queues={queues},client={}", u8::from(!wiring.listens())));
        argv.extend(["--vdev".into(), device]);
    }
    let own = ["--", "-i", "--auto-start", "--forward-mode=io", "--nb-cores=1", "--total-num-mbufs=16384"];
    argv.extend(own.map(OsString::from));
    argv.extend([format!("--rxq={queues}"), format!("--txq={queues}")].map(OsString::from));
    Ok(argv)
}

/// `DPDK 22.11.11`, from what it said when it started.
fn version(output: &str) -> String {
    let line = output.lines().find_map(|line| line.split_once("RTE Version: '")?.1.split_once('\''));
    line.map_or_else(|| "unknown".to_owned(), |(version, _)| version.to_owned())
}

impl VhostSwitch for Process {
    fn parameters(&self) -> Vec<(&'static str, String)> {
        vec![
            ("switch_version", self.version.clone()),
            ("forwarding", "io, port to port, no addresses learned".into()),
            ("switch_idle", self.share.label().to_owned()),
            ("switch_memory", "ordinary pages".to_owned()),
        ]
    }

    fn busy_threads(&self) -> u32 {
        1
    }

    fn programs(&mut self) -> Vec<&mut Running> {
        vec![&mut self.running]
    }

    fn mover(&self) -> &Running {
        &self.running
    }

    fn counters(&mut self, port: usize) -> Result<BTreeMap<String, u64>, Fail> {
        let line = "show fwd stats all";
        let answer = self.running.answer(line, PROMPT, ANSWER_DEADLINE, Interrupt::install()?)?;
        let counters = counters(&answer, self.numbers[port]);
        counters.ok_or_else(|| self.running.failure(&format!("answered {line:?} in unknown words")))
    }

    fn counts_drops(&self) -> bool {
        true
    }

    fn await_ports(&mut self, _interrupt: &Interrupt) -> Result<(), Fail> {
        self.running.healthy()
    }

    fn shut_down(&mut self) -> Result<(), Fail> {
        self.running.stop(Some("quit"), QUIT_DEADLINE).context_with(|| "cannot end testpmd")
    }
}

/// What testpmd took from its port `number`, delivered to it, and could not deliver for want of room.
fn counters(answer: &str, number: usize) -> Option<BTreeMap<String, u64>> {
    let (_, own) = answer.split_once(&format!("statistics for port {number} "))?;
    let of = |name: &str| -> Option<u64> {
        let (_, after) = own.split_once(name)?;
        after.split_whitespace().next()?.parse().ok()
    };
    let named = [("tx_frames", "RX-packets:"), ("rx_frames", "TX-packets:"), ("drop_rx_full", "TX-dropped:")];
    named.into_iter().map(|(ours, theirs)| Some((ours.to_owned(), of(theirs)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As testpmd of DPDK 22.11 prints it, in the same columns.
    const ANSWER: &str = "show fwd stats all

  ---------------------- Forward statistics for port 0  ----------------------
  RX-packets: 17379          RX-dropped: 0             RX-total: 17379
  TX-packets: 12             TX-dropped: 0             TX-total: 12
  ----------------------------------------------------------------------------

  ---------------------- Forward statistics for port 1  ----------------------
  RX-packets: 12             RX-dropped: 0             RX-total: 12
  TX-packets: 13839          TX-dropped: 3540          TX-total: 17379
  ----------------------------------------------------------------------------
testpmd> ";

    #[test]
    fn its_figures_are_read() {
        let expected = [("tx_frames", 12), ("rx_frames", 13839), ("drop_rx_full", 3540)];
        let expected = expected.into_iter().map(|(name, n)| (name.to_owned(), n)).collect();
        assert_eq!(counters(ANSWER, 1), Some(expected));
        assert_eq!(counters(ANSWER, 2), None);
    }

    #[test]
    fn its_version_is_read() {
        assert_eq!(version("EAL: RTE Version: 'DPDK 22.11.11'\nEAL: x\n"), "DPDK 22.11.11");
        assert_eq!(version(""), "unknown");
    }
}
