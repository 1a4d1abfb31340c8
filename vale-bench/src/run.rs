//! A run: brings a topology up on each dataplane, makes the trials interleaved, and ends in a document.
//!
//! Whatever happens on the way, what was measured is kept and what was started is ended.

mod searches;

use crate::cli::{BenchArgs, VmArgs};
use crate::commands::Output;
use crate::dataplane::{self, Dataplane, Lab, Placement, Setting, registry};
use crate::doctor::Facts;
use crate::exit::{Fail, FailContext};
use crate::goals::{self, Method};
use crate::guests;
use crate::interrupt::Interrupt;
use crate::load::Load;
use crate::progress::Progress;
use crate::provenance;
use crate::result::{Accelerator, Direction, Plan, ResultDocument, Trial, Warning};
use crate::rundir::{self, RunDir};
use crate::scenario::Topology;
use crate::trial::{self, LatencyPlan, TrialSpec};
use crate::units::{SizeList, SizeSpec, check_frame_size};
use std::sync::Arc;
use std::time::Duration;

/// Most bytes of a frame that any dataplane carries, without FCS.
const MAX_FRAME: u16 = dataplane::uvale::BUF_SIZE as u16;
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
    bench.check(Some(MAX_FRAME))?;
    let planes = registry::find_all(&bench.dataplane)?;
    let given = bench.given().into_iter().chain(request.vm.into_iter().flat_map(VmArgs::given));
    registry::check_options(&planes, &given.collect::<Vec<_>>())?;
    let placement = Placement::choose(bench, request.topology.stations.len())?;
    let methods = goals::methods(&bench.search)?;
    searches::check(request, &methods)?;
    let output = Output::prepare(request.output)?;
    let interrupt = Interrupt::install()?;
    let load = Load::from_args(&bench.load, request.topology.vms() > 0)?;
    let sizes = load.sizes().map_or_else(|| bench.size.clone(), |file| vec![file]);
    check_frame_size(&sizes, Some(MAX_FRAME)).map_err(Fail::usage)?;
    let todo = Todo { load, sizes, methods };
    let sizes = todo.sizes.len() as u32;
    let total = sizes * bench.repeat * bench.dataplane.len() as u32 * todo.methods.len().max(1) as u32;
    let progress = Progress::new(total, request.output.quiet);
    for line in rundir::recover()?.describe() {
        progress.println(&line);
    }
    let run_dir = RunDir::create()?;

    let mut document = ResultDocument::new(
        provenance::manifest(),
        Plan { trials: total, dataplanes: planes.iter().map(|plane| plane.name().to_owned()).collect() },
    );
    document.warnings = provenance::warnings(&document.manifest.tool, &document.manifest.host);
    let mut labs = bring_up(request, &planes, &placement, &run_dir, interrupt, &progress, &mut document)?;
    let measured =
        measure((request, &todo), &placement, &mut labs, interrupt, &progress, &mut document, &output);
    progress.finish();
    if let Err(fail) = &measured {
        document.incomplete = Some(fail.to_string());
    }
    let ended = labs.iter_mut().try_for_each(Lab::shut_down);
    drop(labs);
    let nothing = document.trials.is_empty() && document.searches.is_empty();
    let shown = if nothing { output.keep(&document) } else { output.finish(&document) };
    measured.and(shown).and(ended)
}

/// What to measure.
struct Todo {
    load: Load,
    sizes: SizeList,
    /// What to search for; none for trials at the rate asked for.
    methods: Vec<Method>,
}

fn bring_up(
    request: &Request<'_>,
    planes: &[Arc<dyn Dataplane>],
    placement: &Placement,
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
            document.manifest.guest_memory = Some(host.memory());
            document.manifest.accelerator = host.accelerator();
            if host.accelerator() == Accelerator::Tcg {
                document.warnings.push(Warning::Tcg);
            }
            document.warnings.extend(host.kvm_warning());
            Some(host)
        }
        None => None,
    };
    let facts = Facts::for_run(host.as_ref());
    let wanted = request.topology.wanted(request.vm);
    let setting = Setting {
        topology: &request.topology,
        bench: request.bench,
        vm: request.vm,
        placement,
        guests: host.as_ref(),
        run_dir,
        interrupt,
    };
    for plane in planes {
        let name = plane.name();
        dataplane::check_host(plane.as_ref(), &facts, &wanted)?;
        if with_guests {
            progress.stage(&format!("booting {} ({name})", count(request.topology.vms(), "guest")));
        }
        let mut lab = plane.bring_up(&setting).context_with(|| format!("cannot bring up {name}"))?;
        lab.awake(|lab| trial::teach(lab, interrupt))?;
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

fn measure(
    (request, todo): (&Request<'_>, &Todo),
    placement: &Placement,
    labs: &mut [Lab],
    interrupt: &Interrupt,
    progress: &Progress,
    document: &mut ResultDocument,
    output: &Output,
) -> Result<(), Fail> {
    if !todo.methods.is_empty() {
        return searches::measure((request, todo), placement, labs, interrupt, progress, document, output);
    }
    let bench = request.bench;
    let direction = bench.direction();
    let flows = request.topology.flows(direction == Direction::Bidi);
    let mut order = 0;
    // Dataplanes innermost, repeats outermost: what drifts meets all alternatives alike.
    for repeat in 1..=bench.repeat {
        for size in &todo.sizes {
            for lab in labs.iter_mut() {
                order += 1;
                progress.trial(label(request, &lab.switch.describe().name, size, direction));
                let spec = TrialSpec {
                    scenario: request.topology.scenario,
                    flows: flows.clone(),
                    direction,
                    size: size.clone(),
                    rate: bench.rate,
                    header_flows: bench.flows,
                    burst: BURST.min(placement.slots(bench) / 2).max(1),
                    warmup: bench.warmup,
                    duration: bench.duration,
                    window: bench.interval,
                    load: todo.load.clone(),
                    latency: latency_plan(bench),
                    repeat,
                    order,
                };
                let trial = lab.awake(|lab| trial::run(lab, &spec, interrupt, progress))?;
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
