//! Ports of the real netmap module.
//!
//! Without `/dev/netmap` every test says `SKIPPED` and why, and passes; with `VALE_BENCH_NETMAP=1` the skip fails.
//! Tests of interfaces need one that may be taken over: `VALE_BENCH_NETMAP_IF` names it (one end of a veth pair,
//! say), and without it they are skipped by themselves, which `VALE_BENCH_NETMAP_IF=none` allows under
//! `VALE_BENCH_NETMAP=1`.

mod control;
mod csb;
mod exchange;
mod interfaces;
mod memory;
mod ports;
mod world;
