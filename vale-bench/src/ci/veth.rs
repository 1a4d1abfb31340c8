//! A cable for checks: two Ethernet interfaces that are each other's other end.

use std::io;

use rustix::io::Errno;

use super::check::{Stop, skip};
use crate::links;

/// The two interfaces, removed when this is dropped.
#[derive(Debug)]
pub(super) struct Veth {
    /// Name of one; the other goes with it.
    pub(super) a: String,
}

impl Veth {
    /// Makes a pair and brings both up. Skips the check where the kernel cannot.
    pub(super) fn new(a: &str, b: &str) -> Result<Veth, Stop> {
        match links::add_veth(a, b) {
            Ok(()) => {}
            Err(e) if e.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => {
                return skip("this kernel makes no veth pairs (is the veth module loaded?)");
            }
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                return skip("not permitted to make a veth pair");
            }
            Err(e) => return Err(e.into()),
        }
        let veth = Veth { a: a.to_owned() };
        for name in [a, b] {
            links::bring_up(name)?;
        }
        Ok(veth)
    }
}

impl Drop for Veth {
    fn drop(&mut self) {
        // The other one goes with it. What cannot be removed the runner finds.
        let _ = links::remove(&self.a);
    }
}
