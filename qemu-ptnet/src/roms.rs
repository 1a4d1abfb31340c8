//! The firmware files that a QEMU loads, so that they can be taken along with its binary.

use crate::probe::{ProbeError, Qemu, ask};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// What the boards and devices of this crate load: BIOS, boot of `-kernel`, and the boot ROMs of the interfaces.
const FILES: [&str; 10] = [
    "bios-256k.bin",
    "bios.bin",
    "kvmvapic.bin",
    "linuxboot.bin",
    "linuxboot_dma.bin",
    "multiboot.bin",
    "pvh.bin",
    "qboot.rom",
    "efi-virtio.rom",
    "efi-e1000.rom",
];

/// The firmware files that `qemu` has, at the paths at which it looks for them.
pub fn roms(qemu: &Qemu) -> Result<BTreeSet<PathBuf>, ProbeError> {
    let folders = ask(&qemu.path, &["-L", "help"])?;
    let folders: Vec<PathBuf> = folders.lines().map(|line| without_dots(Path::new(line.trim()))).collect();
    let first = |name: &&str| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    let found: BTreeSet<PathBuf> = FILES.iter().filter_map(first).collect();
    if found.is_empty() {
        return Err(ProbeError::NoFirmware { path: qemu.path.clone(), looked: folders });
    }
    Ok(found)
}

/// `/usr/bin/../share` is `/usr/share`, wherever a link of that name leads: so QEMU asks for it.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_go() {
        assert_eq!(without_dots(Path::new("/usr/bin/../share/./qemu")), Path::new("/usr/share/qemu"));
        assert_eq!(without_dots(Path::new("/../opt")), Path::new("/opt"));
    }
}
