//! What this host can run: which QEMU, with which devices, and whether KVM runs guests.
//!
//! `/dev/kvm` may exist and not work: refuse a CPU model, hang, or emulate a guest a thousand times too slowly. So
//! the probe runs a guest (see `firmware.rs`) with a deadline and believes only that.

use crate::cache;
use crate::child;
use crate::firmware;
use crate::spec::{Accel, Boot, Device, FileArg, Launch, Memory, VmSpec};
use command_fds::{CommandFdExt, FdMapping};
use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

/// The environment variable that names the QEMU binary.
pub const QEMU_VAR: &str = "VALE_BENCH_QEMU";
/// The binary looked for in `PATH`.
const QEMU_NAME: &str = "qemu-system-x86_64";
/// How long QEMU may take to print a list.
const HELP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the probe's guest may run under KVM. A KVM that works needs some 50 ms, nearly all of it QEMU's start.
pub const KVM_TIMEOUT: Duration = Duration::from_millis(1500);

/// How many times as long as elsewhere everything may take on a machine that is itself translated.
const TRANSLATED: u32 = 12;

/// By how much deadlines should be longer on this machine: 1, or more where QEMU's translator plays it.
#[must_use]
pub fn slowness() -> u32 {
    let translated = |text: String| text.contains("QEMU TCG CPU");
    if fs::read_to_string("/proc/cpuinfo").is_ok_and(translated) { TRANSLATED } else { 1 }
}

/// How long a bad verdict is kept, in seconds.
const BAD_VERDICT_S: u64 = 3600;

/// A QEMU binary and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qemu {
    /// The binary.
    pub path: PathBuf,
    /// Its version.
    pub version: Version,
    devices: BTreeSet<String>,
    netdevs: BTreeSet<String>,
}

/// QEMU's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Major, minor and micro number.
    pub number: (u16, u16, u16),
    /// The whole line, with the distribution's own version.
    pub text: String,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, micro) = self.number;
        write!(f, "{major}.{minor}.{micro}")
    }
}

impl Qemu {
    /// The QEMU at `given`, or `$VALE_BENCH_QEMU`, or in `PATH`.
    pub fn find(given: Option<&Path>) -> Result<Self, ProbeError> {
        let variable = env::var_os(QEMU_VAR).filter(|value| !value.is_empty()).map(PathBuf::from);
        match given.map(Path::to_owned).or(variable) {
            Some(path) => Self::at(&path),
            None => Self::at(&in_path(OsStr::new(QEMU_NAME)).ok_or(ProbeError::NoQemu)?),
        }
    }

    /// The QEMU at `path`, which is asked for its version and its devices.
    pub fn at(path: &Path) -> Result<Self, ProbeError> {
        let version = ask(path, &["--version"])?;
        let version = parse_version(&version)
            .ok_or_else(|| ProbeError::NotQemu { path: path.to_owned(), said: version.trim().to_owned() })?;
        let devices = parse_devices(&ask(path, &["-machine", "none", "-device", "help"])?);
        let netdevs = parse_netdevs(&ask(path, &["-machine", "none", "-netdev", "help"])?);
        Ok(Self { path: path.to_owned(), version, devices, netdevs })
    }

    /// Whether it has a device called `name`, such as `ptnet-pci`.
    #[must_use]
    pub fn has_device(&self, name: &str) -> bool {
        self.devices.contains(name)
    }

    /// Whether it has a network back end called `name`, such as `netmap` or `vhost-user`.
    #[must_use]
    pub fn has_netdev(&self, name: &str) -> bool {
        self.netdevs.contains(name)
    }
}

fn in_path(name: &OsStr) -> Option<PathBuf> {
    let usable = |path: &PathBuf| fs::metadata(path).is_ok_and(|m| m.is_file() && m.mode() & 0o111 != 0);
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(usable)
}

pub(crate) fn ask(path: &Path, args: &[&str]) -> Result<String, ProbeError> {
    let mut command = Command::new(path);
    command.args(args);
    let failed = |source| ProbeError::Run { path: path.to_owned(), source };
    let answer = child::run(command, HELP_TIMEOUT * slowness()).map_err(failed)?;
    match answer.status {
        Some(status) if status.success() => Ok(answer.stdout),
        Some(_) => Err(ProbeError::NotQemu { path: path.to_owned(), said: answer.stderr.trim().to_owned() }),
        None => Err(failed(io::ErrorKind::TimedOut.into())),
    }
}

/// "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)".
fn parse_version(text: &str) -> Option<Version> {
    let line = text.lines().next()?.trim();
    let rest = line.strip_prefix("QEMU emulator version ")?;
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().ok());
    let mut next = || numbers.next().flatten();
    Some(Version { number: (next()?, next()?, next().unwrap_or(0)), text: line.to_owned() })
}

/// Lines such as `name "ptnet-pci", bus PCI`.
fn parse_devices(text: &str) -> BTreeSet<String> {
    let name = |line: &str| line.trim().strip_prefix("name \"")?.split('"').next().map(str::to_owned);
    text.lines().filter_map(name).collect()
}

/// A line for each, after a heading.
fn parse_netdevs(text: &str) -> BTreeSet<String> {
    text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.contains(' ')).map(str::to_owned).collect()
}

/// Whether KVM runs guests on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict", content = "reason")]
pub enum KvmVerdict {
    /// It does.
    Usable,
    /// It does not, for this reason.
    Unusable(String),
}

impl KvmVerdict {
    /// Whether it does.
    #[must_use]
    pub fn usable(&self) -> bool {
        *self == Self::Usable
    }
}

impl fmt::Display for KvmVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usable => f.write_str("usable"),
            Self::Unusable(reason) => f.write_str(reason),
        }
    }
}

/// Whether `qemu` can run guests under KVM here, found out by running one, at most `timeout` ([`KVM_TIMEOUT`]) times
/// [`slowness`].
///
/// The verdict of a guest that ran is kept in the cache folder until the next boot or another QEMU; a bad one for
/// an hour, since a very busy host can look like a bad one.
pub fn kvm_usable(qemu: &Path, timeout: Duration) -> Result<KvmVerdict, ProbeError> {
    // Asked every time: somebody may just have been added to the group that may open it.
    if let Err(e) = File::options().read(true).write(true).open("/dev/kvm") {
        return Ok(KvmVerdict::Unusable(match e.kind() {
            io::ErrorKind::NotFound => "this host has no /dev/kvm".to_owned(),
            io::ErrorKind::PermissionDenied => {
                "this user may not open /dev/kvm (being in its group, usually kvm, helps)".to_owned()
            }
            _ => format!("/dev/kvm cannot be opened: {e}"),
        }));
    }
    let timeout = timeout * slowness();
    let key = Key::of(qemu);
    let file = cache::dir().map(|dir| dir.join(format!("probes/kvm-{:016x}.json", key.hash())));
    let kept = file.as_deref().and_then(|file| fs::read(file).ok());
    if let Some(kept) = kept.and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok())
        && kept.believed(&key, unix_now_s())
    {
        return Ok(kept.verdict);
    }
    let verdict = judge(&trial(qemu, Accel::Kvm, "host", firmware::image(), timeout)?, timeout);
    if let Some(file) = file {
        let kept = Kept { key, verdict: verdict.clone(), unix_s: unix_now_s() };
        let kept = serde_json::to_vec(&kept).map_err(io::Error::from);
        // Without a cache the next run probes again.
        let _ = kept.and_then(|bytes| cache::write_atomically(&file, &bytes));
    }
    Ok(verdict)
}

/// What a verdict depends on.
#[derive(Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Key {
    boot: String,
    qemu: PathBuf,
    modified: (i64, i64),
}

#[derive(Serialize, Deserialize)]
struct Kept {
    key: Key,
    verdict: KvmVerdict,
    unix_s: u64,
}

impl Kept {
    fn believed(&self, key: &Key, now_unix_s: u64) -> bool {
        let fresh = now_unix_s.checked_sub(self.unix_s).is_some_and(|age_s| age_s < BAD_VERDICT_S);
        self.key == *key && (self.verdict.usable() || fresh)
    }
}

fn unix_now_s() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}

impl Key {
    fn of(qemu: &Path) -> Self {
        let boot =
            fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
        let qemu = fs::canonicalize(qemu).unwrap_or_else(|_| qemu.to_owned());
        let modified = fs::metadata(&qemu).map_or((0, 0), |m| (m.mtime(), m.mtime_nsec()));
        Self { boot, qemu, modified }
    }

    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.qemu.hash(&mut hasher);
        hasher.finish()
    }
}

fn judge(trial: &child::Finished, timeout: Duration) -> KvmVerdict {
    let said =
        trial.stderr.lines().map(str::trim).find(|line| !line.is_empty() && !line.contains("warning:"));
    let said = said.map(|line| format!(": {line}")).unwrap_or_default();
    match trial.status {
        Some(status) if status.code() == Some(firmware::EXIT_CODE) => KvmVerdict::Usable,
        Some(status) => {
            KvmVerdict::Unusable(format!("/dev/kvm is there, but QEMU failed under it ({status}){said}"))
        }
        None => KvmVerdict::Unusable(format!(
            "/dev/kvm is there, but a test guest that needs milliseconds did not finish within {timeout:?}{said}"
        )),
    }
}

/// Runs `image` as the firmware of a guest.
fn trial(
    qemu: &Path,
    accel: Accel,
    cpu: &str,
    image: Vec<u8>,
    timeout: Duration,
) -> Result<child::Finished, ProbeError> {
    let failed = |source| ProbeError::Run { path: qemu.to_owned(), source };
    let mut spec = VmSpec::new("probe", qemu, accel);
    cpu.clone_into(&mut spec.cpu);
    spec.memory = Memory { mib: 16, ..spec.memory };
    spec.devices.push(Device::Other(firmware::DEVICE.to_owned()));
    let mut launch = Launch::new(spec);
    let memory = memfd_create("firmware", MemfdFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
    File::from(memory.try_clone().map_err(failed)?).write_all(&image).map_err(failed)?;
    launch.spec.boot = Boot::Firmware(FileArg::Fd(launch.inherit(memory)));
    let argv = crate::argv(&launch.spec);
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]);
    let mappings =
        launch.take_fds().into_iter().map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd });
    command.fd_mappings(mappings.collect()).expect("a launch numbers its descriptors apart");
    child::run(command, timeout).map_err(failed)
}

/// Why this host cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Nowhere is a QEMU.
    #[error(
        "{QEMU_NAME} is not in PATH; install QEMU (Debian: qemu-system-x86), or name it with --qemu or {QEMU_VAR}"
    )]
    NoQemu,
    /// It cannot be run, or does not answer.
    #[error("cannot run {}", path.display())]
    Run {
        /// The binary.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} does not answer as QEMU does{}", path.display(), if said.is_empty() { String::new() } else { format!(": {said}") })]
    NotQemu {
        /// The binary.
        path: PathBuf,
        /// What it said.
        said: String,
    },
    /// Its firmware is not where it says.
    #[error(
        "{} has no firmware in {}", path.display(),
        looked.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NoFirmware {
        /// The binary.
        path: PathBuf,
        /// Where it said it would be.
        looked: Vec<PathBuf>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn lists_are_read_as_qemu_prints_them() {
        let version = parse_version("QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright (c)\n").unwrap();
        assert_eq!(version.number, (7, 2, 22));
        assert_eq!(version.to_string(), "7.2.22");
        assert_eq!(parse_version("QEMU emulator version 3.0.95 (v3.1.0-rc5)\n").unwrap().number, (3, 0, 95));
        assert_eq!(parse_version("true (GNU coreutils) 9.1\n"), None);
        assert_eq!(parse_version("QEMU emulator version x\n"), None);
        let devices = parse_devices(
            "Network devices:\nname \"e1000\", bus PCI, alias \"x\", desc \"Intel\"\nname \"ptnet-pci\", bus PCI\n\n",
        );
        assert_eq!(devices, ["e1000", "ptnet-pci"].map(str::to_owned).into());
        let netdevs = parse_netdevs("Available netdev backend types:\nsocket\ntap\nnetmap\n");
        assert_eq!(netdevs, ["netmap", "socket", "tap"].map(str::to_owned).into());
    }

    #[test]
    fn what_is_no_qemu_is_refused() {
        assert!(matches!(Qemu::at(Path::new("/bin/true")), Err(ProbeError::NotQemu { .. })));
        assert!(matches!(Qemu::at(Path::new("/bin/false")), Err(ProbeError::NotQemu { .. })));
        let error = Qemu::at(Path::new("/nonexistent/qemu")).unwrap_err();
        assert!(
            matches!(&error, ProbeError::Run { source, .. } if source.raw_os_error() == Some(2)),
            "{error}"
        );
    }

    /// A kept verdict is only believed for the boot and the QEMU it was made with.
    #[test]
    fn verdicts_are_kept_with_what_they_depend_on() {
        let key = Key::of(Path::new("/bin/true"));
        assert!(!key.boot.is_empty() && key.modified != (0, 0));
        assert_ne!(key, Key::of(Path::new("/bin/false")));
        let kept = |verdict| {
            let kept = Kept { key: Key::of(Path::new("/bin/true")), verdict, unix_s: 1000 };
            serde_json::from_slice::<Kept>(&serde_json::to_vec(&kept).unwrap()).unwrap()
        };
        let good = kept(KvmVerdict::Usable);
        assert!(good.believed(&key, 1000) && good.believed(&key, 1_000_000));
        assert!(!good.believed(&Key::of(Path::new("/bin/false")), 1000));
        let bad = kept(KvmVerdict::Unusable("slow".into()));
        assert_eq!(bad.verdict, KvmVerdict::Unusable("slow".into()));
        assert!(bad.believed(&key, 1010) && !bad.believed(&key, 1000 + BAD_VERDICT_S));
        assert!(!bad.believed(&key, 999), "made in the future");
    }

    fn qemu() -> Option<Qemu> {
        match Qemu::find(None) {
            Ok(qemu) => Some(qemu),
            Err(error) if env::var_os("VALE_BENCH_NO_SKIP").is_none() => {
                eprintln!("SKIPPED: {error}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn the_installed_qemu_is_understood() {
        let Some(qemu) = qemu() else { return };
        assert!(qemu.version.number.0 >= 3, "{}", qemu.version.text);
        assert!(qemu.has_device("virtio-net-pci") && qemu.has_netdev("vhost-user"));
        assert!(!qemu.has_device("no-such-device") && !qemu.has_netdev("no-such-netdev"));
    }

    /// The same firmware that judges KVM, where it must finish.
    #[test]
    fn the_test_guest_finishes_under_tcg() {
        let Some(qemu) = qemu() else { return };
        let long = Duration::from_secs(60);
        let trial = trial(&qemu.path, Accel::TCG, "max", firmware::image(), long).unwrap();
        assert_eq!(judge(&trial, long), KvmVerdict::Usable, "{trial:?}");
    }

    #[test]
    fn a_guest_that_hangs_is_found_out_and_gone() {
        let Some(qemu) = qemu() else { return };
        let (start, short) = (Instant::now(), Duration::from_secs(1));
        let trial = trial(&qemu.path, Accel::TCG, "max", firmware::endless(), short).unwrap();
        assert!(start.elapsed() < Duration::from_secs(10));
        let KvmVerdict::Unusable(reason) = judge(&trial, short) else { panic!("{trial:?}") };
        assert!(reason.ends_with("did not finish within 1s"), "{reason}");
    }

    #[test]
    fn a_qemu_that_fails_says_why() {
        let Some(qemu) = qemu() else { return };
        let long = Duration::from_secs(60);
        let trial = trial(&qemu.path, Accel::TCG, "no-such-cpu", firmware::image(), long).unwrap();
        let KvmVerdict::Unusable(reason) = judge(&trial, long) else { panic!("{trial:?}") };
        assert!(reason.contains("no-such-cpu"), "{reason}");
    }
}
