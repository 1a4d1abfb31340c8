//! The agent in a guest that another init booted: a distribution's own system, which is left alone.
//!
//! Deliberately absent: how it gets there and who starts it, which is the host's affair (vale-bench's `guests`).

use crate::agent::{self, Agent};
use crate::init;

/// Serves until told to power off; the machine is then ended from outside. A fault is told on the control channel, and
/// returned as a sentence.
pub fn run() -> Result<(), String> {
    let serve = || -> Result<(), Box<dyn std::error::Error>> {
        init::wait_for_channel()?;
        Agent::start()?.serve()?;
        Ok(())
    };
    serve().map_err(|error| {
        let message = agent::sentence(&*error);
        // Without a channel there is nobody to tell.
        let _ = agent::report_fault(message.clone());
        message
    })
}
