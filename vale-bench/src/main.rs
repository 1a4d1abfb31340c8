//! vale-bench.
fn main() {}
