//! What guests need: a QEMU, something that runs their instructions, a kernel.

use std::path::{Path, PathBuf};

use super::{Check, Status, check, good};

/// A QEMU that starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QemuFound {
    /// Where it is.
    pub path: PathBuf,
    /// Version, as it gives it.
    pub version: String,
    /// Whether it has the ptnet device.
    pub ptnet: bool,
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
    /// Looks for a QEMU and a kernel, and starts a guest under KVM.
    pub fn gather(_qemu: Option<&Path>, _kernel: Option<&Path>) -> GuestFacts {
        GuestFacts {
            qemu: Err("not looked for".into()),
            kvm: Err("not tried".into()),
            kernel: Err("not looked for".into()),
        }
    }

    pub(super) fn check_qemu(&self) -> Check {
        match &self.qemu {
            Ok(qemu) => good("QEMU", format!("{}, {}", qemu.version, qemu.path.display())),
            Err(problem) => check(
                "QEMU",
                Status::Missing,
                problem,
                Some("install the package qemu-system-x86, or name one with --qemu"),
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
                Some("run make guest-kernel, or name one with --kernel"),
            ),
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
