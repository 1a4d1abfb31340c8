//! What `--search` names: goals by name, goals in a file, and the other things that can be looked for.

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use crate::cli::SearchArgs;
use crate::exit::Fail;
use crate::search::Goal;
use crate::units::{parse_positive_duration, parse_ratio};

/// One thing to look for.
#[derive(Debug, Clone, PartialEq)]
pub enum Method {
    /// Throughput, for all these goals at once.
    Mlrsearch(Vec<Goal>),
    /// Throughput, by halving.
    Binary(Goal),
    /// The rate at the largest load.
    Mrr,
    /// The longest burst without loss.
    BackToBack,
    /// Loss over time.
    Soak,
}

impl Method {
    /// Whether it ends in a load, so that round trips can be measured in parts of it.
    pub fn finds_load(&self) -> bool {
        matches!(self, Method::Mlrsearch(_) | Method::Binary(_) | Method::Mrr)
    }
}

/// The names that are no file's.
const NAMES: [&str; 7] = ["ndr", "pdr", "tst009", "rfc2544", "mrr", "b2b", "soak"];

/// What was asked for, in the order in which it was; goals of MLRsearch together, where the first of them stands.
pub fn methods(args: &SearchArgs) -> Result<Vec<Method>, Fail> {
    let mut methods: Vec<Method> = Vec::new();
    for (index, word) in args.search.iter().enumerate() {
        if args.search[..index].contains(word) {
            return Err(Fail::usage(format!("--search has {word} twice")));
        }
        let method = match word.as_str() {
            "ndr" => Method::Mlrsearch(vec![Goal::ndr()]),
            "pdr" => Method::Mlrsearch(vec![Goal::pdr()]),
            "tst009" => Method::Mlrsearch(vec![Goal::tst009()]),
            "rfc2544" => Method::Binary(Goal::rfc2544()),
            "mrr" => Method::Mrr,
            "b2b" => Method::BackToBack,
            "soak" => Method::Soak,
            path => Method::Mlrsearch(read(Path::new(path))?),
        };
        let together = methods.iter_mut().find_map(|known| match known {
            Method::Mlrsearch(goals) => Some(goals),
            _ => None,
        });
        match (together, method) {
            (Some(goals), Method::Mlrsearch(more)) => goals.extend(more),
            (_, method) => methods.push(method),
        }
    }
    for method in &mut methods {
        let goals = match method {
            Method::Mlrsearch(goals) => goals.as_mut_slice(),
            Method::Binary(goal) => std::slice::from_mut(goal),
            _ => &mut [],
        };
        for goal in goals.iter_mut() {
            adapt(goal, args);
            goal.check().map_err(|error| Fail::usage(error.to_string()))?;
        }
        let same = |index: usize| goals[..index].iter().any(|goal| goal.name == goals[index].name);
        if let Some(index) = (0..goals.len()).find(|&index| same(index)) {
            return Err(Fail::usage(format!("two goals are called {}", goals[index].name)));
        }
    }
    Ok(methods)
}

/// Options go before what a goal has of its own.
fn adapt(goal: &mut Goal, args: &SearchArgs) {
    goal.width = args.search_width.unwrap_or(goal.width);
    if let Some(sum) = args.search_duration {
        goal.duration_sum_s = sum.as_secs_f64();
        goal.final_trial_s = goal.final_trial_s.min(goal.duration_sum_s);
    }
    if let Some(trial) = args.search_trial {
        goal.final_trial_s = trial.as_secs_f64();
        if args.search_duration.is_none() {
            goal.duration_sum_s = goal.duration_sum_s.max(goal.final_trial_s);
        }
    }
    if args.search_duration.is_some() || args.search_trial.is_some() {
        goal.settle();
    }
}

/// A file of goals.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    goal: Vec<Spanned<Entry>>,
}

/// One `[[goal]]`; what is left out is that of ndr, or of the goal it is `like`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    name: String,
    like: Option<Spanned<String>>,
    final_trial_duration: Option<Spanned<toml::Value>>,
    duration_sum: Option<Spanned<toml::Value>>,
    loss_ratio: Option<Spanned<toml::Value>>,
    exceed_ratio: Option<Spanned<toml::Value>>,
    width: Option<Spanned<toml::Value>>,
    initial_trial_duration: Option<Spanned<toml::Value>>,
    preceding_targets: Option<u32>,
    expansion: Option<u32>,
}

/// The keys of a file, to find the one that was meant.
const KEYS: [&str; 11] = [
    "goal",
    "name",
    "like",
    "final-trial-duration",
    "duration-sum",
    "loss-ratio",
    "exceed-ratio",
    "width",
    "initial-trial-duration",
    "preceding-targets",
    "expansion",
];

/// What is wrong with a file of goals, and where.
#[derive(Debug)]
struct Mistake<'a> {
    path: &'a Path,
    text: &'a str,
    /// Bytes from its beginning.
    at: usize,
    what: String,
}

impl fmt::Display for Mistake<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
        write!(f, "{}, line {line}, column {column}: {}", self.path.display(), self.what)
    }
}

fn read(path: &Path) -> Result<Vec<Goal>, Fail> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let word = path.display().to_string();
        let meant = nearest(&word, &NAMES).map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        let names = NAMES.join(", ");
        Fail::usage(format!("--search {word} is neither {names} nor a file of goals ({error}){meant}"))
    })?;
    parse(path, &text).map_err(|mistake| Fail::usage(mistake.to_string()))
}

fn parse<'a>(path: &'a Path, text: &'a str) -> Result<Vec<Goal>, Mistake<'a>> {
    let mistake = |at: usize, what: String| Mistake { path, text, at, what };
    let document: Document = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        mistake(at, hint(error.message()))
    })?;
    if document.goal.is_empty() {
        return Err(mistake(0, "there is no [[goal]] in it".into()));
    }
    let goal = |entry: &Spanned<Entry>| {
        let at = entry.span().start;
        let entry = entry.as_ref();
        let mut goal = match entry.like.as_ref().map(|like| (like.span().start, like.as_ref().as_str())) {
            None | Some((_, "ndr")) => Goal::ndr(),
            Some((_, "pdr")) => Goal::pdr(),
            Some((_, "tst009")) => Goal::tst009(),
            Some((_, "rfc2544")) => Goal::rfc2544(),
            Some((at, other)) => {
                let what =
                    format!("there is no goal {other:?} to be like; there is ndr, pdr, tst009, rfc2544");
                return Err(mistake(at, what));
            }
        };
        goal.name.clone_from(&entry.name);
        let number = |from: &Option<Spanned<toml::Value>>, to: &mut f64, parse: Parse| match from {
            None => Ok(()),
            Some(value) => {
                *to = parse(&plain(value.as_ref())).map_err(|what| mistake(value.span().start, what))?;
                Ok(())
            }
        };
        number(&entry.final_trial_duration, &mut goal.final_trial_s, seconds)?;
        number(&entry.duration_sum, &mut goal.duration_sum_s, seconds)?;
        number(&entry.loss_ratio, &mut goal.loss_ratio, ratio)?;
        number(&entry.exceed_ratio, &mut goal.exceed_ratio, ratio)?;
        number(&entry.width, &mut goal.width, ratio)?;
        goal.settle();
        number(&entry.initial_trial_duration, &mut goal.initial_trial_s, seconds)?;
        goal.preceding_targets = entry.preceding_targets.unwrap_or(goal.preceding_targets);
        goal.expansion = entry.expansion.unwrap_or(goal.expansion);
        goal.check().map_err(|error| mistake(at, error.to_string()))?;
        Ok(goal)
    };
    document.goal.iter().map(goal).collect()
}

/// Reads what people write.
type Parse = fn(&str) -> Result<f64, String>;

fn seconds(text: &str) -> Result<f64, String> {
    parse_positive_duration(text).map(|duration| duration.as_secs_f64()).map_err(|error| error.to_string())
}

fn ratio(text: &str) -> Result<f64, String> {
    parse_ratio(text).map_err(|error| error.to_string())
}

/// A value as it would be typed on a command line.
fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The parser's words, and the key that was meant where there is no such key.
fn hint(message: &str) -> String {
    let message = message.trim_end().lines().next().unwrap_or_default();
    let Some(key) = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) else {
        return message.to_owned();
    };
    match nearest(key, &KEYS) {
        Some(meant) => format!("there is no key {key:?}; did you mean {meant}?"),
        None => format!("there is no key {key:?}; there is {}", KEYS.join(", ")),
    }
}

/// The one of `words` that `word` is a typing error away from.
fn nearest<'a>(word: &str, words: &[&'a str]) -> Option<&'a str> {
    let by_distance = words.iter().map(|known| (strsim::damerau_levenshtein(word, known), *known));
    by_distance.filter(|(distance, known)| *distance <= known.len() / 3).min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn asked(options: &str) -> Result<Vec<Method>, Fail> {
        let cli = Cli::try_parse_from(format!("vale-bench p2p {options}").split_whitespace()).unwrap();
        let Command::P2p(args) = cli.command else { panic!("p2p") };
        methods(&args.bench.search)
    }

    fn refused(text: &str) -> String {
        parse("goals.toml".as_ref(), text).unwrap_err().to_string()
    }

    #[test]
    fn goals_of_mlrsearch_are_sought_together() {
        let expected = [Method::Mlrsearch(vec![Goal::ndr(), Goal::pdr()]), Method::Mrr];
        assert_eq!(asked("--search ndr,mrr,pdr").unwrap(), expected);
    }

    #[test]
    fn options_go_before_what_goals_have() {
        let one = |options: &str| match asked(options).unwrap().remove(0) {
            Method::Mlrsearch(mut goals) => goals.remove(0),
            Method::Binary(goal) => goal,
            other => panic!("{other:?}"),
        };
        let goal = one("--search tst009 --search-duration 2 --search-width 2%");
        assert_eq!((goal.duration_sum_s, goal.final_trial_s, goal.width), (2.0, 2.0, 0.02));
        let goal = one("--search rfc2544 --search-trial 90");
        assert_eq!((goal.duration_sum_s, goal.final_trial_s), (90.0, 90.0));
        let goal = one("--search ndr --search-duration 300ms --search-trial 100ms");
        assert_eq!((goal.duration_sum_s, goal.final_trial_s, goal.initial_trial_s), (0.3, 0.1, 0.1));
    }

    #[test]
    fn what_cannot_be_searched_gets_a_sentence() {
        let says = |options: &str, words: &str| {
            let text = asked(options).unwrap_err().to_string();
            assert!(text.contains(words), "{options}: {text}");
        };
        says("--search ndr,ndr", "--search has ndr twice");
        says("--search nrd", "did you mean ndr?");
        says("--search ./goals.toml", "nor a file of goals (No such file");
        says("--search ndr --search-width 0", "a width is");
        says("--search ndr --search-trial 3 --search-duration 2", "one trial (3 s) is longer");
    }

    #[test]
    fn a_file_of_goals() {
        let text = "\
[[goal]]
name = \"strict\"
like = \"tst009\"
duration-sum = \"3m\"

[[goal]]
name = \"loose\"
loss-ratio = \"1%\"
exceed-ratio = 0.25
width = 0.01
final-trial-duration = 2
initial-trial-duration = \"500ms\"
preceding-targets = 3
";
        let goals = parse("goals.toml".as_ref(), text).unwrap();
        assert_eq!(goals[0], Goal { name: "strict".into(), duration_sum_s: 180.0, ..Goal::tst009() });
        let loose = &goals[1];
        assert_eq!((loose.loss_ratio, loose.exceed_ratio, loose.width), (0.01, 0.25, 0.01));
        assert_eq!((loose.final_trial_s, loose.initial_trial_s, loose.preceding_targets), (2.0, 0.5, 3));
    }

    #[test]
    fn mistakes_in_a_file_have_a_place() {
        let goal = |lines: &str| refused(&format!("[[goal]]\nname = \"g\"\n{lines}\n"));
        let text = goal("los-ratio = 0.1");
        assert!(text.starts_with("goals.toml, line 3, column 1: "), "{text}");
        assert!(text.ends_with("there is no key \"los-ratio\"; did you mean loss-ratio?"), "{text}");
        let text = goal("colour = 1");
        assert!(text.contains("there is name") || text.contains("there is goal, name"), "{text}");
        let text = goal("loss-ratio = \"lots\"");
        assert!(text.starts_with("goals.toml, line 3, column 14: \"lots\" is not a part"), "{text}");
        let text = goal("like = \"ndf\"");
        assert!(text.starts_with("goals.toml, line 3, column 8: there is no goal \"ndf\""), "{text}");
        let text = goal("duration-sum = \"1s\"\nfinal-trial-duration = \"2s\"");
        assert!(text.contains("one trial (2 s) is longer"), "{text}");
        assert!(refused("goal = []\n").contains("no [[goal]]"), "{}", refused("goal = []\n"));
        assert!(refused("[[goal]\n").starts_with("goals.toml, line 1, column"), "{}", refused("[[goal]\n"));
        assert!(refused("[[goal]]\n").contains("name"), "{}", refused("[[goal]]\n"));
    }
}
