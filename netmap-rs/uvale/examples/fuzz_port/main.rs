//! A port whose owner writes rubbish into its memory as fast as it can, on a switch that two honest ports use.
//!
//!     cargo run --release -p uvale --example fuzz_port -- [--seconds 60] [--seed N]
//!
//! Ends with a panic if an honest frame is damaged or lost uncounted, a byte outside the port's memory changes,
//! the switch stops, or its counters do not add up. The tests run the same for a moment.

mod fuzz;

use std::time::Duration;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str, default: u64| {
        let value = args.iter().position(|a| a == name).and_then(|i| args.get(i + 1));
        value.map_or(default, |v| v.parse().unwrap_or_else(|_| panic!("{name} takes a number, not {v:?}")))
    };
    let (seconds, seed) = (option("--seconds", 60), option("--seed", std::process::id().into()));
    println!("seed {seed}, {seconds} s");
    print!("{}", fuzz::run(Duration::from_secs(seconds), seed));
}
