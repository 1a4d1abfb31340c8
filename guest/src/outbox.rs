//! Files on their way out of a guest that plays the host: those of a command's working directory that were not
//! carried in, or that it has changed since.
//!
//! They are sent when the command has ended, and before that whenever it asks: a command that does things after
//! which there may be no machine any more calls [`hand_over`] first, and what it has written until then is safe.
//! Deliberately absent: where files go on the host.

use crate::wire::{Event, Stream};
use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The variable that names the socket on which a command asks.
pub const SOCKET_VAR: &str = "VALE_BENCH_OUTBOX";
/// Where that socket is.
const SOCKET: &str = "/run/vale-bench-outbox";
/// Most bytes of a file in one message, before encoding.
const CHUNK: usize = 256 * 1024;
/// Most bytes that are copied out, all files together.
const MOST_BYTES: u64 = 512 << 20;
/// How long files may take to leave. Under TCG a megabyte takes some ten milliseconds.
const DEADLINE: Duration = Duration::from_secs(10);

/// Something to say to the host.
pub(crate) type Say<'a> = &'a mut dyn FnMut(&Event) -> io::Result<()>;

/// What tells whether a file was changed: its inode, size and time of modification.
type Mark = (u64, u64, i64, i64);

/// Has the machine that this program runs in send its files out, and returns when they are gone. Does nothing
/// where there is no such machine.
pub fn hand_over() -> io::Result<()> {
    match env::var_os(SOCKET_VAR) {
        Some(path) => ask(Path::new(&path)),
        None => Ok(()),
    }
}

fn ask(path: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    match stream.read(&mut [0])? {
        0 => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the machine did not send its files out")),
        _ => Ok(()),
    }
}

/// The files of one folder, and which of them the host has.
pub(crate) struct Outbox {
    folder: PathBuf,
    listener: UnixListener,
    known: BTreeMap<PathBuf, Mark>,
    sent_bytes: u64,
}

impl Outbox {
    /// What `folder` holds by now was carried in.
    pub(crate) fn open(folder: &Path) -> io::Result<Outbox> {
        Outbox::at(folder, Path::new(SOCKET))
    }

    fn at(folder: &Path, socket: &Path) -> io::Result<Outbox> {
        match fs::remove_file(socket) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = UnixListener::bind(socket)?;
        listener.set_nonblocking(true)?;
        Ok(Outbox { folder: folder.to_owned(), listener, known: listing(folder)?, sent_bytes: 0 })
    }

    /// What a command needs in its environment to ask.
    pub(crate) fn env() -> (&'static str, &'static str) {
        (SOCKET_VAR, SOCKET)
    }

    /// Readable when somebody asks.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Serves whoever asks at the moment.
    pub(crate) fn serve(&mut self, say: Say<'_>) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            self.send(say)?;
            // Who asked may have given up, which is no fault of the files'.
            let _ = stream.write_all(b"+");
        }
    }

    /// Sends what the host does not have.
    pub(crate) fn send(&mut self, say: Say<'_>) -> io::Result<()> {
        for (path, mark) in listing(&self.folder)? {
            if self.known.get(&path) == Some(&mark) {
                continue;
            }
            let name = path.strip_prefix(&self.folder).unwrap_or(&path).to_string_lossy().into_owned();
            self.sent_bytes += mark.1;
            if self.sent_bytes > MOST_BYTES {
                let text = format!("vale-bench: {name} and what follows is not copied out: too much\n");
                return say(&Event::Output { stream: Stream::Stderr, data: text.into_bytes() });
            }
            match File::open(&path) {
                Ok(file) => send_file(&name, file, say)?,
                // One that was there only for a moment, as those are that are renamed into their places.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            }
            self.known.insert(path, mark);
        }
        Ok(())
    }
}

/// A file in parts, of which the last is told as such: an empty file is one empty part.
fn send_file(name: &str, mut file: File, say: Say<'_>) -> io::Result<()> {
    let mut part = |data: &mut Vec<u8>| Read::by_ref(&mut file).take(CHUNK as u64).read_to_end(data);
    let mut data = Vec::new();
    part(&mut data)?;
    let mut first = true;
    loop {
        let mut next = Vec::new();
        part(&mut next)?;
        let last = next.is_empty();
        say(&Event::File { name: name.to_owned(), data, first, last })?;
        if last {
            return Ok(());
        }
        (data, first) = (next, false);
    }
}

/// Regular files below `folder`.
fn listing(folder: &Path) -> io::Result<BTreeMap<PathBuf, Mark>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let meta = match entry.metadata() {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                meta => meta?,
            };
            if meta.is_dir() {
                folders.push(entry.path());
            } else if meta.is_file() {
                files.insert(entry.path(), (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()));
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn sent(outbox: &mut Outbox) -> Vec<(String, usize, bool, bool)> {
        let mut sent = Vec::new();
        outbox
            .send(&mut |event| {
                let Event::File { name, data, first, last } = event else { panic!("{event:?}") };
                sent.push((name.clone(), data.len(), *first, *last));
                Ok(())
            })
            .unwrap();
        sent
    }

    #[test]
    fn only_new_and_changed_files_are_sent_and_empty_ones_too() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("deep")).unwrap();
        for (name, text) in [("kept", "as it was"), ("changed", "before")] {
            fs::write(at(name), text).unwrap();
        }
        let mut outbox = Outbox::at(folder.path(), &elsewhere.path().join("socket")).unwrap();
        fs::write(at("changed"), "afterwards").unwrap();
        fs::write(at("deep/empty"), "").unwrap();
        fs::write(at("long"), vec![7; CHUNK + 1]).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", at("link")).unwrap();
        let expected = [
            ("changed", 10, true, true),
            ("deep/empty", 0, true, true),
            ("long", CHUNK, true, false),
            ("long", 1, false, true),
        ];
        assert_eq!(sent(&mut outbox), expected.map(|(name, len, a, b)| (name.to_owned(), len, a, b)));
        assert_eq!(sent(&mut outbox), [], "the host has them");
        // Of the same size, put into its place by a rename within the clock's grain.
        fs::write(at("new"), "AFTERWARDS").unwrap();
        fs::rename(at("new"), at("changed")).unwrap();
        assert_eq!(sent(&mut outbox), [("changed".to_owned(), 10, true, true)]);
    }

    #[test]
    fn who_asks_is_answered_when_the_files_are_out() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let socket = elsewhere.path().join("socket");
        let mut outbox = Outbox::at(folder.path(), &socket).unwrap();
        fs::write(folder.path().join("r.json"), "{}").unwrap();
        let asking = thread::spawn({
            let socket = socket.clone();
            move || ask(&socket)
        });
        let mut sent = 0;
        while sent == 0 {
            let mut say = |_: &Event| {
                sent += 1;
                Ok(())
            };
            outbox.serve(&mut say).unwrap();
            thread::sleep(Duration::from_millis(1));
        }
        asking.join().unwrap().unwrap();
        let asking = thread::spawn(move || ask(&socket));
        thread::sleep(Duration::from_millis(20));
        drop(outbox);
        assert!(asking.join().unwrap().is_err(), "nobody sent them");
    }
}
