//! What goes into a machine that plays the host: this program as its init, modules, a QEMU with its firmware, and
//! what a vale-bench in it needs to boot guests of its own.

use crate::ci::document::CiDocument;
use crate::cli::{GUEST_MODULE_VAR, InVmArgs};
use crate::exit::{Exit, Fail, FailContext};
use crate::guests::MODULES;
use guest::command::{OPTIONAL_MODULES, WORK};
use qemu_ptnet::{Image, ImageBuilder, Kernel, Module, ModuleTree, Qemu, roms};
use std::env;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The command line tool by which checks make interfaces, where this host has it.
const TOOLS: [&str; 1] = ["ip"];
/// Where tools lie on this host, and in the machine.
const TOOL_DIRS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
/// Modules of the machine that serve its interfaces, loaded if the kernel has them.
const HOST_MODULES: [&str; 3] = ["af_packet", "veth", "tun"];
/// Modules by which the machine runs guests; one of the last two fits its processor.
const KVM_MODULES: [&str; 3] = ["irqbypass", "kvm_amd", "kvm_intel"];
/// Modules that guests of the machine may want, beyond what [`MODULES`] names.
const GUEST_MODULES: [&str; 2] = ["virtio_net", "af_packet"];

/// The document of checks that another machine was lost in, in the working directory.
pub(super) const GO_ON_FILE: &str = ".vale-bench-lost.json";

/// Everything that goes in.
pub(super) struct Cargo {
    builder: ImageBuilder,
    env: Vec<(String, String)>,
}

impl Cargo {
    /// Finds it all on this host. What was named and is not there is a mistake of usage.
    pub(super) fn gather(args: &InVmArgs, kernel: &Kernel) -> Result<Cargo, Fail> {
        let program = env::current_exe().context_with(|| "cannot find this program's own file")?;
        let mut builder = ImageBuilder::new();
        builder.init(program)?.folder(WORK)?;
        let tree = ModuleTree::open(kernel).or_exit(Exit::Host)?;

        // The agent's channel first, so that a module that fails to load can be told of.
        builder.modules(tree.resolve(&MODULES.map(Module::named)).or_exit(Exit::Host)?)?;
        let named: Vec<Module> = args.module.iter().map(|text| Module::from_words(text)).collect();
        builder.modules(tree.resolve(&named).or_exit(Exit::Usage)?)?;

        let mut env = vec![
            ("PATH".to_owned(), TOOL_DIRS.join(":")),
            ("HOME".to_owned(), "/root".to_owned()),
            ("NO_COLOR".to_owned(), "1".to_owned()),
        ];
        let mut optional = present(&tree, &HOST_MODULES);
        if let Some(path) = &args.qemu {
            let qemu = Qemu::at(path).or_exit(Exit::Usage)?;
            let at =
                fs::canonicalize(&qemu.path).context_with(|| format!("cannot find {}", path.display()))?;
            builder.program(&at, &at)?;
            for file in roms(&qemu).or_exit(Exit::Usage)? {
                builder.copy(&file, &file)?;
            }
            env.push((qemu_ptnet::QEMU_VAR.to_owned(), at.display().to_string()));
            optional.extend(present(&tree, &KVM_MODULES));
            carry_kernel(&mut builder, kernel, &tree)?;
            if let Some(netmap) = named.iter().find_map(netmap_file) {
                builder.copy("/root/netmap.ko", netmap)?;
                env.push((GUEST_MODULE_VAR.to_owned(), "/root/netmap.ko".to_owned()));
            }
        }
        let optional: Vec<Module> = optional.into_iter().map(Module::named).collect();
        let mut list = String::new();
        for module in tree.resolve(&optional).or_exit(Exit::Host)? {
            let at = format!("/lib/modules/{}.ko", module.name);
            list += &format!("{at}\n");
            builder.file(&at, module.bytes)?;
        }
        builder.file(OPTIONAL_MODULES, list)?;
        for tool in TOOLS {
            let places = TOOL_DIRS.iter().map(|dir| Path::new(dir).join(tool));
            if let Some(found) = places.into_iter().find(|path| path.is_file()) {
                builder.program(Path::new("/sbin").join(tool), found)?;
            }
        }
        for text in &args.file {
            carry_file(&mut builder, text)?;
        }
        Ok(Cargo { builder, env })
    }

    /// The image.
    pub(super) fn image(&self) -> Result<Image, Fail> {
        self.builder.build().context_with(|| "cannot make the machine's image")
    }

    /// Puts the document of a machine that was lost in, for the next.
    pub(super) fn go_on(&mut self, document: &CiDocument) -> Result<(), Fail> {
        self.builder.file(Path::new(WORK).join(GO_ON_FILE), document.to_json())?;
        Ok(())
    }

    /// The command's environment.
    pub(super) fn env(&self) -> Vec<(String, String)> {
        self.env.clone()
    }
}

/// The command line of `command` in the machine: a program by its path, or else a command of this program.
pub(super) fn argv(command: &[String]) -> Vec<String> {
    let program = command.first().is_some_and(|name| name.contains('/'));
    let own = (!program).then(|| "/init".to_owned());
    own.into_iter().chain(command.iter().cloned()).collect()
}

fn netmap_file(module: &Module) -> Option<PathBuf> {
    match &module.from {
        qemu_ptnet::From::File(path) if path.file_stem().is_some_and(|stem| stem == "netmap") => {
            Some(path.clone())
        }
        _ => None,
    }
}

fn present(tree: &ModuleTree, names: &[&'static str]) -> Vec<&'static str> {
    names.iter().copied().filter(|name| tree.has(name)).collect()
}

/// The kernel and the modules for guests of the machine, where a vale-bench in it looks for them.
fn carry_kernel(builder: &mut ImageBuilder, kernel: &Kernel, tree: &ModuleTree) -> Result<(), Fail> {
    let release = &kernel.release;
    builder.copy(format!("/boot/vmlinuz-{release}"), &kernel.image)?;
    let folder = format!("/lib/modules/{release}");
    let mut wanted = MODULES.map(Module::named).to_vec();
    wanted.extend(present(tree, &GUEST_MODULES).into_iter().map(Module::named));
    for module in tree.resolve(&wanted).or_exit(Exit::Host)? {
        builder.file(format!("{folder}/kernel/{}.ko", module.name), module.bytes)?;
    }
    if let Some(list) =
        kernel.modules.as_ref().map(|dir| dir.join("modules.builtin")).filter(|list| list.is_file())
    {
        builder.copy(format!("{folder}/modules.builtin"), list)?;
    }
    Ok(())
}

/// `PATH` or `PATH:PLACE`.
fn carry_file(builder: &mut ImageBuilder, text: &str) -> Result<(), Fail> {
    let (from, to) = match text.split_once(':') {
        Some((from, to)) => (Path::new(from), PathBuf::from(to)),
        None => (Path::new(text), PathBuf::from(text)),
    };
    if to.components().any(|part| part == Component::ParentDir) {
        return Err(Fail::usage(format!(
            "--file {text}: name a place for it in the machine, as in {text}:name"
        )));
    }
    let to = Path::new(WORK).join(to);
    let mut magic = [0; 4];
    let read = fs::File::open(from).and_then(|mut file| std::io::Read::read(&mut file, &mut magic));
    read.context_with(|| format!("--file {}", from.display())).or_exit(Exit::Usage)?;
    if magic == *b"\x7fELF" && from.extension().is_none_or(|extension| extension != "ko") {
        builder.program(to, from)?;
    } else {
        builder.copy(to, from)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_has_its_parameters_behind_it() {
        let with = Module::from_words("dir/netmap.ko  ptnet_vnet_hdr=0 buf_num=8192");
        assert_eq!(with, Module::file("dir/netmap.ko").with_params("ptnet_vnet_hdr=0 buf_num=8192"));
        assert_eq!(netmap_file(&with), Some("dir/netmap.ko".into()));
        assert_eq!(netmap_file(&Module::from_words("other.ko")), None);
    }

    #[test]
    fn a_path_is_a_program_and_a_word_is_a_command_of_ours() {
        let words = |text: &str| argv(&text.split(' ').map(str::to_owned).collect::<Vec<_>>()).join(" ");
        assert_eq!(words("p2p --out a/b.json"), "/init p2p --out a/b.json");
        assert_eq!(words("./pkt-gen -i vale0:1"), "./pkt-gen -i vale0:1");
    }

    #[test]
    fn a_file_must_be_there_and_its_place_within_reach() {
        let mut builder = ImageBuilder::new();
        for (text, words) in [("/nonexistent:x", "/nonexistent"), ("../secret", "name a place")] {
            let fail = carry_file(&mut builder, text).unwrap_err();
            assert_eq!(fail.exit(), Exit::Usage, "{text}");
            assert!(fail.to_string().contains(words), "{fail}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        carry_file(&mut builder, &format!("{}:in/it.json", file.path().display())).unwrap();
        let image = builder.build().unwrap();
        assert!(image.contents().iter().any(|(path, _)| *path == format!("{WORK}/in/it.json")));
    }
}
