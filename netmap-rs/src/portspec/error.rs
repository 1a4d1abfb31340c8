//! What can be wrong with a port specification: each problem says what was found and what would
//! be right.

use super::{MAX_NAME, MAX_VALE_PART, RingId};

/// Why a string is no port specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortSpecError {
    /// It begins with neither `netmap` nor `vale`: something for another driver, perhaps.
    #[error("`{spec}` is not a netmap port: those are written `netmap:eth0` or `vale0:1`")]
    NotNetmap {
        /// The string.
        spec: String,
    },
    /// It is meant for netmap, and wrong.
    #[error("port specification `{spec}`, byte {at}: {problem}")]
    Syntax {
        /// The string.
        spec: String,
        /// Where the problem begins, in bytes from the start of `spec`.
        at: usize,
        /// What it is.
        problem: Problem,
    },
}

/// A character, or the end of the string.
fn shown(found: &Option<char>) -> String {
    found.map_or_else(|| "the end".into(), |c| format!("`{}`", c.escape_debug()))
}

/// What is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// An empty string.
    #[error("it is empty; write a port, such as `netmap:eth0` or `vale0:1`")]
    Empty,
    /// No `:` after the prefix.
    #[error("`:` and a port are missing after `{prefix}`, as in `{prefix}:1`")]
    MissingColon {
        /// What was read so far: `netmap`, or a switch.
        prefix: String,
    },
    /// Something between `netmap` and `:`.
    #[error(
        "`netmap` is followed by `:` at once, not by `{found}`; a switch is called `vale` and an identifier"
    )]
    NetmapIdentifier {
        /// What stands there.
        found: String,
    },
    /// A character in a switch's name.
    #[error("{} in the name of a switch: it takes letters, digits and `_` only", shown(&Some(*.found)))]
    SwitchCharacter {
        /// The character.
        found: char,
    },
    /// A switch's name that the kernel cannot hold.
    #[error("the switch's name `{name}` has {} bytes, more than the {MAX_VALE_PART} that netmap allows", .name.len())]
    SwitchTooLong {
        /// The name, from `vale` on.
        name: String,
    },
    /// Nothing between the prefix and what follows.
    #[error("the port's name is missing, as in `netmap:eth0` or `vale0:1`")]
    EmptyPort,
    /// A character in a port's name.
    #[error("{} in a port's name: no interface or port can be called so", shown(&Some(*.found)))]
    PortCharacter {
        /// The character.
        found: char,
    },
    /// A VALE port's name that the kernel cannot hold.
    #[error("the port's name `{name}` has {} bytes, more than the {MAX_VALE_PART} that netmap allows", .name.len())]
    PortTooLong {
        /// The name, behind the `:`.
        name: String,
    },
    /// A name that does not fit a request.
    #[error("the port's name `{name}` has {} bytes, more than the {MAX_NAME} that a request holds", .name.len())]
    NameTooLong {
        /// The name, as it would be in the request.
        name: String,
    },
    /// `netmap:vale…` without a switch.
    #[error(
        "netmap takes names that begin with `vale` for VALE ports: write `{name}:1`, with the port's name"
    )]
    ValeWithoutPort {
        /// The name.
        name: String,
    },
    /// `{` or `}` with nothing behind it.
    #[error("the pipe's name is missing after `{bracket}`, as in `{bracket}1`")]
    EmptyPipe {
        /// `{` or `}`.
        bracket: char,
    },
    /// A character in a pipe's name.
    #[error("{} in a pipe's name: it takes letters, digits and `_` only", shown(&Some(*.found)))]
    PipeCharacter {
        /// The character.
        found: char,
    },
    /// `-` without a number. Names of interfaces with a `-` in them end up here.
    #[error("{} after `-`, which takes the number of a ring pair; an interface with `-` in its name cannot \
             be named here: give it another name", shown(.found))]
    RingMissing {
        /// What stands there instead; `None` at the end.
        found: Option<char>,
    },
    /// A ring's number that is too high.
    #[error("ring pair {digits} does not exist: numbers go from 0 to {}", RingId::MAX)]
    RingRange {
        /// The number.
        digits: String,
    },
    /// A character where a suffix goes on.
    #[error("{} is unexpected; {expected}", shown(&Some(*.found)))]
    Unexpected {
        /// The character.
        found: char,
        /// What may stand there.
        expected: &'static str,
    },
    /// A letter that is no flag.
    #[error("{} is not a flag; flags are x (exclusive), z, t, r (monitor), R, T (receive or transmit rings only)",
            shown(&Some(*.found)))]
    UnknownFlag {
        /// The letter.
        found: char,
    },
    /// `/` at the end.
    #[error("flags are missing after `/`: any of x, z, t, r, R, T")]
    MissingFlags,
    /// `@` at the end.
    #[error("a memory id or an option is missing after `@`")]
    MissingMemId,
    /// A memory id that is 0 or too high.
    #[error("{digits} is not a memory id: they go from 1 to {}", u16::MAX)]
    MemIdRange {
        /// The number.
        digits: String,
    },
    /// Two memory ids that differ.
    #[error("memory id {second} after memory id {first}: a port is in one region")]
    MemIdConflict {
        /// The one that came first.
        first: u16,
        /// The other.
        second: u16,
    },
    /// An option that netmap does not know.
    #[error("`{name}` is not an option; options are share, extmem, conf and offset")]
    UnknownOption {
        /// Its name.
        name: String,
    },
    /// An option that may be given once.
    #[error("option `{option}` is given twice")]
    DuplicateOption {
        /// The option.
        option: &'static str,
    },
    /// An option that says nothing.
    #[error("option `{option}` needs a value: write `{example}`")]
    MissingBody {
        /// The option.
        option: &'static str,
        /// How it could look.
        example: &'static str,
    },
    /// A key that the option does not have.
    #[error("option `{option}` has no key `{key}`; its keys are {known}")]
    UnknownKey {
        /// The option.
        option: &'static str,
        /// The key.
        key: String,
        /// The option's keys.
        known: &'static str,
    },
    /// No key where one is due.
    #[error("a key of option `{option}` is missing; its keys are {known}")]
    EmptyKey {
        /// The option.
        option: &'static str,
        /// The option's keys.
        known: &'static str,
    },
    /// A key given twice.
    #[error("key `{key}` of option `{option}` is given twice")]
    DuplicateKey {
        /// The option.
        option: &'static str,
        /// The key.
        key: String,
    },
    /// A key without a value.
    #[error("key `{key}` of option `{option}` needs a value: write `{key}=VALUE`")]
    MissingValue {
        /// The option.
        option: &'static str,
        /// The key.
        key: String,
    },
    /// A key that the option cannot do without.
    #[error("option `{option}` needs its key `{key}`")]
    MissingKey {
        /// The option.
        option: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A value that is no number, or too high a one.
    #[error("`{value}` is no value for `{key}`: it takes a number from 0 to {max}")]
    Number {
        /// The key.
        key: String,
        /// What stands there.
        value: String,
        /// The highest value.
        max: u64,
    },
    /// `share` with something that is no netmap port.
    #[error("`{value}` is not a port to share memory with: write `share=netmap:eth0` or `share=vale0:1`")]
    ShareNotNetmap {
        /// What stands there.
        value: String,
    },
    /// `share` with more than a name.
    #[error("`{rest}` after the port to share memory with: the port's name is enough")]
    ShareSuffix {
        /// What stands there.
        rest: String,
    },
    /// A file for `extmem` that cannot be written down.
    #[error("`{file}` cannot be named in a port specification: {reason}")]
    ExtmemFile {
        /// The path.
        file: String,
        /// Why.
        reason: &'static str,
    },
}
