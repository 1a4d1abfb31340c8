//! Specifications for tests and benchmarks.

use super::Addressing;

impl Addressing {
    /// Any addresses, with so many flows.
    #[must_use]
    pub fn sample(flows: u32) -> Addressing {
        Addressing {
            src_mac: [2, 0, 0, 0, 0, 1],
            dst_mac: [2, 0, 0, 0, 0, 2],
            src_ip: [10, 0, 0, 1],
            dst_ip: [10, 0, 0, 2],
            src_port: 1024,
            dst_port: 9,
            flows,
        }
    }
}
