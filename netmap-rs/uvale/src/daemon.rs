//! The switch as a service: other processes attach ports through a Unix socket.
//!
//! [`Server`] is single-threaded and never touches frames. A connection that closes, for whatever reason, takes
//! its port with it. [`attach`] is the other end.

use crate::switch::{HostPort, PortId, Switch, SwitchError};
use crate::wire::{self, Answer, Inbox, PROTOCOL, Request};
use mio::net::{UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Token};
use netmap_rs::csb::CsbPort;
use netmap_rs::csb::app::OpenError;
use netmap_rs::doorbell::Doorbell;
use netmap_rs::layout::PortShape;
use netmap_rs::memory::{Memory, MemoryError};
use rustix::fd::AsFd;
use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A switch cannot be served or reached.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Someone answers on the socket.
    #[error("a switch is already running on {}", path.display())]
    Running {
        /// The socket.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error("cannot listen on {}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The event loop failed.
    #[error("cannot serve {}", path.display())]
    Serve {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody answers on the socket.
    #[error("no switch is running on {}", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The conversation broke.
    #[error("the switch on {} did not answer as expected", path.display())]
    Protocol {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The switch said no.
    #[error("the switch on {} refused: {reason}", path.display())]
    Refused {
        /// The socket.
        path: PathBuf,
        /// Its reason.
        reason: String,
    },
    /// The port's memory cannot be mapped.
    #[error("cannot map the port's memory")]
    Memory(#[from] MemoryError),
    /// The port cannot be opened.
    #[error("cannot open the port")]
    Open(#[from] OpenError),
}

const LISTENER: Token = Token(0);

struct Client {
    stream: UnixStream,
    inbox: Inbox,
    port: Option<PortId>,
}

/// Serves a switch on a socket, which is removed when this is dropped.
pub struct Server<'a> {
    switch: &'a Switch,
    shape: PortShape,
    path: PathBuf,
    listener: UnixListener,
    poll: Poll,
    clients: HashMap<Token, Client>,
    next_token: usize,
}

impl<'a> Server<'a> {
    /// Listens on `path`. A socket left by a switch that is gone is taken over; one that answers is not.
    pub fn bind(path: &Path, switch: &'a Switch, shape: PortShape) -> Result<Server<'a>, DaemonError> {
        let failed = |source| DaemonError::Listen { path: path.to_owned(), source };
        if path.exists() {
            if StdUnixStream::connect(path).is_ok() {
                return Err(DaemonError::Running { path: path.to_owned() });
            }
            std::fs::remove_file(path).map_err(failed)?;
        }
        let mut listener = UnixListener::bind(path).map_err(failed)?;
        let poll = Poll::new().map_err(failed)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).map_err(failed)?;
        let path = path.to_owned();
        Ok(Server { switch, shape, path, listener, poll, clients: HashMap::new(), next_token: 1 })
    }

    /// Serves for up to `timeout`, or until something happened. Call it in a loop.
    pub fn serve(&mut self, timeout: Duration) -> Result<(), DaemonError> {
        let mut events = Events::with_capacity(64);
        match self.poll.poll(&mut events, Some(timeout)) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(source) => return Err(DaemonError::Serve { path: self.path.clone(), source }),
        }
        for event in &events {
            if event.token() == LISTENER {
                self.accept();
            } else if !self.hear(event.token()) {
                self.hang_up(event.token());
            }
        }
        Ok(())
    }

    fn accept(&mut self) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            let token = Token(self.next_token);
            self.next_token += 1;
            if self.poll.registry().register(&mut stream, token, Interest::READABLE).is_ok() {
                self.clients.insert(token, Client { stream, inbox: Inbox::default(), port: None });
            }
        }
    }

    fn hang_up(&mut self, token: Token) {
        if let Some(Client { mut stream, port, .. }) = self.clients.remove(&token) {
            let _ = self.poll.registry().deregister(&mut stream);
            if let Some(port) = port {
                let _ = self.switch.remove_port(port);
            }
        }
    }

    /// Reads what a client says and answers; false when it is gone or talks rubbish.
    fn hear(&mut self, token: Token) -> bool {
        let Some(client) = self.clients.get_mut(&token) else { return true };
        loop {
            match client.inbox.read(&client.stream) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return true,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
            loop {
                match client.inbox.next::<Request>() {
                    Ok(None) => break,
                    Ok(Some((request, _))) => {
                        if answer(self.switch, &self.shape, client, request).is_err() {
                            return false;
                        }
                    }
                    Err(e) => {
                        let refusal = Answer::Refused { reason: format!("not a request: {e}") };
                        let _ = wire::send(&client.stream, &refusal, &[]);
                        return false;
                    }
                }
            }
        }
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let tokens: Vec<Token> = self.clients.keys().copied().collect();
        for token in tokens {
            self.hang_up(token);
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

fn answer(switch: &Switch, shape: &PortShape, client: &mut Client, request: Request) -> io::Result<()> {
    let refuse = |client: &Client, reason: String| wire::send(&client.stream, &Answer::Refused { reason }, &[]);
    let (Request::Attach { protocol, .. } | Request::Ports { protocol }) = &request;
    if *protocol != PROTOCOL {
        return refuse(client, format!("it speaks protocol {PROTOCOL}, the request is of protocol {protocol}"));
    }
    match request {
        Request::Ports { .. } => wire::send(&client.stream, &Answer::Ports { ports: switch.ports() }, &[]),
        Request::Attach { port, shape: asked, .. } => {
            if client.port.is_some() {
                return refuse(client, "a connection has one port and this one has its own already".into());
            }
            let name = format!("{}:{port}", switch.name());
            if switch.ports().iter().any(|(_, other, _)| *other == name) {
                return refuse(client, format!("port {name} is in use"));
            }
            match switch.add_host_port(&name, asked.as_ref().unwrap_or(shape), None) {
                Ok(made) => {
                    client.port = Some(made.id);
                    send_port(client, &made)
                }
                Err(e) => refuse(client, sentence(&e)),
            }
        }
    }
}

fn send_port(client: &Client, port: &HostPort) -> io::Result<()> {
    let HostPort { id, memfd, memory, location, doorbell } = port;
    let Some((ring, rung)) = doorbell.eventfds() else {
        return Err(io::Error::other("a host port's doorbell is a pair of eventfds"));
    };
    let answer = Answer::Attached { id: *id, location: *location, len: memory.len() };
    wire::send(&client.stream, &answer, &[memfd.as_fd(), ring, rung])
}

fn sentence(e: &SwitchError) -> String {
    let mut text = e.to_string();
    let mut source = std::error::Error::source(e);
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

/// A port on a switch in another process. It goes away when this is dropped.
#[derive(Debug)]
pub struct RemotePort {
    /// Index on the switch.
    pub id: PortId,
    /// The port.
    pub port: CsbPort,
    stream: StdUnixStream,
}

impl RemotePort {
    /// Whether the switch is still there.
    #[must_use]
    pub fn alive(&self) -> bool {
        let mut byte = [0u8; 1];
        let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
        match rustix::net::recv(&self.stream, &mut byte, flags) {
            Ok((_, n)) => n > 0,
            Err(e) => e == rustix::io::Errno::AGAIN || e == rustix::io::Errno::INTR,
        }
    }
}

/// How long a switch may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

fn ask(path: &Path, request: &Request) -> Result<(Answer, Vec<rustix::fd::OwnedFd>, StdUnixStream), DaemonError> {
    let broken = |source| DaemonError::Protocol { path: path.to_owned(), source };
    let stream = StdUnixStream::connect(path)
        .map_err(|source| DaemonError::NotRunning { path: path.to_owned(), source })?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(broken)?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT)).map_err(broken)?;
    wire::send(&stream, request, &[]).map_err(broken)?;
    let mut inbox = Inbox::default();
    loop {
        if inbox.read(&stream).map_err(broken)? == 0 {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        }
        if let Some((answer, fds)) = inbox.next::<Answer>().map_err(broken)? {
            return Ok((answer, fds, stream));
        }
    }
}

/// Attaches port `port` to the switch that listens on `path`.
pub fn attach(path: &Path, port: &str, shape: Option<PortShape>) -> Result<RemotePort, DaemonError> {
    let request = Request::Attach { protocol: PROTOCOL, port: port.to_owned(), shape };
    let (answer, fds, stream) = ask(path, &request)?;
    let broken =
        |what: &str| DaemonError::Protocol { path: path.to_owned(), source: io::Error::other(what.to_owned()) };
    match answer {
        Answer::Attached { id, location, len } => {
            let [memfd, ring, rung] =
                <[_; wire::ATTACH_FDS]>::try_from(fds).map_err(|_| broken("the port's descriptors are missing"))?;
            let memory = Memory::map_sealed(memfd.as_fd(), len)?;
            let port = CsbPort::open(&memory, &location, Doorbell::from_eventfds(ring, rung))?;
            Ok(RemotePort { id, port, stream })
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
