//! A request of the control device as a value: version, type, name, body and options, put into memory as the
//! kernel reads them and read back as it leaves them.
//!
//! Whatever is in a [`Request`], handing it to the kernel is safe: bodies and options lie in blocks with room for
//! any request's, and addresses that the kernel keeps come only from [`CsbArrays`] and [`ExtMem`], which the
//! [`Control`](super::Control) keeps alive. So a tool can ask for nonsense and look at the answer; the other
//! methods of `Control` build the requests that make sense.

use super::block::{Block, Plain};
use super::csb::CsbArrays;
use super::extmem::ExtMem;
use super::ioctl;
use crate::sys::{NETMAP_API, NETMAP_REQ_IFNAMSIZ};
use crate::sys::{
    NETMAP_REQ_MAXSIZE, NETMAP_REQ_OPT_CSB, NETMAP_REQ_OPT_EXTMEM, NETMAP_REQ_OPT_OFFSETS,
    NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS, NETMAP_REQ_OPT_SYNC_KLOOP_MODE, nmreq_header, nmreq_opt_csb,
    nmreq_opt_extmem, nmreq_opt_offsets, nmreq_opt_sync_kloop_eventfd, nmreq_opt_sync_kloop_mode,
    nmreq_option, nmreq_pools_info, nmreq_port_hdr, nmreq_port_info_get, nmreq_register,
    nmreq_sync_kloop_start, nmreq_vale_attach, nmreq_vale_detach, nmreq_vale_list, nmreq_vale_newif,
    nmreq_vale_polling,
};
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::ffi::c_char;
use std::sync::Arc;

/// A request, and after [`Control::perform`](super::Control::perform) its answer.
#[derive(Debug)]
pub struct Request {
    /// `nr_version`: [`NETMAP_API`], unless the kernel's refusal of another is wanted.
    pub version: u16,
    /// `nr_reqtype`, one of `NETMAP_REQ_*`.
    pub reqtype: u16,
    /// `nr_name`, with its NUL. `NETMAP_REQ_VALE_LIST` writes it.
    pub name: [c_char; NETMAP_REQ_IFNAMSIZ],
    /// The body. The kernel writes it if the request succeeds.
    pub body: Body,
    /// The options, in the order of the list.
    pub options: Vec<Opt>,
    /// What the kernel left in each option's `nro_status`: 0 if it was taken, else an errno value.
    pub statuses: Vec<u32>,
    /// Links the last option to the first, as no program should.
    pub endless: bool,
}

/// The body of a request, by its structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// None: the address is 0.
    None,
    /// Of `NETMAP_REQ_REGISTER`.
    Register(nmreq_register),
    /// Of `NETMAP_REQ_PORT_INFO_GET`.
    PortInfo(nmreq_port_info_get),
    /// Of `NETMAP_REQ_VALE_ATTACH`.
    Attach(nmreq_vale_attach),
    /// Of `NETMAP_REQ_VALE_DETACH`.
    Detach(nmreq_vale_detach),
    /// Of `NETMAP_REQ_VALE_LIST`.
    List(nmreq_vale_list),
    /// Of `NETMAP_REQ_PORT_HDR_SET` and `_GET`.
    PortHdr(nmreq_port_hdr),
    /// Of `NETMAP_REQ_VALE_NEWIF`.
    Newif(nmreq_vale_newif),
    /// Of `NETMAP_REQ_VALE_POLLING_ENABLE` and `_DISABLE`.
    Polling(nmreq_vale_polling),
    /// Of `NETMAP_REQ_POOLS_INFO_GET`.
    Pools(nmreq_pools_info),
    /// Of `NETMAP_REQ_SYNC_KLOOP_START`.
    KloopStart(nmreq_sync_kloop_start),
}

/// The eventfds of a ring, for the sync kloop: shared, because the loop outlives the request that starts it.
#[derive(Debug, Clone, Default)]
pub struct RingEvents {
    /// Application to kernel; without one the loop sleeps and looks.
    pub ioeventfd: Option<Arc<OwnedFd>>,
    /// Kernel to application; without one the application is not notified.
    pub irqfd: Option<Arc<OwnedFd>>,
}

/// An option of a request. Headers are filled in when the list is made.
#[derive(Debug, Clone)]
pub enum Opt {
    /// Memory of the application's for the port's region; the kernel writes back the pools it made.
    Extmem(Arc<ExtMem>, nmreq_pools_info),
    /// Eventfds, for each bound ring, transmit rings first.
    Eventfds(Vec<RingEvents>),
    /// CSB mode.
    Csb(Arc<CsbArrays>),
    /// Which rings the kloop syncs where it is notified: `NM_OPT_SYNC_KLOOP_DIRECT_*`.
    KloopMode(u32),
    /// Offsets in slots; the kernel writes back what is in force.
    Offsets(nmreq_opt_offsets),
    /// An option of this type with nothing but zeros in it.
    Empty {
        /// `nro_reqtype`.
        reqtype: u32,
        /// `nro_size`.
        size: u64,
    },
}

impl Opt {
    /// Its name in messages.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Opt::Extmem(..) => "external memory",
            Opt::Eventfds(_) => "kloop eventfds",
            Opt::Csb(_) => "CSB",
            Opt::KloopMode(_) => "kloop mode",
            Opt::Offsets(_) => "offsets",
            Opt::Empty { .. } => "unknown",
        }
    }
}

const HEADER: usize = size_of::<nmreq_option>();
const EVENT: usize = size_of::<nmreq_opt_sync_kloop_eventfd>();

/// Most rings that a list of eventfds can have, so that the request keeps within [`NETMAP_REQ_MAXSIZE`].
pub const MAX_EVENT_RINGS: usize = (NETMAP_REQ_MAXSIZE - 2 * HEADER - 64) / EVENT;

impl Request {
    /// A request of this API's version, without options.
    #[must_use]
    pub fn new(reqtype: u16, name: [c_char; NETMAP_REQ_IFNAMSIZ], body: Body) -> Request {
        Request {
            version: NETMAP_API,
            reqtype,
            name,
            body,
            options: Vec::new(),
            statuses: Vec::new(),
            endless: false,
        }
    }

    /// The same with these options.
    #[must_use]
    pub fn with_options(self, options: Vec<Opt>) -> Request {
        Request { options, ..self }
    }

    /// Puts it into memory, hands it to the kernel, and takes over what came back. Whatever the kernel keeps
    /// using is kept alive by the options' `Arc`s, which the caller holds until the descriptor is closed.
    pub(super) fn perform(&mut self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut body = Block::new();
        self.body.put(&mut body);
        let mut options: Vec<Block> = self
            .options
            .iter()
            .map(option_block)
            .collect::<Result<_, _>>()
            .map_err(|TooMany| Errno::MSGSIZE)?;
        // Nothing moves from here on.
        let link = |options: &mut Vec<Block>, i: usize, next: u64| {
            let head: nmreq_option = options[i].read(0);
            options[i].write(0, nmreq_option { nro_next: next, ..head });
        };
        for i in 1..options.len() {
            let next = options[i].address();
            link(&mut options, i - 1, next);
        }
        let first = options.first().map_or(0, Block::address);
        if self.endless && first != 0 {
            let last = options.len() - 1;
            link(&mut options, last, first);
        }
        let mut header = nmreq_header {
            nr_version: self.version,
            nr_reqtype: self.reqtype,
            nr_reserved: 0,
            nr_name: self.name,
            nr_options: first,
            nr_body: if self.body == Body::None { 0 } else { body.address() },
        };
        // SAFETY: body and options lie in blocks of NETMAP_REQ_MAXSIZE bytes that live to the end of this
        // function and that nobody else reaches. What an option names stays mapped: external memory is the
        // kernel's own once it is pinned, and is alive during the call; CSB entries and eventfds live as long as
        // `self` and whoever the caller gives their Arcs to, which `Control` does before it comes here.
        let answer = unsafe { ioctl::control(fd, &mut header) };
        self.name = header.nr_name;
        if answer.is_ok() {
            self.body.take(&body);
        }
        self.statuses = options.iter().map(|o| o.read::<nmreq_option>(0).nro_status).collect();
        for ((option, block), &status) in self.options.iter_mut().zip(&options).zip(&self.statuses) {
            // The kernel copies an option's body back only if all went well.
            if answer.is_ok() && status == 0 {
                match option {
                    Opt::Extmem(_, info) => *info = block.read::<nmreq_opt_extmem>(0).nro_info,
                    Opt::Offsets(offsets) => {
                        let nro_opt = offsets.nro_opt;
                        *offsets = nmreq_opt_offsets { nro_opt, ..block.read(0) };
                    }
                    _ => {}
                }
            }
        }
        answer
    }
}

impl Body {
    fn put(&self, block: &mut Block) {
        match *self {
            Body::None => {}
            Body::Register(b) => block.write(0, b),
            Body::PortInfo(b) => block.write(0, b),
            Body::Attach(b) => block.write(0, b),
            Body::Detach(b) => block.write(0, b),
            Body::List(b) => block.write(0, b),
            Body::PortHdr(b) => block.write(0, b),
            Body::Newif(b) => block.write(0, b),
            Body::Polling(b) => block.write(0, b),
            Body::Pools(b) => block.write(0, b),
            Body::KloopStart(b) => block.write(0, b),
        }
    }

    fn take(&mut self, block: &Block) {
        fn from<T: Plain>(body: &mut T, block: &Block) {
            *body = block.read(0);
        }
        match self {
            Body::None => {}
            Body::Register(b) => from(b, block),
            Body::PortInfo(b) => from(b, block),
            Body::Attach(b) => from(b, block),
            Body::Detach(b) => from(b, block),
            Body::List(b) => from(b, block),
            Body::PortHdr(b) => from(b, block),
            Body::Newif(b) => from(b, block),
            Body::Polling(b) => from(b, block),
            Body::Pools(b) => from(b, block),
            Body::KloopStart(b) => from(b, block),
        }
    }
}

/// More eventfds than a request can hold.
struct TooMany;

fn option_block(option: &Opt) -> Result<Block, TooMany> {
    let mut block = Block::new();
    let head = |nro_reqtype| nmreq_option { nro_reqtype, ..nmreq_option::default() };
    match option {
        Opt::Extmem(memory, info) => block.write(
            0,
            nmreq_opt_extmem {
                nro_opt: head(NETMAP_REQ_OPT_EXTMEM),
                nro_usrptr: memory.address(),
                // The kernel pins so many bytes from there: never more than there are.
                nro_info: nmreq_pools_info { nr_memsize: memory.len() as u64, ..*info },
            },
        ),
        Opt::Eventfds(rings) => {
            if rings.len() > MAX_EVENT_RINGS {
                return Err(TooMany);
            }
            let nro_size = (HEADER + rings.len() * EVENT) as u64;
            block.write(0, nmreq_option { nro_size, ..head(NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS) });
            let raw = |fd: &Option<Arc<OwnedFd>>| fd.as_ref().map_or(-1, |fd| fd.as_raw_fd());
            for (i, ring) in rings.iter().enumerate() {
                let (ioeventfd, irqfd) = (raw(&ring.ioeventfd), raw(&ring.irqfd));
                block.write(HEADER + i * EVENT, nmreq_opt_sync_kloop_eventfd { ioeventfd, irqfd });
            }
        }
        Opt::Csb(arrays) => block.write(
            0,
            nmreq_opt_csb {
                nro_opt: head(NETMAP_REQ_OPT_CSB),
                csb_atok: arrays.atok_address(),
                csb_ktoa: arrays.ktoa_address(),
            },
        ),
        Opt::KloopMode(mode) => block.write(
            0,
            nmreq_opt_sync_kloop_mode { nro_opt: head(NETMAP_REQ_OPT_SYNC_KLOOP_MODE), mode: *mode },
        ),
        Opt::Offsets(offsets) => {
            block.write(0, nmreq_opt_offsets { nro_opt: head(NETMAP_REQ_OPT_OFFSETS), ..*offsets });
        }
        Opt::Empty { reqtype, size } => {
            block.write(0, nmreq_option { nro_size: *size, ..head(*reqtype) });
        }
    }
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::arith::name_field;

    #[test]
    fn options_lie_as_the_kernel_reads_them() {
        let offsets = nmreq_opt_offsets { nro_max_offset: 128, nro_initial_offset: 64, ..Default::default() };
        let block = option_block(&Opt::Offsets(offsets)).ok().unwrap();
        assert_eq!(block.read::<nmreq_option>(0).nro_reqtype, NETMAP_REQ_OPT_OFFSETS);
        assert_eq!(block.read::<nmreq_opt_offsets>(0).nro_initial_offset, 64);

        let block = option_block(&Opt::KloopMode(3)).ok().unwrap();
        assert_eq!(block.read::<nmreq_opt_sync_kloop_mode>(0).mode, 3);
        assert_eq!(block.read::<nmreq_option>(0).nro_size, 0);

        let arrays = Arc::new(CsbArrays::new().unwrap());
        let block = option_block(&Opt::Csb(arrays.clone())).ok().unwrap();
        let csb: nmreq_opt_csb = block.read(0);
        assert_eq!((csb.csb_atok, csb.csb_ktoa), (arrays.atok_address(), arrays.ktoa_address()));
        assert_eq!((csb.csb_atok % 64, csb.csb_ktoa % 64), (0, 0), "the kernel refuses others");
    }

    #[test]
    fn eventfds_follow_the_header_in_the_order_of_rings() {
        let (a, b) = crate::doorbell::Doorbell::pair().unwrap();
        let fd = |f: BorrowedFd<'_>| Some(Arc::new(f.try_clone_to_owned().unwrap()));
        let (a, b) = (a.eventfds().unwrap(), b.eventfds().unwrap());
        let rings = vec![
            RingEvents { ioeventfd: fd(a.0), irqfd: fd(a.1) },
            RingEvents { ioeventfd: None, irqfd: fd(b.0) },
        ];
        let block = option_block(&Opt::Eventfds(rings.clone())).ok().unwrap();
        assert_eq!(block.read::<nmreq_option>(0).nro_size, 24 + 2 * 8);
        let second: nmreq_opt_sync_kloop_eventfd = block.read(24 + 8);
        assert_eq!(second.ioeventfd, -1);
        assert_eq!(second.irqfd, rings[1].irqfd.as_ref().unwrap().as_raw_fd());
        let many = vec![RingEvents::default(); MAX_EVENT_RINGS + 1];
        assert!(option_block(&Opt::Eventfds(many)).is_err());
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no such ioctl")]
    fn a_refused_request_keeps_its_body_and_says_which_errno() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let body = Body::List(nmreq_vale_list { nr_port_idx: 7, ..Default::default() });
        let mut request = Request::new(5, name_field("vale0:x").unwrap(), body)
            .with_options(vec![Opt::KloopMode(1), Opt::Empty { reqtype: 99, size: 8 }]);
        request.endless = true;
        let fd = rustix::fd::AsFd::as_fd(&null);
        assert_eq!(request.perform(fd), Err(Errno::NOTTY));
        assert_eq!(request.body, body);
        assert_eq!(request.statuses, [0, 0]);
    }
}
