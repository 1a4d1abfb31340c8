//! What a dynamic ELF program needs to start elsewhere: its loader and, recursively, its libraries.
//!
//! The search is the loader's own (ld.so(8)): RPATH of the object and its ancestors, RUNPATH, the folders of
//! `/etc/ld.so.conf`, the default folders. Deliberately absent: `LD_LIBRARY_PATH` and `LD_PRELOAD`, which the other
//! system does not have; libraries that a program opens by itself at run time.

use object::LittleEndian as LE;
use object::elf::{self, FileHeader64};
use object::read::StringTable;
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

type Header = FileHeader64<LE>;

/// Of an entry that names no text.
const BAD_STRING: &str = "a name in the dynamic section lies outside its string table";

/// Folders that a loader looks at without being told: Debian's, then everybody's.
const DEFAULT_DIRS: [&str; 6] =
    ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];

/// What programs need besides themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// Loaders and libraries, by the path at which they must be found.
    pub files: BTreeSet<PathBuf>,
    /// Links from a folder that every loader searches to libraries which were found elsewhere, so that they are
    /// found without this system's loader cache, and wherever the program itself lies. Link, then target.
    pub links: BTreeMap<PathBuf, PathBuf>,
}

/// The loader and the libraries that `programs` (or libraries) need. A static program needs none.
pub fn closure<P: AsRef<Path>>(programs: &[P]) -> Result<Closure, ElfError> {
    let search = Search { configured: configured_dirs(Path::new("/etc/ld.so.conf")) };
    let mut closure = Closure::default();
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut queue = VecDeque::new();
    for program in programs {
        queue.push_back((program.as_ref().to_owned(), Vec::new()));
    }
    while let Some((path, inherited)) = queue.pop_front() {
        let object = Dynamic::read(&path)?;
        closure.files.extend(object.interpreter.clone());
        // A RUNPATH turns the RPATHs off, its own and its ancestors'.
        let rpaths =
            if object.runpath.is_empty() { [object.rpath.clone(), inherited].concat() } else { Vec::new() };
        for name in &object.needed {
            if found.contains_key(name) {
                continue;
            }
            let library = search
                .find(name, &object, &rpaths)
                .ok_or_else(|| ElfError::NoLibrary { name: name.clone(), needed_by: path.clone() })?;
            closure.files.insert(library.clone());
            found.insert(name.clone(), library.clone());
            queue.push_back((library, rpaths.clone()));
        }
    }
    // Wherever libc was found, the loader looks by itself.
    let home = found.get("libc.so.6").and_then(|libc| libc.parent()).unwrap_or(Path::new("/lib")).to_owned();
    for (name, path) in &found {
        let by_default =
            path.parent().is_some_and(|dir| dir == home || DEFAULT_DIRS.iter().any(|d| dir == Path::new(d)));
        if !by_default && !name.contains('/') {
            closure.links.insert(home.join(name), path.clone());
        }
    }
    Ok(closure)
}

/// `bytes` without what only debuggers and linkers read: everything behind the last loaded byte, section table
/// and symbols included. What is no 64-bit ELF file, or would not be whole without them, is returned as it is.
#[must_use]
pub fn loaded_part(mut bytes: Vec<u8>) -> Vec<u8> {
    let Ok(header) = Header::parse(&bytes[..]) else { return bytes };
    let kind = header.e_type(LE);
    let Ok(segments) = header.program_headers(LE, &bytes[..]) else { return bytes };
    let ends = segments.iter().map(|s| {
        let (offset, size) = s.file_range(LE);
        offset.saturating_add(size)
    });
    let table = header.e_phoff(LE) + size_of_val(segments) as u64;
    let end = ends.chain([table, size_of::<Header>() as u64]).max().unwrap_or(0);
    let Ok(end) = usize::try_from(end) else { return bytes };
    if !matches!(kind, elf::ET_EXEC | elf::ET_DYN) || segments.is_empty() || end >= bytes.len() {
        return bytes;
    }
    bytes.truncate(end);
    // The section table is gone: e_shoff, and e_shnum with e_shstrndx.
    bytes[0x28..0x30].fill(0);
    bytes[0x3c..0x40].fill(0);
    bytes
}

/// What an object says about its libraries.
struct Dynamic {
    interpreter: Option<PathBuf>,
    needed: Vec<String>,
    rpath: Vec<PathBuf>,
    runpath: Vec<PathBuf>,
    machine: elf::Machine,
}

impl Dynamic {
    fn read(path: &Path) -> Result<Self, ElfError> {
        let bytes = fs::read(path).map_err(|source| ElfError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &bytes).map_err(|source| ElfError::NotElf { path: path.to_owned(), source })
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        // $ORIGIN is the folder of the file itself, not of a link to it.
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let origin = real.parent().unwrap_or(Path::new("/"));
        let header = Header::parse(bytes)?;
        let segments = header.program_headers(LE, bytes)?;
        let mut object = Self {
            interpreter: None,
            needed: Vec::new(),
            rpath: Vec::new(),
            runpath: Vec::new(),
            machine: header.e_machine(LE),
        };
        for segment in segments {
            if let Some(name) = segment.interpreter(LE, bytes)? {
                object.interpreter = Some(PathBuf::from(OsStr::from_bytes(name)));
            }
            // By the segment, not the section of the same name, which a stripped file need not have.
            let Some(entries) = segment.dynamic(LE, bytes)? else { continue };
            let value =
                |tag| entries.iter().find(|entry| entry.d_tag(LE) == tag).map(|entry| entry.d_val(LE));
            let (Some(address), Some(size)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else { continue };
            let table = segments.iter().find_map(|s| s.data_range(LE, bytes, address, size).ok().flatten());
            let strings = StringTable::new(table.unwrap_or_default(), 0, size);
            for entry in entries.iter().take_while(|entry| entry.d_tag(LE) != elf::DT_NULL) {
                let tag = entry.d_tag(LE);
                if ![elf::DT_NEEDED, elf::DT_RPATH, elf::DT_RUNPATH].contains(&tag) {
                    continue;
                }
                let offset = u32::try_from(entry.d_val(LE)).unwrap_or(u32::MAX);
                let text = strings.get(offset).map_err(|()| BAD_STRING)?;
                let text = std::str::from_utf8(text).map_err(|_| BAD_STRING)?;
                match tag {
                    elf::DT_NEEDED => object.needed.push(text.to_owned()),
                    elf::DT_RPATH => object.rpath = search_path(text, origin),
                    _ => object.runpath = search_path(text, origin),
                }
            }
        }
        Ok(object)
    }
}

/// The folders of an RPATH or RUNPATH. Those with a token other than `$ORIGIN` name folders of the processor's or
/// the distribution's, which the default folders hold too.
fn search_path(text: &str, origin: &Path) -> Vec<PathBuf> {
    let origin = origin.to_string_lossy();
    let expand = |dir: &str| dir.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin);
    let dirs = text.split(':').filter(|dir| !dir.is_empty()).map(expand).filter(|dir| !dir.contains('$'));
    dirs.map(|dir| lexically_normal(Path::new(&dir))).collect()
}

/// `path` without `.` and `..`: the image has no links that could make a difference.
fn lexically_normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

struct Search {
    configured: Vec<PathBuf>,
}

impl Search {
    fn find(&self, name: &str, needed_by: &Dynamic, rpaths: &[PathBuf]) -> Option<PathBuf> {
        let fits =
            |path: &PathBuf| Dynamic::read(path).is_ok_and(|object| object.machine == needed_by.machine);
        if name.contains('/') {
            return Some(PathBuf::from(name)).filter(fits);
        }
        let dirs = rpaths.iter().chain(&needed_by.runpath).chain(&self.configured).map(PathBuf::as_path);
        dirs.chain(DEFAULT_DIRS.map(Path::new)).map(|dir| dir.join(name)).find(fits)
    }
}

/// The folders in `conf`, and in the files it includes.
fn configured_dirs(conf: &Path) -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    // A system without the file has a loader without the feature.
    let text = fs::read_to_string(conf).unwrap_or_default();
    for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        if let Some(pattern) = line.strip_prefix("include").filter(|rest| rest.starts_with([' ', '\t'])) {
            let pattern = conf.parent().unwrap_or(Path::new("/")).join(pattern.trim());
            for file in matching(&pattern) {
                // An inclusion of itself would never end; nobody nests them.
                let nested = fs::read_to_string(&file).unwrap_or_default();
                dirs.extend(nested.lines().map(str::trim).filter(|l| l.starts_with('/')).map(PathBuf::from));
            }
        } else if line.starts_with('/') {
            dirs.push(PathBuf::from(line));
        }
    }
    dirs
}

/// The files that `pattern`, with at most one `*`, which is in its last part, stands for, sorted.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy();
    let Some((head, tail)) = name.split_once('*') else { return vec![pattern.to_owned()] };
    let entries = fs::read_dir(pattern.parent().unwrap_or(Path::new("/"))).into_iter().flatten().flatten();
    let fits = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
    };
    let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(fits).collect();
    files.sort();
    files
}

/// Why a program's libraries cannot be named.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no 64-bit little-endian ELF file, or a broken one.
    #[error("{} is not a 64-bit ELF program or library", path.display())]
    NotElf {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A library is not installed.
    #[error("library {name}, needed by {}, is not installed", needed_by.display())]
    NoLibrary {
        /// The library.
        name: String,
        /// What needs it.
        needed_by: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    fn this_test() -> PathBuf {
        std::env::current_exe().unwrap()
    }

    #[test]
    fn a_programs_libraries_are_those_the_loader_maps() {
        let mut mapped: Vec<String> = Vec::new();
        for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
            if let Some(at) = line.find('/') {
                mapped.push(line[at..].to_owned());
            }
        }
        let closure = closure(&[this_test()]).unwrap();
        assert!(closure.files.iter().any(|path| path.to_string_lossy().contains("libc.so")), "{closure:?}");
        assert!(closure.files.iter().any(|path| path.to_string_lossy().contains("ld-linux")), "{closure:?}");
        for path in &closure.files {
            let real = fs::canonicalize(path).unwrap();
            assert!(
                mapped.contains(&real.to_string_lossy().into_owned()),
                "{} is not mapped",
                real.display()
            );
        }
    }

    #[test]
    fn what_is_loaded_is_enough_to_run() {
        let program = fs::read("/bin/true").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("true");
        let whole = fs::read(this_test()).unwrap();
        let less = loaded_part(whole.clone());
        assert!(less.len() < whole.len(), "a test binary has symbols");
        for bytes in [less, loaded_part(program)] {
            assert_eq!(loaded_part(bytes.clone()), bytes, "there is nothing more to leave out");
            fs::write(&path, &bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            let output = Command::new(&path).arg("--list").output().unwrap();
            assert!(output.status.success(), "{output:?}");
            assert!(!closure(&[&path]).unwrap().files.is_empty(), "its libraries are still named");
        }
    }

    #[test]
    fn rubbish_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        let whole = fs::read("/bin/true").unwrap();
        let mut broken = whole.clone();
        broken[0x20..0x28].fill(0xff); // e_phoff
        for bytes in [&b""[..], b"#!/bin/sh\n", &whole[..100], &broken] {
            fs::write(&path, bytes).unwrap();
            assert!(matches!(closure(&[&path]), Err(ElfError::NotElf { .. })));
            assert_eq!(loaded_part(bytes.to_vec()), bytes);
        }
        assert!(matches!(closure(&["/nonexistent"]), Err(ElfError::Read { .. })));
    }

    proptest::proptest! {
        #[test]
        fn broken_headers_do_no_harm(at in 0usize..0x400, value: u8, cut in 0usize..0x400) {
            let mut bytes = fs::read("/bin/true").unwrap();
            bytes[at] = value;
            let _ = loaded_part(bytes.clone());
            let _ = Dynamic::parse(Path::new("/bin/true"), &bytes);
            bytes.truncate(cut);
            let _ = loaded_part(bytes.clone());
            let _ = Dynamic::parse(Path::new("/bin/true"), &bytes);
        }
    }

    #[test]
    fn search_paths_and_configurations_are_read_as_the_loader_does() {
        let origin = Path::new("/opt/x/bin");
        let dirs = search_path("$ORIGIN/../lib:/usr/lib:${ORIGIN}:$LIB/x::", origin);
        assert_eq!(dirs, ["/opt/x/lib", "/usr/lib", "/opt/x/bin"].map(PathBuf::from));
        let folder = tempfile::tempdir().unwrap();
        let conf = folder.path().join("ld.so.conf");
        fs::create_dir(folder.path().join("conf.d")).unwrap();
        fs::write(&conf, "/first # here\ninclude conf.d/*.conf\n/last\n").unwrap();
        fs::write(folder.path().join("conf.d/b.conf"), "# none\n/b\n").unwrap();
        fs::write(folder.path().join("conf.d/a.conf"), "/a\n").unwrap();
        fs::write(folder.path().join("conf.d/ignored"), "/ignored\n").unwrap();
        assert_eq!(configured_dirs(&conf), ["/first", "/a", "/b", "/last"].map(PathBuf::from));
        assert_eq!(configured_dirs(Path::new("/nonexistent")), Vec::<PathBuf>::new());
    }

    /// A library found through $ORIGIN must be found when the program lies elsewhere.
    #[test]
    fn libraries_from_unusual_folders_are_linked_into_a_usual_one() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        fs::write(root.join("lib.c"), "int f(void) { return 7; }").unwrap();
        fs::write(root.join("main.c"), "int f(void); int main(void) { return f(); }").unwrap();
        let cc = |args: &[&str]| {
            let output =
                Command::new("cc").current_dir(&root).args(args).output().expect("Rust links with cc");
            assert!(output.status.success(), "{output:?}");
        };
        cc(&["-shared", "-fPIC", "-o", "libseven.so", "lib.c"]);
        cc(&["-o", "main", "main.c", "-L.", "-lseven", "-Wl,-rpath,$ORIGIN"]);
        let closure = closure(&[root.join("main")]).unwrap();
        assert!(closure.files.contains(&root.join("libseven.so")));
        let (link, target) = closure.links.first_key_value().unwrap();
        assert_eq!(target, &root.join("libseven.so"));
        assert_eq!(link.file_name().unwrap(), "libseven.so");
        assert!(DEFAULT_DIRS.iter().any(|dir| link.parent() == Some(Path::new(dir))), "{link:?}");
        fs::remove_file(root.join("libseven.so")).unwrap();
        let error = super::closure(&[root.join("main")]).unwrap_err();
        assert!(matches!(&error, ElfError::NoLibrary { name, .. } if name == "libseven.so"), "{error}");
    }
}
