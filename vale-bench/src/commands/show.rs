//! `show`: a kept result, in any format.

use super::{print, view};
use crate::cli::ShowArgs;
use crate::exit::{Exit, Fail, FailContext};
use crate::report::Format;
use crate::result::ResultDocument;

pub(super) fn run(args: &ShowArgs) -> Result<(), Fail> {
    // A file that is no result is a mistake on the command line, not a failed run.
    let document = ResultDocument::read(&args.file).or_exit(Exit::Usage)?;
    print(|out| Format::from(args.format).report().write(&document, &view(Some(args.file.clone())), out))?;
    Ok(())
}
