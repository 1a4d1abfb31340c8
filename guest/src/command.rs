//! One command in a guest that plays the host: its surroundings, its output, and the files it leaves.
//!
//! Everything goes to the host on the control channel while the command runs: output as it comes, a sign of life
//! every [`PULSE`], and the files of its [`outbox`](crate::outbox). Deliberately absent: what the command is; it is
//! any program of the image.

use crate::outbox::{Outbox, Say};
use crate::wire::{Ended, Event, Stream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Where the command runs, and where its files are collected.
pub const WORK: &str = "/root/work";
/// Modules to load if this machine takes them, a line each as in [`crate::init::MODULES`]: one for another
/// processor than it has is no fault.
pub const OPTIONAL_MODULES: &str = "/etc/modules-try";
/// Time between signs of life.
pub const PULSE: Duration = Duration::from_secs(2);
/// How long output that daemons of the command still hold open is waited for after its end.
const TAIL_WAIT: Duration = Duration::from_secs(1);

/// Runs `argv` with `env` added to a plain environment. Fails if it cannot be started; how it ended is the answer.
pub fn run(argv: &[String], env: &[(String, String)], say: Say<'_>) -> io::Result<Ended> {
    furnish()?;
    let mut outbox = Outbox::open(Path::new(WORK))?;
    let Some((program, arguments)) = argv.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no command"));
    };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(WORK).env_clear().envs(env.iter().cloned());
    let (variable, socket) = Outbox::env();
    command.env(variable, socket);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|e| io::Error::new(e.kind(), format!("cannot start {program} in the machine: {e}")))?;
    let pid = Pid::from_child(&child);
    let outputs = [child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)]
        .map(|o| o.map(File::from));
    let ended = attend(pid, outputs, &mut outbox, say)?;
    end_all()?;
    outbox.send(say)?;
    Ok(ended)
}

/// What programs expect of a machine beyond what the agent needs.
fn furnish() -> io::Result<()> {
    const SYSTEMS: [(&str, &str, &CStr); 4] = [
        ("devpts", "/dev/pts", c"mode=0620,ptmxmode=0666"),
        ("tmpfs", "/dev/shm", c"mode=1777"),
        ("tmpfs", "/run", c"mode=0755"),
        ("tmpfs", "/tmp", c"mode=1777"),
    ];
    for (kind, place, options) in SYSTEMS {
        fs::create_dir_all(place)?;
        match rustix::mount::mount(kind, place, kind, MountFlags::empty(), options) {
            Ok(()) | Err(Errno::BUSY) => {}
            Err(e) => return Err(io::Error::other(format!("cannot mount {kind} on {place}: {e}"))),
        }
    }
    fs::create_dir_all(WORK)?;
    let list = match fs::read_to_string(OPTIONAL_MODULES) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    for path in list.lines().filter(|line| !line.is_empty()) {
        let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        if let Err(e) = rustix::system::finit_module(&file, c"", 0)
            && e != Errno::EXIST
        {
            eprintln!("vale-bench: {path} was not loaded: {e}");
        }
    }
    Ok(())
}

/// Passes output on until the command has ended, and reaps whatever else ends meanwhile: this is process 1.
fn attend(pid: Pid, mut outputs: [Option<File>; 2], outbox: &mut Outbox, say: Say<'_>) -> io::Result<Ended> {
    let mut ended = None;
    let mut give_up = None;
    let mut pulse = Instant::now();
    let mut buffer = vec![0; 48 * 1024];
    loop {
        if pulse.elapsed() >= PULSE {
            pulse = Instant::now();
            say(&Event::Alive)?;
        }
        while let Some((reaped, status)) = reap()? {
            if reaped == pid {
                ended = Some(describe(status));
                give_up = Some(Instant::now() + TAIL_WAIT);
            }
        }
        let open = outputs.iter().any(Option::is_some);
        if let Some(ended) = ended
            && (!open || give_up.is_some_and(|end| Instant::now() >= end))
        {
            return Ok(ended);
        }
        let mut fds: Vec<_> = outputs
            .iter()
            .flatten()
            .map(|file| PollFd::from_borrowed_fd(file.as_fd(), PollFlags::IN))
            .collect();
        fds.push(PollFd::from_borrowed_fd(outbox.fd(), PollFlags::IN));
        // The command's end is looked for as often, where it closes its output or leaves it to others.
        let tick = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        match poll(&mut fds, Some(&tick)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut ready = ready.into_iter();
        for (output, stream) in outputs.iter_mut().zip([Stream::Stdout, Stream::Stderr]) {
            let Some(file) = output else { continue };
            if ready.next() != Some(true) {
                continue;
            }
            match file.read(&mut buffer)? {
                0 => *output = None,
                n => say(&Event::Output { stream, data: buffer[..n].to_vec() })?,
            }
        }
        // After what the command printed before it asked.
        if ready.next() == Some(true) {
            outbox.serve(say)?;
        }
    }
}

/// One child of process 1 that has ended, if there is one.
fn reap() -> io::Result<Option<(Pid, WaitStatus)>> {
    match rustix::process::wait(WaitOptions::NOHANG) {
        Ok(reaped) => Ok(reaped),
        Err(Errno::CHILD) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn describe(status: WaitStatus) -> Ended {
    Ended { code: status.exit_status(), signal: status.terminating_signal() }
}

/// Ends what the command left running, so that nothing writes to its files any more.
fn end_all() -> io::Result<()> {
    for entry in fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|pid| pid.as_raw_nonzero().get() != 1) {
            // The kernel's threads do not mind, and others may have ended since they were listed.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
    while reap()?.is_some() {}
    Ok(())
}

/// The kernel's log, the newest part of it if it is long.
pub fn kernel_log() -> io::Result<Vec<u8>> {
    let kmsg =
        rustix::fs::open("/dev/kmsg", OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    let mut kmsg = File::from(kmsg);
    let mut log = Vec::new();
    let mut record = [0; 8192];
    loop {
        match kmsg.read(&mut record) {
            Ok(n) => write_record(&mut log, &record[..n])?,
            // Overwritten while it was read; the next is newer.
            Err(e) if e.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(log),
            Err(e) => return Err(e),
        }
    }
}

/// `priority,sequence,microseconds,flags;text` as dmesg shows it.
fn write_record(log: &mut Vec<u8>, record: &[u8]) -> io::Result<()> {
    let text = String::from_utf8_lossy(record);
    let (head, text) = text.split_once(';').unwrap_or(("", &text));
    let micros: u64 = head.split(',').nth(2).and_then(|us| us.parse().ok()).unwrap_or_default();
    // Lines that begin with a blank are the record's dictionary.
    let text = text.lines().next().unwrap_or_default();
    writeln!(log, "[{:5}.{:06}] {text}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_the_kernel_log_look_as_dmesg_shows_them() {
        let mut log = Vec::new();
        write_record(&mut log, b"6,339,5140900,-;netmap: loaded module\n SUBSYSTEM=x\n").unwrap();
        write_record(&mut log, b"odd").unwrap();
        assert_eq!(
            String::from_utf8(log).unwrap(),
            "[    5.140900] netmap: loaded module\n[    0.000000] odd\n"
        );
    }
}
