//! Packet roles over one [`port::Port`] trait: generators, receivers, ping, pong, forwarders, with pacing,
//! accounting and latency. The same code runs on the host and inside a guest.
//!
//! | module | what |
//! |---|---|
//! | [`port`] | what carries packets: the trait every driver implements |
//! | [`ports`] | drivers that live here |
//! | [`spec`] | what a role is told and what it reports, as plain data |
//! | [`frame`], [`template`] | what is in a frame, and how it gets there cheaply |
//! | [`pace`], [`random`] | when to send, and which flow |
//! | [`seq`], [`latency`], [`clock`] | what arrived; how long it took; now |
//! | [`meter`] | frames and bytes by flow |
//! | [`roles`] | the state machines |
//! | [`engine`] | one thread that drives ports with roles, and how it is controlled |
//! | [`counters`] | live counters that another process may sample |
//!
//! Deliberately absent: virtual machines, switches, trials and statistics over them. A role knows neither who
//! started it nor what is between it and its peer.
//!
//! Unsafe code is confined to drivers ([`ports`]) and to the one function that places [`counters`] in shared
//! memory.
#![deny(unsafe_code)]

pub mod clock;
pub mod counters;
pub mod engine;
pub mod error;
mod flows;
pub mod frame;
pub mod latency;
pub mod meter;
pub mod pace;
pub mod port;
pub mod ports;
pub mod queues;
pub mod random;
pub mod roles;
pub mod seq;
pub mod spec;
pub mod template;

pub use error::Error;
