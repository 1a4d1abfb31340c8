//! An engine on a thread of its own, as everyone who runs one has it.

use super::{Control, Engine, Phase};
use crate::port::PortError;
use crate::spec::WorkReport;
use std::any::Any;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Why an engine is not where it should be.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A port failed, and with it the engine.
    #[error(transparent)]
    Port(#[from] PortError),
    /// It panicked.
    #[error("the engine panicked: {0}")]
    Panicked(String),
    /// It ended without having been asked to.
    #[error("the engine stopped by itself")]
    Stopped,
    /// It is still in another phase.
    #[error("the engine did not reach phase {wanted:?} within {limit:?}")]
    Late {
        /// The phase asked for.
        wanted: Phase,
        /// How long it was given.
        limit: Duration,
    },
}

/// An engine that runs. Dropping it stops the engine and waits for its thread.
#[derive(Debug)]
pub struct EngineThread {
    control: Arc<Control>,
    id: Arc<AtomicU32>,
    /// Until it has been joined.
    thread: Option<JoinHandle<Result<Vec<WorkReport>, PortError>>>,
}

impl EngineThread {
    /// Runs `engine` on a new thread called `name`, on processor `cpu` if one is given and this process may use it.
    pub fn spawn(name: &str, cpu: Option<usize>, mut engine: Engine) -> io::Result<EngineThread> {
        let control = Arc::new(Control::default());
        let theirs = control.clone();
        let id: Arc<AtomicU32> = Arc::default();
        let its_id = id.clone();
        let run = move || {
            its_id.store(rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned(), Ordering::Release);
            if let Some(cpu) = cpu.filter(|&cpu| cpu < rustix::thread::CpuSet::MAX_CPU) {
                let mut set = rustix::thread::CpuSet::new();
                set.set(cpu);
                // Where it may not, it runs elsewhere: whoever pins has checked.
                let _ = rustix::thread::sched_setaffinity(None, &set);
            }
            engine.run(&theirs)
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(EngineThread { control, id, thread: Some(thread) })
    }

    /// The kernel's number of its thread; `None` before it runs, which it does once it has entered a phase.
    pub fn thread_id(&self) -> Option<u32> {
        Some(self.id.load(Ordering::Acquire)).filter(|&id| id > 0)
    }

    /// Whether every sender has sent its count: [`Control::done`].
    pub fn done(&self) -> bool {
        self.control.done()
    }

    /// Whether the engine has ended.
    pub fn ended(&self) -> bool {
        self.control.reached() == Phase::Stop
    }

    /// Asks for a phase and waits until the engine is in it.
    pub fn enter(&mut self, phase: Phase, limit: Duration) -> Result<(), EngineError> {
        if self.control.advance(phase, limit) {
            return Ok(());
        }
        self.healthy()?;
        Err(EngineError::Late { wanted: phase, limit })
    }

    /// An error if the engine has ended, which it does unasked only when something went wrong.
    pub fn healthy(&mut self) -> Result<(), EngineError> {
        if !self.ended() {
            return Ok(());
        }
        self.join()?;
        Err(EngineError::Stopped)
    }

    /// Ends the engine and returns what its members report, in the order in which they were added.
    pub fn finish(&mut self, limit: Duration) -> Result<Vec<WorkReport>, EngineError> {
        if !self.control.advance(Phase::Stop, limit) {
            return Err(EngineError::Late { wanted: Phase::Stop, limit });
        }
        self.join()
    }

    fn join(&mut self) -> Result<Vec<WorkReport>, EngineError> {
        let thread = self.thread.take().ok_or(EngineError::Stopped)?;
        Ok(thread.join().map_err(|panic| EngineError::Panicked(panic_text(&*panic)))??)
    }
}

impl Drop for EngineThread {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.control.request(Phase::Stop);
            // Nobody is left who wants to know how it ended.
            let _ = thread.join();
        }
    }
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a word".into())
}
