//! The wake-up beside a CSB: what a "kick" is made of.
//!
//! Between host processes it is a pair of eventfds, as netmap's sync kloop takes them. A guest without a netmap
//! kernel module has none; there a byte stream (a virtio-serial port) carries a byte a kick in either direction.

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::io;
use std::time::Duration;

/// Two ends of wake-ups: one to ring the other side, one to be rung by it.
#[derive(Debug)]
pub struct Doorbell {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Events { ring: OwnedFd, rung: OwnedFd },
    Stream(OwnedFd),
}

impl Doorbell {
    /// Two doorbells on a pair of eventfds, each the other's opposite.
    pub fn pair() -> io::Result<(Doorbell, Doorbell)> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let (a, b) = (eventfd(0, flags)?, eventfd(0, flags)?);
        let other = Doorbell { kind: Kind::Events { ring: b.try_clone()?, rung: a.try_clone()? } };
        Ok((Doorbell { kind: Kind::Events { ring: a, rung: b } }, other))
    }

    /// From the eventfd that rings the other side and the one it rings.
    #[must_use]
    pub fn from_eventfds(ring: OwnedFd, rung: OwnedFd) -> Doorbell {
        Doorbell { kind: Kind::Events { ring, rung } }
    }

    /// From a byte stream that is kept non-blocking here: a Unix socket, a virtio-serial port.
    pub fn from_stream(fd: OwnedFd) -> io::Result<Doorbell> {
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK)?;
        Ok(Doorbell { kind: Kind::Stream(fd) })
    }

    /// The eventfds, `(ring, rung)`, to hand to another process; `None` for a stream.
    #[must_use]
    pub fn eventfds(&self) -> Option<(BorrowedFd<'_>, BorrowedFd<'_>)> {
        match &self.kind {
            Kind::Events { ring, rung } => Some((ring.as_fd(), rung.as_fd())),
            Kind::Stream(_) => None,
        }
    }

    /// Wakes the other side. A full stream or counter means that it has wake-ups it has not read: enough.
    pub fn ring(&self) -> io::Result<()> {
        let written = match &self.kind {
            Kind::Events { ring, .. } => rustix::io::write(ring, &1u64.to_ne_bytes()),
            Kind::Stream(fd) => rustix::io::write(fd, &[1]),
        };
        match written {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Takes in the wake-ups so far; whether there were any. The end of a stream is `UnexpectedEof`.
    pub fn drain(&self) -> io::Result<bool> {
        let mut buf = [0u8; 64];
        match rustix::io::read(self.rung_fd(), &mut buf) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(true),
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Sleeps until rung or until `timeout` has passed, and takes in the wake-ups; whether there were any.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let fd = self.rung_fd();
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        let timeout = rustix::event::Timespec {
            tv_sec: timeout.as_secs().min(3600) as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => Ok(false),
            Ok(_) => self.drain(),
            Err(e) => Err(e.into()),
        }
    }

    /// Readable when rung: for an event loop.
    #[must_use]
    pub fn rung_fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::Events { rung, .. } => rung.as_fd(),
            Kind::Stream(fd) => fd.as_fd(),
        }
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;

    fn both_ways(a: &Doorbell, b: &Doorbell) {
        assert!(!b.wait(Duration::from_millis(1)).unwrap());
        a.ring().unwrap();
        assert!(b.wait(Duration::from_secs(5)).unwrap());
        assert!(!b.drain().unwrap());
        b.ring().unwrap();
        b.ring().unwrap();
        assert!(a.wait(Duration::from_secs(5)).unwrap());
        assert!(!a.drain().unwrap());
    }

    #[test]
    fn eventfds_ring_both_ways() {
        let (a, b) = Doorbell::pair().unwrap();
        both_ways(&a, &b);
    }

    #[test]
    fn streams_ring_both_ways_never_block_and_end() {
        let (x, y) = std::os::unix::net::UnixStream::pair().unwrap();
        let (a, b) = (Doorbell::from_stream(x.into()).unwrap(), Doorbell::from_stream(y.into()).unwrap());
        both_ways(&a, &b);
        for _ in 0..1_000_000 {
            a.ring().unwrap();
        }
        drop(a);
        let end = loop {
            if let Err(e) = b.drain() {
                break e;
            }
        };
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }
}
