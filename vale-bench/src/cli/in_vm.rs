//! Options of `in-vm`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};

use super::guests::AccelChoice;
use crate::units::parse_positive_duration;

/// Options of `in-vm`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vale-bench in-vm -- p2p --out p2p.json
  vale-bench in-vm --module netmap.ko -- p2p --dataplane vale
  vale-bench in-vm --module 'netmap.ko ptnet_vnet_hdr=0' \\
                   --qemu /opt/ptnet/bin/qemu-system-x86_64 -- \\
                   v2v --vms 2 --dataplane vale
  vale-bench in-vm --module netmap.ko --go-on -- ci --junit ci.xml
  vale-bench in-vm --module netmap.ko --file pkt-gen -- \\
                   ./pkt-gen -i vale0:1 -f tx -n 1000000

Exit codes:
  that of COMMAND, or
  1 the machine did not come up, was lost, or ran out of time
  2 usage   3 its kernel panicked, oopsed, warned or hung
  4 this host has no QEMU or no kernel for it")]
pub struct InVmArgs {
    /// What to run in the machine: a command of vale-bench, or ./NAME of a --file
    #[arg(value_name = "COMMAND", required = true, last = true)]
    pub command: Vec<String>,

    /// Kernel of the machine and of its guests [default: the newest found]
    #[arg(long, value_name = "PATH", help_heading = "What goes in")]
    pub kernel: Option<PathBuf>,
    /// Module to load, with its parameters: netmap.ko or 'netmap.ko buf_num=65536'
    ///
    /// In the order given, each after what it depends on. Guests of the machine load netmap from here too.
    #[arg(long, value_name = "FILE", help_heading = "What goes in")]
    pub module: Vec<String>,
    /// QEMU for guests of the machine, carried in with its firmware and libraries
    #[arg(long, value_name = "PATH", help_heading = "What goes in")]
    pub qemu: Option<PathBuf>,
    /// File to carry in, to the same place, or PATH:PLACE; programs with their libraries
    ///
    /// A relative place is in the working directory of COMMAND.
    #[arg(long, value_name = "PATH", help_heading = "What goes in")]
    pub file: Vec<String>,

    /// Where files go that COMMAND leaves in its working directory
    #[arg(long, value_name = "DIR", default_value = ".", help_heading = "What comes out")]
    pub results: PathBuf,
    /// Keep the machine's console and kernel log in this directory
    #[arg(long, value_name = "DIR", help_heading = "What comes out")]
    pub logs: Option<PathBuf>,
    /// A warning in the kernel log (WARN) does not fail the run
    #[arg(long, help_heading = "What comes out")]
    pub allow_warnings: bool,

    /// Where a check of ci takes the machine along, go on with the next in a new one
    ///
    /// At most eight machines. Without it the run ends there; either way the files of ci have what was found.
    #[arg(long, help_heading = "What comes out")]
    pub go_on: bool,

    /// Processors
    #[arg(long, value_name = "N", default_value = "2", value_parser = value_parser!(u16).range(1..=64),
        help_heading = "The machine")]
    pub cpus: u16,
    /// Memory in MiB [default: 3072; 4096 with --qemu]
    #[arg(long, value_name = "MIB", value_parser = value_parser!(u32).range(256..=1_048_576),
        help_heading = "The machine")]
    pub memory: Option<u32>,
    /// What runs it
    #[arg(long, value_enum, value_name = "ACCEL", default_value = "auto", help_heading = "The machine")]
    pub accel: AccelChoice,
    /// QEMU that runs the machine itself [default: the one found in PATH]
    #[arg(long, value_name = "PATH", help_heading = "The machine")]
    pub host_qemu: Option<PathBuf>,
    /// Longest time COMMAND may take
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_positive_duration,
        help_heading = "The machine")]
    pub timeout: Duration,
    /// Longest time one boot may take; it is tried twice
    #[arg(long, value_name = "TIME", default_value = "90s", value_parser = parse_positive_duration,
        help_heading = "The machine")]
    pub boot_timeout: Duration,
    /// No progress on standard error
    #[arg(short, long, help_heading = "The machine")]
    pub quiet: bool,
}
