//! All checks, in the order they run: modules first, since the rest needs one; speed late, when all else is known to
//! work; last what leaves a mark on a module that is known to be defective.
//!
//! A theme is a file in `checks/`.

use super::Check;
use super::checks::{
    api, csb, host, integrity, memory, module, monitor, perf, persistent, pipe, poll, port, process, ptnet,
    vale,
};

/// Every check there is.
#[must_use]
pub fn checks() -> Vec<Check> {
    let themes = [
        module::CHECKS,
        api::CHECKS,
        port::CHECKS,
        vale::CHECKS,
        persistent::CHECKS,
        pipe::CHECKS,
        poll::CHECKS,
        monitor::CHECKS,
        memory::CHECKS,
        csb::CHECKS,
        host::CHECKS,
        process::CHECKS,
        integrity::CHECKS,
        ptnet::CHECKS,
        perf::CHECKS,
        persistent::LAST,
        csb::LAST,
    ];
    themes.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_and_objectives_are_well_formed() {
        let all = checks();
        assert!(all.len() > 60, "{} checks", all.len());
        let names: BTreeSet<&str> = all.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), all.len(), "a name is used twice");
        for check in all {
            let (theme, what) = check.name.split_once('.').expect("theme.what");
            let plain = |s: &str| s.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
            assert!(!theme.is_empty() && !what.is_empty() && plain(theme) && plain(what), "{}", check.name);
            let objective = check.objective;
            assert!(objective.starts_with(|c: char| c.is_uppercase()) && objective.len() > 20, "{objective}");
            assert!(!objective.ends_with('.') && objective.len() < 120, "{objective}");
        }
    }
}
