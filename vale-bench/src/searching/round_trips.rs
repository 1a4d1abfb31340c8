//! Round trips after a search: inside parts of the load that it found, on the lab that it found it on, while it is up.
//!
//! Of a search for several goals it is the load of the first that was reached, ndr's as a rule.

use std::time::Duration;

use pktgen::spec::Rate;

use super::{Running, max_receive_rate};
use crate::exit::Fail;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::result::{GoalResult, SearchMethod, SearchRecord};
use crate::trial::{self, LatencyPlan, TrialSpec};

/// How long the load that was found is sent once more before.
pub const AT_FOUND: Duration = Duration::from_secs(1);

impl Running<'_> {
    /// Measures the round trips that were asked for, if there is a load to have parts of.
    pub(super) fn round_trips(&mut self, interrupt: &Interrupt, progress: &Progress) -> Result<(), Fail> {
        let template = &self.spec.trial;
        let (Some(plan), Some(load_pps)) = (&template.latency, found_load(&self.record)) else {
            return Ok(());
        };
        let spec = TrialSpec {
            rate: Rate::Pps(load_pps),
            duration: AT_FOUND,
            warmup: Duration::ZERO,
            window: template.window.min(AT_FOUND),
            latency: Some(LatencyPlan { full_pps: Some(load_pps), ..plan.clone() }),
            order: self.record.trials.len() as u32 + 1,
            ..template.clone()
        };
        let measured = self.lab.awake(|lab| trial::run(lab, &spec, interrupt, progress))?;
        for fault in self.lab.switch.faults() {
            progress.println(&fault);
        }
        self.record.round_trips = Some(measured);
        Ok(())
    }
}

/// The load of each sender that a search found, if it found one.
fn found_load(record: &SearchRecord) -> Option<f64> {
    let received = || {
        let rate = max_receive_rate(&record.trials).filter(|_| record.method == SearchMethod::Mrr)?;
        Some(rate.mean.rate_mpps * 1e6 / f64::from(record.senders))
    };
    let found = record.results.iter().find_map(GoalResult::throughput_pps).or_else(received);
    found.filter(|load| *load >= 1.0 && record.incomplete.is_none())
}
