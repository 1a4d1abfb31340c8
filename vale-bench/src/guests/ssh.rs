//! The way into guests of a disk image over ssh: a port of this host's loopback is forwarded to each, by QEMU, and the
//! agent is started through it.
//!
//! The interface for that is one more of QEMU's own network, on which the guest reaches nothing. Nobody knows the
//! key of a host that was just booted from an image, so it is not asked for.
//!
//! Deliberately absent: how the agent gets in, which is the disk's affair ([`super::image`]).

use super::image;
use crate::cli::GuestArgs;
use crate::exit::{Exit, Fail, FailContext};
use crate::interrupt::Interrupt;
use crate::program::{self, Program, Running};
use crate::rundir::RunDir;
use crate::station;
use qemu_ptnet::{Device, MacAddr, Net, Netdev, NicModel, VirtioNet, Vm};
use serde_json::json;
use std::ffi::OsString;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Its interface in the guest: the first, as most images expect the one that they are reached by.
const MAC: MacAddr = MacAddr([0x02, 0x76, 0x62, 0x73, 0x73, 0x68]);
/// What QEMU calls it.
const NETDEV: &str = "net0";
/// How often a port is taken that someone else was faster to take.
const PORTS_TRIED: u32 = 16;
/// How long one attempt may take to exchange keys; emulated processors need seconds.
const CONNECT: Duration = Duration::from_secs(30);
/// Between attempts, and between looks at one.
const PAUSE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(100);
/// What ssh itself exits with when it did not get so far as to run the command.
const NOT_RUN: i32 = 255;
/// What it says where another attempt would end alike.
const REFUSED: [&str; 4] = [
    "Permission denied (",
    "Too many authentication failures",
    "No such identity",
    "Bad owner or permissions",
];
/// Variables by which ssh finds keys, or asks for what it needs.
const PASSED_ON: [&str; 6] =
    ["SSH_AUTH_SOCK", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY"];

/// How guests are entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ssh {
    program: PathBuf,
    user: String,
    key: Option<PathBuf>,
}

/// A guest that is entered.
pub(super) struct Guest<'a> {
    pub(super) name: &'a str,
    pub(super) vm: &'a Vm,
    pub(super) run_dir: &'a RunDir,
}

impl Ssh {
    /// As the command line says; `None` where it says nothing of it.
    pub(super) fn from_args(args: &GuestArgs) -> Result<Option<Ssh>, Fail> {
        let Some(user) = &args.guest_ssh else { return Ok(None) };
        let key = match &args.guest_ssh_key {
            Some(path) => {
                let cannot = || format!("cannot read the key {}", path.display());
                File::open(path).context_with(cannot).or_exit(Exit::Usage)?;
                // ssh runs in another folder.
                Some(std::path::absolute(path).context_with(cannot)?)
            }
            None => None,
        };
        let program = program::find("ssh");
        let program = program.ok_or_else(|| {
            Fail::host("--guest-ssh needs the program ssh (Debian: openssh-client), and there is none")
        })?;
        Ok(Some(Ssh { program, user: user.clone(), key }))
    }

    /// The interface through which a guest is entered.
    pub(super) fn interface() -> Device {
        let model = NicModel::Virtio(VirtioNet::default());
        Device::Net(Net { mac: MAC, netdev: Netdev::User { hostfwd: Vec::new(), restrict: true }, model })
    }

    /// Starts the agent as soon as the guest lets us in, until `end`; the port of 127.0.0.1 that leads to it.
    pub(super) fn start_agent(
        &self,
        guest: &Guest<'_>,
        end: Instant,
        interrupt: &Interrupt,
    ) -> Result<u16, Fail> {
        let port = forward(guest)?;
        let mut said = String::new();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let program = self.program(&format!("{}-ssh-{attempt}", guest.name), port);
            let mut running = program.start(guest.run_dir)?;
            let Some(code) = await_end(guest, &mut running, end, interrupt)? else {
                let last = if said.is_empty() { String::new() } else { format!(": {said}") };
                let sentence =
                    format!("it let nobody in over ssh in time{last}; --boot-timeout gives it longer");
                return Err(station::explain(guest.name, guest.vm, sentence));
            };
            said = running.output(0).trim().to_owned();
            match code {
                0 => return Ok(port),
                NOT_RUN if !REFUSED.iter().any(|refused| said.contains(refused)) => {}
                NOT_RUN => {
                    let sentence = format!("{}@{} is not let in over ssh: {said}", self.user, guest.name);
                    return Err(Fail::failed(anyhow::anyhow!("{sentence}\n  command: {}", running.line())));
                }
                _ => {
                    let sentence = format!("the agent cannot be started over ssh as {}: {said}", self.user);
                    return Err(station::explain(guest.name, guest.vm, sentence));
                }
            }
            interrupt.sleep(PAUSE)?;
        }
    }

    /// What a person types to get there.
    pub(super) fn by_hand(&self, port: u16) -> String {
        let key = self.key.as_ref().map(|key| format!(" -i {}", key.display())).unwrap_or_default();
        format!("ssh -p {port}{key} {}@{}", self.user, Ipv4Addr::LOCALHOST)
    }

    /// The command that starts the agent, by way of `port`.
    fn program(&self, name: &str, port: u16) -> Program {
        let mut argv: Vec<OsString> = vec![self.program.clone().into()];
        let mut add = |word: &str| argv.push(word.into());
        add("-T");
        for (key, value) in [("-p", port.to_string().as_str()), ("-l", &self.user)] {
            add(key);
            add(value);
        }
        let asks = std::env::var_os("SSH_ASKPASS_REQUIRE").is_some();
        let connect = CONNECT.as_secs().to_string();
        for (key, value) in [
            ("BatchMode", if asks { "no" } else { "yes" }),
            ("ConnectTimeout", &connect),
            ("ServerAliveInterval", "15"),
            ("StrictHostKeyChecking", "no"),
            ("UserKnownHostsFile", "/dev/null"),
            ("GlobalKnownHostsFile", "/dev/null"),
            ("LogLevel", "ERROR"),
            ("ControlPath", "none"),
        ] {
            add("-o");
            add(&format!("{key}={value}"));
        }
        if let Some(key) = &self.key {
            argv.extend([
                "-o".into(),
                "IdentitiesOnly=yes".into(),
                "-i".into(),
                key.clone().into_os_string(),
            ]);
        }
        argv.push(Ipv4Addr::LOCALHOST.to_string().into());
        argv.push(self.command().into());
        let passed = PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        passed.fold(Program::new(name, argv), |program, (name, value)| program.env(name, value))
    }

    /// What is run in the guest.
    fn command(&self) -> String {
        let start = image::start(image::OWN_LABEL);
        if self.user == "root" { start } else { format!("sudo -n sh -c '{start}'") }
    }
}

/// Waits for the end of an attempt; its exit code, or `None` if time was over first.
fn await_end(
    guest: &Guest<'_>,
    running: &mut Running,
    end: Instant,
    interrupt: &Interrupt,
) -> Result<Option<i32>, Fail> {
    loop {
        if let Some(status) = running.ended() {
            // Killed by someone, it is as if it had not got there.
            return Ok(Some(status.code().unwrap_or(NOT_RUN)));
        }
        if !guest.vm.alive() {
            return Err(station::explain(guest.name, guest.vm, "QEMU ended while its guest was waited for"));
        }
        if let Some(why) = station::hopeless(guest.vm) {
            return Err(station::explain(guest.name, guest.vm, why));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        interrupt.sleep(LOOK)?;
    }
}

/// Has QEMU forward a free port of the loopback to the guest's ssh.
fn forward(guest: &Guest<'_>) -> Result<u16, Fail> {
    let cannot = |why: &dyn std::fmt::Display| {
        station::explain(guest.name, guest.vm, format!("QEMU does not forward a port to it: {why}"))
    };
    let mut said = String::new();
    for _ in 0..PORTS_TRIED {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = free.context_with(|| "no port of 127.0.0.1 is free")?.port();
        let line = format!("hostfwd_add {NETDEV} tcp:{}:{port}-:22", Ipv4Addr::LOCALHOST);
        let arguments = json!({ "command-line": line });
        let answer = guest.vm.execute("human-monitor-command", Some(arguments)).map_err(|e| cannot(&e))?;
        said = answer.as_str().unwrap_or_default().trim().to_owned();
        if said.is_empty() {
            return Ok(port);
        }
    }
    Err(cannot(&said))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssh(user: &str, key: Option<&str>) -> Ssh {
        Ssh { program: "/usr/bin/ssh".into(), user: user.into(), key: key.map(PathBuf::from) }
    }

    #[test]
    fn whoever_is_not_root_becomes_root() {
        let words = |ssh: &Ssh| {
            let argv = ssh.program("vm1-ssh-1", 10020).argv;
            argv.iter().map(|word| word.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let root = words(&ssh("root", None));
        assert!(root.windows(4).any(|some| some == ["-p", "10020", "-l", "root"]), "{root:?}");
        let start = "mkdir -p /run/vale-bench && mount -t vfat -o ro LABEL=VALE-BENCH /run/vale-bench && sh \
                     /run/vale-bench/start.sh";
        assert_eq!(root[root.len() - 2..], ["127.0.0.1", start]);
        let user = words(&ssh("debian", Some("/k/id")));
        assert_eq!(user[user.len() - 1], format!("sudo -n sh -c '{start}'"));
        assert!(user.windows(3).any(|some| some == ["IdentitiesOnly=yes", "-i", "/k/id"]), "{user:?}");
        assert!(!root.iter().any(|word| word == "-i"));
    }
}
