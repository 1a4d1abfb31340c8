//! Ports passed through to guests: two real guests on a QEMU of the ptnet fork, measured by this very program.
//!
//! They are skipped where the environment names no such QEMU or no module for guests, as `in-vm --qemu` does.

use std::process::{Command, Stdio};

use crate::ci::Check;
use crate::ci::check::{Done, Stop, fail, holds, same, skip};
use crate::result::{ResultDocument, Warning};

pub(in crate::ci) const CHECKS: &[Check] = &[
    Check::new("ptnet.vale", "Frames pass between two guests on a VALE switch, in order and whole", |_| {
        let document = measure(&["v2v", "--link", "vale"])?;
        sound(&document)
    })
    .seconds(DEADLINE_S),
    Check::new("ptnet.pipe", "A pipe passed through to two guests loses nothing at full speed", |_| {
        let document = measure(&["v2v", "--link", "pipe"])?;
        sound(&document)?;
        let account = &document.trials[0].accounting;
        same("frames received", account.received, account.sent)
    })
    .seconds(DEADLINE_S),
    Check::new("ptnet.host", "Frames pass between a port of the host and a guest, both ways at once", |_| {
        sound(&measure(&["p2v", "--bidir"])?)
    })
    .seconds(DEADLINE_S),
];

/// Two boots in a machine that may itself be translated.
const DEADLINE_S: u64 = 240;
/// Fewer frames than this in a second are none to speak of.
const FRAMES: u64 = 1000;

/// Runs a benchmark on the kernel's VALE with ptnet guests, and returns its result.
fn measure(benchmark: &[&str]) -> Result<ResultDocument, Stop> {
    for (variable, what) in [
        ("VALE_BENCH_QEMU", "a QEMU with ptnet"),
        ("VALE_BENCH_GUEST_NETMAP_KO", "netmap's module for guests"),
    ] {
        if std::env::var_os(variable).is_none_or(|value| value.is_empty()) {
            return skip(format!("it needs {what}: in-vm --qemu, or {variable}"));
        }
    }
    let folder = std::env::temp_dir().join(format!("nmci-ptnet-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let outcome = measure_in(benchmark, &folder.join("r.json"));
    let removed = std::fs::remove_dir_all(&folder);
    let document = outcome?;
    removed?;
    Ok(document)
}

fn measure_in(benchmark: &[&str], out: &std::path::Path) -> Result<ResultDocument, Stop> {
    let run = Command::new("/proc/self/exe")
        .args(benchmark)
        .args(["--dataplane", "vale", "--accel", "kvm", "--duration", "2s", "--quiet", "--out"])
        .arg(out)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()?;
    match run.status.code() {
        Some(0) => Ok(ResultDocument::read(out)?),
        // No ptnet in this QEMU, no KVM: nothing about the module.
        Some(4) => skip(String::from_utf8_lossy(&run.stderr).trim().to_owned()),
        _ => fail(format!(
            "{} ended with {}: {}",
            benchmark[0],
            run.status,
            String::from_utf8_lossy(&run.stderr).trim()
        )),
    }
}

/// Frames arrived, and none that should not have.
fn sound(document: &ResultDocument) -> Done {
    for trial in &document.trials {
        let wrong = trial.warnings.iter().find(|warning| {
            matches!(
                warning,
                Warning::SequenceErrors { .. } | Warning::CorruptFrames { .. } | Warning::Unaccounted { .. }
            )
        });
        if let Some(wrong) = wrong {
            return fail(wrong.sentence());
        }
        for direction in &trial.throughput.directions {
            let (from, to, frames) = (&direction.from, &direction.to, direction.received_frames);
            holds(format!("over {FRAMES} frames get from {from} to {to} ({frames} did)"), frames > FRAMES)?;
        }
    }
    Ok(())
}
