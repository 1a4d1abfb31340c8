//! How well a paced sender kept its schedule.

use serde::{Deserialize, Serialize};

/// How well a paced sender kept its schedule. Histograms are HDR, V2 encoding (not deflated), base64, in nanoseconds;
/// [`crate::latency::Latency::decode`] reads them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PacingReport {
    /// The schedule's mean rate, in frames per second.
    pub asked_pps: f64,
    /// Frames per second that had been published, from when the schedule began to the last of them, by the sender's
    /// clock.
    pub achieved_pps: f64,
    /// From when each frame was due to when it had been published to the port.
    pub lateness: String,
    /// By how much the time from one frame's publication to the next's differs from the schedule's, in either direction.
    pub spacing: String,
    /// Both are of every frame if this is 1, else of one frame in so many.
    pub recorded_every: u32,
    /// Schedule that was given up because the sender fell too far behind, in nanoseconds.
    pub abandoned_ns: u64,
}

impl PacingReport {
    /// Adds what another sender of the same port reported, which sent another part of the same load.
    pub fn merge(&mut self, other: &Self) -> Result<(), crate::Error> {
        let both = |a: &str, b: &str| {
            let mut sum = crate::latency::Latency::decode(a)?;
            sum.merge(&crate::latency::Latency::decode(b)?);
            Ok::<_, crate::Error>(sum.encode())
        };
        self.lateness = both(&self.lateness, &other.lateness)?;
        self.spacing = both(&self.spacing, &other.spacing)?;
        self.asked_pps += other.asked_pps;
        self.achieved_pps += other.achieved_pps;
        self.recorded_every = self.recorded_every.max(other.recorded_every);
        self.abandoned_ns = self.abandoned_ns.max(other.abandoned_ns);
        Ok(())
    }
}
