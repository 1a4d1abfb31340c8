//! The ways a measurement can be bad, each with a sentence and advice.
//!
//! A warning is data: a reader can count, filter and sort by it. The words are made from it when shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number::{finite, ratio};

/// Something that could be wrong with a measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Warning {
    /// Guests ran under QEMU's translator.
    Tcg,
    /// KVM was wanted, or would have been used, and does not work here.
    KvmUnusable {
        /// What the probe saw.
        reason: String,
    },
    /// More threads are always busy than there are processors for them.
    Oversubscribed {
        /// Threads that do not sleep during a trial.
        busy_threads: u32,
        /// Processors usable by them.
        cores: u32,
    },
    /// Threads were not bound to processors.
    Unpinned,
    /// A processor may change its frequency during a trial.
    GovernorNotPerformance {
        /// The governor found.
        governor: String,
    },
    /// The measuring machine is a virtual machine.
    Virtualised {
        /// Its hypervisor.
        hypervisor: String,
    },
    /// The program was compiled without optimisation.
    DebugBuild,
    /// Frames were lost between sender and receiver.
    Loss {
        /// The part of what was sent that did not arrive, 0 to 1.
        #[serde(serialize_with = "finite")]
        ratio: f64,
    },
    /// At maximum rate the sender seldom found its ring full: it was slower than what it was to test.
    SenderLimited,
    /// A paced sender did not reach the rate that was asked for.
    OfferedNotReached {
        /// Asked for, in frames a second.
        #[serde(serialize_with = "finite")]
        offered_pps: f64,
        /// Sent, in frames a second.
        #[serde(serialize_with = "finite")]
        achieved_pps: f64,
    },
    /// The windows of one trial, or the repetitions of one measurement, differ much.
    HighVariance {
        /// Standard deviation over mean.
        #[serde(serialize_with = "finite")]
        cv: f64,
    },
    /// Sent, received and dropped do not add up.
    Unaccounted {
        /// Frames missing from the accounts; negative when more arrived than left.
        frames: i64,
    },
    /// The clocks of sender and receiver do not run at the same speed.
    ClockDrift {
        /// Difference in parts per million.
        #[serde(serialize_with = "finite")]
        ppm: f64,
    },
    /// Frames arrived out of order or twice.
    SequenceErrors {
        /// Frames that arrived after a later one.
        reordered: u64,
        /// Frames that arrived twice.
        duplicate: u64,
    },
    /// Frames of ours arrived damaged.
    CorruptFrames {
        /// How many.
        frames: u64,
    },
    /// Frames arrived that no generator of this run sent.
    ForeignFrames {
        /// How many.
        frames: u64,
    },
    /// The measured part is too short to say much.
    ShortWindow {
        /// Its length.
        measured_ms: u64,
        /// The least that is advisable.
        advised_ms: u64,
    },
    /// A receiver was kept from its ring while frames were dropped for want of room in it.
    ReceiverPaused {
        /// Port of the receiver.
        port: String,
        /// The longest pause.
        pause_us: u64,
        /// Frames offered to it in that time.
        frames: u64,
    },
    /// Latency probes did not come back, and the figures do not have them.
    ProbesLost {
        /// Probes given up.
        lost: u64,
        /// Probes sent.
        sent: u64,
    },
}

impl Warning {
    /// [`Warning::Loss`] if anything was lost.
    pub fn loss(sent: u64, received: u64) -> Option<Warning> {
        (received < sent).then(|| Warning::Loss { ratio: ratio((sent - received) as f64, sent as f64) })
    }

    /// [`Warning::Unaccounted`] if the accounts do not add up.
    pub fn unaccounted(frames: i64) -> Option<Warning> {
        (frames != 0).then_some(Warning::Unaccounted { frames })
    }

    /// [`Warning::HighVariance`] if `cv` is known and above `limit`.
    pub fn variance(cv: Option<f64>, limit: f64) -> Option<Warning> {
        cv.filter(|cv| cv.is_finite() && *cv > limit).map(|cv| Warning::HighVariance { cv })
    }

    /// The name of its kind, as in the document: `sender_limited`.
    pub fn kind(&self) -> &'static str {
        match self {
            Warning::Tcg => "tcg",
            Warning::KvmUnusable { .. } => "kvm_unusable",
            Warning::Oversubscribed { .. } => "oversubscribed",
            Warning::Unpinned => "unpinned",
            Warning::GovernorNotPerformance { .. } => "governor_not_performance",
            Warning::Virtualised { .. } => "virtualised",
            Warning::DebugBuild => "debug_build",
            Warning::Loss { .. } => "loss",
            Warning::SenderLimited => "sender_limited",
            Warning::OfferedNotReached { .. } => "offered_not_reached",
            Warning::HighVariance { .. } => "high_variance",
            Warning::Unaccounted { .. } => "unaccounted",
            Warning::ClockDrift { .. } => "clock_drift",
            Warning::SequenceErrors { .. } => "sequence_errors",
            Warning::CorruptFrames { .. } => "corrupt_frames",
            Warning::ForeignFrames { .. } => "foreign_frames",
            Warning::ShortWindow { .. } => "short_window",
            Warning::ReceiverPaused { .. } => "receiver_paused",
            Warning::ProbesLost { .. } => "probes_lost",
        }
    }

    /// Whether the trial's numbers cannot be trusted at all: its accounts do not add up, or frames came damaged.
    pub fn spoils(&self) -> bool {
        matches!(self, Warning::Unaccounted { .. } | Warning::CorruptFrames { .. })
    }

    /// How bad it is among warnings of the same kind; 0 where they are all alike.
    pub fn magnitude(&self) -> f64 {
        match self {
            Warning::Tcg
            | Warning::KvmUnusable { .. }
            | Warning::Unpinned
            | Warning::GovernorNotPerformance { .. }
            | Warning::Virtualised { .. }
            | Warning::DebugBuild
            | Warning::SenderLimited => 0.0,
            Warning::Oversubscribed { busy_threads, cores } => {
                f64::from(*busy_threads) / f64::from((*cores).max(1))
            }
            Warning::Loss { ratio } => *ratio,
            Warning::OfferedNotReached { offered_pps, achieved_pps } => offered_pps - achieved_pps,
            Warning::HighVariance { cv } => *cv,
            Warning::Unaccounted { frames } => frames.unsigned_abs() as f64,
            Warning::ClockDrift { ppm } => ppm.abs(),
            Warning::SequenceErrors { reordered, duplicate } => *reordered as f64 + *duplicate as f64,
            Warning::CorruptFrames { frames } | Warning::ForeignFrames { frames } => *frames as f64,
            Warning::ShortWindow { measured_ms, .. } => -(*measured_ms as f64),
            Warning::ReceiverPaused { pause_us, .. } => *pause_us as f64,
            Warning::ProbesLost { lost, .. } => *lost as f64,
        }
    }

    /// What is wrong, as one sentence.
    pub fn sentence(&self) -> String {
        match self {
            Warning::Tcg => "The guests ran under TCG, QEMU's translator, not on the processor.".into(),
            Warning::KvmUnusable { reason } => format!("KVM does not work here: {reason}."),
            Warning::Oversubscribed { busy_threads, cores } => format!(
                "{busy_threads} busy threads shared {cores} {}.",
                if *cores == 1 { "processor" } else { "processors" }
            ),
            Warning::Unpinned => "Threads were not pinned, so the scheduler may have moved them.".into(),
            Warning::GovernorNotPerformance { governor } => {
                format!("The frequency governor is {governor}, so the clock may have changed.")
            }
            Warning::Virtualised { hypervisor } => {
                format!("This machine is itself virtual ({hypervisor}); its neighbours are in the numbers.")
            }
            Warning::DebugBuild => "This vale-bench was built without optimisation.".into(),
            Warning::Loss { ratio } => format!("{} of the frames sent did not arrive.", percent(*ratio)),
            Warning::SenderLimited => {
                "The sender seldom found its ring full: its own speed was measured.".into()
            }
            Warning::OfferedNotReached { offered_pps, achieved_pps } => {
                format!("The sender reached {achieved_pps:.0} of the {offered_pps:.0} frames/s asked for.")
            }
            Warning::HighVariance { cv } => {
                format!("The samples vary: standard deviation {} of the mean.", percent(*cv))
            }
            Warning::Unaccounted { frames } if *frames < 0 => {
                format!("{} more frames arrived or were dropped than were sent.", frames.unsigned_abs())
            }
            Warning::Unaccounted { frames } => format!("{frames} frames vanished without being counted."),
            Warning::ClockDrift { ppm } => format!("Sender's and receiver's clocks drift by {ppm:.0} ppm."),
            Warning::SequenceErrors { reordered, duplicate } => {
                format!("{reordered} frames arrived out of order and {duplicate} twice.")
            }
            Warning::CorruptFrames { frames } => format!("{frames} frames arrived damaged."),
            Warning::ForeignFrames { frames } => {
                format!("{frames} frames arrived that no generator of this run sent.")
            }
            Warning::ShortWindow { measured_ms, advised_ms } => {
                format!("Only {measured_ms} ms were measured; {advised_ms} ms is the least advised.")
            }
            Warning::ReceiverPaused { port, pause_us, frames } => {
                let ms = *pause_us as f64 / 1000.0;
                format!(
                    "The receiver of {port} paused for up to {ms:.1} ms, and {frames} frames came meanwhile."
                )
            }
            Warning::ProbesLost { lost, sent } => {
                format!("{lost} of {sent} latency probes did not come back and are not in the figures.")
            }
        }
    }

    /// What to do about it, as one sentence.
    pub fn advice(&self) -> &'static str {
        match self {
            Warning::Tcg => "Compare dataplanes on this host with it; do not quote the numbers.",
            Warning::KvmUnusable { .. } => "Run on a host with working KVM for numbers to quote.",
            Warning::Oversubscribed { .. } => "Use fewer guests or more cores; compare only like with like.",
            Warning::Unpinned => "Pin with --pin LIST.",
            Warning::GovernorNotPerformance { .. } => "Set it with `cpupower frequency-set -g performance`.",
            Warning::Virtualised { .. } => "Trust ratios of interleaved trials, not single numbers.",
            Warning::DebugBuild => "Measure with a release build: cargo build --release.",
            Warning::Loss { .. } => {
                "Expected where more is offered than can be taken; offer less with --rate."
            }
            Warning::SenderLimited => "What was tested can do more; give the sender a core of its own.",
            Warning::OfferedNotReached { .. } => "Ask for a lower --rate or give the sender its own core.",
            Warning::HighVariance { .. } => "Quiet the machine, pin, and raise --duration or --repeat.",
            Warning::Unaccounted { .. } => "Do not trust this trial; please report it with the result file.",
            Warning::ClockDrift { .. } => "Rates of this trial are off by as much; use a stable clocksource.",
            Warning::SequenceErrors { .. } => "A learning switch keeps order: look for two paths or a flood.",
            Warning::CorruptFrames { .. } => "Do not trust this dataplane; please report it.",
            Warning::ForeignFrames { .. } => "Keep other traffic away from the ports under test.",
            Warning::ShortWindow { .. } => "Raise --duration.",
            Warning::ReceiverPaused { .. } => {
                "Rings of that many --slots would have held them; so would a processor for every busy thread."
            }
            Warning::ProbesLost { .. } => "Give ping and pong idle ports, or look for drops on the way.",
        }
    }
}

fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    match percent {
        _ if percent == 0.0 || percent >= 9.95 => format!("{percent:.0} %"),
        _ if percent >= 0.01 => format!("{percent:.2} %"),
        _ => "less than 0.01 %".into(),
    }
}
