//! Options of `vale`.

use std::num::NonZeroU16;

use clap::{Args, Subcommand, ValueEnum};
use netmap_rs::portspec::{PortName, PortSpec};

/// Options of `vale`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vale-bench vale list
  vale-bench vale create v0 --slots 512
  vale-bench vale attach vale0:v0
  vale-bench vale attach vale0:eth1 --host
  vale-bench vale info vale0:eth1 --format json
  vale-bench vale poll vale0:eth1 --cpu 1
  vale-bench vale detach vale0:eth1
  vale-bench vale delete v0

Exits with 4 where there is no netmap, and with 2 if a name is none or nothing
has it.")]
pub struct ValeArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: ValeAction,
    /// How to show the answer
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT", global = true)]
    pub format: ValeFormat,
}

/// How to show an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ValeFormat {
    /// For people
    Table,
    /// For programs
    Json,
}

/// What `vale` does.
#[derive(Debug, Subcommand)]
pub enum ValeAction {
    /// List the ports of all switches, or of one
    List {
        /// Name of a switch: vale0
        #[arg(value_name = "SWITCH", value_parser = super::values::switch_name)]
        switch: Option<String>,
    },
    /// Attach an interface or persistent port to a switch
    Attach {
        /// Switch and interface: vale0:eth0
        #[arg(value_name = "SWITCH:PORT", value_parser = switch_port)]
        port: PortName,
        /// Attach the host's stack too, so that the system keeps its network
        #[arg(long)]
        host: bool,
        /// Memory region for the interface
        #[arg(long, value_name = "ID")]
        region: Option<NonZeroU16>,
    },
    /// Detach a port from its switch
    Detach {
        /// Switch and port: vale0:eth0
        #[arg(value_name = "SWITCH:PORT", value_parser = switch_port)]
        port: PortName,
    },
    /// Create a persistent port, an interface that can be attached
    Create {
        /// Its name: at most 15 bytes, not beginning with vale
        #[arg(value_name = "NAME", value_parser = interface)]
        port: PortName,
        /// Slots of each ring, 0 for the default
        #[arg(long, value_name = "N", default_value = "0")]
        slots: u32,
        /// Transmit and receive rings, 0 for the default
        #[arg(long, value_name = "N", default_value = "0")]
        rings: u16,
        /// Memory region
        #[arg(long, value_name = "ID")]
        region: Option<NonZeroU16>,
    },
    /// Delete a persistent port that is neither open nor attached
    Delete {
        /// Its name
        #[arg(value_name = "NAME", value_parser = interface)]
        port: PortName,
    },
    /// Have processors poll an attached interface, or no longer
    Poll {
        /// Switch and interface: vale0:eth0
        #[arg(value_name = "SWITCH:PORT", value_parser = switch_port)]
        port: PortName,
        /// Processor that polls, the first of several
        #[arg(long, value_name = "CPU", default_value = "0")]
        cpu: u32,
        /// Processors that poll, each the ring of its own number; 1 polls all rings
        #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
        cpus: u32,
        /// Give the interface its interrupts back
        #[arg(long, conflicts_with_all = ["cpu", "cpus"])]
        off: bool,
    },
    /// Show rings, slots, header and memory of a port
    Info {
        /// The port: vale0:1, or an interface
        #[arg(value_name = "PORT", value_parser = any_port)]
        port: PortName,
    },
}

/// `vale0:eth0`.
fn switch_port(text: &str) -> Result<PortName, String> {
    if !text.starts_with("vale") || !text.contains(':') {
        return Err(format!("{text:?} names no port on a switch; write the switch and the port: vale0:eth0"));
    }
    plain(text)
}

/// `v0`, with or without `netmap:`.
fn interface(text: &str) -> Result<PortName, String> {
    let name = text.strip_prefix("netmap:").unwrap_or(text);
    if name.starts_with("vale") {
        return Err(format!("{text:?}: names that begin with vale are those of switches"));
    }
    if name.len() > 15 {
        return Err(format!("{text:?} has {} bytes, and an interface's name at most 15", name.len()));
    }
    plain(&format!("netmap:{name}"))
}

/// Either.
fn any_port(text: &str) -> Result<PortName, String> {
    if text.contains(':') { plain(text) } else { interface(text) }
}

/// A name and nothing else: no mode, no flags, no options.
fn plain(text: &str) -> Result<PortName, String> {
    let spec: PortSpec = text.parse().map_err(|e| format!("{text:?} is no port: {e}"))?;
    let whole = PortSpec::new(spec.name.clone());
    if spec != whole {
        return Err(format!("{text:?}: only a port's name is wanted here"));
    }
    Ok(spec.name)
}
