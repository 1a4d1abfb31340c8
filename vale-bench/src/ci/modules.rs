//! Loading and unloading a kernel module from a file.

use std::ffi::CString;
use std::fs::File;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::system::{delete_module, finit_module};

use super::check::{Stop, fail, skip};
use super::world::errno_name;

/// The name that the kernel knows a module by: its file's, with underscores.
pub(super) fn module_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let stem = file.split('.').next().filter(|stem| !stem.is_empty())?;
    Some(stem.replace('-', "_"))
}

/// Whether it is loaded.
pub(super) fn is_loaded(name: &str) -> bool {
    Path::new("/sys/module").join(name).join("initstate").exists()
}

/// Loads a module, or says why that cannot be.
pub(super) fn load(path: &Path) -> Result<(), Stop> {
    let file = File::open(path)?;
    match finit_module(&file, c"", 0) {
        Ok(()) => Ok(()),
        Err(Errno::NOEXEC) => fail(format!(
            "{} is no module of the running kernel (the kernel's log says what differs)",
            path.display()
        )),
        Err(Errno::PERM) => skip("not permitted to load modules"),
        Err(Errno::NOENT) => fail(format!("{} needs symbols that the kernel does not have", path.display())),
        Err(e) => fail(format!("cannot load {}: {}", path.display(), errno_name(e))),
    }
}

/// Unloads a module, without waiting for its users.
pub(super) fn unload(name: &str) -> Result<(), Errno> {
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    delete_module(&name, OFlags::NONBLOCK.bits() as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_named_after_their_files() {
        let name = |path: &str| module_name(Path::new(path));
        assert_eq!(name("/lib/modules/netmap.ko").as_deref(), Some("netmap"));
        assert_eq!(name("a/netmap-next.ko.xz").as_deref(), Some("netmap_next"));
        assert_eq!(name(".ko"), None);
        assert!(!is_loaded("nmcinone"));
    }
}
