//! The switch: learning, flooding, drops, fragments, and its limits.

use netmap_rs::kernel::{KernelPort, Offsets, Register};
use netmap_rs::sys::NS_MOREFRAG;
use rustix::io::Errno;

use crate::ci::Check;
use crate::ci::check::{Done, Env, Stop, fail, holds, same};
use crate::ci::world::*;

pub(in crate::ci) const CHECKS: &[Check] = &[
    Check::new("vale.learning", "A frame to an address that was learned goes to exactly its port", learning),
    Check::new(
        "vale.moving",
        "An address that shows up at another port is sent to there from then on",
        moving,
    ),
    Check::new("vale.flooding", "Broadcast, multicast and unknown addresses go to all other ports", flooding),
    Check::new("vale.not-back", "No frame goes back to the port it came from, learned or flooded", not_back),
    Check::new(
        "vale.many-addresses",
        "Sixty ports each get their own frames, and hardly any of others",
        many_addresses,
    ),
    Check::new("vale.isolation", "No frame passes from one switch to another", isolation),
    Check::new("vale.lengths", "Frames of every length from 60 to 1514 bytes arrive whole", lengths),
    Check::new(
        "vale.wrap",
        "Many times the ring's slots pass in order, whole, for small and large rings",
        wrap,
    ),
    Check::new(
        "vale.full-receiver",
        "A full receiver loses frames and never holds up the sender",
        full_receiver,
    ),
    Check::new(
        "vale.slow-neighbour",
        "A receiver that does not read costs its neighbours nothing",
        neighbour,
    ),
    Check::new("vale.fragments", "The fragments of a frame stay together and keep their flags", fragments),
    Check::new("vale.indirect", "Frames in the sender's own memory (NS_INDIRECT) arrive whole", indirect),
    Check::new(
        "vale.offsets",
        "Offsets into buffers are kept on both ends, and between different ones",
        offsets,
    ),
    Check::new("vale.rings", "A port with several rings receives each frame exactly once", rings),
    Check::new("vale.list", "The list of ports is complete, over several switches", list),
    Check::new(
        "vale.switches",
        "Switches run out with ENOMEM and come back when their ports close",
        switches,
    ),
    Check::new(
        "vale.attach-refused",
        "What cannot be attached or detached is refused and changes nothing",
        attach,
    ),
];

fn mac(i: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0x77, i as u8]
}

fn three() -> Result<Vec<KernelPort>, Stop> {
    ["valeci:a", "valeci:b", "valeci:c"].into_iter().map(open).collect()
}

/// Sends a frame from one port with its own address; who received it.
fn send(ports: &mut [KernelPort], from: usize, to: [u8; 6]) -> Result<Vec<u32>, Stop> {
    send_one(&mut ports[from], to, mac(from), 60, 0)?;
    arrived(ports)
}

fn learning(_: &Env) -> Done {
    let mut ports = three()?;
    for from in 0..3 {
        send(&mut ports, from, BROADCAST)?;
    }
    for round in 0..3 {
        for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 1), (1, 2), (2, 0)] {
            let mut expected = vec![0; 3];
            expected[to] = 1;
            let seen = send(&mut ports, from, mac(to))?;
            same(format!("round {round}, frames at each port of one from {from} to {to}"), seen, expected)?;
        }
    }
    Ok(())
}

fn moving(_: &Env) -> Done {
    let mut ports = three()?;
    send_one(&mut ports[1], BROADCAST, mac(9), 60, 0)?;
    arrived(&mut ports)?;
    same("to the first port it was seen at", send(&mut ports, 0, mac(9))?, vec![0, 1, 0])?;
    send_one(&mut ports[2], BROADCAST, mac(9), 60, 0)?;
    arrived(&mut ports)?;
    same("to the port it moved to", send(&mut ports, 0, mac(9))?, vec![0, 0, 1])
}

fn flooding(_: &Env) -> Done {
    let mut ports = three()?;
    for (what, to) in [
        ("broadcast", BROADCAST),
        ("multicast", [1, 0, 0x5e, 0, 0, 1]),
        ("an unknown address", [2, 9, 9, 9, 9, 9]),
    ] {
        for from in 0..3 {
            let mut expected = vec![1; 3];
            expected[from] = 0;
            same(format!("{what} from port {from}"), send(&mut ports, from, to)?, expected)?;
        }
    }
    Ok(())
}

fn not_back(_: &Env) -> Done {
    let mut ports = three()?;
    send(&mut ports, 0, BROADCAST)?;
    same("a frame to the sender's own address", send(&mut ports, 0, mac(0))?, vec![0, 0, 0])?;
    let mut alone = vec![open("valeci2:alone")?];
    send_one(&mut alone[0], BROADCAST, mac(0), 60, 0)?;
    same("broadcast on a switch with one port", arrived(&mut alone)?, vec![0])
}

fn many_addresses(_: &Env) -> Done {
    let ports: Result<Vec<_>, Stop> = (0..60).map(|i| open(&format!("valeci:p{i}@conf:slots=256"))).collect();
    let mut ports = ports?;
    for (from, port) in ports.iter_mut().enumerate() {
        send_one(port, BROADCAST, mac(from), 60, 0)?;
    }
    arrived(&mut ports)?;
    for to in 0..60 {
        send_one(&mut ports[(to + 7) % 60], mac(to), mac((to + 7) % 60), 60, 0)?;
    }
    // The table of addresses is a hash without chains: two that collide forget each other, and are flooded.
    let seen = arrived(&mut ports)?;
    holds(
        format!("each has its own frame and at most 8 of others ({seen:?})"),
        seen.iter().all(|n| (1..=9).contains(n)),
    )
}

fn isolation(_: &Env) -> Done {
    let mut ports = vec![open("valeci:a")?, open("valeci:b")?, open("valeci2:a")?, open("valeci2:b")?];
    same("broadcast on the first switch", send(&mut ports, 0, BROADCAST)?, vec![0, 1, 0, 0])?;
    same("broadcast on the second", send(&mut ports, 2, BROADCAST)?, vec![0, 0, 0, 1])?;
    same("to an address of the other switch", send(&mut ports, 1, mac(2))?, vec![1, 0, 0, 0])
}

fn lengths(_: &Env) -> Done {
    let (mut a, mut b) = (open("valeci:a")?, open("valeci:b")?);
    for len in 60..=1514u16 {
        send_one(&mut a, BROADCAST, mac(0), len, 0)?;
        b.rxsync()?;
        let mut seen = Vec::new();
        b.rx()[0].drain(9, |slot| seen.push((slot.data.len(), slot.data[14..].iter().all(|&x| x == 0x5a))));
        same(format!("a frame of {len} bytes, and whether it is whole"), seen, vec![(len.into(), true)])?;
    }
    Ok(())
}

fn wrap(_: &Env) -> Done {
    for slots in [16, 1024] {
        let mut a = open(&format!("valeci:a@conf:slots={slots}"))?;
        let mut b = open(&format!("valeci:b@conf:slots={slots}"))?;
        pass(&mut a, &mut b, 5 * slots + 3)?;
        pass(&mut b, &mut a, 4 * slots + 7)?;
    }
    Ok(())
}

fn full_receiver(_: &Env) -> Done {
    let (mut a, mut b) = (open("valeci:a@conf:slots=64")?, open("valeci:b@conf:slots=64")?);
    let mut next = 0;
    for round in 0..20 {
        same(format!("free slots in round {round}"), fill(&mut a.tx()[0], 40, &mut next), 40)?;
        a.txsync()?;
    }
    b.rxsync()?;
    let mut seen = 0;
    same("frames kept by a ring of 64 slots", drain(&mut b.rx()[0], &mut seen)?, 63)?;
    b.rxsync()?;
    // What comes now is new: none of the lost ones shows up late.
    fill(&mut a.tx()[0], 5, &mut next);
    a.txsync()?;
    b.rxsync()?;
    let mut seen = 800;
    same("frames once there is room again", drain(&mut b.rx()[0], &mut seen)?, 5)
}

fn neighbour(_: &Env) -> Done {
    let (mut a, mut b) = (open("valeci:a@conf:slots=64")?, open("valeci:b@conf:slots=64")?);
    let _idle = open("valeci:idle@conf:slots=64")?;
    pass(&mut a, &mut b, 1000)
}

fn fragments(_: &Env) -> Done {
    let (mut a, mut b) = (open("valeci:a")?, open("valeci:b")?);
    for round in 0..600u64 {
        let parts = round % 5 + 1;
        let mut part = 0;
        let whole = frame(round * 8);
        a.tx()[0].fill(parts as u32, |slot| {
            let bytes = if part == 0 { whole.clone() } else { vec![part as u8; 100] };
            slot.buf[..bytes.len()].copy_from_slice(&bytes);
            part += 1;
            slot.flags = if part < parts { NS_MOREFRAG } else { 0 };
            bytes.len() as u16
        });
        a.txsync()?;
        b.rxsync()?;
        let mut got = Vec::new();
        b.rx()[0].drain(99, |slot| got.push((slot.data.to_vec(), slot.flags)));
        same(format!("fragments in round {round}"), got.len() as u64, parts)?;
        for (i, (data, flags)) in got.into_iter().enumerate() {
            let more = if i as u64 + 1 < parts { NS_MOREFRAG } else { 0 };
            same(format!("flags of fragment {i} of {parts}"), flags, more)?;
            let good = if i == 0 { data == whole } else { data == [i as u8; 100] };
            holds(format!("fragment {i} of {parts} is whole ({} bytes)", data.len()), good)?;
        }
    }
    Ok(())
}

fn indirect(_: &Env) -> Done {
    let (mut a, mut b) = (open("valeci:a")?, open("valeci:b")?);
    let frames: Option<Vec<_>> = (0..7).map(|i| a.pin(&frame(i * 11))).collect();
    let Some(frames) = frames else { return fail("a frame could not be pinned") };
    let mut seen = 0u64;
    for round in 0..700u64 {
        let number = round % 7;
        a.tx()[0].send_indirect(&frames[number as usize], 6);
        a.txsync()?;
        b.rxsync()?;
        let mut wrong = None;
        b.rx()[0].drain(99, |slot| {
            wrong = wrong.take().or_else(|| difference(number * 11, slot.data, &frame(number * 11)));
            seen += 1;
        });
        if let Some(wrong) = wrong {
            return fail(format!("round {round}: {wrong}"));
        }
    }
    same("frames", seen, 4200)?;
    pass(&mut a, &mut b, 2000)
}

fn offsets(_: &Env) -> Done {
    let offsets = |initial| Offsets { max: 256, initial, bits: 16, tx_align: 0 };
    let mut a = open_with(Register::new(spec("valeci:a")?).offsets(offsets(64)))?;
    let mut b = open_with(Register::new(spec("valeci:b")?).offsets(offsets(128)))?;
    same("largest offset in force", a.registered().offsets.map(|o| o.max), Some(256))?;
    pass(&mut a, &mut b, 3000)?;
    holds("an offset below the largest is taken", a.tx()[0].set_offset(Some(33)))?;
    pass(&mut a, &mut b, 3000)?;
    let mut plain = open("valeci:plain")?;
    pass(&mut plain, &mut b, 2000)?;
    pass(&mut b, &mut plain, 2000)
}

fn rings(_: &Env) -> Done {
    let mut a = open("valeci:a")?;
    let mut b = open("valeci:b@conf:rings=4")?;
    let mut next = 0;
    let mut seen = 0;
    for _ in 0..40 {
        fill(&mut a.tx()[0], 50, &mut next);
        a.txsync()?;
        b.rxsync()?;
        seen += b.rx().iter_mut().map(|ring| u64::from(ring.drain(u32::MAX, |_| {}))).sum::<u64>();
        b.rxsync()?;
    }
    same("frames over all rings", seen, next)
}

fn list(_: &Env) -> Done {
    same("ports before", our_ports()?, vec![])?;
    let names: Vec<String> = (0..3).flat_map(|s| (0..5).map(move |p| format!("valeci{s}:p{p}"))).collect();
    let ports: Result<Vec<_>, Stop> = names.iter().map(|n| open(n)).collect();
    let ports = ports?;
    let mut listed = our_ports()?;
    listed.sort();
    same("ports listed", listed, names)?;
    same("a port that does not exist", control()?.vale_find(&name("valeci0:none")?)?, None)?;
    same("a switch that does not exist", control()?.vale_find(&name("valeci7:none")?)?, None)?;
    drop(ports);
    same("ports after", our_ports()?, vec![])
}

fn switches(_: &Env) -> Done {
    let fill_up = || {
        let mut held = Vec::new();
        loop {
            if held.len() > 1000 {
                return fail("expected ENOMEM, and a thousand switches could be made");
            }
            match KernelPort::open(spec(&format!("valeci{}:x@conf:slots=64", held.len()))?) {
                Ok(port) => held.push(port),
                Err(e) => {
                    refused::<()>("a switch too many", Err(e), &[Errno::NOMEM])?;
                    return Ok(held.len());
                }
            }
        }
    };
    let first = fill_up()?;
    holds(format!("several switches can be made (there were {first})"), first > 2)?;
    same("switches the second time", fill_up()?, first)
}

fn attach(_: &Env) -> Done {
    let control = control()?;
    for text in ["netmap:nmcinone0", "valeci:nmcinone0"] {
        let seen = control.vale_attach(&name(text)?, false, None);
        refused(&format!("attaching {text}"), seen, &[Errno::INVAL, Errno::NXIO])?;
    }
    let _port = open("valeci:open")?;
    let this = name("valeci:open")?;
    refused("attaching an ephemeral port", control.vale_attach(&this, false, None), &[Errno::BUSY])?;
    refused("detaching an ephemeral port", control.vale_detach(&this), &[Errno::INVAL, Errno::BUSY])?;
    let none = control.vale_detach(&name("valeci:none")?);
    refused("detaching what is not there", none, &[Errno::NXIO])?;
    same("ports", our_ports()?, vec!["valeci:open".to_owned()])
}
