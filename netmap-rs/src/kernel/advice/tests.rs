//! Advice for errors as the module gives them.

use super::*;

fn parameters(list: &[(&str, &str)]) -> ModuleParameters {
    list.iter().copied().collect()
}

#[test]
fn out_of_memory_names_parameters_and_values() {
    let parameters = parameters(&[
        ("priv_ring_num", "4"),
        ("priv_buf_num", "4098"),
        ("priv_if_num", "2"),
        ("priv_ring_size", "20480"),
    ]);
    let register = nmreq_register {
        nr_tx_rings: 4,
        nr_rx_rings: 2,
        nr_tx_slots: 256,
        nr_extra_bufs: 10,
        ..Default::default()
    };
    let case =
        Case { name: "vale0:1", register: Some(&register), parameters: Some(&parameters), ..Case::default() };
    let advice = advise(Operation::Register, Errno::NOMEM, &case);
    let raise =
        |parameter, current, at_least| Raise { parameter, current: Some(current), at_least, at_load: false };
    assert_eq!(
        advice,
        Advice::Raise(vec![
            raise("priv_ring_num", 4, 4 + (4 + 1) + (2 + 1)),
            raise("priv_buf_num", 4098, 4098 + 5 * 256 + 3 * 1024 + 10),
            raise("priv_if_num", 2, 3),
        ])
    );
    let text = advice.to_string();
    assert!(text.contains("/sys/module/netmap/parameters/priv_ring_num to 12 or more (it is 4)"), "{text}");
}

#[test]
fn a_ring_too_large_for_its_object_is_the_reason() {
    let parameters = parameters(&[("ring_size", "36864"), ("ring_num", "200")]);
    let register = nmreq_register { nr_rx_slots: 4096, ..Default::default() };
    let case =
        Case { name: "eth0", register: Some(&register), parameters: Some(&parameters), ..Case::default() };
    let expected =
        Raise { parameter: "ring_size", current: Some(36864), at_least: 256 + 16 * 4096, at_load: false };
    assert_eq!(advise(Operation::Register, Errno::NOMEM, &case), Advice::Raise(vec![expected]));
}

#[test]
fn too_many_switches_are_told_from_too_little_memory() {
    let register = nmreq_register::default();
    let case = Case { name: "vale9:1", register: Some(&register), switches: Some(8), ..Case::default() };
    let expected = Raise { parameter: "max_bridges", current: None, at_least: 9, at_load: true };
    assert_eq!(advise(Operation::Register, Errno::NOMEM, &case), Advice::Raise(vec![expected]));
    let case = Case { switches: Some(7), ..case };
    let Advice::Raise(list) = advise(Operation::Register, Errno::NOMEM, &case) else { panic!() };
    assert_eq!(list[0].parameter, "priv_ring_num");
}

#[test]
fn invalid_requests_are_explained_by_what_is_known() {
    let said = |register: &nmreq_register, case: Case<'_>| {
        advise(Operation::Register, Errno::INVAL, &Case { register: Some(register), ..case }).to_string()
    };
    let port = nmreq_port_info_get { nr_tx_rings: 2, nr_rx_rings: 1, ..Default::default() };
    let eth0 = || Case { name: "eth0", port: Some(&port), ..Case::default() };
    let base = nmreq_register { nr_mode: NR_REG_ONE_NIC, nr_ringid: 2, ..Default::default() };
    assert_eq!(said(&base, eth0()), "there is no ring pair 2: the port has 2");
    let ring_1 = nmreq_register { nr_ringid: 1, ..base };
    assert!(!said(&ring_1, eth0()).contains("ring pair 1"), "ring 1 transmits");
    let host = nmreq_register { nr_mode: NR_REG_SW, ..Default::default() };
    assert!(said(&host, eth0()).contains("host rings"));
    let all = nmreq_register { nr_mode: 1, ..Default::default() };
    let jumbo = said(&all, Case { mtu: Some(9000), ..eth0() });
    assert!(jumbo.contains("MTU is 9000") && jumbo.contains("buf_size to 9024"), "{jumbo}");
    let monitor = nmreq_register { nr_flags: NR_MONITOR_RX, ..all };
    assert!(said(&monitor, eth0()).contains("must be open"));
    let null = nmreq_register { nr_mode: NR_REG_NULL, ..Default::default() };
    assert!(said(&null, eth0()).contains("memory region"));
    let region = nmreq_register { nr_mem_id: 77, ..all };
    assert!(said(&region, eth0()).contains("region 77"));
}

/// Every errno that the kernel sources name gets a sentence of its own, and anything else its text.
#[test]
fn every_errno_gets_a_sentence() {
    let register = nmreq_register::default();
    let case = Case { name: "eth7", register: Some(&register), ..Case::default() };
    let known = [
        Errno::NOMEM,
        Errno::NXIO,
        Errno::BUSY,
        Errno::OPNOTSUPP,
        Errno::IO,
        Errno::NODEV,
        Errno::MSGSIZE,
        Errno::FAULT,
        Errno::ACCESS,
        Errno::NOSPC,
        Errno::INVAL,
    ];
    for errno in known {
        let text = advise(Operation::Register, errno, &case).to_string();
        assert!(!text.contains("the kernel says"), "{errno}: {text}");
    }
    let text = advise(Operation::Register, Errno::XDEV, &case).to_string();
    assert!(text.contains("the kernel says"), "{text}");
    assert!(advise(Operation::Register, Errno::NXIO, &case).to_string().contains("`eth7`"));
    for (operation, errno, word) in [
        (Operation::Newif, Errno::EXIST, "exists"),
        (Operation::Delif, Errno::BUSY, "detach"),
        (Operation::Detach, Errno::NXIO, "list"),
        (Operation::PollingEnable, Errno::OPNOTSUPP, "attached"),
        (Operation::CsbEnable, Errno::INVAL, "NR_EXCLUSIVE"),
        (Operation::KloopStart, Errno::BUSY, "running"),
        (Operation::List, Errno::NOENT, "no such VALE switch"),
        (Operation::HeaderSet, Errno::INVAL, "0, 10 or 12"),
        (Operation::Txsync, Errno::BUSY, "CSB mode"),
    ] {
        let text = advise(operation, errno, &case).to_string();
        assert!(text.contains(word), "{operation} {errno}: {text}");
    }
    assert!(advise_open(Errno::NOENT).to_string().contains("load the netmap module"));
    assert!(advise_open(Errno::ACCESS).to_string().contains("root"));
}
