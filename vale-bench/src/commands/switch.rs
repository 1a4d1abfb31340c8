//! `switch`: the embedded VALE for other processes.

use crate::cli::SwitchArgs;
use crate::exit::{Exit, Fail, FailContext};
use crate::interrupt::Interrupt;
use crate::machine::usable_cpus;
use crate::rundir::runtime_dir;
use netmap_rs::layout::PortShape;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use uvale::daemon::{DaemonError, Server};
use uvale::faults::FaultKind;
use uvale::{PortId, Snapshot, Switch, SwitchConfig};

/// How often connections are looked at when none says anything: the longest a Ctrl-C waits.
const LOOK: Duration = Duration::from_millis(100);

/// Where a switch called `name` listens.
pub(super) fn socket(name: &str) -> Result<PathBuf, Fail> {
    Ok(runtime_dir()?.join(format!("{name}.sock")))
}

/// Runs `switch`.
pub fn run(args: &SwitchArgs) -> Result<(), Fail> {
    if let Some(cpu) = args.pin.filter(|cpu| !usable_cpus().contains(cpu)) {
        return Err(Fail::usage(format!("--pin {cpu}: this process may not use processor {cpu}")));
    }
    let interrupt = Interrupt::install()?;
    let path = socket(&args.name)?;
    crate::rundir::ensure_runtime_dir()?;
    let config = SwitchConfig {
        name: args.name.clone(),
        cpu: args.pin.map(|cpu| cpu as usize),
        idle: uvale::IdlePolicy::default(),
    };
    let switch = Switch::start(config).map_err(Fail::failed)?;
    let shape = PortShape { tx_slots: args.slots, rx_slots: args.slots, ..PortShape::default() };
    let mut server = Server::bind(&path, &switch, shape).map_err(|e| match e {
        DaemonError::Running { .. } => {
            Fail::failed(anyhow::anyhow!("a switch called {} is already running", args.name))
        }
        e => Fail::failed(e),
    })?;
    if !args.quiet {
        eprintln!("switch {} is ready: attach with -i {}:PORT; Ctrl-C ends it", args.name, args.name);
    }
    let mut known = Known::default();
    let mut next_stats = args.stats.map(|every| Instant::now() + every);
    while interrupt.signal().is_none() {
        server.serve(LOOK).or_exit(Exit::Failed)?;
        if !args.quiet {
            known.tell(&switch);
        }
        if let (Some(every), Some(due)) = (args.stats, &mut next_stats)
            && Instant::now() >= *due
        {
            *due += every;
            for (id, name, counters) in switch.ports() {
                super::print(|out| writeln!(out, "{}", line(id, &name, &counters)))?;
            }
        }
    }
    // Being told to end is how a switch ends.
    Ok(())
}

fn line(id: PortId, name: &str, counters: &Snapshot) -> String {
    let counters: BTreeMap<&str, u64> = counters.named().filter(|(_, n)| *n > 0).collect();
    serde_json::json!({ "port": name, "index": id, "counters": counters }).to_string()
}

/// The ports that were there a moment ago.
#[derive(Default)]
struct Known(BTreeMap<PortId, (String, Snapshot)>);

impl Known {
    fn tell(&mut self, switch: &Switch) {
        let now: BTreeMap<_, _> = switch.ports().into_iter().map(|(id, name, c)| (id, (name, c))).collect();
        for (id, (name, last)) in &self.0 {
            if now.get(id).is_none_or(|(other, _)| other != name) {
                let (sent, received) = (last.tx_frames, last.rx_frames);
                eprintln!(
                    "port {name} is gone (when last seen it had sent {sent} and received {received} frames)"
                );
            }
        }
        for (id, (name, _)) in &now {
            if self.0.get(id).is_none_or(|(other, _)| other != name) {
                eprintln!("port {name} is attached");
            }
        }
        // A doorbell that died is that of a process that ended, which its port's going tells.
        for fault in switch.take_faults().iter().filter(|fault| fault.kind != FaultKind::Doorbell) {
            eprintln!("port {}: {}", fault.port, fault.what);
        }
        self.0 = now;
    }
}
