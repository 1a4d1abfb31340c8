//! Searches on real ports: what a record must hold whatever the machine can do, and how it is shown and ended.

mod fixture;

use fixture::{Bench, Kept, RUN_DEADLINE};
use vale_bench::result::{SearchMethod, SearchRecord, TrialPurpose};

/// Short trials and wide bounds, so that a search takes seconds on any machine.
const BRIEFLY: &str = "--warmup 100ms --interval 50ms --search-duration 300ms --search-trial 100ms \
                       --search-width 20% --search-timeout 60s --out r.json";

fn searched(bench: &Bench, line: &str) -> Kept {
    bench.run_within(&format!("{line} {BRIEFLY}"), 3 * RUN_DEADLINE).succeeds();
    let kept = bench.kept("r.json");
    assert_eq!(kept.document.incomplete, None);
    assert_eq!(kept.document.searches.len(), kept.document.plan.trials as usize);
    assert!(kept.trials().is_empty(), "the trials of searches are theirs");
    kept.document.searches.iter().for_each(holds_together);
    kept
}

/// Every trial is there, adds up, and says what the bounds say.
fn holds_together(search: &SearchRecord) {
    assert_eq!(search.trials[0].purpose, TrialPurpose::WarmUp);
    for (number, trial) in search.trials.iter().enumerate() {
        assert_eq!(trial.raw.order as usize, number + 1);
        assert_eq!(trial.raw.accounting.unaccounted, 0, "{:?}", trial.raw.accounting);
        assert_eq!(trial.offered_frames, trial.raw.accounting.sent);
        assert!(trial.intended_frames >= trial.offered_frames);
        let lost = trial.intended_frames - trial.forwarded_frames;
        assert!((trial.loss_ratio - lost as f64 / trial.intended_frames as f64).abs() < 1e-12);
        let by_window = trial.raw.lost_by_window();
        assert!(by_window.is_sorted() && by_window.len() == trial.raw.windows.len());
    }
    let made = |load: f64, high: bool, limit: f64| {
        let at = search.trials.iter().filter(|trial| trial.intended_load_pps == Some(load));
        at.filter(|trial| (trial.loss_ratio > limit) == high)
            .map(|trial| trial.intended_duration_s)
            .sum::<f64>()
    };
    for result in &search.results {
        let limit = result.goal.loss_ratio;
        for bound in result.relevant_lower_bound.iter().chain(&result.relevant_upper_bound) {
            let (low, high) = (made(bound.load_pps, false, limit), made(bound.load_pps, true, limit));
            assert!((bound.full_low_loss_s + bound.short_low_loss_s - low).abs() < 1e-9, "{bound:?}, {low}");
            assert!(
                (bound.full_high_loss_s + bound.short_high_loss_s - high).abs() < 1e-9,
                "{bound:?}, {high}"
            );
            assert!(bound.reason.ends_with('.'), "{}", bound.reason);
        }
        let (Some(lower), Some(upper)) = (result.throughput_pps(), &result.relevant_upper_bound) else {
            assert!(result.irregular.is_some(), "{result:?}");
            continue;
        };
        assert!(lower < upper.load_pps);
        let narrow = 1.0 - lower / upper.load_pps <= result.goal.width + 1e-9;
        assert_eq!(result.irregular.is_none(), narrow, "{result:?}");
        let (from, to) = result.uncertainty_pps().expect("there are bounds");
        assert!(from <= lower && to >= upper.load_pps);
    }
}

#[test]
fn goals_are_found_together_and_shown() {
    let bench = Bench::new();
    let kept = searched(&bench, "p2p --search ndr,pdr");
    let [search] = &kept.document.searches[..] else { panic!("one search") };
    assert_eq!(search.method, SearchMethod::Mlrsearch);
    let names: Vec<&str> = search.results.iter().map(|result| result.goal.name.as_str()).collect();
    assert_eq!(names, ["ndr", "pdr"]);
    let longest = search.trials.iter().map(|trial| trial.intended_duration_s).fold(0.0, f64::max);
    assert!(longest <= 0.5 + 1e-9, "{longest}");
    let rates = search.rates(1e6);
    assert!((rates.rate_mpps - 1.0).abs() < 1e-12 && (rates.rate_l1_gbps - 0.672).abs() < 1e-9);

    let shown = |format: &str| bench.run(&format!("show r.json --format {format}")).succeeds().stdout.clone();
    let table = shown("table");
    assert!(table.contains("p2p, one way, MLRsearch") && table.contains("Goal"), "{table}");
    assert!(shown("markdown").contains("### p2p, one way, MLRsearch"));
    let csv = shown("csv");
    // A row for the header, for each trial, and for each goal.
    assert_eq!(csv.lines().count(), 1 + search.trials.len() + 2, "{csv}");
    assert!(csv.contains("relevant_lower_bound_mpps"));
    bench.leaves_nothing_behind();
}

#[test]
fn other_methods_have_records_of_their_own() {
    let bench = Bench::new();
    let kept =
        searched(&bench, "p2p --search rfc2544,mrr,soak,b2b --rate 50k --soak-duration 500ms --b2b-repeat 2");
    let methods: Vec<SearchMethod> = kept.document.searches.iter().map(|search| search.method).collect();
    use SearchMethod::{BackToBack, Binary, Mrr, Soak};
    assert_eq!(methods, [Binary, Mrr, Soak, BackToBack]);
    let [_, mrr, soak, bursts] = &kept.document.searches[..] else { panic!("four searches") };
    assert_eq!(mrr.trials.len(), 11);
    assert!(mrr.max_receive_rate.as_ref().unwrap().mean.rate_mpps > 0.0);
    let [_, long] = &soak.trials[..] else { panic!("a warm-up and a trial") };
    assert_eq!((long.intended_load_pps, long.intended_duration_s), (Some(5e4), 0.5));
    assert_eq!(long.raw.windows.len(), 10);
    let bursts = bursts.back_to_back.as_ref().unwrap();
    assert!(bursts.bursts_frames.iter().all(|&frames| frames > 0 && frames <= bursts.longest_tried_frames));
    assert!(bursts.corrected_buffer_s <= bursts.implied_buffer_s);
    bench.leaves_nothing_behind();
}

#[test]
fn a_largest_load_that_passes_is_irregular_and_a_file_names_goals() {
    let bench = Bench::new();
    std::fs::write(bench.path("g.toml"), "[[goal]]\nname = \"easy\"\nloss-ratio = \"90%\"\n").unwrap();
    let kept = searched(&bench, "p2p --search g.toml --max-load 20k --min-load 1k");
    let [search] = &kept.document.searches[..] else { panic!("one search") };
    let [result] = &search.results[..] else { panic!("one goal") };
    assert_eq!((result.goal.name.as_str(), result.throughput_pps()), ("easy", Some(2e4)));
    assert_eq!(result.irregular, Some(vale_bench::result::Irregular::NoUpperBound));
    let shown = bench.run("show r.json");
    assert!(
        shown.succeeds().stdout.contains("* easy on uvale, 64: The largest load passed"),
        "{}",
        shown.stdout
    );
}

#[test]
fn a_search_that_takes_too_long_is_ended_and_kept() {
    let bench = Bench::new();
    bench
        .run("p2p --search rfc2544 --search-trial 1s --search-timeout 1ms --warmup 0 --out r.json")
        .succeeds();
    let kept = bench.kept("r.json");
    let [search] = &kept.document.searches[..] else { panic!("one search") };
    assert!(search.incomplete.as_ref().unwrap().contains("--search-timeout"));
    assert_eq!(search.trials.len(), 1);
}

#[test]
fn round_trips_are_measured_in_parts_of_what_was_found() {
    let bench = Bench::new();
    // Whatever the machine can do, the largest load passes.
    std::fs::write(bench.path("g.toml"), "[[goal]]\nname = \"easy\"\nloss-ratio = \"90%\"\n").unwrap();
    let line =
        "p2p --search g.toml,soak --max-load 20k --min-load 1k --latency-at 10,50 --soak-duration 500ms";
    let kept = searched(&bench, line);
    let [search, soak] = &kept.document.searches[..] else { panic!("two searches") };
    let trial = search.round_trips.as_ref().expect("round trips were asked for");
    let found = search.results.iter().find_map(|result| result.throughput_pps()).unwrap();
    assert_eq!(trial.offered, vale_bench::result::Offered::Pps { rate_pps: found });
    assert!(trial.latency.is_some() && trial.latency_floor.is_some());
    let loads: Vec<(f64, f64)> =
        trial.latency_under_load.iter().map(|load| (load.percent, load.offered_pps[0])).collect();
    assert_eq!(loads, [(10.0, found * 10.0 / 100.0), (50.0, found * 50.0 / 100.0)]);
    assert_eq!(soak.round_trips, None, "a soak test finds no load");

    bench.run("show r.json").succeeds().prints("50 %").prints("what was found for its");
    bench.run("show r.json --format markdown").succeeds().prints("| uvale | 64 | 10 % |");
    bench.run("report r.json --html page").succeeds();
    let page = std::fs::read_to_string(bench.path("page/index.html")).unwrap();
    assert!(page.contains("Loads are parts of what the search found"), "the page has the figures");

    bench.run("p2p --search b2b --latency-at 50").exits(2).says("b2b and soak find none");
}
