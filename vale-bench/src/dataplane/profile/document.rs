//! A profile file: TOML, what may stand in it, and where it is wrong.
//!
//! Every error names line and column, and a key that nearly was one. A profile that was read has no variable that
//! means nothing and no pattern that is none, so that nothing but the switch itself can fail later.

use super::template;
use regex::Regex;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Text with variables, and where in the file it stands.
pub(super) type Template = Spanned<String>;
/// A command: the program and its arguments.
pub(super) type CommandLine = Vec<Template>;

/// Variables that can be used anywhere.
pub(super) const RUN_VARIABLES: [&str; 11] =
    ["dir", "cpu", "cpus", "cpu_mask", "idle", "nap_us", "role", "client", "queue_size", "queues", "ports"];
/// Variables of one port.
pub(super) const PORT_VARIABLES: [&str; 4] = ["number", "name", "socket", "mac"];
/// Variables of a pair of ports.
pub(super) const PAIR_VARIABLES: [&str; 7] = ["pair", "a", "b", "name_a", "name_b", "socket_a", "socket_b"];

/// What a profile says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    /// What results call the dataplane.
    pub(super) name: Spanned<String>,
    /// What it is, in a few words.
    pub(super) what: String,
    /// Whether somebody has run this profile with success.
    pub(super) tested: bool,
    /// Which of the two the switch can be on its sockets; the first unless told otherwise.
    pub(super) roles: Spanned<Vec<Role>>,
    /// How it joins ports.
    pub(super) joins: Joins,
    /// A command whose first line of output is its version.
    pub(super) version: Option<CommandLine>,
    /// Texts and argument lists that are made once for each port, by the name under which they are used.
    #[serde(default)]
    pub(super) each_port: BTreeMap<Spanned<String>, Fragment>,
    /// The same for each pair of ports.
    #[serde(default)]
    pub(super) each_pair: BTreeMap<Spanned<String>, Fragment>,
    /// Files to be written before it starts, by their names in its folder.
    #[serde(default)]
    pub(super) files: BTreeMap<Spanned<String>, Template>,
    /// How it is started.
    pub(super) start: Start,
    /// When it is ready for commands.
    pub(super) ready: Ready,
    /// Commands to be run then.
    #[serde(default)]
    pub(super) setup: Setup,
    /// Its counters.
    pub(super) counters: Option<Counters>,
    /// How it is told to end; by a signal if not at all.
    pub(super) stop: Option<Stop>,
    /// What its busy threads are.
    pub(super) threads: Threads,
}

/// An end of a vhost-user socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// It connects.
    Client,
    /// It listens.
    Server,
}

/// How a switch joins ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Joins {
    /// Two by two, without a look at addresses.
    Pairs,
    /// By addresses, which it learns.
    Addresses,
}

/// Made once for each port or pair.
#[derive(Debug, Clone)]
pub(super) enum Fragment {
    /// A line of a file.
    Line(Template),
    /// Arguments of a command, in which the variable stands alone.
    Arguments(CommandLine),
}

/// By hand: serde's way to try one form after the other loses the places in the file.
impl<'de> Deserialize<'de> for Fragment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fragment, D::Error> {
        enum Words {
            Line(String),
            Arguments(CommandLine),
        }

        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a line, or a list of arguments")
            }

            fn visit_str<E: de::Error>(self, line: &str) -> Result<Words, E> {
                Ok(Words::Line(line.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Words, A::Error> {
                let mut arguments = Vec::new();
                while let Some(argument) = items.next_element()? {
                    arguments.push(argument);
                }
                Ok(Words::Arguments(arguments))
            }
        }

        impl<'de> Deserialize<'de> for Words {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Words, D::Error> {
                deserializer.deserialize_any(Either)
            }
        }

        let words = Spanned::<Words>::deserialize(deserializer)?;
        let place = words.span();
        Ok(match words.into_inner() {
            Words::Line(line) => Fragment::Line(Spanned::new(place, line)),
            Words::Arguments(arguments) => Fragment::Arguments(arguments),
        })
    }
}

/// How a switch is started.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    pub(super) command: Spanned<CommandLine>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, Template>,
    /// Whether it is told things on its standard input.
    #[serde(default)]
    pub(super) listens: bool,
}

/// When a switch is ready: all that is said must hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ready {
    /// It printed this.
    pub(super) prints: Option<Template>,
    /// This file or socket is there.
    pub(super) exists: Option<Template>,
    /// This command succeeds.
    pub(super) command: Option<CommandLine>,
    /// How long that may take, in seconds.
    #[serde(default = "half_a_minute")]
    pub(super) within_s: u32,
}

fn half_a_minute() -> u32 {
    30
}

/// Commands that make ports and join them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Setup {
    #[serde(default)]
    pub(super) each_port: Vec<CommandLine>,
    #[serde(default)]
    pub(super) each_pair: Vec<CommandLine>,
    #[serde(default)]
    pub(super) last: Vec<CommandLine>,
}

/// How a port's counters are read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counters {
    /// Prints them.
    pub(super) command: Option<CommandLine>,
    /// Or: told on standard input, it prints them.
    pub(super) tell: Option<Template>,
    /// After what was told: printed last.
    pub(super) until: Option<Template>,
    /// Patterns with variables and one group, which is a number: frames taken from the port,
    pub(super) taken: Template,
    /// delivered to it,
    pub(super) delivered: Template,
    /// and dropped for want of room in it.
    pub(super) dropped: Option<Template>,
    /// Whether those are all that it drops.
    #[serde(default)]
    pub(super) complete: bool,
}

/// How a switch is told to end.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stop {
    /// A command that tells it.
    pub(super) command: Option<CommandLine>,
    /// Or a line on standard input.
    pub(super) tell: Option<Template>,
    /// How long it may take, in seconds.
    #[serde(default = "three")]
    pub(super) within_s: u32,
}

fn three() -> u32 {
    3
}

/// The threads that poll.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Threads {
    /// How their names begin.
    pub(super) busy: String,
    /// Whether it naps by itself where `idle` is `nap`; else its busy threads then run while nobody else wants their
    /// processor.
    #[serde(default)]
    pub(super) naps: bool,
}

/// What is wrong with a profile, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ProfileError {
    path: PathBuf,
    /// Line and column, from 1.
    place: Option<(usize, usize)>,
    what: String,
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl Document {
    /// Reads the profile at `path`.
    pub(super) fn read(path: &Path) -> Result<Document, ProfileError> {
        let text = std::fs::read_to_string(path).map_err(|e| ProfileError {
            path: path.to_owned(),
            place: None,
            what: format!("cannot be read: {e}"),
        })?;
        Document::parse(path, &text)
    }

    /// Reads a profile's `text`; `path` is for messages.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Document, ProfileError> {
        let at = |offset: Option<usize>, what: String| ProfileError {
            path: path.to_owned(),
            place: offset.map(|offset| place(text, offset)),
            what,
        };
        let document: Document = toml::from_str(text)
            .map_err(|error| at(error.span().map(|span| span.start), with_suggestion(error.message())))?;
        document.check().map_err(|(offset, what)| at(Some(offset), what))?;
        Ok(document)
    }

    fn check(&self) -> Result<(), (usize, String)> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let name = self.name.get_ref();
        if name.is_empty() || !name.chars().all(plain) {
            let what = "a name has letters, digits, - and _ alone".to_owned();
            return Err((self.name.span().start, what));
        }
        if self.roles.get_ref().is_empty() {
            return Err((self.roles.span().start, "roles are \"server\", \"client\" or both".into()));
        }
        if self.start.command.get_ref().is_empty() {
            return Err((self.start.command.span().start, "a command has a program at least".into()));
        }
        let run: Vec<&str> = RUN_VARIABLES.into();
        let port = [&run[..], &PORT_VARIABLES].concat();
        let pair = [&run[..], &PAIR_VARIABLES].concat();
        let fragments =
            self.each_port.keys().chain(self.each_pair.keys()).map(|name| name.get_ref().as_str());
        let whole = run.iter().copied().chain(fragments).collect::<Vec<_>>();
        for name in self.each_port.keys().chain(self.each_pair.keys()) {
            let known = PORT_VARIABLES.iter().chain(&PAIR_VARIABLES).chain(&RUN_VARIABLES);
            if known.clone().any(|known| known == name.get_ref()) {
                return Err((
                    name.span().start,
                    format!("${{{}}} is taken: it has a meaning already", name.get_ref()),
                ));
            }
        }
        for fragment in self.each_port.values() {
            check_all(fragment.templates(), &port)?;
        }
        for fragment in self.each_pair.values() {
            check_all(fragment.templates(), &pair)?;
        }
        for (name, text) in &self.files {
            if name.get_ref().contains('/') || name.get_ref().starts_with('.') {
                return Err((name.span().start, "a file lies in the run's folder itself".into()));
            }
            check_one(text, &whole)?;
        }
        let ready = self.ready.prints.iter().chain(&self.ready.exists);
        let commands = self.version.iter().chain(&self.ready.command).chain(&self.setup.last).flatten();
        let env = self.start.env.values();
        let start = self.start.command.get_ref().iter();
        let stop = self.stop.iter().flat_map(|stop| stop.command.iter().flatten().chain(&stop.tell));
        check_all(ready.chain(commands).chain(env).chain(start).chain(stop), &whole)?;
        check_all(self.setup.each_port.iter().flatten(), &port)?;
        check_all(self.setup.each_pair.iter().flatten(), &pair)?;
        self.counters.as_ref().map_or(Ok(()), |counters| counters.check(&port))
    }
}

impl Fragment {
    fn templates(&self) -> impl Iterator<Item = &Template> {
        match self {
            Fragment::Line(line) => std::slice::from_ref(line).iter(),
            Fragment::Arguments(arguments) => arguments.iter(),
        }
    }
}

impl Counters {
    fn check(&self, variables: &[&str]) -> Result<(), (usize, String)> {
        check_all(self.command.iter().flatten().chain(&self.tell).chain(&self.until), variables)?;
        for pattern in [&self.taken, &self.delivered].into_iter().chain(&self.dropped) {
            let bad = |what: String| (pattern.span().start, what);
            check_one(pattern, variables)?;
            let text = template::expand(pattern.get_ref(), |_| Some("0".into()));
            let regex = Regex::new(&text).map_err(|e| bad(format!("is no pattern: {e}")))?;
            if regex.captures_len() != 2 {
                return Err(bad("a counter's pattern has one group, which is the number".into()));
            }
        }
        match (&self.command, &self.tell, &self.until) {
            (Some(_), None, None) | (None, Some(_), Some(_)) => Ok(()),
            _ => Err((
                self.taken.span().start,
                "counters have either a command, or what to tell and until what to read".into(),
            )),
        }
    }
}

fn check_all<'t>(
    templates: impl IntoIterator<Item = &'t Template>,
    known: &[&str],
) -> Result<(), (usize, String)> {
    templates.into_iter().try_for_each(|template| check_one(template, known))
}

fn check_one(template: &Template, known: &[&str]) -> Result<(), (usize, String)> {
    // The byte within the text is not that within the file where there are escapes; the text's own place is.
    template::check(template.get_ref(), known).map_err(|error| (template.span().start, error.what))
}

/// Line and column of a byte of `text`, from 1; columns count characters.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    (line, column)
}

/// serde's sentence, with the key that an unknown one nearly is.
fn with_suggestion(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let suggestion = match quoted.split_first() {
        Some((wrong, known)) if message.starts_with("unknown") => nearest(wrong, known.iter().copied()),
        _ => None,
    };
    let message = message.trim_end();
    suggestion.map_or_else(|| message.to_owned(), |near| format!("{message}; did you mean `{near}`?"))
}

/// The one of `known` that `word` was meant to be, if one is near.
pub(super) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let far = |candidate: &&str| strsim::damerau_levenshtein(word, candidate);
    known.min_by_key(far).filter(|candidate| far(candidate) <= 1 + word.len() / 4)
}

#[cfg(test)]
mod tests;
