//! Packet roles over one [`port::Port`] trait.
pub mod port;
pub mod spec;
