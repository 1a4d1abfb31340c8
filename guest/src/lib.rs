//! PID 1 of a benchmark guest, its agent, and the messages it shares with the host.
//!
//! The program that measures on the host boots as `/init` in the guest: [`init::run`] mounts, loads modules and
//! serves the control channel until it is told to power off. In a guest that a distribution booted [`lodger::run`]
//! serves it beside whatever else runs there. [`client::Client`] is the host's end of that
//! channel; [`wire`] is what crosses it, compiled into both.
//!
//! Deliberately absent: how the guest was started (qemu-ptnet), what its measurements are for (vale-bench).
//!
//! **Invariants.** The host never waits for a guest without a deadline, and believes nothing it says about
//! memory without checking it. The guest touches only memory it allocated.

pub mod agent;
mod bridge;
pub mod channel;
pub mod client;
pub mod command;
pub mod counters;
pub mod dpdk;
pub mod init;
pub mod lodger;
pub mod memory;
pub mod outbox;
pub mod port;
mod translator;
pub mod wire;
