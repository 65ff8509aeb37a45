//! The one reading of JSON: for raw logs, for paths in conditions, for Sigma.
//!
//! A log line is read by what it holds, not by what a standard allows. No value hides its neighbours: numbers have any
//! length, bare words such as `NaN` are values, strings may hold control characters, wrong escapes and half surrogate
//! pairs, and values nest to any depth. Only a broken structure ends the reading: a bracket or a quote that is not
//! closed, a colon or a comma that is missing. RFC 8259 is a subset of what is read here.
//!
//! Nothing is copied and no tree is built: keys and values are pieces of the source text, and a [`Cursor`] walks over
//! them once. A key that an object has several times is handed out each time.

use std::borrow::Cow;

use memchr::memchr2;

/// What begins at a place of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number in JSON's form, of any length.
    Number,
    /// A string in quotes.
    Text,
    /// Any other run of characters, as the `NaN` and `Infinity` that some writers emit. Its text is as it is written.
    Word,
    /// `[`.
    Array,
    /// `{`.
    Object,
}

/// The structure of a JSON text is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct JsonError {
    /// Offset in bytes at which it is seen.
    pub at: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

/// A key, unescaped, and the source text of its value.
pub type Member<'a> = (Cow<'a, str>, &'a str);

/// Returns the members of an object that is the whole of `text`, in their order, equal keys included.
///
/// # Errors
/// [`JsonError`]: the text is not one object, or its structure is broken. Values inside are checked for balanced brackets.
pub fn members(text: &str) -> Result<Vec<Member<'_>>, JsonError> {
    let mut cursor = Cursor::new(text);
    match cursor.kind()? {
        Kind::Object => cursor.enter(),
        _ => return Err(cursor.wrong("an event is a JSON object, which begins with `{`")),
    }
    let mut members = Vec::with_capacity(32);
    while let Some(key) = cursor.next_key()? {
        members.push((key.text(), cursor.take()?));
    }
    cursor.end()?;
    Ok(members)
}

/// Returns the elements of an array that is the whole of `text`.
///
/// # Errors
/// [`JsonError`], as [`members`].
pub fn elements(text: &str) -> Result<Vec<&str>, JsonError> {
    let mut cursor = Cursor::new(text);
    match cursor.kind()? {
        Kind::Array => cursor.enter(),
        _ => return Err(cursor.wrong("expected an array, which begins with `[`")),
    }
    let mut elements = Vec::new();
    while cursor.next_element()? {
        elements.push(cursor.take()?);
    }
    cursor.end()?;
    Ok(elements)
}

/// Says whether `text` may be an object or an array: its first character that is not blank opens one.
pub fn is_container(text: &str) -> bool {
    matches!(first_byte(text), Some(b'{' | b'['))
}

fn first_byte(text: &str) -> Option<u8> {
    text.bytes().find(|byte| !is_blank(*byte))
}

/// Returns the text of one value's source: the content of a string, anything else as it is written.
pub fn text_of(value: &str) -> Cow<'_, str> {
    match value.strip_prefix('"') {
        Some(rest) => unescaped(rest.strip_suffix('"').unwrap_or(rest)),
        None => Cow::Borrowed(value),
    }
}

/// Returns the text that a string's content, between its quotes, stands for.
///
/// Half of a surrogate pair becomes U+FFFD. An escape that JSON lacks stays as it is written, backslash included, so that
/// a Windows path that was not escaped is still found.
pub fn unescaped(content: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', content.as_bytes()) else {
        return Cow::Borrowed(content);
    };
    let mut text = String::with_capacity(content.len());
    text.push_str(&content[..first]);
    let mut rest = &content[first..];
    while let Some(escape) = rest.strip_prefix('\\') {
        let (letter, used) = match escape.as_bytes().first() {
            Some(b'"') => ('"', 1),
            Some(b'\\') => ('\\', 1),
            Some(b'/') => ('/', 1),
            Some(b'b') => ('\u{8}', 1),
            Some(b'f') => ('\u{c}', 1),
            Some(b'n') => ('\n', 1),
            Some(b'r') => ('\r', 1),
            Some(b't') => ('\t', 1),
            Some(b'u') => unicode(escape).unwrap_or(('\\', 0)),
            _ => ('\\', 0),
        };
        text.push(letter);
        rest = &escape[used..];
        let next = memchr::memchr(b'\\', rest.as_bytes()).unwrap_or(rest.len());
        text.push_str(&rest[..next]);
        rest = &rest[next..];
    }
    Cow::Owned(text)
}

/// Reads `uXXXX`, or two of them that are a pair, and returns the character with the bytes that were used.
fn unicode(escape: &str) -> Option<(char, usize)> {
    let unit = |text: &str| -> Option<u32> {
        let digits = text.strip_prefix('u')?.get(..4)?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u32::from_str_radix(digits, 16).ok())?
    };
    let first = unit(escape)?;
    if let Some(letter) = char::from_u32(first) {
        return Some((letter, 5));
    }
    let second = escape[5..].strip_prefix('\\').and_then(unit);
    Some(match (first, second) {
        (0xd800..=0xdbff, Some(second @ 0xdc00..=0xdfff)) => {
            let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            (
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
                11,
            )
        }
        _ => (char::REPLACEMENT_CHARACTER, 5),
    })
}

/// A key as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonKey<'a> {
    /// Between the quotes.
    content: &'a str,
}

impl<'a> JsonKey<'a> {
    /// Returns the key's text.
    pub fn text(self) -> Cow<'a, str> {
        unescaped(self.content)
    }
}

/// A place in a JSON text, which moves on over values.
///
/// After [`Cursor::enter`] an object is read by [`Cursor::next_key`] and an array by [`Cursor::next_element`] until they
/// say that it is closed; after each, the value is taken, entered or passed over.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
    /// Whether a container was entered and nothing in it was read yet.
    is_fresh: bool,
}

impl<'a> Cursor<'a> {
    /// Returns a cursor at the start of `text`.
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            is_fresh: false,
        }
    }

    /// Returns the offset in bytes.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Passes over blanks and returns the kind of the value that begins there.
    ///
    /// # Errors
    /// [`JsonError`] where no value begins.
    pub fn kind(&mut self) -> Result<Kind, JsonError> {
        Ok(match self.visible() {
            Some(b'"') => Kind::Text,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            None => return Err(self.wrong("the text ends where a value should begin")),
            Some(b',' | b':' | b'}' | b']') => return Err(self.wrong("a value is missing")),
            Some(_) => kind_of_word(&self.text[self.at..self.end_of_word()]),
        })
    }

    /// Enters the object or array that begins here.
    pub fn enter(&mut self) {
        self.at += 1;
        self.is_fresh = true;
    }

    /// Returns the next key of an object and moves to its value; nothing where the object ends, which is passed over.
    ///
    /// # Errors
    /// [`JsonError`]: what follows is not a key with a colon and not the end.
    pub fn next_key(&mut self) -> Result<Option<JsonKey<'a>>, JsonError> {
        if !self.has_next(b'}', "expected a comma or `}` in an object")? {
            return Ok(None);
        }
        if self.visible() != Some(b'"') {
            return Err(self.wrong("expected a key in double quotes"));
        }
        let content = self.string()?;
        if self.visible() != Some(b':') {
            return Err(self.wrong("expected a colon after a key"));
        }
        self.at += 1;
        Ok(Some(JsonKey { content }))
    }

    /// Moves to the next element of an array; false where the array ends, which is passed over.
    ///
    /// # Errors
    /// [`JsonError`]: what follows is neither an element nor the end.
    pub fn next_element(&mut self) -> Result<bool, JsonError> {
        self.has_next(b']', "expected a comma or `]` in an array")
    }

    /// Passes over a comma, or over the end of the container.
    fn has_next(&mut self, close: u8, reason: &'static str) -> Result<bool, JsonError> {
        let is_fresh = std::mem::take(&mut self.is_fresh);
        match self.visible() {
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !is_fresh => {
                self.at += 1;
                match self.visible() {
                    Some(byte) if byte == close => Err(self.wrong("a comma has no value after it")),
                    _ => Ok(true),
                }
            }
            Some(_) if is_fresh => Ok(true),
            None => Err(self.wrong("the text ends inside an object or array")),
            Some(_) => Err(self.wrong(reason)),
        }
    }

    /// Passes over the value that begins here and returns its source text.
    ///
    /// # Errors
    /// [`JsonError`] where no value begins, or where it is not closed.
    pub fn take(&mut self) -> Result<&'a str, JsonError> {
        let kind = self.kind()?;
        let start = self.at;
        match kind {
            Kind::Text => {
                self.string()?;
            }
            Kind::Array | Kind::Object => self.pass_container()?,
            _ => self.at = self.end_of_word(),
        }
        Ok(&self.text[start..self.at])
    }

    /// Takes the string that begins here and returns what is between its quotes.
    ///
    /// # Errors
    /// [`JsonError`] where it is not closed.
    pub fn string(&mut self) -> Result<&'a str, JsonError> {
        let open = self.at;
        let start = open + 1;
        let mut at = start;
        loop {
            match memchr2(
                b'"',
                b'\\',
                self.text.as_bytes().get(at..).unwrap_or_default(),
            ) {
                None => {
                    return Err(JsonError {
                        at: open,
                        reason: "the string that begins here is not closed",
                    });
                }
                Some(more) if self.text.as_bytes()[at + more] == b'"' => {
                    self.at = at + more + 1;
                    return Ok(&self.text[start..at + more]);
                }
                // Whatever is escaped, a quote included, belongs to the string.
                Some(more) => at += more + 2,
            }
        }
    }

    /// Moves over blanks to the end of the text.
    ///
    /// # Errors
    /// [`JsonError`] where something else follows.
    pub fn end(&mut self) -> Result<(), JsonError> {
        match self.visible() {
            None => Ok(()),
            Some(_) => Err(self.wrong("something follows the value")),
        }
    }

    fn pass_container(&mut self) -> Result<(), JsonError> {
        let open = self.at;
        let bytes = self.text.as_bytes();
        let mut brackets = Brackets::default();
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' => brackets.open(true),
                b'[' => brackets.open(false),
                b'}' | b']' => {
                    if !brackets.close(*byte == b'}') {
                        return Err(self.wrong("this bracket closes another kind of bracket"));
                    }
                    if brackets.depth == 0 {
                        self.at += 1;
                        return Ok(());
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        Err(JsonError {
            at: open,
            reason: "the value that begins here is not closed",
        })
    }

    fn visible(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !is_blank(*byte) {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn end_of_word(&self) -> usize {
        let rest = &self.text.as_bytes()[self.at..];
        let is_end = |byte: &u8| {
            is_blank(*byte) || matches!(byte, b',' | b':' | b'{' | b'}' | b'[' | b']' | b'"')
        };
        self.at + rest.iter().position(is_end).unwrap_or(rest.len())
    }

    fn wrong(&self, reason: &'static str) -> JsonError {
        JsonError {
            at: self.at,
            reason,
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn kind_of_word(word: &str) -> Kind {
    match word {
        "null" => Kind::Null,
        "true" | "false" => Kind::Bool,
        _ if is_number(word) => Kind::Number,
        _ => Kind::Word,
    }
}

/// Says whether `text` is a number in JSON's form, of any length.
pub fn is_number(text: &str) -> bool {
    fn digits(text: &[u8]) -> (usize, &[u8]) {
        let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count, &text[count..])
    }
    let text = text.as_bytes();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, mut rest) = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
    }
    if let [b'.', fraction @ ..] = rest {
        let (count, after) = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = after;
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', digits @ ..] => digits,
            digits => digits,
        };
        let (count, after) = digits(exponent);
        if count == 0 {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

/// The brackets that are open: true for `{`. The first 64 need no memory of their own.
#[derive(Default)]
struct Brackets {
    depth: usize,
    first: u64,
    more: Vec<bool>,
}

impl Brackets {
    fn open(&mut self, is_object: bool) {
        if self.depth < 64 {
            let bit = 1 << self.depth;
            self.first = (self.first & !bit) | if is_object { bit } else { 0 };
        } else {
            self.more.push(is_object);
        }
        self.depth += 1;
    }

    /// Closes the innermost; false where it is of the other kind.
    fn close(&mut self, is_object: bool) -> bool {
        self.depth -= 1;
        let opened = match self.depth {
            0..64 => self.first >> self.depth & 1 == 1,
            _ => self.more.pop() == Some(true),
        };
        opened == is_object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<(String, String)>, String> {
        match members(text) {
            Ok(members) => Ok(members
                .into_iter()
                .map(|(key, value)| (key.into_owned(), value.to_owned()))
                .collect()),
            Err(error) => Err(format!("{}: {}", error.at, error.reason)),
        }
    }

    #[test]
    fn no_value_hides_its_neighbours() {
        let deep = format!("{}1{}", "[{\"x\":".repeat(50_000), "}]".repeat(50_000));
        let digits = "9".repeat(1_000);
        for odd in [
            "18446744073709551615",
            "-9223372036854775809",
            "1e400",
            "-0",
            "NaN",
            "-Infinity",
            "0x1f",
            "007",
            "tru",
            "\"\\ud800\"",
            "\"\\udc00\\ud800\"",
            "\"\\x41\"",
            "\"\\u12\"",
            "\"\\u0000\"",
            "\"\0\"",
            "\"\n\t\u{7f}\"",
            "{\"a\":1,\"a\":2}",
            "{\"a\" 1}",
            &deep,
            &digits,
        ] {
            let text = format!("{{\"before\":1,\"odd\":{odd},\"after\":\"x\"}}");
            let found = of(&text).unwrap();
            let names: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
            assert_eq!(names, ["before", "odd", "after"]);
            assert_eq!(found[1].1, odd);
            assert_eq!(
                elements(&format!("[1,{odd} , 2]")).unwrap(),
                ["1", odd, "2"]
            );
        }
    }

    #[test]
    fn equal_keys_are_all_there() {
        let found = of(r#" { "u" : "a" , "\u0075":"b" } "#).unwrap();
        assert_eq!(found[0].0, found[1].0);
        assert_eq!(
            (found[0].1.as_str(), found[1].1.as_str()),
            ("\"a\"", "\"b\"")
        );
    }

    #[test]
    fn strings_are_read_as_far_as_they_can_be() {
        for (source, text) in [
            (r#""plain""#, "plain"),
            (r#""a\"b\\c\/\b\f\n\r\t""#, "a\"b\\c/\u{8}\u{c}\n\r\t"),
            (r#""\u00e9\ud83d\ude00""#, "é😀"),
            (r#""\ud800 after""#, "\u{fffd} after"),
            (r#""\ud800\u0041""#, "\u{fffd}A"),
            (r#""\udc00\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""C:\Windows\System32""#, "C:\\Windows\\System32"),
            (r#""\u12""#, "\\u12"),
            (r#""\uzzzz é""#, "\\uzzzz é"),
            (r#""\é""#, "\\é"),
            (r#""\u+123""#, "\\u+123"),
            ("12.50", "12.50"),
            ("{\"a\":1}", "{\"a\":1}"),
        ] {
            assert_eq!(text_of(source), text, "{source}");
        }
    }

    #[test]
    fn a_broken_structure_says_where() {
        for (text, said) in [
            ("", "0: the text ends"),
            ("[1]", "0: an event is a JSON object"),
            ("{\"a\":1", "6: the text ends inside"),
            ("{\"a\":[1}", "7: this bracket closes another"),
            ("{\"a\":[1", "5: the value that begins here is not closed"),
            ("{\"a\":\"x}", "5: the string that begins here"),
            ("{\"a\" 1}", "5: expected a colon"),
            ("{\"a\":1 \"b\":2}", "7: expected a comma"),
            ("{\"a\":,}", "5: a value is missing"),
            ("{\"a\":1,}", "7: a comma has no value"),
            ("{,}", "1: expected a key"),
            ("{a:1}", "1: expected a key"),
            ("{} x", "3: something follows"),
            ("{\"a\":1}}", "7: something follows"),
            ("{\"a\":\"\\", "5: the string that begins here"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.starts_with(said), "{text}: {error}");
        }
    }

    #[test]
    fn numbers_are_those_of_json() {
        for number in [
            "0",
            "-0",
            "10",
            "1.5",
            "1e3",
            "1E+3",
            "-1.5e-30",
            "9007199254740993",
        ] {
            assert!(is_number(number), "{number}");
        }
        for word in [
            "", "-", "+1", "01", "1.", ".5", "1e", "1e+", "NaN", "0x1", "1_0", "inf",
        ] {
            assert!(!is_number(word), "{word}");
        }
    }

    #[test]
    fn a_cursor_enters_and_passes_over() {
        let mut cursor = Cursor::new(r#"{"a":[1,{"b":[]},"x"],"c":{}}"#);
        assert_eq!(cursor.kind(), Ok(Kind::Object));
        cursor.enter();
        assert_eq!(cursor.next_key().unwrap().unwrap().text(), "a");
        assert_eq!(cursor.kind(), Ok(Kind::Array));
        cursor.enter();
        assert!(cursor.next_element().unwrap());
        assert_eq!(cursor.take(), Ok("1"));
        assert!(cursor.next_element().unwrap());
        assert_eq!(cursor.take(), Ok("{\"b\":[]}"));
        assert!(cursor.next_element().unwrap());
        assert_eq!(cursor.string(), Ok("x"));
        assert!(!cursor.next_element().unwrap());
        assert_eq!(cursor.next_key().unwrap().unwrap().text(), "c");
        assert_eq!(cursor.take(), Ok("{}"));
        assert_eq!(cursor.next_key(), Ok(None));
        assert_eq!(cursor.end(), Ok(()));
    }
}
