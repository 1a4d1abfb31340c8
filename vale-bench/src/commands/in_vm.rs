//! `in-vm`: any command of this program in a machine that plays the host.

mod checks;
mod image;
mod results;

use crate::cli::InVmArgs;
use crate::exit::{Exit, Fail, FailContext};
use crate::guests::choose_accelerator;
use crate::interrupt::Interrupt;
use crate::kernel_log::{self, Kind};
use crate::progress::Progress;
use crate::rundir::{self, RunDir};
use checks::Checks;
use guest::client::{Client, ClientError};
use guest::wire::{self, Ended, Event, Reply, Request, Stream};
use image::Cargo;
use qemu_ptnet::{Accel, Backing, Image, Kernel, Launch, Memory, QUICK_BOOT, Qemu, Vm, VmSpec};
use results::Results;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the machine may say nothing before it is held to be hung: far more than a kernel under TCG needs to
/// schedule a process that wants to say something every two seconds.
const SILENCE: Duration = Duration::from_secs(45);
/// How long QEMU may take from its start to the handshake.
const START_DEADLINE: Duration = Duration::from_secs(20);
/// How long it may take to end.
const END_DEADLINE: Duration = Duration::from_secs(5);
/// How long the kernel's log may take.
const LOG_DEADLINE: Duration = Duration::from_secs(20);
/// What is waited for while the command runs.
const RUN: &str = "run the command";
/// Boots that are tried.
const BOOTS: u32 = 2;
/// Machines that may be lost to checks, so that a module which fails them all does not go on for ever.
const MOST_LOST: u32 = 8;
/// Memory in MiB, without guests and with.
const MEMORY_MIB: [u32; 2] = [3072, 4096];

/// Runs `in-vm`.
pub fn run(args: &InVmArgs) -> Result<(), Fail> {
    let qemu = Qemu::find(args.host_qemu.as_deref()).or_exit(Exit::Host)?;
    let kernel = Kernel::find(args.kernel.as_deref()).or_exit(Exit::Host)?;
    let cargo = Cargo::gather(args, &kernel)?;
    let mut results = Results::prepare(&args.results)?;
    if let Some(folder) = &args.logs {
        fs::create_dir_all(folder)
            .context_with(|| format!("cannot make {}", folder.display()))
            .or_exit(Exit::Usage)?;
    }
    let interrupt = Interrupt::install()?;
    let progress = Progress::new(0, args.quiet);
    for line in rundir::recover()?.describe() {
        progress.println(&line);
    }
    let run_dir = RunDir::create()?;
    let (accel, refused) = choose_accelerator(args.accel, &qemu, &progress)?;
    if let Some(reason) = refused {
        progress.println(&format!("KVM does not work here ({reason}); the machine runs under TCG"));
    }
    let mut setting = Setting { args, qemu: &qemu, kernel: &kernel, cargo, accel, interrupt, lost: 0 };
    let checks = Checks::of(&args.command);
    if args.go_on && checks.is_none() {
        let sentence = "--go-on is for ci with its --out, if it has one, in the working directory";
        return Err(Fail::usage(sentence));
    }
    // Of the command's alone: boots have limits of their own.
    let mut left = args.timeout;
    let mut repeated = BTreeSet::new();
    loop {
        progress.stage("booting the machine");
        let mut machine = setting.boot(&run_dir, &progress)?;
        progress.finish();
        if let Some(checks) = &checks {
            checks.prepare(&mut results);
        }
        let command = checks.as_ref().map_or(args.command.clone(), |checks| checks.command(setting.lost > 0));
        let begun = Instant::now();
        let ended = machine.attend(&command, &setting, begun + left, &mut results);
        left = left.saturating_sub(begun.elapsed());
        let End { result, lost } = machine.end(args, ended);
        let (Some(checks), Some(how)) = (&checks, lost) else { return result };
        let Some(lost) = checks.lost(&results, &how.sentence, &how.lines)? else { return result };
        setting.lost += 1;
        // Emulated, a processor's virtualisation now and then brings down the kernel whose guests use it.
        let once_more = matches!(setting.accel, Accel::Tcg { .. })
            && lost.had_guests()
            && repeated.insert(lost.check().to_owned());
        let goes_on = once_more || args.go_on && lost.has_more();
        if !goes_on || setting.lost >= MOST_LOST {
            return result.map_err(|fail| fail.context(lost.sentence));
        }
        let then = match once_more {
            true => "once more in a new machine, since virtualisation is emulated here",
            false => "going on in a new machine",
        };
        // The kernel's log is shown with the check that the next machine begins with.
        progress.println(&format!("{} ({}); {then}", lost.sentence, how.sentence));
        setting.cargo.go_on(&if once_more { lost.before() } else { lost.document })?;
    }
}

/// What a machine is made of.
struct Setting<'a> {
    args: &'a InVmArgs,
    qemu: &'a Qemu,
    kernel: &'a Kernel,
    cargo: Cargo,
    accel: Accel,
    interrupt: &'a Interrupt,
    /// Machines that were lost to checks before this one.
    lost: u32,
}

impl Setting<'_> {
    /// A machine whose agent has said hello. One that is lost on the way is tried again.
    fn boot(&self, run_dir: &RunDir, progress: &Progress) -> Result<Machine, Fail> {
        let image = self.cargo.image()?;
        let mut attempt = 1;
        loop {
            let mut machine = self.start(&image, run_dir)?;
            let (vm, interrupt) = (&machine.vm, self.interrupt);
            let booted = machine
                .client
                .hello(self.args.boot_timeout, &mut || vm.alive() && interrupt.signal().is_none());
            self.interrupt.check()?;
            match booted {
                Ok(_) => return Ok(machine),
                Err(error @ (ClientError::Timeout { .. } | ClientError::Gone { .. })) if attempt < BOOTS => {
                    // A kernel that panicked will panic again.
                    if machine.trouble().is_some() {
                        return machine.end(self.args, Err(error)).result.and(Err(Fail::failed(Unbooted)));
                    }
                    progress.println(&format!("the machine did not come up ({error}); once more"));
                    attempt += 1;
                }
                Err(error) => {
                    return machine.end(self.args, Err(error)).result.and(Err(Fail::failed(Unbooted)));
                }
            }
        }
    }

    fn start(&self, image: &Image, run_dir: &RunDir) -> Result<Machine, Fail> {
        let cannot = || "cannot start the machine";
        let mut launch = Launch::new(VmSpec::new("host", &self.qemu.path, self.accel));
        launch.spec.smp = self.args.cpus;
        let mib = self.args.memory.unwrap_or(MEMORY_MIB[usize::from(self.args.qemu.is_some())]);
        launch.spec.memory = Memory { mib, backing: Backing::Private };
        // Warnings and worse: what tells why a kernel failed, and no more, since a serial console is slow.
        let words = QUICK_BOOT.iter().map(|&word| if word == "quiet" { "loglevel=5" } else { word });
        let words: Vec<&str> = words.collect();
        launch.boot(self.kernel.image.clone(), image, &words).context_with(cannot)?;
        let client = Client::new(launch.channel(wire::CONTROL_CHANNEL).context_with(cannot)?);
        let folder = self.args.logs.as_deref().unwrap_or(run_dir.path());
        let console = folder.join(match self.lost {
            0 => "console.log".to_owned(),
            lost => format!("console-{}.log", lost + 1),
        });
        launch.console_log = Some(console.clone());
        let vm = Vm::start(launch, START_DEADLINE).or_exit(Exit::Failed)?;
        run_dir.record_child(vm.pid())?;
        Ok(Machine { vm, client, console })
    }
}

/// Stands for a failure that has been told already.
#[derive(Debug, thiserror::Error)]
#[error("the machine did not come up")]
struct Unbooted;

/// A machine that plays the host.
struct Machine {
    vm: Vm,
    client: Client,
    console: PathBuf,
}

/// How a command's run ended from outside.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Channel(#[from] ClientError),
    #[error("interrupted")]
    Interrupted(i32),
    #[error("the command did not end within {0:?}; --timeout gives it longer")]
    TimedOut(Duration),
    #[error("{0}")]
    Results(Fail),
}

/// How a machine's run ended, and how the machine was lost if it did not come to an end.
struct End {
    result: Result<(), Fail>,
    lost: Option<How>,
}

/// How a machine was lost.
struct How {
    sentence: String,
    /// Of its kernel's log.
    lines: Vec<String>,
}

impl How {
    fn of(lost: &Lost, trouble: Option<&kernel_log::Trouble>) -> How {
        let sentence = match (trouble, lost) {
            (Some(trouble), _) if trouble.kind > Kind::Warning => {
                format!("the machine's kernel {}", trouble.kind)
            }
            (_, Lost::TimedOut(_)) => "the time was up".to_owned(),
            (_, Lost::Channel(ClientError::Timeout { .. })) => "the machine hung".to_owned(),
            _ => "the machine was lost".to_owned(),
        };
        How { sentence, lines: trouble.map(|trouble| trouble.lines.clone()).unwrap_or_default() }
    }
}

impl Machine {
    /// Runs `command`, and passes on what it prints and leaves.
    fn attend(
        &mut self,
        command: &[String],
        setting: &Setting<'_>,
        deadline: Instant,
        results: &mut Results,
    ) -> Result<Ended, Lost> {
        let Setting { args, cargo, interrupt, .. } = setting;
        let request = Request::Run { argv: image::argv(command), env: cargo.env() };
        self.client.send(&request, SILENCE)?;
        let (vm, late) = (&self.vm, Cell::new(false));
        let mut failed = None;
        let mut alive = || {
            late.set(Instant::now() >= deadline);
            vm.alive() && interrupt.signal().is_none() && !late.get()
        };
        let mut hear = |event: Event| -> io::Result<()> {
            match event {
                Event::Output { stream: Stream::Stdout, data } => pass_on(&mut io::stdout().lock(), &data)?,
                Event::Output { stream: Stream::Stderr, data } => pass_on(&mut io::stderr().lock(), &data)?,
                Event::File { name, data, first, last } => {
                    if let Err(fail) = results.take(&name, &data, first, last) {
                        failed = Some(fail);
                        return Err(io::ErrorKind::Other.into());
                    }
                }
                Event::Alive | Event::Hello(_) | Event::Fault { .. } => {}
            }
            // A command that prints all the time is late as well.
            if Instant::now() >= deadline {
                late.set(true);
                return Err(io::ErrorKind::TimedOut.into());
            }
            Ok(())
        };
        let answer = self.client.answer_after_events(RUN, SILENCE, &mut alive, &mut hear);
        match answer {
            Ok(Reply::Ended(ended)) => Ok(ended),
            Ok(_) => Err(ClientError::OutOfTurn { what: RUN }.into()),
            Err(error) => Err(match (interrupt.signal(), failed, late.get()) {
                (Some(signal), ..) => Lost::Interrupted(signal),
                (_, Some(fail), _) => Lost::Results(fail),
                (.., true) => Lost::TimedOut(args.timeout),
                _ => Lost::Channel(error),
            }),
        }
    }

    /// Ends the machine and says how the run ended.
    fn end(self, args: &InVmArgs, ended: Result<Ended, impl Into<Lost>>) -> End {
        let ended = ended.map_err(Into::into);
        let mut lost = None;
        let result = self.settle(args, ended, &mut lost);
        End { result, lost }
    }

    /// [`end`](Machine::end); `how` is set if the command was lost with the machine.
    fn settle(
        mut self,
        args: &InVmArgs,
        ended: Result<Ended, Lost>,
        how: &mut Option<How>,
    ) -> Result<(), Fail> {
        if let (Some(folder), Ok(_)) = (&args.logs, &ended) {
            let vm = &self.vm;
            let log =
                self.client
                    .ask("tell the kernel's log", &Request::KernelLog, LOG_DEADLINE, &mut || vm.alive());
            if let Ok(Reply::KernelLog { text }) = log {
                let path = folder.join("kernel.log");
                fs::write(&path, text).context_with(|| format!("cannot write {}", path.display()))?;
            }
        }
        let _ = self.client.send(&Request::PowerOff, Duration::from_millis(500));
        // A machine that is going down has the end of its log still to write.
        let _ = self.vm.wait(if ended.is_ok() { END_DEADLINE } else { Duration::from_secs(1) });
        let trouble = self.trouble();
        let evidence = self.vm.evidence();
        let quit = self.vm.quit(END_DEADLINE).map(|_| ()).map_err(Fail::failed);
        let kept = match &args.logs {
            Some(folder) => format!("\n  its logs: {}", folder.display()),
            None => String::new(),
        };
        let survived = matches!(ended, Ok(Ended { code: Some(_), .. }));
        if let Err(lost) = &ended
            && !matches!(lost, Lost::Interrupted(_) | Lost::Results(_))
        {
            *how = Some(How::of(lost, trouble.as_ref()));
        }
        let trouble = trouble.filter(|trouble| match trouble.kind {
            Kind::Warning => !args.allow_warnings,
            // Of no account where the command itself was spared.
            Kind::OutOfMemory => !survived,
            _ => true,
        });
        if let Some(trouble) = trouble {
            if trouble.kind == Kind::OutOfMemory {
                let line = trouble.lines.first().map(String::as_str).unwrap_or_default();
                return Err(Fail::failed(anyhow::anyhow!(
                    "the machine ran out of memory; --memory gives it more{kept}\n    {line}"
                )));
            }
            let lines: String = trouble.lines.iter().map(|line| format!("\n    {line}")).collect();
            let sentence = format!("the machine's kernel {}:{lines}{kept}", trouble.kind);
            return Err(match ended {
                Ok(Ended { code: Some(code), .. }) => {
                    Fail::regression(format!("{sentence}\n  the command itself ended with exit code {code}"))
                }
                _ => Fail::regression(sentence),
            });
        }
        match ended {
            Ok(Ended { code: Some(0), .. }) => quit,
            Ok(Ended { code: Some(code), .. }) => {
                let code = u8::try_from(code).unwrap_or(u8::MAX);
                Err(Fail::passed_on(
                    code,
                    format!("the command ended with exit code {code} in the machine{kept}"),
                ))
            }
            Ok(Ended { signal, .. }) => {
                let signal = signal.unwrap_or_default();
                Err(Fail::failed(anyhow::anyhow!(
                    "the command was ended by signal {signal} in the machine{kept}"
                )))
            }
            Err(Lost::Interrupted(signal)) => Err(Fail::signal(signal)),
            Err(Lost::Results(fail)) => Err(fail),
            Err(Lost::TimedOut(limit)) => {
                Err(Fail::failed(anyhow::anyhow!("{}{kept}", Lost::TimedOut(limit))))
            }
            Err(Lost::Channel(ClientError::Timeout { waiting_for: RUN, seconds })) => Err(Fail::regression(
                format!("the machine hung: nothing was heard of it for {seconds:.0} s\n{evidence}{kept}"),
            )),
            Err(Lost::Channel(ClientError::Failed { message, .. })) => Err(Fail::usage(message)),
            Err(Lost::Channel(error)) => {
                Err(Fail::failed(anyhow::anyhow!("{error}\n{evidence}{kept}")).context("the machine failed"))
            }
        }
    }

    /// The worst that its kernel wrote on the console.
    fn trouble(&self) -> Option<kernel_log::Trouble> {
        kernel_log::worst(&read_lossy(&self.console))
    }
}

fn read_lossy(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Writes what a command in the machine printed. A reader that went away is no failure of the command's.
fn pass_on(out: &mut dyn Write, data: &[u8]) -> io::Result<()> {
    match out.write_all(data).and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
