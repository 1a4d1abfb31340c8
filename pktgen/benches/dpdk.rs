//! Two ends of vhost-user connections with DPDK's testpmd as the switch between them: this generator and receiver in one
//! thread, against testpmd's own (`flowgen`) in one thread, on the same switch, in turn.
//!
//! Both send and receive on both ports; this one also one way, from one port to the other. Told is what arrives, in
//! Mpps over both directions, as the median of rounds with the lowest and highest. Needs `dpdk-testpmd` and two processors; 64-byte frames unless `-- SIZE` says another.

use pktgen::clock::{Clock, Monotonic};
use pktgen::counters::Counters;
use pktgen::engine::{Engine, EngineThread, Phase, PortEngine};
use pktgen::ports::dpdk::DpdkPort;
use pktgen::spec::{Addressing, IdlePolicy, PortRoles, Rate, RxSpec, Sizes, Traffic, TxSpec};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const WARM_UP: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(30);
const BUSY: IdlePolicy = IdlePolicy { spin: u32::MAX, nap_us: 0, longest_nap_us: 0, wait_after_us: u32::MAX };

/// A testpmd; killed when dropped.
struct Testpmd(Child);

impl Drop for Testpmd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Its main thread on processor 0, its forwarding thread on `cpu`.
fn testpmd(place: &Path, name: &str, cpu: u32, vdevs: [String; 2], more: &[String]) -> Testpmd {
    let mut command = Command::new("dpdk-testpmd");
    command.arg("--lcores").arg(format!("0@0,1@{cpu}"));
    command.args(["--no-pci", "--no-telemetry", "--no-huge", "--no-shconf", "-m", "256"]);
    command.args(["--log-level=lib.vhost.config:warning", "--file-prefix", name]);
    for vdev in &vdevs {
        command.arg("--vdev").arg(vdev);
    }
    command.args(["--", "--auto-start", "--nb-cores=1", "--total-num-mbufs=16384"]).args(more);
    command.env("RUNTIME_DIRECTORY", place).stdin(Stdio::piped()).stdout(Stdio::piped());
    Testpmd(command.spawn().expect("dpdk-testpmd (Debian: dpdk-dev) starts"))
}

fn ours(sockets: &[PathBuf; 2], both: bool, size: u16, time: Duration) -> f64 {
    let mut engine = Engine::new(BUSY);
    let counters: [Arc<Counters>; 2] = Default::default();
    for (i, socket) in sockets.iter().enumerate() {
        let device = format!("net_virtio_user{i},path={}", socket.display());
        let port = DpdkPort::open(&device, &device, &mut || true).expect("testpmd is there");
        let (src_mac, dst_mac) = ([2, 0, 0, 0, 0, i as u8], [2, 0, 0, 0, 0, 1 - i as u8]);
        let (src_ip, dst_ip, src_port, dst_port, flows) = ([198, 18, 0, 1], [198, 18, 0, 2], 1, 2, 1);
        let addressing = Addressing { src_mac, dst_mac, src_ip, dst_ip, src_port, dst_port, flows };
        let (sizes, rate, burst, count, traffic) =
            (Sizes::Fixed(size), Rate::Max, 64, None, Traffic::default());
        let tx = Some(TxSpec { stream: i as u16, sizes, addressing, rate, burst, count, traffic });
        let roles = PortRoles { tx, rx: Some(RxSpec { burst: 64 }), ..PortRoles::default() };
        let roles = match (both, i) {
            (true, _) => roles,
            (false, 0) => PortRoles { rx: None, ..roles },
            (false, _) => PortRoles { tx: None, ..roles },
        };
        engine.add(PortEngine::new(port, &roles, counters[i].clone()).expect("roles that fit"));
    }
    let mut thread = EngineThread::spawn("engine", Some(0), engine).expect("a thread");
    thread.enter(Phase::Send, LIMIT).expect("the engine runs");
    std::thread::sleep(WARM_UP);
    let received = || counters.iter().map(|port| port.snapshot().rx_frames).sum::<u64>();
    let (start_ns, before) = (Monotonic.now_ns(), received());
    std::thread::sleep(time);
    let (end_ns, after) = (Monotonic.now_ns(), received());
    thread.finish(LIMIT).expect("the engine ends");
    (after - before) as f64 * 1e3 / (end_ns - start_ns) as f64
}

/// testpmd tells once a second how many frames a second each port received; the first second is none.
fn theirs(place: &Path, sockets: &[PathBuf; 2], size: u16, time: Duration) -> f64 {
    let vdevs = [0, 1].map(|i| format!("net_virtio_user{i},path={}", sockets[i].display()));
    let more = ["--forward-mode=flowgen", "--stats-period=1", &format!("--txpkts={size}")].map(str::to_owned);
    let mut generator = testpmd(place, "generator", 0, vdevs, &more);
    let told = generator.0.stdout.take().expect("it is a pipe");
    let end = Instant::now() + LIMIT;
    let wanted = 2 * time.as_secs().max(1) as usize;
    let rates = BufReader::new(told).lines().map_while(Result::ok).take_while(|_| Instant::now() < end);
    let rates = rates.filter_map(|line| {
        let (_, rest) = line.split_once("Rx-pps:")?;
        rest.split_whitespace().next()?.parse::<f64>().ok()
    });
    let rates: Vec<f64> = rates.filter(|&rate| rate > 0.0).skip(2).take(wanted).collect();
    assert_eq!(rates.len(), wanted, "testpmd told too little");
    2.0 * rates.iter().sum::<f64>() / rates.len() as f64 / 1e6
}

fn main() {
    let size = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(64);
    let place = std::env::temp_dir().join(format!("vb-dpdk-bench-{}", std::process::id()));
    std::fs::create_dir(&place).expect("the temporary folder can be written to");
    let sockets = ["vhost0", "vhost1"].map(|name| place.join(name));
    let vdevs = [0, 1].map(|i| format!("net_vhost{i},iface={}", sockets[i].display()));
    let mut switch = testpmd(&place, "switch", 1, vdevs, &["--forward-mode=io".to_owned()]);
    let end = Instant::now() + LIMIT;
    while !sockets.iter().all(|socket| socket.exists()) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    // What it prints is thrown away, so that it never waits for a reader.
    let mut said = switch.0.stdout.take().expect("it is a pipe");
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    let time = Duration::from_secs(2);
    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        rates[0].push(ours(&sockets, true, size, time));
        rates[1].push(theirs(&place, &sockets, size, time));
        rates[2].push(ours(&sockets, false, size, time));
    }
    for (name, rates) in ["vale-bench", "testpmd flowgen", "vale-bench, one way"].iter().zip(&mut rates) {
        rates.sort_by(f64::total_cmp);
        let (low, middle, high) = (rates[0], rates[ROUNDS / 2], rates[ROUNDS - 1]);
        println!("{name:>19}, {size} bytes: {middle:.2} Mpps ({low:.2} to {high:.2})");
    }
    drop(switch);
    let _ = std::fs::remove_dir_all(&place);
}
