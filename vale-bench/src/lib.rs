//! vale-bench: how fast virtual machines on this host talk through a VALE switch, and through what else there is.
#![forbid(unsafe_code)]

pub mod exit;
pub mod interrupt;
pub mod progress;
pub mod report;
pub mod result;
pub mod rundir;
pub mod stats;
pub mod units;
