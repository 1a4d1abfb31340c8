//! Lengths of time.

use std::time::Duration;

use super::{UnitError, split_number};

/// The longest time an argument may name: a week.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// Parses `5`, `5s`, `500ms`, `250us`, `2m` and `1h`; a number alone is seconds.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let wrong = || {
        UnitError::new(format!(
            "{text:?} is not a length of time; write seconds (5 or 5s), 500ms, 250us, 2m or 1h"
        ))
    };
    let trimmed = text.trim();
    let (number, unit) = split_number(trimmed).ok_or_else(wrong)?;
    let seconds = match unit {
        "" | "s" => number,
        "us" | "µs" => number / 1e6,
        "ms" => number / 1e3,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(wrong()),
    };
    if seconds > LONGEST.as_secs_f64() {
        return Err(UnitError::new(format!("{text:?} is longer than a week")));
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// The same, for times that must pass: zero is refused.
pub fn parse_positive_duration(text: &str) -> Result<Duration, UnitError> {
    match parse_duration(text)? {
        Duration::ZERO => Err(UnitError::new(format!("{text:?} is no time at all; write a time above 0"))),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (text, ms) in [
            ("5", 5000),
            ("5s", 5000),
            ("0.25", 250),
            ("500ms", 500),
            ("2000us", 2),
            ("2m", 120_000),
            ("1.5 min", 90_000),
            ("1h", 3_600_000),
            ("0", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_time() {
        for text in ["", "s", "-5", "5x", "1.2.3s", "5 s s", "inf", "NaN", "1e3"] {
            assert!(parse_duration(text).unwrap_err().to_string().contains("not a length of time"), "{text}");
        }
        assert!(parse_duration("169h").unwrap_err().to_string().contains("longer than a week"));
        assert!(parse_duration(&"9".repeat(300)).is_err());
        assert!(parse_positive_duration("0ms").unwrap_err().to_string().contains("no time at all"));
        assert_eq!(parse_positive_duration("1ms"), Ok(Duration::from_millis(1)));
    }
}
