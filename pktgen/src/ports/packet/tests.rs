//! Packet ports on a veth pair.

use super::*;
use crate::ports::veth::{LIMIT, carry, flood, ip, refuses, round_trips, waits, with_veth};
use std::time::Instant;

fn open(interface: &str) -> PacketPort {
    PacketPort::open(interface, Options { slots: 64, ..Options::default() }).unwrap()
}

#[test]
fn frames_of_all_sizes_cross_a_veth_pair_over_many_laps() {
    with_veth(1500, || {
        let (mut a, mut b) = (open("va"), open("vb"));
        assert_eq!((a.info().max_frame, a.info().tx_slots, a.info().driver), (1514, 64, "packet"));
        assert_ne!(a.info().mac, b.info().mac);
        carry(&mut a, &mut b, vec![64, 1518, 200], 64 * 20);
        carry(&mut b, &mut a, vec![64], 64 * 20);
        assert_eq!((a.drops().unwrap().truncated, b.drops().unwrap().truncated), (0, 0));
        let drops = b.drops().unwrap();
        assert!(drops.arrived >= 64 * 20 && drops.dropped == 0, "{drops:?}");
    });
}

#[test]
fn jumbo_frames_fit_a_port_whose_mtu_does() {
    with_veth(9000, || {
        let (mut a, mut b) = (open("va"), open("vb"));
        assert_eq!(a.info().max_frame, 9014);
        carry(&mut a, &mut b, vec![9018, 64], 300);
        assert_eq!(b.drops().unwrap().truncated, 0);
    });
}

#[test]
fn round_trips_are_timed() {
    with_veth(1500, || round_trips(&mut open("va"), &mut open("vb")));
}

#[test]
fn a_receiver_that_does_not_read_drops_and_says_so_and_a_sender_does_not_hear_itself() {
    with_veth(1500, || {
        let (mut a, mut b) = (open("va"), open("vb"));
        flood(&mut a, 200);
        let deadline = Instant::now() + LIMIT;
        while b.drops().unwrap().arrived < 200 {
            assert!(Instant::now() < deadline, "{:?}", b.drops());
        }
        let drops = b.drops().unwrap();
        assert_eq!((drops.arrived, drops.dropped), (200, 200 - 64), "64 slots were free");
        assert_eq!(b.rx_batch(1000, |frame| assert_eq!(frame.data, [0xff; 60])).unwrap(), 64);
        assert_eq!(a.rx_batch(1000, |_| ()).unwrap(), 0);
        assert_eq!(a.tx_pending().unwrap(), 0);
    });
}

#[test]
fn waiting_ends_with_a_frame_with_time_and_with_an_error() {
    with_veth(1500, || {
        let (mut a, mut b) = (open("va"), open("vb"));
        waits(&mut a, &mut b);
        ip("link set vb down").unwrap();
        let error = b.wait(Interest::Both, LIMIT).unwrap_err();
        let source = error.source.downcast_ref::<io::Error>().unwrap();
        assert_eq!(source.raw_os_error(), Some(libc::ENETDOWN));
    });
}

#[test]
fn what_is_no_interface_is_refused_by_name() {
    with_veth(1500, || {
        refuses(PacketPort::open, &[0, 32, 100, 1 << 17]);
        let loopback = PacketPort::open("lo", Options::default()).unwrap();
        assert_eq!(loopback.info().max_frame, u16::MAX);
        assert_eq!(loopback.info().tx_slots, 256, "32 MiB of 128 KiB slots");
    });
}
