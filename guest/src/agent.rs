//! The agent: answers the host's requests, one after the other, and runs the engine they ask for.

use crate::bridge::Bridge;
use crate::channel;
use crate::command;
use crate::counters::{CounterPage, MAX_PORTS};
use crate::dpdk::Devices;
use crate::memory::{self, PAGE};
use crate::port::{self, GuestIo};
use crate::translator;
use crate::wire::{self, Driver, Event, GuestExtent, Hello, PROTOCOL, Reply, Request};
use netmap_rs::csb::CsbPort;
use netmap_rs::doorbell::Doorbell;
use netmap_rs::layout::{PortLayout, PortLocation, PortShape};
use netmap_rs::memory::Memory;
use pktgen::clock::{Clock, Monotonic};
use pktgen::engine::{Engine, EngineError, EngineThread, FwdEngine, Phase, PortEngine};
use pktgen::ports::csb::CsbIo;
use pktgen::ports::lease::{Lease, Shelf};
use pktgen::spec::{FwdSpec, IdlePolicy, PortRoles, WorkReport};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

/// How long an engine may take to reach a phase or to end: it looks every few milliseconds, but the guest may be
/// short of processor time.
const ENGINE_DEADLINE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct GuestPort {
    /// Of a port in CSB mode.
    memory: Option<Arc<Memory>>,
    io: Option<Shelf<GuestIo>>,
    /// Of an interface, its name.
    interface: Option<String>,
}

struct Running {
    engine: EngineThread,
    ports: Vec<usize>,
}

/// The agent of one guest.
pub struct Agent {
    control: File,
    buffer: Vec<u8>,
    counters: CounterPage,
    ports: BTreeMap<usize, GuestPort>,
    /// Of DPDK's, which no port has claimed.
    devices: Devices,
    running: Option<Running>,
    /// Interfaces on a VALE switch of this kernel.
    bridge: Option<Bridge>,
}

/// Says on the control channel that the guest cannot go on.
pub fn report_fault(message: String) -> io::Result<()> {
    let bytes = wire::encode(&Event::Fault { message })?;
    channel::open(wire::CONTROL_CHANNEL)?.write_all(&bytes)
}

impl Agent {
    /// Opens the control channel and says hello.
    pub fn start() -> io::Result<Agent> {
        let (counters, extents) = memory::allocate(PAGE, false)?;
        let control = channel::open(wire::CONTROL_CHANNEL)?;
        let counters = CounterPage::new(counters);
        let (buffer, ports, devices, running, bridge) = Default::default();
        let mut agent = Agent { control, buffer, counters, ports, devices, running, bridge };
        let hello = hello(extents[0])?;
        agent.say(&Event::Hello(hello))?;
        Ok(agent)
    }

    /// Serves until told to power off.
    pub fn serve(&mut self) -> io::Result<()> {
        loop {
            let reply = match self.hear()? {
                Request::PowerOff => {
                    // Netmap ports close, so that whatever serves them on the host ends before the machine does.
                    self.running = None;
                    self.bridge = None;
                    self.ports.clear();
                    return Ok(());
                }
                request => self.obey(request).unwrap_or_else(|message| Reply::Failed { message }),
            };
            self.say(&reply)?;
        }
    }

    fn say<T: serde::Serialize>(&mut self, message: &T) -> io::Result<()> {
        self.control.write_all(&wire::encode(message)?)
    }

    fn hear(&mut self) -> io::Result<Request> {
        let mut chunk = [0u8; 4096];
        loop {
            if let Some(request) = wire::decode(&mut self.buffer)? {
                return Ok(request);
            }
            match self.control.read(&mut chunk) {
                // The host's end is not connected: it may come back, and ends this machine if it does not.
                Ok(0) => std::thread::sleep(Duration::from_millis(20)),
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn obey(&mut self, request: Request) -> Result<Reply, String> {
        match request {
            Request::Ping => Ok(Reply::Pong { clock_ns: Monotonic.now_ns() }),
            Request::AllocatePort { port, len } => self.allocate_port(port, len),
            Request::OpenPort { port, name, location, shape, mac } => {
                self.open_port(port, &name, &location, &shape, mac).map(|()| Reply::Done)
            }
            Request::OpenInterface { port, name, mac, driver } => {
                self.open_interface(port, &name, mac, driver)
            }
            Request::Prepare { roles, idle } => self.prepare(&roles, idle).map(|()| Reply::Done),
            Request::Forward { ports, specs, idle } => {
                self.forward(ports, &specs, idle).map(|()| Reply::Done)
            }
            Request::Bridge { ports } => self.bridge(ports).map(|()| Reply::Done),
            Request::Floor { size, idle, length_ms } => {
                let length = Duration::from_millis(length_ms.into()).min(ENGINE_DEADLINE);
                let floor = pktgen::engine::floor(size, idle, None, length).map_err(|e| sentence(&e))?;
                Ok(Reply::Floor { histogram: floor.encode() })
            }
            Request::Phase { phase } => self.enter(phase).map(|()| Reply::Done),
            Request::Run { argv, env } => {
                let control = &mut self.control;
                let mut say = |event: &Event| control.write_all(&wire::encode(event)?);
                command::run(&argv, &env, &mut say).map(Reply::Ended).map_err(|e| e.to_string())
            }
            Request::KernelLog => {
                let log = command::kernel_log().map_err(|e| format!("cannot read the kernel's log: {e}"))?;
                Ok(Reply::KernelLog { text: String::from_utf8_lossy(&log).into_owned() })
            }
            Request::Report => self.report(),
            Request::PowerOff => Ok(Reply::Done),
        }
    }

    fn allocate_port(&mut self, port: usize, len: u64) -> Result<Reply, String> {
        if port >= MAX_PORTS || self.ports.contains_key(&port) {
            return Err(format!("port {port} exists already, or is not below {MAX_PORTS}"));
        }
        let (memory, extents) = memory::allocate(len, true)
            .map_err(|e| format!("no {len} bytes of memory for port {port}: {e}"))?;
        self.ports.insert(port, GuestPort { memory: Some(memory), ..GuestPort::default() });
        Ok(Reply::Memory { extents })
    }

    fn open_port(
        &mut self,
        number: usize,
        name: &str,
        location: &PortLocation,
        shape: &PortShape,
        mac: [u8; 6],
    ) -> Result<(), String> {
        let port = self.ports.get_mut(&number);
        let none = || format!("port {number} has no memory");
        let GuestPort { memory, io, .. } = port.ok_or_else(none)?;
        let memory = memory.as_ref().ok_or_else(none)?;
        if io.is_some() {
            return Err(format!("port {number} is open already"));
        }
        let layout = PortLayout::new(shape).map_err(|e| e.to_string())?;
        if layout.location() != *location {
            return Err(format!("port {number} is not laid out as its shape says"));
        }
        let channel = wire::doorbell_channel(number);
        let doorbell = channel::open(&channel).and_then(|f| Doorbell::from_stream(f.into()));
        let doorbell = doorbell.map_err(|e| format!("cannot open {channel}: {e}"))?;
        let csb = CsbPort::open(memory, location, doorbell).map_err(|e| e.to_string())?;
        *io = Some(Shelf::new(GuestIo::Csb(CsbIo::new(csb, name, "uvale", Some(mac)))));
        Ok(())
    }

    fn open_interface(
        &mut self,
        number: usize,
        name: &str,
        mac: [u8; 6],
        driver: Driver,
    ) -> Result<Reply, String> {
        if number >= MAX_PORTS || self.ports.contains_key(&number) {
            return Err(format!("port {number} exists already, or is not below {MAX_PORTS}"));
        }
        let (io, interface) = port::open_interface(name, mac, driver, &mut self.devices)?;
        let name = interface.interface.clone();
        self.ports
            .insert(number, GuestPort { memory: None, io: Some(Shelf::new(io)), interface: Some(name) });
        Ok(Reply::Interface(interface))
    }

    /// A port for an engine, empty.
    fn lease(&self, number: usize) -> Result<Lease<GuestIo>, String> {
        let shelf = self.ports.get(&number).and_then(|p| p.io.as_ref());
        let lease = shelf.and_then(Shelf::lease);
        let mut lease = lease.ok_or_else(|| format!("port {number} is not open"))?;
        lease.discard_received(1 << 16).map_err(|e| sentence(&e))?;
        Ok(lease)
    }

    /// Refuses while an engine runs.
    fn check_idle(&self) -> Result<(), String> {
        match self.running {
            None => Ok(()),
            Some(_) => Err("an engine is running: ask for its report first".into()),
        }
    }

    fn prepare(&mut self, roles: &[(usize, PortRoles)], idle: IdlePolicy) -> Result<(), String> {
        self.check_idle()?;
        let mut engine = Engine::new(idle);
        for (number, roles) in roles {
            let (lease, counters) = (self.lease(*number)?, self.counters.of(*number)?);
            engine.add(PortEngine::new(lease, roles, counters).map_err(|e| sentence(&e))?);
        }
        self.start_engine(engine, roles.iter().map(|(n, _)| *n).collect())
    }

    fn forward(&mut self, ports: [usize; 2], specs: &[FwdSpec; 2], idle: IdlePolicy) -> Result<(), String> {
        self.check_idle()?;
        let [left, right] = ports;
        let counters = [self.counters.of(left)?, self.counters.of(right)?];
        let member = FwdEngine::new(self.lease(left)?, self.lease(right)?, specs, counters);
        let mut engine = Engine::new(idle);
        engine.add(member.map_err(|e| sentence(&e))?);
        self.start_engine(engine, Vec::new())
    }

    fn bridge(&mut self, ports: [usize; 2]) -> Result<(), String> {
        self.check_idle()?;
        if self.bridge.is_none() {
            let mut names = Vec::new();
            for number in ports {
                let port = self.ports.get_mut(&number);
                let port = port.ok_or_else(|| format!("port {number} is not open"))?;
                let name = port.interface.clone().ok_or_else(|| format!("port {number} is no interface"))?;
                // Netmap has one user for it at a time.
                port.io = None;
                names.push(name);
            }
            self.bridge = Some(Bridge::join(&names)?);
        }
        let idle = IdlePolicy { spin: 0, nap_us: 1000, longest_nap_us: 0, wait_after_us: 0 };
        self.start_engine(Engine::new(idle), Vec::new())
    }

    fn start_engine(&mut self, engine: Engine, ports: Vec<usize>) -> Result<(), String> {
        // The first of several processors is the one that the host may have pinned.
        let several = std::thread::available_parallelism().is_ok_and(|processors| processors.get() > 1);
        let engine = EngineThread::spawn("engine", several.then_some(0), engine);
        let engine = engine.map_err(|e| format!("no thread for the engine: {e}"))?;
        self.running = Some(Running { engine, ports });
        Ok(())
    }

    fn enter(&mut self, phase: Phase) -> Result<(), String> {
        let running = self.running.as_mut().ok_or("no engine is running")?;
        let entered = running.engine.enter(phase, ENGINE_DEADLINE);
        if matches!(entered, Err(EngineError::Port(_) | EngineError::Panicked(_) | EngineError::Stopped)) {
            self.running = None;
        }
        if phase == Phase::Send && entered.is_ok() {
            translator::fit_to_load();
        }
        entered.map_err(|e| sentence(&e))
    }

    fn report(&mut self) -> Result<Reply, String> {
        let running = self.running.as_mut().ok_or("no engine is running")?;
        let reports = running.engine.finish(ENGINE_DEADLINE);
        if let Err(late @ EngineError::Late { .. }) = reports {
            return Err(sentence(&late));
        }
        let mut numbers = std::mem::take(&mut running.ports).into_iter();
        self.running = None;
        let (mut ports, mut forwarded) = (Vec::new(), Vec::new());
        for report in reports.map_err(|e| sentence(&e))? {
            match report {
                WorkReport::Port(report) => ports.extend(numbers.next().map(|number| (number, *report))),
                WorkReport::Fwd(reports) => forwarded.extend(reports),
            }
        }
        Ok(Reply::Report { ports, forwarded })
    }
}

/// An error with its causes in one line.
pub(crate) fn sentence(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

fn hello(counters: GuestExtent) -> io::Result<Hello> {
    let uname = rustix::system::uname();
    let info = rustix::system::sysinfo();
    let clocksource = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let uptime: f64 = fs::read_to_string("/proc/uptime")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap_or_default();
    Ok(Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").into(),
        kernel: uname.release().to_string_lossy().into_owned(),
        system: distribution().unwrap_or_default(),
        cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
        memory_kib: info.totalram as u64 * u64::from(info.mem_unit) / 1024,
        hypervisor: translator::hypervisor(),
        clocksource: fs::read_to_string(clocksource).unwrap_or_default().trim_end().to_owned(),
        uptime_ms: (uptime * 1000.0) as u64,
        counters,
    })
}

/// os-release(5) in its one line for people.
fn distribution() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}
