//! Which of several queues a frame is sent by.
#![forbid(unsafe_code)]

/// Most queues of a port.
pub const MAX_QUEUES: usize = 8;

/// Where an Ethernet frame's type is, and what IPv4 without options has behind it: protocol, addresses, ports.
const TYPE: std::ops::Range<usize> = 12..14;
const IPV4: [u8; 2] = [0x08, 0x00];
const FLOW: std::ops::Range<usize> = 26..38;
/// Addresses of other frames.
const MACS: std::ops::Range<usize> = 0..12;

/// The queue of a frame's flow, among `count`, which is not 0: an interface that spreads what it receives would choose
/// by the same fields.
#[must_use]
pub fn queue_of(frame: &[u8], count: usize) -> usize {
    let fields = match frame.get(TYPE) {
        Some(kind) if *kind == IPV4 => frame.get(FLOW),
        _ => frame.get(MACS),
    };
    let (words, _) = fields.unwrap_or(frame).as_chunks::<4>();
    // Multiplied, every bit of a field reaches the upper half, of which the queue is a part.
    let hash = words.iter().fold(0u64, |hash, word| {
        (hash ^ u64::from(u32::from_be_bytes(*word))).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    });
    (((hash >> 32) * count as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(src_port: u16, length: usize) -> Vec<u8> {
        let mut frame = vec![0; length];
        frame[TYPE].copy_from_slice(&IPV4);
        frame[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 1, 0, 1]);
        frame[34..36].copy_from_slice(&src_port.to_be_bytes());
        frame
    }

    #[test]
    fn a_flow_has_one_queue_and_flows_spread_over_all() {
        for count in 2..=8 {
            let mut seen = vec![0; count];
            for port in 0..1024 {
                let queue = queue_of(&frame(port, 60), count);
                let mut other = frame(port, 1514);
                other[38..].fill(0xee);
                other[18..26].fill(0x77);
                assert_eq!(queue_of(&other, count), queue, "what is not the flow's says nothing");
                seen[queue] += 1;
            }
            let fair = 1024 / count;
            assert!(seen.iter().all(|&n| n > fair / 2 && n < fair * 2), "{count}: {seen:?}");
        }
    }

    #[test]
    fn any_frame_has_a_queue() {
        for length in [0, 1, 11, 12, 13, 14, 37, 38, 60] {
            assert!(queue_of(&vec![0xff; length], 3) < 3);
        }
        let mut short = frame(1, 60);
        short.truncate(20);
        assert!(queue_of(&short, 8) < 8);
    }
}
