//! A run: brings topologies up on dataplanes, makes the trials interleaved, and ends in a document.
//!
//! A [`Job`] is one thing to measure; what is brought up alike makes an arm. Where there are several arms, a round
//! goes through all of them in an order drawn by lot, and each is up only while it is measured (`session` says
//! why). Whatever happens on the way, what was measured is kept and what was started is ended.

mod arm;
mod estimate;
mod searches;
mod session;

pub use arm::{Arm, Job, arms};

use crate::cli::{BenchArgs, GuestArgs, OutputArgs, VmArgs};
use crate::commands::Output;
use crate::dataplane::{self, registry};
use crate::exit::{Exit, Fail};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::provenance;
use crate::result::{Plan, ResultDocument};
use crate::rundir::{self, RunDir};
use crate::scenario::Topology;
use estimate::{Estimate, about};
use session::Session;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

/// Most bytes of a frame that any dataplane carries, without FCS.
const MAX_FRAME: u16 = dataplane::uvale::BUF_SIZE as u16;

/// Everything a benchmark command was told.
pub struct Request<'a> {
    /// What is connected how.
    pub topology: Topology,
    /// How to measure.
    pub bench: &'a BenchArgs,
    /// How to run guests, where there are some.
    pub vm: Option<&'a VmArgs>,
    /// Where the result goes.
    pub output: &'a OutputArgs,
}

/// Carries a benchmark command out.
pub fn run(request: &Request<'_>) -> Result<(), Fail> {
    let bench = Rc::new(request.bench.clone());
    let vm = request.vm.map(|vm| Rc::new(vm.clone()));
    let given =
        bench.given().into_iter().chain(vm.iter().flat_map(|vm| [vm.given(), vm.guests.given()].concat()));
    let planes = registry::find_all(&bench.dataplane)?;
    registry::check_options(&planes, &given.collect::<Vec<_>>())?;
    let job = |dataplane: &String| Job {
        topology: request.topology.clone(),
        dataplane: dataplane.clone(),
        bench: bench.clone(),
        vm: vm.clone(),
    };
    let arms = arms(bench.dataplane.iter().map(job).collect())?;
    let output = Output::prepare(request.output)?;
    let plan = Plan {
        trials: arms.iter().map(Arm::trials).sum(),
        dataplanes: planes.iter().map(|plane| plane.name().to_owned()).collect(),
        seed: Some(bench.order_seed.unwrap_or_else(draw_seed)),
        suite: None,
    };
    let mut document = ResultDocument::new(provenance::manifest(), plan);
    document.warnings = provenance::warnings(&document.manifest.tool, &document.manifest.host);
    carry_out(arms, document, vm.as_deref().map(|vm| &vm.guests), &output, request.output.quiet)
}

/// Measures what `document` does not have yet of `arms`, and shows it.
pub fn carry_out(
    arms: Vec<Arm>,
    mut document: ResultDocument,
    guests: Option<&GuestArgs>,
    output: &Output,
    quiet: bool,
) -> Result<(), Fail> {
    let interrupt = Interrupt::install()?;
    let progress = Progress::new(document.plan.trials, quiet);
    for line in rundir::recover()?.describe() {
        progress.println(&line);
    }
    let run_dir = RunDir::create()?;
    let done = document.trials.len() + document.searches.len();
    if done > 0 {
        let all = document.plan.trials;
        progress.println(&format!("{done} of {all} trials are done"));
    }
    document.incomplete = None;
    let mut session = Session::new(arms, guests, &mut document, output, &run_dir, interrupt, &progress);
    let measured = session.measure();
    let began = session.began();
    progress.finish();
    if let Err(fail) = &measured {
        let made = document.trials.len() + document.searches.len();
        if fail.exit() == Exit::Usage && done > 0 && made <= done {
            // An earlier run that this one must not go on with stays as it is.
            return measured;
        }
        document.incomplete = Some(fail.to_string());
    }
    let shown = match document.trials.is_empty() && document.searches.is_empty() {
        false => output.finish(&document),
        true if began => output.keep(&document),
        // Nothing came up, so what the file holds, of an earlier run perhaps, is worth more than what there is now.
        true => Ok(()),
    };
    measured.and(shown)
}

/// Tells what would be measured, and how long it takes.
pub fn list(arms: &[Arm], out: &mut dyn Write) -> io::Result<()> {
    let estimate = Estimate::default();
    let mut together = Duration::ZERO;
    for arm in arms {
        let trials = arm.cells.iter().map(|cell| Estimate::trial(cell) * cell.bench.repeat).sum::<Duration>();
        let takes = trials + estimate.bring_up(arm) * arm.rounds();
        together += takes;
        writeln!(
            out,
            "{}: {} trials in {} rounds, {}",
            arm.name(),
            arm.trials(),
            arm.rounds(),
            about(takes)
        )?;
        for cell in &arm.cells {
            writeln!(out, "  {}", arm::label(arm, cell))?;
        }
    }
    writeln!(out, "{} trials, {}", arms.iter().map(Arm::trials).sum::<u32>(), about(together))
}

/// A seed that nobody asked for: small, so that it can be typed.
pub fn draw_seed() -> u64 {
    let mut bytes = [0; 4];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(4) => u32::from_le_bytes(bytes).into(),
        _ => std::process::id().into(),
    }
}
