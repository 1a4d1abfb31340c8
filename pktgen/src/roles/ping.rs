//! Round trips: probes out, their echoes back, timed by one clock.
//!
//! The time a probe left travels in it and comes back with the echo, so its round trip needs no table. It is
//! read last before the frame is published, and the time of arrival first after the echo is seen, once for the
//! echoes of one batch.
//!
//! Probes that follow a schedule are also timed from when they were due: a probe that could not leave in time, because
//! the ring was full or the sender was kept from its processor, waited, as a frame that came then would have. Without
//! that, the worst moments would be sampled least (coordinated omission). When a probe was due is kept here, by its
//! number, for the last [`MAX_OUT`] at most.
#![forbid(unsafe_code)]

use crate::Error;
use crate::clock::{Clock, Monotonic};
use crate::counters::Snapshot;
use crate::frame::{FCS, Kind, Mark, mark_word, stamp, told_length};
use crate::latency::Latency;
use crate::pace::Pacer;
use crate::port::{Port, PortError, PortInfo, RxFrame};
use crate::seq::{Arrival, Tracker};
use crate::spec::{PingReport, PingSpec, Rate};
use crate::template::{Templates, check_count};

/// Most frames received, and most probes sent, in one step.
const BURST: u32 = 64;

/// Probes whose due times are kept while they are on their way. Of those further back only the time since they left is
/// known.
pub const MAX_OUT: u64 = 1 << 20;

/// Sends probes and times their echoes.
#[derive(Debug)]
pub struct Ping<C = Monotonic> {
    clock: C,
    stream: u16,
    timeout_ns: u64,
    settle_ns: u64,
    /// When probes begin to be timed.
    settled_ns: u64,
    /// Probes that had left by then.
    untimed: u64,
    left: u64,
    templates: Templates,
    flow: u32,
    pacer: Option<Pacer>,
    seq: u64,
    /// Of a closed loop: the probe that is out, and since when.
    out: Option<(u64, u64)>,
    /// Of a schedule: when each probe was due, by its number modulo the length, a power of two.
    dues_ns: Box<[u64]>,
    echoes: Tracker,
    latency: Latency,
    from_due: Latency,
    overdue: u64,
    tx_bytes: u64,
    received: u64,
    rx_bytes: u64,
    foreign: u64,
    active: bool,
    blocked: bool,
}

impl Ping<Monotonic> {
    /// A pinger for a port like `port`. Refuses a size the port does not carry, a rate outside
    /// [`crate::pace::PPS`], flows of 0 or too many, and a timeout of 0.
    pub fn new(spec: &PingSpec, port: &PortInfo) -> Result<Self, Error> {
        Self::with_clock(spec, port, Monotonic)
    }
}

impl<C: Clock> Ping<C> {
    /// [`Ping::new`] with another clock, which must be the one whose times steps are given.
    pub fn with_clock(spec: &PingSpec, port: &PortInfo, clock: C) -> Result<Self, Error> {
        check_count("milliseconds of timeout", spec.timeout_ms.into(), u32::MAX.into())?;
        let templates = Templates::new(&spec.addressing, &[spec.size], port)?;
        let pacer = Pacer::new(spec.rate.map_or(Rate::Max, Rate::Pps), &[spec.size])?;
        let out = spec.rate.map_or(0.0, |rate| rate * f64::from(spec.timeout_ms) / 1e3) as u64;
        let out = if pacer.is_some() { (2 * out).clamp(64, MAX_OUT).next_power_of_two() } else { 0 };
        let (tx_bytes, received, rx_bytes, foreign) = Default::default();
        Ok(Self {
            clock,
            stream: spec.stream,
            timeout_ns: u64::from(spec.timeout_ms) * 1_000_000,
            settle_ns: u64::from(spec.settle_ms) * 1_000_000,
            settled_ns: 0,
            untimed: 0,
            left: spec.count.unwrap_or(u64::MAX),
            templates,
            flow: 0,
            pacer,
            seq: 0,
            out: None,
            dues_ns: vec![0; out as usize].into(),
            echoes: Tracker::new(spec.stream),
            latency: Latency::default(),
            from_due: Latency::default(),
            overdue: 0,
            tx_bytes,
            received,
            rx_bytes,
            foreign,
            active: false,
            blocked: false,
        })
    }

    /// From now on steps send probes.
    pub fn start(&mut self, now_ns: u64) {
        self.active = true;
        self.settled_ns = now_ns + self.settle_ns;
        if let Some(pacer) = &mut self.pacer {
            pacer.start(now_ns);
        }
    }

    /// From now on steps only receive. What was due by `now_ns` and has not left is counted.
    pub fn stop(&mut self, now_ns: u64) {
        if let Some(pacer) = self.pacer.as_ref().filter(|_| self.active) {
            self.overdue += pacer.overdue(now_ns).min(self.left);
        }
        self.active = false;
        self.blocked = false;
    }

    /// Whether the count asked for has been sent and, in a closed loop, the last is back or given up.
    pub fn done(&self) -> bool {
        self.left == 0 && self.out.is_none()
    }

    /// Whether the last step found no free buffer for a probe.
    pub fn blocked(&self) -> bool {
        self.blocked
    }

    /// When there is something to do even if nothing arrives: a probe due, or one given up.
    pub fn next_ns(&self) -> Option<u64> {
        match (&self.pacer, self.out) {
            _ if !self.active => None,
            (None, Some((_, sent_ns))) => Some(sent_ns + self.timeout_ns + 1),
            _ if self.left == 0 => None,
            (Some(pacer), _) => Some(pacer.next_ns()),
            (None, None) => Some(0),
        }
    }

    /// Round-trip times so far, each from when its probe left.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// Round-trip times so far, each from when its probe was due; empty without a schedule.
    pub fn from_due(&self) -> &Latency {
        &self.from_due
    }

    /// Receives what is there and sends what is due. Returns the frames moved, in and out.
    #[inline]
    pub fn step<P: Port>(&mut self, port: &mut P, now_ns: u64) -> Result<u32, PortError> {
        let mut arrived_ns = None;
        let received = port.rx_batch(BURST, |frame| self.accept(&frame, &mut arrived_ns))?;
        Ok(received + self.send(port, now_ns)?)
    }

    /// Takes one frame that whoever drives the port lends. `arrived_ns` is empty before the first of a batch.
    #[inline]
    pub fn accept(&mut self, frame: &RxFrame<'_>, arrived_ns: &mut Option<u64>) {
        self.rx_bytes += frame.data.len() as u64;
        if frame.more {
            return;
        }
        self.received += 1;
        self.rx_bytes += u64::from(FCS);
        let ours = |mark: &Mark| mark.kind == Kind::Echo && mark.stream == self.stream && mark.seq < self.seq;
        let whole = frame.data.first_chunk().is_some_and(|head| told_length(head) == frame.data.len());
        let Some(mark) = Mark::read(frame.data).filter(ours).filter(|_| whole) else {
            self.foreign += 1;
            return;
        };
        let now_ns = *arrived_ns.get_or_insert_with(|| self.clock.now_ns());
        if self.echoes.record(mark.seq) == Arrival::Duplicate {
            return;
        }
        // A late echo stays lost; so does one from the future, which no round trip explains.
        if let Some(trip_ns) = now_ns.checked_sub(mark.sent_ns)
            && trip_ns <= self.timeout_ns
            && mark.seq >= self.untimed
        {
            self.latency.record(trip_ns);
            if self.seq - mark.seq <= self.dues_ns.len() as u64 {
                let due_ns = self.dues_ns[mark.seq as usize & (self.dues_ns.len() - 1)];
                self.from_due.record(now_ns.saturating_sub(due_ns));
            }
        }
        self.out = self.out.filter(|&(seq, _)| seq != mark.seq);
    }

    /// Sends the probes that are due. Returns how many.
    #[inline]
    pub fn send<P: Port>(&mut self, port: &mut P, now_ns: u64) -> Result<u32, PortError> {
        // Steps may be given times a little behind the clock's.
        self.out = self.out.filter(|&(_, sent_ns)| now_ns.saturating_sub(sent_ns) <= self.timeout_ns);
        let most = match self.pacer {
            None => u64::from(self.out.is_none()),
            Some(_) => BURST.into(),
        };
        let most = most.min(self.left);
        if most == 0 || self.next_ns().is_none_or(|next| next > now_ns) {
            self.blocked = false;
            return Ok(0);
        }
        let Self { clock, templates, flow, seq, out, stream, dues_ns, .. } = self;
        let mut pace = self.pacer.as_mut().map(|pacer| pacer.batch(now_ns));
        let sent = port.tx_batch(most as u32, |frame| {
            if pace.as_ref().is_some_and(|pace| !pace.due()) {
                return 0;
            }
            let word = mark_word(Kind::Probe, *stream, *seq);
            if templates.write(0, *flow, word, 0, frame.buf).is_none() {
                return 0;
            }
            let Some(head) = frame.buf.first_chunk_mut() else { return 0 };
            *flow = if *flow + 1 == templates.flows() { 0 } else { *flow + 1 };
            if let Some(pace) = &mut pace {
                dues_ns[*seq as usize & (dues_ns.len() - 1)] = pace.due_ns();
                pace.leave(0);
            }
            let sent_ns = clock.now_ns();
            stamp(head, sent_ns, *seq as u32);
            *out = Some((*seq, sent_ns));
            *seq += 1;
            templates.len(0)
        })?;
        self.blocked = sent == 0;
        self.left -= u64::from(sent);
        if now_ns < self.settled_ns {
            self.untimed = self.seq;
        }
        self.tx_bytes += u64::from(sent) * u64::from(self.templates.len(0) + FCS);
        if pace.is_some() {
            self.out = None;
        }
        Ok(sent)
    }

    /// Adds this role's part to a port's counters.
    #[inline]
    pub fn add_to(&self, total: &mut Snapshot) {
        total.tx_frames += self.seq;
        total.tx_bytes += self.tx_bytes;
        total.rx_frames += self.received;
        total.rx_bytes += self.rx_bytes;
        total.rx_foreign += self.foreign;
        total.echoes += self.latency.count();
    }

    /// What was measured so far; probes still out count as lost.
    pub fn report(&self) -> PingReport {
        PingReport {
            sent: self.seq - self.untimed,
            received: self.latency.count(),
            lost: self.seq - self.untimed - self.latency.count(),
            histogram: self.latency.encode(),
            from_due: self.pacer.is_some().then(|| self.from_due.encode()),
            overdue: self.overdue,
        }
    }
}
