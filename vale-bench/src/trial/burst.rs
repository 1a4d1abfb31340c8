//! One burst: so many frames as fast as they can be sent, and how many of them arrive.

use std::time::{Duration, Instant};

use pktgen::spec::{PortRoles, Rate, RxSpec, TxSpec};

use super::{TrialSpec, enter, moved, prepare, reports, sender, settle, shared_by};
use crate::dataplane::Lab;
use crate::exit::Fail;
use crate::interrupt::Interrupt;
use crate::station::Phase;

/// What became of a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    /// Frames that were sent, by all senders.
    pub sent: u64,
    /// Frames of them that arrived.
    pub received: u64,
    /// From the first until nothing moved any more.
    pub elapsed: Duration,
}

/// Has every sender of `spec` send `frames` frames as fast as it can.
pub fn burst(lab: &mut Lab, spec: &TrialSpec, frames: u64, interrupt: &Interrupt) -> Result<Burst, Fail> {
    let mut roles = vec![PortRoles::default(); lab.ports.len()];
    for (i, flow) in spec.flows.iter().enumerate() {
        let tx = sender(lab, spec, &spec.load, i, Rate::Max);
        // Of a port with several receivers each gets a part; the first the odd frames too.
        let flows = u64::from(shared_by(spec, i));
        let first = spec.flows.iter().position(|other| other.from == flow.from) == Some(i);
        let count = frames / flows + if first { frames % flows } else { 0 };
        roles[flow.from].add_tx(TxSpec { count: Some(count), ..tx });
    }
    for roles in &mut roles {
        roles.rx = Some(RxSpec { burst: spec.burst.max(256) });
    }
    let before = moved(lab);
    prepare(lab, roles)?;
    enter(lab, Phase::Receive)?;
    let began = Instant::now();
    enter(lab, Phase::Send)?;
    settle(lab, &before, interrupt)?;
    let elapsed = began.elapsed();
    enter(lab, Phase::StopSend)?;
    let reports = reports(lab)?.ports;
    let sent = reports.iter().filter_map(|report| report.tx.as_ref()).map(|tx| tx.sent).sum();
    let received = reports.iter().filter_map(|report| report.rx.as_ref()).map(|rx| rx.received - rx.foreign);
    Ok(Burst { sent, received: received.sum(), elapsed })
}
