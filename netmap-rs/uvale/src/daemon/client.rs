//! The end that wants a port.

use super::DaemonError;
use crate::switch::PortId;
use crate::wire::{self, Answer, Inbox, PROTOCOL, Request};
use netmap_rs::csb::CsbPort;
use netmap_rs::doorbell::Doorbell;
use netmap_rs::layout::PortShape;
use netmap_rs::memory::Memory;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::sockopt::Timeout;
use rustix::net::{self, AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType};
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::time::Duration;

/// The connection that keeps a port on a switch in another process: the port goes when it is dropped.
#[derive(Debug)]
pub struct Link {
    stream: StdUnixStream,
}

impl Link {
    /// Whether the switch is still there.
    #[must_use]
    pub fn alive(&self) -> bool {
        let mut byte = [0u8; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match net::recv(&self.stream, &mut byte, flags) {
            Ok((_, n)) => n > 0,
            Err(e) => e == Errno::AGAIN || e == Errno::INTR,
        }
    }
}

/// A port on a switch in another process. It goes away when this is dropped.
#[derive(Debug)]
pub struct RemotePort {
    /// Index on the switch.
    pub id: PortId,
    /// The port.
    pub port: CsbPort,
    /// What keeps it.
    pub link: Link,
}

impl RemotePort {
    /// Whether the switch is still there.
    #[must_use]
    pub fn alive(&self) -> bool {
        self.link.alive()
    }

    /// The port and what keeps it.
    #[must_use]
    pub fn split(self) -> (CsbPort, Link) {
        (self.port, self.link)
    }
}

/// How long a switch may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects, or gives up after [`ANSWER_TIMEOUT`]: a switch that is stopped has a queue that fills.
pub(super) fn connect(path: &Path) -> io::Result<StdUnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    net::sockopt::set_socket_timeout(&socket, Timeout::Send, Some(ANSWER_TIMEOUT))?;
    rustix::io::retry_on_intr(|| net::connect(&socket, &address))?;
    Ok(socket.into())
}

fn ask(path: &Path, request: &Request) -> Result<(Answer, Vec<OwnedFd>, StdUnixStream), DaemonError> {
    let broken = |source| DaemonError::Protocol { path: path.to_owned(), source };
    let stream = connect(path).map_err(|source| DaemonError::NotRunning { path: path.to_owned(), source })?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(broken)?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT)).map_err(broken)?;
    wire::send(&stream, request, &[]).map_err(broken)?;
    let mut inbox = Inbox::default();
    loop {
        match inbox.read(&stream) {
            Ok(0) => return Err(broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {}
            // A Ctrl-C that came just now is looked at when there is a port to end.
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(broken(e)),
        }
        if let Some((answer, fds)) = inbox.take_message::<Answer>().map_err(broken)? {
            return Ok((answer, fds, stream));
        }
    }
}

/// Attaches port `port` to the switch that listens on `path`.
pub fn attach(path: &Path, port: &str, shape: Option<PortShape>) -> Result<RemotePort, DaemonError> {
    let request = Request::Attach { protocol: PROTOCOL, port: port.to_owned(), shape };
    let (answer, fds, stream) = ask(path, &request)?;
    let broken = |what: &str| DaemonError::Protocol {
        path: path.to_owned(),
        source: io::Error::other(what.to_owned()),
    };
    match answer {
        Answer::Attached { id, location, len } => {
            let [memfd, doorbell] = <[_; wire::ATTACH_FDS]>::try_from(fds)
                .map_err(|_| broken("the port's descriptors are missing"))?;
            let memory = Memory::map_sealed(memfd.as_fd(), len)?;
            let doorbell = Doorbell::from_stream(doorbell)
                .map_err(|source| DaemonError::Protocol { path: path.to_owned(), source })?;
            let port = CsbPort::open(&memory, &location, doorbell)?;
            Ok(RemotePort { id, port, link: Link { stream } })
        }
        Answer::Refused { reason } => Err(DaemonError::Refused { path: path.to_owned(), reason }),
        Answer::Ports { .. } => Err(broken("it listed its ports instead of attaching one")),
    }
}

/// The ports of the switch that listens on `path`, with their counters.
pub fn ports(path: &Path) -> Result<Vec<(PortId, String, crate::Snapshot)>, DaemonError> {
    match ask(path, &Request::Ports { protocol: PROTOCOL })?.0 {
        Answer::Ports { ports } => Ok(ports),
        Answer::Refused { reason } => Err(DaemonError::Refused { path: path.to_owned(), reason }),
        Answer::Attached { .. } => Err(DaemonError::Protocol {
            path: path.to_owned(),
            source: io::Error::other("it attached a port instead of listing them"),
        }),
    }
}
