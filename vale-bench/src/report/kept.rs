//! Documents under the names by which a report of several tells them apart.

use std::path::{Path, PathBuf};

use crate::result::ResultDocument;

/// A document and what to call it.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Its name: the file's without its ending, with as much of its folder as tells it from the others.
    pub name: String,
    /// Where it was read from.
    pub path: PathBuf,
    /// What was read.
    pub document: ResultDocument,
}

impl Kept {
    /// Names documents after their files, in the order given.
    pub fn name_all(documents: impl IntoIterator<Item = (PathBuf, ResultDocument)>) -> Vec<Kept> {
        let documents: Vec<(PathBuf, ResultDocument)> = documents.into_iter().collect();
        let paths: Vec<&Path> = documents.iter().map(|(path, _)| path.as_path()).collect();
        let names = names(&paths);
        let named = documents.into_iter().zip(names);
        named.map(|((path, document), name)| Kept { name, path, document }).collect()
    }
}

/// The shortest ends of `paths` that differ, without the last ending; a number where even whole paths are alike.
fn names(paths: &[&Path]) -> Vec<String> {
    let end = |path: &Path, parts: usize| -> String {
        let stem = path.with_extension("");
        let parts_of: Vec<_> = stem.components().map(|c| c.as_os_str().to_string_lossy()).collect();
        parts_of[parts_of.len().saturating_sub(parts)..].join("/")
    };
    let longest = paths.iter().map(|path| path.components().count()).max().unwrap_or(0);
    let ends = |parts: usize| -> Vec<String> { paths.iter().map(|path| end(path, parts)).collect() };
    let distinct = |names: &[String]| (1..names.len()).all(|i| !names[..i].contains(&names[i]));
    let names = (1..=longest).map(ends).find(|names| distinct(names)).unwrap_or_else(|| {
        paths.iter().enumerate().map(|(index, path)| format!("{} ({})", end(path, 1), index + 1)).collect()
    });
    names.iter().map(|name| super::text::plain(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_short_as_they_can_be() {
        let of = |paths: &[&str]| names(&paths.iter().map(Path::new).collect::<Vec<_>>());
        assert_eq!(of(&["/x/r.json"]), ["r"]);
        assert_eq!(of(&["a/r.json", "a/s.json"]), ["r", "s"]);
        assert_eq!(of(&["a/r.json", "b/r.json", "s.json"]), ["a/r", "b/r", "s"]);
        assert_eq!(of(&["r.json", "r.json"]), ["r (1)", "r (2)"]);
        assert_eq!(of(&["r\u{1b}[2J\n.json"]), ["r\u{fffd}[2J\u{fffd}"]);
    }
}
