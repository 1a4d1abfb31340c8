//! Beside the headline: round trips by load, how well senders kept their schedules, and where processor time went.

use super::figure::{micros, percent, scaled, significant};
use super::group::{Row, Section};
use super::search::Searches;
use crate::result::{Arrivals, Cost, FlowOrder, Latency, Load, LoadedLatency, Pacing, ThreadKind, Trial};
use crate::stats::median;

/// Header and rows of a table.
pub(super) type Cells = (Vec<&'static str>, Vec<Vec<String>>);

/// The repetitions of one measurement, at least one: dataplane, frame size, trials.
pub(super) type Repeats<'a> = (&'a str, &'a str, Vec<&'a Trial>);

/// Round trips inside loads, if any were measured: idle ports and the engine's floor beside them.
pub(super) fn round_trips(section: &Section<'_>) -> Option<Cells> {
    let rows = section.rows.iter().map(|row| (row.dataplane(), row.size(), row.trials.clone()));
    // Those on idle ports alone are in the table of throughputs.
    round_trips_of(rows.filter(|(.., trials)| !trials[0].latency_under_load.is_empty()))
}

/// Round trips on idle ports and inside the loads of the first repetition.
pub(super) fn round_trips_of<'a>(measured: impl Iterator<Item = Repeats<'a>>) -> Option<Cells> {
    let mut rows = Vec::new();
    for (dataplane, size, trials) in measured {
        let mut add = |load: String, mpps: String, of: &dyn Fn(&Trial) -> Option<&Latency>| {
            let figure = |ns: fn(&Latency) -> u64| {
                let times = trials.iter().filter_map(|trial| of(trial)).map(|latency| ns(latency) as f64);
                median(times).map_or_else(|| "-".into(), micros)
            };
            let lost = trials.iter().filter_map(|trial| of(trial));
            let lost = median(lost.map(|l| l.lost as f64 / (l.lost + l.count).max(1) as f64));
            let figures =
                [figure(|l| l.p50_ns), figure(|l| l.p99_ns), figure(|l| l.p99_9_ns), figure(|l| l.max_ns)];
            let mut cells = vec![dataplane.to_owned(), size.to_owned(), load, mpps];
            cells.extend(figures);
            cells.push(lost.map_or_else(|| "-".into(), percent));
            rows.push(cells);
        };
        add("floor".into(), "-".into(), &|trial| trial.latency_floor.as_ref());
        add("idle".into(), "-".into(), &|trial| trial.latency.as_ref());
        for wanted in trials[0].latency_under_load.iter().map(|loaded| loaded.percent) {
            fn at(trial: &Trial, wanted: f64) -> Option<&LoadedLatency> {
                trial.latency_under_load.iter().find(|loaded| loaded.percent == wanted)
            }
            let received = trials.iter().filter_map(|trial| at(trial, wanted)).map(|l| l.received_mpps);
            let mpps = median(received).map_or_else(|| "-".into(), significant);
            add(format!("{wanted} %"), mpps, &|trial| at(trial, wanted)?.from_due.as_ref());
        }
    }
    let header =
        vec!["Dataplane", "Frame", "Load", "Mpps", "p50 µs", "p99 µs", "p99.9 µs", "max µs", "Lost %"];
    (!rows.is_empty()).then_some((header, rows))
}

/// Where processor time went, if that was measured.
pub(super) fn costs(section: &Section<'_>) -> Option<Cells> {
    fn of_row<'a>(row: &Row<'a>) -> Vec<&'a Cost> {
        row.trials.iter().filter_map(|trial| trial.cost.as_ref()).collect()
    }
    let exits = |costs: &[&Cost]| {
        let exits =
            costs.iter().flat_map(|cost| cost.guests.iter().filter_map(|guest| guest.exits)).sum::<u64>();
        let frames = costs.iter().map(|cost| cost.frames).sum::<u64>();
        (exits > 0 && frames > 0).then(|| exits as f64 / frames as f64)
    };
    let measured: Vec<(&Row<'_>, Vec<&Cost>)> =
        section.rows.iter().map(|row| (row, of_row(row))).filter(|(_, costs)| !costs.is_empty()).collect();
    let any_exits = measured.iter().any(|(_, costs)| exits(costs).is_some());
    let rows: Vec<Vec<String>> = measured
        .iter()
        .map(|(row, costs)| {
            let over = |of: &dyn Fn(&Cost) -> Option<f64>| median(costs.iter().filter_map(|cost| of(cost)));
            let of_kind = |kind| over(&|cost| cost.ns_per_frame(kind));
            let mut figures = vec![
                over(&|cost| Some(cost.cpu_ns_per_frame)),
                of_kind(ThreadKind::Switch),
                of_kind(ThreadKind::Engine),
                of_kind(ThreadKind::Vcpu),
                of_kind(ThreadKind::Vmm),
            ];
            figures.extend(any_exits.then(|| exits(costs)));
            figures.push(over(&|cost| Some(cost.mpps_per_core)));
            figures.push(over(&|cost| Some(cost.context_switches_per_s)));
            let figures = figures.into_iter().map(|figure| figure.map_or_else(|| "-".into(), significant));
            [row.dataplane().to_owned(), row.size().to_owned()].into_iter().chain(figures).collect()
        })
        .collect();
    let mut header = vec!["Dataplane", "Frame", "ns/frame", "Switch", "Engines", "vCPUs", "QEMU"];
    header.extend(any_exits.then_some("Exits"));
    header.extend(["Mpps/core", "cswch/s"]);
    (!rows.is_empty()).then_some((header, rows))
}

/// A sentence for each row whose senders followed a schedule.
pub(super) fn sentences(section: &Section<'_>) -> Vec<String> {
    section.rows.iter().filter_map(paced).collect()
}

/// The senders of a trial that followed a schedule.
fn pacings(trial: &Trial) -> impl Iterator<Item = &Pacing> {
    trial.ports.iter().filter_map(|port| port.roles.tx.as_ref()?.pacing.as_ref())
}

fn paced(row: &Row<'_>) -> Option<String> {
    let all = || row.trials.iter().flat_map(|trial| pacings(trial));
    let figure = |of: fn(&Pacing) -> f64| median(all().map(of));
    let late = |ns: fn(&crate::result::Times) -> u64| {
        let times = all().filter_map(|pacing| pacing.lateness.as_ref()).map(|times| ns(times) as f64);
        median(times).map_or_else(|| "-".into(), micros)
    };
    let (asked, achieved) = (figure(|p| p.asked_pps)?, figure(|p| p.achieved_pps)?);
    let off = (achieved / asked - 1.0) * 100.0;
    Some(format!(
        "Pacing, {} {}: {}pps asked for, {off:+.3} % off; late by p50 {}, p99 {}, max {} µs; {:.2} % of the gaps \
         between frames within 2 µs.",
        row.dataplane(),
        row.size(),
        scaled(asked),
        late(|times| times.p50_ns),
        late(|times| times.p99_ns),
        late(|times| times.max_ns),
        figure(|p| p.within_2us_ratio)? * 100.0
    ))
}

/// What a load is beyond the plainest, in words for a title.
pub(super) fn words(load: &Load) -> Vec<String> {
    let mut words = Vec::new();
    match load.arrivals {
        Arrivals::Constant => {}
        Arrivals::Poisson => words.push("Poisson arrivals".into()),
        Arrivals::Bursts { frames } => words.push(format!("bursts of {frames}")),
    }
    match load.flow_order {
        FlowOrder::RoundRobin => {}
        FlowOrder::Random => words.push("flows at random".into()),
        FlowOrder::Zipf { exponent } => words.push(format!("flows by Zipf's law ({exponent})")),
    }
    if let Some(file) = &load.pcap {
        let speed = file.speed.map(|speed| format!(" at {speed} times its speed")).unwrap_or_default();
        words.push(format!("{}{speed}", file.file));
    }
    words
}

/// What the figures beside the headline mean.
pub(super) fn legends(sections: &[Section<'_>], searches: &[Searches]) -> Vec<String> {
    let after = searches.iter().any(|table| table.round_trips.is_some());
    let any = after || sections.iter().any(|section| round_trips(section).is_some());
    let whose =
        if after { " After a search they are in percent of what was found for its first goal." } else { "" };
    let by_load = any.then(|| {
        format!(
            "Round trips by load are timed from when a probe was due; idle is without load, one probe after the \
             other; floor is what the probing engine measures with nothing in between.{whose}"
        )
    });
    let costs: Vec<Cells> = sections.iter().filter_map(costs).collect();
    let exits = costs.iter().any(|(header, _)| header.contains(&"Exits"));
    let exits = if exits { " Exits are those of guests, for each frame." } else { "" };
    let cost = (!costs.is_empty()).then(|| {
        format!(
            "ns/frame is the processor time of all threads for each frame received; of it the switch's, that of the \
             host's engines, of virtual processors, and of the rest of QEMU.{exits} cswch are context switches."
        )
    });
    by_load.into_iter().chain(cost).collect()
}
