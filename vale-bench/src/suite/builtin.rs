//! The suites that come with the program.

/// A suite of the program's own.
#[derive(Debug, Clone, Copy)]
pub struct Builtin {
    /// The name to ask for it by.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// All of them, the shortest first.
pub const BUILTIN: &[Builtin] = &[
    Builtin { name: "quick", text: include_str!("../../suites/quick.toml") },
    Builtin { name: "conext19", text: include_str!("../../suites/conext19.toml") },
    Builtin { name: "full", text: include_str!("../../suites/full.toml") },
];
