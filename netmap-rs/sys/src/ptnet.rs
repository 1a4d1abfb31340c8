//! The paravirtual devices that pass netmap ports to guests (`sys/net/netmap_virt.h`): the
//! memory device, which shows a guest the host's netmap memory, and the network device.
//! Both have 32-bit registers in [`PTNETMAP_IO_PCI_BAR`]; `PTNET_*` are offsets in bytes.

/// QEMU's name of the memory device.
pub const PTNETMAP_MEMDEV_NAME: &str = "ptnetmap-memdev";
/// PCI vendor of both devices: that of QEMU's virtual devices.
pub const PTNETMAP_PCI_VENDOR_ID: u16 = 0x1b36;
/// PCI device id of the memory device.
pub const PTNETMAP_PCI_DEVICE_ID: u16 = 0x000c;
/// PCI device id of the network device.
pub const PTNETMAP_PCI_NETIF_ID: u16 = 0x000d;
/// BAR of the registers.
pub const PTNETMAP_IO_PCI_BAR: u32 = 0;
/// BAR of the netmap memory.
pub const PTNETMAP_MEM_PCI_BAR: u32 = 1;
/// BAR of the MSI-X tables.
pub const PTNETMAP_MSIX_PCI_BAR: u32 = 2;

/// Memory device: low half of the size of the region in bytes.
pub const PTNET_MDEV_IO_MEMSIZE_LO: u32 = 0;
/// Memory device: high half of the size of the region in bytes.
pub const PTNET_MDEV_IO_MEMSIZE_HI: u32 = 4;
/// Memory device: id of the region in the host.
pub const PTNET_MDEV_IO_MEMID: u32 = 8;
/// Memory device: offset of the `netmap_if` pool.
pub const PTNET_MDEV_IO_IF_POOL_OFS: u32 = 64;
/// Memory device: objects in the `netmap_if` pool.
pub const PTNET_MDEV_IO_IF_POOL_OBJNUM: u32 = 68;
/// Memory device: bytes in an object of the `netmap_if` pool.
pub const PTNET_MDEV_IO_IF_POOL_OBJSZ: u32 = 72;
/// Memory device: offset of the ring pool.
pub const PTNET_MDEV_IO_RING_POOL_OFS: u32 = 76;
/// Memory device: objects in the ring pool.
pub const PTNET_MDEV_IO_RING_POOL_OBJNUM: u32 = 80;
/// Memory device: bytes in an object of the ring pool.
pub const PTNET_MDEV_IO_RING_POOL_OBJSZ: u32 = 84;
/// Memory device: offset of the buffer pool.
pub const PTNET_MDEV_IO_BUF_POOL_OFS: u32 = 88;
/// Memory device: objects in the buffer pool.
pub const PTNET_MDEV_IO_BUF_POOL_OBJNUM: u32 = 92;
/// Memory device: bytes in an object of the buffer pool.
pub const PTNET_MDEV_IO_BUF_POOL_OBJSZ: u32 = 96;
/// Memory device: end of the registers.
pub const PTNET_MDEV_IO_END: u32 = 100;

/// Feature: frames begin with a virtio-net header.
pub const PTNETMAP_F_VNET_HDR: u32 = 1;

/// Features offered and taken.
pub const PTNET_IO_PTFEAT: u32 = 0;
/// Control commands, `PTNETMAP_PTCTL_*`.
pub const PTNET_IO_PTCTL: u32 = 4;
/// Low four bytes of the MAC address.
pub const PTNET_IO_MAC_LO: u32 = 8;
/// High two bytes of the MAC address.
pub const PTNET_IO_MAC_HI: u32 = 12;
/// High half of the CSB's guest-physical address; deprecated.
pub const PTNET_IO_CSBBAH: u32 = 16;
/// Low half of the CSB's guest-physical address; deprecated.
pub const PTNET_IO_CSBBAL: u32 = 20;
/// Offset of the port's `netmap_if` in the region.
pub const PTNET_IO_NIFP_OFS: u32 = 24;
/// Transmit rings.
pub const PTNET_IO_NUM_TX_RINGS: u32 = 28;
/// Receive rings.
pub const PTNET_IO_NUM_RX_RINGS: u32 = 32;
/// Slots in each transmit ring.
pub const PTNET_IO_NUM_TX_SLOTS: u32 = 36;
/// Slots in each receive ring.
pub const PTNET_IO_NUM_RX_SLOTS: u32 = 40;
/// Length of the virtio-net header in use.
pub const PTNET_IO_VNET_HDR_LEN: u32 = 44;
/// Id of the region in the host.
pub const PTNET_IO_HOSTMEMID: u32 = 48;
/// High half of the guest-physical address of the guest-to-host entries (`nm_csb_atok`).
pub const PTNET_IO_CSB_GH_BAH: u32 = 52;
/// Low half of the guest-physical address of the guest-to-host entries (`nm_csb_atok`).
pub const PTNET_IO_CSB_GH_BAL: u32 = 56;
/// High half of the guest-physical address of the host-to-guest entries (`nm_csb_ktoa`).
pub const PTNET_IO_CSB_HG_BAH: u32 = 60;
/// Low half of the guest-physical address of the host-to-guest entries (`nm_csb_ktoa`).
pub const PTNET_IO_CSB_HG_BAL: u32 = 64;
/// End of the registers.
pub const PTNET_IO_END: u32 = 68;
/// Kick register of ring 0; that of ring n is 4n bytes further.
pub const PTNET_IO_KICK_BASE: u32 = 128;
/// Mask of a register offset.
pub const PTNET_IO_MASK: u32 = 0xff;

/// Control command: start the host's sync loop.
pub const PTNETMAP_PTCTL_CREATE: u32 = 1;
/// Control command: stop the host's sync loop.
pub const PTNETMAP_PTCTL_DELETE: u32 = 2;
