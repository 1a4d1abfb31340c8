//! Guests that boot a disk of their own, such as a distribution's cloud image, which is never written to.
//!
//! Such a guest has two disks. What it writes to the first goes to a nameless file of QEMU's, gone with it. The second
//! lies in memory and is for reading: on it are the agent (this very program, with the loader and the libraries that
//! it was built with, since the guest's own may be older), a script that starts it, and what cloud-init has to know to
//! run that script. An image without cloud-init can run the script by itself ([`start`]), or have it run over ssh
//! (`ssh`): the disk then has another label, and cloud-init in the image does what it does without us.
//!
//! Deliberately absent: what is asked of the agent, which is the same as in any guest.

use crate::exit::{Exit, Fail, FailContext};
use qemu_ptnet::{Device, Disk, DiskAccess, DiskFormat, FileArg, Launch, MacAddr, SeedDisk, elf, seed};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// The label of the second disk where cloud-init is not to see it.
pub(super) const OWN_LABEL: &str = "VALE-BENCH";

/// What starts the agent in such a guest, as root.
#[must_use]
pub fn start(label: &str) -> String {
    format!(
        "mkdir -p /run/vale-bench && mount -t vfat -o ro LABEL={label} /run/vale-bench && sh \
         /run/vale-bench/start.sh"
    )
}

/// Run by what [`start`] says.
const SCRIPT: &str = include_str!("start.sh");

/// For cloud-init, before the network: a data source that says so, and a network without interfaces.
const META_DATA: &str = "instance-id: vale-bench\nlocal-hostname: vale-bench\ndsmode: local\n";
const NETWORK: &str = "version: 2\nethernets: {}\n";

/// Who starts the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// cloud-init, or whatever in the image does what it would do.
    CloudInit,
    /// We do.
    Ssh,
}

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
pub(super) fn seed(program: &Path, macs: &[MacAddr], way: Way) -> Result<SeedDisk, Fail> {
    let cannot = || "cannot make the disk with the guests' agent";
    let files = files(program, macs, way).context_with(cannot)?;
    let label = if way == Way::Ssh { OWN_LABEL } else { seed::CLOUD_INIT_LABEL };
    SeedDisk::new(label, &files).context_with(cannot)
}

fn files(program: &Path, macs: &[MacAddr], way: Way) -> Result<Vec<(String, Vec<u8>)>, Fail> {
    let read = |path: &Path| -> Result<Vec<u8>, Fail> {
        let bytes = fs::read(path).context_with(|| format!("cannot read {}", path.display()))?;
        Ok(elf::loaded_part(bytes))
    };
    let user_data = format!(
        "#cloud-config\n\
         # What else cloud-init does to a machine takes time, and none of it is measured.\n\
         cloud_init_modules: [bootcmd]\ncloud_config_modules: []\ncloud_final_modules: []\n\
         bootcmd:\n  - [sh, -c, \"{}\"]\n",
        start(seed::CLOUD_INIT_LABEL)
    );
    let macs: String = macs.iter().map(|mac| format!("{mac}\n")).collect();
    let mut texts = vec![("start.sh", SCRIPT.to_owned()), ("macs", macs)];
    if way == Way::CloudInit {
        let of_cloud_init =
            [("meta-data", META_DATA), ("network-config", NETWORK), ("user-data", &user_data)];
        texts.extend(of_cloud_init.map(|(name, text)| (name, text.to_owned())));
    }
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
        let macs = [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])];
        let files = files(&program, &macs, Way::CloudInit).unwrap();
        let text = |name: &str| {
            let file = files.iter().find(|(known, _)| known == name);
            String::from_utf8(file.unwrap_or_else(|| panic!("{name}")).1.clone()).unwrap()
        };
        assert!(text("user-data").starts_with("#cloud-config\n"));
        let start = start("CIDATA");
        assert!(text("user-data").contains(&format!("  - [sh, -c, \"{start}\"]\n")) && !start.contains('"'));
        assert_eq!(text("macs"), "02:00:00:00:00:01\n02:00:00:00:00:02\n");
        for name in ["agent", "loader", "lib/libc.so.6"] {
            let (_, bytes) = files.iter().find(|(known, _)| known == name).expect(name);
            assert!(bytes.starts_with(b"\x7fELF"), "{name}");
        }
        seed(&program, &[], Way::CloudInit).unwrap();
    }

    #[test]
    fn what_cloud_init_looks_for_is_not_there_when_the_agent_comes_over_ssh() {
        let program = std::env::current_exe().unwrap();
        let files = files(&program, &[], Way::Ssh).unwrap();
        for (name, _) in &files {
            assert!(!name.contains("-data") && name != "network-config", "{name}");
        }
        assert!(
            ["start.sh", "agent", "loader"].iter().all(|name| files.iter().any(|(file, _)| file == name))
        );
        seed(&program, &[], Way::Ssh).unwrap();
    }
}
