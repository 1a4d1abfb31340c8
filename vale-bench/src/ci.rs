//! `ci`: is this netmap module still correct, and still fast?
//!
//! A [`Check`] is a small function with a name and an objective; [`catalogue`] has them all. [`run`] starts each in
//! a process of its own ([`child`]), with a deadline, looks at what it left behind ([`leftovers`]) and at what the
//! kernel had to say meanwhile ([`kmsg`]), and puts it all into a [`document`], from which everything shown is made
//! ([`show`]).
//!
//! **Invariants.** A check talks to the real `/dev/netmap` and to nothing of the runner; the runner knows nothing of
//! what a check does. No check waits for ever by itself: the runner's deadline is for a kernel that does not answer.
//! Deliberately absent: ports of user space (uvale has its own tests), and guests (`v2v` is the program for them).

pub mod baseline;
pub mod catalogue;
pub mod check;
pub mod child;
pub mod document;
pub mod history;
pub mod kmsg;
pub mod leftovers;
pub mod run;
pub mod select;
pub mod show;

mod checks;
mod modules;
mod veth;
mod world;

pub use check::{Check, Env, OptIn, Stop};
