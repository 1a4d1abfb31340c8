//! The netmap module's parameters, as `/sys/module/netmap/parameters` shows them: read only. Raising one is for
//! who administers the machine; [`advice`](super::advice) says which and to what.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Where Linux shows the parameters of the loaded module.
pub const PARAMETERS: &str = "/sys/module/netmap/parameters";

/// Names and values of the loaded module's parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleParameters(BTreeMap<String, String>);

/// Reads the loaded module's parameters. `NotFound` if netmap is not loaded.
pub fn module_parameters() -> io::Result<ModuleParameters> {
    ModuleParameters::read(Path::new(PARAMETERS))
}

impl ModuleParameters {
    /// Reads a folder with a file for each parameter. Files that cannot be read are left out.
    pub fn read(folder: &Path) -> io::Result<ModuleParameters> {
        let mut parameters = BTreeMap::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if let (Ok(name), Ok(value)) =
                (entry.file_name().into_string(), std::fs::read_to_string(entry.path()))
            {
                parameters.insert(name, value.trim_end().to_owned());
            }
        }
        Ok(ModuleParameters(parameters))
    }

    /// The value of a parameter, as text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of a parameter that is a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.parse().ok()
    }

    /// Whether ptnet guests exchange virtio-net headers with the host: both ends of a VALE switch must agree.
    #[must_use]
    pub fn ptnet_vnet_hdr(&self) -> Option<bool> {
        self.number("ptnet_vnet_hdr").map(|n| n != 0)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for ModuleParameters {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(parameters: I) -> Self {
        ModuleParameters(parameters.into_iter().map(|(n, v)| (n.into(), v.into())).collect())
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_parameters_is_read() {
        let folder = std::env::temp_dir().join(format!("netmap-rs-params-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("priv_buf_num"), "4098\n").unwrap();
        std::fs::write(folder.join("ptnet_vnet_hdr"), "1\n").unwrap();
        let read = ModuleParameters::read(&folder);
        std::fs::remove_dir_all(&folder).unwrap();
        let read = read.unwrap();
        assert_eq!(read.number("priv_buf_num"), Some(4098));
        assert_eq!(read.ptnet_vnet_hdr(), Some(true));
        assert_eq!(read.get("admode"), None);
        assert_eq!(read.iter().count(), 2);
        let gone = ModuleParameters::read(&folder).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }
}
