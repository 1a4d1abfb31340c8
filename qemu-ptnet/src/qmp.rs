//! QEMU's machine protocol: the handshake, commands with deadlines, events.
//!
//! One JSON object a line (QEMU's `docs/interop/qmp-spec`). The peer is a process that may die, hang or be no QEMU
//! at all, so every line is checked, every wait ends, and a reply that comes too late is recognised by its number
//! and dropped. Deliberately absent: typed commands; callers name the few they need.

use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// No line of QEMU's is longer, by far.
const LINE_LIMIT_BYTES: usize = 4 << 20;
/// How many events wait for somebody to ask; older ones are dropped.
const EVENT_LIMIT: usize = 256;

/// A QMP connection, past its handshake.
#[derive(Debug)]
pub struct Qmp {
    stream: UnixStream,
    input: Vec<u8>,
    events: VecDeque<Event>,
    last_id: u64,
}

/// Something QEMU reported unasked, such as `SHUTDOWN`, `RESET` or `GUEST_PANICKED`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Event {
    /// Its name.
    #[serde(rename = "event")]
    pub name: String,
    /// What goes with it; null if nothing does.
    #[serde(default)]
    pub data: Value,
}

impl Qmp {
    /// Reads the greeting and leaves the negotiation mode, within `timeout`.
    pub fn connect(stream: UnixStream, timeout: Duration) -> Result<Self, QmpError> {
        let end = Instant::now() + timeout;
        let mut qmp = Self { stream, input: Vec::new(), events: VecDeque::new(), last_id: 0 };
        let greeting = qmp.message("greeting", end)?;
        if greeting.get("QMP").is_none() {
            return Err(QmpError::NotQmp { line: excerpt(greeting.to_string().as_bytes()) });
        }
        qmp.execute("qmp_capabilities", None, end.saturating_duration_since(Instant::now()))?;
        Ok(qmp)
    }

    /// Executes `command` and returns what it returned, within `timeout`.
    pub fn execute(
        &mut self,
        command: &'static str,
        arguments: Option<Value>,
        timeout: Duration,
    ) -> Result<Value, QmpError> {
        let end = Instant::now() + timeout;
        self.last_id += 1;
        let id = self.last_id;
        let mut request = json!({ "execute": command, "id": id });
        if let Some(arguments) = arguments {
            request["arguments"] = arguments;
        }
        self.send(command, &request, end)?;
        loop {
            let mut message = self.message(command, end)?;
            if message.get("id").and_then(Value::as_u64) != Some(id) {
                // The reply to a command whose caller gave up, or an error about a line that QEMU could not read.
                // We send no such line, so it is not ours.
                continue;
            }
            if let Some(returned) = message.get_mut("return") {
                return Ok(returned.take());
            }
            let error = &message["error"];
            let text = |key: &str| error[key].as_str().unwrap_or("unknown").to_owned();
            return Err(QmpError::Refused { command, class: text("class"), reason: text("desc") });
        }
    }

    /// The next event, waiting for one at most `timeout`; `None` if none came.
    pub fn event(&mut self, timeout: Duration) -> Result<Option<Event>, QmpError> {
        let end = Instant::now() + timeout;
        while self.events.is_empty() {
            match self.line("event", end) {
                // A late reply is of no use to anybody.
                Ok(line) => drop(self.sort(&line)?),
                Err(QmpError::Timeout { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(self.events.pop_front())
    }

    /// The next message that is no event.
    fn message(&mut self, waiting_for: &'static str, end: Instant) -> Result<Value, QmpError> {
        loop {
            let line = self.line(waiting_for, end)?;
            if let Some(message) = self.sort(&line)? {
                return Ok(message);
            }
        }
    }

    /// Parses a line; an event goes to the queue.
    fn sort(&mut self, line: &[u8]) -> Result<Option<Value>, QmpError> {
        let not_qmp = || QmpError::NotQmp { line: excerpt(line) };
        let message: Value = serde_json::from_slice(line).map_err(|_| not_qmp())?;
        if !message.is_object() {
            return Err(not_qmp());
        }
        if message.get("event").is_none() {
            return Ok(Some(message));
        }
        let event = Event::deserialize(message).map_err(|_| not_qmp())?;
        if self.events.len() == EVENT_LIMIT {
            self.events.pop_front();
        }
        self.events.push_back(event);
        Ok(None)
    }

    fn line(&mut self, waiting_for: &'static str, end: Instant) -> Result<Vec<u8>, QmpError> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.input[searched..].iter().position(|&b| b == b'\n') {
                let line: Vec<u8> = self.input.drain(..=searched + at).collect();
                if line.trim_ascii().is_empty() {
                    searched = 0;
                    continue;
                }
                return Ok(line);
            }
            searched = self.input.len();
            if searched > LINE_LIMIT_BYTES {
                return Err(QmpError::NotQmp { line: excerpt(&self.input) });
            }
            let mut buffer = [0; 4096];
            self.stream.set_read_timeout(Some(left(waiting_for, end)?)).map_err(QmpError::Io)?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(QmpError::Closed { waiting_for }),
                Ok(n) => self.input.extend_from_slice(&buffer[..n]),
                Err(e) if retry(&e) => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(QmpError::Closed { waiting_for });
                }
                Err(e) => return Err(QmpError::Io(e)),
            }
        }
    }

    fn send(&mut self, command: &'static str, request: &Value, end: Instant) -> Result<(), QmpError> {
        let mut line = request.to_string().into_bytes();
        line.push(b'\n');
        let mut rest = &line[..];
        while !rest.is_empty() {
            self.stream.set_write_timeout(Some(left(command, end)?)).map_err(QmpError::Io)?;
            match self.stream.write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(e) if retry(&e) => {}
                Err(e) if matches!(e.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                    return Err(QmpError::Closed { waiting_for: command });
                }
                Err(e) => return Err(QmpError::Io(e)),
            }
        }
        Ok(())
    }
}

/// The time left, never zero, which a socket would take for "no timeout".
fn left(waiting_for: &'static str, end: Instant) -> Result<Duration, QmpError> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(QmpError::Timeout { waiting_for })
    } else {
        Ok(left.max(Duration::from_micros(1)))
    }
}

fn retry(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

fn excerpt(line: &[u8]) -> String {
    String::from_utf8_lossy(&line[..line.len().min(120)]).trim_end().to_owned()
}

/// What can go wrong on a QMP connection.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// No answer in time.
    #[error("QEMU did not answer on its control socket in time (waiting for {waiting_for})")]
    Timeout {
        /// The command, or what else was awaited.
        waiting_for: &'static str,
    },
    /// The other end is gone.
    #[error("QEMU closed its control socket (waiting for {waiting_for})")]
    Closed {
        /// The command, or what else was awaited.
        waiting_for: &'static str,
    },
    /// What came is not QMP.
    #[error("the control socket's other end does not speak QMP: {line:?}")]
    NotQmp {
        /// The beginning of what came.
        line: String,
    },
    /// QEMU refused a command.
    #[error("QEMU refused {command}: {reason} ({class})")]
    Refused {
        /// The command.
        command: &'static str,
        /// QEMU's error class.
        class: String,
        /// QEMU's description.
        reason: String,
    },
    /// The socket failed.
    #[error("QEMU's control socket failed")]
    Io(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::thread::{JoinHandle, spawn};

    const GREETING: &[u8] = b"{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n";
    const LONG: Duration = Duration::from_secs(10);
    const SHORT: Duration = Duration::from_millis(50);

    /// A peer that greets and then answers each request line with what `answer` makes of its id.
    fn peer(
        answer: impl Fn(&str, u64) -> Vec<Vec<u8>> + Send + 'static,
    ) -> (Result<Qmp, QmpError>, JoinHandle<()>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let serve = spawn(move || {
            theirs.write_all(GREETING).unwrap();
            let requests = BufReader::new(theirs.try_clone().unwrap());
            for line in requests.lines() {
                let request: Value = serde_json::from_str(&line.unwrap()).unwrap();
                for piece in answer(request["execute"].as_str().unwrap(), request["id"].as_u64().unwrap()) {
                    if theirs.write_all(&piece).is_err() {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        });
        (Qmp::connect(ours, LONG), serve)
    }

    fn ok(id: u64) -> Vec<u8> {
        format!("{{\"return\": {{}}, \"id\": {id}}}\r\n").into_bytes()
    }

    #[test]
    fn replies_and_events_arrive_in_pieces() {
        let (qmp, serve) = peer(|command, id| {
            if command == "qmp_capabilities" {
                return vec![ok(id)];
            }
            let text = format!(
                "{{\"event\": \"RESET\", \"data\": {{\"guest\": true}}}}\r\n\r\n{{\"return\": [7], \"id\": {id}}}\r\n\
                 {{\"event\": \"SHUTDOWN\"}}\r\n"
            );
            text.as_bytes().chunks(5).map(<[u8]>::to_vec).collect()
        });
        let mut qmp = qmp.unwrap();
        assert_eq!(qmp.execute("query-cpus-fast", None, LONG).unwrap(), json!([7]));
        let names = [(); 2].map(|()| qmp.event(LONG).unwrap().unwrap());
        assert_eq!(names[0], Event { name: "RESET".into(), data: json!({ "guest": true }) });
        assert_eq!(names[1], Event { name: "SHUTDOWN".into(), data: Value::Null });
        assert_eq!(qmp.event(SHORT).unwrap(), None);
        drop(qmp);
        serve.join().unwrap();
    }

    #[test]
    fn a_refusal_says_why() {
        let (qmp, serve) = peer(|command, id| match command {
            "qmp_capabilities" => vec![ok(id)],
            _ => vec![
                format!(
                    "{{\"error\": {{\"class\": \"CommandNotFound\", \"desc\": \"no such\"}}, \"id\": {id}}}\n"
                )
                .into(),
            ],
        });
        let mut qmp = qmp.unwrap();
        let error = qmp.execute("frobnicate", None, LONG).unwrap_err();
        assert_eq!(error.to_string(), "QEMU refused frobnicate: no such (CommandNotFound)");
        drop(qmp);
        serve.join().unwrap();
    }

    #[test]
    fn a_late_reply_is_not_taken_for_the_next_one() {
        let (qmp, serve) = peer(|command, id| match command {
            "slow" => vec![],
            "quick" => vec![format!("{{\"return\": \"late\", \"id\": {}}}\n", id - 1).into(), ok(id)],
            _ => vec![ok(id)],
        });
        let mut qmp = qmp.unwrap();
        let late = qmp.execute("slow", None, SHORT).unwrap_err();
        assert!(matches!(late, QmpError::Timeout { waiting_for: "slow" }), "{late}");
        assert_eq!(qmp.execute("quick", None, LONG).unwrap(), json!({}));
        drop(qmp);
        serve.join().unwrap();
    }

    #[test]
    fn whatever_is_no_qmp_is_refused() {
        for said in
            [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"{}\n", b"[1]\n", b"\xff\xfe\n", b"{\"event\": 3}\n"]
        {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(said).unwrap();
            let error = Qmp::connect(ours, LONG).unwrap_err();
            assert!(matches!(error, QmpError::NotQmp { .. }), "{said:?}: {error}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let babble = spawn(move || while theirs.write_all(&[b'x'; 65536]).is_ok() {});
        assert!(matches!(Qmp::connect(ours, LONG).unwrap_err(), QmpError::NotQmp { .. }));
        babble.join().unwrap();
    }

    #[test]
    fn silence_and_hangups_end_the_wait() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let error = Qmp::connect(ours, SHORT).unwrap_err();
        assert!(matches!(error, QmpError::Timeout { waiting_for: "greeting" }), "{error}");
        drop(theirs);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"{\"QMP\": ").unwrap();
        drop(theirs);
        let error = Qmp::connect(ours, LONG).unwrap_err();
        assert!(matches!(error, QmpError::Closed { waiting_for: "greeting" }), "{error}");
    }

    #[test]
    fn events_nobody_asks_for_are_bounded() {
        let (qmp, serve) = peer(|command, id| {
            let mut text = ok(id);
            if command != "qmp_capabilities" {
                for n in 0..2 * EVENT_LIMIT {
                    text.splice(0..0, format!("{{\"event\": \"E{n}\"}}\n").into_bytes());
                }
            }
            vec![text]
        });
        let mut qmp = qmp.unwrap();
        qmp.execute("storm", None, LONG).unwrap();
        assert_eq!(qmp.events.len(), EVENT_LIMIT);
        assert_eq!(qmp.event(SHORT).unwrap().unwrap().name, format!("E{}", EVENT_LIMIT - 1));
        drop(qmp);
        serve.join().unwrap();
    }
}
