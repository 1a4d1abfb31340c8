//! Offered load, in frames or bits a second.

use pktgen::spec::Rate;

use super::{UnitError, split_number};

/// Parses `max`, `1M`, `2.5Mpps`, `10Gbps` (on the line: L1) and `10Gbps/L2` (frames only).
///
/// A number without a unit, or with only K or M, counts frames, as in pkt-gen. A lone G is Gbps, because no
/// port carries thousands of millions of frames a second.
pub fn parse_rate(text: &str) -> Result<Rate, UnitError> {
    let lower = text.trim().to_ascii_lowercase();
    if lower == "max" {
        return Ok(Rate::Max);
    }
    let wrong = || {
        UnitError::new(format!(
            "{text:?} is not a rate; write max, frames a second (500000, 1M, 2.5Mpps) or bits a second \
             (100Mbps, 10Gbps on the line, 10Gbps/L2 for frames alone)"
        ))
    };
    let (number, unit) = split_number(&lower).ok_or_else(wrong)?;
    let (scale, unit) = match unit.chars().next() {
        Some('k') => (1e3, &unit[1..]),
        Some('m') => (1e6, &unit[1..]),
        Some('g') => (1e9, &unit[1..]),
        _ => (1.0, unit),
    };
    let value = number * scale;
    if value <= 0.0 {
        return Err(UnitError::new(format!(
            "the rate {text:?} sends nothing; write a number above 0, or max"
        )));
    }
    match unit {
        "" if scale == 1e9 => Ok(Rate::L1Bps(value)),
        "" | "pps" => Ok(Rate::Pps(value)),
        "bps" | "bps/l1" | "bit/s" => Ok(Rate::L1Bps(value)),
        "bps/l2" => Ok(Rate::L2Bps(value)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_bits() {
        for (text, rate) in [
            ("max", Rate::Max),
            ("MAX", Rate::Max),
            ("500000", Rate::Pps(500_000.0)),
            ("1M", Rate::Pps(1e6)),
            ("1m", Rate::Pps(1e6)),
            ("10k", Rate::Pps(1e4)),
            ("2.5Mpps", Rate::Pps(2.5e6)),
            ("0.5 Mpps", Rate::Pps(5e5)),
            ("1Gpps", Rate::Pps(1e9)),
            ("10G", Rate::L1Bps(1e10)),
            ("10Gbps", Rate::L1Bps(1e10)),
            ("100Mbit/s", Rate::L1Bps(1e8)),
            ("10Gbps/L1", Rate::L1Bps(1e10)),
            ("10Gbps/L2", Rate::L2Bps(1e10)),
        ] {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_rate() {
        for text in ["", "fast", "M", "-1M", "1.2.3", "1T", "5 parsecs", "1Mpps/L2", "1e6", "é", "1é"] {
            let error = parse_rate(text).unwrap_err().to_string();
            assert!(error.contains("is not a rate"), "{text}: {error}");
        }
        assert!(parse_rate("0").unwrap_err().to_string().contains("sends nothing"));
        assert!(parse_rate("0.0Gbps").unwrap_err().to_string().contains("sends nothing"));
        assert!(parse_rate(&"9".repeat(400)).is_err());
    }
}
