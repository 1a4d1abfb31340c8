//! netmap for Rust: ports, rings, slots, buffers, and CSB mode, where application and kernel synchronise
//! through shared memory instead of system calls.
//!
//! It mirrors what `net/netmap_user.h` and libnetmap do in C. Deliberately absent: what is in a packet, when to
//! send one, what a benchmark is.
//!
//! # Safety model
//!
//! netmap memory is shared with a party that Rust cannot see: the kernel, a switch in another thread or
//! process, or a guest. Every `unsafe` block of this crate rests on these rules and names the one it needs.
//!
//! 1. **Ownership by cursor.** Slots in `[head, tail)` of a ring, and the buffers they name, are the
//!    application's. The other side touches them only inside a sync, or in CSB mode only once a store to `head`
//!    has given them away. So a frame in `[head, tail)` may be lent as a slice, for no longer than until the
//!    next sync; closures that take it for any lifetime see to that.
//! 2. **No references to shared control memory.** `netmap_if`, `netmap_ring`, slots and CSB entries are reached
//!    through raw pointers: volatile reads and writes for what ownership protects, atomics for cursors and
//!    flags. There is no `&netmap_ring` and no `Deref` to one.
//! 3. **Read once, check, use the copy.** What the other side can write (indices, lengths, cursors, offsets) is
//!    read one time into a local, checked against geometry kept in private memory, and only the copy is used.
//!    Every address formed lies inside the [`Memory`](memory::Memory) it came from.
//! 4. **Copies of hostile bytes are volatile.** The side that plays the kernel never forms a slice over a
//!    buffer its peer may be writing: it copies with volatile loads (see [`csb::kern`]).
//! 5. **A mapping outlives its users.** Everything that holds a pointer into a [`Memory`](memory::Memory) also
//!    holds an `Arc` of it; mappings are of files that cannot shrink (sealed memfds, guest RAM), or of devices.
//! 6. **One owner a ring.** A ring is used through `&mut`, and an application opens a port once for each
//!    [`Memory`](memory::Memory). Who maps one file twice, or hands it to two processes, must see to it that
//!    only one of them opens the port.
//!
//! Ports of the kernel add rules 7 to 10, in [`kernel`].
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod csb;
pub mod cursor;
pub mod doorbell;
pub mod fake;
pub mod kernel;
pub mod layout;
pub mod memory;
pub mod portspec;

pub use netmap_sys as sys;
