//! What there is on this host, tried out where looking is not enough.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, geteuid, getrlimit};

use super::GuestFacts;
use crate::machine;
use crate::result::Host;
use crate::rundir::RunDir;

/// CAP_NET_ADMIN in capability(7).
const CAP_NET_ADMIN: u32 = 12;

/// Facts about a host.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What the kernel tells.
    pub host: Host,
    /// Whether this process is root's.
    pub root: bool,
    /// Whether it may set up networks.
    pub net_admin: bool,
    /// How much memory it may lock; `None` for any amount.
    pub lock_limit_bytes: Option<u64>,
    /// Whether `/dev/netmap` is there.
    pub dev_netmap: bool,
    /// DPDK's testpmd.
    pub testpmd: Option<PathBuf>,
    /// An Open vSwitch with DPDK.
    pub ovs_dpdk: Option<PathBuf>,
    /// Where run-time files go, or why they cannot.
    pub runtime_dir: Result<PathBuf, String>,
    /// What guests need.
    pub guests: GuestFacts,
}

impl Facts {
    /// Finds out about this host. Takes a few seconds where a guest is started to see whether KVM works.
    pub fn gather(qemu: Option<&Path>, kernel: Option<&Path>) -> Facts {
        Facts {
            host: machine::host(),
            root: geteuid().is_root(),
            net_admin: machine::has_capability(CAP_NET_ADMIN),
            lock_limit_bytes: getrlimit(Resource::Memlock).current,
            dev_netmap: Path::new("/dev/netmap").exists(),
            testpmd: find("dpdk-testpmd").or_else(|| find("testpmd")),
            // Debian's package has the program with DPDK under a name of its own.
            ovs_dpdk: Some(PathBuf::from("/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"))
                .filter(|path| is_program(path)),
            runtime_dir: try_runtime_dir(),
            guests: GuestFacts::gather(qemu, kernel),
        }
    }
}

/// Makes a run directory and takes it away again.
fn try_runtime_dir() -> Result<PathBuf, String> {
    let run = RunDir::create().map_err(|error| crate::exit::Fail::from(error).to_string())?;
    Ok(run.path().parent().unwrap_or(run.path()).to_owned())
}

/// A program in PATH.
fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_and_other_files_are_not_programs() {
        assert!(find("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(find("no-such-program-here"), None);
        assert!(!is_program(Path::new("/etc/passwd")) && !is_program(Path::new("/etc")));
    }
}
