//! Suites taken apart, multiplied out, and refused.

use super::*;
use crate::cli::{Cli, Command, GuestArgs};
use crate::run::{Job, arms};
use clap::Parser;

fn guests() -> GuestArgs {
    match Cli::try_parse_from(["vale-bench", "suite", "quick"]).unwrap().command {
        Command::Suite(args) => args.guests.clone(),
        _ => unreachable!("it was asked for"),
    }
}

fn expand(text: &str) -> Result<Vec<Job>, SuiteError> {
    jobs(&Suite::parse("s.toml", text)?, &guests())
}

fn refused(text: &str) -> String {
    match expand(text) {
        Err(error) => error.to_string(),
        Ok(jobs) => panic!("{} jobs", jobs.len()),
    }
}

#[test]
fn lists_are_multiplied_out_and_defaults_hold_unless_told_otherwise() {
    let jobs = expand(
        r#"
        title = "mine"
        [defaults]
        duration = "2s"
        repeat = 3
        vms = 2
        [[run]]
        scenario = ["p2p", "v2v"]
        size = [64, "imix"]
        bidir = [false, true]
        vms = [2, 4]
        repeat = 5
        "#,
    )
    .unwrap();
    // p2p has no guests, so their number does not multiply its jobs twice.
    let of = |name: &str| jobs.iter().filter(|job| job.topology.scenario == name).collect::<Vec<_>>();
    assert_eq!((of("p2p").len(), of("v2v").len()), (4, 8));
    assert!(jobs.iter().all(|job| job.bench.repeat == 5 && job.bench.duration.as_secs() == 2));
    let arms = arms(jobs).unwrap();
    let shape: Vec<_> =
        arms.iter().map(|arm| (arm.name(), arm.topology.vms(), arm.cells.len(), arm.trials())).collect();
    assert_eq!(
        shape,
        [
            ("p2p on uvale".into(), 0, 4, 20),
            ("v2v on uvale".into(), 2, 4, 20),
            ("v2v of 4 on uvale".into(), 4, 4, 20)
        ]
    );
}

#[test]
fn ports_are_given_together() {
    let jobs =
        expand("[[run]]\nscenario = \"p2p\"\nport = [\"eth0\", \"dpdk:a,b=c\"]\nsize = [64, 128]").unwrap();
    assert_eq!(jobs.len(), 2);
    for job in &jobs {
        assert_eq!(
            (job.dataplane.as_str(), &job.bench.port[..]),
            ("ports", &["eth0".into(), "dpdk:a,b=c".into()][..])
        );
    }
    let said = refused("[[run]]\nscenario = \"p2p\"\nport = [\"eth0\", \"eth0\"]");
    assert!(said.contains("line 3, column 17: port has eth0 twice"), "{said}");
}

#[test]
fn mistakes_are_told_with_their_place_and_what_was_meant() {
    for (text, sentence) in [
        (
            "[[run]]\nscenario = \"v2v\"\n  durration = \"1s\"",
            "s.toml, line 3, column 3: there is no key durration; did you mean duration?",
        ),
        (
            "[[run]]\nscenario = [\"p2p\", \"v2vv\"]",
            "s.toml, line 2, column 20: there is no scenario v2vv; did you mean v2v?",
        ),
        (
            "[[run]]\nscenario = \"v2v\"\nduration = \"soon\"",
            "s.toml, line 3, column 12: invalid value 'soon' for '--duration <TIME>'",
        ),
        ("[[run]]\nscenario = \"v2v\"\nsize = [64, 63]", "s.toml, line 3, column 13: invalid value '63'"),
        ("[[run]]\nscenario = \"v2v\"\nbidir = 3", "s.toml, line 3, column 9: bidir is true or false"),
        (
            "[[run]]\nscenario = \"v2v\"\ndataplane = [\"uvale\", \"uvale\"]",
            "s.toml, line 3, column 23: dataplane has uvale twice",
        ),
        ("[[run]]\nscenario = \"v2v\"\ndataplane = \"nosuch\"", "line 3, column 13: invalid value 'nosuch'"),
        ("[[run]]\nscenario = \"p2p\"\nvms = 2", "line 3, column 1: there is no key vms; "),
        ("[[run]]\nscenario = \"v2v\"\nvms = []", "line 3, column 7: an empty list measures nothing"),
        (
            "[[run]]\nscenario = \"v2v\"\nout = \"x\"",
            "line 3, column 1: out is the whole suite's; give it on the command line: --out",
        ),
        (
            "[[run]]\nscenario = \"v2v\"\nguest-cpus = 2",
            "line 3, column 1: guest-cpus is the whole suite's; give it on the command line: --guest-cpus",
        ),
        ("[[run]]\nsize = 64", "line 1, column 1: a run needs a scenario: "),
        ("[[run]\nscenario = 1", "s.toml, line 1, column 7"),
        ("titel = \"x\"", "line 1, column 1: there is no key titel; did you mean title?"),
        ("title = \"x\"", "a suite needs at least one [[run]]"),
        ("title = 3\n[[run]]\nscenario = \"p2p\"", "line 1, column 9: title is a text in quotes"),
        ("published = \"nosuch\"", "line 1, column 13: there are no published figures called"),
        ("[defaults]\nvmss = 3", "line 2, column 1: there is no key vmss; did you mean vms?"),
        ("defaults = 3", "line 1, column 12: defaults are a table"),
        ("run = 3", "line 1, column 7: runs are tables in a list"),
        ("[[run]]\nscenario = \"v2v\"\nsize = [[64]]", "line 3, column 9: a value is"),
    ] {
        let said = refused(text);
        assert!(said.contains(sentence), "{text}\n{said}");
    }
}

#[test]
fn what_would_never_end_is_refused() {
    let many = (64..1400).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let text = format!("[[run]]\nscenario = \"p2p\"\nsize = [{many}]\nflows = [1,2,3,4,5,6,7,8]");
    let said = refused(&text);
    assert!(said.contains("column 1: this run has more than 10000 combinations"), "{said}");
}

#[test]
fn the_programs_own_suites_can_be_carried_out() {
    for builtin in BUILTIN {
        let suite = load(builtin.name).unwrap();
        assert!(suite.title.is_some(), "{}", builtin.name);
        let jobs = jobs(&suite, &guests()).unwrap_or_else(|error| panic!("{error}"));
        assert!(!arms(jobs).unwrap().is_empty());
    }
    let error = load("quik").unwrap_err().to_string();
    assert_eq!(error, "quik is neither a file nor a suite of the program; there is quick, conext19, full");
    assert!(load("./nosuch.toml").unwrap_err().to_string().contains("cannot read"));
}
