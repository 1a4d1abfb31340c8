//! The wake-up beside a CSB: what a "kick" is made of.
//!
//! Within a process, and with a kernel, it is a pair of eventfds, as netmap's sync kloop takes them. Elsewhere a
//! byte stream carries a byte a kick in either direction: a virtio-serial port to a guest, a socket to another
//! process. Who is handed an eventfd shares its flags and its counter, and can so make a write to it block; who
//! is handed one end of a stream cannot do anything to the other end. Nothing here raises `SIGPIPE`.

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

/// Two ends of wake-ups: one to ring the other side, one to be rung by it.
#[derive(Debug)]
pub struct Doorbell {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Events {
        ring: OwnedFd,
        rung: OwnedFd,
    },
    /// Its calls say "do not block" themselves.
    Socket(OwnedFd),
    /// A character device, kept non-blocking.
    Device(OwnedFd),
}

/// Most reads in one [`Doorbell::drain`], so that a peer that never stops ringing cannot hold the reader.
const MAX_READS: usize = 16;

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

    /// This end of a pair of connected sockets, and the other to hand to another process.
    pub fn socket_pair() -> io::Result<(Doorbell, OwnedFd)> {
        let (kind, flags) = (SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, kind, flags, None)?;
        Ok((Doorbell { kind: Kind::Socket(ours) }, theirs))
    }

    /// From a byte stream that goes both ways: a socket, or a character device such as a virtio-serial port,
    /// which is made non-blocking.
    pub fn from_stream(fd: OwnedFd) -> io::Result<Doorbell> {
        let kind = match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
            FileType::Socket => Kind::Socket(fd),
            FileType::CharacterDevice => {
                let flags = rustix::fs::fcntl_getfl(&fd)?;
                rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
                Kind::Device(fd)
            }
            other => {
                let message = format!("a doorbell is a socket or a character device, not a {other:?}");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        };
        Ok(Doorbell { kind })
    }

    /// The eventfds, `(ring, rung)`, to hand to a kernel; `None` for a stream.
    #[must_use]
    pub fn eventfds(&self) -> Option<(BorrowedFd<'_>, BorrowedFd<'_>)> {
        match &self.kind {
            Kind::Events { ring, rung } => Some((ring.as_fd(), rung.as_fd())),
            Kind::Socket(_) | Kind::Device(_) => None,
        }
    }

    /// Wakes the other side. A full stream or counter means that it has wake-ups it has not read: enough.
    pub fn ring(&self) -> io::Result<()> {
        let written = match &self.kind {
            Kind::Events { ring, .. } => rustix::io::write(ring, &1u64.to_ne_bytes()),
            Kind::Socket(fd) => rustix::net::send(fd, &[1], SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            Kind::Device(fd) => rustix::io::write(fd, &[1]),
        };
        match written {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Takes in the wake-ups so far; whether there were any. The end of a stream is `UnexpectedEof`.
    pub fn drain(&self) -> io::Result<bool> {
        let mut buf = [MaybeUninit::<u8>::uninit(); 256];
        let mut any = false;
        for _ in 0..MAX_READS {
            let got = match &self.kind {
                Kind::Events { rung: fd, .. } | Kind::Device(fd) => {
                    rustix::io::read(fd, &mut buf).map(|(b, _)| b.len())
                }
                Kind::Socket(fd) => {
                    rustix::net::recv(fd, &mut buf, RecvFlags::DONTWAIT).map(|((b, _), _)| b.len())
                }
            };
            match got {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => any = true,
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(e) => return Err(e.into()),
            }
            // One read takes all of an eventfd. A stream is read to its end, for an edge-triggered event loop
            // hears of that end only once.
            if matches!(self.kind, Kind::Events { .. }) {
                break;
            }
        }
        Ok(any)
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
            Kind::Socket(fd) | Kind::Device(fd) => fd.as_fd(),
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
