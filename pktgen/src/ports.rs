//! Drivers: what carries packets.

#[cfg(target_os = "linux")]
pub mod any;
pub mod csb;
#[cfg(target_os = "linux")]
pub mod dpdk;
pub mod fragment;
#[cfg(target_os = "linux")]
mod interface;
pub mod kernel;
pub mod lease;
pub mod looped;
#[cfg(any(test, feature = "testing"))]
pub mod mem;
#[cfg(target_os = "linux")]
pub mod packet;
#[cfg(all(test, target_os = "linux"))]
mod veth;
#[cfg(target_os = "linux")]
pub mod xdp;
