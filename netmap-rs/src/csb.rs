//! CSB mode: application and kernel synchronise a ring through two 64-byte entries of shared memory, one that
//! the application writes (`nm_csb_atok`) and one that the kernel writes (`nm_csb_ktoa`).
//!
//! In this mode the cursors in the ring header mean nothing, so these rings are types of their own. The
//! application's half is [`app`]; [`kern`] is the other half, for a switch in user space. Both rest on the one
//! `protocol`.

pub mod app;
pub mod kern;
pub(crate) mod protocol;

pub use app::{CsbPort, RxRing, RxSlot, TxRing, TxSlot};

use crate::layout::RawCsb;
use crate::sys::{nm_csb_atok, nm_csb_ktoa};
use protocol::Words;
use std::mem::offset_of;
use std::sync::atomic::AtomicU32;

/// The other side of a ring wrote a cursor that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{word} is {value}, outside [{from}, {to}] of a ring of {num_slots} slots")]
pub struct BadCursor {
    /// Which word: `head`, `hwtail`, …
    pub word: &'static str,
    /// What it held.
    pub value: u32,
    /// Lowest cursor allowed, going forward.
    pub from: u32,
    /// Highest cursor allowed, going forward.
    pub to: u32,
    /// Slots in the ring.
    pub num_slots: u32,
}

impl RawCsb {
    #[inline(always)]
    fn atok_word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: the entry lies inside its Memory (checked when it was found), which whoever holds the RawCsb
        // keeps alive; the word is only ever reached as an atomic (rule 2).
        unsafe { AtomicU32::from_ptr(self.atok.as_ptr().byte_add(offset).cast()) }
    }

    #[inline(always)]
    fn ktoa_word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: as for atok_word.
        unsafe { AtomicU32::from_ptr(self.ktoa.as_ptr().byte_add(offset).cast()) }
    }

    #[inline(always)]
    fn atok_cursors(&self) -> Words<'_, AtomicU32> {
        Words {
            bound: self.atok_word(offset_of!(nm_csb_atok, cur)),
            give: self.atok_word(offset_of!(nm_csb_atok, head)),
        }
    }

    #[inline(always)]
    fn ktoa_cursors(&self) -> Words<'_, AtomicU32> {
        Words {
            bound: self.ktoa_word(offset_of!(nm_csb_ktoa, hwcur)),
            give: self.ktoa_word(offset_of!(nm_csb_ktoa, hwtail)),
        }
    }

    #[inline(always)]
    fn appl_need_kick(&self) -> &AtomicU32 {
        self.atok_word(offset_of!(nm_csb_atok, appl_need_kick))
    }

    #[inline(always)]
    fn kern_need_kick(&self) -> &AtomicU32 {
        self.ktoa_word(offset_of!(nm_csb_ktoa, kern_need_kick))
    }
}
