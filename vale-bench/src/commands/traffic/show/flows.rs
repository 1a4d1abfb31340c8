//! What a flow meter counted, as lines for people.

use pktgen::spec::{FlowReport, FlowsReport, Spread};

/// The spread over all, then the flows with the most frames.
pub(super) fn lines(report: &FlowsReport) -> Vec<String> {
    let mut lines = vec![
        format!("  {} flows", report.flows),
        format!("  frame size in bytes: {}", spread(report.sizes)),
        format!("  frames a flow:       {}", spread(report.frames_by_flow)),
        format!("  frames/s a flow:     {}", spread(report.rates_by_flow_pps)),
    ];
    if report.beyond_frames > 0 {
        lines.push(format!("  {} frames of further flows, which were not told apart", report.beyond_frames));
    }
    lines.extend(report.top.iter().map(flow));
    lines
}

fn spread(Spread { min, p50, p90, p99, max }: Spread) -> String {
    format!("min {min}  p50 {p50}  p90 {p90}  p99 {p99}  max {max}")
}

fn flow(flow: &FlowReport) -> String {
    let end = |address: Option<std::net::IpAddr>, port: u16| match address {
        Some(ip) if port > 0 => std::net::SocketAddr::new(ip, port).to_string(),
        Some(ip) => ip.to_string(),
        None => String::new(),
    };
    let protocol = match (flow.src, flow.protocol) {
        (None, _) => format!("EtherType {:#06x}", flow.ethertype),
        (_, 1) => "ICMP".into(),
        (_, 6) => "TCP".into(),
        (_, 17) => "UDP".into(),
        (_, 132) => "SCTP".into(),
        (_, other) => format!("IP protocol {other}"),
    };
    let ends = match flow.src {
        Some(_) => format!(" {} -> {}", end(flow.src, flow.src_port), end(flow.dst, flow.dst_port)),
        None => String::new(),
    };
    let FlowReport { frames, bytes, rate_pps, .. } = flow;
    format!("  {protocol}{ends}: {frames} frames, {bytes} bytes, {rate_pps:.0} frames/s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_read_as_one_would_tell_them() {
        let udp = FlowReport {
            ethertype: 0x800,
            protocol: 17,
            src: Some([10, 0, 0, 1].into()),
            dst: Some([10, 1, 0, 1].into()),
            src_port: 1234,
            dst_port: 80,
            frames: 10,
            bytes: 640,
            rate_pps: 5.0,
        };
        let arp = FlowReport { ethertype: 0x806, protocol: 0, src: None, dst: None, ..udp.clone() };
        let icmp = FlowReport { protocol: 1, src_port: 0, dst_port: 0, ..udp.clone() };
        let sizes = Spread { min: 64, p50: 64, p90: 64, p99: 64, max: 64 };
        let report = FlowsReport {
            flows: 3,
            beyond_frames: 2,
            sizes,
            top: vec![udp, arp, icmp],
            ..Default::default()
        };
        insta::assert_snapshot!(lines(&report).join("\n"), @r"
        3 flows
        frame size in bytes: min 64  p50 64  p90 64  p99 64  max 64
        frames a flow:       min 0  p50 0  p90 0  p99 0  max 0
        frames/s a flow:     min 0  p50 0  p90 0  p99 0  max 0
        2 frames of further flows, which were not told apart
        UDP 10.0.0.1:1234 -> 10.1.0.1:80: 10 frames, 640 bytes, 5 frames/s
        EtherType 0x0806: 10 frames, 640 bytes, 5 frames/s
        ICMP 10.0.0.1 -> 10.1.0.1: 10 frames, 640 bytes, 5 frames/s
        ");
    }
}
