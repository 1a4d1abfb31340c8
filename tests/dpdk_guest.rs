//! DPDK in guests: virtio devices on vhost-user, served by DPDK's own testpmd, with this program as the guest's init.
//!
//! The host's side is told step by step here, as a dataplane does it. Skipped as the tests on the host are.

mod fixture;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use fixture::{Bench, READY_DEADLINE, RUN_DEADLINE, Running, Testpmd, count, end_report, has_dpdk};
use guest::client::Client;
use guest::wire::{self, Driver, Interface, Reply, Request};
use pktgen::engine::Phase;
use pktgen::ports::dpdk::Pages;
use pktgen::spec::{
    Addressing, FwdSpec, IdlePolicy, PongSpec, PortReport, PortRoles, Rate, Rewrite, RxSpec, Sizes, Traffic,
    TxSpec,
};
use qemu_ptnet::{
    Accel, Device, Kernel, Launch, MacAddr, Net, Netdev, NicModel, QUICK_BOOT, Qemu, SharedRam, VirtioNet,
    Vm, VmSpec,
};

const START_DEADLINE: Duration = Duration::from_secs(30);
const BOOT_DEADLINE: Duration = fixture::BOOT_DEADLINE;
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);
const MEMORY_MIB: u32 = 448;
/// Beyond three times the 256 slots of a ring.
const FRAMES: u64 = 2_000;
const IDLE: IdlePolicy = IdlePolicy { spin: 0, nap_us: 50, longest_nap_us: 0, wait_after_us: u32::MAX };

struct Guest {
    vm: Vm,
    client: Client,
}

impl Guest {
    /// Boots a guest with a device on each of these sockets.
    fn boot(sockets: &[PathBuf], virtio: &VirtioNet) -> Guest {
        let qemu = Qemu::find(None).unwrap();
        let kernel = Kernel::find(None).unwrap();
        let program = env!("CARGO_BIN_EXE_vale-bench").into();
        let image = vale_bench::guests::image(program, &kernel, &[], true).unwrap();
        let mut launch = Launch::new(VmSpec::new("vm1", &qemu.path, Accel::TCG));
        launch.shared_ram(&SharedRam::new(MEMORY_MIB).unwrap()).unwrap();
        launch.boot(kernel.image.clone(), &image, QUICK_BOOT).unwrap();
        let client = Client::new(launch.channel(wire::CONTROL_CHANNEL).unwrap());
        for (port, path) in sockets.iter().enumerate() {
            let netdev = Netdev::VhostUser { path: path.clone(), server: false };
            let model = NicModel::Virtio(virtio.clone());
            launch.spec.devices.push(Device::Net(Net { mac: MacAddr(mac(port)), netdev, model }));
        }
        let vm = Vm::start(launch, START_DEADLINE).unwrap();
        let mut guest = Guest { vm, client };
        let Guest { vm, client } = &mut guest;
        client.hello(BOOT_DEADLINE, &mut || vm.alive()).unwrap_or_else(|e| panic!("{e}\n{}", vm.evidence()));
        guest
    }

    fn ask(&mut self, request: &Request) -> Reply {
        let Guest { vm, client } = self;
        let answer = client.ask("answer", request, ANSWER_DEADLINE, &mut || vm.alive());
        answer.unwrap_or_else(|e| panic!("{e}\n{}", vm.evidence()))
    }

    fn open(&mut self, port: usize) -> Interface {
        let request = Request::OpenInterface {
            port,
            name: format!("vm1:{port}"),
            mac: mac(port),
            driver: Driver::Dpdk,
        };
        match self.ask(&request) {
            Reply::Interface(interface) => interface,
            other => panic!("{other:?}"),
        }
    }

    fn prepare(&mut self, roles: PortRoles) {
        assert_eq!(self.ask(&Request::Prepare { roles: vec![(0, roles)], idle: IDLE }), Reply::Done);
    }

    fn enter(&mut self, phase: Phase) {
        assert_eq!(self.ask(&Request::Phase { phase }), Reply::Done);
    }

    fn report(&mut self) -> PortReport {
        match self.ask(&Request::Report) {
            Reply::Report { ports, .. } => ports[0].1.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn power_off(mut self) {
        self.client.send(&Request::PowerOff, ANSWER_DEADLINE).unwrap();
        let status = self.vm.wait(ANSWER_DEADLINE).unwrap();
        assert!(status.is_some_and(|status| status.success()), "{status:?}\n{}", self.vm.evidence());
    }
}

fn mac(port: usize) -> [u8; 6] {
    [2, 0, 0, 0, 7, port as u8]
}

fn sender() -> PortRoles {
    let addressing = Addressing {
        src_mac: mac(0),
        dst_mac: [0xff; 6],
        src_ip: [198, 18, 0, 1],
        dst_ip: [198, 18, 0, 2],
        src_port: 1,
        dst_port: 2,
        flows: 1,
    };
    let (sizes, rate, count) = (Sizes::Cycle(vec![64, 1518]), Rate::Pps(1_000.0), Some(FRAMES));
    PortRoles {
        tx: Some(TxSpec {
            stream: 0,
            sizes,
            addressing,
            rate,
            burst: 32,
            count,
            traffic: Traffic::default(),
        }),
        ..PortRoles::default()
    }
}

fn bench() -> Option<Bench> {
    if has_dpdk() { Bench::with_guests() } else { None }
}

fn host(bench: &Bench, line: &str) -> Running {
    let mut running = bench.start(line);
    running.says("is up", READY_DEADLINE);
    running
}

/// A machine that is busy with other things may lose some, but not each time.
fn lossless(mut run: impl FnMut() -> bool) {
    assert!((0..5).any(|_| run()), "frames were lost in each of five tries");
}

/// A guest whose device has these options sends, receives and answers, and says what was negotiated.
fn talks(virtio: &VirtioNet, packed: bool, mergeable: bool) {
    let Some(bench) = bench() else { return };
    let testpmd = Testpmd::start(&bench);
    let mut guest = Guest::boot(&[testpmd.socket(0).to_owned()], virtio);
    let facts = guest.open(0).dpdk.expect("DPDK opened it");
    assert_eq!((facts.driver.as_str(), facts.pages), ("net_virtio", Pages::Huge), "{facts:?}");
    let agreed = facts.virtio.expect("a virtio device negotiates");
    assert_eq!((agreed.packed, agreed.mergeable, agreed.modern), (packed, mergeable, true), "{agreed:?}");

    let end = testpmd.end(1, "");
    let sends = |guest: &mut Guest| {
        let line = format!("rx --format json -n {FRAMES} -W 5s --duration 100s -i {end}");
        let rx = host(&bench, &line);
        guest.prepare(sender());
        guest.enter(Phase::Receive);
        guest.enter(Phase::Send);
        let got = end_report(rx.ends_within(2 * RUN_DEADLINE).succeeds());
        guest.enter(Phase::StopSend);
        assert_eq!(guest.report().tx.unwrap().sent, FRAMES);
        assert_eq!(count(&got, "/roles/rx/corrupt_frames"), 0);
        (count(&got, "/roles/rx/received_frames"), count(&got, "/roles/rx/received_bytes"))
    };
    lossless(|| sends(&mut guest) == (FRAMES, FRAMES / 2 * (64 + 1518)));
    let receives = |guest: &mut Guest| {
        guest.prepare(PortRoles { rx: Some(RxSpec { burst: 256 }), ..PortRoles::default() });
        guest.enter(Phase::Receive);
        bench.run(&format!("tx -n {FRAMES} -b 32 -R 1k --size 64,1518 -i {end}")).succeeds();
        std::thread::sleep(Duration::from_millis(500));
        let rx = guest.report().rx.unwrap();
        assert_eq!((rx.corrupt, rx.foreign, rx.streams[0].reordered), (0, 0, 0), "{rx:?}");
        rx.received
    };
    lossless(|| receives(&mut guest) == FRAMES);

    guest.prepare(PortRoles { pong: Some(PongSpec { burst: 32 }), ..PortRoles::default() });
    guest.enter(Phase::Receive);
    let ping =
        end_report(bench.run(&format!("ping -n 200 --timeout 20000 --format json -i {end}")).succeeds());
    assert_eq!(count(&ping, "/roles/ping/received_probes"), 200);
    assert_eq!(guest.report().pong.unwrap().echoed, 200);
    guest.power_off();
    testpmd.end_of_test(&bench);
}

#[test]
fn a_guest_talks_on_packed_rings() {
    let virtio = VirtioNet { packed: Some(true), mrg_rxbuf: Some(false), ..VirtioNet::default() };
    talks(&virtio, true, false);
}

#[test]
fn a_guest_talks_on_split_rings_with_mergeable_buffers() {
    talks(&VirtioNet { mrg_rxbuf: Some(true), ..VirtioNet::default() }, false, true);
}

#[test]
fn a_guest_forwards_between_two_ports_and_rewrites_addresses() {
    let Some(bench) = bench() else { return };
    let (left, right) = (bench.path("left"), bench.path("right"));
    let testpmds = [&left, &right].map(|place| Testpmd::start_in(&bench, place));
    let sockets = [0, 1].map(|i| testpmds[i].socket(0).to_owned());
    let virtio = VirtioNet { packed: Some(true), mrg_rxbuf: Some(false), ..VirtioNet::default() };
    let mut guest = Guest::boot(&sockets, &virtio);
    // Not in the order in which they are plugged.
    let devices = [1, 0].map(|port| guest.open(port).interface);
    assert_ne!(devices[0], devices[1]);
    let rewrite = Rewrite::Set { dst: [2, 0, 0, 0, 9, 9], src: mac(1) };
    let specs = [rewrite, Rewrite::Keep].map(|rewrite| FwdSpec { burst: 64, rewrite, timed: false });
    let run = || {
        let request = Request::Forward { ports: [0, 1], specs: specs.clone(), idle: IDLE };
        assert_eq!(guest.ask(&request), Reply::Done);
        guest.enter(Phase::Receive);
        let line = "rx --format json -n 1000 -W 5s --duration 100s --dump kept.pcap -i";
        let rx = host(&bench, &format!("{line} {}", testpmds[1].end(1, "")));
        bench.run(&format!("tx -n 1000 -b 32 -R 1k -i {}", testpmds[0].end(1, ""))).succeeds();
        let got = end_report(rx.ends_within(RUN_DEADLINE).succeeds());
        let Reply::Report { ports, forwarded } = guest.ask(&Request::Report) else { panic!("no report") };
        assert!(ports.is_empty());
        // Whatever came in went out.
        assert_eq!((forwarded[0].received, forwarded[0].dropped), (forwarded[0].forwarded, 0));
        count(&got, "/roles/rx/received_frames") == 1000 && forwarded[0].forwarded == 1000
    };
    lossless(run);
    let kept = std::fs::read(bench.path("kept.pcap")).unwrap();
    // Behind the file's header and the packet's.
    assert_eq!(kept[40..52], [[2, 0, 0, 0, 9, 9], mac(1)].concat());
    guest.power_off();
    let [first, second] = testpmds;
    drop(first);
    second.end_of_test(&bench);
}

#[test]
fn a_guest_says_that_its_switch_is_gone() {
    let Some(bench) = bench() else { return };
    let mut testpmd = Testpmd::start(&bench);
    let virtio = VirtioNet { packed: Some(true), mrg_rxbuf: Some(false), ..VirtioNet::default() };
    let mut guest = Guest::boot(&[testpmd.socket(0).to_owned()], &virtio);
    guest.open(0);
    guest.prepare(sender());
    guest.enter(Phase::Receive);
    testpmd.kill();
    guest.enter(Phase::Send);
    // Once its ring is full it looks why.
    let end = Instant::now() + ANSWER_DEADLINE;
    let Guest { vm, client } = &mut guest;
    let answer = loop {
        let again = Request::Phase { phase: Phase::Send };
        let answer = client.ask("go on", &again, ANSWER_DEADLINE, &mut || vm.alive());
        if answer.is_err() || Instant::now() >= end {
            break answer;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let error = answer.unwrap_err().to_string();
    assert!(error.contains("its link went down"), "{error}\n{}", vm.evidence());
    drop(guest);
    bench.leaves_nothing_behind();
}

#[test]
fn an_address_that_no_device_has_is_said() {
    let Some(bench) = bench() else { return };
    let testpmd = Testpmd::start(&bench);
    let mut guest = Guest::boot(&[testpmd.socket(0).to_owned()], &VirtioNet::default());
    let request =
        Request::OpenInterface { port: 0, name: "x".into(), mac: [2, 9, 9, 9, 9, 9], driver: Driver::Dpdk };
    let Guest { vm, client } = &mut guest;
    let error = client.ask("open", &request, ANSWER_DEADLINE, &mut || vm.alive()).unwrap_err().to_string();
    assert!(error.contains("02:09:09:09:09:09") && error.contains("1 without a port"), "{error}");
    guest.power_off();
}
