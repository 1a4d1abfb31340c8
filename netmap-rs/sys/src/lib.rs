//! The netmap ABI, API version 14: every structure, constant and ioctl number that
//! programs and the netmap kernel module (or a peer that speaks its memory layout, such as
//! a switch in user space) exchange.
//!
//! The definitions are checked in, not generated, so that a build needs no header. Names are
//! upstream's, types are those of the field in which a constant is used. They mirror
//! `sys/net/netmap.h` (structures, requests, options, CSB), `sys/net/netmap_virt.h`
//! ([`ptnet`]), `sys/net/netmap_legacy.h` ([`legacy`]) and the pure part of
//! `sys/net/netmap_user.h` ([`arith`]). What holds them to the real thing:
//!
//! * `asserts.rs` states every size, alignment, offset and value once more, as compile-time
//!   assertions;
//! * `abi/api14.txt` is what a C program compiled against the public headers printed; a test
//!   checks each of its lines against [`abi::CONSTANTS`] and [`abi::STRUCTS`];
//! * with the feature `bindgen`, the build script reads an installed `net/netmap.h`
//!   (`NETMAP_INCLUDE` names its include directory) and a test compares all of it with this
//!   crate, in both directions.
//!
//! What this crate deliberately is not: it makes no system call, maps no memory, dereferences
//! nothing and holds no `unsafe`. Many of these structures live in memory that someone else
//! writes at any moment; whoever reads them there does so through raw pointers, with volatile
//! or atomic accesses. The types are for layout ([`core::mem::offset_of`]) and for requests
//! built in private memory.
//!
//! Only 64-bit Linux and FreeBSD are covered: the printed table is for LP64, where both lay
//! out every structure alike. [`ioctl`] holds the request numbers of both systems at all
//! times; those of the target are re-exported here.
#![no_std]
#![forbid(unsafe_code)]
#![allow(non_camel_case_types, non_snake_case)]

#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "netmap-sys describes the 64-bit netmap ABI; 32-bit targets lay its structures out differently"
);
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
compile_error!("netmap-sys knows the ioctl numbers of Linux and FreeBSD only");

pub mod abi;
pub mod arith;
mod asserts;
mod csb;
mod data;
pub mod ioctl;
pub mod legacy;
pub mod limits;
mod option;
pub mod ptnet;
mod request;

pub use csb::{nm_csb_atok, nm_csb_ktoa};
pub use data::*;
pub use option::*;
pub use request::*;

#[cfg(target_os = "freebsd")]
pub use ioctl::freebsd::{NIOCCTRL, NIOCRXSYNC, NIOCTXSYNC};
#[cfg(not(target_os = "freebsd"))]
pub use ioctl::linux::{NIOCCTRL, NIOCRXSYNC, NIOCTXSYNC};
