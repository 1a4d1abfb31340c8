//! Ringing a doorbell whose other end is gone must not end the process, even where `SIGPIPE` does what it does
//! by default, as in a program whose `main` is not Rust's. A test file of its own, for the signal is the
//! process's.

use netmap_rs::doorbell::Doorbell;
use std::io::ErrorKind;

#[test]
fn a_closed_stream_is_an_error_and_no_signal() {
    // SAFETY: setting a disposition to its default installs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let (ours, theirs) = Doorbell::socket_pair().unwrap();
    drop(theirs);
    assert_eq!(ours.ring().unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(ours.drain().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    let (read, write) = std::io::pipe().unwrap();
    assert_eq!(Doorbell::from_stream(write.into()).unwrap_err().kind(), ErrorKind::InvalidInput);
    drop(read);
}
