//! Arithmetic on ring cursors: numbers below `num_slots` that wrap.
//!
//! netmap keeps one slot empty, so `head == tail` means "nothing for the application": no free slot on a
//! transmit ring, no frame on a receive ring.

/// The cursor `n` slots after `pos`; `n` is at most `num_slots`.
#[inline(always)]
#[must_use]
pub const fn add(pos: u32, n: u32, num_slots: u32) -> u32 {
    let sum = pos + n;
    if sum >= num_slots { sum - num_slots } else { sum }
}

/// How many slots lie in `[from, to)`, going forward and wrapping.
#[inline(always)]
#[must_use]
pub const fn distance(from: u32, to: u32, num_slots: u32) -> u32 {
    if to >= from { to - from } else { to + num_slots - from }
}

/// The cursor one slot before `pos`.
#[inline(always)]
#[must_use]
pub const fn prev(pos: u32, num_slots: u32) -> u32 {
    if pos == 0 { num_slots - 1 } else { pos - 1 }
}

/// Whether `pos` is a legal new cursor: a slot number, and in `[from, to]` going forward. This is the check
/// that netmap's sync prologues make of what an application wrote.
#[inline(always)]
#[must_use]
pub const fn within(pos: u32, from: u32, to: u32, num_slots: u32) -> bool {
    pos < num_slots && distance(from, pos, num_slots) <= distance(from, to, num_slots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cursors_are_remainders(n in 2u32..5000, a in 0u32..5000, k in 0u32..5000) {
            let (a, k) = (a % n, k % (n + 1));
            prop_assert_eq!(add(a, k, n), (a + k) % n);
            prop_assert_eq!(distance(a, add(a, k, n), n), k % n);
            prop_assert_eq!(add(prev(a, n), 1, n), a);
        }

        #[test]
        fn within_accepts_exactly_the_slots_between(n in 2u32..64, from in 0u32..64, len in 0u32..64, pos: u32) {
            let (from, len) = (from % n, len % n);
            let to = add(from, len, n);
            let expected = (0..=len).any(|k| add(from, k, n) == pos);
            prop_assert_eq!(within(pos, from, to, n), expected);
            prop_assert_eq!(within(pos % n, from, to, n), (0..=len).any(|k| add(from, k, n) == pos % n));
        }
    }
}
