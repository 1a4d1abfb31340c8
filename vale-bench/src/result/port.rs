//! What each port did: the roles' reports as the document keeps them, and raw window samples.
//!
//! Mirrors `pktgen::spec`'s reports. The document has types of its own because a message between host and
//! guest may change with any release, and a result may not; the conversions name every field, so that a
//! report that grows does not compile until the document says what becomes of it.

use std::collections::BTreeMap;

use pktgen::spec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Pacing;

/// What the tx role did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TxCounts {
    /// Frames published to the port.
    pub sent_frames: u64,
    /// Their bytes including FCS.
    pub sent_bytes: u64,
    /// Batches that found the ring full.
    pub full_batches: u64,
    /// Frames published and never taken by the other side before the role ended.
    pub unsent_frames: u64,
    /// First to last batch, by the sender's clock.
    pub elapsed_ns: u64,
    /// Paced runs: frames that left more than one mean inter-frame gap after their time.
    pub late_frames: u64,
    /// Paced runs: how well the schedule was kept.
    #[serde(default)]
    pub pacing: Option<Pacing>,
}

/// One stream as its receiver saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamCounts {
    /// Stream id: the sender's number, and 256 more for each queue of its port that the frames were sent by.
    pub stream: u16,
    /// Frames received, duplicates included.
    pub received_frames: u64,
    /// Frames that arrived after a frame with a higher sequence number (RFC 4737).
    pub reordered_frames: u64,
    /// Frames whose sequence number had been seen.
    pub duplicate_frames: u64,
    /// Sequence numbers between the lowest and the highest seen that never arrived.
    pub missing_frames: u64,
    /// Lowest sequence number seen.
    pub first_sequence: u64,
    /// Highest sequence number seen.
    pub last_sequence: u64,
}

/// What the rx role saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RxCounts {
    /// Frames of any kind.
    pub received_frames: u64,
    /// Their bytes including FCS.
    pub received_bytes: u64,
    /// Frames that no generator of ours made.
    pub foreign_frames: u64,
    /// Frames that carry our mark and are damaged.
    pub corrupt_frames: u64,
    /// By stream.
    pub streams: Vec<StreamCounts>,
    /// First to last frame, by the receiver's clock.
    pub elapsed_ns: u64,
}

/// What the ping role did; the trial's latency has its figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PingCounts {
    /// Probes sent.
    pub sent_probes: u64,
    /// Echoes in time.
    pub received_probes: u64,
    /// Probes given up.
    pub lost_probes: u64,
    /// Round trips in nanoseconds, each from when its probe left: an HDR histogram in the V2 encoding without DEFLATE,
    /// in base64.
    pub histogram: String,
    /// The same, each from when its probe was due; null where probes followed no schedule.
    #[serde(default)]
    pub histogram_from_due: Option<String>,
    /// Probes that were due and had not left when the role was told to stop.
    #[serde(default)]
    pub overdue_probes: u64,
}

/// What the pong role did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PongCounts {
    /// Probes echoed.
    pub echoed_probes: u64,
    /// Probes that found the transmit ring full.
    pub dropped_probes: u64,
}

/// What the fwd role did with the frames that came in at one port. What came in was sent on or dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FwdCounts {
    /// The port by which they left.
    pub to: String,
    /// Frames received, of any kind.
    pub received_frames: u64,
    /// Frames sent on.
    pub forwarded_frames: u64,
    /// Frames too long for the other port, or for which it had no room until the role ended.
    pub dropped_frames: u64,
}

/// What the roles of one port did; a role that the port did not have is null.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PortCounts {
    /// Of the tx role.
    pub tx: Option<TxCounts>,
    /// Of the rx role.
    pub rx: Option<RxCounts>,
    /// Of the ping role.
    pub ping: Option<PingCounts>,
    /// Of the pong role.
    pub pong: Option<PongCounts>,
    /// Of the fwd role: a port of a station that passes on what others sent. It is no end of any flow, and what it
    /// sends and receives is in no rate.
    #[serde(default)]
    pub fwd: Option<FwdCounts>,
    /// The longest time between two looks at the port while frames were being sent, by the port's own clock: naps,
    /// and the time in which its thread was kept from its processor. Frames that come meanwhile wait in the ring.
    pub longest_pause_ns: u64,
}

/// One port of a trial.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PortResult {
    /// The port, as in `vale0:1`.
    pub name: String,
    /// The guest it belongs to; null for a port of the host.
    pub vm: Option<String>,
    /// What its roles did.
    pub roles: PortCounts,
    /// What the switch counted at this port, by the switch's own names.
    pub counters: BTreeMap<String, u64>,
}

/// One port in one window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WindowPort {
    /// Frames sent.
    pub tx_frames: u64,
    /// Frames received.
    pub rx_frames: u64,
}

/// One raw sample: what was counted from one reading of the counters to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// Start, counted from the end of the warm-up.
    pub start_ns: u64,
    /// End, on the same scale.
    pub end_ns: u64,
    /// The ports, in the order of the trial's `ports`.
    pub ports: Vec<WindowPort>,
}

impl From<spec::TxReport> for TxCounts {
    fn from(report: spec::TxReport) -> Self {
        let spec::TxReport { sent, bytes, full, unsent, elapsed_ns, late, pacing } = report;
        TxCounts {
            sent_frames: sent,
            sent_bytes: bytes,
            full_batches: full,
            unsent_frames: unsent,
            elapsed_ns,
            late_frames: late,
            // A sender's own histograms are sound; a guest's that are not leave the rest of its report as it is.
            pacing: pacing.and_then(|pacing| Pacing::of(&pacing).ok()),
        }
    }
}

impl From<spec::StreamReport> for StreamCounts {
    fn from(report: spec::StreamReport) -> Self {
        let spec::StreamReport { stream, received, reordered, duplicate, missing, first_seq, last_seq } =
            report;
        StreamCounts {
            stream,
            received_frames: received,
            reordered_frames: reordered,
            duplicate_frames: duplicate,
            missing_frames: missing,
            first_sequence: first_seq,
            last_sequence: last_seq,
        }
    }
}

impl From<spec::RxReport> for RxCounts {
    fn from(report: spec::RxReport) -> Self {
        let spec::RxReport { received, bytes, foreign, corrupt, streams, elapsed_ns, flows: _ } = report;
        RxCounts {
            received_frames: received,
            received_bytes: bytes,
            foreign_frames: foreign,
            corrupt_frames: corrupt,
            streams: streams.into_iter().map(StreamCounts::from).collect(),
            elapsed_ns,
        }
    }
}

impl From<spec::PingReport> for PingCounts {
    fn from(report: spec::PingReport) -> Self {
        let spec::PingReport { sent, received, lost, histogram, from_due, overdue } = report;
        PingCounts {
            sent_probes: sent,
            received_probes: received,
            lost_probes: lost,
            histogram,
            histogram_from_due: from_due,
            overdue_probes: overdue,
        }
    }
}

impl From<spec::PongReport> for PongCounts {
    fn from(report: spec::PongReport) -> Self {
        let spec::PongReport { echoed, dropped } = report;
        PongCounts { echoed_probes: echoed, dropped_probes: dropped }
    }
}

impl FwdCounts {
    /// What a forwarder did with the frames of one port that left by the one called `to`.
    pub fn of(report: spec::FwdReport, to: String) -> FwdCounts {
        let spec::FwdReport { received, forwarded, dropped } = report;
        FwdCounts { to, received_frames: received, forwarded_frames: forwarded, dropped_frames: dropped }
    }
}

impl From<spec::PortReport> for PortCounts {
    fn from(report: spec::PortReport) -> Self {
        let spec::PortReport { tx, rx, ping, pong, longest_pause_ns } = report;
        PortCounts {
            tx: tx.map(TxCounts::from),
            rx: rx.map(RxCounts::from),
            ping: ping.map(PingCounts::from),
            pong: pong.map(PongCounts::from),
            fwd: None,
            longest_pause_ns,
        }
    }
}
