//! Which figures there are, and what is in them.

use std::path::PathBuf;

use super::*;
use crate::report::kept::Kept;
use crate::result::tests::{document, trial};
use crate::result::{
    GoalResult, Irregular, Latency, LoadBound, LoadedLatency, Offered, ResultDocument, SearchGoal,
    SearchMethod, SearchRecord, SearchTrial, Trial, TrialPurpose, Window, WindowPort,
};

fn exhibits_of(documents: Vec<ResultDocument>) -> Vec<Exhibit> {
    let named = documents.into_iter().enumerate();
    let results =
        Kept::name_all(named.map(|(index, document)| (PathBuf::from(format!("{index}.json")), document)));
    all(&Study::new(&results))
}

fn names(exhibits: &[Exhibit]) -> Vec<&str> {
    exhibits.iter().map(|exhibit| exhibit.id.as_str()).collect()
}

fn only(trials: Vec<Trial>) -> Vec<Exhibit> {
    exhibits_of(vec![document(&["uvale"], trials)])
}

fn latency(p50_ns: u64) -> Latency {
    Latency {
        count: 1000,
        lost: 1,
        min_ns: 900,
        p50_ns,
        p90_ns: 2 * p50_ns,
        p99_ns: 5 * p50_ns,
        p99_9_ns: 9 * p50_ns,
        max_ns: 10 * p50_ns,
        mean_ns: 1e3,
        histogram: String::new(),
    }
}

fn lines(exhibit: &Exhibit) -> &crate::report::plot::Lines {
    let Plot::Lines(lines) = &exhibit.charts[0].plot else { panic!("{:?}", exhibit.charts[0].plot) };
    lines
}

#[test]
fn figures_without_data_are_left_out() {
    let mut bare = trial("uvale", 64, 1, 1000, 0);
    bare.switch_cpu_ns = None;
    assert_eq!(names(&only(vec![bare])), ["headline"]);
    assert_eq!(names(&only(Vec::new())), [""; 0]);
    let mut lost = trial("uvale", 64, 1, 1000, 100);
    let second = Window { start_ns: 1_000_000_000, end_ns: 2_000_000_000, ..lost.windows[0].clone() };
    lost.windows.push(second);
    assert_eq!(names(&only(vec![lost.clone()])), ["headline", "cost", "rate-time", "loss-time"]);
    let whole = trial("uvale", 1518, 1, 1000, 0);
    assert!(names(&only(vec![lost, whole])).contains(&"throughput"));
}

#[test]
fn every_kind_is_known_by_name_and_every_name_is_there_once() {
    let mut trials = Vec::new();
    for scenario in ["v2v", "loopback"] {
        for vms in [2, 4] {
            for size in [64, 1518] {
                for rate_pps in [1e5, 2e5] {
                    let mut trial = trial("uvale", size, 1, 1000, 10);
                    (trial.scenario, trial.vms, trial.offered) =
                        (scenario.into(), vms, Offered::Pps { rate_pps });
                    trial.latency = Some(latency(1000));
                    trial.latency_under_load = vec![LoadedLatency {
                        percent: 50.0,
                        offered_pps: vec![1e6],
                        received_mpps: 1.0,
                        loss_ratio: 0.0,
                        probe_pps: 1e3,
                        sent_probes: 1000,
                        overdue_probes: 0,
                        from_due: Some(latency(3000)),
                        from_departure: None,
                    }];
                    trial.windows.push(trial.windows[0].clone());
                    trials.push(trial);
                }
            }
        }
    }
    let mut document = document(&["uvale"], trials);
    document.searches = vec![search()];
    let exhibits = exhibits_of(vec![document]);
    let kinds: BTreeSet<&str> = exhibits.iter().map(|exhibit| exhibit.kind).collect();
    assert_eq!(kinds, KINDS.iter().map(|(kind, _)| *kind).collect());
    let charts: Vec<&str> =
        exhibits.iter().flat_map(|e| e.charts.iter().map(|chart| chart.id.as_str())).collect();
    assert_eq!(charts.iter().collect::<BTreeSet<_>>().len(), charts.len(), "{charts:?}");
    assert_eq!(names(&exhibits).iter().collect::<BTreeSet<_>>().len(), exhibits.len());
    for exhibit in &exhibits {
        assert!(exhibit.tcg && !exhibit.table.rows.is_empty(), "{}", exhibit.id);
        let columns = exhibit.table.header.len();
        assert!(exhibit.table.rows.iter().all(|row| row.len() == columns), "{}", exhibit.id);
        assert!(exhibit.charts.iter().all(|chart| !chart.description.is_empty()), "{}", exhibit.id);
    }
    let chain = exhibits.iter().find(|exhibit| exhibit.place.contains("loopback") && exhibit.kind == "chain");
    assert_eq!(chain.unwrap().title, "Throughput by length of the chain");
}

/// Bars of guests under TCG would be stumps beside those of the host's ports.
#[test]
fn guests_come_first_and_have_a_scale_of_their_own() {
    let of = |scenario: &str, vms, mpps| {
        let mut trial = trial("uvale", 64, 1, mpps, 10);
        (trial.scenario, trial.vms) = (scenario.into(), vms);
        trial
    };
    let trials = vec![of("p2p", 0, 40_000), of("p2v", 1, 3_000), of("v2v", 2, 2_000)];
    let results = Kept::name_all([("r.json".into(), document(&["uvale"], trials))]);
    let study = Study::new(&results);
    assert!(sentence(&study).unwrap().contains("from VM to VM"), "{:?}", sentence(&study));
    let exhibits = all(&study);
    let headlines: Vec<_> = exhibits.iter().filter(|exhibit| exhibit.kind == "headline").collect();
    let shape: Vec<_> =
        headlines.iter().map(|exhibit| (exhibit.id.as_str(), exhibit.table.rows.len())).collect();
    assert_eq!(shape, [("headline-guests", 2), ("headline-host", 1)]);
    let alone = exhibits_of(vec![document(&["uvale"], vec![of("v2v", 2, 2_000)])]);
    assert_eq!((alone[0].id.as_str(), alone[0].title.as_str()), ("headline", "Throughput"));
}

#[test]
fn medians_are_marked_and_repeats_are_dots() {
    let trials = [(64, [3, 1, 2]), (1518, [5, 5, 8])].into_iter().flat_map(|(size, mpps)| {
        (1..).zip(mpps).map(move |(repeat, mpps)| trial("uvale", size, repeat, mpps * 1_000_000, 0))
    });
    let exhibits = only(trials.collect());
    let throughput = exhibits.iter().find(|exhibit| exhibit.kind == "throughput").unwrap();
    let series = &lines(throughput).series[0];
    assert_eq!(series.line, [(0.0, 2.0), (1.0, 5.0)]);
    assert_eq!(series.dots.iter().map(|dot| dot.y).collect::<Vec<_>>(), [3.0, 1.0, 2.0, 5.0, 5.0, 8.0]);
    assert_eq!(throughput.table.rows[0][..5], ["64", "uvale", "3", "2.00", "1.00..3.00"]);
}

#[test]
fn a_histogram_that_cannot_be_read_gives_way_to_the_figures_beside_it() {
    let mut one = trial("uvale", 64, 1, 1000, 0);
    one.latency = Some(latency(1000));
    let exhibits = only(vec![one]);
    let latency = exhibits.iter().find(|exhibit| exhibit.kind == "latency").unwrap();
    assert_eq!(lines(latency).series[0].line, [(0.5, 1.0), (0.9, 2.0), (0.99, 5.0), (0.999, 9.0)]);
    assert_eq!(latency.table.rows[0][2..6], ["1000", "1", "0.900", "1.00"]);
}

#[test]
fn latency_stands_against_the_load_that_was_received() {
    let loaded = |percent, received_mpps, p50_ns| LoadedLatency {
        percent,
        offered_pps: vec![received_mpps * 1e6],
        received_mpps,
        loss_ratio: 0.0,
        probe_pps: 1000.0,
        sent_probes: 1000,
        overdue_probes: 0,
        from_due: Some(latency(p50_ns)),
        from_departure: Some(latency(p50_ns / 2)),
    };
    let mut trial = trial("uvale", 64, 1, 2_000_000, 0);
    trial.latency = Some(latency(2000));
    trial.latency_floor = Some(latency(500));
    trial.latency_under_load =
        vec![loaded(50.0, 1.0, 3000), loaded(10.0, 0.2, 2500), loaded(99.0, 1.98, 9000)];
    let exhibits = only(vec![trial]);
    let figure = exhibits.iter().find(|exhibit| exhibit.kind == "latency-load").unwrap();
    let series = &lines(figure).series;
    assert_eq!(series.iter().map(|s| s.label.as_str()).collect::<Vec<_>>(), ["uvale p50", "uvale p99"]);
    assert_eq!(series[0].line, [(0.0, 2.0), (0.2, 2.5), (1.0, 3.0), (1.98, 9.0)]);
    assert!(series[1].dashed && !series[0].dashed);
    let loads: Vec<&str> = figure.table.rows.iter().map(|row| row[2].as_str()).collect();
    assert_eq!(loads, ["engine alone", "idle ports", "10 %", "50 %", "99 %"]);
    let figure = exhibits.iter().find(|exhibit| exhibit.kind == "latency-loads").unwrap();
    let labels: Vec<&str> = lines(figure).series.iter().map(|series| series.label.as_str()).collect();
    assert_eq!(labels, loads);
}

/// A search that found 1 Mpps of each of two senders without loss, between 0.9 and 1.01.
pub(in crate::report) fn search() -> SearchRecord {
    let goal = SearchGoal {
        name: "ndr".into(),
        final_trial_duration_s: 1.0,
        duration_sum_s: 21.0,
        loss_ratio: 0.0,
        exceed_ratio: 0.5,
        width: 0.005,
        initial_trial_duration_s: 1.0,
        preceding_targets: 2,
        expansion: 2,
    };
    let bound = |load_pps| LoadBound {
        load_pps,
        full_low_loss_s: 21.0,
        full_high_loss_s: 0.0,
        short_low_loss_s: 0.0,
        short_high_loss_s: 0.0,
        reason: "It is.".into(),
    };
    let mut raw = trial("uvale", 64, 1, 1000, 0);
    raw.offered = Offered::Pps { rate_pps: 1e6 };
    let one = |load: Option<f64>, loss_ratio| SearchTrial {
        purpose: if load.is_some() { TrialPurpose::Search } else { TrialPurpose::WarmUp },
        intended_load_pps: load,
        intended_duration_s: 1.0,
        intended_frames: 1000,
        offered_frames: 1000,
        forwarded_frames: 1000,
        loss_ratio,
        start_s: 1.0,
        raw: raw.clone(),
    };
    SearchRecord {
        method: SearchMethod::Mlrsearch,
        scenario: "v2v".into(),
        dataplane: raw.dataplane.clone(),
        vms: 2,
        senders: 2,
        frame_size: raw.frame_size.clone(),
        direction: raw.direction,
        flows: 1,
        repeat: 1,
        min_load_pps: 1e3,
        max_load_pps: 1e7,
        sender_max_pps: 2e6,
        results: vec![GoalResult {
            goal,
            relevant_lower_bound: Some(bound(1e6)),
            relevant_upper_bound: Some(bound(1.01e6)),
            conditional_throughput_pps: Some(0.999e6),
            lowest_high_loss_pps: Some(0.9e6),
            highest_low_loss_pps: Some(1e6),
            sender_limited: false,
            irregular: None,
        }],
        max_receive_rate: None,
        back_to_back: None,
        trials: vec![one(None, 0.5), one(Some(1.01e6), 0.02), one(Some(1e6), 0.0)],
        round_trips: None,
        trial_time_s: 3.0,
        elapsed_s: 4.0,
        incomplete: None,
        warnings: Vec::new(),
    }
}

#[test]
fn searches_show_what_they_found_and_what_they_tried() {
    let mut document = document(&["uvale"], Vec::new());
    document.searches = vec![search()];
    let exhibits = exhibits_of(vec![document.clone()]);
    assert_eq!(names(&exhibits), ["search", "search-trials"]);
    let found = &exhibits[0].table.rows[0];
    assert_eq!(found[..8], ["ndr", "uvale", "1", "2.00", "2.02", "2.00", "1.34", "0.99"]);
    assert!(exhibits[0].tcg && exhibits[0].caption.ends_with("by MLRsearch."), "{:?}", exhibits[0]);
    let series = &lines(&exhibits[1]).series[0];
    let tried: Vec<(f64, f64)> = series.dots.iter().map(|dot| (dot.x, dot.y)).collect();
    assert_eq!(tried, [(2.02, 2.0), (2.0, 0.0)]);
    assert_eq!(series.marks[0].x, 2.0);
    let results = Kept::name_all([("r.json".into(), document)]);
    assert_eq!(
        sentence(&Study::new(&results)).unwrap(),
        "uvale carries 2.00 Mpps of 64-byte frames from VM to VM (NDR), under TCG"
    );
    let mut none = search();
    none.results[0].relevant_lower_bound = None;
    none.results[0].irregular = Some(Irregular::NoLowerBound);
    let mut document = crate::result::tests::document(&["uvale"], Vec::new());
    document.searches = vec![none];
    let exhibits = exhibits_of(vec![document.clone()]);
    assert_eq!(names(&exhibits), ["search-trials"]);
    assert!(exhibits[0].caption.contains("uvale, NDR: No load passed"), "{}", exhibits[0].caption);
    let results = Kept::name_all([("r.json".into(), document)]);
    assert_eq!(
        sentence(&Study::new(&results)).unwrap(),
        "uvale: no load of 64-byte frames from VM to VM passed NDR, under TCG"
    );
}

#[test]
fn many_windows_become_few_points_and_lose_nothing() {
    let mut long = trial("uvale", 64, 1, 4_000_000, 200_000);
    let window = |index: u64| Window {
        start_ns: index * 1_000_000,
        end_ns: (index + 1) * 1_000_000,
        ports: vec![
            WindowPort { tx_frames: 1000, rx_frames: 0 },
            WindowPort { tx_frames: 0, rx_frames: if index.is_multiple_of(2) { 900 } else { 1000 } },
        ],
    };
    long.windows = (0..4000).map(window).collect();
    let exhibits = only(vec![long]);
    let loss = exhibits.iter().find(|exhibit| exhibit.kind == "loss-time").unwrap();
    let line = &lines(loss).series[0].line;
    assert!(line.len() == 400 && line.iter().all(|(_, percent)| (percent - 5.0).abs() < 1e-9), "{line:?}");
    assert!(loss.caption.ends_with("Up to 10 windows are put together into a point."), "{}", loss.caption);
    assert_eq!(loss.table.rows[0][3..], ["4000", "0", "5.00", "10.0"]);
    let rate = exhibits.iter().find(|exhibit| exhibit.kind == "rate-time").unwrap();
    assert!(lines(rate).series[0].line.iter().all(|(_, mpps)| (mpps - 0.95).abs() < 1e-9));
}

#[test]
fn one_sentence_says_it() {
    let trials = vec![trial("uvale", 64, 1, 3_000_000, 0), trial("vale", 64, 1, 1_500_000, 0)];
    let results = Kept::name_all([("r.json".into(), document(&["uvale", "vale"], trials))]);
    assert_eq!(
        sentence(&Study::new(&results)).unwrap(),
        "uvale carries 3.00 Mpps of 64-byte frames from VM to VM; vale 1.50 Mpps (×0.50), under TCG"
    );
}
