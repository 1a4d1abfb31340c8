//! The manifest of a run that begins: which program, which machine, what to doubt from the start.

use std::time::SystemTime;

use crate::machine;
use crate::result::{Accelerator, Host, Manifest, Tool, Warning, rfc3339};

/// The program that runs.
pub fn tool() -> Tool {
    Tool {
        version: env!("CARGO_PKG_VERSION").into(),
        git_revision: option_env!("VALE_BENCH_GIT_REVISION").map(str::to_owned),
        git_dirty: option_env!("VALE_BENCH_GIT_DIRTY").map(|dirty| dirty == "true"),
        optimised: !cfg!(debug_assertions),
    }
}

/// Version and revision, as `--version` shows them: `0.1.0 (67e3eb8d0c, modified)`.
pub const VERSION: &str = env!("VALE_BENCH_VERSION");

/// A manifest for a run that begins now, without guests; whoever starts guests fills in theirs.
pub fn manifest() -> Manifest {
    Manifest {
        tool: tool(),
        command_line: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        started_at: rfc3339(SystemTime::now()),
        host: machine::host(),
        accelerator: Accelerator::None,
        qemu: None,
        guest_kernel: None,
        guest_image: None,
        guest_memory: None,
        guest_cpus: None,
        guest_ram_mib: None,
        vms: Vec::new(),
        pinning: Vec::new(),
    }
}

/// What is to be doubted about any measurement by this program on this machine.
pub fn warnings(tool: &Tool, host: &Host) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if !tool.optimised {
        warnings.push(Warning::DebugBuild);
    }
    if let Some(governor) = host.cpu.governor.as_ref().filter(|governor| *governor != "performance") {
        warnings.push(Warning::GovernorNotPerformance { governor: governor.clone() });
    }
    if let Some(hypervisor) = &host.hypervisor {
        warnings.push(Warning::Virtualised { hypervisor: hypervisor.clone() });
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_of_this_very_program() {
        let manifest = manifest();
        assert_eq!(manifest.tool.version, env!("CARGO_PKG_VERSION"));
        assert!(manifest.started_at.starts_with("20") && manifest.started_at.ends_with('Z'));
        assert!(!manifest.command_line.is_empty());
        assert!(VERSION.starts_with(&manifest.tool.version));
        assert_eq!(VERSION.contains(" ("), manifest.tool.git_revision.is_some());
    }

    #[test]
    fn doubts_follow_from_the_facts() {
        let mut tool = Tool { optimised: true, ..tool() };
        let mut host = Host::default();
        assert_eq!(warnings(&tool, &host), []);
        host.cpu.governor = Some("performance".into());
        assert_eq!(warnings(&tool, &host), []);
        tool.optimised = false;
        host.cpu.governor = Some("powersave".into());
        host.hypervisor = Some("QEMU".into());
        let kinds: Vec<_> = warnings(&tool, &host).iter().map(Warning::kind).collect();
        assert_eq!(kinds, ["debug_build", "governor_not_performance", "virtualised"]);
    }
}
