//! `ci` and `vale`: what they say on any host, and on one with netmap what they find.
//!
//! With `VALE_BENCH_NETMAP=1` a missing `/dev/netmap` fails the tests that need it instead of skipping them.

mod fixture;

use std::path::Path;

use fixture::Bench;

fn netmap() -> bool {
    let there = Path::new("/dev/netmap").exists();
    assert!(
        there || std::env::var_os("VALE_BENCH_NETMAP").is_none(),
        "VALE_BENCH_NETMAP is set: no /dev/netmap"
    );
    there
}

#[test]
fn checks_are_listed_and_selected() {
    let bench = Bench::idle();
    let all = bench.run("ci --list");
    all.exits(0);
    assert!(all.stdout.lines().count() > 100, "{all}");
    let some = bench.run("ci --list vale pipe.order --skip *.list,vale.switches");
    some.exits(0);
    assert!(some.stdout.contains("vale.learning") && some.stdout.contains("pipe.order"), "{some}");
    assert!(!some.stdout.contains("vale.list") && !some.stdout.contains("api."), "{some}");
    let json = bench.run("ci --list api --format json");
    json.exits(0);
    let list: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(list[0]["name"], "api.version");
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    let bench = Bench::idle();
    for (line, words) in [
        ("ci nosuch.*", &["no check is called \"nosuch.*\"", "--list"][..]),
        ("ci vale --skip vale", &["no check is left"]),
        ("ci [", &["not a pattern"]),
        ("ci --list --format tap", &["text or json"]),
        ("ci --out /nonexistent/x.json", &["cannot write /nonexistent/x.json"]),
        ("ci --junit /", &["cannot write /"]),
        ("ci --module nosuch.ko", &["nosuch.ko", "no such file"]),
        ("ci --baseline nosuch.json", &["cannot read nosuch.json"]),
        ("ci-check nosuch", &["no check is called"]),
        ("vale attach eth0", &["vale0:eth0"]),
        ("vale create averyverylongname", &["at most 15"]),
        ("vale create vale0", &["begin with vale"]),
        ("vale info vale0:1/x", &["only a port's name"]),
        ("vale list br0", &["a switch is called vale"]),
        ("vale poll vale0:v --cpus 0", &["--cpus"]),
    ] {
        let ran = bench.run(line);
        ran.exits(2).prints_nothing();
        for word in words {
            ran.says(word);
        }
    }
}

#[test]
fn without_netmap_the_host_cannot() {
    if Path::new("/dev/netmap").exists() {
        return;
    }
    let bench = Bench::idle();
    for line in
        ["ci", "ci vale.learning --format tap", "vale list", "vale info vale0:1", "vale detach vale0:v"]
    {
        bench.run(line).exits(4).prints_nothing().says("/dev/netmap").says("load the netmap module");
    }
}

#[test]
fn a_port_goes_from_creation_to_deletion() {
    if !netmap() {
        return;
    }
    let bench = Bench::idle();
    bench.run("vale create nmct0 --slots 256").exits(0);
    bench.run("vale create nmct0").exits(2).says("exists");
    bench.run("vale attach valect:nmct0").exits(0);
    let listed = bench.run("vale list valect --format json");
    listed.exits(0);
    let list: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(list[0]["name"], "valect:nmct0");
    bench.run("vale detach valect:nmct0").exits(0);
    bench.run("vale detach valect:nmct0").exits(2);
    bench.run("vale delete nmct0").exits(0);
}

#[test]
fn this_hosts_module_learns_addresses() {
    if !netmap() {
        return;
    }
    let bench = Bench::idle();
    bench.run("ci vale.learning pipe.order --junit ci.xml --out ci.json").exits(0);
    assert!(std::fs::read_to_string(bench.path("ci.xml")).unwrap().contains("failures=\"0\""));
}
