//! `schema`: the JSON schema of results.

use super::print;
use crate::exit::Fail;
use crate::result::schema_json;

pub(super) fn run() -> Result<(), Fail> {
    print(|out| out.write_all(schema_json().as_bytes()))?;
    Ok(())
}
