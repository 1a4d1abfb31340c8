//! Ctrl-C, SIGTERM and a lost terminal: remembered, so that the run can end in good order.
//!
//! A signal sets a flag and makes a descriptor readable for good. Whoever waits, waits on that descriptor too
//! ([`Interrupt::fd`], [`Interrupt::sleep`]) and whoever loops asks [`Interrupt::check`]; both end with
//! [`Fail::signal`], and cleaning up is what destructors do on the way out. Since every wait ends, one signal
//! is enough.
//!
//! Deliberately absent: work in signal handlers beyond these two stores, and process groups; a child that must
//! survive the terminal's Ctrl-C until it is told to quit has to be put into a group of its own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::exit::Fail;

/// What has been asked of the process by signals.
#[derive(Debug)]
pub struct Interrupt {
    /// The signal that came last; 0 before.
    signal: Arc<AtomicUsize>,
    /// Readable once a signal came; never read, so it wakes every waiter.
    wake: UnixStream,
}

static INSTALLED: OnceLock<Interrupt> = OnceLock::new();

impl Interrupt {
    /// The process's own, with its signal handlers; the first call installs them.
    pub fn install() -> io::Result<&'static Interrupt> {
        if let Some(installed) = INSTALLED.get() {
            return Ok(installed);
        }
        let interrupt = Interrupt::new(&signals())?;
        // A second installation, lost in a race, has handlers that set a flag nobody reads: harmless.
        Ok(INSTALLED.get_or_init(|| interrupt))
    }

    fn new(signals: &[i32]) -> io::Result<Interrupt> {
        let signal = Arc::new(AtomicUsize::new(0));
        let (wake, end) = UnixStream::pair()?;
        for &number in signals {
            // The flag first: whoever wakes up must find it set.
            signal_hook::flag::register_usize(number, Arc::clone(&signal), number as usize)?;
            signal_hook::low_level::pipe::register(number, end.try_clone()?)?;
        }
        Ok(Interrupt { signal, wake })
    }

    /// The signal that asked for the end, if one did.
    pub fn signal(&self) -> Option<i32> {
        match self.signal.load(Ordering::Acquire) {
            0 => None,
            number => i32::try_from(number).ok(),
        }
    }

    /// Fails once a signal has asked for the end.
    pub fn check(&self) -> Result<(), Fail> {
        self.signal().map_or(Ok(()), |number| Err(Fail::signal(number)))
    }

    /// Readable once a signal came, and ever after. Poll it beside whatever else is waited for; never read it.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Sleeps for `duration`, or fails as soon as a signal asks for the end.
    pub fn sleep(&self, duration: Duration) -> Result<(), Fail> {
        let deadline = Instant::now() + duration;
        loop {
            self.check()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let timeout = Timespec::try_from(left).map_err(|_| too_long())?;
            match poll(&mut [PollFd::new(&self.wake, PollFlags::IN)], Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
        }
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "a wait too long for the kernel's clock")
}

/// SIGINT and SIGTERM always; SIGHUP unless it is ignored, which is how nohup asks to outlive the terminal.
fn signals() -> Vec<i32> {
    let ignored = std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| ignored_mask(&status))
        .is_some_and(|mask| mask & (1 << (SIGHUP - 1)) != 0);
    let mut signals = vec![SIGINT, SIGTERM];
    if !ignored {
        signals.push(SIGHUP);
    }
    signals
}

fn ignored_mask(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::consts::{SIGUSR1, SIGUSR2};
    use signal_hook::low_level::raise;

    #[test]
    fn a_signal_ends_a_sleep_and_stays() {
        let interrupt = Interrupt::new(&[SIGUSR1]).unwrap();
        interrupt.check().unwrap();
        interrupt.sleep(Duration::from_millis(5)).unwrap();
        let sender = std::thread::spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            raise(SIGUSR1).unwrap();
        });
        let start = Instant::now();
        let fail = interrupt.sleep(Duration::from_secs(60)).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(30));
        assert_eq!(fail.exit().code(), 128 + SIGUSR1 as u8);
        sender.join().unwrap();
        for _ in 0..2 {
            assert!(interrupt.check().unwrap_err().is_interrupt());
            assert!(interrupt.sleep(Duration::from_secs(60)).is_err());
        }
    }

    #[test]
    fn thousands_of_signals_do_not_block_the_process() {
        let interrupt = Interrupt::new(&[SIGUSR2]).unwrap();
        for _ in 0..5000 {
            raise(SIGUSR2).unwrap();
        }
        assert_eq!(interrupt.signal(), Some(SIGUSR2));
    }

    #[test]
    fn ignored_signals_are_read_from_the_kernels_mask() {
        assert_eq!(ignored_mask("Name:\tx\nSigIgn:\t0000000000001001\n"), Some(0x1001));
        assert_eq!(ignored_mask("Name:\tx\n"), None);
    }
}
