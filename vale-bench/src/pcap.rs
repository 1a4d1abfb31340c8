//! Reads the frames of a packet file, and their times, to send them.
//!
//! Files come from anywhere: whatever is in one, it is read or refused with a sentence, in bounded memory.

use crate::exit::Fail;
use pcap_file::DataLink;
use pcap_file::TsResolution;
use pcap_file::pcap::PcapReader;
use pktgen::spec::{MAX_REPLAY, Replay};
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;
use std::time::Duration;

/// Most bytes of all frames together.
const BYTES_MAX: usize = 64 << 20;

/// The frames of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Capture {
    /// Without FCS.
    pub frames: Vec<Box<[u8]>>,
    /// When each was captured.
    pub times: Vec<Duration>,
}

impl Capture {
    /// Reads `path`, which `option` named.
    pub fn read(option: &str, path: &Path) -> Result<Capture, Fail> {
        read(path).map_err(|what| Fail::usage(format!("{option} {}: {what}", path.display())))
    }

    /// To be sent in turn: `speed` times as fast as it was captured, or by a rate.
    ///
    /// A frame that was captured out of order leaves with the one before. From the last frame to the first of the next
    /// round it takes the mean time between frames.
    pub fn replay(&self, speed: Option<f64>) -> Result<Replay, Fail> {
        let gaps = speed.map(|speed| self.gaps_ns(speed)).transpose()?;
        Replay::new(&self.frames, gaps).map_err(Fail::usage)
    }

    fn gaps_ns(&self, speed: f64) -> Result<Vec<u64>, Fail> {
        let first = self.times.first().copied().unwrap_or_default();
        let mut latest = Duration::ZERO;
        // From the first on, so that rounding does not add up.
        let mut at = Vec::with_capacity(self.times.len());
        for time in &self.times {
            latest = latest.max(time.saturating_sub(first));
            at.push((latest.as_nanos() as f64 / speed).round() as u64);
        }
        let whole = at.last().copied().unwrap_or(0);
        if whole == 0 {
            let sentence =
                "its packets have one and the same time, which says nothing of when to send them; use a rate";
            return Err(Fail::usage(sentence));
        }
        let mut gaps: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.push(whole / (at.len() as u64 - 1));
        Ok(gaps)
    }
}

fn read(path: &Path) -> Result<Capture, String> {
    let mut file = File::open(path).map_err(|e| e.to_string())?;
    let mut magic = [0; 4];
    if file.read_exact(&mut magic).is_ok() && magic == [0x0a, 0x0d, 0x0d, 0x0a] {
        return Err("it is a pcapng file; make a pcap file of it with `editcap -F pcap`".into());
    }
    file.rewind().map_err(|e| e.to_string())?;
    let mut reader =
        PcapReader::new(BufReader::new(file)).map_err(|e| format!("it is no pcap file ({e})"))?;
    let header = reader.header();
    if header.datalink != DataLink::ETHERNET {
        return Err(format!("its packets are no Ethernet frames but {:?}", header.datalink));
    }
    let scale = match header.ts_resolution {
        TsResolution::MicroSecond => 1_000,
        TsResolution::NanoSecond => 1,
    };
    let mut capture = Capture { frames: Vec::new(), times: Vec::new() };
    let mut bytes = 0;
    while let Some(packet) = reader.next_raw_packet() {
        let number = capture.frames.len() + 1;
        let packet = packet.map_err(|e| format!("packet {number} cannot be read ({e})"))?;
        let (kept, whole) = (packet.data.len(), packet.orig_len as usize);
        if kept < whole {
            return Err(format!(
                "packet {number} is cut to {kept} of its {whole} bytes; capture whole packets (tcpdump -s 0)"
            ));
        }
        if kept == 0 || kept > u16::MAX.into() {
            return Err(format!("packet {number} has {kept} bytes, and no frame has"));
        }
        let nanos = u64::from(packet.ts_frac) * scale;
        if nanos >= 1_000_000_000 {
            return Err(format!("packet {number} has a time with {nanos} ns beyond the second"));
        }
        if capture.frames.len() == MAX_REPLAY {
            return Err(format!("it has more than {MAX_REPLAY} packets"));
        }
        bytes += kept;
        if bytes > BYTES_MAX {
            return Err(format!("its packets have more than {} MiB", BYTES_MAX >> 20));
        }
        capture.frames.push(packet.data.into_owned().into_boxed_slice());
        capture.times.push(Duration::from_secs(packet.ts_sec.into()) + Duration::from_nanos(nanos));
    }
    if capture.frames.is_empty() {
        return Err("it has no packets".into());
    }
    Ok(capture)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;
    use proptest::prelude::*;

    fn refused(path: &Path) -> String {
        let fail = Capture::read("-P", path).unwrap_err();
        assert_eq!(fail.exit(), Exit::Usage);
        fail.to_string()
    }

    /// A file's header, for nanoseconds or microseconds, in either order of bytes.
    fn header(nanos: bool, swapped: bool) -> Vec<u8> {
        let magic: u32 = if nanos { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
        let words = [magic, 4 << 16 | 2, 0, 0, 65_535, 1];
        let in_order = |word: u32| if swapped { word.to_be_bytes() } else { word.to_le_bytes() };
        let mut bytes = words.map(in_order).concat();
        let version = if swapped { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
        bytes[4..8].copy_from_slice(&version);
        bytes
    }

    fn packet(sec: u32, frac: u32, kept: u32, whole: u32, bytes: usize) -> Vec<u8> {
        let mut packet = [sec, frac, kept, whole].map(u32::to_le_bytes).concat();
        packet.extend(vec![7; bytes]);
        packet
    }

    #[test]
    fn frames_and_times_are_read_in_every_dialect() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let frame = packet(3, 500, 60, 60, 60);
        for (nanos, ns) in [(true, 500), (false, 500_000)] {
            std::fs::write(&path, [header(nanos, false), frame.clone()].concat()).unwrap();
            let capture = Capture::read("-P", &path).unwrap();
            assert_eq!(capture.times, [Duration::new(3, ns)]);
            assert_eq!(*capture.frames[0], [7; 60]);
        }
        let swapped = [3u32, 9, 60, 60].map(u32::to_be_bytes).concat();
        std::fs::write(&path, [header(true, true), swapped, vec![1; 60]].concat()).unwrap();
        assert_eq!(Capture::read("-P", &path).unwrap().times, [Duration::new(3, 9)]);
    }

    #[test]
    fn captured_times_become_gaps_at_any_speed() {
        let at = |ms: &[u64]| Capture {
            frames: vec![vec![0; 60].into(); ms.len()],
            times: ms
                .iter()
                .map(|&ms| Duration::from_secs(1_700_000_000) + Duration::from_millis(ms))
                .collect(),
        };
        let gaps =
            |capture: &Capture, speed| capture.replay(Some(speed)).unwrap().gaps_ns().unwrap().to_vec();
        let capture = at(&[0, 1, 1, 7]);
        assert_eq!(gaps(&capture, 1.0), [1_000_000, 0, 6_000_000, 2_333_333]);
        assert_eq!(gaps(&capture, 10.0), [100_000, 0, 600_000, 233_333]);
        // Thirds do not add up to an error.
        assert_eq!(gaps(&capture, 3.0).iter().take(3).sum::<u64>(), 2_333_333);
        assert_eq!(
            gaps(&at(&[5, 3, 9, 8, 10]), 1.0),
            [0, 4_000_000, 0, 1_000_000, 1_250_000],
            "out of order"
        );
        assert_eq!(capture.replay(None).unwrap().gaps_ns(), None);
        for no_time in [at(&[4]), at(&[4, 4, 4])] {
            assert_eq!(no_time.replay(Some(1.0)).unwrap_err().exit(), Exit::Usage);
        }
    }

    #[test]
    fn files_that_cannot_be_used_get_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert!(refused(&path).contains("No such file"));
        let is = |parts: &[Vec<u8>], words: &str| {
            std::fs::write(&path, parts.concat()).unwrap();
            let sentence = refused(&path);
            assert!(sentence.contains(words), "{words}: {sentence}");
        };
        is(&[], "no pcap file");
        is(&[b"hello".to_vec()], "no pcap file");
        is(&[vec![0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 0]], "editcap -F pcap");
        is(&[header(true, false)[..20].to_vec()], "no pcap file");
        is(&[header(true, false)], "no packets");
        is(&[header(true, false), packet(0, 0, 20, 60, 20)], "cut to 20 of its 60");
        is(&[header(true, false), packet(0, 0, 60, 60, 30)], "packet 1 cannot be read");
        is(&[header(true, false), packet(0, 0, 60, 60, 60), vec![1; 3]], "packet 2 cannot be read");
        is(&[header(true, false), packet(0, 0, u32::MAX, u32::MAX, 100)], "packet 1 cannot be read");
        is(&[header(true, false), packet(0, 0, 0, 0, 0)], "0 bytes");
        is(&[header(true, false), packet(0, 0, 70_000, 70_000, 70_000)], "70000 bytes");
        is(&[header(true, false), packet(0, u32::MAX, 60, 60, 60)], "beyond the second");
        is(&[header(false, false), packet(0, 1_000_000, 60, 60, 60)], "beyond the second");
        let one = packet(0, 0, 60, 60, 60);
        is(&[header(true, false), one.repeat(MAX_REPLAY + 1)], "more than 65536");
        let mut wifi = header(true, false);
        wifi[20] = 105;
        is(&[wifi, one], "no Ethernet frames");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn whatever_is_in_a_file_is_answered(
            nanos: bool,
            cut in 0usize..400,
            flips in prop::collection::vec((0usize..400, any::<u8>()), 0..6),
        ) {
            let mut bytes = [header(nanos, false), packet(1, 2, 60, 60, 60).repeat(4)].concat();
            bytes.truncate(cut.max(1));
            for (at, value) in flips {
                let at = at % bytes.len();
                bytes[at] = value;
            }
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &bytes).unwrap();
            if let Ok(capture) = Capture::read("-P", file.path()) {
                prop_assert!(capture.frames.iter().all(|frame| !frame.is_empty()));
                if let Ok(replay) = capture.replay(Some(1.0)) {
                    prop_assert_eq!(replay.gaps_ns().unwrap().len(), capture.frames.len());
                }
            }
        }
    }
}
