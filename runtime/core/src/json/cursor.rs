//! One pass over JSON text by its structure.

use std::borrow::Cow;

use memchr::memchr2;

use super::escapes::unescaped;
use super::number::is_number;

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

    pub(super) fn wrong(&self, reason: &'static str) -> JsonError {
        JsonError {
            at: self.at,
            reason,
        }
    }
}

pub(super) fn is_blank(byte: u8) -> bool {
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
