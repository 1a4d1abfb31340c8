//! Under feature `dpdk`: compiles the functions that DPDK's headers define into a shared object, which the program
//! carries inside itself and loads when it first needs it.

fn main() {
    println!("cargo::rerun-if-changed=src/ports/dpdk/shim.c");
    #[cfg(feature = "dpdk")]
    dpdk::build_shim();
}

#[cfg(feature = "dpdk")]
mod dpdk {
    use std::env;
    use std::path::PathBuf;

    /// The oldest whose `rte_dev_name` and names of offloads the shim uses.
    const OLDEST: &str = "22.11";

    pub(super) fn build_shim() {
        let found = pkg_config::Config::new().cargo_metadata(false).atleast_version(OLDEST).probe("libdpdk");
        let library = found.unwrap_or_else(|e| {
            panic!("feature dpdk needs DPDK's headers (Debian: libdpdk-dev), {OLDEST} or newer: {e}")
        });
        let flags = std::process::Command::new("pkg-config").args(["--cflags", "libdpdk"]).output();
        let flags = flags.expect("pkg-config has just answered").stdout;
        let flags = String::from_utf8(flags).expect("compiler flags are text");
        let mut build = cc::Build::new();
        // Whatever the profile: an unoptimised burst is none.
        build.file("src/ports/dpdk/shim.c").opt_level(3).debug(false).pic(true).warnings(true);
        build.flag("-fvisibility=hidden");
        for flag in flags.split_whitespace() {
            build.flag(flag);
        }
        let objects = build.compile_intermediates();
        let shim = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("dpdk_shim.so");
        let mut link = build.get_compiler().to_command();
        link.args(["-shared", "-Wl,--as-needed", "-Wl,--no-undefined", "-Wl,-s", "-o"]).arg(&shim);
        link.args(objects);
        link.args(library.link_paths.iter().map(|path| format!("-L{}", path.display())));
        link.args(["-lrte_ethdev", "-lrte_mbuf", "-lrte_mempool", "-lrte_eal"]);
        let status = link.status().expect("the compiler that has just run");
        assert!(status.success(), "linking DPDK's functions failed: {link:?}");
    }
}
