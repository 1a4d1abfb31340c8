//! One port with its roles as a member of an engine.

use super::{Phase, Work, backlog};
use crate::Error;
use crate::counters::{Shared, Snapshot};
use crate::frame::{FCS, Kind, Mark};
use crate::port::{Interest, Port, PortError, PortInfo, RxFrame, TxFrame};
use crate::roles::{ping::Ping, pong::Pong, rx::Rx, tx::Tx};
use crate::spec::{PortReport, PortRoles, WorkReport};
use std::time::Duration;

/// A port and what it does.
///
/// Where several roles receive on one port, probes go to pong, echoes to ping, and everything else to rx; what
/// has no role of its own goes to rx as well, and without one it is counted as foreign.
#[derive(Debug)]
pub struct PortEngine<P> {
    port: P,
    /// Senders; of several each has its turn.
    tx: Vec<Tx>,
    /// Whose turn it is, of several.
    turn: usize,
    rx: Option<Rx>,
    ping: Option<Ping>,
    pong: Option<Pong>,
    counters: Shared,
    heartbeat: u64,
    phase: Phase,
    /// The role that has the packet of which more fragments follow.
    chain: Option<Receiver>,
    unclaimed: u64,
    unclaimed_bytes: u64,
    /// Transmit buffers that other roles than tx wrote to, where there is a tx.
    written: Vec<Option<u32>>,
    /// When the last step of the sending phase was; 0 outside it.
    looked_ns: u64,
    longest_pause_ns: u64,
}

/// Buffers that are noted; of more, tx forgets them all.
const NOTED: usize = 256;

/// A port whose transmit buffers are noted when they are written to, as far as there is room to note them.
struct Noted<'a, P> {
    port: &'a mut P,
    written: &'a mut Vec<Option<u32>>,
    /// Whether anyone wants to know.
    wanted: bool,
}

impl<P: Port> Port for Noted<'_, P> {
    fn info(&self) -> &PortInfo {
        self.port.info()
    }

    #[inline]
    fn tx_batch<F: FnMut(TxFrame<'_>) -> u16>(&mut self, max: u32, mut fill: F) -> Result<u32, PortError> {
        if !self.wanted {
            return self.port.tx_batch(max, fill);
        }
        let written = &mut *self.written;
        self.port.tx_batch(max, |frame| {
            if written.len() < written.capacity() {
                written.push(frame.key);
            }
            fill(frame)
        })
    }

    #[inline]
    fn rx_batch<F: FnMut(RxFrame<'_>)>(&mut self, max: u32, sink: F) -> Result<u32, PortError> {
        self.port.rx_batch(max, sink)
    }

    fn tx_pending(&mut self) -> Result<u32, PortError> {
        self.port.tx_pending()
    }

    fn wait(&mut self, interest: Interest, timeout: Duration) -> Result<(), PortError> {
        self.port.wait(interest, timeout)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receiver {
    Rx,
    Ping,
    Pong,
    Nobody,
}

impl<P: Port> PortEngine<P> {
    /// `port` with `roles`, publishing to `counters`, which start from 0. Refuses what the roles refuse.
    pub fn new(port: P, roles: &PortRoles, counters: impl Into<Shared>) -> Result<Self, Error> {
        let specs = roles.tx.iter().chain(&roles.more_tx);
        let tx = specs.map(|spec| Tx::new(spec, port.info())).collect::<Result<_, _>>()?;
        Self::with_senders(port, tx, roles, counters)
    }

    /// As [`PortEngine::new`], with a sender that has been made, instead of the one in `roles`.
    pub fn with_sender(
        port: P,
        tx: Option<Tx>,
        roles: &PortRoles,
        counters: impl Into<Shared>,
    ) -> Result<Self, Error> {
        Self::with_senders(port, tx.into_iter().collect(), roles, counters)
    }

    fn with_senders(
        port: P,
        tx: Vec<Tx>,
        roles: &PortRoles,
        counters: impl Into<Shared>,
    ) -> Result<Self, Error> {
        let counters = counters.into();
        counters.reset();
        let info = port.info();
        Ok(Self {
            tx,
            turn: 0,
            rx: roles.rx.as_ref().map(Rx::new).transpose()?,
            ping: roles.ping.as_ref().map(|spec| Ping::new(spec, info)).transpose()?,
            pong: roles.pong.as_ref().map(|spec| Pong::new(spec, info)).transpose()?,
            port,
            counters,
            heartbeat: 0,
            phase: Phase::Idle,
            chain: None,
            unclaimed: 0,
            unclaimed_bytes: 0,
            // Most that a step notes before it looks.
            written: Vec::with_capacity(NOTED),
            looked_ns: 0,
            longest_pause_ns: 0,
        })
    }

    /// The receiver does not look into frames: [`Rx::raw`].
    #[must_use]
    pub fn raw_receiver(mut self) -> Self {
        self.rx = self.rx.map(Rx::raw);
        self
    }

    /// The receiver looks into frames once there are marked ones: [`Rx::sampling`].
    #[must_use]
    pub fn sampling_receiver(mut self) -> Self {
        self.rx = self.rx.map(Rx::sampling);
        self
    }

    /// The receiver also counts by flow: [`Rx::metering`].
    #[must_use]
    pub fn metering_receiver(mut self, top: usize) -> Self {
        self.rx = self.rx.map(|rx| rx.metering(top));
        self
    }

    /// The port itself.
    pub fn port(&mut self) -> &mut P {
        &mut self.port
    }

    fn totals(&self) -> Snapshot {
        let mut total = Snapshot {
            heartbeat: self.heartbeat,
            phase: self.phase as u32,
            rx_frames: self.unclaimed,
            rx_bytes: self.unclaimed_bytes,
            rx_foreign: self.unclaimed,
            ..Snapshot::default()
        };
        self.tx.iter().for_each(|tx| tx.add_to(&mut total));
        if let Some(rx) = &self.rx {
            rx.add_to(&mut total);
        }
        if let Some(ping) = &self.ping {
            ping.add_to(&mut total);
        }
        if let Some(pong) = &self.pong {
            pong.add_to(&mut total);
        }
        total
    }

    /// Receives, answers and sends probes. Returns the frames moved.
    fn receive(&mut self, now_ns: u64) -> Result<u32, PortError> {
        let Self { port, written, .. } = self;
        let wanted = !self.tx.is_empty();
        let mut port = Noted { port, written, wanted };
        let mut moved = match (&mut self.rx, &mut self.ping, &mut self.pong) {
            (None, None, None) => 0,
            (Some(rx), None, None) => drain(rx, port.port, now_ns)?,
            (None, None, Some(pong)) => pong.step(&mut port, now_ns)?,
            (rx, ping, pong) => {
                let unclaimed = (&mut self.unclaimed, &mut self.unclaimed_bytes);
                receive_for_several(&mut port, (rx, ping, pong), &mut self.chain, unclaimed, now_ns)?
            }
        };
        if let Some(ping) = &mut self.ping {
            moved += ping.send(&mut port, now_ns)?;
        }
        if !self.written.is_empty() {
            let all = self.written.len() == self.written.capacity();
            for tx in &mut self.tx {
                if all {
                    tx.forget_buffers();
                }
                self.written.iter().for_each(|&key| tx.forget_buffer(key));
            }
            self.written.clear();
        }
        Ok(moved)
    }

    /// Each sender in its turn. Returns the frames sent, and whether a ring was too full for one of them.
    fn send_each(&mut self, now_ns: u64) -> Result<(u32, bool), PortError> {
        let (mut moved, mut full) = (0, false);
        let count = self.tx.len();
        for i in 0..count {
            let at = (self.turn + i) % count;
            let sent = self.tx[at].step(&mut self.port, now_ns)?;
            full |= self.tx[at].blocked();
            moved += sent;
            if sent > 0 && count > 1 {
                // What it wrote to is not what the others left there.
                let others = self.tx.iter_mut().enumerate().filter(|(other, _)| *other != at);
                others.for_each(|(_, tx)| tx.forget_buffers());
            }
        }
        // So that of a ring that is always full each gets its part.
        self.turn = if self.turn + 1 < count { self.turn + 1 } else { 0 };
        Ok((moved, full))
    }

    fn interest(&self) -> Interest {
        let blocked = self.tx.iter().any(Tx::blocked)
            || self.ping.as_ref().is_some_and(Ping::blocked)
            || self.pong.as_ref().is_some_and(Pong::blocked);
        let receives = self.rx.is_some() || self.ping.is_some() || self.pong.is_some();
        match (blocked, receives) {
            (true, true) => Interest::Both,
            (true, false) => Interest::Tx,
            (false, _) => Interest::Rx,
        }
    }
}

/// Receives what is there, a ring's worth at most.
fn drain<P: Port>(rx: &mut Rx, port: &mut P, now_ns: u64) -> Result<u32, PortError> {
    let ring = port.info().rx_slots;
    let mut moved = 0;
    loop {
        let received = rx.step(port, now_ns)?;
        moved += received;
        if received < rx.burst() || moved >= ring {
            return Ok(moved);
        }
    }
}

type Receivers<'a> = (&'a mut Option<Rx>, &'a mut Option<Ping>, &'a mut Option<Pong>);

/// Gives every frame to the role that it is for. Returns the frames moved.
fn receive_for_several<P: Port>(
    port: &mut P,
    (rx, ping, pong): Receivers<'_>,
    chain: &mut Option<Receiver>,
    (unclaimed, unclaimed_bytes): (&mut u64, &mut u64),
    now_ns: u64,
) -> Result<u32, PortError> {
    let mut moved = match pong {
        Some(pong) => pong.flush(port)?,
        None => 0,
    };
    let burst = pong.as_ref().map_or(u32::MAX, Pong::burst).min(rx.as_ref().map_or(64, Rx::burst));
    let mut arrived_ns = None;
    moved += port.rx_batch(burst, |frame: RxFrame<'_>| {
        let receiver = chain.unwrap_or_else(|| match Mark::read(frame.data).map(|mark| mark.kind) {
            Some(Kind::Probe) if pong.is_some() => Receiver::Pong,
            Some(Kind::Echo) if ping.is_some() => Receiver::Ping,
            _ if rx.is_some() => Receiver::Rx,
            _ => Receiver::Nobody,
        });
        *chain = frame.more.then_some(receiver);
        match (receiver, &mut *rx, &mut *ping, &mut *pong) {
            (Receiver::Rx, Some(rx), ..) => rx.accept(&frame, now_ns),
            (Receiver::Ping, _, Some(ping), _) => ping.accept(&frame, &mut arrived_ns),
            (Receiver::Pong, .., Some(pong)) => pong.accept(&frame, now_ns),
            _ => {
                *unclaimed += u64::from(!frame.more);
                *unclaimed_bytes += frame.data.len() as u64 + u64::from(!frame.more) * u64::from(FCS);
            }
        }
    })?;
    if let Some(pong) = pong {
        moved += pong.flush(port)?;
    }
    Ok(moved)
}

impl<P: Port> Work for PortEngine<P> {
    fn enter(&mut self, phase: Phase, now_ns: u64) -> Result<(), PortError> {
        self.phase = phase;
        let sending = phase == Phase::Send;
        self.looked_ns = if sending { now_ns } else { 0 };
        for (i, tx) in self.tx.iter_mut().enumerate() {
            match phase {
                Phase::Send => tx.start(now_ns),
                // The port does not tell whose frames it still has: the first one's report is of all.
                Phase::Stop if i == 0 => tx.finish(&mut self.port)?,
                _ => tx.stop(),
            }
        }
        if let Some(ping) = &mut self.ping {
            if sending { ping.start(now_ns) } else { ping.stop(now_ns) }
        }
        self.counters.publish(&self.totals());
        Ok(())
    }

    fn step(&mut self, now_ns: u64) -> Result<u32, PortError> {
        if self.looked_ns > 0 {
            self.longest_pause_ns = self.longest_pause_ns.max(now_ns - self.looked_ns);
            self.looked_ns = now_ns;
        }
        let moved = self.receive(now_ns)?;
        self.heartbeat += 1;
        if moved > 0 {
            self.counters.publish(&self.totals());
        } else {
            self.counters.beat(self.heartbeat);
        }
        Ok(moved)
    }

    fn send(&mut self, now_ns: u64) -> Result<u32, PortError> {
        let (sent, full) = self.send_each(now_ns)?;
        if sent > 0 || full {
            self.counters.publish(&self.totals());
        }
        Ok(sent)
    }

    fn next_ns(&self) -> Option<u64> {
        // A blocked sender waits for the ring, not for its schedule.
        let tx = self.tx.iter().filter(|tx| !tx.blocked()).filter_map(Tx::next_ns);
        let ping = self.ping.as_ref().filter(|ping| !ping.blocked()).and_then(Ping::next_ns);
        tx.chain(ping).min()
    }

    fn patience(&self) -> u32 {
        if self.ping.is_some() || self.pong.is_some() {
            return 0;
        }
        backlog([self.port.info()])
    }

    fn wait(&mut self, timeout: Duration) -> Result<(), PortError> {
        self.port.wait(self.interest(), timeout)
    }

    fn done(&self) -> bool {
        self.tx.iter().all(Tx::done) && self.ping.as_ref().is_none_or(Ping::done)
    }

    fn report(&mut self) -> WorkReport {
        let tx = self.tx.iter().map(Tx::report).reduce(|mut all, one| {
            all.merge(one);
            all
        });
        WorkReport::Port(Box::new(PortReport {
            tx,
            rx: self.rx.as_mut().map(Rx::report),
            ping: self.ping.as_ref().map(Ping::report),
            pong: self.pong.as_ref().map(Pong::report),
            longest_pause_ns: self.longest_pause_ns,
        }))
    }
}
