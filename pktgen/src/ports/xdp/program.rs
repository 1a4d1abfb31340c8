//! The XDP program that hands what an interface's first queue receives to a socket, and what the kernel is asked for
//! it (`bpf(2)`).
//!
//! The program is six instructions, so it is written down here and not compiled from C. It goes with the link that
//! attaches it: when the port is closed, however that happens.
#![allow(unsafe_code)]

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Errno;
use std::ffi::CStr;
use std::io;

const MAP_CREATE: libc::c_long = 0;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const PROG_LOAD: libc::c_long = 5;
const LINK_CREATE: libc::c_long = 28;

/// `BPF_MAP_TYPE_XSKMAP`.
const XSKMAP: u32 = 17;
/// `BPF_PROG_TYPE_XDP`.
const XDP: u32 = 6;
/// The attach type `BPF_XDP`.
const ATTACH: u32 = 37;
/// `XDP_PASS`: what is not for the socket goes to the kernel's stack.
const PASS: i32 = 2;
/// The helper `bpf_redirect_map`.
const REDIRECT_MAP: i32 = 51;
/// Where `struct xdp_md` has `rx_queue_index`.
const RX_QUEUE_INDEX: i16 = 16;
const LICENSE: &CStr = c"Dual MIT/GPL";

/// Where the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the driver, before there is a socket buffer (`XDP_FLAGS_DRV_MODE`).
    Driver,
    /// In the kernel's stack, which any interface can (`XDP_FLAGS_SKB_MODE`).
    Generic,
}

impl Place {
    fn flags(self) -> u32 {
        match self {
            Place::Generic => 1 << 1,
            Place::Driver => 1 << 2,
        }
    }
}

/// The program on an interface; dropping it takes it off.
#[derive(Debug)]
pub(super) struct Attached {
    _link: OwnedFd,
    pub(super) place: Place,
}

/// What could not be done, and why.
pub(super) type Failed = (&'static str, io::Error);

/// Hands what the first queue of interface `index` receives to `socket`; in the driver where it can.
pub(super) fn attach(index: u32, socket: BorrowedFd<'_>) -> Result<Attached, Failed> {
    let map = create_map().map_err(|e| ("make a map of AF_XDP sockets for it", e))?;
    let program = load(map.as_fd()).map_err(|e| ("load an XDP program for it", e))?;
    // An entry may be set only for a socket that is bound.
    update(map.as_fd(), socket).map_err(|e| ("put its socket into a map", e))?;
    let mut last = None;
    for place in [Place::Driver, Place::Generic] {
        match link(program.as_fd(), index, place) {
            Ok(link) => return Ok(Attached { _link: link, place }),
            // Another program is there, and would be in the other place too.
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => {
                return Err(("attach an XDP program to it, which has one already", e));
            }
            Err(e) => last = Some(e),
        }
    }
    Err(("attach an XDP program to it", last.unwrap_or_else(|| Errno::OPNOTSUPP.into())))
}

/// One instruction of eBPF.
fn instruction(code: u8, dst: u8, src: u8, offset: i16, imm: i32) -> [u8; 8] {
    let ([o0, o1], [i0, i1, i2, i3]) = (offset.to_ne_bytes(), imm.to_ne_bytes());
    let registers = if cfg!(target_endian = "little") { src << 4 | dst } else { dst << 4 | src };
    [code, registers, o0, o1, i0, i1, i2, i3]
}

/// `return bpf_redirect_map(&map, ctx->rx_queue_index, XDP_PASS);`
fn redirect(map: i32) -> [[u8; 8]; 6] {
    [
        // r2 = *(u32 *)(r1 + RX_QUEUE_INDEX)
        instruction(0x61, 2, 1, RX_QUEUE_INDEX, 0),
        // r1 = map, which takes two instructions, of which the second has the upper half
        instruction(0x18, 1, 1, 0, map),
        instruction(0, 0, 0, 0, 0),
        // r3 = XDP_PASS
        instruction(0xb7, 3, 0, 0, PASS),
        // r0 = bpf_redirect_map(r1, r2, r3)
        instruction(0x85, 0, 0, 0, REDIRECT_MAP),
        // return r0
        instruction(0x95, 0, 0, 0, 0),
    ]
}

#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

#[repr(C)]
struct MapUpdate {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// # Safety
/// `attr` is what `command` takes, and whatever it points to lives through the call.
unsafe fn bpf<T>(command: libc::c_long, attr: &T) -> io::Result<i32> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes of `attr`, and the rest is the caller's word.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attr), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

/// # Safety
/// As [`bpf`], of a command that returns a new file descriptor.
unsafe fn bpf_fd<T>(command: libc::c_long, attr: &T) -> io::Result<OwnedFd> {
    // SAFETY: the caller's word; the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(bpf(command, attr)?) })
}

fn create_map() -> io::Result<OwnedFd> {
    let attr = MapCreate { map_type: XSKMAP, key_size: 4, value_size: 4, max_entries: 1, map_flags: 0 };
    // SAFETY: what MAP_CREATE takes, without pointers.
    unsafe { bpf_fd(MAP_CREATE, &attr) }
}

fn load(map: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let program = redirect(map.as_raw_fd());
    let attr = ProgLoad {
        prog_type: XDP,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
    };
    // SAFETY: what PROG_LOAD takes; the program and the licence live through the call.
    unsafe { bpf_fd(PROG_LOAD, &attr) }
}

fn update(map: BorrowedFd<'_>, socket: BorrowedFd<'_>) -> io::Result<()> {
    let (key, value) = (0u32, socket.as_raw_fd() as u32);
    let attr = MapUpdate {
        map_fd: map.as_raw_fd() as u32,
        padding: 0,
        key: (&raw const key) as u64,
        value: (&raw const value) as u64,
        flags: 0,
    };
    // SAFETY: what MAP_UPDATE_ELEM takes; key and value have the sizes that the map was made with, and live through
    // the call.
    unsafe { bpf(MAP_UPDATE_ELEM, &attr) }.map(drop)
}

fn link(program: BorrowedFd<'_>, index: u32, place: Place) -> io::Result<OwnedFd> {
    let attr = LinkCreate {
        prog_fd: program.as_raw_fd() as u32,
        target_ifindex: index,
        attach_type: ATTACH,
        flags: place.flags(),
    };
    // SAFETY: what LINK_CREATE takes, without pointers.
    unsafe { bpf_fd(LINK_CREATE, &attr) }
}
