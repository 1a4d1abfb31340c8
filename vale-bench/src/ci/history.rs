//! A folder of baselines, one a run: what a run is held against is the runs since the last change.
//!
//! One baseline says what rates were once; a folder also says how far they lie apart from run to run, which samples
//! of one run do not show.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::baseline::{Baseline, BaselineError};
use crate::result::Host;
use crate::stats::{change_points, median};

/// Runs since the last change that are needed to judge another.
pub const RUNS_MIN: usize = 3;
/// How sure a change must be before earlier runs are left out.
const ALPHA: f64 = 0.05;

/// A folder of runs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The folder, or a file in it.
    #[error("cannot use {}", path.display())]
    Folder {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file in it.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
}

/// The runs of a folder.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    folder: PathBuf,
    /// The oldest first.
    runs: Vec<Baseline>,
}

impl History {
    /// Reads a folder, made if it is not there. Every `.json` in it must be a baseline.
    pub fn open(folder: &Path) -> Result<History, HistoryError> {
        let fail = |source| HistoryError::Folder { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(fail)?;
        let mut runs = Vec::new();
        for entry in fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                runs.push(Baseline::read(&path)?);
            }
        }
        runs.sort_by(|a, b| a.taken_at.cmp(&b.taken_at));
        Ok(History { folder: folder.to_owned(), runs })
    }

    /// What a run on `host` is held against: of each rate, the medians of the runs on such a processor since the rate
    /// last changed.
    #[must_use]
    pub fn baseline(&self, host: &Host) -> Baseline {
        let mut medians: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let mut alike = self.runs.iter().filter(|run| run.cpu == host.cpu.model);
        for (name, samples) in alike.clone().flat_map(|run| &run.samples_pps) {
            medians.entry(name).or_default().extend(median(samples.iter().copied()));
        }
        let since_last_change = |values: Vec<f64>| {
            let from = change_points(&values, ALPHA, 1).last().map_or(0, |change| change.at);
            values[from..].to_vec()
        };
        let levels = medians.into_iter().map(|(name, values)| (name.to_owned(), since_last_change(values)));
        let newest = alike.next_back().map_or("never", |run| run.taken_at.as_str());
        Baseline::of_runs(levels.collect(), host, newest)
    }

    /// Keeps a run. Two of the same second would be one.
    pub fn keep(&self, run: &Baseline) -> Result<PathBuf, HistoryError> {
        let name = run.taken_at.replace(':', "");
        let path = self.folder.join(format!("{name}.json"));
        let fail = |source| HistoryError::Folder { path: path.clone(), source };
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(fail)?;
        io::Write::write_all(&mut file, run.to_json().as_bytes()).map_err(fail)?;
        file.persist(&path).map_err(|error| fail(error.error))?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ci::baseline::Verdict;
    use crate::ci::document::Figure;

    fn run(day: usize, pps: f64) -> Baseline {
        let mut run = Baseline::of(&[], &Host::default(), &format!("2026-11-{day:02}T00:00:00Z"));
        run.samples_pps = [("vale".to_owned(), vec![pps, pps * 1.01, pps * 0.99])].into();
        run
    }

    fn history(rates: &[f64]) -> (tempfile::TempDir, History) {
        let folder = tempfile::tempdir().unwrap();
        let empty = History::open(&folder.path().join("new")).unwrap();
        for (day, pps) in rates.iter().enumerate() {
            empty.keep(&run(day + 1, *pps)).unwrap();
        }
        let history = History::open(&folder.path().join("new")).unwrap();
        (folder, history)
    }

    fn judge(history: &History, pps: f64) -> Verdict {
        let figure = Figure { name: "vale".into(), samples_pps: vec![pps; 7] };
        history.baseline(&Host::default()).judge(&figure)
    }

    #[test]
    fn runs_are_held_against_those_since_the_last_change() {
        // It became faster on the 7th day: what was good before is slow now.
        let rates = [5e6, 5.1e6, 4.9e6, 5e6, 5.05e6, 4.95e6, 8e6, 8.1e6, 7.9e6, 8.05e6, 7.95e6];
        let (_folder, history) = history(&rates);
        assert_eq!(judge(&history, 8.02e6), Verdict::Good);
        let Verdict::Slower(why) = judge(&history, 5e6) else { panic!() };
        assert!(
            why.contains("was 8.000 Mpps (7.900 to 8.100) in 5 runs up to 2026-11-11T00:00:00Z"),
            "{why}"
        );
    }

    #[test]
    fn scatter_from_run_to_run_widens_what_is_tolerated() {
        let (_folder, steady) = history(&[5e6, 5.05e6, 4.95e6, 5e6]);
        let (_folder, restless) = history(&[5e6, 5.6e6, 4.4e6, 5.2e6, 4.7e6]);
        assert!(matches!(judge(&steady, 4.2e6), Verdict::Slower(_)));
        assert_eq!(judge(&restless, 4.2e6), Verdict::Good);
    }

    #[test]
    fn few_runs_and_runs_on_other_processors_judge_nothing() {
        let (_folder, two) = history(&[5e6, 5e6]);
        assert!(
            matches!(judge(&two, 1e6), Verdict::Unclear(why) if why.contains("2 runs, and 3 are needed"))
        );
        let (_folder, many) = history(&[5e6; 5]);
        let mut host = Host::default();
        host.cpu.model = Some("Other 1".into());
        let figure = Figure { name: "vale".into(), samples_pps: vec![1e6; 7] };
        assert!(
            matches!(many.baseline(&host).judge(&figure), Verdict::Unclear(why) if why.contains("no vale"))
        );
    }

    #[test]
    fn a_folder_with_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("r.json"), "{}").unwrap();
        assert!(History::open(folder.path()).unwrap_err().to_string().contains("is no baseline"));
        assert!(History::open(Path::new("/proc/none")).unwrap_err().to_string().contains("cannot use"));
    }
}
