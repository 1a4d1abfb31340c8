//! A vhost-user switch that a file describes: how it is started, when it is ready, how ports are made and joined,
//! what it counts, how it ends.
//!
//! The file is TOML (`document`) with variables in its texts (`template`). It is read and checked whole before
//! anything is started.

mod document;
mod template;

use super::vhost::{self, VhostSwitch, Wiring};
use super::{Dataplane, Idle, Lab, Lack, Setting, Wanted};
use crate::cli::RoleChoice;
use crate::doctor::Facts;
use crate::exit::{Fail, FailContext};
use crate::interrupt::Interrupt;
use crate::machine::usable_cpus;
use crate::program::{self, Program, Running, Share};
use document::{CommandLine, Document, Fragment, Joins, Role, Template};
use regex::Regex;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use template::{Piece, Values};

pub use document::ProfileError;

/// How long a command of a profile may take.
const COMMAND_DEADLINE: Duration = Duration::from_secs(20);
/// How long a switch that naps by itself shall nap where busy threads share processors, in microseconds.
const NAP_US: u32 = 50;
/// How long a switch may take to print its counters.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// The dataplane that a file describes.
#[derive(Debug, Clone)]
pub struct Profile {
    document: Document,
    what: String,
}

impl Profile {
    /// Reads the profile at `path`.
    pub fn read(path: &Path) -> Result<Profile, ProfileError> {
        let document = Document::read(path)?;
        let what = format!("{} ({})", document.what, path.display());
        Ok(Profile { document, what })
    }

    fn role(&self) -> RoleChoice {
        match self.document.roles.get_ref().first() {
            Some(Role::Client) => RoleChoice::Client,
            _ => RoleChoice::Server,
        }
    }

    fn has_role(&self, role: RoleChoice) -> bool {
        self.document.roles.get_ref().iter().any(|&known| match known {
            Role::Client => role == RoleChoice::Client,
            Role::Server => role == RoleChoice::Server,
        })
    }
}

impl Dataplane for Profile {
    fn name(&self) -> &str {
        self.document.name.get_ref()
    }

    fn what(&self) -> &str {
        &self.what
    }

    fn options(&self) -> Vec<&'static str> {
        [vhost::OPTIONS, &[vhost::ROLE]].concat()
    }

    fn lacks(&self, facts: &Facts, wanted: &Wanted<'_>) -> Vec<Lack> {
        let command = self.document.start.command.get_ref();
        // A program that a variable names is looked for when it is started.
        let program = command.first().map(|program| program.get_ref()).filter(|name| !name.contains('$'));
        let found = |name: &String| match name.contains('/') {
            true => program::is_program(Path::new(name)),
            false => program::find(name).is_some(),
        };
        let lack = program.filter(|name| !found(name)).map(|name| {
            Lack::new(format!("the program {name}"), format!("install what has {name}, or put it in PATH"))
        });
        lack.into_iter().chain(vhost::lacks(facts, wanted)).collect()
    }

    fn bring_up(&self, setting: &Setting<'_>) -> Result<Lab, Fail> {
        if let Some(role) = setting.bench.vhost.vhost_role.filter(|&role| !self.has_role(role)) {
            let sentence = format!("{} cannot be a vhost-user {role:?}, as --vhost-role says", self.name());
            return Err(Fail::usage(sentence.to_lowercase()));
        }
        vhost::bring_up(setting, self.name(), self.role(), &mut |wiring| start(&self.document, wiring))
    }
}

/// What a profile's variables stand for in one run.
struct Scope {
    run: Values,
    /// Of each port.
    ports: Vec<Values>,
    /// Of each pair.
    pairs: Vec<Values>,
    /// What was made once for each port or pair.
    fragments: BTreeMap<String, Vec<String>>,
}

impl Scope {
    fn new(document: &Document, wiring: &Wiring<'_>, folder: &Path) -> Result<Scope, Fail> {
        let name = document.name.get_ref();
        let topology = wiring.setting.topology;
        let (order, pairs) = match document.joins {
            Joins::Addresses if topology.segment_count() > 1 => {
                return Err(Fail::usage(format!(
                    "{name} is one switch that learns addresses, and {} needs a switch for each of its {} hops: \
                     write a profile that joins ports by pairs",
                    topology.scenario,
                    topology.segment_count()
                )));
            }
            Joins::Addresses => ((0..wiring.ports.len()).collect(), Vec::new()),
            Joins::Pairs => {
                let pairs = topology.pairs(name)?;
                (pairs.iter().flat_map(|&(a, b)| [a, b]).collect::<Vec<_>>(), pairs)
            }
        };
        let number = |port: usize| order.iter().position(|&at| at == port).unwrap_or(port);
        let port = |port: usize| {
            let (its, mac) = (&wiring.ports[port], super::mac(port));
            let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            let socket = its.socket.display().to_string();
            let number = number(port).to_string();
            Values::from([("number", number), ("name", its.name.clone()), ("socket", socket), ("mac", mac)])
        };
        let ports: Vec<Values> = (0..wiring.ports.len()).map(port).collect();
        let pair = |(index, &(a, b)): (usize, &(usize, usize))| {
            let of = |port: usize, key: &str| ports[port][key].clone();
            Values::from([
                ("pair", index.to_string()),
                ("a", of(a, "number")),
                ("b", of(b, "number")),
                ("name_a", of(a, "name")),
                ("name_b", of(b, "name")),
                ("socket_a", of(a, "socket")),
                ("socket_b", of(b, "socket")),
            ])
        };
        let pairs = pairs.iter().enumerate().map(pair).collect();
        let mut scope = Scope { run: run_values(wiring, folder), ports, pairs, fragments: BTreeMap::new() };
        let by_number = order.iter().map(|&port| &scope.ports[port]);
        let of_ports =
            document.each_port.iter().map(|(name, made)| (name, scope.make(made, by_number.clone())));
        let of_pairs =
            document.each_pair.iter().map(|(name, made)| (name, scope.make(made, scope.pairs.iter())));
        let fragments = of_ports.chain(of_pairs).map(|(name, made)| (name.get_ref().clone(), made)).collect();
        scope.fragments = fragments;
        Ok(scope)
    }

    fn make<'v>(&self, fragment: &Fragment, each: impl Iterator<Item = &'v Values>) -> Vec<String> {
        each.flat_map(|values| match fragment {
            Fragment::Line(line) => vec![self.text(line, values)],
            Fragment::Arguments(arguments) => arguments.iter().map(|a| self.text(a, values)).collect(),
        })
        .collect()
    }

    fn text(&self, template: &Template, more: &Values) -> String {
        template::expand(template.get_ref(), |name| {
            let own = more.get(name).or_else(|| self.run.get(name)).cloned();
            own.or_else(|| self.fragments.get(name).map(|lines| lines.join("\n")))
        })
    }

    /// A command; a word that is nothing but the name of several arguments becomes those.
    fn command(&self, command: &CommandLine, more: &Values) -> Vec<OsString> {
        let words = command.iter().flat_map(|word| {
            let several = match template::pieces(word.get_ref()).as_deref() {
                Ok([Piece::Variable(name, _)]) => self.fragments.get(*name).cloned(),
                _ => None,
            };
            several.unwrap_or_else(|| vec![self.text(word, more)])
        });
        words.map(OsString::from).collect()
    }
}

fn run_values(wiring: &Wiring<'_>, folder: &Path) -> Values {
    let setting = wiring.setting;
    let usable = usable_cpus();
    let cpu =
        setting.placement.switch.map_or_else(|| usable.last().copied().unwrap_or_default(), |cpu| cpu as u32);
    let cpus = match setting.placement.switch {
        Some(cpu) => cpu.to_string(),
        None => usable.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
    };
    let client = !wiring.listens();
    Values::from([
        ("dir", folder.display().to_string()),
        ("cpu", cpu.to_string()),
        ("cpus", cpus),
        ("cpu_mask", format!("0x{:x}", 1u128 << cpu.min(127))),
        ("idle", wiring.idle().label().to_owned()),
        ("nap_us", if wiring.idle() == Idle::Nap { NAP_US } else { 0 }.to_string()),
        ("role", if client { "client" } else { "server" }.to_owned()),
        ("client", u8::from(client).to_string()),
        ("queue_size", wiring.virtio.queue_size.to_string()),
        ("queues", wiring.virtio.queues.to_string()),
        ("ports", wiring.ports.len().to_string()),
    ])
}

/// Patterns of a port's counters.
struct Patterns {
    taken: Regex,
    delivered: Regex,
    dropped: Option<Regex>,
}

struct Described {
    document: Document,
    scope: Scope,
    folder: PathBuf,
    running: Running,
    /// Of each port.
    patterns: Vec<Patterns>,
    version: Option<String>,
    share: Share,
}

fn start(document: &Document, wiring: &Wiring<'_>) -> Result<Box<dyn VhostSwitch>, Fail> {
    let setting = wiring.setting;
    let name = document.name.get_ref();
    let folder = setting.run_dir.join(format!("profile-{name}"));
    fs::create_dir(&folder).context_with(|| format!("cannot make {}", folder.display()))?;
    let scope = Scope::new(document, wiring, &folder)?;
    let none = Values::new();
    for (file, text) in &document.files {
        let path = folder.join(file.get_ref());
        fs::write(&path, scope.text(text, &none))
            .context_with(|| format!("cannot write {}", path.display()))?;
    }
    let version = match &document.version {
        Some(command) => {
            let answer = program::ask(&scope.command(command, &none), &[], &folder, COMMAND_DEADLINE)?;
            answer.lines().next().map(|line| line.trim().to_owned())
        }
        None => None,
    };
    let mut program = Program::new(name, scope.command(document.start.command.get_ref(), &none));
    program.env = document.start.env.iter().map(|(k, v)| (k.clone(), scope.text(v, &none).into())).collect();
    program.listens = document.start.listens;
    let mut running = program.start(setting.run_dir)?;
    await_ready(document, &scope, &folder, &mut running, setting.interrupt)?;
    // Wrappers become other programs, and this one has its final name now.
    setting.run_dir.record_child(running.pid())?;
    let run = |command: &CommandLine, values: &Values| {
        program::ask(&scope.command(command, values), &[], &folder, COMMAND_DEADLINE).map(drop)
    };
    let setup = || -> Result<(), Fail> {
        let setup = &document.setup;
        scope.ports.iter().try_for_each(|port| setup.each_port.iter().try_for_each(|c| run(c, port)))?;
        scope.pairs.iter().try_for_each(|pair| setup.each_pair.iter().try_for_each(|c| run(c, pair)))?;
        setup.last.iter().try_for_each(|command| run(command, &none))
    };
    if let Err(fail) = setup() {
        running.healthy()?;
        return Err(running.failure(&format!("could not be set up: {fail}")));
    }
    running
        .wait_until("its sockets", COMMAND_DEADLINE, setting.interrupt, |_| Ok(wiring.sockets_are_there()))?;
    let nap = wiring.idle() == Idle::Nap && !document.threads.naps;
    let share = if nap { Share::Idle } else { Share::Normal };
    running.share(&document.threads.busy, share)?;
    let patterns = document.counters.iter().flat_map(|counters| {
        scope.ports.iter().map(|port| {
            let regex = |pattern: &Template| Regex::new(&scope.text(pattern, port));
            Ok::<_, regex::Error>(Patterns {
                taken: regex(&counters.taken)?,
                delivered: regex(&counters.delivered)?,
                dropped: counters.dropped.as_ref().map(regex).transpose()?,
            })
        })
    });
    let patterns = patterns.collect::<Result<_, _>>()?;
    let document = document.clone();
    Ok(Box::new(Described { document, scope, folder, running, patterns, version, share }))
}

fn await_ready(
    document: &Document,
    scope: &Scope,
    folder: &Path,
    running: &mut Running,
    interrupt: &Interrupt,
) -> Result<(), Fail> {
    let none = Values::new();
    let ready = &document.ready;
    let prints = ready.prints.as_ref().map(|text| scope.text(text, &none));
    let exists = ready.exists.as_ref().map(|path| PathBuf::from(scope.text(path, &none)));
    let command = ready.command.as_ref().map(|command| scope.command(command, &none));
    let what = match (&prints, &exists, &command) {
        (Some(text), ..) => format!("its output {text:?}"),
        (_, Some(path), _) => path.display().to_string(),
        _ => "its readiness".to_owned(),
    };
    let within = Duration::from_secs(ready.within_s.into());
    running.wait_until(&what, within, interrupt, |running| {
        let printed = prints.as_ref().is_none_or(|text| running.output(0).contains(text));
        let there = exists.as_ref().is_none_or(|path| path.exists());
        // A command that fails is asked again; only the deadline says that it will not do any more.
        let answers = |argv: &Vec<OsString>| program::ask(argv, &[], folder, COMMAND_DEADLINE).is_ok();
        Ok(printed && there && command.as_ref().is_none_or(answers))
    })
}

impl VhostSwitch for Described {
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let forwarding = match self.document.joins {
            Joins::Pairs => "port to port",
            Joins::Addresses => "learns addresses",
        };
        let idle =
            if self.document.threads.naps { "its own".to_owned() } else { self.share.label().to_owned() };
        let tested = if self.document.tested { "tested" } else { "untested" };
        let mut parameters = vec![
            ("forwarding", forwarding.to_owned()),
            ("switch_idle", idle),
            ("profile", tested.to_owned()),
        ];
        parameters.extend(self.version.clone().map(|version| ("switch_version", version)));
        parameters
    }

    fn busy_threads(&self) -> u32 {
        let busy = &self.document.threads.busy;
        self.running.threads().iter().filter(|thread| thread.name.starts_with(busy)).count() as u32
    }

    fn programs(&mut self) -> Vec<&mut Running> {
        vec![&mut self.running]
    }

    fn mover(&self) -> &Running {
        &self.running
    }

    fn counters(&mut self, port: usize) -> Result<BTreeMap<String, u64>, Fail> {
        let (Some(counters), Some(patterns)) = (&self.document.counters, self.patterns.get(port)) else {
            return Ok(BTreeMap::new());
        };
        let values = &self.scope.ports[port];
        let answer = match (&counters.command, &counters.tell, &counters.until) {
            (Some(command), ..) => {
                let argv = self.scope.command(command, values);
                program::ask(&argv, &[], &self.folder, COMMAND_DEADLINE)?
            }
            (None, Some(tell), Some(until)) => {
                let (tell, until) = (self.scope.text(tell, values), self.scope.text(until, values));
                self.running.answer(&tell, &until, ANSWER_DEADLINE, Interrupt::install()?)?
            }
            _ => return Ok(BTreeMap::new()),
        };
        read_counters(patterns, &answer)
            .map_err(|name| self.running.failure(&format!("printed no {name} for port {port}: {answer:?}")))
    }

    fn counts_drops(&self) -> bool {
        self.document.counters.as_ref().is_some_and(|counters| counters.complete)
    }

    fn await_ports(&mut self, _interrupt: &Interrupt) -> Result<(), Fail> {
        self.running.healthy()
    }

    fn shut_down(&mut self) -> Result<(), Fail> {
        let none = Values::new();
        let stop = self.document.stop.as_ref();
        if let Some(command) = stop.and_then(|stop| stop.command.as_ref()) {
            // One that does not hear any more is ended by a signal.
            let _ = program::ask(&self.scope.command(command, &none), &[], &self.folder, COMMAND_DEADLINE);
        }
        let tell = stop.and_then(|stop| stop.tell.as_ref()).map(|tell| self.scope.text(tell, &none));
        let grace = Duration::from_secs(stop.map_or(0, |stop| stop.within_s.into()));
        let name = self.document.name.get_ref();
        self.running.stop(tell.as_deref(), grace).context_with(|| format!("cannot end {name}"))
    }
}

/// The figures in `answer`, or which of them is not there.
fn read_counters(patterns: &Patterns, answer: &str) -> Result<BTreeMap<String, u64>, &'static str> {
    let all = [
        ("tx_frames", Some(&patterns.taken)),
        ("rx_frames", Some(&patterns.delivered)),
        ("drop_rx_full", patterns.dropped.as_ref()),
    ];
    let mut counters = BTreeMap::new();
    for (name, pattern) in all {
        let Some(pattern) = pattern else { continue };
        let number = pattern.captures(answer).and_then(|found| found.get(1)?.as_str().parse().ok());
        counters.insert(name.to_owned(), number.ok_or(name)?);
    }
    Ok(counters)
}
