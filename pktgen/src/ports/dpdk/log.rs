//! What DPDK logs: kept in memory, for the errors that it explains.
#![forbid(unsafe_code)]

use super::LogTail;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// `RTE_LOG_NOTICE` of `rte_log.h`: what is more talkative is not kept.
const NOTICE: i32 = 6;
/// Lines kept.
const KEPT: usize = 64;
/// Lines shown with an error.
const SHOWN: usize = 8;
/// Longest line kept, in bytes.
const LONGEST: usize = 400;

struct Log {
    lines: VecDeque<String>,
    /// Lines ever kept.
    count: u64,
    /// The features that the last virtio device negotiated.
    features: Option<u64>,
}

impl Log {
    const EMPTY: Log = Log { lines: VecDeque::new(), count: 0, features: None };

    fn take(&mut self, level: i32, text: &str) {
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            if let Some((_, bits)) = line.split_once("features after negotiate = ") {
                self.features = u64::from_str_radix(bits.trim(), 16).ok();
            }
            if level <= NOTICE {
                if self.lines.len() == KEPT {
                    self.lines.pop_front();
                }
                self.lines.push_back(line.chars().take(LONGEST).collect());
                self.count += 1;
            }
        }
    }

    fn mark(&mut self) -> u64 {
        self.features = None;
        self.count
    }

    fn since(&self, mark: u64) -> LogTail {
        let new = (self.count - mark).min(SHOWN as u64) as usize;
        LogTail(self.lines.iter().skip(self.lines.len().saturating_sub(new)).cloned().collect())
    }
}

static LOG: Mutex<Log> = Mutex::new(Log::EMPTY);

fn log() -> MutexGuard<'static, Log> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a message, which may be several lines.
pub(super) fn take(level: i32, text: &str) {
    log().take(level, text);
}

/// A place in the log, from which on [`since`] tells.
pub(super) fn mark() -> u64 {
    log().mark()
}

/// The last lines since then.
pub(super) fn since(mark: u64) -> LogTail {
    log().since(mark)
}

/// What a virtio device has negotiated since the last mark.
pub(super) fn features() -> Option<u64> {
    log().features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_log_and_the_features_are_remembered() {
        let mut log = Log::EMPTY;
        log.take(4, "before\n");
        let start = log.mark();
        assert_eq!((log.since(start), log.features), (LogTail::default(), None));
        log.take(8, "virtio_ethdev_negotiate_features(): features after negotiate = 500008020\n");
        log.take(4, "connect error,\nno such file\n\n");
        assert_eq!(log.features, Some(0x5_0000_8020));
        assert_eq!(log.since(start).to_string(), "\n  connect error,\n  no such file");
        (0..200).for_each(|i| log.take(5, &format!("line {i}")));
        let tail = log.since(start).0;
        assert_eq!((tail.len(), tail[SHOWN - 1].as_str()), (SHOWN, "line 199"));
        let last = log.mark();
        log.take(4, &"é".repeat(2 * LONGEST));
        assert_eq!(log.since(last).0[0].chars().count(), LONGEST);
        assert_eq!(log.features, None, "a mark forgets them");
    }
}
