//! Every figure of the ABI once more, as compile-time assertions: a definition that strays
//! from the kernel's does not compile. The figures are those of `abi/api14.txt` (64-bit
//! systems). Those of the ioctl numbers are in `ioctl.rs`.

use core::mem::{align_of, offset_of, size_of};

use crate::legacy::*;
use crate::ptnet::*;
use crate::*;

macro_rules! values {
    ($($name:ident = $value:literal;)*) => { $(const _: () = assert!($name as u64 == $value);)* };
}

/// `name: size, align { field @ offset: size, ... }`
macro_rules! layouts {
    ($($name:ident: $size:literal, $align:literal { $($field:ident @ $offset:literal: $bytes:literal,)* })*) => { $(
        const _: () = assert!(size_of::<$name>() == $size && align_of::<$name>() == $align);
        $(
            const _: () = assert!(offset_of!($name, $field) == $offset);
            const _: () = assert!(size_of_field::<$name, _>(|s| &s.$field) == $bytes);
        )*
    )* };
}

/// The size of what `field` leads to; it is never called.
const fn size_of_field<S, F>(_field: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

values! {
    NETMAP_API = 0xe;
    NETMAP_MIN_API = 0xe;
    NETMAP_MAX_API = 0xf;
    NETMAP_REQ_IFNAMSIZ = 0x40;
    NETMAP_REQ_REGISTER = 0x1;
    NETMAP_REQ_PORT_INFO_GET = 0x2;
    NETMAP_REQ_VALE_ATTACH = 0x3;
    NETMAP_REQ_VALE_DETACH = 0x4;
    NETMAP_REQ_VALE_LIST = 0x5;
    NETMAP_REQ_PORT_HDR_SET = 0x6;
    NETMAP_REQ_PORT_HDR_GET = 0x7;
    NETMAP_REQ_VALE_NEWIF = 0x8;
    NETMAP_REQ_VALE_DELIF = 0x9;
    NETMAP_REQ_VALE_POLLING_ENABLE = 0xa;
    NETMAP_REQ_VALE_POLLING_DISABLE = 0xb;
    NETMAP_REQ_POOLS_INFO_GET = 0xc;
    NETMAP_REQ_SYNC_KLOOP_START = 0xd;
    NETMAP_REQ_SYNC_KLOOP_STOP = 0xe;
    NETMAP_REQ_CSB_ENABLE = 0xf;
    NETMAP_REQ_OPT_EXTMEM = 0x1;
    NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS = 0x2;
    NETMAP_REQ_OPT_CSB = 0x3;
    NETMAP_REQ_OPT_SYNC_KLOOP_MODE = 0x4;
    NETMAP_REQ_OPT_OFFSETS = 0x5;
    NR_REG_DEFAULT = 0x0;
    NR_REG_ALL_NIC = 0x1;
    NR_REG_SW = 0x2;
    NR_REG_NIC_SW = 0x3;
    NR_REG_ONE_NIC = 0x4;
    NR_REG_PIPE_MASTER = 0x5;
    NR_REG_PIPE_SLAVE = 0x6;
    NR_REG_NULL = 0x7;
    NR_REG_ONE_SW = 0x8;
    NR_MONITOR_TX = 0x100;
    NR_MONITOR_RX = 0x200;
    NR_ZCOPY_MON = 0x400;
    NR_EXCLUSIVE = 0x800;
    NR_RX_RINGS_ONLY = 0x2000;
    NR_TX_RINGS_ONLY = 0x4000;
    NR_ACCEPT_VNET_HDR = 0x8000;
    NR_DO_RX_POLL = 0x10000;
    NR_NO_TX_POLL = 0x20000;
    NS_BUF_CHANGED = 0x1;
    NS_REPORT = 0x2;
    NS_FORWARD = 0x4;
    NS_NO_LEARN = 0x8;
    NS_INDIRECT = 0x10;
    NS_MOREFRAG = 0x20;
    NS_TXMON = 0x40;
    NR_TIMESTAMP = 0x2;
    NR_FORWARD = 0x4;
    NM_OPT_SYNC_KLOOP_DIRECT_TX = 0x1;
    NM_OPT_SYNC_KLOOP_DIRECT_RX = 0x2;
    PTNETMAP_PCI_VENDOR_ID = 0x1b36;
    PTNETMAP_PCI_DEVICE_ID = 0xc;
    PTNETMAP_PCI_NETIF_ID = 0xd;
    PTNETMAP_IO_PCI_BAR = 0x0;
    PTNETMAP_MEM_PCI_BAR = 0x1;
    PTNETMAP_MSIX_PCI_BAR = 0x2;
    PTNETMAP_F_VNET_HDR = 0x1;
    PTNET_IO_PTFEAT = 0x0;
    PTNET_IO_PTCTL = 0x4;
    PTNET_IO_MAC_LO = 0x8;
    PTNET_IO_MAC_HI = 0xc;
    PTNET_IO_CSBBAH = 0x10;
    PTNET_IO_CSBBAL = 0x14;
    PTNET_IO_NIFP_OFS = 0x18;
    PTNET_IO_NUM_TX_RINGS = 0x1c;
    PTNET_IO_NUM_RX_RINGS = 0x20;
    PTNET_IO_NUM_TX_SLOTS = 0x24;
    PTNET_IO_NUM_RX_SLOTS = 0x28;
    PTNET_IO_VNET_HDR_LEN = 0x2c;
    PTNET_IO_HOSTMEMID = 0x30;
    PTNET_IO_CSB_GH_BAH = 0x34;
    PTNET_IO_CSB_GH_BAL = 0x38;
    PTNET_IO_CSB_HG_BAH = 0x3c;
    PTNET_IO_CSB_HG_BAL = 0x40;
    PTNET_IO_END = 0x44;
    PTNET_IO_KICK_BASE = 0x80;
    PTNET_IO_MASK = 0xff;
    PTNETMAP_PTCTL_CREATE = 0x1;
    PTNETMAP_PTCTL_DELETE = 0x2;
    PTNET_MDEV_IO_MEMID = 0x8;
    PTNET_MDEV_IO_MEMSIZE_LO = 0x0;
    PTNET_MDEV_IO_MEMSIZE_HI = 0x4;
    PTNET_MDEV_IO_IF_POOL_OFS = 0x40;
    PTNET_MDEV_IO_IF_POOL_OBJNUM = 0x44;
    PTNET_MDEV_IO_IF_POOL_OBJSZ = 0x48;
    PTNET_MDEV_IO_RING_POOL_OFS = 0x4c;
    PTNET_MDEV_IO_RING_POOL_OBJNUM = 0x50;
    PTNET_MDEV_IO_RING_POOL_OBJSZ = 0x54;
    PTNET_MDEV_IO_BUF_POOL_OFS = 0x58;
    PTNET_MDEV_IO_BUF_POOL_OBJNUM = 0x5c;
    PTNET_MDEV_IO_BUF_POOL_OBJSZ = 0x60;
    PTNET_MDEV_IO_END = 0x64;
}

layouts! {
    nmreq_header: 88, 8 {
        nr_version @ 0: 2,
        nr_reqtype @ 2: 2,
        nr_reserved @ 4: 4,
        nr_name @ 8: 64,
        nr_options @ 72: 8,
        nr_body @ 80: 8,
    }
    nmreq_option: 24, 8 {
        nro_next @ 0: 8,
        nro_reqtype @ 8: 4,
        nro_status @ 12: 4,
        nro_size @ 16: 8,
    }
    nmreq_register: 56, 8 {
        nr_offset @ 0: 8,
        nr_memsize @ 8: 8,
        nr_tx_slots @ 16: 4,
        nr_rx_slots @ 20: 4,
        nr_tx_rings @ 24: 2,
        nr_rx_rings @ 26: 2,
        nr_host_tx_rings @ 28: 2,
        nr_host_rx_rings @ 30: 2,
        nr_mem_id @ 32: 2,
        nr_ringid @ 34: 2,
        nr_mode @ 36: 4,
        nr_extra_bufs @ 40: 4,
        nr_flags @ 48: 8,
    }
    nmreq_port_info_get: 32, 8 {
        nr_memsize @ 0: 8,
        nr_tx_slots @ 8: 4,
        nr_rx_slots @ 12: 4,
        nr_tx_rings @ 16: 2,
        nr_rx_rings @ 18: 2,
        nr_host_tx_rings @ 20: 2,
        nr_host_rx_rings @ 22: 2,
        nr_mem_id @ 24: 2,
    }
    nmreq_vale_attach: 64, 8 {
        reg @ 0: 56,
        port_index @ 56: 4,
    }
    nmreq_vale_detach: 8, 4 {
        port_index @ 0: 4,
    }
    nmreq_vale_list: 8, 4 {
        nr_bridge_idx @ 0: 2,
        nr_port_idx @ 4: 4,
    }
    nmreq_vale_newif: 16, 4 {
        nr_tx_slots @ 0: 4,
        nr_rx_slots @ 4: 4,
        nr_tx_rings @ 8: 2,
        nr_rx_rings @ 10: 2,
        nr_mem_id @ 12: 2,
    }
    nmreq_vale_polling: 16, 4 {
        nr_mode @ 0: 4,
        nr_first_cpu_id @ 4: 4,
        nr_num_polling_cpus @ 8: 4,
    }
    nmreq_port_hdr: 8, 4 {
        nr_hdr_len @ 0: 4,
    }
    nmreq_pools_info: 64, 8 {
        nr_memsize @ 0: 8,
        nr_mem_id @ 8: 2,
        nr_if_pool_offset @ 16: 8,
        nr_if_pool_objtotal @ 24: 4,
        nr_if_pool_objsize @ 28: 4,
        nr_ring_pool_offset @ 32: 8,
        nr_ring_pool_objtotal @ 40: 4,
        nr_ring_pool_objsize @ 44: 4,
        nr_buf_pool_offset @ 48: 8,
        nr_buf_pool_objtotal @ 56: 4,
        nr_buf_pool_objsize @ 60: 4,
    }
    nmreq_sync_kloop_start: 8, 4 {
        sleep_us @ 0: 4,
    }
    nmreq_opt_csb: 40, 8 {
        nro_opt @ 0: 24,
        csb_atok @ 24: 8,
        csb_ktoa @ 32: 8,
    }
    nmreq_opt_sync_kloop_eventfds: 24, 8 {
        nro_opt @ 0: 24,
        eventfds @ 24: 0,
    }
    nmreq_opt_sync_kloop_eventfd: 8, 4 {
        ioeventfd @ 0: 4,
        irqfd @ 4: 4,
    }
    nmreq_opt_sync_kloop_mode: 32, 8 {
        mode @ 24: 4,
    }
    nmreq_opt_extmem: 96, 8 {
        nro_usrptr @ 24: 8,
        nro_info @ 32: 64,
    }
    nmreq_opt_offsets: 56, 8 {
        nro_max_offset @ 24: 8,
        nro_initial_offset @ 32: 8,
        nro_offset_bits @ 40: 4,
        nro_tx_align @ 44: 4,
        nro_min_gap @ 48: 8,
    }
    netmap_if: 56, 8 {
        ni_name @ 0: 16,
        ni_version @ 16: 4,
        ni_flags @ 20: 4,
        ni_tx_rings @ 24: 4,
        ni_rx_rings @ 28: 4,
        ni_bufs_head @ 32: 4,
        ni_host_tx_rings @ 36: 4,
        ni_host_rx_rings @ 40: 4,
        ring_ofs @ 56: 0,
    }
    netmap_ring: 256, 128 {
        buf_ofs @ 0: 8,
        num_slots @ 8: 4,
        nr_buf_size @ 12: 4,
        ringid @ 16: 2,
        dir @ 18: 2,
        head @ 20: 4,
        cur @ 24: 4,
        tail @ 28: 4,
        flags @ 32: 4,
        ts @ 40: 16,
        offset_mask @ 56: 8,
        buf_align @ 64: 8,
        sem @ 128: 128,
        slot @ 256: 0,
    }
    netmap_slot: 16, 8 {
        buf_idx @ 0: 4,
        len @ 4: 2,
        flags @ 6: 2,
        ptr @ 8: 8,
    }
    nm_csb_atok: 64, 4 {
        head @ 0: 4,
        cur @ 4: 4,
        appl_need_kick @ 8: 4,
        sync_flags @ 12: 4,
    }
    nm_csb_ktoa: 64, 4 {
        hwcur @ 0: 4,
        hwtail @ 4: 4,
        kern_need_kick @ 8: 4,
    }
    nmreq: 60, 4 {
    }
}

// The elements of the arrays that end ring and interface.
const _: () = assert!(size_of::<netmap_slot>() == 16 && size_of::<isize>() == 8);
