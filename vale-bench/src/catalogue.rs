//! What this program can measure: the dataplanes that exist in it, by name.
//!
//! Only what is implemented is listed here, and only what is listed here is offered.

/// A dataplane of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataplaneEntry {
    /// The name to ask for it by.
    pub name: &'static str,
    /// What it is, in a few words.
    pub what: &'static str,
}

/// Every dataplane that can be asked for, the default first.
pub const DATAPLANES: &[DataplaneEntry] = &[
    DataplaneEntry {
        name: "uvale",
        what: "VALE's forwarding in this process, ports in memory shared with the guest",
    },
    DataplaneEntry { name: "vale", what: "the kernel's VALE, ports handed to guests by ptnet" },
    DataplaneEntry { name: "vale-virtio", what: "the kernel's VALE, guests with virtio-net before it" },
];

/// The dataplane called `name`; otherwise a sentence that lists those that exist.
pub fn dataplane(name: &str) -> Result<&'static DataplaneEntry, String> {
    DATAPLANES.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let names: Vec<&str> = DATAPLANES.iter().map(|entry| entry.name).collect();
        format!("there is no dataplane {name:?}; there is {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_others_are_told_what_there_is() {
        assert_eq!(dataplane("uvale").unwrap().name, "uvale");
        assert_eq!(
            dataplane("uval").unwrap_err(),
            "there is no dataplane \"uval\"; there is uvale, vale, vale-virtio"
        );
    }
}
