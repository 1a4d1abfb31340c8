//! The embedded VALE: the kernel's learning switch ([VALE], `sys/dev/netmap/netmap_vale.c`) in user space, on
//! ports that are netmap's to the last offset and synchronise through a CSB.
//!
//! One thread forwards for all ports of a [`Switch`], which may be several switches in one ([`Segment`]). A host port lies in a memfd, in this process or handed to
//! another over a Unix socket ([`daemon`]); a guest port lies in the guest's own RAM.
//!
//! - [`forward`], [`port`]: the switch itself, without threads or descriptors.
//! - [`table`]: the table of learned addresses, one for each segment.
//! - [`counters`], [`faults`]: what ports did, in numbers and in words.
//! - [`switch`]: the thread that runs it, and the handle by which others add and remove ports.
//! - [`daemon`], [`wire`]: the switch as a service on a Unix socket.
//!
//! **Invariants.** Nothing read from a port's memory is believed: a port can spoil its own frames and nothing
//! else. A sender is never blocked: a receiver without room loses the frame, counted. Nothing is allocated or
//! locked while frames move, but for the first report of each kind of fault of a port. What is handed to another
//! process cannot make the switch wait.
//!
//! Deliberately absent: VLANs, spanning tree, ageing of addresses, ports on physical interfaces. The kernel's
//! VALE has none of the first three either.
//!
//! [VALE]: https://doi.org/10.1145/2413176.2413185

pub mod counters;
pub mod daemon;
pub mod faults;
pub mod forward;
pub mod port;
pub mod switch;
pub mod table;
pub mod wire;

pub use counters::{Counters, Snapshot};
pub use switch::{HostPort, IdlePolicy, Place, PortId, Segment, Switch, SwitchConfig, SwitchError};
