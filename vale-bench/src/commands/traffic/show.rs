//! What the traffic commands print: a line an interval, and what came of it in the end.

mod flows;

use super::super::print;
use crate::cli::{CommonTrafficArgs, TrafficFormat};
use crate::exit::Fail;
use crate::result::{Latency, Pacing, PortCounts, Rates};
use pktgen::counters::Snapshot;
use pktgen::spec::{FwdReport, PortReport, PortRoles};
use serde_json::json;
use std::time::Instant;

/// Prints reports of one port.
pub(super) struct Show {
    port: String,
    format: TrafficFormat,
    sends: bool,
    receives: bool,
    pings: bool,
    began: Instant,
    first: Snapshot,
    last: (Instant, Snapshot),
}

impl Show {
    pub(super) fn new(common: &CommonTrafficArgs, roles: &PortRoles, first: Snapshot) -> Show {
        let now = Instant::now();
        Show {
            port: common.port.clone(),
            format: common.run.format,
            sends: roles.tx.is_some() || roles.pong.is_some(),
            receives: roles.rx.is_some(),
            pings: roles.ping.is_some(),
            began: now,
            first,
            last: (now, first),
        }
    }

    /// An interval is over; false if nobody reads any more.
    pub(super) fn interval(&mut self, now: &Snapshot) -> Result<bool, Fail> {
        let at = Instant::now();
        let (then, before) = self.last;
        let ns = (at - then).as_nanos() as u64;
        let seconds = (at - self.began).as_secs_f64();
        let (tx, rx) = rates(&before, now, ns);
        let echoes_per_s = (now.echoes - before.echoes) as f64 * 1e9 / ns.max(1) as f64;
        let missing = now.rx_missing.saturating_sub(before.rx_missing);
        self.last = (at, *now);
        let line = match self.format {
            TrafficFormat::Json => json!({
                "report": "interval", "port": self.port, "time_s": seconds, "tx": tx, "rx": rx,
                "echoes_per_s": echoes_per_s, "missing_frames": missing,
            })
            .to_string(),
            TrafficFormat::Text => {
                let mut line = format!("{seconds:8.1} s");
                if self.sends {
                    line += &format!("  sent {}", text(&tx));
                }
                if self.receives {
                    line += &format!("  received {}  missing {missing}", text(&rx));
                }
                if self.pings {
                    line += &format!("  {echoes_per_s:.0} round trips/s");
                }
                line
            }
        };
        print(|out| writeln!(out, "{line}"))
    }

    /// It is over.
    pub(super) fn end(&self, last: &Snapshot, report: &PortReport) -> Result<(), Fail> {
        let ns = self.began.elapsed().as_nanos() as u64;
        let (tx, rx) = rates(&self.first, last, ns);
        let latency = match &report.ping {
            Some(ping) => Latency::merge([ping.histogram.as_str()], ping.lost).map_err(Fail::failed)?,
            None => None,
        };
        let text = match self.format {
            TrafficFormat::Json => json!({
                "report": "end", "port": self.port, "time_s": ns as f64 / 1e9, "tx": tx, "rx": rx,
                "roles": PortCounts::from(report.clone()), "latency": latency,
                "flows": report.rx.as_ref().and_then(|rx| rx.flows.as_ref()),
            })
            .to_string(),
            TrafficFormat::Text => summary(&self.port, &tx, &rx, report, latency.as_ref()),
        };
        print(|out| writeln!(out, "{text}")).map(|_| ())
    }
}

/// Prints reports of two ports that a forwarder joins.
pub(super) struct Crossing<'a> {
    names: [&'a str; 2],
    format: TrafficFormat,
    direct: bool,
    began: Instant,
    first: [Snapshot; 2],
    last: (Instant, [Snapshot; 2]),
}

impl<'a> Crossing<'a> {
    /// `direct` says that buffers change places.
    pub(super) fn new(
        names: [&'a str; 2],
        format: TrafficFormat,
        direct: bool,
        first: [Snapshot; 2],
    ) -> Crossing<'a> {
        let now = Instant::now();
        Crossing { names, format, direct, began: now, first, last: (now, first) }
    }

    /// What left on each port since `before`: rightward, then leftward.
    fn sent(before: &[Snapshot; 2], now: &[Snapshot; 2], ns: u64) -> [Rates; 2] {
        [rates(&before[1], &now[1], ns).0, rates(&before[0], &now[0], ns).0]
    }

    /// An interval is over; false if nobody reads any more.
    pub(super) fn interval(&mut self, now: [Snapshot; 2]) -> Result<bool, Fail> {
        let at = Instant::now();
        let [right, left] = Crossing::sent(&self.last.1, &now, (at - self.last.0).as_nanos() as u64);
        self.last = (at, now);
        let seconds = (at - self.began).as_secs_f64();
        let line = match self.format {
            TrafficFormat::Json => json!({
                "report": "interval", "ports": self.names, "time_s": seconds, "directions": [right, left],
            })
            .to_string(),
            TrafficFormat::Text => format!("{seconds:8.1} s  -> {}  <- {}", text(&right), text(&left)),
        };
        print(|out| writeln!(out, "{line}"))
    }

    /// It is over.
    pub(super) fn end(&self, now: [Snapshot; 2], reports: &[FwdReport]) -> Result<(), Fail> {
        let ns = self.began.elapsed().as_nanos() as u64;
        let directions = Crossing::sent(&self.first, &now, ns);
        let lines = match self.format {
            TrafficFormat::Json => json!({
                "report": "end", "ports": self.names, "time_s": ns as f64 / 1e9, "zero_copy": self.direct,
                "directions": directions, "roles": reports,
            })
            .to_string(),
            TrafficFormat::Text => {
                let how = if self.direct { "without copies" } else { "by copy" };
                let [a, b] = self.names;
                let ways = [(a, b), (b, a)].into_iter().zip(&directions).zip(reports);
                ways.map(|(((from, to), rates), report)| {
                    let FwdReport { received, forwarded, dropped } = report;
                    format!(
                        "{from} -> {to}: {received} frames received, {forwarded} forwarded {how}, {dropped} dropped, {}",
                        text(rates)
                    )
                })
                .collect::<Vec<_>>()
                .join("\n")
            }
        };
        print(|out| writeln!(out, "{lines}")).map(|_| ())
    }
}

fn rates(from: &Snapshot, to: &Snapshot, ns: u64) -> (Rates, Rates) {
    let tx = Rates::new(
        to.tx_frames.saturating_sub(from.tx_frames),
        to.tx_bytes.saturating_sub(from.tx_bytes),
        ns,
    );
    let rx = Rates::new(
        to.rx_frames.saturating_sub(from.rx_frames),
        to.rx_bytes.saturating_sub(from.rx_bytes),
        ns,
    );
    (tx, rx)
}

fn text(rates: &Rates) -> String {
    format!("{:.3} Mpps  {:.3} Gbps L1", rates.rate_mpps, rates.rate_l1_gbps)
}

fn summary(port: &str, tx: &Rates, rx: &Rates, report: &PortReport, latency: Option<&Latency>) -> String {
    let mut lines = Vec::new();
    if let Some(r) = &report.tx {
        lines.push(format!("{port}: sent {} frames, {}", r.sent.saturating_sub(r.unsent), text(tx)));
        if r.unsent > 0 {
            lines.push(format!("  {} more were never taken from the ring", r.unsent));
        }
        lines.extend(
            r.pacing.as_ref().and_then(|pacing| Pacing::of(pacing).ok()).map(|pacing| paced(&pacing)),
        );
    }
    if let Some(r) = &report.rx {
        lines.push(format!("{port}: received {} frames, {}", r.received, text(rx)));
        for s in &r.streams {
            lines.push(format!(
                "  stream {}: {} received, {} missing, {} reordered, {} duplicate",
                s.stream, s.received, s.missing, s.reordered, s.duplicate
            ));
        }
        if r.foreign + r.corrupt > 0 {
            lines.push(format!("  {} not from vale-bench, {} damaged", r.foreign, r.corrupt));
        }
        lines.extend(r.flows.iter().flat_map(|flows| flows::lines(flows)));
    }
    if let Some(r) = &report.ping {
        lines.push(format!("{port}: {} probes sent, {} back, {} lost", r.sent, r.received, r.lost));
        if let Some(l) = latency {
            let us = |ns: u64| ns as f64 / 1e3;
            lines.push(format!(
                "  round trip in µs: min {:.1}  p50 {:.1}  p90 {:.1}  p99 {:.1}  p99.9 {:.1}  max {:.1}",
                us(l.min_ns),
                us(l.p50_ns),
                us(l.p90_ns),
                us(l.p99_ns),
                us(l.p99_9_ns),
                us(l.max_ns)
            ));
        }
    }
    if let Some(r) = &report.pong {
        lines.push(format!("{port}: {} probes echoed, {} dropped", r.echoed, r.dropped));
    }
    lines.join("\n")
}

/// How well a schedule was kept.
fn paced(pacing: &Pacing) -> String {
    let us = |ns: Option<u64>| ns.map_or("-".into(), |ns| format!("{:.1}", ns as f64 / 1e3));
    let late = pacing.lateness.as_ref();
    format!(
        "  of {:.0} frames/s asked for {:.0} left; late by µs: p50 {}  p99 {}  p99.9 {}  max {}; {:.2} % of the gaps \
         within 2 µs",
        pacing.asked_pps,
        pacing.achieved_pps,
        us(late.map(|l| l.p50_ns)),
        us(late.map(|l| l.p99_ns)),
        us(late.map(|l| l.p99_9_ns)),
        us(late.map(|l| l.max_ns)),
        pacing.within_2us_ratio * 100.0
    )
}

/// Reports of the threads of one port as one. A stream that several threads received parts of is missing what none of
/// them received.
pub(super) fn merge(mut sum: PortReport, other: PortReport) -> PortReport {
    if let (Some(a), Some(b)) = (&mut sum.tx, other.tx) {
        a.merge(b);
    }
    if let (Some(a), Some(b)) = (&mut sum.rx, other.rx) {
        a.received += b.received;
        a.bytes += b.bytes;
        a.foreign += b.foreign;
        a.corrupt += b.corrupt;
        a.elapsed_ns = a.elapsed_ns.max(b.elapsed_ns);
        for stream in b.streams {
            match a.streams.iter_mut().find(|known| known.stream == stream.stream) {
                None => a.streams.push(stream),
                Some(known) => {
                    known.received += stream.received;
                    known.reordered += stream.reordered;
                    known.duplicate += stream.duplicate;
                    known.first_seq = known.first_seq.min(stream.first_seq);
                    known.last_seq = known.last_seq.max(stream.last_seq);
                    let span = known.last_seq - known.first_seq + 1;
                    known.missing = span.saturating_sub(known.received - known.duplicate);
                }
            }
        }
    }
    sum.longest_pause_ns = sum.longest_pause_ns.max(other.longest_pause_ns);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use pktgen::spec::{RxReport, StreamReport, TxReport};

    fn part(stream: u16, received: u64, duplicate: u64, first_seq: u64, last_seq: u64) -> PortReport {
        let missing = (last_seq - first_seq + 1) - (received - duplicate);
        let stream = StreamReport { stream, received, duplicate, first_seq, last_seq, missing, reordered: 1 };
        let rx = RxReport { received, streams: vec![stream], ..RxReport::default() };
        let tx = TxReport { sent: received, unsent: 1, ..TxReport::default() };
        PortReport { rx: Some(rx), tx: Some(tx), ..PortReport::default() }
    }

    #[test]
    fn what_one_thread_missed_and_another_received_is_not_missing() {
        // Even numbers here, odd ones there, but for 7; one frame came twice.
        let parts = [part(3, 50, 0, 0, 98), part(3, 50, 1, 1, 99), part(4, 10, 0, 0, 9)];
        let sum = parts.into_iter().reduce(merge).unwrap();
        let (rx, tx) = (sum.rx.unwrap(), sum.tx.unwrap());
        assert_eq!((rx.received, tx.sent, tx.unsent, rx.streams.len()), (110, 110, 3, 2));
        let stream = &rx.streams[0];
        assert_eq!((stream.received, stream.missing, stream.duplicate, stream.reordered), (100, 1, 1, 2));
        assert_eq!((stream.first_seq, stream.last_seq), (0, 99));
        assert_eq!(rx.streams[1].missing, 0);
    }
}
