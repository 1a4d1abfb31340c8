//! Nothing, unless the feature `bindgen` is on: then an installed `net/netmap.h` becomes
//! `$OUT_DIR/netmap.rs`, for `tests/bindgen.rs` to compare with this crate. What cannot be done
//! ends the build: a comparison that is asked for is not skipped.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "bindgen")]
    if let Err(problem) = generated::write() {
        eprintln!("netmap-sys, feature `bindgen`: {problem}");
        std::process::exit(1);
    }
}

#[cfg(feature = "bindgen")]
mod generated {
    use std::env;
    use std::path::{Path, PathBuf};

    const HEADERS: [&str; 2] = ["net/netmap.h", "net/netmap_virt.h"];

    /// Request numbers are macros with `sizeof` in them, which only a C compiler works out.
    const REQUESTS: [&str; 6] =
        ["NIOCCTRL", "NIOCTXSYNC", "NIOCRXSYNC", "NIOCREGIF", "NIOCGINFO", "NIOCCONFIG"];

    pub(crate) fn write() -> Result<(), String> {
        println!("cargo::rerun-if-env-changed=NETMAP_INCLUDE");
        let include = find_headers()?;
        for header in HEADERS {
            println!("cargo::rerun-if-changed={}", include.join(header).display());
        }

        let mut source = String::from("#include <stdint.h>\n#include <sys/time.h>\n#include <sys/ioctl.h>\n");
        source += "#include <net/if.h>\n";
        HEADERS.iter().for_each(|header| source += &format!("#include <{header}>\n"));
        for name in REQUESTS {
            source += &format!("static const unsigned long long request_{name} = {name};\n");
        }

        let bindings = bindgen::Builder::default()
            .header_contents("netmap-sys.h", &source)
            .clang_arg(format!("-I{}", include.display()))
            .allowlist_type("netmap_.*|nmreq.*|nm_csb_.*|nm_ifreq|timeval")
            .allowlist_var("(NETMAP|NR|NS|NM|NI|PTNET|PTNETMAP)_.*|IFNAMSIZ|request_.*")
            .derive_debug(false)
            .derive_copy(false)
            .layout_tests(true)
            .formatter(bindgen::Formatter::Prettyplease)
            .generate()
            .map_err(|e| format!("{} cannot be read: {e}", include.join(HEADERS[0]).display()))?;
        let out = Path::new(&env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("netmap.rs");
        bindings.write_to_file(&out).map_err(|e| format!("{}: {e}", out.display()))
    }

    /// The directory that has all headers: `NETMAP_INCLUDE`, or one of the system's.
    fn find_headers() -> Result<PathBuf, String> {
        let candidates = match env::var_os("NETMAP_INCLUDE") {
            Some(directory) => vec![PathBuf::from(directory)],
            None => vec!["/usr/include".into(), "/usr/local/include".into()],
        };
        let complete = |directory: &&PathBuf| HEADERS.iter().all(|header| directory.join(header).is_file());
        candidates.iter().find(complete).cloned().ok_or_else(|| {
            let looked: Vec<String> = candidates.iter().map(|c| c.display().to_string()).collect();
            format!(
                "{} not found in {}; install netmap's headers, or set NETMAP_INCLUDE to the directory whose \
                 `net` has them",
                HEADERS.join(" and "),
                looked.join(" nor "),
            )
        })
    }
}
