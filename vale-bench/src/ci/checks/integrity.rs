//! Every byte of frames that pass at full speed, from one thread to another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use netmap_rs::kernel::KernelPort;

use crate::ci::Check;
use crate::ci::check::{Done, Env, Stop, fail, holds};
use crate::ci::world::*;

pub(in crate::ci) const CHECKS: &[Check] = &[
    Check::new("integrity.vale", "At full rate frames through VALE keep length, contents and order", vale)
        .seconds(60),
    Check::new("integrity.pipe", "At full rate frames through a pipe keep all of it, and none is lost", pipe)
        .seconds(60),
    Check::new("integrity.flood", "The same for a frame that goes to three receivers", flood).seconds(60),
];

/// Lengths of frames, each for a while, then all of them in turn.
const LENGTHS: [u16; 7] = [60, 61, 127, 128, 513, 1024, 1514];
/// How long each is sent.
const WHILE: Duration = Duration::from_millis(350);
/// Bytes before the pattern: addresses, type, number, length.
const HEAD: usize = 24;
/// Bytes of pattern there are, from any of 256 places on.
const PATTERN: usize = 2048 + 256;

/// Frames that can be made and compared without a computation for each byte.
struct Pattern(Vec<u8>);

impl Pattern {
    fn new() -> Pattern {
        Pattern((0..PATTERN).map(|i| (i * 7 + i / 256) as u8).collect())
    }

    fn of(&self, number: u64, len: usize) -> &[u8] {
        &self.0[(number % 256) as usize..][..len - HEAD]
    }

    fn put(&self, buf: &mut [u8], number: u64, len: u16) {
        buf[..6].fill(0xff);
        buf[6..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
        buf[14..22].copy_from_slice(&number.to_le_bytes());
        buf[22..24].copy_from_slice(&len.to_le_bytes());
        buf[HEAD..usize::from(len)].copy_from_slice(self.of(number, len.into()));
    }

    /// The frame's number, or what is wrong with it.
    fn check(&self, data: &[u8]) -> Result<u64, String> {
        let Some(head) = data.get(..HEAD) else {
            return Err(format!("a frame came with {} bytes", data.len()));
        };
        let number = u64::from_le_bytes(head[14..22].try_into().expect("8 bytes"));
        let len = usize::from(u16::from_le_bytes([head[22], head[23]]));
        if len != data.len() {
            return Err(format!("frame {number} was sent with {len} bytes and came with {}", data.len()));
        }
        match data[HEAD..] == *self.of(number, len) {
            true => Ok(number),
            false => Err(format!("frame {number} of {len} bytes came with changed contents")),
        }
    }
}

/// What a receiver saw.
struct Seen {
    frames: u64,
    next: u64,
}

/// Receives until told to stop and nothing more comes.
fn receive(mut port: KernelPort, pattern: &Pattern, stop: &AtomicBool, all: bool) -> Result<Seen, Stop> {
    let mut seen = Seen { frames: 0, next: 0 };
    loop {
        // Before the last look.
        let last = stop.load(Ordering::Acquire);
        let ready = port.wait(false, true, Duration::from_millis(20))?;
        let mut wrong = None;
        port.rx()[0].drain(u32::MAX, |slot| {
            if wrong.is_some() {
                return;
            }
            match pattern.check(slot.data) {
                Ok(number) if number < seen.next || all && number > seen.next => {
                    wrong = Some(format!("frame {number} came where {} was expected", seen.next));
                }
                Ok(number) => seen.next = number + 1,
                Err(what) => wrong = Some(what),
            }
            seen.frames += 1;
        });
        if let Some(wrong) = wrong {
            return fail(wrong);
        }
        if last && !ready.rx {
            return Ok(seen);
        }
    }
}

fn run(sender: &str, receivers: &[&str], all: bool) -> Done {
    let pattern = Arc::new(Pattern::new());
    let stop = Arc::new(AtomicBool::new(false));
    let mut port = open(sender)?;
    let mut threads = Vec::new();
    for text in receivers {
        let (port, pattern, stop) = (open(text)?, pattern.clone(), stop.clone());
        threads.push(std::thread::spawn(move || receive(port, &pattern, &stop, all)));
    }
    let mut next = 0u64;
    for phase in 0..=LENGTHS.len() {
        let start = Instant::now();
        while start.elapsed() < WHILE {
            let length =
                |n: u64| *LENGTHS.get(phase).unwrap_or(&LENGTHS[(n % LENGTHS.len() as u64) as usize]);
            port.tx()[0].fill(256, |slot| {
                let len = length(next);
                pattern.put(slot.buf, next, len);
                next += 1;
                len
            });
            if all {
                port.wait(true, false, Duration::from_millis(100))?;
            } else {
                port.txsync()?;
            }
        }
    }
    stop.store(true, Ordering::Release);
    for thread in threads {
        let Ok(seen) = thread.join() else { return fail("a thread panicked") };
        let seen = seen?;
        // VALE drops what a receiver has no room for; most of what is sent at this speed is lost in a small guest.
        holds(format!("frames arrive ({} of {next})", seen.frames), seen.frames > 1000.min(next / 100))?;
        if all && seen.frames != next {
            return fail(format!("{} of {next} frames came through", seen.frames));
        }
    }
    Ok(())
}

fn vale(_: &Env) -> Done {
    run("valeci:a", &["valeci:b"], false)
}

fn pipe(_: &Env) -> Done {
    run("valeci:p{1", &["valeci:p}1"], true)
}

fn flood(_: &Env) -> Done {
    run("valeci:a", &["valeci:b", "valeci:c", "valeci:d@conf:slots=64"], false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_is_seen() {
        let pattern = Pattern::new();
        let mut buf = [0; 2048];
        pattern.put(&mut buf, 1000, 61);
        assert_eq!(pattern.check(&buf[..61]), Ok(1000));
        assert!(pattern.check(&buf[..60]).unwrap_err().contains("sent with 61 bytes and came with 60"));
        for at in HEAD..61 {
            buf[at] ^= 0x10;
            assert!(pattern.check(&buf[..61]).is_err(), "byte {at}");
            buf[at] ^= 0x10;
        }
        pattern.put(&mut buf, u64::MAX, 1514);
        assert_eq!(pattern.check(&buf[..1514]), Ok(u64::MAX));
        assert!(pattern.check(&buf[..5]).is_err());
    }
}
