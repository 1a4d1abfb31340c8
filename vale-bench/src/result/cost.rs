//! What a trial cost: processor time by thread, switches of context, exits of guests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number::{finite, ratio};

/// What a thread is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThreadKind {
    /// A thread of the switch.
    Switch,
    /// An engine of this process, which drives ports of the host.
    Engine,
    /// A virtual processor.
    Vcpu,
    /// Everything else of a guest's QEMU: its main loop, workers, threads that serve its ports.
    Vmm,
}

/// What one thread, or all threads of a guest's QEMU beside its virtual processors, used in the measured part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ThreadCost {
    /// What it does, as in `switch vale0`, `host`, `vm1 vcpu0`.
    pub thread: String,
    /// What it is for.
    pub kind: ThreadKind,
    /// Threads that are put together here.
    pub threads: u32,
    /// Processor time.
    pub cpu_ns: u64,
    /// The part of it in the kernel, as far as the kernel's ticks tell (10 ms).
    pub system_ns: u64,
    /// Times it gave its processor up.
    pub voluntary_switches: u64,
    /// Times its processor was taken from it.
    pub involuntary_switches: u64,
}

/// How often a guest left the processor to its hypervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuestExits {
    /// The guest.
    pub vm: String,
    /// Exits in the measured part; null where the kernel does not tell (under TCG, or without debugfs).
    pub exits: Option<u64>,
}

/// What the measured part of a trial cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Length of the measured part.
    pub elapsed_ns: u64,
    /// Frames received in it, all directions together: what the costs are divided by.
    pub frames: u64,
    /// By thread. A switch that runs in the threads of others has none of its own.
    pub threads: Vec<ThreadCost>,
    /// By guest.
    pub guests: Vec<GuestExits>,
    /// Processor time of all threads for each frame received.
    #[serde(serialize_with = "finite")]
    pub cpu_ns_per_frame: f64,
    /// The same of the switch's threads alone; null where it has none of its own.
    pub switch_cpu_ns_per_frame: Option<f64>,
    /// Millions of frames received a second for each processor that was busy all the time.
    #[serde(serialize_with = "finite")]
    pub mpps_per_core: f64,
    /// Switches of context a second, of all threads, voluntary or not.
    #[serde(serialize_with = "finite")]
    pub context_switches_per_s: f64,
}

impl Cost {
    /// Adds up what threads used.
    pub fn new(elapsed_ns: u64, frames: u64, threads: Vec<ThreadCost>, guests: Vec<GuestExits>) -> Cost {
        let cpu_ns = |of: fn(ThreadKind) -> bool| {
            threads.iter().filter(|t| of(t.kind)).map(|t| t.cpu_ns as f64).sum::<f64>()
        };
        let all = cpu_ns(|_| true);
        let switches =
            threads.iter().map(|t| (t.voluntary_switches + t.involuntary_switches) as f64).sum::<f64>();
        let has_switch = threads.iter().any(|t| t.kind == ThreadKind::Switch);
        Cost {
            elapsed_ns,
            frames,
            cpu_ns_per_frame: ratio(all, frames as f64),
            switch_cpu_ns_per_frame: (has_switch && frames > 0)
                .then(|| cpu_ns(|kind| kind == ThreadKind::Switch) / frames as f64),
            mpps_per_core: ratio(frames as f64 * 1e3, all),
            context_switches_per_s: ratio(switches * 1e9, elapsed_ns as f64),
            threads,
            guests,
        }
    }

    /// Processor time of one kind of threads for each frame received; `None` without such threads or frames.
    pub fn ns_per_frame(&self, kind: ThreadKind) -> Option<f64> {
        let mut of_kind = self.threads.iter().filter(|thread| thread.kind == kind).peekable();
        of_kind.peek()?;
        (self.frames > 0)
            .then(|| of_kind.map(|thread| thread.cpu_ns as f64).sum::<f64>() / self.frames as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(kind: ThreadKind, cpu_ns: u64) -> ThreadCost {
        let thread = format!("{kind:?}");
        ThreadCost {
            thread,
            kind,
            threads: 1,
            cpu_ns,
            system_ns: 0,
            voluntary_switches: 30,
            involuntary_switches: 20,
        }
    }

    #[test]
    fn costs_are_by_frame_and_by_core() {
        // Two processors busy for a second, ten million frames.
        let threads =
            vec![thread(ThreadKind::Switch, 500_000_000), thread(ThreadKind::Engine, 1_500_000_000)];
        let cost = Cost::new(1_000_000_000, 10_000_000, threads, Vec::new());
        assert_eq!((cost.cpu_ns_per_frame, cost.switch_cpu_ns_per_frame), (200.0, Some(50.0)));
        assert_eq!((cost.mpps_per_core, cost.context_switches_per_s), (5.0, 100.0));
        assert_eq!(cost.ns_per_frame(ThreadKind::Engine), Some(150.0));
        assert_eq!(cost.ns_per_frame(ThreadKind::Vcpu), None);
        let nothing = Cost::new(0, 0, vec![thread(ThreadKind::Engine, 0)], Vec::new());
        assert!(nothing.cpu_ns_per_frame.is_finite() && nothing.mpps_per_core.is_finite());
        assert_eq!((nothing.switch_cpu_ns_per_frame, nothing.ns_per_frame(ThreadKind::Engine)), (None, None));
    }
}
