//! What differs between the circumstances of results: what forbids a comparison, and what one should know.
//!
//! What decides rates and is seldom what one wants to learn about (the processor, the host's kernel, what runs the
//! guests and how large they are) is refused. What may well be the thing under test (the program, QEMU, netmap's
//! module, rings) is told. `FIELDS` is the list; a field is called as it is in the manifest.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CompareError, Input};
use crate::result::{Dataplane, Manifest, ResultDocument, Vm};
use std::collections::BTreeSet;

/// How much a differing field weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// It forbids the comparison.
    Refused,
    /// It would, and was allowed by name.
    Allowed,
    /// One should know it.
    Told,
}

/// A field that is not the same in all documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// Its name, as in the manifest: `host.cpu.model`.
    pub field: String,
    /// What it means for the comparison.
    pub weight: Weight,
    /// Its value in each source; null where it is not known.
    pub values: Vec<Option<String>>,
}

impl Difference {
    /// Whether it forbids the comparison.
    pub fn is_refused(&self) -> bool {
        self.weight == Weight::Refused
    }

    /// The values, for people; of lists of parameters, those that differ.
    pub fn text(&self) -> String {
        let lists = self.values.iter().map(|value| parameters(value.as_deref()?)).collect();
        let said: Vec<String> = match lists {
            Some::<Vec<_>>(lists) => {
                let common = lists.iter().cloned().reduce(|a, b| &a & &b).unwrap_or_default();
                let own = |list| Vec::from_iter(list - &common).join(" ");
                lists.iter().map(own).map(|own| if own.is_empty() { "none".into() } else { own }).collect()
            }
            None => self.values.iter().map(|value| value.as_deref().unwrap_or("unknown").into()).collect(),
        };
        said.join(" against ")
    }
}

/// The parameters in a list of nothing else, as in `buf_num=8192 admode=0`.
fn parameters(list: &str) -> Option<BTreeSet<&str>> {
    list.split_whitespace().map(|word| word.contains('=').then_some(word)).collect()
}

type Value = fn(&ResultDocument) -> Option<String>;

/// A field that is looked at.
struct Field {
    name: &'static str,
    decides: bool,
    value: Value,
}

const fn decides(name: &'static str, value: Value) -> Field {
    Field { name, decides: true, value }
}

const fn tells(name: &'static str, value: Value) -> Field {
    Field { name, decides: false, value }
}

const FIELDS: &[Field] = &[
    decides("accelerator", |d| Some(d.manifest.accelerator.label().into())),
    decides("host.cpu.model", |d| d.manifest.host.cpu.model.clone()),
    decides("host.cpu.architecture", |d| Some(d.manifest.host.cpu.architecture.clone())),
    decides("host.cpu.usable_cpus", |d| Some(d.manifest.host.cpu.usable_cpus.to_string())),
    decides("host.cpu.governor", |d| d.manifest.host.cpu.governor.clone()),
    decides("host.cpu.smt_active", |d| d.manifest.host.cpu.smt_active.map(|active| active.to_string())),
    decides("host.cpu.isolated_cpus", |d| d.manifest.host.cpu.isolated_cpus.clone()),
    decides("host.hypervisor", |d| Some(d.manifest.host.hypervisor.clone().unwrap_or_else(|| "none".into()))),
    decides("host.kernel_release", |d| Some(d.manifest.host.kernel_release.clone())),
    decides("guests.memory", |d| {
        let told = d.manifest.guest_ram_mib.map(|mib| format!("{mib}M"));
        told.or_else(|| guest_option(&d.manifest, "-m"))
    }),
    decides("guests.vcpus", |d| {
        d.manifest.guest_cpus.map(|cpus| cpus.to_string()).or_else(|| guest_option(&d.manifest, "-smp"))
    }),
    decides("tool.optimised", |d| Some(d.manifest.tool.optimised.to_string())),
    tells("tool.version", |d| Some(d.manifest.tool.version.clone())),
    tells("tool.git_revision", |d| d.manifest.tool.git_revision.clone()),
    tells("tool.git_dirty", |d| d.manifest.tool.git_dirty.map(|dirty| dirty.to_string())),
    tells("qemu.version", |d| d.manifest.qemu.as_ref().map(|qemu| qemu.version.clone())),
    tells("guest_memory", |d| d.manifest.guest_memory.clone()),
    tells("guest_image", |d| {
        d.manifest.guest_image.as_ref().map(|image| format!("{} ({})", image.path, image.format))
    }),
    tells("guests.system", |d| {
        of_guests(&d.manifest, |vm| {
            let system = vm.system.as_ref()?;
            Some(format!("{}, Linux {}", system.distribution, system.kernel_release))
        })
    }),
    tells("guests.netmap", |d| of_guests(&d.manifest, |vm| Some(vm.netmap.as_ref()?.name()))),
    tells("guests.netmap.parameters", |d| of_guests(&d.manifest, |vm| vm.netmap.as_ref()?.settings())),
    tells("guest_kernel.release", |d| d.manifest.guest_kernel.as_ref()?.release.clone()),
    tells("host.netmap.version", |d| d.manifest.host.netmap.as_ref()?.version.clone()),
    tells("host.netmap.build_id", |d| d.manifest.host.netmap.as_ref()?.build_id.clone()),
    tells("host.netmap.parameters", |d| d.manifest.host.netmap.as_ref()?.settings()),
    tells("host.kernel_version", |d| Some(d.manifest.host.kernel_version.clone())),
    tells("host.kernel_command_line", |d| d.manifest.host.kernel_command_line.clone()),
    tells("host.memory.transparent_hugepages", |d| d.manifest.host.memory.transparent_hugepages.clone()),
    tells("host.memory.transparent_hugepages_shmem", |d| {
        d.manifest.host.memory.transparent_hugepages_shmem.clone()
    }),
    tells("pinning", |d| {
        let pins = d.manifest.pinning.iter().map(|pin| format!("{}: {:?}", pin.thread, pin.cpus));
        Some(pins.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", "))
    }),
    tells("trial.duration_s", |d| all_of(d, |trial| trial.duration_s.to_string())),
    tells("dataplane.guest_driver", |d| {
        of_planes(d, |plane| format!("{}: {}", plane.name, plane.guest_driver.as_deref().unwrap_or("none")))
    }),
    tells("dataplane.parameters", |d| {
        of_planes(d, |plane| {
            let pairs = plane.parameters.iter().map(|(name, value)| format!("{name}={value}"));
            format!("{}: {}", plane.name, pairs.collect::<Vec<_>>().join(" "))
        })
    }),
];

/// Stands for every field.
const ALL: &str = "all";

/// The fields that forbid a comparison.
pub fn names() -> Vec<&'static str> {
    FIELDS.iter().filter(|field| field.decides).map(|field| field.name).chain([ALL]).collect()
}

/// Fails for a name that no field has.
pub(super) fn check_names(allow: &[String]) -> Result<(), CompareError> {
    match allow.iter().find(|name| !names().contains(&name.as_str())) {
        Some(name) => Err(CompareError::NoSuchField { name: name.clone() }),
        None => Ok(()),
    }
}

/// What differs between `inputs`, what forbids a comparison first.
pub(super) fn differences(inputs: &[Input], allow: &[String]) -> Vec<Difference> {
    let allowed = |name: &str| allow.iter().any(|known| known == name || known == ALL);
    let differing = FIELDS.iter().filter_map(|field| {
        let values: Vec<Option<String>> = inputs.iter().map(|input| (field.value)(&input.document)).collect();
        let weight = match field.decides {
            false => Weight::Told,
            true if allowed(field.name) => Weight::Allowed,
            true => Weight::Refused,
        };
        let differs = values.iter().any(|value| *value != values[0]);
        differs.then(|| Difference { field: field.name.into(), weight, values })
    });
    differing.collect()
}

/// What decides rates and differs between two machines, and what measured and passed frames there, in sentences; guests
/// are not looked at.
pub fn differing_hosts(before: &Manifest, now: &Manifest) -> Vec<String> {
    let is = |d: &Difference, of: &[&str]| of.iter().any(|of| d.field.starts_with(of));
    sentences(before, now, |d| is(d, &["tool.", "host.netmap."]) || is(d, &["host."]) && d.is_refused())
}

/// What differs in what guests run on, in sentences.
pub fn differing_guests(before: &Manifest, now: &Manifest) -> Vec<String> {
    sentences(before, now, |d| ["accelerator", "guest", "qemu."].iter().any(|of| d.field.starts_with(of)))
}

fn sentences(before: &Manifest, now: &Manifest, which: impl Fn(&Difference) -> bool) -> Vec<String> {
    let input = |manifest: &Manifest| {
        let document = ResultDocument::new(manifest.clone(), crate::result::Plan::default());
        Input { path: std::path::PathBuf::new(), document }
    };
    let all = differences(&[input(before), input(now)], &[]);
    all.iter().filter(|d| which(d)).map(|d| format!("{}: {}", d.field, d.text())).collect()
}

/// What follows an option on the command lines of all guests, as far as a comma, each once.
fn guest_option(manifest: &Manifest, option: &str) -> Option<String> {
    of_guests(manifest, |vm| {
        let at = vm.argv.iter().position(|word| word == option)?;
        vm.argv.get(at + 1)?.split(',').next().map(str::to_owned)
    })
}

/// What there is to say of guests, each sentence once.
fn of_guests(manifest: &Manifest, value: impl Fn(&Vm) -> Option<String>) -> Option<String> {
    let values: BTreeSet<String> = manifest.vms.iter().filter_map(value).collect();
    (!values.is_empty()).then(|| values.into_iter().collect::<Vec<_>>().join(" and "))
}

fn all_of(document: &ResultDocument, value: fn(&crate::result::Trial) -> String) -> Option<String> {
    let values: BTreeSet<String> = document.trials.iter().map(value).collect();
    Some(values.into_iter().collect::<Vec<_>>().join(", "))
}

fn of_planes(document: &ResultDocument, value: fn(&Dataplane) -> String) -> Option<String> {
    let of_trials = document.trials.iter().map(|trial| &trial.dataplane);
    let of_searches = document.searches.iter().map(|record| &record.dataplane);
    let values: BTreeSet<String> = of_trials.chain(of_searches).map(value).collect();
    Some(values.into_iter().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::{document, trial};
    use crate::result::{Accelerator, NetmapModule, Pin};

    fn input(change: impl FnOnce(&mut ResultDocument)) -> Input {
        let mut document = document(&["uvale"], vec![trial("uvale", 64, 1, 1000, 0)]);
        document.manifest.vms[0].argv = ["qemu", "-m", "256", "-smp", "1"].map(str::to_owned).to_vec();
        change(&mut document);
        Input { path: "r.json".into(), document }
    }

    #[test]
    fn what_decides_rates_is_refused_unless_it_is_allowed_by_name() {
        let changed = input(|d| {
            d.manifest.accelerator = Accelerator::Kvm;
            d.manifest.host.cpu.model = None;
            d.manifest.vms[0].argv[2] = "512".into();
            d.manifest.tool.version = "0.2.0".into();
        });
        let inputs = [input(|_| ()), changed];
        let found = differences(&inputs, &["accelerator".into()]);
        let told: Vec<_> = found.iter().map(|d| (d.field.as_str(), d.weight, d.text())).collect();
        assert_eq!(
            told,
            [
                ("accelerator", Weight::Allowed, "TCG against KVM".into()),
                ("host.cpu.model", Weight::Refused, "Imaginary 9000 against unknown".into()),
                ("guests.memory", Weight::Refused, "256 against 512".into()),
                ("tool.version", Weight::Told, "0.1.0 against 0.2.0".into()),
            ]
        );
        assert!(differences(&inputs, &["all".into()]).iter().all(|d| !d.is_refused()));
        assert_eq!(differences(&[input(|_| ()), input(|_| ())], &[]), []);
    }

    fn netmap(build: &str, parameters: &[(&str, &str)]) -> Option<NetmapModule> {
        let parameters = parameters.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        Some(NetmapModule { version: Some("2".into()), build_id: Some(build.into()), parameters })
    }

    #[test]
    fn what_may_be_under_test_is_told() {
        let changed = input(|d| {
            d.manifest.host.netmap = netmap("1", &[("admode", "2"), ("buf_num", "8192")]);
            d.manifest.vms[0].netmap =
                netmap("0017", &[("buf_num", "4096"), ("admode", "0"), ("sink_num", "1")]);
            d.manifest.pinning = vec![Pin { thread: "switch".into(), cpus: vec![1] }];
            d.trials[0].dataplane.parameters.insert("slots".into(), "4096".into());
        });
        let parameters = [("buf_num", "8192"), ("admode", "0"), ("buf_curr_num", "7")];
        let before = input(|d| {
            d.manifest.host.netmap = netmap("1", &[("buf_num", "8192")]);
            d.manifest.vms[0].netmap = netmap("e60d", &parameters);
        });
        let found = differences(&[before, changed], &[]);
        assert!(found.iter().all(|d| d.weight == Weight::Told), "{found:?}");
        let text = |of: &str| found.iter().find(|d| d.field == of).unwrap().text();
        assert_eq!(text("guests.netmap"), "version 2, build e60d against version 2, build 0017");
        assert_eq!(text("guests.netmap.parameters"), "buf_num=8192 against buf_num=4096 sink_num=1");
        assert_eq!(text("host.netmap.parameters"), "none against admode=2");
        assert_eq!(found.last().unwrap().text(), "uvale: slots=1024 against uvale: slots=4096");
    }

    #[test]
    fn only_fields_that_exist_can_be_allowed() {
        check_names(&["host.cpu.model".into(), "all".into()]).unwrap();
        for wrong in ["cpu", "tool.version"] {
            let error = check_names(&[wrong.into()]).unwrap_err().to_string();
            assert!(
                error.contains("no field is called that; there is accelerator, host.cpu.model"),
                "{error}"
            );
        }
    }
}
