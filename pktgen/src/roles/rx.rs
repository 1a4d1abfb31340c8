//! The receiver: counts everything, and accounts for marked frames by stream.
//!
//! Of every frame the mark and the told length are checked. Of frames longer than 60 bytes in the slot the
//! payload is compared byte by byte in one frame of every [`VERIFY_EVERY`], and in all that come out of order.
//! A damaged frame counts as corrupt and not in its stream, where its number will be missing. A packet in
//! fragments is marked if its first fragment holds the whole mark.
#![forbid(unsafe_code)]

use super::Span;
use super::tx::MAX_BURST;
use crate::Error;
use crate::counters::Snapshot;
use crate::frame::{self, FCS, Kind, MARK_END, Mark, mark_word, pattern_intact, told_length};
use crate::meter::Meter;
use crate::port::{Port, PortError, RxCount, RxFrame};
use crate::seq::{Streams, Tracker};
use crate::spec::{RxReport, RxSpec};
use crate::template::check_count;

/// One payload in this many is compared whole. A prime, so that no buffer of a ring is left out.
pub const VERIFY_EVERY: u32 = 61;

/// Receives frames.
#[derive(Debug)]
pub struct Rx {
    burst: u32,
    looks: Looks,
    meter: Option<Box<Meter>>,
    account: Account,
    expected: Expected,
    received: u64,
    bytes: u64,
    span: Span,
}

/// Which frames are looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looks {
    All,
    /// The first of each batch, until one is marked.
    First,
    None,
}

/// The frame that would be next of the stream at hand.
#[derive(Debug, Clone, Copy)]
struct Expected {
    /// Its mark word; 0, which no frame of ours has, while nothing is expected.
    word: u64,
    seq: u64,
    /// Payloads until one is compared whole.
    verify_in: u32,
}

#[derive(Debug)]
struct Account {
    streams: Streams,
    /// Index of the stream at hand, and the next number it expected when it was taken up.
    current: Option<(usize, u64)>,
    chain: Option<Chain>,
    verify_every: u32,
    fragments: u64,
    foreign: u64,
    corrupt: u64,
    missing: u64,
    reordered: u64,
    duplicate: u64,
}

/// A packet of which more fragments follow.
#[derive(Debug, Clone, Copy)]
struct Chain {
    mark: Option<(Mark, usize)>,
    len: usize,
    intact: bool,
}

impl Rx {
    /// A receiver. Refuses a burst of 0 or above [`MAX_BURST`].
    pub fn new(spec: &RxSpec) -> Result<Self, Error> {
        check_count("burst", spec.burst.into(), MAX_BURST.into())?;
        Ok(Self {
            burst: spec.burst,
            looks: Looks::All,
            meter: None,
            account: Account {
                streams: Streams::default(),
                current: None,
                chain: None,
                verify_every: VERIFY_EVERY,
                fragments: 0,
                foreign: 0,
                corrupt: 0,
                missing: 0,
                reordered: 0,
                duplicate: 0,
            },
            expected: Expected { word: 0, seq: 0, verify_in: VERIFY_EVERY },
            received: 0,
            bytes: 0,
            span: Span::default(),
        })
    }

    /// Compares one payload of every `every`, at least 1, instead of [`VERIFY_EVERY`].
    #[must_use]
    pub fn verifying(mut self, every: u32) -> Self {
        self.account.verify_every = every.max(1);
        self.expected.verify_in = every.max(1);
        self
    }

    /// Counts frames and bytes, and looks into none: there are no streams, and nothing is foreign or corrupt.
    #[must_use]
    pub fn raw(self) -> Self {
        Self { looks: Looks::None, ..self }
    }

    /// Looks into the first frame of each batch only, until one has a mark; from then on into all. Of a sender that
    /// numbers its frames nothing is left out but what the batch before held; those of others are counted as fast as
    /// by [`Rx::raw`].
    #[must_use]
    pub fn sampling(self) -> Self {
        Self { looks: Looks::First, ..self }
    }

    /// Also counts by flow, and reports the `top` ones.
    #[must_use]
    pub fn metering(self, top: usize) -> Self {
        Self { meter: Some(Box::new(Meter::new(top))), ..self }
    }

    /// Most frames a batch.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// Receives at most one burst. Returns the frames (fragments count each) received.
    #[inline]
    pub fn step<P: Port>(&mut self, port: &mut P, now_ns: u64) -> Result<u32, PortError> {
        if self.meter.is_some() {
            return self.step_metered(port, now_ns);
        }
        match self.looks {
            Looks::All => {}
            Looks::None => return self.step_raw(port, now_ns),
            Looks::First => match port.rx_next_is(self.burst, frame::is_marked)? {
                None => return Ok(0),
                Some(false) => return self.step_raw(port, now_ns),
                Some(true) => self.looks = Looks::All,
            },
        }
        let mut expected = self.expected;
        let (mut bytes, mut foreign) = (0, 0);
        let account = &mut self.account;
        let fragments = account.fragments;
        let count = port.rx_batch(self.burst, |frame| {
            let RxFrame { data, more } = frame;
            bytes += data.len() as u64;
            if expected.matches(data, more) {
                return;
            }
            if !more && account.chain.is_none() && !frame::is_marked(data) {
                foreign += 1;
                return;
            }
            expected = account.other(data, more, expected);
        })?;
        self.account.foreign += foreign;
        self.expected = expected;
        if count > 0 {
            self.count(u64::from(count) - (self.account.fragments - fragments), bytes, now_ns);
        }
        Ok(count)
    }

    #[inline(never)]
    fn step_metered<P: Port>(&mut self, port: &mut P, now_ns: u64) -> Result<u32, PortError> {
        port.rx_batch(self.burst, |frame| {
            if let Some(meter) = &mut self.meter {
                meter.record(&frame);
            }
            if self.looks == Looks::None {
                self.count(u64::from(!frame.more), frame.data.len() as u64, now_ns);
            } else {
                self.accept(&frame, now_ns);
            }
        })
    }

    fn step_raw<P: Port>(&mut self, port: &mut P, now_ns: u64) -> Result<u32, PortError> {
        let RxCount { frames, packets, bytes } = port.rx_count(self.burst)?;
        if frames > 0 {
            self.count(packets.into(), bytes, now_ns);
        }
        Ok(frames)
    }

    /// Receives one frame that whoever drives the port lends.
    #[inline]
    pub fn accept(&mut self, frame: &RxFrame<'_>, now_ns: u64) {
        if !self.expected.matches(frame.data, frame.more) {
            self.expected = self.account.other(frame.data, frame.more, self.expected);
        }
        self.count(u64::from(!frame.more), frame.data.len() as u64, now_ns);
    }

    #[inline]
    fn count(&mut self, packets: u64, bytes: u64, now_ns: u64) {
        self.received += packets;
        self.bytes += bytes + packets * u64::from(FCS);
        self.span.extend(now_ns);
    }

    /// Adds this role's part to a port's counters.
    #[inline]
    pub fn add_to(&self, total: &mut Snapshot) {
        total.rx_frames += self.received;
        total.rx_bytes += self.bytes;
        total.rx_missing += self.account.missing;
        total.rx_reordered += self.account.reordered;
        total.rx_duplicate += self.account.duplicate;
        total.rx_corrupt += self.account.corrupt;
        total.rx_foreign += self.account.foreign;
    }

    /// What was seen so far.
    pub fn report(&mut self) -> RxReport {
        self.account.settle(self.expected);
        RxReport {
            received: self.received,
            bytes: self.bytes,
            foreign: self.account.foreign,
            corrupt: self.account.corrupt,
            streams: self.account.streams.trackers().iter().map(Tracker::report).collect(),
            elapsed_ns: self.span.elapsed_ns(),
            flows: self.meter.as_ref().map(|meter| meter.report(self.span.elapsed_ns()).into()),
        }
    }
}

impl Expected {
    /// Whether this is the frame expected; if so, the next one is from now on.
    #[inline]
    fn matches(&mut self, data: &[u8], more: bool) -> bool {
        let len = data.len();
        let Some(head) = data.first_chunk::<MARK_END>() else { return false };
        if frame::word(head) != self.word
            || frame::seq_low(head) != self.seq as u32
            || !frame::tells_length(head, len)
            || more
            || self.word == 0
        {
            return false;
        }
        if len > MARK_END {
            if self.verify_in <= 1 {
                return false;
            }
            self.verify_in -= 1;
        }
        self.seq += 1;
        true
    }
}

impl Account {
    /// Accounts for a frame that is not the one expected, or is due for a closer look; returns what is expected
    /// next.
    #[cold]
    #[inline(never)]
    fn other(&mut self, data: &[u8], more: bool, expected: Expected) -> Expected {
        self.settle(expected);
        let mut verify_in = expected.verify_in;
        let head = data.first_chunk::<MARK_END>();
        let told = head.and_then(|head| Some((Mark::read(head)?, told_length(head))));
        if more || self.chain.is_some() {
            self.fragment(data, more, told);
        } else {
            let intact = data.len() <= MARK_END || {
                verify_in = self.verify_every;
                pattern_intact(data)
            };
            self.packet(told, data.len(), intact);
        }
        match self.current {
            Some((index, next)) if self.chain.is_none() => {
                let stream = self.streams.tracker_mut(index).stream();
                Expected { word: mark_word(Kind::Data, stream, next), seq: next, verify_in }
            }
            _ => Expected { word: 0, seq: 0, verify_in },
        }
    }

    /// Enters what came as expected since the stream was taken up.
    fn settle(&mut self, expected: Expected) {
        if let Some((index, next)) = &mut self.current
            && expected.word != 0
        {
            self.streams.tracker_mut(*index).advance(expected.seq - *next);
            *next = expected.seq;
        }
    }

    fn fragment(&mut self, data: &[u8], more: bool, told: Option<(Mark, usize)>) {
        // Only the first fragment holds headers. The pattern goes on in the others where the first ended.
        let chain = self.chain.get_or_insert(Chain { mark: told, len: 0, intact: true });
        let expected = frame::PATTERN.get(chain.len.max(MARK_END)..chain.len + data.len());
        let payload = data.get(MARK_END.saturating_sub(chain.len)..);
        chain.intact &= chain.len + data.len() <= MARK_END || payload == expected;
        chain.len += data.len();
        if more {
            self.fragments += 1;
        } else if let Some(chain) = self.chain.take() {
            self.packet(chain.mark, chain.len, chain.intact);
        }
    }

    fn packet(&mut self, told: Option<(Mark, usize)>, len: usize, intact: bool) {
        let Some((mark, told)) = told else {
            self.foreign += 1;
            return;
        };
        if told != len || !intact {
            self.corrupt += 1;
            return;
        }
        let Some(index) = self.streams.find(mark.stream) else {
            self.foreign += 1;
            return;
        };
        let tracker = self.streams.tracker_mut(index);
        let before = tracker.report();
        tracker.record(mark.seq);
        let after = tracker.report();
        self.missing = self.missing + after.missing - before.missing;
        self.reordered += after.reordered - before.reordered;
        self.duplicate += after.duplicate - before.duplicate;
        self.current = Some((index, tracker.next()));
    }
}
