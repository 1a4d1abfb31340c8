//! Opening ports: modes, exclusive use, regions, and what the kernel tells about them.

use std::num::NonZeroU16;

use netmap_rs::kernel::{Cursors, KernelPort, Register};
use netmap_rs::portspec::Conf;
use rustix::io::Errno;

use crate::ci::Check;
use crate::ci::check::{Done, Env, fail, holds, same};
use crate::ci::world::*;

pub(in crate::ci) const CHECKS: &[Check] = &[
    Check::new("port.ephemeral", "A VALE port is there while it is open, and no longer", ephemeral),
    Check::new("port.sizes", "A new port has the rings and slots that it was asked for", sizes),
    Check::new("port.exclusive", "A port that is open for exclusive use is EBUSY to all others", exclusive),
    Check::new("port.shared", "A second user of a port shares its memory at a place of its own", shared),
    Check::new("port.rings", "Rings are bound by number and direction, as asked", rings),
    Check::new("port.ring-range", "Rings and host rings that a port does not have are EINVAL", ring_range),
    Check::new("port.info", "Port info agrees with what the registration answered", info),
    Check::new("port.pools", "Memory pools lie in their region and hold what the port needs", pools),
    Check::new("port.null", "A null port has rings that lead nowhere, in the region asked for", null),
    Check::new("port.region", "Ports share a memory region by its id, and an unknown id is EINVAL", region),
    Check::new("port.cursors", "Cursors out of range reset the ring to what the kernel has", cursors),
    Check::new(
        "port.many-times",
        "Opening and closing a port a hundred times leaves nothing behind",
        many_times,
    ),
];

fn ephemeral(_: &Env) -> Done {
    same("ports before", our_ports()?, vec![])?;
    let port = open("valeci:here")?;
    same("ports", our_ports()?, vec!["valeci:here".to_owned()])?;
    let found = control()?.vale_find(&name("valeci:here")?)?;
    holds("the port is found by its name", found.is_some())?;
    drop(port);
    holds("a closed port is found no more", control()?.vale_find(&name("valeci:here")?)?.is_none())?;
    same("ports after", our_ports()?, vec![])
}

fn sizes(_: &Env) -> Done {
    for (conf, tx, rx, tx_slots, rx_slots) in [
        ("slots=256", 1, 1, 256, 256),
        ("rings=4,slots=64", 4, 4, 64, 64),
        ("tx-rings=2,rx-rings=3,tx-slots=32,rx-slots=128", 2, 3, 32, 128),
    ] {
        let mut port = open(&format!("valeci:sizes@conf:{conf}"))?;
        let reply = port.registered().reply;
        let seen = (reply.nr_tx_rings, reply.nr_rx_rings, reply.nr_tx_slots, reply.nr_rx_slots);
        same(conf, seen, (tx, rx, tx_slots, rx_slots))?;
        same("free slots of a new ring", port.tx()[0].space(), tx_slots - 1)?;
        same("slots of the receive ring", port.rx()[0].num_slots(), rx_slots)?;
    }
    Ok(())
}

fn exclusive(_: &Env) -> Done {
    let first = open("valeci:mine/x")?;
    for second in ["valeci:mine", "valeci:mine/x"] {
        refused(second, KernelPort::open(spec(second)?), &[Errno::BUSY])?;
    }
    drop(first);
    let first = open("valeci:ours")?;
    refused("exclusive use of an open port", KernelPort::open(spec("valeci:ours/x")?), &[Errno::BUSY])?;
    drop(first);
    drop(open("valeci:ours/x")?);
    Ok(())
}

fn shared(_: &Env) -> Done {
    let first = open("valeci:twice")?;
    let second = control()?.register(&Register::new(spec("valeci:twice")?))?;
    let (a, b) = (first.registered().reply, second.registered().reply);
    same("memory region", b.nr_mem_id, a.nr_mem_id)?;
    holds("each user has a netmap_if of its own", a.nr_offset != b.nr_offset)?;
    drop(first);
    same("ports while one user is left", our_ports()?.len(), 1)
}

fn rings(_: &Env) -> Done {
    for (text, tx, rx) in [
        ("valeci:four/T@conf:rings=4", vec![0, 1, 2, 3], vec![]),
        ("valeci:four/R@conf:rings=4", vec![], vec![0, 1, 2, 3]),
        ("valeci:four-2@conf:rings=4", vec![2], vec![2]),
        ("valeci:four-1/T@conf:rings=4", vec![1], vec![]),
    ] {
        let mut port = open(text)?;
        let seen: Vec<u16> = port.tx().iter().map(|r| r.name().index).collect();
        same(format!("transmit rings of {text}"), seen, tx)?;
        let seen: Vec<u16> = port.rx().iter().map(|r| r.name().index).collect();
        same(format!("receive rings of {text}"), seen, rx)?;
    }
    let ports = KernelPort::open_rings(&spec("valeci:four@conf:rings=4")?)?;
    same("users of one ring each", ports.len(), 4)
}

fn ring_range(_: &Env) -> Done {
    let _port = open("valeci:two@conf:rings=2")?;
    for text in ["valeci:two-2", "valeci:two-4000", "valeci:two^", "valeci:two*", "valeci:two^0"] {
        refused(text, KernelPort::open(spec(text)?), &[Errno::INVAL])?;
    }
    Ok(())
}

fn info(_: &Env) -> Done {
    let control = control()?;
    let port = open("valeci:info@conf:rings=2,slots=512")?;
    let (info, reply) = (control.port_info(&name("valeci:info")?)?, port.registered().reply);
    same("rings", (info.nr_tx_rings, info.nr_rx_rings), (2, 2))?;
    same("slots", (info.nr_tx_slots, info.nr_rx_slots), (512, 512))?;
    same("region", (info.nr_mem_id, info.nr_memsize), (reply.nr_mem_id, reply.nr_memsize))?;
    let Some(region) = NonZeroU16::new(reply.nr_mem_id) else { return fail("the region's id is 0") };
    same("bytes of the region by its id", control.region_info(region)?.nr_memsize, reply.nr_memsize)?;
    let nowhere = NonZeroU16::new(60_000).expect("not zero");
    refused("info on region 60000", control.region_info(nowhere), &[Errno::INVAL])?;
    Ok(())
}

fn pools(_: &Env) -> Done {
    let port = open("valeci:pools@conf:slots=512")?;
    let pools = control()?.pools_info(&name("valeci:pools")?, None)?;
    same("bytes of the region", pools.nr_memsize, port.registered().reply.nr_memsize)?;
    let end = pools.nr_buf_pool_offset
        + u64::from(pools.nr_buf_pool_objtotal) * u64::from(pools.nr_buf_pool_objsize);
    holds("the pools follow each other", pools.nr_if_pool_offset < pools.nr_ring_pool_offset)?;
    holds("buffers come after rings", pools.nr_ring_pool_offset < pools.nr_buf_pool_offset)?;
    holds(format!("buffers end ({end}) inside the region ({})", pools.nr_memsize), end <= pools.nr_memsize)?;
    holds("there are buffers for all slots", pools.nr_buf_pool_objtotal >= 2 * 512)
}

fn null(_: &Env) -> Done {
    let region = NonZeroU16::MIN;
    let conf = Conf { tx_rings: 3, rx_rings: 2, tx_slots: 64, rx_slots: 32, ..Conf::default() };
    let mut port = open_with(Register::null(region, conf).extra_bufs(10))?;
    same("rings", (port.tx().len(), port.rx().len()), (3, 2))?;
    same("extra buffers", port.spare_buffers(), 10)?;
    same("slots filled", fill(&mut port.tx()[0], 9, &mut 0), 9)?;
    port.txsync()?;
    same("free slots afterwards", port.tx()[0].space(), 63 - 9)?;
    drop(port);
    let bare = open_with(Register::null(region, Conf::default()))?;
    same("region of a null port without rings", bare.registered().reply.nr_mem_id, 1)
}

fn region(_: &Env) -> Done {
    let a = open("valeci:a")?;
    let id = a.registered().reply.nr_mem_id;
    let mut b = open(&format!("valeci2:b@{id}@conf:slots=64"))?;
    same("region of a port in another's", b.registered().reply.nr_mem_id, id)?;
    b.txsync()?;
    refused("region 60000", KernelPort::open(spec("valeci2:c@60000")?), &[Errno::INVAL])?;
    let other = open("valeci2:other")?;
    let theirs = other.registered().reply.nr_mem_id;
    holds("a port that asks for none has a region of its own", theirs != id)?;
    let asked = control()?.register(&Register::new(spec(&format!("valeci:a@{theirs}"))?))?;
    same("region of an open port that is asked for in another", asked.registered().reply.nr_mem_id, id)
}

fn cursors(_: &Env) -> Done {
    let mut port = open("valeci:bad@conf:slots=64")?;
    fill(&mut port.tx()[0], 5, &mut 0);
    port.txsync()?;
    let seen = port.try_cursors(true, 0, 64, 64)?;
    same("a transmit head of 64 in 64 slots", seen, Cursors { head: 5, cur: 5, tail: 4 })?;
    let seen = port.try_cursors(false, 0, u32::MAX, 0)?;
    same("a receive head of 2^32 - 1", seen, Cursors { head: 0, cur: 0, tail: 0 })?;
    drop(port);
    let mut port = open("valeci:bad@conf:slots=64")?;
    let seen = port.try_cursors(false, 0, 0, 64)?;
    holds(format!("a cur out of range is not kept ({seen:?})"), seen.cur < 64)?;
    drop(port);
    // The port is as good as new afterwards.
    let (mut a, mut b) = (open("valeci:bad@conf:slots=64")?, open("valeci:b@conf:slots=64")?);
    pass(&mut a, &mut b, 300)
}

fn many_times(_: &Env) -> Done {
    for round in 0..100 {
        let port = open("valeci:again@conf:slots=64")?;
        if round % 25 == 0 {
            same("ports", our_ports()?.len(), 1)?;
        }
        drop(port);
    }
    same("ports afterwards", our_ports()?, vec![])
}
