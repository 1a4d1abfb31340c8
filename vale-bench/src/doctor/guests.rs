//! What guests need: a QEMU, something that runs their instructions, a kernel.

use std::path::{Path, PathBuf};

use qemu_ptnet::probe::KVM_TIMEOUT;
use qemu_ptnet::{Kernel, KvmVerdict, ModuleTree, Qemu, kvm_usable};

use super::{Check, Status, check, good};
use crate::dataplane::Lack;
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

impl QemuFound {
    fn of(qemu: &Qemu) -> QemuFound {
        QemuFound {
            version: qemu.version.to_string(),
            ptnet: qemu.has_device("ptnet-pci"),
            netmap: qemu.has_netdev("netmap"),
            path: qemu.path.clone(),
        }
    }
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
    /// Of a host whose guests are to run on `qemu`, under KVM or not for the reason given.
    #[must_use]
    pub fn of(qemu: &Qemu, kernel: KernelFound, kvm: Result<(), String>) -> GuestFacts {
        GuestFacts { qemu: Ok(QemuFound::of(qemu)), kvm, kernel: Ok(kernel) }
    }

    /// Of a host on which nobody looked.
    #[must_use]
    pub fn not_looked_for() -> GuestFacts {
        let not = || "nobody looked for it".to_owned();
        GuestFacts { qemu: Err(not()), kvm: Err(not()), kernel: Err(not()) }
    }

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
        let qemu = qemu.map(|qemu| QemuFound::of(&qemu));
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

    /// What guests lack here.
    #[must_use]
    pub fn lacks(&self) -> Vec<Lack> {
        let qemu = self.qemu.as_ref().err().map(|problem| Lack::new("QEMU", problem));
        let kernel = self.kernel.as_ref().err().map(|problem| Lack::new("a guest kernel", problem));
        qemu.into_iter().chain(kernel).collect()
    }

    /// What guests lack that have netmap ports passed through to them, which KVM alone can.
    #[must_use]
    pub fn ptnet_lacks(&self) -> Vec<Lack> {
        let mut lacks = self.lacks();
        if let Ok(qemu) = &self.qemu
            && !(qemu.ptnet && qemu.netmap)
        {
            let advice = "name a QEMU of the ptnet fork (3.0.95) with --qemu";
            lacks.push(Lack::new("a QEMU with ptnet", advice));
        } else if let Err(problem) = &self.kvm
            && lacks.is_empty()
        {
            let advice = format!(
                "the device hands its interrupts over inside KVM, and here {problem}; in a machine that emulates it \
                 (vale-bench in-vm --qemu …) ptnet guests run"
            );
            lacks.push(Lack::new("KVM", advice));
        }
        lacks
    }

    /// What guests lack that have netmap behind their virtio-net.
    #[must_use]
    pub fn netmap_lacks(&self) -> Vec<Lack> {
        let mut lacks = self.lacks();
        if self.qemu.as_ref().is_ok_and(|qemu| !qemu.netmap) {
            lacks.push(Lack::new("a QEMU with netmap", "name a QEMU that was built with netmap with --qemu"));
        }
        lacks
    }

    /// How guests that lack nothing would run here.
    #[must_use]
    pub fn run_under(&self) -> &'static str {
        if self.kvm.is_ok() { "under KVM" } else { "under TCG: to compare, not to quote" }
    }
}

/// An error and its causes.
fn sentence(error: impl std::error::Error + Send + Sync + 'static) -> String {
    Fail::from(error).to_string()
}
