//! `trend`: how figures went over the runs in a folder.

use super::{print, view};
use crate::cli::{CompareFormat, TrendArgs};
use crate::exit::{Exit, Fail, FailContext};
use crate::result::OutputFile;
use crate::trend::{self, Folder, Options};

/// Runs `trend`.
pub(super) fn run(args: &TrendArgs) -> Result<(), Fail> {
    let out = args.out.as_deref().map(OutputFile::prepare).transpose().or_exit(Exit::Usage)?;
    let folder = Folder::read(&args.folder).or_exit(Exit::Usage)?;
    let document = trend::trend(folder, &Options { confidence: args.confidence, seed: args.seed });
    if let Some(file) = out {
        file.write_text(&document.to_json()?)?;
    }
    print(|out| match args.format {
        CompareFormat::Table => trend::text(&document, &view(None), out),
        CompareFormat::Markdown => trend::markdown(&document, out),
        CompareFormat::Json => out.write_all(document.to_json().map_err(std::io::Error::other)?.as_bytes()),
    })?;
    let worse: Vec<&str> = document
        .series
        .iter()
        .filter(|series| series.is_worse())
        .map(|series| series.name.as_str())
        .collect();
    if args.fail && !worse.is_empty() {
        return Err(Fail::regression(format!("became worse: {}", worse.join(", "))));
    }
    Ok(())
}
