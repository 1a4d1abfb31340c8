//! Runs the benchmark of the roles with few frames, so that it cannot rot.

#[path = "../benches/roles.rs"]
mod roles;

#[test]
fn the_benchmark_runs_and_measures_something() {
    let costs = roles::run(2, 3);
    for cost in &costs {
        assert!(cost.frames >= 2 * 3 * 1000, "{cost:?}: crosses the ring's end several times");
        assert!(cost.tx_ns > 0.0 && cost.tx_ns.is_finite(), "{cost:?}");
    }
    assert!(costs.iter().any(|cost| cost.rx_ns > 0.0));
}
