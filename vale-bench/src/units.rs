//! What people type for sizes, rates, parts, times and processors, and the sentences they get for typos.
//!
//! Every parser takes the whole argument and says what was wrong, where, and what would be right. Values are
//! checked for being possible at all; whether this host has that processor or that port takes that frame is
//! for those who know the host and the port.

mod cpus;
mod rate;
mod ratio;
mod size;
mod time;

pub use cpus::{CpuList, parse_cpus};
pub use rate::parse_rate;
pub use ratio::parse_ratio;
pub use size::{
    FRAME_MAX_BYTES, FRAME_MIN_BYTES, IMIX, SizeList, SizeSpec, check_frame_size, parse_sizes,
    parse_slot_length,
};
pub use time::{parse_duration, parse_positive_duration};

/// A sentence about an argument that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(String);

impl UnitError {
    pub(crate) fn new(sentence: impl Into<String>) -> UnitError {
        UnitError(sentence.into())
    }
}

/// Splits `"2.5Mpps"` into the number before and the letters after.
fn split_number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    // "." and "1.2.3" are not numbers; neither is what overflows.
    let number: f64 = digits.parse().ok()?;
    number.is_finite().then_some((number, unit.trim()))
}
