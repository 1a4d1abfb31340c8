//! What a guest prints on its serial console, and QEMU on its standard error: the last of it in memory, all of it
//! in a file if one is asked for.

use rustix::event::{PollFd, PollFlags, poll};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much of a log stays in memory, in bytes.
pub const TAIL_BYTES: usize = 64 << 10;

/// A guest's two logs, filled by a thread of their own until both ends are closed.
#[derive(Debug)]
pub struct Logs {
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct State {
    tails: [VecDeque<u8>; 2],
    ended: bool,
}

/// Which of the two logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The guest's serial console.
    Console,
    /// QEMU's standard output and error.
    Stderr,
}

impl Logs {
    /// Reads `console` and `stderr` to their ends in a new thread. The console also goes to `copy`; a copy that
    /// cannot be written is given up, the tail goes on.
    pub fn collect(console: OwnedFd, stderr: OwnedFd, copy: Option<File>) -> io::Result<Arc<Self>> {
        let logs = Arc::new(Self { state: Mutex::default(), grown: Condvar::new() });
        let ours = Arc::clone(&logs);
        std::thread::Builder::new().name("console".into()).spawn(move || {
            ours.pump([console, stderr], copy);
            ours.lock().ended = true;
            ours.grown.notify_all();
        })?;
        Ok(logs)
    }

    /// The last `bytes` of a log, from the beginning of a line where there is one, without what a terminal would obey.
    #[must_use]
    pub fn tail(&self, source: Source, bytes: usize) -> String {
        let state = self.lock();
        let tail = &state.tails[source as usize];
        let skip = tail.len().saturating_sub(bytes);
        let mut last: Vec<u8> = tail.iter().skip(skip).copied().collect();
        if skip > 0
            && let Some(end) = last.iter().position(|&b| b == b'\n')
        {
            last.drain(..=end);
        }
        without_escapes(&last)
    }

    /// Waits until the console's last [`TAIL_BYTES`] hold `text`, at most `timeout`; whether they do.
    #[must_use]
    pub fn wait_for(&self, text: &str, timeout: Duration) -> bool {
        let end = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            if contains(state.tails[Source::Console as usize].make_contiguous(), text.as_bytes()) {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                return false;
            }
            state = self.grown.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until both ends are closed and everything is read, at most `timeout`; whether it is.
    #[must_use]
    pub fn wait_end(&self, timeout: Duration) -> bool {
        let waited = self.grown.wait_timeout_while(self.lock(), timeout, |state| !state.ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    fn pump(&self, ends: [OwnedFd; 2], mut copy: Option<File>) {
        let mut open = ends.map(|fd| Some(File::from(fd)));
        let mut buffer = [0; 4096];
        while open.iter().any(Option::is_some) {
            let mut fds: Vec<_> = open
                .iter()
                .flatten()
                .map(|file| PollFd::from_borrowed_fd(file.as_fd(), PollFlags::IN))
                .collect();
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
            let mut ready = fds.iter().map(|fd| !fd.revents().is_empty()).collect::<Vec<_>>().into_iter();
            for (source, end) in open.iter_mut().enumerate() {
                let Some(file) = end else { continue };
                if ready.next() != Some(true) {
                    continue;
                }
                match file.read(&mut buffer) {
                    Ok(0) => *end = None,
                    Ok(n) => {
                        if source == Source::Console as usize
                            && copy.as_mut().is_some_and(|copy| copy.write_all(&buffer[..n]).is_err())
                        {
                            copy = None;
                        }
                        self.append(source, &buffer[..n]);
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    // A peer that died with unread input: what was to be read has been.
                    Err(_) => *end = None,
                }
            }
        }
    }

    fn append(&self, source: usize, bytes: &[u8]) {
        let mut state = self.lock();
        let tail = &mut state.tails[source];
        tail.extend(bytes);
        let excess = tail.len().saturating_sub(TAIL_BYTES);
        tail.drain(..excess);
        drop(state);
        self.grown.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || text.windows(wanted.len()).any(|window| window == wanted)
}

/// A log as text, without colours and whatever else a terminal would obey; lines and tabs stay.
#[must_use]
pub fn without_escapes(log: &[u8]) -> String {
    let columns = log.split(|&byte| byte == b'\t').map(strip_ansi_escapes::strip);
    columns.map(|column| String::from_utf8_lossy(&column).into_owned()).collect::<Vec<_>>().join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    const LONG: Duration = Duration::from_secs(10);

    fn logs(copy: Option<File>) -> (UnixStream, UnixStream, Arc<Logs>) {
        let (console, ours) = UnixStream::pair().unwrap();
        let (stderr, errors) = UnixStream::pair().unwrap();
        (console, stderr, Logs::collect(ours.into(), errors.into(), copy).unwrap())
    }

    #[test]
    fn both_logs_are_kept_apart_and_ends_are_seen() {
        let (mut console, mut stderr, logs) = logs(None);
        console.write_all(b"one\r\ntwo").unwrap();
        stderr.write_all(b"bad option").unwrap();
        assert!(logs.wait_for("e\r\ntw", LONG), "a line break does not hide it");
        assert!(!logs.wait_for("three", Duration::from_millis(20)));
        assert!(!logs.wait_end(Duration::from_millis(20)));
        drop((console, stderr));
        assert!(logs.wait_end(LONG));
        assert_eq!(logs.tail(Source::Console, 100), "one\ntwo");
        assert_eq!(logs.tail(Source::Console, 6), "two");
        assert_eq!(logs.tail(Source::Stderr, 100), "bad option");
        let start = Instant::now();
        assert!(!logs.wait_for("three", LONG));
        assert!(start.elapsed() < LONG, "a log that ended is not waited for");
    }

    #[test]
    fn a_terminal_obeys_nothing_of_what_a_guest_wrote() {
        let (mut console, stderr, logs) = logs(None);
        // As SeaBIOS begins: reset, no line wrapping, clear the screen.
        console
            .write_all(b"\x1bc\x1b[?7l\x1b[2J\x1b[0mSeaBIOS\r\n\x1b]0;title\x07\xff\x00Boot\ting")
            .unwrap();
        drop((console, stderr));
        assert!(logs.wait_end(LONG));
        assert_eq!(logs.tail(Source::Console, 100), "SeaBIOS\n\u{fffd}Boot\ting");
    }

    #[test]
    fn a_chatty_guest_costs_no_more_than_the_tail() {
        let copy = tempfile::NamedTempFile::new().unwrap();
        let (mut console, _stderr, logs) = logs(Some(copy.reopen().unwrap()));
        let line = [b'x'; 99];
        for _ in 0..2000 {
            console.write_all(&line).unwrap();
            console.write_all(b"\n").unwrap();
        }
        console.write_all(b"the end").unwrap();
        assert!(logs.wait_for("the end", LONG));
        assert_eq!(logs.lock().tails[0].len(), TAIL_BYTES);
        assert!(logs.tail(Source::Console, 500).starts_with("xxx"));
        assert_eq!(std::fs::metadata(copy.path()).unwrap().len(), 2000 * 100 + 7);
    }

    #[test]
    fn an_unwritable_copy_does_not_stop_the_tail() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (mut console, _stderr, logs) = logs(Some(full));
        console.write_all(b"still read").unwrap();
        assert!(logs.wait_for("still read", LONG));
    }
}
