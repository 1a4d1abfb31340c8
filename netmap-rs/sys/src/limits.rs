//! Limits inside the kernel module that are in no public header but that programs meet:
//! figures of `sys/dev/netmap/netmap_bdg.h`, `netmap_vale.c`, `netmap_kern.h` and
//! `netmap_pipe.c`. They are no part of the ABI and may differ in another build of the module.

/// VALE switches, unless the module parameter `max_bridges` says otherwise.
pub const NM_BRIDGES: usize = 8;
/// Ports of a VALE switch.
pub const NM_BDG_MAXPORTS: usize = 254;
/// Destination that stands for all ports but the sender's.
pub const NM_BDG_BROADCAST: usize = NM_BDG_MAXPORTS;
/// Destination that stands for none.
pub const NM_BDG_NOPORT: usize = NM_BDG_MAXPORTS + 1;
/// Rings of a VALE port in each direction.
pub const NM_BDG_MAXRINGS: usize = 16;
/// Slots of a VALE port's ring.
pub const NM_BDG_MAXSLOTS: usize = 4096;
/// Slots that a VALE switch forwards in one batch.
pub const NM_BDG_BATCH: usize = 1024;
/// Entries of a VALE switch's table of addresses.
pub const NM_BDG_HASH: usize = 1024;
/// Largest frame of a VALE port in bytes, unless set otherwise.
pub const NM_BDG_MFS_DEFAULT: usize = 1514;
/// Pipes of a port.
pub const NM_MAXPIPES: usize = 64;
/// Slots of a pipe's ring.
pub const NM_PIPE_MAXSLOTS: usize = 4096;
/// Rings of a pipe in each direction.
pub const NM_PIPE_MAXRINGS: usize = 256;
