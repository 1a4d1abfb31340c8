//! A suite's text, taken apart: titles, defaults, and what each run says, every word with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::LazyLock;

use clap::{ArgAction, Args, CommandFactory};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Place, SuiteError, nearest};
use crate::cli::{Cli, GuestArgs, OutputArgs};
use crate::compare::published;

/// Benchmarks that a suite can run, by their commands.
static SCENARIOS: LazyLock<Vec<clap::Command>> = LazyLock::new(|| {
    // Whatever has dataplanes and repetitions is a benchmark.
    let is = |command: &clap::Command| {
        ["dataplane", "repeat"]
            .iter()
            .all(|wanted| command.get_arguments().any(|a| a.get_long() == Some(wanted)))
    };
    let mut program = Cli::command();
    program.build();
    program.get_subcommands().filter(|command| is(command)).cloned().collect()
});

/// The benchmark of that name.
pub(super) fn scenario(name: &str) -> Option<&'static clap::Command> {
    SCENARIOS.iter().find(|command| command.get_name() == name)
}

/// Whether a command line has the option once for each of its values, so that they are no alternatives.
fn given_often(option: &str) -> bool {
    let is = |a: &&clap::Arg| a.get_long() == Some(option) && matches!(a.get_action(), ArgAction::Append);
    SCENARIOS
        .iter()
        .flat_map(clap::Command::get_arguments)
        .find(is)
        .is_some_and(|a| a.get_value_delimiter().is_none())
}

/// Options that are the whole run's: they are given to `suite` itself.
static OF_THE_RUN: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let run = GuestArgs::augment_args(OutputArgs::augment_args(clap::Command::new("run")));
    let longs = run.get_arguments().filter_map(clap::Arg::get_long).chain(["order-seed", "help"]);
    longs.map(str::to_owned).collect()
});

/// A word with its place in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

/// What an option is to be, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) key: Word,
    /// At least one, each of at least one word: all that it is given at once. `true` and `false` for options without a
    /// value.
    pub(super) values: Vec<Vec<Word>>,
}

/// One `[[run]]`, defaults included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) scenarios: Vec<Word>,
    pub(super) options: Vec<Values>,
}

/// A suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    /// Its name, or its file.
    pub name: String,
    /// Its text.
    pub text: String,
    /// What it is, in a few words.
    pub title: Option<String>,
    /// Published figures to stand beside its own.
    pub published: Option<String>,
    pub(super) runs: Vec<Run>,
}

type Entry<'a> = (&'a Spanned<toml::de::DeString<'a>>, &'a Spanned<DeValue<'a>>);

/// Keys of the text itself.
const TOP: [&str; 4] = ["title", "published", "defaults", "run"];

impl Suite {
    /// Takes `text` apart; `name` is what errors call it.
    pub fn parse(name: &str, text: &str) -> Result<Suite, SuiteError> {
        let reader = Reader { name, text };
        let document = DeTable::parse(text).map_err(|error| {
            let problem = error.message().trim_end_matches('.').to_owned();
            reader.wrong(error.span().unwrap_or(0..0), problem)
        })?;
        let mut suite = Suite {
            name: name.to_owned(),
            text: text.to_owned(),
            title: None,
            published: None,
            runs: Vec::new(),
        };
        let mut defaults = Vec::new();
        let mut runs = None;
        for (key, value) in document.get_ref() {
            match key.get_ref().as_ref() {
                "title" => suite.title = Some(reader.string(key, value)?),
                "published" => {
                    let wanted = reader.string(key, value)?;
                    published::find(&wanted).map_err(|problem| reader.wrong(value.span(), problem))?;
                    suite.published = Some(wanted);
                }
                "defaults" => {
                    let DeValue::Table(table) = value.get_ref() else {
                        return Err(reader.wrong(value.span(), "defaults are a table: [defaults]"));
                    };
                    defaults = reader.options(table, None)?;
                }
                "run" => runs = Some((key, value)),
                _ => return Err(reader.unknown(key, TOP.iter().copied(), "a suite has")),
            }
        }
        let Some((_, value)) = runs else {
            return Err(reader.wrong(0..0, "a suite needs at least one [[run]]"));
        };
        let tables = match value.get_ref() {
            DeValue::Array(tables) => tables,
            _ => return Err(reader.wrong(value.span(), "runs are tables in a list: [[run]]")),
        };
        for table in tables {
            let DeValue::Table(entries) = table.get_ref() else {
                return Err(reader.wrong(table.span(), "a run is a table: [[run]]"));
            };
            suite.runs.push(reader.run(entries, table.span(), &defaults)?);
        }
        if suite.runs.is_empty() {
            return Err(reader.wrong(value.span(), "a suite needs at least one [[run]]"));
        }
        Ok(suite)
    }

    /// Something in it is wrong.
    pub(super) fn wrong(&self, span: Range<usize>, problem: impl Into<String>) -> SuiteError {
        wrong(&self.name, &self.text, span, problem)
    }
}

fn wrong(name: &str, text: &str, span: Range<usize>, problem: impl Into<String>) -> SuiteError {
    SuiteError::Wrong { suite: name.to_owned(), place: Place::of(text, span), problem: problem.into() }
}

struct Reader<'a> {
    name: &'a str,
    text: &'a str,
}

impl Reader<'_> {
    fn wrong(&self, span: Range<usize>, problem: impl Into<String>) -> SuiteError {
        wrong(self.name, self.text, span, problem)
    }

    fn unknown<'k>(
        &self,
        key: &Spanned<toml::de::DeString<'_>>,
        known: impl Iterator<Item = &'k str> + Clone,
        who: &str,
    ) -> SuiteError {
        let typed = key.get_ref().as_ref();
        let problem = match nearest(typed, known.clone()) {
            Some(near) => format!("there is no key {typed}; did you mean {near}?"),
            None => format!("there is no key {typed}; {who} {}", known.collect::<Vec<_>>().join(", ")),
        };
        self.wrong(key.span(), problem)
    }

    fn string(
        &self,
        key: &Spanned<toml::de::DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<String, SuiteError> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text.clone().into_owned()),
            _ => Err(self.wrong(value.span(), format!("{} is a text in quotes", key.get_ref()))),
        }
    }

    fn run(&self, table: &DeTable<'_>, span: Range<usize>, defaults: &[Values]) -> Result<Run, SuiteError> {
        let entry = table.iter().find(|(key, _)| key.get_ref().as_ref() == "scenario");
        let Some((_, value)) = entry else {
            let names = self.names().join(", ");
            return Err(self.wrong(span, format!("a run needs a scenario: {names}")));
        };
        let scenarios = self.words(value)?;
        for word in &scenarios {
            if !self.names().contains(&word.text.as_str()) {
                let problem = match nearest(&word.text, self.names()) {
                    Some(near) => format!("there is no scenario {}; did you mean {near}?", word.text),
                    None => {
                        format!("there is no scenario {}; there is {}", word.text, self.names().join(", "))
                    }
                };
                return Err(self.wrong(word.span.clone(), problem));
            }
        }
        let own = self.options(table, Some(&scenarios))?;
        let has = |options: &[Values], key: &str| options.iter().any(|values| values.key.text == key);
        let of_its_scenarios = |values: &&Values| {
            scenarios.iter().any(|scenario| self.takes(&scenario.text, &values.key.text))
                && !has(&own, &values.key.text)
        };
        let mut options: Vec<Values> = defaults.iter().filter(of_its_scenarios).cloned().collect();
        options.extend(own);
        Ok(Run { scenarios, options })
    }

    fn names(&self) -> Vec<&str> {
        SCENARIOS.iter().map(clap::Command::get_name).collect()
    }

    /// Whether a scenario has an option.
    fn takes(&self, scenario: &str, option: &str) -> bool {
        self::scenario(scenario)
            .is_some_and(|command| command.get_arguments().any(|a| a.get_long() == Some(option)))
    }

    /// The options in a table: any that a benchmark has, or that one of `scenarios` has.
    fn options(&self, table: &DeTable<'_>, scenarios: Option<&[Word]>) -> Result<Vec<Values>, SuiteError> {
        let among = |name: &str| scenarios.is_none_or(|words| words.iter().any(|word| word.text == name));
        let mut known: BTreeMap<&str, ()> = BTreeMap::new();
        for command in SCENARIOS.iter().filter(|command| among(command.get_name())) {
            let longs = command.get_arguments().filter_map(clap::Arg::get_long);
            known.extend(longs.filter(|long| !OF_THE_RUN.contains(*long)).map(|long| (long, ())));
        }
        let mut options = Vec::new();
        for (key, value) in table {
            let entry: Entry<'_> = (key, value);
            match key.get_ref().as_ref() {
                "scenario" if scenarios.is_some() => {}
                name if known.contains_key(name) => options.push(self.values(entry)?),
                name if OF_THE_RUN.contains(name) => {
                    let problem =
                        format!("{name} is the whole suite's; give it on the command line: --{name}");
                    return Err(self.wrong(key.span(), problem));
                }
                _ => {
                    let names = known.keys().copied().chain(scenarios.map(|_| "scenario"));
                    return Err(self.unknown(key, names, "a run has"));
                }
            }
        }
        Ok(options)
    }

    fn values(&self, (key, value): Entry<'_>) -> Result<Values, SuiteError> {
        let key = Word { text: key.get_ref().as_ref().to_owned(), span: key.span() };
        let words = self.words(value)?;
        for (index, word) in words.iter().enumerate() {
            if words[..index].iter().any(|earlier| earlier.text == word.text) {
                return Err(self.wrong(word.span.clone(), format!("{} has {} twice", key.text, word.text)));
            }
        }
        let values = match given_often(&key.text) {
            true => vec![words],
            false => words.into_iter().map(|word| vec![word]).collect(),
        };
        Ok(Values { key, values })
    }

    /// One value, or those of a list.
    fn words(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<Word>, SuiteError> {
        match value.get_ref() {
            DeValue::Array(list) if list.is_empty() => {
                Err(self.wrong(value.span(), "an empty list measures nothing"))
            }
            DeValue::Array(list) => list.iter().map(|one| self.word(one)).collect(),
            _ => Ok(vec![self.word(value)?]),
        }
    }

    fn word(&self, value: &Spanned<DeValue<'_>>) -> Result<Word, SuiteError> {
        let text = match value.get_ref() {
            DeValue::String(text) => text.clone().into_owned(),
            DeValue::Integer(number) => number.as_str().replace('_', ""),
            DeValue::Float(number) => number.as_str().replace('_', ""),
            DeValue::Boolean(yes) => yes.to_string(),
            _ => return Err(self.wrong(value.span(), "a value is a text in quotes, a number, true or false")),
        };
        Ok(Word { text, span: value.span() })
    }
}
