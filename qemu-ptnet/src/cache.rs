//! The folder where unpacked kernels and probe results are kept between runs.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The environment variable that names the folder.
pub const CACHE_VAR: &str = "VALE_BENCH_CACHE";

/// The cache folder: `$VALE_BENCH_CACHE`, else `$XDG_CACHE_HOME/vale-bench`, else `~/.cache/vale-bench`. It need
/// not exist. `None` if the environment has none of the three.
#[must_use]
pub fn dir() -> Option<PathBuf> {
    choose(|name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
}

fn choose(var: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    var(CACHE_VAR)
        .or_else(|| Some(var("XDG_CACHE_HOME").filter(|p| p.is_absolute())?.join("vale-bench")))
        .or_else(|| Some(var("HOME")?.join(".cache/vale-bench")))
}

/// Writes `bytes` to `path` so that a reader sees all of them or the file that was there before, whoever else
/// writes it at the same time. Makes the folder.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_set_wins() {
        let all = [(CACHE_VAR, "/a"), ("XDG_CACHE_HOME", "/b"), ("HOME", "/c")];
        let with = |set: &[(&str, &str)]| {
            choose(|name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| PathBuf::from(value)))
        };
        assert_eq!(with(&all), Some("/a".into()));
        assert_eq!(with(&all[1..]), Some("/b/vale-bench".into()));
        assert_eq!(with(&all[2..]), Some("/c/.cache/vale-bench".into()));
        assert_eq!(with(&[("XDG_CACHE_HOME", "relative"), all[2]]), Some("/c/.cache/vale-bench".into()));
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn writing_replaces_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/file");
        for text in ["one", "two"] {
            write_atomically(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
