//! How long what is left will take: from what each trial was told to last, and what bringing up has taken so far.

use super::arm::{Arm, Cell};
use crate::goals::Method;
use crate::search::Goal;
use crate::searching::AT_FOUND;
use std::collections::BTreeMap;
use std::time::Duration;

/// Between trials: engines are prepared, and what is on its way arrives.
const BETWEEN: Duration = Duration::from_millis(500);
/// Bringing up a lab with two guests, and so much more for each beyond them, until one has been.
const BOOT: Duration = Duration::from_secs(8);
const BOOT_EACH: Duration = Duration::from_secs(3);
/// The same without guests.
const START: Duration = Duration::from_secs(1);

/// Loads that a search decides on, each for its whole duration sum: about what was seen.
const LOADS: f64 = 6.0;
/// A maximum receive rate: ten trials of a second, and what is between them.
const MRR: Duration = Duration::from_secs(15);
/// The longest burst, once.
const BURSTS: Duration = Duration::from_secs(2);

/// What bringing up has taken.
#[derive(Debug, Default)]
pub(super) struct Estimate {
    /// By the number of guests.
    by_guests: BTreeMap<usize, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    times: u32,
    together: Duration,
}

impl Seen {
    fn mean(&self) -> Option<Duration> {
        (self.times > 0).then(|| self.together / self.times)
    }
}

impl Estimate {
    /// A lab of `arm` was brought up, and ended, in this time.
    pub(super) fn brought_up(&mut self, arm: &Arm, took: Duration) {
        let seen = self.by_guests.entry(arm.topology.vms()).or_default();
        seen.times += 1;
        seen.together += took;
    }

    /// Bringing `arm` up once more.
    pub(super) fn bring_up(&self, arm: &Arm) -> Duration {
        let guests = arm.topology.vms();
        let guess = match guests {
            0 => START,
            _ => BOOT + BOOT_EACH * u32::try_from(guests.saturating_sub(2)).unwrap_or(u32::MAX),
        };
        self.by_guests.get(&guests).and_then(Seen::mean).unwrap_or(guess)
    }

    /// One trial, or the searches of one cell.
    pub(super) fn trial(cell: &Cell) -> Duration {
        let bench = &cell.bench;
        if !cell.methods.is_empty() {
            let length = |method: &Method| match method {
                Method::Mlrsearch(goals) => {
                    let goal = |goal: &Goal| LOADS * goal.duration_sum_s;
                    Duration::from_secs_f64(goals.iter().map(goal).sum())
                }
                Method::Binary(goal) => Duration::from_secs_f64(LOADS * goal.final_trial_s),
                Method::Mrr => MRR,
                Method::BackToBack => BURSTS * bench.search.b2b_repeat,
                Method::Soak => bench.search.soak_duration,
            };
            let after = super::session::latency_plan(bench).map_or(Duration::ZERO, |plan| {
                // On idle ports, and in every load.
                AT_FOUND + (plan.length + BETWEEN) * (1 + plan.at_percent.len() as u32)
            });
            let whole = |method: &Method| {
                let after = if method.finds_load() { after } else { Duration::ZERO };
                length(method).min(bench.search.search_timeout) + after
            };
            return cell.methods.iter().map(whole).sum();
        }
        let latency =
            if bench.latency { bench.duration.min(super::session::LATENCY_MAX) } else { Duration::ZERO };
        bench.warmup + bench.duration + latency + BETWEEN
    }
}

/// For people: `about 4 min`, `about 20 s`.
pub(super) fn about(time: Duration) -> String {
    match time.as_secs() {
        0..=9 => "a few seconds".into(),
        seconds @ 10..=89 => format!("about {} s", (seconds + 5) / 10 * 10),
        seconds @ 90..=5399 => format!("about {} min", (seconds + 30) / 60),
        seconds => format!("about {:.1} h", seconds as f64 / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_exact_as_they_are_known() {
        let told = [3, 14, 88, 90, 600, 7200].map(|s| about(Duration::from_secs(s)));
        assert_eq!(
            told,
            ["a few seconds", "about 10 s", "about 90 s", "about 2 min", "about 10 min", "about 2.0 h"]
        );
    }
}
