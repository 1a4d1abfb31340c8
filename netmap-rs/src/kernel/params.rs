//! The netmap module that is loaded, as `/sys/module/netmap` shows it: which build it is, and its parameters, read
//! only. Raising one is for who administers the machine; [`advice`](super::advice) says which and to what.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Where Linux shows the loaded module.
pub const MODULE: &str = "/sys/module/netmap";

/// Where Linux shows the parameters of the loaded module.
pub const PARAMETERS: &str = "/sys/module/netmap/parameters";

/// Names and values of the loaded module's parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleParameters(BTreeMap<String, String>);

/// Reads the loaded module's parameters. `NotFound` if netmap is not loaded.
pub fn module_parameters() -> io::Result<ModuleParameters> {
    ModuleParameters::read(Path::new(PARAMETERS))
}

/// The loaded module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedModule {
    /// Its version or source checksum; netmap's own Makefile gives it neither.
    pub version: Option<String>,
    /// What the linker made of it (`.note.gnu.build-id`), in hex: modules of one build have it in common, and no others.
    /// `readelf -n netmap.ko` tells that of a file.
    pub build_id: Option<String>,
    /// Its parameters.
    pub parameters: ModuleParameters,
}

/// Reads what is known of the loaded module. `NotFound` if netmap is not loaded.
pub fn loaded_module() -> io::Result<LoadedModule> {
    LoadedModule::read(Path::new(MODULE))
}

impl LoadedModule {
    /// Reads a folder as [`MODULE`] is one.
    pub fn read(folder: &Path) -> io::Result<LoadedModule> {
        std::fs::metadata(folder)?;
        let text = |file: &str| {
            let text = std::fs::read_to_string(folder.join(file)).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let notes = std::fs::read(folder.join("notes/.note.gnu.build-id"));
        Ok(LoadedModule {
            version: text("version").or_else(|| text("srcversion")),
            build_id: notes.ok().and_then(|note| build_id(&note)),
            parameters: ModuleParameters::read(&folder.join("parameters")).unwrap_or_default(),
        })
    }
}

/// The build id in an ELF note: lengths of name and contents, the type (3), the name (`GNU`), the contents.
fn build_id(note: &[u8]) -> Option<String> {
    let word = |at: usize| Some(u32::from_ne_bytes(note.get(at..at + 4)?.try_into().ok()?));
    let (name_len, len, kind) = (word(0)?, word(4)?, word(8)?);
    if (name_len, kind) != (4, 3) || note.get(12..16)? != b"GNU\0" {
        return None;
    }
    let id = note.get(16..16usize.checked_add(len as usize)?)?;
    (!id.is_empty()).then(|| id.iter().map(|byte| format!("{byte:02x}")).collect())
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

impl From<ModuleParameters> for BTreeMap<String, String> {
    fn from(parameters: ModuleParameters) -> Self {
        parameters.0
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

    #[test]
    fn a_module_is_known_by_its_build() {
        let folder = std::env::temp_dir().join(format!("netmap-rs-module-{}", std::process::id()));
        assert_eq!(LoadedModule::read(&folder).unwrap_err().kind(), io::ErrorKind::NotFound);
        for part in ["notes", "parameters"] {
            std::fs::create_dir_all(folder.join(part)).unwrap();
        }
        assert_eq!(LoadedModule::read(&folder).unwrap(), LoadedModule::default());
        std::fs::write(folder.join("srcversion"), "ABCD\n").unwrap();
        std::fs::write(folder.join("parameters/admode"), "0\n").unwrap();
        let note = |name_len: u32, len: u32, kind: u32, name: &[u8], id: &[u8]| {
            let words = [name_len, len, kind].map(u32::to_ne_bytes).concat();
            std::fs::write(folder.join("notes/.note.gnu.build-id"), [&words, name, id].concat()).unwrap();
            LoadedModule::read(&folder).unwrap()
        };
        let read = note(4, 3, 3, b"GNU\0", &[0xe6, 0x0d, 4]);
        assert_eq!((read.version.as_deref(), read.build_id.as_deref()), (Some("ABCD"), Some("e60d04")));
        assert_eq!(read.parameters.get("admode"), Some("0"));
        let rubbish = [
            note(4, 4, 3, b"GNU\0", &[1, 2, 3]),
            note(4, u32::MAX, 3, b"GNU\0", &[1]),
            note(4, 0, 3, b"GNU\0", &[]),
            note(4, 1, 1, b"GNU\0", &[1]),
            note(3, 1, 3, b"GNU", &[1]),
        ];
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(rubbish.iter().all(|read| read.build_id.is_none()), "{rubbish:?}");
    }
}
