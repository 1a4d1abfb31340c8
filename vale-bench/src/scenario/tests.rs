//! What scenarios lay out, and what they refuse.

use super::*;
use crate::exit::Exit;
use std::collections::BTreeSet;

#[test]
fn v2v_pairs_neighbours() {
    let t = v2v(4, Pattern::Pairs).unwrap();
    assert_eq!((t.vms(), t.ports(), t.segment_count()), (4, 4, 1));
    assert_eq!(t.flows(false), [Flow { from: 0, to: 1 }, Flow { from: 2, to: 3 }]);
    assert_eq!(t.flows(true).len(), 4);
    assert_eq!(t.port_places(), [(0, 0), (1, 0), (2, 0), (3, 0)]);
    assert_eq!(t.pairs("x").unwrap(), [(0, 1), (2, 3)]);
}

#[test]
fn odd_and_impossible_numbers_of_machines_are_refused() {
    for n in [0, 1, 3, 256] {
        assert_eq!(v2v(n, Pattern::Pairs).unwrap_err().exit(), Exit::Usage);
    }
}

#[test]
fn host_ports_and_guests_go_together_one_to_one() {
    let t = p2v(2).unwrap();
    assert_eq!((t.vms(), t.ports()), (2, 4));
    assert_eq!(t.flows(false), [Flow { from: 0, to: 2 }, Flow { from: 1, to: 3 }]);
    assert_eq!(v2p(1).unwrap().flows(true), [Flow { from: 1, to: 0 }, Flow { from: 0, to: 1 }]);
    assert_eq!(t.port_places(), [(0, 0), (0, 1), (1, 0), (2, 0)]);
    for n in [0, 128] {
        assert_eq!(v2p(n).unwrap_err().exit(), Exit::Usage);
    }
}

#[test]
fn p2p_has_two_ports_on_one_station() {
    let t = p2p(1);
    assert_eq!(t.port_places(), [(0, 0), (0, 1)]);
    assert_eq!(t.flows(true), [Flow { from: 0, to: 1 }, Flow { from: 1, to: 0 }]);
    assert_eq!(t.hops(t.flows[0]), t.flows);
    assert_eq!((t.peer(0), t.across(0)), (Some(1), None));
}

#[test]
fn a_chain_has_a_switch_for_every_hop_and_leads_back_to_the_host() {
    for vms in [1, 2, 5, MAX_PORTS / 2 - 1] {
        let t = loopback(vms).unwrap();
        assert_eq!((t.vms(), t.ports(), t.segment_count()), (vms, 2 * vms + 2, vms + 1));
        for segment in 0..=vms {
            assert_eq!(t.segments.iter().filter(|&&s| s == segment).count(), 2, "segment {segment}");
        }
        for flow in t.flows(true) {
            let hops = t.hops(flow);
            assert_eq!(hops.len(), vms + 1);
            assert_eq!((hops[0].from, hops[vms].to), (flow.from, flow.to));
            assert!(hops.iter().all(|hop| t.segments[hop.from] == t.segments[hop.to]));
            assert!(hops.windows(2).all(|two| t.across(two[0].to) == Some(two[1].from)), "{hops:?}");
        }
        let pairs = t.pairs("x").unwrap();
        assert_eq!(pairs.iter().flat_map(|&(a, b)| [a, b]).collect::<BTreeSet<_>>().len(), t.ports());
    }
    let flow = |from, to| Flow { from, to };
    let t = loopback(2).unwrap();
    assert_eq!(t.hops(t.flows[0]), [flow(0, 2), flow(3, 4), flow(5, 1)]);
    assert_eq!(t.hops(flow(1, 0)), [flow(1, 5), flow(4, 3), flow(2, 0)]);
    assert_eq!((t.first_hop(flow(1, 0)), t.peer(3), t.across(3), t.across(0)), (5, Some(4), Some(2), None));
    let t = t.forwarding_by(Forwarder::Vale);
    assert_eq!((t.first_hop(t.flows[0]), t.first_hop(flow(1, 0)), t.forwards()), (1, 0, true));
    assert!(!p2p(1).forwarding_by(Forwarder::Vale).forwards());
    for n in [0, MAX_PORTS / 2] {
        let fail = loopback(n).unwrap_err();
        assert_eq!(fail.exit(), Exit::Usage);
        assert!(fail.to_string().contains("--vms must be 1 to 126"), "{fail}");
    }
}

#[test]
fn a_port_with_several_partners_is_none_of_a_pair() {
    let mut t = v2v(4, Pattern::Pairs).unwrap();
    t.flows[1].to = 1;
    assert_eq!(t.pairs("testpmd").unwrap_err().exit(), Exit::Usage);
    assert_eq!(t.peer(0), None, "three others share its switch");
}

#[test]
fn one_sends_to_all_others_or_all_to_one() {
    let flow = |from, to| Flow { from, to };
    let t = v2v(3, Pattern::OneToMany).unwrap();
    assert_eq!((t.scenario, t.vms()), ("v2v-one-to-many", 3));
    assert_eq!(t.flows(true), [flow(0, 1), flow(0, 2), flow(1, 0), flow(2, 0)]);
    let t = v2v(3, Pattern::ManyToOne).unwrap();
    assert_eq!((t.scenario, t.flows(false)), ("v2v-many-to-one", vec![flow(0, 2), flow(1, 2)]));
    assert!(t.pairs("testpmd").unwrap_err().to_string().contains("v2v-many-to-one has a port with several"));
    for pattern in [Pattern::OneToMany, Pattern::ManyToOne] {
        assert_eq!(v2v(2, pattern).unwrap().flows, [flow(0, 1)]);
        for n in [0, 1, 255] {
            assert_eq!(v2v(n, pattern).unwrap_err().exit(), Exit::Usage);
        }
    }
}
