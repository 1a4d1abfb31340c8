//! What could be wrong with a search, and how it is told while it goes on.

use crate::result::{GoalResult, SearchMethod, SearchRecord, SearchTrial, TrialPurpose, Warning};

/// What could be wrong: the sender's limits and the receivers' pauses where they decided a result, and of everything
/// else that no trial should show, the worst that any did. Loss is what a search is about, and a
/// warning in a soak test alone.
pub(super) fn warnings(record: &SearchRecord) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = Vec::new();
    for result in &record.results {
        let Some(upper) = &result.relevant_upper_bound else { continue };
        let at_upper = || {
            let at = |trial: &&SearchTrial| trial.intended_load_pps == Some(upper.load_pps);
            record.trials.iter().filter(at)
        };
        if result.sender_limited {
            worst(&mut warnings, &Warning::SenderLimited);
            at_upper().for_each(|trial| of_kind(&mut warnings, trial, &["offered_not_reached"]));
        } else {
            at_upper().for_each(|trial| of_kind(&mut warnings, trial, &["receiver_paused"]));
        }
    }
    if record.method == SearchMethod::Soak {
        let of_soaks = ["loss", "offered_not_reached", "receiver_paused"];
        let soaks = record.trials.iter().filter(|trial| trial.purpose == TrialPurpose::Search);
        soaks.for_each(|trial| of_kind(&mut warnings, trial, &of_soaks));
    }
    let always = ["oversubscribed", "unaccounted", "sequence_errors", "corrupt_frames", "foreign_frames"];
    record.trials.iter().for_each(|trial| of_kind(&mut warnings, trial, &always));
    let probes = record.round_trips.iter().flat_map(|trial| &trial.warnings);
    probes.filter(|w| w.kind() == "probes_lost").for_each(|warning| worst(&mut warnings, warning));
    warnings
}

fn of_kind(warnings: &mut Vec<Warning>, trial: &SearchTrial, kinds: &[&str]) {
    let wanted = trial.raw.warnings.iter().filter(|warning| kinds.contains(&warning.kind()));
    wanted.for_each(|warning| worst(warnings, warning));
}

/// Keeps the worst of each kind.
fn worst(warnings: &mut Vec<Warning>, warning: &Warning) {
    match warnings.iter_mut().find(|known| known.kind() == warning.kind()) {
        Some(known) if warning.magnitude() > known.magnitude() => *known = warning.clone(),
        Some(_) => {}
        None => warnings.push(warning.clone()),
    }
}

/// A load of each sender as the rate of all.
pub(super) fn mpps(load_pps: f64, senders: u32) -> String {
    format!("{:.3} Mpps", load_pps * f64::from(senders) / 1e6)
}

/// `0 %`, `0.0012 %`, `3.4 %`.
pub(super) fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    match percent {
        0.0 => "0 %".into(),
        small if small < 0.0001 => "<0.0001 %".into(),
        small if small < 0.1 => format!("{small:.4} %"),
        _ => format!("{percent:.1} %"),
    }
}

/// `ndr 11.900..12.100`, in Mpps; `?` where there is no bound.
pub(super) fn bounds(result: &GoalResult, senders: u32) -> String {
    let figure = |load: Option<f64>| {
        load.map_or("?".to_owned(), |load| format!("{:.3}", load * f64::from(senders) / 1e6))
    };
    let upper = result.relevant_upper_bound.as_ref().map(|bound| bound.load_pps);
    format!("{} {}..{}", result.goal.name, figure(result.throughput_pps()), figure(upper))
}

/// How a search ended, in a few words.
pub(super) fn summary(record: &SearchRecord) -> String {
    let made = record.trials.iter().filter(|trial| trial.purpose == TrialPurpose::Search).count();
    let mut parts: Vec<String> = record.results.iter().map(|result| bounds(result, record.senders)).collect();
    if let Some(rate) = &record.max_receive_rate {
        parts.push(format!("{:.3} Mpps", rate.mean.rate_mpps));
    }
    if let Some(bursts) = &record.back_to_back {
        parts.push(format!("bursts of {:.0} frames", bursts.mean_frames));
    }
    if made > 0 {
        parts.push(format!("{made} {}", if made == 1 { "trial" } else { "trials" }));
    }
    parts.join(", ")
}
