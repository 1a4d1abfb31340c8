//! `ci` in a machine: its document comes out before each check, so that a machine which does not survive one leaves
//! the name of the culprit and all that was found before.

use super::image::GO_ON_FILE;
use super::results::Results;
use crate::ci::document::{CiDocument, Summary};
use crate::ci::show::junit;
use crate::cli::{Cli, Command};
use crate::exit::Fail;
use clap::Parser;
use std::fs;
use std::path::{Component, Path};

/// Where the document goes that was not asked for.
const OWN_DOCUMENT: &str = "vale-bench-ci.json";

/// A run of checks, over one machine or more.
#[derive(Debug)]
pub(super) struct Checks {
    command: Vec<String>,
    /// Where the document is, relative to the working directory, and whether the user asked for it.
    document: String,
    asked: bool,
    junit: Option<String>,
}

impl Checks {
    /// The run of checks that `command` is, if it is one whose document can be had.
    pub(super) fn of(command: &[String]) -> Option<Checks> {
        let words = ["vale-bench".to_owned()].into_iter().chain(command.iter().cloned());
        let Ok(Cli { command: Command::Ci(args) }) = Cli::try_parse_from(words) else { return None };
        if args.list || args.resume.is_some() {
            return None;
        }
        let asked = args.out.is_some();
        let document = args.out.as_deref().map_or(Some(OWN_DOCUMENT.to_owned()), within)?;
        Some(Checks {
            command: command.to_vec(),
            document,
            asked,
            junit: args.junit.as_deref().and_then(within),
        })
    }

    /// Makes ready for the document of another machine, which stays here if nobody asked for it.
    pub(super) fn prepare(&self, results: &mut Results) {
        results.forget(&self.document);
        if !self.asked {
            results.keep_private(&self.document);
        }
    }

    /// The command for a first machine, or for one that goes on where another was lost.
    pub(super) fn command(&self, goes_on: bool) -> Vec<String> {
        let mut words = self.command.clone();
        // Before the words after a `--`, if there are such.
        let mut options = Vec::new();
        if !self.asked {
            options.extend(["--out".to_owned(), self.document.clone()]);
        }
        if goes_on {
            options.extend(["--resume".to_owned(), GO_ON_FILE.to_owned()]);
        }
        words.splice(1..1, options);
        words
    }

    /// What a machine that was lost found until then: `how` it was lost goes into the document and the JUnit file,
    /// with the kernel's log.
    pub(super) fn lost(&self, results: &Results, how: &str, log: &[String]) -> Result<Option<Lost>, Fail> {
        let bytes = results.came(&self.document).unwrap_or_default();
        let Ok(mut document) = serde_json::from_slice::<CiDocument>(&bytes) else { return Ok(None) };
        let done = document.checks.len().saturating_sub(1);
        let total = document.checks.len() + document.not_run.len();
        let Some(culprit) = document.culprit() else { return Ok(None) };
        culprit.why = Some(format!("{how} while this check ran"));
        culprit.kernel_log = log.to_vec();
        let name = culprit.name.clone();
        let mut written = Vec::new();
        let mut write = |file: &str, text: String| {
            let path = results.path(file);
            written.push(path.display().to_string());
            fs::write(&path, text)
                .map_err(|e| Fail::from(e).context(format!("cannot write {}", path.display())))
        };
        if self.asked {
            write(&self.document, document.to_json())?;
        }
        if let Some(file) = &self.junit {
            write(file, junit(&document)?)?;
        }
        let mut sentence = format!("the machine was lost in the check {name}, with {done} of {total} done");
        if !written.is_empty() {
            sentence += &format!(", which are in {}", written.join(" and "));
        }
        Ok(Some(Lost { document, sentence }))
    }
}

/// What a machine that was lost leaves.
#[derive(Debug)]
pub(super) struct Lost {
    /// The document, with the culprit in it.
    pub(super) document: CiDocument,
    /// Which check it was, and where the rest is.
    pub(super) sentence: String,
}

impl Lost {
    /// The check in which it was lost.
    pub(super) fn check(&self) -> &str {
        self.document.running.as_deref().unwrap_or_default()
    }

    /// Whether that check runs guests in the machine.
    pub(super) fn had_guests(&self) -> bool {
        self.check().starts_with("ptnet.")
    }

    /// The document as it was before that check, which is then still to be run.
    pub(super) fn before(self) -> CiDocument {
        let mut document = self.document;
        if let Some(check) = document.running.take() {
            document.checks.retain(|finding| finding.name != check);
            document.not_run.insert(0, check);
        }
        document.summary = Summary::of(&document.checks);
        document
    }

    /// Whether there are checks that the machine did not come to.
    pub(super) fn has_more(&self) -> bool {
        !self.document.not_run.is_empty()
    }
}

/// A path within the machine's working directory, as it comes out.
fn within(path: &Path) -> Option<String> {
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    plain.then(|| path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ci::Check;
    use crate::ci::document::{Outcome, SchemaId};
    use crate::{machine, provenance};

    fn of(line: &str) -> Option<Checks> {
        Checks::of(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn only_runs_of_checks_are_such_and_each_has_a_document() {
        for line in
            ["p2p --out r.json", "ci --list", "ci --out /tmp/r.json", "ci --out ../r.json", "ci --bad"]
        {
            assert!(of(line).is_none(), "{line}");
        }
        let asked = of("ci --out r.json vale").unwrap();
        assert_eq!(asked.command(false).join(" "), "ci --out r.json vale");
        assert_eq!(asked.command(true).join(" "), "ci --resume .vale-bench-lost.json --out r.json vale");
        assert_eq!(of("ci -- vale").unwrap().command(false).join(" "), "ci --out vale-bench-ci.json -- vale");
    }

    #[test]
    fn a_lost_machine_leaves_its_findings_with_the_culprit() {
        let folder = tempfile::tempdir().unwrap();
        let mut results = Results::prepare(folder.path()).unwrap();
        let checks = of("ci --junit ci.xml").unwrap();
        checks.prepare(&mut results);
        assert!(checks.lost(&results, "it went", &[]).unwrap().is_none(), "it had said nothing yet");
        let check = Check::new("a.one", "It does", |_| Ok(()));
        let finding = crate::ci::document::Finding {
            name: check.name.into(),
            objective: check.objective.into(),
            outcome: Outcome::Fail,
            why: None,
            issue: None,
            duration_s: 0.0,
            kernel_log: vec![],
            leftovers: vec![],
            figures: vec![],
        };
        let document = CiDocument {
            schema: SchemaId::V1,
            tool: provenance::tool(),
            command_line: vec![],
            started_at: String::new(),
            host: machine::host(),
            module_parameters: Default::default(),
            kernel_log_read: true,
            duration_s: 1.0,
            summary: Summary::of(std::slice::from_ref(&finding)),
            checks: vec![finding],
            running: Some("a.one".into()),
            not_run: vec!["b.two".into()],
        };
        results.take(OWN_DOCUMENT, document.to_json().as_bytes(), true, true).unwrap();
        let lost = checks.lost(&results, "the kernel panicked", &["Oops".to_owned()]).unwrap().unwrap();
        let xml = folder.path().join("ci.xml");
        assert_eq!(
            lost.sentence,
            format!(
                "the machine was lost in the check a.one, with 0 of 2 done, which are in {}",
                xml.display()
            )
        );
        assert!(lost.has_more() && !lost.had_guests());
        assert_eq!(lost.check(), "a.one");
        let xml = fs::read_to_string(xml).unwrap();
        for words in ["the kernel panicked while this check ran", "Oops", "the run ended before it"] {
            assert!(xml.contains(words), "{xml}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nobody asked for the document");
        let before = lost.before();
        assert_eq!((before.checks.len(), before.running, before.summary.failed), (0, None, 0));
        assert_eq!(before.not_run, ["a.one", "b.two"]);
    }
}
