//! The terminal: how wide it is, whether it takes colours, and how much room a text takes on it.

use std::env;
use std::io::{IsTerminal, stdout};

use terminal_size::{Width, terminal_size_of};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns of a terminal that does not say how wide it is.
const USUAL: u16 = 80;

/// Returns how many columns results have, from `COLUMNS` or the terminal; nothing where they go into a file or another program.
pub(crate) fn width() -> Option<u16> {
    let columns = env::var("COLUMNS").ok();
    let asked = columns.and_then(|text| text.trim().parse().ok());
    asked.filter(|columns| *columns > 0).or_else(|| {
        let out = stdout();
        let found = terminal_size_of(&out).map(|(Width(columns), _)| columns);
        out.is_terminal().then(|| found.unwrap_or(USUAL))
    })
}

/// Says whether escape sequences may be written to a stream. The conventions are those of no-color.org and bixense.com/clicolors.
pub(crate) fn takes_escapes(stream: &impl IsTerminal) -> bool {
    let value = |name: &str| env::var(name).ok();
    let is_terminal = stream.is_terminal();
    may_escape(is_terminal, &value)
}

fn may_escape(is_terminal: bool, value: &impl Fn(&str) -> Option<String>) -> bool {
    let is = |name: &str, wanted: fn(&str) -> bool| value(name).is_some_and(|text| wanted(&text));
    if is("NO_COLOR", |text| !text.is_empty()) {
        return false;
    }
    if is("CLICOLOR_FORCE", |text| !text.is_empty() && text != "0") {
        return true;
    }
    is_terminal && !is("CLICOLOR", |text| text == "0") && !is("TERM", |text| text == "dumb")
}

/// Returns the beginning of a text that takes at most so many columns, with a mark where it was cut. Marks stay on their letters.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    // No text has fewer columns than this says, but one that is long enough need not be measured whole.
    let is_long = text.len() > 16 * columns;
    if !is_long && text.width() <= columns {
        return text.to_owned();
    }
    let mut taken = 0;
    let fits = |c: &char| {
        taken += c.width().unwrap_or(1);
        taken < columns
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_the_conventions() {
        let takes = |is_terminal: bool, set: &[(&str, &str)]| {
            let value = |name: &str| {
                let found = set.iter().find(|(of, _)| *of == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            may_escape(is_terminal, &value)
        };
        assert!(takes(true, &[]));
        assert!(!takes(false, &[]));
        assert!(takes(true, &[("NO_COLOR", "")]));
        assert!(!takes(true, &[("NO_COLOR", "1")]));
        assert!(!takes(true, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]));
        assert!(takes(false, &[("CLICOLOR_FORCE", "1")]));
        assert!(!takes(false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!takes(true, &[("CLICOLOR", "0")]));
        assert!(!takes(true, &[("TERM", "dumb")]));
    }

    #[test]
    fn a_cut_text_has_the_columns_that_there_are() {
        for (text, columns, cut_to) in [
            ("short", 5, "short"),
            ("longer", 5, "long…"),
            // Two columns each.
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            // A mark takes none, and stays on its letter.
            ("e\u{301}e\u{301}e\u{301}", 3, "e\u{301}e\u{301}e\u{301}"),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
            ("", 5, ""),
        ] {
            assert_eq!(cut(text, columns), cut_to, "{text} in {columns}");
        }
        let tower = format!("a{}b", "\u{301}".repeat(10_000));
        assert!(cut(&tower, 3).width() <= 3);
        assert_eq!(cut(&"x".repeat(1 << 20), 100).width(), 100);
    }
}
