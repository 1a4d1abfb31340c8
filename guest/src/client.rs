//! The host's end of a guest's control channel.
//!
//! Every exchange has a deadline. A guest that says something out of turn, or rubbish, is a fault of the guest.

use crate::wire::{self, Event, FromGuest, Hello, PROTOCOL, Reply, Request};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// What went wrong with a guest.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It did not answer in time.
    #[error("the guest did not answer within {seconds:.0} s ({waiting_for})")]
    Timeout {
        /// What was waited for.
        waiting_for: &'static str,
        /// The deadline.
        seconds: f64,
    },
    /// The channel closed: the guest or its QEMU is gone.
    #[error("the guest is gone ({waiting_for})")]
    Gone {
        /// What was waited for.
        waiting_for: &'static str,
    },
    /// The channel failed, or carried rubbish.
    #[error("the guest's control channel failed ({waiting_for})")]
    Channel {
        /// What was waited for.
        waiting_for: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It reported a fault.
    #[error("the guest reported a fault: {message}")]
    Fault {
        /// In its own words.
        message: String,
    },
    /// It could not do what it was asked.
    #[error("the guest could not {what}: {message}")]
    Failed {
        /// What it was asked.
        what: &'static str,
        /// In its own words.
        message: String,
    },
    /// It is another version.
    #[error("the guest speaks protocol {theirs}, this program {PROTOCOL}: its image is stale")]
    Version {
        /// The guest's.
        theirs: u32,
    },
    /// It answered something else.
    #[error("the guest answered out of turn when asked to {what}")]
    OutOfTurn {
        /// What it was asked.
        what: &'static str,
    },
}

/// The channel to one guest.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Takes the host's end of the channel.
    #[must_use]
    pub fn new(stream: UnixStream) -> Client {
        Client { stream, buffer: Vec::new() }
    }

    /// Waits for the guest to come up. `alive` is asked now and then, so that a dead QEMU is noticed at once.
    pub fn hello(
        &mut self,
        deadline: Duration,
        alive: &mut dyn FnMut() -> bool,
    ) -> Result<Hello, ClientError> {
        match self.next("hello", deadline, alive)? {
            FromGuest::Event(Event::Hello(hello)) if hello.protocol == PROTOCOL => Ok(hello),
            FromGuest::Event(Event::Hello(hello)) => Err(ClientError::Version { theirs: hello.protocol }),
            _ => Err(ClientError::OutOfTurn { what: "say hello" }),
        }
    }

    /// Sends a request.
    pub fn send(&mut self, request: &Request, deadline: Duration) -> Result<(), ClientError> {
        let failed = |source| ClientError::Channel { waiting_for: "request", source };
        let bytes = wire::encode(request).map_err(failed)?;
        self.stream.set_write_timeout(Some(deadline)).map_err(failed)?;
        match self.stream.write_all(&bytes) {
            Ok(()) => Ok(()),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Err(ClientError::Timeout { waiting_for: "request", seconds: deadline.as_secs_f64() })
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                Err(ClientError::Gone { waiting_for: "request" })
            }
            Err(e) => Err(failed(e)),
        }
    }

    /// Waits for the answer to a request; `what` it was asked, for the error.
    pub fn answer(
        &mut self,
        what: &'static str,
        deadline: Duration,
        alive: &mut dyn FnMut() -> bool,
    ) -> Result<Reply, ClientError> {
        match self.next(what, deadline, alive)? {
            FromGuest::Reply(Reply::Failed { message }) => Err(ClientError::Failed { what, message }),
            FromGuest::Reply(reply) => Ok(reply),
            FromGuest::Event(_) => Err(ClientError::OutOfTurn { what }),
        }
    }

    /// Sends a request and waits for its answer.
    pub fn ask(
        &mut self,
        what: &'static str,
        request: &Request,
        deadline: Duration,
        alive: &mut dyn FnMut() -> bool,
    ) -> Result<Reply, ClientError> {
        self.send(request, deadline)?;
        self.answer(what, deadline, alive)
    }

    /// Waits for the answer to a request that is preceded by events, for each of which `hear` is called. The
    /// deadline is for each message, not for all of them.
    pub fn answer_after_events(
        &mut self,
        what: &'static str,
        silence: Duration,
        alive: &mut dyn FnMut() -> bool,
        hear: &mut dyn FnMut(Event) -> io::Result<()>,
    ) -> Result<Reply, ClientError> {
        loop {
            match self.next(what, silence, alive)? {
                FromGuest::Reply(Reply::Failed { message }) => {
                    return Err(ClientError::Failed { what, message });
                }
                FromGuest::Reply(reply) => return Ok(reply),
                FromGuest::Event(Event::Hello(_)) => return Err(ClientError::OutOfTurn { what }),
                FromGuest::Event(event) => {
                    hear(event).map_err(|source| ClientError::Channel { waiting_for: what, source })?;
                }
            }
        }
    }

    /// [`ask`](Client::ask) for something that is answered with [`Reply::Done`].
    pub fn order(
        &mut self,
        what: &'static str,
        request: &Request,
        deadline: Duration,
        alive: &mut dyn FnMut() -> bool,
    ) -> Result<(), ClientError> {
        match self.ask(what, request, deadline, alive)? {
            Reply::Done => Ok(()),
            _ => Err(ClientError::OutOfTurn { what }),
        }
    }

    fn next(
        &mut self,
        waiting_for: &'static str,
        deadline: Duration,
        alive: &mut dyn FnMut() -> bool,
    ) -> Result<FromGuest, ClientError> {
        const LOOK: Duration = Duration::from_millis(100);
        let failed = |source| ClientError::Channel { waiting_for, source };
        let end = Instant::now() + deadline;
        let mut chunk = [0u8; 16 * 1024];
        loop {
            match wire::decode::<FromGuest>(&mut self.buffer).map_err(failed)? {
                Some(FromGuest::Event(Event::Fault { message })) => {
                    return Err(ClientError::Fault { message });
                }
                Some(message) => return Ok(message),
                None => {}
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ClientError::Timeout { waiting_for, seconds: deadline.as_secs_f64() });
            }
            self.stream.set_read_timeout(Some(left.min(LOOK))).map_err(failed)?;
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ClientError::Gone { waiting_for }),
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
                Err(e) => match e.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut if alive() => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        return Err(ClientError::Gone { waiting_for });
                    }
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::ConnectionReset => return Err(ClientError::Gone { waiting_for }),
                    _ => return Err(failed(e)),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(300);
    const LONG: Duration = Duration::from_secs(20);

    fn pair() -> (Client, UnixStream) {
        let (host, guest) = UnixStream::pair().unwrap();
        (Client::new(host), guest)
    }

    #[test]
    fn a_silent_guest_is_a_timeout_and_a_closed_channel_is_not() {
        let (mut client, guest) = pair();
        let error = client.hello(SHORT, &mut || true).unwrap_err();
        assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
        let error = client.hello(LONG, &mut || false).unwrap_err();
        assert!(matches!(error, ClientError::Gone { .. }), "{error}");
        drop(guest);
        let error = client.hello(LONG, &mut || true).unwrap_err();
        assert!(matches!(error, ClientError::Gone { .. }), "{error}");
    }

    #[test]
    fn faults_failures_and_rubbish_are_told_apart() {
        let (mut client, mut guest) = pair();
        guest.write_all(&wire::encode(&Event::Fault { message: "out of memory".into() }).unwrap()).unwrap();
        let error = client.answer("report", LONG, &mut || true).unwrap_err();
        assert_eq!(error.to_string(), "the guest reported a fault: out of memory");
        guest.write_all(&wire::encode(&Reply::Failed { message: "no port 7".into() }).unwrap()).unwrap();
        let error = client.answer("open a port", LONG, &mut || true).unwrap_err();
        assert_eq!(error.to_string(), "the guest could not open a port: no port 7");
        guest.write_all(&wire::encode(&Reply::Done).unwrap()).unwrap();
        let error = client.hello(LONG, &mut || true).unwrap_err();
        assert!(matches!(error, ClientError::OutOfTurn { .. }), "{error}");
        guest.write_all(b"Kernel panic - not syncing").unwrap();
        let error = client.answer("report", LONG, &mut || true).unwrap_err();
        assert!(matches!(error, ClientError::Channel { .. }), "{error}");
    }

    #[test]
    fn a_stale_image_is_named() {
        let (mut client, mut guest) = pair();
        let hello = Hello {
            protocol: PROTOCOL + 1,
            version: String::new(),
            kernel: String::new(),
            system: String::new(),
            cpus: 1,
            memory_kib: 0,
            hypervisor: String::new(),
            clocksource: String::new(),
            uptime_ms: 0,
            counters: wire::GuestExtent { gpa: 0, len: 0 },
        };
        guest.write_all(&wire::encode(&Event::Hello(hello)).unwrap()).unwrap();
        let error = client.hello(LONG, &mut || true).unwrap_err().to_string();
        assert!(error.contains("its image is stale"), "{error}");
    }
}
