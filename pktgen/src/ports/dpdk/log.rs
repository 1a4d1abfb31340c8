//! What DPDK logs: kept in memory, for the errors that it explains.
#![forbid(unsafe_code)]

use super::LogTail;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

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

static LOG: Mutex<Log> = Mutex::new(Log { lines: VecDeque::new(), count: 0, features: None });

/// Takes a message, which may be several lines.
pub(super) fn take(level: i32, text: &str) {
    let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        if let Some((_, bits)) = line.split_once("features after negotiate = ") {
            log.features = u64::from_str_radix(bits.trim(), 16).ok();
        }
        if level <= NOTICE {
            if log.lines.len() == KEPT {
                log.lines.pop_front();
            }
            log.lines.push_back(line.chars().take(LONGEST).collect());
            log.count += 1;
        }
    }
}

/// A place in the log, from which on [`since`] tells.
pub(super) fn mark() -> u64 {
    let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    log.features = None;
    log.count
}

/// The last lines since then.
pub(super) fn since(mark: u64) -> LogTail {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    let new = (log.count - mark).min(SHOWN as u64) as usize;
    LogTail(log.lines.iter().skip(log.lines.len().saturating_sub(new)).cloned().collect())
}

/// What a virtio device has negotiated since the last mark.
pub(super) fn features() -> Option<u64> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner).features
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test: there is one log.
    #[test]
    fn the_end_of_the_log_and_the_features_are_remembered() {
        take(4, "before\n");
        let start = mark();
        assert_eq!((since(start), features()), (LogTail::default(), None));
        take(8, "virtio_ethdev_negotiate_features(): features after negotiate = 500008020\n");
        take(4, "connect error,\nno such file\n\n");
        assert_eq!(features(), Some(0x5_0000_8020));
        assert_eq!(since(start).to_string(), "\n  connect error,\n  no such file");
        for i in 0..200 {
            take(5, &format!("line {i}"));
        }
        let tail = since(start).0;
        assert_eq!((tail.len(), tail[SHOWN - 1].as_str()), (SHOWN, "line 199"));
        let long = "é".repeat(2 * LONGEST);
        take(4, &long);
        assert_eq!(since(mark() - 1).0[0].chars().count(), LONGEST);
    }
}
