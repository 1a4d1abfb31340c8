//! Monitors: ports that see what passes at another.

use netmap_rs::kernel::KernelPort;
use netmap_rs::sys::NS_TXMON;
use rustix::io::Errno;

use crate::ci::Check;
use crate::ci::check::{Done, Env, same};
use crate::ci::world::*;

pub(in crate::ci) const CHECKS: &[Check] = &[
    Check::new("monitor.rx", "A monitor sees every frame a port receives, whole", rx),
    Check::new("monitor.tx", "A monitor sees every frame a port sends, marked NS_TXMON", tx),
    Check::new("monitor.zero-copy", "A zero-copy monitor sees every frame a port receives, whole", zero_copy),
    Check::new("monitor.refused", "A monitor of a port that nobody has open is refused with EINVAL", closed),
    Check::new("monitor.leaves", "A port goes on unharmed when its monitor closes", leaves),
];

fn watch(flags: &str) -> Done {
    let (mut a, mut b) = (open("valeci:a")?, open("valeci:b")?);
    let mut monitor = open(&format!("valeci:b/{flags}"))?;
    let (mut sent, mut seen, mut watched) = (0, 0, 0);
    for round in 0..60 {
        fill(&mut a.tx()[0], 100, &mut sent);
        a.txsync()?;
        // The copy is made when the port receives, the zero copy when it releases.
        b.rxsync()?;
        drain(&mut b.rx()[0], &mut seen)?;
        b.rxsync()?;
        monitor.rxsync()?;
        drain(&mut monitor.rx()[0], &mut watched)?;
        same(format!("frames received and watched by round {round}"), (seen, watched), (sent, sent))?;
    }
    Ok(())
}

fn rx(_: &Env) -> Done {
    watch("r")
}

fn zero_copy(_: &Env) -> Done {
    watch("z")
}

fn tx(_: &Env) -> Done {
    let (mut a, mut monitor) = (open("valeci:a")?, open("valeci:a/t")?);
    let mut sent = 0;
    for _ in 0..40 {
        let from = sent;
        fill(&mut a.tx()[0], 50, &mut sent);
        a.txsync()?;
        monitor.rxsync()?;
        let (mut marked, mut wrong, mut number) = (0, None, from);
        monitor.rx()[0].drain(99, |slot| {
            marked += u64::from(slot.flags & NS_TXMON != 0);
            wrong = wrong.take().or_else(|| difference(number, slot.data, &frame(number)));
            number += 1;
        });
        same("frames watched", number - from, 50)?;
        same("frames marked NS_TXMON", marked, 50)?;
        same("what is wrong with them", wrong, None)?;
    }
    Ok(())
}

fn closed(_: &Env) -> Done {
    for flags in ["r", "t", "z"] {
        let text = format!("valeci:closed/{flags}");
        refused(&text, KernelPort::open(spec(&text)?), &[Errno::INVAL])?;
    }
    same("ports", our_ports()?, vec![])
}

fn leaves(_: &Env) -> Done {
    let (mut a, mut b) = (open("valeci:a")?, open("valeci:b")?);
    for flags in ["r", "z", "t"] {
        let monitor = open(&format!("valeci:b/{flags}"))?;
        pass(&mut a, &mut b, 500)?;
        drop(monitor);
        pass(&mut a, &mut b, 2500)?;
        pass(&mut b, &mut a, 500)?;
    }
    Ok(())
}
