//! Comparisons of made-up documents.

use super::*;
use crate::result::tests::{document, search, trial};
use crate::result::{Irregular, Latency, SearchRecord, Trial, Window, WindowPort};
use std::path::Path;

fn options() -> Options {
    Options { confidence: 0.95, seed: 1, fail_below: None, allow: Vec::new(), latency: true }
}

fn input(path: &str, trials: Vec<Trial>) -> Input {
    Input { path: path.into(), document: document(&["uvale", "testpmd"], trials) }
}

/// Repetitions with these rates in thousands of frames.
fn trials(dataplane: &str, size: u16, rates: &[u64]) -> Vec<Trial> {
    let rates = rates.iter().enumerate();
    rates.map(|(i, rate)| trial(dataplane, size, i as u32 + 1, rate * 1000, 0)).collect()
}

fn latency(p99_ns: u64) -> Latency {
    Latency {
        count: 100,
        lost: 0,
        min_ns: 1000,
        p50_ns: 10_000,
        p90_ns: 20_000,
        p99_ns,
        p99_9_ns: 200_000,
        max_ns: 300_000,
        mean_ns: 13_000.0,
        histogram: String::new(),
    }
}

fn verdicts(document: &CompareDocument) -> Vec<(Metric, Verdict)> {
    document.comparisons.iter().map(|row| (row.metric, row.verdict)).collect()
}

const OLD: [u64; 6] = [3000, 3050, 2980, 3020, 3010, 2990];

#[test]
fn slower_faster_and_no_difference() {
    let old = input("old.json", trials("uvale", 64, &OLD));
    for (rates, verdict) in [
        ([2700, 2750, 2680, 2710, 2690, 2720], Verdict::Slower),
        ([3300, 3350, 3280, 3310, 3290, 3320], Verdict::Faster),
        ([3005, 2985, 3045, 3000, 2975, 3030], Verdict::NoDifference),
    ] {
        let new = input("new.json", trials("uvale", 64, &rates));
        let document = files(&[old.clone(), new], &options()).unwrap();
        assert_eq!(verdicts(&document), [(Metric::RateMpps, verdict)]);
        let row = &document.comparisons[0];
        assert!(row.interval.unwrap().holds(row.ratio.unwrap()) && row.exact && !row.paired, "{row:?}");
    }
}

#[test]
fn few_repetitions_show_nothing_and_more_comparisons_need_more() {
    let compare = |rates: &[u64], sizes: &[u16]| {
        let all = |factor: u64| {
            let of =
                |size: &u16| trials("uvale", *size, &rates.iter().map(|r| r * factor).collect::<Vec<_>>());
            sizes.iter().flat_map(of).collect::<Vec<_>>()
        };
        let document = files(&[input("a", all(2)), input("b", all(1))], &options()).unwrap();
        verdicts(&document).into_iter().map(|(_, verdict)| verdict).collect::<Vec<_>>()
    };
    assert_eq!(compare(&OLD[..4], &[64]), [Verdict::TooFew]);
    assert_eq!(compare(&OLD[..5], &[64]), [Verdict::Slower]);
    assert_eq!(compare(&OLD[..5], &[64, 128, 256, 512, 1024, 1280, 1518]), [Verdict::TooFew; 7]);
    assert_eq!(compare(&OLD, &[64, 128, 256, 512, 1024, 1280, 1518]), [Verdict::Slower; 7]);
}

#[test]
fn one_trial_a_side_goes_by_batches_of_its_windows_and_says_so() {
    let with_windows = |rate: u64| {
        let mut one = trial("uvale", 64, 1, 3_000_000, 0);
        let window = |i: u64| Window {
            start_ns: i * 100_000_000,
            end_ns: (i + 1) * 100_000_000,
            ports: vec![WindowPort { tx_frames: rate, rx_frames: rate + i % 7 }],
        };
        one.windows = (0..50).map(window).collect();
        one
    };
    let inputs = [input("a.json", vec![with_windows(1000)]), input("b.json", vec![with_windows(900)])];
    let document = files(&inputs, &options()).unwrap();
    let row = &document.comparisons[0];
    assert_eq!((row.unit, row.verdict, row.new.samples.len()), (Unit::WindowBatch, Verdict::Slower, 10));
    assert!(shown(&document).contains("nothing of what another start would give"));
    // Without enough windows it is one repetition, of which nothing can be said.
    let inputs = [input("a", trials("uvale", 64, &[3000])), input("b", trials("uvale", 64, &[2000]))];
    assert_eq!(verdicts(&files(&inputs, &options()).unwrap()), [(Metric::RateMpps, Verdict::TooFew)]);
}

#[test]
fn rounds_of_one_run_are_compared_round_by_round() {
    // The machine is twice as fast in every other round; within each, one is 3 % below the other.
    let uvale = [4000, 2000, 4100, 2050, 3900, 1990, 4050];
    let testpmd = uvale.map(|rate| rate * 97 / 100);
    let all = [trials("uvale", 64, &uvale), trials("testpmd", 64, &testpmd)].concat();
    let document = dataplanes(&[input("r.json", all)], None, &options()).unwrap();
    let row = &document.comparisons[0];
    assert_eq!((row.old.dataplane.as_str(), row.new.dataplane.as_str()), ("uvale", "testpmd"));
    assert_eq!((row.paired, row.verdict), (true, Verdict::Slower), "{row:?}");
    assert!(row.interval.unwrap().high < 0.98, "{row:?}");
    // The same figures of two runs show nothing.
    let inputs = [input("a", trials("uvale", 64, &uvale)), input("b", trials("uvale", 64, &testpmd))];
    assert_eq!(files(&inputs, &options()).unwrap().comparisons[0].verdict, Verdict::NoDifference);
    // A round that one of them lacks leaves no pairs.
    let all = [trials("uvale", 64, &uvale), trials("testpmd", 64, &testpmd[..6])].concat();
    assert!(!dataplanes(&[input("r", all)], Some("testpmd"), &options()).unwrap().comparisons[0].paired);
}

#[test]
fn latency_is_better_when_it_is_less() {
    let with = |p99_us: u64| {
        let mut all = trials("uvale", 64, &OLD);
        for (i, trial) in all.iter_mut().enumerate() {
            trial.latency = Some(latency((p99_us + i as u64) * 1000));
        }
        all
    };
    let inputs = [input("a", with(200)), input("b", with(100))];
    let document = files(&inputs, &options()).unwrap();
    let expected = [
        (Metric::RateMpps, Verdict::NoDifference),
        (Metric::LatencyP50Us, Verdict::NoDifference),
        (Metric::LatencyP99Us, Verdict::Faster),
    ];
    assert_eq!(verdicts(&document), expected);
    let without = Options { latency: false, ..options() };
    assert_eq!(files(&inputs, &without).unwrap().comparisons.len(), 1);
    // One without latencies has none to compare.
    let inputs = [input("a", with(200)), input("b", trials("uvale", 64, &OLD))];
    assert_eq!(files(&inputs, &options()).unwrap().comparisons.len(), 1);
}

#[test]
fn loads_are_matched_but_not_what_they_were_drawn_from() {
    use crate::result::{Arrivals, Load};
    let with = |arrivals: Arrivals, seed: u64| {
        let mut all = trials("uvale", 64, &OLD);
        all.iter_mut().for_each(|trial| trial.load = Some(Load { arrivals, seed, ..Load::default() }));
        all
    };
    let compare = |old: Vec<Trial>, new: Vec<Trial>| files(&[input("a", old), input("b", new)], &options());
    let document = compare(with(Arrivals::Poisson, 1), with(Arrivals::Poisson, 2)).unwrap();
    assert!(shown(&document).contains("as fast as possible, Poisson arrivals"));
    compare(trials("uvale", 64, &OLD), with(Arrivals::Constant, 9)).unwrap();
    assert!(compare(with(Arrivals::Poisson, 1), with(Arrivals::Bursts { frames: 9 }, 1)).is_err());
}

#[test]
fn what_is_surely_below_the_limit_is_marked() {
    let compare = |new: &[u64]| {
        let options = Options { fail_below: Some(0.95), ..options() };
        let inputs = [input("a", trials("uvale", 64, &OLD)), input("b", trials("uvale", 64, new))];
        files(&inputs, &options).unwrap().comparisons[0].below
    };
    assert!(compare(&[2700, 2750, 2680, 2710, 2690, 2720]));
    // Surely slower, and not so far.
    assert!(!compare(&[2940, 2930, 2950, 2920, 2935, 2945]));
    // Far lower, and no more than chance.
    assert!(!compare(&[2500, 3300, 2400, 3500, 2600, 3400]));
}

#[test]
fn trials_without_a_counterpart_are_named() {
    let old = input("a.json", [trials("uvale", 64, &OLD), trials("uvale", 128, &OLD)].concat());
    let mut other = trials("uvale", 64, &OLD);
    other.iter_mut().for_each(|trial| trial.flows = 8);
    let new = input("b.json", [trials("uvale", 64, &OLD), other].concat());
    let document = files(&[old, new], &options()).unwrap();
    assert_eq!((document.comparisons.len(), document.unmatched.len()), (1, 2));
    let text = shown(&document).replace("\n  ", " ");
    assert!(
        text.contains("at 128 in a.json; ") && text.contains("8 flows on uvale at 64 in b.json."),
        "{text}"
    );

    let nothing = [input("a", trials("uvale", 64, &OLD)), input("b", trials("vale", 64, &OLD))];
    assert!(files(&nothing, &options()).unwrap_err().to_string().starts_with("nothing to compare"));
    let error = dataplanes(&nothing[..1], Some("vale"), &options()).unwrap_err().to_string();
    assert_eq!(error, "nothing in a was measured on the dataplane vale; there is uvale");
    assert!(dataplanes(&nothing[..1], None, &options()).is_err());
}

#[test]
fn other_circumstances_are_refused_by_name() {
    let old = input("a", trials("uvale", 64, &OLD));
    let mut new = old.clone();
    new.document.manifest.host.cpu.model = Some("Other 1".into());
    let error = files(&[old.clone(), new.clone()], &options()).unwrap_err().to_string();
    assert!(error.contains("\n  host.cpu.model: Imaginary 9000 against Other 1\n--allow NAME"), "{error}");
    let allowed = Options { allow: vec!["host.cpu.model".into()], ..options() };
    let document = files(&[old, new], &allowed).unwrap();
    assert!(shown(&document).contains("Compared in spite of host.cpu.model"));
}

#[test]
fn nothing_that_came_through_is_slower() {
    let inputs = [input("a", trials("uvale", 64, &OLD)), input("b", trials("uvale", 64, &[0; 6]))];
    let row = &files(&inputs, &options()).unwrap().comparisons[0];
    assert_eq!((row.verdict, row.ratio, row.interval), (Verdict::Slower, Some(0.0), None));
    let inputs = [inputs[1].clone(), inputs[0].clone()];
    let row = &files(&inputs, &options()).unwrap().comparisons[0];
    assert_eq!((row.verdict, row.ratio), (Verdict::Faster, None));
}

fn shown(document: &CompareDocument) -> String {
    let mut out = Vec::new();
    show::text(document, &crate::report::View::default(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    text
}

#[test]
fn the_schema_in_the_repository_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/compare-1.json");
    let schema = document::schema_json();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == schema, "schema/compare-1.json is out of date; run the tests with UPDATE_SCHEMA=1");

    let mut inputs = [input("a", trials("uvale", 64, &OLD)), input("b", trials("uvale", 64, &OLD[..3]))];
    inputs[1].document.manifest.tool.version = "0.2.0".into();
    let mut document = files(&inputs, &options()).unwrap();
    let documents: Vec<&ResultDocument> = inputs.iter().map(|input| &input.document).collect();
    document.published = Some(published::all()[0].beside(&documents));
    let value: serde_json::Value = serde_json::from_str(&document.to_json().unwrap()).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let problems: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert_eq!(problems, [""; 0]);
    assert_eq!(serde_json::from_value::<CompareDocument>(value).unwrap(), document);
}

/// Repetitions of a search for ndr and pdr that found this, in thousands of frames a second.
fn searches(dataplane: &str, found: &[u64]) -> Vec<SearchRecord> {
    let record = |(i, kpps): (usize, &u64)| {
        let mut record = search(dataplane, 64, *kpps as f64 * 1e3);
        record.repeat = i as u32 + 1;
        record
    };
    found.iter().enumerate().map(record).collect()
}

fn searched(path: &str, searches: Vec<SearchRecord>) -> Input {
    let mut input = input(path, Vec::new());
    input.document.searches = searches;
    input
}

#[test]
fn what_searches_found_is_compared_by_goal() {
    let options = Options { fail_below: Some(0.95), ..options() };
    let old = searched("old.json", searches("uvale", &OLD));
    let new = searched("new.json", searches("uvale", &[2700, 2750, 2680, 2710, 2690, 2720]));
    let document = files(&[old.clone(), new], &options).unwrap();
    let goals: Vec<_> =
        document.comparisons.iter().map(|row| row.conditions.search.as_ref().unwrap().name()).collect();
    assert_eq!(goals, ["ndr", "pdr"]);
    assert!(document.comparisons.iter().all(|row| row.below && row.verdict == Verdict::Slower));
    assert_eq!(document.comparisons[0].new.median, 2.705);
    let text = shown(&document).replace('\n', " ");
    assert!(
        text.contains("one way, ndr by MLRsearch (at most 0 % lost in trials of 1 s, 5 s a load"),
        "{text}"
    );

    // Another goal of the same name is something else.
    let mut other = searches("uvale", &OLD);
    other.iter_mut().for_each(|record| record.results[0].goal.duration_sum_s = 20.0);
    let document = files(&[old.clone(), searched("b.json", other)], &options).unwrap();
    assert_eq!((document.comparisons.len(), document.unmatched.len()), (1, 2));
    // Trials at one load are no searches.
    assert!(files(&[old, input("b.json", trials("uvale", 64, &OLD))], &options).is_err());
}

#[test]
fn dataplanes_are_compared_by_what_their_searches_found() {
    let rates = [4000, 2000, 4100, 2050, 3900, 1990, 4050];
    let all = [searches("uvale", &rates), searches("testpmd", &rates.map(|rate| rate / 2))].concat();
    let document = dataplanes(&[searched("r.json", all)], None, &options()).unwrap();
    let row = &document.comparisons[0];
    assert_eq!((row.old.dataplane.as_str(), row.verdict, row.paired), ("uvale", Verdict::Slower, true));
}

#[test]
fn searches_that_found_nothing_count_and_those_that_were_ended_do_not() {
    let mut none = searches("uvale", &OLD);
    for record in &mut none {
        record.results.truncate(1);
        record.results[0].relevant_lower_bound = None;
        record.results[0].irregular = Some(Irregular::NoLowerBound);
        record.results[0].sender_limited = true;
    }
    let old = searched("old.json", searches("uvale", &OLD));
    let document = files(&[old.clone(), searched("new.json", none.clone())], &options()).unwrap();
    assert_eq!(
        (document.comparisons[0].ratio, document.comparisons[0].verdict),
        (Some(0.0), Verdict::Slower)
    );
    assert!(shown(&document).replace('\n', " ").contains("What 6 searches found is the senders' own limit"));
    none.iter_mut().for_each(|record| record.incomplete = Some("interrupted".into()));
    assert!(files(&[old, searched("new.json", none)], &options()).is_err());
}
