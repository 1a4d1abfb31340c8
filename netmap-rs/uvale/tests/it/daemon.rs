//! The switch as a service, with clients in this process and in others.

use crate::thread::{DEADLINE, eventually, receive, send, start};
use crate::world::{BROADCAST, Raise, frame, mac};
use netmap_rs::layout::PortShape;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use uvale::daemon::{self, DaemonError, Server};
use uvale::wire::{self, Answer, Inbox, PROTOCOL, Request};
use uvale::{IdlePolicy, Switch};

fn shape() -> PortShape {
    PortShape { tx_slots: 64, rx_slots: 64, ..PortShape::default() }
}

/// Runs `test` against a switch that is served on `path`.
fn served(test: impl FnOnce(&Path, &Switch)) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vale0.sock");
    let switch = start(IdlePolicy::default());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut server = Server::bind(&path, &switch, shape()).unwrap();
        let serving = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                server.serve(Duration::from_millis(20)).unwrap();
            }
            drop(server);
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&path, &switch)));
        done.store(true, Ordering::Relaxed);
        serving.join().unwrap();
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
    assert!(!path.exists(), "the socket is removed with its server");
    assert_eq!(switch.ports().len(), 0, "and so are the ports of its clients");
}

#[test]
fn clients_attach_and_talk_and_leave() {
    served(|path, switch| {
        let [mut a, mut b] = ["a", "b"].map(|name| daemon::attach(path, name, None).unwrap());
        assert_eq!((a.id, b.id), (0, 1));
        let big = PortShape { tx_rings: 2, buf_size: 4096, ..shape() };
        let c = daemon::attach(path, "c", Some(big)).unwrap();
        assert_eq!((c.port.tx.len(), c.port.tx[1].buf_size()), (2, 4096));
        for tag in 0..500 {
            send(&mut a.port, &frame(BROADCAST, mac(0), 60, tag));
            assert_eq!(receive(&mut b.port), frame(BROADCAST, mac(0), 60, tag));
        }
        // A sender's packets are counted once its slots are back, which may be after the last has arrived.
        eventually("the slots are back", || {
            a.port.tx[0].sync().unwrap();
            a.port.tx[0].pending() == 0
        });
        let listed: Vec<_> = daemon::ports(path).unwrap();
        let names: Vec<_> = listed.iter().map(|(id, name, _)| (*id, name.as_str())).collect();
        assert_eq!(names, [(0, "vale0:a"), (1, "vale0:b"), (2, "vale0:c")]);
        assert_eq!((listed[0].2.tx_frames, listed[1].2.rx_frames), (500, 500));
        assert!(a.alive());
        drop(b);
        eventually("the port goes with its client", || switch.ports().len() == 2);
        let b = daemon::attach(path, "b", None).unwrap();
        assert_eq!(b.id, 1, "its name and index are free again");
    });
}

#[test]
fn what_cannot_be_is_refused_with_a_sentence() {
    served(|path, _| {
        let refused = |name: &str, shape| match daemon::attach(path, name, shape) {
            Err(e @ DaemonError::Refused { .. }) => e.to_string(),
            other => panic!("{other:?}"),
        };
        let prefix = format!("the switch on {} refused: ", path.display());
        let _a = daemon::attach(path, "a", None).unwrap();
        assert_eq!(refused("a", None), format!("{prefix}port vale0:a is in use"));
        let odd = PortShape { tx_slots: 3, ..shape() };
        let why = "cannot lay out port vale0:b: number of transmit slots is 3, which must be 4 to 4096";
        assert_eq!(refused("b", Some(odd)), format!("{prefix}{why}"));
        let why = "a port's name is 1 to 64 printable characters without ':'";
        for name in ["", "a:b", "a b", "a\n", "ü", &"x".repeat(65)] {
            assert_eq!(refused(name, None), format!("{prefix}{why}"));
        }
    });
}

fn say(path: &Path, bytes: &[u8]) -> UnixStream {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

fn hear(stream: &UnixStream) -> Option<Answer> {
    let mut inbox = Inbox::default();
    loop {
        if let Some((answer, _)) = inbox.take_message().unwrap() {
            return Some(answer);
        }
        if inbox.read(stream).unwrap() == 0 {
            return None;
        }
    }
}

fn reason(answer: Option<Answer>) -> String {
    match answer {
        Some(Answer::Refused { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_protocol_is_refused_by_name() {
    served(|path, _| {
        for request in [
            Request::Ports { protocol: PROTOCOL + 1 },
            Request::Attach { protocol: PROTOCOL + 1, port: "a".into(), shape: None },
        ] {
            let stream = UnixStream::connect(path).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            wire::send(&stream, &request, &[]).unwrap();
            let expected =
                format!("it speaks protocol {PROTOCOL}, the request is of protocol {}", PROTOCOL + 1);
            assert_eq!(reason(hear(&stream)), expected);
        }
    });
}

#[test]
fn rubbish_ends_its_connection_and_no_other() {
    served(|path, switch| {
        let mut a = daemon::attach(path, "a", None).unwrap();
        let half = say(path, b"\x10\x00\x00\x00{\"request\"");
        for rubbish in [&b"\xff\xff\xff\xff"[..], b"\x02\x00\x00\x00{}", b"GET / HTTP/1.1\r\n\r\n", &[0; 64]]
        {
            let mut stream = say(path, rubbish);
            assert!(reason(hear(&stream)).starts_with("not a request: "));
            // Closed, or closed with bytes of ours unread.
            assert!(matches!(stream.read(&mut [0; 16]), Ok(0) | Err(_)));
        }
        drop(say(path, b""));
        let again = UnixStream::connect(path).unwrap();
        again.set_read_timeout(Some(DEADLINE)).unwrap();
        let attach = |port: &str| Request::Attach { protocol: PROTOCOL, port: port.into(), shape: None };
        wire::send(&again, &attach("b"), &[]).unwrap();
        assert!(matches!(hear(&again), Some(Answer::Attached { .. })));
        wire::send(&again, &attach("c"), &[]).unwrap();
        let answer = reason(hear(&again));
        assert_eq!(answer, "a connection has one port and this one has its own already");
        assert!(send(&mut a.port, &frame(BROADCAST, mac(0), 60, 0)));
        drop((half, again));
        eventually("only a is left", || switch.ports().len() == 1);
    });
}

/// A client that asks without end does not keep others from being served.
#[test]
fn a_talkative_client_does_not_starve_others() {
    served(|path, _| {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let stream = UnixStream::connect(path).unwrap();
                let mut reading = stream.try_clone().unwrap();
                let reader = std::thread::spawn(move || std::io::copy(&mut reading, &mut std::io::sink()));
                while !done.load(Ordering::Relaxed) {
                    if wire::send(&stream, &Request::Ports { protocol: PROTOCOL }, &[]).is_err() {
                        break;
                    }
                }
                let _ = stream.shutdown(std::net::Shutdown::Both);
                let _ = reader.join();
            });
            let _ending = Raise(&done);
            for i in 0..50 {
                drop(daemon::attach(path, &format!("p{i}"), None).unwrap());
            }
        });
    });
}

#[test]
fn a_list_of_all_ports_fits_a_message() {
    served(|path, switch| {
        let tiny = PortShape { tx_slots: 4, rx_slots: 4, buf_size: 64, ..PortShape::default() };
        let ids: Vec<_> = (0..254)
            .map(|i| switch.add_host_port(&format!("vale0:{i:064}"), &tiny, None).unwrap().id)
            .collect();
        assert_eq!(daemon::ports(path).unwrap().len(), 254);
        let e = daemon::attach(path, "one-more", None).unwrap_err().to_string();
        assert!(e.ends_with("switch vale0 has no free port of its 254"), "{e}");
        ids.into_iter().for_each(|id| assert!(switch.remove_port(id).unwrap()));
    });
}

#[test]
fn one_switch_a_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let switch = start(IdlePolicy::default());
    let bind = || Server::bind(&path, &switch, shape());

    assert!(matches!(daemon::ports(&path), Err(DaemonError::NotRunning { .. })));
    // A switch that was killed leaves its socket.
    drop(UnixListener::bind(&path).unwrap());
    assert!(matches!(daemon::ports(&path), Err(DaemonError::NotRunning { .. })));
    let server = bind().unwrap();
    let e = bind().unwrap_err();
    assert_eq!(e.to_string(), format!("a switch is already running on {}", path.display()));
    drop(server);
    assert!(!path.exists());

    // What is not a socket is not ours to remove.
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(bind(), Err(DaemonError::Listen { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    std::fs::remove_file(&path).unwrap();

    // Nor is a socket that has come in the place of ours.
    let server = bind().unwrap();
    std::fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    drop(server);
    assert!(path.exists());
    drop(other);
    let long = PathBuf::from("/tmp").join("x".repeat(200));
    assert!(matches!(Server::bind(&long, &switch, shape()), Err(DaemonError::Listen { .. })));
}

#[test]
fn a_client_knows_when_its_switch_is_gone() {
    let mut kept = None;
    served(|path, _| {
        let port = daemon::attach(path, "a", None).unwrap();
        assert!(port.alive());
        kept = Some(port);
    });
    let mut port = kept.unwrap();
    assert!(!port.alive());
    // The memory is there still; nothing moves.
    assert!(send(&mut port.port, &frame(BROADCAST, mac(0), 60, 0)) || !port.alive());
}

/// Not a test of its own: what the next one runs in other processes. Echoes frames to the address in the
/// environment until it is killed.
#[test]
#[ignore = "run in a process of its own by separate_processes_meet_and_one_is_killed"]
fn echo_in_another_process() {
    let path = std::env::var_os("UVALE_TEST_SOCKET").expect("run by another test");
    let name = std::env::var("UVALE_TEST_PORT").expect("run by another test");
    let mut port = daemon::attach(Path::new(&path), &name, None).unwrap();
    println!("attached");
    loop {
        let mut bytes = receive(&mut port.port);
        bytes.copy_within(6..12, 0);
        bytes[6..12].copy_from_slice(&mac(200).to_le_bytes()[..6]);
        send(&mut port.port, &bytes);
    }
}

struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn echo_process(path: &Path, name: &str) -> Reaped {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([
        "--exact",
        "daemon::echo_in_another_process",
        "--ignored",
        "--nocapture",
        "--test-threads=1",
    ]);
    child.env("UVALE_TEST_SOCKET", path).env("UVALE_TEST_PORT", name).stdout(Stdio::null());
    Reaped(child.spawn().unwrap())
}

#[test]
fn separate_processes_meet_and_one_is_killed() {
    served(|path, switch| {
        let mut a = daemon::attach(path, "a", None).unwrap();
        let mut echo = echo_process(path, "echo");
        eventually("the other process attaches", || {
            assert!(echo.0.try_wait().unwrap().is_none(), "it ended");
            switch.ports().len() == 2
        });
        for tag in 0..2000 {
            assert!(send(&mut a.port, &frame(BROADCAST, mac(0), 60, tag)));
            let back = receive(&mut a.port);
            assert_eq!(back[..6], mac(0).to_le_bytes()[..6]);
            assert_eq!(back[14..], frame(0, 0, 60, tag)[14..], "round {tag}");
        }
        echo.0.kill().unwrap();
        eventually("the port of the killed process goes", || switch.ports().len() == 1);
        assert!(send(&mut a.port, &frame(BROADCAST, mac(0), 60, 0)), "the other port lives");
        let _again = echo_process(path, "echo");
        eventually("its name is free again", || switch.ports().len() == 2);
    });
}
