//! Drivers: what carries packets.

#[cfg(any(test, feature = "testing"))]
pub mod mem;
#[cfg(target_os = "linux")]
pub mod packet;
