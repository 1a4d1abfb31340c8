//! Reads the frames of a packet file, to send (`-P`).

use crate::exit::Fail;
use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;
use pktgen::roles::tx::MAX_CYCLE;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// The frames of a file, without their times.
pub(super) fn frames(path: &Path) -> Result<Vec<Box<[u8]>>, Fail> {
    let wrong = |what: String| Fail::usage(format!("-P {}: {what}", path.display()));
    let file = File::open(path).map_err(|e| wrong(e.to_string()))?;
    let mut reader =
        PcapReader::new(BufReader::new(file)).map_err(|e| wrong(format!("it is no pcap file ({e})")))?;
    let link = reader.header().datalink;
    if link != DataLink::ETHERNET {
        return Err(wrong(format!("its packets are no Ethernet frames but {link:?}")));
    }
    let mut frames = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let number = frames.len() + 1;
        let packet = packet.map_err(|e| wrong(format!("packet {number} cannot be read ({e})")))?;
        if packet.data.len() < packet.orig_len as usize {
            let (kept, whole) = (packet.data.len(), packet.orig_len);
            return Err(wrong(format!(
                "packet {number} is cut to {kept} of its {whole} bytes; capture whole packets (tcpdump -s 0)"
            )));
        }
        if frames.len() == MAX_CYCLE {
            return Err(wrong(format!("it has more than {MAX_CYCLE} packets")));
        }
        frames.push(packet.data.into_owned().into_boxed_slice());
    }
    if frames.is_empty() {
        return Err(wrong("it has no packets".into()));
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::traffic::dump::Dump;
    use crate::exit::Exit;
    use pktgen::port::RxFrame;

    fn refused(path: &Path) -> String {
        let fail = frames(path).unwrap_err();
        assert_eq!(fail.exit(), Exit::Usage);
        fail.to_string()
    }

    #[test]
    fn what_was_kept_is_read_back_and_fragments_are_one_frame() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.pcap");
        let mut dump = Dump::create(&path).unwrap();
        let outcome = dump.outcome();
        let packets: Vec<Vec<u8>> = (0..300usize).map(|i| vec![i as u8; 60 + i * 5]).collect();
        for packet in &packets {
            dump.batch();
            let mut parts = packet.chunks(700).peekable();
            while let Some(data) = parts.next() {
                dump.keep(&RxFrame { data, more: parts.peek().is_some() });
            }
        }
        drop(dump);
        assert!(outcome.take().is_none());
        let read = frames(&path).unwrap();
        assert_eq!(read.len(), packets.len());
        assert!(read.iter().zip(&packets).all(|(read, packet)| **read == **packet));
    }

    #[test]
    fn files_that_cannot_be_used_get_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert!(refused(&path).contains("No such file"));
        std::fs::write(&path, b"hello").unwrap();
        assert!(refused(&path).contains("no pcap file"));
        drop(Dump::create(&path).unwrap());
        assert!(refused(&path).contains("no packets"));
        // A packet of 60 bytes of which 20 were kept; and one whose bytes are missing.
        let header = std::fs::read(&path).unwrap();
        let packet = |kept: u32, bytes: usize| {
            let words = [0u32, 0, kept, 60].map(u32::to_be_bytes).concat();
            std::fs::write(&path, [&*header, &words, &vec![0; bytes]].concat()).unwrap();
        };
        packet(20, 20);
        assert!(refused(&path).contains("cut to 20 of its 60"), "{}", refused(&path));
        packet(60, 30);
        assert!(refused(&path).contains("packet 1 cannot be read"), "{}", refused(&path));
    }

    #[test]
    fn a_full_disk_is_told() {
        let mut dump = Dump::create(Path::new("/dev/full")).unwrap();
        let outcome = dump.outcome();
        for _ in 0..2000 {
            dump.keep(&RxFrame { data: &[0; 1514], more: false });
        }
        assert!(dump.failed());
        assert_eq!(outcome.take().unwrap().raw_os_error(), Some(28));
    }
}
