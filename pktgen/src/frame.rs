//! What is in a frame: Ethernet, IPv4 and UDP headers, a mark that says which frame it is, and a pattern.
//!
//! ```text
//! offset  bytes  what
//!      0     14  Ethernet header, type 0x0800
//!     14     20  IPv4 header without options (RFC 791), checksum right
//!     34      8  UDP header (RFC 768), checksum 0: not used
//!     42      2  magic: 0x564 in the upper 12 bits, layout version 1 in the next 2, kind in the lowest 2
//!     44      2  stream id
//!     46      2  sequence number, bits 32 to 47
//!     48      8  time of sending, nanoseconds of the sender's monotonic clock
//!     56      4  sequence number, bits 0 to 31
//!     60      …  pattern: a fixed function of the offset alone
//! ```
//!
//! The mark's fields are little endian and naturally aligned in the frame, and a 64-byte frame (60 in the slot)
//! holds them all. The UDP checksum and the first three fields together are one aligned word, so a receiver
//! recognises the next frame of a stream by two comparisons.
//!
//! Deliberately absent: VLAN tags, IPv6, and any parsing of frames that are not ours.
#![forbid(unsafe_code)]

/// Bytes of the frame check sequence: part of a frame's size, never of a slot's length.
pub const FCS: u16 = 4;
/// Smallest frame size including FCS, as in RFC 2544; its slot length is exactly the end of the mark.
pub const MIN_SIZE: u16 = 64;
/// Bytes of Ethernet, IPv4 and UDP headers.
pub const HEADERS: usize = 42;
/// One past the mark's last byte.
pub const MARK_END: usize = 60;

const MAGIC: u16 = 0x5640;
const VERSION: u16 = 1;

/// What a marked frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// Load.
    Data = 0,
    /// A ping's question.
    Probe = 1,
    /// A pong's answer.
    Echo = 2,
}

impl Kind {
    const fn magic(self) -> u16 {
        MAGIC | VERSION << 2 | self as u16
    }
}

/// The mark of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// What the frame is for.
    pub kind: Kind,
    /// Stream id.
    pub stream: u16,
    /// Sequence number, 48 bits.
    pub seq: u64,
    /// When it was sent, in nanoseconds of the sender's monotonic clock.
    pub sent_ns: u64,
}

impl Mark {
    /// Reads the mark of a frame, if it has one of this version.
    #[inline]
    pub fn read(frame: &[u8]) -> Option<Self> {
        let head = frame.first_chunk::<MARK_END>()?;
        let word = word(head);
        let kind = match (word >> 16) as u16 {
            magic if magic == Kind::Data.magic() => Kind::Data,
            magic if magic == Kind::Probe.magic() => Kind::Probe,
            magic if magic == Kind::Echo.magic() => Kind::Echo,
            _ => return None,
        };
        let seq = (word >> 48) << 32 | u64::from(seq_low(head));
        let sent_ns =
            u64::from_le_bytes(*head[48..].first_chunk().expect("the mark's head is 60 bytes long"));
        Some(Self { kind, stream: (word >> 32) as u16, seq, sent_ns })
    }

    /// Writes the mark, and the zero UDP checksum before it.
    #[inline]
    pub fn write(&self, head: &mut [u8; MARK_END]) {
        head[40..48].copy_from_slice(&mark_word(self.kind, self.stream, self.seq).to_le_bytes());
        stamp(head, self.sent_ns, self.seq as u32);
    }
}

/// The aligned word at offset 40 of a marked frame: UDP checksum 0, magic, stream, upper sequence bits.
#[inline]
pub const fn mark_word(kind: Kind, stream: u16, seq: u64) -> u64 {
    (kind.magic() as u64) << 16 | (stream as u64) << 32 | (seq >> 32) << 48
}

/// Reads what [`mark_word`] makes.
#[inline]
pub fn word(head: &[u8; MARK_END]) -> u64 {
    u64::from_le_bytes(*head[40..].first_chunk().expect("the mark's head is 60 bytes long"))
}

/// Whether a frame may have a mark of ours: its magic is there, of any kind or layout version.
#[inline]
pub fn is_marked(frame: &[u8]) -> bool {
    frame
        .first_chunk::<MARK_END>()
        .is_some_and(|head| u16::from_le_bytes([head[42], head[43]]) & 0xfff0 == MAGIC)
}

/// The lower half of the sequence number.
#[inline]
pub fn seq_low(head: &[u8; MARK_END]) -> u32 {
    u32::from_le_bytes(*head[56..].first_chunk().expect("the mark's head is 60 bytes long"))
}

/// Writes the parts of the mark that change from frame to frame: two stores.
#[inline]
pub fn stamp(head: &mut [u8; MARK_END], sent_ns: u64, seq_low: u32) {
    head[48..56].copy_from_slice(&sent_ns.to_le_bytes());
    head[56..60].copy_from_slice(&seq_low.to_le_bytes());
}

/// The frame's length (without FCS) as its IPv4 header tells it.
#[inline]
pub fn told_length(head: &[u8; MARK_END]) -> usize {
    usize::from(u16::from_be_bytes([head[16], head[17]])) + 14
}

/// Whether the frame's length as its IPv4 header tells it is `len`, below 2¹⁶: one comparison.
#[inline]
pub fn tells_length(head: &[u8; MARK_END], len: usize) -> bool {
    u16::from_ne_bytes([head[16], head[17]]) == (len as u16).wrapping_sub(14).to_be()
}

/// Turns a marked frame round: addresses and ports swapped, kind [`Kind::Echo`]. Both checksums stay right,
/// because the IPv4 checksum is a sum in which the two addresses change places and UDP's is not used.
#[inline]
pub fn turn_round(head: &mut [u8; MARK_END]) {
    swap_macs(head);
    for i in 26..30 {
        head.swap(i, i + 4);
    }
    head.swap(34, 36);
    head.swap(35, 37);
    head[42..44].copy_from_slice(&Kind::Echo.magic().to_le_bytes());
}

/// Exchanges source and destination Ethernet addresses; a frame shorter than the two is left as it is.
#[inline]
pub fn swap_macs(frame: &mut [u8]) {
    if let Some(addresses) = frame.first_chunk_mut::<12>() {
        let (dst, src) = addresses.split_at_mut(6);
        dst.swap_with_slice(src);
    }
}

/// Every frame's bytes after the mark, indexed by offset in the frame, for frames of any length.
pub static PATTERN: [u8; 1 << 16] = pattern();

/// Whether the bytes after the mark are the pattern.
pub fn pattern_intact(frame: &[u8]) -> bool {
    match (frame.get(MARK_END..), PATTERN.get(MARK_END..frame.len())) {
        (Some(payload), Some(expected)) => payload == expected,
        _ => false,
    }
}

const fn pattern() -> [u8; 1 << 16] {
    // Marsaglia's xorshift32 (2003): unlike a function linear in the offset, no part of it repeats another, so
    // a payload displaced by any distance differs.
    let mut bytes = [0; 1 << 16];
    let mut state: u32 = 0x5645_4c41;
    let mut i = 0;
    while i < bytes.len() {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes[i] = (state >> 24) as u8;
        i += 1;
    }
    bytes
}

/// The Internet checksum (RFC 1071) of a 20-byte IPv4 header whose checksum field counts as it stands; 0 for a
/// header that is right.
pub fn ipv4_checksum(header: &[u8; 20]) -> u16 {
    let sum = header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    fold(sum)
}

/// Folds a sum of big-endian 16-bit words into an Internet checksum.
#[inline]
pub(crate) fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds() -> impl Strategy<Value = Kind> {
        prop_oneof![Just(Kind::Data), Just(Kind::Probe), Just(Kind::Echo)]
    }

    proptest! {
        #[test]
        fn a_mark_reads_as_written(kind in kinds(), stream: u16, seq in 0u64..1 << 48, sent_ns: u64) {
            let mark = Mark { kind, stream, seq, sent_ns };
            let mut head = [0xaa; MARK_END];
            mark.write(&mut head);
            prop_assert_eq!(Mark::read(&head), Some(mark));
            prop_assert_eq!(&head[40..42], &[0, 0], "the UDP checksum is not used");
            prop_assert!(head[..40].iter().all(|&b| b == 0xaa), "the mark reached into the headers");
        }

        #[test]
        fn one_flipped_bit_of_the_pattern_is_seen(len in 61usize..2000, at: prop::sample::Index, bit in 0u8..8) {
            let mut frame = PATTERN[..len].to_vec();
            prop_assert!(pattern_intact(&frame));
            frame[MARK_END + at.index(len - MARK_END)] ^= 1 << bit;
            prop_assert!(!pattern_intact(&frame));
        }

        #[test]
        fn a_displaced_pattern_is_seen(len in 80usize..9000, by in 1usize..9000) {
            let displaced = [&PATTERN[..MARK_END], &PATTERN[MARK_END + by..len + by]].concat();
            prop_assert!(!pattern_intact(&displaced));
        }
    }

    #[test]
    fn fields_lie_where_the_table_says() {
        let mut head = [0; MARK_END];
        Mark { kind: Kind::Probe, stream: 0x1122, seq: 0x3344_5566_7788, sent_ns: 0x99aa_bbcc_ddee_ff00 }
            .write(&mut head);
        assert_eq!(head[42..44], [0x45, 0x56]);
        assert_eq!(head[44..46], [0x22, 0x11]);
        assert_eq!(head[46..48], [0x44, 0x33]);
        assert_eq!(head[48..56], [0x00, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99]);
        assert_eq!(head[56..60], [0x88, 0x77, 0x66, 0x55]);
    }

    #[test]
    fn both_ways_to_look_at_the_told_length_agree() {
        let mut head = [0; MARK_END];
        for len in [60usize, 61, 319, 1514, 9014, 65_535] {
            head[16..18].copy_from_slice(&(len as u16 - 14).to_be_bytes());
            assert_eq!(told_length(&head), len);
            assert!(
                tells_length(&head, len) && !tells_length(&head, len - 1) && !tells_length(&head, len + 256)
            );
        }
    }

    #[test]
    fn unmarked_short_and_future_frames_have_no_mark() {
        let mut head = [0; MARK_END];
        assert_eq!(Mark::read(&head), None);
        Mark { kind: Kind::Data, stream: 1, seq: 2, sent_ns: 3 }.write(&mut head);
        assert!(Mark::read(&head).is_some());
        assert_eq!(Mark::read(&head[..59]), None);
        head[42] ^= 1 << 2;
        assert_eq!(Mark::read(&head), None, "another layout version");
    }

    #[test]
    fn turning_round_twice_restores_the_addresses() {
        let mut head: [u8; MARK_END] = std::array::from_fn(|i| i as u8);
        Mark { kind: Kind::Probe, stream: 5, seq: 6, sent_ns: 7 }.write(&mut head);
        let before = head;
        turn_round(&mut head);
        assert_eq!((&head[..6], &head[6..12]), (&before[6..12], &before[..6]));
        assert_eq!((&head[26..30], &head[30..34]), (&before[30..34], &before[26..30]));
        assert_eq!((&head[34..36], &head[36..38]), (&before[36..38], &before[34..36]));
        assert_eq!(
            Mark::read(&head),
            Some(Mark { kind: Kind::Echo, stream: 5, seq: 6, sent_ns: 7 }),
            "only the kind changes"
        );
        turn_round(&mut head);
        assert_eq!(head[..42], before[..42]);
    }

    #[test]
    fn the_checksum_agrees_with_a_known_header() {
        // The example header of RFC 1071 implementations: checksum 0xb861 at offset 10.
        let header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01,
            0xc0, 0xa8, 0x00, 0xc7,
        ];
        assert_eq!(ipv4_checksum(&header), 0);
        let mut blank = header;
        blank[10..12].fill(0);
        assert_eq!(ipv4_checksum(&blank), 0xb861);
    }
}
