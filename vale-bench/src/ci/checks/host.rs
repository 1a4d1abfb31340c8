//! Interfaces of the system: host rings, attaching with the host's stack, polling, frames between two ends of a veth
//! pair, whose driver netmap emulates unless it was patched.

use std::time::{Duration, Instant};

use netmap_rs::kernel::{KernelPort, Polling};
use rustix::io::Errno;

use crate::ci::Check;
use crate::ci::check::{Done, Env, fail, holds, same};
use crate::ci::veth::Veth;
use crate::ci::world::*;

pub(in crate::ci) const CHECKS: &[Check] = &[
    Check::new("host.modes", "An interface has hardware and host rings, together and apart", modes),
    Check::new("host.exchange", "Frames pass between the two ends of a cable, in order, whole", exchange),
    Check::new(
        "host.attach",
        "An interface is attached to a switch, with and without the host's stack",
        attach,
    ),
    Check::new("host.polling", "An attached interface is polled, once, and not detached meanwhile", polling),
    Check::new("host.busy", "An interface that is open cannot be attached, nor an attached one opened", busy),
    Check::new(
        "host.removed",
        "An interface that is removed while it is open goes when it is closed",
        removed,
    ),
];

fn pair() -> Result<Veth, crate::ci::Stop> {
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
