//! Binding a port to a descriptor: every mode, flag and option of `NETMAP_REQ_REGISTER`, as a value.

use super::csb::CsbArrays;
use super::error::KernelError;
use super::extmem::{ExtMem, ExtMemError};
use super::request::{Body, Opt, Request};
use crate::portspec::{Conf, Pools, PortName, PortSpec};
use crate::sys::{
    NETMAP_REQ_REGISTER, NR_ACCEPT_VNET_HDR, NR_DO_RX_POLL, NR_NO_TX_POLL, NR_REG_NULL, nmreq_opt_offsets,
    nmreq_pools_info, nmreq_register,
};
use std::io;
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;

/// How to register a port. Most of it is a [`PortSpec`]; the rest are the flags and options that a specification
/// cannot say.
///
/// ```
/// use netmap_rs::kernel::Register;
/// use netmap_rs::portspec::PortSpec;
///
/// let spec: PortSpec = "vale0:1/x@conf:slots=512".parse()?;
/// let register = Register::new(spec).extra_bufs(64).no_tx_poll(true);
/// assert_eq!(register.to_string(), "vale0:1/x@conf:slots=512");
/// # Ok::<(), netmap_rs::portspec::PortSpecError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Register {
    spec: PortSpec,
    null: bool,
    flags: u64,
    extra_bufs: u32,
    offsets: Option<Offsets>,
    extmem: Option<(Arc<ExtMem>, Pools)>,
    csb: Option<Arc<CsbArrays>>,
}

/// Frames that begin at an offset into their buffers (`NETMAP_REQ_OPT_OFFSETS`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offsets {
    /// Largest offset in bytes that will be used; the kernel keeps so much of each buffer from received frames.
    pub max: u64,
    /// Offset in bytes that all slots begin with.
    pub initial: u64,
    /// Low bits of a slot's `ptr` that hold it; 0 for all.
    pub bits: u32,
    /// Alignment in bytes that frames to send keep; 0 for none.
    pub tx_align: u32,
}

impl Offsets {
    fn to_option(self) -> Opt {
        Opt::Offsets(nmreq_opt_offsets {
            nro_max_offset: self.max,
            nro_initial_offset: self.initial,
            nro_offset_bits: self.bits,
            nro_tx_align: self.tx_align,
            ..nmreq_opt_offsets::default()
        })
    }
}

impl From<PortSpec> for Register {
    fn from(spec: PortSpec) -> Self {
        Register::new(spec)
    }
}

impl From<&PortSpec> for Register {
    fn from(spec: &PortSpec) -> Self {
        Register::new(spec.clone())
    }
}

impl std::fmt::Display for Register {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.spec.fmt(f)
    }
}

impl Register {
    /// As the specification says.
    #[must_use]
    pub fn new(spec: impl Into<PortSpec>) -> Register {
        let spec = spec.into();
        let offsets =
            spec.offset.map(|o| Offsets { max: o.initial, initial: o.initial, bits: o.bits, tx_align: 0 });
        Register { spec, null: false, flags: 0, extra_bufs: 0, offsets, extmem: None, csb: None }
    }

    /// A null port: rings as `conf` says, that lead nowhere, in memory region `region`. What it is for are
    /// buffers of that region, and descriptors that hold it.
    ///
    /// # Panics
    /// Never: the name is one.
    #[must_use]
    pub fn null(region: NonZeroU16, conf: Conf) -> Register {
        let name = PortName::netmap("null").expect("a port's name");
        let spec = PortSpec { mem_id: Some(region), conf, ..PortSpec::new(name) };
        Register { null: true, ..Register::new(spec) }
    }

    fn flag(mut self, flag: u64, on: bool) -> Register {
        self.flags = if on { self.flags | flag } else { self.flags & !flag };
        self
    }

    /// Accepts frames that begin with a virtio-net header (`NR_ACCEPT_VNET_HDR`); a port that has them is refused
    /// otherwise. [`Control::port_header`](super::Control::port_header) tells how long it is.
    #[must_use]
    pub fn accept_vnet_hdr(self, on: bool) -> Register {
        self.flag(NR_ACCEPT_VNET_HDR, on)
    }

    /// A poll releases received slots even if it does not wait for frames (`NR_DO_RX_POLL`).
    #[must_use]
    pub fn do_rx_poll(self, on: bool) -> Register {
        self.flag(NR_DO_RX_POLL, on)
    }

    /// A poll sends only if it waits for free slots (`NR_NO_TX_POLL`).
    #[must_use]
    pub fn no_tx_poll(self, on: bool) -> Register {
        self.flag(NR_NO_TX_POLL, on)
    }

    /// Extra buffers, outside of any ring. The kernel may give fewer.
    #[must_use]
    pub fn extra_bufs(self, extra_bufs: u32) -> Register {
        Register { extra_bufs, ..self }
    }

    /// Offsets in slots.
    #[must_use]
    pub fn offsets(self, offsets: Offsets) -> Register {
        Register { offsets: Some(offsets), ..self }
    }

    /// Memory for the port's region, and the pools to make of it, zeros leaving the choice to the kernel. A port
    /// that another already gave the same memory joins its region.
    #[must_use]
    pub fn extmem(self, memory: Arc<ExtMem>, pools: Pools) -> Register {
        Register { extmem: Some((memory, pools)), ..self }
    }

    /// In CSB mode from the start. [`KernelPort::into_csb`](super::KernelPort::into_csb) does so later, which is
    /// what a port that shall be used through its rings needs; this is for trying the kernel's option.
    #[must_use]
    pub fn csb(self, arrays: Arc<CsbArrays>) -> Register {
        Register { csb: Some(arrays), ..self }
    }

    /// What it was made from.
    #[must_use]
    pub fn spec(&self) -> &PortSpec {
        &self.spec
    }

    pub(super) fn is_csb(&self) -> bool {
        self.csb.is_some()
    }

    /// The memory given, or that the specification's file is.
    pub(super) fn memory(&self) -> Result<Option<(Arc<ExtMem>, Pools)>, ExtMemError> {
        let given = match (&self.extmem, &self.spec.extmem) {
            (Some((memory, pools)), _) => (memory.clone(), *pools),
            (None, Some(spec)) => (Arc::new(ExtMem::file(Path::new(spec.file()))?), spec.pools()),
            (None, None) => return Ok(None),
        };
        given.0.check(&given.1)?;
        Ok(Some(given))
    }

    /// The request, in memory region `mem_id` if the specification leaves it open.
    pub(super) fn request(&self, mem_id: u16, memory: Option<&(Arc<ExtMem>, Pools)>) -> Request {
        let (name, mut body) = self.spec.to_register();
        if self.null {
            body.nr_mode = NR_REG_NULL;
        }
        if body.nr_mem_id == 0 {
            body.nr_mem_id = mem_id;
        }
        body.nr_flags |= self.flags;
        body.nr_extra_bufs = self.extra_bufs;
        let mut options = Vec::new();
        if let Some((memory, pools)) = memory {
            options.push(Opt::Extmem(memory.clone(), wishes(pools)));
        }
        options.extend(self.offsets.map(Offsets::to_option));
        options.extend(self.csb.clone().map(Opt::Csb));
        Request::new(NETMAP_REQ_REGISTER, name, Body::Register(body)).with_options(options)
    }
}

fn wishes(pools: &Pools) -> nmreq_pools_info {
    nmreq_pools_info {
        nr_if_pool_objtotal: pools.if_num,
        nr_if_pool_objsize: pools.if_size,
        nr_ring_pool_objtotal: pools.ring_num,
        nr_ring_pool_objsize: pools.ring_size,
        nr_buf_pool_objtotal: pools.buf_num,
        nr_buf_pool_objsize: pools.buf_size,
        ..nmreq_pools_info::default()
    }
}

/// What the kernel answered to a register request.
#[derive(Debug, Clone)]
pub struct Registered {
    /// The body: real rings and slots, the region, where the port lies in it, extra buffers granted.
    pub reply: nmreq_register,
    /// Offsets in force, if they were asked for.
    pub offsets: Option<Offsets>,
    /// Pools made of external memory, if it was given.
    pub pools: Option<nmreq_pools_info>,
    pub(super) memory: Option<Arc<ExtMem>>,
}

impl Registered {
    pub(super) fn from_request(request: &Request) -> Registered {
        let Body::Register(reply) = request.body else { unreachable!("made by Register::request") };
        let mut registered = Registered { reply, offsets: None, pools: None, memory: None };
        for option in &request.options {
            match option {
                Opt::Offsets(o) => {
                    registered.offsets = Some(Offsets {
                        max: o.nro_max_offset,
                        initial: o.nro_initial_offset,
                        bits: o.nro_offset_bits,
                        tx_align: o.nro_tx_align,
                    });
                }
                Opt::Extmem(memory, info) => {
                    registered.pools = Some(*info);
                    registered.memory = Some(memory.clone());
                }
                _ => {}
            }
        }
        registered
    }
}

/// An error about memory, as one about the port.
pub(super) fn extmem_failed(port: &str, source: ExtMemError) -> KernelError {
    KernelError::ExtMem { port: port.to_owned(), source }
}

/// A mapping that failed.
pub(super) fn map_failed(port: &str, len: u64, source: impl Into<io::Error>) -> KernelError {
    KernelError::Map { port: port.to_owned(), len, source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::*;

    fn body(register: &Register) -> nmreq_register {
        match register.request(0, None).body {
            Body::Register(body) => body,
            other => panic!("{other:?}"),
        }
    }

    fn spec(s: &str) -> PortSpec {
        s.parse().unwrap()
    }

    #[test]
    fn modes_and_flags_become_bits() {
        for (text, mode, ring, flags) in [
            ("netmap:eth0", NR_REG_ALL_NIC, 0, 0),
            ("netmap:eth0-3/T", NR_REG_ONE_NIC, 3, NR_TX_RINGS_ONLY),
            ("netmap:eth0^", NR_REG_SW, 0, 0),
            ("netmap:eth0^2", NR_REG_ONE_SW, 2, 0),
            ("netmap:eth0*/x", NR_REG_NIC_SW, 0, NR_EXCLUSIVE),
            ("netmap:eth0/zt", NR_REG_ALL_NIC, 0, NR_ZCOPY_MON | NR_MONITOR_TX),
            ("vale0:1{2/R", NR_REG_ALL_NIC, 0, NR_RX_RINGS_ONLY),
        ] {
            let body = body(&Register::new(spec(text)));
            assert_eq!((body.nr_mode, body.nr_ringid, body.nr_flags), (mode, ring, flags), "{text}");
        }
        let register = Register::new(spec("vale0:1"))
            .accept_vnet_hdr(true)
            .no_tx_poll(true)
            .do_rx_poll(true)
            .do_rx_poll(false)
            .extra_bufs(9);
        let body = body(&register);
        assert_eq!(body.nr_flags, NR_ACCEPT_VNET_HDR | NR_NO_TX_POLL);
        assert_eq!(body.nr_extra_bufs, 9);
    }

    #[test]
    fn a_null_port_is_in_a_region_and_a_named_region_wins() {
        let region = NonZeroU16::new(7).unwrap();
        let null = body(&Register::null(region, Conf { tx_rings: 2, rx_rings: 1, ..Conf::default() }));
        assert_eq!((null.nr_mode, null.nr_mem_id, null.nr_tx_rings), (NR_REG_NULL, 7, 2));
        let request = Register::new(spec("vale0:1@5")).request(9, None);
        assert!(matches!(request.body, Body::Register(b) if b.nr_mem_id == 5));
        let request = Register::new(spec("vale0:1")).request(9, None);
        assert!(matches!(request.body, Body::Register(b) if b.nr_mem_id == 9));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no shared file mappings")]
    fn options_are_listed_and_read_back() {
        let memory = Arc::new(ExtMem::anonymous(1 << 20).unwrap());
        let pools = Pools { buf_num: 100, ..Pools::default() };
        let register = Register::new(spec("vale0:1@offset=64"))
            .offsets(Offsets { max: 128, initial: 64, bits: 16, tx_align: 0 })
            .extmem(memory, pools);
        let memory = register.memory().unwrap();
        let request = register.request(0, memory.as_ref());
        assert_eq!(request.options.len(), 2);
        let registered = Registered::from_request(&request);
        assert_eq!(registered.offsets.unwrap().max, 128);
        assert_eq!(registered.pools.unwrap().nr_buf_pool_objtotal, 100);
        let too_small = Register::new(spec("vale0:1@extmem=/nowhere"));
        assert!(matches!(too_small.memory(), Err(ExtMemError::File { .. })));
    }
}
