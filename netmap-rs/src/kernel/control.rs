//! The control device: `/dev/netmap`, opened, and the requests that ask about ports or bind one to it.
//! Those that manage VALE switches are in [`vale`](super::vale).

use super::advice::{self, Case};
use super::error::{KernelError, Operation};
use super::mapping::Mapping;
use super::params::{ModuleParameters, module_parameters};
use super::port::KernelPort;
use super::register::{Register, Registered, extmem_failed, map_failed};
use super::request::{Body, Opt, Request};
use crate::memory::Memory;
use crate::portspec::PortName;
use crate::sys::arith::name_field;
use crate::sys::{
    NETMAP_API, NETMAP_DEVICE_NAME, NETMAP_REQ_POOLS_INFO_GET, NETMAP_REQ_PORT_HDR_GET,
    NETMAP_REQ_PORT_HDR_SET, NETMAP_REQ_PORT_INFO_GET, NETMAP_REQ_SYNC_KLOOP_STOP, nmreq_pools_info,
    nmreq_port_hdr, nmreq_port_info_get, nmreq_register,
};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CStr;
use std::io;
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// An open control device. One port can be bound to it, with [`register`](Control::register); questions about
/// others can be asked at any time.
#[derive(Debug)]
pub struct Control {
    fd: OwnedFd,
    /// What options named: the kernel uses it until the descriptor is closed, which happens first (fields drop
    /// in order).
    held: Mutex<Vec<Opt>>,
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The name that a request's answer holds.
pub(super) fn name_of(field: &[std::ffi::c_char]) -> String {
    let bytes: Vec<u8> = field.iter().map(|&c| c as u8).collect();
    CStr::from_bytes_until_nul(&bytes).map_or_else(
        |_| String::from_utf8_lossy(&bytes).into_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

impl Control {
    /// Opens `/dev/netmap` and sees that it speaks this API.
    pub fn open() -> Result<Control, KernelError> {
        Control::open_at(Path::new(NETMAP_DEVICE_NAME))
    }

    /// Opens the control device at another path.
    pub fn open_at(path: &Path) -> Result<Control, KernelError> {
        let failed = |errno: Errno| KernelError::Open {
            path: path.to_owned(),
            advice: advice::advise_open(errno),
            source: errno.into(),
        };
        let fd = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
        let control = Control { fd, held: Mutex::new(Vec::new()) };
        // A stop without a loop fails for want of a port, unless the version comes first: the only request whose
        // answer depends on nothing else.
        let mut probe = Request::new(NETMAP_REQ_SYNC_KLOOP_STOP, [0; 64], Body::None);
        match control.perform(&mut probe) {
            Err(Errno::NXIO) | Ok(()) => Ok(control),
            Err(errno @ Errno::INVAL) => Err(KernelError::Version { api: NETMAP_API, source: errno.into() }),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// Hands a request of any kind to the kernel, and gives back the bare errno: for tools that try what the
    /// kernel does with it. What its options name lives as long as this.
    pub fn perform(&self, request: &mut Request) -> Result<(), Errno> {
        let keep = request.options.iter().filter(|o| matches!(o, Opt::Csb(_) | Opt::Extmem(..))).cloned();
        self.held.lock().unwrap_or_else(PoisonError::into_inner).extend(keep);
        request.perform(self.fd.as_fd())
    }

    /// Hands a request to the kernel; what goes wrong is told in words, about `port`.
    pub(super) fn request(
        &self,
        operation: Operation,
        port: &str,
        request: &mut Request,
    ) -> Result<(), KernelError> {
        let before = request.body;
        let done = self.perform(request);
        // An option that was not taken fails the request too; its status tells why.
        let option = request
            .options
            .iter()
            .zip(&request.statuses)
            .find(|(_, status)| **status != 0)
            .map(|(option, &status)| (option.label(), Errno::from_raw_os_error(status as i32)));
        match (done, option) {
            (Ok(()), None) => Ok(()),
            // EOPNOTSUPP is what statuses begin with, so it tells nothing if something else failed.
            (Err(errno), Some((_, Errno::OPNOTSUPP))) if errno != Errno::OPNOTSUPP => {
                Err(self.failed(operation, port, errno, request, &before))
            }
            (answer, Some((option, status))) => {
                let fallback = self.advise(operation, status, request, &before);
                Err(KernelError::Option {
                    operation,
                    port: port.to_owned(),
                    option,
                    advice: advice::advise_option(option, status, fallback),
                    source: answer.err().filter(|&e| e != Errno::INVAL).unwrap_or(status).into(),
                })
            }
            (Err(errno), None) => Err(self.failed(operation, port, errno, request, &before)),
        }
    }

    fn failed(
        &self,
        operation: Operation,
        port: &str,
        errno: Errno,
        request: &Request,
        before: &Body,
    ) -> KernelError {
        let advice = self.advise(operation, errno, request, before);
        KernelError::Request { operation, port: port.to_owned(), advice, source: errno.into() }
    }

    /// Gathers what is known about a failed request, and has it judged.
    fn advise(&self, operation: Operation, errno: Errno, request: &Request, before: &Body) -> advice::Advice {
        let name = name_of(&request.name);
        let register: Option<&nmreq_register> = match before {
            Body::Register(register) => Some(register),
            Body::Attach(attach) => Some(&attach.reg),
            _ => None,
        };
        let parameters: Option<ModuleParameters> = module_parameters().ok();
        let (mut port, mut switches) = (None, None);
        if matches!(errno, Errno::NOMEM | Errno::INVAL) && register.is_some() {
            let body = Body::PortInfo(nmreq_port_info_get::default());
            let mut info = Request::new(NETMAP_REQ_PORT_INFO_GET, request.name, body);
            if let (Ok(()), Body::PortInfo(info)) = (self.perform(&mut info), &info.body) {
                port = Some(*info);
            }
            switches = self.count_switches();
        }
        let case = Case {
            name: &name,
            register,
            parameters: parameters.as_ref(),
            port: port.as_ref(),
            mtu: mtu(&name),
            switches,
        };
        advice::advise(operation, errno, &case)
    }

    /// Binds a port to this descriptor. [`Registration::map`] then gives its rings.
    pub fn register(self, register: &Register) -> Result<Registration, KernelError> {
        let name = register.to_string();
        let memory = register.memory().map_err(|e| extmem_failed(&name, e))?;
        let shared = match &register.spec().share {
            Some(other) => self.port_info(other)?.nr_mem_id,
            None => 0,
        };
        let mut request = register.request(shared, memory.as_ref());
        self.request(Operation::Register, &name, &mut request)?;
        let registered = Registered::from_request(&request);
        Ok(Registration { control: self, name, csb: register.is_csb(), registered })
    }

    /// Rings, slots and memory of a port. A VALE port or pipe that does not exist is made for the question, with
    /// the sizes it would have, and is gone again.
    pub fn port_info(&self, name: &PortName) -> Result<nmreq_port_info_get, KernelError> {
        let body = Body::PortInfo(nmreq_port_info_get::default());
        let mut request = Request::new(NETMAP_REQ_PORT_INFO_GET, name.to_nr_name(), body);
        self.request(Operation::PortInfo, &name.to_string(), &mut request)?;
        let Body::PortInfo(info) = request.body else { unreachable!("put there above") };
        Ok(info)
    }

    /// Bytes and id of a memory region; the rest is 0. Region 1 is the one that interfaces share.
    pub fn region_info(&self, region: NonZeroU16) -> Result<nmreq_port_info_get, KernelError> {
        let body = nmreq_port_info_get { nr_mem_id: region.get(), ..nmreq_port_info_get::default() };
        let no_name = name_field("").expect("an empty name fits");
        let mut request = Request::new(NETMAP_REQ_PORT_INFO_GET, no_name, Body::PortInfo(body));
        self.request(Operation::PortInfo, &format!("memory region {region}"), &mut request)?;
        let Body::PortInfo(info) = request.body else { unreachable!("put there above") };
        Ok(info)
    }

    /// The pools of the memory region that a port lies in, or would lie in if `region` were asked for.
    pub fn pools_info(
        &self,
        name: &PortName,
        region: Option<NonZeroU16>,
    ) -> Result<nmreq_pools_info, KernelError> {
        let body =
            nmreq_pools_info { nr_mem_id: region.map_or(0, NonZeroU16::get), ..nmreq_pools_info::default() };
        let mut request = Request::new(NETMAP_REQ_POOLS_INFO_GET, name.to_nr_name(), Body::Pools(body));
        self.request(Operation::PoolsInfo, &name.to_string(), &mut request)?;
        let Body::Pools(info) = request.body else { unreachable!("put there above") };
        Ok(info)
    }

    /// Bytes of the virtio-net header that a port's frames begin with: 0, 10 or 12.
    pub fn port_header(&self, name: &PortName) -> Result<u32, KernelError> {
        self.header(Operation::HeaderGet, NETMAP_REQ_PORT_HDR_GET, name, 0)
    }

    /// Sets the length of the virtio-net header of a VALE port that exists: 0, 10 or 12 bytes.
    pub fn set_port_header(&self, name: &PortName, len: u32) -> Result<(), KernelError> {
        self.header(Operation::HeaderSet, NETMAP_REQ_PORT_HDR_SET, name, len).map(|_| ())
    }

    fn header(
        &self,
        operation: Operation,
        reqtype: u16,
        name: &PortName,
        len: u32,
    ) -> Result<u32, KernelError> {
        let body = Body::PortHdr(nmreq_port_hdr { nr_hdr_len: len, pad1: 0 });
        let mut request = Request::new(reqtype, name.to_nr_name(), body);
        self.request(operation, &name.to_string(), &mut request)?;
        let Body::PortHdr(header) = request.body else { unreachable!("put there above") };
        Ok(header.nr_hdr_len)
    }
}

/// The MTU of the interface that a port's name names, if there is one.
fn mtu(name: &str) -> Option<u32> {
    let port = name.rsplit(':').next()?;
    let interface = port.split(['{', '}']).next().filter(|i| !i.is_empty() && !i.contains('/'))?;
    std::fs::read_to_string(format!("/sys/class/net/{interface}/mtu")).ok()?.trim().parse().ok()
}

/// A descriptor with a port bound to it, whose memory is not mapped yet.
#[derive(Debug)]
pub struct Registration {
    control: Control,
    name: String,
    csb: bool,
    registered: Registered,
}

impl Registration {
    /// What the kernel answered.
    #[must_use]
    pub fn registered(&self) -> &Registered {
        &self.registered
    }

    /// The descriptor, for further requests.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Maps the region and finds the rings.
    pub fn map(self) -> Result<KernelPort, KernelError> {
        if self.csb {
            let reason = "it was registered in CSB mode, where its rings cannot be used this way";
            return Err(KernelError::Invalid { operation: Operation::Register, port: self.name, reason });
        }
        KernelPort::map(self.control, self.name, self.registered)
    }
}

impl AsFd for Registration {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }
}

/// Maps the whole region of the port bound to `control`.
pub(super) fn map_region(control: &Control, name: &str, len: u64) -> Result<Arc<Memory>, KernelError> {
    let failed = |source: io::Error| map_failed(name, len, source);
    let bytes = usize::try_from(len).ok().filter(|&n| n > 0 && isize::try_from(n).is_ok());
    let bytes = bytes.ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
    Mapping::file(control.as_fd(), bytes).map(Mapping::into_memory).map_err(failed)
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;

    #[test]
    fn a_missing_device_says_what_to_load() {
        let e = Control::open_at(Path::new("/nowhere/netmap")).unwrap_err();
        assert!(e.is_host());
        assert_eq!(e.errno(), Some(Errno::NOENT));
        assert!(e.to_string().contains("load the netmap module"), "{e}");
    }

    #[test]
    fn another_device_is_refused() {
        let e = Control::open_at(Path::new("/dev/null")).unwrap_err();
        assert_eq!(e.errno(), Some(Errno::NOTTY));
        assert!(e.is_host());
    }

    #[test]
    fn names_end_at_their_nul() {
        assert_eq!(name_of(&name_field::<64>("vale0:1").unwrap()), "vale0:1");
        assert_eq!(name_of(&[b'x' as std::ffi::c_char; 4]), "xxxx");
    }
}
