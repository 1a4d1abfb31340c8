//! Numbers as people read them: three digits that mean something, and words where there is no number.

use crate::result::{Direction, Offered};

/// Three significant digits down to thousandths: `17.3`, `2.91`, `0.131`.
pub(crate) fn significant(value: f64) -> String {
    // The limits are where rounding adds a digit.
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.9995 => format!("{value:.2}"),
        0.0 => "0".into(),
        size if size < 0.0005 => "<0.001".into(),
        _ => format!("{value:.3}"),
    }
}

/// A ratio of 0 to 1 as a percentage without its sign: `0`, `<0.01`, `0.12`, `34.5`.
pub(crate) fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    match percent {
        0.0 => "0".into(),
        small if small < 0.01 => "<0.01".into(),
        small if small < 9.995 => format!("{percent:.2}"),
        _ => format!("{percent:.1}"),
    }
}

/// Nanoseconds as microseconds: `12.4`.
pub(crate) fn micros(ns: f64) -> String {
    significant(ns / 1e3)
}

/// Scenarios, those of the shortest way first.
const SCENARIOS: [&str; 5] = ["p2p", "p2v", "v2p", "v2v", "loopback"];

/// Where what was measured stands in a report, whatever order was drawn by lot: by scenario, by number of guests, one way
/// before both.
pub(crate) fn place(scenario: &str, vms: u32, direction: Direction) -> (usize, u32, bool) {
    let scenario = SCENARIOS.iter().position(|known| *known == scenario).unwrap_or(SCENARIOS.len());
    (scenario, vms, direction == Direction::Bidi)
}

/// A number of things: `1 guest`, `2 guests`.
pub(crate) fn count(number: u32, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Seconds without needless digits: `5 s`, `0.25 s`.
pub(crate) fn seconds(seconds: f64) -> String {
    let text = format!("{seconds:.3}");
    format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A rate with its thousands folded: `2.5 M`, `10 G`.
pub(crate) fn scaled(value: f64) -> String {
    for (scale, letter) in [(1e9, " G"), (1e6, " M"), (1e3, " k")] {
        if value >= scale {
            let text = format!("{:.3}", value / scale);
            return format!("{}{letter}", text.trim_end_matches('0').trim_end_matches('.'));
        }
    }
    format!("{value:.0} ")
}

/// A number without needless digits: `95`, `99.9`.
pub(crate) fn shortest(value: f64) -> String {
    format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// One way or both, for people.
pub(crate) fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Uni => "one way",
        Direction::Bidi => "both ways",
    }
}

/// The load of each sender, for people.
pub(crate) fn offered(offered: Offered) -> String {
    match offered {
        Offered::Max => "as fast as possible".into(),
        Offered::Pps { rate_pps } => format!("{}pps offered", scaled(rate_pps)),
        Offered::L1 { rate_l1_bps } => format!("{}bps (L1) offered", scaled(rate_l1_bps)),
        Offered::L2 { rate_l2_bps } => format!("{}bps (L2) offered", scaled(rate_l2_bps)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits() {
        let cases = [(17.34, "17.3"), (2.912, "2.91"), (0.1312, "0.131"), (0.0, "0"), (123.4, "123")];
        for (value, text) in cases.into_iter().chain([(0.0001, "<0.001"), (9.999, "10.0"), (99.99, "100")]) {
            assert_eq!(significant(value), text);
        }
        for (value, text) in
            [(0.0, "0"), (0.00001, "<0.01"), (0.001234, "0.12"), (0.34, "34.0"), (1.0, "100.0")]
        {
            assert_eq!(percent(value), text);
        }
        assert_eq!(micros(12_400.0), "12.4");
        assert_eq!((count(1, "guest"), count(4, "guest")), ("1 guest".into(), "4 guests".into()));
        assert_eq!(
            (seconds(5.0), seconds(0.25), seconds(60.0)),
            ("5 s".into(), "0.25 s".into(), "60 s".into())
        );
        assert_eq!(
            (scaled(2.5e6), scaled(1e10), scaled(500.0)),
            ("2.5 M".into(), "10 G".into(), "500 ".into())
        );
    }
}
