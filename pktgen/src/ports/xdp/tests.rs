//! AF_XDP ports on a veth pair. Where the kernel has no such sockets, or keeps XDP programs from root, tests say so.

use super::*;
use crate::ports::packet::PacketPort;
use crate::ports::veth::{LIMIT, carry, flood, ip, refuses, round_trips, waits, with_veth};

/// [`with_veth`], where the kernel serves XDP.
fn with_xdp(mtu: u32, test: impl FnOnce() + Send + 'static) {
    with_veth(mtu, || match XdpPort::open("lo", Options::default()) {
        Err(Error::Interface { source, .. })
            if matches!(source.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EPERM | libc::ENOSYS)) =>
        {
            eprintln!("SKIPPED: no XDP here: {source}");
        }
        _ => test(),
    });
}

fn open(interface: &str) -> XdpPort {
    XdpPort::open(interface, Options { slots: 64, ..Options::default() }).unwrap()
}

#[test]
fn frames_of_all_sizes_cross_a_veth_pair_over_many_laps() {
    with_xdp(1500, || {
        let (mut a, mut b) = (open("va"), open("vb"));
        assert_eq!((a.info().max_frame, a.info().tx_slots, a.info().driver), (1514, 64, "xdp"));
        assert!(a.facts().in_driver, "veth serves XDP: {}", a.facts());
        carry(&mut a, &mut b, vec![64, 1518, 200], 64 * 20);
        carry(&mut b, &mut a, vec![64], 64 * 20);
        assert_eq!((a.drops().unwrap(), b.drops().unwrap()), (Drops::default(), Drops::default()));
        assert_eq!(a.tx_pending().unwrap(), 0, "what arrived has been given back");
    });
}

#[test]
fn frames_cross_to_a_packet_socket_and_back() {
    with_xdp(1500, || {
        let mut a = open("va");
        let mut b = PacketPort::open("vb", Options::default()).unwrap();
        carry(&mut a, &mut b, vec![64, 1518], 300);
        carry(&mut b, &mut a, vec![64, 1518], 300);
    });
}

#[test]
fn where_the_driver_cannot_the_stack_hands_frames_over() {
    with_xdp(1500, || {
        // Loopback's driver serves no XDP; what is sent there comes back.
        ip("link set lo mtu 1500").unwrap();
        ip("link set lo up").unwrap();
        let mut lo = open("lo");
        assert_eq!(lo.facts(), XdpFacts { in_driver: false, zero_copy: false });
        assert_eq!(lo.facts().to_string(), "generic, copying");
        flood(&mut lo, 3);
        lo.wait(Interest::Rx, LIMIT).unwrap();
        let mut received = 0;
        let end = Instant::now() + LIMIT;
        while received < 3 {
            received += lo.rx_batch(8, |frame| assert_eq!(frame.data, [0xff; 60])).unwrap();
            assert!(Instant::now() < end, "{received} of 3");
        }
    });
}

#[test]
fn round_trips_are_timed() {
    with_xdp(1500, || round_trips(&mut open("va"), &mut open("vb")));
}

#[test]
fn a_receiver_that_does_not_read_drops_and_says_so() {
    with_xdp(1500, || {
        let (mut a, mut b) = (open("va"), open("vb"));
        flood(&mut a, 200);
        let end = Instant::now() + LIMIT;
        while a.tx_pending().unwrap() > 0 {
            assert!(Instant::now() < end, "{}", a.tx_pending().unwrap());
        }
        let arrived = |b: &XdpPort| {
            let Drops { dropped, ring_full, invalid } = b.drops().unwrap();
            assert_eq!(invalid, 0);
            dropped + ring_full
        };
        while arrived(&b) < 200 - 64 {
            assert!(Instant::now() < end, "{:?}", b.drops());
        }
        assert_eq!(b.rx_batch(1000, |frame| assert_eq!(frame.data, [0xff; 60])).unwrap(), 64);
        assert_eq!(a.rx_batch(1000, |_| ()).unwrap(), 0, "a sender does not hear itself");
    });
}

#[test]
fn a_port_that_was_closed_leaves_its_interface_to_others() {
    with_xdp(1500, || {
        for _ in 0..3 {
            let (mut a, mut b) = (open("va"), open("vb"));
            carry(&mut a, &mut b, vec![64], 100);
        }
        let links = std::process::Command::new("ip").args(["-d", "link", "show", "vb"]).output().unwrap();
        assert!(!String::from_utf8_lossy(&links.stdout).contains("xdp"), "the program is gone");
        let _first = open("va");
        let error = XdpPort::open("va", Options::default()).unwrap_err();
        assert_eq!(error.to_string(), "interface va: cannot bind an AF_XDP socket to it");
        assert!(
            matches!(error, Error::Interface { source, .. } if source.raw_os_error() == Some(libc::EBUSY))
        );
    });
}

#[test]
fn waiting_ends_with_a_frame_and_with_time() {
    with_xdp(1500, || {
        let (mut a, mut b) = (open("va"), open("vb"));
        waits(&mut a, &mut b);
    });
}

#[test]
fn what_is_no_interface_or_too_large_is_refused_by_name() {
    with_xdp(9000, || {
        refuses(XdpPort::open, &[0, 32, 100, 1 << 16]);
        let error = XdpPort::open("va", Options::default()).unwrap_err();
        let Error::Interface { source, .. } = error else { panic!("{error}") };
        assert!(source.to_string().contains("an MTU of 9000"), "{source}");
    });
}
