//! Open vSwitch's userspace datapath on DPDK, with vhost-user ports.
//!
//! Everything of it is the run's own: database, sockets and logs lie in the run's directory, its programs are our
//! children, and it runs in a network namespace of its own, because the taps it makes (`ovs-netdev`, one a bridge)
//! would outlive it and, by their fixed name, meet those of an Open vSwitch that this host may have for itself.

use super::vhost::{self, VhostSwitch, Wiring};
use super::{Dataplane, Idle, Lab, Lack, Setting, Wanted};
use crate::cli::{OvsFlows, RoleChoice};
use crate::doctor::Facts;
use crate::exit::{Fail, FailContext};
use crate::interrupt::Interrupt;
use crate::machine::usable_cpus;
use crate::program::{self, Program, Running};
use rustix::process::geteuid;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// How long the database may take to start.
const DATABASE_DEADLINE: Duration = Duration::from_secs(10);
/// How long the switch may take to start.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// How long a command to one of them may take; the switch's main loop may have to wait for its processor.
const COMMAND_DEADLINE: Duration = Duration::from_secs(20);
/// How long its ports may take to come up once their other ends are there.
const PORTS_DEADLINE: Duration = Duration::from_secs(30);
/// How long each of them may take to end.
const END_DEADLINE: Duration = Duration::from_secs(3);
/// How names of the threads that forward begin.
const FORWARDERS: &str = "pmd-";
/// The longest nap of such a thread, in microseconds, where busy threads share processors.
const NAP_US: u32 = 50;
/// Its memory in MiB, and what each port has for its frames: 20,000 of them and more.
const MEMORY_MIB: usize = 128;
const PORT_MEMORY_MIB: usize = 96;

/// The dataplane.
#[derive(Debug, Clone, Copy)]
pub struct OvsDpdk;

impl Dataplane for OvsDpdk {
    fn name(&self) -> &str {
        "ovs-dpdk"
    }

    fn what(&self) -> &str {
        "Open vSwitch's userspace datapath on DPDK, vhost-user ports"
    }

    fn options(&self) -> Vec<&'static str> {
        [vhost::OPTIONS, &["--ovs-flows"]].concat()
    }

    fn lacks(&self, facts: &Facts, wanted: &Wanted<'_>) -> Vec<Lack> {
        let ovs = || Lack::new("Open vSwitch with DPDK", "install the package openvswitch-switch-dpdk");
        let own = facts.ovs_dpdk.is_none().then(ovs);
        own.into_iter().chain(vhost::lacks(facts, wanted)).collect()
    }

    fn bring_up(&self, setting: &Setting<'_>) -> Result<Lab, Fail> {
        vhost::bring_up(setting, self.name(), RoleChoice::Client, &mut |wiring| start(wiring))
    }
}

/// The switch as Debian's package has it.
#[must_use]
pub fn find() -> Option<PathBuf> {
    // One with DPDK and one without lie side by side, and PATH may have either.
    let debian = PathBuf::from("/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk");
    Some(debian).filter(|path| program::is_program(path)).or_else(|| program::find("ovs-vswitchd-dpdk"))
}

/// Open vSwitch's programs for one run, and where they find each other.
struct Place {
    folder: PathBuf,
    env: Vec<(String, OsString)>,
}

impl Place {
    fn new(folder: PathBuf) -> Result<Place, Fail> {
        fs::create_dir(&folder).context_with(|| format!("cannot make {}", folder.display()))?;
        let names = ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR", "RUNTIME_DIRECTORY"];
        let env = names.map(|name| (name.to_owned(), folder.clone().into_os_string()));
        Ok(Place { folder, env: env.into() })
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn program(&self, name: &str, argv: &[String]) -> Program {
        let mut program = Program::new(name, argv);
        program.env = self.env.clone();
        program
    }

    /// Runs one of Open vSwitch's tools.
    fn ask(&self, words: &[&str]) -> Result<String, Fail> {
        let argv: Vec<OsString> = words.iter().map(OsString::from).collect();
        program::ask(&argv, &self.env, &self.folder, COMMAND_DEADLINE)
    }

    /// Changes or reads the database; with `--no-wait` among `words` without waiting for the switch.
    fn configure(&self, words: &[&str]) -> Result<String, Fail> {
        let database = format!("--db=unix:{}", self.path("db.sock"));
        let timeout = format!("--timeout={}", COMMAND_DEADLINE.as_secs());
        self.ask(&[&["ovs-vsctl", &database, &timeout], words].concat())
    }

    /// Asks the switch, or tells it something.
    fn control(&self, words: &[&str]) -> Result<String, Fail> {
        self.ask(&[&["ovs-appctl", "-t", &self.path("switch.ctl")], words].concat())
    }

    /// Asks for or changes flows of a bridge.
    fn flows(&self, bridge: &str, command: &str, more: &[&str]) -> Result<String, Fail> {
        let bridge = format!("unix:{}", self.path(&format!("{bridge}.mgmt")));
        self.ask(&[&["ovs-ofctl", command, &bridge], more].concat())
    }
}

struct Ovs {
    place: Place,
    database: Running,
    switch: Running,
    /// Of each port its bridge.
    bridges: Vec<String>,
    flows: OvsFlows,
    idle: Idle,
    version: String,
}

/// The bridge of a segment, in a namespace of its own.
fn bridge_name(segment: usize) -> String {
    format!("br{segment}")
}

/// Name of a port, which has the number after it in OpenFlow too.
fn port_name(port: usize) -> String {
    format!("port{}", port + 1)
}

fn start(wiring: &Wiring<'_>) -> Result<Box<dyn VhostSwitch>, Fail> {
    let setting = wiring.setting;
    let switch = find().ok_or_else(|| {
        Fail::host("there is no Open vSwitch with DPDK: install the package openvswitch-switch-dpdk")
    })?;
    let flows = setting.bench.vhost.ovs_flows.unwrap_or(OvsFlows::Normal);
    let place = Place::new(setting.run_dir.join("ovs-dpdk"))?;
    let database = start_database(&place, wiring)?;
    configure(&place, wiring)?;
    let namespace: &[&str] = match geteuid().is_root() {
        true => &["unshare", "--net"],
        false => &["unshare", "--user", "--map-root-user", "--net"],
    };
    let mut argv: Vec<String> = namespace.iter().map(|&word| word.to_owned()).collect();
    argv.extend([switch.display().to_string(), format!("unix:{}", place.path("db.sock"))]);
    argv.push(format!("--unixctl={}", place.path("switch.ctl")));
    argv.push("-vconsole:warn".into());
    let mut switch = place.program("ovs-vswitchd", &argv).start(setting.run_dir)?;
    let control = place.folder.join("switch.ctl");
    switch.wait_until("its control socket", START_DEADLINE, setting.interrupt, |_| Ok(control.exists()))?;
    // It was another program until now (unshare), and has its final name.
    setting.run_dir.record_child(switch.pid())?;
    let mut ovs = Ovs {
        database,
        switch,
        bridges: setting.topology.segments.iter().map(|&segment| bridge_name(segment)).collect(),
        flows,
        idle: wiring.idle(),
        version: String::new(),
        place,
    };
    match ovs.set_up(wiring) {
        Ok(()) => Ok(Box::new(ovs)),
        Err(fail) => {
            // If it has ended meanwhile, that is the reason.
            ovs.switch.healthy()?;
            Err(ovs.switch.failure(&format!("did not do as it was told: {fail}")))
        }
    }
}

fn start_database(place: &Place, wiring: &Wiring<'_>) -> Result<Running, Fail> {
    let schema = "/usr/share/openvswitch/vswitch.ovsschema";
    let (file, socket) = (place.path("conf.db"), place.folder.join("db.sock"));
    place.ask(&["ovsdb-tool", "create", &file, schema])?;
    let remote = format!("--remote=punix:{}", socket.display());
    let control = format!("--unixctl={}", place.path("database.ctl"));
    let argv = ["ovsdb-server".to_owned(), file, remote, control];
    let mut database = place.program("ovsdb-server", &argv).start(wiring.setting.run_dir)?;
    let interrupt = wiring.setting.interrupt;
    database.wait_until("its socket", DATABASE_DEADLINE, interrupt, |_| Ok(socket.exists()))?;
    place.configure(&["--no-wait", "init"])?;
    Ok(database)
}

/// What the switch has to know when it starts.
fn configure(place: &Place, wiring: &Wiring<'_>) -> Result<(), Fail> {
    // One thread forwards, as in every other dataplane. It is bound to one processor, so where nothing else is bound
    // it is set free afterwards.
    let cpu = wiring.setting.placement.switch.or_else(|| usable_cpus().last().map(|&cpu| cpu as usize));
    let mask = format!("other_config:pmd-cpu-mask=0x{:x}", 1u128 << cpu.unwrap_or(0).min(127));
    // Without huge pages; --legacy-mem keeps it from asking for memory without files, which would need them.
    let memory = MEMORY_MIB + PORT_MEMORY_MIB * wiring.ports.len();
    let extra = format!("--no-pci --no-huge --legacy-mem -m {memory} --no-telemetry");
    let extra = format!("other_config:dpdk-extra={extra}");
    let nap = format!("other_config:pmd-maxsleep={}", if wiring.idle() == Idle::Nap { NAP_US } else { 0 });
    // A pool a port: the one for all is far larger than what a few ports need.
    let pools = "other_config:per-port-memory=true";
    let init = "other_config:dpdk-init=true";
    let set = ["--no-wait", "set", "Open_vSwitch", ".", init, pools, &extra, &mask, &nap];
    place.configure(&set).map(drop)
}

impl Ovs {
    fn set_up(&mut self, wiring: &Wiring<'_>) -> Result<(), Fail> {
        let place = &self.place;
        let topology = wiring.setting.topology;
        let bridges: Vec<String> = (0..topology.segment_count()).map(bridge_name).collect();
        for bridge in &bridges {
            place.configure(&["add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev"])?;
        }
        for (number, port) in wiring.ports.iter().enumerate() {
            let name = port_name(number);
            let path = format!("options:vhost-server-path={}", port.socket.display());
            let request = format!("ofport_request={}", number + 1);
            let kind = "type=dpdkvhostuserclient";
            place.configure(&[
                "add-port",
                &self.bridges[number],
                &name,
                "--",
                "set",
                "Interface",
                &name,
                kind,
                &path,
                &request,
            ])?;
        }
        for bridge in &bridges {
            place.flows(bridge, "del-flows", &[])?;
            if self.flows == OvsFlows::Normal {
                place.flows(bridge, "add-flow", &["actions=NORMAL"])?;
            }
        }
        if self.flows == OvsFlows::Direct {
            for (a, b) in topology.pairs("--ovs-flows direct")? {
                for (from, to) in [(a, b), (b, a)] {
                    let flow = format!("in_port={},actions=output:{}", from + 1, to + 1);
                    place.flows(&self.bridges[from], "add-flow", &[&flow])?;
                }
            }
        }
        // It binds the thread that forwards; where nothing else is bound, this is not either.
        let cpus = match wiring.setting.placement.switch {
            Some(cpu) => vec![cpu],
            None => usable_cpus().into_iter().map(|cpu| cpu as usize).collect(),
        };
        self.switch.pin(FORWARDERS, &cpus)?;
        self.version = place.control(&["version"])?.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(())
    }
}

impl VhostSwitch for Ovs {
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let forwarding = match self.flows {
            OvsFlows::Normal => "NORMAL: learns addresses",
            OvsFlows::Direct => "output flows, port to port",
        };
        let idle = match self.idle {
            Idle::Poll => "poll".to_owned(),
            Idle::Nap => format!("naps of up to {NAP_US} µs (pmd-maxsleep)"),
        };
        vec![
            ("switch_version", self.version.clone()),
            ("forwarding", forwarding.to_owned()),
            ("switch_idle", idle),
            ("switch_memory", "ordinary pages".to_owned()),
        ]
    }

    fn busy_threads(&self) -> u32 {
        1
    }

    fn programs(&mut self) -> Vec<&mut Running> {
        vec![&mut self.database, &mut self.switch]
    }

    fn mover(&self) -> &Running {
        &self.switch
    }

    fn counters(&mut self, port: usize) -> Result<BTreeMap<String, u64>, Fail> {
        let answer = self.place.flows(&self.bridges[port], "dump-ports", &[&(port + 1).to_string()])?;
        let unknown =
            || self.switch.failure(&format!("was asked for counters, and ovs-ofctl printed {answer:?}"));
        counters(&answer).ok_or_else(unknown)
    }

    /// Frames can be lost on the way to its slow path, which belongs to no port.
    fn counts_drops(&self) -> bool {
        false
    }

    fn await_ports(&mut self, interrupt: &Interrupt) -> Result<(), Fail> {
        let place = &self.place;
        for port in 0..self.bridges.len() {
            let name = port_name(port);
            self.switch.wait_until(&format!("the link of {name}"), PORTS_DEADLINE, interrupt, |_| {
                let state = place.configure(&["get", "Interface", &name, "link_state", "error"])?;
                match state.lines().map(str::trim).collect::<Vec<_>>()[..] {
                    ["up", ..] => Ok(true),
                    [_, "[]"] | [] => Ok(false),
                    _ => Err(Fail::failed(anyhow::anyhow!("Open vSwitch says of {name}: {}", state.trim()))),
                }
            })?;
        }
        Ok(())
    }

    fn shut_down(&mut self) -> Result<(), Fail> {
        // One that does not hear any more is ended by its signal.
        let _ = self.place.control(&["exit"]);
        let ended = self.switch.stop(None, END_DEADLINE).context_with(|| "cannot end ovs-vswitchd");
        ended.and(self.database.stop(None, END_DEADLINE).context_with(|| "cannot end ovsdb-server"))
    }
}

/// What `ovs-ofctl dump-ports` tells of one port.
fn counters(answer: &str) -> Option<BTreeMap<String, u64>> {
    let of = |side: &str, name: &str| -> Option<u64> {
        let (_, after) = answer.split_once(side)?;
        let (_, value) = after.split_once(name)?;
        value.split(',').next()?.trim().parse().ok()
    };
    let named =
        [("tx_frames", "rx ", "pkts="), ("rx_frames", "tx ", "pkts="), ("drop_rx_full", "tx ", "drop=")];
    named.into_iter().map(|(ours, side, theirs)| Some((ours.to_owned(), of(side, theirs)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_figures_are_read() {
        let answer = "OFPST_PORT reply (xid=0x4): 1 ports
  port  port1: rx pkts=12, bytes=720, drop=?, errs=0, frame=?, over=?, crc=?
           tx pkts=3456, bytes=207360, drop=78, errs=?, coll=?
";
        let expected = [("tx_frames", 12), ("rx_frames", 3456), ("drop_rx_full", 78)];
        let expected = expected.into_iter().map(|(name, n)| (name.to_owned(), n)).collect();
        assert_eq!(counters(answer), Some(expected));
        assert_eq!(counters("ovs-ofctl: port9: unknown port"), None);
    }
}
