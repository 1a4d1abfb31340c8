//! `schema`: the JSON schemas of the program's documents.

use super::print;
use crate::ci;
use crate::cli::{SchemaArgs, SchemaChoice};
use crate::compare;
use crate::exit::Fail;
use crate::result::schema_json;
use crate::trend;

pub(super) fn run(args: &SchemaArgs) -> Result<(), Fail> {
    let text = match args.document {
        SchemaChoice::Result => schema_json(),
        SchemaChoice::Compare => compare::document::schema_json(),
        SchemaChoice::Trend => trend::schema_json(),
        SchemaChoice::Ci => ci::document::schema_json(),
    };
    print(|out| out.write_all(text.as_bytes()))?;
    Ok(())
}
