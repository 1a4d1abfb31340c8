//! What a role needs of whatever carries its packets.
//!
//! A [`Port`] lends frames: the role's closure writes (or reads) each frame where it lies, in the ring, and
//! the port publishes the batch when the closure has run for the last of them. The frame's lifetime is the
//! closure call's, so none can outlive the sync that gives it back.
//!
//! Deliberately absent: what is in the frames, when to send them, how long to wait between batches ([`crate::engine`]).

use std::fmt;
use std::time::Duration;

/// A free transmit buffer, lent to the role for one closure call.
#[derive(Debug)]
pub struct TxFrame<'a> {
    /// Names the buffer where buffers keep their contents between uses (a netmap buffer index, a packet-ring
    /// frame): a role that sees the same key again finds what it last wrote there, unless someone swapped the
    /// buffer. `None` where contents are not kept (DPDK mbufs).
    pub key: Option<u32>,
    /// Someone swapped the buffer: what was last written to it there is not in it any more.
    pub swapped: bool,
    /// The buffer, at least [`PortInfo::max_frame`] bytes long.
    pub buf: &'a mut [u8],
}

/// A received frame, lent to the role for one closure call.
#[derive(Debug)]
pub struct RxFrame<'a> {
    /// The frame from its Ethernet header on, without FCS.
    pub data: &'a [u8],
    /// More fragments of the same packet follow in the next frames (`NS_MOREFRAG`).
    pub more: bool,
}

/// What was received without being looked into.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RxCount {
    /// Frames, each fragment of a packet being one.
    pub frames: u32,
    /// Packets.
    pub packets: u32,
    /// Bytes, without FCS.
    pub bytes: u64,
}

/// What a port is, as far as results and roles care.
#[derive(Debug, Clone)]
pub struct PortInfo {
    /// The name by which it was opened, for messages and results.
    pub name: String,
    /// `uvale`, `netmap`, `packet`, `xdp` or `dpdk`.
    pub driver: &'static str,
    /// Slots (descriptors) of each transmit ring.
    pub tx_slots: u32,
    /// Slots (descriptors) of each receive ring.
    pub rx_slots: u32,
    /// Largest frame in one buffer, without FCS.
    pub max_frame: u16,
    /// One past the largest [`TxFrame::key`]; 0 where keys are `None`.
    pub keys: u32,
    /// Queues that it sends by, each with a ring: a frame goes through the one that [`queue_of`](crate::queues::queue_of)
    /// says, so that the frames of a flow keep their order.
    pub queues: u16,
    /// The port's own address, where it has one.
    pub mac: Option<[u8; 6]>,
}

/// What a role waits for when it can do nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// A free transmit buffer.
    Tx,
    /// A received frame.
    Rx,
    /// Either.
    Both,
}

/// A port failed; a full or empty ring is not a failure but a count of 0.
#[derive(Debug)]
pub struct PortError {
    /// The port's name.
    pub port: String,
    /// What was attempted, as in "wait for".
    pub operation: &'static str,
    /// Why it failed.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {}: cannot {}", self.port, self.operation)
    }
}

impl std::error::Error for PortError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

/// Receives by [`Port::rx_batch`] and counts: what [`Port::rx_count`] does where a port has no shorter way.
pub fn count_received<P: Port + ?Sized>(port: &mut P, max: u32) -> Result<RxCount, PortError> {
    let mut count = RxCount::default();
    count.frames = port.rx_batch(max, |frame| {
        count.packets += u32::from(!frame.more);
        count.bytes += frame.data.len() as u64;
    })?;
    Ok(count)
}

/// One port, used by one thread.
pub trait Port: Send {
    /// What this port is.
    fn info(&self) -> &PortInfo;

    /// Takes up to `max` free transmit buffers, lets `fill` write each and return its length in bytes without
    /// FCS, and publishes them together. Returns how many were taken: fewer than `max`, and even 0, when the
    /// ring is full. `fill` returning 0 ends the batch before that frame; otherwise every call of `fill` is one
    /// frame of those returned.
    fn tx_batch<F: FnMut(TxFrame<'_>) -> u16>(&mut self, max: u32, fill: F) -> Result<u32, PortError>;

    /// Lends up to `max` received frames to `sink`, oldest first, and gives their buffers back together.
    /// Returns how many there were.
    fn rx_batch<F: FnMut(RxFrame<'_>)>(&mut self, max: u32, sink: F) -> Result<u32, PortError>;

    /// As [`Port::tx_batch`], for frames that are all alike: for one `kind`, which is not 0, `fill` writes the same
    /// bytes each time. A port need not ask it for a buffer that it knows to hold them.
    fn tx_alike<F: FnMut(TxFrame<'_>) -> u16>(
        &mut self,
        max: u32,
        kind: u64,
        fill: F,
    ) -> Result<u32, PortError> {
        let _ = kind;
        self.tx_batch(max, fill)
    }

    /// As [`Port::rx_batch`], of frames that nobody looks into.
    fn rx_count(&mut self, max: u32) -> Result<RxCount, PortError> {
        count_received(self, max)
    }

    /// What `look` says of the frame that the next batch of `max` will begin with, which is not taken; `None` if
    /// nothing has arrived. A port that cannot look ahead says true.
    fn rx_next_is<F: FnOnce(&[u8]) -> bool>(&mut self, max: u32, look: F) -> Result<Option<bool>, PortError> {
        let _ = (max, look);
        Ok(Some(true))
    }

    /// Frames published and not yet taken from the ring by the other side.
    fn tx_pending(&mut self) -> Result<u32, PortError>;

    /// Sleeps until `interest` may be met or `timeout` passes; waking early for nothing is allowed.
    fn wait(&mut self, interest: Interest, timeout: Duration) -> Result<(), PortError>;
}
