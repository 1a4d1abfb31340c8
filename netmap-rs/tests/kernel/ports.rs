//! Opening ports: every mode, and every way it is refused.

use crate::world::*;
use netmap_rs::kernel::{Advice, Control, Cursors, KernelError, KernelPort, Operation, Register};
use netmap_rs::portspec::Conf;
use rustix::io::Errno;
use std::num::NonZeroU16;
use std::path::Path;

#[test]
fn ephemeral_vale_ports_come_and_go() {
    let Some(_netmap) = netmap() else { return };
    let mut port = open("vale1:here@conf:slots=256");
    let reply = &port.registered().reply;
    assert_eq!((reply.nr_tx_rings, reply.nr_rx_rings), (1, 1));
    assert_eq!((reply.nr_tx_slots, reply.nr_rx_slots), (256, 256));
    assert!(reply.nr_mem_id > 1, "a region of its own");
    let (tx, rx) = port.rings();
    assert_eq!((tx.len(), rx.len()), (1, 1));
    assert_eq!((tx[0].num_slots(), tx[0].space(), rx[0].avail()), (256, 255, 0));
    assert_eq!(tx[0].buf_size(), 2048);
    assert!(vale_ports().contains(&"vale1:here".to_owned()));
    let found = control().vale_find(&name("vale1:here")).unwrap().unwrap();
    assert_eq!(found.switch(), "vale1");
    drop(port);
    assert_eq!(control().vale_find(&name("vale1:here")).unwrap(), None);
    assert!(vale_ports().is_empty(), "{:?}", vale_ports());
}

#[test]
fn an_exclusive_port_is_busy() {
    let Some(_netmap) = netmap() else { return };
    let _first = open("vale1:mine/x");
    for second in ["vale1:mine", "vale1:mine/x"] {
        let e = KernelPort::open(spec(second)).unwrap_err();
        assert_eq!(e.errno(), Some(Errno::BUSY), "{e}");
        assert!(matches!(e, KernelError::Request { operation: Operation::Register, .. }));
        assert!(e.to_string().contains(second) && e.to_string().contains("/x"), "{e}");
    }
    let open = open("vale1:ours");
    let e = KernelPort::open(spec("vale1:ours/x")).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::BUSY), "{e}");
    drop(open);
}

#[test]
fn a_second_descriptor_shares_memory_but_not_rings_in_a_process() {
    let Some(_netmap) = netmap() else { return };
    let first = open("vale1:twice");
    let second = control().register(&Register::new(spec("vale1:twice"))).unwrap();
    let (a, b) = (first.registered().reply, second.registered().reply);
    assert_eq!(a.nr_mem_id, b.nr_mem_id);
    assert_ne!(a.nr_offset, b.nr_offset);
    let e = second.map().unwrap_err();
    assert!(matches!(e, KernelError::RingInUse { .. }), "{e}");
    drop(first);
    open("vale1:twice");
}

#[test]
fn what_does_not_exist_is_enxio_and_says_so() {
    let Some(_netmap) = netmap() else { return };
    let e = KernelPort::open(spec("netmap:nosuchif0")).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::NXIO), "{e}");
    assert!(e.to_string().contains("`nosuchif0`"), "{e}");
    let e = control().port_info(&name("netmap:nosuchif0")).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::NXIO), "{e}");
}

#[test]
fn modes_that_a_port_does_not_have_are_explained() {
    let Some(_netmap) = netmap() else { return };
    let _port = open("vale1:modes@conf:rings=2");
    for (text, word) in [
        ("vale1:modes-7", "there is no ring pair 7: the port has 2"),
        ("vale1:modes^", "host rings"),
        ("vale1:modes*", "host rings"),
        ("vale1:closed/r", "must be open"),
        ("vale1:modes@60000", "memory region 60000"),
    ] {
        let e = KernelPort::open(spec(text)).unwrap_err();
        assert_eq!(e.errno(), Some(Errno::INVAL), "{text}: {e}");
        assert!(e.to_string().contains(word), "{text}: {e}");
    }
}

#[test]
fn another_version_or_device_is_refused() {
    let Some(_netmap) = netmap() else { return };
    let control = control();
    for version in [13, 16, 0] {
        let name = name("vale1:v").to_nr_name();
        let body = netmap_rs::kernel::Body::PortInfo(Default::default());
        let mut request = netmap_rs::kernel::Request::new(2, name, body);
        request.version = version;
        assert_eq!(control.perform(&mut request), Err(Errno::INVAL), "version {version}");
        request.version = 15;
        assert_eq!(control.perform(&mut request), Ok(()));
    }
    let e = Control::open_at(Path::new("/dev/zero")).unwrap_err();
    assert!(e.is_host(), "{e}");
}

#[test]
fn a_descriptor_takes_one_port() {
    let Some(_netmap) = netmap() else { return };
    let port = open("vale1:one");
    let mut request = netmap_rs::kernel::Request::new(
        1,
        name("vale1:two").to_nr_name(),
        netmap_rs::kernel::Body::Register(spec("vale1:two").to_register().1),
    );
    assert_eq!(port.control().unwrap().perform(&mut request), Err(Errno::BUSY));
}

#[test]
fn rings_are_bound_by_direction_and_number() {
    let Some(_netmap) = netmap() else { return };
    for (text, tx, rx) in [
        ("vale1:four/T@conf:rings=4", vec![0, 1, 2, 3], vec![]),
        ("vale1:four/R@conf:rings=4", vec![], vec![0, 1, 2, 3]),
        ("vale1:four-2@conf:rings=4", vec![2], vec![2]),
        ("vale1:four-1/T@conf:rings=4", vec![1], vec![]),
    ] {
        let mut port = open(text);
        let numbers: Vec<u16> = port.tx().iter().map(|r| r.name().index).collect();
        assert_eq!(numbers, tx, "{text}");
        let numbers: Vec<u16> = port.rx().iter().map(|r| r.name().index).collect();
        assert_eq!(numbers, rx, "{text}");
    }
    let ports = KernelPort::open_rings(&spec("vale1:four@conf:rings=4")).unwrap();
    assert_eq!(ports.len(), 4);
}

#[test]
fn a_null_port_has_rings_that_lead_nowhere() {
    let Some(_netmap) = netmap() else { return };
    let region = NonZeroU16::new(1).unwrap();
    let conf = Conf { tx_rings: 3, rx_rings: 2, tx_slots: 64, rx_slots: 32, ..Conf::default() };
    let mut port = open_with(Register::null(region, conf).extra_bufs(10));
    assert_eq!((port.tx().len(), port.rx().len()), (3, 2));
    assert_eq!(port.spare_buffers(), 10);
    assert_eq!(fill(&mut port.tx()[0], 9, &mut 0), 9);
    port.txsync().unwrap();
    assert_eq!(port.tx()[0].space(), 63 - 9, "it never gives them back");
    let nothing = open_with(Register::null(region, Conf::default()));
    assert_eq!(nothing.registered().reply.nr_mem_id, 1);
}

#[test]
fn bad_cursors_are_rejected_in_silence_and_seen() {
    let Some(_netmap) = netmap() else { return };
    let mut port = open("vale1:bad@conf:slots=64");
    let mut next = 0;
    fill(&mut port.tx()[0], 5, &mut next);
    port.txsync().unwrap();
    let after = port.try_cursors(true, 0, 64, 64).unwrap();
    assert_eq!(after, Cursors { head: 5, cur: 5, tail: 4 }, "reset to what the kernel has");
    let after = port.try_cursors(false, 0, u32::MAX, 0).unwrap();
    assert_eq!(after, Cursors { head: 0, cur: 0, tail: 0 });
    drop(port);
    let mut port = open("vale1:bad@conf:slots=64");
    let after = port.try_cursors(true, 0, 10, 5).unwrap();
    assert_eq!((after.head, after.cur), (10, 5), "in range and wrong: left as it is");
}

#[test]
fn running_out_of_memory_names_parameters() {
    let Some(_netmap) = netmap() else { return };
    let mut held = vec![open("vale1:full")];
    let e = loop {
        assert!(held.len() < 1000, "memory never runs out");
        match KernelPort::open(spec(&format!("vale1:full{{{}", held.len()))) {
            Ok(port) => held.push(port),
            Err(e) => break e,
        }
    };
    assert_eq!(e.errno(), Some(Errno::NOMEM), "{e}");
    let Some(Advice::Raise(raises)) = e.advice() else { panic!("{e}") };
    for raise in raises {
        let current = raise.current.expect("the module shows its parameters");
        assert!(raise.parameter.starts_with("priv_") && raise.at_least > current, "{raise:?}");
    }
    assert!(e.to_string().contains("/sys/module/netmap/parameters/priv_ring_num"), "{e}");
    // All of it comes back.
    let many = held.len();
    drop(held);
    let again: Vec<_> = (0..many)
        .map(|i| open(&if i == 0 { "vale1:full".into() } else { format!("vale1:full{{{i}") }))
        .collect();
    assert_eq!(again.len(), many);
}

#[test]
fn too_many_switches_are_told_apart() {
    let Some(_netmap) = netmap() else { return };
    let mut held = Vec::new();
    let e = loop {
        assert!(held.len() < 1000, "switches never run out");
        match KernelPort::open(spec(&format!("vale{}:x", 100 + held.len()))) {
            Ok(port) => held.push(port),
            Err(e) => break e,
        }
    };
    assert_eq!(e.errno(), Some(Errno::NOMEM), "{e}");
    assert!(e.to_string().contains(&format!("max_bridges to {}", held.len() + 1)), "{e}");
}
