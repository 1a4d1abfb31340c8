//! The guest's virtio-serial ports, found by name.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::PathBuf;

/// Path of the virtio-serial port called `name`.
pub fn find(name: &str) -> io::Result<PathBuf> {
    for entry in fs::read_dir("/sys/class/virtio-ports")? {
        let entry = entry?;
        if fs::read_to_string(entry.path().join("name")).is_ok_and(|n| n.trim_end() == name) {
            return Ok(PathBuf::from("/dev").join(entry.file_name()));
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("no virtio-serial port is called {name}")))
}

/// Opens the virtio-serial port called `name`.
pub fn open(name: &str) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(find(name)?)
}
