//! Names of ports: the first part of a specification, and all that the kernel sees as a name.

use std::ffi::c_char;
use std::fmt;
use std::str::FromStr;

use netmap_sys as sys;
use serde::{Deserialize, Serialize};

use super::{PortSpecError, Problem, parse};

/// Most bytes of a name in a request: [`sys::NETMAP_REQ_IFNAMSIZ`] without the NUL.
pub const MAX_NAME: usize = sys::NETMAP_REQ_IFNAMSIZ - 1;

/// Most bytes of a switch's name (with its `vale`) and of a VALE port's (behind the `:`): the
/// kernel keeps each in the room of an interface name (`nm_bdg_name_validate` in
/// `sys/dev/netmap/netmap_bdg.c`).
pub const MAX_VALE_PART: usize = sys::IFNAMSIZ - 1;

/// The name of a port, checked.
///
/// * A switch is `vale` and letters, digits and `_`, at most [`MAX_VALE_PART`] bytes.
/// * A VALE port has at most [`MAX_VALE_PART`] bytes; the whole name, with a pipe's, at most
///   [`MAX_NAME`].
/// * A port's name has no white space, control characters, `:`, nor any of `-*^/@{}`, which
///   end it.
/// * A pipe is called by letters, digits and `_`.
///
/// `netmap:vale0:1` is the same port as `vale0:1`, and reads as it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortName {
    pub(super) subsystem: Subsystem,
    pub(super) port: String,
    pub(super) pipe: Option<Pipe>,
}

/// What a port belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subsystem {
    /// `netmap:`, the system's interfaces and persistent ports.
    Netmap,
    /// A VALE switch.
    Vale {
        /// Its whole name, such as `vale0`.
        switch: String,
    },
}

/// An end of a pipe, in the memory of the port whose name it follows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pipe {
    /// Which end.
    pub role: PipeRole,
    /// Its identifier.
    pub id: String,
}

/// The end of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PipeRole {
    /// `{`
    Master,
    /// `}`
    Slave,
}

impl PipeRole {
    /// The bracket that stands for it.
    pub fn bracket(self) -> char {
        match self {
            PipeRole::Master => '{',
            PipeRole::Slave => '}',
        }
    }

    /// The other end.
    pub fn peer(self) -> Self {
        match self {
            PipeRole::Master => PipeRole::Slave,
            PipeRole::Slave => PipeRole::Master,
        }
    }
}

impl PortName {
    /// Port `port` of VALE switch `switch`, such as `vale0`.
    pub fn vale(switch: &str, port: &str) -> Result<Self, PortSpecError> {
        format!("{switch}:{port}").parse()
    }

    /// Interface or persistent port `port`.
    pub fn netmap(port: &str) -> Result<Self, PortSpecError> {
        format!("netmap:{port}").parse()
    }

    /// An end of pipe `id` at this port, which is not itself a pipe's end (if it is, the end is
    /// replaced).
    pub fn with_pipe(&self, role: PipeRole, id: &str) -> Result<Self, PortSpecError> {
        let parent = PortName { pipe: None, ..self.clone() };
        format!("{parent}{}{id}", role.bracket()).parse()
    }

    /// What the port belongs to.
    pub fn subsystem(&self) -> &Subsystem {
        &self.subsystem
    }

    /// The VALE switch, such as `vale0`, of a VALE port.
    pub fn switch(&self) -> Option<&str> {
        match &self.subsystem {
            Subsystem::Netmap => None,
            Subsystem::Vale { switch } => Some(switch),
        }
    }

    /// The name without prefix, switch and pipe.
    pub fn port(&self) -> &str {
        &self.port
    }

    /// The pipe's end, of a pipe.
    pub fn pipe(&self) -> Option<&Pipe> {
        self.pipe.as_ref()
    }

    /// The name as the kernel has it: without `netmap:`, with the switch, with the pipe.
    pub fn kernel_name(&self) -> String {
        let mut name = match &self.subsystem {
            Subsystem::Netmap => self.port.clone(),
            Subsystem::Vale { switch } => format!("{switch}:{}", self.port),
        };
        if let Some(pipe) = &self.pipe {
            name.push(pipe.role.bracket());
            name.push_str(&pipe.id);
        }
        name
    }

    /// The name for [`sys::nmreq_header::nr_name`], with its NUL.
    pub fn to_nr_name(&self) -> [c_char; sys::NETMAP_REQ_IFNAMSIZ] {
        sys::arith::name_field(&self.kernel_name()).expect("a PortName has at most MAX_NAME bytes and no NUL")
    }

    /// The problem with the lengths, if there is one, and how far into the kernel's name it begins.
    pub(super) fn too_long(&self) -> Option<(usize, Problem)> {
        if let Subsystem::Vale { switch } = &self.subsystem {
            if switch.len() > MAX_VALE_PART {
                return Some((0, Problem::SwitchTooLong { name: switch.clone() }));
            }
            if self.port.len() > MAX_VALE_PART {
                return Some((switch.len() + 1, Problem::PortTooLong { name: self.port.clone() }));
            }
        }
        let name = self.kernel_name();
        (name.len() > MAX_NAME).then_some((0, Problem::NameTooLong { name }))
    }
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.subsystem == Subsystem::Netmap { "netmap:" } else { "" };
        write!(f, "{prefix}{}", self.kernel_name())
    }
}

impl FromStr for PortName {
    type Err = PortSpecError;

    /// A name alone: no mode, flags or options.
    fn from_str(name: &str) -> Result<Self, PortSpecError> {
        parse::port_name(name)
    }
}

impl TryFrom<String> for PortName {
    type Error = PortSpecError;

    fn try_from(name: String) -> Result<Self, PortSpecError> {
        name.parse()
    }
}

impl From<PortName> for String {
    fn from(name: PortName) -> String {
        name.to_string()
    }
}
