//! Pipes: order, nothing lost, many rings, zero copy.

use std::time::Instant;

use netmap_rs::kernel::{KernelPort, forward};
use netmap_rs::portspec::RingId;

use crate::ci::Check;
use crate::ci::check::{Done, Env, Stop, fail, same};
use crate::ci::world::*;

pub(in crate::ci) const CHECKS: &[Check] = &[
    Check::new("pipe.order", "A pipe passes many rings of frames both ways, in order, whole", order),
    Check::new("pipe.full", "A pipe keeps what is not read, and the sender's ring fills up", full),
    Check::new("pipe.many", "Several pipes of one port do not mix", many),
    Check::new("pipe.rings", "A thread a ring passes frames on all rings of a pipe at once", rings),
    Check::new(
        "pipe.zero-copy",
        "Buffers change places between pipes of one region and stay whole",
        zero_copy,
    ),
];

fn order(_: &Env) -> Done {
    let (mut master, mut slave) = (open("valeci:p{1")?, open("valeci:p}1")?);
    let region = |port: &KernelPort| port.registered().reply.nr_mem_id;
    same("region of both ends", region(&slave), region(&master))?;
    pass(&mut master, &mut slave, 5000)?;
    pass(&mut slave, &mut master, 5000)
}

fn full(_: &Env) -> Done {
    let (mut master, mut slave) = (open("valeci:p{1")?, open("valeci:p}1")?);
    let mut next = 0;
    for _ in 0..10 {
        fill(&mut master.tx()[0], u32::MAX, &mut next);
        master.txsync()?;
    }
    same("frames taken of a sender that goes on and on", next, 1023)?;
    same("slots still in use", master.tx()[0].pending(), 1023)?;
    slave.rxsync()?;
    let mut seen = 0;
    same("frames kept", drain(&mut slave.rx()[0], &mut seen)?, 1023)?;
    slave.rxsync()?;
    master.txsync()?;
    same("slots in use once they were read", master.tx()[0].pending(), 0)
}

fn many(_: &Env) -> Done {
    let open_pair = |i: u32| Ok((open(&format!("netmap:nmci0{{{i}"))?, open(&format!("netmap:nmci0}}{i}"))?));
    let pairs: Result<Vec<_>, Stop> = (1..5).map(open_pair).collect();
    let mut pairs = pairs?;
    for (i, (master, _)) in pairs.iter_mut().enumerate() {
        let mut next = 100 * i as u64;
        fill(&mut master.tx()[0], 10, &mut next);
        master.txsync()?;
    }
    for (i, (_, slave)) in pairs.iter_mut().enumerate() {
        slave.rxsync()?;
        let mut next = 100 * i as u64;
        same(format!("frames of pipe {}", i + 1), drain(&mut slave.rx()[0], &mut next)?, 10)?;
    }
    Ok(())
}

fn rings(_: &Env) -> Done {
    let ports = |text: &str| {
        (0..4)
            .map(|i| {
                let ring = RingId::new(i).ok_or_else(|| Stop::Fail("no ring number".into()))?;
                Ok(KernelPort::open_ring(&spec(text)?, ring)?)
            })
            .collect::<Result<Vec<_>, Stop>>()
    };
    let senders = ports("netmap:nmci0{1@conf:rings=4")?;
    let receivers = ports("netmap:nmci0}1@conf:rings=4")?;
    let threads: Vec<_> = senders
        .into_iter()
        .zip(receivers)
        .map(|(mut from, mut to)| std::thread::spawn(move || pass(&mut from, &mut to, 4000)))
        .collect();
    for thread in threads {
        match thread.join() {
            Ok(done) => done?,
            Err(_) => return fail("a thread panicked"),
        }
    }
    Ok(())
}

fn zero_copy(_: &Env) -> Done {
    let specs = ["netmap:nmci0{1", "netmap:nmci0}1", "netmap:nmci0{2", "netmap:nmci0}2"];
    let ports: Result<Vec<_>, Stop> = specs.into_iter().map(open).collect();
    let Ok([mut source, mut in_port, mut out_port, mut sink]) = <[KernelPort; 4]>::try_from(ports?) else {
        return fail("four ports were opened");
    };
    let (mut sent, mut seen) = (0u64, 0u64);
    let start = Instant::now();
    while seen < 6000 {
        fill(&mut source.tx()[0], 300, &mut sent);
        source.txsync()?;
        in_port.rxsync()?;
        forward(&mut in_port.rx()[0], &mut out_port.tx()[0], u32::MAX, |_| true)?;
        in_port.rxsync()?;
        out_port.txsync()?;
        sink.rxsync()?;
        drain(&mut sink.rx()[0], &mut seen)?;
        if start.elapsed() > PATIENCE {
            return fail(format!("{seen} of {sent} frames came through within {PATIENCE:?}"));
        }
    }
    Ok(())
}
