//! The rules of the tree, as tests: what every file must be like, which crate may know which, and that what the
//! README says can be typed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{CommandFactory, Parser};
use vale_bench::cli::Cli;

/// Lines a source file may have.
const LINES_MAX: usize = 500;

/// Files that may be longer, each with the reason.
const LONG: [(&str, &str); 0] = [];

/// What may depend on what, of our own crates. Arrows go one way.
const ARROWS: [(&str, &[&str]); 7] = [
    ("netmap-sys", &[]),
    ("netmap-rs", &["netmap-sys"]),
    ("uvale", &["netmap-rs", "netmap-sys"]),
    ("pktgen", &["netmap-rs", "netmap-sys"]),
    ("qemu-ptnet", &[]),
    ("guest", &["pktgen", "netmap-rs", "netmap-sys"]),
    ("vale-bench", &["guest", "qemu-ptnet", "pktgen", "uvale", "netmap-rs", "netmap-sys"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace").to_owned()
}

/// Every file of the tree, by its path from the root; nothing that was built.
fn files() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().expect("names are text");
            // Cargo marks its target folders with that tag, wherever they are.
            let skipped = [".git", "target"].contains(&name) || path.join("CACHEDIR.TAG").exists();
            if path.is_dir() && !skipped {
                folders.push(path);
            } else if path.is_file()
                && let Ok(text) = fs::read_to_string(&path)
            {
                files.insert(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(), text);
            }
        }
    }
    assert!(files.len() > 100, "the tree has more than {} files", files.len());
    files
}

fn sources() -> impl Iterator<Item = (String, String)> {
    files().into_iter().filter(|(path, _)| path.ends_with(".rs"))
}

/// Fails with the list of all offenders, not the first.
fn none(offenders: impl IntoIterator<Item = String>, rule: &str) {
    let offenders: Vec<String> = offenders.into_iter().collect();
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}

#[test]
fn every_source_file_opens_with_what_it_is() {
    let silent = sources().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path);
    none(silent, "a source file opens with //! and what it is");
}

#[test]
fn files_stay_small_enough_to_hold_in_mind() {
    let may = |path: &str| LONG.iter().any(|(long, _)| *long == path);
    let long = sources().filter(|(path, text)| text.lines().count() > LINES_MAX && !may(path));
    none(
        long.map(|(path, text)| format!("{path}: {} lines", text.lines().count())),
        "at most 500 lines a file",
    );
    let sources: BTreeMap<_, _> = sources().collect();
    let idle =
        LONG.iter().filter(|(path, _)| sources.get(*path).is_none_or(|t| t.lines().count() <= LINES_MAX));
    none(idle.map(|(path, _)| (*path).to_owned()), "an exception that is none");
}

#[test]
fn modules_have_the_names_of_their_folders() {
    none(files().into_keys().filter(|path| path.ends_with("mod.rs")), "foo.rs and foo/, not foo/mod.rs");
}

#[test]
fn nothing_is_left_to_be_done() {
    // Put together here, or this file would offend.
    let words = ["todo", "unimplemented", "dbg"].map(|name| format!("{name}!("));
    let unfinished = sources().flat_map(|(path, text)| lines_with(&path, &text, &words));
    none(unfinished, "no macros of unfinished work");
}

#[test]
fn sources_name_no_place_of_one_machine_and_no_registry() {
    let words =
        [["/wo", "rk/"], ["../sha", "red"], ["deb.deb", "ian.org"], ["crates", ".io"]].map(|p| p.concat());
    let strays = files().into_iter().filter(|(path, _)| path != "Cargo.lock");
    none(strays.flat_map(|(path, text)| lines_with(&path, &text, &words)), "no such names");
}

fn lines_with(path: &str, text: &str, words: &[String]) -> Vec<String> {
    let lines = text.lines().enumerate().filter(|(_, line)| words.iter().any(|word| line.contains(word)));
    lines.map(|(number, line)| format!("{path}:{}: {}", number + 1, line.trim())).collect()
}

#[test]
fn lines_end_where_they_seem_to() {
    let blank = files().into_iter().flat_map(|(path, text)| {
        let lines: Vec<String> = text
            .lines()
            .enumerate()
            .filter(|(_, line)| line.ends_with([' ', '\t', '\r']))
            .map(|(number, _)| format!("{path}:{}", number + 1))
            .collect();
        lines
    });
    none(blank, "no blanks at the ends of lines");
    let open = files().into_iter().filter(|(_, text)| !text.is_empty() && !text.ends_with('\n'));
    none(open.map(|(path, _)| path), "a file ends with a newline");
}

#[test]
fn crates_know_only_those_below_them() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> = packages.iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ARROWS.iter().map(|(name, _)| *name).collect(), "the members of the workspace");
    let wrong = packages.iter().flat_map(|package| {
        let name = package["name"].as_str().unwrap();
        let (_, may) = ARROWS.iter().find(|(known, _)| *known == name).unwrap();
        let wanted = package["dependencies"].as_array().unwrap().iter().map(|d| d["name"].as_str().unwrap());
        // A package may name itself, to turn on a feature for its tests.
        let wrong =
            wanted.filter(|wanted| *wanted != name && names.contains(wanted) && !may.contains(wanted));
        wrong.map(|wanted| format!("{name} -> {wanted}")).collect::<Vec<_>>()
    });
    none(wrong, "arrows go one way");
}

#[test]
fn every_dependency_says_why() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (_, section) = manifest.split_once("[workspace.dependencies]\n").expect("there is such a section");
    let section = section.split("\n[").next().unwrap();
    let theirs = section.lines().filter(|line| line.contains('=') && !line.trim_start().starts_with('#'));
    let theirs: Vec<&str> = theirs.filter(|line| !line.contains("path =")).collect();
    assert!(theirs.len() > 20, "{theirs:?}");
    let silent =
        theirs.iter().filter(|line| line.split_once("# ").is_none_or(|(_, why)| why.trim().len() < 10));
    none(silent.map(|line| (*line).to_owned()), "a dependency has its reason beside it");
    // A member takes its dependencies from there, so that none escapes.
    let own =
        files().into_iter().filter(|(path, _)| path.ends_with("/Cargo.toml")).flat_map(|(path, text)| {
            let mut within = false;
            let mut own = Vec::new();
            for line in text.lines() {
                if line.starts_with('[') {
                    within = line.contains("dependencies");
                } else if within
                    && line.contains('=')
                    && !line.contains("workspace = true")
                    && !line.starts_with('#')
                {
                    own.push(format!("{path}: {line}"));
                }
            }
            own
        });
    none(own, "versions stand in the workspace's Cargo.toml");
}

/// Command lines of the program in `text`, from code blocks (fenced or indented), as one types them.
fn command_lines(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in joined.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let code = fenced || line.starts_with("    ") || line.starts_with("  ");
        let line = line.trim_start().trim_start_matches("$ ");
        // A drawing is not typed.
        if code && line.starts_with("vale-bench ") && line.is_ascii() {
            // What the shell keeps for itself.
            let end = [" # ", " > ", " | ", " &"].iter().filter_map(|mark| line.find(mark)).min();
            lines.push(line[..end.unwrap_or(line.len())].trim().to_owned());
        }
    }
    lines
}

fn refused(lines: &[String]) -> Vec<String> {
    let words = |line: &String| shlex::split(line).unwrap_or_else(|| panic!("a quote is not closed: {line}"));
    let parse = |line: &String| Cli::try_parse_from(words(line)).err();
    let refused = lines.iter().filter_map(|line| Some((line, parse(line)?)));
    // Help and version are refused by the parser, and no error.
    refused.filter(|(_, error)| error.use_stderr()).map(|(line, error)| format!("{line}\n{error}")).collect()
}

#[test]
fn what_the_readme_says_can_be_typed() {
    // Where the README is read: some of its commands name files of the tree.
    std::env::set_current_dir(root()).expect("the tree is there");
    let readme = fs::read_to_string(root().join("README.md")).expect("there is a README");
    let lines = command_lines(&readme);
    none(refused(&lines), "a command in the README is one of the program's");
    // What the first page promises.
    for needed in
        ["vale-bench v2v --vms 2", "vale-bench p2p", "vale-bench switch", "vale-bench rx -i vale0:2"]
    {
        assert!(lines.iter().any(|line| line.starts_with(needed)), "README lacks {needed}");
    }
    let acceptance = "vale-bench v2v --vms 4 --size 64,512,1518 --bidir --repeat 3 --latency --out r.json";
    assert!(lines.iter().any(|line| line == acceptance), "README lacks {acceptance}");
    assert!(readme.contains("make v2v") && readme.contains("make test"));
}

#[test]
fn examples_in_the_help_can_be_typed() {
    let mut program = Cli::command();
    let commands = program.get_subcommands().cloned().chain([program.clone()]).collect::<Vec<_>>();
    let mut found = 0;
    for command in &commands {
        let Some(after) = command.get_after_help() else { continue };
        // In the program's own help, two blanks part a command from its explanation.
        let text: String = after
            .to_string()
            .lines()
            .map(|line| {
                let text = line.trim_start();
                let indent = &line[..line.len() - text.len()];
                let continued = if text.contains(" \\") { " \\" } else { "" };
                let typed = if text.starts_with("vale-bench ") || text.starts_with("--") {
                    text.split("  ").next().unwrap_or(text).trim_end_matches(" \\")
                } else {
                    text
                };
                format!("{indent}{typed}{continued}\n")
            })
            .collect();
        let lines = command_lines(&text);
        found += lines.len();
        none(refused(&lines), &format!("an example of {} is a command", command.get_name()));
    }
    assert!(found >= 20, "only {found} examples were found");
    program.build();
}

#[test]
fn what_every_change_must_pass_ends_with_the_tests() {
    let script = fs::read_to_string(root().join(".ci/run")).expect("there is .ci/run");
    let last = script.lines().rfind(|line| !line.trim().is_empty()).unwrap();
    assert!(last.ends_with("make test"), "{last}");
    assert!(script.contains("VALE_BENCH_NO_SKIP=1") && script.contains("make lint"), "{script}");
    let makefile = fs::read_to_string(root().join("Makefile")).expect("there is a Makefile");
    assert_eq!(makefile.matches("-D warnings").count(), 3, "clippy twice, rustdoc once");
}
