//! Several processes: they exchange frames, and one that is killed harms nobody.

use std::io::{Read, Write};
use std::process::Child;
use std::time::{Duration, Instant};

use netmap_rs::kernel::{KloopOptions, Register};

use crate::ci::Check;
use crate::ci::check::{Done, Env, Part, PartOf, Stop, fail, same};
use crate::ci::world::*;

pub(in crate::ci) const CHECKS: &[Check] = &[
    Check::new("process.exchange", "Frames pass from one process to another, in order, whole", exchange),
    Check::new("process.pipe", "The ends of a pipe work in two processes", pipe),
    Check::new("process.killed", "A process that is killed while it sends leaves no port behind", killed),
    Check::new("process.killed-memory", "Its buffers go back to a region that others hold", killed_memory),
    Check::new(
        "process.killed-exclusive",
        "A port it had for itself alone can be opened again",
        killed_exclusive,
    ),
    Check::new("process.killed-many", "Ten killed in a row leave the switch as it was", killed_many),
];

/// What a second process does.
pub(in crate::ci) const PARTS: &[PartOf] = &[
    ("vale-sender", || send_forever("valeci:sender@conf:slots=256")),
    ("pipe-sender", || send_forever("netmap:nmci0{1")),
    ("exclusive-sender", || send_forever("valeci:mine/x")),
    ("shared-sender", shared_sender),
    ("kloop", kloop),
];

/// No part lives longer, whoever forgot it.
const LIFE: Duration = Duration::from_secs(25);

fn say_ready() -> Done {
    let mut out = std::io::stdout();
    out.write_all(b"r")?;
    Ok(out.flush()?)
}

/// Sends frames by number as fast as they are taken, until it is killed.
fn send_forever(text: &str) -> Done {
    let mut port = open(text)?;
    let start = Instant::now();
    let mut next = 0;
    say_ready()?;
    while start.elapsed() < LIFE {
        fill(&mut port.tx()[0], 16, &mut next);
        port.txsync()?;
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(())
}

fn shared_sender() -> Done {
    let register = Register::new(spec("valeci:sender@1@conf:slots=64,rings=2")?).extra_bufs(100);
    let port = open_with(register)?;
    // In use when the process dies, and still in the list that the kernel frees.
    let _held: Vec<_> = std::iter::from_fn(|| port.take_buffer()).collect();
    say_ready()?;
    std::thread::sleep(LIFE);
    Ok(())
}

fn kloop() -> Done {
    let (_port, _kloop) = open("valeci:kloop/x")?.into_csb(&KloopOptions::default())?;
    std::thread::sleep(Duration::from_millis(200));
    say_ready()?;
    std::thread::sleep(LIFE);
    Ok(())
}

/// Waits until a part says that it has begun.
pub(super) fn wait_for_ready(part: &mut Part) -> Done {
    let Child { stdout: Some(stdout), .. } = &mut part.0 else { return fail("its output is no pipe") };
    let mut fds = [rustix::event::PollFd::new(stdout, rustix::event::PollFlags::IN)];
    let timeout = rustix::event::Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    rustix::event::poll(&mut fds, Some(&timeout))?;
    if fds[0].revents().is_empty() {
        return fail(format!("the second process did not begin within {PATIENCE:?}"));
    }
    let mut byte = [0];
    match stdout.read(&mut byte)? {
        1 if byte == *b"r" => Ok(()),
        _ => fail("the second process could not begin: its own message is above"),
    }
}

fn start(env: &Env, part: &str) -> Result<Part, Stop> {
    let mut part = env.part(part)?;
    wait_for_ready(&mut part)?;
    Ok(part)
}

fn kill(mut part: Part) -> Done {
    part.0.kill()?;
    eventually("the end of the killed process", || Ok(part.0.try_wait()?.is_some()))
}

fn receive(text: &str, env: &Env, part: &str, first: Option<u64>) -> Done {
    let mut port = open(text)?;
    let _part = start(env, part)?;
    let (mut next, mut count) = (first, 0);
    let began = Instant::now();
    while count < 2000 {
        port.wait(false, true, Duration::from_millis(500))?;
        let mut wrong = None;
        count += port.rx()[0].drain(u32::MAX, |slot| {
            let number =
                slot.data.get(14..22).map_or(0, |b| u64::from_le_bytes(b.try_into().expect("8 bytes")));
            let expected = next.unwrap_or(number);
            wrong = wrong.take().or_else(|| difference(expected, slot.data, &frame(expected)));
            next = Some(expected + 1);
        });
        if let Some(wrong) = wrong {
            return fail(wrong);
        }
        if began.elapsed() > PATIENCE {
            return fail(format!("{count} frames came within {PATIENCE:?}"));
        }
    }
    Ok(())
}

fn exchange(env: &Env) -> Done {
    receive("valeci:receiver", env, "vale-sender", Some(0))
}

fn pipe(env: &Env) -> Done {
    receive("netmap:nmci0}1", env, "pipe-sender", Some(0))
}

fn killed(env: &Env) -> Done {
    let (mut a, mut b) = (open("valeci:a")?, open("valeci:b")?);
    let part = start(env, "vale-sender")?;
    eventually("a frame of the second process", || Ok(arrived(std::slice::from_mut(&mut a))? != [0]))?;
    kill(part)?;
    eventually("the end of its port", || Ok(our_ports()?.len() == 2))?;
    arrived(std::slice::from_mut(&mut a))?;
    arrived(std::slice::from_mut(&mut b))?;
    pass(&mut a, &mut b, 2000)
}

fn killed_memory(env: &Env) -> Done {
    let _stays = open("valeci:stays@1@conf:slots=64")?;
    let free = || {
        let meter = Register::new(spec("valeci3:meter@1@conf:slots=16")?).extra_bufs(1_000_000);
        Ok::<_, Stop>(open_with(meter)?.registered().reply.nr_extra_bufs)
    };
    let before = free()?;
    for round in 0..5 {
        kill(start(env, "shared-sender")?)?;
        eventually("the end of its port", || Ok(our_ports()?.len() == 1))?;
        same(format!("free buffers after {} were killed", round + 1), free()?, before)?;
    }
    Ok(())
}

fn killed_exclusive(env: &Env) -> Done {
    kill(start(env, "exclusive-sender")?)?;
    eventually("the end of its port", || Ok(our_ports()?.is_empty()))?;
    drop(open("valeci:mine/x")?);
    Ok(())
}

fn killed_many(env: &Env) -> Done {
    for _ in 0..10 {
        kill(start(env, "vale-sender")?)?;
    }
    eventually("the end of their ports", || Ok(our_ports()?.is_empty()))?;
    same("ports", our_ports()?, vec![])?;
    let (mut a, mut b) = (open("valeci:a")?, open("valeci:b")?);
    pass(&mut a, &mut b, 2000)
}
