//! The system calls that only netmap has: its three requests on the control device. All of this crate's `ioctl`s
//! are here, and the blocking of signals that one of them needs.
//!
//! Request numbers are [`crate::sys`]'s for the target, so the encoding is the system's own. Deliberately absent:
//! what the requests mean.

use crate::sys::{NIOCCTRL, NIOCRXSYNC, NIOCTXSYNC, nmreq_header};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;

/// A request whose argument, if it has one, is a header that the kernel reads and writes.
struct Call<'a> {
    opcode: u32,
    header: Option<&'a mut nmreq_header>,
}

// SAFETY: the opcode is one of netmap's three. NIOCCTRL reads and writes one nmreq_header at `as_ptr`, the syncs
// ignore their argument, and none of them has a result but success. IS_MUTATING is true for all.
unsafe impl Ioctl for Call<'_> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode as Opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        match &mut self.header {
            Some(header) => ptr::from_mut::<nmreq_header>(header).cast(),
            None => ptr::null_mut(),
        }
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// `NIOCCTRL`.
///
/// # Safety
/// `nr_body` and every option linked from `nr_options` must be 0 or lead to memory that the kernel may read and
/// write for as many bytes as it takes the request and the option to have, and that nobody else touches
/// meanwhile. Memory that an option names (CSB entries, external memory) must stay mapped for as long as the
/// kernel uses it: until the descriptor is closed.
pub(super) unsafe fn control(fd: BorrowedFd<'_>, header: &mut nmreq_header) -> Result<(), Errno> {
    // SAFETY: the caller vouches for what the header leads to; the header itself is a live reference.
    unsafe { ioctl(fd, Call { opcode: NIOCCTRL, header: Some(header) }) }
}

/// `NIOCTXSYNC`: the kernel takes what was published on every transmit ring bound to the descriptor.
pub(super) fn txsync(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: it takes no argument. What it does in mapped rings is bounded by their published heads (rule 7).
    unsafe { ioctl(fd, Call { opcode: NIOCTXSYNC, header: None }) }
}

/// `NIOCRXSYNC`: the kernel takes back what was released on every receive ring bound to the descriptor, and shows
/// what has arrived.
pub(super) fn rxsync(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: as for txsync.
    unsafe { ioctl(fd, Call { opcode: NIOCRXSYNC, header: None }) }
}

/// Runs `f` with every signal blocked in this thread, and so in the threads that it starts.
///
/// The kernel's sync loop sleeps interruptibly and never looks at signals: one that is pending for its thread
/// would keep it from sleeping, and it would burn a core until it is stopped.
pub(super) fn with_signals_blocked<T>(f: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::uninit();
    let mut old = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the set it is given; pthread_sigmask reads that one and initialises `old`.
    let blocked = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr())
    };
    let result = f();
    if blocked == 0 {
        // SAFETY: the call above succeeded, so `old` is initialised.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, old.as_ptr(), ptr::null_mut()) };
    }
    result
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;
    use rustix::fd::AsFd;
    use std::fs::File;

    #[test]
    fn a_device_without_netmap_refuses_every_request() {
        let null = File::open("/dev/null").unwrap();
        // SAFETY: neither body nor options.
        let answer = unsafe { control(null.as_fd(), &mut nmreq_header::new(1)) };
        assert_eq!(answer, Err(Errno::NOTTY));
        assert_eq!(txsync(null.as_fd()), Err(Errno::NOTTY));
        assert_eq!(rxsync(null.as_fd()), Err(Errno::NOTTY));
    }

    #[test]
    fn threads_started_with_signals_blocked_have_them_blocked() {
        let mask = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = status.lines().find_map(|l| l.strip_prefix("SigBlk:")).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        let (before, inside) = (mask(), with_signals_blocked(|| std::thread::spawn(mask)).join().unwrap());
        let term = 1 << (libc::SIGTERM - 1);
        assert_eq!(inside & term, term);
        assert_eq!(mask(), before);
    }
}
