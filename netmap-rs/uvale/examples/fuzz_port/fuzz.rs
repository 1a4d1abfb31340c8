//! The fuzzing itself. In episodes, each with a port of another shape, one thread attacks through the port's
//! memory and doorbell while another exchanges checked frames between two honest ports.

#[path = "honest.rs"]
mod honest;
#[path = "region.rs"]
mod region;

use honest::Honest;
use netmap_rs::csb::CsbPort;
use netmap_rs::doorbell::Doorbell;
use netmap_rs::layout::{PortLayout, PortLocation, PortShape};
use region::Region;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use uvale::{IdlePolicy, Snapshot, Switch, SwitchConfig};

/// `splitmix64` (Steele, Lea and Flood 2014): good enough to be rude with.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// What was done and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) episodes: u64,
    /// Rounds of each kind of attack.
    pub(crate) attacks: BTreeMap<&'static str, u64>,
    /// Frames honest ports sent each other, received, and lost to full rings.
    pub(crate) honest: honest::Outcome,
    /// Counted by all ports together, the attacker's included.
    pub(crate) counted: Vec<(&'static str, u64)>,
    pub(crate) resets: u64,
    pub(crate) faults: BTreeMap<String, u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let honest::Outcome { sent, received, lost, foreign } = self.honest;
        writeln!(f, "{} episodes, rounds of attack: {:?}", self.episodes, self.attacks)?;
        writeln!(
            f,
            "honest ports: {sent} sent, {received} received, {lost} lost to full rings, all accounted for"
        )?;
        writeln!(f, "honest ports received {foreign} frames of the attacker's")?;
        writeln!(f, "all ports together counted: {:?}", self.counted)?;
        writeln!(f, "faults reported: {:?}", self.faults)
    }
}

/// Raises its flag when it is dropped: a panic on one thread must not leave the others waiting.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Attacks for `length`.
pub(crate) fn run(length: Duration, seed: u64) -> Report {
    let idle = IdlePolicy { spin_rounds: 50, nap_us: 20, sleep_after_us: 100 };
    let switch = Switch::start(SwitchConfig { name: "fuzz".into(), cpu: None, idle }).expect("a switch");
    let mut random = Random(seed);
    let mut report = Report::default();
    let mut total = Snapshot::default();
    let ends = Instant::now() + length;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let honest = Honest::new(&switch);
        let traffic = scope.spawn(|| honest.run(&stop));
        let ending = Raise(&stop);
        while Instant::now() < ends {
            assert!(switch.is_running(), "the switch has stopped");
            let attack = episode(&switch, &mut random, ends);
            total = total.plus(&attack.counted);
            for (name, rounds) in attack.rounds {
                *report.attacks.entry(name).or_default() += rounds;
            }
            for fault in switch.take_faults() {
                *report.faults.entry(format!("{:?}", fault.kind)).or_default() += 1;
            }
            report.episodes += 1;
        }
        drop(ending);
        report.honest = traffic.join().expect("honest traffic");
    });
    for (_, _, s) in switch.ports() {
        total = total.plus(&s);
        // Only to the attacker between two of its ports.
        assert_eq!(
            (s.drops_as_sender() - s.drop_no_port, s.resets),
            (0, 0),
            "an honest port found bad: {s:#?}"
        );
    }
    let accounted = total.rx_frames + total.drops_as_receiver();
    assert_eq!(total.copies(), accounted, "the switch's counters do not add up: {total:#?}");
    assert_eq!(switch.late_wakeups(), 0, "a wake-up was lost");
    report.resets = total.resets;
    report.counted = total.named().filter(|(name, n)| *n > 0 && !name.starts_with("rx_")).collect();
    report
}

struct Attacked {
    counted: Snapshot,
    rounds: BTreeMap<&'static str, u64>,
}

fn episode(switch: &Switch, random: &mut Random, ends: Instant) -> Attacked {
    let shape = PortShape {
        tx_rings: random.pick(&[1, 1, 2, 16]),
        rx_rings: random.pick(&[1, 1, 3, 16]),
        tx_slots: random.pick(&[4, 64, 256, 1024]),
        rx_slots: random.pick(&[4, 64, 256, 1024]),
        buf_size: random.pick(&[64, 128, 2048, 4096]),
    };
    let layout = PortLayout::new(&shape).expect("a possible shape");
    let region = Region::new(layout.len());
    let memory = region.memory();
    let (ours, theirs) = Doorbell::socket_pair().expect("two sockets");
    let (id, location) = switch.add_guest_port("hostile", &shape, &memory, ours, None).expect("a port");
    let theirs = Doorbell::from_stream(theirs).expect("a socket");
    let mut attacker = Attacker {
        random: Random(random.next()),
        region,
        location,
        layout,
        doorbell: Some(theirs),
        rounds: BTreeMap::new(),
    };
    let until = ends.min(Instant::now() + Duration::from_millis(20 + random.next() % 100));
    while Instant::now() < until {
        attacker.attack();
    }
    let Attacker { rounds, region, .. } = attacker;
    let counted = switch.retire_port(id).expect("the switch runs").expect("the port was there");
    region.check();
    // Whatever is left in it, an application that opens it gets an error or a port inside the region.
    if let Ok(mut port) = CsbPort::open(&memory, &location, Doorbell::pair().expect("eventfds").0) {
        for ring in &mut port.rx {
            let _ = ring.sync();
            ring.drain(u32::MAX, |slot| assert!(slot.data.len() <= 65536));
        }
        for ring in &mut port.tx {
            let _ = ring.sync();
            ring.fill(u32::MAX, |slot| {
                slot.buf.fill(0x55);
                1
            });
        }
    }
    region.check();
    Attacked { counted, rounds }
}

struct Attacker {
    random: Random,
    region: Region,
    location: PortLocation,
    layout: PortLayout,
    doorbell: Option<Doorbell>,
    rounds: BTreeMap<&'static str, u64>,
}

type Attack = fn(&mut Attacker);

const ATTACKS: [(&str, Attack); 11] = [
    ("random words anywhere", Attacker::anywhere),
    ("random words in the CSB", Attacker::csb),
    ("random words in ring headers and slots", Attacker::control),
    ("cursor sweep", Attacker::sweep),
    ("one buffer in every slot", |a| a.every_slot(|a, _| (a.random.next() as u32 % 8, 60, 0))),
    ("index at the edge", |a| {
        let n = a.layout.num_bufs();
        a.every_slot(|a, _| (a.random.pick(&[0, 1, 2, n - 1, n, n + 1, u32::MAX, 1 << 31]), 60, 0));
    }),
    ("length at the edge", |a| {
        let size = a.layout.shape().buf_size as u16;
        a.every_slot(|a, i| (i + 2, a.random.pick(&[0, 1, 13, 14, 60, size - 1, size, size + 1, 65535]), 0));
    }),
    ("endless chains", |a| a.every_slot(|a, i| (i + 2, 60, if a.random.below(200) == 0 { 0 } else { 0x20 }))),
    ("any flags", |a| a.every_slot(|a, i| (i + 2, 60, a.random.next() as u16))),
    ("kicks", Attacker::kicks),
    ("honest for once", |a| a.every_slot(|_, i| (i + 2, 60, 0))),
];

impl Attacker {
    /// One round of some attack, with the slots given to the switch as an application would, more often than not.
    fn attack(&mut self) {
        let (name, attack) = self.random.pick(&ATTACKS);
        *self.rounds.entry(name).or_default() += 1;
        for _ in 0..1 + self.random.below(20) {
            attack(self);
            if self.random.below(4) > 0 {
                self.give();
            }
            if self.random.below(8) == 0 {
                std::thread::yield_now();
            }
        }
        if self.random.below(2000) == 0 {
            self.doorbell = None;
        }
    }

    fn rings(&self) -> usize {
        usize::from(self.layout.shape().tx_rings) + usize::from(self.layout.shape().rx_rings)
    }

    fn slots(&self, ring: usize) -> u32 {
        let shape = self.layout.shape();
        if ring < usize::from(shape.tx_rings) { shape.tx_slots } else { shape.rx_slots }
    }

    /// `head` and `cur` are words 0 and 1 of an `nm_csb_atok`, the need-kick flag word 2.
    fn atok(&self, ring: usize, word: usize, value: u32) {
        self.region.write(self.location.atok_ofs + ring * 64 + word * 4, value);
    }

    /// Gives the switch all it can have: `head` becomes `hwtail`, word 1 of the `nm_csb_ktoa`.
    fn give(&mut self) {
        for ring in 0..self.rings() {
            let hwtail = self.region.read(self.location.ktoa_ofs + ring * 64 + 4);
            self.atok(ring, 1, hwtail);
            self.atok(ring, 0, hwtail);
        }
        self.ring();
    }

    fn ring(&mut self) {
        if let Some(doorbell) = &self.doorbell {
            // Whether anyone hears it is the switch's business.
            let _ = doorbell.ring();
        }
    }

    fn anywhere(&mut self) {
        for _ in 0..200 {
            let (at, value) = (self.random.below(self.region.len() / 4) * 4, self.random.next() as u32);
            self.region.write(at, value);
        }
    }

    fn csb(&mut self) {
        let end = self.location.ktoa_ofs + self.rings() * 64;
        for _ in 0..100 {
            let at = self.location.atok_ofs + self.random.below((end - self.location.atok_ofs) / 4) * 4;
            let value = match self.random.below(3) {
                0 => self.random.next() as u32,
                1 => self.random.below(1100) as u32,
                _ => u32::MAX - self.random.below(3) as u32,
            };
            self.region.write(at, value);
        }
    }

    fn control(&mut self) {
        let control = self.layout.control_len();
        for _ in 0..200 {
            let (at, value) = (self.random.below(control / 4) * 4, self.random.next());
            self.region.write(at, if value & 1 == 0 { value as u32 } else { (value >> 32) as u32 % 4096 });
        }
    }

    fn sweep(&mut self) {
        let ring = self.random.below(self.rings());
        let n = self.slots(ring);
        for head in (0..n + 2).chain((0..n).rev()) {
            self.atok(ring, 0, head);
        }
    }

    /// Writes index, length and flags of every slot of some ring.
    fn every_slot(&mut self, contents: impl Fn(&mut Self, u32) -> (u32, u16, u16)) {
        let ring = self.random.below(self.rings());
        let slots = self.layout.slots_ofs(ring);
        for i in 0..self.slots(ring) {
            let (buf_idx, len, flags) = contents(self, i);
            let at = slots + i as usize * 16;
            self.region.write(at, buf_idx);
            self.region.write(at + 4, u32::from(len) | u32::from(flags) << 16);
        }
    }

    fn kicks(&mut self) {
        for ring in 0..self.rings() {
            let value = self.random.next() as u32 & 1;
            self.atok(ring, 2, value);
        }
        for _ in 0..20 {
            self.ring();
        }
    }
}
