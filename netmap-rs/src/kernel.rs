//! Ports of the kernel's netmap, on `/dev/netmap`: every request of the API, rings that are synchronised by system
//! calls, and the way from there to CSB mode.
//!
//! It mirrors libnetmap's `nmport.c` and what programs do with `net/netmap_user.h`; the old `NIOCREGIF` interface
//! is left alone. Deliberately absent: what is in a packet, waiting loops, and any change to the machine.
//!
//! ```no_run
//! use netmap_rs::kernel::KernelPort;
//! use netmap_rs::portspec::PortSpec;
//! use std::time::Duration;
//!
//! let spec: PortSpec = "vale0:1".parse()?;
//! let mut port = KernelPort::open(&spec)?;
//! port.tx()[0].fill(1, |slot| {
//!     slot.buf[..60].fill(0xff);
//!     60
//! });
//! port.txsync()?;
//! if port.wait(false, true, Duration::from_secs(1))?.rx {
//!     port.rx()[0].drain(u32::MAX, |slot| println!("{} bytes", slot.data.len()));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Safety model
//!
//! The [crate's rules](crate#safety-model) hold, with these for rings that are synchronised by system calls:
//!
//! 7. **The header's `head` is the border.** The kernel reads it in a sync, and whenever anybody polls the
//!    descriptor, and leaves slots from there up to `tail` alone. A ring keeps its own `head` in private memory,
//!    never behind the header's, and stores it there around a sync only. So even a poll on another thread cannot
//!    touch a slot that is lent. What comes back is checked: `tail` only goes forward, and a `head` that is not
//!    what was written means that the kernel reset the ring, which is an error.
//! 8. **A buffer has one holder**: a slot, a [`Buffer`], or the kernel. Zero copy exchanges two holders' buffers,
//!    both of them this program's at that moment, and within one memory region only.
//! 9. **What the kernel was told the address of lives as long as the descriptor**: CSB entries, frames of indirect
//!    slots. External memory the kernel pins for itself.
//! 10. **One user a ring**, which is rule 6 for descriptors. Netmap lets any number of descriptors share rings
//!     unless one of them asked for exclusive use (`/x`). Within this process a ring that is mapped is not mapped a
//!     second time; who is not alone on a machine asks for exclusive use.

pub mod advice;
mod block;
mod buffer;
mod control;
mod csb;
mod error;
mod extmem;
pub mod fake;
mod forward;
mod ioctl;
mod map;
mod mapping;
mod params;
mod port;
mod register;
mod request;
mod ring;
mod rx;
mod shared;
mod tx;
mod vale;

pub use advice::{Advice, Raise};
pub use buffer::{Buffer, IndirectBuffers, IndirectFrame};
pub use control::{Control, Registration};
pub use csb::{CsbArrays, Kloop, KloopOptions};
pub use error::{KernelError, Operation, RingName};
pub use extmem::{ExtMem, ExtMemError, HUGE_PAGE};
pub use forward::{CannotForward, Passing, forward};
pub use params::{LoadedModule, MODULE, ModuleParameters, PARAMETERS, loaded_module, module_parameters};
pub use port::{KernelPort, Ready};
pub use register::{Offsets, Register, Registered};
pub use request::{Body, MAX_EVENT_RINGS, Opt, Request, RingEvents};
pub use ring::Cursors;
pub use rx::{Counted, RxRing, Verdict};
pub use tx::TxRing;
pub use vale::{NewPort, Polling, ValePort, ValePorts};
