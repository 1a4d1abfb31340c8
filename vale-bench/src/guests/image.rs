//! Guests that boot a disk of their own, such as a distribution's cloud image, which is never written to.
//!
//! Such a guest has two disks. What it writes to the first goes to a nameless file of QEMU's, gone with it. The second
//! lies in memory and is for reading: on it are the agent (this very program, with the loader and the libraries that
//! it was built with, since the guest's own may be older), a script that starts it, and what cloud-init has to know to
//! run that script. An image without cloud-init can run the script by itself (`START`).
//!
//! Deliberately absent: what is asked of the agent, which is the same as in any guest.

use crate::exit::{Exit, Fail, FailContext};
use qemu_ptnet::{Device, Disk, DiskAccess, DiskFormat, FileArg, Launch, MacAddr, SeedDisk, elf, seed};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// What starts the agent in such a guest.
pub const START: &str = "mkdir -p /run/vale-bench && mount -t vfat -o ro LABEL=CIDATA /run/vale-bench && sh /run/vale-bench/start.sh";

/// Run by [`START`].
const SCRIPT: &str = include_str!("start.sh");

/// For cloud-init, before the network: a data source that says so, and a network without interfaces.
const META_DATA: &str = "instance-id: vale-bench\nlocal-hostname: vale-bench\ndsmode: local\n";
const NETWORK: &str = "version: 2\nethernets: {}\n";

/// A disk image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskImage {
    /// The file.
    pub path: PathBuf,
    /// What it is.
    pub format: DiskFormat,
}

impl DiskImage {
    /// The image in the file `path`, if it is one.
    pub fn open(path: &Path) -> Result<DiskImage, Fail> {
        let format = qemu_ptnet::disk::recognise(path).or_exit(Exit::Usage)?;
        // A relative name that has a colon in it would be a protocol to QEMU.
        let whole = std::path::absolute(path).context_with(|| format!("cannot find {}", path.display()))?;
        Ok(DiskImage { path: whole, format })
    }

    /// Plugs it and the disk with the agent, and what else a whole system should find.
    pub(super) fn plug(&self, launch: &mut Launch, seed: &SeedDisk) -> io::Result<()> {
        let seed = launch.inherit(seed.as_fd().try_clone_to_owned()?);
        let disk = |file, format, access| Device::Disk(Disk { file, format, access });
        launch.spec.devices.extend([
            disk(FileArg::Path(self.path.clone()), self.format, DiskAccess::Scratch),
            disk(FileArg::Fd(seed), DiskFormat::Raw, DiskAccess::ReadOnly),
            // Without it a system may wait at its start for what makes random numbers random.
            Device::Other("virtio-rng-pci".into()),
        ]);
        Ok(())
    }
}

/// The disk with the agent, `program`, for guests whose interfaces under test have the addresses `macs`.
pub(super) fn seed(program: &Path, macs: &[MacAddr]) -> Result<SeedDisk, Fail> {
    let cannot = || "cannot make the disk with the guests' agent";
    let files = files(program, macs).context_with(cannot)?;
    SeedDisk::new(seed::CLOUD_INIT_LABEL, &files).context_with(cannot)
}

fn files(program: &Path, macs: &[MacAddr]) -> Result<Vec<(String, Vec<u8>)>, Fail> {
    let read = |path: &Path| -> Result<Vec<u8>, Fail> {
        let bytes = fs::read(path).context_with(|| format!("cannot read {}", path.display()))?;
        Ok(elf::loaded_part(bytes))
    };
    let user_data = format!(
        "#cloud-config\n\
         # What else cloud-init does to a machine takes time, and none of it is measured.\n\
         cloud_init_modules: [bootcmd]\ncloud_config_modules: []\ncloud_final_modules: []\n\
         bootcmd:\n  - [sh, -c, \"{START}\"]\n"
    );
    let macs: String = macs.iter().map(|mac| format!("{mac}\n")).collect();
    let texts = [
        ("meta-data", META_DATA.to_owned()),
        ("network-config", NETWORK.to_owned()),
        ("user-data", user_data),
        ("start.sh", SCRIPT.to_owned()),
        ("macs", macs),
    ];
    let mut files: Vec<(String, Vec<u8>)> =
        texts.into_iter().map(|(name, text)| (name.to_owned(), text.into_bytes())).collect();
    files.push(("agent".into(), read(program)?));
    let closure = elf::closure(&[program])?;
    // One folder for all: links become copies.
    let linked = closure.links.iter().map(|(link, target)| (link, target.as_path()));
    for (at, source) in closure.files.iter().map(|path| (path, path.as_path())).chain(linked) {
        let name = at.file_name().unwrap_or_default().to_string_lossy();
        // The loader is called by its place, not found.
        let place = if name.starts_with("ld-") { "loader".to_owned() } else { format!("lib/{name}") };
        if files.iter().all(|(known, _)| *known != place) {
            files.push((place, read(source)?));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_disk_has_the_agent_and_all_it_needs() {
        let program = std::env::current_exe().unwrap();
        let files = files(&program, &[MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])]).unwrap();
        let text = |name: &str| {
            let file = files.iter().find(|(known, _)| known == name);
            String::from_utf8(file.unwrap_or_else(|| panic!("{name}")).1.clone()).unwrap()
        };
        assert!(text("user-data").starts_with("#cloud-config\n"));
        assert!(text("user-data").contains(&format!("  - [sh, -c, \"{START}\"]\n")) && !START.contains('"'));
        assert_eq!(text("macs"), "02:00:00:00:00:01\n02:00:00:00:00:02\n");
        for name in ["agent", "loader", "lib/libc.so.6"] {
            let (_, bytes) = files.iter().find(|(known, _)| known == name).expect(name);
            assert!(bytes.starts_with(b"\x7fELF"), "{name}");
        }
        seed(&program, &[]).unwrap();
    }
}
