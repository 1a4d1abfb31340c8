//! Keeps received packets in a file (`--dump`), in the format that tcpdump and Wireshark read.

use crate::exit::Fail;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::{DataLink, TsResolution};
use pktgen::port::RxFrame;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file being written. Packets of several fragments are kept whole.
pub(super) struct Dump {
    /// Until it is closed.
    writer: Option<PcapWriter<BufWriter<File>>>,
    /// The time of the batch at hand: what is received together is kept with one time.
    now: Duration,
    /// What came of the packet of which more fragments follow.
    begun: Vec<u8>,
    outcome: Outcome,
}

/// What went wrong while writing, if anything did: known for sure once the port is gone.
#[derive(Clone, Default)]
pub(super) struct Outcome(Arc<Mutex<Option<io::Error>>>);

impl Outcome {
    fn set(&self, error: io::Error) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// The first error, once.
    pub(super) fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Dump {
    /// Creates the file, or empties it.
    pub(super) fn create(path: &Path) -> Result<Dump, Fail> {
        let failed = |e: io::Error| Fail::usage(format!("--dump {}: {e}", path.display()));
        let file = File::create(path).map_err(failed)?;
        let header = PcapHeader {
            datalink: DataLink::ETHERNET,
            snaplen: 1 << 18,
            ts_resolution: TsResolution::NanoSecond,
            ..PcapHeader::default()
        };
        let writer = PcapWriter::with_header(BufWriter::with_capacity(1 << 20, file), header)
            .map_err(|e| failed(into_io(e)))?;
        let outcome = Outcome::default();
        Ok(Dump { writer: Some(writer), now: Duration::ZERO, begun: Vec::new(), outcome })
    }

    /// A batch begins.
    pub(super) fn batch(&mut self) {
        self.now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    }

    /// Keeps a frame, or a fragment of one.
    #[inline]
    pub(super) fn keep(&mut self, frame: &RxFrame<'_>) {
        let Some(writer) = &mut self.writer else { return };
        if frame.more || !self.begun.is_empty() {
            self.begun.extend_from_slice(frame.data);
            if frame.more {
                return;
            }
        }
        let data = if self.begun.is_empty() { frame.data } else { &self.begun };
        let packet = PcapPacket::new(self.now, data.len() as u32, data);
        let written = writer.write_packet(&packet);
        self.begun.clear();
        if let Err(e) = written {
            self.outcome.set(into_io(e));
            self.writer = None;
        }
    }

    /// Whether nothing can be written any more.
    pub(super) fn failed(&self) -> bool {
        self.writer.is_none()
    }

    /// Where what goes wrong will be found.
    pub(super) fn outcome(&self) -> Outcome {
        self.outcome.clone()
    }
}

impl Drop for Dump {
    fn drop(&mut self) {
        if let Some(Err(e)) = self.writer.take().map(|writer| writer.into_writer().flush()) {
            self.outcome.set(e);
        }
    }
}

fn into_io(error: pcap_file::PcapError) -> io::Error {
    match error {
        pcap_file::PcapError::IoError(e) => e,
        e => io::Error::other(e),
    }
}
