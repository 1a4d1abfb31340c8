//! The trials of one or several documents laid out for figures: what was compared with what, and where.
//!
//! A *panel* holds what was measured under one scenario; in it, an *arm* is one competitor, whose colour and mark
//! are the same in every figure; a *cell* holds the repetitions of one arm at one frame size. Where two documents
//! measured the same thing, each document has arms of its own; where they complement each other, they share them.
//!
//! Deliberately absent: figures and words about them.

use std::collections::BTreeSet;

use super::kept::Kept;
use super::{figure, load, text};
use crate::result::{Accelerator, Dataplane, Offered, Trial};
use crate::stats::{Interval, Summary, ratio_interval};

/// One competitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arm {
    /// What to call it in a figure.
    pub(super) label: String,
    /// The document, where documents compete.
    source: Option<usize>,
    dataplane: String,
    /// What tells it from others of the same name, such as `slots=256`.
    variant: String,
}

/// The repetitions of one measurement.
#[derive(Debug)]
pub(super) struct Cell<'a> {
    /// Index of its arm.
    pub(super) arm: usize,
    /// At least one, each with the document it is from.
    pub(super) trials: Vec<(usize, &'a Trial)>,
}

/// What was measured under one scenario.
#[derive(Debug)]
pub(super) struct Panel<'a> {
    /// By arm within frame size, sizes ascending.
    pub(super) cells: Vec<Cell<'a>>,
}

/// Everything there is to show.
#[derive(Debug)]
pub(super) struct Study<'a> {
    /// The documents.
    pub(super) results: &'a [Kept],
    /// Who takes part.
    field: Field<'a>,
    /// The competitors; ratios are to the first.
    pub(super) arms: Vec<Arm>,
    /// In the order in which their first trials were made.
    pub(super) panels: Vec<Panel<'a>>,
}

impl<'a> Cell<'a> {
    /// The first trial, which stands for what all have in common.
    pub(super) fn first(&self) -> &'a Trial {
        self.trials[0].1
    }

    /// The frame size as it was asked for.
    pub(super) fn size(&self) -> &'a str {
        &self.first().frame_size.label
    }

    /// A figure over the repetitions that have it.
    pub(super) fn summary(&self, figure: impl Fn(&Trial) -> Option<f64>) -> Option<Summary> {
        Summary::of(self.trials.iter().filter_map(|(_, trial)| figure(trial)))
    }

    /// The receivers' rate, in millions of frames a second.
    pub(super) fn mpps(&self) -> Option<Summary> {
        self.summary(|trial| Some(trial.throughput.aggregate.rate_mpps))
    }
}

impl<'a> Panel<'a> {
    /// The trial that stands for what all of it have in common.
    pub(super) fn first(&self) -> &'a Trial {
        self.cells[0].first()
    }

    /// The frame sizes, ascending by their mean.
    pub(super) fn sizes(&self) -> Vec<&'a str> {
        let mut sizes: Vec<&str> = self.cells.iter().map(Cell::size).collect();
        sizes.dedup();
        sizes
    }

    /// The cells of one frame size.
    pub(super) fn at<'b>(&'b self, size: &'b str) -> impl Iterator<Item = &'b Cell<'a>> {
        self.cells.iter().filter(move |cell| cell.size() == size)
    }

    /// Indices of the arms that took part, ascending.
    pub(super) fn arms(&self) -> BTreeSet<usize> {
        self.cells.iter().map(|cell| cell.arm).collect()
    }

    /// Indices of the documents it is made from.
    pub(super) fn sources(&self) -> BTreeSet<usize> {
        self.cells.iter().flat_map(|cell| cell.trials.iter().map(|(source, _)| *source)).collect()
    }

    /// Whether any guest was translated, not executed.
    pub(super) fn is_tcg(&self) -> bool {
        let mut trials = self.cells.iter().flat_map(|cell| &cell.trials);
        trials.any(|(_, trial)| trial.dataplane.accelerator == Accelerator::Tcg)
    }

    /// `VM to VM (v2v), 2 guests, one way, as fast as possible`.
    pub(super) fn title(&self) -> String {
        let trial = self.first();
        let mut parts = vec![scenario(&trial.scenario)];
        if trial.vms > 0 {
            parts.push(figure::count(trial.vms, "guest"));
        } else if trial.ports.len() > 2 {
            parts.push(format!("{} ports", trial.ports.len()));
        }
        parts.push(figure::direction(trial.direction).into());
        parts.push(figure::offered(trial.offered));
        if trial.flows > 1 {
            parts.push(figure::count(trial.flows, "flow"));
        }
        parts.extend(trial.load.iter().flat_map(load::words).map(|words| text::plain(&words)));
        parts.join(", ")
    }

    /// A name for files and links: `v2v-2vm-uni`.
    pub(super) fn slug(&self) -> String {
        let trial = self.first();
        let mut parts = vec![trial.scenario.clone()];
        if trial.vms > 0 {
            parts.push(format!("{}vm", trial.vms));
        } else if trial.ports.len() > 2 {
            parts.push(format!("{}ports", trial.ports.len()));
        }
        parts.push(trial.direction.label().into());
        match trial.offered {
            Offered::Max => {}
            Offered::Pps { rate_pps } => parts.push(format!("{rate_pps:.0}pps")),
            Offered::L1 { rate_l1_bps } => parts.push(format!("{rate_l1_bps:.0}bps-l1")),
            Offered::L2 { rate_l2_bps } => parts.push(format!("{rate_l2_bps:.0}bps-l2")),
        }
        if trial.flows > 1 {
            parts.push(format!("{}flows", trial.flows));
        }
        parts.extend(trial.load.iter().flat_map(load::words));
        text::slug(&parts.join("-"))
    }
}

/// A scenario in words, its name behind it.
pub(super) fn scenario(name: &str) -> String {
    let words = match name {
        "v2v" => "VM to VM",
        "v2v-one-to-many" => "One VM to all others",
        "v2v-many-to-one" => "All VMs to one",
        "p2p" => "Host port to host port",
        "p2v" => "Host port to VM",
        "v2p" => "VM to host port",
        "loopback" => "Through a chain of VMs",
        other => return text::plain(other),
    };
    format!("{words} ({name})")
}

/// Whether two trials belong to one panel.
fn same_panel(a: &Trial, b: &Trial) -> bool {
    same_guests_aside(a, b) && a.vms == b.vms && a.ports.len() == b.ports.len() && a.offered == b.offered
}

/// Whether two trials differ at most in the number of guests and ports, load, frame size and competitor.
pub(super) fn same_guests_aside(a: &Trial, b: &Trial) -> bool {
    a.scenario == b.scenario && a.direction == b.direction && a.flows == b.flows && a.load == b.load
}

impl<'a> Study<'a> {
    /// Lays out all trials of `results`. Searches have arms, and no panels: their loads differ.
    pub(super) fn new(results: &'a [Kept]) -> Study<'a> {
        let trials = || {
            let all = results.iter().enumerate();
            all.flat_map(|(source, kept)| kept.document.trials.iter().map(move |trial| (source, trial)))
        };
        let measured = trials().map(|(source, trial)| Heat { source, trial, searched: false });
        let searches = results.iter().enumerate().flat_map(|(source, kept)| {
            let first = kept.document.searches.iter().filter_map(|search| search.trials.first());
            // Like is compared with like: the first trial of a search is of the same load as that of another.
            first.map(move |trial| Heat { source, trial: &trial.raw, searched: true })
        });
        let field = Field::new(measured.chain(searches));
        let arms = field.arms(results);
        let mut study = Study { results, field, arms, panels: Vec::new() };
        for (source, trial) in trials() {
            let arm = study.arm_of(source, &trial.dataplane).expect("every trial was looked at for arms");
            study.place(source, trial, arm);
        }
        study.panels.sort_by_key(|panel| {
            let first = panel.first();
            figure::place(&first.scenario, first.vms, first.direction)
        });
        for panel in &mut study.panels {
            panel.cells.sort_by(|a, b| {
                let mean = |cell: &Cell<'_>| cell.first().frame_size.mean_bytes();
                mean(a).total_cmp(&mean(b)).then_with(|| a.size().cmp(b.size())).then(a.arm.cmp(&b.arm))
            });
        }
        study
    }

    /// The arm of what was measured with `dataplane` in document `source`.
    pub(super) fn arm_of(&self, source: usize, dataplane: &Dataplane) -> Option<usize> {
        let arm = self.field.arm(source, dataplane);
        self.arms.iter().position(|known| known.is(&arm))
    }

    fn place(&mut self, source: usize, trial: &'a Trial, arm: usize) {
        let at = self.panels.iter().position(|panel| same_panel(panel.first(), trial));
        let panel = match at {
            Some(at) => &mut self.panels[at],
            None => {
                self.panels.push(Panel { cells: Vec::new() });
                self.panels.last_mut().expect("one was just pushed")
            }
        };
        let known = |cell: &&mut Cell<'_>| cell.arm == arm && cell.first().frame_size == trial.frame_size;
        match panel.cells.iter_mut().find(known) {
            Some(cell) => cell.trials.push((source, trial)),
            None => panel.cells.push(Cell { arm, trials: vec![(source, trial)] }),
        }
    }

    /// An arm's name.
    pub(super) fn label(&self, arm: usize) -> &str {
        self.arms.get(arm).map_or("", |arm| &arm.label)
    }

    /// The first arm at the size of `cell`, which is another.
    fn reference<'b>(&self, panel: &'b Panel<'a>, cell: &'b Cell<'a>) -> Option<&'b Cell<'a>> {
        panel.at(cell.size()).find(|first| first.arm == 0).filter(|first| first.arm != cell.arm)
    }

    /// The median rate of `cell` over that of the first arm at the same size; `None` for the first itself.
    pub(super) fn ratio(&self, panel: &Panel<'a>, cell: &Cell<'a>) -> Option<f64> {
        let ratio = cell.mpps()?.median / self.reference(panel, cell)?.mpps()?.median;
        ratio.is_finite().then_some(ratio)
    }

    /// The 95 % interval of that ratio; `None` with fewer than five repetitions.
    fn interval(&self, panel: &Panel<'a>, cell: &Cell<'a>) -> Option<Interval> {
        let reference = self.reference(panel, cell)?;
        let rates = |cell: &Cell<'_>| -> Vec<f64> {
            cell.trials.iter().map(|(_, trial)| trial.throughput.aggregate.rate_mpps).collect()
        };
        // Both sides of a round met the same minute of the machine, if it was one run.
        let rounds = |cell: &Cell<'_>| -> Vec<(usize, u32)> {
            cell.trials.iter().map(|(source, trial)| (*source, trial.repeat)).collect()
        };
        let paired = rounds(cell) == rounds(reference);
        ratio_interval(&rates(cell), &rates(reference), paired, CONFIDENCE, SEED)
    }

    /// Ratio and interval as they are written: `0.37`, `0.37 (0.35..0.39)`; `1.00` for the first arm.
    pub(super) fn ratio_words(&self, panel: &Panel<'a>, cell: &Cell<'a>) -> String {
        match (self.ratio(panel, cell), self.interval(panel, cell)) {
            (Some(ratio), Some(Interval { low, high })) => format!("{ratio:.2} ({low:.2}..{high:.2})"),
            (Some(ratio), None) => format!("{ratio:.2}"),
            (None, _) if cell.arm == 0 => "1.00".into(),
            (None, _) => "-".into(),
        }
    }
}

/// Of intervals, and what their resamples are drawn from: a document is shown alike each time.
const CONFIDENCE: f64 = 0.95;
const SEED: u64 = 1;

impl Arm {
    /// Whether both are one competitor, whatever they are called.
    fn is(&self, other: &Arm) -> bool {
        (self.source, &self.dataplane, &self.variant) == (other.source, &other.dataplane, &other.variant)
    }
}

/// A measurement, whose repetitions are left out.
#[derive(Debug, Clone, Copy)]
struct Heat<'a> {
    source: usize,
    trial: &'a Trial,
    /// Whether it is a search's, which is compared with searches alone.
    searched: bool,
}

impl Heat<'_> {
    /// Whether two measurements differ at most in document and competitor.
    fn is_like(&self, other: &Heat<'_>) -> bool {
        self.searched == other.searched
            && self.trial.frame_size == other.trial.frame_size
            && same_panel(self.trial, other.trial)
    }
}

/// Everybody who takes part, to tell who has to be told from whom.
#[derive(Debug)]
struct Field<'a> {
    heats: Vec<Heat<'a>>,
    /// Whether documents compete.
    compete: bool,
    /// What tells each dataplane from its rivals.
    variants: Vec<(&'a Dataplane, String)>,
}

impl<'a> Field<'a> {
    fn new(measurements: impl Iterator<Item = Heat<'a>>) -> Field<'a> {
        let mut heats: Vec<Heat<'a>> = Vec::new();
        for heat in measurements {
            let known = |known: &Heat<'_>| {
                known.source == heat.source
                    && known.trial.dataplane == heat.trial.dataplane
                    && known.is_like(&heat)
            };
            if !heats.iter().any(known) {
                heats.push(heat);
            }
        }
        let mut pairs = heats.iter().enumerate().flat_map(|(i, a)| heats[..i].iter().map(move |b| (a, b)));
        let compete = pairs.any(|(a, b)| {
            a.source != b.source && a.trial.dataplane.name == b.trial.dataplane.name && a.is_like(b)
        });
        let mut variants: Vec<(&Dataplane, String)> = Vec::new();
        for Heat { trial, .. } in &heats {
            if variants.iter().all(|(known, _)| **known != trial.dataplane) {
                variants.push((&trial.dataplane, variant(&heats, &trial.dataplane)));
            }
        }
        Field { heats, compete, variants }
    }

    /// The arm of a trial with `dataplane` in document `source`, without its name.
    fn arm(&self, source: usize, dataplane: &Dataplane) -> Arm {
        let variant = self.variants.iter().find(|(known, _)| *known == dataplane);
        Arm {
            label: String::new(),
            source: self.compete.then_some(source),
            dataplane: dataplane.name.clone(),
            variant: variant.map(|(_, variant)| variant.clone()).unwrap_or_default(),
        }
    }

    /// All arms, by document where these compete, then in the order in which dataplanes were asked for.
    fn arms(&self, results: &[Kept]) -> Vec<Arm> {
        let mut names = self.heats.iter().map(|heat| heat.trial.dataplane.name.as_str());
        let first = names.next();
        let single = names.all(|name| Some(name) == first);
        let mut arms: Vec<(usize, Arm)> = Vec::new();
        for Heat { source, trial, .. } in &self.heats {
            let mut arm = self.arm(*source, &trial.dataplane);
            if arms.iter().any(|(_, known)| known.is(&arm)) {
                continue;
            }
            let document = &results[*source].name;
            arm.label = match (self.compete, single) {
                (false, _) => text::plain(&arm.dataplane),
                (true, true) => document.clone(),
                (true, false) => format!("{document}: {}", text::plain(&arm.dataplane)),
            };
            if !arm.variant.is_empty() {
                arm.label.push_str(&format!(", {}", text::plain(&arm.variant)));
            }
            let order = &results[*source].document.plan.dataplanes;
            arms.push((order.iter().position(|name| *name == arm.dataplane).unwrap_or(order.len()), arm));
        }
        arms.sort_by_key(|(place, arm)| (arm.source, *place));
        arms.into_iter().map(|(_, arm)| arm).collect()
    }
}

/// What tells `dataplane` from others of its name in the same document: the parameters that differ. Empty where
/// there is no other.
fn variant(heats: &[Heat<'_>], dataplane: &Dataplane) -> String {
    let mut differ: BTreeSet<&str> = BTreeSet::new();
    for heat in heats.iter().filter(|heat| heat.trial.dataplane == *dataplane) {
        let rivals = heats.iter().filter(|rival| {
            rival.source == heat.source
                && rival.trial.dataplane.name == dataplane.name
                && rival.trial.dataplane != *dataplane
                && rival.is_like(heat)
        });
        for Heat { trial: rival, .. } in rivals {
            let (mine, other) = (&dataplane.parameters, &rival.dataplane.parameters);
            differ.extend(
                mine.keys().chain(other.keys()).filter(|n| mine.get(*n) != other.get(*n)).map(String::as_str),
            );
            if rival.dataplane.accelerator != dataplane.accelerator {
                differ.insert("accelerator");
            }
            if rival.dataplane.guest_driver != dataplane.guest_driver {
                differ.insert("driver");
            }
        }
    }
    let value = |name: &str| match name {
        "accelerator" => dataplane.accelerator.label(),
        "driver" => dataplane.guest_driver.as_deref().unwrap_or("none"),
        name => dataplane.parameters.get(name).map_or("none", String::as_str),
    };
    differ.iter().map(|name| format!("{name}={}", value(name))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
