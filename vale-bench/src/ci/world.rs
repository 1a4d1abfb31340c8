//! What the checks share: ports of a switch of their own, frames that say which they are, and answers compared with
//! those expected.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use netmap_rs::kernel::{Control, KernelError, KernelPort, Register, RxRing, TxRing};
use netmap_rs::portspec::{PortName, PortSpec};
use rustix::io::Errno;

use super::check::{Done, Stop, fail};

/// No wait in a check is longer, unless it says so.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Where broadcasts go.
pub(super) const BROADCAST: [u8; 6] = [0xff; 6];

pub(super) fn spec(text: &str) -> Result<PortSpec, Stop> {
    Ok(text.parse()?)
}

pub(super) fn name(text: &str) -> Result<PortName, Stop> {
    Ok(text.parse()?)
}

pub(super) fn control() -> Result<Control, Stop> {
    Ok(Control::open()?)
}

pub(super) fn open(text: &str) -> Result<KernelPort, Stop> {
    Ok(KernelPort::open(spec(text)?)?)
}

pub(super) fn open_with(register: Register) -> Result<KernelPort, Stop> {
    Ok(KernelPort::open(register)?)
}

/// Names of the ports on this program's switches, by the order of their indices.
pub(super) fn our_ports() -> Result<Vec<String>, Stop> {
    let all: Result<Vec<_>, KernelError> = control()?.vale_ports().collect();
    Ok(all?.into_iter().map(|port| port.name).filter(|name| name.starts_with("valeci")).collect())
}

/// An errno as programs name it.
pub(super) fn errno_name(errno: Errno) -> String {
    let name = match errno {
        Errno::INVAL => "EINVAL",
        Errno::NXIO => "ENXIO",
        Errno::BUSY => "EBUSY",
        Errno::NOMEM => "ENOMEM",
        Errno::EXIST => "EEXIST",
        Errno::NOENT => "ENOENT",
        Errno::OPNOTSUPP => "EOPNOTSUPP",
        Errno::MSGSIZE => "EMSGSIZE",
        Errno::FAULT => "EFAULT",
        Errno::IO => "EIO",
        Errno::PERM => "EPERM",
        Errno::AGAIN => "EAGAIN",
        other => return io::Error::from(other).to_string(),
    };
    name.to_owned()
}

fn answer_text(answer: Result<(), Errno>) -> String {
    answer.map_or_else(errno_name, |()| "success".to_owned())
}

/// Fails unless the kernel answered as expected.
pub(super) fn answers(what: &str, seen: Result<(), Errno>, expected: Result<(), Errno>) -> Done {
    if seen == expected {
        return Ok(());
    }
    fail(format!("{what}: expected {}, saw {}", answer_text(expected), answer_text(seen)))
}

/// Fails unless it was refused with one of these; gives the error.
pub(super) fn refused<T>(
    what: &str,
    seen: Result<T, KernelError>,
    expected: &[Errno],
) -> Result<KernelError, Stop> {
    let wanted = || expected.iter().map(|&e| errno_name(e)).collect::<Vec<_>>().join(" or ");
    match seen {
        Ok(_) => fail(format!("{what}: expected {}, and it succeeded", wanted())),
        Err(e) if e.errno().is_some_and(|errno| expected.contains(&errno)) => Ok(e),
        Err(e) => {
            let errno = e.errno().map_or_else(|| "no errno".to_owned(), errno_name);
            fail(format!("{what}: expected {}, saw {errno} ({e})", wanted()))
        }
    }
}

/// A broadcast frame that says which it is, of a length that varies, 60 to 1513 bytes.
pub(super) fn frame(number: u64) -> Vec<u8> {
    let mut bytes = vec![0xff; 6];
    bytes.extend([2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
    bytes.extend(number.to_le_bytes());
    bytes.resize(60 + (number * 31 % 1454) as usize, (number % 251) as u8);
    bytes
}

/// Fills up to `max` slots with frames from `next` on; how many.
pub(super) fn fill(ring: &mut TxRing, max: u32, next: &mut u64) -> u32 {
    ring.fill(max, |slot| {
        let bytes = frame(*next);
        slot.buf[..bytes.len()].copy_from_slice(&bytes);
        *next += 1;
        bytes.len() as u16
    })
}

/// The number of a frame of [`frame`]'s; 0 of one too short to have one.
pub(super) fn number(frame: &[u8]) -> u64 {
    frame.get(14..22).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("8 bytes")))
}

/// In what a frame is not the one expected.
pub(super) fn difference(number: u64, seen: &[u8], expected: &[u8]) -> Option<String> {
    if seen == expected {
        return None;
    }
    let number_seen = seen.get(14..22).map(|b| u64::from_le_bytes(b.try_into().expect("8 bytes")));
    Some(if seen.len() != expected.len() && number_seen == Some(number) {
        format!("frame {number} was sent with {} bytes and came with {}", expected.len(), seen.len())
    } else if let Some(other) = number_seen.filter(|&other| other != number) {
        format!("expected frame {number}, saw frame {other}")
    } else {
        let at = seen.iter().zip(expected).position(|(a, b)| a != b).unwrap_or(0);
        format!("frame {number} came with a changed byte {at}")
    })
}

/// Drains a ring, seeing that frames come in order from `next` on, whole; how many.
pub(super) fn drain(ring: &mut RxRing, next: &mut u64) -> Result<u32, Stop> {
    let mut wrong = None;
    let done = ring.drain(u32::MAX, |slot| {
        if wrong.is_none() {
            wrong = difference(*next, slot.data, &frame(*next));
        }
        *next += 1;
    });
    if ring.bad_slots() > 0 {
        return fail("a receive slot names no buffer, or more bytes than one has");
    }
    wrong.map_or(Ok(done), fail)
}

/// Passes `count` frames from one port's ring to another's, never more on the way than the receiver has room for,
/// and compares each.
pub(super) fn pass(from: &mut KernelPort, to: &mut KernelPort, count: u64) -> Done {
    let (mut sent, mut received) = (0, 0);
    let room = u64::from(to.rx()[0].num_slots() - 1).min(from.tx()[0].num_slots().into());
    let start = Instant::now();
    // Room for what was drained before.
    to.rxsync()?;
    while received < count {
        let max = (count - sent).min(room - (sent - received)) as u32;
        fill(&mut from.tx()[0], max, &mut sent);
        from.txsync()?;
        to.rxsync()?;
        drain(&mut to.rx()[0], &mut received)?;
        // Gives the slots back, so that what is counted as received has made room.
        to.rxsync()?;
        drain(&mut to.rx()[0], &mut received)?;
        if start.elapsed() > PATIENCE {
            return fail(format!("{received} of {sent} frames came within {PATIENCE:?}"));
        }
    }
    Ok(to.rxsync()?)
}

/// Sends one frame of `len` bytes and these flags.
pub(super) fn send_one(port: &mut KernelPort, to: [u8; 6], from: [u8; 6], len: u16, flags: u16) -> Done {
    let filled = port.tx()[0].fill(1, |slot| {
        let frame = &mut slot.buf[..usize::from(len)];
        frame.fill(0x5a);
        frame[..6].copy_from_slice(&to);
        frame[6..12].copy_from_slice(&from);
        frame[12..14].copy_from_slice(&[0x88, 0xb5]);
        slot.flags = flags;
        len
    });
    if filled != 1 {
        return fail("expected a free transmit slot, and there was none");
    }
    Ok(port.txsync()?)
}

/// How many frames each port has received since it was asked last.
pub(super) fn arrived(ports: &mut [KernelPort]) -> Result<Vec<u32>, Stop> {
    let count = |port: &mut KernelPort| {
        port.rxsync()?;
        let count = port.rx()[0].drain(u32::MAX, |_| {});
        port.rxsync()?;
        Ok(count)
    };
    ports.iter_mut().map(count).collect()
}

/// Repeats `look` until it says so, up to [`PATIENCE`].
pub(super) fn eventually(what: impl fmt::Display, mut look: impl FnMut() -> Result<bool, Stop>) -> Done {
    let start = Instant::now();
    while !look()? {
        if start.elapsed() > PATIENCE {
            return fail(format!("{what} did not come about within {PATIENCE:?}"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_told_apart() {
        let sent = frame(7);
        assert_eq!(difference(7, &sent, &sent), None);
        let text = |seen: &[u8]| difference(7, seen, &sent).unwrap();
        assert_eq!(text(&sent[..sent.len() - 1]), "frame 7 was sent with 277 bytes and came with 276");
        assert_eq!(text(&frame(9)), "expected frame 7, saw frame 9");
        let mut changed = sent.clone();
        changed[100] ^= 1;
        assert_eq!(text(&changed), "frame 7 came with a changed byte 100");
    }

    #[test]
    fn refusals_are_compared_by_errno() {
        let e = refused("x", Control::open_at("/nowhere".as_ref()), &[Errno::NOENT]).unwrap();
        assert!(e.is_host());
        let Stop::Fail(why) =
            refused("opening", Control::open_at("/nowhere".as_ref()), &[Errno::BUSY, Errno::INVAL])
                .unwrap_err()
        else {
            panic!()
        };
        assert!(why.starts_with("opening: expected EBUSY or EINVAL, saw ENOENT ("), "{why}");
        assert_eq!(answers("x", Err(Errno::INVAL), Err(Errno::INVAL)), Ok(()));
        let why = Stop::Fail("x: expected EINVAL, saw success".into());
        assert_eq!(answers("x", Ok(()), Err(Errno::INVAL)), Err(why));
    }
}
