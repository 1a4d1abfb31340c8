//! Questions and the management of VALE switches, and requests that make no sense.

use crate::world::*;
use netmap_rs::kernel::{
    Body, CsbArrays, KernelError, KernelPort, NewPort, Opt, Register, Request, module_parameters,
};
use netmap_rs::sys::{NETMAP_REQ_OPT_MAX, NETMAP_REQ_REGISTER, NETMAP_REQ_SYNC_KLOOP_START};
use rustix::io::Errno;
use std::num::NonZeroU16;
use std::sync::Arc;

#[test]
fn ports_regions_and_pools_are_described() {
    let Some(_netmap) = netmap() else { return };
    let control = control();
    let port = open("vale1:info@conf:rings=2,slots=512");
    let info = control.port_info(&name("vale1:info")).unwrap();
    let reply = port.registered().reply;
    assert_eq!(
        (info.nr_tx_rings, info.nr_rx_slots, info.nr_mem_id, info.nr_memsize),
        (2, 512, reply.nr_mem_id, reply.nr_memsize)
    );
    let region = NonZeroU16::new(reply.nr_mem_id).unwrap();
    assert_eq!(control.region_info(region).unwrap().nr_memsize, reply.nr_memsize);
    let pools = control.pools_info(&name("vale1:info"), None).unwrap();
    assert_eq!(pools.nr_memsize, reply.nr_memsize);
    assert_eq!(pools.nr_buf_pool_objsize, 2048);
    assert!(pools.nr_buf_pool_objtotal >= 4 * 512);
    assert!(pools.nr_ring_pool_offset < pools.nr_buf_pool_offset);
    let nowhere = control.region_info(NonZeroU16::new(60000).unwrap()).unwrap_err();
    assert_eq!(nowhere.errno(), Some(Errno::INVAL), "{nowhere}");
    let parameters = module_parameters().unwrap();
    assert!(parameters.number("buf_size").is_some() && parameters.ptnet_vnet_hdr().is_some());
}

#[test]
fn header_lengths_are_set_and_must_be_accepted() {
    let Some(_netmap) = netmap() else { return };
    let control = control();
    let port_name = name("vale1:hdr");
    let port = open("vale1:hdr");
    for len in [12, 0, 10] {
        control.set_port_header(&port_name, len).unwrap();
        assert_eq!(control.port_header(&port_name).unwrap(), len);
    }
    let e = control.set_port_header(&port_name, 11).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::INVAL), "{e}");
    let e = control.set_port_header(&name("vale1:none"), 12).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::NXIO), "{e}");
    let e = control_register("vale1:hdr").unwrap_err();
    assert_eq!(e.errno(), Some(Errno::IO), "{e}");
    assert!(e.to_string().contains("NR_ACCEPT_VNET_HDR"), "{e}");
    let register = Register::new(spec("vale1:hdr")).accept_vnet_hdr(true);
    crate::world::control().register(&register).unwrap();
    drop(port);
}

fn control_register(text: &str) -> Result<(), KernelError> {
    control().register(&Register::new(spec(text))).map(|_| ())
}

#[test]
fn persistent_ports_live_until_they_are_deleted() {
    let Some(_netmap) = netmap() else { return };
    let control = control();
    let port = name("netmap:nmrs0");
    let _ = control.vale_delif(&port);
    let wanted = NewPort { tx_slots: 128, rx_slots: 256, tx_rings: 2, ..NewPort::default() };
    let got = control.vale_newif(&port, &wanted).unwrap();
    assert_eq!((got.tx_slots, got.rx_slots, got.tx_rings, got.rx_rings), (128, 256, 2, 1));
    let e = control.vale_newif(&port, &wanted).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::EXIST), "{e}");
    let e = control.vale_newif(&name("netmap:averyverylongname"), &wanted).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::INVAL), "{e}");

    let attached = name("vale1:nmrs0");
    let index = control.vale_attach(&attached, false, None).unwrap();
    let found = control.vale_find(&attached).unwrap().expect("it is on the switch");
    assert_eq!(found.port_idx, index);
    assert!(vale_ports().contains(&"vale1:nmrs0".to_owned()), "{:?}", vale_ports());
    let e = control.vale_attach(&attached, false, None).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::BUSY), "{e}");
    let e = control.vale_delif(&port).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::BUSY), "{e}");
    let e = control.polling_disable(&attached).unwrap_err();
    assert!(matches!(e.errno(), Some(Errno::OPNOTSUPP | Errno::FAULT)), "{e}");
    assert_eq!(control.vale_detach(&attached).unwrap(), index);
    let e = control.vale_detach(&attached).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::NXIO), "{e}");
    control.vale_delif(&port).unwrap();
    let e = control.vale_delif(&port).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::NXIO), "{e}");
    assert!(vale_ports().is_empty());
}

#[test]
fn lists_are_complete_and_end() {
    let Some(_netmap) = netmap() else { return };
    assert!(vale_ports().is_empty(), "{:?}", vale_ports());
    let names: Vec<String> = (0..3).flat_map(|s| (0..4).map(move |p| format!("vale{s}:p{p}"))).collect();
    let ports: Vec<KernelPort> = names.iter().map(|n| open(n)).collect();
    let mut listed = vale_ports();
    listed.sort();
    assert_eq!(listed, names);
    assert_eq!(control().vale_find(&name("vale7:none")).unwrap(), None);
    assert_eq!(control().vale_find(&name("vale0:none")).unwrap(), None);
    drop(ports);
    assert!(vale_ports().is_empty());
}

#[test]
fn attaching_what_cannot_be_attached_is_refused() {
    let Some(_netmap) = netmap() else { return };
    let control = control();
    for (text, errno) in [("netmap:nosuchif0", Errno::INVAL), ("vale1:nosuchif0", Errno::INVAL)] {
        let e = control.vale_attach(&name(text), false, None).unwrap_err();
        assert_eq!(e.errno(), Some(errno), "{text}: {e}");
    }
    let _port = open("vale1:open");
    let e = control.vale_attach(&name("vale1:open"), false, None).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::BUSY), "{e}");
}

/// Registers `vale1:opt` with these options, and shows errno and statuses.
fn options(options: Vec<Opt>, endless: bool) -> (Result<(), Errno>, Vec<u32>) {
    let (name, mut body) = spec("vale1:opt").to_register();
    body.nr_flags |= netmap_rs::sys::NR_EXCLUSIVE;
    let mut request = Request::new(NETMAP_REQ_REGISTER, name, Body::Register(body)).with_options(options);
    request.endless = endless;
    (control().perform(&mut request), request.statuses)
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let Some(_netmap) = netmap() else { return };
    let unsupported = Errno::OPNOTSUPP.raw_os_error() as u32;
    let invalid = Errno::INVAL.raw_os_error() as u32;
    let empty = |reqtype| Opt::Empty { reqtype, size: 0 };
    assert_eq!(options(vec![], false), (Ok(()), vec![]));
    assert_eq!(options(vec![empty(1234)], false), (Err(Errno::OPNOTSUPP), vec![unsupported]));
    assert_eq!(options(vec![empty(0)], false), (Err(Errno::INVAL), vec![invalid]));
    assert_eq!(options(vec![empty(NETMAP_REQ_OPT_MAX + 1)], true).0, Err(Errno::MSGSIZE));
    let offsets = || Opt::Offsets(Default::default());
    assert_eq!(options(vec![offsets(), offsets()], false), (Err(Errno::INVAL), vec![invalid, invalid]));
    assert_eq!(options(vec![offsets()], true).0, Err(Errno::INVAL));
    let csb = Arc::new(CsbArrays::new().unwrap());
    assert_eq!(options(vec![Opt::Csb(csb), offsets()], false), (Ok(()), vec![0, 0]));
    assert_eq!(options(vec![Opt::KloopMode(0)], false), (Err(Errno::OPNOTSUPP), vec![unsupported]));
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let Some(_netmap) = netmap() else { return };
    let control = control();
    let no_name = [0; 64];
    for reqtype in [0, 16, 999] {
        assert_eq!(control.perform(&mut Request::new(reqtype, no_name, Body::None)), Err(Errno::INVAL));
    }
    let register = Body::Register(Default::default());
    assert_eq!(
        control.perform(&mut Request::new(9, no_name, register)),
        Err(Errno::INVAL),
        "a body too many"
    );
    assert_eq!(control.perform(&mut Request::new(1, no_name, Body::None)), Err(Errno::INVAL), "none");
    let mode_0 = Body::Register(Default::default());
    let name = name("vale1:m").to_nr_name();
    assert_eq!(control.perform(&mut Request::new(1, name, mode_0)), Err(Errno::INVAL), "no mode");
    let start = Body::KloopStart(Default::default());
    let mut start = Request::new(NETMAP_REQ_SYNC_KLOOP_START, no_name, start);
    assert_eq!(control.perform(&mut start), Err(Errno::NXIO), "no port");
    let registered = control.register(&Register::new(spec("vale1:k"))).unwrap();
    assert_eq!(registered.control().perform(&mut start), Err(Errno::INVAL), "no CSB");
}
