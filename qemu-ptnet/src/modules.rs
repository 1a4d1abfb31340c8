//! Kernel modules in the order in which they can be loaded.
//!
//! What a module depends on is read from the module itself (its `.modinfo` section), not from `modules.dep`, which
//! an unpacked package does not have and which says nothing about a module that lies elsewhere. Modules built into
//! the kernel come from `modules.builtin`. Compressed modules (`.ko.xz`, `.ko.zst`) are unpacked here, because not
//! every kernel can. Deliberately absent: soft dependencies, aliases and `modprobe.d`, which name what a machine
//! might want, not what a module needs.

use crate::kernel::Kernel;
use object::{Object, ObjectSection};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A module that a guest shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Where to take it from.
    pub from: From,
    /// Its parameters, as `insmod` takes them: `name=value …`.
    pub params: String,
}

/// Where a module comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// The kernel's own tree, by name; `-` and `_` are the same.
    Tree(String),
    /// A file.
    File(PathBuf),
}

impl Module {
    /// The kernel's own module `name`, without parameters.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { from: From::Tree(name.into()), params: String::new() }
    }

    /// The module in the file `path`, without parameters.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { from: From::File(path.into()), params: String::new() }
    }

    /// The module in a file with its parameters behind it, as `insmod` takes them: `netmap.ko buf_num=8192`.
    #[must_use]
    pub fn from_words(text: &str) -> Self {
        let (file, params) = text.split_once(' ').unwrap_or((text, ""));
        Self::file(file).with_params(params.trim())
    }

    /// The same with `params`.
    #[must_use]
    pub fn with_params(self, params: impl Into<String>) -> Self {
        Self { params: params.into(), ..self }
    }
}

/// A module ready to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loadable {
    /// Its name, with underscores.
    pub name: String,
    /// Where it was found.
    pub path: PathBuf,
    /// Its parameters.
    pub params: String,
    /// The ELF file, unpacked.
    pub bytes: Vec<u8>,
}

/// A kernel's modules.
#[derive(Debug)]
pub struct ModuleTree {
    release: String,
    dir: Option<PathBuf>,
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
}

impl ModuleTree {
    /// Lists the modules of `kernel`.
    pub fn open(kernel: &Kernel) -> Result<Self, ModuleError> {
        let mut tree = Self {
            release: kernel.release.clone(),
            dir: kernel.modules.clone(),
            files: BTreeMap::new(),
            builtin: BTreeSet::new(),
        };
        if let Some(dir) = &kernel.modules {
            // As depmod does it, a module in updates/ or extra/ goes before the kernel's own.
            let mut tops =
                subfolders(dir).map_err(|source| ModuleError::Read { path: dir.clone(), source })?;
            tops.sort_by_key(|top| top.file_name().is_some_and(|name| name == "kernel"));
            for top in tops {
                walk(&top, &mut tree.files).map_err(|source| ModuleError::Read { path: top, source })?;
            }
            // Absent from a kernel without built-in modules, of which there are none.
            let list = fs::read_to_string(dir.join("modules.builtin")).unwrap_or_default();
            tree.builtin.extend(list.lines().filter_map(|line| module_name(Path::new(line.trim()))));
        }
        Ok(tree)
    }

    /// Whether `name` is there, as a module or built in.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let name = name.replace('-', "_");
        self.builtin.contains(&name) || self.files.contains_key(&name)
    }

    /// `wanted` and what they depend on, dependencies first, each once; what is built into the kernel is left out.
    pub fn resolve(&self, wanted: &[Module]) -> Result<Vec<Loadable>, ModuleError> {
        let mut order =
            Order { tree: self, given: BTreeMap::new(), done: BTreeSet::new(), loadable: Vec::new() };
        // A file that was given also serves as the dependency of another.
        for module in wanted {
            if let From::File(path) = &module.from {
                let name = module_name(path).ok_or_else(|| ModuleError::NotAModule { path: path.clone() })?;
                order.given.insert(name, module);
            }
        }
        for module in wanted {
            let name = match &module.from {
                From::Tree(name) => name.replace('-', "_"),
                From::File(path) => module_name(path).unwrap_or_default(),
            };
            order.visit(&name, &module.params, &mut Vec::new())?;
        }
        Ok(order.loadable)
    }
}

struct Order<'a> {
    tree: &'a ModuleTree,
    given: BTreeMap<String, &'a Module>,
    done: BTreeSet<String>,
    loadable: Vec<Loadable>,
}

impl Order<'_> {
    /// Adds `name` after what it needs. `chain` is who needs it, outermost first.
    fn visit(&mut self, name: &str, params: &str, chain: &mut Vec<String>) -> Result<(), ModuleError> {
        let given = self.given.get(name).copied();
        if self.done.contains(name) || (given.is_none() && self.tree.builtin.contains(name)) {
            return Ok(());
        }
        if chain.iter().any(|needer| needer == name) {
            return Err(ModuleError::Circle { name: name.to_owned() });
        }
        let (path, params) = match given {
            Some(Module { from: From::File(path), params }) => (path.clone(), params.as_str()),
            _ => (self.tree.files.get(name).cloned().ok_or_else(|| self.missing(name, chain))?, params),
        };
        let bytes = unpack(&path)?;
        let info = ModInfo::read(&path, &bytes)?;
        if let Some(release) = info.release.filter(|release| *release != self.tree.release) {
            let kernel = self.tree.release.clone();
            return Err(ModuleError::OtherKernel { path, module: release, kernel });
        }
        chain.push(name.to_owned());
        for needed in &info.depends {
            self.visit(needed, "", chain)?;
        }
        chain.pop();
        self.done.insert(name.to_owned());
        self.loadable.push(Loadable { name: name.to_owned(), path, params: params.to_owned(), bytes });
        Ok(())
    }

    fn missing(&self, name: &str, chain: &[String]) -> ModuleError {
        let kernel = self.tree.release.clone();
        let needed_by = chain.last().cloned();
        match &self.tree.dir {
            Some(dir) => ModuleError::Missing { name: name.to_owned(), needed_by, kernel, dir: dir.clone() },
            None => ModuleError::NoTree { name: name.to_owned(), kernel },
        }
    }
}

/// What a module says of itself.
struct ModInfo {
    depends: Vec<String>,
    /// The kernel it was built for, if it says.
    release: Option<String>,
}

impl ModInfo {
    fn read(path: &Path, bytes: &[u8]) -> Result<Self, ModuleError> {
        let not_a_module = || ModuleError::NotAModule { path: path.to_owned() };
        let file = object::File::parse(bytes).map_err(|_| not_a_module())?;
        let section = file.section_by_name(".modinfo").ok_or_else(not_a_module)?;
        let data = section.data().map_err(|_| not_a_module())?;
        let mut info = Self { depends: Vec::new(), release: None };
        for field in data.split(|&b| b == 0) {
            let Some((key, value)) = std::str::from_utf8(field).ok().and_then(|field| field.split_once('='))
            else {
                continue;
            };
            match key {
                "depends" => {
                    info.depends
                        .extend(value.split(',').filter(|n| !n.is_empty()).map(|n| n.replace('-', "_")));
                }
                // "6.1.0-56-cloud-amd64 SMP preempt mod_unload …"
                "vermagic" => info.release = value.split(' ').next().map(str::to_owned),
                _ => {}
            }
        }
        Ok(info)
    }
}

/// The module's name, if `path` is called like a module.
fn module_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let stem = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"].iter().find_map(|suffix| name.strip_suffix(suffix))?;
    Some(stem.replace('-', "_"))
}

fn unpack(path: &Path) -> Result<Vec<u8>, ModuleError> {
    let failed = |source| ModuleError::Read { path: path.to_owned(), source };
    let packed = fs::read(path).map_err(failed)?;
    let mut bytes = Vec::new();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => {
            lzma_rust2::XzReader::new(&packed[..], true).read_to_end(&mut bytes).map_err(failed)?;
        }
        Some("zst") => {
            let broken = |e| failed(io::Error::new(io::ErrorKind::InvalidData, e));
            ruzstd::decoding::StreamingDecoder::new(&packed[..])
                .map_err(broken)?
                .read_to_end(&mut bytes)
                .map_err(failed)?;
        }
        Some("gz") => return Err(ModuleError::Gzip { path: path.to_owned() }),
        _ => bytes = packed,
    }
    Ok(bytes)
}

fn subfolders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // Not through links: build/ and source/ lead out of the tree.
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn walk(dir: &Path, files: &mut BTreeMap<String, PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            walk(&path, files)?;
        } else if let Some(name) = module_name(&path) {
            files.entry(name).or_insert(path);
        }
    }
    Ok(())
}

/// Why modules cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The kernel has no such module.
    #[error(
        "kernel {kernel} has no module {name}{} in {}",
        needed_by.as_ref().map(|needer| format!(" (needed by {needer})")).unwrap_or_default(), dir.display()
    )]
    Missing {
        /// The module.
        name: String,
        /// The module that depends on it.
        needed_by: Option<String>,
        /// The kernel's release.
        kernel: String,
        /// Where its modules are.
        dir: PathBuf,
    },
    /// The kernel came without its modules.
    #[error(
        "module {name} is needed, but the modules of kernel {kernel} (lib/modules/{kernel}) were not found"
    )]
    NoTree {
        /// The module.
        name: String,
        /// The kernel's release.
        kernel: String,
    },
    /// Built for another kernel.
    #[error("{} was built for kernel {module}, but the guest's kernel is {kernel}", path.display())]
    OtherKernel {
        /// The module's file.
        path: PathBuf,
        /// The release in its vermagic.
        module: String,
        /// The guest's kernel.
        kernel: String,
    },
    /// Two modules need each other.
    #[error("module {name} depends on itself")]
    Circle {
        /// One of them.
        name: String,
    },
    /// No module at all.
    #[error("{} is not a kernel module", path.display())]
    NotAModule {
        /// The file.
        path: PathBuf,
    },
    /// A compression that is not unpacked here.
    #[error("{} is compressed with gzip; unpack it first (xz and zstd are understood)", path.display())]
    Gzip {
        /// The file.
        path: PathBuf,
    },
    /// A file or folder cannot be read or unpacked.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests;
