//! Zeek's logs as tab-separated values, as its ASCII writer writes them.
//!
//! ```text
//! #separator \x09          the separator of columns; after this line the other headers use it
//! #set_separator  ,        the separator of the elements of a set, a vector or a table
//! #empty_field    (empty)  a text or a set that is empty
//! #unset_field    -        a value that is not there
//! #path           conn     the name of the log
//! #open, #close            when the file was opened and closed
//! #fields         ts   uid    id.orig_p …
//! #types          time string port      …
//! ```
//!
//! The headers may occur again. Numbers are `count`, `int`, `port`, `double`, `interval` and `time`; `bool` is `T` or `F`; all
//! else is text. A value that is not of its type stays text. In text Zeek writes a backslash as `\\`, and a byte that is not
//! printable or a separator as `\x2c`. These are decoded, except bytes that are not UTF-8, which stay as they are.
//!
//! Source: <https://docs.zeek.org/en/master/log-formats.html>, and `src/logging/writers/ascii/Ascii.cc` and
//! `src/threading/formatters/Ascii.cc` of <https://github.com/zeek/zeek>.

use std::fmt::Write;

use serde_json::Value;

use crate::parts::{Members, bare, distinct, number, whole_lines, wrong, wrong_count};
use crate::{Decode, Decoded, Wrong};

/// Reads Zeek's tab-separated logs.
#[derive(Debug)]
pub(crate) struct Zeek {
    separator: String,
    set_separator: String,
    empty_field: String,
    unset_field: String,
    path: Option<String>,
    fields: Vec<String>,
    types: Vec<Type>,
}

/// A type of a column, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Number,
    Bool,
    Text,
    /// A set, a vector or a table of one of these.
    Many(&'static Type),
}

impl Zeek {
    /// Returns a decoder that has not seen a header.
    pub(crate) fn new() -> Self {
        Self {
            separator: "\t".to_owned(),
            set_separator: ",".to_owned(),
            empty_field: "(empty)".to_owned(),
            unset_field: "-".to_owned(),
            path: None,
            fields: Vec::new(),
            types: Vec::new(),
        }
    }

    /// Reads a line that begins with `#`.
    fn header(&mut self, line: &str) {
        if let Some(separator) = line.strip_prefix("#separator ") {
            *self = Self::new();
            self.set_separator(separator);
            return;
        }
        let (name, value) = line.split_once(&self.separator).unwrap_or((line, ""));
        match name {
            "#set_separator" if !value.is_empty() => self.set_separator = decoded(value),
            "#empty_field" => value.clone_into(&mut self.empty_field),
            "#unset_field" => value.clone_into(&mut self.unset_field),
            "#path" => self.path = (value != self.unset_field).then(|| decoded(value)),
            "#fields" => {
                let names: Vec<String> = value.split(&self.separator).map(decoded).collect();
                self.fields = distinct(names.iter().map(String::as_str));
                self.types.clear();
            }
            "#types" => self.types = value.split(&self.separator).map(Type::of).collect(),
            _ => {}
        }
    }

    fn set_separator(&mut self, written: &str) {
        let separator = decoded(written.trim_end());
        if !separator.is_empty() {
            self.separator = separator;
        }
    }

    /// Returns a value, or nothing if it is not set.
    fn value(&self, text: &str, kind: Type) -> Option<Value> {
        if text == self.unset_field {
            return None;
        }
        let is_empty = text == self.empty_field;
        Some(match kind {
            Type::Many(_) if is_empty => Value::Array(Vec::new()),
            Type::Many(inner) => text
                .split(&self.set_separator)
                .map(|text| self.value(text, *inner).unwrap_or(Value::Null))
                .collect(),
            _ if is_empty => Value::from(""),
            Type::Number => number(text).unwrap_or_else(|| Value::from(text)),
            Type::Bool if text == "T" => Value::Bool(true),
            Type::Bool if text == "F" => Value::Bool(false),
            Type::Bool | Type::Text => Value::from(decoded(text)),
        })
    }
}

impl Default for Zeek {
    fn default() -> Self {
        Self::new()
    }
}

impl Decode for Zeek {
    fn line(&mut self, line: &str) -> Result<Decoded, Wrong> {
        let line = bare(line);
        if line.starts_with('#') {
            self.header(line);
            return Ok(Decoded::Nothing);
        }
        if line.is_empty() {
            return Ok(Decoded::Nothing);
        }
        if self.fields.is_empty() {
            return Err(wrong("no line #fields stands before this line", 0));
        }
        let count = line.split(&self.separator).count();
        if count != self.fields.len() {
            return Err(wrong_count(self.fields.len(), count, line.len()));
        }
        let mut event = Members::default();
        if let Some(path) = &self.path {
            event.text("_path", path);
        }
        let types = self
            .types
            .iter()
            .copied()
            .chain(std::iter::repeat(Type::Text));
        let values = line.split(&self.separator).zip(types);
        for (name, (text, kind)) in self.fields.iter().zip(values) {
            if let Some(value) = self.value(text, kind) {
                event.add(name, value);
            }
        }
        Ok(Decoded::Event(event.into_map()))
    }
}

impl Type {
    fn of(name: &str) -> Self {
        let inner = name.split_once('[').and_then(|(outer, inner)| {
            let is_many = matches!(outer, "set" | "vector" | "list" | "table");
            inner.strip_suffix(']').filter(|_| is_many)
        });
        match (name, inner.map(Self::of)) {
            (_, Some(Self::Number)) => Self::Many(&Self::Number),
            (_, Some(Self::Bool)) => Self::Many(&Self::Bool),
            (_, Some(_)) => Self::Many(&Self::Text),
            ("count" | "int" | "port" | "double" | "interval" | "time", None) => Self::Number,
            ("bool", None) => Self::Bool,
            (_, None) => Self::Text,
        }
    }
}

/// Decodes `\\` and `\x2c`. Bytes that are not UTF-8 stay as they are written.
fn decoded(text: &str) -> String {
    let mut found = String::with_capacity(text.len());
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escaped) = rest.split_at(at);
        if !before.is_empty() {
            flush(&mut bytes, &mut found);
            found.push_str(before);
        }
        let hex = escaped.strip_prefix("\\x").and_then(|hex| hex.get(..2));
        let is_hex = |hex: &&str| hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        let byte = hex
            .filter(is_hex)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let length = if let Some(byte) = byte {
            bytes.push(byte);
            4
        } else {
            flush(&mut bytes, &mut found);
            found.push('\\');
            if escaped.starts_with("\\\\") { 2 } else { 1 }
        };
        rest = escaped.get(length..).unwrap_or_default();
    }
    flush(&mut bytes, &mut found);
    found.push_str(rest);
    found
}

/// Appends bytes as text, and writes those that are not UTF-8 as Zeek does.
fn flush(bytes: &mut Vec<u8>, found: &mut String) {
    for chunk in bytes.utf8_chunks() {
        found.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(found, "\\x{byte:02x}");
        }
    }
    bytes.clear();
}

/// Says whether a text begins with Zeek's header: a line `#separator`, and only headers up to `#fields`.
pub(crate) fn looks_like(start: &str) -> bool {
    let mut lines = whole_lines(start);
    let first = lines
        .next()
        .and_then(|line| line.strip_prefix("#separator "));
    let is_separator = |text: &str| decoded(text.trim_end()).chars().count() == 1;
    first.is_some_and(is_separator)
        && lines
            .take_while(|line| !line.starts_with("#fields"))
            .all(|line| line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [&str; 8] = [
        r"#separator \x09",
        "#set_separator\t,",
        "#empty_field\t(empty)",
        "#unset_field\t-",
        "#path\tconn",
        "#open\t2026-03-01-10-11-12",
        "#fields\tts\tuid\tid.orig_p\tseen\ttook\ttags\tsizes\tnote",
        "#types\ttime\tstring\tport\tbool\tinterval\tset[string]\tvector[count]\tstring",
    ];

    fn shown(decoder: &mut Zeek, line: &str) -> String {
        match decoder.line(line) {
            Ok(Decoded::Event(event)) => Value::Object(event).to_string(),
            Ok(Decoded::Nothing) => String::new(),
            Err(wrong) => format!("{} {}", wrong.at, wrong.reason),
        }
    }

    fn decoder() -> Zeek {
        let mut decoder = Zeek::new();
        for line in HEADER {
            assert_eq!(shown(&mut decoder, line), "");
        }
        decoder
    }

    #[test]
    fn values_have_their_types() {
        let mut decoder = decoder();
        let line = "1772359872.123456\tC1\t443\tT\t0.000250\ta,b\\x2cc\t1,-,3\tx";
        assert_eq!(
            shown(&mut decoder, line),
            r#"{"_path":"conn","ts":1772359872.123456,"uid":"C1","id.orig_p":443,"seen":true,"took":0.00025,"tags":["a","b,c"],"sizes":[1,null,3],"note":"x"}"#
        );
        let line = "-\t(empty)\tx\tF\t-\t(empty)\t(empty)\t\\x2d";
        assert_eq!(
            shown(&mut decoder, line),
            r#"{"_path":"conn","uid":"","id.orig_p":"x","seen":false,"tags":[],"sizes":[],"note":"-"}"#
        );
        assert_eq!(shown(&mut decoder, "#close\t2026-03-01-11-00-00"), "");
    }

    #[test]
    fn a_new_header_replaces_the_old_one() {
        let mut decoder = decoder();
        for line in [r"#separator \x7c", "#path|dns", "#fields|a|a|b"] {
            assert_eq!(shown(&mut decoder, line), "");
        }
        assert_eq!(
            shown(&mut decoder, "1|2|-"),
            r#"{"_path":"dns","a":"1","a_2":"2"}"#
        );
    }

    #[test]
    fn what_is_wrong_says_why() {
        let before = shown(&mut Zeek::new(), "a\tb");
        assert_eq!(before, "0 no line #fields stands before this line");
        let few = shown(&mut decoder(), "a\tb");
        assert_eq!(few, "3 the header has 8 columns, and this line 2");
    }

    #[test]
    fn escapes_are_decoded_and_other_bytes_stay() {
        for (written, expected) in [
            (r"\\\\host\\share", r"\\host\share"),
            (r"\x5cpipe", r"\pipe"),
            (r"caf\xc3\xa9", "café"),
            (r"a\xff\xc3z", r"a\xff\xc3z"),
            (r"\x4", r"\x4"),
            ("\\xé\\", "\\xé\\"),
        ] {
            assert_eq!(decoded(written), expected);
        }
    }

    #[test]
    fn only_zeek_looks_like_it() {
        assert!(looks_like(&HEADER.join("\n")));
        assert!(looks_like("#separator \\x09\r\n#set_separator\t,\r\n"));
        for start in [
            "",
            "#Version: 1.0\n",
            "#separator\n",
            "#separator of words\n",
            "{\"a\":1}\n",
        ] {
            assert!(!looks_like(start), "{start}");
        }
    }
}
