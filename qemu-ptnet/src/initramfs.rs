//! The image a guest boots: a program as `/init`, the libraries it loads, kernel modules and what else is asked
//! for, and nothing else.
//!
//! An image is a sealed memory file. It costs a few milliseconds to make, less than checking whether an old one
//! is still good, and it leaves nothing behind; guests inherit its descriptor. Programs and libraries are put in
//! without their symbols ([`crate::elf::loaded_part`]). Nothing is compressed: under TCG unpacking costs more than
//! reading.

use crate::cpio::{Kind, Writer};
use crate::elf::{self, ElfError};
use crate::modules::Loadable;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file in an image that lists its modules in load order, a line each: the path, and after a space the
/// parameters, if there are any.
pub const MODULE_LIST: &str = "/etc/modules-load";

/// How often sealing is tried, 10 ms and what the kernel itself waits (about 150 ms) apart.
const SEAL_TRIES: u32 = 20;

/// Gathers what goes into an image.
#[derive(Clone, Debug, Default)]
pub struct ImageBuilder {
    entries: BTreeMap<String, Entry>,
    programs: Vec<PathBuf>,
    modules: String,
}

#[derive(Clone, Debug)]
enum Entry {
    Folder,
    File { source: Source, executable: bool },
    Link(PathBuf),
    Device { major: u32, minor: u32 },
}

#[derive(Clone, Debug)]
enum Source {
    Bytes(Vec<u8>),
    Path(PathBuf),
    /// A program or library, without its symbols.
    Loaded(PathBuf),
}

impl ImageBuilder {
    /// An image with the empty folders that a system mounts over, and a console for PID 1.
    #[must_use]
    pub fn new() -> Self {
        let mut builder = Self::default();
        for folder in ["dev", "etc", "proc", "root", "run", "sys", "tmp"] {
            builder.entries.insert(folder.to_owned(), Entry::Folder);
        }
        // The kernel opens it for PID 1 before anything is mounted.
        builder.entries.insert("dev/console".to_owned(), Entry::Device { major: 5, minor: 1 });
        builder
    }

    /// The program `binary` as `/init`.
    pub fn init(&mut self, binary: impl Into<PathBuf>) -> Result<&mut Self, ImageError> {
        self.program("/init", binary)
    }

    /// The program or library `source` at the path `at`, and the libraries it loads where they are on this host.
    pub fn program(
        &mut self,
        at: impl AsRef<Path>,
        source: impl Into<PathBuf>,
    ) -> Result<&mut Self, ImageError> {
        let source = source.into();
        self.programs.push(source.clone());
        self.put(at.as_ref(), Entry::File { source: Source::Loaded(source), executable: true })
    }

    /// `modules`, to be loaded in their order, after those that were added before.
    pub fn modules(&mut self, modules: Vec<Loadable>) -> Result<&mut Self, ImageError> {
        for module in modules {
            let at = format!("/lib/modules/{}.ko", module.name);
            self.modules.push_str(&at);
            if !module.params.is_empty() {
                let _ = write!(self.modules, " {}", module.params);
            }
            self.modules.push('\n');
            self.put(Path::new(&at), Entry::File { source: Source::Bytes(module.bytes), executable: false })?;
        }
        Ok(self)
    }

    /// A file at the path `at` that holds `bytes`.
    pub fn file(&mut self, at: impl AsRef<Path>, bytes: impl Into<Vec<u8>>) -> Result<&mut Self, ImageError> {
        self.put(at.as_ref(), Entry::File { source: Source::Bytes(bytes.into()), executable: false })
    }

    /// The host's file `source` at the path `at`, byte for byte; executable if it is executable here.
    pub fn copy(
        &mut self,
        at: impl AsRef<Path>,
        source: impl Into<PathBuf>,
    ) -> Result<&mut Self, ImageError> {
        let source = source.into();
        let executable = executable(&source)?;
        self.put(at.as_ref(), Entry::File { source: Source::Path(source), executable })
    }

    /// A symbolic link at the path `at` to `target`.
    pub fn symlink(
        &mut self,
        at: impl AsRef<Path>,
        target: impl Into<PathBuf>,
    ) -> Result<&mut Self, ImageError> {
        self.put(at.as_ref(), Entry::Link(target.into()))
    }

    /// An empty folder at the path `at`.
    pub fn folder(&mut self, at: impl AsRef<Path>) -> Result<&mut Self, ImageError> {
        self.put(at.as_ref(), Entry::Folder)
    }

    /// Reads what is on the host and writes the image.
    pub fn build(&self) -> Result<Image, ImageError> {
        let mut all = self.clone();
        let closure = elf::closure(&self.programs)?;
        for path in closure.files {
            // One that was put there on purpose stays.
            if !all.entries.contains_key(&name_of(&path)?) {
                all.put(&path, Entry::File { source: Source::Loaded(path.clone()), executable: true })?;
            }
        }
        for (link, target) in closure.links {
            if !all.entries.contains_key(&name_of(&link)?) {
                all.put(&link, Entry::Link(target))?;
            }
        }
        if !self.modules.is_empty() {
            all.file(MODULE_LIST, self.modules.as_bytes())?;
        }
        all.write()
    }

    fn put(&mut self, at: &Path, entry: Entry) -> Result<&mut Self, ImageError> {
        let name = name_of(at)?;
        // The kernel makes nothing in a folder that it has not made before.
        for (slash, _) in name.match_indices('/') {
            let above = &name[..slash];
            match self.entries.get(above) {
                None => drop(self.entries.insert(above.to_owned(), Entry::Folder)),
                Some(Entry::Folder) => {}
                Some(_) => return Err(ImageError::NotAFolder { at: at.to_owned(), above: above.to_owned() }),
            }
        }
        self.entries.insert(name, entry);
        Ok(self)
    }

    fn write(&self) -> Result<Image, ImageError> {
        let fd = memfd_create("initramfs", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            .map_err(|errno| ImageError::Write(errno.into()))?;
        let copy = fd.try_clone().map_err(ImageError::Write)?;
        let mut writer = Writer::new(BufWriter::with_capacity(1 << 16, File::from(copy)));
        let mut contents = Vec::new();
        // In the map's order a folder comes before what is in it.
        for (name, entry) in &self.entries {
            let (kind, body) = match entry {
                Entry::Folder => (Kind::Folder, Vec::new()),
                Entry::File { source, executable } => {
                    (Kind::File { executable: *executable }, source.read()?)
                }
                Entry::Link(target) => (Kind::Link, target.clone().into_os_string().into_encoded_bytes()),
                Entry::Device { major, minor } => (Kind::Device { major: *major, minor: *minor }, Vec::new()),
            };
            writer.entry(name, kind, &body).map_err(ImageError::Write)?;
            contents.push((format!("/{name}"), body.len() as u64));
        }
        let (buffer, bytes) = writer.finish().map_err(ImageError::Write)?;
        buffer.into_inner().map_err(|e| ImageError::Write(e.into_error()))?;
        seal(&fd).map_err(|errno| ImageError::Write(errno.into()))?;
        Ok(Image { fd, bytes, contents })
    }
}

/// Makes `fd` read-only for everyone.
///
/// The kernel refuses while it holds on to pages on another processor's behalf, as it may for a moment after they
/// were written.
pub(crate) fn seal(fd: &OwnedFd) -> rustix::io::Result<()> {
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    for _ in 0..SEAL_TRIES {
        match fcntl_add_seals(fd, seals) {
            Err(Errno::BUSY) => std::thread::sleep(Duration::from_millis(10)),
            sealed => return sealed,
        }
    }
    fcntl_add_seals(fd, seals)
}

impl Source {
    fn read(&self) -> Result<Vec<u8>, ImageError> {
        let read =
            |path: &Path| fs::read(path).map_err(|source| ImageError::Read { path: path.to_owned(), source });
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::Path(path) => read(path),
            Self::Loaded(path) => Ok(elf::loaded_part(read(path)?)),
        }
    }
}

fn executable(path: &Path) -> Result<bool, ImageError> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |source| ImageError::Read { path: path.to_owned(), source };
    Ok(fs::metadata(path).map_err(failed)?.permissions().mode() & 0o111 != 0)
}

/// `at` without its leading slash.
fn name_of(at: &Path) -> Result<String, ImageError> {
    let text = at.to_str().and_then(|text| text.strip_prefix('/'));
    let plain =
        |text: &&str| text.split('/').all(|part| !matches!(part, "" | "." | "..")) && !text.contains('\0');
    text.filter(plain).map(str::to_owned).ok_or_else(|| ImageError::BadPath { at: at.to_owned() })
}

/// An initramfs in a sealed memory file.
#[derive(Debug)]
pub struct Image {
    fd: OwnedFd,
    bytes: u64,
    contents: Vec<(String, u64)>,
}

impl Image {
    /// Its size in bytes. A guest needs about twice that while it boots.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its paths with the size of each file in bytes, in order.
    #[must_use]
    pub fn contents(&self) -> &[(String, u64)] {
        &self.contents
    }
}

impl AsFd for Image {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A path that an image cannot have.
    #[error("{} cannot be in an image: its paths are absolute, without '.' and '..', in UTF-8", at.display())]
    BadPath {
        /// The path.
        at: PathBuf,
    },
    /// A path below something that is no folder.
    #[error("{} cannot be in the image: /{above} is there already, and no folder", at.display())]
    NotAFolder {
        /// The path.
        at: PathBuf,
        /// What is in its way, without its leading slash.
        above: String,
    },
    /// A file of the host's cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program's libraries cannot be had.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// The image cannot be written.
    #[error("cannot write a guest's initramfs to memory")]
    Write(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};
    use std::process::Command;

    fn bytes_of(image: &Image) -> Vec<u8> {
        let mut file = File::from(image.as_fd().try_clone_to_owned().unwrap());
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn builder() -> ImageBuilder {
        let module = |name: &str, params: &str| Loadable {
            name: name.into(),
            path: "/x.ko".into(),
            params: params.into(),
            bytes: vec![1, 2, 3],
        };
        let mut builder = ImageBuilder::new();
        builder.init(std::env::current_exe().unwrap()).unwrap();
        builder.modules(vec![module("virtio", ""), module("netmap", "ptnet_vnet_hdr=0 x=1")]).unwrap();
        builder.file("/a/b/c", "text").unwrap().symlink("/a/link", "b/c").unwrap();
        builder.copy("/usr/bin/script", "/etc/passwd").unwrap();
        builder
    }

    #[test]
    fn an_image_holds_what_a_program_needs() {
        let image = builder().build().unwrap();
        let names: Vec<_> = image.contents().iter().map(|(name, _)| name.as_str()).collect();
        for wanted in
            ["/init", "/dev/console", "/a", "/a/b", "/a/b/c", "/a/link", "/lib/modules/netmap.ko", "/proc"]
        {
            assert!(names.contains(&wanted), "{wanted} in {names:?}");
        }
        assert!(names.iter().any(|name| name.contains("libc.so")), "{names:?}");
        assert!(names.is_sorted());
        let bytes = bytes_of(&image);
        assert_eq!(bytes.len() as u64, image.bytes());
        let list = b"/lib/modules/virtio.ko\n/lib/modules/netmap.ko ptnet_vnet_hdr=0 x=1\n";
        assert!(bytes.windows(list.len()).any(|window| window == list));
        assert_eq!(bytes, bytes_of(&builder().build().unwrap()), "equal images for equal contents");
        let mut file = File::from(image.as_fd().try_clone_to_owned().unwrap());
        assert!(io::Write::write(&mut file, b"x").is_err(), "it is sealed");
    }

    /// The kernel's own idea of the format is tried in tests/boot.rs; this one says which entry is wrong.
    #[test]
    fn cpio_reads_it_back() {
        let image = builder().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        fs::write(&path, bytes_of(&image)).unwrap();
        let Ok(output) =
            Command::new("cpio").args(["-t", "--quiet"]).stdin(File::open(&path).unwrap()).output()
        else {
            eprintln!("SKIPPED: there is no cpio here");
            return;
        };
        let listed = String::from_utf8(output.stdout).unwrap();
        let expected: Vec<_> = image.contents().iter().map(|(name, _)| &name[1..]).collect();
        assert_eq!(
            listed.lines().collect::<Vec<_>>(),
            expected,
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    #[test]
    fn impossible_paths_are_refused() {
        let mut builder = ImageBuilder::new();
        for bad in ["relative", "/", "", "/a/../b", "/a//b", "/a/", "/a/./b", "/nul\0"] {
            assert!(matches!(builder.file(bad, ""), Err(ImageError::BadPath { .. })), "{bad:?}");
        }
        builder.file("/a", "").unwrap();
        let error = builder.file("/a/b", "").unwrap_err();
        assert_eq!(error.to_string(), "/a/b cannot be in the image: /a is there already, and no folder");
        assert!(matches!(builder.copy("/x", "/nonexistent"), Err(ImageError::Read { .. })));
        builder.init("/nonexistent").unwrap();
        assert!(matches!(builder.build(), Err(ImageError::Elf(ElfError::Read { .. }))));
    }
}
