//! The files that a command in a machine left: they go to one folder of this host, whatever they are called.

use crate::exit::{Exit, Fail, FailContext};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use tempfile::NamedTempFile;

/// Where files go.
#[derive(Debug)]
pub(super) struct Results {
    folder: PathBuf,
    /// A file that is on its way: its name, what there is of it, and its place.
    open: Option<(String, NamedTempFile, PathBuf)>,
    /// Files that are for this program only, as they came last.
    private: BTreeMap<String, Vec<u8>>,
    /// Files that have come.
    came: BTreeSet<String>,
}

impl Results {
    /// The folder `folder`, made if need be.
    pub(super) fn prepare(folder: &Path) -> Result<Results, Fail> {
        let made = fs::create_dir_all(folder);
        made.context_with(|| format!("cannot make {}", folder.display())).or_exit(Exit::Usage)?;
        Ok(Results { folder: folder.to_owned(), open: None, private: BTreeMap::new(), came: BTreeSet::new() })
    }

    /// Keeps the file `name` here for [`Results::came`], away from the folder.
    pub(super) fn keep_private(&mut self, name: &str) {
        self.private.insert(name.to_owned(), Vec::new());
    }

    /// What has come as the file `name` since it was forgotten; `None` if it has not.
    pub(super) fn came(&self, name: &str) -> Option<Vec<u8>> {
        if !self.came.contains(name) {
            return None;
        }
        self.private.get(name).cloned().or_else(|| fs::read(self.path(name)).ok())
    }

    /// Holds the file `name` not to have come.
    pub(super) fn forget(&mut self, name: &str) {
        self.came.remove(name);
    }

    /// The place of the file `name`.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Takes a part of the file `name`, which is put into its place with its last one: of a machine that is lost
    /// halfway the file before stays.
    pub(super) fn take(&mut self, name: &str, data: &[u8], first: bool, last: bool) -> Result<(), Fail> {
        // The name comes from the machine, which may be up to something.
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        if name.is_empty() || !Path::new(name).components().all(plain) {
            return Err(Fail::failed(anyhow::anyhow!("the machine sent a file called {name:?}")));
        }
        let path = self.path(name);
        let cannot = || format!("cannot write {}", path.display());
        if first {
            let folder = path.parent().unwrap_or(&self.folder);
            fs::create_dir_all(folder).context_with(cannot)?;
            let plain = fs::Permissions::from_mode(0o666);
            let file = tempfile::Builder::new().prefix(".vale-bench-").permissions(plain).tempfile_in(folder);
            self.open = Some((name.to_owned(), file.context_with(cannot)?, path.clone()));
        }
        match &mut self.open {
            Some((open, file, _)) if open == name => file.write_all(data).context_with(cannot)?,
            _ => {
                return Err(Fail::failed(anyhow::anyhow!(
                    "the machine sent a part of {name:?} and not its beginning"
                )));
            }
        }
        if let Some((_, file, path)) = self.open.take_if(|_| last) {
            match self.private.get_mut(name) {
                Some(bytes) => *bytes = fs::read(file.path()).context_with(cannot)?,
                None => drop(file.persist(path).map_err(|e| e.error).context_with(cannot)?),
            }
            self.came.insert(name.to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_land_below_the_folder_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut results = Results::prepare(&folder.path().join("out")).unwrap();
        let at = |name: &str| folder.path().join("out").join(name);
        results.take("deep/r.json", b"{", true, false).unwrap();
        assert!(!at("deep/r.json").exists(), "it is not whole");
        results.take("deep/r.json", b"}", false, true).unwrap();
        assert_eq!(fs::read(at("deep/r.json")).unwrap(), b"{}");
        results.take("deep/r.json", b"{ half", true, false).unwrap();
        for name in ["../r.json", "/etc/r.json", "", "a/../../r.json", "./r.json"] {
            assert!(results.take(name, b"x", true, true).is_err(), "{name:?}");
        }
        assert!(results.take("other", b"x", false, true).is_err(), "its beginning is missing");
        assert!(!folder.path().join("r.json").exists());
        results.keep_private("own");
        results.take("own", b"1", true, true).unwrap();
        results.take("own", b"2", true, true).unwrap();
        assert_eq!((results.came("own"), at("own").exists()), (Some(b"2".to_vec()), false));
        assert_eq!((results.came("deep/r.json"), results.came("other")), (Some(b"{}".to_vec()), None));
        results.forget("deep/r.json");
        assert_eq!(results.came("deep/r.json"), None);
        assert_eq!(fs::read(at("deep/r.json")).unwrap(), b"{}");
        assert_eq!(fs::read_dir(at("deep")).unwrap().count(), 1, "no half of a file is left");
    }
}
