//! A made-up kernel tree with modules that hold nothing but a `.modinfo`.

use super::*;
use std::io::Write;

/// The least ELF file that has a `.modinfo`: header, the two sections' bytes, three section headers.
fn module(fields: &[&str]) -> Vec<u8> {
    let mut info = Vec::new();
    for field in fields {
        info.extend_from_slice(field.as_bytes());
        info.push(0);
    }
    let names = b"\0.modinfo\0.shstrtab\0";
    let (info_at, names_at) = (64, 64 + info.len());
    let headers_at = names_at + names.len();
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend([1u16, 62].iter().flat_map(|v| v.to_le_bytes())); // ET_REL, EM_X86_64
    elf.extend(1u32.to_le_bytes());
    elf.extend([0, 0, headers_at as u64].iter().flat_map(|v| v.to_le_bytes())); // entry, phoff, shoff
    elf.extend(0u32.to_le_bytes());
    elf.extend([64u16, 0, 0, 64, 3, 2].iter().flat_map(|v| v.to_le_bytes()));
    elf.extend_from_slice(&info);
    elf.extend_from_slice(names);
    let sections =
        [(0u32, 0u32, 0usize, 0usize), (1, 1, info_at, info.len()), (10, 3, names_at, names.len())];
    for (name, kind, offset, size) in sections {
        elf.extend([name, kind].iter().flat_map(|v| v.to_le_bytes()));
        elf.extend([0, 0, offset as u64, size as u64].iter().flat_map(|v| v.to_le_bytes()));
        elf.extend([0u32; 2].iter().flat_map(|v| v.to_le_bytes()));
        elf.extend([1u64, 0].iter().flat_map(|v| v.to_le_bytes()));
    }
    elf
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::default()).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

const MAGIC: &str = "vermagic=6.1.0-test SMP preempt mod_unload";

struct Tree {
    root: tempfile::TempDir,
}

impl Tree {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn put(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn open(&self) -> ModuleTree {
        ModuleTree::open(&Kernel {
            image: "/boot/vmlinuz".into(),
            release: "6.1.0-test".into(),
            modules: Some(self.root.path().to_owned()),
        })
        .unwrap()
    }

    /// virtio_net → virtio_ring, virtio; virtio_ring → virtio, and one of each compression.
    fn virtio() -> Self {
        let tree = Self::new();
        let net = module(&["license=GPL", "depends=virtio,virtio-ring,mii", MAGIC]);
        tree.put("kernel/drivers/net/virtio-net.ko.xz", &xz(&net));
        tree.put("kernel/drivers/virtio/virtio_ring.ko.zst", &zstd(&module(&["depends=virtio", MAGIC])));
        tree.put("kernel/drivers/virtio/virtio.ko", &module(&["depends=", MAGIC]));
        tree.put("modules.builtin", b"kernel/drivers/net/mii.ko\nkernel/lib/crc32-pclmul.ko\n");
        tree
    }
}

fn names(loadable: &[Loadable]) -> Vec<&str> {
    loadable.iter().map(|module| module.name.as_str()).collect()
}

#[test]
fn dependencies_come_first_and_once() {
    let tree = Tree::virtio();
    let wanted = [Module::named("virtio_net").with_params("napi_tx=0"), Module::named("virtio-ring")];
    let loadable = tree.open().resolve(&wanted).unwrap();
    assert_eq!(names(&loadable), ["virtio", "virtio_ring", "virtio_net"]);
    assert_eq!(loadable[2].params, "napi_tx=0");
    for module in loadable {
        assert!(module.bytes.starts_with(b"\x7fELF"), "{} is unpacked", module.path.display());
    }
}

#[test]
fn what_is_built_in_needs_no_loading() {
    let tree = Tree::virtio().open();
    assert_eq!(tree.resolve(&[Module::named("crc32_pclmul")]).unwrap(), []);
    assert!(tree.has("crc32-pclmul") && tree.has("virtio-net") && !tree.has("netmap"));
}

#[test]
fn a_file_from_elsewhere_finds_its_dependencies_and_serves_as_one() {
    let tree = Tree::virtio();
    let netmap = tree.put("elsewhere/netmap.ko", &module(&["depends=virtio", MAGIC]));
    let user = tree.put("elsewhere/user.ko", &module(&["depends=netmap", MAGIC]));
    let wanted = [Module::file(&user), Module::file(&netmap).with_params("ptnet_vnet_hdr=0")];
    // Not from the tree: only what was given by path.
    fs::rename(tree.root.path().join("elsewhere"), tree.root.path().join(".elsewhere")).unwrap();
    let hidden = |module: &Module| match &module.from {
        From::File(path) => Module::file(tree.root.path().join(".elsewhere").join(path.file_name().unwrap()))
            .with_params(module.params.clone()),
        From::Tree(_) => module.clone(),
    };
    let wanted: Vec<_> = wanted.iter().map(hidden).collect();
    let loadable = tree.open().resolve(&wanted).unwrap();
    assert_eq!(names(&loadable), ["virtio", "netmap", "user"]);
    assert_eq!(loadable[1].params, "ptnet_vnet_hdr=0");
}

#[test]
fn updates_go_before_the_kernels_own() {
    let tree = Tree::virtio();
    let newer = tree.put("updates/dkms/virtio.ko", &module(&["depends=", MAGIC]));
    assert_eq!(tree.open().resolve(&[Module::named("virtio")]).unwrap()[0].path, newer);
}

#[test]
fn what_cannot_be_loaded_is_named() {
    let tree = Tree::virtio();
    tree.put("kernel/a.ko", &module(&["depends=b", MAGIC]));
    tree.put("kernel/b.ko", &module(&["depends=a", MAGIC]));
    tree.put("kernel/c.ko", &module(&["depends=lost", MAGIC]));
    tree.put("kernel/old.ko", &module(&["depends=", "vermagic=5.10.0 SMP"]));
    tree.put("kernel/text.ko", b"no ELF file");
    tree.put("kernel/torn.ko.xz", &xz(&module(&[MAGIC]))[..40]);
    tree.put("kernel/torn2.ko.zst", &zstd(&module(&[MAGIC]))[..10]);
    tree.put("kernel/packed.ko.gz", b"\x1f\x8b");
    let tree = tree.open();
    let error = |name: &str| tree.resolve(&[Module::named(name)]).unwrap_err();
    assert!(matches!(error("a"), ModuleError::Circle { name } if name == "a"));
    let lost = error("c");
    assert!(matches!(&lost, ModuleError::Missing { name, needed_by, .. }
        if name == "lost" && needed_by.as_deref() == Some("c")));
    assert!(
        lost.to_string().starts_with("kernel 6.1.0-test has no module lost (needed by c) in /"),
        "{lost}"
    );
    assert!(matches!(error("old"), ModuleError::OtherKernel { module, .. } if module == "5.10.0"));
    assert!(matches!(error("text"), ModuleError::NotAModule { .. }));
    assert!(matches!(error("torn"), ModuleError::Read { .. }));
    assert!(matches!(error("torn2"), ModuleError::Read { .. }));
    assert!(matches!(error("packed"), ModuleError::Gzip { .. }));
    let bare = Kernel { image: "k".into(), release: "6.1.0-test".into(), modules: None };
    let error = ModuleTree::open(&bare).unwrap().resolve(&[Module::named("virtio")]).unwrap_err();
    assert!(matches!(error, ModuleError::NoTree { .. }));
}
