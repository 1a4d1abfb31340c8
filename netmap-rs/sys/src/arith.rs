//! The arithmetic of `sys/net/netmap_user.h` as pure functions over plain numbers: index of
//! the next slot, slots between two cursors, where a ring, a slot or a buffer lies. Nothing
//! here touches memory, so nothing here knows whether the numbers are to be trusted: indices
//! read from shared memory are checked by who reads them.

use core::mem::offset_of;

use crate::{netmap_if, netmap_ring, netmap_slot};

/// The slot after `index` on a ring of `num_slots`, with `index < num_slots`.
#[inline]
pub const fn nm_ring_next(num_slots: u32, index: u32) -> u32 {
    if index + 1 == num_slots { 0 } else { index + 1 }
}

/// Slots in `[head, tail)` on a ring of `num_slots`, both cursors below `num_slots`: what the
/// application may use. 0 when they are equal.
#[inline]
pub const fn nm_ring_space(num_slots: u32, head: u32, tail: u32) -> u32 {
    if tail >= head { tail - head } else { tail + num_slots - head }
}

/// Whether the application has no slot.
#[inline]
pub const fn nm_ring_empty(head: u32, tail: u32) -> bool {
    head == tail
}

/// Whether a transmit ring still holds frames that were not sent: the kernel leaves one slot
/// unused, so all sent means that head follows tail.
#[inline]
pub const fn nm_tx_pending(num_slots: u32, head: u32, tail: u32) -> bool {
    nm_ring_next(num_slots, tail) != head
}

/// Bytes from a `netmap_if` to element `index` of its [`netmap_if::ring_ofs`].
#[inline]
pub const fn ring_ofs_offset(index: usize) -> usize {
    offset_of!(netmap_if, ring_ofs) + index * size_of::<isize>()
}

/// Element of [`netmap_if::ring_ofs`] of transmit ring `ring`; host rings follow hardware rings.
#[inline]
pub const fn txring_index(ring: usize) -> usize {
    ring
}

/// Element of [`netmap_if::ring_ofs`] of receive ring `ring` behind `ni_tx_rings` and
/// `ni_host_tx_rings` transmit rings; host rings follow hardware rings.
#[inline]
pub const fn rxring_index(ni_tx_rings: u32, ni_host_tx_rings: u32, ring: usize) -> usize {
    ni_tx_rings as usize + ni_host_tx_rings as usize + ring
}

/// Bytes that a `netmap_if` with this many rings, of both directions and kinds together, takes.
#[inline]
pub const fn netmap_if_size(rings: usize) -> usize {
    ring_ofs_offset(rings)
}

/// Bytes from a `netmap_ring` to its slot `index`.
#[inline]
pub const fn slot_offset(index: u32) -> usize {
    offset_of!(netmap_ring, slot) + index as usize * size_of::<netmap_slot>()
}

/// Bytes that a `netmap_ring` with its slots takes.
#[inline]
pub const fn netmap_ring_size(num_slots: u32) -> usize {
    slot_offset(num_slots)
}

/// Bytes from a `netmap_ring` to buffer `index`, from the ring's `buf_ofs` and `nr_buf_size`.
/// Wraps on overflow, which takes a `buf_ofs` that lies.
#[inline]
pub const fn buf_offset(buf_ofs: i64, nr_buf_size: u32, index: u32) -> i64 {
    buf_ofs.wrapping_add((index as i64).wrapping_mul(nr_buf_size as i64))
}

/// The offset into its buffer that a slot's `ptr` holds.
#[inline]
pub const fn roffset(ptr: u64, offset_mask: u64) -> u64 {
    ptr & offset_mask
}

/// A slot's `ptr` with `offset` put into the bits of `offset_mask`.
#[inline]
pub const fn woffset(ptr: u64, offset_mask: u64, offset: u64) -> u64 {
    (ptr & !offset_mask) | (offset & offset_mask)
}

/// `name` as the NUL-terminated field of `N` bytes that requests hold, or `None` if it does not
/// fit with its NUL or contains one.
pub fn name_field<const N: usize>(name: &str) -> Option<[core::ffi::c_char; N]> {
    let bytes = name.as_bytes();
    if bytes.len() >= N || bytes.contains(&0) {
        return None;
    }
    let mut field = [0; N];
    for (to, from) in field.iter_mut().zip(bytes) {
        *to = *from as core::ffi::c_char;
    }
    Some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_go_round() {
        assert_eq!(nm_ring_next(4, 0), 1);
        assert_eq!(nm_ring_next(4, 3), 0);
        assert_eq!(nm_ring_space(4, 1, 3), 2);
        assert_eq!(nm_ring_space(4, 3, 1), 2);
        assert_eq!(nm_ring_space(4, 2, 2), 0);
        // For all positions on a ring: space counts the steps of next.
        for slots in [1, 2, 3, 8, 1024] {
            for head in 0..slots {
                let (mut tail, mut steps) = (head, 0);
                loop {
                    assert_eq!(nm_ring_space(slots, head, tail), steps);
                    assert_eq!(nm_ring_empty(head, tail), steps == 0);
                    assert_eq!(nm_tx_pending(slots, head, tail), steps != slots - 1);
                    steps += 1;
                    tail = nm_ring_next(slots, tail);
                    if tail == head {
                        break;
                    }
                }
                assert_eq!(steps, slots);
            }
        }
    }

    #[test]
    fn places_in_a_region() {
        assert_eq!(netmap_if_size(4), 56 + 32);
        assert_eq!(rxring_index(2, 1, 0), 3);
        assert_eq!(netmap_ring_size(1024), 256 + 16 * 1024);
        assert_eq!(buf_offset(-4096, 2048, 3), 2048);
        assert_eq!(
            buf_offset(i64::MAX, u32::MAX, u32::MAX),
            i64::MAX.wrapping_add(0xffff_fffe_0000_0001u64 as i64)
        );
    }

    #[test]
    fn offsets_keep_the_rest_of_ptr() {
        let ptr = woffset(0xdead_beef_0000_1234, 0xffff, 0x7_0042);
        assert_eq!(ptr, 0xdead_beef_0000_0042);
        assert_eq!(roffset(ptr, 0xffff), 0x42);
    }

    #[test]
    fn names_need_their_nul() {
        assert_eq!(name_field::<4>("abc"), Some([b'a' as _, b'b' as _, b'c' as _, 0]));
        assert_eq!(name_field::<4>("abcd"), None);
        assert_eq!(name_field::<4>("a\0"), None);
        assert_eq!(name_field::<1>(""), Some([0]));
    }
}
