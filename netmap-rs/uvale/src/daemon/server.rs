//! The end that has the switch.

use super::DaemonError;
use super::client::connect;
use crate::switch::{PortId, RemoteParts, Switch, SwitchError};
use crate::wire::{self, Answer, Inbox, PROTOCOL, Request};
use mio::net::{UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Token};
use netmap_rs::layout::PortShape;
use rustix::fd::AsFd;
use std::collections::HashMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

const LISTENER: Token = Token(0);
/// Most connections at a time: a port each and some that ask.
const MAX_CLIENTS: usize = 512;
/// Most reads from one client before the others have their turn.
const MAX_READS: usize = 16;

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    inbox: Inbox,
    port: Option<PortId>,
}

/// Serves a switch on a socket, which is removed when this is dropped.
#[derive(Debug)]
pub struct Server<'a> {
    switch: &'a Switch,
    shape: PortShape,
    path: PathBuf,
    /// Device and inode of the socket, so that only ours is removed.
    identity: (u64, u64),
    listener: UnixListener,
    /// There may be connections that were not accepted for want of descriptors.
    backlog: bool,
    poll: Poll,
    clients: HashMap<Token, Client>,
    next_token: usize,
}

/// What became of a client that was heard.
enum Heard {
    All,
    /// There may be more to hear.
    Some,
    Gone,
}

impl<'a> Server<'a> {
    /// Listens on `path`. A socket left by a switch that is gone is taken over; one that answers is not, and
    /// neither is a file that is no socket.
    ///
    /// `shape` is that of a port whose client does not ask for one.
    pub fn bind(path: &Path, switch: &'a Switch, shape: PortShape) -> Result<Server<'a>, DaemonError> {
        let failed = |source| DaemonError::Listen { path: path.to_owned(), source };
        match fs::symlink_metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed(e)),
            Ok(found) if !found.file_type().is_socket() => {
                let message = "there is a file in its place that is not a socket";
                return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, message)));
            }
            Ok(_) => match connect(path) {
                Ok(_) => return Err(DaemonError::Running { path: path.to_owned() }),
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(failed)?
                }
                Err(e) => return Err(failed(e)),
            },
        }
        let mut listener = UnixListener::bind(path).map_err(failed)?;
        let identity = identity(path).map_err(failed)?;
        let poll = Poll::new().map_err(failed)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).map_err(failed)?;
        let path = path.to_owned();
        let clients = HashMap::new();
        Ok(Server { switch, shape, path, identity, listener, backlog: false, poll, clients, next_token: 1 })
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
            let token = event.token();
            if token == LISTENER {
                self.backlog = true;
                continue;
            }
            match self.hear(token) {
                Heard::All => {}
                Heard::Some => self.hear_again(token),
                Heard::Gone => self.hang_up(token),
            }
        }
        if self.backlog {
            self.accept();
        }
        Ok(())
    }

    /// Accepts who waits. What is left for want of descriptors is tried again at the next event or timeout.
    fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                Ok((mut stream, _)) => {
                    // Closed at once if there are too many: better than a connection that is never served.
                    let token = Token(self.next_token);
                    let registry = self.poll.registry();
                    if self.clients.len() < MAX_CLIENTS
                        && registry.register(&mut stream, token, Interest::READABLE).is_ok()
                    {
                        self.next_token += 1;
                        self.clients.insert(token, Client { stream, inbox: Inbox::default(), port: None });
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.backlog = e.kind() != io::ErrorKind::WouldBlock;
                    return;
                }
            }
        }
    }

    /// Has an event for what a client has said and was not read yet.
    fn hear_again(&mut self, token: Token) {
        let Some(client) = self.clients.get_mut(&token) else { return };
        if self.poll.registry().reregister(&mut client.stream, token, Interest::READABLE).is_err() {
            self.hang_up(token);
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

    /// Reads what a client says and answers.
    fn hear(&mut self, token: Token) -> Heard {
        let Some(client) = self.clients.get_mut(&token) else { return Heard::All };
        for _ in 0..MAX_READS {
            match client.inbox.read(&client.stream) {
                Ok(0) => return Heard::Gone,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Heard::All,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Heard::Gone,
            }
            loop {
                match client.inbox.take_message::<Request>() {
                    Ok(None) => break,
                    Ok(Some((request, _))) => {
                        if answer(self.switch, &self.shape, client, request).is_err() {
                            return Heard::Gone;
                        }
                    }
                    Err(e) => {
                        let refusal = Answer::Refused { reason: format!("not a request: {e}") };
                        let _ = wire::send(&client.stream, &refusal, &[]);
                        return Heard::Gone;
                    }
                }
            }
        }
        Heard::Some
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let tokens: Vec<Token> = self.clients.keys().copied().collect();
        for token in tokens {
            self.hang_up(token);
        }
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|m| (m.dev(), m.ino()))
}

/// A name that can stand in a list: the rest of a VALE port name after its colon.
fn proper(name: &str) -> bool {
    (1..=wire::MAX_NAME).contains(&name.len()) && name.chars().all(|c| c.is_ascii_graphic() && c != ':')
}

fn answer(switch: &Switch, shape: &PortShape, client: &mut Client, request: Request) -> io::Result<()> {
    let refuse =
        |client: &Client, reason: String| wire::send(&client.stream, &Answer::Refused { reason }, &[]);
    let (Request::Attach { protocol, .. } | Request::Ports { protocol }) = &request;
    if *protocol != PROTOCOL {
        return refuse(
            client,
            format!("it speaks protocol {PROTOCOL}, the request is of protocol {protocol}"),
        );
    }
    match request {
        Request::Ports { .. } => wire::send(&client.stream, &Answer::Ports { ports: switch.ports() }, &[]),
        Request::Attach { port, shape: asked, .. } => {
            if client.port.is_some() {
                return refuse(client, "a connection has one port and this one has its own already".into());
            }
            if !proper(&port) {
                let reason =
                    format!("a port's name is 1 to {} printable characters without ':'", wire::MAX_NAME);
                return refuse(client, reason);
            }
            let name = format!("{}:{port}", switch.name());
            if switch.ports().iter().any(|(_, other, _)| *other == name) {
                return refuse(client, format!("port {name} is in use"));
            }
            match switch.add_remote_port(&name, asked.as_ref().unwrap_or(shape)) {
                Ok(made) => {
                    client.port = Some(made.id);
                    send_port(client, &made)
                }
                Err(e) => refuse(client, sentence(&e)),
            }
        }
    }
}

fn send_port(client: &Client, port: &RemoteParts) -> io::Result<()> {
    let RemoteParts { id, memfd, len, location, doorbell } = port;
    let answer = Answer::Attached { id: *id, location: *location, len: *len };
    wire::send(&client.stream, &answer, &[memfd.as_fd(), doorbell.as_fd()])
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
