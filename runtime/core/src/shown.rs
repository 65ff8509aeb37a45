//! Makes text of unknown origin safe to show in a terminal, a log or a message.
//!
//! Log content, packs and plugins can hold control characters, characters that change the direction of writing, and characters
//! without width. Everything that shows such text escapes them with a function of this module, so that no output is forgotten.

use std::borrow::Cow;

/// Maximum number of combining marks on one letter: more of them cover the lines above and below.
const MAX_MARKS: usize = 4;

/// Goes through a text and finds the characters that a reader would not see or would see wrongly.
#[derive(Debug, Default)]
pub struct VisibilityCheck {
    /// Marks since the last letter.
    marks: usize,
}

impl VisibilityCheck {
    /// Returns whether a reader sees the next character as it is. Line breaks and tabs are not visible.
    pub fn is_visible(&mut self, c: char) -> bool {
        if is_mark(c) {
            self.marks += 1;
            return self.marks <= MAX_MARKS;
        }
        self.marks = 0;
        !is_invisible(c)
    }
}

/// Returns a text on one line, with escaped line breaks and invisible characters: for titles and other values.
pub fn printable(text: &str) -> String {
    escaped(text, |c| match c {
        '\n' | '\t' | '\r' => Some(c.escape_default().collect()),
        _ => None,
    })
}

/// Returns a text on one line, with spaces for line breaks and tabs, and escaped invisible characters: for messages.
pub fn one_line(text: &str) -> String {
    escaped(text, |c| match c {
        '\n' | '\t' => Some(" ".to_owned()),
        '\r' => Some(String::new()),
        _ => None,
    })
}

/// Returns a text in its lines, with escaped invisible characters: the content of a file must not control a terminal.
pub fn without_controls(text: &str) -> String {
    escaped(text, |c| matches!(c, '\n' | '\t').then(|| c.to_string()))
}

/// Returns a text in its lines, with invisible characters escaped as in JSON: the text of a JSON document stays valid and keeps its
/// meaning.
pub fn json_escaped(text: &str) -> Cow<'_, str> {
    let plain = || {
        let mut check = VisibilityCheck::default();
        move |c: char| check.is_visible(c) || c == '\n' || c == '\t'
    };
    if text.chars().all(plain()) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(2 * text.len());
    let mut is_plain = plain();
    for c in text.chars() {
        if is_plain(c) {
            escaped.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            escaped.push_str(&format!("\\u{unit:04x}"));
        }
    }
    Cow::Owned(escaped)
}

/// Escapes invisible characters, except those that `special` replaces.
fn escaped(text: &str, special: impl Fn(char) -> Option<String>) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut check = VisibilityCheck::default();
    for c in text.chars() {
        let is_visible = check.is_visible(c);
        match special(c) {
            Some(text) => escaped.push_str(&text),
            None if is_visible => escaped.push(c),
            None => escaped.extend(c.escape_unicode()),
        }
    }
    escaped
}

/// Returns whether a character is invisible but changes how text is shown: control characters, characters that change the direction
/// of writing (CVE-2021-42574), spaces without width, line separators, tags, and fillers. Ordinary spaces and combining marks are
/// not among them.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Returns whether a character is a mark on the letter before it: the blocks of marks, and the marks of scripts that stack them.
fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{34e}' | '\u{350}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}' | '\u{6d6}'..='\u{6dc}' | '\u{6df}'..='\u{6e4}' | '\u{e31}' | '\u{e34}'..='\u{e3a}'
        | '\u{e47}'..='\u{e4e}' | '\u{eb1}' | '\u{eb4}'..='\u{ebc}' | '\u{ec8}'..='\u{ece}' | '\u{f71}'..='\u{f84}'
        | '\u{135d}'..='\u{135f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20f0}'
        | '\u{2de0}'..='\u{2dff}' | '\u{302a}'..='\u{302f}' | '\u{3099}' | '\u{309a}' | '\u{a66f}'..='\u{a672}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}' | '\u{1e8d0}'..='\u{1e8d6}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_escaped_in_every_form() {
        for c in [
            '\u{0}',
            '\u{7}',
            '\u{1b}',
            '\u{7f}',
            '\u{9b}',
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{2028}',
            '\u{2029}',
            '\u{202e}',
            '\u{2066}',
            '\u{feff}',
            '\u{e0041}',
            '\u{e0101}',
        ] {
            let text = format!("a{c}b");
            let written = format!("a\\u{{{:x}}}b", u32::from(c));
            for shown in [printable(&text), one_line(&text), without_controls(&text)] {
                assert_eq!(shown, written);
            }
        }
        assert_eq!(printable("a\nb\tc\r"), "a\\nb\\tc\\r");
        assert_eq!(one_line("a\nb\tc\r"), "a b c");
        assert_eq!(without_controls("a\nb\tc\r"), "a\nb\tc\\u{d}");
        assert_eq!(
            json_escaped("a\u{202e}\u{e0041}\n\r"),
            "a\\u202e\\udb40\\udc41\n\\u000d"
        );
        assert!(matches!(json_escaped("plain\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn only_a_few_marks_are_stacked() {
        let tower = format!("a{}b", "\u{301}".repeat(6));
        assert_eq!(
            printable(&tower),
            format!("a{}\\u{{301}}\\u{{301}}b", "\u{301}".repeat(4))
        );
        for plain in [
            "e\u{301}",
            "Việt Nam",
            "ที่นี่",
            "שָׁלוֹם",
            "हिन्दी",
            "👍🏽❤\u{fe0f}",
            "Überprüfung",
        ] {
            assert_eq!(printable(plain), plain);
        }
    }
}
