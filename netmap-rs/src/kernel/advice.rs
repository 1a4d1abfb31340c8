//! What to do about an errno of netmap's: which parameter to raise, and to what, where memory ran out; what else
//! it can mean where the kernel uses one number for many things.
//!
//! What each errno stands for was read in netmap's `netmap.c`, `netmap_mem2.c`, `netmap_bdg.c`, `netmap_vale.c`,
//! `netmap_pipe.c`, `netmap_monitor.c` and `netmap_kloop.c`. Nothing here asks the kernel: a [`Case`] holds what
//! is known.

mod memory;
#[cfg(test)]
mod tests;

use super::error::Operation;
use super::params::{ModuleParameters, PARAMETERS};
use crate::sys::{
    NR_EXCLUSIVE, NR_MONITOR_RX, NR_MONITOR_TX, NR_REG_NIC_SW, NR_REG_NULL, NR_REG_ONE_NIC, NR_REG_ONE_SW,
    NR_REG_SW, NR_ZCOPY_MON, nmreq_port_info_get, nmreq_register,
};
use rustix::io::Errno;
use std::borrow::Cow;
use std::fmt;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// Raise module parameters.
    Raise(Vec<Raise>),
    /// Something else, in words.
    Say(Cow<'static, str>),
}

/// A parameter to raise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raise {
    /// Its name.
    pub parameter: &'static str,
    /// Its value now, if that could be read.
    pub current: Option<u64>,
    /// The least that would do, as far as can be told from the request.
    pub at_least: u64,
    /// It can only be given when the module is loaded.
    pub at_load: bool,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Advice::Say(text) => f.write_str(text),
            Advice::Raise(list) => {
                f.write_str("out of netmap memory; raise ")?;
                for (i, raise) in list.iter().enumerate() {
                    f.write_str(if i == 0 { "" } else { ", and " })?;
                    write!(f, "{PARAMETERS}/{} to {} or more", raise.parameter, raise.at_least)?;
                    if let Some(current) = raise.current {
                        write!(f, " (it is {current})")?;
                    }
                    if raise.at_load {
                        f.write_str(" when the module is loaded")?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// A failed request, and what is known about its surroundings.
#[derive(Debug, Clone, Default)]
pub struct Case<'a> {
    /// The port's name as the kernel has it.
    pub name: &'a str,
    /// The body, of register and attach.
    pub register: Option<&'a nmreq_register>,
    /// The module's parameters, if they could be read.
    pub parameters: Option<&'a ModuleParameters>,
    /// What the port has, if it could be asked.
    pub port: Option<&'a nmreq_port_info_get>,
    /// MTU of the interface of this name, if there is one.
    pub mtu: Option<u32>,
    /// VALE switches in use, if they could be counted.
    pub switches: Option<usize>,
}

/// Bytes of a buffer unless configured.
const DEFAULT_BUF_SIZE: i64 = 2048;

fn say(text: impl Into<Cow<'static, str>>) -> Advice {
    Advice::Say(text.into())
}

/// What to do about `errno` on `operation`.
#[must_use]
pub fn advise(operation: Operation, errno: Errno, case: &Case<'_>) -> Advice {
    match operation {
        Operation::Register | Operation::PortInfo | Operation::PoolsInfo => lookup(errno, case),
        Operation::Attach => match errno {
            Errno::BUSY => say("it is attached to a VALE switch already, or a program has it open"),
            Errno::NXIO | Errno::INVAL if !case.name.starts_with("vale") => {
                say("write the switch and the port: `vale0:eth0`")
            }
            Errno::NXIO => say("there is no such interface; `ip link` lists them"),
            Errno::INVAL => say(
                "VALE takes an interface with all its rings, alone or with the host's, and only an interface that \
                 exists; check the name, the memory id, and that the MTU fits a buffer",
            ),
            _ => lookup(errno, case),
        },
        Operation::Detach => match errno {
            Errno::NXIO => {
                say("no port of this name is on the switch; list the switch's ports to see their names")
            }
            Errno::BUSY => say("polling is on (stop it first), or the port is attached to a second switch"),
            Errno::INVAL => say("this port goes when the program that has it open closes it"),
            _ => lookup(errno, case),
        },
        Operation::List => match errno {
            Errno::NOENT => say("there is no such VALE switch"),
            Errno::INVAL => say("a switch's name begins with `vale`"),
            _ => lookup(errno, case),
        },
        Operation::Newif => match errno {
            Errno::EXIST => say("an interface of this name exists; take another name, or delete that one"),
            Errno::INVAL => say(
                "a persistent port is called by at most 15 characters that do not begin with `vale`; its memory id \
                 must exist",
            ),
            _ => lookup(errno, case),
        },
        Operation::Delif => match errno {
            Errno::NXIO => say("there is no interface of this name"),
            Errno::INVAL => say("it is no persistent VALE port"),
            Errno::BUSY => say("it is open or attached to a switch: close it, and detach it, first"),
            _ => lookup(errno, case),
        },
        Operation::HeaderSet => match errno {
            Errno::INVAL => say("a virtio-net header has 0, 10 or 12 bytes"),
            Errno::NXIO => {
                say("only VALE ports that exist have a header length; open or attach the port first")
            }
            _ => lookup(errno, case),
        },
        Operation::HeaderGet => match errno {
            Errno::NXIO => say("there is no such port; one that no program has open does not count"),
            _ => lookup(errno, case),
        },
        Operation::PollingEnable | Operation::PollingDisable => match errno {
            Errno::OPNOTSUPP => say("only interfaces that are attached to a switch can be polled"),
            Errno::FAULT => say("it is being polled already, or is not, or its threads cannot be started"),
            Errno::INVAL => say(
                "at least one CPU must be left over; a single polling CPU takes all rings, several take one ring \
                 each, with the same number",
            ),
            Errno::NXIO => say("no such port is on the switch"),
            _ => lookup(errno, case),
        },
        Operation::CsbEnable => match errno {
            Errno::INVAL => say("CSB mode takes a port that was registered with NR_EXCLUSIVE"),
            Errno::BUSY => say("the sync kloop is running"),
            _ => lookup(errno, case),
        },
        Operation::KloopStart | Operation::KloopStop => match errno {
            Errno::INVAL => say(
                "the loop needs a port in CSB mode, a sleep of at most a second, eventfds for exactly the bound \
                 rings, and all of them in direct mode",
            ),
            Errno::BUSY => say("the loop is running already"),
            Errno::NXIO => say("no port is registered here, or its interface is gone"),
            Errno::OPNOTSUPP => say("this system's loop does not do eventfds"),
            _ => lookup(errno, case),
        },
        Operation::Txsync | Operation::Rxsync | Operation::Poll => match errno {
            Errno::IO => say("the port is disabled or its interface is gone"),
            Errno::NXIO => say("no port is registered here"),
            Errno::BUSY => say("the port is in CSB mode: its rings are synchronised through the CSB only"),
            _ => lookup(errno, case),
        },
    }
}

/// Errors of finding a port and, mostly, making it.
fn lookup(errno: Errno, case: &Case<'_>) -> Advice {
    let name = case.name;
    let nr_flags = case.register.map_or(0, |r| r.nr_flags);
    match errno {
        Errno::NOMEM => memory::advise(case),
        Errno::NXIO if name.starts_with("vale") => say(format!("there is no port {name}")),
        Errno::NXIO => say(format!(
            "there is no interface or persistent port `{name}` that netmap can open; `ip link` lists interfaces"
        )),
        Errno::BUSY if nr_flags & NR_EXCLUSIVE != 0 => say(
            "a program has its rings open, or it is attached to a VALE switch, and exclusive use (`/x`) was asked for",
        ),
        Errno::BUSY => say(
            "a program has its rings open for itself alone (`/x`), or it is attached to a VALE switch, or this \
             descriptor has a port already",
        ),
        Errno::OPNOTSUPP => say(
            "its driver does not know netmap and the module parameter `admode` forbids emulation (0 allows it), or \
             the port does not do what an option asks for",
        ),
        Errno::IO => say(
            "its frames begin with a virtio-net header: ask for NR_ACCEPT_VNET_HDR, or set the header's length to 0",
        ),
        Errno::NODEV => say("there is no such pipe"),
        Errno::MSGSIZE => say("the options take more than a request can hold"),
        Errno::FAULT => {
            say("the memory given to the kernel cannot be used: it must stay mapped and writable")
        }
        Errno::ACCESS | Errno::PERM => say(
            "not permitted: run as root, or with the right to /dev/netmap; a switch that another kernel module has \
             taken over is its own",
        ),
        Errno::NOSPC => say("the switch or the system has no room left"),
        Errno::INVAL => invalid(case),
        other => say(format!("the kernel says: {other}")),
    }
}

/// `EINVAL`: the first of its meanings that what is known does not rule out.
fn invalid(case: &Case<'_>) -> Advice {
    let Some(register) = case.register else {
        return say("the name, or the memory id, is not one that the kernel accepts");
    };
    let buf_size = case.parameters.and_then(|p| p.number("buf_size")).unwrap_or(DEFAULT_BUF_SIZE);
    let one_of = |tx: u16, rx: u16| register.nr_ringid >= tx && register.nr_ringid >= rx;
    if register.nr_flags & (NR_MONITOR_TX | NR_MONITOR_RX | NR_ZCOPY_MON) != 0 {
        return say("the port to monitor must be open, and its ring must exist");
    }
    if register.nr_mode == NR_REG_NULL && register.nr_mem_id == 0 {
        return say("a null port needs the id of a memory region");
    }
    if let Some(port) = case.port {
        if register.nr_mode == NR_REG_ONE_NIC && one_of(port.nr_tx_rings, port.nr_rx_rings) {
            let rings = port.nr_tx_rings.max(port.nr_rx_rings);
            return say(format!("there is no ring pair {}: the port has {rings}", register.nr_ringid));
        }
        if [NR_REG_SW, NR_REG_NIC_SW, NR_REG_ONE_SW].contains(&register.nr_mode)
            && (port.nr_host_tx_rings == 0
                || register.nr_mode == NR_REG_ONE_SW && one_of(port.nr_host_tx_rings, port.nr_host_rx_rings))
        {
            return say("the port has no such host rings; interfaces have them, VALE ports and pipes do not");
        }
    }
    if let Some(mtu) = case.mtu.filter(|&mtu| i64::from(mtu) > buf_size) {
        return say(format!(
            "the interface's MTU is {mtu} and a netmap buffer has {buf_size} bytes: lower the MTU, or raise \
             {PARAMETERS}/buf_size to {} while no port is open",
            u64::from(mtu).next_multiple_of(64)
        ));
    }
    if register.nr_mem_id != 0 {
        return say(format!(
            "memory region {} does not exist, or the port cannot use it",
            register.nr_mem_id
        ));
    }
    if case.name.split_once(':').is_some_and(|(_, port)| !port.is_empty()) && case.mtu.is_some() {
        return say(
            "an interface is attached to a switch, not opened on it: attach it, then open `netmap:` with its name",
        );
    }
    say("the mode, the flags, a ring's number or a size is not one that this port accepts")
}

/// What to do when the control device cannot be opened.
#[must_use]
pub fn advise_open(errno: Errno) -> Advice {
    match errno {
        Errno::NOENT | Errno::NODEV | Errno::NXIO => say(
            "there is no netmap here; load the netmap module (`modprobe netmap`, or `insmod netmap.ko` of one built \
             for this kernel)",
        ),
        Errno::ACCESS | Errno::PERM => {
            say("not permitted; run as root, or give this user the right to the device")
        }
        other => say(format!("the kernel says: {other}")),
    }
}

/// What to do about an option that was not taken.
#[must_use]
pub fn advise_option(option: &str, errno: Errno, fallback: Advice) -> Advice {
    match (option, errno) {
        ("offsets", Errno::OPNOTSUPP) => {
            say("the port does not do offsets; VALE ports, pipes and few drivers do")
        }
        ("offsets", Errno::INVAL) => say(
            "an offset must fit its bits, the largest a buffer, and the first must not be above the largest",
        ),
        ("offsets", Errno::BUSY) => say("the rings are open with smaller offsets"),
        ("CSB", Errno::INVAL) => say("CSB mode takes a port that is registered with NR_EXCLUSIVE"),
        ("external memory", Errno::NOMEM) => say("the pools do not fit the memory"),
        ("external memory", Errno::INVAL) => say(
            "a pool's numbers are out of range: 1 to 100 interfaces, 2 to 1024 rings of at most 128 KiB, 4 to \
             1000000 buffers of 64 to 65536 bytes",
        ),
        ("external memory", Errno::OPNOTSUPP) => say("the module was built without external memory"),
        (_, Errno::OPNOTSUPP) => say("the kernel does not know the option on this request"),
        _ => fallback,
    }
}
