//! The dataplanes that there are, by name.
//!
//! Only what is implemented is listed here, and only what is listed here is offered. A dataplane is one file beside
//! this one and one line in [`all`]; nothing else in the program knows any of them by name.

use super::profile::Profile;
use super::{Dataplane, bridge, named, ovs, testpmd, uvale, vale};
use crate::exit::Fail;
use std::path::Path;
use std::sync::Arc;

/// Every dataplane that makes its ports, the default first. [`named`] takes those that there are.
#[must_use]
pub fn all() -> Vec<Arc<dyn Dataplane>> {
    vec![
        Arc::new(uvale::Uvale),
        Arc::new(vale::Vale::PTNET),
        Arc::new(vale::Vale::VIRTIO),
        Arc::new(testpmd::Testpmd),
        Arc::new(ovs::OvsDpdk),
        Arc::new(bridge::Bridge),
    ]
}

/// The dataplane called `name`, or that the profile `name` describes where that is a path or ends in `.toml`;
/// otherwise a sentence that lists those that exist.
pub fn find(name: &str) -> Result<Arc<dyn Dataplane>, String> {
    let path = Path::new(name);
    if name.contains('/') || path.extension().is_some_and(|end| end == "toml") {
        let profile = Profile::read(path).map_err(|error| error.to_string())?;
        return Ok(Arc::new(profile));
    }
    if name == named::NAME {
        return Ok(Arc::new(named::Named));
    }
    let mut all = all();
    match all.iter().position(|plane| plane.name() == name) {
        Some(at) => Ok(all.swap_remove(at)),
        None => {
            let names: Vec<&str> = all.iter().map(|plane| plane.name()).collect();
            Err(format!(
                "there is no dataplane {name:?}; there is {}, {} for those of --port, and profiles by their path",
                names.join(", "),
                named::NAME
            ))
        }
    }
}

/// The dataplanes called `names`, in their order.
pub fn find_all(names: &[String]) -> Result<Vec<Arc<dyn Dataplane>>, Fail> {
    let mut planes = Vec::<Arc<dyn Dataplane>>::new();
    for name in names {
        let plane = find(name).map_err(Fail::usage)?;
        if planes.iter().any(|other| other.name() == plane.name()) {
            return Err(Fail::usage(format!("--dataplane has {} twice", plane.name())));
        }
        planes.push(plane);
    }
    Ok(planes)
}

/// Refuses an option of `given`, as typed, that none of `planes` has.
pub fn check_options(planes: &[Arc<dyn Dataplane>], given: &[&'static str]) -> Result<(), Fail> {
    let has = |plane: &Arc<dyn Dataplane>, option: &str| plane.options().contains(&option);
    let Some(option) = given.iter().find(|option| !planes.iter().any(|plane| has(plane, option))) else {
        return Ok(());
    };
    let all: Vec<Arc<dyn Dataplane>> = all().into_iter().chain([Arc::new(named::Named) as _]).collect();
    let having: Vec<&str> = all.iter().filter(|plane| has(plane, option)).map(|plane| plane.name()).collect();
    Err(Fail::usage(format!("{option} needs --dataplane {}", having.join(" or "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_found_and_others_are_told_what_there_is() {
        assert_eq!(find("uvale").unwrap().name(), "uvale");
        let names = all().iter().map(|plane| plane.name().to_owned()).collect::<Vec<_>>();
        let sentence = format!("there is no dataplane \"uval\"; there is {}, ports for", names.join(", "));
        assert!(find("uval").err().unwrap().starts_with(&sentence));
        assert!(find("./none.toml").err().unwrap().starts_with("./none.toml: cannot be read"));
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "a name is one dataplane's");
    }

    #[test]
    fn an_option_needs_a_dataplane_that_has_it() {
        let planes = |names: &[&str]| names.iter().map(|name| find(name).unwrap()).collect::<Vec<_>>();
        check_options(&planes(&["uvale", "vale"]), &["--slots", "--klooptx"]).unwrap();
        let fail = check_options(&planes(&["uvale"]), &["--slots", "--klooptx"]).unwrap_err();
        assert_eq!(fail.to_string(), "--klooptx needs --dataplane vale");
        let fail = check_options(&planes(&["vale"]), &["--slots"]).unwrap_err();
        assert_eq!(fail.to_string(), "--slots needs --dataplane uvale");
    }

    #[test]
    fn every_option_of_a_dataplane_can_be_typed() {
        let program = crate::cli::Cli::command();
        let v2v = program.find_subcommand("v2v").unwrap();
        let typed: BTreeSet<String> =
            v2v.get_arguments().filter_map(|a| a.get_long()).map(|long| format!("--{long}")).collect();
        let named: Arc<dyn Dataplane> = Arc::new(named::Named);
        for plane in all().into_iter().chain([named]) {
            let known = |option: &str| option.split(' ').next().is_some_and(|long| typed.contains(long));
            let unknown: Vec<_> = plane.options().into_iter().filter(|option| !known(option)).collect();
            assert!(unknown.is_empty(), "{}: {unknown:?}", plane.name());
        }
    }
}
