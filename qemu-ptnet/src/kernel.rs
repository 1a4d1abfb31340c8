//! Finds a kernel for guests.
//!
//! Looked at in this order: the path that was given, or `$VALE_BENCH_KERNEL`; kernels unpacked into the cache
//! folder, as `kernels/<release>/boot/vmlinuz-<release>` with `kernels/<release>/lib/modules/<release>` (the tree
//! of a distribution's package); the host's own `/boot`. A kernel's release is read from the image, not from its
//! name.

use crate::cache;
use std::cmp::Ordering;
use std::env;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The environment variable that names a kernel image, or a folder with one.
pub const KERNEL_VAR: &str = "VALE_BENCH_KERNEL";

/// A kernel that guests can boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The image.
    pub image: PathBuf,
    /// Its release, as `uname -r` will say.
    pub release: String,
    /// `lib/modules/<release>`, where there is one.
    pub modules: Option<PathBuf>,
}

impl Kernel {
    /// The kernel at `given` (an image or a folder that was unpacked from a package), or the newest found.
    pub fn find(given: Option<&Path>) -> Result<Self, KernelError> {
        let variable = env::var_os(KERNEL_VAR).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(path) = given.map(Path::to_owned).or(variable) {
            return if path.is_dir() {
                newest_of(&path, &[path.join("boot"), path.clone()])
            } else {
                Self::at(&path)
            };
        }
        let cached = cache::dir().map(|dir| dir.join("kernels"));
        let unpacked = cached.as_deref().map(folders).unwrap_or_default();
        let best = unpacked.iter().filter_map(|tree| newest(&[tree.join("boot")])).max_by(by_release);
        if let Some(kernel) = best.or_else(|| newest(&["/boot".into()])) {
            return Ok(kernel);
        }
        let looked = cached.into_iter().chain([PathBuf::from("/boot")]).collect();
        Err(KernelError::NoneFound { looked })
    }

    /// The kernel image at `image`.
    pub fn at(image: &Path) -> Result<Self, KernelError> {
        let failed = |source| KernelError::Read { path: image.to_owned(), source };
        let release = release_of(File::open(image).map_err(failed)?).map_err(failed)?;
        let release = release.ok_or_else(|| KernelError::NotAKernel { path: image.to_owned() })?;
        // Beside boot/ in an unpacked package, beside the image, or the host's; newer packages have only usr/lib.
        let around = [image.parent().and_then(Path::parent), image.parent(), Some(Path::new("/"))];
        let places = around.into_iter().flatten().flat_map(|root| [root.join("lib"), root.join("usr/lib")]);
        let modules = places.map(|lib| lib.join("modules").join(&release)).find(|dir| dir.is_dir());
        Ok(Self { image: image.to_owned(), release, modules })
    }
}

fn newest_of(given: &Path, folders: &[PathBuf]) -> Result<Kernel, KernelError> {
    newest(folders).ok_or_else(|| KernelError::NoneFound { looked: vec![given.to_owned()] })
}

/// The newest readable kernel in `folders`, those with modules first.
fn newest(folders: &[PathBuf]) -> Option<Kernel> {
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let named = entries.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("vmlinuz") || name.starts_with("bzImage")
    });
    named.filter_map(|path| Kernel::at(&path).ok()).max_by(by_release)
}

fn by_release(a: &Kernel, b: &Kernel) -> Ordering {
    let rank = |kernel: &Kernel| kernel.modules.is_some();
    rank(a).cmp(&rank(b)).then_with(|| compare_versions(&a.release, &b.release))
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    // What a set-up is still unpacking has a name that begins with a dot.
    let whole = |path: &PathBuf| {
        path.is_dir() && !path.file_name().unwrap_or_default().to_string_lossy().starts_with('.')
    };
    entries.map(|entry| entry.path()).filter(whole).collect()
}

/// Compares runs of digits as numbers and the rest as text.
fn compare_versions(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (n, m) = (digits(a), digits(b));
        if n > 0 && m > 0 {
            let (x, y) = (a[..n].trim_start_matches('0'), b[..m].trim_start_matches('0'));
            let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
            if order.is_ne() {
                return order;
            }
            (a, b) = (&a[n..], &b[m..]);
            continue;
        }
        match (a.chars().next(), b.chars().next()) {
            (Some(x), Some(y)) if x == y => (a, b) = (&a[x.len_utf8()..], &b[y.len_utf8()..]),
            (x, y) => return x.cmp(&y),
        }
    }
}

/// The release in a bzImage's header, or in an uncompressed image's banner.
fn release_of(mut image: File) -> io::Result<Option<String>> {
    // Linux, Documentation/arch/x86/boot.rst: "HdrS" at 0x202; at 0x20e the offset of the version text, less 0x200.
    // The text lies within the set-up code, which is at most 64 sectors long.
    let mut head = Vec::new();
    image.by_ref().take(64 * 512).read_to_end(&mut head)?;
    if head.get(0x202..0x206) == Some(b"HdrS") {
        let offset = head.get(0x20e..0x210).map_or(0, |b| usize::from(u16::from_le_bytes([b[0], b[1]])));
        return Ok(if offset == 0 { None } else { head.get(offset + 0x200..).and_then(first_word) });
    }
    if head.starts_with(b"\x7fELF") {
        const BANNER: &[u8] = b"Linux version ";
        image.read_to_end(&mut head)?;
        let at = head.windows(BANNER.len()).position(|window| window == BANNER);
        return Ok(at.and_then(|at| first_word(&head[at + BANNER.len()..])));
    }
    Ok(None)
}

fn first_word(text: &[u8]) -> Option<String> {
    let end = text.iter().position(|&b| b == b' ' || b == 0)?;
    let word = std::str::from_utf8(&text[..end]).ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+~".contains(c);
    (!word.is_empty() && word.chars().all(plain)).then(|| word.to_owned())
}

/// Why there is no kernel to boot.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// Nowhere is one.
    #[error("no readable kernel image in {}; name one with --kernel or {KERNEL_VAR}", list(looked))]
    NoneFound {
        /// Where it was looked for.
        looked: Vec<PathBuf>,
    },
    /// The file cannot be read.
    #[error("cannot read the kernel {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is not a Linux kernel image (a bzImage such as /boot/vmlinuz-*, or an uncompressed vmlinux)", path.display())]
    NotAKernel {
        /// The file.
        path: PathBuf,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bzimage(release: &str) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
        image[0x300..0x300 + release.len()].copy_from_slice(release.as_bytes());
        image[0x300 + release.len()] = b' ';
        image
    }

    fn write(path: &Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn versions_compare_as_people_do() {
        let mut releases = ["6.12.9-amd64", "6.1.0-9", "6.1.0-10", "5.15.0", "6.1.0-10-cloud", "6.1.007"];
        releases.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(releases, ["5.15.0", "6.1.0-9", "6.1.0-10", "6.1.0-10-cloud", "6.1.007", "6.12.9-amd64"]);
    }

    #[test]
    fn the_newest_with_modules_is_taken_from_an_unpacked_tree() {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path();
        for release in ["6.1.0-9", "6.1.0-10", "6.2.0-without-modules"] {
            write(&root.join("boot").join(format!("vmlinuz-{release}")), &bzimage(release));
        }
        write(&root.join("boot/vmlinuz-broken"), b"not a kernel");
        for place in ["lib/modules/6.1.0-9", "usr/lib/modules/6.1.0-10"] {
            fs::create_dir_all(root.join(place)).unwrap();
        }
        let kernel = Kernel::find(Some(root)).unwrap();
        assert_eq!(kernel.release, "6.1.0-10");
        assert_eq!(kernel.image, root.join("boot/vmlinuz-6.1.0-10"));
        assert_eq!(kernel.modules, Some(root.join("usr/lib/modules/6.1.0-10")));
    }

    #[test]
    fn an_uncompressed_image_says_its_release_too() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("vmlinux");
        let mut image = b"\x7fELF".to_vec();
        image.resize(100_000, 0);
        image.extend_from_slice(b"Linux version 6.9.1+ (someone@somewhere)\0");
        write(&path, &image);
        assert_eq!(Kernel::at(&path).unwrap().release, "6.9.1+");
    }

    #[test]
    fn bad_images_get_a_sentence() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("vmlinuz");
        let mut no_release = bzimage("x");
        no_release[0x20e] = 0;
        no_release[0x20f] = 0;
        for bytes in [&b""[..], b"MZ", &[0; 0x210], &bzimage("")[..], &no_release, b"\x7fELF nothing"] {
            write(&path, bytes);
            assert!(
                matches!(Kernel::at(&path), Err(KernelError::NotAKernel { .. })),
                "{} bytes",
                bytes.len()
            );
        }
        assert!(matches!(Kernel::find(Some(Path::new("/nonexistent"))), Err(KernelError::Read { .. })));
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(Kernel::find(Some(empty.path())), Err(KernelError::NoneFound { .. })));
    }
}
