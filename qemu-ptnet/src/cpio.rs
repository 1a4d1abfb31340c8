//! Writes the archive format of an initramfs: cpio "newc" (Linux, `Documentation/driver-api/early-userspace/
//! buffer-format.rst`). Equal entries make equal bytes: times, owners and inode numbers say nothing of the host.

use std::io::{self, Write};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File {
        executable: bool,
    },
    Link,
    /// A character device.
    Device {
        major: u32,
        minor: u32,
    },
}

/// Writes entries; [`Writer::finish`] ends the archive.
pub(crate) struct Writer<W> {
    out: W,
    inode: u32,
    written: u64,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, inode: 0, written: 0 }
    }

    /// Adds `name`, without its leading slash; `body` is a file's contents or a link's target.
    pub(crate) fn entry(&mut self, name: &str, kind: Kind, body: &[u8]) -> io::Result<()> {
        let (mode, links, (major, minor)) = match kind {
            Kind::Folder => (0o040_755, 2, (0, 0)),
            Kind::File { executable } => (if executable { 0o100_755 } else { 0o100_644 }, 1, (0, 0)),
            Kind::Link => (0o120_777, 1, (0, 0)),
            Kind::Device { major, minor } => (0o020_600, 1, (major, minor)),
        };
        self.inode += 1;
        let inode = self.inode;
        self.raw(name, [inode, mode, 0, 0, links, 0], [major, minor], body)
    }

    /// Ends the archive and returns its size in bytes.
    pub(crate) fn finish(mut self) -> io::Result<(W, u64)> {
        self.raw("TRAILER!!!", [0, 0, 0, 0, 1, 0], [0, 0], b"")?;
        Ok((self.out, self.written))
    }

    /// `head`: inode, mode, user, group, links, time.
    fn raw(&mut self, name: &str, head: [u32; 6], device: [u32; 2], body: &[u8]) -> io::Result<()> {
        let too_big =
            |_| io::Error::new(io::ErrorKind::FileTooLarge, format!("{name} is too big for an initramfs"));
        let size = u32::try_from(body.len()).map_err(too_big)?;
        let name_size = u32::try_from(name.len() + 1).map_err(too_big)?;
        let mut header = String::from("070701");
        for field in head.into_iter().chain([size, 0, 0]).chain(device).chain([name_size, 0]) {
            header.push_str(&format!("{field:08X}"));
        }
        for part in [header.as_bytes(), name.as_bytes(), b"\0"] {
            self.bytes(part)?;
        }
        self.pad()?;
        self.bytes(body)?;
        self.pad()
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Names and bodies end on multiples of four bytes.
    fn pad(&mut self) -> io::Result<()> {
        let short = self.written.next_multiple_of(4) - self.written;
        self.bytes(&[0; 3][..usize::try_from(short).unwrap_or(0)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        writer.entry("dev", Kind::Folder, b"").unwrap();
        writer.entry("dev/console", Kind::Device { major: 5, minor: 1 }, b"").unwrap();
        writer.entry("init", Kind::File { executable: true }, b"12345").unwrap();
        writer.entry("lib", Kind::Link, b"usr/lib").unwrap();
        let (bytes, size) = writer.finish().unwrap();
        assert_eq!(bytes.len() as u64, size);
        bytes
    }

    #[test]
    fn headers_are_as_the_kernel_reads_them() {
        let bytes = archive();
        // Magic, inode, mode, user, group, links, time, size, device (2), the node's device (2), name size, sum.
        let header = [
            "070701", "00000001", "000041ED", "00000000", "00000000", "00000002", "00000000", "00000000",
            "00000000", "00000000", "00000000", "00000000", "00000004", "00000000",
        ];
        assert_eq!(std::str::from_utf8(&bytes[..110]).unwrap(), header.concat());
        assert_eq!(&bytes[110..116], b"dev\0\0\0");
        let at = bytes.windows(5).position(|w| w == b"12345").unwrap();
        assert_eq!(at % 4, 0);
        assert_eq!(&bytes[at + 5..at + 8 + 6], b"\0\0\x00070701");
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(bytes, archive(), "the same entries make the same bytes");
    }
}
