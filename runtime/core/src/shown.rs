//! Text of others, made fit to be shown on a terminal, in a log, in a message.
//!
//! Log content, packs and plugins name things as their authors like. Everything that shows such text writes out by [`Eye`] what a
//! reader would not see: one place, so that no way to a terminal is forgotten.

/// Most marks that one letter is shown with: more of them cover the lines above and below.
const MOST_MARKS: usize = 4;

/// Reads a text as a person does: says of each character in turn whether it is seen as what it is.
#[derive(Debug, Default)]
pub struct Eye {
    /// Marks since the last letter.
    marks: usize,
}

impl Eye {
    /// Says whether the next character is seen as what it is. Line breaks and tabs are not.
    pub fn sees(&mut self, c: char) -> bool {
        if is_mark(c) {
            self.marks += 1;
            return self.marks <= MOST_MARKS;
        }
        self.marks = 0;
        !is_invisible(c)
    }
}

/// Returns a text on one line, with line breaks and what is not seen written out: for titles and other values.
pub fn printable(text: &str) -> String {
    written(text, |c| match c {
        '\n' | '\t' | '\r' => Some(c.escape_default().collect()),
        _ => None,
    })
}

/// Returns a text on one line, with blanks in place of line breaks and tabs, and what is not seen written out: for messages.
pub fn one_line(text: &str) -> String {
    written(text, |c| match c {
        '\n' | '\t' => Some(" ".to_owned()),
        '\r' => Some(String::new()),
        _ => None,
    })
}

/// Returns a text in its lines, with what is not seen written out: what stands in a file must not speak to a terminal.
pub fn without_controls(text: &str) -> String {
    written(text, |c| matches!(c, '\n' | '\t').then(|| c.to_string()))
}

fn written(text: &str, special: impl Fn(char) -> Option<String>) -> String {
    let mut written = String::with_capacity(text.len());
    let mut eye = Eye::default();
    for c in text.chars() {
        let is_seen = eye.sees(c);
        match special(c) {
            Some(text) => written.push_str(&text),
            None if is_seen => written.push(c),
            None => written.extend(c.escape_unicode()),
        }
    }
    written
}

/// Says whether a character acts upon how text is shown and is not seen itself: control characters, those that change the
/// direction of writing (CVE-2021-42574), blanks without width, separators of lines, tags, and fillers. A blank and what a letter
/// is combined with are none of these.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Says whether a character is shown on the letter before it: the blocks of marks, and those of scripts that stack them.
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
    fn what_is_not_seen_is_written_out_in_every_form() {
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
    }

    #[test]
    fn marks_do_not_tower() {
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
