//! The command line: every command and option, with its unit and default.
//!
//! Deliberately absent: what the commands do (`commands`). Here is only what can be asked for, and whether it
//! makes sense without looking at the host.

mod bench;
mod ci;
mod compare;
mod guests;
mod in_vm;
mod load;
mod report;
mod search;
mod suite;
mod switch;
mod traffic;
mod trend;
mod vale;
mod values;
mod vhost;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use bench::{BenchArgs, HostGuestArgs, IdleChoice, LoopbackArgs, OutputArgs, P2pArgs, V2vArgs};
pub use ci::{CiArgs, CiCheckArgs, CiFormat};
pub use compare::{ByChoice, CompareArgs, CompareFormat, PublishedArgs};
pub use guests::{AccelChoice, ForwarderChoice, GUEST_MODULE_VAR, GuestArgs, LinkChoice, Switched, VmArgs};
pub use in_vm::InVmArgs;
pub use load::{BenchLoadArgs, LoadArgs};
pub use report::{ReportArgs, RowsChoice};
pub use search::SearchArgs;
pub use suite::SuiteArgs;
pub use switch::SwitchArgs;
pub use traffic::{
    AddressArgs, CommonTrafficArgs, FwdArgs, PingArgs, PongArgs, ProbeSizeArgs, RewriteMac, RunArgs, RxArgs,
    SizeArgs, TrafficFormat, TxArgs,
};
pub use trend::TrendArgs;
pub use vale::{ValeAction, ValeArgs, ValeFormat};
pub use values::{Cpus, Endpoint, EndpointRange, MacRange, Percentages};
pub use vhost::{GuestDriverChoice, GuestMemory, OvsFlows, RingChoice, RoleChoice, VhostArgs};

use crate::report::Format;

const EXAMPLES: &str = "\
Examples:
  vale-bench v2v --vms 2                    VM to VM through VALE: the headline
  vale-bench v2v --vms 4 --size 64,512,1518 --bidir --repeat 3 --latency \\
                 --out r.json               more of it, raw data kept
  vale-bench p2p --duration 2               host port to host port, no guests
  vale-bench loopback --vms 3               through a chain of 3 VMs
  vale-bench suite quick                    the headline, in 3 minutes
  vale-bench show r.json --format markdown  a kept result, shown again
  vale-bench compare old.json new.json      which is faster, and how surely
  vale-bench report r.json --html out/      the same as a page with figures
  vale-bench doctor                         what this host can run
  vale-bench ci                             is the netmap module still sound?
  vale-bench in-vm --module netmap.ko -- ci the same in a VM that plays the host

Exit codes:
  0 good   1 the run failed   2 usage   3 regression or failed check
  4 this host cannot run it   130 SIGINT   143 SIGTERM

Environment:
  VALE_BENCH_RUNTIME_DIR  where sockets and other files of a run go (otherwise
                          $XDG_RUNTIME_DIR/vale-bench, /run/vale-bench for root,
                          or ~/.cache/vale-bench/run); must be private (0700)
  VALE_BENCH_QEMU         QEMU, where --qemu does not name one
  VALE_BENCH_KERNEL       guest kernel, where --kernel does not name one
  NO_COLOR                if set and not empty: no colours";

/// Measures how fast virtual machines on this host talk through a VALE switch.
#[derive(Debug, Parser)]
#[command(
    name = "vale-bench",
    version = crate::provenance::VERSION,
    max_term_width = 80,
    arg_required_else_help = true,
    after_help = EXAMPLES
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every benchmark has and this one refuses: left out of its help.
fn not_offered(arg: clap::Arg) -> clap::Arg {
    arg.hide(true)
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure VM to VM: pairs of guests on one switch
    ///
    /// Boots the guests, gives each a port of one switch, and lets the first of every two send to the second, one to
    /// all others, or all to one (--pattern; both ways with --bidir). The rate is the receivers'. A trial is made for
    /// every size, dataplane and repetition, interleaved.
    #[command(mut_arg("port", not_offered), mut_arg("forwarder", not_offered))]
    V2v(Box<V2vArgs>),
    /// Measure host port to host port: pairs of ports on one switch
    ///
    /// Without guests: what the switch and the generator can do. The first port of every pair sends to the
    /// second (or both ways with --bidir). The rate is the receivers'. A trial is made for every size,
    /// dataplane and repetition, interleaved.
    P2p(Box<P2pArgs>),
    /// Measure host port to VM: each port of the host sends to a guest of its own
    #[command(mut_arg("port", not_offered), mut_arg("forwarder", not_offered))]
    P2v(Box<HostGuestArgs>),
    /// Measure VM to host port: each guest sends to a port of the host of its own
    #[command(mut_arg("port", not_offered), mut_arg("forwarder", not_offered))]
    V2p(Box<HostGuestArgs>),
    /// Measure through a chain of VMs, from the host and back to it
    ///
    /// The host sends into the first guest; each guest forwards between its two ports; the last leads back to the
    /// host, which receives. Every hop is a switch of its own. With --bidir frames go both ways through the chain,
    /// and round trips (--latency) go through it and back. The rate is the receivers'.
    #[command(mut_arg("port", not_offered))]
    Loopback(Box<LoopbackArgs>),
    /// Run many benchmarks as one, from a file
    ///
    /// Multiplies scenarios, dataplanes, sizes, directions and whatever else a benchmark can be told, and measures
    /// all of it interleaved, in an order drawn by lot. Started again, it goes on where it was interrupted.
    Suite(Box<SuiteArgs>),
    /// Send frames on a port
    ///
    /// Sends until Ctrl-C, a count or a time, and reports the rate at which the port took the frames. Letters
    /// mean what they mean to pkt-gen.
    Tx(Box<TxArgs>),
    /// Receive and count frames on a port
    ///
    /// Receives until Ctrl-C, a count or a time. Reports the rate and, for frames of vale-bench, what was lost,
    /// reordered or duplicated. Letters mean what they mean to pkt-gen.
    Rx(Box<RxArgs>),
    /// Measure round trips from a port
    ///
    /// Sends probes that a pong on another port sends back, and reports percentiles of the time from one to
    /// the other on this port's clock. Letters mean what they mean to pkt-gen.
    Ping(Box<PingArgs>),
    /// Send probes back on a port
    ///
    /// Sends every probe that comes in back to where it came from, until Ctrl-C or a time.
    Pong(Box<PongArgs>),
    /// Forward between two ports, both ways
    ///
    /// Passes what either port receives on to the other, until Ctrl-C or a time. Between ports of the kernel's
    /// netmap that share memory no frame is copied.
    Fwd(Box<FwdArgs>),
    /// Run the embedded VALE switch for other processes
    ///
    /// Runs until Ctrl-C. Other processes of the same user attach ports by name: vale-bench tx -i vale0:1 is a
    /// port of the switch called vale0. A port goes when its process ends.
    Switch(Box<SwitchArgs>),
    /// Run a command in a machine that plays the host
    ///
    /// Boots one QEMU guest as a stand-in for a netmap-enabled host, loads the modules given, and runs a command
    /// of vale-bench in it. Output, files and exit code come out; a panic, an oops, a warning or a hang of its
    /// kernel is told apart and shown. Under TCG the machine emulates AMD's virtualisation, so KVM works in it and
    /// ptnet guests run.
    InVm(Box<InVmArgs>),
    /// Manage the kernel's VALE switches: list, attach, detach, create, delete, poll
    ///
    /// What vale-ctl does. It needs the netmap module, and mostly root.
    Vale(Box<ValeArgs>),
    /// Check the netmap module of this host
    ///
    /// Runs each check in a process of its own, with a deadline, on ports and interfaces whose names begin with
    /// valeci and nmci, and looks at the kernel's log after it. It needs the netmap module, and root.
    Ci(Box<CiArgs>),
    /// Run one check of ci in this process
    #[command(hide = true)]
    CiCheck(Box<CiCheckArgs>),
    /// Serve as the agent of a guest that another system booted
    #[command(hide = true)]
    GuestAgent,
    /// Show a kept result again
    Show(ShowArgs),
    /// Tell which of several results is faster, by how much, how surely
    ///
    /// Matches trials by what was measured, and gives the ratio of their medians with an interval, a test and a
    /// verdict. What was measured under other circumstances is refused, by name.
    Compare(Box<CompareArgs>),
    /// Tell where figures changed over many runs and commits
    ///
    /// Looks at all results in a folder, and at documents and baselines of ci: a series for everything that was
    /// measured alike on the same machine, its changes, and whether the newest run is out of line.
    Trend(TrendArgs),
    /// Show figures that others published
    Published(PublishedArgs),
    /// Make a page, Markdown, CSV, JUnit or plots of kept results
    ///
    /// The page is one file: figures with the numbers behind them, warnings first, the circumstances, and the
    /// commands that measure it again. It needs no network and no script. Several results make one report, in which
    /// those that measured the same are compared.
    Report(ReportArgs),
    /// Tell what this host can run, and what is missing for the rest
    Doctor(DoctorArgs),
    /// Print the JSON schema of results, comparisons, trends, or runs of ci
    Schema(SchemaArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
}

/// How to show a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatChoice {
    /// A table for people
    Table,
    /// The result document
    Json,
    /// One row a trial
    Csv,
    /// For a pull request
    Markdown,
}

impl From<FormatChoice> for Format {
    fn from(choice: FormatChoice) -> Format {
        match choice {
            FormatChoice::Table => Format::Table,
            FormatChoice::Json => Format::Json,
            FormatChoice::Csv => Format::Csv,
            FormatChoice::Markdown => Format::Markdown,
        }
    }
}

/// Options of `show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vale-bench show r.json
  vale-bench show r.json --format csv > r.csv")]
pub struct ShowArgs {
    /// Result file, as written by --out
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How to show it
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub format: FormatChoice,
}

/// Options of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Exits with 4 if nothing can run on this host, with 0 otherwise.")]
pub struct DoctorArgs {
    /// QEMU to look at [default: the one found in PATH]
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,
    /// Guest kernel to look at [default: the newest found]
    #[arg(long, value_name = "PATH")]
    pub kernel: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    pub json: bool,
}

/// Options of `schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Of which document
    #[arg(value_enum, default_value = "result", value_name = "DOCUMENT")]
    pub document: SchemaChoice,
}

/// The documents of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaChoice {
    /// Of a benchmark
    Result,
    /// Of ci
    Ci,
    /// Of compare
    Compare,
    /// Of trend
    Trend,
}

/// Options of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vale-bench completions bash > /etc/bash_completion.d/vale-bench
  vale-bench completions zsh > ~/.zfunc/_vale-bench")]
pub struct CompletionsArgs {
    /// The shell to complete in
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests;
