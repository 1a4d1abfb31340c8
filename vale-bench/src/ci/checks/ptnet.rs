//! Ports passed through to guests: two real guests on a QEMU of the ptnet fork, measured by this very program.
//!
//! They are skipped where the environment names no such QEMU or no module for guests, as `in-vm --qemu` does.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use qemu_ptnet::QEMU_VAR;
use qemu_ptnet::child::{Parting, Process};
use rustix::process::Signal;

use crate::ci::Check;
use crate::ci::check::{Done, Stop, fail, holds, same, skip};
use crate::cli::GUEST_MODULE_VAR;
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

/// How often a measurement is started at most.
const STARTS: u64 = 2;
/// How long one may take: two boots in a machine that may itself be translated.
const START: Duration = Duration::from_secs(90);
/// How long one that is told to end may take to do so.
const FAREWELL: Duration = Duration::from_secs(15);
/// All starts, and some time for the check itself.
const DEADLINE_S: u64 = STARTS * (START.as_secs() + FAREWELL.as_secs()) + 20;
/// Fewer frames than this in a second are none to speak of.
const FRAMES: u64 = 1000;

/// Runs a benchmark on the kernel's VALE with ptnet guests, and returns its result.
fn measure(benchmark: &[&str]) -> Result<ResultDocument, Stop> {
    for (variable, what) in
        [(QEMU_VAR, "a QEMU with ptnet"), (GUEST_MODULE_VAR, "netmap's module for guests")]
    {
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

/// Measures, and once more if nothing was measured at the first start: KVM that is itself emulated now and then hangs,
/// or ends a guest that boots.
fn measure_in(benchmark: &[&str], out: &Path) -> Result<ResultDocument, Stop> {
    let said = out.with_extension("log");
    let mut failures = Vec::new();
    while failures.len() < STARTS as usize {
        let mut command = Command::new("/proc/self/exe");
        command
            .args(benchmark)
            .args(["--dataplane", "vale", "--accel", "kvm", "--duration", "2s", "--out"])
            .arg(out)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&said)?);
        let status = ended(command)?;
        let said = std::fs::read_to_string(&said)?;
        let how = match status.map(|status| (status, status.code())) {
            Some((_, Some(0))) => return Ok(ResultDocument::read(out)?),
            // No ptnet in this QEMU, no KVM: nothing about the module.
            Some((_, Some(4))) => return skip(said.trim().to_owned()),
            Some((status, _)) => format!("ended with {status}"),
            None => format!("did not end within {} s", START.as_secs()),
        };
        let measured = out.exists();
        failures.push(format!("{} {how}: {}", benchmark[0], said.trim()));
        if measured {
            break;
        }
    }
    fail(failures.join("\nand, started once more, "))
}

/// How the program ended, if it did so in time. Else it is told to end, which takes its guests along.
fn ended(command: Command) -> io::Result<Option<ExitStatus>> {
    let mut process = Process::spawn_with(command, Parting::Kindly)?;
    let status = process.wait(START)?;
    if status.is_none() {
        process.signal(Signal::TERM)?;
        // Whether it heeds that or not, nothing of it stays.
        process.wait(FAREWELL)?;
    }
    Ok(status)
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
