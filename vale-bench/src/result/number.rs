//! The guard that keeps NaN and infinities out of JSON, which has no words for them.

use serde::{Serializer, ser::Error};

/// Serialises a finite number, and fails on any other; for `#[serde(serialize_with)]`.
pub(super) fn finite<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        to.serialize_f64(*value)
    } else {
        Err(S::Error::custom(format_args!("{value} is not a finite number and has no form in JSON")))
    }
}

/// `part / whole`, and 0 where that is not a finite number.
pub(super) fn ratio(part: f64, whole: f64) -> f64 {
    let quotient = part / whole;
    if quotient.is_finite() { quotient } else { 0.0 }
}
