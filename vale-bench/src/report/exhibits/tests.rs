//! Which figures there are, and what is in them.

use std::path::PathBuf;

use super::*;
use crate::report::kept::Kept;
use crate::result::tests::{document, trial};
use crate::result::{Latency, Offered, ResultDocument, Trial, Window, WindowPort};

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
                    trial.windows.push(trial.windows[0].clone());
                    trials.push(trial);
                }
            }
        }
    }
    let exhibits = only(trials);
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
    let load = |rate_pps: f64, received, p50_ns| {
        let mut trial = trial("uvale", 64, 1, received, 0);
        (trial.offered, trial.latency) = (Offered::Pps { rate_pps }, Some(latency(p50_ns)));
        trial
    };
    let documents = [load(2e6, 2_000_000, 9000), load(1e6, 1_000_000, 3000)];
    let exhibits = exhibits_of(documents.map(|trial| document(&["uvale"], vec![trial])).to_vec());
    let figure = exhibits.iter().find(|exhibit| exhibit.kind == "latency-load").unwrap();
    let series = &lines(figure).series;
    assert_eq!(series.iter().map(|s| s.label.as_str()).collect::<Vec<_>>(), ["uvale p50", "uvale p99"]);
    assert_eq!(series[0].line, [(1.0, 3.0), (2.0, 9.0)]);
    assert_eq!(figure.place, "VM to VM (v2v), 2 guests, one way");
    assert_eq!(figure.sources.len(), 2);
}

#[test]
fn many_windows_become_few_points_and_lose_nothing() {
    let mut long = trial("uvale", 64, 1, 1000, 1);
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
