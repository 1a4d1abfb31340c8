//! What a check left behind: ports on its switches, interfaces of its names. Found by comparing before and after,
//! and removed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use netmap_rs::kernel::Control;
use netmap_rs::portspec::PortName;

use crate::links;

/// How names of a check's switches begin.
const SWITCHES: &str = "valeci";
/// How names of a check's interfaces begin.
const INTERFACES: &str = "nmci";
/// How long what a dying process had may take to go.
const PATIENCE: Duration = Duration::from_secs(2);

/// Names of what checks make, as far as it is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Things {
    ports: BTreeSet<String>,
    interfaces: BTreeSet<String>,
}

impl Things {
    /// What is there now.
    #[must_use]
    pub fn now() -> Things {
        let ours = |name: &String| name.starts_with(SWITCHES) || name.starts_with(INTERFACES);
        // Opened for the moment only: a descriptor would keep the module from being unloaded.
        let ports = Control::open().map_or_else(
            |_| BTreeSet::new(),
            |control| {
                control.vale_ports().filter_map(Result::ok).map(|port| port.name).filter(ours).collect()
            },
        );
        let entries = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
        let interfaces = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.starts_with(INTERFACES))
            .collect();
        Things { ports, interfaces }
    }

    fn beyond(&self, before: &Things) -> Things {
        Things {
            ports: self.ports.difference(&before.ports).cloned().collect(),
            interfaces: self.interfaces.difference(&before.interfaces).cloned().collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.interfaces.is_empty()
    }
}

/// Looks for what has come since `before`, removes it, and says what it was.
#[must_use]
pub fn clear(before: &Things) -> Vec<String> {
    let start = Instant::now();
    let mut left = Things::now().beyond(before);
    while !left.is_empty() && start.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
        left = Things::now().beyond(before);
    }
    if left.is_empty() {
        return Vec::new();
    }
    if let Ok(control) = Control::open() {
        for port in left.ports.iter().filter_map(|name| name.parse::<PortName>().ok()) {
            // Ephemeral ports refuse it, and go with whoever has them.
            let _ = control.vale_detach(&port);
        }
        for name in &left.interfaces {
            if let Ok(port) = format!("netmap:{name}").parse() {
                // Whatever is no persistent port is a cable.
                let _ = control.vale_delif(&port);
            }
        }
    }
    for name in &left.interfaces {
        let _ = links::remove(name);
    }
    let still = Things::now();
    let tell = |name: &String, there: bool| {
        if there { format!("{name} (and it cannot be removed)") } else { name.clone() }
    };
    let ports = left.ports.iter().map(|name| tell(name, still.ports.contains(name)));
    let interfaces = left.interfaces.iter().map(|name| tell(name, still.interfaces.contains(name)));
    ports.chain(interfaces).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_counts() {
        let things = |ports: &[&str], interfaces: &[&str]| Things {
            ports: ports.iter().map(|s| (*s).to_owned()).collect(),
            interfaces: interfaces.iter().map(|s| (*s).to_owned()).collect(),
        };
        let before = things(&["valeci882:nmci7"], &["nmci7"]);
        let after = things(&["valeci882:nmci7", "valeci:a"], &["nmci7", "nmciv0"]);
        assert_eq!(after.beyond(&before), things(&["valeci:a"], &["nmciv0"]));
        assert!(before.beyond(&after).is_empty());
    }
}
