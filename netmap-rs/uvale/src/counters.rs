//! What each port of a switch has counted.
//!
//! The forwarding thread is the only writer and stores once a batch; anyone may read at any time. It counts
//! before it shows: who sees a slot of its own taken finds that packet counted here, at its sender and at every
//! receiver, and who receives a frame finds it counted at its own port.
//!
//! Of all ports together: the sum of [`copies`](Snapshot::copies) is the sum of `rx_frames` and
//! [`drops_as_receiver`](Snapshot::drops_as_receiver).

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A port's counters as the forwarding thread publishes them.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Counters {
            $($(#[doc = $doc])+ pub(crate) $name: AtomicU64,)+
        }

        /// A port's counters at one moment.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Snapshot {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Counters {
            /// Reads every counter.
            #[must_use]
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.load(Ordering::Relaxed),)+ }
            }

            /// Publishes every counter.
            #[inline]
            pub(crate) fn publish(&self, now: &Snapshot) {
                $(self.$name.store(now.$name, Ordering::Relaxed);)+
            }
        }

        impl Snapshot {
            /// Every counter with its name, in order.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)+].into_iter()
            }

            /// Both together.
            #[must_use]
            pub fn plus(&self, other: &Snapshot) -> Snapshot {
                Snapshot { $($name: self.$name.wrapping_add(other.$name),)+ }
            }

            /// What was counted since `earlier`.
            #[must_use]
            pub fn since(&self, earlier: &Snapshot) -> Snapshot {
                Snapshot { $($name: self.$name.wrapping_sub(earlier.$name),)+ }
            }
        }
    };
}

counters! {
    /// Packets taken from the port, dropped ones included.
    tx_frames,
    /// Their bytes, without FCS.
    tx_bytes,
    /// Packets delivered to the port.
    rx_frames,
    /// Their bytes, without FCS.
    rx_bytes,
    /// Packets from the port that went to every other port: broadcast, multicast, unknown destination.
    flooded,
    /// Copies those called for, delivered or dropped at the receiver.
    flood_copies,
    /// From the port: shorter than an Ethernet header.
    drop_short,
    /// From the port: a slot with an impossible buffer or length.
    drop_bad_slot,
    /// From the port: an indirect buffer (`NS_INDIRECT`), which a switch outside the kernel cannot follow.
    drop_indirect,
    /// From the port: a chain of more than 64 fragments, or one that can never end.
    drop_chain,
    /// From the port: the destination is the port itself.
    drop_to_self,
    /// From the port: there is no such explicit destination, or no other port to flood to.
    drop_no_port,
    /// To the port: its receive ring was full.
    drop_rx_full,
    /// To the port: a fragment larger than its buffers.
    drop_rx_too_long,
    /// To the port: a receive slot without a proper buffer, or a receive ring with a bad cursor.
    drop_rx_bad_slot,
    /// Times a ring of the port was put right after rubbish in its cursors or slots.
    resets,
    /// Wake-ups sent to the port.
    wakeups,
}

impl Snapshot {
    /// Packets from the port that were dropped before they had a receiver.
    #[must_use]
    pub fn drops_as_sender(&self) -> u64 {
        self.drop_short
            + self.drop_bad_slot
            + self.drop_indirect
            + self.drop_chain
            + self.drop_to_self
            + self.drop_no_port
    }

    /// Packets to the port that were dropped.
    #[must_use]
    pub fn drops_as_receiver(&self) -> u64 {
        self.drop_rx_full + self.drop_rx_too_long + self.drop_rx_bad_slot
    }

    /// Copies of packets from the port that some port received or dropped.
    #[must_use]
    pub fn copies(&self) -> u64 {
        self.tx_frames - self.drops_as_sender() - self.flooded + self.flood_copies
    }
}
