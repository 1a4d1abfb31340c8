//! `completions`: what a shell needs to complete commands and options.

use clap::CommandFactory;

use super::print;
use crate::cli::{Cli, CompletionsArgs};
use crate::exit::Fail;

pub(super) fn run(args: &CompletionsArgs) -> Result<(), Fail> {
    // Made in memory first, because the generator panics where its output takes no more.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "vale-bench", &mut script);
    print(|out| out.write_all(&script))?;
    Ok(())
}
