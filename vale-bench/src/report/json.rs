//! The document itself.

use std::io::Write;

use super::{Report, ReportError, View};
use crate::result::ResultDocument;

/// Writes exactly what a result file holds.
pub(super) struct Json;

impl Report for Json {
    fn write(&self, document: &ResultDocument, _: &View, out: &mut dyn Write) -> Result<(), ReportError> {
        out.write_all(document.to_json()?.as_bytes())?;
        Ok(())
    }
}
