//! Searches on systems that exist in memory alone: held to the reference implementation of MLRsearch trial by trial,
//! to what they are to find, and to the time they may take.

#[path = "fixture/systems.rs"]
mod systems;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use systems::{Chance, Rule, System};
use vale_bench::search::{
    Attempt, Controller, Goal, Irregularity, LoadRange, Outcome, Tally, binary, mlr, run,
};

const CAPACITY_PPS: f64 = 2.345e6;
const RANGE: LoadRange = LoadRange { min_pps: 1e4, max_pps: 1.2e7 };

const RULES: [Rule; 9] = [
    Rule::Hard,
    Rule::Noisy(0.01),
    Rule::Noisy(0.05),
    Rule::Noisy(0.2),
    Rule::Spikes(0.3, 900),
    Rule::Spikes(2.0, 5000),
    Rule::Gap(0.4, 0.6),
    Rule::Soft(8),
    Rule::Drift(0.05),
];

/// Goals worth a comparison, by name.
fn sets() -> Vec<(&'static str, Vec<Goal>)> {
    let csit = |goal: Goal| Goal { duration_sum_s: 20.0, initial_trial_s: 1.0, ..goal };
    let odd = Goal {
        name: "odd".into(),
        final_trial_s: 2.0,
        duration_sum_s: 11.0,
        loss_ratio: 0.001,
        exceed_ratio: 0.2,
        width: 0.02,
        initial_trial_s: 0.3,
        preceding_targets: 4,
        expansion: 3,
    };
    vec![
        ("ndr", vec![Goal::ndr()]),
        ("ndr and pdr", vec![Goal::ndr(), Goal::pdr()]),
        ("three of many widths", vec![csit(Goal::pdr()), odd, csit(Goal::ndr())]),
        ("rfc2544", vec![Goal::rfc2544()]),
        ("tst009", vec![Goal::tst009()]),
    ]
}

/// One search: what it was for, each trial with what came of it, and what was found.
struct Vector {
    name: String,
    goals: Vec<Goal>,
    range: LoadRange,
    trials: Vec<(Attempt, Outcome)>,
    /// Lower bound, upper bound and conditional throughput of each goal, in frames a second.
    found: Vec<[Option<f64>; 3]>,
}

fn goal_json(goal: &Goal) -> Value {
    json!({
        "name": goal.name, "final_trial_s": goal.final_trial_s, "duration_sum_s": goal.duration_sum_s,
        "loss_ratio": goal.loss_ratio, "exceed_ratio": goal.exceed_ratio, "width": goal.width,
        "initial_trial_s": goal.initial_trial_s, "preceding_targets": goal.preceding_targets,
        "expansion": goal.expansion,
    })
}

fn goal_of(value: &Value) -> Goal {
    let number = |name: &str| value[name].as_f64().unwrap_or_else(|| panic!("no {name} in {value}"));
    Goal {
        name: value["name"].as_str().unwrap().into(),
        final_trial_s: number("final_trial_s"),
        duration_sum_s: number("duration_sum_s"),
        loss_ratio: number("loss_ratio"),
        exceed_ratio: number("exceed_ratio"),
        width: number("width"),
        initial_trial_s: number("initial_trial_s"),
        preceding_targets: number("preceding_targets") as u32,
        expansion: number("expansion") as u32,
    }
}

impl Vector {
    fn to_json(&self) -> Value {
        let trial = |(attempt, outcome): &(Attempt, Outcome)| {
            json!([attempt.load_pps, attempt.duration_s, outcome.intended_frames, outcome.forwarded_frames])
        };
        json!({
            "name": self.name, "min_pps": self.range.min_pps, "max_pps": self.range.max_pps,
            "goals": self.goals.iter().map(goal_json).collect::<Vec<_>>(),
            "trials": self.trials.iter().map(trial).collect::<Vec<_>>(),
            "found": self.found,
        })
    }

    fn of(value: &Value) -> Vector {
        let trial = |trial: &Value| {
            let (load_pps, duration_s) = (trial[0].as_f64().unwrap(), trial[1].as_f64().unwrap());
            let (intended, forwarded) = (trial[2].as_u64().unwrap(), trial[3].as_u64().unwrap());
            (Attempt { load_pps, duration_s }, outcome(intended, forwarded, duration_s))
        };
        Vector {
            name: value["name"].as_str().unwrap().into(),
            goals: value["goals"].as_array().unwrap().iter().map(goal_of).collect(),
            range: LoadRange {
                min_pps: value["min_pps"].as_f64().unwrap(),
                max_pps: value["max_pps"].as_f64().unwrap(),
            },
            trials: value["trials"].as_array().unwrap().iter().map(trial).collect(),
            found: serde_json::from_value(value["found"].clone()).unwrap(),
        }
    }

    /// Fails unless our search asks for the same trials and finds the same.
    fn holds(&self) {
        let mut search = mlr::Search::new(&self.goals, self.range).unwrap();
        for (number, (expected, outcome)) in self.trials.iter().enumerate() {
            let asked = search.next();
            let same = asked.is_some_and(|asked| {
                close(asked.load_pps, expected.load_pps) && close(asked.duration_s, expected.duration_s)
            });
            assert!(same, "{}, trial {number}: {asked:?} instead of {expected:?}", self.name);
            search.record(*outcome);
        }
        assert_eq!(search.next(), None, "{}: one trial too many", self.name);
        for (result, found) in search.results().iter().zip(&self.found) {
            let pps = |bound: &Option<vale_bench::search::Bound>| bound.as_ref().map(|bound| bound.load_pps);
            let ours = [pps(&result.lower), pps(&result.upper), result.conditional_throughput_pps];
            let same = ours.iter().zip(found).all(|pair| match pair {
                (Some(ours), Some(theirs)) => close(*ours, *theirs),
                (ours, theirs) => ours.is_none() && theirs.is_none(),
            });
            assert!(same, "{}, {}: {ours:?} instead of {found:?}", self.name, result.goal.name);
        }
    }
}

fn outcome(intended_frames: u64, forwarded_frames: u64, effective_s: f64) -> Outcome {
    Outcome { intended_frames, forwarded_frames, effective_s }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixture").join(name)
}

/// Whether the reference implementation is there.
fn has_reference() -> bool {
    let python = Command::new("python3").args(["-c", "import MLRsearch"]).stderr(Stdio::null()).status();
    python.is_ok_and(|status| status.success())
}

/// Has the reference implementation search in `system`.
fn reference(name: String, goals: &[Goal], mut system: System) -> Vector {
    let mut python = Command::new("python3")
        .arg(fixture("mlrsearch.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = python.stdin.take().unwrap();
    let from = BufReader::new(python.stdout.take().unwrap());
    let goals_json: Vec<Value> = goals.iter().map(goal_json).collect();
    let asked = json!({"goals": goals_json, "min_pps": RANGE.min_pps, "max_pps": RANGE.max_pps});
    writeln!(to, "{asked}").unwrap();
    let mut vector = Vector { name, goals: goals.to_vec(), range: RANGE, trials: vec![], found: vec![] };
    for line in from.lines() {
        let line = line.unwrap();
        if line.starts_with('[') {
            vector.found = serde_json::from_str(&line).unwrap();
            break;
        }
        let (load, duration) = line.split_once(' ').unwrap();
        let attempt = Attempt { load_pps: load.parse().unwrap(), duration_s: duration.parse().unwrap() };
        let outcome = system.measure(attempt);
        writeln!(to, "{} {}", outcome.intended_frames, outcome.forwarded_frames).unwrap();
        vector.trials.push((attempt, outcome));
        assert!(vector.trials.len() < 5000, "{}: no end", vector.name);
    }
    drop(to);
    assert!(python.wait().unwrap().success(), "{}", vector.name);
    vector
}

#[test]
fn searches_go_the_way_the_reference_went() {
    let path = fixture("mlrsearch.json");
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        assert!(has_reference(), "UPDATE_VECTORS needs python3 with the package MLRsearch");
        let mut vectors = Vec::new();
        for (rule, seed) in RULES.into_iter().zip(1..) {
            let (set, goals) = &sets()[seed as usize % sets().len()];
            let system = System::new(rule, CAPACITY_PPS, seed);
            vectors.push(reference(format!("{set} on {rule:?}"), goals, system).to_json().to_string());
        }
        fs::write(&path, format!("[\n{}\n]\n", vectors.join(",\n"))).unwrap();
    }
    let vectors: Vec<Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(vectors.len(), RULES.len());
    vectors.iter().for_each(|vector| Vector::of(vector).holds());
}

#[test]
fn searches_go_the_way_the_reference_goes() {
    if !has_reference() {
        eprintln!("SKIPPED: python3 has no package MLRsearch (`pip install MLRsearch`) to compare with");
        return;
    }
    for seed in 0..40 {
        let mut chance = Chance(seed);
        let rule = RULES[seed as usize % RULES.len()];
        let (set, goals) = &sets()[(chance.next() * sets().len() as f64) as usize];
        // From below the smallest load to above the largest.
        let capacity_pps = 5e3 * (chance.next() * 8.2).exp();
        let name = format!("{set} on {rule:?} of {capacity_pps:.0} pps, seed {seed}");
        reference(name, goals, System::new(rule, capacity_pps, seed)).holds();
    }
}

/// Seconds of trials, and what was found.
fn mlr(goals: &[Goal], mut system: System) -> (f64, mlr::Search) {
    let mut search = mlr::Search::new(goals, RANGE).unwrap();
    let spent_s = run::<()>(&mut search, |attempt| Ok(system.measure(attempt))).unwrap();
    (spent_s, search)
}

fn halving(goal: &Goal, mut system: System) -> f64 {
    let mut search = binary::Search::new(goal, RANGE).unwrap();
    run::<()>(&mut search, |attempt| Ok(system.measure(attempt))).unwrap()
}

/// Median seconds of trials over many capacities: of MLRsearch, and of halving.
fn times(goal: &Goal, rule: Rule) -> (f64, f64) {
    let systems = (0..21).map(|seed| System::new(rule, CAPACITY_PPS * (1.0 + seed as f64 / 7.0), seed));
    let pairs =
        systems.map(|system| (mlr(std::slice::from_ref(goal), system.clone()).0, halving(goal, system)));
    let (mut ours, mut theirs): (Vec<f64>, Vec<f64>) = pairs.unzip();
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    (median(&mut ours), median(&mut theirs))
}

#[test]
fn a_search_takes_at_most_half_the_time_of_halving() {
    // A minute for each load, as one trial or as sixty; halving makes one trial of a minute.
    let in_one = Goal::rfc2544();
    let in_sixty = Goal { duration_sum_s: 60.0, ..Goal::ndr() };
    for rule in RULES {
        for goal in [&in_one, &in_sixty] {
            match rule {
                // Where most minutes see a loss at any load, there is nothing for RFC 2544's goal to find.
                Rule::Spikes(..) if goal.exceed_ratio == 0.0 => continue,
                // Where losses are so rare that only long trials see them, short ones lead astray.
                Rule::Soft(_) if goal.exceed_ratio == 0.0 => continue,
                // What falls by three in a hundred during one trial is not found to a half.
                Rule::Drift(_) if goal.exceed_ratio == 0.0 => continue,
                // To find the median of what varies eighty times as much as the width takes many trials a load.
                Rule::Noisy(part) if part > 0.1 => continue,
                _ => {}
            }
            let halving_goal = Goal { final_trial_s: 60.0, ..goal.clone() };
            let (ours_s, theirs_s) = (times(goal, rule).0, times(&halving_goal, rule).1);
            println!("{rule:?}, {}: {ours_s:.0} s, halving {theirs_s:.0} s", goal.name);
            // What moves away while it is searched takes longer.
            let part = if matches!(rule, Rule::Drift(_)) { 0.6 } else { 0.5 };
            assert!(ours_s <= theirs_s * part, "{rule:?}, {}: {ours_s} s against {theirs_s} s", goal.name);
        }
    }
}

#[test]
fn results_are_regular_and_as_narrow_as_asked() {
    for rule in RULES {
        for (set, goals) in sets() {
            let (_, search) = mlr(&goals, System::new(rule, CAPACITY_PPS, 7));
            for result in search.results() {
                assert_eq!(search.remaining_s(), 0.0);
                let upper = result.upper.unwrap();
                let Some(lower) = result.lower else {
                    // What comes at any load comes at the smallest too.
                    assert!(matches!(rule, Rule::Spikes(..)), "{set} on {rule:?}: {result:?}");
                    assert_eq!(result.irregular, Some(Irregularity::NoLowerBound));
                    assert_eq!(upper.load_pps, RANGE.min_pps);
                    continue;
                };
                assert_eq!(result.irregular, None, "{set} on {rule:?}");
                assert!(1.0 - lower.load_pps / upper.load_pps <= result.goal.width);
                let conditional_pps = result.conditional_throughput_pps.unwrap();
                assert!(conditional_pps <= lower.load_pps);
                assert!(conditional_pps >= lower.load_pps * (1.0 - result.goal.loss_ratio));
            }
        }
    }
}

#[test]
fn a_hard_limit_is_between_the_bounds_of_every_goal() {
    for seed in 0..50 {
        let capacity_pps = 2e4 * (1.0 + seed as f64).powf(1.6);
        let (_, search) = mlr(&[Goal::ndr(), Goal::pdr()], System::new(Rule::Hard, capacity_pps, seed));
        for result in search.results() {
            let passes = capacity_pps / (1.0 - result.goal.loss_ratio);
            let (lower, upper) = (result.lower.unwrap().load_pps, result.upper.unwrap().load_pps);
            // A frame more or less comes from whole frames in a fifth of a second.
            assert!(lower <= passes * 1.001 && upper >= passes * 0.999, "{lower} {passes} {upper}");
        }
    }
}

#[test]
fn spikes_do_not_hide_what_most_trials_show() {
    // Lost in 26 % of trials of a second, so in most of a minute: RFC 2544 finds far less than there is.
    let system = System::new(Rule::Spikes(0.3, 900), CAPACITY_PPS, 5);
    let (_, search) = mlr(&[Goal::ndr()], system.clone());
    let ndr_pps = search.results()[0].lower.unwrap().load_pps;
    assert!((CAPACITY_PPS * 0.95..=CAPACITY_PPS).contains(&ndr_pps), "{ndr_pps}");
    let (_, search) = mlr(&[Goal::rfc2544()], system);
    assert!(search.results()[0].lower.is_none_or(|bound| bound.load_pps < CAPACITY_PPS / 2.0));
}

#[test]
fn what_more_than_can_be_asked_for_passes_is_said_to_be_irregular() {
    for (capacity_pps, expected) in [(1e9, Irregularity::NoUpperBound), (1.0, Irregularity::NoLowerBound)] {
        let (spent_s, search) = mlr(&[Goal::ndr(), Goal::pdr()], System::new(Rule::Hard, capacity_pps, 1));
        for result in search.results() {
            assert_eq!(result.irregular, Some(expected));
            let bound = result.lower.or(result.upper).unwrap();
            assert!(bound.load_pps == RANGE.max_pps || bound.load_pps == RANGE.min_pps);
        }
        assert!(spent_s < 30.0, "{spent_s}");
    }
}

#[test]
fn a_search_that_is_stopped_says_that_it_is_not_done() {
    let mut system = System::new(Rule::Hard, CAPACITY_PPS, 1);
    let mut search = mlr::Search::new(&[Goal::ndr()], RANGE).unwrap();
    assert_eq!(search.results()[0].irregular, Some(Irregularity::TooWide));
    let mut before = search.remaining_s();
    assert!(before > 0.0);
    for _ in 0..4 {
        let attempt = search.next().unwrap();
        assert_eq!(search.next(), Some(attempt), "asked twice");
        search.record(system.measure(attempt));
        before = before.max(search.remaining_s());
    }
    assert!(search.results()[0].irregular.is_some() && before.is_finite());
    let nothing: Option<Tally> = search.results()[0].lower.map(|bound| bound.tally);
    assert!(nothing.is_none_or(|tally| tally.sentence().starts_with("A lower bound")));
}
