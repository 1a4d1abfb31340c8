//! The command line as a whole.

use clap::CommandFactory;
use clap::error::ErrorKind;
use pktgen::spec::Sizes;

use super::*;
use crate::result::Direction;

fn parse(line: &str) -> Result<Command, clap::Error> {
    Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.command)
}

fn refused(line: &str) -> String {
    parse(line).err().unwrap_or_else(|| panic!("{line} was taken")).to_string()
}

#[test]
fn the_definition_is_sound_and_every_option_is_described() {
    Cli::command().debug_assert();
    for command in Cli::command().get_subcommands() {
        assert!(command.get_about().is_some(), "{}", command.get_name());
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
        }
    }
}

#[test]
fn the_line_of_the_acceptance_test() {
    let line = "vale-bench v2v --vms 4 --size 64,512,1518 --bidir --repeat 3 --latency --out r.json";
    let Ok(Command::V2v(args)) = parse(line) else { panic!() };
    assert_eq!((args.vms, args.bench.repeat, args.bench.latency), (4, 3, true));
    assert_eq!(args.bench.direction(), Direction::Bidi);
    assert_eq!(args.bench.size.len(), 3);
    assert_eq!(args.bench.dataplane, ["uvale"]);
    assert_eq!(args.output.out, Some("r.json".into()));
    args.bench.check(None).unwrap();
}

#[test]
fn a_suites_command_line_has_what_is_the_whole_runs_and_no_more() {
    let line = "vale-bench suite quick --order-seed 7 --guest-cpus 2 --guest-memory hugetlb --out r.json";
    let Ok(Command::Suite(args)) = parse(line) else { panic!() };
    assert_eq!((args.order_seed, args.guests.guest_cpus), (Some(7), 2));
    for option in ["--klooptx on", "--guest-driver packet", "--link pipe", "--size 64"] {
        let said = refused(&format!("vale-bench suite quick {option}"));
        assert!(said.contains("unexpected argument"), "{said}");
    }
}

#[test]
fn bad_benchmark_options_get_sentences() {
    for (line, sentence) in [
        ("vale-bench v2v --vms 1", "two at least"),
        ("vale-bench v2v --vms 0", "needs guests"),
        ("vale-bench v2v --dataplane uvale,nosuch", "there is no dataplane \"nosuch\"; there is uvale"),
        ("vale-bench v2v --size 12", "too small"),
        ("vale-bench v2v --rate fast", "is not a rate"),
        ("vale-bench v2v --duration 0", "no time at all"),
        ("vale-bench v2v --pin a", "not a list of processors"),
        ("vale-bench v2v --repeat 0", "0 is not in 1..=1000"),
        ("vale-bench v2v --slots 5000", "5000 is not in 4..=4096"),
        ("vale-bench v2v --accel hvf", "[possible values: auto, kvm, tcg]"),
        ("vale-bench p2p --vms 2", "unexpected argument '--vms'"),
        ("vale-bench tx", "--interface <PORT>"),
        ("vale-bench tx -i vale0:1 -l 60 --size 64", "cannot be used with"),
        ("vale-bench switch --name br0", "a switch is called vale"),
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
        assert!(error.to_string().contains(sentence), "{line}: {error}");
    }
}

#[test]
fn options_that_contradict_each_other() {
    let check = |line: &str| match parse(line) {
        Ok(Command::P2p(args)) => args.bench.check(None),
        _ => panic!("{line}"),
    };
    let sentence = |line: &str| check(line).unwrap_err().to_string();
    assert!(sentence("vale-bench p2p --size 9000").contains("too large"));
    assert!(sentence("vale-bench p2p --duration 50ms").contains("--interval 100ms is longer"));
    assert!(sentence("vale-bench p2p --dataplane uvale,uvale").contains("twice"));
    check("vale-bench p2p --duration 50ms --interval 10ms").unwrap();
}

#[test]
fn pkt_gens_letters() {
    let line = "vale-bench tx -i vale0:1 -l 60 -n 0 -b 64 -R 1M -w 2 -T 500 -a 1 \
                -s 10.0.0.9 -d 10.1.0.1:53 -S 02:00:00:00:00:01 -D 02:00:00:00:00:02";
    let Ok(Command::Tx(args)) = parse(line) else { panic!() };
    assert_eq!(
        (args.common.port.as_str(), args.common.run.cpus.clone(), args.common.run.report_ms),
        ("vale0:1", Some(Cpus(vec![1])), 500)
    );
    assert_eq!(args.common.run.wait.as_secs(), 2);
    let spec = args.spec([9; 6], None);
    assert_eq!((spec.sizes, spec.count, spec.burst), (Sizes::Fixed(64), None, 64));
    assert_eq!(spec.rate, pktgen::spec::Rate::Pps(1e6));
    assert_eq!(spec.addressing.src_mac, [2, 0, 0, 0, 0, 1]);
    assert_eq!((spec.addressing.src_ip, spec.addressing.src_port), ([10, 0, 0, 9], 1234));
    assert_eq!(spec.addressing.dst_port, 53);

    let Ok(Command::Tx(args)) = parse("vale-bench tx -i vale0:1 -n 5 --size imix") else { panic!() };
    let spec = args.spec([8; 6], None);
    assert_eq!((spec.count, spec.addressing.src_mac, spec.addressing.dst_mac), (Some(5), [8; 6], [255; 6]));
    assert!(matches!(spec.sizes, Sizes::Cycle(_)));

    let Ok(Command::Rx(args)) = parse("vale-bench rx -i vale0:2 -n 7") else { panic!() };
    assert_eq!((args.limit(), args.spec().burst), (Some(7), 512));
    let Ok(Command::Ping(args)) = parse("vale-bench ping -i vale0:2 -R 1k") else { panic!() };
    let spec = args.spec([8; 6]);
    assert_eq!((spec.size, spec.rate, spec.timeout_ms), (64, Some(1000.0), 1000));
    let Ok(Command::Pong(args)) = parse("vale-bench pong -i vale0:2") else { panic!() };
    assert_eq!(args.spec().burst, 512);
}

#[test]
fn no_command_shows_the_help() {
    assert_eq!(parse("vale-bench").unwrap_err().kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
    assert!(refused("vale-bench v3v").contains("unrecognized subcommand"));
}
