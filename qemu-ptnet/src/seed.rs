//! A small disk in memory: a FAT file system with a label and some files, which every system can read.
//!
//! It is how something gets into a guest that boots from a disk of its own: cloud-init looks at such a disk for what
//! it is to do (its NoCloud source). Like an initramfs it is a sealed memory file that guests inherit.

use crate::initramfs::seal;
use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io::{self, Cursor, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The label that cloud-init looks for.
pub const CLOUD_INIT_LABEL: &str = "CIDATA";

/// What a file takes beside its contents, at most: its names, and the end of its last cluster.
const BYTES_A_FILE: usize = 40 * 1024;
/// The file system's own tables, and then some.
const BYTES_BESIDE: usize = 1 << 20;
const SECTOR: usize = 512;

/// A disk of files in a sealed memory file.
#[derive(Debug)]
pub struct SeedDisk {
    fd: OwnedFd,
}

impl SeedDisk {
    /// A disk called `label` (up to 11 capital letters, digits and dashes) with `files`: names, with at most one
    /// folder before them, and contents.
    pub fn new(label: &str, files: &[(String, Vec<u8>)]) -> io::Result<SeedDisk> {
        let mut name = [b' '; 11];
        let plain = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'-';
        if label.is_empty() || label.len() > name.len() || !label.bytes().all(plain) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{label:?} is no label")));
        }
        name[..label.len()].copy_from_slice(label.as_bytes());
        let contents: usize = files.iter().map(|(_, bytes)| bytes.len() + BYTES_A_FILE).sum();
        // The tables of a file system of small clusters take less than a hundredth of it.
        let size = (contents + contents / 64 + BYTES_BESIDE).next_multiple_of(SECTOR);
        let mut disk = Cursor::new(vec![0; size]);
        fatfs::format_volume(&mut disk, FormatVolumeOptions::new().volume_label(name))?;
        let system = FileSystem::new(&mut disk, FsOptions::new())?;
        let root = system.root_dir();
        for (path, bytes) in files {
            let folder = match path.split_once('/') {
                Some((folder, _)) => root.create_dir(folder)?,
                None => root.clone(),
            };
            let name = path.rsplit('/').next().unwrap_or(path);
            folder.create_file(name)?.write_all(bytes)?;
        }
        drop(root);
        system.unmount()?;
        let fd = memfd_create("seed", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        File::from(fd.try_clone()?).write_all(disk.get_ref())?;
        seal(&fd)?;
        Ok(SeedDisk { fd })
    }
}

impl AsFd for SeedDisk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};

    #[test]
    fn a_disk_has_its_label_and_its_files() {
        let big = vec![7; 3 << 20];
        let files =
            [("user-data".to_owned(), b"#cloud-config\n".to_vec()), ("lib/libc.so.6".to_owned(), big)];
        let disk = SeedDisk::new(CLOUD_INIT_LABEL, &files).unwrap();
        let mut file = File::from(disk.as_fd().try_clone_to_owned().unwrap());
        assert!(file.write_all(b"x").is_err(), "it is sealed");
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        let system = FileSystem::new(Cursor::new(bytes), FsOptions::new()).unwrap();
        assert_eq!(system.volume_label(), CLOUD_INIT_LABEL);
        for (path, expected) in &files {
            let mut found = Vec::new();
            system.root_dir().open_file(path).unwrap().read_to_end(&mut found).unwrap();
            assert!(found == *expected, "{path}");
        }
    }

    #[test]
    fn labels_are_what_a_file_system_can_be_called() {
        for wrong in ["", "cidata", "A LABEL", "TWELVELETTER"] {
            assert!(SeedDisk::new(wrong, &[]).is_err(), "{wrong:?}");
        }
    }
}
