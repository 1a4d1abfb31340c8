//! The order of loads and stores by which the two halves of a CSB agree, apart from where the words lie, so
//! that loom can check the very code that runs.
//!
//! Two cursors cross each way, and neither pair can be stored at once. The rule is the one netmap's kloop
//! follows: the writer stores the cursor that bounds first (`cur`, `hwcur`), then the one that gives slots away
//! (`head`, `hwtail`); the reader loads them the other way round. What a reader sees may be old, never torn
//! into a state that was not legal.
//!
//! Wake-ups are suppressed by a flag the sleeper raises. "Publish, then look at the flag" races with "raise the
//! flag, then look for work": each side stores one word and loads another, and without a barrier between the
//! two both loads may miss both stores, and the wake-up is lost. Release and acquire do not order a store
//! before a later load; hence the sequentially consistent fence on both sides.

use std::sync::atomic::Ordering;

/// A 32-bit word both halves can reach.
pub(crate) trait Word {
    fn load(&self, order: Ordering) -> u32;
    fn store(&self, value: u32, order: Ordering);
    /// A fence in the memory model the word lives in.
    fn fence(order: Ordering);
}

impl Word for std::sync::atomic::AtomicU32 {
    #[inline(always)]
    fn load(&self, order: Ordering) -> u32 {
        self.load(order)
    }
    #[inline(always)]
    fn store(&self, value: u32, order: Ordering) {
        self.store(value, order);
    }
    #[inline(always)]
    fn fence(order: Ordering) {
        std::sync::atomic::fence(order);
    }
}

/// One direction's words: cursors stored by `A`'s writer, the flag by which the other half asks to be woken.
pub(crate) struct Words<'a, W> {
    /// Stored first, loaded last: `cur`, `hwcur`.
    pub(crate) bound: &'a W,
    /// Stored last, loaded first: `head`, `hwtail`.
    pub(crate) give: &'a W,
}

/// Publishes a pair of cursors; whether the other half wants waking, by its flag `wanted`.
#[inline(always)]
pub(crate) fn publish<W: Word>(words: &Words<'_, W>, bound: u32, give: u32, wanted: &W) -> bool {
    words.bound.store(bound, Ordering::Release);
    words.give.store(give, Ordering::Release);
    // Orders the stores above before the load below; pairs with the fence in `ask_to_be_woken`.
    W::fence(Ordering::SeqCst);
    wanted.load(Ordering::Relaxed) != 0
}

/// Reads a pair of cursors, `(bound, give)`; slots given away by `give` may be read after this.
#[inline(always)]
pub(crate) fn read<W: Word>(words: &Words<'_, W>) -> (u32, u32) {
    let give = words.give.load(Ordering::Acquire);
    let bound = words.bound.load(Ordering::Acquire);
    (bound, give)
}

/// Raises this half's flag. Only if the cursors read *after* this show no work may the caller sleep.
#[inline(always)]
pub(crate) fn ask_to_be_woken<W: Word>(flag: &W) {
    flag.store(1, Ordering::Relaxed);
    // Orders the store above before the caller's next look for work; pairs with the fence in `publish`.
    W::fence(Ordering::SeqCst);
}

/// Lowers this half's flag.
#[inline(always)]
pub(crate) fn awake<W: Word>(flag: &W) {
    flag.store(0, Ordering::Relaxed);
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;
    use loom::sync::atomic::AtomicU32;
    use loom::sync::{Arc, Notify};

    impl Word for AtomicU32 {
        fn load(&self, order: Ordering) -> u32 {
            self.load(order)
        }
        fn store(&self, value: u32, order: Ordering) {
            self.store(value, order);
        }
        fn fence(order: Ordering) {
            loom::sync::atomic::fence(order);
        }
    }

    #[derive(Default)]
    struct Shared {
        cur: AtomicU32,
        head: AtomicU32,
        need_kick: AtomicU32,
        payload: AtomicU32,
    }

    /// A sleeper that raises its flag, looks once more and sleeps is always woken by a publisher that looks at
    /// the flag after publishing. loom reports a lost wake-up as a deadlock.
    #[test]
    fn no_wake_up_is_lost() {
        loom::model(|| {
            let shared = Arc::new(Shared::default());
            let kick = Arc::new(Notify::new());
            let publisher = {
                let (shared, kick) = (shared.clone(), kick.clone());
                loom::thread::spawn(move || {
                    let words = Words { bound: &shared.cur, give: &shared.head };
                    if publish(&words, 1, 1, &shared.need_kick) {
                        kick.notify();
                    }
                })
            };
            let words = Words { bound: &shared.cur, give: &shared.head };
            // A wait may end early for no reason, as sleeps do.
            while read(&words).1 == 0 {
                ask_to_be_woken(&shared.need_kick);
                if read(&words).1 == 0 {
                    kick.wait();
                }
                awake(&shared.need_kick);
            }
            assert_eq!(read(&words), (1, 1));
            publisher.join().unwrap();
        });
    }

    /// A reader sees `bound` at least as new as `give`, and what was written to slots before `give`.
    #[test]
    fn cursors_arrive_in_order_and_carry_their_slots() {
        loom::model(|| {
            let shared = Arc::new(Shared::default());
            let writer = {
                let shared = shared.clone();
                loom::thread::spawn(move || {
                    let words = Words { bound: &shared.cur, give: &shared.head };
                    for step in 1..=2 {
                        shared.payload.store(step, Ordering::Relaxed);
                        publish(&words, step, step, &shared.need_kick);
                    }
                })
            };
            let words = Words { bound: &shared.cur, give: &shared.head };
            let (bound, give) = read(&words);
            assert!(bound >= give, "give {give} overtook bound {bound}");
            assert!(shared.payload.load(Ordering::Relaxed) >= give, "a slot was given before it was written");
            writer.join().unwrap();
        });
    }
}
