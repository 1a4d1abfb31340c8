//! The files that a command in a machine left: they go to one folder of this host, whatever they are called.

use crate::exit::{Exit, Fail, FailContext};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Component, Path, PathBuf};

/// Where files go.
#[derive(Debug)]
pub(super) struct Results {
    folder: PathBuf,
    open: Option<(String, File)>,
}

impl Results {
    /// The folder `folder`, made if need be.
    pub(super) fn prepare(folder: &Path) -> Result<Results, Fail> {
        let made = fs::create_dir_all(folder);
        made.context_with(|| format!("cannot make {}", folder.display())).or_exit(Exit::Usage)?;
        Ok(Results { folder: folder.to_owned(), open: None })
    }

    /// Takes a part of the file `name`, the first one or the next.
    pub(super) fn take(&mut self, name: &str, data: &[u8], first: bool) -> Result<(), Fail> {
        // The name comes from the machine, which may be up to something.
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        if name.is_empty() || !Path::new(name).components().all(plain) {
            return Err(Fail::failed(anyhow::anyhow!("the machine sent a file called {name:?}")));
        }
        let path = self.folder.join(name);
        let cannot = || format!("cannot write {}", path.display());
        if first {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).context_with(cannot)?;
            }
            self.open = Some((name.to_owned(), File::create(&path).context_with(cannot)?));
        }
        match &mut self.open {
            Some((open, file)) if open == name => file.write_all(data).context_with(cannot),
            _ => Err(Fail::failed(anyhow::anyhow!(
                "the machine sent a part of {name:?} and not its beginning"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_land_below_the_folder_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut results = Results::prepare(&folder.path().join("out")).unwrap();
        results.take("deep/r.json", b"{", true).unwrap();
        results.take("deep/r.json", b"}", false).unwrap();
        assert_eq!(fs::read(folder.path().join("out/deep/r.json")).unwrap(), b"{}");
        for name in ["../r.json", "/etc/r.json", "", "a/../../r.json", "./r.json"] {
            assert!(results.take(name, b"x", true).is_err(), "{name:?}");
        }
        assert!(results.take("other", b"x", false).is_err(), "its beginning is missing");
        assert!(!folder.path().join("r.json").exists());
    }
}
