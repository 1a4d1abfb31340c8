//! Which checks to run: by patterns over their names.

use glob::Pattern;

use super::Check;

/// Patterns as they were given.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    only: Vec<Pattern>,
    skip: Vec<Pattern>,
}

/// A selection that makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SelectError {
    /// It is no pattern.
    #[error("{pattern:?} is not a pattern: {problem}")]
    Pattern {
        /// As it was given.
        pattern: String,
        /// What is wrong.
        problem: String,
    },
    /// Nothing has such a name.
    #[error("no check is called {pattern:?}; `vale-bench ci --list` shows their names")]
    Nothing {
        /// As it was given.
        pattern: String,
    },
    /// All that were wanted are left out again.
    #[error("no check is left to run")]
    Empty,
}

/// `vale` stands for `vale.*`, as one expects.
fn pattern(text: &str) -> Result<Pattern, SelectError> {
    let whole = if text.contains(['.', '*', '?', '[']) { text.to_owned() } else { format!("{text}.*") };
    Pattern::new(&whole).map_err(|e| SelectError::Pattern { pattern: text.to_owned(), problem: e.msg.into() })
}

impl Selection {
    /// Checks whose names match one of `only` (all, if there is none) and none of `skip`.
    pub fn new(only: &[String], skip: &[String], from: &[Check]) -> Result<Selection, SelectError> {
        let known = |text: &String| {
            let pattern = pattern(text)?;
            match from.iter().any(|check| pattern.matches(check.name)) {
                true => Ok(pattern),
                false => Err(SelectError::Nothing { pattern: text.clone() }),
            }
        };
        let selection = Selection {
            only: only.iter().map(known).collect::<Result<_, _>>()?,
            skip: skip.iter().map(known).collect::<Result<_, _>>()?,
        };
        match from.iter().any(|check| selection.has(check)) {
            true => Ok(selection),
            false => Err(SelectError::Empty),
        }
    }

    /// Whether a check is wanted.
    #[must_use]
    pub fn has(&self, check: &Check) -> bool {
        let matches = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(check.name));
        (self.only.is_empty() || matches(&self.only)) && !matches(&self.skip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Check> {
        ["api.version", "vale.learning", "vale.list", "pipe.order"]
            .map(|name| Check::new(name, "", |_| Ok(())))
            .into()
    }

    fn names(only: &[&str], skip: &[&str]) -> Result<Vec<&'static str>, SelectError> {
        let strings = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let selection = Selection::new(&strings(only), &strings(skip), &checks())?;
        Ok(checks().iter().filter(|c| selection.has(c)).map(|c| c.name).collect())
    }

    #[test]
    fn patterns_choose_and_leave_out() {
        assert_eq!(names(&[], &[]).unwrap().len(), 4);
        assert_eq!(names(&["vale.*"], &[]).unwrap(), ["vale.learning", "vale.list"]);
        assert_eq!(names(&["vale"], &["*.list"]).unwrap(), ["vale.learning"]);
        assert_eq!(names(&["pipe.order", "*.l?st"], &[]).unwrap(), ["vale.list", "pipe.order"]);
        assert_eq!(names(&[], &["vale", "api"]).unwrap(), ["pipe.order"]);
    }

    #[test]
    fn what_selects_nothing_is_told() {
        assert_eq!(names(&["vael.*"], &[]), Err(SelectError::Nothing { pattern: "vael.*".into() }));
        assert_eq!(names(&[], &["nothing"]), Err(SelectError::Nothing { pattern: "nothing".into() }));
        assert_eq!(names(&["vale"], &["vale.*"]), Err(SelectError::Empty));
        assert!(matches!(names(&["a[.x"], &[]), Err(SelectError::Pattern { .. })));
    }
}
