//! A folder of runs, read into series.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::document::{PassedOver, Point, Series};
use crate::ci::baseline::Baseline;
use crate::ci::document::CiDocument;
use crate::compare::{Conditions, Sought};
use crate::result::{Accelerator, Host, Manifest, ResultDocument, SearchRecord, Trial};
use crate::stats::median;

/// A folder cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no run in it.
    #[error("{} has no document of a run ({} were looked at)", path.display(), looked_at)]
    Empty {
        /// The folder.
        path: PathBuf,
        /// Files.
        looked_at: usize,
    },
}

/// The runs of a folder, sorted into series that nobody has looked at yet.
#[derive(Debug, Default)]
pub struct Folder {
    /// The folder.
    pub(super) path: PathBuf,
    /// Runs read.
    pub(super) runs: u32,
    /// Files that are no runs.
    pub(super) passed_over: Vec<PassedOver>,
    /// The figures.
    pub(super) series: Vec<Series>,
}

/// What tells one series from another.
#[derive(Debug)]
struct Key {
    machine: String,
    conditions: String,
    name: String,
    unit: &'static str,
    more_is_better: bool,
}

impl Folder {
    /// Reads every `.json` of a folder; folders in it are left alone.
    pub fn read(path: &Path) -> Result<Folder, FolderError> {
        let fail = |source| FolderError::Read { path: path.to_owned(), source };
        let mut files = Vec::new();
        for entry in fs::read_dir(path).map_err(fail)? {
            let file = entry.map_err(fail)?.path();
            if file.is_file() && file.extension().is_some_and(|extension| extension == "json") {
                files.push(file);
            }
        }
        files.sort();
        let mut folder = Folder { path: path.to_owned(), ..Folder::default() };
        for file in &files {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match folder.add(file, &name) {
                Ok(()) => folder.runs += 1,
                Err(reason) => folder.passed_over.push(PassedOver { file: name, reason }),
            }
        }
        if folder.runs == 0 {
            return Err(FolderError::Empty { path: path.to_owned(), looked_at: files.len() });
        }
        Ok(folder)
    }

    fn add(&mut self, file: &Path, name: &str) -> Result<(), String> {
        let bytes = fs::read(file).map_err(|error| error.to_string())?;
        let schema = serde_json::from_slice::<serde_json::Value>(&bytes)
            .ok()
            .and_then(|value| value.get("schema")?.as_str().map(str::to_owned))
            .unwrap_or_default();
        if schema.starts_with("vale-bench/ci-baseline-") {
            let baseline: Baseline = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
            self.add_baseline(&baseline, name);
        } else if schema.starts_with("vale-bench/ci-") {
            let document: CiDocument = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
            self.add_ci(&document, name);
        } else {
            // Whatever else it is, this says it best.
            let document =
                ResultDocument::parse(&bytes, Path::new(name)).map_err(|error| error.to_string())?;
            self.add_result(&document, name);
        }
        Ok(())
    }

    fn add_result(&mut self, document: &ResultDocument, file: &str) {
        let manifest = &document.manifest;
        let machine = machine(&manifest.host);
        let mut seen: Vec<&Trial> = Vec::new();
        let same = |a: &Trial, b: &Trial| {
            Conditions::of(a) == Conditions::of(b)
                && a.dataplane.name == b.dataplane.name
                && a.dataplane.accelerator == b.dataplane.accelerator
                && a.frame_size.sizes_bytes == b.frame_size.sizes_bytes
        };
        for trial in &document.trials {
            if seen.iter().any(|known| same(known, trial)) {
                continue;
            }
            seen.push(trial);
            let repeats: Vec<&Trial> = document.trials.iter().filter(|other| same(trial, other)).collect();
            let key = |unit, more_is_better| Key {
                machine: machine.clone(),
                conditions: conditions_text(&Conditions::of(trial), trial.vms, trial.dataplane.accelerator),
                name: format!("{} {}", trial.dataplane.name, trial.frame_size.label),
                unit,
                more_is_better,
            };
            let rates = repeats.iter().map(|t| t.throughput.aggregate.rate_mpps).collect();
            let latencies =
                repeats.iter().filter_map(|t| Some(t.latency.as_ref()?.p99_ns as f64 / 1e3)).collect();
            let revision = manifest.tool.git_revision.as_deref();
            self.put(key("Mpps", true), rates, &manifest.started_at, file, revision);
            self.put(key("p99 µs", false), latencies, &manifest.started_at, file, revision);
        }
        self.add_searches(document, &machine, file);
    }

    /// The rates that searches found, repetitions together.
    fn add_searches(&mut self, document: &ResultDocument, machine: &str, file: &str) {
        let mut found: Vec<(Conditions, &SearchRecord, Vec<f64>)> = Vec::new();
        for record in &document.searches {
            for one in record.found() {
                let Some(conditions) = Conditions::of_search(record, &one) else { continue };
                let same = |(known, other, _): &&mut (Conditions, &SearchRecord, Vec<f64>)| {
                    *known == conditions
                        && other.dataplane.name == record.dataplane.name
                        && other.dataplane.accelerator == record.dataplane.accelerator
                        && other.frame_size.sizes_bytes == record.frame_size.sizes_bytes
                };
                match found.iter_mut().find(same) {
                    Some((.., rates)) => rates.push(one.rate_mpps),
                    None => found.push((conditions, record, vec![one.rate_mpps])),
                }
            }
        }
        for (conditions, record, rates) in found {
            let sought = conditions.search.as_ref().map_or("", Sought::name);
            let key = Key {
                machine: machine.to_owned(),
                conditions: conditions_text(&conditions, record.vms, record.dataplane.accelerator),
                name: format!("{} {} {sought}", record.dataplane.name, record.frame_size.label),
                unit: "Mpps",
                more_is_better: true,
            };
            let Manifest { started_at, tool, .. } = &document.manifest;
            self.put(key, rates, started_at, file, tool.git_revision.as_deref());
        }
    }

    fn add_ci(&mut self, document: &CiDocument, file: &str) {
        // As a baseline, which knows no more.
        let machine = document.host.cpu.model.clone().unwrap_or_else(|| UNKNOWN.into());
        let figures = document.checks.iter().flat_map(|finding| &finding.figures);
        for figure in figures {
            let revision = document.tool.git_revision.as_deref();
            self.put_ci(&machine, &figure.name, &figure.samples_pps, &document.started_at, file, revision);
        }
    }

    fn add_baseline(&mut self, baseline: &Baseline, file: &str) {
        let machine = baseline.cpu.clone().unwrap_or_else(|| UNKNOWN.into());
        for (name, samples) in &baseline.samples_pps {
            self.put_ci(&machine, name, samples, &baseline.taken_at, file, None);
        }
    }

    fn put_ci(
        &mut self,
        machine: &str,
        name: &str,
        samples_pps: &[f64],
        at: &str,
        file: &str,
        revision: Option<&str>,
    ) {
        let key = Key {
            machine: machine.to_owned(),
            conditions: "ci".into(),
            name: name.to_owned(),
            unit: "Mpps",
            more_is_better: true,
        };
        self.put(key, samples_pps.iter().map(|pps| pps / 1e6).collect(), at, file, revision);
    }

    fn put(&mut self, key: Key, samples: Vec<f64>, at: &str, file: &str, revision: Option<&str>) {
        let count = samples.len() as u32;
        let Some(value) = median(samples) else { return };
        let point = Point {
            at: at.to_owned(),
            file: file.to_owned(),
            revision: revision.map(str::to_owned),
            value,
            samples: count,
        };
        let same = |s: &&mut Series| {
            s.machine == key.machine
                && s.conditions == key.conditions
                && s.name == key.name
                && s.unit == key.unit
        };
        match self.series.iter_mut().find(same) {
            Some(series) => series.points.push(point),
            None => self.series.push(Series {
                machine: key.machine,
                conditions: key.conditions,
                name: key.name,
                unit: key.unit.into(),
                more_is_better: key.more_is_better,
                points: vec![point],
                levels: Vec::new(),
                shifts: Vec::new(),
                latest: None,
            }),
        }
    }
}

/// Stands for a processor that nobody could name.
const UNKNOWN: &str = "a processor of unknown make";

/// `v2v, 2 guests, one way, as fast as possible (TCG)`.
fn conditions_text(conditions: &Conditions, vms: u32, accelerator: Accelerator) -> String {
    match vms {
        0 => conditions.text(),
        _ => format!("{} ({})", conditions.text(), accelerator.label()),
    }
}

/// What stays when kernels, programs and modules come and go.
fn machine(host: &Host) -> String {
    let cpu = host.cpu.model.as_deref().unwrap_or(UNKNOWN);
    let cpus = crate::report::figure::count(host.cpu.usable_cpus, "processor");
    match &host.hypervisor {
        Some(hypervisor) => format!("{cpu}, {cpus}, under {hypervisor}"),
        None => format!("{cpu}, {cpus}"),
    }
}
