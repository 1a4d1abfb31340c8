//! One trial: what was measured, how, and what came of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number::{finite, ratio};
use super::{
    Accounting, Cost, Latency, Load, LoadedLatency, PortResult, Throughput, Warning, Window, WindowPort,
};

/// What ran the guests' instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Accelerator {
    /// No guest took part.
    None,
    /// The processor, under KVM.
    Kvm,
    /// QEMU's translator: good for comparing dataplanes on one host, not for quoting.
    Tcg,
}

impl Accelerator {
    /// How it is written for people.
    pub fn label(self) -> &'static str {
        match self {
            Accelerator::None => "no guests",
            Accelerator::Kvm => "KVM",
            Accelerator::Tcg => "TCG",
        }
    }
}

/// What carried the packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dataplane {
    /// Its name, as in `uvale`.
    pub name: String,
    /// What ran the guests.
    pub accelerator: Accelerator,
    /// What drove the port inside the guests, as in `uvale` or `ptnet`; null without guests.
    pub guest_driver: Option<String>,
    /// Further parameters, such as slots a ring, by name.
    pub parameters: BTreeMap<String, String>,
}

/// Whether one side of a pair sends or both do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// One way.
    Uni,
    /// Both ways at once.
    Bidi,
}

impl Direction {
    /// `uni` or `bidi`.
    pub fn label(self) -> &'static str {
        match self {
            Direction::Uni => "uni",
            Direction::Bidi => "bidi",
        }
    }
}

/// The frame sizes of a trial, including FCS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FrameSize {
    /// How it was asked for: `64` or `imix`.
    pub label: String,
    /// The sizes, sent in this order over and over; the smallest and the largest where sizes are drawn at random.
    pub sizes_bytes: Vec<u16>,
    /// Whether sizes are drawn at random from the smallest to the largest, each as likely as any other.
    #[serde(default)]
    pub at_random: bool,
}

impl FrameSize {
    /// The mean size in bytes; 0 without sizes.
    pub fn mean_bytes(&self) -> f64 {
        let total: u64 = self.sizes_bytes.iter().map(|&size| u64::from(size)).sum();
        ratio(total as f64, self.sizes_bytes.len() as f64)
    }
}

/// The load each sender offered.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Offered {
    /// As fast as the port takes frames.
    Max,
    /// Frames a second.
    Pps {
        /// Per sender.
        #[serde(serialize_with = "finite")]
        rate_pps: f64,
    },
    /// Bits a second on the line: frame, FCS, preamble and gap.
    L1 {
        /// Per sender.
        #[serde(serialize_with = "finite")]
        rate_l1_bps: f64,
    },
    /// Bits a second of frames including FCS.
    L2 {
        /// Per sender.
        #[serde(serialize_with = "finite")]
        rate_l2_bps: f64,
    },
}

impl From<pktgen::spec::Rate> for Offered {
    fn from(rate: pktgen::spec::Rate) -> Self {
        match rate {
            pktgen::spec::Rate::Max => Offered::Max,
            pktgen::spec::Rate::Pps(rate_pps) => Offered::Pps { rate_pps },
            pktgen::spec::Rate::L1Bps(rate_l1_bps) => Offered::L1 { rate_l1_bps },
            pktgen::spec::Rate::L2Bps(rate_l2_bps) => Offered::L2 { rate_l2_bps },
        }
    }
}

/// One measurement: set-up, warm-up, windows, drain, account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// The topology and who sends to whom, as in `v2v`.
    pub scenario: String,
    /// What carried the packets.
    pub dataplane: Dataplane,
    /// Guests that took part.
    pub vms: u32,
    /// Frame sizes.
    pub frame_size: FrameSize,
    /// One way or both.
    pub direction: Direction,
    /// Offered load of each sender.
    pub offered: Offered,
    /// Flows of each sender.
    pub flows: u32,
    /// The load beyond sizes, flows and rate; null in documents of programs that knew no other than the plainest.
    #[serde(default)]
    pub load: Option<Load>,
    /// Which repetition this is, from 1.
    pub repeat: u32,
    /// Which trial of the run this was, from 1 in order of time.
    pub order: u32,
    /// Length of the measured part.
    #[serde(serialize_with = "finite")]
    pub duration_s: f64,
    /// Length of the discarded part before it.
    #[serde(serialize_with = "finite")]
    pub warmup_s: f64,
    /// The ports and what they did, warm-up included.
    pub ports: Vec<PortResult>,
    /// The raw samples of the measured part.
    pub windows: Vec<Window>,
    /// The receivers' rates over all windows.
    pub throughput: Throughput,
    /// Where the frames went.
    pub accounting: Accounting,
    /// Processor time that the switch's threads used in the measured part, in nanoseconds; null if unknown.
    #[serde(default)]
    pub switch_cpu_ns: Option<u64>,
    /// What the measured part cost; null where that was not measured.
    #[serde(default)]
    pub cost: Option<Cost>,
    /// Round trips on otherwise idle ports, each probe sent when the one before is back; null where none were measured.
    pub latency: Option<Latency>,
    /// Round trips inside a load, by its size.
    #[serde(default)]
    pub latency_under_load: Vec<LoadedLatency>,
    /// What the probing engine measures over a port looped onto itself, without a switch: no round trip of that engine
    /// can be shorter. Null where no round trips were measured.
    #[serde(default)]
    pub latency_floor: Option<Latency>,
    /// What could be wrong with this trial.
    pub warnings: Vec<Warning>,
}

impl Trial {
    /// What a window's ports counted that are ends of flows: all but those of forwarders.
    pub fn ends<'w>(&self, window: &'w Window) -> impl Iterator<Item = &'w WindowPort> {
        let is_end = |index: usize| self.ports.get(index).is_none_or(|port| port.roles.fwd.is_none());
        window.ports.iter().enumerate().filter(move |(index, _)| is_end(*index)).map(|(_, port)| port)
    }

    /// Frames sent in a window, by all senders.
    pub fn sent_in(&self, window: &Window) -> u64 {
        self.ends(window).map(|port| port.tx_frames).sum()
    }

    /// Frames received in a window, by all receivers.
    pub fn received_in(&self, window: &Window) -> u64 {
        self.ends(window).map(|port| port.rx_frames).sum()
    }

    /// The receivers' rate of a window, all added up, in Mpps; 0 for a window of no length.
    pub fn rx_mpps(&self, window: &Window) -> f64 {
        let ns = window.end_ns.saturating_sub(window.start_ns);
        ratio(self.received_in(window) as f64 * 1e3, ns as f64)
    }

    /// Frames lost by the end of each window, all ports added up. What was only on its way is told from what was lost
    /// by its arrival later: a frame is lost no later than when the number of missing frames stays above it for good.
    pub fn lost_by_window(&self) -> Vec<u64> {
        let mut missing = 0i64;
        let mut lost: Vec<u64> = Vec::with_capacity(self.windows.len());
        for window in &self.windows {
            missing += self.sent_in(window) as i64 - self.received_in(window) as i64;
            lost.push(missing.max(0) as u64);
        }
        // After the last window frames still arrive; the account, made when nothing moved any more, has the end.
        let mut least = self.accounting.sent.saturating_sub(self.accounting.received);
        for lost in lost.iter_mut().rev() {
            least = least.min(*lost);
            *lost = least;
        }
        lost
    }
}
