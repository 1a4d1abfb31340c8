//! What the tests share: the module, one test at a time (VALE has eight switches, and the tests count what is on
//! them), and frames that say which they are.

use netmap_rs::kernel::{Control, KernelPort, Register, RxRing, TxRing};
use netmap_rs::portspec::{PortName, PortSpec};
use rustix::fs::FlockOperation;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// No wait in a test is longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A right to use the module, held by one test at a time.
pub(crate) struct Netmap {
    _lock: File,
}

/// Says that a test is skipped; fails it instead if the module is there to be tested, unless `allowed`.
pub(crate) fn skip(reason: &str, allowed: bool) {
    assert!(allowed || std::env::var("VALE_BENCH_NETMAP").is_err(), "VALE_BENCH_NETMAP is set, and {reason}");
    // Not `eprintln!`, which the test harness keeps to itself when a test passes.
    std::io::stderr().write_all(format!("SKIPPED: {reason}\n").as_bytes()).unwrap();
}

/// The module, or `None` if there is none.
pub(crate) fn netmap() -> Option<Netmap> {
    if !Path::new("/dev/netmap").exists() {
        skip("no /dev/netmap: the netmap module is not loaded", false);
        return None;
    }
    let lock = File::create(std::env::temp_dir().join("netmap-rs-kernel-tests.lock")).unwrap();
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).unwrap();
    Some(Netmap { _lock: lock })
}

impl Netmap {
    /// An interface that may be taken over.
    pub(crate) fn interface(&self) -> Option<String> {
        match std::env::var("VALE_BENCH_NETMAP_IF") {
            Ok(name) if name != "none" => Some(name),
            named => {
                skip("no interface to use: VALE_BENCH_NETMAP_IF names none", named.is_ok());
                None
            }
        }
    }
}

pub(crate) fn spec(text: &str) -> PortSpec {
    text.parse().unwrap()
}

pub(crate) fn name(text: &str) -> PortName {
    text.parse().unwrap()
}

pub(crate) fn open(text: &str) -> KernelPort {
    KernelPort::open(spec(text)).unwrap_or_else(|e| panic!("{text}: {e}"))
}

pub(crate) fn open_with(register: Register) -> KernelPort {
    let text = register.to_string();
    KernelPort::open(register).unwrap_or_else(|e| panic!("{text}: {e}"))
}

pub(crate) fn control() -> Control {
    Control::open().unwrap()
}

/// Names of all ports on VALE switches.
pub(crate) fn vale_ports() -> Vec<String> {
    control().vale_ports().map(|port| port.unwrap().name).collect()
}

/// A broadcast frame that says which it is, of a length that varies, 60 to 1513 bytes.
pub(crate) fn frame(number: u64) -> Vec<u8> {
    let mut bytes = vec![0xff; 6];
    bytes.extend([2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
    bytes.extend(number.to_le_bytes());
    bytes.resize(60 + (number * 31 % 1454) as usize, (number % 251) as u8);
    bytes
}

/// Fills up to `max` slots with frames from `next` on; how many.
pub(crate) fn fill(ring: &mut TxRing, max: u32, next: &mut u64) -> u32 {
    ring.fill(max, |slot| {
        let bytes = frame(*next);
        slot.buf[..bytes.len()].copy_from_slice(&bytes);
        *next += 1;
        bytes.len() as u16
    })
}

/// Drains a ring, checking that frames come in order from `next` on; how many.
pub(crate) fn drain(ring: &mut RxRing, next: &mut u64) -> u32 {
    let done = ring.drain(u32::MAX, |slot| {
        let expected = frame(*next);
        assert_eq!(slot.data.len(), expected.len(), "length of frame {next}");
        assert!(slot.data == expected, "contents of frame {next}");
        *next += 1;
    });
    assert_eq!(ring.bad_slots(), 0);
    done
}

/// Passes `count` frames from one port's ring to another's, never more on the way than the receiver has room for,
/// and checks each.
pub(crate) fn pass(from: &mut KernelPort, to: &mut KernelPort, count: u64) {
    let (mut sent, mut received) = (0, 0);
    let room = u64::from(to.rx()[0].num_slots() - 1).min(from.tx()[0].num_slots().into());
    let start = Instant::now();
    // Room for what was drained before.
    to.rxsync().unwrap();
    while received < count {
        let max = (count - sent).min(room - (sent - received)) as u32;
        fill(&mut from.tx()[0], max, &mut sent);
        from.txsync().unwrap();
        to.rxsync().unwrap();
        drain(&mut to.rx()[0], &mut received);
        // Gives the slots back, so that what is counted as received has made room.
        to.rxsync().unwrap();
        drain(&mut to.rx()[0], &mut received);
        assert!(start.elapsed() < DEADLINE, "{received} of {count} frames came, {sent} were sent");
    }
    to.rxsync().unwrap();
    assert_eq!(sent, received);
}
