//! The load generator.
#![forbid(unsafe_code)]

use super::Span;
use super::numbers::Numbers;
use crate::Error;
use crate::clock::{Clock, Monotonic};
use crate::counters::Snapshot;
use crate::frame::{FCS, stamp};
use crate::pace::Pacer;
use crate::port::{Port, PortError, PortInfo};
use crate::queues::MAX_QUEUES;
use crate::random::{Chooser, Random};
use crate::spec::{Replay, Sizes, TxReport, TxSpec};
use crate::template::{Contents, Templates, check_count};
use std::time::{Duration, Instant};

/// How long a role that ends waits for the other side to take what lies in the ring.
const TAKE_LIMIT: Duration = Duration::from_millis(500);

/// Largest burst of any role, in frames.
pub const MAX_BURST: u32 = 1 << 16;
/// Longest cycle of sizes.
pub const MAX_CYCLE: usize = 1 << 16;

/// What random numbers are drawn for here.
const SIZES: u64 = 2;
const FLOWS: u64 = 3;

/// Sends marked frames at a rate, or captured ones in turn.
///
/// With every frame the next size and flow are taken. A frame's time stamp is that of its batch. When a batch of a paced
/// sender had been published is read from the clock once more, to tell how well it keeps its schedule.
#[derive(Debug)]
pub struct Tx<C = Monotonic> {
    clock: C,
    numbers: Numbers,
    burst: u32,
    /// Frames still to send.
    left: u64,
    templates: Templates,
    /// Frames carry sequence number and time.
    marked: bool,
    contents: Contents,
    pacer: Option<Pacer>,
    /// Size index of each frame of the cycle.
    cycle: Vec<u16>,
    order: Chooser,
    at: Cursor,
    bytes: u64,
    full: u64,
    unsent: u64,
    span: Span,
    active: bool,
    /// It has stopped, and the port may still hold what it sent.
    draining: bool,
    blocked: bool,
}

/// Which template comes next.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    cycle: usize,
    flow: u32,
}

/// The frames of a sender: what they are like, and which size index comes when.
struct Frames {
    templates: Templates,
    cycle: Vec<u16>,
    sizes: Vec<u16>,
}

impl Frames {
    fn made(spec: &TxSpec, port: &PortInfo) -> Result<Frames, Error> {
        let drawn;
        let wanted = match &spec.sizes {
            Sizes::Fixed(size) => std::slice::from_ref(size),
            Sizes::Cycle(sizes) => sizes,
            Sizes::Random { min, max } => {
                drawn = draw(*min, *max, spec.traffic.seed)?;
                &drawn
            }
        };
        check_count("frame sizes in a cycle", wanted.len() as u64, MAX_CYCLE as u64)?;
        let mut sizes = wanted.to_vec();
        sizes.sort_unstable();
        sizes.dedup();
        let index = |size| sizes.binary_search(size).expect("every size of the cycle is in its set") as u16;
        let cycle = wanted.iter().map(index).collect();
        let ranges = spec.traffic.ranges.as_ref();
        let templates = Templates::with_ranges(&spec.addressing, ranges, &sizes, port)?;
        Ok(Frames { templates, cycle, sizes })
    }

    fn captured(replay: &Replay, port: &PortInfo) -> Result<Frames, Error> {
        let templates = Templates::of_frames(replay.frames()?, port)?;
        let cycle = (0..=u16::MAX).take(templates.sizes()).collect();
        let sizes = (0..templates.sizes()).map(|size| templates.len(size) + FCS).collect();
        Ok(Frames { templates, cycle, sizes })
    }
}

impl Tx<Monotonic> {
    /// A generator for a port like `port`. Refuses sizes and captured frames the port does not carry, rates outside
    /// [`crate::pace`]'s ranges, popularity outside [`crate::random`]'s, and bursts or flows of 0 or too many.
    pub fn new(spec: &TxSpec, port: &PortInfo) -> Result<Self, Error> {
        Self::with_clock(spec, port, Monotonic)
    }
}

impl<C: Clock> Tx<C> {
    /// [`Tx::new`] with another clock, which must be the one whose times steps are given.
    pub fn with_clock(spec: &TxSpec, port: &PortInfo, clock: C) -> Result<Self, Error> {
        check_count("burst", spec.burst.into(), MAX_BURST.into())?;
        let traffic = &spec.traffic;
        let replay = traffic.replay.as_ref();
        let Frames { templates, cycle, sizes } = match replay {
            Some(replay) => Frames::captured(replay, port)?,
            None => Frames::made(spec, port)?,
        };
        let pacer = match replay.and_then(Replay::gaps_ns) {
            Some(gaps_ns) => Some(Pacer::of_gaps(gaps_ns)),
            None => {
                let pacer = Pacer::new(spec.rate, &sizes)?;
                pacer.map(|pacer| pacer.arriving(traffic.arrivals, traffic.seed)).transpose()?
            }
        };
        Ok(Self {
            clock,
            numbers: Numbers::new(spec.stream, &templates, if replay.is_none() { port.queues } else { 1 }),
            burst: spec.burst,
            left: spec.count.unwrap_or(u64::MAX),
            order: Chooser::new(traffic.order, templates.flows(), Random::new(traffic.seed, FLOWS))?,
            templates,
            marked: replay.is_none(),
            contents: Contents::new(port.keys),
            pacer: pacer.map(|pacer| pacer.recording(spec.burst)),
            cycle,
            at: Cursor::default(),
            bytes: 0,
            full: 0,
            unsent: 0,
            span: Span::default(),
            active: false,
            draining: false,
            blocked: false,
        })
    }

    /// Sends frames without marks: all of one size and flow are alike, so that a buffer once written is not touched
    /// again. Receivers count them as foreign.
    #[must_use]
    pub fn unmarked(self) -> Self {
        Self { marked: false, ..self }
    }

    /// Numbers its frames from `seq` on.
    #[cfg(test)]
    pub(crate) fn starting_at(mut self, seq: u64) -> Self {
        self.numbers = self.numbers.starting_at(seq);
        self
    }

    /// From now on steps send; the schedule of a paced sender begins here.
    pub fn start(&mut self, now_ns: u64) {
        self.active = true;
        if let Some(pacer) = &mut self.pacer {
            pacer.start(now_ns);
        }
    }

    /// From now on steps only see to it that what was sent leaves the port.
    pub fn stop(&mut self) {
        self.draining |= self.active;
        self.active = false;
        self.blocked = false;
    }

    /// Whether the count asked for has been sent.
    pub fn done(&self) -> bool {
        self.left == 0
    }

    /// Whether the last step found too few free buffers: then a free buffer is what to wait for.
    pub fn blocked(&self) -> bool {
        self.blocked
    }

    /// When the next frame may leave: at once is 0, never is `None`. A full ring is not considered.
    pub fn next_ns(&self) -> Option<u64> {
        (self.active && self.left > 0).then(|| self.pacer.as_ref().map_or(0, Pacer::next_ns))
    }

    /// Another role wrote to the port's transmit buffers.
    pub fn forget_buffers(&mut self) {
        self.contents.forget();
    }

    /// Another role wrote to the transmit buffer `key`.
    #[inline]
    pub fn forget_buffer(&mut self, key: Option<u32>) {
        self.contents.view().forget(key);
    }

    /// Sends at most one burst. Returns the frames sent.
    #[inline]
    pub fn step<P: Port>(&mut self, port: &mut P, now_ns: u64) -> Result<u32, PortError> {
        if self.next_ns().is_none_or(|next| next > now_ns) {
            self.blocked = false;
            if self.draining {
                self.draining = port.tx_pending()? > 0;
            }
            return Ok(0);
        }
        // A batch has one upper half of its numbers. It is in the templates as they lie in the buffers.
        if self.numbers.turned() {
            self.contents.forget();
        }
        let most = u64::from(self.burst).min(self.left).min(self.numbers.room()) as u32;
        let uniform = self.pacer.is_none() && self.cycle.len() == 1 && self.templates.flows() == 1;
        let sent = if uniform {
            self.send_uniform(port, now_ns, most)?
        } else {
            self.send_mixed(port, now_ns, most)?
        };
        self.full += u64::from(self.blocked);
        if sent > 0 {
            self.left -= u64::from(sent);
            self.span.extend(now_ns);
        }
        Ok(sent)
    }

    /// The mark words of the next batch, by sequence; 0 without marks.
    fn words(&self) -> [u64; MAX_QUEUES] {
        if self.marked { self.numbers.words() } else { [0; MAX_QUEUES] }
    }

    /// One size, one flow, no schedule.
    fn send_uniform<P: Port>(&mut self, port: &mut P, now_ns: u64, most: u32) -> Result<u32, PortError> {
        let marked = self.marked;
        let (sequence, words) = (self.numbers.of(0), self.words());
        let word = words[sequence];
        let Self { templates, contents, numbers, .. } = self;
        let len = templates.len(0);
        let mut view = contents.view();
        let tag = view.tag(templates.id(0, 0));
        let mut low = numbers.low(sequence);
        if !marked {
            let sent = port.tx_alike(most, tag, |frame| {
                if frame.swapped {
                    view.forget(frame.key);
                }
                let held = view.holds(frame.key, tag);
                let done = held || view.write(templates, (0, 0), word, frame.key, frame.buf);
                if done { len } else { 0 }
            })?;
            numbers.advance(sequence, sent);
            self.bytes += u64::from(sent) * u64::from(len + FCS);
            self.blocked = sent < most;
            return Ok(sent);
        }
        let sent = port.tx_batch(most, |frame| {
            if frame.swapped {
                view.forget(frame.key);
            }
            if !view.holds(frame.key, tag) && !view.write(templates, (0, 0), word, frame.key, frame.buf) {
                return 0;
            }
            let Some(head) = frame.buf.first_chunk_mut() else { return 0 };
            stamp(head, now_ns, low);
            low = low.wrapping_add(1);
            len
        })?;
        numbers.advance(sequence, sent);
        self.bytes += u64::from(sent) * u64::from(len + FCS);
        self.blocked = sent < most;
        Ok(sent)
    }

    fn send_mixed<P: Port>(&mut self, port: &mut P, now_ns: u64, most: u32) -> Result<u32, PortError> {
        let marked = self.marked;
        let words = self.words();
        let Self { templates, contents, numbers, cycle, order, at, bytes, .. } = self;
        let mut view = contents.view();
        let mut pace = self.pacer.as_mut().map(|pacer| pacer.batch(now_ns));
        let sent = port.tx_batch(most, |frame| {
            if pace.as_ref().is_some_and(|pace| !pace.due()) {
                return 0;
            }
            if frame.swapped {
                view.forget(frame.key);
            }
            let (size, flow) = (usize::from(cycle[at.cycle]), at.flow);
            let tag = view.tag(templates.id(size, flow));
            let sequence = numbers.of(flow);
            if !view.holds(frame.key, tag)
                && !view.write(templates, (size, flow), words[sequence], frame.key, frame.buf)
            {
                return 0;
            }
            if marked {
                let Some(head) = frame.buf.first_chunk_mut() else { return 0 };
                stamp(head, now_ns, numbers.low(sequence));
            }
            numbers.advance(sequence, 1);
            if let Some(pace) = &mut pace {
                pace.leave(size);
            }
            at.cycle = if at.cycle + 1 == cycle.len() { 0 } else { at.cycle + 1 };
            at.flow = order.next(flow, templates.flows());
            let len = templates.len(size);
            *bytes += u64::from(len + FCS);
            len
        })?;
        self.blocked = sent < most && pace.as_ref().is_none_or(|pace| pace.due());
        drop(pace);
        if let Some(pacer) = self.pacer.as_mut().filter(|_| sent > 0) {
            pacer.departed(self.clock.now_ns());
        }
        Ok(sent)
    }

    /// Ends the role: what the other side does not take within half a second counts as unsent.
    pub fn finish<P: Port>(&mut self, port: &mut P) -> Result<(), PortError> {
        self.stop();
        let end = Instant::now() + TAKE_LIMIT;
        loop {
            self.unsent = port.tx_pending()?.into();
            if self.unsent == 0 || Instant::now() >= end {
                return Ok(());
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Adds this role's part to a port's counters.
    #[inline]
    pub fn add_to(&self, total: &mut Snapshot) {
        total.tx_frames += self.numbers.total();
        total.tx_bytes += self.bytes;
        total.tx_full += self.full;
    }

    /// What was done so far.
    pub fn report(&self) -> TxReport {
        TxReport {
            sent: self.numbers.total(),
            bytes: self.bytes,
            full: self.full,
            unsent: self.unsent,
            elapsed_ns: self.span.elapsed_ns(),
            late: self.pacer.as_ref().map_or(0, Pacer::late),
            pacing: self.pacer.as_ref().and_then(|pacer| pacer.report(&self.cycle)).map(Box::new),
        }
    }
}

/// A cycle of sizes from `min` to `max`, each as likely as any other.
fn draw(min: u16, max: u16, seed: u64) -> Result<Vec<u16>, Error> {
    check_count("bytes of the largest size", max.into(), u16::MAX.into())?;
    let Some(span) = max.checked_sub(min) else {
        return Err(Error::Count {
            what: "the largest size",
            value: max.into(),
            min: min.into(),
            max: u16::MAX.into(),
        });
    };
    let mut random = Random::new(seed, SIZES);
    Ok((0..MAX_CYCLE).map(|_| min + random.below(u32::from(span) + 1) as u16).collect())
}
