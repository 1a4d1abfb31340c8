//! What a kernel's log says went wrong.
//!
//! Deliberately absent: where the log comes from, a serial console or `/dev/kmsg`.

use std::fmt;

/// Most lines that are shown of one trouble.
const SHOWN_LINES: usize = 40;

/// How bad a trouble is, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A WARN: something the kernel's authors held to be impossible.
    Warning,
    /// It ended a process for want of memory.
    OutOfMemory,
    /// A processor or a task did not get on for many seconds.
    LockUp,
    /// A fault in kernel mode; the kernel went on without whoever was running.
    Oops,
    /// The end of the kernel.
    Panic,
}

impl Kind {
    /// Marks in the log, by kind; a line is of the first that fits. A healthy kernel logs none of them.
    const MARKS: [(Kind, &[&str]); 5] = [
        (Kind::Panic, &["Kernel panic"]),
        (
            Kind::LockUp,
            &[
                "soft lockup",
                "hard LOCKUP",
                "detected stall",
                "detected expedited stall",
                "blocked for more than",
            ],
        ),
        (Kind::OutOfMemory, &["Out of memory: Killed process"]),
        (
            Kind::Oops,
            &[
                "Oops",
                "BUG: ",
                "kernel BUG at",
                "general protection fault",
                "double fault",
                "page fault for address",
                "nable to handle kernel",
                "stack guard page was hit",
                "Internal error: ",
                "list_add corruption",
                "list_del corruption",
                "Bad page state",
            ],
        ),
        (
            Kind::Warning,
            &[
                "WARNING: ",
                "Call Trace:",
                "KASAN",
                "UBSAN",
                "KFENCE",
                "KCSAN",
                "refcount_t: ",
                "scheduling while atomic",
                "sleeping function called from invalid context",
                "possible circular locking dependency",
                "possible recursive locking",
                "inconsistent lock state",
                "suspicious RCU usage",
                "bad unlock balance",
            ],
        ),
    ];

    /// What a line tells of, if it tells of trouble.
    pub fn of(line: &str) -> Option<Kind> {
        let fits = |marks: &[&str]| marks.iter().any(|mark| line.contains(mark));
        Kind::MARKS.iter().find(|(_, marks)| fits(marks)).map(|(kind, _)| *kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Warning => "warned",
            Kind::OutOfMemory => "ran out of memory",
            Kind::LockUp => "locked up",
            Kind::Oops => "oopsed",
            Kind::Panic => "panicked",
        })
    }
}

/// Something that went wrong in a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// How bad it is.
    pub kind: Kind,
    /// Its lines in the log, from the first that tells of it.
    pub lines: Vec<String>,
}

/// The first of the worst troubles in `log`.
pub fn worst(log: &str) -> Option<Trouble> {
    let lines: Vec<&str> = log.lines().map(str::trim_end).collect();
    let found = lines.iter().enumerate().filter_map(|(at, line)| Some((Kind::of(line)?, at)));
    let (kind, at) = found.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    // A panic is mostly the consequence of what comes before it.
    let from = if kind == Kind::Panic { at.saturating_sub(SHOWN_LINES / 2) } else { at };
    let lines = lines[from..].iter().take(SHOWN_LINES).map(|&line| line.to_owned()).collect();
    Some(Trouble { kind, lines })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_are_told_apart_and_the_worst_wins() {
        let kind = |log: &str| worst(log).map(|trouble| trouble.kind);
        assert_eq!(kind("[1.0] netmap: loaded module\n[2.0] vale0: BUGFIX enabled\n"), None);
        for (line, expected) in [
            ("[ 9.1] WARNING: CPU: 0 PID: 12 at kernel/x.c:3 f+0x1/0x2", Kind::Warning),
            ("Out of memory: Killed process 120 (exe) total-vm:532944kB", Kind::OutOfMemory),
            ("watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [pkt-gen:99]", Kind::LockUp),
            ("rcu: INFO: rcu_preempt self-detected stall on CPU", Kind::LockUp),
            ("INFO: task rmmod:41 blocked for more than 120 seconds.", Kind::LockUp),
            ("BUG: kernel NULL pointer dereference, address: 0000000000000010", Kind::Oops),
            ("general protection fault, probably for non-canonical address", Kind::Oops),
            ("kernel BUG at mm/slub.c:379!", Kind::Oops),
            ("Kernel panic - not syncing: Fatal exception", Kind::Panic),
        ] {
            assert_eq!(kind(line), Some(expected), "{line}");
        }
        let log = "WARNING: CPU: 0\nBUG: unable to handle page fault\r\nOops: 0002 [#1]\nWARNING: CPU: 1\n";
        let trouble = worst(log).unwrap();
        assert_eq!((trouble.kind, trouble.lines.len()), (Kind::Oops, 3));
        assert_eq!(trouble.lines[0], "BUG: unable to handle page fault");
    }

    #[test]
    fn a_panic_is_shown_with_what_led_to_it_and_a_long_log_is_cut() {
        let mut log: Vec<String> = (0..100).map(|n| format!("line {n}")).collect();
        log[50] = "Kernel panic - not syncing: softlockup: hung tasks".into();
        let trouble = worst(&log.join("\n")).unwrap();
        assert_eq!(trouble.kind, Kind::Panic);
        assert_eq!((trouble.lines.len(), trouble.lines[0].as_str()), (SHOWN_LINES, "line 30"));
    }
}
