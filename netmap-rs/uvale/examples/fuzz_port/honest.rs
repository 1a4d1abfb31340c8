//! Two ports that behave, and check everything they get.
//!
//! They name each other's ports in their slots: an attacker may claim any address and have frames for it, on
//! this switch as on any that learns.

use netmap_rs::csb::CsbPort;
use netmap_rs::layout::PortShape;
use netmap_rs::sys::NS_MOREFRAG;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use uvale::{PortId, Switch};

/// Marks a frame as one of these.
const MAGIC: u64 = 0x686f_6e65_7374_2121;
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    /// Packets of someone else's.
    pub(crate) foreign: u64,
}

struct Side {
    id: PortId,
    peer: PortId,
    port: CsbPort,
    sent: u64,
    next: u64,
    outcome: Outcome,
}

pub(crate) struct Honest<'a> {
    switch: &'a Switch,
    sides: [Side; 2],
    /// Sends to the attacker, so that its receive rings are used too.
    chatter: CsbPort,
    attacker: PortId,
}

fn len_of(number: u64) -> usize {
    60 + (number * 89 % 1400) as usize
}

/// Byte `i` of frame `number`.
fn byte(number: u64, i: usize) -> u8 {
    (number as u8).wrapping_mul(31).wrapping_add(i as u8)
}

impl<'a> Honest<'a> {
    pub(crate) fn new(switch: &'a Switch) -> Honest<'a> {
        // Port 0 cannot be named in a slot: nobody's.
        switch.add_host_port("nobody", &PortShape::default(), Some(0)).expect("a port");
        let made = ["honest-a", "honest-b"]
            .map(|name| switch.add_host_port(name, &PortShape::default(), None).expect("a port"));
        let ids = [made[0].id, made[1].id];
        let mut peers = [ids[1], ids[0]].into_iter();
        let sides = made.map(|made| {
            let (id, peer) = (made.id, peers.next().expect("two ports"));
            let port = made.open().expect("a fresh port");
            Side { id, peer, port, sent: 0, next: 0, outcome: Outcome::default() }
        });
        let chatter = switch.add_host_port("chatter", &PortShape::default(), None).expect("a port");
        // The lowest free index, which every attacker gets in turn.
        let attacker = chatter.id + 1;
        Honest { switch, sides, chatter: chatter.open().expect("a fresh port"), attacker }
    }

    /// Packets of one to three fragments for the attacker.
    fn chat(&mut self) {
        let (tx, to) = (&mut self.chatter.tx[0], u16::from(self.attacker) << 8);
        tx.sync().expect("the switch's cursors");
        let mut left = 0u16;
        let n = tx.fill(96, |slot| {
            left = if left == 0 { slot.buf_idx as u16 % 3 } else { left - 1 };
            slot.buf[..14].copy_from_slice(&[2, 0, 0, 0, 1, 9, 2, 0, 0, 0, 1, 3, 0x88, 0xb5]);
            slot.flags = to | if left > 0 { NS_MOREFRAG } else { 0 };
            len_of(u64::from(slot.buf_idx)) as u16
        });
        if n > 0 && tx.publish() {
            self.chatter.doorbell.ring().expect("an eventfd can be written");
        }
    }

    /// Whether the switch has taken every whole packet.
    fn settled(&mut self) -> bool {
        self.chatter.tx[0].sync().expect("the switch's cursors");
        // A last packet without its end waits for it.
        self.chatter.tx[0].pending() < 3 && self.sides.iter().all(|side| side.port.tx[0].pending() == 0)
    }

    /// Exchanges frames until `stop`, then waits for the last; what came of it all.
    pub(crate) fn run(mut self, stop: &AtomicBool) -> Outcome {
        let mut progress = Instant::now();
        let mut total = Outcome::default();
        loop {
            let stopping = stop.load(Ordering::Relaxed);
            let mut moved = 0;
            if !stopping {
                self.chat();
            }
            for side in &mut self.sides {
                moved += side.receive();
                if !stopping {
                    moved += side.send();
                }
                side.port.tx[0].sync().expect("the switch's cursors");
            }
            if moved > 0 {
                progress = Instant::now();
            } else if stopping && self.settled() {
                break;
            } else {
                std::thread::yield_now();
            }
            assert!(progress.elapsed() < DEADLINE, "honest ports have made no progress for {DEADLINE:?}");
        }
        // Every slot was taken, so everything is counted; what was delivered since is drained here.
        let sent = [self.sides[1].sent, self.sides[0].sent];
        for (side, sent) in self.sides.iter_mut().zip(sent) {
            side.receive();
            let s = self.switch.counters(side.id).expect("an honest port");
            let lost = sent - side.outcome.received;
            // Some of the drops may have been the attacker's frames.
            assert!(lost <= s.drop_rx_full, "{lost} frames lost and {} counted", s.drop_rx_full);
            assert_eq!(s.drops_as_receiver(), s.drop_rx_full + s.drop_rx_too_long);
            assert_eq!(s.rx_frames, side.outcome.received + side.outcome.foreign);
            assert_eq!(s.tx_frames, side.sent);
            total.sent += side.sent;
            total.received += side.outcome.received;
            total.lost += lost;
            total.foreign += side.outcome.foreign;
        }
        total
    }
}

impl Side {
    fn send(&mut self) -> u32 {
        let (tx, sent, peer) = (&mut self.port.tx[0], &mut self.sent, self.peer);
        let n = tx.fill(64, |slot| {
            let (number, len) = (*sent, len_of(*sent));
            slot.buf[..14].copy_from_slice(&[2, 0, 0, 0, 1, 1, 2, 0, 0, 0, 1, 2, 0x88, 0xb5]);
            slot.buf[14..22].copy_from_slice(&MAGIC.to_le_bytes());
            slot.buf[22..30].copy_from_slice(&number.to_le_bytes());
            (30..len).for_each(|i| slot.buf[i] = byte(number, i));
            slot.flags = u16::from(peer) << 8;
            *sent += 1;
            len as u16
        });
        if n > 0 && tx.publish() {
            self.port.doorbell.ring().expect("an eventfd can be written");
        }
        n
    }

    fn receive(&mut self) -> u32 {
        let rx = &mut self.port.rx[0];
        rx.sync().expect("the switch's cursors");
        let (next, outcome) = (&mut self.next, &mut self.outcome);
        let n = rx.drain(u32::MAX, |slot| {
            let word =
                |at: usize| slot.data.get(at..at + 8).map(|b| u64::from_le_bytes(b.try_into().expect("8")));
            let (Some(MAGIC), Some(number)) = (word(14), word(22)) else {
                // A chain counts as one, as the switch counts it.
                outcome.foreign += u64::from(slot.flags & NS_MOREFRAG == 0);
                return;
            };
            assert!(number >= *next, "frame {number} came after {}", *next - 1);
            assert_eq!(slot.data.len(), len_of(number), "frame {number}");
            assert!(
                (30..slot.data.len()).all(|i| slot.data[i] == byte(number, i)),
                "frame {number} is damaged"
            );
            *next = number + 1;
            outcome.received += 1;
        });
        assert_eq!(rx.bad_slots(), 0);
        if n > 0 && rx.publish() {
            self.port.doorbell.ring().expect("an eventfd can be written");
        }
        n
    }
}
