//! Guest RAM that others can map, and where a guest-physical address lies in it.
//!
//! QEMU lays the one file out behind the holes of the PC's address space: RAM below 4 GiB first, the rest from
//! 4 GiB up. The split is the board's (QEMU's `pc_q35_init` and `pc_init1`); with other `max-ram-below-4g`
//! settings it would differ, so the descriptions made here never set it.

use crate::spec::Machine;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create, open};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A contiguous piece of guest RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RamRange {
    /// Guest-physical address of its first byte.
    pub gpa: u64,
    /// Size in bytes.
    pub size: u64,
    /// Where its first byte lies in the file behind the RAM.
    pub file_offset: u64,
}

/// The pieces of a guest's RAM, by rising address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RamLayout(Vec<RamRange>);

impl RamLayout {
    /// The layout of `mib` MiB on `machine`.
    #[must_use]
    pub fn new(machine: Machine, mib: u32) -> Self {
        let size = u64::from(mib) * MIB;
        // A guest with more than the first figure has the second below 4 GiB.
        let (limit, below) = match machine {
            Machine::Q35 => (0xb000_0000, 2 * GIB),
            Machine::Pc => (0xe000_0000, 3 * GIB),
        };
        let low = if size < limit { size } else { below };
        let mut ranges = vec![RamRange { gpa: 0, size: low, file_offset: 0 }];
        if size > low {
            ranges.push(RamRange { gpa: 4 * GIB, size: size - low, file_offset: low });
        }
        Self(ranges)
    }

    /// The pieces.
    #[must_use]
    pub fn ranges(&self) -> &[RamRange] {
        &self.0
    }

    /// Where the `len` bytes at guest-physical address `gpa` lie in the file; `None` unless all of them are RAM of
    /// one piece. The 384 KiB below 1 MiB count as RAM, which a guest sees only in part.
    #[must_use]
    pub fn translate(&self, gpa: u64, len: u64) -> Option<u64> {
        self.0.iter().find_map(|range| {
            let inside = gpa.checked_sub(range.gpa)?;
            let fits = inside.checked_add(len)? <= range.size && inside < range.size;
            fits.then_some(range.file_offset + inside)
        })
    }
}

/// A guest's RAM as a nameless file. The size of a memory file is sealed: whoever else holds the descriptor, the
/// mapping of another never turns into a bus error.
#[derive(Debug)]
pub struct SharedRam {
    fd: OwnedFd,
    mib: u32,
    node: Option<u32>,
}

impl SharedRam {
    /// `mib` MiB of zeroes.
    pub fn new(mib: u32) -> io::Result<Self> {
        Self::with(mib, MemfdFlags::empty())
    }

    /// `mib` MiB, a multiple of 2, of zeroes in 2 MiB huge pages, which the host must have reserved: QEMU's mapping
    /// of it fails otherwise.
    pub fn huge(mib: u32) -> io::Result<Self> {
        Self::with(mib, MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB)
    }

    /// `mib` MiB of zeroes in a nameless file of `folder`, where a hugetlbfs is mounted: pages of its size, a multiple
    /// of which `mib` must be.
    pub fn in_folder(mib: u32, folder: &Path) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let fd = open(folder, flags, Mode::RUSR | Mode::WUSR)?;
        ftruncate(&fd, u64::from(mib) * MIB)?;
        Ok(Self { fd, mib, node: None })
    }

    fn with(mib: u32, flags: MemfdFlags) -> io::Result<Self> {
        let fd = memfd_create("guest-ram", flags | MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&fd, u64::from(mib) * MIB)?;
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok(Self { fd, mib, node: None })
    }

    /// The same, with pages of the host's NUMA node `node` alone: QEMU binds the file to it.
    #[must_use]
    pub fn on_node(self, node: Option<u32>) -> Self {
        Self { node, ..self }
    }

    /// The NUMA node that it is bound to, if to one.
    #[must_use]
    pub fn node(&self) -> Option<u32> {
        self.node
    }

    /// Size in MiB.
    #[must_use]
    pub fn mib(&self) -> u32 {
        self.mib
    }

    /// Size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(self.mib) * MIB
    }

    /// The file, to map or to read; it stays sealed.
    pub fn file(&self) -> io::Result<File> {
        Ok(self.fd.try_clone()?.into())
    }
}

impl AsFd for SharedRam {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_split_is_the_boards() {
        let low = |machine, mib| RamLayout::new(machine, mib).ranges()[0].size / MIB;
        assert_eq!(low(Machine::Q35, 256), 256);
        assert_eq!(low(Machine::Q35, 2815), 2815);
        assert_eq!(low(Machine::Q35, 2816), 2048);
        assert_eq!(low(Machine::Pc, 3583), 3583);
        assert_eq!(low(Machine::Pc, 3584), 3072);
        let four = RamLayout::new(Machine::Q35, 4096);
        assert_eq!(four.ranges()[1], RamRange { gpa: 4 * GIB, size: 2 * GIB, file_offset: 2 * GIB });
    }

    #[test]
    fn only_whole_ram_translates() {
        let ram = RamLayout::new(Machine::Q35, 4096);
        assert_eq!(ram.translate(0, 4 * GIB), None);
        assert_eq!(ram.translate(2 * GIB - 4096, 4096), Some(2 * GIB - 4096));
        assert_eq!(ram.translate(2 * GIB - 4096, 4097), None, "runs into the hole");
        assert_eq!(ram.translate(2 * GIB, 1), None, "is the hole");
        assert_eq!(ram.translate(2 * GIB, 0), None);
        assert_eq!(ram.translate(4 * GIB, 2 * GIB), Some(2 * GIB));
        assert_eq!(ram.translate(6 * GIB, 1), None);
        assert_eq!(ram.translate(u64::MAX, 2), None);
        assert_eq!(ram.translate(4 * GIB, u64::MAX), None);
    }

    proptest! {
        #[test]
        fn what_translates_lies_in_the_file(mib in 1u32..8192, gpa in 0u64..12 * GIB, len in 0u64..4 * GIB) {
            let ram = RamLayout::new(Machine::Q35, mib);
            prop_assert_eq!(ram.ranges().iter().map(|r| r.size).sum::<u64>(), u64::from(mib) * MIB);
            if let Some(offset) = ram.translate(gpa, len) {
                prop_assert!(offset + len <= u64::from(mib) * MIB);
            }
        }
    }

    #[test]
    fn a_file_in_a_folder_has_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let ram = SharedRam::in_folder(2, folder.path()).unwrap();
        assert_eq!(ram.file().unwrap().metadata().unwrap().len(), 2 * MIB);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(SharedRam::in_folder(2, Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn the_size_is_sealed() {
        let ram = SharedRam::new(4).unwrap();
        let file = ram.file().unwrap();
        assert_eq!(file.metadata().unwrap().len(), ram.bytes());
        for size in [MIB, 8 * MIB] {
            assert_eq!(file.set_len(size).unwrap_err().raw_os_error(), Some(1), "EPERM");
        }
        let more = fcntl_add_seals(&ram, SealFlags::WRITE).unwrap_err();
        assert_eq!(more, rustix::io::Errno::PERM, "nor can anybody seal it against writing");
    }
}
