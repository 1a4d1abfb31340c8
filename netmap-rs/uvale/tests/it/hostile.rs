//! A short run of the fuzzer in `examples/fuzz_port`, which checks what must hold.

#[path = "../../examples/fuzz_port/fuzz.rs"]
mod fuzz;

use std::time::Duration;

#[test]
fn a_hostile_port_hurts_only_itself() {
    for seed in [1, 2] {
        let report = fuzz::run(Duration::from_millis(1500), seed);
        assert!(report.episodes > 1 && report.attacks.len() == 11, "{report}");
        assert!(report.honest.received > 0 && report.honest.foreign > 0, "{report}");
        assert!(report.resets > 0, "{report}");
        for kind in ["TxCursor", "TxSlot", "RxCursor", "RxSlot"] {
            assert!(report.faults.contains_key(kind), "{kind}: {report}");
        }
        assert!(
            report.faults.values().all(|&n| n <= report.episodes),
            "one of each kind for each port: {report}"
        );
    }
}
