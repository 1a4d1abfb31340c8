//! How the frames of a load differ from each other and when each leaves: what a [`super::TxSpec`] says beyond sizes,
//! addresses and the mean rate.

use crate::Error;
use crate::template::check_count;
use serde::{Deserialize, Serialize};

/// In which order flows come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowOrder {
    /// In turn.
    #[default]
    RoundRobin,
    /// At random, each as likely as any other.
    Random,
    /// At random, the k-th as likely as k to the power of minus `exponent`: few carry most of the load.
    Zipf {
        /// Above 0; about 1 is what is seen in networks.
        exponent: f64,
    },
}

/// When frames leave, at a mean rate. Means nothing to a sender that sends as fast as it can.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Evenly.
    #[default]
    Constant,
    /// After times that are exponentially distributed (a Poisson process).
    Poisson,
    /// So many back to back, then a pause that makes up for them.
    Bursts {
        /// Frames of a burst.
        frames: u32,
    },
}

/// The ends of ranges of addresses that begin with those of an [`super::Addressing`]. There is a flow for each
/// combination: the source port varies fastest, then the source address, the destination port and address, and the
/// Ethernet addresses last. [`super::Addressing::flows`] then means nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranges {
    /// Last source Ethernet address.
    pub src_mac: [u8; 6],
    /// Last destination Ethernet address.
    pub dst_mac: [u8; 6],
    /// Last source IPv4 address.
    pub src_ip: [u8; 4],
    /// Last destination IPv4 address.
    pub dst_ip: [u8; 4],
    /// Last source port.
    pub src_port: u16,
    /// Last destination port.
    pub dst_port: u16,
}

/// Frames that were captured, to be sent in turn as they are, without marks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// All of their bytes, without FCS, one frame after the other.
    #[serde(with = "base64_text")]
    bytes: Vec<u8>,
    lens: Vec<u16>,
    /// From each frame to the next, and from the last to the first again; none if the rate says when frames leave.
    gaps_ns: Option<Vec<u64>>,
}

/// Most frames of one [`Replay`].
pub const MAX_REPLAY: usize = 1 << 16;

impl Replay {
    /// `frames`, and the time from each to the next and from the last to the first again. Refuses none, more than
    /// [`MAX_REPLAY`], frames of 64 KiB, and times that are not one a frame or are all 0.
    pub fn new<F: AsRef<[u8]>>(frames: &[F], gaps_ns: Option<Vec<u64>>) -> Result<Self, Error> {
        let len = |frame: &F| {
            let len = frame.as_ref().len();
            check_count("bytes of a frame", len as u64, u16::MAX.into()).map(|()| len as u16)
        };
        let lens = frames.iter().map(len).collect::<Result<_, _>>()?;
        let bytes = frames.iter().flat_map(AsRef::as_ref).copied().collect();
        let replay = Self { bytes, lens, gaps_ns };
        replay.check()?;
        Ok(replay)
    }

    fn check(&self) -> Result<(), Error> {
        let frames = self.lens.len() as u64;
        check_count("frames to send in turn", frames, MAX_REPLAY as u64)?;
        let exactly = |what, value: usize, wanted: u64| {
            if value as u64 == wanted {
                return Ok(());
            }
            Err(Error::Count { what, value: value as u64, min: wanted, max: wanted })
        };
        exactly("bytes of all frames", self.bytes.len(), self.lens.iter().map(|&len| u64::from(len)).sum())?;
        let Some(gaps) = &self.gaps_ns else { return Ok(()) };
        exactly("times between frames", gaps.len(), frames)?;
        // A century of nanoseconds fits; all at once for ever is no schedule.
        check_count(
            "nanoseconds that the frames take",
            gaps.iter().map(|&gap| gap.min(1 << 46)).sum(),
            1 << 62,
        )
    }

    /// The frames.
    pub fn frames(&self) -> Result<Vec<Box<[u8]>>, Error> {
        self.check()?;
        let mut rest = self.bytes.as_slice();
        let frame = |&len: &u16| {
            let (frame, after) = rest.split_at(len.into());
            rest = after;
            frame.into()
        };
        Ok(self.lens.iter().map(frame).collect())
    }

    /// The times between them, if those are to be kept.
    pub fn gaps_ns(&self) -> Option<&[u64]> {
        self.gaps_ns.as_deref()
    }

    /// The same frames, to be sent by a rate.
    #[must_use]
    pub fn without_times(self) -> Self {
        Self { gaps_ns: None, ..self }
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.lens.len()
    }

    /// Whether there are none, which no replay that was made has.
    pub fn is_empty(&self) -> bool {
        self.lens.is_empty()
    }

    /// Bytes of all frames together, without FCS.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Length of the longest frame, without FCS.
    pub fn longest(&self) -> u16 {
        self.lens.iter().copied().max().unwrap_or(0)
    }

    /// Gives every frame these Ethernet addresses.
    pub fn readdress(&mut self, src: [u8; 6], dst: [u8; 6]) {
        let mut at = 0;
        for &len in &self.lens {
            let len = usize::from(len);
            if let Some(head) = self.bytes[at..at + len].first_chunk_mut::<12>() {
                head[..6].copy_from_slice(&dst);
                head[6..].copy_from_slice(&src);
            }
            at += len;
        }
    }
}

/// What a load is like beyond sizes, addresses and mean rate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// When frames leave.
    pub arrivals: Arrivals,
    /// Which flow comes next.
    pub order: FlowOrder,
    /// Combinations of addresses that are the flows.
    pub ranges: Option<Ranges>,
    /// Frames to send instead of those that would be made; sizes, addresses and flows then mean nothing.
    pub replay: Option<Replay>,
    /// What is drawn at random is drawn the same way each time, for each seed another.
    pub seed: u64,
}

/// Bytes as base64.
mod base64_text {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(data: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        STANDARD.encode(data).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_survives_the_wire_and_bad_ones_are_refused() {
        let frames: Vec<Vec<u8>> = (1..5u8).map(|i| vec![i; 20 * usize::from(i)]).collect();
        let mut replay = Replay::new(&frames, Some(vec![0, 5, 0, 7])).unwrap();
        let text = serde_json::to_string(&replay).unwrap();
        let back: Replay = serde_json::from_str(&text).unwrap();
        assert_eq!(back, replay);
        let taken = back.frames().unwrap();
        assert!(taken.iter().zip(&frames).all(|(taken, frame)| **taken == **frame));
        assert_eq!((back.len(), back.bytes(), back.longest()), (4, 200, 80));
        replay.readdress([2; 6], [3; 6]);
        assert!(
            replay.frames().unwrap().iter().all(|frame| frame[..12] == [3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2])
        );

        assert!(Replay::new::<Vec<u8>>(&[], None).is_err());
        assert!(Replay::new(&[vec![0; 1 << 16]], None).is_err());
        assert!(Replay::new(&[vec![]], None).is_err());
        assert!(Replay::new(&frames, Some(vec![1])).is_err());
        assert!(Replay::new(&frames, Some(vec![0; 4])).is_err(), "all at once for ever");
        assert!(Replay::new(&vec![vec![0; 60]; MAX_REPLAY + 1], None).is_err());
        // What comes over the wire is checked again.
        let cut: Replay = serde_json::from_str(&text.replace("[20,", "[21,")).unwrap();
        assert!(cut.frames().is_err());
    }
}
