//! Which processors the busy threads of a lab get, and so what they may do when idle. The same for every dataplane.

use super::Idle;
use crate::cli::{BenchArgs, IdleChoice};
use crate::exit::Fail;
use crate::machine::usable_cpus;
use std::collections::BTreeSet;

/// Where a lab's threads run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The switch's processor, if it is pinned.
    pub switch: Option<usize>,
    /// Processors of the stations, in order; none beyond the end.
    pub stations: Vec<usize>,
    /// What all of them do without work.
    pub idle: Idle,
}

impl Placement {
    /// As `--pin` says: the first for the switch, the others for the stations in order, from the front again when
    /// they run out. Without it every busy thread gets a processor of its own if there are enough.
    pub fn choose(bench: &BenchArgs, stations: usize) -> Result<Placement, Fail> {
        let usable: Vec<usize> = usable_cpus().into_iter().map(|cpu| cpu as usize).collect();
        let busy = 1 + stations;
        let by_load = |processors| match bench.idle {
            IdleChoice::Auto => Idle::by_load(busy, processors),
            IdleChoice::Poll => Idle::Poll,
            IdleChoice::Nap => Idle::Nap,
        };
        let Some(list) = &bench.pin else {
            let pin = busy <= usable.len();
            // The engine goes first: the first processor tends to be where the caller's caches are warm.
            let stations = if pin { usable[..stations].to_vec() } else { Vec::new() };
            let switch = pin.then(|| usable[busy - 1]);
            return Ok(Placement { switch, stations, idle: by_load(usable.len()) });
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
        let distinct: BTreeSet<_> = list.iter().take(busy).collect();
        let stations = rest.iter().copied().cycle().take(stations).collect();
        Ok(Placement { switch: Some(switch), stations, idle: by_load(distinct.len()) })
    }

    /// Of each ring: as asked for, or as the sharing of processors demands.
    #[must_use]
    pub fn slots(&self, bench: &BenchArgs) -> u32 {
        bench.slots.unwrap_or(self.idle.slots())
    }
}
