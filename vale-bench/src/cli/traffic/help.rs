//! What `--help` says after the options of the roles on single ports.

/// How ports are named; part of every text.
macro_rules! ports {
    () => {
        "
Ports:
  vale0:1        a port of the switch called vale0 that `vale-bench switch` runs
                 for this user, if it does; else of the kernel's VALE
  vale0:1/x, vale0:1@conf:rings=4,slots=512, vale0:1-2
                 with flags, options or rings: of the kernel's VALE
  netmap:eth0    an interface, taken from the host's stack by netmap
  netmap:eth0^   the host stack's end of an interface
  netmap:x{1, netmap:x}1
                 the two ends of a netmap pipe
  eth0, packet:eth0
                 an interface by packet socket; needs no netmap
  xdp:eth0       the first queue of an interface by AF_XDP socket, past the
                 kernel's stack
  dpdk:0000:01:00.0
                 an interface bound to a driver for user space, by DPDK
  dpdk:net_virtio_user0,path=SOCKET[,server=1][,packed_vq=1][,queue_size=N]
                 an end of a vhost-user connection; any other device of DPDK's
                 by its own arguments
Names are netmap's own (netmap(4)); ports of the kernel need /dev/netmap."
    };
}

macro_rules! units {
    () => {
        "
Units:
  sizes  bytes; -l without, --size with the 4 bytes of FCS
  rates  Mpps: million frames a second; Gbps L1: with FCS, preamble and gap
  times  5 or 5s, 500ms, 2m"
    };
}

macro_rules! exits {
    () => {
        "
Exit codes:
  0 good, also after Ctrl-C   1 the run failed   2 usage
  4 this host cannot run it: no such port, no netmap, no permission"
    };
}

pub(super) const TX: &str = concat!(
    "Examples:
  vale-bench tx -i vale0:1
  vale-bench tx -i vale0:1 --numbered         rx tells what was lost
  vale-bench tx -i vale0:1 -l 1514 -R 1M -n 10000000
  vale-bench tx -i vale0:1 -D 02:00:00:00:00:02 --flows 64 --duration 10
  vale-bench tx -i vale0:1 -s 10.0.0.1:1000-10.0.0.4:1999 -l 60-1514
  vale-bench tx -i vale0:1@conf:rings=4 -p 0 -a 2-5
  vale-bench tx -i eth0 -P frames.pcap -R 1000
  vale-bench tx -i eth0 -P frames.pcap --pcap-speed 2
  vale-bench tx -i vale0:1 -R 1M --arrivals burst:32

Frames:
  Each carries its addresses in turn: the source port varies fastest, then the
  source address, the destination port and address, the Ethernet addresses; and
  a stream, a number and a time, by which rx tells what was lost. On ports of
  the kernel's netmap it carries those only with --numbered, so that a buffer
  once written is sent for ever, as pkt-gen does; elsewhere --raw leaves them
  out. With -P frames are never numbered. Other than numbered ones rx counts as
  not ours.

Schedules:
  At a rate the end report says how late frames left, and how far the times
  between them were from the schedule's. After a pause the rate is made up for.
",
    ports!(),
    "\n",
    units!(),
    "\n",
    exits!()
);

pub(super) const RX: &str = concat!(
    "Examples:
  vale-bench rx -i vale0:2
  vale-bench rx -i vale0:2 -T 500 --duration 10 --format json
  vale-bench rx -i netmap:eth0 -n 1000 --dump frames.pcap
",
    ports!(),
    "\n",
    units!(),
    "\n",
    exits!()
);

pub(super) const PING: &str = concat!(
    "Examples:
  vale-bench pong -i vale0:2 &
  vale-bench ping -i vale0:1 --duration 5
  vale-bench ping -i vale0:1 -R 1000 -n 10000 --format json
",
    ports!(),
    "\n",
    units!(),
    "\n",
    exits!()
);

pub(super) const PONG: &str = concat!(
    "Example:
  vale-bench pong -i vale0:2
",
    ports!(),
    "\n",
    exits!()
);

pub(super) const FWD: &str = concat!(
    "Examples:
  vale-bench fwd -i vale0:1 -i vale1:1        join two switches
  vale-bench fwd -i netmap:eth0 -i netmap:eth1
  vale-bench fwd -i netmap:eth0 -i netmap:eth0^   hand an interface to its host
  vale-bench fwd -i eth0 -i vale0:9           packet socket to switch, by copy

Copies:
  Between two ports of the kernel's netmap in one memory region (interfaces,
  their host rings and their pipes, unless told otherwise with @) buffers change
  places. Otherwise frames are copied, and one that is longer than the other
  port's buffers is dropped.
",
    ports!(),
    "\n",
    exits!()
);
