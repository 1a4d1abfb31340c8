//! Real guests under TCG, from the description to the last reaped process.
//!
//! The guest's program is this test binary: the kernel starts it as `/init` with the arguments that pick
//! [`as_init`]. So the tests need a QEMU and a kernel, and nothing built for the guest. Without the two they are
//! skipped, loudly; with `VALE_BENCH_NO_SKIP=1` that fails.

use qemu_ptnet::initramfs::MODULE_LIST;
use qemu_ptnet::{
    Accel, ImageBuilder, Kernel, Launch, Machine, Module, ModuleTree, QUICK_BOOT, Qemu, RamLayout,
};
use qemu_ptnet::{SharedRam, Vm, VmError, VmSpec};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;
use rustix::system::RebootCommand;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

const START_TIMEOUT: Duration = Duration::from_secs(20);
/// A guest boots in two to three seconds, in a few more where other tests want the CPUs too.
const BOOT_TIMEOUT: Duration = Duration::from_secs(90);
const PAGE: usize = 4096;
const CHANNEL: &str = "test.control";

// The host's side.

#[test]
fn a_guest_boots_talks_shares_memory_and_powers_off() {
    let Some(host) = Host::find() else { return };
    // More than 2816 MiB lie on both sides of the hole below 4 GiB.
    for mib in [256, 3072] {
        let mut launch = host.launch("talks", &[]);
        let ram = SharedRam::new(mib).unwrap();
        launch.shared_ram(&ram).unwrap();
        let mut talk = Talk::start(launch);
        assert_eq!(talk.say("ping"), "pong");

        let layout = RamLayout::new(Machine::Q35, mib);
        let mut high = 0;
        for fill in 1..=16u8 {
            let gpa: u64 = talk.say(&format!("page {fill}")).parse().unwrap();
            let offset =
                layout.translate(gpa, PAGE as u64).expect("a page of the guest's lies in its memory");
            let mut page = [0; PAGE];
            ram.file().unwrap().read_exact_at(&mut page, offset).unwrap();
            assert!(page.iter().all(|&byte| byte == fill), "page {fill} at {gpa:#x}: {:?}", &page[..8]);
            high += u32::from(gpa >= 1 << 32);
        }
        assert_eq!(high > 0, mib > 2816, "the guest uses what it has above 4 GiB first");

        let threads = talk.vm.vcpu_threads().unwrap();
        assert_eq!(threads.len(), 1);
        talk.vm.pin(0, &[0]).unwrap();
        let status =
            fs::read_to_string(format!("/proc/{}/task/{}/status", talk.vm.pid(), threads[0])).unwrap();
        assert!(status.lines().any(|line| line == "Cpus_allowed_list:\t0"), "{status}");
        talk.vm.pin_all(&[0]).unwrap();
        assert!(matches!(talk.vm.pin(1, &[0]), Err(VmError::NoSuchVcpu { vcpu: 1, count: 1, .. })));
        assert!(matches!(talk.vm.pin(0, &[1 << 20]), Err(VmError::Pin { .. })));

        talk.tell("off");
        let status = talk.vm.wait(BOOT_TIMEOUT).unwrap().expect("the guest powers off");
        assert!(status.success(), "{status}");
        assert!(!talk.vm.alive());
        let events = talk.vm.events().unwrap();
        assert!(events.iter().any(|e| e.name == "SHUTDOWN" && e.data["guest"] == true), "{events:?}");
    }
}

#[test]
fn a_panic_ends_the_guest_and_is_on_its_console() {
    let Some(host) = Host::find() else { return };
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut launch = host.launch("panics", &[]);
    launch.console_log = Some(log.path().to_owned());
    let mut talk = Talk::start(launch);
    talk.tell("panic");
    assert!(talk.vm.wait_console("Kernel panic", BOOT_TIMEOUT), "{}", talk.vm.evidence());
    assert!(talk.vm.wait(BOOT_TIMEOUT).unwrap().is_some(), "panic=-1 resets, and a reset ends QEMU");
    assert!(talk.vm.console_tail(usize::MAX).contains("sysrq"));
    assert!(fs::read_to_string(log.path()).unwrap().contains("Kernel panic"), "the log is also in the file");
    assert!(talk.vm.evidence().to_string().contains("end of console:"));
}

#[test]
fn a_guest_that_runs_on_can_be_ended_in_every_way() {
    let Some(host) = Host::find() else { return };
    let talk = Talk::start(host.launch("quits", &[]));
    let pid = talk.vm.pid();
    let status = talk.vm.quit(Duration::from_secs(20)).unwrap();
    assert!(status.success(), "QMP's quit: {status}");
    assert!(!exists(pid));

    // While it boots; and stopped, so that it answers neither QMP nor SIGTERM.
    for stop in [false, true] {
        let vm = Vm::start(host.launch("dropped", &[]), START_TIMEOUT).unwrap();
        let pid = vm.pid();
        if stop {
            let process = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
            rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
            let start = Instant::now();
            let status = vm.quit(Duration::from_millis(100)).unwrap();
            assert!(!status.success());
            assert!(start.elapsed() < Duration::from_secs(10));
        } else {
            drop(vm);
        }
        assert!(!exists(pid));
    }
}

#[test]
fn a_qemu_that_fails_shows_its_command_line_and_its_last_words() {
    let Some(host) = Host::find() else { return };
    let error = Vm::start(host.launch("fails", &["-no-such-option"]), START_TIMEOUT).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, VmError::Exited { .. }), "{text}");
    assert!(text.contains("command: ") && text.contains("-name fails"), "{text}");
    assert!(
        text.contains("end of QEMU's output:") && text.contains("no-such-option: invalid option"),
        "{text}"
    );
}

#[test]
fn a_qemu_that_is_none_is_found_out() {
    let spec = |qemu: &Path| Launch::new(VmSpec::new("none", qemu, Accel::TCG));
    let error = Vm::start(spec(Path::new("/nonexistent/qemu")), START_TIMEOUT).unwrap_err();
    assert!(matches!(&error, VmError::Spawn { source, .. } if source.raw_os_error() == Some(2)), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("qemu");
    let write = |text: &str| {
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    };
    write("#!/bin/sh\necho $$ >&2\nexec sleep 60\n");
    let start = Instant::now();
    let error = Vm::start(spec(&script), Duration::from_millis(500)).unwrap_err();
    let VmError::Qmp { evidence, .. } = &error else { panic!("{error}") };
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(!exists(evidence.stderr.trim().parse().unwrap()), "it does not outlive the error");

    let mut launch = spec(&script);
    launch.console_log = Some(folder.path().join("no/such/folder/log"));
    assert!(matches!(Vm::start(launch, START_TIMEOUT), Err(VmError::ConsoleLog { .. })));
}

/// What the guests of these tests are made of.
struct Host {
    qemu: Qemu,
    kernel: Kernel,
}

impl Host {
    fn find() -> Option<Self> {
        let found = Qemu::find(None).map_err(|e| e.to_string()).and_then(|qemu| {
            let kernel = Kernel::find(None).map_err(|e| e.to_string())?;
            Ok(Self { qemu, kernel })
        });
        match found {
            Ok(host) => Some(host),
            Err(reason) if std::env::var_os("VALE_BENCH_NO_SKIP").is_none_or(|value| value != "1") => {
                eprintln!("SKIPPED: {reason}");
                None
            }
            Err(reason) => panic!("{reason}"),
        }
    }

    fn launch(&self, name: &str, extra: &[&str]) -> Launch {
        let tree = ModuleTree::open(&self.kernel).unwrap();
        let wanted = ["virtio_pci", "virtio_console"].map(Module::named);
        let mut builder = ImageBuilder::new();
        builder.init(std::env::current_exe().unwrap()).unwrap();
        builder.modules(tree.resolve(&wanted).unwrap()).unwrap();
        let image = builder.build().unwrap();

        let mut spec = VmSpec::new(name, &self.qemu.path, Accel::TCG);
        spec.extra = extra.iter().map(|&word| word.to_owned()).collect();
        let mut launch = Launch::new(spec);
        let arguments = ["--", "--exact", "as_init", "--ignored", "--nocapture", "--test-threads=1"];
        launch.boot(&self.kernel.image, &image, &[QUICK_BOOT, &arguments].concat()).unwrap();
        launch
    }
}

/// A guest that has booted, and its control channel.
struct Talk {
    vm: Vm,
    channel: BufReader<UnixStream>,
}

impl Talk {
    fn start(mut launch: Launch) -> Self {
        let channel = launch.channel(CHANNEL).unwrap();
        channel.set_read_timeout(Some(BOOT_TIMEOUT)).unwrap();
        let start = Instant::now();
        let vm = Vm::start(launch, START_TIMEOUT).unwrap_or_else(|e| panic!("{e}"));
        let mut talk = Self { vm, channel: BufReader::new(channel) };
        assert_eq!(talk.hear(), "hello");
        eprintln!("{} booted in {:.2} s", talk.vm.name(), start.elapsed().as_secs_f64());
        talk
    }

    fn tell(&mut self, line: &str) {
        self.channel.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        let heard = self.channel.read_line(&mut line);
        assert!(heard.is_ok_and(|n| n > 0), "the guest says no more\n{}", self.vm.evidence());
        line.trim_end().to_owned()
    }

    fn say(&mut self, line: &str) -> String {
        self.tell(line);
        self.hear()
    }
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

// The guest's side.

#[test]
#[ignore = "runs as PID 1 of a guest"]
fn as_init() {
    assert_eq!(std::process::id(), 1, "this is the guest's side of the other tests");
    for (kind, place) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys")] {
        match rustix::mount::mount(kind, place, kind, MountFlags::empty(), c"") {
            // A kernel may mount /dev by itself.
            Ok(()) | Err(rustix::io::Errno::BUSY) => {}
            Err(errno) => panic!("{kind}: {errno}"),
        }
    }
    for module in fs::read_to_string(MODULE_LIST).unwrap_or_default().lines() {
        let file = rustix::fs::open(module, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        rustix::system::finit_module(&file, c"", 0).unwrap_or_else(|e| panic!("{module}: {e}"));
    }
    let mut channel = open_channel();
    channel.write_all(b"hello\n").unwrap();
    let mut pages = Vec::new();
    for line in BufReader::new(channel.try_clone().unwrap()).lines() {
        let line = line.unwrap();
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("ping", _) => channel.write_all(b"pong\n").unwrap(),
            ("page", fill) => {
                // At least one whole page lies in two.
                let page = vec![fill.parse::<u8>().unwrap(); 2 * PAGE];
                let address = (page.as_ptr() as usize).next_multiple_of(PAGE);
                channel.write_all(format!("{}\n", guest_physical(address)).as_bytes()).unwrap();
                pages.push(page);
            }
            ("panic", _) => fs::write("/proc/sysrq-trigger", "c").unwrap(),
            ("off", _) => rustix::system::reboot(RebootCommand::PowerOff).unwrap(),
            _ => panic!("{line}?"),
        }
    }
}

fn open_channel() -> File {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        for port in fs::read_dir("/sys/class/virtio-ports").into_iter().flatten().flatten() {
            if fs::read_to_string(port.path().join("name")).is_ok_and(|name| name.trim_end() == CHANNEL) {
                let path = Path::new("/dev").join(port.file_name());
                return File::options().read(true).write(true).open(path).unwrap();
            }
        }
        assert!(Instant::now() < end, "no virtio-serial port is called {CHANNEL}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Linux, Documentation/admin-guide/mm/pagemap.rst: 8 bytes a page, the frame number in bits 0 to 54.
fn guest_physical(address: usize) -> u64 {
    let mut pagemap = File::open("/proc/self/pagemap").unwrap();
    let mut entry = [0; 8];
    pagemap.seek(SeekFrom::Start((address / PAGE * 8) as u64)).unwrap();
    pagemap.read_exact(&mut entry).unwrap();
    (u64::from_le_bytes(entry) & ((1 << 55) - 1)) * PAGE as u64
}
