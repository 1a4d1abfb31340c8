//! DPDK's functions, by way of `shim.c`: a shared object that this program carries inside itself and loads when the
//! first port is opened, and DPDK's own libraries with it.
//!
//! Rules that each SAFETY comment cites:
//!
//! 1. The functions have the types that they are given here: both sides are built together, and the sizes of what
//!    crosses are asserted on both.
//! 2. An mbuf belongs to one [`Mbuf`] pointer that a port holds between the call that lent it (`rx`, `alloc`) and the
//!    one that takes it back (`free`, `tx`); its data is as long as its frame says, and nobody else touches it.
//! 3. The library is never unloaded: EAL's threads run in it.

use libloading::os::unix::{Library as Object, RTLD_LOCAL, RTLD_NOW};
use rustix::fs::{MemfdFlags, memfd_create};
use std::error::Error;
use std::ffi::{CStr, CString, c_char, c_int};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

/// The shim, as build.rs made it.
const SHIM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dpdk_shim.so"));

/// An mbuf, which only DPDK looks into.
#[derive(Debug)]
#[repr(C)]
pub(super) struct RawMbuf {
    opaque: [u8; 0],
}

/// A pointer to an mbuf; null where a place is empty.
pub(super) type Mbuf = *mut RawMbuf;

/// Where a frame lies in its mbuf: `struct vb_frame`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Frame {
    data: *mut u8,
    pub(super) key: u32,
    pub(super) len: u16,
    pub(super) segments: u16,
}

/// A port as the shim knows it: `struct vb_port`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct RawPort {
    driver: [c_char; 32],
    device: [c_char; 64],
    rx_pool: *mut u8,
    tx_pool: *mut u8,
    pub(super) tx_mbufs: u32,
    pub(super) rx_slots: u32,
    pub(super) tx_slots: u32,
    pub(super) max_frame: u32,
    port: u16,
    pub(super) mac: [u8; 6],
    pub(super) queues: u16,
    unused: [u16; 3],
}

const _: () = assert!(size_of::<Frame>() == 16 && size_of::<RawPort>() == 144);

// SAFETY: the pools are names for DPDK's functions, which any thread may call with them.
unsafe impl Send for RawPort {}

impl Frame {
    pub(super) const NONE: Frame = Frame { data: std::ptr::null_mut(), key: 0, len: 0, segments: 0 };

    /// The data of a received mbuf.
    ///
    /// # Safety
    /// The mbuf that this frame describes must be held (rule 2) for `'a`.
    pub(super) unsafe fn data<'a>(&self) -> &'a [u8] {
        // SAFETY: `len` bytes lie at `data` as long as the mbuf is held (rule 2), which the caller vouches for.
        unsafe { std::slice::from_raw_parts(self.data, self.len.into()) }
    }

    /// The room of an empty mbuf.
    ///
    /// # Safety
    /// The mbuf that this frame describes must be held (rule 2) for `'a`, come from `alloc`, and have `room` bytes.
    pub(super) unsafe fn room<'a>(&self, room: usize) -> &'a mut [u8] {
        // SAFETY: as above; the memory is the kernel's pages, whose bytes have values, whichever.
        unsafe { std::slice::from_raw_parts_mut(self.data, room) }
    }
}

impl RawPort {
    const NONE: RawPort = RawPort {
        driver: [0; 32],
        device: [0; 64],
        rx_pool: std::ptr::null_mut(),
        tx_pool: std::ptr::null_mut(),
        tx_mbufs: 0,
        rx_slots: 0,
        tx_slots: 0,
        max_frame: 0,
        port: 0,
        mac: [0; 6],
        queues: 0,
        unused: [0; 3],
    };

    pub(super) fn driver(&self) -> String {
        text(&self.driver)
    }

    pub(super) fn device(&self) -> String {
        text(&self.device)
    }
}

fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().map(|&c| c as u8).take_while(|&byte| byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An errno as DPDK returns it, negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Errno(pub(super) i32);

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.abs() {
            // -1, which is no errno: most drivers say no more.
            libc::EPERM => f.write_str("its driver failed"),
            libc::EFAULT => f.write_str("no driver knows a device of that name"),
            errno => std::io::Error::from_raw_os_error(errno).fmt(f),
        }
    }
}

type LogFn = extern "C" fn(c_int, *const c_char, usize);

/// The shim's functions.
#[derive(Debug)]
pub(super) struct Library {
    version: unsafe extern "C" fn() -> *const c_char,
    plugin_folder: unsafe extern "C" fn() -> *const c_char,
    init: unsafe extern "C" fn(c_int, *mut *mut c_char, LogFn) -> c_int,
    attach: unsafe extern "C" fn(*const c_char, *mut RawPort) -> c_int,
    start: unsafe extern "C" fn(*mut RawPort, u32, *mut *const c_char) -> c_int,
    link: unsafe extern "C" fn(u16) -> c_int,
    detach: unsafe extern "C" fn(*mut RawPort) -> c_int,
    rx: unsafe extern "C" fn(u16, u16, *mut Mbuf, *mut Frame, u16) -> u16,
    next_segment: unsafe extern "C" fn(Mbuf, *mut Frame) -> Mbuf,
    free: unsafe extern "C" fn(*mut Mbuf, u16),
    alloc: unsafe extern "C" fn(*mut u8, *mut Mbuf, *mut Frame, u16) -> u16,
    tx: unsafe extern "C" fn(u16, u16, *mut Mbuf, *const Frame, u16) -> u16,
    tx_pending: unsafe extern "C" fn(u16, u16, u32) -> c_int,
}

impl Library {
    /// Loads the shim and DPDK.
    pub(super) fn load() -> Result<Library, Box<dyn Error + Send + Sync>> {
        let fd = memfd_create("dpdk_shim.so", MemfdFlags::CLOEXEC)?;
        let mut file = File::from(fd);
        file.write_all(SHIM)?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        // SAFETY: the shim has no initialisers; those of DPDK's libraries register their drivers and nothing else.
        let object = unsafe { Object::open(Some(path), RTLD_NOW | RTLD_LOCAL) }?;
        macro_rules! find {
            ($name:literal) => {
                // SAFETY: rule 1.
                *unsafe { object.get(concat!("vb_", $name, "\0").as_bytes()) }?
            };
        }
        let library = Library {
            version: find!("version"),
            plugin_folder: find!("plugin_folder"),
            init: find!("init"),
            attach: find!("attach"),
            start: find!("start"),
            link: find!("link"),
            detach: find!("detach"),
            rx: find!("rx"),
            next_segment: find!("next_segment"),
            free: find!("free"),
            alloc: find!("alloc"),
            tx: find!("tx"),
            tx_pending: find!("tx_pending"),
        };
        // Rule 3.
        std::mem::forget(object);
        Ok(library)
    }

    pub(super) fn version(&self) -> String {
        // SAFETY: rule 1; the text is DPDK's own and stays.
        unsafe { CStr::from_ptr((self.version)()) }.to_string_lossy().into_owned()
    }

    pub(super) fn plugin_folder(&self) -> String {
        // SAFETY: rule 1; the text is the shim's own and stays.
        unsafe { CStr::from_ptr((self.plugin_folder)()) }.to_string_lossy().into_owned()
    }

    /// Initialises EAL on the calling thread.
    pub(super) fn init(&self, arguments: &[String]) -> Result<(), Errno> {
        let owned = arguments.iter().map(|argument| CString::new(argument.as_str()));
        // EAL keeps pointers into its arguments, and moves them about: they are left to it.
        let pointers = owned.map(|argument| argument.unwrap_or_default().into_raw());
        let mut pointers: Vec<*mut c_char> = pointers.chain([std::ptr::null_mut()]).collect();
        let count = (pointers.len() - 1) as c_int;
        // SAFETY: rule 1; `count` texts and a null, which live for ever.
        let result =
            unsafe { (self.init)(count, Vec::leak(std::mem::take(&mut pointers)).as_mut_ptr(), logged) };
        check(result).map(|_| ())
    }

    pub(super) fn attach(&self, arguments: &CStr) -> Result<RawPort, Errno> {
        let mut port = RawPort::NONE;
        // SAFETY: rule 1; both live through the call.
        check(unsafe { (self.attach)(arguments.as_ptr(), &raw mut port) })?;
        Ok(port)
    }

    /// Starts a port with rings of about `slots`; the error comes with what failed.
    pub(super) fn start(&self, port: &mut RawPort, slots: u32) -> Result<(), (&'static str, Errno)> {
        let mut operation = c"start".as_ptr();
        // SAFETY: rule 1; both live through the call.
        let result = unsafe { (self.start)(std::ptr::from_mut(port), slots, &raw mut operation) };
        // SAFETY: the shim puts there texts of its own, which stay (rule 3).
        let operation: &'static CStr = unsafe { CStr::from_ptr(operation) };
        check(result).map(|_| ()).map_err(|errno| (operation.to_str().unwrap_or("start"), errno))
    }

    /// Whether the link is up.
    pub(super) fn link(&self, port: &RawPort) -> Result<bool, Errno> {
        // SAFETY: rule 1.
        check(unsafe { (self.link)(port.port) }).map(|up| up == 1)
    }

    pub(super) fn detach(&self, mut port: RawPort) -> Result<(), Errno> {
        // SAFETY: rule 1; whoever detaches has given every mbuf back, or goes without them.
        check(unsafe { (self.detach)(&raw mut port) }).map(|_| ())
    }

    /// Receives from a queue into empty places; returns how many were filled.
    #[inline]
    pub(super) fn rx(&self, port: &RawPort, queue: u16, mbufs: &mut [Mbuf], frames: &mut [Frame]) -> usize {
        let n = mbufs.len().min(frames.len()) as u16;
        // SAFETY: rule 1; both have `n` places.
        unsafe { (self.rx)(port.port, queue, mbufs.as_mut_ptr(), frames.as_mut_ptr(), n) }.into()
    }

    /// The segment of a held packet after `mbuf`, with its frame.
    pub(super) fn next_segment(&self, mbuf: Mbuf) -> Option<(Mbuf, Frame)> {
        let mut frame = Frame::NONE;
        // SAFETY: rule 1; the mbuf, a segment of a packet that is held, is DPDK's to look into.
        let next = unsafe { (self.next_segment)(mbuf, &raw mut frame) };
        NonNull::new(next).map(|next| (next.as_ptr(), frame))
    }

    /// Gives mbufs back to their pools.
    #[inline]
    pub(super) fn free(&self, mbufs: &mut [Mbuf]) {
        // SAFETY: rule 1; the caller holds these mbufs (rule 2) and forgets them.
        unsafe { (self.free)(mbufs.as_mut_ptr(), mbufs.len() as u16) }
    }

    /// Fills all of the empty places with empty mbufs of the port's transmit pool, or none.
    #[inline]
    pub(super) fn alloc(&self, port: &RawPort, mbufs: &mut [Mbuf], frames: &mut [Frame]) -> bool {
        let n = mbufs.len().min(frames.len()) as u16;
        // SAFETY: rule 1; both have `n` places.
        unsafe { (self.alloc)(port.tx_pool, mbufs.as_mut_ptr(), frames.as_mut_ptr(), n) > 0 }
    }

    /// Sends mbufs of the lengths in `frames` by a queue; returns how many the ring took, which are no longer held.
    #[inline]
    pub(super) fn tx(&self, port: &RawPort, queue: u16, mbufs: &mut [Mbuf], frames: &[Frame]) -> usize {
        let n = mbufs.len().min(frames.len()) as u16;
        // SAFETY: rule 1; the caller holds these mbufs (rule 2) and forgets those that are taken.
        unsafe { (self.tx)(port.port, queue, mbufs.as_mut_ptr(), frames.as_ptr(), n) }.into()
    }

    /// Descriptors of the transmit rings that the device has not finished with; `None` where its driver cannot say.
    pub(super) fn tx_pending(&self, port: &RawPort) -> Option<u32> {
        // SAFETY: rule 1.
        let of = |queue| u32::try_from(unsafe { (self.tx_pending)(port.port, queue, port.tx_slots) }).ok();
        (0..port.queues).map(of).sum()
    }
}

fn check(result: c_int) -> Result<c_int, Errno> {
    if result < 0 { Err(Errno(result)) } else { Ok(result) }
}

/// Called by DPDK with each message.
extern "C" fn logged(level: c_int, message: *const c_char, len: usize) {
    if message.is_null() {
        return;
    }
    // SAFETY: `len` bytes lie at `message`, for the time of this call.
    let bytes = unsafe { std::slice::from_raw_parts(message.cast::<u8>(), len) };
    super::log::take(level, &String::from_utf8_lossy(bytes));
}
