//! Options of dataplanes whose ports are virtio-net: vhost-user switches, and what serves virtio by other means.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pktgen::queues::MAX_QUEUES;

use super::guests::Switched;

/// Options of vhost-user dataplanes.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "vhost-user dataplanes")]
pub struct VhostArgs {
    /// Layout of the virtio rings [default: packed; split where guests' kernels drive them]
    #[arg(long, value_enum, value_name = "LAYOUT")]
    pub ring: Option<RingChoice>,
    /// Whether a frame may fill several receive buffers [default: off; on where guests' kernels drive them]
    #[arg(long, value_enum, value_name = "ON|OFF")]
    pub mrg_rxbuf: Option<Switched>,
    /// Descriptors of each virtio ring, a power of two [default: 1024, the most QEMU has]
    #[arg(long, value_name = "N", value_parser = queue_size)]
    pub queue_size: Option<u16>,
    /// Queues of each port in either direction; a flow goes through one of them, so --flows has to be larger
    ///
    /// One thread serves all queues of a port. Frames are numbered for each queue, since those of different queues may
    /// pass each other.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MAX_QUEUES as i64))]
    pub queues: Option<u16>,
    /// Which of the two the switch is on its sockets [default: server, except where it can only be a client]
    #[arg(long, value_enum, value_name = "ROLE")]
    pub vhost_role: Option<RoleChoice>,
    /// Whether OVS learns addresses or sends from port to port [default: normal]
    #[arg(long, value_enum, value_name = "FLOWS")]
    pub ovs_flows: Option<OvsFlows>,
}

impl VhostArgs {
    /// Options that were given, as they are typed.
    pub(super) fn given(&self) -> Vec<&'static str> {
        let VhostArgs { ring, mrg_rxbuf, queue_size, queues, vhost_role, ovs_flows } = self;
        let all = [
            ring.map(|_| "--ring"),
            mrg_rxbuf.map(|_| "--mrg-rxbuf"),
            queue_size.map(|_| "--queue-size"),
            queues.map(|_| "--queues"),
            vhost_role.map(|_| "--vhost-role"),
            ovs_flows.map(|_| "--ovs-flows"),
        ];
        all.into_iter().flatten().collect()
    }
}

/// Layout of virtio rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RingChoice {
    /// The older: a table, and a ring each way
    Split,
    /// One ring of descriptors: fewer cache misses
    Packed,
}

/// An end of a vhost-user socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleChoice {
    /// The switch connects to guests that listen
    Client,
    /// The switch listens
    Server,
}

/// What OVS does with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OvsFlows {
    /// Learn addresses, as a switch does
    Normal,
    /// Send what one port of a pair brings to the other, without a look at addresses
    Direct,
}

/// What drives a virtio-net device in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GuestDriverChoice {
    /// DPDK in the guest, which polls
    Dpdk,
    /// The guest's kernel, and packet sockets on its interface
    Packet,
    /// The guest's kernel, and AF_XDP sockets on its interface, past its stack
    Xdp,
}

/// Where guests' memory lies. Switches and ports of guests map it, so it is always shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestMemory {
    /// In a memory file of ordinary pages.
    Memfd,
    /// In a memory file of the host's huge pages.
    Hugetlb,
    /// In a nameless file where a hugetlbfs is mounted.
    HugetlbIn(PathBuf),
}

impl std::fmt::Display for GuestMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GuestMemory::Memfd => f.write_str("memfd"),
            GuestMemory::Hugetlb => f.write_str("hugetlb"),
            GuestMemory::HugetlbIn(folder) => write!(f, "hugetlb:{}", folder.display()),
        }
    }
}

/// Mebibytes of guests' memory: what one of our own takes at least, and what one may have at most.
const RAM_MIB: std::ops::RangeInclusive<u32> = 448..=1 << 20;

/// `768M` or `2G`, in MiB.
pub(super) fn guest_ram(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_suffix(['G', 'g']) {
        Some(gib) => gib.parse().ok().and_then(|gib: u32| gib.checked_mul(1024)),
        None => text.strip_suffix(['M', 'm']).and_then(|mib| mib.parse().ok()),
    };
    let mib = parsed.ok_or_else(|| format!("{text:?} is no size such as 768M or 2G"))?;
    match RAM_MIB.contains(&mib) {
        true => Ok(mib),
        false => Err(format!("{text} is outside {}M to {}G", RAM_MIB.start(), RAM_MIB.end() / 1024)),
    }
}

/// `memfd`, `hugetlb` or `hugetlb:/dev/hugepages`.
pub(super) fn guest_memory(text: &str) -> Result<GuestMemory, String> {
    match text.split_once(':') {
        None if text == "memfd" => Ok(GuestMemory::Memfd),
        None if text == "hugetlb" => Ok(GuestMemory::Hugetlb),
        Some(("hugetlb", folder)) if !folder.is_empty() => Ok(GuestMemory::HugetlbIn(folder.into())),
        _ => Err(format!("{text:?} is none of memfd, hugetlb and hugetlb:FOLDER")),
    }
}

/// A power of two that QEMU and DPDK take for both rings.
fn queue_size(text: &str) -> Result<u16, String> {
    let size: u16 = text.parse().map_err(|_| format!("{text:?} is not a number of descriptors"))?;
    match (256..=1024).contains(&size) && size.is_power_of_two() {
        true => Ok(size),
        false => Err(format!("{size} descriptors are not possible; 256, 512 and 1024 are")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_sizes_are_powers_of_two_that_qemu_takes() {
        assert_eq!(queue_size("512"), Ok(512));
        for wrong in ["128", "300", "2048", "many", "70000"] {
            assert!(queue_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_of_memory_have_a_unit_and_bounds() {
        assert_eq!(
            [guest_ram("448M"), guest_ram("2g"), guest_ram("1024G")],
            [Ok(448), Ok(2048), Ok(1 << 20)]
        );
        for wrong in ["", "512", "2T", "-1M", "447M", "1025G", "99999999G", "G"] {
            assert!(guest_ram(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn places_of_memory_are_read_as_they_are_shown() {
        for text in ["memfd", "hugetlb", "hugetlb:/dev/hugepages"] {
            assert_eq!(guest_memory(text).unwrap().to_string(), text);
        }
        for wrong in ["", "hugetlb:", "huge", "memfd:/x"] {
            assert!(guest_memory(wrong).is_err(), "{wrong}");
        }
    }
}
