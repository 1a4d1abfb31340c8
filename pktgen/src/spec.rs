//! What a role is told to do and what it reports: plain data, so that it crosses to a guest unchanged.

mod pacing;
mod traffic;

#[cfg(any(test, feature = "testing"))]
mod sample;

use serde::{Deserialize, Serialize};

pub use pacing::PacingReport;
pub use traffic::{Arrivals, FlowOrder, MAX_REPLAY, Ranges, Replay, Traffic};

/// Frame sizes to send, in bytes on the wire including the 4-byte FCS (RFC 2544): 64 puts 60 bytes in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sizes {
    /// One size.
    Fixed(u16),
    /// A repeating sequence of sizes, such as IMIX.
    Cycle(Vec<u16>),
    /// Sizes at random, each as likely as any other: for each [`Traffic::seed`] a sequence of 65536, repeated.
    Random {
        /// The smallest.
        min: u16,
        /// The largest.
        max: u16,
    },
}

/// How fast to offer load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// As fast as the port takes frames.
    Max,
    /// Frames per second.
    Pps(f64),
    /// Bits per second on the wire: frame and FCS, preamble and gap (+20 bytes each).
    L1Bps(f64),
    /// Bits per second of frames including FCS.
    L2Bps(f64),
}

impl Rate {
    /// Frames per second of `mean_bytes` each including FCS; infinite for [`Rate::Max`].
    pub fn pps(self, mean_bytes: f64) -> f64 {
        match self {
            Rate::Max => f64::INFINITY,
            Rate::Pps(pps) => pps,
            Rate::L1Bps(bps) => bps / 8.0 / (mean_bytes + f64::from(crate::pace::L1_OVERHEAD)),
            Rate::L2Bps(bps) => bps / 8.0 / mean_bytes,
        }
    }
}

/// Addresses of what is sent. Flows vary the UDP source port, then the source address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addressing {
    /// Source Ethernet address.
    pub src_mac: [u8; 6],
    /// Destination Ethernet address.
    pub dst_mac: [u8; 6],
    /// Source IPv4 address of the first flow.
    pub src_ip: [u8; 4],
    /// Destination IPv4 address.
    pub dst_ip: [u8; 4],
    /// UDP source port of the first flow.
    pub src_port: u16,
    /// UDP destination port.
    pub dst_port: u16,
    /// Number of flows, at least 1.
    pub flows: u32,
}

/// What to do when a step of every role on the thread moved nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdlePolicy {
    /// Empty polls before the first sleep.
    pub spin: u32,
    /// Length of each short sleep, in microseconds; 0 yields the processor instead.
    pub nap_us: u32,
    /// How long short sleeps may become where frames may pile up in the rings (see
    /// [`crate::engine::Work::patience`]), in microseconds; not above `nap_us` keeps them as they are.
    pub longest_nap_us: u32,
    /// After this long without work, in microseconds, sleep in [`crate::port::Port::wait`] until kicked.
    pub wait_after_us: u32,
}

/// The tx role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TxSpec {
    /// Stream id carried by every frame.
    pub stream: u16,
    /// Frame sizes.
    pub sizes: Sizes,
    /// Addresses.
    pub addressing: Addressing,
    /// Offered load.
    pub rate: Rate,
    /// Most frames a batch.
    pub burst: u32,
    /// Stop after this many frames.
    pub count: Option<u64>,
    /// What the load is like beyond that.
    pub traffic: Traffic,
}

/// The rx role: counts, and checks sequence by stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RxSpec {
    /// Most frames a batch.
    pub burst: u32,
}

/// The ping role: one frame out, its echo back, in one clock domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PingSpec {
    /// Stream id carried by every frame.
    pub stream: u16,
    /// Frame size including FCS.
    pub size: u16,
    /// Addresses.
    pub addressing: Addressing,
    /// Probes per second; `None` sends the next when the last came back.
    pub rate: Option<f64>,
    /// Stop after this many.
    pub count: Option<u64>,
    /// A probe not back after this long is lost, in milliseconds.
    pub timeout_ms: u32,
    /// Probes sent in the first so many milliseconds are not timed, and not counted.
    pub settle_ms: u32,
}

/// The pong role: sends every probe back with its addresses swapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PongSpec {
    /// Most frames a batch.
    pub burst: u32,
}

/// What a forwarder does with Ethernet addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rewrite {
    /// Leaves them.
    #[default]
    Keep,
    /// Exchanges source and destination.
    Swap,
    /// Sets both.
    Set {
        /// Destination address.
        dst: [u8; 6],
        /// Source address.
        src: [u8; 6],
    },
}

/// The fwd role: one direction, from a port to another or back out of the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwdSpec {
    /// Most frames a batch.
    pub burst: u32,
    /// Addresses of what is sent.
    pub rewrite: Rewrite,
    /// Someone measures how long frames take, so none is to wait for others.
    pub timed: bool,
}

/// What one port does during a trial; `tx` and `rx` together make it bidirectional.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PortRoles {
    /// Send.
    pub tx: Option<TxSpec>,
    /// Send further streams beside `tx`, each in its turn: one port with several receivers.
    #[serde(default)]
    pub more_tx: Vec<TxSpec>,
    /// Receive.
    pub rx: Option<RxSpec>,
    /// Measure round trips.
    pub ping: Option<PingSpec>,
    /// Echo.
    pub pong: Option<PongSpec>,
}

impl PortRoles {
    /// Also sends this.
    pub fn add_tx(&mut self, spec: TxSpec) {
        match &self.tx {
            None => self.tx = Some(spec),
            Some(_) => self.more_tx.push(spec),
        }
    }
}

/// What the tx role did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TxReport {
    /// Frames published to the port.
    pub sent: u64,
    /// Their bytes including FCS.
    pub bytes: u64,
    /// Batches that the ring's free buffers cut short, to 0 included.
    pub full: u64,
    /// Frames published and never taken by the other side before the role ended.
    pub unsent: u64,
    /// First to last batch, in nanoseconds of the sender's clock.
    pub elapsed_ns: u64,
    /// Paced runs: frames that left more than one mean inter-frame gap after their time.
    pub late: u64,
    /// Paced runs: how well the schedule was kept.
    pub pacing: Option<Box<PacingReport>>,
}

impl TxReport {
    /// Adds what another sender of the same port did at the same time.
    pub fn merge(&mut self, other: Self) {
        self.sent += other.sent;
        self.bytes += other.bytes;
        self.full += other.full;
        self.unsent += other.unsent;
        self.elapsed_ns = self.elapsed_ns.max(other.elapsed_ns);
        self.late += other.late;
        match (&mut self.pacing, other.pacing) {
            (Some(pacing), Some(other)) => {
                // Histograms that cannot be read are left out; counts are kept.
                let _ = pacing.merge(&other);
            }
            (pacing, other) => *pacing = pacing.take().or(other),
        }
    }
}

/// One stream as its receiver saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamReport {
    /// Stream id.
    pub stream: u16,
    /// Frames received, duplicates included.
    pub received: u64,
    /// Frames that arrived after a frame with a higher sequence number (RFC 4737).
    pub reordered: u64,
    /// Frames whose sequence number had been seen.
    pub duplicate: u64,
    /// Sequence numbers between the lowest and the highest seen that never arrived.
    pub missing: u64,
    /// Lowest sequence number seen.
    pub first_seq: u64,
    /// Highest sequence number seen.
    pub last_seq: u64,
}

/// What the rx role saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RxReport {
    /// Frames of any kind.
    pub received: u64,
    /// Their bytes including FCS.
    pub bytes: u64,
    /// Frames no generator of ours made.
    pub foreign: u64,
    /// Frames that carry our mark and are damaged.
    pub corrupt: u64,
    /// By stream.
    pub streams: Vec<StreamReport>,
    /// First to last frame, in nanoseconds of the receiver's clock.
    pub elapsed_ns: u64,
    /// By flow, if that was asked for.
    pub flows: Option<Box<FlowsReport>>,
}

/// How values are spread, by nearest rank.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// The least.
    pub min: u64,
    /// The median.
    pub p50: u64,
    /// What 9 of 10 do not exceed.
    pub p90: u64,
    /// What 99 of 100 do not exceed.
    pub p99: u64,
    /// The most.
    pub max: u64,
}

impl Spread {
    /// Of the values at these shares; 0 where there are none.
    pub(crate) fn new(at: impl Fn(f64) -> Option<u64>) -> Spread {
        let [min, p50, p90, p99, max] = [0.0, 0.5, 0.9, 0.99, 1.0].map(|share| at(share).unwrap_or(0));
        Spread { min, p50, p90, p99, max }
    }

    pub(crate) fn map(self, each: impl Fn(u64) -> u64) -> Spread {
        let Spread { min, p50, p90, p99, max } = self;
        let [min, p50, p90, p99, max] = [min, p50, p90, p99, max].map(each);
        Spread { min, p50, p90, p99, max }
    }
}

/// What a flow meter counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FlowsReport {
    /// Flows that were told apart.
    pub flows: u64,
    /// Frames of further flows, for which there was no room.
    pub beyond_frames: u64,
    /// Frame sizes in bytes with FCS, over all frames.
    pub sizes: Spread,
    /// Frames of each flow, over flows.
    pub frames_by_flow: Spread,
    /// Frames per second of each flow, over flows, from the receiver's first frame to its last.
    pub rates_by_flow_pps: Spread,
    /// Those with the most frames, in that order.
    pub top: Vec<FlowReport>,
}

/// One flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowReport {
    /// EtherType.
    pub ethertype: u16,
    /// IP protocol; 0 for what is not IP.
    pub protocol: u8,
    /// Source address, if it is IP.
    pub src: Option<std::net::IpAddr>,
    /// Destination address, if it is IP.
    pub dst: Option<std::net::IpAddr>,
    /// Source port; 0 where there is none.
    pub src_port: u16,
    /// Destination port; 0 where there is none.
    pub dst_port: u16,
    /// Frames.
    pub frames: u64,
    /// Their bytes with FCS.
    pub bytes: u64,
    /// Frames per second, from the receiver's first frame to its last.
    pub rate_pps: f64,
}

/// What the ping role measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PingReport {
    /// Probes sent.
    pub sent: u64,
    /// Echoes in time.
    pub received: u64,
    /// Probes whose echo did not come, or came after the timeout.
    pub lost: u64,
    /// Round trips in nanoseconds, each from when its probe left: HDR histogram, V2 encoding (not deflated), base64;
    /// [`crate::latency::Latency::decode`] reads it.
    pub histogram: String,
    /// The same round trips, each from when its probe was due; `None` where probes follow no schedule.
    pub from_due: Option<String>,
    /// Probes that were due and had not left when the role was told to stop. They are in no histogram.
    pub overdue: u64,
}

/// What the pong role did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PongReport {
    /// Probes echoed.
    pub echoed: u64,
    /// Probes for which no transmit buffer became free before the role ended, or that were too long for one.
    pub dropped: u64,
}

/// What one port did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PortReport {
    /// Of the tx role.
    pub tx: Option<TxReport>,
    /// Of the rx role.
    pub rx: Option<RxReport>,
    /// Of the ping role.
    pub ping: Option<PingReport>,
    /// Of the pong role.
    pub pong: Option<PongReport>,
    /// The longest time between two looks at the port while frames were being sent, in nanoseconds: naps, and the
    /// time in which the thread was kept from its processor.
    pub longest_pause_ns: u64,
}

/// What the fwd role did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwdReport {
    /// Frames received.
    pub received: u64,
    /// Frames sent on.
    pub forwarded: u64,
    /// Frames for which no transmit buffer became free before the role ended, or that were too long for one.
    pub dropped: u64,
}

/// What one member of an engine did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkReport {
    /// A port with roles.
    Port(Box<PortReport>),
    /// A forwarder: one report for each direction.
    Fwd(Vec<FwdReport>),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json_and_back<T: Serialize + for<'a> Deserialize<'a> + PartialEq + std::fmt::Debug>(value: &T) {
        let text = serde_json::to_string(value).unwrap();
        assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "by way of {text}");
    }

    #[test]
    fn what_crosses_to_a_guest_arrives_unchanged() {
        let addressing = Addressing {
            src_mac: [2, 0, 0, 0, 0, 1],
            dst_mac: [0xff; 6],
            src_ip: [10, 0, 0, 1],
            dst_ip: [10, 0, 0, 2],
            src_port: 65_535,
            dst_port: 0,
            flows: u32::MAX,
        };
        for (rate, sizes) in [
            (Rate::Max, Sizes::Fixed(64)),
            (Rate::Pps(0.1 + 0.2), Sizes::Cycle(vec![64, 1518])),
            (Rate::L1Bps(1e10), Sizes::Cycle(vec![])),
            (Rate::L2Bps(1.0 / 3.0), Sizes::Fixed(u16::MAX)),
            (Rate::Max, Sizes::Random { min: 64, max: 1518 }),
        ] {
            let (addressing, count) = (addressing.clone(), Some(u64::MAX));
            json_and_back(&PortRoles {
                tx: Some(TxSpec {
                    stream: 1,
                    sizes,
                    addressing: addressing.clone(),
                    rate,
                    burst: 9,
                    count,
                    traffic: Traffic {
                        arrivals: Arrivals::Bursts { frames: 3 },
                        order: FlowOrder::Zipf { exponent: 0.1 + 0.2 },
                        ranges: None,
                        replay: Some(Replay::new(&[[7; 60]], Some(vec![1])).unwrap()),
                        seed: u64::MAX,
                    },
                }),
                rx: Some(RxSpec { burst: 1 }),
                ping: Some(PingSpec {
                    stream: 2,
                    size: 64,
                    addressing,
                    rate: None,
                    count: None,
                    timeout_ms: 1,
                    settle_ms: 2,
                }),
                pong: None,
                more_tx: Vec::new(),
            });
        }
        for rewrite in [Rewrite::Keep, Rewrite::Swap, Rewrite::Set { dst: [1; 6], src: [2; 6] }] {
            json_and_back(&FwdSpec { burst: 3, rewrite, timed: true });
        }
    }

    #[test]
    fn what_comes_back_from_a_guest_arrives_unchanged() {
        let pacing = Some(Box::new(PacingReport { recorded_every: 61, ..Default::default() }));
        let tx = TxReport { sent: u64::MAX, bytes: 1, full: 2, unsent: 3, elapsed_ns: 4, late: 5, pacing };
        let stream =
            StreamReport { stream: u16::MAX, received: u64::MAX, reordered: 1, ..Default::default() };
        let rx = RxReport { received: u64::MAX, streams: vec![stream; 3], ..Default::default() };
        let ping =
            PingReport { histogram: crate::latency::Latency::default().encode(), ..Default::default() };
        let pong = PongReport { echoed: 1, dropped: u64::MAX };
        json_and_back(&WorkReport::Port(Box::new(PortReport {
            tx: Some(tx),
            rx: Some(rx),
            ping: Some(ping),
            pong: Some(pong),
            longest_pause_ns: 6,
        })));
        json_and_back(&WorkReport::Port(Box::default()));
        json_and_back(&WorkReport::Fwd(vec![FwdReport { received: 3, forwarded: 2, dropped: 1 }]));
    }
}
