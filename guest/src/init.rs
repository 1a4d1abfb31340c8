//! PID 1: what a kernel needs before there is anything to talk to, and the end of the machine.

use crate::agent::{self, Agent};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;
use rustix::system::RebootCommand;
use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Modules to load, in order, a line each: the path, and after a space the parameters, if there are any.
pub const MODULES: &str = "/etc/modules-load";
/// How long the virtio-serial port may take to appear once its driver is there.
const CHANNEL_DEADLINE: Duration = Duration::from_secs(10);

/// Whether this process was started by a kernel as its init: process 1, called by the name a kernel gives it. A
/// container's first process has another.
#[must_use]
pub fn is_init() -> bool {
    rustix::process::getpid().as_raw_nonzero().get() == 1
        && std::env::args_os().next().is_some_and(|name| name == "/init")
}

/// Runs the guest; ends in powering off, whatever happens.
pub fn run() -> ! {
    let ended = std::panic::catch_unwind(serve);
    let message = match ended {
        Ok(Ok(())) => None,
        Ok(Err(e)) => Some(agent::sentence(&*e)),
        Err(panic) => Some(format!("PID 1 panicked: {}", pktgen::engine::panic_text(&*panic))),
    };
    if let Some(message) = message {
        eprintln!("vale-bench: guest fault: {message}");
        // If this fails too the console has it.
        let _ = agent::report_fault(message);
        // What was written to the channel and the console is on its way out through the host's event loop.
        std::thread::sleep(Duration::from_millis(200));
    }
    rustix::fs::sync();
    let _ = rustix::system::reboot(RebootCommand::PowerOff);
    // Not reached unless the kernel refuses; PID 1 must not return.
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn serve() -> Result<(), Box<dyn std::error::Error>> {
    mount_all()?;
    load_modules(Path::new(MODULES))?;
    wait_for_channel()?;
    Agent::start()?.serve()?;
    Ok(())
}

fn mount_all() -> io::Result<()> {
    // The kernel makes it with the rights of /tmp, and DPDK loads nothing from below a folder that anybody may change.
    fs::set_permissions("/", fs::Permissions::from_mode(0o755))?;
    const SYSTEMS: [(&str, &str, &CStr); 3] =
        [("devtmpfs", "/dev", c"mode=0755"), ("proc", "/proc", c""), ("sysfs", "/sys", c"")];
    for (kind, place, options) in SYSTEMS {
        fs::create_dir_all(place)?;
        match rustix::mount::mount(kind, place, kind, MountFlags::empty(), options) {
            Ok(()) | Err(rustix::io::Errno::BUSY) => {}
            Err(e) => return Err(io::Error::other(format!("cannot mount {kind} on {place}: {e}"))),
        }
    }
    Ok(())
}

fn load_modules(list: &Path) -> io::Result<()> {
    let text = match fs::read_to_string(list) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (path, parameters) = line.split_once(' ').unwrap_or((line, ""));
        let failed = |e: &dyn std::fmt::Display| io::Error::other(format!("cannot load module {path}: {e}"));
        let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| failed(&e))?;
        let parameters = CString::new(parameters).map_err(|e| failed(&e))?;
        match rustix::system::finit_module(&file, &parameters, 0) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(failed(&e)),
        }
    }
    Ok(())
}

pub(crate) fn wait_for_channel() -> io::Result<()> {
    let end = Instant::now() + CHANNEL_DEADLINE;
    loop {
        match crate::channel::find(crate::wire::CONTROL_CHANNEL) {
            Ok(path) if path.exists() => return Ok(()),
            Ok(_) | Err(_) if Instant::now() < end => std::thread::sleep(Duration::from_millis(2)),
            Ok(path) => return Err(io::Error::other(format!("{} did not appear", path.display()))),
            Err(e) => return Err(e),
        }
    }
}
