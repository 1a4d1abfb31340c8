//! What a search is kept as: the document's words for what the controllers say.

use super::SearchSpec;
use crate::dataplane::Lab;
use crate::goals::Method;
use crate::result::{
    GoalResult, Irregular, LoadBound, SearchGoal, SearchMethod, SearchRecord, SearchTrial, TrialPurpose,
};
use crate::search::{self, Goal, Irregularity};

/// The record of a search that begins.
pub(super) fn empty(lab: &Lab, spec: &SearchSpec) -> SearchRecord {
    let senders: std::collections::BTreeSet<usize> = spec.trial.flows.iter().map(|flow| flow.from).collect();
    SearchRecord {
        method: match spec.method {
            Method::Mlrsearch(_) => SearchMethod::Mlrsearch,
            Method::Binary(_) => SearchMethod::Binary,
            Method::Mrr => SearchMethod::Mrr,
            Method::BackToBack => SearchMethod::BackToBack,
            Method::Soak => SearchMethod::Soak,
        },
        scenario: spec.trial.scenario.into(),
        dataplane: lab.switch.describe(),
        vms: lab.vms.len() as u32,
        senders: senders.len() as u32,
        frame_size: spec.trial.size.frame_size(),
        direction: spec.trial.direction,
        flows: spec.trial.header_flows,
        repeat: spec.trial.repeat,
        min_load_pps: 0.0,
        max_load_pps: 0.0,
        sender_max_pps: 0.0,
        results: Vec::new(),
        max_receive_rate: None,
        back_to_back: None,
        trials: Vec::new(),
        round_trips: None,
        trial_time_s: 0.0,
        elapsed_s: 0.0,
        incomplete: None,
        warnings: Vec::new(),
    }
}

/// Whether two searches were made under the same circumstances.
pub(super) fn alike(a: &SearchRecord, b: &SearchRecord) -> bool {
    a.scenario == b.scenario
        && a.dataplane == b.dataplane
        && a.vms == b.vms
        && a.frame_size == b.frame_size
        && a.direction == b.direction
        && a.flows == b.flows
}

fn goal(goal: &Goal) -> SearchGoal {
    let Goal {
        name,
        final_trial_s,
        duration_sum_s,
        loss_ratio,
        exceed_ratio,
        width,
        initial_trial_s,
        preceding_targets,
        expansion,
    } = goal.clone();
    SearchGoal {
        name,
        final_trial_duration_s: final_trial_s,
        duration_sum_s,
        loss_ratio,
        exceed_ratio,
        width,
        initial_trial_duration_s: initial_trial_s,
        preceding_targets,
        expansion,
    }
}

fn bound(bound: &search::Bound) -> LoadBound {
    LoadBound {
        load_pps: bound.load_pps,
        full_low_loss_s: bound.tally.full_low_s,
        full_high_loss_s: bound.tally.full_high_s,
        short_low_loss_s: bound.tally.short_low_s,
        short_high_loss_s: bound.tally.short_high_s,
        reason: bound.tally.sentence(),
    }
}

/// What was found for a goal, and what the trials say about it beside.
pub(super) fn result(found: &search::GoalResult, trials: &[SearchTrial]) -> GoalResult {
    let limit = found.goal.loss_ratio;
    let searched = || trials.iter().filter(|trial| trial.purpose == TrialPurpose::Search);
    let loads = |high_loss: bool| {
        searched().filter(move |t| (t.loss_ratio > limit) == high_loss).filter_map(|t| t.intended_load_pps)
    };
    // High loss, but not of what was sent.
    let too_slow = |trial: &&SearchTrial| {
        let lost = trial.offered_frames.saturating_sub(trial.forwarded_frames);
        trial.loss_ratio > limit && lost as f64 <= limit * trial.offered_frames as f64
    };
    let sender_limited = found.upper.as_ref().is_some_and(|upper| {
        let at_upper = || searched().filter(|trial| trial.intended_load_pps == Some(upper.load_pps));
        let high_loss = at_upper().filter(|trial| trial.loss_ratio > limit).count();
        high_loss > 0 && 2 * at_upper().filter(too_slow).count() >= high_loss
    });
    GoalResult {
        goal: goal(&found.goal),
        relevant_lower_bound: found.lower.as_ref().map(bound),
        relevant_upper_bound: found.upper.as_ref().map(bound),
        conditional_throughput_pps: found.conditional_throughput_pps,
        lowest_high_loss_pps: loads(true).reduce(f64::min),
        highest_low_loss_pps: loads(false).reduce(f64::max),
        sender_limited,
        irregular: found.irregular.map(|irregular| match irregular {
            Irregularity::NoUpperBound => Irregular::NoUpperBound,
            Irregularity::NoLowerBound => Irregular::NoLowerBound,
            Irregularity::TooWide => Irregular::TooWide,
        }),
    }
}
