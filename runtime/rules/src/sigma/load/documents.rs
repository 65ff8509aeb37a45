//! A file's documents, and what is done to their text before the parser reads it. Lines stay where they are.

use std::ops::Range;

use yagura_core::diagnostic::Span;

use crate::predicate::Number;

/// Stands before a number that the parser would read as a double: then it is text, digit by digit.
const MARK: char = '\u{10F8A7}';
/// Digits of an integer that the parser keeps.
const SHORT: usize = 18;

/// One YAML document of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document {
    /// The line of the file, from one, on which it begins.
    pub(super) line: usize,
    pub(super) text: String,
}

impl Document {
    /// Returns the span in the file of a range of the document's bytes.
    pub(super) fn span(&self, range: Range<usize>) -> Span {
        let mut span = Span::of(&self.text, range);
        span.start.line += self.line - 1;
        span.end.line += self.line - 1;
        span
    }
}

/// Takes a file apart. Documents that build on each other (`action: global`) stay together.
pub(super) fn documents(text: &str) -> Vec<Document> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let whole = || Document {
        line: 1,
        text: text.to_owned(),
    };
    if text.lines().any(|line| line.starts_with("action:")) {
        return vec![whole()];
    }
    let mut documents = vec![Document {
        line: 1,
        text: String::new(),
    }];
    let mut start = |line: usize, text: String| documents.push(Document { line, text });
    let mut current: Option<(usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        // A byte order mark may stand before each document.
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        let marker = ["---", "..."].into_iter().find(|marker| {
            let behind = line.strip_prefix(marker);
            behind.is_some_and(|behind| behind.is_empty() || behind.starts_with([' ', '\t']))
        });
        match (marker, &mut current) {
            (Some(_), current) => {
                if let Some((line, text)) = current.take() {
                    start(line, text);
                }
                *current = Some((at + 1, format!("   {}\n", &line[3..])));
            }
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, current) => *current = Some((at + 1, format!("{line}\n"))),
        }
    }
    if let Some((line, text)) = current {
        start(line, text);
    }
    documents.retain(|document| !is_empty(&document.text));
    for document in &mut documents {
        // What is before the first key says nothing, and its line is of no use in a message.
        let is_key = |line: &str| !is_empty(line);
        let before = document
            .text
            .lines()
            .take_while(|line| !is_key(line))
            .count();
        document.line += before;
        document.text = document.text.split_inclusive('\n').skip(before).collect();
    }
    documents
}

/// Says whether this holds nothing but comments and directives.
fn is_empty(text: &str) -> bool {
    text.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with(['#', '%'])
    })
}

/// Returns the value of a key at the top of a document as it is written, and its line, from one.
pub(super) fn top_value<'a>(text: &'a str, key: &str) -> Option<(usize, &'a str)> {
    let of_key = |line: &'a str| line.strip_prefix(key)?.trim_start().strip_prefix(':');
    let mut lines = text.lines().enumerate();
    let (at, value) = lines.find_map(|(at, line)| Some((at, of_key(line)?)))?;
    let value = value.split(" #").next().unwrap_or_default();
    Some((at + 1, value.trim()))
}

/// Quotes values of metadata that YAML reads as something else than text (`id: 4711`), gives a rule without title its name
/// as one, and marks the numbers of detections that the parser would read as doubles.
pub(super) fn prepared(text: &str) -> String {
    let mut prepared = String::with_capacity(text.len() + 64);
    let is_free = !text.contains(MARK);
    // One that is written in braces, as JSON is, has no key at the top of a line.
    let is_flow = text.trim_start().starts_with('{');
    let mut is_detection = is_flow;
    for line in text.lines() {
        let is_top =
            line.starts_with(|first: char| !first.is_whitespace() && !matches!(first, '#' | '-'));
        if is_top && !is_flow {
            is_detection = line.starts_with("detection") || line.starts_with("filter");
        }
        if is_detection && is_free {
            mark_numbers(line, &mut prepared);
        } else if is_top {
            quote(line, &mut prepared);
        } else {
            prepared.push_str(line);
        }
        prepared.push('\n');
    }
    if top_value(text, "title").is_none()
        && let Some((_, name)) = top_value(text, "name")
        && !name.is_empty()
    {
        quote(&format!("title: {name}"), &mut prepared);
        prepared.push('\n');
    }
    prepared
}

fn quote(line: &str, prepared: &mut String) {
    const KEYS: [&str; 6] = ["title", "id", "name", "level", "status", "date"];
    let quoted = KEYS.iter().find_map(|key| {
        let (_, value) = top_value(line, key)?;
        let is_other =
            Number::parse(value).is_some() || matches!(value, "true" | "false" | "null" | "~");
        is_other.then(|| format!("{key}: '{value}'"))
    });
    prepared.push_str(quoted.as_deref().unwrap_or(line));
}

fn mark_numbers(line: &str, prepared: &mut String) {
    let mut word = 0;
    let mut before = ' ';
    let mut flush = |word: &str, behind: &str| {
        let next = behind.trim_start().chars().next();
        let is_last = next.is_none_or(|next| matches!(next, ',' | ']' | '}' | '#'));
        if is_last && is_double(word) {
            prepared.push(MARK);
        }
        prepared.push_str(word);
    };
    for (at, letter) in line.char_indices() {
        // In JSON a value may stand right behind the colon of its key.
        let is_border = letter.is_whitespace()
            || matches!(letter, ',' | '[' | ']' | '{' | '}')
            || (letter == ':' && matches!(before, '"' | '\''));
        if is_border {
            flush(&line[word..at], &line[at..]);
            word = at + letter.len_utf8();
            flush(&line[at..word], "");
        }
        before = letter;
    }
    flush(&line[word..], "");
}

/// Says whether the parser reads a word as a double, or as an integer that is too long for it.
fn is_double(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    (digits > SHORT || word.contains(['.', 'e', 'E'])) && Number::parse(word).is_some()
}

/// Returns a text without the marks in it, and whether it is a number that was marked; nothing where it has none.
pub(crate) fn without_marks(text: &str) -> Option<(String, bool)> {
    if !text.contains(MARK) {
        return None;
    }
    let clean = text.replace(MARK, "");
    let is_number = text.starts_with(MARK) && text.matches(MARK).count() == 1 && is_double(&clean);
    Some((clean, is_number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_taken_apart_where_documents_begin() {
        let lines = |text: &str| -> Vec<(usize, String)> {
            let of = |document: Document| (document.line, document.text);
            documents(text).into_iter().map(of).collect()
        };
        let one = |line: usize| (line, "a: 1\n".to_owned());
        for text in [
            "a: 1",
            "a: 1\r\n",
            "\u{feff}a: 1\n",
            "a: 1\n---\n# nothing\n",
            "a: 1\n...\n",
        ] {
            assert_eq!(lines(text), [one(1)], "{text:?}");
        }
        for text in [
            "---\na: 1",
            "--- # x\n\u{feff}a: 1\n",
            "%YAML 1.2\n---\na: 1\n...\n",
            "# x\n\n\na: 1\n",
        ] {
            let read = lines(text);
            assert_eq!(read[0].1, "a: 1\n", "{text:?}");
            assert_eq!(
                text.lines()
                    .nth(read[0].0 - 1)
                    .unwrap()
                    .trim_start_matches('\u{feff}'),
                "a: 1"
            );
        }
        assert_eq!(lines("a: 1\n---\na: 1\n--- \na: 1\n").len(), 3);
        assert_eq!(lines("a: |\n  ---\n  b\n").len(), 1);
        assert_eq!(lines("a: ---\n----\n").len(), 1);
        assert_eq!(lines("action: global\n---\na: 1\n").len(), 1);
        assert_eq!(lines("--- {a: 1}\n"), [(1, "    {a: 1}\n".to_owned())]);
        assert!(lines("").is_empty() && lines("# only\n---\n").is_empty());
    }

    #[test]
    fn numbers_that_would_lose_digits_are_marked_and_no_others() {
        let marked = |line: &str| {
            let text = prepared(&format!("detection:\n{line}"));
            text.lines().nth(1).unwrap().replace(MARK, "!")
        };
        for (line, want) in [
            ("  a: 18446744073709551615", "  a: !18446744073709551615"),
            (
                "  a: -9223372036854775809 # x",
                "  a: !-9223372036854775809 # x",
            ),
            ("  a: 10.10", "  a: !10.10"),
            ("  a: 1e3", "  a: !1e3"),
            ("    - 1234567890123456789", "    - !1234567890123456789"),
            (
                "  a: [1, 2.5,3.5 , 123456789012345678901]",
                "  a: [1, !2.5,!3.5 , !123456789012345678901]",
            ),
            ("  s: {a: 2.5, b: 3.5}", "  s: {a: !2.5, b: !3.5}"),
            ("  a: 4688", "  a: 4688"),
            ("  a: 123456789012345678", "  a: 123456789012345678"),
            ("  a: '12345678901234567890'", "  a: '12345678901234567890'"),
            ("  a: 10.1.2.3", "  a: 10.1.2.3"),
            ("  a: 0x10", "  a: 0x10"),
            ("  a: 2.5 foo", "  a: 2.5 foo"),
            ("  2.5: foo", "  2.5: foo"),
            ("  a: .inf", "  a: .inf"),
            ("  {\"a\":2.5,\"b\": 3.5}", "  {\"a\":!2.5,\"b\": !3.5}"),
        ] {
            assert_eq!(marked(line), want);
        }
        assert_eq!(
            prepared("level: 2.5\ntags:\n  - 2.5\n"),
            "level: '2.5'\ntags:\n  - 2.5\n"
        );
        assert_eq!(
            prepared("{\"detection\": {\"a\":2.5}}").replace(MARK, "!"),
            "{\"detection\": {\"a\":!2.5}}\n"
        );
        assert_eq!(without_marks("2.5"), None);
        assert_eq!(
            without_marks(&format!("{MARK}2.5")),
            Some(("2.5".to_owned(), true))
        );
        assert_eq!(
            without_marks(&format!("a {MARK}2.5")),
            Some(("a 2.5".to_owned(), false))
        );
        assert_eq!(
            without_marks(&format!("{MARK}2.5 a")),
            Some(("2.5 a".to_owned(), false))
        );
    }

    #[test]
    fn metadata_is_text() {
        assert_eq!(
            prepared("id: 4711\nname: true # x\n"),
            "id: '4711'\nname: 'true'\ntitle: 'true'\n"
        );
        assert_eq!(prepared("title: 1a\nid: x\n"), "title: 1a\nid: x\n");
        assert_eq!(
            top_value("a: 1\nlevel : high # x\n", "level"),
            Some((2, "high"))
        );
        assert_eq!(top_value("  level: high\n", "level"), None);
    }
}
