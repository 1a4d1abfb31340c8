//! Frames between being received and being sent: copied out of the receive ring, held while the transmit ring
//! is full.
#![forbid(unsafe_code)]

use crate::port::{Port, PortError, RxFrame};

/// Room for one burst.
#[derive(Debug)]
pub(crate) struct Stage {
    bytes: Vec<u8>,
    stride: usize,
    max_frame: usize,
    lens: Vec<u16>,
    /// Frames `start..end` wait; those before have been sent.
    start: usize,
    end: usize,
    /// Bytes so far of a packet whose next fragment is awaited.
    partial: usize,
    /// That packet does not fit, or there is no room for it.
    overlong: bool,
}

impl Stage {
    /// Room for `burst` frames of up to `max_frame` bytes.
    pub(crate) fn new(burst: u32, max_frame: u16) -> Self {
        let max_frame = usize::from(max_frame);
        let stride = max_frame.next_multiple_of(64);
        let burst = burst as usize;
        Self {
            bytes: vec![0; burst * stride],
            stride,
            max_frame,
            lens: vec![0; burst],
            start: 0,
            end: 0,
            partial: 0,
            overlong: false,
        }
    }

    /// Frames held.
    #[inline]
    pub(crate) fn held(&self) -> u32 {
        (self.end - self.start) as u32
    }

    /// Takes a frame, or one fragment of it. Returns the frame when it is complete, or `Err` when a complete
    /// frame was longer than `max_frame` or found no room.
    #[inline]
    pub(crate) fn push(&mut self, frame: &RxFrame<'_>) -> Result<Option<&mut [u8]>, ()> {
        let start = self.end * self.stride;
        let len = self.partial + frame.data.len();
        match self.bytes.get_mut(start + self.partial..start + len) {
            Some(place) if len <= self.max_frame && !self.overlong => place.copy_from_slice(frame.data),
            _ => self.overlong = true,
        }
        if frame.more {
            self.partial = len;
            return Ok(None);
        }
        self.partial = 0;
        if std::mem::take(&mut self.overlong) {
            return Err(());
        }
        self.lens[self.end] = len as u16;
        self.end += 1;
        Ok(Some(&mut self.bytes[start..start + len]))
    }

    /// Takes back the frame that was pushed last.
    #[inline]
    pub(crate) fn pop(&mut self) {
        debug_assert!(self.end > self.start);
        self.end -= 1;
    }

    /// Sends what the port takes, oldest first; the rest stays. Returns frames and bytes (without FCS) sent.
    #[inline]
    pub(crate) fn flush<P: Port>(&mut self, port: &mut P) -> Result<(u32, u64), PortError> {
        if self.start == self.end {
            return Ok((0, 0));
        }
        let mut bytes = 0;
        let Self { bytes: stage, stride, lens, start, end, partial, max_frame, .. } = self;
        let sent = port.tx_batch((*end - *start) as u32, |frame| {
            let len = lens[*start];
            let from = *start * *stride;
            let Some(buf) = frame.buf.get_mut(..usize::from(len)) else { return 0 };
            buf.copy_from_slice(&stage[from..from + usize::from(len)]);
            *start += 1;
            bytes += u64::from(len);
            len
        })?;
        if *start == *end {
            // A packet begun behind the frames just sent moves to the front, so that all the room is free again.
            let begun = *end * *stride;
            if let Some(first) = stage.get(begun..begun + (*partial).min(*max_frame)) {
                let len = first.len();
                stage.copy_within(begun..begun + len, 0);
            }
            (*start, *end) = (0, 0);
        }
        Ok((sent, bytes))
    }
}
