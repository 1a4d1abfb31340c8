//! The forwarder: from one port to another, or back out of the same.
#![forbid(unsafe_code)]

use super::stage::Stage;
use super::tx::MAX_BURST;
use crate::Error;
use crate::counters::Snapshot;
use crate::frame::{FCS, swap_macs};
use crate::port::{Port, PortError, PortInfo, RxFrame};
use crate::spec::{FwdReport, FwdSpec, Rewrite};
use crate::template::check_count;

/// Forwards in one direction, by copy: every frame, marked or not. Two of them make a two-port forwarder.
///
/// Frames that a full ring does not take wait for the next step, and nothing more is received meanwhile, so it
/// is the sender's side that drops. A packet of several fragments leaves as one frame, or not at all if it is
/// longer than the outgoing port's buffers.
#[derive(Debug)]
pub struct Fwd {
    burst: u32,
    rewrite: Rewrite,
    stage: Stage,
    received: u64,
    rx_bytes: u64,
    forwarded: u64,
    tx_bytes: u64,
    dropped: u64,
}

impl Fwd {
    /// A forwarder that sends on a port like `out`. Refuses a burst of 0 or above [`MAX_BURST`].
    pub fn new(spec: &FwdSpec, out: &PortInfo) -> Result<Self, Error> {
        check_count("burst", spec.burst.into(), MAX_BURST.into())?;
        let stage = Stage::new(spec.burst, out.max_frame);
        let (received, rx_bytes, forwarded, tx_bytes, dropped) = Default::default();
        let rewrite = spec.rewrite;
        Ok(Self { burst: spec.burst, rewrite, stage, received, rx_bytes, forwarded, tx_bytes, dropped })
    }

    /// Frames wait for a free buffer of the outgoing port.
    pub fn blocked(&self) -> bool {
        self.stage.held() > 0
    }

    /// Sends back what one port receives, at most one burst. Returns the frames moved, in and out.
    #[inline]
    pub fn step<P: Port>(&mut self, port: &mut P, _now_ns: u64) -> Result<u32, PortError> {
        let mut moved = self.flush(port)?;
        if !self.blocked() {
            moved += self.receive(port)?;
            moved += self.flush(port)?;
        }
        Ok(moved)
    }

    /// Sends on `out` what `from` receives, at most one burst. Returns the frames moved, in and out.
    #[inline]
    pub fn step_between<P: Port, Q: Port>(
        &mut self,
        from: &mut P,
        out: &mut Q,
        _now_ns: u64,
    ) -> Result<u32, PortError> {
        let mut moved = self.flush(out)?;
        if !self.blocked() {
            moved += self.receive(from)?;
            moved += self.flush(out)?;
        }
        Ok(moved)
    }

    fn receive<P: Port>(&mut self, port: &mut P) -> Result<u32, PortError> {
        port.rx_batch(self.burst, |frame| self.accept(&frame))
    }

    #[inline]
    fn accept(&mut self, frame: &RxFrame<'_>) {
        self.rx_bytes += frame.data.len() as u64;
        let pushed = self.stage.push(frame);
        if frame.more {
            return;
        }
        self.received += 1;
        self.rx_bytes += u64::from(FCS);
        match (pushed, &self.rewrite) {
            (Ok(_), Rewrite::Keep) => {}
            (Ok(Some(copy)), Rewrite::Swap) => swap_macs(copy),
            (Ok(Some(copy)), Rewrite::Set { dst, src }) => {
                if let Some(addresses) = copy.first_chunk_mut::<12>() {
                    addresses[..6].copy_from_slice(dst);
                    addresses[6..].copy_from_slice(src);
                }
            }
            _ => self.dropped += 1,
        }
    }

    fn flush<P: Port>(&mut self, port: &mut P) -> Result<u32, PortError> {
        let (sent, bytes) = self.stage.flush(port)?;
        self.forwarded += u64::from(sent);
        self.tx_bytes += bytes + u64::from(sent) * u64::from(FCS);
        Ok(sent)
    }

    /// Adds what was received to the incoming port's counters.
    #[inline]
    pub fn add_received_to(&self, total: &mut Snapshot) {
        total.rx_frames += self.received;
        total.rx_bytes += self.rx_bytes;
    }

    /// Adds what was sent to the outgoing port's counters.
    #[inline]
    pub fn add_sent_to(&self, total: &mut Snapshot) {
        total.tx_frames += self.forwarded;
        total.tx_bytes += self.tx_bytes;
    }

    /// What was done so far; frames that still wait count as dropped.
    pub fn report(&self) -> FwdReport {
        FwdReport {
            received: self.received,
            forwarded: self.forwarded,
            dropped: self.dropped + u64::from(self.stage.held()),
        }
    }
}
