//! Bad input: one clear sentence, the documented exit code, and nothing begun.

mod fixture;

use std::time::Duration;

use fixture::{Bench, Finished};

/// Something refused at once takes less than this, on a machine under load too.
const AT_ONCE: Duration = Duration::from_secs(10);

/// Runs what must be refused; nothing may be begun for it.
fn refused(bench: &Bench, line: &str, code: i32, words: &[&str]) -> Finished {
    let ran = bench.run(line);
    ran.exits(code).prints_nothing().took_less_than(AT_ONCE);
    for word in words {
        ran.says(word);
    }
    ran.never_says("warm-up").never_says("booting");
    // The sentence comes first; what clap adds (usage, where to find help) follows.
    let first = ran.stderr.lines().next().unwrap_or_default();
    let named = ["error: ", "vale-bench: "].iter().any(|prefix| first.starts_with(prefix));
    assert!(named && !first.contains("Error {") && !first.contains("Err("), "{ran}");
    assert!(bench.runtime_files().is_empty(), "{:?}", bench.runtime_files());
    ran
}

#[test]
fn sizes() {
    let bench = Bench::idle();
    for (size, words) in [
        ("63", &["63", "too small", "64"][..]),
        ("0", &["too small"]),
        ("-64", &["not a frame size"]),
        ("64B", &["64B", "not a frame size"]),
        ("2053", &["2053", "too large", "2052"]),
        ("70000", &["70000", "too large"]),
        ("64,,128", &["empty size"]),
        ("64,64", &["twice"]),
        ("512-64", &["backwards"]),
        ("64:0,570:4", &["weight", "64:7,570:4,1518:1"]),
        ("512-64/64", &["backwards"]),
        ("64-1518/1", &["more than"]),
    ] {
        refused(&bench, &format!("p2p --size={size}"), 2, words);
    }
    refused(&bench, "v2v --size 64,2053", 2, &["2053", "too large"]);
    refused(&bench, "tx -i vale0:1 -l 59", 2, &["59", "too small", "60"]);
    refused(&bench, "tx -i vale0:1 -l 1514-60", 2, &["backwards"]);
    refused(&bench, "ping -i vale0:1 --size 64,128", 2, &["several sizes"]);
    bench.leaves_nothing_behind();
}

#[test]
fn names_without_an_interface() {
    let bench = Bench::idle();
    for line in ["rx -i xdp:", "tx -i packet: -n 1", "p2p --port xdp: --port packet:"] {
        refused(&bench, line, 2, &["names no interface"]);
    }
    bench.leaves_nothing_behind();
}

#[test]
fn rates() {
    let bench = Bench::idle();
    for rate in ["fast", "-1", "1.2.3", "1Mpps/L2", "1e6", "5 parsecs"] {
        let words: Vec<&str> = vec!["p2p", "--rate", rate];
        let mut command = bench.command(&[]);
        command.args(if rate.starts_with('-') { vec!["p2p", "--rate=-1"] } else { words });
        let ran = bench.start_command(command).ends_within(AT_ONCE);
        ran.exits(2).says("is not a rate").prints_nothing();
    }
    refused(&bench, "p2p --rate 0", 2, &["sends nothing"]);
    refused(&bench, "ping -i vale0:1 -R 10Gbps", 2, &["not a number of probes a second"]);
    bench.leaves_nothing_behind();
}

#[test]
fn times() {
    let bench = Bench::idle();
    for option in ["--duration", "--interval"] {
        refused(&bench, &format!("p2p {option} 0"), 2, &[option, "no time at all"]);
    }
    for option in ["--duration", "--interval", "--warmup"] {
        refused(&bench, &format!("p2p {option} soon"), 2, &[option, "soon", "not a length of time", "500ms"]);
        refused(&bench, &format!("p2p {option}=-1"), 2, &["not a length of time"]);
    }
    refused(&bench, "p2p --duration 1000h", 2, &["longer than a week"]);
    refused(&bench, "p2p --duration 50ms", 2, &["--interval", "longer than --duration"]);
    bench.leaves_nothing_behind();
}

#[test]
fn numbers_and_names() {
    let bench = Bench::idle();
    for (line, words) in [
        ("p2p --dataplane nosuch", &["no dataplane", "nosuch", "uvale"][..]),
        ("p2p --dataplane uvale,uvale", &["twice"]),
        ("p2p --pairs 0", &["--pairs", "0"]),
        ("p2p --pairs 128", &["--pairs", "127"]),
        ("p2p --repeat 0", &["--repeat", "1000"]),
        ("p2p --slots 64 --dataplane vale", &["--slots needs --dataplane uvale"]),
        ("v2v --link pipe", &["--link pipe needs --dataplane vale"]),
        ("v2v --guest-module netmap.ko", &["--guest-module needs --dataplane vale"]),
        ("v2p --klooptx off --dataplane vale-virtio", &["--klooptx needs --dataplane vale"]),
        ("p2v --vms 128", &["128", "127"]),
        ("p2p --slots 3", &["--slots", "4096"]),
        ("p2p --flows 0", &["--flows"]),
        ("p2p --format xml", &["xml", "markdown"]),
        ("v2v --vms 0", &["needs guests"]),
        ("v2v --vms 3", &["must be even"]),
        ("v2v --vms 256", &["254"]),
        ("v2v --vms two", &["two", "not a number"]),
        ("v2v --accel hvf", &["hvf", "auto", "kvm", "tcg"]),
        ("switch --name br0", &["vale", "vale0"]),
        ("switch --slots 1", &["--slots", "4096"]),
        ("tx -i vale0:1 -S 01:00:5e:00:00:01", &["group"]),
        ("tx -i vale0:1 -D 02:00", &["not an Ethernet address"]),
        ("tx -i vale0:1 -d 10.0.0", &["not an IPv4 address"]),
        ("tx -i netmap:", &["netmap:"]),
        ("tx -i vale0:1 -F 2", &["-F 2", "124"]),
        ("tx -i vale0:1 -F 64", &["--fragments", "63"]),
        ("tx -i vale0:1 -H 11", &["10 or 12"]),
        ("tx -i vale0:1 -P no-such-file", &["-P no-such-file", "No such file"]),
        ("tx -i vale0:1 -P x --size 64", &["--pcap", "cannot be used with"]),
        ("tx -i vale0:1 -s 10.0.0.1-10.0.0.9 --flows 2", &["--flows", "ranges"]),
        ("tx -i vale0:1 -s 10.0.0.9-10.0.0.1", &["backwards"]),
        ("tx -i netmap:lo -I", &["-I", "VALE"]),
        ("tx -i lo -p 2", &["-p", "lo"]),
        ("tx -i lo -a 4095", &["4095", "processor"]),
        ("rx -i lo --dump x -p 2", &["--dump", "-p"]),
        ("ping -i vale0:1 -s 10.0.0.1-10.0.0.9", &["ranges are for tx"]),
        ("ping -i vale0:1 --size 64-128", &["--size"]),
        ("fwd -i lo", &["two ports", "1"]),
        ("fwd -i lo -i lo -i lo", &["two ports", "3"]),
        ("tx", &["--interface"]),
        ("v3v", &["unrecognized subcommand"]),
    ] {
        refused(&bench, line, 2, words);
    }
    refused(&bench, "rx -i nosuchif", 4, &["nosuchif"]);
    bench.leaves_nothing_behind();
}

#[test]
fn processors() {
    let bench = Bench::idle();
    for list in ["a", "1-", "2-1", ""] {
        refused(&bench, &format!("p2p --pin={list}"), 2, &["--pin"]);
    }
    for line in ["p2p --pin 4095", "v2v --vms 2 --accel tcg --pin 0,4095", "switch --pin 4095"] {
        refused(&bench, line, 2, &["4095", "processor", "this process may"]);
    }
}

#[test]
fn searches() {
    let bench = Bench::idle();
    refused(&bench, "p2p --search nrd", 2, &["did you mean ndr?"]);
    refused(&bench, "p2p --search ndr --search-width 100%", 2, &["--search-width", "part of a whole"]);
    refused(&bench, "p2p --search-width 1%", 2, &["--search"]);
    refused(&bench, "p2p --search ndr --duration 3", 2, &["--duration", "--search"]);
    refused(&bench, "p2p --search ndr --rate 1M", 2, &["--max-load"]);
    refused(&bench, "p2p --search soak", 2, &["a soak test needs a load"]);
    refused(&bench, "p2p --search mrr,soak", 2, &["a soak test needs a load"]);
    std::fs::write(bench.path("goals.toml"), "[[goal]]\nname = \"g\"\nwidht = \"1%\"\n").unwrap();
    refused(&bench, "p2p --search goals.toml", 2, &["goals.toml, line 3, column 1", "did you mean width?"]);
}

#[test]
fn outputs() {
    let bench = Bench::idle();
    std::fs::create_dir(bench.path("folder")).unwrap();
    for (place, words) in [
        ("/nonexistent/r.json", &["No such file"][..]),
        ("folder", &["a directory"]),
        ("/dev/full", &["a device"]),
        ("/proc/r.json", &[]),
        ("r.json/", &["directory"]),
    ] {
        for command in ["p2p", "v2v"] {
            let line = format!("{command} --out {place}");
            refused(&bench, &line, 2, &[&["cannot write", place][..], words].concat());
        }
    }
    bench.leaves_nothing_behind();
}

#[test]
fn a_file_that_is_there_is_kept_until_there_is_a_result() {
    let bench = Bench::new();
    std::fs::write(bench.path("r.json"), "mine").unwrap();
    refused(&bench, "p2p --out r.json --pin 4095", 2, &["4095"]);
    assert_eq!(std::fs::read_to_string(bench.path("r.json")).unwrap(), "mine");
    bench.measure("p2p").adds_up();
}

#[test]
fn places_for_run_time_files() {
    let bench = Bench::idle();
    let run_in = |place: &str| {
        let mut command = std::process::Command::new("env");
        command.arg(format!("VALE_BENCH_RUNTIME_DIR={place}")).arg(env!("CARGO_BIN_EXE_vale-bench"));
        command.args(["p2p", "--duration", "200ms"]);
        bench.start_command(command).ends_within(AT_ONCE)
    };
    let open = bench.path("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    run_in(open.to_str().unwrap()).says("mode 755").says("chmod 700").prints_nothing();
    run_in("/proc/none").says("/proc/none").prints_nothing();
    let long = bench.path(&"l".repeat(100));
    run_in(long.to_str().unwrap()).says("too long").says("VALE_BENCH_RUNTIME_DIR").prints_nothing();
}
