//! Request numbers of the control device as Linux and FreeBSD encode them. Both are compiled
//! everywhere; the crate root re-exports those of the target.
//!
//! netmap's group is `'i'`. The numbers before `NIOCCTRL` (`NIOCREGIF`, `NIOCGINFO`,
//! `NIOCCONFIG`) are legacy, here to be recognised.

const GROUP: u8 = b'i';
const NR_GINFO: u8 = 145;
const NR_REGIF: u8 = 146;
const NR_TXSYNC: u8 = 148;
const NR_RXSYNC: u8 = 149;
const NR_CONFIG: u8 = 150;
const NR_CTRL: u8 = 151;

macro_rules! numbers {
    () => {
        use super::{GROUP, NR_CONFIG, NR_CTRL, NR_GINFO, NR_REGIF, NR_RXSYNC, NR_TXSYNC};
        use crate::legacy::{nm_ifreq, nmreq};
        use crate::nmreq_header;

        /// The control request; argument [`nmreq_header`].
        pub const NIOCCTRL: u32 = _IOWR::<nmreq_header>(GROUP, NR_CTRL);
        /// Sync the transmit rings bound to the descriptor; no argument, does not block.
        pub const NIOCTXSYNC: u32 = _IO(GROUP, NR_TXSYNC);
        /// Sync the receive rings bound to the descriptor; no argument, does not block.
        pub const NIOCRXSYNC: u32 = _IO(GROUP, NR_RXSYNC);
        /// Legacy register; argument [`nmreq`].
        pub const NIOCREGIF: u32 = _IOWR::<nmreq>(GROUP, NR_REGIF);
        /// Legacy port information; argument [`nmreq`].
        pub const NIOCGINFO: u32 = _IOWR::<nmreq>(GROUP, NR_GINFO);
        /// Legacy configuration of a port that belongs to another module; argument [`nm_ifreq`].
        pub const NIOCCONFIG: u32 = _IOWR::<nm_ifreq>(GROUP, NR_CONFIG);
    };
}

/// Linux (`asm-generic/ioctl.h`): direction in bits 30 and 31, size in 14 bits from 16 on,
/// group, number. The values asserted are those that `abi/api14.txt` holds. (mips, powerpc, sparc and alpha have an encoding of their own, which this is not.)
pub mod linux {
    const WRITE: u32 = 1;
    const READ: u32 = 2;
    const SIZE_MAX: usize = 1 << 14;

    const fn ioc(direction: u32, group: u8, number: u8, size: usize) -> u32 {
        assert!(size < SIZE_MAX, "the argument does not fit an ioctl number");
        direction << 30 | (size as u32) << 16 | (group as u32) << 8 | number as u32
    }

    /// A request without an argument.
    pub const fn _IO(group: u8, number: u8) -> u32 {
        ioc(0, group, number, 0)
    }

    /// A request whose argument the kernel writes.
    pub const fn _IOR<T>(group: u8, number: u8) -> u32 {
        ioc(READ, group, number, size_of::<T>())
    }

    /// A request whose argument the kernel reads.
    pub const fn _IOW<T>(group: u8, number: u8) -> u32 {
        ioc(WRITE, group, number, size_of::<T>())
    }

    /// A request whose argument the kernel reads and writes.
    pub const fn _IOWR<T>(group: u8, number: u8) -> u32 {
        ioc(READ | WRITE, group, number, size_of::<T>())
    }

    numbers!();

    const _: () = {
        assert!(NIOCCTRL == 0xc0586997);
        assert!(NIOCTXSYNC == 0x6994);
        assert!(NIOCRXSYNC == 0x6995);
        assert!(NIOCREGIF == 0xc03c6992);
        assert!(NIOCGINFO == 0xc03c6991);
        assert!(NIOCCONFIG == 0xc1106996);
    };
}

/// FreeBSD (`sys/ioccom.h`): direction in the top three bits, size in 13 bits from 16 on,
/// group, number. The values asserted follow from that.
pub mod freebsd {
    const VOID: u32 = 0x2000_0000;
    const OUT: u32 = 0x4000_0000;
    const IN: u32 = 0x8000_0000;
    const SIZE_MAX: usize = 1 << 13;

    const fn ioc(direction: u32, group: u8, number: u8, size: usize) -> u32 {
        assert!(size < SIZE_MAX, "the argument does not fit an ioctl number");
        direction | (size as u32) << 16 | (group as u32) << 8 | number as u32
    }

    /// A request without an argument.
    pub const fn _IO(group: u8, number: u8) -> u32 {
        ioc(VOID, group, number, 0)
    }

    /// A request whose argument the kernel writes.
    pub const fn _IOR<T>(group: u8, number: u8) -> u32 {
        ioc(OUT, group, number, size_of::<T>())
    }

    /// A request whose argument the kernel reads.
    pub const fn _IOW<T>(group: u8, number: u8) -> u32 {
        ioc(IN, group, number, size_of::<T>())
    }

    /// A request whose argument the kernel reads and writes.
    pub const fn _IOWR<T>(group: u8, number: u8) -> u32 {
        ioc(IN | OUT, group, number, size_of::<T>())
    }

    numbers!();

    const _: () = {
        assert!(NIOCCTRL == 0xc0586997);
        assert!(NIOCTXSYNC == 0x20006994);
        assert!(NIOCRXSYNC == 0x20006995);
        assert!(NIOCREGIF == 0xc03c6992);
        assert!(NIOCGINFO == 0xc03c6991);
        assert!(NIOCCONFIG == 0xc1106996);
    };
}
