//! The reflector of probes.
#![forbid(unsafe_code)]

use super::stage::Stage;
use super::tx::MAX_BURST;
use crate::Error;
use crate::counters::Snapshot;
use crate::frame::{FCS, Kind, Mark, turn_round};
use crate::port::{Port, PortError, PortInfo, RxFrame};
use crate::spec::{PongReport, PongSpec};
use crate::template::check_count;

/// Sends every probe back with its addresses swapped. Frames that are no probes are counted and left.
///
/// Echoes that a full ring does not take wait for the next step, and nothing more is received meanwhile.
#[derive(Debug)]
pub struct Pong {
    burst: u32,
    stage: Stage,
    received: u64,
    rx_bytes: u64,
    echoed: u64,
    tx_bytes: u64,
    dropped: u64,
    foreign: u64,
}

impl Pong {
    /// A reflector for a port like `port`. Refuses a burst of 0 or above [`MAX_BURST`].
    pub fn new(spec: &PongSpec, port: &PortInfo) -> Result<Self, Error> {
        check_count("burst", spec.burst.into(), MAX_BURST.into())?;
        let stage = Stage::new(spec.burst, port.max_frame);
        let (received, rx_bytes, echoed, tx_bytes, dropped, foreign) = Default::default();
        Ok(Self { burst: spec.burst, stage, received, rx_bytes, echoed, tx_bytes, dropped, foreign })
    }

    /// Most frames a batch.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// Echoes wait for a free buffer.
    pub fn blocked(&self) -> bool {
        self.stage.held() > 0
    }

    /// Receives at most one burst and sends what there is to send. Returns the frames moved, in and out.
    #[inline]
    pub fn step<P: Port>(&mut self, port: &mut P, now_ns: u64) -> Result<u32, PortError> {
        let mut moved = self.flush(port)?;
        if !self.blocked() {
            moved += port.rx_batch(self.burst, |frame| self.accept(&frame, now_ns))?;
            moved += self.flush(port)?;
        }
        Ok(moved)
    }

    /// Takes one frame that whoever drives the port lends. A probe for which there is no room is dropped.
    #[inline]
    pub fn accept(&mut self, frame: &RxFrame<'_>, _now_ns: u64) {
        self.rx_bytes += frame.data.len() as u64;
        let pushed = self.stage.push(frame);
        if frame.more {
            return;
        }
        self.received += 1;
        self.rx_bytes += u64::from(FCS);
        match pushed {
            Ok(Some(echo)) if Mark::read(echo).is_some_and(|mark| mark.kind == Kind::Probe) => {
                turn_round(echo.first_chunk_mut().expect("a marked frame is at least 60 bytes long"));
            }
            Ok(Some(_)) => {
                self.stage.pop();
                self.foreign += 1;
            }
            _ => self.dropped += 1,
        }
    }

    /// Sends what waits. Returns the frames sent.
    #[inline]
    pub fn flush<P: Port>(&mut self, port: &mut P) -> Result<u32, PortError> {
        let (sent, bytes) = self.stage.flush(port)?;
        self.echoed += u64::from(sent);
        self.tx_bytes += bytes + u64::from(sent) * u64::from(FCS);
        Ok(sent)
    }

    /// Adds this role's part to a port's counters.
    #[inline]
    pub fn add_to(&self, total: &mut Snapshot) {
        total.rx_frames += self.received;
        total.rx_bytes += self.rx_bytes;
        total.rx_foreign += self.foreign;
        total.tx_frames += self.echoed;
        total.tx_bytes += self.tx_bytes;
    }

    /// What was done so far; echoes that still wait count as dropped.
    pub fn report(&self) -> PongReport {
        PongReport { echoed: self.echoed, dropped: self.dropped + u64::from(self.stage.held()) }
    }
}
