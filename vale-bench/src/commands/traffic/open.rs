//! Opens a port by its name: of a running `vale-bench switch`, of the kernel's netmap, of DPDK's, or an interface by
//! packet socket or `AF_XDP` socket.
//!
//! A plain VALE port (`vale0:1`) is one of the switch called `vale0` that runs in this user's name, if one does, and
//! else one of the kernel's VALE. All other netmap names, and names with flags or options, are the kernel's alone.
//! What follows `dpdk:` are the arguments of a DPDK device. Names that are none of netmap's are interfaces.

use super::super::switch::socket;
use super::any::{AnyPort, UvalePort};
use crate::exit::{Exit, Fail};
use crate::interrupt::Interrupt;
use netmap_rs::kernel::{KernelError, KernelPort, Register};
use netmap_rs::portspec::{Conf, PortSpec, PortSpecError, RegMode, RingId};
use netmap_rs::sys::nmreq_register;
use pktgen::port::Port;
use pktgen::ports::csb::CsbIo;
use pktgen::ports::dpdk::{DpdkError, DpdkPort};
use pktgen::ports::kernel::{Form, KernelIo};
use pktgen::ports::packet::{Options, PacketPort};
use pktgen::ports::xdp::XdpPort;
use std::path::Path;
use uvale::daemon::{self, DaemonError};

/// Where netmap is.
const DEVICE: &str = "/dev/netmap";

/// How to open a port.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wish {
    /// How frames lie in slots.
    pub(crate) form: Form,
    /// Threads that are to use it, each with a ring of its own; 0 for one a ring.
    pub(crate) threads: u32,
}

/// Opens the port called `name`, once for each thread; it comes with the Ethernet address to send from.
pub(crate) fn open(name: &str, wish: Wish) -> Result<(Vec<AnyPort>, [u8; 6]), Fail> {
    if let Some(arguments) = name.strip_prefix("dpdk:") {
        return open_dpdk(name, arguments, wish);
    }
    if let Some(interface) = name.strip_prefix("xdp:") {
        return open_xdp(name, interface, wish);
    }
    let interface = match name.parse::<PortSpec>() {
        Ok(spec) => return open_netmap(name, &spec, wish),
        Err(PortSpecError::NotNetmap { .. }) => name.strip_prefix("packet:").unwrap_or(name),
        Err(e) => return Err(Fail::usage(e)),
    };
    plain(name, wish, "an interface by packet socket")?;
    check_named(name, interface)?;
    let port =
        PacketPort::open(interface, Options::default()).map_err(|e| Fail::failed(e).with_exit(Exit::Host))?;
    let mac = port.info().mac.unwrap_or_else(|| made_up_mac(name));
    Ok((vec![AnyPort::Packet(Box::new(port))], mac))
}

/// Refuses a port's name that has none of an interface in it.
fn check_named(name: &str, interface: &str) -> Result<(), Fail> {
    if interface.is_empty() {
        return Err(Fail::usage(format!("{name:?} names no interface: eth0, packet:eth0 or xdp:eth0")));
    }
    Ok(())
}

fn open_xdp(name: &str, interface: &str, wish: Wish) -> Result<(Vec<AnyPort>, [u8; 6]), Fail> {
    plain(name, wish, "an interface by AF_XDP socket")?;
    check_named(name, interface)?;
    let port =
        XdpPort::open(interface, Options::default()).map_err(|e| Fail::failed(e).with_exit(Exit::Host))?;
    eprintln!("port {name} is up: {}", port.facts());
    let mac = port.info().mac.unwrap_or_else(|| made_up_mac(name));
    Ok((vec![AnyPort::Xdp(Box::new(port))], mac))
}

fn open_dpdk(name: &str, arguments: &str, wish: Wish) -> Result<(Vec<AnyPort>, [u8; 6]), Fail> {
    plain(name, wish, "a DPDK port")?;
    if arguments.is_empty() {
        return Err(Fail::usage(format!(
            "{name} names no device: dpdk:0000:01:00.0, or dpdk:net_virtio_user0,path=SOCKET"
        )));
    }
    let interrupt = Interrupt::install()?;
    let opened = DpdkPort::open(arguments, name, &mut || interrupt.signal().is_none());
    if matches!(opened, Err(DpdkError::Interrupted { .. })) {
        interrupt.check()?;
    }
    // What the arguments are worth only DPDK knows; a device that it does not have is one that this host lacks.
    let port = opened.map_err(|e| Fail::failed(e).with_exit(Exit::Host))?;
    eprintln!("port {name} is up: {}", port.facts());
    let mac = port.info().mac.unwrap_or_else(|| made_up_mac(name));
    Ok((vec![AnyPort::Dpdk(Box::new(port))], mac))
}

fn open_netmap(name: &str, spec: &PortSpec, wish: Wish) -> Result<(Vec<AnyPort>, [u8; 6]), Fail> {
    let plain_switch =
        spec.name.switch().filter(|switch| spec.to_string() == format!("{switch}:{}", spec.name.port()));
    let Some(switch) = plain_switch else { return open_kernel(name, spec, wish) };
    let path = socket(switch)?;
    match daemon::attach(&path, spec.name.port(), None) {
        Ok(remote) => {
            let form = Form { fragments: 0, ..wish.form };
            plain(name, Wish { form, ..wish }, "a port of the embedded VALE")?;
            let mac = made_up_mac(name);
            let (port, link) = remote.split();
            let io = CsbIo::new(port, name, "uvale", Some(mac)).in_fragments(wish.form.fragments);
            Ok((vec![AnyPort::Csb(UvalePort { io, link })], mac))
        }
        Err(DaemonError::NotRunning { .. }) if Path::new(DEVICE).exists() => open_kernel(name, spec, wish),
        Err(DaemonError::NotRunning { .. }) => Err(Fail::host(format!(
            "no switch called {switch} is running: start one with `vale-bench switch --name {switch}`, or load the \
             netmap module for the kernel's VALE (there is no {DEVICE})"
        ))),
        Err(DaemonError::Refused { reason, .. }) => {
            Err(Fail::failed(anyhow::anyhow!("switch {switch} refused {name}: {reason}")))
        }
        Err(e) => Err(Fail::failed(e)),
    }
}

/// Refuses what only ports of the kernel's netmap can do.
fn plain(name: &str, wish: Wish, kind: &str) -> Result<(), Fail> {
    let Form { header, fragments, indirect } = wish.form;
    let option = match (header > 0, fragments > 1, indirect > 0, wish.threads > 1) {
        (true, ..) => "-H",
        (_, true, ..) => "-F",
        (_, _, true, _) => "-I",
        (.., true) => "-p",
        _ => return Ok(()),
    };
    Err(Fail::usage(format!("{option} needs a port of the kernel's netmap, and {name} is {kind}")))
}

fn open_kernel(name: &str, spec: &PortSpec, wish: Wish) -> Result<(Vec<AnyPort>, [u8; 6]), Fail> {
    let host = |e: KernelError| Fail::failed(e).with_exit(Exit::Host);
    if wish.form.indirect > 0 && (spec.name.switch().is_none() || spec.name.pipe().is_some()) {
        return Err(Fail::usage(format!(
            "-I needs a port of a VALE switch: {name} would send what lies in its buffers instead"
        )));
    }
    let mac = interface_mac(spec).unwrap_or_else(|| made_up_mac(name));
    let register =
        |spec: &PortSpec| Register::new(spec.clone()).no_tx_poll(true).accept_vnet_hdr(wish.form.header > 0);
    let wrap = |port: KernelPort| -> Result<AnyPort, Fail> {
        if let Some(sentence) = other_than_wished(name, &spec.conf, &port.registered().reply) {
            eprintln!("{sentence}");
        }
        set_header(name, spec, &port, wish.form.header)?;
        let io = KernelIo::new(port, name, Some(mac), wish.form).map_err(Fail::usage)?;
        Ok(AnyPort::Kernel(Box::new(io)))
    };
    if wish.threads == 1 {
        let port = KernelPort::open(register(spec)).map_err(host)?;
        return Ok((vec![wrap(port)?], mac));
    }
    if spec.mode != RegMode::AllNic {
        return Err(Fail::usage(format!(
            "-p gives each thread a ring of the port, and {name} names rings already"
        )));
    }
    let ring = |i| {
        let id = RingId::new(i).expect("fewer rings than ring numbers");
        KernelPort::open(register(&PortSpec { mode: RegMode::OneNic(id), ..spec.clone() })).map_err(host)
    };
    let first = ring(0)?;
    let reply = &first.registered().reply;
    let rings = u32::from(reply.nr_tx_rings.min(reply.nr_rx_rings));
    let threads = if wish.threads == 0 { rings } else { wish.threads };
    if threads > rings {
        return Err(Fail::usage(format!(
            "-p {threads}: {name} has {rings} ring(s), and each thread needs one"
        )));
    }
    let mut ports = vec![wrap(first)?];
    for i in 1..threads {
        ports.push(wrap(ring(i as u16)?)?);
    }
    Ok((ports, mac))
}

/// Says that a port has not the rings and slots that its name wishes for: the kernel keeps within its limits, and lets
/// ports that there are already be as they are.
fn other_than_wished(name: &str, wished: &Conf, got: &nmreq_register) -> Option<String> {
    let both = [
        ("slots a transmit ring", wished.tx_slots, got.nr_tx_slots),
        ("slots a receive ring", wished.rx_slots, got.nr_rx_slots),
        ("transmit rings", wished.tx_rings.into(), got.nr_tx_rings.into()),
        ("receive rings", wished.rx_rings.into(), got.nr_rx_rings.into()),
    ];
    let other = both.into_iter().filter(|(_, wished, got)| *wished > 0 && wished != got);
    let other: Vec<String> =
        other.map(|(what, wished, got)| format!("{got} {what} in place of {wished}")).collect();
    (!other.is_empty()).then(|| format!("port {name} has {}", other.join(", ")))
}

/// Sees to it that packets on the port begin with a header of `wanted` bytes: says so to a VALE port, and takes what
/// another one has.
fn set_header(name: &str, spec: &PortSpec, port: &KernelPort, wanted: u16) -> Result<(), Fail> {
    let Some(control) = port.control().filter(|_| wanted > 0) else { return Ok(()) };
    let host = |e: KernelError| Fail::failed(e).with_exit(Exit::Host);
    if spec.name.switch().is_some() && spec.name.pipe().is_none() {
        control.set_port_header(&spec.name, wanted.into()).map_err(host)?;
    }
    match control.port_header(&spec.name).map_err(host)? {
        found if found == u32::from(wanted) => Ok(()),
        found => Err(Fail::usage(format!("-H {wanted}: {name} has headers of {found} bytes"))),
    }
}

/// The address of the interface that a port belongs to.
fn interface_mac(spec: &PortSpec) -> Option<[u8; 6]> {
    if spec.name.switch().is_some() || spec.name.pipe().is_some() {
        return None;
    }
    let path = Path::new("/sys/class/net").join(spec.name.port()).join("address");
    let text = std::fs::read_to_string(path).ok()?;
    let mut mac = [0; 6];
    let mut parts = text.trim().split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    (parts.next().is_none() && mac != [0; 6]).then_some(mac)
}

/// A locally administered address made from the port's name, the same each time.
fn made_up_mac(name: &str) -> [u8; 6] {
    // FNV-1a: spreads short names over all bits.
    let hash =
        name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let [a, b, c, d, e, ..] = hash.to_le_bytes();
    [0x02, a, b, c, d, e]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Wish = Wish { form: Form { header: 0, fragments: 0, indirect: 0 }, threads: 1 };

    fn refused(name: &str, wish: Wish) -> (Exit, String) {
        match open(name, wish) {
            Ok(_) => panic!("{name} was opened"),
            Err(fail) => (fail.exit(), fail.to_string()),
        }
    }

    #[test]
    fn made_up_addresses_are_local_unicast_and_differ() {
        let macs: std::collections::HashSet<_> =
            (0..254).map(|i| made_up_mac(&format!("vale0:{i}"))).collect();
        assert_eq!(macs.len(), 254);
        assert!(macs.iter().all(|mac| mac[0] == 2));
    }

    #[test]
    fn what_the_kernel_made_otherwise_is_said() {
        let wished = |text: &str| text.parse::<PortSpec>().unwrap().conf;
        let got = nmreq_register {
            nr_tx_slots: 8192,
            nr_rx_slots: 8192,
            nr_tx_rings: 1,
            nr_rx_rings: 1,
            ..Default::default()
        };
        for as_wished in ["vale0:1", "vale0:1@conf:slots=8192", "vale0:1@conf:rings=1"] {
            assert_eq!(other_than_wished("p", &wished(as_wished), &got), None, "{as_wished}");
        }
        let sentence = other_than_wished("p", &wished("vale0:1@conf:tx-slots=9000000,rx-rings=4"), &got);
        assert_eq!(
            sentence.unwrap(),
            "port p has 8192 slots a transmit ring in place of 9000000, 1 receive rings in place of 4"
        );
    }

    #[test]
    fn what_cannot_be_opened_gets_a_sentence() {
        assert_eq!(refused("no-such-if", ONE).0, Exit::Host);
        assert_eq!(refused("netmap:", ONE).0, Exit::Usage);
        assert_eq!(refused("netmap:nosuchif", ONE).0, Exit::Host);
        let (exit, sentence) = refused("no-such-if", Wish { threads: 2, ..ONE });
        assert_eq!(exit, Exit::Usage);
        assert!(sentence.contains("-p needs a port of the kernel's netmap"), "{sentence}");
        let indirect = Wish { form: Form { indirect: 60, ..Form::default() }, threads: 1 };
        assert!(refused("netmap:lo", indirect).1.contains("-I needs a port of a VALE switch"));
        if !Path::new(DEVICE).exists() {
            assert!(refused("vale_none:1", ONE).1.contains("vale-bench switch --name vale_none"));
            assert_eq!(refused("vale_none:1", ONE).0, Exit::Host);
            let (exit, sentence) = refused("vale0:1/x", ONE);
            assert_eq!(exit, Exit::Host);
            assert!(sentence.contains("/dev/netmap"), "{sentence}");
        }
    }
}
