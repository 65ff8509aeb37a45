//! JSON to events' source texts, one value at a time, however long the file is.

use std::io::{self, BufRead};

use super::event::{is_envelope_key, is_envelope_note, text_of};
use super::kinds::is_blank;
use super::split::{KEPT_CAPACITY, Passed, Piece, Prefix, SHOWN, SplitError};

/// Gives each event of JSON to `each`: the elements of an array, of an envelope, or values one after another.
pub(crate) fn values<E>(
    bytes: &mut dyn BufRead,
    limit: usize,
    each: impl FnMut(Piece<'_>) -> Result<(), E>,
) -> Result<Passed, SplitError<E>> {
    let mut values = Values {
        bytes,
        limit,
        each,
        at: Place { line: 1, column: 1 },
        prefix: Prefix::default(),
        passed: Passed::default(),
        is_in_array: false,
        value: Vec::new(),
        is_too_long: false,
        start: Place::default(),
    };
    values.run()?;
    Ok(values.passed)
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    line: u64,
    column: u64,
}

struct Values<'r, F> {
    bytes: &'r mut dyn BufRead,
    limit: usize,
    each: F,
    at: Place,
    /// What was read up to here.
    prefix: Prefix,
    passed: Passed,
    /// Whether the bracket of an array of events is open.
    is_in_array: bool,
    /// The value that is being read; of one that is too long, its start.
    value: Vec<u8>,
    is_too_long: bool,
    /// Where it began.
    start: Place,
}

/// U+FEFF, with which some programs begin a file.
const MARK: [u8; 3] = *b"\xef\xbb\xbf";

type Step<T, E> = Result<T, SplitError<E>>;

impl<E, F: FnMut(Piece<'_>) -> Result<(), E>> Values<'_, F> {
    fn run(&mut self) -> Step<(), E> {
        while let Some(byte) = self.next_visible()? {
            self.is_in_array = byte == b'[';
            match byte {
                b'[' => self.array()?,
                b'{' => self.object_or_envelope()?,
                _ => {
                    let found = format!("found `{}`", char::from(byte));
                    return self.syntax(&format!(
                        "{found} where an event or an array of events should begin"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Reads an array, from its bracket, and gives out its elements.
    fn array(&mut self) -> Step<(), E> {
        self.skip(1);
        let mut expects_element = false;
        loop {
            match self.next_visible()? {
                None => return self.syntax("the array of events is not closed"),
                Some(b']') if !expects_element => {
                    self.skip(1);
                    return Ok(());
                }
                Some(b']' | b',') => return self.syntax("a comma has no event beside it"),
                Some(_) => {
                    self.begin();
                    self.take_value()?;
                    self.give()?;
                }
            }
            match self.next_visible()? {
                Some(b',') => {
                    self.skip(1);
                    expects_element = true;
                }
                Some(b']') => expects_element = false,
                None => return self.syntax("the array of events is not closed"),
                Some(byte) => {
                    let found = char::from(byte);
                    return self.syntax(&format!(
                        "found `{found}` where a comma or `]` should follow an event"
                    ));
                }
            }
        }
    }

    /// Reads an object, from its brace: an event, or an envelope whose events are given out as they come.
    fn object_or_envelope(&mut self) -> Step<(), E> {
        self.begin();
        self.take_byte()?;
        let mut is_open = false;
        loop {
            // Up to here: `{`, and members that are only notes.
            self.take_blanks()?;
            if self.peek()? != Some(b'"') {
                return self.rest_of_event(is_open);
            }
            let key_start = self.value.len();
            self.take_value()?;
            let key = self.taken_since(key_start);
            let key = text_of(&key).into_owned();
            self.take_blanks()?;
            if self.peek()? != Some(b':') {
                return self.rest_of_event(is_open);
            }
            self.take_byte()?;
            self.take_blanks()?;
            match self.peek()? {
                Some(b'[') if !is_open && is_envelope_key(&key) => {
                    // One more look ahead: an array of events begins with an object, or is empty.
                    let bracket = self.at;
                    self.take_byte()?;
                    self.take_blanks()?;
                    if !matches!(self.peek()?, Some(b'{' | b']')) {
                        self.take_until_closed(2)?;
                        return self.give();
                    }
                    self.elements_after(bracket)?;
                    is_open = true;
                    self.begin();
                }
                Some(b'{' | b'[') | None => return self.rest_of_event(is_open),
                Some(_) => {
                    let value_start = self.value.len();
                    self.take_value()?;
                    let value = self.taken_since(value_start);
                    if !is_envelope_note(&key, &value) {
                        return self.rest_of_event(is_open);
                    }
                }
            }
            self.take_blanks()?;
            match self.peek()? {
                Some(b',') => self.take_byte()?,
                Some(b'}') if is_open => {
                    self.skip(1);
                    return Ok(());
                }
                _ => return self.rest_of_event(is_open),
            }
        }
    }

    /// Gives out the elements of an array whose bracket was taken.
    fn elements_after(&mut self, bracket: Place) -> Step<(), E> {
        self.start = bracket;
        self.is_in_array = true;
        loop {
            if self.next_visible()? == Some(b']') {
                self.skip(1);
                return Ok(());
            }
            self.begin();
            self.take_value()?;
            self.give()?;
            match self.next_visible()? {
                Some(b',') => {
                    self.skip(1);
                    if self.next_visible()? == Some(b']') {
                        return self.syntax("a comma has no event beside it");
                    }
                }
                Some(b']') => {}
                None => return self.syntax("the array of events is not closed"),
                Some(byte) => {
                    let found = char::from(byte);
                    return self.syntax(&format!(
                        "found `{found}` where a comma or `]` should follow an event"
                    ));
                }
            }
        }
    }

    /// What was begun is an event after all: reads it to its end and gives it out.
    fn rest_of_event(&mut self, is_open: bool) -> Step<(), E> {
        if is_open {
            return self.syntax(
                "something besides notes on the answer follows the array of events, so that it is unclear whether the object is one event; write its events alone into the file",
            );
        }
        self.take_until_closed(1)?;
        self.give()
    }

    fn give(&mut self) -> Step<(), E> {
        (self.each)(Piece {
            bytes: &self.value,
            line: self.start.line,
            column: self.start.column,
            prefix: &self.prefix,
            within: None,
            is_last: false,
            is_too_long: self.is_too_long,
        })
        .map_err(SplitError::Receiver)
    }

    fn begin(&mut self) {
        self.start = self.at;
        self.value.clear();
        self.is_too_long = false;
        if self.value.capacity() > KEPT_CAPACITY {
            self.value = Vec::new();
        }
    }

    /// Takes one whole value. What it holds is checked later; here only its end is found.
    fn take_value(&mut self) -> Step<(), E> {
        match self.peek()? {
            Some(b'{' | b'[') => {
                self.take_byte()?;
                self.take_until_closed(1)
            }
            Some(b'"') => {
                self.take_byte()?;
                self.take_while_open(0, true)
            }
            _ => loop {
                match self.peek()? {
                    None | Some(b',' | b']' | b'}' | b':') => {
                        return if self.value.is_empty() {
                            self.syntax("a value is missing")
                        } else {
                            Ok(())
                        };
                    }
                    Some(byte) if byte.is_ascii_whitespace() => return Ok(()),
                    Some(_) => self.take_byte()?,
                }
            },
        }
    }

    fn take_until_closed(&mut self, depth: usize) -> Step<(), E> {
        self.take_while_open(depth, false)
    }

    /// Takes bytes until `depth` brackets are closed, or until the string ends if there are none.
    fn take_while_open(&mut self, mut depth: usize, mut in_string: bool) -> Step<(), E> {
        let mut escaped = false;
        loop {
            let Some(available) = self.available()? else {
                if !self.is_in_array {
                    return Err(SplitError::Torn {
                        line: self.start.line,
                        column: self.start.column,
                    });
                }
                return self.syntax_at(self.start, "the value that begins here is not closed");
            };
            let end = available.iter().position(|byte| {
                match (in_string, *byte) {
                    (true, _) if escaped => escaped = false,
                    (true, b'\\') => escaped = true,
                    (true, b'"') => in_string = false,
                    (true, _) => return false,
                    (false, b'"') => in_string = true,
                    (false, b'{' | b'[') => depth += 1,
                    (false, b'}' | b']') => depth -= 1,
                    _ => return false,
                }
                depth == 0 && !in_string
            });
            let count = end.map_or(available.len(), |at| at + 1);
            self.take(count)?;
            if end.is_some() {
                return Ok(());
            }
        }
    }

    /// Returns what was taken since the value was so long; nothing of one that is too long.
    fn taken_since(&self, start: usize) -> String {
        let taken = self.value.get(start..).unwrap_or_default();
        String::from_utf8_lossy(taken).into_owned()
    }

    fn take_blanks(&mut self) -> Step<(), E> {
        while self.peek()?.is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.take_byte()?;
        }
        Ok(())
    }

    fn take_byte(&mut self) -> Step<(), E> {
        self.take(1)
    }

    /// Moves `count` bytes, which are available, into the value. One that becomes too long is read to its end and not kept.
    fn take(&mut self, count: usize) -> Step<(), E> {
        let available = self.bytes.fill_buf().map_err(|source| SplitError::Read {
            line: self.at.line,
            source,
        })?;
        if !self.is_too_long {
            self.value.extend_from_slice(&available[..count]);
        }
        if self.value.len() > self.limit {
            self.is_too_long = true;
            self.value.truncate(SHOWN.min(self.limit));
        }
        self.skip(count);
        Ok(())
    }

    /// Passes over `count` bytes, which are available.
    fn skip(&mut self, count: usize) {
        let passed = match self.bytes.fill_buf() {
            Ok(available) => &available[..count.min(available.len())],
            Err(_) => &[],
        };
        self.prefix.extend(passed);
        match passed.iter().rposition(|byte| *byte == b'\n') {
            Some(last) => {
                self.at.line += passed.iter().filter(|byte| **byte == b'\n').count() as u64;
                self.at.column = (passed.len() - last) as u64;
            }
            None => self.at.column += count as u64,
        }
        self.bytes.consume(count);
    }

    /// Passes over what means nothing between events, and returns the byte after it.
    fn next_visible(&mut self) -> Step<Option<u8>, E> {
        while let Some(available) = self.available()? {
            let blanks = available.iter().take_while(|byte| is_blank(**byte)).count();
            let zeros = available[..blanks]
                .iter()
                .filter(|byte| **byte == 0)
                .count();
            // A mark in the middle: files with marks were joined.
            let has_mark = blanks == 0 && available[0] == MARK[0];
            if has_mark {
                self.pass_mark()?;
                continue;
            }
            if blanks == 0 {
                return self.peek();
            }
            self.passed.zeros += zeros as u64;
            self.skip(blanks);
        }
        Ok(None)
    }

    fn pass_mark(&mut self) -> Step<(), E> {
        for byte in MARK {
            if self.peek()? != Some(byte) {
                return self.syntax("found a byte that is not JSON where an event should begin");
            }
            self.skip(1);
        }
        Ok(())
    }

    fn peek(&mut self) -> Step<Option<u8>, E> {
        Ok(self.available()?.and_then(|bytes| bytes.first().copied()))
    }

    /// Returns what can be had without waiting, or nothing at the end.
    fn available(&mut self) -> Step<Option<&[u8]>, E> {
        let line = self.at.line;
        loop {
            match self.bytes.fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(SplitError::Read { line, source }),
            }
        }
        let available = self
            .bytes
            .fill_buf()
            .map_err(|source| SplitError::Read { line, source })?;
        Ok((!available.is_empty()).then_some(available))
    }

    fn syntax<T>(&self, reason: &str) -> Step<T, E> {
        self.syntax_at(self.at, reason)
    }

    fn syntax_at<T>(&self, place: Place, reason: &str) -> Step<T, E> {
        Err(SplitError::Syntax {
            line: place.line,
            column: place.column,
            reason: reason.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    /// Texts and places of the pieces, whatever the size of the reader's buffer.
    fn split(text: &str, limit: usize) -> Result<Vec<(String, u64, u64, u64)>, String> {
        let results: Vec<_> = [1, 2, 3, 7, 4096]
            .iter()
            .map(|capacity| {
                let mut bytes = BufReader::with_capacity(*capacity, text.as_bytes());
                let mut pieces = Vec::new();
                values::<()>(&mut bytes, limit, |piece| {
                    let text = String::from_utf8(piece.bytes.to_vec()).unwrap();
                    pieces.push((text, piece.prefix.end, piece.line, piece.column));
                    Ok(())
                })
                .map_err(|error| format!("{error:?}"))
                .map(|_| pieces)
            })
            .collect();
        for result in &results {
            assert_eq!(result, &results[0], "{text}");
        }
        results.into_iter().next().unwrap()
    }

    fn texts(text: &str) -> Vec<String> {
        split(text, 1 << 20)
            .unwrap()
            .into_iter()
            .map(|piece| piece.0)
            .collect()
    }

    #[test]
    fn events_come_out_of_every_arrangement() {
        let (a, b) = (r#"{"a":"]}\"{"}"#, r#"{"b" : [1,{}]}"#);
        for text in [
            format!("[{a},{b}]"),
            format!(" [ {a} ,\n {b} ] "),
            format!("{a}{b}"),
            format!("{a}\n{b}\n"),
            format!("[{a}] [{b}]"),
            format!("{{\"Records\":[{a},{b}]}}"),
            format!("{{ \"Records\" : [\n{a} , {b} ] }} "),
            format!("{{\"@odata.context\":\"x,]\",\"value\":[{a},{b}],\"count\": 2 }}"),
            format!("{{\"Records\":[{a}]}}{{\"Records\":[]}}{{\"Records\":[{b}]}}"),
            format!("\u{feff}[{a}]\u{feff}[{b}]"),
            format!("\0\0{a}\0\0\0{b}\0"),
            format!("\u{1e}{a}\n\u{1e}{b}\n"),
        ] {
            assert_eq!(texts(&text), [a, b], "{text}");
        }
        assert_eq!(texts(" \n "), Vec::<String>::new());
        assert_eq!(texts("[]"), Vec::<String>::new());
    }

    #[test]
    fn what_only_looks_like_an_envelope_is_one_event() {
        for event in [
            r#"{}"#,
            r#"{"kind":"x","events":[{"n":1}]}"#,
            r#"{"value":[1,[2]],"x":{"y":[]}}"#,
            r#"{"count":1}"#,
            r#"{"count":{"x":1},"Records":[{}]}"#,
            r#"{"Records":"x"}"#,
            r#"{"next":null , "z":1}"#,
        ] {
            assert_eq!(texts(event), [event]);
        }
    }

    #[test]
    fn places_are_those_of_the_events() {
        let pieces = split("[\n  {\"a\":\n1},\n{\"b\":2}]", 100).unwrap();
        assert_eq!(pieces[0], ("{\"a\":\n1}".to_owned(), 12, 2, 3));
        assert_eq!(pieces[1], ("{\"b\":2}".to_owned(), 21, 4, 1));
    }

    #[test]
    fn broken_json_says_where() {
        for (text, said) in [
            (
                "[{\"a\":1}",
                "line: 1, column: 9, reason: \"the array of events is not closed",
            ),
            ("\n {\"a\":[1}", "Torn { line: 2, column: 2 }"),
            ("[{},]", "a comma has no event"),
            ("[,{}]", "a comma has no event"),
            ("[{} {}]", "found `{` where a comma"),
            ("x", "found `x`"),
            ("{\"Records\":[{},]}", "a comma has no event"),
            ("{\"Records\":[{}],\"more\":1}", "unclear whether"),
            ("{\"Records\":[{}]", "unclear whether"),
            ("[{\"a\":\"x", "not closed"),
        ] {
            let error = split(text, 100).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn a_value_that_is_too_long_hides_none_behind_it() {
        let (a, b) = (r#"{"a":1}"#, r#"{"b":2}"#);
        for long in [
            r#"{"a":"0123456789"}"#,
            r#"{"a":"01234\"}]","b":[1,{}]}"#,
            r#"{"long key":{"a":[1,2,3]}}"#,
            r#"[1,2,3,4,5,6,7]"#,
            r#""0123456789abc""#,
        ] {
            for text in [
                format!("[{a},{long},{b}]"),
                format!("{{\"Records\":[{a},\n{long},{b}]}}"),
            ] {
                let mut seen = Vec::new();
                let mut bytes = BufReader::with_capacity(3, text.as_bytes());
                values::<()>(&mut bytes, 10, |piece| {
                    let text = String::from_utf8(piece.bytes.to_vec()).unwrap();
                    assert!(text.len() <= 10);
                    seen.push((text, piece.is_too_long));
                    Ok(())
                })
                .unwrap();
                assert_eq!(seen.len(), 3, "{text}: {seen:?}");
                assert_eq!(seen[0], (a.to_owned(), false));
                assert!(seen[1].1 && long.starts_with(&seen[1].0), "{seen:?}");
                assert_eq!(seen[2], (b.to_owned(), false));
            }
        }
    }
}
