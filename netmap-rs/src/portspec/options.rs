//! The options of a specification, as values.

use std::fmt;

use netmap_sys as sys;

use super::Problem;

/// `conf`: rings and slots wished for. It counts only on a port that is created when it is
/// opened; 0 leaves the choice to netmap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Conf {
    /// Transmit rings.
    pub tx_rings: u16,
    /// Receive rings.
    pub rx_rings: u16,
    /// Host transmit rings.
    pub host_tx_rings: u16,
    /// Host receive rings.
    pub host_rx_rings: u16,
    /// Slots in each transmit ring.
    pub tx_slots: u32,
    /// Slots in each receive ring.
    pub rx_slots: u32,
}

impl fmt::Display for Conf {
    /// The option with its `@`, or nothing if nothing is wished for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = [
            ("rings", "tx-rings", u32::from(self.tx_rings), "rx-rings", u32::from(self.rx_rings)),
            (
                "host-rings",
                "host-tx-rings",
                u32::from(self.host_tx_rings),
                "host-rx-rings",
                u32::from(self.host_rx_rings),
            ),
            ("slots", "tx-slots", self.tx_slots, "rx-slots", self.rx_slots),
        ];
        let mut before = "@conf:";
        for (both, tx_key, tx, rx_key, rx) in pairs {
            let keys = if tx == rx { [(both, tx), ("", 0)] } else { [(tx_key, tx), (rx_key, rx)] };
            for (key, value) in keys.into_iter().filter(|(_, value)| *value != 0) {
                write!(f, "{before}{key}={value}")?;
                before = ",";
            }
        }
        Ok(())
    }
}

/// `extmem`: memory mapped from a file, and the pools to make of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Extmem {
    file: String,
    pools: Pools,
}

/// Pools wished for in external memory; 0 stands for the module's parameters `priv_if_num`,
/// `priv_if_size` and so on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pools {
    /// Interfaces (`netmap_if`).
    pub if_num: u32,
    /// Bytes for each.
    pub if_size: u32,
    /// Rings.
    pub ring_num: u32,
    /// Bytes for each.
    pub ring_size: u32,
    /// Buffers.
    pub buf_num: u32,
    /// Bytes in each.
    pub buf_size: u32,
}

impl Pools {
    /// Keys and values, in canonical order.
    fn keys(&self) -> [(&'static str, u32); 6] {
        [
            ("if-num", self.if_num),
            ("if-size", self.if_size),
            ("ring-num", self.ring_num),
            ("ring-size", self.ring_size),
            ("buf-num", self.buf_num),
            ("buf-size", self.buf_size),
        ]
    }
}

impl Extmem {
    /// Memory from `file`. The path is not empty and has no NUL nor `@`, and no `,` if there are
    /// wishes for pools: the grammar has no way to write that.
    pub fn new(file: &str, pools: Pools) -> Result<Self, Problem> {
        let reason = if file.is_empty() {
            "it is empty"
        } else if file.contains('\0') {
            "no path has a NUL in it"
        } else if file.contains('@') {
            "`@` begins the next option"
        } else if file.contains(',') && pools != Pools::default() {
            "`,` begins the next key"
        } else {
            return Ok(Extmem { file: file.into(), pools });
        };
        Err(Problem::ExtmemFile { file: file.into(), reason })
    }

    /// The file to map.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The pools wished for.
    pub fn pools(&self) -> Pools {
        self.pools
    }

    /// What [`sys::nmreq_opt_extmem::nro_info`] begins with, for a mapping of `memsize` bytes.
    pub fn to_pools_info(&self, memsize: u64) -> sys::nmreq_pools_info {
        sys::nmreq_pools_info {
            nr_memsize: memsize,
            nr_if_pool_objtotal: self.pools.if_num,
            nr_if_pool_objsize: self.pools.if_size,
            nr_ring_pool_objtotal: self.pools.ring_num,
            nr_ring_pool_objsize: self.pools.ring_size,
            nr_buf_pool_objtotal: self.pools.buf_num,
            nr_buf_pool_objsize: self.pools.buf_size,
            ..sys::nmreq_pools_info::default()
        }
    }
}

impl fmt::Display for Extmem {
    /// The option with its `@`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pools == Pools::default() {
            return write!(f, "@extmem={}", self.file);
        }
        write!(f, "@extmem:file={}", self.file)?;
        for (key, value) in self.pools.keys().into_iter().filter(|(_, value)| *value != 0) {
            write!(f, ",{key}={value}")?;
        }
        Ok(())
    }
}

/// `offset`: part of each slot's `ptr` holds an offset into the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Offset {
    /// Offset in bytes that slots begin with, and the largest that will be used.
    pub initial: u64,
    /// Bits of `ptr` that hold it; 0 for all.
    pub bits: u32,
}

impl Offset {
    /// The option for a register request, not yet linked into a list.
    pub fn to_option(self) -> sys::nmreq_opt_offsets {
        sys::nmreq_opt_offsets {
            nro_opt: sys::nmreq_option {
                nro_reqtype: sys::NETMAP_REQ_OPT_OFFSETS,
                ..sys::nmreq_option::default()
            },
            nro_max_offset: self.initial,
            nro_initial_offset: self.initial,
            nro_offset_bits: self.bits,
            ..sys::nmreq_opt_offsets::default()
        }
    }
}

impl fmt::Display for Offset {
    /// The option with its `@`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == 0 {
            write!(f, "@offset={}", self.initial)
        } else {
            write!(f, "@offset:initial={},bits={}", self.initial, self.bits)
        }
    }
}
