//! The table of learned addresses: where each Ethernet address was last seen to send from.
//!
//! As in VALE it has 1024 entries, one place for each address, and the last to come takes the place. An address
//! that lost its place is flooded to until it sends again. Addresses are 48-bit numbers, first byte lowest.

/// Entries: `NM_BDG_HASH` in netmap.
pub const ENTRIES: usize = 1024;

/// No address: bits above the 48th.
const EMPTY: u64 = u64::MAX;

#[derive(Debug, Clone, Copy)]
struct Entry {
    mac: u64,
    port: u8,
}

/// The table.
#[derive(Debug)]
pub struct MacTable {
    entries: Box<[Entry; ENTRIES]>,
}

impl Default for MacTable {
    fn default() -> Self {
        MacTable { entries: Box::new([Entry { mac: EMPTY, port: 0 }; ENTRIES]) }
    }
}

/// Group bit: broadcast and multicast addresses have it.
#[inline(always)]
#[must_use]
pub fn is_group(mac: u64) -> bool {
    mac & 1 != 0
}

/// Fibonacci hashing of the address read as a number: consecutive addresses, as virtual machines tend to have,
/// get places far apart and none in common.
#[inline(always)]
fn place(mac: u64) -> usize {
    let number = mac.swap_bytes() >> 16;
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - ENTRIES.trailing_zeros())) as usize
}

impl MacTable {
    /// Notes that `mac` sends from `port`.
    #[inline(always)]
    pub fn learn(&mut self, mac: u64, port: u8) {
        self.entries[place(mac)] = Entry { mac, port };
    }

    /// The port `mac` was last seen on.
    #[inline(always)]
    #[must_use]
    pub fn lookup(&self, mac: u64) -> Option<u8> {
        let entry = &self.entries[place(mac)];
        (entry.mac == mac).then_some(entry.port)
    }

    /// Forgets every address of `port`.
    pub fn forget(&mut self, port: u8) {
        for entry in self.entries.iter_mut().filter(|e| e.port == port) {
            entry.mac = EMPTY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_place_of_an_address_counts() {
        let mut t = MacTable::default();
        assert_eq!(t.lookup(0x1234), None);
        assert_eq!(t.lookup(0), None, "an empty entry is no address");
        t.learn(0x1234, 3);
        t.learn(0x1234, 5);
        assert_eq!(t.lookup(0x1234), Some(5));
        t.forget(3);
        assert_eq!(t.lookup(0x1234), Some(5));
        t.forget(5);
        assert_eq!(t.lookup(0x1234), None);
    }

    #[test]
    fn neighbouring_addresses_have_places_of_their_own() {
        // Locally administered addresses numbered in the last byte, as benchmarks use them.
        let places: std::collections::HashSet<_> = (0..254u64).map(|i| place(0x02 | (i << 40))).collect();
        assert_eq!(places.len(), 254);
    }
}
