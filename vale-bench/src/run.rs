//! A run: brings a topology up on each dataplane, makes the trials interleaved, and ends in a document.
//!
//! Whatever happens on the way, what was measured is kept and what was started is ended.

use crate::cli::{BenchArgs, IdleChoice, LinkChoice, VmArgs};
use crate::commands::Output;
use crate::dataplane::uvale::{self, Idle};
use crate::dataplane::{Lab, Setting, vale};
use crate::exit::{Fail, FailContext};
use crate::guests;
use crate::interrupt::Interrupt;
use crate::load::Load;
use crate::machine::usable_cpus;
use crate::progress::Progress;
use crate::provenance;
use crate::result::{Accelerator, Direction, Plan, ResultDocument, Trial, Warning};
use crate::rundir::{self, RunDir};
use crate::scenario::Topology;
use crate::trial::{self, LatencyPlan, TrialSpec};
use crate::units::{SizeList, SizeSpec, check_frame_size};
use qemu_ptnet::Module;
use std::time::Duration;

/// Bytes of every buffer of a port, netmap's default.
const BUF_SIZE: u32 = 2048;
/// Most frames a batch.
const BURST: u32 = 512;
/// How long round trips are measured: as long as the throughput, but not longer than this.
const LATENCY_MAX: Duration = Duration::from_secs(5);

/// Everything a benchmark command was told.
pub struct Request<'a> {
    /// What is connected how.
    pub topology: Topology,
    /// How to measure.
    pub bench: &'a BenchArgs,
    /// How to run guests, where there are some.
    pub vm: Option<&'a VmArgs>,
    /// Where the result goes.
    pub output: &'a crate::cli::OutputArgs,
}

/// Carries a benchmark command out.
pub fn run(request: &Request<'_>) -> Result<(), Fail> {
    let bench = request.bench;
    bench.check(Some(BUF_SIZE as u16))?;
    check_dataplanes(request)?;
    let cpus = Cpus::choose(request)?;
    let output = Output::prepare(request.output)?;
    let interrupt = Interrupt::install()?;
    let load = Load::from_args(&bench.load, request.topology.vms() > 0)?;
    let sizes = load.sizes().map_or_else(|| bench.size.clone(), |file| vec![file]);
    check_frame_size(&sizes, Some(BUF_SIZE as u16)).map_err(Fail::usage)?;
    let todo = Todo { load, sizes };
    let sizes = todo.sizes.len() as u32;
    let total = sizes * bench.repeat * bench.dataplane.len() as u32;
    let progress = Progress::new(total, request.output.quiet);
    for line in rundir::recover()?.describe() {
        progress.println(&line);
    }
    let run_dir = RunDir::create()?;

    let mut document = ResultDocument::new(
        provenance::manifest(),
        Plan { trials: total, dataplanes: bench.dataplane.clone() },
    );
    document.warnings = provenance::warnings(&document.manifest.tool, &document.manifest.host);
    let mut labs = bring_up(request, &cpus, &run_dir, interrupt, &progress, &mut document)?;
    let measured = measure((request, &todo), &cpus, &mut labs, interrupt, &progress, &mut document, &output);
    progress.finish();
    if let Err(fail) = &measured {
        document.incomplete = Some(fail.to_string());
    }
    let ended = labs.iter_mut().try_for_each(Lab::shut_down);
    drop(labs);
    let shown = if document.trials.is_empty() { output.keep(&document) } else { output.finish(&document) };
    measured.and(shown).and(ended)
}

/// Refuses options that the dataplanes asked for do not have.
fn check_dataplanes(request: &Request<'_>) -> Result<(), Fail> {
    let has = |name: &str| request.bench.dataplane.iter().any(|dataplane| dataplane == name);
    let kernel = has("vale") || has("vale-virtio");
    let needs =
        |option: &str, dataplane: &str| Err(Fail::usage(format!("{option} needs --dataplane {dataplane}")));
    if request.bench.slots.is_some() && kernel {
        return Err(Fail::usage(
            "--slots sets the rings of uvale; those of the kernel's VALE are as its module makes them",
        ));
    }
    match request.vm {
        Some(vm) if vm.link == LinkChoice::Pipe && !kernel => needs("--link pipe", "vale or vale-virtio"),
        Some(vm) if vm.klooptx.is_some() && !has("vale") => needs("--klooptx", "vale"),
        Some(vm) if vm.klooprx.is_some() && !has("vale") => needs("--klooprx", "vale"),
        _ => Ok(()),
    }
}

/// What trials send.
struct Todo {
    load: Load,
    sizes: SizeList,
}

/// Which processors the busy threads get, and so what they may do when idle.
struct Cpus {
    switch: Option<usize>,
    stations: Vec<usize>,
    idle: Idle,
}

impl Cpus {
    /// As `--pin` says: the first for the switch, the others for the stations in order, from the front again when
    /// they run out. Without it every busy thread gets a processor of its own if there are enough.
    fn choose(request: &Request<'_>) -> Result<Cpus, Fail> {
        let usable: Vec<usize> = usable_cpus().into_iter().map(|cpu| cpu as usize).collect();
        let stations = request.topology.stations.len();
        let busy = 1 + stations;
        let by_load = |processors| match request.bench.idle {
            IdleChoice::Auto => Idle::by_load(busy, processors),
            IdleChoice::Poll => Idle::Poll,
            IdleChoice::Nap => Idle::Nap,
        };
        let Some(list) = &request.bench.pin else {
            let pin = busy <= usable.len();
            // The engine goes first: the first processor tends to be where the caller's caches are warm.
            let stations = if pin { usable[..stations].to_vec() } else { Vec::new() };
            return Ok(Cpus { switch: pin.then(|| usable[busy - 1]), stations, idle: by_load(usable.len()) });
        };
        let list: Vec<usize> = list.iter().map(|&cpu| cpu as usize).collect();
        if let Some(missing) = list.iter().find(|cpu| !usable.contains(cpu)) {
            let usable = usable.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
            let sentence = format!("--pin names processor {missing}; this process may use {usable}");
            return Err(Fail::usage(sentence));
        }
        let Some((&switch, rest)) = list.split_first() else {
            return Err(Fail::usage("--pin names no processor"));
        };
        let rest = if rest.is_empty() { &list[..] } else { rest };
        let distinct: std::collections::BTreeSet<_> = list.iter().take(busy).collect();
        let stations = rest.iter().copied().cycle().take(stations).collect();
        Ok(Cpus { switch: Some(switch), stations, idle: by_load(distinct.len()) })
    }

    /// Of each ring: as asked for, or as the sharing of processors demands.
    fn slots(&self, bench: &BenchArgs) -> u32 {
        bench.slots.unwrap_or(self.idle.slots())
    }
}

fn bring_up(
    request: &Request<'_>,
    cpus: &Cpus,
    run_dir: &RunDir,
    interrupt: &Interrupt,
    progress: &Progress,
    document: &mut ResultDocument,
) -> Result<Vec<Lab>, Fail> {
    let mut labs = Vec::new();
    let with_guests = request.topology.vms() > 0;
    let host = match request.vm.filter(|_| with_guests) {
        Some(vm) => {
            let host = guests::GuestHost::find(vm, progress)?;
            document.manifest.qemu = Some(host.qemu());
            document.manifest.guest_kernel = Some(host.kernel());
            document.manifest.accelerator = host.accelerator();
            if host.accelerator() == Accelerator::Tcg {
                document.warnings.push(Warning::Tcg);
            }
            document.warnings.extend(host.kvm_warning());
            Some(host)
        }
        None => None,
    };
    let setting = Setting { topology: &request.topology, guests: host.as_ref(), run_dir, interrupt };
    for name in &request.bench.dataplane {
        if with_guests {
            progress.stage(&format!("booting {} ({name})", count(request.topology.vms(), "guest")));
        }
        let mut lab =
            bring_up_one(name, &setting, request, cpus).context_with(|| format!("cannot bring up {name}"))?;
        trial::teach(&mut lab, interrupt)?;
        document.manifest.vms.append(&mut lab.vms.clone());
        document.manifest.pinning.append(&mut lab.pinning.clone());
        labs.push(lab);
    }
    if document.manifest.pinning.is_empty() {
        document.warnings.push(Warning::Unpinned);
    }
    Ok(labs)
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn bring_up_one(name: &str, setting: &Setting<'_>, request: &Request<'_>, cpus: &Cpus) -> Result<Lab, Fail> {
    let guests = match name {
        "vale" => vale::Guests::Ptnet,
        "vale-virtio" => vale::Guests::Virtio,
        _ => {
            let options = uvale::Options {
                slots: cpus.slots(request.bench),
                buf_size: BUF_SIZE,
                switch_cpu: cpus.switch,
                station_cpus: cpus.stations.clone(),
                idle: cpus.idle,
            };
            return uvale::bring_up(setting, &options);
        }
    };
    let vm = request.vm;
    let options = vale::Options {
        guests,
        link: match vm.map(|vm| vm.link) {
            Some(LinkChoice::Pipe) => vale::Link::Pipe,
            _ => vale::Link::Vale,
        },
        klooptx: vm.and_then(|vm| vm.klooptx).map(bool::from),
        klooprx: vm.and_then(|vm| vm.klooprx).map(bool::from),
        guest_module: vm.and_then(|vm| vm.guest_module.as_deref()).map(Module::from_words),
        station_cpus: cpus.stations.clone(),
        idle: cpus.idle,
    };
    vale::bring_up(setting, &options)
}

fn measure(
    (request, todo): (&Request<'_>, &Todo),
    cpus: &Cpus,
    labs: &mut [Lab],
    interrupt: &Interrupt,
    progress: &Progress,
    document: &mut ResultDocument,
    output: &Output,
) -> Result<(), Fail> {
    let bench = request.bench;
    let direction = bench.direction();
    let flows = request.topology.flows(direction == Direction::Bidi);
    let mut order = 0;
    // Dataplanes innermost, repeats outermost: what drifts meets all alternatives alike.
    for repeat in 1..=bench.repeat {
        for size in &todo.sizes {
            for (name, lab) in bench.dataplane.iter().zip(labs.iter_mut()) {
                order += 1;
                progress.trial(label(request, name, size, direction));
                let spec = TrialSpec {
                    scenario: request.topology.scenario,
                    flows: flows.clone(),
                    direction,
                    size: size.clone(),
                    rate: bench.rate,
                    header_flows: bench.flows,
                    burst: BURST.min(cpus.slots(bench) / 2).max(1),
                    warmup: bench.warmup,
                    duration: bench.duration,
                    window: bench.interval,
                    load: todo.load.clone(),
                    latency: latency_plan(bench),
                    repeat,
                    order,
                };
                let trial = trial::run(lab, &spec, interrupt, progress)?;
                for fault in lab.switch.faults() {
                    progress.println(&fault);
                }
                progress.done(&outcome(&trial));
                document.trials.push(trial);
                output.keep(document)?;
            }
        }
    }
    Ok(())
}

/// Which round trips to measure, if any.
fn latency_plan(bench: &BenchArgs) -> Option<LatencyPlan> {
    let at_percent = bench.latency_at.as_ref().map(|list| list.0.clone()).unwrap_or_default();
    let wanted = bench.latency || !at_percent.is_empty();
    wanted.then(|| LatencyPlan { length: bench.duration.min(LATENCY_MAX), at_percent, full_pps: None })
}

fn label(request: &Request<'_>, dataplane: &str, size: &SizeSpec, direction: Direction) -> String {
    let size = size.frame_size().label;
    let unit = if size.chars().all(|c| c.is_ascii_digit()) { " B" } else { "" };
    format!("{} {dataplane} {size}{unit} {}", request.topology.scenario, direction.label())
}

fn outcome(trial: &Trial) -> String {
    format!("{:.3} Mpps received", trial.throughput.aggregate.rate_mpps)
}
