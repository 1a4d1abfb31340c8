//! What guests need: a QEMU, something that runs their instructions, a kernel.

use std::path::{Path, PathBuf};

use qemu_ptnet::probe::KVM_TIMEOUT;
use qemu_ptnet::{Kernel, KvmVerdict, ModuleTree, Qemu, kvm_usable};

use super::{Check, Status, check, good};
use crate::exit::Fail;
use crate::guests::MODULES;

/// A QEMU that starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QemuFound {
    /// Where it is.
    pub path: PathBuf,
    /// Version, as it gives it.
    pub version: String,
    /// Whether it has the ptnet device.
    pub ptnet: bool,
    /// Whether it has a netmap back end.
    pub netmap: bool,
}

/// A kernel that guests can boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelFound {
    /// Where its image is.
    pub path: PathBuf,
    /// Its release, as in `6.1.0-18-cloud-amd64`.
    pub release: String,
}

/// What guests need, or why it is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFacts {
    /// QEMU.
    pub qemu: Result<QemuFound, String>,
    /// Whether a guest really runs under KVM.
    pub kvm: Result<(), String>,
    /// The guests' kernel.
    pub kernel: Result<KernelFound, String>,
}

impl GuestFacts {
    /// Looks for a QEMU and a kernel with the modules guests need, and starts a guest under KVM.
    pub fn gather(qemu: Option<&Path>, kernel: Option<&Path>) -> GuestFacts {
        let qemu = Qemu::find(qemu).map_err(sentence);
        let kvm = match &qemu {
            Err(_) => Err("not tried without QEMU".into()),
            Ok(qemu) => match kvm_usable(&qemu.path, KVM_TIMEOUT) {
                Ok(KvmVerdict::Usable) => Ok(()),
                Ok(KvmVerdict::Unusable(reason)) => Err(reason),
                Err(error) => Err(sentence(error)),
            },
        };
        let qemu = qemu.map(|qemu| QemuFound {
            version: qemu.version.to_string(),
            ptnet: qemu.has_device("ptnet-pci"),
            netmap: qemu.has_netdev("netmap"),
            path: qemu.path,
        });
        let kernel = Kernel::find(kernel).map_err(sentence).and_then(|kernel| {
            let modules = ModuleTree::open(&kernel).map_err(sentence)?;
            match MODULES.iter().find(|name| !modules.has(name)) {
                None => Ok(KernelFound { path: kernel.image, release: kernel.release }),
                Some(name) => Err(format!("{} has no {name}", kernel.image.display())),
            }
        });
        GuestFacts { qemu, kvm, kernel }
    }

    pub(super) fn check_qemu(&self) -> Check {
        match &self.qemu {
            Ok(qemu) => good("QEMU", format!("{}, {}", qemu.version, qemu.path.display())),
            Err(problem) => check(
                "QEMU",
                Status::Missing,
                problem,
                Some("install the package qemu-system-x86, or name a QEMU with --qemu"),
            ),
        }
    }

    pub(super) fn check_ptnet(&self) -> Check {
        match &self.qemu {
            Ok(qemu) if qemu.ptnet => good("ptnet in QEMU", "the device ptnet-pci is there"),
            _ => check(
                "ptnet in QEMU",
                Status::Missing,
                "this QEMU has no ptnet-pci",
                Some("only the kernel's VALE with passthrough needs it: build QEMU's netmap fork"),
            ),
        }
    }

    pub(super) fn check_kvm(&self) -> Check {
        match &self.kvm {
            Ok(()) => good("KVM", "a guest runs under it"),
            Err(problem) => check(
                "KVM",
                Status::Warn,
                problem,
                Some("guests run under TCG: good for comparing, not for quoting"),
            ),
        }
    }

    pub(super) fn check_kernel(&self) -> Check {
        match &self.kernel {
            Ok(kernel) => good("guest kernel", format!("{}, {}", kernel.release, kernel.path.display())),
            Err(problem) => check(
                "guest kernel",
                Status::Missing,
                problem,
                Some("run `make setup` in the sources, or name one with --kernel"),
            ),
        }
    }

    /// The same with netmap ports passed through to them, which KVM alone can.
    pub(super) fn usable_by_ptnet(&self) -> Result<String, String> {
        let usable = self.usable()?;
        match &self.qemu {
            Ok(QemuFound { ptnet: true, netmap: true, .. }) if self.kvm.is_ok() => Ok(usable),
            Ok(QemuFound { ptnet: true, netmap: true, .. }) => Err("KVM missing".into()),
            _ => Err("a QEMU with ptnet missing".into()),
        }
    }

    /// The same with netmap behind their virtio-net.
    pub(super) fn usable_by_netmap(&self) -> Result<String, String> {
        let usable = self.usable()?;
        match &self.qemu {
            Ok(QemuFound { netmap: true, .. }) => Ok(usable),
            _ => Err("a QEMU with netmap missing".into()),
        }
    }

    /// How guests would run here, or why they cannot.
    pub(super) fn usable(&self) -> Result<String, String> {
        let missing: Vec<&str> =
            [self.qemu.as_ref().err().map(|_| "QEMU"), self.kernel.as_ref().err().map(|_| "a guest kernel")]
                .into_iter()
                .flatten()
                .collect();
        match (missing.is_empty(), &self.kvm) {
            (false, _) => Err(format!("{} missing", missing.join(" and "))),
            (true, Ok(())) => Ok("under KVM".into()),
            (true, Err(_)) => Ok("under TCG: to compare, not to quote".into()),
        }
    }
}

/// An error and its causes.
fn sentence(error: impl std::error::Error + Send + Sync + 'static) -> String {
    Fail::from(error).to_string()
}
