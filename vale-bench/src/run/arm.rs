//! What is brought up alike, and what is measured on it.

use crate::cli::{BenchArgs, ForwarderChoice, VmArgs};
use crate::dataplane::{Dataplane, Placement, registry};
use crate::exit::Fail;
use crate::goals::{self, Method};
use crate::load::Load;
use crate::result::{Direction, Offered, SearchMethod, SearchRecord, Trial};
use crate::scenario::{Forwarder, Topology};
use crate::units::{SizeSpec, check_frame_size};
use std::rc::Rc;
use std::sync::Arc;

use super::{MAX_FRAME, searches};

/// One thing to measure, at all of its sizes and repetitions.
#[derive(Clone)]
pub struct Job {
    /// What is connected how.
    pub topology: Topology,
    /// What carries the packets.
    pub dataplane: String,
    /// How to bring it up and how to measure.
    pub bench: Rc<BenchArgs>,
    /// How to run guests, where there are some.
    pub vm: Option<Rc<VmArgs>>,
}

/// One trial of each round, or some searches.
#[derive(Clone)]
pub struct Cell {
    /// How to measure.
    pub bench: Rc<BenchArgs>,
    /// Frames.
    pub size: SizeSpec,
    /// What the load is like beyond sizes and rate.
    pub load: Load,
    /// What to search for, one after the other, since a soak test takes its load from the search before it; none for
    /// a trial.
    pub methods: Vec<Method>,
}

impl Cell {
    /// Whether a result could not tell the two apart.
    fn is_as(&self, other: &Cell) -> bool {
        self.bench.direction() == other.bench.direction()
            && self.size.frame_size() == other.size.frame_size()
            && self.bench.rate == other.bench.rate
            && self.bench.flows == other.bench.flows
            && self.bench.load == other.bench.load
            && self.methods == other.methods
    }

    /// Trials or searches of each round.
    pub fn steps(&self) -> u32 {
        self.methods.len().max(1) as u32
    }

    /// Whether `record` is the search for `method`, in the round `repeat`.
    pub fn is_search(&self, record: &SearchRecord, method: &Method, repeat: u32) -> bool {
        let kind = match method {
            Method::Mlrsearch(_) => SearchMethod::Mlrsearch,
            Method::Binary(_) => SearchMethod::Binary,
            Method::Mrr => SearchMethod::Mrr,
            Method::BackToBack => SearchMethod::BackToBack,
            Method::Soak => SearchMethod::Soak,
        };
        let same_goals = match method {
            Method::Mlrsearch(goals) => {
                goals.iter().map(|goal| &goal.name).eq(record.results.iter().map(|result| &result.goal.name))
            }
            _ => true,
        };
        record.method == kind
            && same_goals
            && record.repeat == repeat
            && record.direction == self.bench.direction()
            && record.frame_size == self.size.frame_size()
            && record.flows == self.bench.flows
    }

    /// Whether `trial` is this one, in the round `repeat`.
    pub fn is(&self, trial: &Trial, repeat: u32) -> bool {
        trial.repeat == repeat
            && trial.direction == self.bench.direction()
            && trial.frame_size == self.size.frame_size()
            && trial.offered == Offered::from(self.bench.rate)
            && trial.flows == self.load.flows(self.bench.flows)
            && trial.load.as_ref().is_none_or(|load| *load == self.load.describe())
    }
}

/// A topology on a dataplane, brought up with the same options.
pub struct Arm {
    /// What is connected how.
    pub topology: Topology,
    /// What carries the packets.
    pub plane: Arc<dyn Dataplane>,
    /// Options it is brought up with.
    pub bench: Rc<BenchArgs>,
    /// Options of guests it is brought up with.
    pub vm: Option<Rc<VmArgs>>,
    /// Where its threads run.
    pub placement: Placement,
    /// What is measured in each round.
    pub cells: Vec<Cell>,
}

impl Arm {
    fn of(job: Job) -> Result<Arm, Fail> {
        job.bench.check(Some(MAX_FRAME))?;
        job.vm.iter().try_for_each(|vm| vm.check())?;
        let plane = registry::find(&job.dataplane).map_err(Fail::usage)?;
        let topology = forwarding(job.topology, plane.as_ref(), job.vm.as_deref())?;
        let placement = Placement::choose(&job.bench, topology.stations.len())?;
        let methods = goals::methods(&job.bench.search)?;
        searches::check(&job.bench, &methods)?;
        let load = Load::from_args(&job.bench.load, topology.vms() > 0)?;
        if let (Some(queues @ 2..), 1) = (job.bench.vhost.queues, load.flows(job.bench.flows))
            && job.bench.load.pcap.is_none()
        {
            return Err(Fail::usage(format!(
                "a flow goes through one queue, and there is one flow: --queues {queues} takes --flows, as in --flows 64"
            )));
        }
        let sizes = load.sizes().map_or_else(|| job.bench.size.clone(), |file| vec![file]);
        check_frame_size(&sizes, Some(MAX_FRAME)).map_err(Fail::usage)?;
        let cell = |size: SizeSpec| Cell {
            bench: job.bench.clone(),
            size,
            load: load.clone(),
            methods: methods.clone(),
        };
        let cells = sizes.into_iter().map(cell).collect();
        Ok(Arm { topology, plane, bench: job.bench, vm: job.vm, placement, cells })
    }

    /// Whether what is up for one serves the other.
    fn serves(&self, other: &Arm) -> bool {
        self.topology == other.topology
            && self.plane.name() == other.plane.name()
            && self.placement == other.placement
            && self.bench.brings_up_like(&other.bench)
            && self.vm == other.vm
    }

    /// Trials and searches of all rounds.
    pub fn trials(&self) -> u32 {
        self.cells.iter().map(|cell| cell.bench.repeat * cell.steps()).sum()
    }

    /// Rounds in which it takes part.
    pub fn rounds(&self) -> u32 {
        self.cells.iter().map(|cell| cell.bench.repeat).max().unwrap_or(0)
    }

    /// For people: `v2v on uvale`.
    pub fn name(&self) -> String {
        format!("{} on {}", self.scenario(), self.plane.name())
    }

    /// For people: `v2v`, and where there may be any number of guests, or more than usual, `loopback of 3`.
    fn scenario(&self) -> String {
        let (scenario, guests) = (self.topology.scenario, self.topology.vms());
        let usual = if self.topology.wanted(None).host_ports { 1 } else { 2 };
        if self.topology.forwards() || guests > usual {
            format!("{scenario} of {guests}")
        } else {
            scenario.to_owned()
        }
    }
}

/// The topology with what passes frames on in its guests, as the command line has it for `plane`.
fn forwarding(topology: Topology, plane: &dyn Dataplane, vm: Option<&VmArgs>) -> Result<Topology, Fail> {
    if vm.is_none_or(|vm| vm.forwarder == ForwarderChoice::Program) {
        return Ok(topology);
    }
    if !topology.forwards() {
        let sentence = format!("--forwarder is for chains of guests, and {} has none", topology.scenario);
        return Err(Fail::usage(sentence));
    }
    let has_switch = plane.options().contains(&"--forwarder vale");
    Ok(topology.forwarding_by(if has_switch { Forwarder::Vale } else { Forwarder::Engine }))
}

/// Puts jobs together that can be measured on what is brought up once.
pub fn arms(jobs: Vec<Job>) -> Result<Vec<Arm>, Fail> {
    let mut arms: Vec<Arm> = Vec::new();
    for job in jobs {
        let arm = Arm::of(job)?;
        let Some(known) = arms.iter_mut().find(|known| known.serves(&arm)) else {
            arms.push(arm);
            continue;
        };
        for cell in arm.cells {
            match known.cells.iter().find(|other| other.is_as(&cell)) {
                None => known.cells.push(cell),
                Some(same) if same.bench == cell.bench => {}
                Some(_) => {
                    let what = label(known, &cell);
                    return Err(Fail::usage(format!("{what} is to be measured twice, in different ways")));
                }
            }
        }
    }
    Ok(arms)
}

/// `p2p uvale 64 B uni`.
pub(super) fn label(arm: &Arm, cell: &Cell) -> String {
    let size = cell.size.frame_size().label;
    let unit = if size.chars().all(|c| c.is_ascii_digit()) { " B" } else { "" };
    let direction: Direction = cell.bench.direction();
    format!("{} {} {size}{unit} {}", arm.scenario(), arm.plane.name(), direction.label())
}
