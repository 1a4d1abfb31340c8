//! Kernel ports on the fake kernel: frames in order and whole across the ring's end, cursors as a model predicts,
//! what a broken kernel may do reported, buffers never in two places.

mod faults;
mod model;
mod rings;

use netmap_rs::kernel::fake::{FakeKernel, FakeRegion, FakeShape};
use netmap_rs::kernel::{KernelPort, RxRing, TxRing};

pub(crate) fn shape(slots: u32) -> FakeShape {
    FakeShape { tx_slots: slots, rx_slots: slots, ..FakeShape::default() }
}

pub(crate) fn open(shape: &FakeShape) -> (FakeKernel, KernelPort) {
    FakeRegion::new(128, 8192).open(shape)
}

/// A frame that says which it is, of a length that varies.
pub(crate) fn frame(number: u64) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(8 + (number * 7 % 113) as usize, number as u8);
    bytes
}

pub(crate) fn fill(ring: &mut TxRing, max: u32, next: &mut u64) -> u32 {
    ring.fill(max, |slot| {
        let bytes = frame(*next);
        slot.buf[..bytes.len()].copy_from_slice(&bytes);
        *next += 1;
        bytes.len() as u16
    })
}

pub(crate) fn drain(ring: &mut RxRing, max: u32) -> Vec<Vec<u8>> {
    let mut got = Vec::new();
    ring.drain(max, |slot| got.push(slot.data.to_vec()));
    got
}
