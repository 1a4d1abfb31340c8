//! `ENOMEM`: which parameters of the region that the port lies in, from what the request needs.

use super::{Advice, Case, Raise};
use crate::sys::arith::netmap_ring_size;
use crate::sys::limits::NM_BRIDGES;
use crate::sys::nmreq_port_info_get;

/// Slots of VALE ports and pipes that do not ask for others: `NM_BRIDGE_RINGSIZE` in `netmap_vale.c`.
const DEFAULT_SLOTS: u32 = 1024;

/// The parameters of a kind of region, with the values that `netmap_mem2.c` gives them.
struct Names {
    if_num: (&'static str, u64),
    ring_num: (&'static str, u64),
    ring_size: &'static str,
    buf_num: (&'static str, u64),
}

/// Of the region that interfaces share.
const GLOBAL: Names = Names {
    if_num: ("if_num", 100),
    ring_num: ("ring_num", 200),
    ring_size: "ring_size",
    buf_num: ("buf_num", 163_840),
};

/// Of regions that ports have for themselves: VALE ports and their pipes, monitors that copy.
const PRIVATE: Names = Names {
    if_num: ("priv_if_num", 2),
    ring_num: ("priv_ring_num", 4),
    ring_size: "priv_ring_size",
    buf_num: ("priv_buf_num", 4098),
};

/// What the request takes of a region.
struct Needs {
    rings: u64,
    ring_size: u64,
    bufs: u64,
}

impl Needs {
    /// From the request, else from the port that it names, else what ports have by default. Each direction has
    /// a host ring beside, if only a mock one.
    fn of(case: &Case<'_>) -> Needs {
        let register = case.register.copied().unwrap_or_default();
        let port = case.port.copied().unwrap_or(nmreq_port_info_get {
            nr_tx_slots: DEFAULT_SLOTS,
            nr_rx_slots: DEFAULT_SLOTS,
            nr_tx_rings: 1,
            nr_rx_rings: 1,
            ..nmreq_port_info_get::default()
        });
        let or = |asked: u32, port: u32| if asked == 0 { port } else { asked };
        let tx_slots = or(register.nr_tx_slots, port.nr_tx_slots);
        let rx_slots = or(register.nr_rx_slots, port.nr_rx_slots);
        let tx_rings = u64::from(or(register.nr_tx_rings.into(), port.nr_tx_rings.into())) + 1;
        let rx_rings = u64::from(or(register.nr_rx_rings.into(), port.nr_rx_rings.into())) + 1;
        Needs {
            rings: tx_rings + rx_rings,
            ring_size: (netmap_ring_size(tx_slots.max(rx_slots)) as u64).next_multiple_of(64),
            bufs: tx_rings * u64::from(tx_slots)
                + rx_rings * u64::from(rx_slots)
                + u64::from(register.nr_extra_bufs),
        }
    }
}

pub(super) fn advise(case: &Case<'_>) -> Advice {
    let private = case.name.starts_with("vale");
    let names = if private { PRIVATE } else { GLOBAL };
    let number =
        |name: &str| case.parameters.and_then(|p| p.number(name)).and_then(|n| u64::try_from(n).ok());
    let one = |raise| Advice::Raise(vec![raise]);

    // A switch that cannot be made is out of memory too, as the kernel sees it.
    let bridges = number("max_bridges");
    if let Some(used) = case.switches.map(|n| n as u64)
        && private
        && used >= bridges.unwrap_or(NM_BRIDGES as u64)
    {
        return one(Raise { parameter: "max_bridges", current: bridges, at_least: used + 1, at_load: true });
    }
    let needs = Needs::of(case);
    // A ring that does not fit its object is the whole reason, whatever else there is.
    if let Some(current) = number(names.ring_size).filter(|&current| current < needs.ring_size) {
        let (parameter, at_least) = (names.ring_size, needs.ring_size);
        return one(Raise { parameter, current: Some(current), at_least, at_load: false });
    }
    // What others use of the pools is not known, so: what there is, and what this port takes on top.
    let more = |(parameter, default): (&'static str, u64), needed: u64| {
        let current = number(parameter);
        Raise { parameter, current, at_least: current.unwrap_or(default) + needed, at_load: false }
    };
    Advice::Raise(vec![
        more(names.ring_num, needs.rings),
        more(names.buf_num, needs.bufs),
        more(names.if_num, 1),
    ])
}
