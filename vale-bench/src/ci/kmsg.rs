//! What the kernel said while a check ran: its log from a mark on, and the lines in it that mean trouble.
//!
//! Deliberately absent: netmap's own complaints about requests it refuses. Checks cause them on purpose.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use crate::kernel_log::Kind;

/// Lines shown after one that means trouble: enough for a call trace.
const CONTEXT: usize = 24;
/// Lines shown of one check at most.
const LINES_MAX: usize = 80;

/// Taints that a kernel gets when something went wrong, by their bits: a page in a bad state, an oops, a warning,
/// a soft lockup.
const TAINTS: [(u32, &str); 4] = [(5, "a bad page"), (7, "an oops"), (9, "a warning"), (14, "a soft lockup")];

/// The kernel's log, from a mark on.
#[derive(Debug)]
pub struct KernelLog {
    file: Option<File>,
    taint: u64,
}

impl KernelLog {
    /// Begins to listen. Without the right to read the log, only the kernel's taint is looked at.
    #[must_use]
    pub fn open() -> KernelLog {
        let file = File::options()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
            .open("/dev/kmsg")
            .ok();
        let mut log = KernelLog { file, taint: 0 };
        log.mark();
        log
    }

    /// Whether the log itself can be read.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.file.is_some()
    }

    /// Forgets what was said so far.
    pub fn mark(&mut self) {
        if let Some(file) = &mut self.file
            && file.seek(SeekFrom::End(0)).is_err()
        {
            self.file = None;
        }
        self.taint = taint();
    }

    /// What has meant trouble since the mark, which moves here.
    pub fn trouble(&mut self) -> Vec<String> {
        let lines = self.lines();
        let mut found = trouble(&lines);
        let now = taint();
        if found.is_empty() {
            found.extend(
                new_taints(self.taint, now)
                    .map(|what| format!("the kernel is tainted by {what} that its log does not show")),
            );
        }
        self.taint = now;
        found
    }

    fn lines(&mut self) -> Vec<String> {
        let Some(file) = &mut self.file else { return Vec::new() };
        let mut lines = Vec::new();
        // One record a read; a record that does not fit would be lost.
        let mut record = vec![0u8; 8192];
        loop {
            match file.read(&mut record) {
                Ok(0) => break,
                Ok(len) => lines.push(text_of(&String::from_utf8_lossy(&record[..len]))),
                // Records were overwritten before they could be read: the next read goes on behind them.
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        lines
    }
}

fn taint() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/kernel/tainted").unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

fn new_taints(before: u64, now: u64) -> impl Iterator<Item = &'static str> {
    TAINTS.into_iter().filter(move |(bit, _)| (now & !before) >> bit & 1 == 1).map(|(_, what)| what)
}

/// The message of a record: what stands between the prefix's `;` and the first line's end.
fn text_of(record: &str) -> String {
    let message = record.split_once(';').map_or(record, |(_, message)| message);
    message.lines().next().unwrap_or_default().to_owned()
}

/// The lines that mean trouble, each with what follows it.
fn trouble(lines: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = 0;
    for line in lines {
        if Kind::of(line).is_some() {
            left = CONTEXT;
        }
        if left > 0 && found.len() < LINES_MAX {
            found.push(line.clone());
            left -= 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn records_lose_their_prefix_and_their_properties() {
        assert_eq!(text_of("6,339,5140900,-;netmap: loaded module\n SUBSYSTEM=x\n"), "netmap: loaded module");
        assert_eq!(text_of("4,1,2,-;a;b\n"), "a;b");
        assert_eq!(text_of(""), "");
    }

    #[test]
    fn what_netmap_says_about_refused_requests_is_no_trouble() {
        let quiet = lines(
            "012.345678 [ 1234] netmap_vale_attach         error EINVAL\n\
             nm_txsync_prologue vale0:1 TX0 kring error: head 64 cur 64\n\
             netmap: loading out-of-tree module taints kernel.\n\
             device veth0 entered promiscuous mode",
        );
        assert_eq!(trouble(&quiet), Vec::<String>::new());
    }

    #[test]
    fn trouble_is_shown_with_what_follows() {
        let mut log = lines("hello\nWARNING: CPU: 0 PID: 77 at netmap_mem2.c:100 x+0x1/0x2 [netmap]\nRIP: x");
        log.extend((0..100).map(|i| format!("line {i}")));
        let found = trouble(&log);
        assert_eq!(found.len(), CONTEXT);
        assert!(found[0].starts_with("WARNING: CPU: 0"));
        for line in [
            "BUG: kernel NULL pointer dereference, address: 0000000000000008",
            "Oops: 0002 [#1] PREEMPT SMP NOPTI",
            "INFO: task vale-bench:123 blocked for more than 120 seconds.",
            "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [vale-bench:123]",
            "rcu: INFO: rcu_preempt self-detected stall on CPU",
            "general protection fault, probably for non-canonical address 0xdead000000000100",
            "refcount_t: underflow; use-after-free.",
            "list_del corruption. prev->next should be ffff88",
        ] {
            assert_eq!(trouble(&[line.to_owned()]), [line]);
        }
    }

    #[test]
    fn a_long_log_is_cut() {
        let log = vec!["BUG: again".to_owned(); 500];
        assert_eq!(trouble(&log).len(), LINES_MAX);
    }

    #[test]
    fn only_new_taints_count() {
        assert_eq!(new_taints(0x1000, 0x1200).collect::<Vec<_>>(), ["a warning"]);
        assert_eq!(new_taints(0x200, 0x1280).collect::<Vec<_>>(), ["an oops"]);
        assert_eq!(new_taints(0x200, 0x3200).count(), 0, "what an out-of-tree module adds");
    }
}
