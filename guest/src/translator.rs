//! Where QEMU's translator (TCG) runs the guest: having it size its TLB for the load.
//!
//! A translated load or store looks its page up in a table that QEMU keeps for each virtual processor. The table has
//! 256 entries at first and is resized only when it is flushed: doubled if most of it was in use, halved if little was
//! (QEMU 4.0 and later; `accel/tcg/cputlb.c`). An engine touches a thousand pages and more for the rings and buffers
//! of a port, and nothing in it flushes. So whether its table fits would be chance, and a table that does not fit
//! makes each frame cost several walks of the page tables. Real processors have nothing of the kind.
//!
//! Deliberately absent: when a load begins ([`crate::agent`]).

use crate::memory::{self, PAGE};
use std::io;
use std::time::Duration;

/// Flushes: enough for a table to grow from its first size to 2^16 entries (256 MiB) and some that find it unchanged.
const FLUSHES: u32 = 10;
/// Time between two of them, in which the load touches what it uses.
const BETWEEN: Duration = Duration::from_millis(10);
/// Pages whose protection changes. The kernel flushes up to 33 of them (`tlb_single_page_flush_ceiling`) one by one,
/// and from there on all at once.
const PAGES: u64 = 128;
/// What TCG calls itself.
const TCG: &str = "TCGTCGTCGTCG";

/// Flushes all of this machine's TLB [`FLUSHES`] times beside the load, which goes on. Takes a tenth of a second.
fn fit() -> io::Result<()> {
    let pages = memory::map((PAGES * PAGE) as usize, false)?;
    for _ in 0..FLUSHES {
        std::thread::sleep(BETWEEN);
        // What is taken away is flushed.
        pages.protect_for_a_moment()?;
    }
    Ok(())
}

/// Has the translator fit its TLB to the load that has just begun, in a thread of its own. Does nothing on a processor.
pub(crate) fn fit_to_load() {
    if hypervisor() == TCG {
        // Without it the guest is slower, and that is all.
        let _ = std::thread::Builder::new().name("fit-tlb".into()).spawn(fit);
    }
}

/// Who runs this machine, by the name that hypervisors give themselves in CPUID leaf 0x40000000; empty on a processor
/// that is nobody's guest.
pub(crate) fn hypervisor() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: every processor of this architecture has the instruction. Newer compilers know that.
        #[allow(unused_unsafe)]
        let cpuid = |leaf| unsafe { std::arch::x86_64::__cpuid(leaf) };
        // Bit 31 of ECX says that there is one.
        if cpuid(1).ecx >> 31 == 1 {
            let leaf = cpuid(0x4000_0000);
            let name: Vec<u8> =
                [leaf.ebx, leaf.ecx, leaf.edx].into_iter().flat_map(u32::to_le_bytes).collect();
            return String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned();
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_lets_protections_change_as_often_as_that() {
        fit().unwrap();
    }
}
