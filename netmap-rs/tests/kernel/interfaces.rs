//! Interfaces of the system: host rings, attaching, polling. They need an interface that may be taken over.

use crate::world::*;
use netmap_rs::kernel::{KernelPort, Polling};
use netmap_rs::portspec::PortSpec;
use rustix::io::Errno;

#[test]
fn an_interface_has_hardware_and_host_rings() {
    let Some(netmap) = netmap() else { return };
    let Some(interface) = netmap.interface() else { return };
    let open_mode = |suffix: &str| open(&format!("netmap:{interface}{suffix}"));
    let mut all = open_mode("");
    assert!(!all.tx().is_empty() && all.tx().iter().all(|r| !r.name().host));
    assert!(all.registered().reply.nr_host_rx_rings > 0);
    drop(all);
    let mut host = open_mode("^");
    assert!(!host.rx().is_empty() && host.rx().iter().all(|r| r.name().host));
    drop(host);
    let mut both = open_mode("*");
    assert!(both.rx().iter().any(|r| r.name().host) && both.rx().iter().any(|r| !r.name().host));
    both.txsync().unwrap();
    both.rxsync().unwrap();
    drop(both);
    let mut one = open_mode("-0/x");
    assert_eq!(one.tx().len(), 1);
    drop(one);
    let mut one = open_mode("^0");
    assert!(one.rx()[0].name().host);
}

#[test]
fn an_interface_is_attached_with_and_without_the_host() {
    let Some(netmap) = netmap() else { return };
    let Some(interface) = netmap.interface() else { return };
    let control = control();
    let attached = name(&format!("vale3:{interface}"));
    for (host, ports) in [(false, 1), (true, 2)] {
        control.vale_attach(&attached, host, None).unwrap();
        assert_eq!(vale_ports().len(), ports, "{:?}", vale_ports());
        let spec: PortSpec = format!("netmap:{interface}").parse().unwrap();
        let e = KernelPort::open(spec).unwrap_err();
        assert_eq!(e.errno(), Some(Errno::BUSY), "{e}");
        assert!(e.to_string().contains("attached"), "{e}");
        control.polling_enable(&attached, Polling::Single { cpu: 0 }).unwrap();
        let e = control.polling_enable(&attached, Polling::Single { cpu: 0 }).unwrap_err();
        assert_eq!(e.errno(), Some(Errno::FAULT), "{e}");
        let e = control.vale_detach(&attached).unwrap_err();
        assert_eq!(e.errno(), Some(Errno::BUSY), "{e}");
        assert!(e.to_string().contains("stop it first"), "{e}");
        control.polling_disable(&attached).unwrap();
        let e = control.polling_enable(&attached, Polling::Multi { first: 0, cpus: 4096 }).unwrap_err();
        assert_eq!(e.errno(), Some(Errno::INVAL), "{e}");
        control.vale_detach(&attached).unwrap();
    }
    assert!(vale_ports().is_empty());
    let e = KernelPort::open(spec(&format!("vale3:{interface}"))).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::INVAL), "{e}");
    assert!(e.to_string().contains("attach it"), "{e}");
}
