//! A port of the kernel's netmap as a [`Port`]: VALE ports, interfaces, pipes, host rings.
//!
//! Frames are written and read in the rings' own buffers. A batch is sent by one `NIOCTXSYNC`; received frames are
//! asked for (and those before given back) by one `NIOCRXSYNC` when less than a batch of them is known of. A wait is a
//! `poll`, which synchronises in passing, so that what it found needs no further system call.
//!
//! Where a descriptor has several rings, frames leave on them in turn and come from all. Buffers are known by their
//! index in the memory region: a frame's template is written once a buffer, for as long as nobody exchanges the
//! buffer, which netmap says (`NS_BUF_CHANGED`). A pipe's other end that writes into frames it received and does not
//! pass them on writes into buffers of this one, which nothing shows.
//!
//! Deliberately absent: opening ports and choosing their rings (`netmap_rs::kernel`), CSB mode ([`super::csb`]),
//! forwarding without copies ([`crate::engine::ZeroCopyEngine`]).

use super::fragment::Fragments;
use crate::port::{Interest, Port, PortError, PortInfo, RxCount, RxFrame, TxFrame};
use netmap_rs::csb::TxSlot;
use netmap_rs::kernel::{Counted, IndirectBuffers, KernelError, KernelPort};
use netmap_rs::sys::{NS_BUF_CHANGED, NS_MOREFRAG};
use std::time::Duration;

/// How frames lie in the slots of a [`KernelIo`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Form {
    /// Bytes of virtio-net header before each packet: 0, 10 or 12 (`NETMAP_REQ_PORT_HDR_SET`). Sent headers are
    /// all zero; those received are left out.
    pub header: u16,
    /// Slots that each frame is sent in (`NS_MOREFRAG`); 0 and 1 are one.
    pub fragments: u32,
    /// Frames of up to so many bytes are sent from memory of this program (`NS_INDIRECT`), which VALE ports alone
    /// understand; 0 for none. Short frames then lie side by side, and not each at the start of a buffer of its own,
    /// which is a page or half of one: kinder to caches and TLBs.
    pub indirect: u16,
}

/// Why a port cannot send in some [`Form`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Both would be in the same slots.
    #[error(
        "frames in fragments are copied to the slots' own buffers; indirect buffers cannot be had with them"
    )]
    IndirectFragments,
    /// No header of that length.
    #[error("a virtio-net header has 10 or 12 bytes, not {0}")]
    Header(u16),
}

/// A [`KernelPort`] with a name.
#[derive(Debug)]
pub struct KernelIo {
    port: KernelPort,
    info: PortInfo,
    header: usize,
    /// Transmit ring that the next batch begins with.
    turn: usize,
    /// Of each transmit ring, where frames are indirect.
    indirect: Vec<IndirectBuffers>,
    fragments: Option<Fragments>,
    /// The kind of frames that are all alike in the buffers, and what is remembered of each transmit ring's slots.
    alike: (u64, Vec<Box<[u64]>>),
    /// A wait synchronised the receive rings, and nothing was received since.
    told: bool,
    /// The receive ring is inside a packet: no header comes next.
    inside: Vec<bool>,
}

impl KernelIo {
    /// Wraps an open port. `mac` is the address its frames should carry.
    pub fn new(
        mut port: KernelPort,
        name: &str,
        mac: Option<[u8; 6]>,
        form: Form,
    ) -> Result<KernelIo, FormError> {
        if !matches!(form.header, 0 | 10 | 12) {
            return Err(FormError::Header(form.header));
        }
        if form.indirect > 0 && form.fragments > 1 {
            return Err(FormError::IndirectFragments);
        }
        let (tx, rx) = port.rings();
        let first = tx.first();
        let buf_size = first.map_or(0, |r| r.buf_size());
        let size = form.indirect.saturating_add(form.header);
        let indirect = match form.indirect {
            0 => Vec::new(),
            _ => tx.iter().map(|ring| ring.indirect_buffers(size)).collect(),
        };
        let fragments = (form.fragments > 1)
            .then(|| Fragments::new(form.fragments, buf_size.saturating_sub(form.header.into())));
        let room = buf_size.saturating_sub(form.header.into()).min(u16::MAX.into()) as u16;
        let info = PortInfo {
            name: name.to_owned(),
            driver: "netmap",
            tx_slots: first.map_or(0, |r| r.num_slots()),
            rx_slots: rx.first().map_or(0, |r| r.num_slots()),
            max_frame: match (&fragments, form.indirect) {
                (Some(fragments), _) => fragments.max_frame(),
                (None, 0) => room,
                (None, size) => size.min(room),
            },
            // Slots of all rings, or a frame that is cut up, or buffers of the region.
            keys: if form.indirect > 0 {
                tx.iter().map(|r| r.num_slots()).sum()
            } else {
                fragments.as_ref().map_or_else(|| first.map_or(0, |r| r.num_bufs()), |_| 1)
            },
            queues: 1,
            mac,
        };
        let known = tx.iter().map(|ring| vec![0; ring.num_slots() as usize].into()).collect();
        let inside = vec![false; rx.len()];
        Ok(KernelIo {
            port,
            info,
            header: form.header.into(),
            turn: 0,
            indirect,
            fragments,
            alike: (0, known),
            told: false,
            inside,
        })
    }

    /// The port itself.
    pub fn port(&mut self) -> &mut KernelPort {
        &mut self.port
    }

    #[cold]
    fn failed(&self, operation: &'static str, source: KernelError) -> PortError {
        PortError { port: self.info.name.clone(), operation, source: source.into() }
    }

    /// Learns what has arrived, unless a batch of `max` is there, or a wait has just told of all there is. What was
    /// drained is given back by the same system call, so that the other side has room early.
    #[inline(always)]
    fn learn(&mut self, max: u32) -> Result<(), PortError> {
        let known: u32 = self.port.rx().iter().map(|ring| ring.avail()).sum();
        let told = std::mem::take(&mut self.told);
        if known == 0 || (known < max && !told) {
            self.port.rxsync().map_err(|e| self.failed("receive on", e))?;
        }
        Ok(())
    }

    /// Sends what was filled.
    #[inline(always)]
    fn publish(&mut self, sent: u32) -> Result<u32, PortError> {
        if sent > 0 {
            self.port.tx().iter_mut().for_each(|ring| ring.report_last());
            self.port.txsync().map_err(|e| self.failed("send on", e))?;
        }
        Ok(sent)
    }

    /// Slots that can be filled, as of the last sync.
    #[inline(always)]
    fn space(&mut self) -> u32 {
        self.port.tx().iter().map(|ring| ring.space()).sum()
    }

    /// Fills slots of the rings in turn, from the one whose turn it is. Returns the frames.
    #[inline(always)]
    fn fill<F: FnMut(TxFrame<'_>) -> u16>(&mut self, max: u32, mut fill: F) -> u32 {
        let Self { port, header, turn, indirect, fragments, .. } = self;
        let (header, rings) = (*header, port.tx().len());
        let mut total = 0;
        let mut ended = false;
        let mut base = 0;
        for step in 0..rings {
            let at = (*turn + step) % rings;
            let ring = &mut port.tx()[at];
            if let Some(buffers) = indirect.get_mut(at) {
                base = at as u32 * ring.num_slots();
                total += ring.fill_indirect(buffers, max - total, |slot| {
                    let len = lend(slot, header, base, &mut fill);
                    ended |= len == 0;
                    len
                });
            } else if let Some(fragments) = fragments {
                total += fragments.fill(ring, max - total, header, &mut fill, &mut ended);
            } else if header == 0 {
                total += ring.fill(max - total, |slot| {
                    let swapped = slot.flags & NS_BUF_CHANGED != 0;
                    let len = fill(TxFrame { key: Some(slot.buf_idx), swapped, buf: slot.buf });
                    ended |= len == 0;
                    len
                });
            } else {
                total += ring.fill(max - total, |slot| {
                    let len = lend(slot, header, base, &mut fill);
                    ended |= len == 0;
                    len
                });
            }
            if ended || total == max {
                break;
            }
        }
        *turn = if *turn + 1 >= rings { 0 } else { *turn + 1 };
        total
    }
}

/// Lends what is behind the header of a slot, and blanks the header if the slot is used.
#[inline(always)]
fn lend<F: FnMut(TxFrame<'_>) -> u16>(slot: &mut TxSlot<'_>, header: usize, base: u32, fill: &mut F) -> u16 {
    let swapped = slot.flags & NS_BUF_CHANGED != 0;
    let Some((head, buf)) = slot.buf.split_at_mut_checked(header) else { return 0 };
    match fill(TxFrame { key: Some(base + slot.buf_idx), swapped, buf }) {
        0 => 0,
        len => {
            head.fill(0);
            len + header as u16
        }
    }
}

impl Port for KernelIo {
    fn info(&self) -> &PortInfo {
        &self.info
    }

    #[inline]
    fn tx_batch<F: FnMut(TxFrame<'_>) -> u16>(&mut self, max: u32, fill: F) -> Result<u32, PortError> {
        // The sync that sent the batch before told of the slots that were free then: another one is worth its price
        // when none is left.
        if self.space() == 0 {
            self.port.txsync().map_err(|e| self.failed("send on", e))?;
        }
        // Whatever is written now is not what was remembered.
        self.alike.0 = 0;
        let sent = self.fill(max, fill);
        self.publish(sent)
    }

    fn tx_alike<F: FnMut(TxFrame<'_>) -> u16>(
        &mut self,
        max: u32,
        kind: u64,
        mut fill: F,
    ) -> Result<u32, PortError> {
        if self.header > 0 || self.fragments.is_some() || !self.indirect.is_empty() {
            return self.tx_batch(max, fill);
        }
        if self.space() == 0 {
            self.port.txsync().map_err(|e| self.failed("send on", e))?;
        }
        if self.alike.0 != kind {
            self.alike.0 = kind;
            self.alike.1.iter_mut().for_each(|known| known.fill(0));
        }
        let mut sent = 0;
        for (ring, known) in self.port.tx().iter_mut().zip(&mut self.alike.1) {
            sent += ring.fill_alike(known, max - sent, |slot| {
                let swapped = slot.flags & NS_BUF_CHANGED != 0;
                fill(TxFrame { key: Some(slot.buf_idx), swapped, buf: slot.buf })
            });
        }
        self.publish(sent)
    }

    fn rx_count(&mut self, max: u32) -> Result<RxCount, PortError> {
        self.learn(max)?;
        let mut count = RxCount::default();
        for ring in self.port.rx() {
            let Counted { slots, packets, bytes } = ring.count(max - count.frames);
            count.frames += slots;
            count.packets += packets;
            count.bytes += bytes;
        }
        count.bytes = count.bytes.saturating_sub(u64::from(count.packets) * self.header as u64);
        Ok(count)
    }

    fn rx_next_is<F: FnOnce(&[u8]) -> bool>(&mut self, max: u32, look: F) -> Result<Option<bool>, PortError> {
        self.learn(max)?;
        // What there is has been learnt of, for the batch that follows.
        self.told = true;
        let header = self.header;
        let mut rings = self.port.rx().iter().zip(&self.inside);
        let Some((ring, inside)) = rings.find(|(ring, _)| ring.avail() > 0) else { return Ok(None) };
        let skip = if *inside { 0 } else { header };
        let look = |data: &[u8]| look(&data[skip.min(data.len())..]);
        // A slot that holds no frame is for the batch to find.
        Ok(Some(ring.next_is(look).unwrap_or(false)))
    }

    #[inline]
    fn rx_batch<F: FnMut(RxFrame<'_>)>(&mut self, max: u32, mut sink: F) -> Result<u32, PortError> {
        self.learn(max)?;
        let header = self.header;
        let mut total = 0;
        for (ring, inside) in self.port.rx().iter_mut().zip(&mut self.inside) {
            if header == 0 {
                total += ring.drain(max - total, |slot| {
                    sink(RxFrame { data: slot.data, more: slot.flags & NS_MOREFRAG != 0 });
                });
            } else {
                total += ring.drain(max - total, |slot| {
                    let skip = if *inside { 0 } else { header.min(slot.data.len()) };
                    *inside = slot.flags & NS_MOREFRAG != 0;
                    sink(RxFrame { data: &slot.data[skip..], more: *inside });
                });
            }
        }
        Ok(total)
    }

    fn tx_pending(&mut self) -> Result<u32, PortError> {
        self.port.txsync().map_err(|e| self.failed("send on", e))?;
        let slots = self.port.tx().iter().map(|ring| ring.pending()).sum();
        Ok(self.fragments.as_ref().map_or(slots, |fragments| fragments.frames(slots)))
    }

    fn wait(&mut self, interest: Interest, timeout: Duration) -> Result<(), PortError> {
        let (tx, rx) = (interest != Interest::Rx, interest != Interest::Tx);
        match self.port.wait(tx, rx, timeout) {
            Ok(ready) => {
                self.told = ready.rx;
                Ok(())
            }
            Err(e) => Err(self.failed("wait for", e)),
        }
    }
}

#[cfg(test)]
mod tests;
