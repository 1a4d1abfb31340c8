//! Text that others wrote, as it may be shown: a guest's console, a program's log, a document from elsewhere. On a
//! terminal it must not move the cursor, clear the screen or pass for something that this program says.

/// Text without what a terminal, XML or a reader's eye would take for something else: control characters and those
/// that turn the direction of writing become U+FFFD.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if is_odd(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The same of a text of several lines, which stay lines; tabs become spaces.
pub(crate) fn plain_lines(text: &str) -> String {
    let shown = |c| match c {
        '\n' => '\n',
        '\t' => ' ',
        c if is_odd(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(shown).collect()
}

fn is_odd(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_a_terminal_that_it_would_obey() {
        assert_eq!(plain("a\x1b[2Jb\nc\u{202e}d\u{9b}e µ"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}e µ");
        assert_eq!(plain_lines("a\n\tb\rc\x07"), "a\n b\u{fffd}c\u{fffd}");
    }
}
