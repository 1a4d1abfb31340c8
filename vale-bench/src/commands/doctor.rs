//! `doctor`: what this host can run.

use super::{print, view};
use crate::cli::DoctorArgs;
use crate::doctor::{Facts, diagnose, render};
use crate::exit::Fail;

pub(super) fn run(args: &DoctorArgs) -> Result<(), Fail> {
    let diagnosis = diagnose(&Facts::gather(args.qemu.as_deref(), args.kernel.as_deref()));
    if args.json {
        let text = serde_json::to_string_pretty(&diagnosis)?;
        print(|out| writeln!(out, "{text}"))?;
    } else {
        print(|out| render(&diagnosis, &view(None), out))?;
    }
    match diagnosis.anything_runs() {
        true => Ok(()),
        false => Err(Fail::host("nothing can be measured on this host")),
    }
}
