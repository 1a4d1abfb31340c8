//! Port specifications: the strings by which programs name netmap ports, in the grammar of
//! libnetmap (`libnetmap/nmreq.c`, `libnetmap/nmport.c`).
//!
//! ```text
//! spec    = name [mode] ["/" flags] ["@" MEMID] {"@" option}
//! name    = "netmap:" port [pipe]  |  "vale" [SWITCH] ":" port [pipe]
//! pipe    = "{" ID  (master)  |  "}" ID  (slave)
//! mode    = "-" N  (one NIC ring pair)  |  "^"  (host rings)  |  "^" N  (one host ring pair)
//!         | "*"  (NIC and host rings)          none: all NIC rings
//! flags   = any of  x exclusive  z zero-copy monitor  t monitor transmission  r monitor reception
//!                   R receive rings only  T transmit rings only
//! option  = "share=" name
//!         | "extmem=" FILE  |  "extmem:file=" FILE {"," if-num ring-num buf-num if-size ... "=" N}
//!         | "conf:" key "=" N {"," key "=" N}     keys: [tx-|rx-]rings, host-[tx-|rx-]rings, [tx-|rx-]slots
//!         | "offset=" N  |  "offset:initial=" N ["," "bits=" N]
//! ```
//!
//! Flags and memory id may come in either order; `-` in a key may be written `_`; `conf` may be
//! given more than once, later values replacing earlier ones. [`PortSpec`] prints the canonical
//! spelling of all this.
//!
//! Where libnetmap lets a mistake pass in silence this parser reports it: numbers that are none
//! or do not fit their field (libnetmap takes 0 or cuts them off), options without keys, keys
//! without a value, text after the port of `share`, pipe or port names that are empty, options other than `conf` given
//! twice, and names that the kernel turns down ([`PortName`] has those rules). `conf=N`, which
//! libnetmap documents but refuses, is read as `conf:rings=N`. The option `offset`, which
//! libnetmap has programs enable first, is always understood; a program that cannot deal with
//! offsets refuses a spec that has [`PortSpec::offset`].
//!
//! This module parses and prints, and fills in requests. It opens nothing: whether a port, file
//! or memory region exists is found out by who registers it. Strings with neither prefix are
//! [`PortSpecError::NotNetmap`], so that a caller can offer them to other drivers.

mod error;
mod name;
mod options;
mod parse;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use netmap_sys as sys;
use serde::{Deserialize, Serialize};

pub use error::{PortSpecError, Problem};
pub use name::{MAX_NAME, MAX_VALE_PART, Pipe, PipeRole, PortName, Subsystem};
pub use options::{Conf, Extmem, Offset, Pools};

/// A port, which of its rings, and how to open it. It is read with [`FromStr`] and printed, in
/// its canonical spelling, with [`Display`](fmt::Display); one gives back the other.
///
/// ```
/// use netmap_rs::portspec::{PortSpec, RegMode};
///
/// let spec: PortSpec = "vale0:1/x@conf:tx_slots=512,rx_slots=512".parse()?;
/// assert_eq!(spec.name.switch(), Some("vale0"));
/// assert_eq!(spec.mode, RegMode::AllNic);
/// assert!(spec.flags.exclusive);
/// assert_eq!(spec.to_string(), "vale0:1/x@conf:slots=512");
/// # Ok::<(), netmap_rs::portspec::PortSpecError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortSpec {
    /// The port.
    pub name: PortName,
    /// Which of its rings to bind.
    pub mode: RegMode,
    /// How to bind them.
    pub flags: RegFlags,
    /// The memory region to open the port in; `None` leaves the choice to netmap.
    pub mem_id: Option<NonZeroU16>,
    /// Open the port in the memory region of this one. Who registers the port asks for the
    /// region's id ([`sys::NETMAP_REQ_PORT_INFO_GET`]) and sets [`sys::nmreq_register::nr_mem_id`].
    pub share: Option<PortName>,
    /// Open the port in memory mapped from a file.
    pub extmem: Option<Extmem>,
    /// Rings and slots wished for, on a port that is created when it is opened.
    pub conf: Conf,
    /// Keep offsets in the slots' `ptr`.
    pub offset: Option<Offset>,
}

/// Which rings of a port to bind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RegMode {
    /// All NIC rings (no suffix).
    #[default]
    AllNic,
    /// All host rings (`^`).
    Host,
    /// One pair of host rings (`^N`).
    OneHost(RingId),
    /// All NIC and all host rings (`*`).
    NicAndHost,
    /// One pair of NIC rings (`-N`).
    OneNic(RingId),
}

impl RegMode {
    /// The value of [`sys::nmreq_register::nr_mode`].
    pub fn nr_mode(self) -> u32 {
        match self {
            RegMode::AllNic => sys::NR_REG_ALL_NIC,
            RegMode::Host => sys::NR_REG_SW,
            RegMode::OneHost(_) => sys::NR_REG_ONE_SW,
            RegMode::NicAndHost => sys::NR_REG_NIC_SW,
            RegMode::OneNic(_) => sys::NR_REG_ONE_NIC,
        }
    }

    /// The value of [`sys::nmreq_register::nr_ringid`]: 0 unless the mode names a ring pair.
    pub fn nr_ringid(self) -> u16 {
        match self {
            RegMode::OneHost(ring) | RegMode::OneNic(ring) => ring.get(),
            RegMode::AllNic | RegMode::Host | RegMode::NicAndHost => 0,
        }
    }
}

/// The number of a ring pair, 0 to [`RingId::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingId(u16);

impl RingId {
    /// The highest number: libnetmap keeps to less than the mask of the old interface.
    pub const MAX: u16 = sys::legacy::NETMAP_RING_MASK - 1;

    /// Ring pair `ring`, or `None` above [`RingId::MAX`].
    pub const fn new(ring: u16) -> Option<Self> {
        if ring <= Self::MAX { Some(RingId(ring)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// How to bind rings: the letters after `/`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RegFlags {
    /// `x`: fail if another has the rings, and keep others out.
    pub exclusive: bool,
    /// `z`: monitor both directions without copying.
    pub zcopy_monitor: bool,
    /// `t`: monitor transmission.
    pub monitor_tx: bool,
    /// `r`: monitor reception.
    pub monitor_rx: bool,
    /// `R`: bind receive rings only.
    pub rx_rings_only: bool,
    /// `T`: bind transmit rings only.
    pub tx_rings_only: bool,
}

impl RegFlags {
    /// The bits for [`sys::nmreq_register::nr_flags`].
    pub fn bits(self) -> u64 {
        self.letters().iter().filter(|(set, ..)| *set).fold(0, |bits, (_, _, bit)| bits | bit)
    }

    /// Each flag, its letter and its bit, in canonical order.
    fn letters(self) -> [(bool, char, u64); 6] {
        [
            (self.exclusive, 'x', sys::NR_EXCLUSIVE),
            (self.zcopy_monitor, 'z', sys::NR_ZCOPY_MON),
            (self.monitor_tx, 't', sys::NR_MONITOR_TX),
            (self.monitor_rx, 'r', sys::NR_MONITOR_RX),
            (self.rx_rings_only, 'R', sys::NR_RX_RINGS_ONLY),
            (self.tx_rings_only, 'T', sys::NR_TX_RINGS_ONLY),
        ]
    }

    /// Sets the flag of a letter; false if there is none.
    fn set(&mut self, letter: char) -> bool {
        let flag = match letter {
            'x' => &mut self.exclusive,
            'z' => &mut self.zcopy_monitor,
            't' => &mut self.monitor_tx,
            'r' => &mut self.monitor_rx,
            'R' => &mut self.rx_rings_only,
            'T' => &mut self.tx_rings_only,
            _ => return false,
        };
        *flag = true;
        true
    }
}

impl PortSpec {
    /// All NIC rings of `name`, with nothing else asked for.
    pub fn new(name: PortName) -> Self {
        PortSpec {
            name,
            mode: RegMode::default(),
            flags: RegFlags::default(),
            mem_id: None,
            share: None,
            extmem: None,
            conf: Conf::default(),
            offset: None,
        }
    }

    /// The name for [`sys::nmreq_header::nr_name`] and the body of a
    /// [`sys::NETMAP_REQ_REGISTER`]: mode, ring, flags, memory id, and counts of rings and slots.
    ///
    /// The rest is the caller's: `share` needs a look-up, `extmem` a mapping
    /// ([`Extmem::to_pools_info`]), `offset` an option in the header's list ([`Offset::to_option`]).
    pub fn to_register(&self) -> ([std::ffi::c_char; sys::NETMAP_REQ_IFNAMSIZ], sys::nmreq_register) {
        let register = sys::nmreq_register {
            nr_tx_slots: self.conf.tx_slots,
            nr_rx_slots: self.conf.rx_slots,
            nr_tx_rings: self.conf.tx_rings,
            nr_rx_rings: self.conf.rx_rings,
            nr_host_tx_rings: self.conf.host_tx_rings,
            nr_host_rx_rings: self.conf.host_rx_rings,
            nr_mem_id: self.mem_id.map_or(0, NonZeroU16::get),
            nr_ringid: self.mode.nr_ringid(),
            nr_mode: self.mode.nr_mode(),
            nr_flags: self.flags.bits(),
            ..sys::nmreq_register::default()
        };
        (self.name.to_nr_name(), register)
    }
}

impl fmt::Display for PortSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        match self.mode {
            RegMode::AllNic => {}
            RegMode::Host => write!(f, "^")?,
            RegMode::OneHost(ring) => write!(f, "^{}", ring.get())?,
            RegMode::NicAndHost => write!(f, "*")?,
            RegMode::OneNic(ring) => write!(f, "-{}", ring.get())?,
        }
        if self.flags != RegFlags::default() {
            write!(f, "/")?;
            for (_, letter, _) in self.flags.letters().into_iter().filter(|(set, ..)| *set) {
                write!(f, "{letter}")?;
            }
        }
        if let Some(mem_id) = self.mem_id {
            write!(f, "@{mem_id}")?;
        }
        if let Some(port) = &self.share {
            write!(f, "@share={port}")?;
        }
        if let Some(extmem) = &self.extmem {
            write!(f, "{extmem}")?;
        }
        write!(f, "{}", self.conf)?;
        match self.offset {
            Some(offset) => write!(f, "{offset}"),
            None => Ok(()),
        }
    }
}

impl FromStr for PortSpec {
    type Err = PortSpecError;

    fn from_str(spec: &str) -> Result<Self, PortSpecError> {
        parse::port_spec(spec)
    }
}

impl TryFrom<String> for PortSpec {
    type Error = PortSpecError;

    fn try_from(spec: String) -> Result<Self, PortSpecError> {
        spec.parse()
    }
}

impl From<PortSpec> for String {
    fn from(spec: PortSpec) -> String {
        spec.to_string()
    }
}

impl From<PortName> for PortSpec {
    fn from(name: PortName) -> Self {
        PortSpec::new(name)
    }
}
