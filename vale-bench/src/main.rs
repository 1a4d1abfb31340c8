//! The program: see the library for everything.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Started by a kernel, this program is a benchmark guest's init.
    if guest::init::is_init() {
        guest::init::run();
    }
    vale_bench::main_with(std::env::args_os())
}
