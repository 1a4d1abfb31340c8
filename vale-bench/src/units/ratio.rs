//! Parts of a whole.

use super::{UnitError, split_number};

/// Parses `0.5%` and `0.005`, from 0 to less than 1 (100 %).
pub fn parse_ratio(text: &str) -> Result<f64, UnitError> {
    let wrong = || {
        UnitError::new(format!("{text:?} is not a part of a whole; write 0.5% or 0.005, and less than 100%"))
    };
    let ratio = match split_number(text.trim()) {
        Some((number, "")) => number,
        Some((number, "%")) => number / 100.0,
        _ => return Err(wrong()),
    };
    if (0.0..1.0).contains(&ratio) { Ok(ratio) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_and_parts() {
        for (text, ratio) in [("0.5%", 0.005), ("0.005", 0.005), ("50 %", 0.5), ("0", 0.0), (" 2% ", 0.02)] {
            assert_eq!(parse_ratio(text), Ok(ratio), "{text}");
        }
        for text in ["", "%", "100%", "1", "-1%", "half", "1/2", "5 percent"] {
            assert!(parse_ratio(text).unwrap_err().to_string().contains("part of a whole"), "{text}");
        }
    }
}
