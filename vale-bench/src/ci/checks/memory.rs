//! Memory: extra buffers, leaks, exhaustion, external memory.

use std::sync::Arc;

use netmap_rs::kernel::{ExtMem, KernelError, KernelPort, Register, forward};
use netmap_rs::portspec::Pools;
use rustix::io::Errno;

use crate::ci::Check;
use crate::ci::check::{Done, Env, Stop, fail, holds, same, skip};
use crate::ci::world::*;

pub(in crate::ci) const CHECKS: &[Check] = &[
    Check::new("memory.extra-buffers", "Extra buffers are as many as asked, hold frames, and go back", extra),
    Check::new(
        "memory.extra-exhaustion",
        "Asking for too many extra buffers gives what there is",
        exhaust_extra,
    ),
    Check::new("memory.leak", "Ports that open and close lose no buffer of a region in use", leak),
    Check::new("memory.leak-interfaces", "The same in the region that interfaces share", leak_shared),
    Check::new("memory.leak-pipes", "Pipes that open and close lose no buffer of their region", leak_pipes),
    Check::new(
        "memory.leak-refused",
        "Registrations that fail lose no buffer of a region in use",
        leak_refused,
    ),
    Check::new(
        "memory.exhaustion",
        "Ports run out of memory with ENOMEM, and all of it comes back",
        exhaustion,
    ),
    Check::new("memory.extmem", "Ports live in memory of the program's, and exchange buffers in it", extmem),
    Check::new(
        "memory.extmem-refused",
        "External memory that is too small or absurd is refused",
        extmem_refused,
    ),
];

/// Buffers that are free in a region: all that a registration can get of them.
fn free(region: &str) -> Result<u32, Stop> {
    let meter = Register::new(spec(&format!("valeci3:meter@{region}@conf:slots=16"))?).extra_bufs(1_000_000);
    Ok(open_with(meter)?.registered().reply.nr_extra_bufs)
}

/// Fails if `work` loses buffers of a region that somebody holds meanwhile.
fn loses_nothing(region: &str, rounds: u32, mut work: impl FnMut() -> Done) -> Done {
    // What is loaded lazily is loaded in the first round.
    work()?;
    let before = free(region)?;
    for _ in 0..rounds {
        work()?;
    }
    let after = free(region)?;
    if after == before {
        return Ok(());
    }
    let lost = i64::from(before) - i64::from(after);
    fail(format!("expected {before} free buffers after {rounds} rounds as before, saw {after}: {lost} lost"))
}

fn extra(_: &Env) -> Done {
    for _ in 0..10 {
        let mut a = open_with(Register::new(spec("valeci:a")?).extra_bufs(64))?;
        let mut b = open("valeci:b")?;
        same("extra buffers granted", a.registered().reply.nr_extra_bufs, 64)?;
        same("extra buffers in the list", a.spare_buffers(), 64)?;
        let mut sent = 0;
        fill(&mut b.tx()[0], 64, &mut sent);
        b.txsync()?;
        a.rxsync()?;
        let mut kept = Vec::new();
        while let Some(mut buffer) = a.take_buffer() {
            let Some((place, _)) = a.rx()[0].exchange(&mut buffer) else {
                return fail(format!("{} of 64 frames came", kept.len()));
            };
            kept.push((buffer, place));
        }
        a.rxsync()?;
        // Back in reverse.
        for (buffer, place) in kept.iter_mut().rev() {
            holds("a slot is free", a.tx()[0].send(buffer, place.len() as u16, 0))?;
        }
        a.txsync()?;
        b.rxsync()?;
        let (mut number, mut wrong) = (64, None);
        b.rx()[0].drain(99, |slot| {
            number -= 1;
            wrong = wrong.take().or_else(|| difference(number, slot.data, &frame(number)));
        });
        same("frames that did not come back", number, 0)?;
        same("what is wrong with them", wrong, None)?;
        drop(kept);
        pass(&mut a, &mut b, 1500)?;
    }
    Ok(())
}

fn exhaust_extra(_: &Env) -> Done {
    let stays = open("valeci:stays@conf:slots=64")?;
    let region = stays.registered().reply.nr_mem_id;
    let greedy = || {
        let text = format!("valeci2:greedy@{region}@conf:slots=16");
        open_with(Register::new(spec(&text)?).extra_bufs(1_000_000))
    };
    let first = greedy()?;
    let granted = first.registered().reply.nr_extra_bufs;
    holds(format!("some are granted ({granted})"), granted > 0 && granted < 1_000_000)?;
    same("buffers in the list", first.spare_buffers(), granted as usize)?;
    let more = Register::new(spec(&format!("valeci2:b@{region}@conf:slots=64"))?);
    refused("a port where no buffer is left", control()?.register(&more), &[Errno::NOMEM])?;
    drop(first);
    control()?.register(&more)?;
    same("buffers granted the second time", greedy()?.registered().reply.nr_extra_bufs, granted)
}

fn leak(_: &Env) -> Done {
    // A port that stays keeps the region, and with it what a leak took of it.
    let stays = open("valeci:stays@conf:slots=64")?;
    let region = stays.registered().reply.nr_mem_id.to_string();
    loses_nothing(&region, 30, || {
        let port = Register::new(spec(&format!("valeci2:p@{region}@conf:slots=64"))?).extra_bufs(32);
        let port = open_with(port)?;
        let mut held: Vec<_> = std::iter::from_fn(|| port.take_buffer()).collect();
        held.truncate(10);
        drop(port);
        drop(held);
        Ok(())
    })
}

fn leak_shared(_: &Env) -> Done {
    let _stays = open("valeci:stays@1@conf:slots=64")?;
    loses_nothing("1", 30, || open("valeci2:p@1@conf:slots=64,rings=2").map(drop))
}

fn leak_pipes(_: &Env) -> Done {
    let _stays = open("valeci:stays@1@conf:slots=64")?;
    loses_nothing("1", 20, || {
        let (mut master, mut slave) = (open("netmap:nmci0{1")?, open("netmap:nmci0}1")?);
        pass(&mut master, &mut slave, 20)
    })
}

fn leak_refused(_: &Env) -> Done {
    let stays = open("valeci:stays@conf:slots=64")?;
    let region = stays.registered().reply.nr_mem_id.to_string();
    loses_nothing(&region, 50, || {
        let text = format!("valeci2:p-9@{region}@conf:slots=64");
        refused(&text, KernelPort::open(spec(&text)?), &[Errno::INVAL])?;
        Ok(())
    })
}

fn exhaustion(_: &Env) -> Done {
    let fill_up = || {
        let mut held = vec![open("valeci:full")?];
        loop {
            if held.len() > 1000 {
                return fail("expected ENOMEM, and a thousand pipes fitted in one port's memory");
            }
            match KernelPort::open(spec(&format!("valeci:full{{{}", held.len()))?) {
                Ok(port) => held.push(port),
                Err(e) => {
                    refused::<()>("a pipe too many", Err(e), &[Errno::NOMEM])?;
                    return Ok(held);
                }
            }
        }
    };
    let mut held = fill_up()?;
    let many = held.len();
    // Who has memory goes on.
    held[0].txsync()?;
    drop(held);
    let held = fill_up()?;
    same("ports that fit the second time", held.len(), many)?;
    drop(held);
    same("ports left", our_ports()?, vec![])
}

/// Pools for two small VALE ports: each takes two rings and their mock host rings. No object crosses a page: netmap
/// leaves out those whose pages do not happen to follow on each other in physical memory.
fn pools() -> Pools {
    Pools { if_num: 8, if_size: 1024, ring_num: 24, ring_size: 4096, buf_num: 3000, buf_size: 2048 }
}

const LEN: usize = 8 << 20;

fn extmem_port(port: &str, memory: &Arc<ExtMem>) -> Result<KernelPort, Stop> {
    let register = Register::new(spec(&format!("{port}@conf:slots=128"))?).extmem(memory.clone(), pools());
    match KernelPort::open(register) {
        Err(e @ KernelError::Option { .. }) if e.errno() == Some(Errno::OPNOTSUPP) => {
            skip("the module was built without external memory")
        }
        opened => Ok(opened?),
    }
}

fn extmem(_: &Env) -> Done {
    let memory = Arc::new(ExtMem::anonymous(LEN)?);
    let (mut a, mut b) = (extmem_port("valeci:a", &memory)?, extmem_port("valeci:b", &memory)?);
    let region = |port: &KernelPort| port.registered().reply.nr_mem_id;
    same("region of the second port in the same memory", region(&b), region(&a))?;
    same("bytes of a buffer", a.registered().pools.map(|p| p.nr_buf_pool_objsize), Some(2048))?;
    pass(&mut a, &mut b, 1000)?;
    // One region, so what b received goes out of it as it is.
    let mut next = 0;
    for _ in 0..20 {
        let (mut sent, mut seen) = (next, next);
        fill(&mut a.tx()[0], 50, &mut sent);
        a.txsync()?;
        b.rxsync()?;
        let (tx, rx) = b.rings();
        same("frames forwarded", forward(&mut rx[0], &mut tx[0], 99, |_| true)?, 50)?;
        b.txsync()?;
        b.rxsync()?;
        a.rxsync()?;
        drain(&mut a.rx()[0], &mut seen)?;
        a.rxsync()?;
        same("frames that came back", seen, sent)?;
        next = sent;
    }
    Ok(())
}

fn extmem_refused(_: &Env) -> Done {
    let memory = Arc::new(ExtMem::anonymous(1 << 20)?);
    // Whether there is any: what the kernel chooses by itself does not fit a megabyte.
    let register = Register::new(spec("valeci:s")?).extmem(memory.clone(), Pools::default());
    match control()?.register(&register) {
        Err(e) if e.errno() == Some(Errno::OPNOTSUPP) => {
            return skip("the module was built without external memory");
        }
        seen => refused("the kernel's own pools in a megabyte", seen.map(drop), &[Errno::NOMEM])?,
    };
    let absurd = Pools { if_num: 1_000_000, if_size: 1, ..Pools::default() };
    let register = Register::new(spec("valeci:s")?).extmem(memory, absurd);
    let seen = control()?.register(&register);
    holds("a million interfaces of a byte are refused", seen.is_err())?;
    drop(seen);
    same("ports left", our_ports()?, vec![])
}
