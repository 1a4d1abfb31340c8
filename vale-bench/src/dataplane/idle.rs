//! What switches and engines do without work.

/// What switch and engines do without work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Poll: every busy thread has a processor of its own.
    Poll,
    /// Take naps: busy threads share processors, and a poller would keep others from theirs.
    Nap,
}

impl Idle {
    /// By the number of busy threads and of processors.
    #[must_use]
    pub fn by_load(busy_threads: usize, processors: usize) -> Idle {
        if busy_threads <= processors { Idle::Poll } else { Idle::Nap }
    }

    /// For the embedded switch.
    #[must_use]
    pub fn of_switch(self) -> uvale::IdlePolicy {
        match self {
            Idle::Poll => uvale::IdlePolicy { spin_rounds: 20_000, nap_us: 20, sleep_after_us: 5_000 },
            Idle::Nap => uvale::IdlePolicy { spin_rounds: 20, nap_us: 50, sleep_after_us: 5_000 },
        }
    }

    /// For engines.
    #[must_use]
    pub fn of_engines(self) -> pktgen::spec::IdlePolicy {
        match self {
            Idle::Poll => {
                pktgen::spec::IdlePolicy { spin: 20_000, nap_us: 20, longest_nap_us: 0, wait_after_us: 5_000 }
            }
            Idle::Nap => {
                pktgen::spec::IdlePolicy { spin: 200, nap_us: 50, longest_nap_us: 500, wait_after_us: 5_000 }
            }
        }
    }

    /// Slots a ring should have: VALE's own default, and more where whoever has to empty it may be kept from its
    /// processor for several ticks of the scheduler.
    #[must_use]
    pub fn slots(self) -> u32 {
        match self {
            Idle::Poll => 1024,
            Idle::Nap => 4096,
        }
    }

    /// As results call it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Idle::Poll => "poll",
            Idle::Nap => "nap",
        }
    }
}
