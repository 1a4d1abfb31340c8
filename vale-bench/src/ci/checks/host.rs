//! Interfaces of the system: host rings, attaching with the host's stack, polling, frames between two ends of a veth
//! pair, whose driver netmap emulates unless it was patched.

use std::time::{Duration, Instant};

use netmap_rs::kernel::{KernelPort, Polling, RxRing, Verdict};
use pktgen::port::Port;
use pktgen::ports::packet::{self, PacketPort};
use rustix::io::Errno;

use crate::ci::check::{Done, Env, fail, holds, same};
use crate::ci::veth::Veth;
use crate::ci::world::*;
use crate::ci::{Check, Stop};

pub(in crate::ci) const CHECKS: &[Check] = &[
    Check::new("host.modes", "An interface has hardware and host rings, together and apart", modes),
    Check::new("host.exchange", "Frames pass between the two ends of a cable, in order, whole", exchange),
    Check::new(
        "host.attach",
        "An interface is attached to a switch, with and without the host's stack",
        attach,
    ),
    Check::new("host.polling", "An attached interface is polled, once, and not detached meanwhile", polling),
    Check::new(
        "host.from-stack",
        "What the system sends on an open interface arrives on its host rings, in order, whole",
        from_stack,
    ),
    Check::new(
        "host.to-stack",
        "What is sent on an interface's host rings reaches the system, in order, whole",
        to_stack,
    ),
    Check::new(
        "host.forward",
        "Frames let pass go between cable and system, both ways, and others do not",
        forward,
    ),
    Check::new("host.busy", "An interface that is open cannot be attached, nor an attached one opened", busy),
    Check::new(
        "host.removed",
        "An interface that is removed while it is open goes when it is closed",
        removed,
    ),
];

fn pair() -> Result<Veth, Stop> {
    Veth::new("nmciv0", "nmciv1")
}

fn modes(_: &Env) -> Done {
    let _veth = pair()?;
    let mut nic = open("netmap:nmciv0")?;
    holds("its own rings are no host rings", nic.tx().iter().all(|ring| !ring.name().host))?;
    holds("it has host rings", nic.registered().reply.nr_host_rx_rings > 0)?;
    drop(nic);
    let mut host = open("netmap:nmciv0^")?;
    holds("host rings are bound", !host.rx().is_empty() && host.rx().iter().all(|ring| ring.name().host))?;
    drop(host);
    let mut both = open("netmap:nmciv0*")?;
    let hosts = both.rx().iter().filter(|ring| ring.name().host).count();
    holds("both are bound", hosts > 0 && hosts < both.rx().len())?;
    both.txsync()?;
    both.rxsync()?;
    drop(both);
    let mut one = open("netmap:nmciv0-0/x")?;
    same("rings of one pair", one.tx().len(), 1)?;
    drop(one);
    holds("one host ring is bound", open("netmap:nmciv0^0")?.rx()[0].name().host)
}

fn exchange(_: &Env) -> Done {
    let _veth = pair()?;
    let (mut a, mut b) = (open("netmap:nmciv0")?, open("netmap:nmciv1")?);
    // The system may have sent frames of its own when the ends came up.
    std::thread::sleep(Duration::from_millis(200));
    b.rxsync()?;
    b.rx()[0].drain(u32::MAX, |_| {});
    b.rxsync()?;
    let (mut sent, mut next, mut strangers) = (0u64, 0u64, 0u32);
    let start = Instant::now();
    while next < 1500 {
        let room = 32u64.saturating_sub(sent - next) as u32;
        fill(&mut a.tx()[0], room, &mut sent);
        a.txsync()?;
        b.rxsync()?;
        let mut wrong = None;
        b.rx()[0].drain(u32::MAX, |slot| {
            if slot.data.get(12..14) != Some(&[0x88, 0xb5]) {
                strangers += 1;
                return;
            }
            wrong = wrong.take().or_else(|| difference(next, slot.data, &frame(next)));
            next += 1;
        });
        if let Some(wrong) = wrong {
            return fail(wrong);
        }
        if start.elapsed() > PATIENCE {
            return fail(format!("{next} of {sent} frames came within {PATIENCE:?} ({strangers} of others)"));
        }
    }
    Ok(())
}

/// Frames of the checks, in the order they come, from whatever else the system sends on an interface.
fn ours(ring: &mut RxRing, next: &mut u64) -> Done {
    let mut wrong = None;
    ring.drain(u32::MAX, |slot| {
        if is_ours(slot.data) && wrong.is_none() {
            wrong = difference(*next, slot.data, &frame(*next));
            *next += 1;
        }
    });
    wrong.map_or(Ok(()), fail)
}

fn is_ours(data: &[u8]) -> bool {
    data.get(12..14) == Some(&[0x88, 0xb5])
}

/// Frames that the system received, as a packet socket sees them.
fn received(socket: &mut PacketPort, next: &mut u64) -> Done {
    let mut wrong = None;
    socket.rx_batch(u32::MAX, |seen| {
        if is_ours(seen.data) && wrong.is_none() {
            wrong = difference(*next, seen.data, &frame(*next));
            *next += 1;
        }
    })?;
    wrong.map_or(Ok(()), fail)
}

/// The system's own end of an interface: what it sends there and receives.
fn stack(interface: &str) -> Result<PacketPort, Stop> {
    Ok(PacketPort::open(interface, packet::Options::default())?)
}

/// Has the system send up to `max` frames from `next` on.
fn system_sends(socket: &mut PacketPort, max: u32, next: &mut u64) -> Done {
    socket.tx_batch(max, |to| {
        let bytes = frame(*next);
        to.buf[..bytes.len()].copy_from_slice(&bytes);
        *next += 1;
        bytes.len() as u16
    })?;
    Ok(())
}

/// How many frames of each kind are passed, never more on the way than the shortest queue has room for.
const PASSED: u64 = 3000;
const ON_THE_WAY: u64 = 64;

fn from_stack(_: &Env) -> Done {
    let _veth = pair()?;
    // The system's frames come to the host rings only while the others are open too.
    let (mut port, mut system) = (open("netmap:nmciv0*")?, stack("nmciv0")?);
    let (mut sent, mut next) = (0, 0);
    eventually_all("from the system", &mut next, |next| {
        system_sends(&mut system, (ON_THE_WAY - (sent - *next)) as u32, &mut sent)?;
        port.rxsync()?;
        for ring in port.rx().iter_mut().filter(|ring| ring.name().host) {
            ours(ring, next)?;
        }
        Ok(())
    })
}

fn to_stack(_: &Env) -> Done {
    let _veth = pair()?;
    let (mut port, mut system) = (open("netmap:nmciv0*")?, stack("nmciv0")?);
    let (mut sent, mut next) = (0, 0);
    eventually_all("at the system", &mut next, |next| {
        let most = (ON_THE_WAY - (sent - *next)) as u32;
        let host = port.tx().iter_mut().find(|ring| ring.name().host);
        fill(host.ok_or_else(|| Stop::Fail("no host ring to send on".into()))?, most, &mut sent);
        port.txsync()?;
        received(&mut system, next)
    })
}

/// Passes [`PASSED`] frames, of which `turn` sends some and accounts for some in `next`.
fn eventually_all(what: &str, next: &mut u64, mut turn: impl FnMut(&mut u64) -> Done) -> Done {
    let start = Instant::now();
    while *next < PASSED {
        turn(next)?;
        if start.elapsed() > PATIENCE {
            return fail(format!("only {next} of {PASSED} frames were seen {what} within {PATIENCE:?}"));
        }
    }
    Ok(())
}

fn forward(_: &Env) -> Done {
    let _veth = pair()?;
    let (mut near, mut far) = (stack("nmciv0")?, stack("nmciv1")?);
    let mut port = open("netmap:nmciv0*")?;
    for ring in port.rx() {
        ring.set_forwarding(true);
    }
    for (from_cable, what) in
        [(true, "from the cable at the system"), (false, "from the system on the cable")]
    {
        let (from, to) = if from_cable { (&mut far, &mut near) } else { (&mut near, &mut far) };
        // A packet socket is before netmap on the way up: there it sees each frame as it comes, and those passed on
        // once more.
        let (mut sent, mut taken, mut tapped, mut passed) = (0, 0, 0, 0);
        eventually_all(what, &mut passed, |passed| {
            let most = ON_THE_WAY.saturating_sub(sent - 2 * *passed) as u32;
            system_sends(from, most, &mut sent)?;
            port.rxsync()?;
            for ring in port.rx() {
                ring.drain_verdict(u32::MAX, |slot| {
                    taken += u64::from(is_ours(slot.data));
                    let pass = is_ours(slot.data) && number(slot.data).is_multiple_of(2);
                    if pass { Verdict::Forward } else { Verdict::Release }
                });
            }
            // Gives them back, which is when they are passed on.
            port.rxsync()?;
            let mut wrong = None;
            to.rx_batch(u32::MAX, |seen| {
                if !is_ours(seen.data) || wrong.is_some() {
                    return;
                }
                if from_cable && number(seen.data) == tapped {
                    tapped += 1;
                } else {
                    wrong = difference(2 * *passed, seen.data, &frame(2 * *passed));
                    *passed += 1;
                }
            })?;
            wrong.map_or(Ok(()), fail)
        })?;
        holds("every frame went through the program", taken >= 2 * passed - 1)?;
    }
    Ok(())
}

fn attach(_: &Env) -> Done {
    let _veth = pair()?;
    let control = control()?;
    let attached = name("valeci:nmciv0")?;
    for (host, expected) in [(false, vec!["valeci:nmciv0"]), (true, vec!["valeci:nmciv0", "valeci:nmciv0^"])]
    {
        control.vale_attach(&attached, host, None)?;
        same(
            format!("ports, host {host}"),
            our_ports()?,
            expected.iter().map(|s| (*s).to_owned()).collect(),
        )?;
        // What comes from the other end of the cable is switched.
        let mut far = open("netmap:nmciv1")?;
        let mut port = open("valeci:p")?;
        let mut found = 0;
        eventually("a frame from the interface on the switch", || {
            send_one(&mut far, BROADCAST, [2, 0, 0, 0, 0, 5], 60, 0)?;
            port.rxsync()?;
            port.rx()[0].drain(99, |slot| found += u32::from(slot.data[6..12] == [2, 0, 0, 0, 0, 5]));
            Ok(found > 0)
        })?;
        drop((far, port));
        control.vale_detach(&attached)?;
    }
    same("ports afterwards", our_ports()?, vec![])
}

fn polling(_: &Env) -> Done {
    let _veth = pair()?;
    let control = control()?;
    let attached = name("valeci:nmciv0")?;
    control.vale_attach(&attached, false, None)?;
    let one = Polling::Single { cpu: 0 };
    control.polling_enable(&attached, one)?;
    refused("polling it twice", control.polling_enable(&attached, one), &[Errno::FAULT])?;
    refused("detaching it meanwhile", control.vale_detach(&attached), &[Errno::BUSY])?;
    control.polling_disable(&attached)?;
    refused("stopping it twice", control.polling_disable(&attached), &[Errno::FAULT])?;
    let many = control.polling_enable(&attached, Polling::Multi { first: 0, cpus: 4096 });
    refused("polling with 4096 processors", many, &[Errno::INVAL])?;
    control.vale_detach(&attached)?;
    Ok(())
}

fn busy(_: &Env) -> Done {
    let _veth = pair()?;
    let control = control()?;
    let attached = name("valeci:nmciv0")?;
    let user = open("netmap:nmciv0")?;
    refused("attaching an open interface", control.vale_attach(&attached, false, None), &[Errno::BUSY])?;
    drop(user);
    control.vale_attach(&attached, false, None)?;
    refused("opening an attached interface", KernelPort::open(spec("netmap:nmciv0")?), &[Errno::BUSY])?;
    let on_switch = KernelPort::open(spec("valeci:nmciv0")?);
    refused("opening it on its switch", on_switch, &[Errno::INVAL, Errno::BUSY])?;
    control.vale_detach(&attached)?;
    drop(open("netmap:nmciv0")?);
    Ok(())
}

fn removed(_: &Env) -> Done {
    let veth = pair()?;
    let mut port = open("netmap:nmciv0")?;
    fill(&mut port.tx()[0], 5, &mut 0);
    port.txsync()?;
    // The system may keep the one who removes it waiting for the last user.
    let remover = std::thread::spawn(move || drop(veth));
    std::thread::sleep(Duration::from_millis(500));
    // Refused or not: they must come back, and so must closing.
    let _ = port.txsync();
    let _ = port.rxsync();
    drop(port);
    eventually("the end of the interface", || Ok(remover.is_finished()))?;
    refused("opening what is gone", KernelPort::open(spec("netmap:nmciv0")?), &[Errno::NXIO])?;
    // The next pair of the same name is a new one.
    let _veth = pair()?;
    drop(open("netmap:nmciv0")?);
    Ok(())
}
