//! A QEMU guest as data, its process, and the image it boots.
//!
//! From the outside in:
//!
//! - [`probe`] finds a QEMU, says what it can do, and whether KVM really runs guests here;
//! - [`kernel`] finds a guest kernel, [`modules`] its modules in load order, [`elf`] the libraries a program
//!   loads, and [`initramfs`] packs them into an image that lives in memory; [`disk`] tells what a disk image is, and
//!   [`seed`] makes a small disk in memory for a guest that boots from one;
//! - [`spec`] describes a guest, [`argv`](mod@argv) turns the description into a command line, [`memory`] is its RAM
//!   where others shall see it;
//! - [`process`] runs it: console log ([`console`]), QMP ([`qmp`]), pinning, and an end that always comes
//!   ([`child`]).
//!
//! Deliberately absent: packets, what the guest is for, and what it is told to do: a channel is a name and a
//! descriptor here.
//!
//! **Invariants.** A description becomes a command line without looking at the machine. Every wait ends, and
//! what ended it is in the error with the command line and the log. Nothing outlives the process: guests die
//! with it, sockets are inherited descriptors without a name, images and guest RAM are sealed memory files.
//!
//! The only unsafe code is the hook between fork and exec in [`child`].
#![deny(unsafe_code)]

pub mod argv;
pub mod cache;
pub mod child;
pub mod console;
mod cpio;
pub mod disk;
pub mod elf;
mod firmware;
pub mod initramfs;
pub mod kernel;
pub mod memory;
pub mod modules;
pub mod probe;
pub mod process;
pub mod qmp;
mod roms;
pub mod seed;
pub mod spec;

pub use argv::{argv, shell_quote};
pub use disk::{Disk, DiskAccess, DiskFormat};
pub use initramfs::{Image, ImageBuilder};
pub use kernel::Kernel;
pub use memory::{RamLayout, RamRange, SharedRam};
pub use modules::{From, Module, ModuleTree};
pub use probe::{KvmVerdict, QEMU_VAR, Qemu, kvm_usable, slowness};
pub use process::{Vm, VmError};
pub use roms::roms;
pub use seed::SeedDisk;
pub use spec::{
    Accel, Backing, Boot, Chardev, Device, FileArg, InheritedFd, Launch, MacAddr, Machine, Memory, Net,
    Netdev, NicModel, QUICK_BOOT, VirtioNet, VmSpec,
};
