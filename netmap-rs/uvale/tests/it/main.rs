//! Tests of the switch from outside: as applications see it.

mod accounting;
mod chains;
mod daemon;
mod forwarding;
mod hostile;
mod integrity;
mod rubbish;
mod thread;
mod world;
