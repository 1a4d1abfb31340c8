//! Text with named variables in it: `${socket}`; `$$` is a dollar.

use std::collections::BTreeMap;

/// Variables and what they stand for.
pub(super) type Values = BTreeMap<&'static str, String>;

/// What is wrong with a template, and at which byte of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TemplateError {
    pub(super) at: usize,
    pub(super) what: String,
}

/// A piece of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Text as it is.
    Text(&'a str),
    /// A variable's name, which begins at that byte.
    Variable(&'a str, usize),
}

/// The pieces of `text` in order.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let error = |at, what: &str| Err(TemplateError { at, what: what.to_owned() });
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find('$') {
        let dollar = at + found;
        if found > 0 {
            pieces.push(Piece::Text(&text[at..dollar]));
        }
        let rest = &text[dollar + 1..];
        if rest.starts_with('$') {
            pieces.push(Piece::Text("$"));
            at = dollar + 2;
        } else if let Some(inside) = rest.strip_prefix('{') {
            let Some(end) = inside.find('}') else { return error(dollar, "${ without its }") };
            let name = &inside[..end];
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if name.is_empty() || !name.chars().all(plain) {
                return error(dollar, "a variable's name has small letters, digits and _ alone");
            }
            pieces.push(Piece::Variable(name, dollar + 2));
            at = dollar + 2 + end + 1;
        } else {
            return error(dollar, "$ is followed by {name}, or by another $ for a dollar");
        }
    }
    if at < text.len() {
        pieces.push(Piece::Text(&text[at..]));
    }
    Ok(pieces)
}

/// Checks that `text` can be expanded where the variables `known` have values.
pub(super) fn check(text: &str, known: &[&str]) -> Result<(), TemplateError> {
    for piece in pieces(text)? {
        if let Piece::Variable(name, at) = piece
            && !known.contains(&name)
        {
            let near = super::document::nearest(name, known.iter().copied());
            let near = near.map_or_else(
                || format!("there are {}", known.join(", ")),
                |near| format!("did you mean ${{{near}}}?"),
            );
            return Err(TemplateError { at, what: format!("nothing is called ${{{name}}} here; {near}") });
        }
    }
    Ok(())
}

/// `text` with its variables' values; one that has none (which [`check`] excludes) stands for nothing.
pub(super) fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let pieces = pieces(text).unwrap_or_default();
    pieces
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.to_owned(),
            Piece::Variable(name, _) => lookup(name).unwrap_or_default(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn variables_and_dollars() {
        let lookup = |name: &str| (name == "dir").then(|| "/run".to_owned());
        assert_eq!(expand("unix { cli ${dir}/cli.sock } $$5", lookup), "unix { cli /run/cli.sock } $5");
        assert_eq!(check("${dir}", &["dir", "socket"]), Ok(()));
        let wrong = |text: &str| check(text, &["dir", "socket"]).unwrap_err();
        let near = "nothing is called ${sockt} here; did you mean ${socket}?";
        assert_eq!(wrong("x ${sockt}"), TemplateError { at: 4, what: near.into() });
        assert!(wrong("${zzzzzzzz}").what.contains("there are dir, socket"));
        for text in ["${dir", "$dir", "a $", "${}", "${Dir}"] {
            assert!(check(text, &["dir"]).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_either_refused_or_expanded(text in "[a-z$ {}é]{0,24}") {
            match pieces(&text) {
                Ok(_) => {
                    let expanded = expand(&text, |name| Some(format!("<{name}>")));
                    let dollars = expanded.matches('$').count();
                    prop_assert_eq!(dollars, text.matches("$$").count(), "{} -> {}", text, expanded);
                }
                Err(error) => prop_assert!(text.is_char_boundary(error.at) && error.at < text.len()),
            }
        }

        #[test]
        fn text_without_dollars_stays_as_it_is(text in "[^$]{0,40}") {
            prop_assert_eq!(expand(&text, |_| None), text);
        }
    }
}
