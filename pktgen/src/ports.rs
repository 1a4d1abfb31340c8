//! Drivers: what carries packets.

pub mod csb;
pub mod lease;
#[cfg(any(test, feature = "testing"))]
pub mod mem;
#[cfg(target_os = "linux")]
pub mod packet;
