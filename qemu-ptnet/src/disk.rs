//! Disks of guests, and which format a file of one is in: told from the file, so that QEMU need not guess. A guess can
//! be the guest's: whoever writes the first sector of a raw disk can make it look like something else.

use crate::spec::FileArg;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A virtio disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// What is on it.
    pub file: FileArg,
    /// How it is on it.
    pub format: DiskFormat,
    /// What the guest may do with it.
    pub access: DiskAccess,
}

/// The format of a disk image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFormat {
    /// Sector after sector.
    Raw,
    /// QEMU's own.
    Qcow2,
}

impl DiskFormat {
    /// As QEMU calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// What a guest may do with a disk. Its file is only read, either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskAccess {
    /// Read it.
    ReadOnly,
    /// Boot from it, and write to it: into a nameless file that QEMU makes in `/var/tmp`, or in the folder that `TMPDIR`
    /// names, and that goes with it.
    Scratch,
}

/// Why a file is no disk that a guest can boot from.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It cannot be read.
    #[error("cannot read the disk image {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is a folder, a device or the like.
    #[error("{} is not a file, so not a disk image", path.display())]
    NotAFile {
        /// What is there.
        path: PathBuf,
    },
    /// It is in another format.
    #[error(
        "{} is {what}; qcow2 and raw images are taken: qemu-img convert -O qcow2 makes one of it", path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is, with its article.
        what: &'static str,
    },
    /// It is nothing that is known.
    #[error(
        "{} is neither a qcow2 image nor a raw disk that can be booted (one ends its first sector with 55 aa)",
        path.display()
    )]
    Unknown {
        /// The file.
        path: PathBuf,
    },
}

/// The format of the disk image at `path`.
pub fn recognise(path: &Path) -> Result<DiskFormat, DiskError> {
    let failed = |source| DiskError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(DiskError::NotAFile { path: path.to_owned() });
    }
    let mut head = Vec::new();
    file.take(512).read_to_end(&mut head).map_err(failed)?;
    format_of(&head).map_err(|what| match what {
        Some(what) => DiskError::Foreign { path: path.to_owned(), what },
        None => DiskError::Unknown { path: path.to_owned() },
    })
}

/// From the first sector; what it is otherwise, where that is known.
fn format_of(head: &[u8]) -> Result<DiskFormat, Option<&'static str>> {
    // docs/interop/qcow2.txt of QEMU: a magic number and a version, both big-endian.
    if head.starts_with(b"QFI\xfb") {
        return match head.get(4..8) {
            Some([0, 0, 0, 2 | 3]) => Ok(DiskFormat::Qcow2),
            _ => Err(Some("a qcow image of a version that is not qcow2")),
        };
    }
    let foreign: [(&[u8], &str); 6] = [
        (b"KDMV", "a VMDK image"),
        (b"# Disk DescriptorFile", "a VMDK description"),
        (b"vhdxfile", "a VHDX image"),
        (b"conectix", "a VHD image"),
        (b"<<< ", "a VDI image"),
        (b"\x1f\x8b", "compressed with gzip"),
    ];
    if let Some((_, what)) = foreign.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(Some(what));
    }
    if head.starts_with(b"\xfd7zXZ\0") {
        return Err(Some("compressed with xz"));
    }
    if head.get(510..512) == Some(&[0x55, 0xaa]) { Ok(DiskFormat::Raw) } else { Err(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector(start: &[u8], bootable: bool) -> Vec<u8> {
        let mut sector = vec![0; 512];
        sector[..start.len()].copy_from_slice(start);
        if bootable {
            sector[510..].copy_from_slice(&[0x55, 0xaa]);
        }
        sector
    }

    #[test]
    fn formats_are_told_from_the_first_sector() {
        assert_eq!(format_of(&sector(b"QFI\xfb\0\0\0\x03", false)), Ok(DiskFormat::Qcow2));
        assert_eq!(format_of(&sector(b"\xeb\x63\x90", true)), Ok(DiskFormat::Raw));
        for (start, what) in [
            (&b"QFI\xfb\0\0\0\x01"[..], "qcow image"),
            (b"QFI\xfb", "qcow image"),
            (b"KDMV\x01", "VMDK"),
            (b"vhdxfile", "VHDX"),
            (b"<<< Oracle VM", "VDI"),
            (b"\xfd7zXZ\0", "xz"),
        ] {
            let said = format_of(&sector(start, true)).unwrap_err().expect(what);
            assert!(said.contains(what), "{said}");
        }
        for unknown in [&b""[..], b"#!/bin/sh\n", &sector(b"", false)] {
            assert_eq!(format_of(unknown), Err(None));
        }
    }

    #[test]
    fn what_is_no_file_is_no_disk() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(recognise(folder.path()), Err(DiskError::NotAFile { .. })));
        let error = recognise(&folder.path().join("none")).unwrap_err();
        assert!(matches!(error, DiskError::Read { .. }), "{error}");
        let path = folder.path().join("a,b.img");
        std::fs::write(&path, sector(b"", true)).unwrap();
        assert_eq!(recognise(&path).unwrap(), DiskFormat::Raw);
    }
}
