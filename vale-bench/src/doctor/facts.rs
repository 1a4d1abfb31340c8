//! What there is on this host, tried out where looking is not enough.

use std::path::{Path, PathBuf};

use pktgen::ports::dpdk;
use rustix::process::{Resource, geteuid, getrlimit};

use super::GuestFacts;
use crate::dataplane::{ovs, testpmd};
use crate::guests::GuestHost;
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
    /// Whether `/dev/net/tun` is there, by which taps are made.
    pub dev_tun: bool,
    /// The version of the DPDK that ports of this program use, or why there are none.
    pub dpdk: Result<String, String>,
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
        Facts::with(GuestFacts::gather(qemu, kernel))
    }

    /// What a run goes by, whose guests are those of `guests`. Takes milliseconds.
    pub fn for_run(guests: Option<&GuestHost>) -> Facts {
        Facts::with(guests.map_or_else(GuestFacts::not_looked_for, GuestHost::facts))
    }

    fn with(guests: GuestFacts) -> Facts {
        Facts {
            host: machine::host(),
            root: geteuid().is_root(),
            net_admin: machine::has_capability(CAP_NET_ADMIN),
            lock_limit_bytes: getrlimit(Resource::Memlock).current,
            dev_tun: Path::new("/dev/net/tun").exists(),
            dev_netmap: Path::new("/dev/netmap").exists(),
            dpdk: dpdk::version().map_err(|error| crate::exit::Fail::from(error).to_string()),
            testpmd: testpmd::find(),
            ovs_dpdk: ovs::find(),
            runtime_dir: try_runtime_dir(),
            guests,
        }
    }
}

/// Makes a run directory and takes it away again.
fn try_runtime_dir() -> Result<PathBuf, String> {
    let run = RunDir::create().map_err(|error| crate::exit::Fail::from(error).to_string())?;
    Ok(run.path().parent().unwrap_or(run.path()).to_owned())
}
