//! What several forms share: members that overwrite none, numbers without loss, quoted text.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::Wrong;
use crate::times::common_time;

/// The members of one event. A name that occurs again gets a number, so that no value is lost.
#[derive(Debug, Default)]
pub(crate) struct Members(Map<String, Value>);

impl Members {
    pub(crate) fn add(&mut self, name: &str, value: Value) {
        let mut names = (1..).map(|count| numbered(name, count));
        if let Some(name) = names.find(|name| !self.0.contains_key(name)) {
            self.0.insert(name, value);
        }
    }

    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.add(name, Value::from(text));
    }

    /// Adds a number, or the text if no number holds all its digits.
    pub(crate) fn number(&mut self, name: &str, text: &str) {
        self.add(name, number(text).unwrap_or_else(|| Value::from(text)));
    }

    pub(crate) fn into_map(self) -> Map<String, Value> {
        self.0
    }
}

/// Gives each name that occurs again a number: `name`, `name_2`.
pub(crate) fn distinct<'t>(names: impl Iterator<Item = &'t str>) -> Vec<String> {
    let mut found = HashSet::new();
    // How often a name occurred, so that a header of many equal names takes no time that grows with its square.
    let mut counts = HashMap::new();
    names
        .map(|name| {
            let count = counts.entry(name).or_insert(0);
            loop {
                *count += 1;
                let name = numbered(name, *count);
                if found.insert(name.clone()) {
                    return name;
                }
            }
        })
        .collect()
}

fn numbered(name: &str, count: usize) -> String {
    match count {
        1 => name.to_owned(),
        count => format!("{name}_{count}"),
    }
}

/// Reads a number as JSON writes it. Nothing if digits would be lost: `007`, or more than a 64-bit float holds.
pub(crate) fn number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.ends_with(|c: char| c.is_ascii_digit())
        && !(digits.starts_with('0') && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit));
    if !is_number || text == "-0" {
        return None;
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let signed = text.parse::<i64>().map(Value::from);
        return signed
            .or_else(|_| text.parse::<u64>().map(Value::from))
            .ok();
    }
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite())?;
    let written = significant(text);
    let places = written.len().clamp(1, 40) - 1;
    (written == significant(&format!("{value:.places$e}"))).then(|| Value::from(value))
}

/// Returns the digits of a decimal number without the zeros around them.
fn significant(text: &str) -> String {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').to_owned()
}

/// A piece of a line between separators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece<'t> {
    pub(crate) text: &'t str,
    pub(crate) is_quoted: bool,
}

/// Reads the quoted text at the start, and returns it and the rest. The quote that closes it is the first one that is not escaped
/// and before which `is_rest` can follow, so that a quote that its writer did not escape closes nothing.
pub(crate) fn quoted(text: &str, is_rest: impl Fn(&str) -> bool) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut escaped = None;
    for (at, _) in inside.match_indices('"') {
        let (before, rest) = (inside.get(..at)?, inside.get(at + 1..)?);
        if is_rest(rest) {
            let backslashes = before.bytes().rev().take_while(|byte| *byte == b'\\');
            if backslashes.count() % 2 == 0 {
                return Some((before, rest));
            }
            escaped = Some((before, rest));
        }
    }
    // A text that ends with a backslash which its writer did not escape leaves only a quote that seems escaped.
    escaped
}

/// Says whether what follows a quote lets it close a piece of a line.
pub(crate) fn is_next_piece(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(' ')
}

/// Splits a request of HTTP into method, target and protocol. HTTP 0.9 has no protocol. Returns nothing for other text.
pub(crate) fn request(text: &str) -> Option<(&str, &str, Option<&str>)> {
    let (method, rest) = text.split_once(' ')?;
    let is_method = |c: char| c.is_ascii_uppercase() || c == '-' || c == '_';
    if !method.starts_with(|c: char| c.is_ascii_uppercase()) || !method.chars().all(is_method) {
        return None;
    }
    match rest.rsplit_once(' ') {
        Some((target, protocol)) if protocol.starts_with("HTTP/") => {
            Some((method, target, Some(protocol)))
        }
        _ => rest.starts_with('/').then_some((method, rest, None)),
    }
}

/// Reads what stands in brackets at the start, at most as much as a time, and returns it and the rest.
pub(crate) fn bracketed(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('[')?;
    let end = inside.bytes().take(48).position(|byte| byte == b']')?;
    Some((inside.get(..end)?, inside.get(end + 1..)?))
}

/// Splits at spaces, outside quotes and outside the brackets around a time.
pub(crate) fn pieces(line: &str) -> Result<Vec<Piece<'_>>, Wrong> {
    let mut found = Vec::new();
    let mut rest = line.trim_start_matches(' ');
    while !rest.is_empty() {
        let time = bracketed(rest).filter(|(time, _)| common_time(time).is_some());
        let (text, after) = if rest.starts_with('"') {
            let unclosed = || wrong("a quote is not closed", line.len() - rest.len());
            quoted(rest, is_next_piece).ok_or_else(unclosed)?
        } else if let Some(time) = time {
            time
        } else {
            rest.split_at(rest.find(' ').unwrap_or(rest.len()))
        };
        let is_quoted = rest.starts_with('"');
        found.push(Piece { text, is_quoted });
        rest = after.trim_start_matches(' ');
    }
    Ok(found)
}

/// Returns the lines of a file's start that are not blank. The last one may be cut off, so it is left out if two others are there.
pub(crate) fn whole_lines(start: &str) -> impl Iterator<Item = &str> {
    let end = start
        .rfind('\n')
        .filter(|end| start.find('\n') != Some(*end));
    let whole = end.and_then(|end| start.get(..end)).unwrap_or(start);
    let whole = whole.trim_start_matches('\u{feff}');
    whole.lines().filter(|line| !line.trim().is_empty())
}

/// Returns a line without the mark at a file's start and without the rest of a line end.
pub(crate) fn bare(line: &str) -> &str {
    let line = line.strip_prefix('\u{feff}').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

pub(crate) fn wrong(reason: impl Into<String>, at: usize) -> Wrong {
    Wrong {
        reason: reason.into(),
        at,
    }
}

/// Says that a line has another number of columns than its header.
pub(crate) fn wrong_count(header: usize, line: usize, at: usize) -> Wrong {
    wrong(
        format!("the header has {header} columns, and this line {line}"),
        at,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        for (text, shown) in [
            ("0", "0"),
            ("-17", "-17"),
            ("18446744073709551615", "18446744073709551615"),
            ("1772359872.123456", "1772359872.123456"),
            ("0.000000", "0.0"),
            ("2.50", "2.5"),
            ("1e-05", "1e-05"),
            // Two texts of 17 digits are equally near to this one.
            ("0.031190872192382812", "0.031190872192382813"),
        ] {
            let found = number(text).unwrap().to_string();
            let value = |text: &str| text.parse::<f64>().unwrap();
            assert_eq!(value(&found).to_bits(), value(shown).to_bits(), "{text}");
        }
        for text in [
            "",
            "-",
            "-0",
            "007",
            "1.",
            ".5",
            "+1",
            "1_0",
            "nan",
            "inf",
            "0x1",
            "1e999",
            "18446744073709551616",
            "1772359872.123456789123",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn requests_have_a_method() {
        let all = Some(("GET", "/a b", Some("HTTP/1.1")));
        assert_eq!(request("GET /a b HTTP/1.1"), all);
        assert_eq!(request("GET /"), Some(("GET", "/", None)));
        for text in [
            "",
            "-",
            "GET",
            r"\x16\x03\x01",
            "get / HTTP/1.1",
            "SSH-2.0 client",
        ] {
            assert_eq!(request(text), None, "{text}");
        }
    }

    #[test]
    fn quotes_close_before_a_space_or_the_end() {
        let quoted = |text| quoted(text, is_next_piece);
        assert_eq!(quoted(r#""a b" c"#), Some(("a b", " c")));
        assert_eq!(quoted(r#""a \" b" c"#), Some((r#"a \" b"#, " c")));
        assert_eq!(quoted(r#""a"b" c"#), Some((r#"a"b"#, " c")));
        assert_eq!(quoted(r#""a\""#), Some((r"a\", "")));
        assert_eq!(quoted(r#""a"#), None);
    }
}
