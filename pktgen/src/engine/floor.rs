//! What an engine measures where nothing is to be measured: the floor of its round trips.

use super::{Engine, EngineThread, Phase, PortEngine};
use crate::Error;
use crate::counters::Shared;
use crate::latency::Latency;
use crate::ports::looped::LoopPort;
use crate::spec::{Addressing, IdlePolicy, PingSpec, PongSpec, PortRoles, WorkReport};
use std::time::Duration;

/// Slots of the loop's ring.
const SLOTS: u32 = 64;
/// A probe is never lost here, but may be late where the thread is kept from its processor.
const TIMEOUT_MS: u32 = 1_000;

/// Round trips of probes of `size` bytes including FCS over a port that is looped onto itself, one after the other,
/// for `length`, by the same roles and the same engine as elsewhere, on a thread of its own: on processor `cpu` if one
/// is given. No round trip that such an engine measures can be shorter; what is longer is due to what lies between
/// the ports, and to the other end.
pub fn floor(size: u16, idle: IdlePolicy, cpu: Option<usize>, length: Duration) -> Result<Latency, Error> {
    let addressing = Addressing {
        src_mac: [2, 0, 0, 0, 0, 1],
        dst_mac: [2, 0, 0, 0, 0, 1],
        src_ip: [198, 18, 0, 1],
        dst_ip: [198, 18, 0, 1],
        src_port: 1024,
        dst_port: 9,
        flows: 1,
    };
    let ping = PingSpec {
        stream: 1,
        size,
        addressing,
        rate: None,
        count: None,
        timeout_ms: TIMEOUT_MS,
        settle_ms: 0,
    };
    let roles = PortRoles { ping: Some(ping), pong: Some(PongSpec { burst: SLOTS }), ..PortRoles::default() };
    let mut engine = Engine::new(idle);
    engine.add(PortEngine::new(LoopPort::new(SLOTS, size), &roles, Shared::default())?);
    let mut thread = EngineThread::spawn("floor", cpu, engine).map_err(Error::Thread)?;
    let limit = Duration::from_secs(10);
    thread.enter(Phase::Receive, limit)?;
    thread.enter(Phase::Send, limit)?;
    std::thread::sleep(length);
    thread.enter(Phase::StopSend, limit)?;
    let reports = thread.finish(limit)?;
    let histogram = reports.iter().find_map(|report| match report {
        WorkReport::Port(report) => report.ping.as_ref().map(|ping| &ping.histogram),
        WorkReport::Fwd(_) => None,
    });
    histogram.map_or_else(|| Ok(Latency::default()), |text| Latency::decode(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_measured() {
        let idle = IdlePolicy { spin: 1000, nap_us: 20, longest_nap_us: 0, wait_after_us: 5_000 };
        let latency = floor(1518, idle, None, Duration::from_millis(50)).unwrap();
        assert!(latency.count() > 10, "{:?}", latency.summary());
        assert!(matches!(floor(63, idle, None, Duration::ZERO), Err(Error::FrameSize { .. })));
    }
}
