//! What the traffic commands print: a line an interval, and what came of it in the end.

use super::super::print;
use crate::cli::{CommonTrafficArgs, TrafficFormat};
use crate::exit::Fail;
use crate::result::{Latency, PortCounts, Rates};
use pktgen::counters::Snapshot;
use pktgen::spec::{PortReport, PortRoles};
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
            format: common.format,
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
            })
            .to_string(),
            TrafficFormat::Text => summary(&self.port, &tx, &rx, report, latency.as_ref()),
        };
        print(|out| writeln!(out, "{text}")).map(|_| ())
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
        lines.push(format!("{port}: sent {} frames, {}", r.sent - r.unsent, text(tx)));
        if r.unsent > 0 {
            lines.push(format!("  {} more were never taken from the ring", r.unsent));
        }
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
